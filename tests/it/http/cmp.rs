//! The CMP listener: bounds, tokens, built-in paths, keep-alive, panics, the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cmp_relay::http::listener::Bounds;
use cmp_relay::relay::{Failure, RelayError};
use tokio::sync::{Notify, oneshot};
use uuid::Uuid;

use super::client::{Connection, once};
use super::serving::{clients, echo, plan, quick, serve, whole};

const HEAD: &str = "host: localhost\r\n";

#[tokio::test]
async fn a_request_reaches_the_handler_and_its_answer_the_client() {
    let serving = serve(plan(""), Bounds::default(), None, echo).await;
    let request = format!("POST /v1/x?y=1 HTTP/1.1\r\n{HEAD}content-length: 5\r\n\r\nhello");
    let answer = once(serving.address, &request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "POST /v1/x by anonymous with 5");
}

#[tokio::test]
async fn a_long_uri_is_414_and_the_connection_goes_on() {
    let serving = serve(plan(""), Bounds::default(), None, echo).await;
    let mut connection = Connection::open(serving.address).await;
    let answer = connection.get(&format!("/{}", "a".repeat(8 << 10))).await;
    assert_eq!((answer.status, &*answer.code()), (414, "uri_too_long"));
    assert_eq!(connection.get("/v1/x").await.status, 200);
}

#[tokio::test]
async fn too_many_or_too_long_headers_are_431_with_a_problem() {
    let serving = serve(plan(""), Bounds::default(), None, echo).await;
    let many = "a: 1\r\n".repeat(101);
    let long = format!("a: {}\r\n", "x".repeat(33 << 10));
    // Beyond what the parser itself would buffer.
    let huge = format!("a: {}\r\n", "x".repeat(100 << 10));
    for headers in [many, long, huge] {
        let request = format!("GET /v1/x HTTP/1.1\r\n{HEAD}{headers}\r\n");
        let answer = once(serving.address, &request).await;
        assert_eq!((answer.status, &*answer.code()), (431, "headers_too_large"));
    }
}

#[tokio::test]
async fn what_is_not_http_is_400_with_a_problem_and_a_close() {
    let serving = serve(plan(""), Bounds::default(), None, echo).await;
    for garbled in [
        "GET  /v1/x\r\n\r\n",
        "GET /v1/x HTTP/1.1\r\nbad header: 1\r\n\r\n",
        "\u{1}\u{2}\u{3}\r\n\r\n",
    ] {
        let mut connection = Connection::open(serving.address).await;
        connection.send(garbled).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, &*answer.code()), (400, "malformed_request"));
        assert!(connection.is_closed().await, "{garbled}");
    }
}

#[tokio::test]
async fn a_header_name_with_an_underscore_is_refused() {
    let serving = serve(plan(""), Bounds::default(), None, echo).await;
    let request = format!("GET /v1/x HTTP/1.1\r\n{HEAD}x_tenant: 1\r\n\r\n");
    let answer = once(serving.address, &request).await;
    assert_eq!((answer.status, &*answer.code()), (400, "malformed_request"));
    assert!(
        answer.json()["detail"]
            .as_str()
            .unwrap()
            .contains("x_tenant")
    );
}

#[tokio::test]
async fn a_declared_large_body_is_413_before_it_is_sent() {
    let plan = plan("limits:\n  request_body: 1KiB\n");
    let serving = serve(plan, Bounds::default(), None, echo).await;
    let request = format!(
        "POST /v1/x HTTP/1.1\r\n{HEAD}content-length: 1025\r\nexpect: 100-continue\r\n\r\n"
    );
    let answer = once(serving.address, &request).await;
    assert_eq!((answer.status, &*answer.code()), (413, "body_too_large"));
    assert_eq!(answer.json()["side_effect"], "none");
}

#[tokio::test]
async fn an_undeclared_large_body_is_413_while_it_is_read() {
    let plan = plan("limits:\n  request_body: 1KiB\n");
    let serving = serve(plan, Bounds::default(), None, echo).await;
    let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
    let request = format!(
        "POST /v1/x HTTP/1.1\r\n{HEAD}transfer-encoding: chunked\r\n\r\n{chunk}{chunk}{chunk}"
    );
    let answer = once(serving.address, &request).await;
    assert_eq!((answer.status, &*answer.code()), (413, "body_too_large"));
}

#[tokio::test]
async fn a_413_arrives_though_the_client_goes_on_sending() {
    let plan = plan("limits:\n  request_body: 1KiB\n");
    let serving = serve(plan, Bounds::default(), None, echo).await;
    let mut connection = Connection::open(serving.address).await;
    let length = 4 << 20;
    connection
        .send(&format!(
            "POST /v1/x HTTP/1.1\r\n{HEAD}content-length: {length}\r\n\r\n{}",
            "x".repeat(length)
        ))
        .await;
    assert_eq!(connection.answer().await.status, 413);
}

#[tokio::test]
async fn a_head_or_body_that_does_not_end_is_408() {
    let serving = serve(plan(""), quick(), None, echo).await;
    for unfinished in [
        "GET /v1/x HTTP/1.1\r\nhost: loc".to_owned(),
        format!("POST /v1/x HTTP/1.1\r\n{HEAD}content-length: 5\r\n\r\nhel"),
    ] {
        let mut connection = Connection::open(serving.address).await;
        connection.send(&unfinished).await;
        let answer = connection.answer().await;
        assert_eq!((answer.status, &*answer.code()), (408, "request_timeout"));
        assert!(connection.is_closed().await);
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_closed_without_a_word() {
    let bounds = Bounds {
        idle: Duration::from_millis(150),
        ..quick()
    };
    let serving = serve(plan(""), bounds, None, echo).await;
    let mut silent = Connection::open(serving.address).await;
    assert!(silent.is_closed().await);
    let mut idle = Connection::open(serving.address).await;
    assert_eq!(idle.get("/v1/x").await.status, 200);
    assert!(idle.is_closed().await);
}

#[tokio::test]
async fn tokens_are_needed_as_soon_as_there_are_clients() {
    let serving = serve(plan(&clients()), Bounds::default(), None, echo).await;
    let with = |token: &str| format!("GET /v1/x HTTP/1.1\r\n{HEAD}{token}\r\n");
    for bad in [
        "",
        "authorization: Bearer nobody\r\n",
        "authorization: Basic Y21w\r\n",
    ] {
        let answer = once(serving.address, &with(bad)).await;
        assert_eq!((answer.status, &*answer.code()), (401, "unauthenticated"));
        assert_eq!(
            answer.header("www-authenticate"),
            Some("Bearer realm=\"cmp-relay\"")
        );
    }
    let answer = once(
        serving.address,
        &with("authorization: Bearer cmp-token\r\n"),
    )
    .await;
    assert_eq!(answer.body, "GET /v1/x by cmp with 0");
    let answer = once(
        serving.address,
        &with("authorization: Bearer ops-token\r\n"),
    )
    .await;
    assert_eq!((answer.status, &*answer.code()), (403, "forbidden"));
}

#[tokio::test]
async fn a_request_id_is_kept_or_made() {
    let serving = serve(plan(""), Bounds::default(), None, echo).await;
    let with = |line: &str| format!("GET /v1/x HTTP/1.1\r\n{HEAD}{line}\r\n");
    let kept = once(serving.address, &with("x-request-id: abc-1\r\n")).await;
    assert_eq!(kept.header("x-request-id"), Some("abc-1"));
    for line in [
        "".to_owned(),
        format!("x-request-id: {}\r\n", "x".repeat(129)),
    ] {
        let made = once(serving.address, &with(&line)).await;
        let id: Uuid = made.header("x-request-id").unwrap().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
    }
}

#[tokio::test]
async fn head_is_get_without_its_body() {
    let serving = serve(plan(""), Bounds::default(), None, echo).await;
    let mut connection = Connection::open(serving.address).await;
    let head = format!("HEAD /openapi.json HTTP/1.1\r\n{HEAD}\r\n");
    connection.send(&head).await;
    let answer = connection.answer_to_head().await;
    assert_eq!(answer.status, 200);
    let length: usize = answer.header("content-length").unwrap().parse().unwrap();
    // Had a body come, the next answer would begin within it.
    let get = connection.get("/openapi.json").await;
    assert_eq!(get.body.len(), length);
}

#[tokio::test]
async fn a_connection_is_used_again_after_an_error() {
    let failing = |inbound: cmp_relay::relay::Inbound| async move {
        match &*inbound.path {
            "/v1/ok" => echo(inbound).await,
            _ => Err(Failure::refused(RelayError::RouteNotFound {
                nearest: None,
            })),
        }
    };
    let serving = serve(plan(""), Bounds::default(), None, failing).await;
    let mut connection = Connection::open(serving.address).await;
    let lost = format!("POST /v1/lost HTTP/1.1\r\n{HEAD}content-length: 5\r\n\r\nhello");
    connection.send(&lost).await;
    assert_eq!(connection.answer().await.code(), "route_not_found");
    assert_eq!(connection.get("/v1/ok").await.status, 200);
    // Refused before its body was read, the body being here already: drained, not taken for a request.
    let refused = format!("POST /v1/x HTTP/1.1\r\n{HEAD}x_y: 1\r\ncontent-length: 5\r\n\r\nGET /");
    connection.send(&refused).await;
    assert_eq!(connection.answer().await.status, 400);
    assert_eq!(connection.get("/v1/ok").await.status, 200);
}

#[tokio::test]
async fn a_panic_is_a_500_with_a_problem_and_the_connection_lives() {
    let failing = |inbound: cmp_relay::relay::Inbound| async move {
        assert_ne!(inbound.path, "/v1/bad", "a panic of the test");
        echo(inbound).await
    };
    let serving = serve(plan(""), Bounds::default(), None, failing).await;
    let mut connection = Connection::open(serving.address).await;
    let answer = connection.get("/v1/bad").await;
    assert_eq!((answer.status, &*answer.code()), (500, "internal_error"));
    assert!(!answer.body.contains("a panic of the test"));
    assert_eq!(connection.get("/v1/ok").await.status, 200);
}

#[tokio::test]
async fn requests_beyond_the_cap_are_503_relay_busy() {
    let (entered, inside) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let handler = {
        let (entered, inside) = (entered.clone(), inside.clone());
        move |inbound| {
            let (entered, inside) = (entered.clone(), inside.clone());
            async move {
                entered.notify_one();
                inside.notified().await;
                echo(inbound).await
            }
        }
    };
    let plan = plan("limits:\n  in_flight: 1\n");
    let serving = serve(plan, Bounds::default(), None, handler).await;
    let mut first = Connection::open(serving.address).await;
    first
        .send(&format!("GET /v1/a HTTP/1.1\r\n{HEAD}\r\n"))
        .await;
    entered.notified().await;
    let mut second = Connection::open(serving.address).await;
    let refused = second.get("/v1/b").await;
    assert_eq!((refused.status, &*refused.code()), (503, "relay_busy"));
    assert_eq!(refused.header("retry-after"), Some("1"));
    inside.notify_one();
    assert_eq!(first.answer().await.status, 200);
    inside.notify_one();
    assert_eq!(second.get("/v1/b").await.status, 200);
}

#[tokio::test]
async fn connections_beyond_the_cap_are_told_so() {
    let bounds = Bounds {
        connections: 1,
        ..Bounds::default()
    };
    let serving = serve(plan(""), bounds, None, echo).await;
    let mut first = Connection::open(serving.address).await;
    assert_eq!(first.get("/v1/x").await.status, 200);
    let mut second = Connection::open(serving.address).await;
    let refused = second.get("/v1/x").await;
    assert_eq!((refused.status, &*refused.code()), (503, "relay_busy"));
    assert!(second.is_closed().await);
}

/// Says when it is dropped.
struct Tell(Option<oneshot::Sender<()>>);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test]
async fn a_client_that_goes_away_drops_the_handler() {
    let (dropped, was_dropped) = oneshot::channel();
    let tell = Arc::new(std::sync::Mutex::new(Some(Tell(Some(dropped)))));
    let entered = Arc::new(Notify::new());
    let handler = {
        let entered = entered.clone();
        move |inbound| {
            let held = tell.lock().unwrap().take();
            let entered = entered.clone();
            async move {
                let _held = held;
                entered.notify_one();
                std::future::pending::<()>().await;
                echo(inbound).await
            }
        }
    };
    let serving = serve(plan(""), Bounds::default(), None, handler).await;
    let mut connection = Connection::open(serving.address).await;
    connection
        .send(&format!("GET /v1/x HTTP/1.1\r\n{HEAD}\r\n"))
        .await;
    entered.notified().await;
    drop(connection);
    was_dropped.await.unwrap();
}

#[tokio::test]
async fn at_shutdown_what_is_in_flight_ends_and_nothing_new_begins() {
    let (entered, inside) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let calls = Arc::new(AtomicUsize::new(0));
    let handler = {
        let (entered, inside, calls) = (entered.clone(), inside.clone(), calls.clone());
        move |inbound| {
            let (entered, inside) = (entered.clone(), inside.clone());
            calls.fetch_add(1, Ordering::Relaxed);
            async move {
                entered.notify_one();
                inside.notified().await;
                echo(inbound).await
            }
        }
    };
    let serving = serve(plan(""), Bounds::default(), None, handler).await;
    let mut idle = Connection::open(serving.address).await;
    let mut busy = Connection::open(serving.address).await;
    busy.send(&format!("GET /v1/x HTTP/1.1\r\n{HEAD}\r\n"))
        .await;
    entered.notified().await;

    serving.trigger.stop();
    assert!(idle.is_closed().await);
    inside.notify_one();
    let answer = busy.answer().await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("connection"), Some("close"));
    assert!(busy.is_closed().await);
    serving.task.await.unwrap();
    assert!(
        tokio::net::TcpStream::connect(serving.address)
            .await
            .is_err()
    );
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn the_published_document_names_every_route_and_knows_itself_again() {
    let plan = plan(&clients());
    let routes: Vec<(String, String)> = plan
        .routes
        .iter()
        .map(|route| (route.path.to_string(), route.method.as_str().to_lowercase()))
        .collect();
    assert_eq!(routes.len(), 2);
    let serving = serve(plan, Bounds::default(), None, echo).await;
    let mut connection = Connection::open(serving.address).await;
    let answer = connection.get("/openapi.json").await;
    let document = answer.json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(
        document["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
    for (path, method) in routes {
        let operation = &document["paths"][&path][&method];
        assert!(operation["operationId"].is_string(), "{method} {path}");
        let refused = &operation["responses"]["401"]["$ref"];
        assert_eq!(refused, "#/components/responses/unauthenticated");
    }
    let create = &document["paths"]["/v1/things"]["post"];
    let schema = &create["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(schema["$ref"], "#/components/schemas/create_thing_request");
    let schema = &document["components"]["schemas"]["create_thing_request"];
    assert_eq!(schema["properties"]["id"]["maxLength"], 64);
    assert!(create["responses"]["201"].is_object());
    let parameters = &document["paths"]["/v1/things/{id}"]["delete"]["parameters"];
    assert_eq!(parameters[0]["name"], "id");
    assert_eq!(parameters[1]["name"], "Idempotency-Key");

    let tag = answer.header("etag").unwrap().to_owned();
    connection
        .send(&format!(
            "GET /openapi.json HTTP/1.1\r\n{HEAD}if-none-match: {tag}\r\n\r\n"
        ))
        .await;
    let again = connection.answer().await;
    assert_eq!((again.status, &*again.body), (304, ""));
}

#[tokio::test]
async fn the_documentation_loads_nothing_from_elsewhere() {
    let serving = serve(plan(""), Bounds::default(), None, echo).await;
    let mut connection = Connection::open(serving.address).await;
    for path in ["/docs", "/docs/problems"] {
        let page = connection.get(path).await;
        assert_eq!(
            page.header("content-type"),
            Some("text/html; charset=utf-8")
        );
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'"));
        for loading in [
            "<script",
            "src=",
            "href=\"http",
            "href=http",
            "@import",
            "url(",
        ] {
            assert!(!page.body.contains(loading), "{path}: {loading}");
        }
    }
    connection
        .send(&format!(
            "POST /docs HTTP/1.1\r\n{HEAD}content-length: 0\r\n\r\n"
        ))
        .await;
    let refused = connection.answer().await;
    assert_eq!(
        (refused.status, refused.header("allow")),
        (405, Some("GET, HEAD"))
    );
}

#[tokio::test]
async fn a_client_finds_its_own_operations_and_nobody_elses() {
    let whole = whole(&clients()).await;
    let with = |path: &str, token: &str| {
        format!("GET {path} HTTP/1.1\r\n{HEAD}authorization: Bearer {token}-token\r\n\r\n")
    };
    // The backend cannot be reached: the operation failed, and is on record.
    let body = r#"{"id":"t1"}"#;
    let create = format!(
        "POST /v1/things HTTP/1.1\r\n{HEAD}authorization: Bearer cmp-token\r\n\
         idempotency-key: k1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let failed = once(whole.cmp, &create).await;
    assert_eq!(
        (failed.status, &*failed.code()),
        (502, "backend_unreachable")
    );
    let id = failed.json()["operation"].as_str().unwrap().to_owned();
    assert_eq!(failed.header("relay-operation"), Some(&*id));
    assert_eq!(failed.json()["safe_to_retry"], true);

    let path = format!("/relay/v1/operations/{id}");
    let own = once(whole.cmp, &with(&path, "cmp")).await;
    assert_eq!((own.status, &own.json()["state"]), (200, &"failed".into()));
    assert_eq!(own.json()["idempotency_key"], "k1");
    assert_eq!(once(whole.cmp, &with(&path, "ops")).await.status, 200);
    let refused = once(whole.cmp, &with(&path, "look")).await;
    assert_eq!(refused.code(), "forbidden");
    let by_key = once(whole.cmp, &with("/relay/v1/operations?key=k1", "cmp")).await;
    assert_eq!(by_key.json()["items"][0]["id"], *id);
    let none = once(whole.cmp, &with("/relay/v1/operations?key=k2", "cmp")).await;
    assert_eq!(none.json()["items"], serde_json::json!([]));
    let missing = format!("/relay/v1/operations/{}", Uuid::now_v7());
    let missing = once(whole.cmp, &with(&missing, "cmp")).await;
    assert_eq!(
        (missing.status, &*missing.code()),
        (404, "no_such_operation")
    );
    let unasked = once(whole.cmp, &with("/relay/v1/operations", "cmp")).await;
    assert_eq!(unasked.code(), "malformed_request");
}

#[tokio::test]
async fn another_client_of_the_same_role_sees_nothing_of_them() {
    let hash = super::serving::hash("other-token");
    let other = format!("  - name: other\n    token_sha256: [\"{hash}\"]\n    roles: [cmp]\n");
    let whole = whole(&(clients() + &other)).await;
    let with = |path: &str, token: &str| {
        format!("GET {path} HTTP/1.1\r\n{HEAD}authorization: Bearer {token}-token\r\n\r\n")
    };
    let body = r#"{"id":"t1"}"#;
    let create = format!(
        "POST /v1/things HTTP/1.1\r\n{HEAD}authorization: Bearer cmp-token\r\n\
         idempotency-key: k1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let failed = once(whole.cmp, &create).await;
    let id = failed.json()["operation"].as_str().unwrap().to_owned();
    let path = format!("/relay/v1/operations/{id}");
    assert_eq!(once(whole.cmp, &with(&path, "cmp")).await.status, 200);
    let theirs = once(whole.cmp, &with(&path, "other")).await;
    assert_eq!((theirs.status, &*theirs.code()), (404, "no_such_operation"));
    let by_key = once(whole.cmp, &with("/relay/v1/operations?key=k1", "other")).await;
    assert_eq!(by_key.json()["items"], serde_json::json!([]));
    let order = r#"{"verdict":"failed","force":true}"#;
    let resolve = format!(
        "POST {path}/resolve HTTP/1.1\r\n{HEAD}authorization: Bearer other-token\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{order}",
        order.len()
    );
    assert_eq!(once(whole.cmp, &resolve).await.code(), "no_such_operation");
}
