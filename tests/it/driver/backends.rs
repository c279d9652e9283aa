//! Several backends together: each bears its own sickness, a reload keeps what has not changed, and
//! the choice among them follows the file.

use std::path::PathBuf;

use cmp_relay::backend::{AdmitError, BackendManager, BreakerState, ChooseError, Facts, choose};
use cmp_relay::driver::{AuthState, SendOutcome};
use cmp_relay::plan::{
    Backend, BackendId, BackendState, Breaker, Confirm, Database, DriverSpec, Limits, Log,
    LogFormat, Operations, Plan, Prefer, Replication, RouteTable, Select, Server,
};
use cmp_relay::transform::{Env, Position, Root, Scope, Text};
use serde_json::json;

use super::auth::{Issuer, login};
use super::*;
use crate::support::fake_backend::{Reply, closed_port};

const RULES: &str = "POST /v1/rules";

fn server() -> Server {
    let loopback = "127.0.0.1:0".parse().unwrap();
    Server {
        listen: loopback,
        admin_listen: loopback,
        database: Database::Sqlite(PathBuf::from("unused")),
        tls: None,
        clients: Vec::new(),
        limits: Limits {
            request_body: 1 << 20,
            response_body: 1 << 20,
            stored_reply: 1 << 16,
            in_flight: 64,
            connections: 64,
            cached_mappings: 64,
        },
        operations: Operations {
            retain: Duration::from_secs(1),
            key_required: false,
        },
        replication: Replication {
            standby: None,
            confirm: Confirm::None,
            timeout: Duration::from_secs(1),
        },
        pair: None,
        node: "a".into(),
        log: Log {
            format: LogFormat::Text,
            level: "info".into(),
        },
    }
}

/// When a close gives up on calls under way: never, here.
fn soon() -> Boottime {
    Boottime::now() + Duration::from_secs(30)
}

fn plan(backends: Vec<Backend>) -> Plan {
    let (resources, routes) = (Vec::new(), Vec::new());
    Plan::new(
        server(),
        backends,
        resources,
        routes,
        RouteTable::default(),
        "".into(),
    )
}

/// A backend with two places, a queue of one, and a breaker that opens at the second failure.
fn backend(name: &str, spec: Spec) -> Backend {
    Backend {
        name: name.into(),
        kind: "fw".into(),
        labels: Vec::new(),
        scope: std::sync::Arc::new(json!({})),
        state: BackendState::Active,
        limits: BackendLimits {
            concurrency: 2,
            queue: 1,
            ..limits()
        },
        breaker: Breaker {
            failures: 2,
            open_for: Duration::from_secs(60),
        },
        driver: DriverSpec::Https(spec),
    }
}

async fn send(manager: &BackendManager, id: BackendId) -> Result<Answer, DriverError> {
    let clearance = clearance(true);
    let place = manager
        .admit(id, clearance.deadline)
        .await
        .expect("there is a place");
    manager
        .send(&place, &call(Method::POST, "/v1/rules"), &clearance)
        .await
}

const A: BackendId = BackendId(0);
const B: BackendId = BackendId(1);

#[tokio::test]
async fn a_slow_backend_fills_its_own_places_and_no_others() {
    let (slow, quick) = (FakeBackend::start(), FakeBackend::start());
    slow.on(RULES, Reply::status(204).held());
    quick.on(RULES, Reply::status(204));
    let plan = plan(vec![
        backend("a", spec(&slow, Auth::None)),
        backend("b", spec(&quick, Auth::None)),
    ]);
    let manager = Arc::new(BackendManager::new(&plan, None).unwrap());
    let mut stuck = tokio::task::JoinSet::new();
    for _ in 0..3 {
        let manager = Arc::clone(&manager);
        stuck.spawn(async move { send(&manager, A).await });
    }
    slow.wait_for_calls(RULES, 2).await;
    while manager.snapshot()[0].queued < 1 {
        tokio::task::yield_now().await;
    }
    let deadline = clearance(true).deadline;
    assert_eq!(
        manager.admit(A, deadline).await.unwrap_err(),
        AdmitError::Busy
    );
    for _ in 0..10 {
        assert_eq!(send(&manager, B).await.unwrap().status, 204);
    }
    let health = manager.snapshot();
    assert_eq!((health[0].in_flight, health[0].queued), (2, 1));
    assert_eq!((health[1].in_flight, health[1].queued), (0, 0));
    slow.release();
    for result in stuck.join_all().await {
        assert_eq!(result.unwrap().status, 204);
    }
    assert_eq!(slow.count(RULES), 3);
    assert_eq!(manager.snapshot()[0].in_flight, 0);
}

#[tokio::test]
async fn a_backend_that_is_down_opens_its_own_breaker_alone() {
    let up = FakeBackend::start();
    up.on(RULES, Reply::status(204));
    let mut down = spec(&up, Auth::None);
    down.url.port = closed_port();
    let plan = plan(vec![
        backend("a", down),
        backend("b", spec(&up, Auth::None)),
    ]);
    let manager = BackendManager::new(&plan, None).unwrap();
    for _ in 0..2 {
        let error = send(&manager, A).await.unwrap_err();
        assert_eq!(error.outcome, SendOutcome::NotSent);
    }
    let deadline = clearance(true).deadline;
    let refused = manager.admit(A, deadline).await.unwrap_err();
    assert!(
        matches!(refused, AdmitError::BreakerOpen { .. }),
        "{refused:?}"
    );
    assert_eq!(send(&manager, B).await.unwrap().status, 204);
    let health = manager.snapshot();
    assert!(matches!(health[0].breaker, BreakerState::Open { .. }));
    let error = health[0].last_error.as_deref().unwrap();
    assert!(
        error.starts_with("connecting: no connection to 127.0.0.1"),
        "{error}"
    );
    assert_eq!(
        (health[1].breaker, &health[1].last_error),
        (BreakerState::Closed, &None)
    );
}

#[tokio::test]
async fn a_dropped_place_is_free_again() {
    let up = FakeBackend::start();
    let plan = plan(vec![backend("a", spec(&up, Auth::None))]);
    let manager = BackendManager::new(&plan, None).unwrap();
    let deadline = clearance(true).deadline;
    for _ in 0..5 {
        let first = manager.admit(A, deadline).await.unwrap();
        let second = manager.admit(A, deadline).await.unwrap();
        assert_eq!(manager.snapshot()[0].in_flight, 2);
        drop((first, second));
    }
    assert_eq!(up.connections(), 0);
}

#[tokio::test]
async fn a_reload_keeps_logins_and_connections_where_nothing_has_changed() {
    let issuer = Issuer::start();
    let spec_with = |login| spec(&issuer.backend, Auth::Login(Arc::new(login)));
    let before = plan(vec![backend("a", spec_with(login()))]);
    let first = BackendManager::new(&before, None).unwrap();
    send(&first, A).await.unwrap();
    // Labels, the state and a new neighbour are none of the driver's business.
    let after = plan(vec![
        Backend {
            state: BackendState::Drain,
            labels: vec![("site".into(), "tpe".into())],
            ..backend("a", spec_with(login()))
        },
        backend("b", spec(&issuer.backend, Auth::None)),
    ]);
    let second = BackendManager::new(&after, Some(&first)).unwrap();
    first.close(Some(&second), soon()).await;
    assert!(matches!(
        second.snapshot()[0].auth,
        AuthState::LoggedIn { renewals: 1, .. }
    ));
    assert_eq!(second.snapshot()[1].auth, AuthState::Fixed);
    send(&second, A).await.unwrap();
    assert_eq!(issuer.backend.count("POST /login"), 1);
    assert_eq!(issuer.backend.connections(), 1);
}

#[tokio::test]
async fn a_reload_with_another_secret_logs_in_again_and_out_before() {
    let issuer = Issuer::start();
    issuer.backend.on("POST /logout", Reply::status(204));
    let with_password = |password| {
        let mut login = login();
        login.body =
            cmp_relay::plan::LoginBody::Json(cmp_relay::plan::SecretTree::Secret(secret(password)));
        login.logout = Some((Method::POST, "/logout".into()));
        plan(vec![backend(
            "a",
            spec(&issuer.backend, Auth::Login(Arc::new(login))),
        )])
    };
    let first = BackendManager::new(&with_password("old"), None).unwrap();
    send(&first, A).await.unwrap();
    let second = BackendManager::new(&with_password("new"), Some(&first)).unwrap();
    first.close(Some(&second), soon()).await;
    send(&second, A).await.unwrap();
    assert_eq!(issuer.backend.count("POST /login"), 2);
    assert_eq!(issuer.backend.count("POST /logout"), 1);
}

#[tokio::test]
async fn a_replaced_driver_ends_its_calls_before_it_logs_out_and_holds_nobody_up() {
    let issuer = Issuer::start();
    issuer.backend.on("POST /logout", Reply::status(204));
    let with_path = |path: &str| {
        let mut login = login();
        login.logout = Some((Method::POST, "/logout".into()));
        let mut spec = spec(&issuer.backend, Auth::Login(Arc::new(login)));
        spec.query = vec![("v".into(), path.into())];
        plan(vec![backend("a", spec)])
    };
    issuer.backend.once(RULES, Reply::status(204).held());
    let first = Arc::new(BackendManager::new(&with_path("1"), None).unwrap());
    let slow = tokio::spawn({
        let first = Arc::clone(&first);
        async move { send(&first, A).await }
    });
    issuer.backend.wait_for_calls(RULES, 1).await;
    let second = Arc::new(BackendManager::new(&with_path("2"), Some(&first)).unwrap());
    let closing = tokio::spawn({
        let (first, second) = (Arc::clone(&first), Arc::clone(&second));
        async move { first.close(Some(&second), soon()).await }
    });
    for _ in 0..3 {
        assert_eq!(send(&second, A).await.unwrap().status, 204);
    }
    assert!(!closing.is_finished());
    assert_eq!(issuer.backend.count("POST /logout"), 0);
    issuer.backend.release();
    assert_eq!(slow.await.unwrap().unwrap().status, 204);
    closing.await.unwrap();
    assert_eq!(issuer.backend.count("POST /logout"), 1);
}

#[tokio::test]
async fn a_reload_keeps_an_open_breaker() {
    let up = FakeBackend::start();
    up.on(RULES, Reply::status(503));
    let of = |up: &FakeBackend| plan(vec![backend("a", spec(up, Auth::None))]);
    let first = BackendManager::new(&of(&up), None).unwrap();
    for _ in 0..2 {
        assert_eq!(send(&first, A).await.unwrap().status, 503);
    }
    let second = BackendManager::new(&of(&up), Some(&first)).unwrap();
    assert!(matches!(
        second.snapshot()[0].breaker,
        BreakerState::Open { .. }
    ));
}

#[tokio::test]
async fn a_backend_that_cannot_be_made_is_named() {
    let up = FakeBackend::start();
    let mut broken = spec(&up, Auth::None);
    broken.url.https = true;
    broken.tls.ca_file = Some("/nonexistent/ca.pem".into());
    let plan = plan(vec![backend("fw-tpe-1", broken)]);
    let message = BackendManager::new(&plan, None).unwrap_err().to_string();
    assert!(
        message.contains("`fw-tpe-1`") && message.contains("ca.pem"),
        "{message}"
    );
}

/// Three backends of one kind: a and b at tpe, c at khh.
fn three() -> Plan {
    let site = |name, site: &str| {
        let nowhere = Spec {
            url: base_url(false, 9),
            headers: Vec::new(),
            query: Vec::new(),
            auths: Vec::new(),
            tls: BackendTls::default(),
            profile: None,
        };
        Backend {
            labels: vec![("site".into(), site.into())],
            ..backend(name, nowhere)
        }
    };
    plan(vec![site("a", "tpe"), site("b", "tpe"), site("c", "khh")])
}

fn select(prefer: Prefer) -> Select {
    Select {
        candidates: vec![A, B, BackendId(2)],
        same_as: None,
        instance: None,
        labels: Vec::new(),
        prefer,
    }
}

fn text(template: &str) -> Text {
    let (maps, resources, templates) = Default::default();
    let env = Env {
        roots: &[Root::Body],
        path: &[],
        parents: &[],
        lets: &[],
        extracted: &[],
        tokens: &[],
        maps: &maps,
        resources: &resources,
        templates: &templates,
        uses: None,
    };
    let snippet = cmp_relay::document::Snippet::file(cmp_relay::document::FileId(0), template);
    let mut diags = cmp_relay::diagnostics::Diagnostics::default();
    Text::compile(snippet, Position::Plain, "select", &env, &mut diags).expect("it compiles")
}

const FACTS: Facts<'static> = Facts {
    preferred: None,
    parent: None,
    objects: &[5, 2, 2],
    turn: 0,
    mutating: true,
};

fn chosen(plan: &Plan, select: &Select, facts: &Facts<'_>) -> Result<u16, ChooseError> {
    let mut scope = Scope::new();
    scope.set(
        Root::Body,
        json!({ "site": "tpe", "switch": "c", "tenant": "t1" }),
    );
    choose(plan, select, &scope, facts).map(|id| id.0)
}

#[test]
fn labels_leave_those_that_match_and_prefer_takes_one() {
    let plan = three();
    let at_tpe = |prefer| Select {
        labels: vec![("site".into(), text("{{ body.site }}"))],
        ..select(prefer)
    };
    assert_eq!(chosen(&plan, &at_tpe(Prefer::First), &FACTS), Ok(0));
    assert_eq!(chosen(&plan, &at_tpe(Prefer::LeastObjects), &FACTS), Ok(1));
    let turns: Vec<_> = (0..4)
        .map(|turn| chosen(&plan, &at_tpe(Prefer::RoundRobin), &Facts { turn, ..FACTS }).unwrap())
        .collect();
    assert_eq!(turns, [0, 1, 0, 1]);
    let hashed = select(Prefer::Hash(text("{{ body.tenant }}")));
    let once = chosen(&plan, &hashed, &FACTS);
    assert_eq!(chosen(&plan, &hashed, &Facts { turn: 9, ..FACTS }), once);
    let nowhere = Select {
        labels: vec![("site".into(), text("mars"))],
        ..select(Prefer::First)
    };
    assert_eq!(
        chosen(&plan, &nowhere, &FACTS),
        Err(ChooseError::NoBackend(
            "no backend of this kind has the labels `site: mars`".into()
        ))
    );
}

#[test]
fn an_instance_is_named_outright_and_must_exist() {
    let plan = three();
    let named = |template| Select {
        instance: Some(text(template)),
        ..select(Prefer::First)
    };
    assert_eq!(chosen(&plan, &named("{{ body.switch }}"), &FACTS), Ok(2));
    assert_eq!(
        chosen(&plan, &named("sw-9"), &FACTS),
        Err(ChooseError::NoSuchBackend("sw-9".into()))
    );
}

#[test]
fn a_draining_instance_gets_nothing_new_and_serves_what_it_has() {
    let mut plan = three();
    plan.backends[0].state = BackendState::Drain;
    assert_eq!(chosen(&plan, &select(Prefer::First), &FACTS), Ok(1));
    let named = Select {
        instance: Some(text("a")),
        ..select(Prefer::First)
    };
    let refused = chosen(&plan, &named, &FACTS).unwrap_err();
    assert!(refused.to_string().contains("drains"), "{refused}");
    let read = Facts {
        mutating: false,
        ..FACTS
    };
    assert_eq!(chosen(&plan, &named, &read), Ok(0));
    // What belongs to an object goes where the object is.
    let beside = Select {
        same_as: Some(0),
        ..select(Prefer::First)
    };
    let parent = Facts {
        parent: Some(A),
        ..FACTS
    };
    assert_eq!(chosen(&plan, &beside, &parent), Ok(0));
    assert_eq!(chosen(&plan, &beside, &FACTS), Ok(1));
}
