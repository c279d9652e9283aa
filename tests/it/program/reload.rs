//! SIGHUP and `POST /relay/v1/reload` (SEMANTICS 32).

use std::sync::Arc;

use serde_json::{Value, json};

use super::{thing, with_login};
use crate::support::program::{Folder, Keeping, Served, Told};

const ROUTES: &str = "routes.d/thing.yaml";

impl Served {
    async fn reload(&self, body: Value) -> Told {
        self.admin("POST", "/relay/v1/reload", body).await
    }

    /// What `status` says of the last reload.
    async fn last(&self) -> Value {
        let status = self.admin("GET", "/relay/v1/status", Value::Null).await;
        status.body["last_reload"].clone()
    }

    async fn metric(&self, sample: &str) -> bool {
        let page = self.admin("GET", "/metrics", Value::Null).await.body;
        page.as_str().unwrap().lines().any(|line| line == sample)
    }

    async fn makes(&self, id: &str) {
        let made = self.ask("POST", "/v1/things", "", thing(id, "a")).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
}

/// A second resource and a second backend, so that either of the first may go.
fn spare(folder: &Folder, url: &str) {
    let routes = std::fs::read_to_string(folder.path().join(ROUTES)).unwrap();
    let spare = routes
        .replace("thing", "spare")
        .replace("instance: one", "instance: two");
    folder.write("routes.d/spare.yaml", &spare);
    let backend = std::fs::read_to_string(folder.path().join("backends.d/one.yaml")).unwrap();
    let backend = backend.replace("name: one", "name: two");
    folder.write("backends.d/two.yaml", &backend);
    folder.edit("backends.d/two.yaml", url, "http://127.0.0.1:9");
}

fn remove(folder: &Folder, name: &str) {
    std::fs::remove_file(folder.path().join(name)).unwrap();
}

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

#[tokio::test]
async fn a_request_in_flight_ends_on_its_own_plan_though_its_route_is_gone() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    folder.edit("backends.d/one.yaml", "timeout: 1s", "timeout: 20s");
    let served = Arc::new(Served::start(&folder));
    let slow = {
        let served = served.clone();
        let body = thing("t1", "slow");
        tokio::spawn(async move { served.ask("POST", "/v1/things", "k1", body).await })
    };
    backend.hears("POST /api/things", 1).await;
    let routes = std::fs::read_to_string(folder.path().join(ROUTES)).unwrap();
    let (head, rest) = routes.split_once("  create_thing:").unwrap();
    let (_, tail) = rest.split_once("  create_made_thing:").unwrap();
    folder.write(ROUTES, &format!("{head}  create_made_thing:{tail}"));
    let report = served.reload(json!({})).await;
    assert_eq!(
        report.body["routes"]["removed"],
        json!(["create_thing"]),
        "{report:?}"
    );
    let gone = served.ask("POST", "/v1/things", "", thing("t2", "a")).await;
    assert_eq!(gone.status, 405, "{gone:?}");
    backend.release();
    let ended = slow.await.unwrap();
    assert_eq!(ended.status, 201, "{ended:?}");
    assert_eq!(
        ended.body["id"], "t1",
        "by the reply of the plan that it began with"
    );
    assert_eq!(served.get("/v1/things/t1").await.status, 200);
    // What it did is known by its key, though its route is gone.
    let again = served
        .ask("POST", "/v1/made-things", "k1", thing("t1", "slow"))
        .await;
    assert_eq!(again.code(), "idempotency_key_reused", "{again:?}");
}

#[tokio::test]
async fn what_would_strand_mappings_is_refused_by_every_door_and_done_by_force() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    spare(&folder, &backend.url());
    let served = Served::start(&folder);
    // Nothing lies on it: it may go.
    remove(&folder, "backends.d/two.yaml");
    remove(&folder, "routes.d/spare.yaml");
    let report = served.reload(json!({})).await;
    assert_eq!(
        report.body["backends"]["removed"],
        json!(["two"]),
        "{report:?}"
    );
    spare(&folder, &backend.url());
    let report = served.reload(json!({})).await;
    assert_eq!(report.body["routes"]["added"].as_array().unwrap().len(), 7);
    for id in ["t1", "t2", "t3", "t4", "t5", "t6"] {
        served.makes(id).await;
    }

    remove(&folder, "backends.d/one.yaml");
    folder.edit(ROUTES, "instance: one", "instance: two");
    let refused = served.reload(Value::Null).await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "refused"),
        "{refused:?}"
    );
    let expected = json!([{
        "change": "backend_removed",
        "words": "backend one is removed",
        "resource": "thing",
        "backend": "one",
        "mappings": 6,
        "unsettled": 0,
        "first": ["t1", "t2", "t3", "t4", "t5"],
    }]);
    assert_eq!(refused.body["orphans"], expected);
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("`cmp-relay reload --force`"), "{detail}");
    served.signal("HUP");
    served.says("SIGHUP").await;
    served
        .says("the old configuration goes on: bring the routes")
        .await;
    served
        .says("6 mappings of thing on one (t1, t2, t3, t4, t5, ...)")
        .await;
    let last = served.last().await;
    assert_eq!(
        (&last["result"], &last["by"]),
        (&json!("refused"), &json!("SIGHUP"))
    );
    assert_eq!(last["orphans"], expected);
    assert!(
        served
            .metric("cmp_relay_config_last_reload_successful 0")
            .await
    );
    let count = r#"cmp_relay_config_reloads_total{result="refused"} 2"#;
    assert!(served.metric(count).await);
    assert_eq!(
        served.get("/v1/things/t1").await.status,
        200,
        "nothing has changed"
    );

    let forced = served.reload(json!({ "force": true })).await;
    assert_eq!(forced.status, 200, "{forced:?}");
    assert_eq!(forced.body["orphans"], expected);
    assert_eq!(served.get("/v1/things/t1").await.code(), "no_backend");
    assert!(
        served
            .metric("cmp_relay_config_last_reload_successful 1")
            .await
    );
    let digest = forced.body["digest"].as_str().unwrap();
    assert!(
        served
            .metric(&format!("cmp_relay_config_info{{digest=\"{digest}\"}} 1"))
            .await
    );
    let wrong = served
        .admin("POST", "/relay/v1/reload?force=perhaps", Value::Null)
        .await;
    assert_eq!(wrong.code(), "malformed_request");
}

#[tokio::test]
async fn a_resource_that_goes_or_changes_its_nature_is_refused_while_it_has_mappings() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    spare(&folder, &backend.url());
    let served = Served::start(&folder);
    served.makes("t1").await;
    let routes = std::fs::read_to_string(folder.path().join(ROUTES)).unwrap();
    let refused = async |change: &str| {
        let told = served.reload(json!({})).await;
        assert_eq!(told.status, 409, "{change}: {told:?}");
        assert_eq!(told.body["orphans"][0]["change"], change);
        assert_eq!(told.body["orphans"][0]["mappings"], 1);
    };
    remove(&folder, ROUTES);
    refused("resource_removed").await;
    let (head, _) = routes.split_once("  get_thing:").unwrap();
    folder.write(ROUTES, head);
    refused("unreached").await;
    folder.write(ROUTES, &routes.replace("kind: box", "kind: crate"));
    let of_crates = backend_of_kind(&folder, "crate");
    folder.write("backends.d/three.yaml", &of_crates);
    folder.edit(ROUTES, "instance: one", "instance: three");
    refused("resource_kind").await;
    folder.write(ROUTES, &routes);
    let moved = folder.path().join("backends.d/one.yaml");
    let url = std::fs::read_to_string(&moved).unwrap();
    std::fs::write(&moved, url.replace(&backend.url(), "http://127.0.0.1:9")).unwrap();
    let told = served.reload(json!({})).await;
    assert_eq!(
        told.status, 200,
        "a device that moves is the same: {told:?}"
    );
    assert_eq!(told.body["moved"][0]["mappings"], 1);
    assert_eq!(told.body["backends"]["changed"], json!(["one"]));
}

fn backend_of_kind(folder: &Folder, kind: &str) -> String {
    let text = std::fs::read_to_string(folder.path().join("backends.d/two.yaml")).unwrap();
    text.replace("name: two", "name: three")
        .replace("kind: box", &format!("kind: {kind}"))
}

/// A backend that an unsettled operation names is needed for its retry.
#[tokio::test]
async fn an_operation_in_doubt_holds_its_backend() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    spare(&folder, &backend.url());
    let served = Served::start(&folder);
    let mute = served
        .ask("POST", "/v1/things", "k1", thing("t1", "mute"))
        .await;
    assert_eq!(mute.code(), "outcome_unknown", "{mute:?}");
    remove(&folder, "backends.d/one.yaml");
    folder.edit(ROUTES, "instance: one", "instance: two");
    let refused = served.reload(json!({})).await;
    let orphans = &refused.body["orphans"][0];
    assert_eq!(
        (&orphans["mappings"], &orphans["unsettled"]),
        (&json!(0), &json!(1))
    );
    assert_eq!(orphans["first"], json!(["t1"]));
}

#[tokio::test]
async fn a_folder_without_routes_is_taken_for_an_accident() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    let served = Served::start(&folder);
    remove(&folder, ROUTES);
    let refused = served.reload(json!({})).await;
    assert_eq!((refused.status, refused.code()), (409, "refused"));
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("is it mounted?"), "{detail}");
    assert_eq!(served.last().await["result"], "failed");
    served.makes("t1").await;
    assert_eq!(served.reload(json!({ "force": true })).await.status, 200);
}

#[tokio::test]
async fn a_watched_folder_is_reloaded_by_itself_and_survives_torn_files() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    let served = Served::start_with(&folder, &["--watch=30ms"]);
    served.says("watching the configuration").await;
    assert_eq!(served.last().await["result"], "start");
    let whole = std::fs::read_to_string(folder.path().join(ROUTES)).unwrap();

    folder.edit(ROUTES, "POST /v1/things\n", "POST /v2/things\n");
    served.says("configuration reloaded").await;
    let made = served.ask("POST", "/v2/things", "", thing("t1", "a")).await;
    assert_eq!(made.status, 201, "{made:?}");
    let digest = served.last().await["digest"].clone();

    // Half of a file, as a copy that was cut leaves it.
    let torn = whole.find("$where").unwrap();
    folder.write(ROUTES, &whole[..torn]);
    served
        .says("the configuration does not compile; the old one goes on")
        .await;
    let last = served.last().await;
    assert_eq!(
        (&last["result"], &last["by"]),
        (&json!("rejected"), &json!("watch"))
    );
    assert_eq!(last["digest"], digest, "what serves is what served");
    let detail = last["detail"].as_str().unwrap();
    assert!(detail.starts_with("routes.d/thing.yaml:"), "{detail}");
    let said = last["diagnostics"].as_array().unwrap();
    assert!(said.len() as u64 >= last["errors"].as_u64().unwrap());
    assert_eq!(said[0]["severity"], "error");
    let console = served.admin("GET", "/console", Value::Null).await.body;
    assert!(console.as_str().unwrap().contains("routes.d/thing.yaml:"));
    assert!(
        served
            .metric("cmp_relay_config_last_reload_successful 0")
            .await
    );

    // The rest of it comes: what serves then is new.
    folder.write(ROUTES, &whole);
    while served.last().await["result"] != "reloaded" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let made = served.ask("POST", "/v1/things", "", thing("t2", "a")).await;
    assert_eq!(made.status, 201, "{made:?}");

    // Torn, and put back as it was: nothing to reload, and all is well again.
    folder.write(ROUTES, &whole[..torn]);
    while served.last().await["result"] != "rejected" {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    folder.write(ROUTES, &whole);
    served.says("the configuration is again what serves").await;
    assert_eq!(served.last().await["result"], "unchanged");
    let reloads = served.log().matches("configuration reloaded").count();
    assert_eq!(reloads, 2, "{}", served.log());

    // The watch is no operator: it strands nothing.
    spare(&folder, &backend.url());
    remove(&folder, ROUTES);
    served
        .says("the reload would leave mappings without a route")
        .await;
    assert_eq!(served.get("/v1/things/t2").await.status, 200);
}
