//! Keystone v3: the shapes of OpenStack's Identity API.

use cmp_relay::plan::{Keystone, KeystoneCredentials};

use super::*;

const TOKENS: &str = "POST /v3/auth/tokens";

fn password() -> KeystoneCredentials {
    KeystoneCredentials::Password {
        user: "relay".into(),
        user_domain: "Default".into(),
        password: secret("hunter2"),
        project: "admin".into(),
        project_domain: "Default".into(),
    }
}

fn with_keystone(
    neutron: &FakeBackend,
    keystone: &FakeBackend,
    credentials: KeystoneCredentials,
) -> Arc<HttpsDriver> {
    let auth = Auth::Keystone(Box::new(Keystone {
        url: BaseUrl {
            path: "/v3".into(),
            ..base_url(false, keystone.port())
        },
        credentials,
        tls: BackendTls::default(),
    }));
    driver(neutron, auth)
}

fn issue(keystone: &FakeBackend, life_seconds: i64) {
    let numbers = AtomicUsize::new(0);
    keystone.answer(TOKENS, move |_| {
        let number = numbers.fetch_add(1, Ordering::SeqCst) + 1;
        // A Keystone whose clock is far from ours.
        let at = |seconds: i64| cmp_relay::clock::rfc3339((1_000_000_000 + seconds) * 1_000_000);
        let body = json!({ "token": {
            "methods": ["password"],
            "issued_at": at(0),
            "expires_at": at(life_seconds),
        }});
        Reply::json(201, &body).header("X-Subject-Token", &format!("gAAAAA-{number}"))
    });
}

#[tokio::test]
async fn a_password_gives_a_scoped_token() {
    let (neutron, keystone) = (FakeBackend::start(), FakeBackend::start());
    neutron.on(RULES, Reply::status(204));
    issue(&keystone, 3600);
    let driver = with_keystone(&neutron, &keystone, password());
    for result in fifty(&driver).await {
        assert_eq!(result.unwrap().status, 204);
    }
    assert_eq!(keystone.count("*"), 1);
    assert_eq!(
        keystone.calls()[0].json(),
        json!({ "auth": {
            "identity": {
                "methods": ["password"],
                "password": { "user": {
                    "name": "relay", "domain": { "name": "Default" }, "password": "hunter2"
                }}
            },
            "scope": { "project": { "name": "admin", "domain": { "name": "Default" } } }
        }})
    );
    assert_eq!(neutron.calls()[0].header("x-auth-token"), Some("gAAAAA-1"));
    let AuthState::LoggedIn { expires_in, .. } = driver.auth_state() else {
        panic!("{:?}", driver.auth_state());
    };
    assert!(expires_in.unwrap() > Duration::from_secs(3_500));
}

#[tokio::test]
async fn an_application_credential_names_no_scope() {
    let (neutron, keystone) = (FakeBackend::start(), FakeBackend::start());
    neutron.on(RULES, Reply::status(204));
    issue(&keystone, 3600);
    let credentials = KeystoneCredentials::ApplicationCredential {
        id: "id1".into(),
        secret: secret("hunter2"),
    };
    post(
        &with_keystone(&neutron, &keystone, credentials),
        "/v1/rules",
    )
    .await
    .unwrap();
    assert_eq!(
        keystone.calls()[0].json(),
        json!({ "auth": { "identity": {
            "methods": ["application_credential"],
            "application_credential": { "id": "id1", "secret": "hunter2" }
        }}})
    );
}

#[tokio::test]
async fn a_short_token_is_renewed_at_half_its_life() {
    let (neutron, keystone) = (FakeBackend::start(), FakeBackend::start());
    neutron.on(RULES, Reply::status(204));
    issue(&keystone, 1);
    let driver = with_keystone(&neutron, &keystone, password());
    while keystone.count(TOKENS) < 3 {
        assert_eq!(post(&driver, "/v1/rules").await.unwrap().sends, 1);
    }
}

#[tokio::test]
async fn a_token_that_neutron_refuses_is_renewed_and_the_call_sent_once_more() {
    let (neutron, keystone) = (FakeBackend::start(), FakeBackend::start());
    issue(&keystone, 3600);
    neutron.answer(RULES, |call| match call.header("x-auth-token") {
        Some("gAAAAA-2") => Reply::status(204),
        _ => Reply::status(401).header("WWW-Authenticate", "Keystone uri=..."),
    });
    let driver = with_keystone(&neutron, &keystone, password());
    let answer = post(&driver, "/v1/rules").await.unwrap();
    assert_eq!((answer.status, answer.sends), (204, 2));
    assert_eq!((keystone.count(TOKENS), neutron.count(RULES)), (2, 2));
}

#[tokio::test]
async fn a_refused_password_is_told_in_keystones_words() {
    let (neutron, keystone) = (FakeBackend::start(), FakeBackend::start());
    let error = json!({ "error": { "code": 401, "title": "Unauthorized",
        "message": "The request you have made requires authentication." }});
    keystone.on(TOKENS, Reply::json(401, &error));
    let driver = with_keystone(&neutron, &keystone, password());
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!((error.outcome, error.sends), (SendOutcome::Unauthorized, 0));
    assert!(
        error.detail.contains("requires authentication"),
        "{}",
        error.detail
    );
    assert_eq!(neutron.connections(), 0);
}

#[tokio::test]
async fn a_keystone_that_is_down_leaves_the_call_unsent() {
    let neutron = FakeBackend::start();
    let keystone = FakeBackend::start();
    keystone.on(TOKENS, Reply::reset());
    let driver = with_keystone(&neutron, &keystone, password());
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!((error.outcome, error.sends), (SendOutcome::Unauthorized, 0));
    assert_eq!(neutron.connections(), 0);
}
