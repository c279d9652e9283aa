//! Invariant 2: at every instant at which the process may die, what the backend holds is either mapped
//! or named by an operation in doubt; and a retry after the restart makes no second object.
//!
//! The relay runs in a child process (this very test binary), which dies by SIGKILL at a chosen step
//! of one request; the backend lives on in the parent. Then the relay is started over the same
//! database, and the CMP retries.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cmp_relay::plan::Role;
use cmp_relay::relay::Caller;
use cmp_relay::relay::settle::{Assertion, Overrides};
use cmp_relay::store::{MappingFilter, Operation, OperationFilter, Settled, State, Write};
use serde_json::Value;

use crate::support::faulty_store::{FaultyStore, Moment};
use crate::support::relay::{CmpRequest, TestRelay, files_below, open, request_of};
use crate::support::scripted::{Act, Effect, Scripted};
use crate::support::told;

/// The steps of the life of a request at which the child dies.
const STEPS: [&str; 7] = [
    "before-intent",
    "after-intent",
    "call-received",
    "call-done",
    "answer-sent",
    "before-outcome",
    "after-outcome",
];

fn create() -> CmpRequest {
    CmpRequest {
        method: "POST".into(),
        path_and_query: "/v1/things".into(),
        headers: vec![
            ("content-type".into(), "application/json".into()),
            ("idempotency-key".into(), "k1".into()),
        ],
        body: r#"{"id": "t1", "name": "a"}"#.into(),
    }
}

fn files(backend: &str) -> Vec<(String, String)> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/relay/base");
    let mut files = files_below(&base);
    for (_, text) in &mut files {
        *text = text.replace("{BACKEND}", backend);
    }
    files
}

fn kill(pid: u32) {
    let status = Command::new("kill")
        .arg("-KILL")
        .arg(pid.to_string())
        .status();
    assert!(status.unwrap().success());
}

/// Not a test of its own: the child of the one below.
#[test]
fn child_that_dies() {
    let (Some(step), Some(folder), Some(backend)) = (
        told("CRASH_STEP"),
        told("CRASH_FOLDER"),
        told("CRASH_BACKEND"),
    ) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let folder = Path::new(&folder);
        let happening = move |moment, batch: &[Write]| {
            let now = match (moment, batch.first()) {
                (Moment::Before, Some(Write::Begin(_))) => "before-intent",
                (Moment::After, Some(Write::Begin(_))) => "after-intent",
                (Moment::Before, Some(Write::Finish(_))) => "before-outcome",
                (Moment::After, Some(Write::Finish(_))) => "after-outcome",
                _ => return None,
            };
            if now == step {
                kill(std::process::id());
            }
            None
        };
        let store = Arc::new(FaultyStore {
            inner: open(folder).await,
            happening: Arc::new(happening),
        });
        let started = TestRelay::start_over(store, folder, &files(&backend)).await;
        // The parent reads the process id from here, so that it can kill at the backend's steps.
        std::fs::write(folder.join("pid"), std::process::id().to_string()).unwrap();
        request_of(&started.relay, create()).await;
        // A step at the backend kills at any moment from now on.
        tokio::time::sleep(Duration::from_secs(30)).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_step_nothing_is_lost_and_nothing_is_made_twice() {
    for step in STEPS {
        die_and_retry(step).await;
    }
}

async fn die_and_retry(step: &'static str) {
    let folder = tempfile::tempdir().unwrap();
    let backend = Scripted::start().await;
    let objects = Arc::new(AtomicU32::new(0));
    let child_of = folder.path().to_owned();
    let kill_child = move || {
        let pid = std::fs::read_to_string(child_of.join("pid")).unwrap();
        kill(pid.parse().unwrap());
    };
    let make = {
        let objects = objects.clone();
        move || {
            objects.fetch_add(1, Ordering::SeqCst);
        }
    };
    let made = || Act::Answer {
        status: 201,
        headers: vec![("content-type".into(), "application/json".into())],
        body: r#"{"key": 7}"#.into(),
    };
    let effect = |f: Arc<dyn Fn() + Send + Sync>| Effect(f);
    let first = match step {
        "call-received" => Act::After(effect(Arc::new(kill_child)), Box::new(Act::Reset)),
        "call-done" => {
            let both = move || {
                make();
                kill_child();
            };
            Act::After(effect(Arc::new(both)), Box::new(Act::Reset))
        }
        "answer-sent" => {
            // The answer leaves while the child is dying: it may or may not have read it.
            let both = move || {
                make();
                let kill_child = kill_child.clone();
                std::thread::spawn(kill_child);
            };
            Act::After(effect(Arc::new(both)), Box::new(made()))
        }
        _ => Act::After(effect(Arc::new(make)), Box::new(made())),
    };
    backend.will(first);

    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "crash::child_that_dies", "--test-threads", "1"])
        .env("CRASH_STEP", step)
        .env("CRASH_FOLDER", folder.path())
        .env("CRASH_BACKEND", backend.url())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    let status = tokio::task::spawn_blocking(move || child.status().unwrap())
        .await
        .unwrap();
    assert!(!status.success(), "{step}: the child did not die");
    backend.forget();
    let heard_before = backend.take_heard().len();
    assert!(heard_before <= 1, "{step}: one request, at most one call");

    // After the restart every object is mapped, or named by an operation in doubt.
    let again = TestRelay::start_in(folder.path(), &files(&backend.url())).await;
    let (mapped, in_doubt) = rows(&again).await;
    let there = objects.load(Ordering::SeqCst) as usize;
    assert!(
        there <= mapped + in_doubt.len(),
        "{step}: {there} objects, {mapped} mappings, {in_doubt:?}"
    );
    let wanted = match step {
        "before-intent" | "after-outcome" => Some(0),
        // It may or may not have read the answer.
        "answer-sent" => None,
        _ => Some(1),
    };
    assert!(
        wanted.is_none_or(|wanted| wanted == in_doubt.len()),
        "{step}: {in_doubt:?}"
    );
    assert!(
        in_doubt
            .iter()
            .all(|row| row.state == State::Unknown && row.object.cmp_id == "t1"),
        "{step}: {in_doubt:?}"
    );

    // The CMP retries with its key.
    backend.will(Act::After(
        effect(Arc::new(counter(&objects))),
        Box::new(made()),
    ));
    let retried = again.request(create()).await;
    if let Some(doubtful) = in_doubt.first() {
        assert_eq!(retried.status, 409, "{step}");
        let body: Value = serde_json::from_slice(&retried.body).unwrap();
        assert_eq!(body["code"], "outcome_unknown", "{step}");
        assert!(
            backend.take_heard().is_empty(),
            "{step}: a doubtful request was sent again"
        );
        settle(&again, doubtful, there).await;
        let settled = again.request(create()).await;
        assert_eq!(settled.status, 201, "{step}: {:?}", settled.body);
    } else {
        assert_eq!(retried.status, 201, "{step}: {:?}", retried.body);
    }
    let (mapped, in_doubt) = rows(&again).await;
    assert_eq!(
        (objects.load(Ordering::SeqCst), mapped, in_doubt.len()),
        (1, 1, 0),
        "{step}: one object, one mapping, no doubt"
    );
}

fn counter(objects: &Arc<AtomicU32>) -> impl Fn() + Send + Sync + use<> {
    let objects = objects.clone();
    move || {
        objects.fetch_add(1, Ordering::SeqCst);
    }
}

/// What an operator does: looks at the backend, and says what is there.
async fn settle(relay: &TestRelay, doubtful: &Operation, objects: usize) {
    let caller = Caller {
        name: "operator".into(),
        roles: vec![Role::Operator],
    };
    let assertion = match objects {
        0 => Assertion::Failed,
        _ => Assertion::Succeeded {
            backend_id: Some("7".into()),
            reply: None,
        },
    };
    let overrides = Overrides {
        force: true,
        replace: false,
    };
    let settled = relay
        .relay
        .settle(&caller, doubtful.id, assertion, overrides)
        .await;
    assert_eq!(settled.unwrap(), Settled::Done);
}

async fn rows(relay: &TestRelay) -> (usize, Vec<Operation>) {
    let store = relay.relay.journal().store();
    let mappings = MappingFilter {
        limit: 1000,
        ..MappingFilter::default()
    };
    let mapped = store.list_mappings(&mappings).await.unwrap().len();
    let operations = OperationFilter {
        limit: 1000,
        ..OperationFilter::default()
    };
    let in_doubt = store
        .list_operations(&operations)
        .await
        .unwrap()
        .into_iter()
        .filter(|row| matches!(row.state, State::Pending | State::Unknown))
        .collect();
    (mapped, in_doubt)
}

/// The database goes away between the answer and the outcome: the CMP is told that the outcome is not
/// known, and the outcome is written as soon as the database returns (SEMANTICS 13).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outcome_that_the_database_refuses_is_written_when_it_returns() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Scripted::start().await;
    let away = Arc::new(Mutex::new(true));
    let gone = away.clone();
    let happening = move |moment, batch: &[Write]| {
        let outcome = matches!(batch.first(), Some(Write::Finish(_)));
        (moment == Moment::Before && outcome && *gone.lock().unwrap())
            .then(|| cmp_relay::store::StoreError::Unavailable("the disk is full".into()))
    };
    let store = Arc::new(FaultyStore {
        inner: open(folder.path()).await,
        happening: Arc::new(happening),
    });
    let relay = TestRelay::start_over(store, folder.path(), &files(&backend.url())).await;
    backend.will(Act::Answer {
        status: 201,
        headers: vec![("content-type".into(), "application/json".into())],
        body: r#"{"key": 7}"#.into(),
    });
    let reply = relay.request(create()).await;
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.status, 504, "{body}");
    assert_eq!(
        (&body["code"], &body["side_effect"]),
        (&"outcome_unknown".into(), &"done".into())
    );
    assert_eq!(relay.relay.in_hand(), (1, 1));

    *away.lock().unwrap() = false;
    while relay.relay.in_hand() != (0, 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let replayed = relay.request(create()).await;
    assert_eq!(replayed.status, 201);
    assert_eq!(replayed.headers["idempotency-replayed"], "true");
    assert_eq!(backend.take_heard().len(), 1);
}

/// A CMP that disconnects cancels nothing: the outcome is recorded (SEMANTICS 7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cmp_that_disconnects_cancels_nothing() {
    let backend = Scripted::start().await;
    let relay = TestRelay::start(&files(&backend.url())).await;
    let (heard, hears) = tokio::sync::oneshot::channel();
    let (answer, may_answer) = std::sync::mpsc::channel::<()>();
    let (heard, may_answer) = (Mutex::new(Some(heard)), Mutex::new(may_answer));
    let wait = move || {
        heard.lock().unwrap().take().unwrap().send(()).unwrap();
        may_answer.lock().unwrap().recv().unwrap();
    };
    backend.will(Act::After(
        Effect(Arc::new(wait)),
        Box::new(Act::Answer {
            status: 201,
            headers: vec![("content-type".into(), "application/json".into())],
            body: r#"{"key": 7}"#.into(),
        }),
    ));
    let asked = {
        let relay = relay.relay.clone();
        tokio::spawn(async move { request_of(&relay, create()).await })
    };
    hears.await.unwrap();
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    answer.send(()).unwrap();
    while relay.relay.in_hand().0 > 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (mapped, in_doubt) = rows(&relay).await;
    assert_eq!((mapped, in_doubt.len()), (1, 0));
    let replayed = relay.request(create()).await;
    assert_eq!(replayed.headers["idempotency-replayed"], "true");
    assert_eq!(backend.take_heard().len(), 1);
}

/// 50 at once with one key, and 50 with a key each: one call, one object.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_at_once_make_one_call() {
    for one_key in [true, false] {
        let backend = Scripted::start().await;
        let relay = TestRelay::start(&files(&backend.url())).await;
        let slowly = || std::thread::sleep(Duration::from_millis(50));
        backend.will(Act::After(
            Effect(Arc::new(slowly)),
            Box::new(Act::Answer {
                status: 201,
                headers: vec![("content-type".into(), "application/json".into())],
                body: r#"{"key": 7}"#.into(),
            }),
        ));
        let all: Vec<_> = (0..50)
            .map(|number| {
                let relay = relay.relay.clone();
                let mut request = create();
                if !one_key {
                    request.headers[1].1 = format!("k{number}");
                }
                tokio::spawn(async move { request_of(&relay, request).await })
            })
            .collect();
        let (mut made, mut replayed, mut refused) = (0, 0, 0);
        for one in all {
            let reply = one.await.unwrap();
            match reply.status.as_u16() {
                201 if reply.headers.contains_key("idempotency-replayed") => replayed += 1,
                201 => made += 1,
                409 => refused += 1,
                other => panic!("{other}: {:?}", reply.body),
            }
        }
        assert_eq!(
            made, 1,
            "one key: {one_key}; {replayed} replays, {refused} refused"
        );
        assert_eq!(made + replayed + refused, 50);
        assert_eq!(backend.take_heard().len(), 1);
    }
}
