//! The pack of switches over one that has a command line and one that has its JSON API: what a CMP sends to one it sends
//! to the other, and is told the same.

use std::path::Path;

use cmp_relay::clock::Boottime;
use cmp_relay::demo::packs::switches;
use cmp_relay::demo::simulate::Stage;
use cmp_relay::demo::simulate::devices::{self, Devices};
use serde_json::{Value, json};

use crate::support::pack::{ask, devices_on, switches_over};
use crate::support::relay::{BACKEND_TOKEN, TestRelay};

/// What was asked of one switch, and what was answered, without the switch's name.
struct Told<'r> {
    relay: &'r TestRelay,
    switch: &'static str,
    answers: Vec<(String, u16, Value)>,
}

impl Told<'_> {
    /// Asks below the switch; the status and, of a problem, its code are what is expected.
    async fn ask(&mut self, what: &str, body: Value, status: u16, code: &str) -> Value {
        let (method, path) = what.split_once(' ').unwrap();
        let body = (!body.is_null()).then_some(body);
        let path = format!("{}/{path}", self.switch);
        let (got, said) = ask(self.relay, method, &path, body).await;
        assert_eq!(got, status, "{what} of {}: {said}", self.switch);
        assert_eq!(said["code"].as_str().unwrap_or(""), code, "{what}: {said}");
        let kept = match code {
            "" => said
                .to_string()
                .replace(self.switch, "SWITCH")
                .parse()
                .unwrap(),
            code => json!({ "code": code, "side_effect": said["side_effect"] }),
        };
        self.answers.push((what.to_owned(), got, kept));
        said
    }

    async fn done(&mut self, what: &str, body: Value, status: u16) -> Value {
        self.ask(what, body, status, "").await
    }
}

/// Runs one story at each switch, and holds the answers against each other.
async fn told<F>(relay: &TestRelay, story: F)
where
    F: AsyncFn(&mut Told<'_>),
{
    let mut all = Vec::new();
    for switch in [switches::SWITCH, switches::WEB_SWITCH] {
        let mut told = Told {
            relay,
            switch,
            answers: Vec::new(),
        };
        story(&mut told).await;
        all.push(told.answers);
    }
    assert!(!all[0].is_empty());
    assert_eq!(all[0], all[1]);
}

/// What both switches were sent.
fn heard(devices: &Devices) -> usize {
    devices.heard().len() + devices.heard_over_https().len()
}

async fn relay_over(devices: &Devices, folder: &Path) -> TestRelay {
    TestRelay::start_in(folder, &switches_over(devices)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_requests_have_the_same_replies_through_both_doors_over_a_restart() {
    let mut stage = Stage::new(None, None);
    let devices = devices_on(&mut stage);
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_over(&devices, folder.path()).await;
    told(&relay, async |told| {
        let blue = json!({ "id": "blue", "vid": 10 });
        told.done("POST vlans", blue.clone(), 201).await;
        let empty = told.done("GET vlans/blue", Value::Null, 200).await;
        assert_eq!(empty["ports"], json!([]));
        told.done("POST vlans/blue/members", json!({ "port": "1/2" }), 201)
            .await;
        told.done("POST vlans/blue/members", json!({ "port": "1/3" }), 201)
            .await;
        let route = json!({ "prefix": "10.9.0.0/16", "next_hop": "192.0.2.1" });
        told.done("PUT static-routes/r1", route, 200).await;
        let entry = json!({ "action": "permit", "prefix": "10.0.0.0/8", "longest": 24 });
        told.done("PUT prefix-lists/from-peer/10", entry, 200).await;
        told.done(
            "PUT interface-descriptions/1%2F2",
            json!({ "text": "to rack 7" }),
            200,
        )
        .await;
        // The same again is the same: a create that names its object is answered as before, without a call.
        let before = heard(&devices);
        told.done("POST vlans", blue, 201).await;
        assert_eq!(heard(&devices), before);
    })
    .await;
    drop(relay);

    let relay = relay_over(&devices, folder.path()).await;
    told(&relay, async |told| {
        let read = told.done("GET vlans/blue", Value::Null, 200).await;
        assert_eq!(
            (&read["vid"], &read["ports"]),
            (&json!(10), &json!(["Eth1/2", "Eth1/3"]))
        );
        // VLANs 1 and 900 are the switch's own.
        let list = told.done("GET vlans", Value::Null, 200).await;
        assert_eq!(list, json!({ "vlans": [{ "id": "blue", "vid": 10 }] }));
        let entry = json!({ "action": "deny", "prefix": "10.0.0.0/8" });
        told.done("PUT prefix-lists/from-peer/10", entry, 200).await;
        told.done(
            "PUT interface-descriptions/1%2F2",
            json!({ "text": "to rack 8" }),
            200,
        )
        .await;
        let way = [
            "interface-descriptions/1%2F2",
            "prefix-lists/from-peer/10",
            "static-routes/r1",
            "vlans/blue/members/1%2F3",
            "vlans/blue/members/1%2F2",
            "vlans/blue",
        ];
        for object in way {
            told.done(&format!("DELETE {object}"), Value::Null, 204)
                .await;
        }
        let before = heard(&devices);
        for object in way {
            told.ask(&format!("DELETE {object}"), Value::Null, 404, "not_mapped")
                .await;
        }
        assert_eq!(heard(&devices), before, "what is not mapped asks no switch");
    })
    .await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_refusal_is_told_alike_and_a_part_as_a_part() {
    let mut stage = Stage::new(None, None);
    let devices = devices_on(&mut stage);
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_over(&devices, folder.path()).await;
    told(&relay, async |told| {
        told.done("POST vlans", json!({ "id": "blue", "vid": 10 }), 201)
            .await;
        let port = json!({ "port": "1/99" });
        told.ask("POST vlans/blue/members", port, 422, "invalid_value")
            .await;
        let text = json!({ "text": "to rack 7" });
        told.ask(
            "PUT interface-descriptions/1%2F99",
            text,
            422,
            "invalid_value",
        )
        .await;
        // The switch makes VLAN 20; another one has the name.
        let storage = json!({ "id": "storage", "vid": 20 });
        told.ask("POST vlans", storage.clone(), 502, "partly_applied")
            .await;
        told.ask("POST vlans", storage, 409, "outcome_unknown")
            .await;
    })
    .await;
    let over_https = devices.heard_over_https();
    assert_eq!(
        over_https[over_https.len() - 2..],
        ["vlan 20", "name storage"]
    );

    // An administrator removes the VLAN behind the relay's back.
    devices.enter("no vlan 10");
    told(&relay, async |told| {
        told.ask("GET vlans/blue", Value::Null, 404, "not_on_switch")
            .await;
        // The mode of the port is set, and the VLAN is not there to be added.
        let port = json!({ "port": "1/2" });
        told.ask("POST vlans/blue/members", port, 502, "partly_applied")
            .await;
        told.done("DELETE vlans/blue", Value::Null, 204).await;
    })
    .await;
    devices.enter("ip prefix-list from-peer seq 10 permit 10.0.0.0/8");
    told(&relay, async |told| {
        let entry = json!({ "action": "permit", "prefix": "10.0.0.0/8", "longest": 7 });
        told.ask("PUT prefix-lists/from-peer/10", entry, 422, "invalid_value")
            .await;
    })
    .await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_would_be_more_than_a_value_reaches_neither_door() {
    let mut stage = Stage::new(None, None);
    let devices = devices_on(&mut stage);
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_over(&devices, folder.path()).await;
    told(&relay, async |told| {
        for text in [
            "x\nreload",
            "x\rreload",
            "x;reload",
            "x | y",
            "x?",
            "x\ty",
            "x\" y \"",
            "x\\",
        ] {
            let body = json!({ "text": text });
            let said = told
                .ask(
                    "PUT interface-descriptions/1%2F2",
                    body,
                    422,
                    "unsafe_value",
                )
                .await;
            assert_eq!(said["side_effect"], "none");
        }
        for list in ["a%20b", "a%3Bb", "a%0Ab", "a%3Fb"] {
            let entry = json!({ "action": "permit", "prefix": "10.0.0.0/8" });
            let what = format!("PUT prefix-lists/{list}/10");
            told.ask(&what, entry, 422, "unsafe_value").await;
        }
    })
    .await;
    assert_eq!(heard(&devices), 0);
    assert_eq!(stage.calls(), 0, "no login either");
    stage.stop().await;
}

/// An ended session is told in JSON with HTTP 200, or by the way to the login page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_costs_a_login_and_one_more_send() {
    let mut stage = Stage::new(None, None);
    let devices = devices_on(&mut stage);
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_over(&devices, folder.path()).await;
    let vlans = async |id: &str, vid: u16| {
        let body = Some(json!({ "id": id, "vid": vid }));
        ask(&relay, "POST", "sw-2/vlans", body).await.0
    };
    assert_eq!((vlans("a", 11).await, devices.logins()), (201, (1, 1)));
    assert_eq!(
        stage.calls(),
        3,
        "the login, the page that it leads to, the call"
    );
    devices.end_sessions(false);
    assert_eq!((vlans("b", 12).await, devices.logins()), (201, (2, 1)));
    devices.end_sessions(true);
    assert_eq!((vlans("c", 13).await, devices.logins()), (201, (3, 1)));
    assert_eq!(stage.calls(), 3 + 2 * 4);
    let lines = devices.heard_over_https();
    let wanted = [
        "vlan 11", "name a", "vlan 12", "name b", "vlan 13", "name c",
    ];
    assert_eq!(lines, wanted, "each once");

    let deadline = Boottime::now() + std::time::Duration::from_secs(60);
    relay.relay.drain(deadline).await;
    assert_eq!(
        devices.logins(),
        (3, 0),
        "a relay that ends leaves no session behind"
    );
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_an_error_inside_of_200_and_shows_nowhere() {
    let mut stage = Stage::new(None, None);
    stage.set_secret(switches::WEB_PASSWORD, "another password");
    let options = switches::options(&mut stage);
    let devices = devices::start(&mut stage, options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_over(&devices, folder.path()).await;
    let (status, said) = ask(&relay, "GET", "sw-2/vlans", None).await;
    assert_eq!((status, &said["code"]), (502, &json!("backend_auth")));
    assert!(!said.to_string().contains(BACKEND_TOKEN), "{said}");
    assert_eq!(
        (devices.logins(), devices.heard_over_https().len()),
        ((0, 0), 0)
    );
    stage.stop().await;
}
