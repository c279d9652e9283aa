//! SIGHUP and `POST /relay/v1/reload` (SEMANTICS 32).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{thing, with_login};
use crate::support::program::{Folder, Keeping, Served};

const ROUTES: &str = "routes.d/thing.yaml";

#[tokio::test]
async fn a_reload_serves_what_is_new_and_keeps_logins_and_what_is_in_flight() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    with_login(&folder, "20s");
    let served = Arc::new(Served::start(&folder));
    let made = served
        .ask("POST", "/v1/things", "k0", thing("t0", "a"))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let slow = {
        let served = served.clone();
        tokio::spawn(async move {
            served
                .ask("POST", "/v1/things", "k1", thing("t1", "slow"))
                .await
        })
    };
    backend.hears("POST /api/things", 2).await;

    folder.edit(ROUTES, "POST /v1/things\n", "POST /v2/things\n");
    served.signal("HUP");
    served.says("configuration reloaded").await;
    let old = served
        .ask("POST", "/v1/things", "k2", thing("t2", "a"))
        .await;
    // Other methods of the path are still routes.
    assert_eq!(
        (old.status, old.code()),
        (405, "method_not_allowed"),
        "{old:?}"
    );
    assert!(old.has("allow: GET, HEAD"), "{old:?}");
    assert_eq!(old.body["side_effect"], "none");
    assert_eq!(old.body["safe_to_retry"], false);
    let new = served
        .ask("POST", "/v2/things", "k2", thing("t2", "a"))
        .await;
    assert_eq!(new.status, 201, "{new:?}");
    backend.release();
    assert_eq!(slow.await.unwrap().status, 201, "it ends on its own plan");

    // The other door, with the listener's own word for what changed.
    folder.edit(ROUTES, "POST /v2/things\n", "POST /v3/new/things\n");
    folder.edit(ROUTES, "  create_thing:", "  make_thing:");
    let report = served.admin("POST", "/relay/v1/reload", json!({})).await;
    assert_eq!(report.status, 200, "{report:?}");
    assert_eq!(report.body["routes"]["added"], json!(["make_thing"]));
    assert_eq!(report.body["routes"]["removed"], json!(["create_thing"]));
    let gone = served
        .ask("POST", "/v2/things", "k3", thing("t3", "a"))
        .await;
    assert_eq!(
        (gone.status, gone.code()),
        (404, "route_not_found"),
        "{gone:?}"
    );
    assert_eq!(gone.body["side_effect"], "none");
    assert_eq!(gone.body["safe_to_retry"], false);
    let state = backend.state();
    assert_eq!(state.count("POST /login"), 1, "{:?}", state.heard);
    assert_eq!(state.count("POST /logout"), 0, "{:?}", state.heard);
}

#[tokio::test]
async fn a_configuration_that_does_not_compile_changes_nothing_and_is_explained() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    let served = Served::start(&folder);
    let digest = served
        .admin("GET", "/relay/v1/status", Value::Null)
        .await
        .body["plan"]
        .clone();
    folder.edit(
        ROUTES,
        "name: \"{{ body.name }}\"",
        "name: \"{{ body.nmae }}\"",
    );
    folder.edit(ROUTES, "GET /v1/things/{id}", "GET /relay/v1/things/{id}");

    folder.edit(ROUTES, "PUT /v1/things/{id}", "PUT /docs/{id}");
    folder.edit(ROUTES, "DELETE /v1/things/{id}", "DELETE /openapi.json");

    let rejected = served.admin("POST", "/relay/v1/reload", json!({})).await;
    assert_eq!(
        (rejected.status, rejected.code()),
        (422, "configuration_rejected")
    );
    let text = rejected.body["text"].as_str().unwrap();
    assert!(text.contains("did you mean `body.name`?"), "{text}");
    for own in ["/relay", "/docs", "/openapi.json"] {
        let words = format!("`{own}` is the relay's own");
        assert!(text.contains(&words), "{own}: {text}");
    }
    assert!(rejected.body["diagnostics"].as_array().unwrap().len() > 1);
    served.signal("HUP");
    served.says("the old one goes on").await;
    served.says("did you mean `body.name`?").await;

    let status = served
        .admin("GET", "/relay/v1/status", Value::Null)
        .await
        .body;
    assert_eq!(status["plan"], digest);
    let made = served
        .ask("POST", "/v1/things", "k1", thing("t1", "a"))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
}

/// What a reload takes away is logged out of once its last call has ended, and holds nobody up.
#[tokio::test]
async fn a_backend_that_goes_is_closed_after_its_last_call() {
    let (old, new) = (Keeping::start(0).await, Keeping::start(0).await);
    new.count_from(100);
    let folder = Folder::new(&old.url());
    with_login(&folder, "20s");
    let served = Arc::new(Served::start(&folder));
    let slow = {
        let served = served.clone();
        tokio::spawn(async move {
            served
                .ask("POST", "/v1/things", "k1", thing("t1", "slow"))
                .await
        })
    };
    old.hears("POST /api/things", 1).await;
    folder.edit("backends.d/one.yaml", &old.url(), &new.url());
    let report = served.admin("POST", "/relay/v1/reload", json!({})).await;
    assert_eq!(report.status, 200, "{report:?}");
    let made = served
        .ask("POST", "/v1/things", "k2", thing("t2", "a"))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(new.state().made["cmp:t2"], 1);
    assert_eq!(old.state().count("POST /logout"), 0);
    old.release();
    assert_eq!(slow.await.unwrap().status, 201);
    old.hears("POST /logout", 1).await;
    assert_eq!(new.state().count("POST /logout"), 0);
}
