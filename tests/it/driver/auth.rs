//! Credentials: shared, renewed ahead of their end, renewed once after a refusal, backed off.

mod keystone;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cmp_relay::diagnostics::Diagnostics;
use cmp_relay::document::{Entry, FileId, Kind, Node, Scalar, Snippet, Span};
use cmp_relay::driver::{AuthState, Phase, Refusal, SendOutcome};
use cmp_relay::plan::{Expiry, Login, LoginBody, SecretTree, TokenCarrier, TokenSource};
use cmp_relay::transform::{Condition, Env, JsonPath, Position, Root, Text};
use http::HeaderName;
use serde_json::{Value, json};

use super::*;
use crate::support::fake_backend::{Reply, Seen};

const LOGIN: &str = "POST /login";
const RULES: &str = "POST /v1/rules";

fn node(value: &Value) -> Node {
    let kind = match value {
        Value::Null => Kind::Null,
        Value::Bool(value) => Kind::Bool(*value),
        Value::Number(number) => Kind::Number(number.clone()),
        Value::String(text) => Kind::Text(Scalar {
            text: text.clone(),
            verbatim_at: None,
            plain: false,
        }),
        Value::Array(items) => Kind::List(items.iter().map(node).collect()),
        Value::Object(entries) => Kind::Map(
            entries
                .iter()
                .map(|(key, value)| Entry {
                    key: key.clone(),
                    key_span: Span::default(),
                    value: node(value),
                })
                .collect(),
        ),
    };
    Node {
        span: Span::default(),
        kind,
    }
}

fn condition(value: &Value) -> Condition {
    Condition::compile(&node(value), &mut Diagnostics::default()).expect("the condition compiles")
}

fn path(text: &str) -> JsonPath {
    let snippet = Snippet::file(FileId(0), text);
    JsonPath::compile(snippet, &mut Diagnostics::default()).expect("the path compiles")
}

fn text(template: &str) -> Text {
    let tokens: Vec<Box<str>> = ["session", "csrf", "token"].map(Into::into).to_vec();
    let (maps, resources, templates) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    let env = Env {
        roots: &[Root::Tokens],
        path: &[],
        parents: &[],
        lets: &[],
        extracted: &[],
        tokens: &tokens,
        maps: &maps,
        resources: &resources,
        templates: &templates,
        uses: None,
    };
    let snippet = Snippet::file(FileId(0), template);
    let mut diags = Diagnostics::default();
    Text::compile(snippet, Position::Header, "send", &env, &mut diags).expect("the text compiles")
}

fn header(name: &'static str, template: &str) -> TokenCarrier {
    TokenCarrier::Header {
        name: HeaderName::from_static(name),
        value: text(template),
    }
}

fn cookie(name: &str, template: &str) -> TokenCarrier {
    TokenCarrier::Cookie {
        name: name.into(),
        value: text(template),
    }
}

/// A JSON login whose token comes in the body and is carried by a header.
pub(super) fn login() -> Login {
    Login {
        method: Method::POST,
        path: "/login".into(),
        headers: Vec::new(),
        body: LoginBody::Json(SecretTree::Map(vec![
            ("user".into(), SecretTree::Literal(json!("relay"))),
            ("password".into(), SecretTree::Secret(secret("hunter2"))),
        ])),
        success_when: None,
        tokens: vec![("token".into(), TokenSource::Json(path("$.token")))],
        expires: None,
        send: vec![header("x-token", "{{ tokens.token }}")],
        expired_when: Vec::new(),
        follow_redirects: 0,
        logout: None,
        resend: true,
    }
}

fn with(backend: &FakeBackend, login: Login) -> Arc<HttpsDriver> {
    driver(backend, Auth::Login(Arc::new(login)))
}

/// A backend that numbers its tokens, and takes the newest only until it is `revoke`d.
pub(super) struct Issuer {
    pub(super) backend: FakeBackend,
    issued: Arc<AtomicUsize>,
    revoked: Arc<AtomicUsize>,
}

impl Issuer {
    pub(super) fn start() -> Self {
        Self::giving(json!({}))
    }

    /// What stands in a login's answer beside the token.
    fn giving(beside: Value) -> Self {
        let backend = FakeBackend::start();
        let (issued, revoked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        backend.answer(LOGIN, {
            let issued = Arc::clone(&issued);
            move |_| {
                let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
                let mut body = beside.clone();
                body["token"] = json!(format!("token-{number}"));
                Reply::json(200, &body)
            }
        });
        backend.answer(RULES, {
            let revoked = Arc::clone(&revoked);
            move |call| {
                let number = call
                    .header("x-token")
                    .and_then(|token| token.strip_prefix("token-")?.parse::<usize>().ok());
                match number {
                    Some(number) if number > revoked.load(Ordering::SeqCst) => Reply::status(204),
                    _ => Reply::status(401),
                }
            }
        });
        Self {
            backend,
            issued,
            revoked,
        }
    }

    fn revoke(&self) {
        let issued = self.issued.load(Ordering::SeqCst);
        self.revoked.store(issued, Ordering::SeqCst);
    }

    fn revoke_all(&self) {
        self.revoked.store(usize::MAX, Ordering::SeqCst);
    }
}

async fn fifty(driver: &Arc<HttpsDriver>) -> Vec<Result<Answer, DriverError>> {
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let driver = Arc::clone(driver);
        calls.spawn(async move { post(&driver, "/v1/rules").await });
    }
    calls.join_all().await
}

#[tokio::test]
async fn fifty_calls_at_once_share_one_login() {
    let issuer = Issuer::start();
    let driver = with(&issuer.backend, login());
    for result in fifty(&driver).await {
        assert_eq!(result.unwrap().status, 204);
    }
    assert_eq!(issuer.backend.count(LOGIN), 1);
    assert_eq!(issuer.backend.count(RULES), 50);
    let seen = &issuer.backend.calls()[0];
    assert_eq!(
        seen.json(),
        json!({ "user": "relay", "password": "hunter2" })
    );
}

#[tokio::test]
async fn a_revoked_token_is_renewed_once_for_everybody_and_no_call_fails() {
    let issuer = Issuer::start();
    let driver = with(&issuer.backend, login());
    post(&driver, "/v1/rules").await.unwrap();
    issuer.revoke();
    for result in fifty(&driver).await {
        let answer = result.unwrap();
        assert_eq!(answer.status, 204);
        assert!((1..=2).contains(&answer.sends));
    }
    assert_eq!(issuer.backend.count(LOGIN), 2);
    assert!(issuer.backend.count(RULES) <= 1 + 100);
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires_and_no_call_fails() {
    let issuer = Issuer::start();
    let driver = with(
        &issuer.backend,
        Login {
            expires: Some(Expiry::After(Duration::from_millis(300))),
            ..login()
        },
    );
    while issuer.backend.count(LOGIN) < 4 {
        let answer = post(&driver, "/v1/rules").await.unwrap();
        assert_eq!((answer.status, answer.sends), (204, 1));
    }
}

/// While a token still lives its successor is fetched beside the calls: none of them waits for it.
#[tokio::test]
async fn a_call_does_not_wait_for_the_renewal_of_a_token_that_lives() {
    let issuer = Issuer::start();
    let driver = with(
        &issuer.backend,
        Login {
            expires: Some(Expiry::After(Duration::from_secs(2))),
            ..login()
        },
    );
    post(&driver, "/v1/rules").await.unwrap();
    let renewed = Reply::json(200, &json!({ "token": "token-9" }));
    issuer.backend.once(LOGIN, renewed.held());
    // The second login is never answered while these calls are.
    while issuer.backend.count(LOGIN) < 2 {
        assert_eq!(post(&driver, "/v1/rules").await.unwrap().status, 204);
    }
    issuer.backend.release();
}

#[tokio::test]
async fn the_answer_says_how_long_a_token_lives() {
    let far = cmp_relay::clock::unix_micros() / 1_000_000 + 3_600;
    let cases = [
        (Expiry::In(path("$.in")), json!({ "in": 3600 })),
        (Expiry::In(path("$.in")), json!({ "in": "3600" })),
        (Expiry::At(path("$.at")), json!({ "at": far })),
        (Expiry::At(path("$.at")), json!({ "at": far * 1000 })),
        (
            Expiry::At(path("$.at")),
            json!({ "at": cmp_relay::clock::rfc3339(far * 1_000_000) }),
        ),
    ];
    for (expires, beside) in cases {
        let issuer = Issuer::giving(beside.clone());
        let driver = with(
            &issuer.backend,
            Login {
                expires: Some(expires),
                ..login()
            },
        );
        post(&driver, "/v1/rules").await.unwrap();
        let AuthState::LoggedIn { expires_in, .. } = driver.auth_state() else {
            panic!("{:?}", driver.auth_state());
        };
        let left = expires_in.expect("it expires").as_secs();
        assert!((3_500..=3_600).contains(&left), "{beside}: {left}");
    }
}

#[tokio::test]
async fn a_second_refusal_did_not_run_and_is_not_sent_a_third_time() {
    let issuer = Issuer::start();
    issuer.revoke_all();
    let driver = with(&issuer.backend, login());
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unauthorized);
    assert_eq!((error.sends, error.backend_status), (2, Some(401)));
    assert_eq!(
        (issuer.backend.count(LOGIN), issuer.backend.count(RULES)),
        (2, 2)
    );
    // The next one is not worth another login at once, and is sent once.
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!((error.outcome, error.sends), (SendOutcome::Unauthorized, 1));
    assert!(
        error.detail.contains("the next renewal is tried in"),
        "{}",
        error.detail
    );
    assert_eq!(
        (issuer.backend.count(LOGIN), issuer.backend.count(RULES)),
        (2, 3)
    );
    // A call that is let in goes on as before.
    issuer.backend.on("POST /v1/open", Reply::status(204));
    assert_eq!(post(&driver, "/v1/open").await.unwrap().sends, 1);
}

#[tokio::test]
async fn silence_after_the_resend_is_unknown() {
    let issuer = Issuer::start();
    let driver = with(&issuer.backend, login());
    issuer.backend.once(RULES, Reply::status(401));
    issuer.backend.once(RULES, Reply::reset());
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!((error.outcome, error.sends), (SendOutcome::Unknown, 2));
    assert_eq!(issuer.backend.count(RULES), 2);
}

#[tokio::test]
async fn a_gate_that_closes_before_the_resend_is_heeded() {
    let issuer = Issuer::start();
    let driver = with(&issuer.backend, login());
    post(&driver, "/v1/rules").await.unwrap();
    issuer.revoke();
    let open = Arc::new(AtomicBool::new(true));
    let closing = Clearance {
        gate: Arc::new({
            let open = Arc::clone(&open);
            move || open.swap(false, Ordering::SeqCst)
        }),
        ..clearance(true)
    };
    let error = driver
        .send(&call(Method::POST, "/v1/rules"), &closing)
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Refused(Refusal::Gate));
    assert_eq!((error.sends, issuer.backend.count(RULES)), (1, 2));
    assert_eq!(issuer.backend.count(LOGIN), 1);
}

#[tokio::test]
async fn a_node_that_is_not_active_does_not_even_log_in() {
    let issuer = Issuer::start();
    let driver = with(&issuer.backend, login());
    let closed = Clearance {
        gate: Arc::new(|| false),
        ..clearance(true)
    };
    let error = driver
        .send(&call(Method::POST, "/v1/rules"), &closed)
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Refused(Refusal::Gate));
    assert_eq!((error.sends, issuer.backend.connections()), (0, 0));
}

#[tokio::test]
async fn resending_can_be_turned_off() {
    let issuer = Issuer::start();
    let driver = with(
        &issuer.backend,
        Login {
            resend: false,
            ..login()
        },
    );
    post(&driver, "/v1/rules").await.unwrap();
    issuer.revoke();
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!((error.outcome, error.sends), (SendOutcome::Unauthorized, 1));
    // The next call finds a new token all the same.
    assert_eq!(post(&driver, "/v1/rules").await.unwrap().status, 204);
    assert_eq!(
        (issuer.backend.count(LOGIN), issuer.backend.count(RULES)),
        (2, 3)
    );
}

#[tokio::test]
async fn an_answer_of_the_backends_own_means_log_in_again() {
    let issuer = Issuer::start();
    let driver = with(
        &issuer.backend,
        Login {
            expired_when: vec![condition(&json!({ "$.error": "session expired" }))],
            ..login()
        },
    );
    issuer.backend.once(
        RULES,
        Reply::json(200, &json!({ "error": "session expired" })),
    );
    let answer = post(&driver, "/v1/rules").await.unwrap();
    assert_eq!((answer.status, answer.sends), (204, 2));
    assert_eq!(issuer.backend.count(LOGIN), 2);
    // Then a 401 is an answer like any other.
    issuer.backend.once(RULES, Reply::status(401));
    let answer = post(&driver, "/v1/rules").await.unwrap();
    assert_eq!((answer.status, answer.sends), (401, 1));
}

#[tokio::test]
async fn a_failed_login_is_backed_off_and_names_the_next_try() {
    let backend = FakeBackend::start();
    backend.on(
        LOGIN,
        Reply::json(403, &json!({ "message": "bad password: hunter2" })),
    );
    let driver = with(&backend, login());
    for result in fifty(&driver).await {
        let error = result.unwrap_err();
        assert_eq!((error.outcome, error.sends), (SendOutcome::Unauthorized, 0));
        assert_eq!(
            (error.phase, error.backend_status),
            (Phase::Authenticate, Some(403))
        );
        assert!(
            error.detail.contains("bad password: ***"),
            "{}",
            error.detail
        );
        assert!(!format!("{error:?}").contains("hunter2"));
    }
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert!(
        error.detail.contains("the next login is tried in"),
        "{}",
        error.detail
    );
    assert_eq!((backend.count(LOGIN), backend.count(RULES)), (1, 0));
    let AuthState::BackingOff { retry_after, .. } = driver.auth_state() else {
        panic!("{:?}", driver.auth_state());
    };
    assert!(retry_after <= Duration::from_secs(1));
}

#[tokio::test]
async fn the_back_off_grows_and_a_success_ends_it() {
    let backend = FakeBackend::start();
    backend.once(LOGIN, Reply::status(403));
    backend.once(LOGIN, Reply::status(403));
    backend.on(LOGIN, Reply::json(200, &json!({ "token": "t" })));
    backend.on(RULES, Reply::status(204));
    let driver = with(&backend, login());
    let mut longest = Duration::ZERO;
    while post(&driver, "/v1/rules").await.is_err() {
        if let AuthState::BackingOff { retry_after, .. } = driver.auth_state() {
            longest = longest.max(retry_after);
            tokio::time::sleep(retry_after).await;
        }
    }
    assert!(longest > Duration::from_secs(1) && longest <= Duration::from_secs(2));
    assert_eq!((backend.count(LOGIN), backend.count(RULES)), (3, 1));
}

#[tokio::test]
async fn a_login_that_cannot_be_sent_is_no_refusal() {
    let backend = FakeBackend::start();
    let mut spec = spec(&backend, Auth::Login(Arc::new(login())));
    spec.url.port = crate::support::fake_backend::closed_port();
    let driver = HttpsDriver::new(&spec, &limits()).unwrap();
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!(
        (error.outcome, error.phase),
        (SendOutcome::NotSent, Phase::Connect)
    );
    assert_eq!(driver.auth_state(), AuthState::LoggedOut);
}

#[tokio::test]
async fn a_caller_who_gives_up_does_not_break_the_login_off() {
    let issuer = Issuer::start();
    issuer.backend.once(
        LOGIN,
        Reply::json(200, &json!({ "token": "token-9" })).held(),
    );
    let driver = with(&issuer.backend, login());
    let short = Clearance {
        deadline: Boottime::now() + Duration::from_millis(100),
        ..clearance(true)
    };
    let error = driver
        .send(&call(Method::POST, "/v1/rules"), &short)
        .await
        .unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Refused(Refusal::Deadline));
    assert_eq!(error.sends, 0);
    issuer.backend.release();
    assert_eq!(post(&driver, "/v1/rules").await.unwrap().status, 204);
    assert_eq!(issuer.backend.count(LOGIN), 1);
}

#[tokio::test]
async fn a_form_login_gives_a_cookie_and_a_csrf_header() {
    let backend = FakeBackend::start();
    backend.on(
        LOGIN,
        Reply::redirect(302, "/home")
            .cookie("APSCOOKIE=s%3D1; Path=/; HttpOnly")
            .cookie("ccsrftoken=\"c1\"; Path=/"),
    );
    backend.on(RULES, Reply::status(204));
    let driver = with(
        &backend,
        Login {
            body: LoginBody::Form(vec![
                ("username".into(), SecretTree::Literal(json!("relay"))),
                ("password".into(), SecretTree::Secret(secret("p&w d"))),
            ]),
            success_when: Some(condition(&json!({ "status": [200, 302] }))),
            tokens: vec![
                ("session".into(), TokenSource::Cookie("APSCOOKIE".into())),
                ("csrf".into(), TokenSource::Cookie("ccsrftoken".into())),
            ],
            send: vec![
                cookie("APSCOOKIE", "{{ tokens.session }}"),
                cookie("ccsrftoken", "{{ tokens.csrf }}"),
                header("x-csrftoken", "{{ tokens.csrf }}"),
            ],
            ..login()
        },
    );
    assert_eq!(post(&driver, "/v1/rules").await.unwrap().status, 204);
    let calls = backend.calls();
    assert_eq!(calls[0].text(), "username=relay&password=p%26w%20d");
    assert_eq!(
        calls[0].header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    assert_eq!(calls[1].path, "/v1/rules", "a redirect is followed nowhere");
    assert_eq!(
        calls[1].header("cookie"),
        Some("APSCOOKIE=s%3D1; ccsrftoken=\"c1\"")
    );
    assert_eq!(calls[1].header("x-csrftoken"), Some("\"c1\""));
    let cookies = |call: &Seen| {
        call.headers
            .iter()
            .filter(|(name, _)| name == "cookie")
            .count()
    };
    assert_eq!(cookies(&calls[1]), 1);
}

#[tokio::test]
async fn a_login_follows_its_redirects_with_the_cookies_of_the_way() {
    for (status, next) in [(302, "GET /app/done"), (308, "POST /app/done")] {
        let backend = FakeBackend::start();
        backend.on(
            LOGIN,
            Reply::redirect(status, "/app/done?way=1").cookie("session=first; Path=/"),
        );
        backend.on(
            next,
            Reply::json(200, &json!({ "status": "OK" })).cookie("seen=1"),
        );
        backend.on(RULES, Reply::status(204));
        let driver = with(
            &backend,
            Login {
                follow_redirects: 1,
                success_when: Some(condition(&json!({ "$.status": "OK" }))),
                tokens: vec![("session".into(), TokenSource::Cookie("session".into()))],
                send: vec![cookie("session", "{{ tokens.session }}")],
                ..login()
            },
        );
        assert_eq!(post(&driver, "/v1/rules").await.unwrap().status, 204);
        let calls = backend.calls();
        assert_eq!(calls[1].query.as_deref(), Some("way=1"));
        assert_eq!(calls[1].header("cookie"), Some("session=first"));
        assert_eq!(calls[1].text().contains("hunter2"), status == 308);
        assert_eq!(calls[2].header("cookie"), Some("session=first"));
    }
}

#[tokio::test]
async fn a_login_is_led_nowhere_else_and_not_in_circles() {
    for (location, said) in [
        ("https://evil.test/login", "leads away from"),
        ("/login", "is no success"),
    ] {
        let backend = FakeBackend::start();
        backend.on("*", Reply::redirect(307, location).cookie("session=first"));
        let driver = with(
            &backend,
            Login {
                follow_redirects: 2,
                tokens: vec![("session".into(), TokenSource::Cookie("session".into()))],
                ..login()
            },
        );
        let error = post(&driver, "/v1/rules").await.unwrap_err();
        assert_eq!(error.outcome, SendOutcome::Unauthorized);
        assert!(error.detail.contains(said), "{}", error.detail);
        let sent = if location == "/login" { 3 } else { 1 };
        assert_eq!(backend.calls().len(), sent);
    }
}

#[tokio::test]
async fn a_login_without_its_token_failed_whatever_its_status() {
    let backend = FakeBackend::start();
    backend.on(LOGIN, Reply::json(200, &json!({ "status": "ok" })));
    let driver = with(&backend, login());
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unauthorized);
    assert!(
        error.detail.contains("no token `token`"),
        "{}",
        error.detail
    );
    assert_eq!(backend.count(RULES), 0);
}

#[tokio::test]
async fn a_login_that_says_error_with_status_200_failed() {
    let backend = FakeBackend::start();
    let body = json!({ "status": "ERROR", "status_message": "locked", "token": "leak" });
    backend.on(LOGIN, Reply::json(200, &body));
    let driver = with(
        &backend,
        Login {
            success_when: Some(condition(&json!({ "$.status": "OK" }))),
            ..login()
        },
    );
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert!(error.detail.contains("locked"), "{}", error.detail);
    assert!(!error.detail.contains("leak"), "{}", error.detail);
}

#[tokio::test]
async fn closing_logs_out_with_the_token_where_that_is_declared() {
    let issuer = Issuer::start();
    issuer.backend.on("POST /logout", Reply::status(204));
    let driver = with(
        &issuer.backend,
        Login {
            logout: Some((Method::POST, "/logout".into())),
            ..login()
        },
    );
    driver.close().await;
    assert_eq!(
        issuer.backend.count("POST /logout"),
        0,
        "nobody was logged in"
    );
    post(&driver, "/v1/rules").await.unwrap();
    driver.close().await;
    let calls = issuer.backend.calls();
    let logout = calls.last().unwrap();
    assert_eq!(
        (&*logout.path, logout.header("x-token")),
        ("/logout", Some("token-1"))
    );
    assert_eq!(driver.auth_state(), AuthState::LoggedOut);
    driver.close().await;
    assert_eq!(issuer.backend.count("POST /logout"), 1);
}

#[tokio::test]
async fn what_a_backend_quotes_of_its_tokens_is_concealed() {
    let issuer = Issuer::start();
    let driver = with(&issuer.backend, login());
    post(&driver, "/v1/rules").await.unwrap();
    assert_eq!(
        driver.scrub("token-1 of user relay, password hunter2"),
        "*** of user relay, password ***"
    );
    let shown = format!("{driver:?}");
    assert!(
        !shown.contains("token-1") && !shown.contains("hunter2"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_call_may_name_another_auth() {
    let backend = FakeBackend::start();
    backend.on("*", Reply::status(204));
    let mut spec = spec(&backend, Auth::Bearer(secret("t0k3n")));
    spec.auths.push(("plain".into(), Auth::None));
    let driver = HttpsDriver::new(&spec, &limits()).unwrap();
    post(&driver, "/a").await.unwrap();
    let RenderedCall::Http(mut request) = call(Method::POST, "/b") else {
        panic!("https")
    };
    request.auth = Some("plain".into());
    driver
        .send(&RenderedCall::Http(request), &clearance(true))
        .await
        .unwrap();
    let calls = backend.calls();
    assert_eq!(calls[0].header("authorization"), Some("Bearer t0k3n"));
    assert_eq!(calls[1].header("authorization"), None);
}

#[tokio::test]
async fn a_refusal_of_fixed_credentials_is_an_answer() {
    let backend = FakeBackend::start();
    backend.on("*", Reply::status(401));
    let driver = driver(&backend, Auth::Bearer(secret("t0k3n")));
    let answer = post(&driver, "/a").await.unwrap();
    assert_eq!((answer.status, answer.sends), (401, 1));
    assert_eq!(backend.count("*"), 1);
}

#[tokio::test]
async fn a_probe_logs_in_and_sends_no_call() {
    let issuer = Issuer::start();
    let driver = with(&issuer.backend, login());
    let probe = driver.probe(&clearance(false)).await;
    assert!(probe.failed.is_none(), "{probe:?}");
    assert_eq!(probe.found.last().unwrap().what, "`auth` is logged in");
    assert_eq!(
        (issuer.backend.count(LOGIN), issuer.backend.count(RULES)),
        (1, 0)
    );
}
