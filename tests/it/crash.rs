//! Invariant 2: at every instant at which the process may die, what the backend holds is either mapped
//! or named by an operation in doubt; and a retry after the restart makes no second object.
//!
//! The relay runs in a child process (this very test binary), which dies by SIGKILL at a chosen step
//! of one request; the backend lives on in the parent. Then the relay is started over the same
//! database, and the CMP retries.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use cmp_relay::clock::Boottime;
use cmp_relay::http::problem;
use cmp_relay::plan::Role;
use cmp_relay::relay::settle::{Assertion, Overrides};
use cmp_relay::relay::{Caller, Failure, Gate, Relay, RelayError};
use cmp_relay::store::{
    Journal, MappingFilter, Operation, OperationFilter, Settled, State, StoreError, Write,
};
use http::StatusCode;
use serde_json::Value;

use crate::support::faulty_store::{FaultyStore, Moment};
use crate::support::relay::{CmpRequest, TestRelay, compile, files_below, open, request_of};
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
        ..CmpRequest::default()
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
        roles: [Role::Operator].into(),
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
    assert_eq!(settled.unwrap().0, Settled::Done);
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

/// An intent of which nobody knows whether it was written: nothing is sent, and the CMP is told so
/// (SEMANTICS 6, 9).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intent_in_doubt_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Scripted::start().await;
    let away = Arc::new(Mutex::new(true));
    let gone = away.clone();
    let happening = move |moment, batch: &[Write]| {
        let intent = matches!(batch.first(), Some(Write::Begin(_)));
        (moment == Moment::Before && intent && *gone.lock().unwrap())
            .then(|| StoreError::CommitUnknown("the connection was lost".into()))
    };
    let store = Arc::new(FaultyStore {
        inner: open(folder.path()).await,
        happening: Arc::new(happening),
    });
    let relay = TestRelay::start_over(store, folder.path(), &files(&backend.url())).await;
    let reply = relay.request(create()).await;
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.status, 504, "{body}");
    assert_eq!(body["code"], "outcome_unknown");
    assert_eq!(body["side_effect"], "none");
    assert_eq!(body["safe_to_retry"], false);
    while relay.relay.in_hand() != (0, 0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(backend.take_heard().len(), 0);

    *away.lock().unwrap() = false;
    backend.will(made());
    assert_eq!(relay.request(create()).await.status, 201);
    assert_eq!(backend.take_heard().len(), 1);
}

/// A stop waits for no backend past its bound: what is in hand is unknown, and named (SEMANTICS 31).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_leaves_a_silent_call_as_unknown() {
    let backend = Scripted::start().await;
    let mut files = files(&backend.url());
    for (_, text) in &mut files {
        *text = text.replace("timeout: 1s", "timeout: 10m");
    }
    let relay = TestRelay::start(&files).await;
    backend.will(Act::Silence);
    let asked = {
        let relay = relay.relay.clone();
        tokio::spawn(async move { request_of(&relay, create()).await })
    };
    while backend.heard() == 0 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let stop = relay.relay.drain(Boottime::now());
    tokio::time::timeout(Duration::from_secs(60), stop)
        .await
        .expect("it does not wait for the call");
    let (mapped, in_doubt) = rows(&relay).await;
    assert_eq!(mapped, 0);
    assert_eq!(in_doubt.len(), 1);
    assert_eq!(in_doubt[0].state, State::Unknown);
    assert!(in_doubt[0].claim.is_some());
    asked.abort();
}

/// A stop tries an outcome that waits for the database once more; without a database it ends all the
/// same, and the next start has the operation in doubt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_hang_on_an_outcome_that_waits() {
    for returns in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let backend = Scripted::start().await;
        let refusals = Arc::new(AtomicU32::new(0));
        let refused = refusals.clone();
        // Three refusals, and the keeper pauses for most of a second before it would try again.
        let happening = move |moment, batch: &[Write]| {
            let outcome = matches!(batch.first(), Some(Write::Finish(_)));
            let before = outcome && moment == Moment::Before;
            let away = before && (!returns || refused.fetch_add(1, Ordering::SeqCst) < 4);
            away.then(|| StoreError::Unavailable("the disk is full".into()))
        };
        let store = Arc::new(FaultyStore {
            inner: open(folder.path()).await,
            happening: Arc::new(happening),
        });
        let relay = TestRelay::start_over(store, folder.path(), &files(&backend.url())).await;
        backend.will(made());
        assert_eq!(relay.request(create()).await.status, 504);
        while returns && refusals.load(Ordering::SeqCst) < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let stop = relay.relay.drain(Boottime::now());
        tokio::time::timeout(Duration::from_secs(60), stop)
            .await
            .expect("a stop is bounded");
        let (mapped, in_doubt) = rows(&relay).await;
        let wanted = if returns { (1, 0) } else { (0, 1) };
        assert_eq!((mapped, in_doubt.len()), wanted, "it returns: {returns}");
    }
}

/// A node that loses its role between intent and call sends nothing; its CMP may try again, and the row
/// says so (SEMANTICS 9).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_lost_after_the_intent_sends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Scripted::start().await;
    let gate = Arc::new(OnceLock::<Gate>::new());
    let closes = gate.clone();
    let happening = move |moment, batch: &[Write]| {
        if let (Moment::After, Some(Write::Begin(_))) = (moment, batch.first()) {
            closes.get().unwrap().close();
        }
        None
    };
    let store = Arc::new(FaultyStore {
        inner: open(folder.path()).await,
        happening: Arc::new(happening),
    });
    let relay = TestRelay::start_over(store, folder.path(), &files(&backend.url())).await;
    gate.set(relay.relay.gate().clone()).unwrap();
    let reply = relay.request(create()).await;
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(reply.status, 503, "{body}");
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(
        (&body["code"], &body["side_effect"], &body["safe_to_retry"]),
        (&"standby".into(), &"none".into(), &true.into())
    );
    let store = relay.relay.journal().store();
    let row = store.operation_by_key("cmp", "k1").await.unwrap().unwrap();
    assert_eq!((row.state, row.safe_to_retry), (State::Failed, true));
    assert!(backend.take_heard().is_empty());
}

/// A panic after the intent leaves an unknown operation, not a pending one (SEMANTICS 7).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_after_the_intent_is_unknown() {
    fn fails(failure: &Failure) -> (StatusCode, Vec<u8>) {
        if matches!(failure.error, RelayError::BackendError { .. }) {
            std::panic::resume_unwind(Box::new("a failure while the outcome is written"));
        }
        problem::render(failure)
    }
    let folder = tempfile::tempdir().unwrap();
    let backend = Scripted::start().await;
    let journal = Journal::start(open(folder.path()).await);
    let plan = compile(&files(&backend.url()));
    let relay = Relay::start(plan, journal, Gate::open(), fails)
        .await
        .unwrap();
    let relay = TestRelay::over(relay, folder.path());
    backend.will(Act::Answer {
        status: 400,
        headers: Vec::new(),
        body: String::new(),
    });
    let reply = relay.request(create()).await;
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(
        (reply.status.as_u16(), &body["code"]),
        (504, &"outcome_unknown".into())
    );
    let unknown = async {
        loop {
            let (_, in_doubt) = rows(&relay).await;
            if in_doubt[0].state == State::Unknown {
                return in_doubt;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_doubt = tokio::time::timeout(Duration::from_secs(30), unknown).await;
    assert!(in_doubt.unwrap()[0].claim.is_some());
}

/// Many retries at once of a failure that was safe to retry: one of them is the next attempt.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_retries_one_runs_again() {
    let backend = Scripted::start().await;
    let relay = TestRelay::start(&files(&backend.url())).await;
    backend.will(Act::Answer {
        status: 429,
        headers: Vec::new(),
        body: String::new(),
    });
    assert_eq!(relay.request(create()).await.status, 502);
    let slowly = || std::thread::sleep(Duration::from_millis(50));
    backend.will(Act::After(Effect(Arc::new(slowly)), Box::new(made())));
    let all: Vec<_> = (0..20)
        .map(|_| {
            let relay = relay.relay.clone();
            tokio::spawn(async move { request_of(&relay, create()).await })
        })
        .collect();
    let mut ran = 0;
    for one in all {
        let reply = one.await.unwrap();
        let replayed = reply.headers.contains_key("idempotency-replayed");
        match reply.status.as_u16() {
            201 => ran += u32::from(!replayed),
            other => assert_eq!(other, 409),
        }
    }
    assert_eq!(ran, 1);
    assert_eq!(backend.take_heard().len(), 2);
    assert_eq!(relay.relay.in_hand(), (0, 0));
}

fn made() -> Act {
    Act::Answer {
        status: 201,
        headers: vec![("content-type".into(), "application/json".into())],
        body: r#"{"key": 7}"#.into(),
    }
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
