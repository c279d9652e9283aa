//! One call stays one call, whatever the backend does, and each silence is called by its name.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cmp_relay::driver::{Phase, Refusal, SendOutcome};
use serde_json::json;

use super::*;
use crate::support::fake_backend::{Reply, closed_port};

const RULES: &str = "POST /v1/rules";

#[tokio::test]
async fn an_answer_comes_back_as_it_is() {
    let backend = FakeBackend::start();
    backend.on(
        RULES,
        Reply::json(201, &json!({ "id": 7 })).header("X-Job", "j1"),
    );
    let answer = post(&driver(&backend, Auth::None), "/v1/rules?vdom=root")
        .await
        .unwrap();
    assert_eq!((answer.status, answer.sends), (201, 1));
    assert_eq!(&answer.body[..], br#"{"id":7}"#);
    assert_eq!(answer.headers["x-job"], "j1");
    assert_eq!(answer.body_error, None);
    let seen = &backend.calls()[0];
    assert_eq!(seen.query.as_deref(), Some("vdom=root"));
    assert_eq!(seen.header("content-type"), Some("application/json"));
    assert_eq!(seen.json(), json!({ "name": "x" }));
}

#[tokio::test]
async fn a_failure_status_is_an_answer_and_is_not_tried_again() {
    for status in [
        301, 302, 307, 308, 401, 403, 408, 425, 429, 500, 502, 503, 504,
    ] {
        let backend = FakeBackend::start();
        let elsewhere = FakeBackend::start();
        let target = format!("{}/v1/rules", elsewhere.url());
        backend.on(
            RULES,
            Reply::redirect(status, &target).header("Retry-After", "0"),
        );
        let answer = post(&driver(&backend, Auth::None), "/v1/rules")
            .await
            .unwrap();
        assert_eq!(answer.status, status);
        assert_eq!(backend.count("*"), 1, "{status}");
        assert_eq!(elsewhere.connections(), 0, "{status}");
    }
}

#[tokio::test]
async fn a_reset_after_the_request_is_unknown_and_is_not_tried_again() {
    let backend = FakeBackend::start();
    backend.on(RULES, Reply::reset());
    let error = post(&driver(&backend, Auth::None), "/v1/rules")
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unknown);
    assert_eq!((error.phase, error.sends), (Phase::Wait, 1));
    assert_eq!(backend.count("*"), 1);
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_reset_before_the_request_was_read_is_unknown_too() {
    let backend = FakeBackend::start();
    backend.on(RULES, Reply::status(204));
    backend.once_unread();
    let error = post(&driver(&backend, Auth::None), "/v1/rules")
        .await
        .unwrap_err();
    assert_eq!((error.outcome, error.sends), (SendOutcome::Unknown, 1));
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_closes_in_the_idle_race_loses_one_call_and_repeats_none() {
    let backend = FakeBackend::start();
    backend.on(RULES, Reply::status(204));
    let driver = driver(&backend, Auth::None);
    post(&driver, "/v1/rules").await.unwrap();
    // The bytes reach the socket just as the backend gives the connection up.
    backend.once_unread();
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unknown);
    assert_eq!(backend.connections(), 1);
    post(&driver, "/v1/rules").await.unwrap();
    assert_eq!(backend.connections(), 2);
    assert_eq!(backend.count(RULES), 2);
}

#[tokio::test]
async fn a_connection_that_shows_its_end_is_not_used() {
    let backend = FakeBackend::start();
    backend.on(RULES, Reply::status(204).then_close_silently());
    let driver = driver(&backend, Auth::None);
    for calls in 1..=3 {
        assert_eq!(post(&driver, "/v1/rules").await.unwrap().status, 204);
        backend.wait_for_open(0).await;
        assert_eq!(backend.connections(), calls);
    }
    assert_eq!(backend.count(RULES), 3);
}

#[tokio::test]
async fn a_backend_that_closes_after_some_answers_costs_no_call() {
    let backend = FakeBackend::start();
    backend.on(RULES, Reply::status(204));
    backend.close_after(2);
    let driver = driver(&backend, Auth::None);
    for number in 1..=6 {
        assert_eq!(post(&driver, "/v1/rules").await.unwrap().status, 204);
        if number % 2 == 0 {
            backend.wait_for_open(0).await;
        }
    }
    assert_eq!((backend.count(RULES), backend.connections()), (6, 3));
}

#[tokio::test]
async fn connections_are_reused_and_an_announced_close_is_heeded() {
    let backend = FakeBackend::start();
    backend.on("GET /a", Reply::text(200, "a"));
    backend.on("GET /b", Reply::text(200, "b").then_close());
    let driver = driver(&backend, Auth::None);
    for _ in 0..5 {
        get(&driver, "/a").await.unwrap();
    }
    assert_eq!(backend.connections(), 1);
    get(&driver, "/b").await.unwrap();
    get(&driver, "/a").await.unwrap();
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn a_mutating_call_does_not_use_a_connection_that_has_idled_for_long() {
    let backend = FakeBackend::start();
    backend.on("*", Reply::status(204));
    let limits = BackendLimits {
        idle_reuse: Duration::ZERO,
        ..limits()
    };
    let driver = HttpsDriver::new(&spec(&backend, Auth::None), &limits).unwrap();
    get(&driver, "/a").await.unwrap();
    get(&driver, "/a").await.unwrap();
    assert_eq!(backend.connections(), 1);
    post(&driver, "/v1/rules").await.unwrap();
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn nobody_listening_is_not_sent() {
    let backend = FakeBackend::start();
    let mut spec = spec(&backend, Auth::None);
    spec.url.port = closed_port();
    let driver = HttpsDriver::new(&spec, &limits()).unwrap();
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!(
        (error.outcome, error.phase),
        (SendOutcome::NotSent, Phase::Connect)
    );
    assert_eq!(error.sends, 0);
    assert!(error.detail.contains("refused"), "{}", error.detail);
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_not_sent() {
    let backend = FakeBackend::start();
    let mut spec = spec(&backend, Auth::None);
    spec.url.host = "no-such-host.invalid".into();
    let driver = HttpsDriver::new(&spec, &limits()).unwrap();
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!(
        (error.outcome, error.phase),
        (SendOutcome::NotSent, Phase::Resolve)
    );
}

#[tokio::test]
async fn silence_until_the_deadline_is_unknown() {
    let backend = FakeBackend::start();
    backend.on(RULES, Reply::silence());
    let driver = driver(&backend, Auth::None);
    let short = Clearance {
        deadline: Boottime::now() + Duration::from_millis(100),
        ..clearance(true)
    };
    let error = driver
        .send(&call(Method::POST, "/v1/rules"), &short)
        .await
        .unwrap_err();
    assert_eq!(
        (error.outcome, error.phase),
        (SendOutcome::Unknown, Phase::Wait)
    );
    assert!(error.detail.contains("deadline"), "{}", error.detail);
    // The connection is in an unknown state and goes with the call.
    backend.release();
    backend.wait_for_open(0).await;
    assert_eq!(backend.count(RULES), 1);
}

#[tokio::test]
async fn a_slow_first_byte_has_a_limit_of_its_own() {
    let backend = FakeBackend::start();
    backend.on(RULES, Reply::status(204).held());
    let limits = BackendLimits {
        first_byte_timeout: Duration::from_millis(100),
        ..limits()
    };
    let driver = HttpsDriver::new(&spec(&backend, Auth::None), &limits).unwrap();
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unknown);
    assert!(
        error.detail.contains("first_byte_timeout"),
        "{}",
        error.detail
    );
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let backend = FakeBackend::start();
    backend.on(RULES, Reply::text(201, "done, at last").hold_body_after(4));
    let driver = driver(&backend, Auth::None);
    let running = tokio::spawn({
        let driver = Arc::clone(&driver);
        async move { post(&driver, "/v1/rules").await }
    });
    backend.wait_for_calls(RULES, 1).await;
    backend.release();
    let answer = running.await.unwrap().unwrap();
    assert_eq!(&answer.body[..], b"done, at last");
    assert_eq!(backend.count(RULES), 1);
}

#[tokio::test]
async fn half_a_body_keeps_its_status_and_is_not_believed() {
    for chunked in [false, true] {
        let backend = FakeBackend::start();
        let whole = Reply::text(201, "twenty-one characters");
        let whole = if chunked { whole.chunked() } else { whole };
        backend.on(RULES, whole.cut_after(10));
        let driver = driver(&backend, Auth::None);
        let answer = post(&driver, "/v1/rules").await.unwrap();
        assert_eq!(answer.status, 201);
        let error = answer.body_error.expect("the body is not whole");
        assert!(error.contains("cut after 10 bytes"), "{error}");
        assert_eq!(backend.count(RULES), 1);
    }
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_given_up_and_its_connection_too() {
    let backend = FakeBackend::start();
    backend.on(RULES, Reply::text(200, &"x".repeat(100_000)));
    let driver = driver(&backend, Auth::None);
    let answer = post(&driver, "/v1/rules").await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.body_error.unwrap().contains("larger than"));
    post(&driver, "/v1/rules").await.unwrap();
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn chunks_and_gzip_are_undone() {
    let backend = FakeBackend::start();
    backend.on(
        "GET /a",
        Reply::text(200, "a text in several chunks").chunked(),
    );
    backend.on("GET /b", Reply::text(200, "a packed text").gzip().chunked());
    let driver = driver(&backend, Auth::None);
    let answer = get(&driver, "/a").await.unwrap();
    assert_eq!(&answer.body[..], b"a text in several chunks");
    let answer = get(&driver, "/b").await.unwrap();
    assert_eq!(&answer.body[..], b"a packed text");
    assert_eq!(answer.body_error, None);
    assert_eq!(backend.connections(), 1);
    assert_eq!(backend.calls()[0].header("accept-encoding"), None);
}

#[tokio::test]
async fn what_is_no_http_is_unknown() {
    let backend = FakeBackend::start();
    backend.on(RULES, Reply::raw(b"220 mail.example.net ESMTP\r\n"));
    let error = post(&driver(&backend, Auth::None), "/v1/rules")
        .await
        .unwrap_err();
    assert_eq!(
        (error.outcome, error.phase),
        (SendOutcome::Unknown, Phase::Read)
    );
}

#[tokio::test]
async fn a_head_has_no_body_whatever_it_announces() {
    let backend = FakeBackend::start();
    backend.on("HEAD /a", Reply::text(200, "not sent"));
    let driver = driver(&backend, Auth::None);
    for _ in 0..2 {
        let answer = driver
            .send(&call(Method::HEAD, "/a"), &clearance(false))
            .await
            .unwrap();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(answer.body_error, None);
    }
    assert_eq!(backend.connections(), 1);
}

#[tokio::test]
async fn a_closed_gate_sends_nothing() {
    let backend = FakeBackend::start();
    let driver = driver(&backend, Auth::None);
    let closed = Clearance {
        gate: Arc::new(|| false),
        ..clearance(true)
    };
    let error = driver
        .send(&call(Method::POST, "/v1/rules"), &closed)
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Refused(Refusal::Gate));
    let late = Clearance {
        deadline: Boottime::now(),
        ..clearance(true)
    };
    let error = driver
        .send(&call(Method::POST, "/v1/rules"), &late)
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Refused(Refusal::Deadline));
    assert_eq!((error.sends, backend.connections()), (0, 0));
}

#[tokio::test]
async fn a_gate_that_closes_while_connecting_is_heeded() {
    let backend = FakeBackend::start();
    let driver = driver(&backend, Auth::None);
    let asked = Arc::new(AtomicUsize::new(0));
    let closing = Clearance {
        gate: Arc::new({
            let asked = Arc::clone(&asked);
            move || asked.fetch_add(1, Ordering::SeqCst) == 0
        }),
        ..clearance(true)
    };
    let error = driver
        .send(&call(Method::POST, "/v1/rules"), &closing)
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Refused(Refusal::Gate));
    assert_eq!((asked.load(Ordering::SeqCst), backend.count("*")), (2, 0));
}

#[tokio::test]
async fn a_dropped_call_closes_its_connection() {
    let backend = FakeBackend::start();
    backend.on(RULES, Reply::status(204).held());
    backend.on("GET /a", Reply::status(204));
    let driver = driver(&backend, Auth::None);
    let running = tokio::spawn({
        let driver = Arc::clone(&driver);
        async move { post(&driver, "/v1/rules").await }
    });
    backend.wait_for_calls(RULES, 1).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    backend.release();
    backend.wait_for_open(0).await;
    get(&driver, "/a").await.unwrap();
    assert_eq!(backend.connections(), 2);
}

#[tokio::test]
async fn a_proxy_of_the_environment_is_not_asked() {
    // Variables cannot be set in a process with threads, so another test runs in a child that has them.
    let proxy = FakeBackend::start();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "driver::once::an_answer_comes_back_as_it_is"])
        .envs(
            [
                "http_proxy",
                "HTTP_PROXY",
                "https_proxy",
                "HTTPS_PROXY",
                "all_proxy",
                "ALL_PROXY",
            ]
            .map(|name| (name, proxy.url())),
        )
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(said.contains("1 passed"), "{said}");
    assert_eq!(proxy.connections(), 0);
}

#[tokio::test]
async fn what_is_joined_to_every_call_is_on_the_wire() {
    let backend = FakeBackend::start();
    backend.on("*", Reply::status(204));
    let mut spec = spec(&backend, Auth::Query(vec![("key".into(), secret("k&y"))]));
    spec.url.path = "/api/v2".into();
    spec.query = vec![("vdom".into(), "root".into())];
    spec.headers = vec![(
        http::header::ACCEPT,
        HeaderValue::from_static("application/json"),
    )];
    let driver = HttpsDriver::new(&spec, &limits()).unwrap();
    post(&driver, "/rules?x=1").await.unwrap();
    let seen = &backend.calls()[0];
    assert_eq!(seen.path, "/api/v2/rules");
    assert_eq!(seen.query.as_deref(), Some("x=1&vdom=root&key=k%26y"));
    assert_eq!(seen.header("accept"), Some("application/json"));
    let host = format!("127.0.0.1:{}", backend.port());
    assert_eq!(seen.header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn many_calls_at_once_are_each_sent_once() {
    let backend = FakeBackend::start();
    let failed = Arc::new(AtomicBool::new(false));
    backend.answer("*", |call| Reply::text(200, &call.path).chunked());
    let driver = driver(&backend, Auth::None);
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..100 {
        let (driver, failed) = (Arc::clone(&driver), Arc::clone(&failed));
        calls.spawn(async move {
            let path = format!("/v1/rules/{number}");
            let answer = post(&driver, &path).await.unwrap();
            if answer.body != path {
                failed.store(true, Ordering::SeqCst);
            }
        });
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    assert!(!failed.load(Ordering::SeqCst));
    assert_eq!(backend.count("*"), 100);
}
