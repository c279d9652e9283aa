//! The shipped routes of switches, relayed to a real router: one CMP request is one entry into its configuration.

use serde_json::{Value, json};

use super::Router;
use crate::support::pack;
use crate::support::relay::TestRelay;

async fn ask(relay: &TestRelay, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    pack::ask(relay, method, &format!("sw-1/{path}"), body).await
}

/// The pack of switches over this router.
fn files(router: &Router) -> Vec<(String, String)> {
    let mut files = pack::shipped(|path| {
        let route =
            path.starts_with("routes.d/switch_") && !path.ends_with("switch_interfaces.yaml");
        let text = path.starts_with("templates/switch/") && path.ends_with(".cli.hbs");
        let piece = ["switch-", "onyx-"]
            .iter()
            .any(|name| path.starts_with(&format!("routes.d/shared/{name}")));
        route || text || piece || path.starts_with("routes.d/schemas/")
    });
    let password = router.dir.join("password");
    std::fs::write(&password, "pass-of-a-test\n").unwrap();
    files.push((
        "backends.d/sw-1.yaml".into(),
        format!(
            "name: sw-1\nkind: switch\nlabels: {{ os: frr }}\ndriver:\n  ssh:\n    host: 127.0.0.1\n    port: {}\n    \
             user: relay-vty\n    auth: [{{ password: {{ file: {} }} }}]\n    host_key: {}\n    profile: frr\n",
            router.port,
            password.display(),
            router.pin("ed25519"),
        ),
    ));
    // The examples of the routes are about both doors; nobody is behind this one.
    let other = concat!(env!("CARGO_MANIFEST_DIR"), "/backends.d/sw-2.yaml");
    let other = std::fs::read_to_string(other).unwrap();
    let other = other.replace("SW_2_PASSWORD", "BACKEND_TOKEN");
    files.push(("backends.d/sw-2.yaml".into(), other));
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_routes_work_a_real_router() {
    let Some(router) = Router::start() else {
        return;
    };
    let relay = TestRelay::start(&files(&router)).await;

    let route = json!({ "prefix": "10.1.0.0/16", "next_hop": "192.0.2.1" });
    let (status, reply) = ask(&relay, "PUT", "static-routes/r1", Some(route.clone())).await;
    assert_eq!((status, &reply["id"]), (200, &json!("r1")), "{reply}");
    // By the router's own log, one request is one entry into the configuration, its line, and the way back.
    let mut log = router.log();
    log.retain(|line| line != "> enable");
    assert_eq!(
        log,
        [
            "# configure terminal",
            "(config)# ip route 10.1.0.0 255.255.0.0 192.0.2.1",
            "(config)# end",
        ]
    );

    // What the router refuses is told in words that the routes chose, and nothing was done.
    let wrong = json!({ "prefix": "10.2.0.0/16", "next_hop": "192.0.2.1", });
    let entry = json!({ "action": "permit", "prefix": "10.0.0.0/24", "longest": 8 });
    let (status, reply) = ask(&relay, "PUT", "prefix-lists/from-peer/10", Some(entry)).await;
    assert_eq!(status, 422, "{reply}");
    assert_eq!(reply["side_effect"], "none");
    let entry = json!({ "action": "permit", "prefix": "10.0.0.0/8", "longest": 24 });
    let (status, reply) = ask(&relay, "PUT", "prefix-lists/from-peer/10", Some(entry)).await;
    assert_eq!(status, 200, "{reply}");

    // No value adds a line or a word: it never reaches the router.
    let before = router.log().len();
    for hop in ["192.0.2.1 5", "192.0.2.1\nexit", "?"] {
        let mut hostile = wrong.clone();
        hostile["next_hop"] = hop.into();
        let (status, reply) = ask(&relay, "PUT", "static-routes/r2", Some(hostile)).await;
        assert_eq!(status, 422, "{hop:?}: {reply}");
    }
    let text = json!({ "text": "a\nno ip route 10.1.0.0/16 192.0.2.1" });
    let (status, reply) = ask(&relay, "PUT", "interface-descriptions/lo", Some(text)).await;
    assert_eq!(
        (status, &reply["code"]),
        (422, &json!("unsafe_value")),
        "{reply}"
    );
    assert_eq!(router.log().len(), before);

    let text = json!({ "text": "to rack 7; unit 3" });
    let (status, reply) = ask(&relay, "PUT", "interface-descriptions/lo", Some(text)).await;
    assert_eq!(status, 200, "{reply}");
    let (status, reply) = ask(&relay, "DELETE", "interface-descriptions/lo", None).await;
    assert_eq!(status, 204, "{reply}");

    assert_eq!(ask(&relay, "DELETE", "static-routes/r1", None).await.0, 204);
    let log = router.log();
    let removed = "(config)# no ip route 10.1.0.0 255.255.0.0 192.0.2.1";
    assert!(log.iter().any(|line| line == removed), "{log:?}");
    // Its mapping is gone with it: the relay knows without asking.
    assert_eq!(ask(&relay, "DELETE", "static-routes/r1", None).await.0, 404);
}
