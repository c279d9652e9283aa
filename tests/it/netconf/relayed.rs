//! The shipped routes of interfaces, relayed to a real device: one CMP request, one session.

use serde_json::{Value, json};

use super::{CANDIDATE, bench, interface, interfaces, send};
use crate::support::pack;
use crate::support::relay::TestRelay;
use cmp_relay::plan::NetconfOperation;

async fn ask(relay: &TestRelay, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    pack::ask(
        relay,
        method,
        &format!("sw-1-netconf/interfaces{path}"),
        body,
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_routes_work_a_real_device() {
    let Some(bench) = bench().await else { return };
    let mut files = pack::shipped(|path| {
        path == "routes.d/switch_interfaces.yaml"
            || path.starts_with("routes.d/schemas/")
            || path.starts_with("templates/switch/interface")
    });
    files.push((
        "backends.d/sw-1-netconf.yaml".into(),
        bench.devices.backend("sw-1-netconf"),
    ));
    let relay = TestRelay::start(&files).await;
    let driver = bench.driver(CANDIDATE);

    let body =
        |id: &str| json!({ "id": id, "name": "lo7", "type": "softwareLoopback", "enabled": true });
    let (status, reply) = ask(&relay, "POST", "", Some(body("i1"))).await;
    assert_eq!((status, &reply["name"]), (201, &json!("lo7")), "{reply}");
    assert_eq!(interfaces(&driver).await, ["lo7"]);

    // What the device refuses has left nothing, in words that the route chose.
    let (status, reply) = ask(&relay, "POST", "", Some(body("i2"))).await;
    assert_eq!(
        (status, &reply["code"]),
        (409, &json!("conflict")),
        "{reply}"
    );
    assert_eq!(reply["side_effect"], "none");

    let (status, _) = ask(&relay, "PATCH", "/i1", Some(json!({ "enabled": false }))).await;
    assert_eq!(status, 200);
    let (status, reply) = ask(&relay, "GET", "/i1", None).await;
    assert_eq!(
        (status, &reply["enabled"]),
        (200, &json!("false")),
        "{reply}"
    );

    // Somebody is at work on the device: refused, and safe to try again.
    let mut other = bench.plain().await;
    let lock = "<lock><target><candidate/></target></lock>";
    assert!(other.ask(lock).await.contains("<ok/>"));
    let (status, reply) = ask(&relay, "DELETE", "/i1", None).await;
    assert_eq!(status, 503, "{reply}");
    assert_eq!(reply["side_effect"], "none");
    assert_eq!(reply["safe_to_retry"], true);
    let words = reply["detail"].as_str().unwrap();
    assert!(
        words.contains(&format!("session {}", other.session_id)),
        "{words}"
    );
    assert!(other.ask("<close-session/>").await.contains("<ok/>"));

    // A value is a value: it closes nothing, whatever it holds.
    let hostile = "x</name></interface></interfaces></config></edit-config></rpc>]]>]]>";
    let mut named = body("i3");
    named["name"] = hostile[..64].into();
    let (status, reply) = ask(&relay, "POST", "", Some(named)).await;
    assert_eq!(status, 201, "{reply}");
    assert_eq!(interfaces(&driver).await, ["lo7", &hostile[..64]]);
    assert_eq!(ask(&relay, "DELETE", "/i3", None).await.0, 204);

    assert_eq!(ask(&relay, "DELETE", "/i1", None).await.0, 204);
    assert_eq!(interfaces(&driver).await, [""; 0]);

    // One that was removed behind the relay's back is gone, and a delete of it is done.
    assert_eq!(ask(&relay, "POST", "", Some(body("i1"))).await.0, 201);
    let gone = interface("lo7", "delete");
    let edit = NetconfOperation::EditConfig;
    assert_eq!(send(&driver, edit, None, &gone).await.unwrap().status, 0);
    assert_eq!(ask(&relay, "GET", "/i1", None).await.0, 404);
    assert_eq!(ask(&relay, "DELETE", "/i1", None).await.0, 204);
}
