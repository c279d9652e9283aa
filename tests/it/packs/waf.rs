//! The WAF pack over a simulated FortiWeb and a simulated Avi Controller: what a CMP sends to one it sends to the
//! other, and is told the same.

use std::path::Path;

use cmp_relay::clock::Boottime;
use cmp_relay::demo::packs::waf;
use cmp_relay::demo::simulate::Stage;
use cmp_relay::demo::simulate::waf::{self as simulated, VIRTUAL_SERVER, Wafs};
use serde_json::{Value, json};

use crate::support::pack::{asked, over};
use crate::support::relay::{BACKEND_TOKEN, TestRelay};

/// Both sites: one has a FortiWeb, the other an Avi Controller.
const SITES: [&str; 2] = ["tpe", "khh"];

fn wafs(stage: &mut Stage, password: &str) -> Wafs {
    let options = simulated::Options {
        fortiweb_password: password.to_owned(),
        avi_password: password.to_owned(),
    };
    simulated::start(stage, options).unwrap()
}

/// The relay over both, in a folder that outlives it.
async fn relay_over(wafs: &Wafs, folder: &Path) -> TestRelay {
    TestRelay::start_in(folder, &over(&[&waf::PACK], &waf::at(wafs))).await
}

/// What was asked at one site, and what was answered there, without the site's name.
struct Told<'r> {
    relay: &'r TestRelay,
    site: &'static str,
    answers: Vec<(String, u16, Value)>,
}

impl Told<'_> {
    /// Asks in the words of any site; `status` and, of a problem, its code are what is expected.
    async fn ask(&mut self, ask: &str, body: Value, status: u16, code: &str) -> Value {
        let here = |text: &str| text.replace("SITE", self.site);
        let (method, path) = ask.split_once(' ').unwrap();
        let body = (!body.is_null()).then(|| here(&body.to_string()).parse().unwrap());
        let (got, said) = asked(self.relay, method, &here(path), body).await;
        assert_eq!(got, status, "{ask} at {}: {said}", self.site);
        assert_eq!(said["code"].as_str().unwrap_or(""), code, "{ask}: {said}");
        let there = said.to_string().replace(self.site, "SITE");
        // A problem's `detail` repeats the vendor's words; its code is what must be the same.
        let kept = match code {
            "" => there.parse().unwrap(),
            code => json!(code),
        };
        self.answers.push((ask.to_owned(), got, kept));
        said
    }

    async fn done(&mut self, ask: &str, body: Value, status: u16) -> Value {
        self.ask(ask, body, status, "").await
    }

    /// A pool, an exception, a policy and a server.
    async fn create(&mut self) {
        let pool = json!({ "id": "p-SITE", "site": "SITE", "name": "shop", "algorithm": "least_connections" });
        self.done("POST /v1/waf-server-pools", pool, 201).await;
        let member = json!({ "address": "10.0.0.10", "port": 8080 });
        self.done("POST /v1/waf-server-pools/p-SITE/members", member, 201)
            .await;
        self.done(
            "POST /v1/waf-exceptions",
            json!({ "id": "e-SITE", "site": "SITE" }),
            201,
        )
        .await;
        let address = json!({ "address": "192.0.2.7" });
        self.done("POST /v1/waf-exceptions/e-SITE/addresses", address, 201)
            .await;
        let policy = json!({ "id": "w-SITE", "site": "SITE", "name": "shop", "mode": "block", "exception_id": "e-SITE" });
        self.done("POST /v1/waf-policies", policy, 201).await;
        self.done("POST /v1/waf-servers", server("s-SITE", "shop"), 201)
            .await;
    }
}

fn server(id: &str, name: &str) -> Value {
    json!({ "id": id, "name": name, "virtual_server": VIRTUAL_SERVER, "pool_id": "p-SITE", "policy_id": "w-SITE" })
}

/// Runs one story at each site, and holds the answers against each other.
async fn told<F>(relay: &TestRelay, story: F)
where
    F: AsyncFn(&mut Told<'_>),
{
    let mut all = Vec::new();
    for site in SITES {
        let answers = Vec::new();
        let mut told = Told {
            relay,
            site,
            answers,
        };
        story(&mut told).await;
        all.push(told.answers);
    }
    assert!(!all[0].is_empty());
    assert_eq!(all[0], all[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_requests_have_the_same_replies_from_both_vendors_over_a_restart() {
    let mut stage = Stage::new(None, None);
    let wafs = wafs(&mut stage, BACKEND_TOKEN);
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_over(&wafs, folder.path()).await;
    told(&relay, async |told| {
        told.create().await;
        let dangling = json!({ "id": "x-SITE", "name": "x", "virtual_server": "vs-9", "pool_id": "p-SITE", "policy_id": "w-SITE" });
        told.ask("POST /v1/waf-servers", dangling, 409, "reference_missing").await;
        let again = json!({ "id": "q-SITE", "site": "SITE", "name": "shop", "algorithm": "round_robin" });
        told.ask("POST /v1/waf-server-pools", again, 409, "conflict").await;
        told.ask("POST /v1/waf-servers", server("t-SITE", "shop"), 409, "conflict").await;
        // What is its own name is not there twice: the same again is the same.
        let calls = stage.calls();
        let member = json!({ "address": "10.0.0.10", "port": 8080 });
        told.done("POST /v1/waf-server-pools/p-SITE/members", member, 201)
            .await;
        let address = json!({ "address": "192.0.2.7" });
        told.done("POST /v1/waf-exceptions/e-SITE/addresses", address, 201)
            .await;
        assert_eq!(stage.calls(), calls);
    })
    .await;
    drop(relay);

    let relay = relay_over(&wafs, folder.path()).await;
    told(&relay, async |told| {
        let read = told
            .done("GET /v1/waf-servers/s-SITE", Value::Null, 200)
            .await;
        assert_eq!(read["pool_id"], format!("p-{}", told.site));
        assert_eq!(read["policy_id"], format!("w-{}", told.site));
        let list = told
            .done("GET /v1/waf-servers?site=SITE", Value::Null, 200)
            .await;
        assert_eq!(
            list["waf_servers"].as_array().map(Vec::len),
            Some(1),
            "{list}"
        );
        let list = told
            .done("GET /v1/waf-server-pools?site=SITE", Value::Null, 200)
            .await;
        assert_eq!(
            list["waf_server_pools"][0]["algorithm"],
            "least_connections"
        );
        let read = told
            .done("GET /v1/waf-exceptions/e-SITE", Value::Null, 200)
            .await;
        assert_eq!(read["addresses"], json!(["192.0.2.7"]));
        told.done(
            "PUT /v1/waf-policies/w-SITE",
            json!({ "mode": "detect" }),
            200,
        )
        .await;
        let read = told
            .done("GET /v1/waf-policies/w-SITE", Value::Null, 200)
            .await;
        assert_eq!(read["mode"], "detect");
        assert_eq!(read["exception_id"], format!("e-{}", told.site));
        told.done("GET /v1/waf-server-pools/p-SITE", Value::Null, 200)
            .await;

        for used in [
            "waf-server-pools/p-SITE",
            "waf-policies/w-SITE",
            "waf-exceptions/e-SITE",
        ] {
            told.ask(&format!("DELETE /v1/{used}"), Value::Null, 409, "conflict")
                .await;
        }
        let way = [
            "waf-servers/s-SITE",
            "waf-policies/w-SITE",
            "waf-exceptions/e-SITE/addresses/192.0.2.7",
            "waf-exceptions/e-SITE",
            "waf-server-pools/p-SITE/members/10.0.0.10/8080",
            "waf-server-pools/p-SITE",
        ];
        for object in way {
            told.done(&format!("DELETE /v1/{object}"), Value::Null, 204)
                .await;
        }
        let calls = stage.calls();
        for object in way {
            told.ask(
                &format!("DELETE /v1/{object}"),
                Value::Null,
                404,
                "not_mapped",
            )
            .await;
        }
        assert_eq!(stage.calls(), calls, "what is not mapped asks no backend");
    })
    .await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_behind_our_back_is_told_alike() {
    let mut stage = Stage::new(None, None);
    let wafs = wafs(&mut stage, BACKEND_TOKEN);
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_over(&wafs, folder.path()).await;
    told(&relay, async |told| told.create().await).await;
    wafs.lose("shop");
    told(&relay, async |told| {
        for (object, kept) in [
            ("waf-servers/s-SITE", false),
            ("waf-policies/w-SITE", false),
            ("waf-server-pools/p-SITE", false),
            ("waf-exceptions/e-SITE", true),
        ] {
            let (status, code) = if kept { (200, "") } else { (404, "not_on_waf") };
            told.ask(&format!("GET /v1/{object}"), Value::Null, status, code)
                .await;
        }
        told.ask(
            "POST /v1/waf-servers",
            server("t-SITE", "other"),
            409,
            "reference_missing",
        )
        .await;
        let member = json!({ "address": "10.0.0.11", "port": 80 });
        told.ask(
            "POST /v1/waf-server-pools/p-SITE/members",
            member,
            409,
            "reference_missing",
        )
        .await;
        // Who deletes has what was wanted.
        told.done(
            "DELETE /v1/waf-server-pools/p-SITE/members/10.0.0.10/8080",
            Value::Null,
            204,
        )
        .await;
        told.done("DELETE /v1/waf-server-pools/p-SITE", Value::Null, 204)
            .await;
    })
    .await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_ended_costs_a_login_and_the_cmp_does_not_see_it() {
    let mut stage = Stage::new(None, None);
    let wafs = wafs(&mut stage, BACKEND_TOKEN);
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_over(&wafs, folder.path()).await;
    let pool =
        |id: &str| json!({ "id": id, "site": "khh", "name": id, "algorithm": "round_robin" });
    let (status, _) = asked(&relay, "POST", "/v1/waf-server-pools", Some(pool("p1"))).await;
    assert_eq!((status, wafs.logins()), (201, 1));
    wafs.expire_sessions();
    // A write: the new token of the new session goes with it.
    let (status, said) = asked(&relay, "POST", "/v1/waf-server-pools", Some(pool("p2"))).await;
    assert_eq!((status, wafs.logins()), (201, 2), "{said}");
    let (status, _) = asked(&relay, "GET", "/v1/waf-server-pools/p2", None).await;
    assert_eq!((status, wafs.logins(), wafs.sessions()), (200, 2, 1));
    stage.stop().await;
}

/// The account is allowed three sessions: a relay that did not log out would be shut out at its fourth start.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_ends_leaves_no_session_behind() {
    let mut stage = Stage::new(None, None);
    let wafs = wafs(&mut stage, BACKEND_TOKEN);
    let folder = tempfile::tempdir().unwrap();
    for start in 1..=5 {
        let relay = relay_over(&wafs, folder.path()).await;
        let (status, said) = asked(&relay, "GET", "/v1/waf-servers?site=khh", None).await;
        assert_eq!((status, wafs.logins()), (200, start), "{said}");
        assert_eq!(wafs.sessions(), 1);
        let deadline = Boottime::now() + std::time::Duration::from_secs(60);
        relay.relay.drain(deadline).await;
        assert_eq!(wafs.sessions(), 0);
    }
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_told_as_that_and_shows_nowhere() {
    let mut stage = Stage::new(None, None);
    let wafs = wafs(&mut stage, "another password");
    let folder = tempfile::tempdir().unwrap();
    let relay = relay_over(&wafs, folder.path()).await;
    told(&relay, async |told| {
        let said = told
            .ask(
                "GET /v1/waf-servers?site=SITE",
                Value::Null,
                502,
                "backend_auth",
            )
            .await;
        assert!(!said.to_string().contains(BACKEND_TOKEN), "{said}");
    })
    .await;
    stage.stop().await;
}
