//! The admin listener: who may, from where, in which form; what it shows and changes.

use cmp_relay::store::{HostKeyRow, Write};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

use super::client::{Answer, Connection, once};
use super::serving::{clients, files, whole};
use crate::support::relay::compile;

/// A request to the admin listener, as a client of ours would make it.
async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let token = token.map_or(String::new(), |token| {
        format!("authorization: Bearer {token}-token\r\n")
    });
    let body = body.map_or(String::new(), |body| body.to_string());
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         {token}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    once(address, &request).await
}

#[tokio::test]
async fn probes_and_metrics_need_no_token_and_all_else_does() {
    let whole = whole(&clients()).await;
    for open in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(
            ask(whole.admin, "GET", open, None, None).await.status,
            200,
            "{open}"
        );
    }
    for closed in [
        "/console",
        "/relay/v1/status",
        "/relay/v1/nothing",
        "/nothing",
    ] {
        let answer = ask(whole.admin, "GET", closed, None, None).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (401, "unauthenticated"),
            "{closed}"
        );
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_405_with_those_that_it_does() {
    let whole = whole("").await;
    for (path, takes) in [
        ("/relay/v1/mappings", "GET,HEAD,POST"),
        ("/relay/v1/mappings/thing/t1", "GET,HEAD,DELETE"),
        ("/relay/v1/host-keys", "GET,HEAD"),
        ("/relay/v1/host-keys/sw-1", "DELETE"),
        ("/relay/v1/reload", "POST"),
        ("/relay/v1/status", "GET,HEAD"),
    ] {
        let body = Some(json!({}));
        let answer = ask(whole.admin, "PATCH", path, None, body).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (405, "method_not_allowed"),
            "{path}"
        );
        assert_eq!(answer.header("allow"), Some(takes), "{path}");
    }
}

#[tokio::test]
async fn readers_look_and_operators_change() {
    let whole = whole(&clients()).await;
    let status = |token| ask(whole.admin, "GET", "/relay/v1/status", Some(token), None);
    assert_eq!(status("cmp").await.code(), "forbidden");
    assert_eq!(status("look").await.status, 200);
    assert_eq!(status("ops").await.status, 200);
    let refused = ask(whole.admin, "POST", "/relay/v1/reload", Some("look"), None).await;
    assert_eq!((refused.status, &*refused.code()), (403, "forbidden"));
}

#[tokio::test]
async fn a_foreign_host_header_is_refused() {
    let whole = whole("").await;
    let port = whole.admin.port();
    let with = |host: &str| format!("GET /relay/v1/status HTTP/1.1\r\nhost: {host}\r\n\r\n");
    for own in [
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
        format!("[::1]:{port}"),
        "localhost".to_owned(),
    ] {
        assert_eq!(once(whole.admin, &with(&own)).await.status, 200, "{own}");
    }
    for foreign in [
        format!("evil.example:{port}"),
        format!("localhost.evil.example:{port}"),
        "127.0.0.1:1".to_owned(),
        "10.0.0.1".to_owned(),
        String::new(),
    ] {
        let answer = once(whole.admin, &with(&foreign)).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (403, "forbidden"),
            "{foreign}"
        );
    }
}

#[tokio::test]
async fn writes_must_say_that_they_are_json() {
    let whole = whole("").await;
    for content_type in [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
    ] {
        let request = format!(
            "POST /relay/v1/reload HTTP/1.1\r\nhost: localhost\r\n{content_type}content-length: 0\r\n\r\n"
        );
        let answer = once(whole.admin, &request).await;
        assert_eq!(
            (answer.status, &*answer.code()),
            (415, "unsupported_media_type")
        );
    }
}

#[tokio::test]
async fn status_routes_and_backends_tell_what_serves() {
    let whole = whole("").await;
    let get = |path: &'static str| ask(whole.admin, "GET", path, None, None);
    let status = get("/relay/v1/status").await.json();
    assert_eq!(status["role"], "active");
    assert_eq!(status["database"], "sqlite");
    assert_eq!(status["writable"], true);
    assert_eq!(status["operations"]["unknown"], 0);
    assert_eq!(status["plan"], *whole.relay.relay.plan().digest);
    let routes = get("/relay/v1/routes").await.json();
    assert_eq!(routes["items"][0]["path"], "/v1/things");
    let backends = get("/relay/v1/backends").await.json();
    assert_eq!(backends["items"][0]["name"], "box-1");
    assert_eq!(backends["items"][0]["breaker"], "closed");
    let console = get("/console").await;
    assert_eq!(
        console.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(console.body.contains("box-1") && !console.body.contains("<script"));
}

#[tokio::test]
async fn a_mapping_is_adopted_listed_shown_and_forgotten() {
    let whole = whole("").await;
    let base = "/relay/v1/mappings";
    let adopt = |cmp_id: &str, backend_id: &str| json!({ "resource": "thing", "cmp_id": cmp_id, "backend": "box-1", "backend_id": backend_id });
    let post = |body| ask(whole.admin, "POST", base, None, Some(body));
    let adopted = post(adopt("t/1", "7")).await;
    assert_eq!(
        (adopted.status, &adopted.json()["kind"]),
        (201, &json!("box"))
    );
    assert_eq!(post(adopt("t2", "8")).await.status, 201);
    let conflict = post(adopt("t3", "7")).await;
    assert_eq!(
        (conflict.status, &*conflict.code()),
        (409, "mapping_conflict")
    );
    assert_eq!(post(adopt("", "9")).await.code(), "malformed_request");
    let mut elsewhere = adopt("t4", "9");
    elsewhere["backend"] = json!("box-9");
    assert_eq!(post(elsewhere).await.code(), "no_such_backend");

    let get = |path: String| async move { ask(whole.admin, "GET", &path, None, None).await };
    let first = get(format!("{base}?resource=thing&limit=1")).await.json();
    assert_eq!(first["items"][0]["cmp_id"], "t/1");
    let next = first["next"].as_str().unwrap();
    let second = get(format!("{base}?limit=5&after={next}")).await.json();
    assert_eq!(second["items"][0]["cmp_id"], "t2");
    assert_eq!(second["next"], Value::Null);
    assert_eq!(
        get(format!("{base}?resuorce=thing")).await.code(),
        "malformed_request"
    );
    let shown = get(format!("{base}/thing/t%2F1")).await.json();
    assert_eq!(shown["items"][0]["backend_id"], "7");

    let one = format!("{base}/thing/t%2F1");
    let forget = |path: String| async move { ask(whole.admin, "DELETE", &path, None, None).await };
    assert_eq!(forget(one.clone()).await.status, 204);
    assert_eq!(forget(one.clone()).await.code(), "not_mapped");
    assert_eq!(get(one).await.code(), "not_mapped");

    let store = whole.relay.relay.journal().store().clone();
    let audits = store.list_audit(10).await.unwrap();
    assert!(audits.len() >= 3, "{audits:?}");
    assert!(audits.iter().all(|row| row.by == "anonymous"));
}

#[tokio::test]
async fn host_keys_are_listed_and_forgotten_by_an_operator() {
    let whole = whole(&clients()).await;
    let journal = whole.relay.relay.journal();
    for (backend, first_seen) in [("sw/2", 2_000_000), ("sw-1", 1_000_000)] {
        let row = HostKeyRow {
            backend: backend.into(),
            host_key: format!("ssh-ed25519 SHA256:{backend}"),
            first_seen,
        };
        journal.write(Write::RecordHostKey(row)).await.unwrap();
    }
    let base = "/relay/v1/host-keys";
    let listed = async || {
        ask(whole.admin, "GET", base, Some("look"), None)
            .await
            .json()
    };
    let row = |backend: &str, second: u8| {
        let host_key = format!("ssh-ed25519 SHA256:{backend}");
        let first_seen = format!("1970-01-01T00:00:0{second}Z");
        json!({ "backend": backend, "host_key": host_key, "first_seen": first_seen })
    };
    let both = json!({ "items": [row("sw-1", 1), row("sw/2", 2)] });
    assert_eq!(listed().await, both);

    let forget = async |token: &str, backend: &str| {
        let path = format!("{base}/{backend}");
        ask(whole.admin, "DELETE", &path, Some(token), None).await
    };
    assert_eq!(forget("look", "sw-1").await.code(), "forbidden");
    assert_eq!(forget("ops", "SW-1").await.code(), "refused");
    assert_eq!(forget("ops", "sw%2F2").await.status, 204);
    assert_eq!(listed().await, json!({ "items": [row("sw-1", 1)] }));
    let again = forget("ops", "sw%2F2").await;
    assert_eq!((again.status, &*again.code()), (409, "refused"));

    let audits = journal.store().list_audit(10).await.unwrap();
    let told: Vec<_> = audits
        .iter()
        .map(|row| (&*row.by, &*row.action, &*row.detail))
        .collect();
    let detail = "sw/2 ssh-ed25519 SHA256:sw/2";
    assert_eq!(told, [("ops", "forget_host_key", detail)]);
}

#[tokio::test]
async fn operations_are_listed_filtered_and_only_unsettled_ones_resolved() {
    let whole = whole(&clients()).await;
    for key in ["k1", "k2"] {
        let body = format!(r#"{{"id":"{key}"}}"#);
        let create = format!(
            "POST /v1/things HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer cmp-token\r\n\
             idempotency-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        assert_eq!(once(whole.cmp, &create).await.status, 502);
    }
    let get =
        |path: String| async move { ask(whole.admin, "GET", &path, Some("look"), None).await };
    let page = get("/relay/v1/operations?limit=1&state=failed".into())
        .await
        .json();
    assert_eq!(page["items"][0]["idempotency_key"], "k2");
    let next = page["next"].as_str().unwrap();
    let page = get(format!("/relay/v1/operations?before={next}"))
        .await
        .json();
    assert_eq!(page["items"][0]["idempotency_key"], "k1");
    for bad in ["state=done", "before=x", "colour=red"] {
        let answer = get(format!("/relay/v1/operations?{bad}")).await;
        assert_eq!(answer.code(), "malformed_request", "{bad}");
    }
    let id = page["items"][0]["id"].as_str().unwrap();
    assert_eq!(
        get(format!("/relay/v1/operations/{id}")).await.json()["client"],
        "cmp"
    );
    let resolve = format!("/relay/v1/operations/{id}/resolve");
    let order = json!({ "verdict": "failed" });
    let refused = ask(whole.admin, "POST", &resolve, Some("ops"), Some(order)).await;
    assert_eq!((refused.status, &*refused.code()), (409, "refused"));
}

#[tokio::test]
async fn a_reload_serves_the_next_plan_or_changes_nothing() {
    let whole = whole("").await;
    let reload = || ask(whole.admin, "POST", "/relay/v1/reload", None, None);
    let before = whole.relay.relay.plan().digest.clone();
    let rejected = reload().await;
    assert_eq!(
        (rejected.status, &*rejected.code()),
        (422, "configuration_rejected")
    );
    assert_eq!(rejected.json()["diagnostics"][0]["code"], "bad-yaml");
    assert_eq!(whole.relay.relay.plan().digest, before);

    let mut next = files(&clients());
    next[2].1 = next[2]
        .1
        .replace("/v1/things", "/v2/things")
        .replace("create_thing", "make_thing");
    *whole.next.lock().unwrap() = Some(compile(&next));
    let report = reload().await.json();
    assert_eq!(report["routes"]["added"], json!(["make_thing"]));
    assert_eq!(report["routes"]["removed"], json!(["create_thing"]));
    assert_ne!(whole.relay.relay.plan().digest, before);
    let store = whole.relay.relay.journal().store().clone();
    let audits = store.list_audit(10).await.unwrap();
    assert_eq!(
        audits.len(),
        1,
        "the rejected reload changed nothing: {audits:?}"
    );
    assert_eq!(audits[0].action, "reload");
    let mut connection = Connection::open(whole.cmp).await;
    let document = connection.get("/openapi.json").await.json();
    assert!(document["paths"]["/v2/things"].is_object());
    // The clients of the next plan are asked for their tokens from now on.
    assert_eq!(connection.get("/v2/things").await.status, 401);
    assert_eq!(reload().await.status, 401);
}

#[tokio::test]
async fn a_node_that_is_not_active_is_not_ready() {
    let whole = whole("").await;
    whole.relay.relay.gate().close();
    let ready = ask(whole.admin, "GET", "/readyz", None, None).await;
    assert_eq!((ready.status, &*ready.body), (503, "standby\n"));
    assert_eq!(
        ask(whole.admin, "GET", "/livez", None, None).await.status,
        200
    );
}

#[tokio::test]
async fn the_metrics_page_counts_requests_by_route() {
    let whole = whole("").await;
    let lost = "GET /v1/metrics-test HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert_eq!(once(whole.cmp, lost).await.code(), "route_not_found");
    let page = ask(whole.admin, "GET", "/metrics", None, None).await.body;
    assert!(
        page.contains(r#"cmp_relay_requests_total{route="none",status="4xx"}"#),
        "{page}"
    );
    assert!(
        page.contains(r#"cmp_relay_backend_breaker_state{backend="box-1"} 0"#),
        "{page}"
    );
    assert!(!page.contains("metrics-test"), "a raw path is no label");
}

#[tokio::test]
async fn after_the_end_both_ports_are_closed_and_so_is_the_database() {
    let whole = whole("").await;
    let store = whole.relay.relay.journal().store().clone();
    whole
        .running
        .finish(Duration::from_secs(5), std::future::pending())
        .await;
    for address in [whole.cmp, whole.admin] {
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }
    assert!(!store.is_writable().await.unwrap_or(false));
}
