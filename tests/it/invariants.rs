//! What the invariants promise at moments that no story can make: a gate that closes, a database that
//! goes away, a task that fails, a secret in a backend's mouth. `docs/invariants.md` says which test
//! guards which invariant, and what was seen to turn it red.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use cmp_relay::cli::serve::Running;
use cmp_relay::clock::{Boottime, unix_micros};
use cmp_relay::http::listener::bind;
use cmp_relay::http::problem;
use cmp_relay::http::reload::Recompile;
use cmp_relay::relay::{Failure, Gate, Relay, RelayError, Reply};
use cmp_relay::store::{
    Begun, Journal, ObjectKey, Operation, OperationFilter, Options, State, StoreError, Write,
};
use http::StatusCode;
use serde_json::Value;
use tokio::sync::Notify;

use crate::support::faulty_store::{FaultyStore, Happening, Moment};
use crate::support::relay::{
    BACKEND_TOKEN, CmpRequest, TestRelay, compile, files_below, open, request_of,
};
use crate::support::scripted::{Act, Effect, Scripted};

fn files(backend: &Scripted) -> Vec<(String, String)> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/relay/base");
    let mut files = files_below(&base);
    for (_, text) in &mut files {
        *text = text.replace("{BACKEND}", &backend.url());
    }
    files
}

/// The same, with more in the file of the one backend.
fn files_with(backend: &Scripted, of: &str, by: &str) -> Vec<(String, String)> {
    let mut files = files(backend);
    let (_, text) = files
        .iter_mut()
        .find(|(path, _)| path == "backends.d/one.yaml")
        .unwrap();
    assert!(text.contains(of), "{text}");
    *text = text.replace(of, by);
    files
}

fn request(method: &str, path: &str, key: Option<&str>, body: &str) -> CmpRequest {
    let mut headers = Vec::new();
    if !body.is_empty() {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    headers.extend(key.map(|key| ("idempotency-key".to_owned(), key.to_owned())));
    CmpRequest {
        client: String::new(),
        method: method.to_owned(),
        path_and_query: path.to_owned(),
        headers,
        body: body.to_owned(),
    }
}

fn create(key: &str) -> CmpRequest {
    let body = r#"{"id": "t1", "name": "a"}"#;
    request("POST", "/v1/things", Some(key), body)
}

fn answers(status: u16, body: &str) -> Act {
    Act::Answer {
        status,
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.to_owned(),
    }
}

fn made() -> Act {
    answers(201, r#"{"key": 7}"#)
}

/// An answer that waits until the test says so: what tells that the call came, and what lets it go.
fn held(act: Act) -> (Act, Arc<Notify>, mpsc::Sender<()>) {
    let came = Arc::new(Notify::new());
    let (go, gone) = mpsc::channel();
    let (tell, gone) = (came.clone(), std::sync::Mutex::new(gone));
    let wait = move || {
        tell.notify_one();
        gone.lock().unwrap().recv().unwrap();
    };
    (Act::After(Effect(Arc::new(wait)), Box::new(act)), came, go)
}

fn code(reply: &Reply) -> (u16, String) {
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    (reply.status.as_u16(), code)
}

async fn operations(relay: &Relay) -> Vec<Operation> {
    let all = OperationFilter {
        limit: 100,
        ..OperationFilter::default()
    };
    relay.journal().store().list_operations(&all).await.unwrap()
}

async fn nothing_in_hand(relay: &Relay) {
    while relay.in_hand() != (0, 0) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A relay over a database to which `happening` happens, and what else a test replaces.
async fn over(
    folder: &Path,
    files: &[(String, String)],
    gate: Gate,
    render: fn(&Failure) -> (StatusCode, Vec<u8>),
    happening: Happening,
) -> Arc<Relay> {
    let store = Arc::new(FaultyStore {
        inner: open(folder).await,
        happening,
    });
    let options = Options {
        look_ups: 1,
        ..Options::default()
    };
    let journal = Journal::start_with(store, options);
    Relay::start(compile(files), journal, gate, render)
        .await
        .unwrap()
}

// Invariant 1.

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_retry_while_the_first_still_runs_makes_no_call() {
    let backend = Scripted::start().await;
    let relay = TestRelay::start(&files(&backend)).await;
    let (act, came, go) = held(made());
    backend.will(act);
    let first = {
        let relay = relay.relay.clone();
        tokio::spawn(async move { request_of(&relay, create("k1")).await })
    };
    came.notified().await;
    for key in ["k1", "k2"] {
        let retry = relay.request(create(key)).await;
        assert_eq!(code(&retry), (409, "operation_in_progress".into()), "{key}");
    }
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().status, 201);
    assert_eq!(backend.take_heard().len(), 1);
}

/// A replay is for the client that was answered first; to another one the object exists already, and
/// the same key is another key (SEMANTICS 1, 27).
#[tokio::test]
async fn replays_are_per_client() {
    let backend = Scripted::start().await;
    let relay = TestRelay::start(&files(&backend)).await;
    backend.will(made());
    assert_eq!(relay.request(create("k1")).await.status, 201);
    let body = r#"{"id": "t1", "name": "a"}"#;
    let without_key = request("POST", "/v1/things", None, body);
    for asked in [create("k1"), without_key.clone()] {
        let theirs = CmpRequest {
            client: "other".into(),
            ..asked
        };
        let theirs = relay.request(theirs).await;
        assert_eq!(code(&theirs), (409, "already_mapped".into()));
    }
    let own = relay.request(without_key).await;
    assert_eq!(own.headers["idempotency-replayed"], "true");
    assert_eq!(backend.take_heard().len(), 1);
}

/// The id that the relay made in a first attempt is that of the next one (SEMANTICS 4).
#[tokio::test]
async fn an_id_that_the_relay_made_stays_in_the_next_attempt() {
    let backend = Scripted::start().await;
    let relay = TestRelay::start(&files(&backend)).await;
    let asked = request("POST", "/v1/made-things", Some("k1"), r#"{"name": "a"}"#);
    backend.will(answers(429, "{}"));
    backend.will(made());
    assert_eq!(relay.request(asked.clone()).await.status, 502);
    let reply = relay.request(asked).await;
    assert_eq!(reply.status, 201);
    let heard = backend.take_heard();
    assert_eq!(heard.len(), 2);
    assert_eq!(heard[0].body, heard[1].body, "both calls carry one id");
    let sent: Value = serde_json::from_slice(&heard[0].body).unwrap();
    let told: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(sent["tag"], told["id"]);
}

/// An unknown PUT does not run again before its deadline: the first call may still arrive (SEMANTICS 16).
#[tokio::test]
async fn an_unknown_put_waits_for_its_deadline() {
    let backend = Scripted::start().await;
    let files = files_with(&backend, "timeout: 1s", "timeout: 1h");
    let relay = TestRelay::start(&files).await;
    backend.will(made());
    assert_eq!(relay.request(create("k1")).await.status, 201);
    let put = request("PUT", "/v1/things/t1", Some("p1"), r#"{"name": "b"}"#);
    backend.will(answers(500, "{}"));
    assert_eq!(relay.request(put.clone()).await.status, 504);
    let early = relay.request(put).await;
    assert_eq!(code(&early), (409, "outcome_unknown".into()));
    assert_eq!(backend.take_heard().len(), 2);
}

// Invariant 2.

/// The intent's commit is lost, and whether it happened cannot be found out: nothing is sent, and the
/// row is made `failed` when the database returns (SEMANTICS 6, 9).
#[tokio::test]
async fn an_intent_that_may_or_may_not_be_written_is_not_sent() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Scripted::start().await;
    let away = Arc::new(AtomicBool::new(true));
    let gone = away.clone();
    let happening = move |moment, batch: &[Write]| match (moment, batch.first()) {
        _ if !gone.load(Ordering::SeqCst) => None,
        (Moment::After, Some(Write::Begin(_))) => {
            Some(StoreError::CommitUnknown("the line went dead".into()))
        }
        (Moment::Reading, _) | (Moment::Before, Some(Write::Finish(_))) => {
            Some(StoreError::Unavailable("nobody answers".into()))
        }
        _ => None,
    };
    let files = files(&backend);
    let happening = Arc::new(happening);
    let relay = over(
        folder.path(),
        &files,
        Gate::open(),
        problem::render,
        happening,
    )
    .await;
    let reply = request_of(&relay, create("k1")).await;
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(code(&reply), (504, "outcome_unknown".into()));
    assert_eq!(
        (&body["side_effect"], &body["safe_to_retry"]),
        (&"none".into(), &false.into())
    );
    assert_eq!(relay.in_hand(), (1, 1));
    assert!(backend.take_heard().is_empty());

    away.store(false, Ordering::SeqCst);
    nothing_in_hand(&relay).await;
    let rows = operations(&relay).await;
    assert_eq!((rows.len(), rows[0].state), (1, State::Failed));
    backend.will(made());
    assert_eq!(request_of(&relay, create("k1")).await.status, 201);
    assert_eq!(backend.take_heard().len(), 1);
}

/// The task of a request fails after its call: the row says `unknown` at once, not at the next start
/// (SEMANTICS 7).
#[tokio::test]
async fn a_task_that_fails_after_the_call_leaves_an_unknown_row() {
    fn fails_once_sent(failure: &Failure) -> (StatusCode, Vec<u8>) {
        if matches!(failure.error, RelayError::BackendError { .. }) {
            std::panic::resume_unwind(Box::new("a failure of the relay's own"));
        }
        problem::render(failure)
    }
    let folder = tempfile::tempdir().unwrap();
    let backend = Scripted::start().await;
    let files = files(&backend);
    let nothing = Arc::new(|_, _: &[Write]| None);
    let relay = over(
        folder.path(),
        &files,
        Gate::open(),
        fails_once_sent,
        nothing,
    )
    .await;
    backend.will(answers(400, "{}"));
    let reply = request_of(&relay, create("k1")).await;
    assert_eq!(code(&reply), (504, "outcome_unknown".into()));
    let waiting = async {
        while operations(&relay).await[0].state != State::Unknown {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .expect("nobody wrote the operation down as unknown");
    let row = &operations(&relay).await[0];
    assert!(row.claim.is_some(), "an unknown create holds its object");
    let retried = request_of(&relay, create("k1")).await;
    assert_eq!(code(&retried), (409, "outcome_unknown".into()));
    assert_eq!(backend.take_heard().len(), 1);
}

/// The program itself recovers what it left pending when it was last stopped, before it serves.
#[tokio::test]
async fn the_program_makes_what_was_pending_unknown_before_it_serves() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Scripted::start().await;
    for (path, text) in files(&backend) {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let settings = "version: 1\nlisten: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n\
                    database: sqlite://relay.db\n";
    std::fs::write(folder.path().join("relay.yaml"), settings).unwrap();

    let store = open(folder.path()).await;
    let mut begin = crate::store::create("t1");
    begin.operation.deadline = unix_micros() + 3_600_000_000;
    store.apply(&[Write::Begin(Arc::new(begin))]).await.unwrap();
    store.close().await;
    drop(store);

    let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_cmp-relay"))
        .args(["serve", "--config"])
        .arg(folder.path())
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = process.stderr.take().unwrap();
    let said = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        for line in std::io::BufRead::lines(std::io::BufReader::new(stderr)) {
            said.push(line.unwrap());
            if said.last().is_some_and(|line| line.contains("serving")) {
                break;
            }
        }
        said.join("\n")
    })
    .await
    .unwrap();
    // By SIGKILL: what stands in the file was there before it served.
    process.kill().unwrap();
    process.wait().unwrap();
    assert!(said.contains("serving"), "{said}");
    let store = open(folder.path()).await;
    let counts = store.count_by_state().await.unwrap();
    assert_eq!(counts, [(State::Unknown, 1)], "{said}");
}

/// A pending row that no task of this process owns becomes `unknown` past its deadline, without a
/// restart (SEMANTICS 7).
#[tokio::test]
async fn an_overdue_operation_of_nobody_becomes_unknown_while_the_relay_serves() {
    let backend = Scripted::start().await;
    let relay = TestRelay::start(&files(&backend)).await;
    let mut nobodys = crate::store::create("n1");
    nobodys.operation.deadline = unix_micros() - 1;
    let begun = relay.relay.journal().begin(nobodys).await.unwrap();
    assert_eq!(begun.0, Begun::Started);

    let bind = || bind("127.0.0.1:0".parse().unwrap());
    let recompile: Recompile = Arc::new(|| unreachable!("nobody reloads"));
    let (cmp, admin) = (bind().await.unwrap(), bind().await.unwrap());
    let running = Running::start(relay.relay.clone(), cmp, admin, recompile).unwrap();
    let expired = async {
        while operations(&relay.relay).await[0].state != State::Unknown {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), expired)
        .await
        .expect("nobody expired it");
    running
        .finish(Duration::from_secs(5), std::future::pending())
        .await;
}

#[test]
fn claims_of_different_objects_differ() {
    let claim = |resource: &str, cmp_id: &str, scope: &str| {
        ObjectKey {
            resource: resource.into(),
            cmp_id: cmp_id.into(),
            scope: scope.into(),
        }
        .claim()
    };
    let all = [
        claim("network", "ab", ""),
        claim("networka", "b", ""),
        claim("network", "a", "b"),
        claim("network", "AB", ""),
        claim("", "networkab", ""),
    ];
    for (index, one) in all.iter().enumerate() {
        assert!(!all[index + 1..].contains(one), "{index}");
    }
}

// Invariant 6.

/// What is logged meanwhile, at every level and by every crate.
#[derive(Clone, Default)]
struct Logged(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A backend that repeats its credentials, in an excerpt, in a rule's detail, to a read: the CMP is
/// told `***`, no file of the database holds them, and no line of the log at any level.
#[tokio::test]
async fn a_secret_that_a_backend_repeats_is_neither_told_nor_stored() {
    let logged = Logged::default();
    let writer = logged.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    // Every task of this test runs on this thread; the committer and SQLite's readers say nothing.
    let _log = tracing::subscriber::set_default(subscriber);
    tracing::trace!("the log is heard");
    let folder = tempfile::tempdir().unwrap();
    let backend = Scripted::start().await;
    let auth = "  https:\n    auth:\n      bearer: { env: BACKEND_TOKEN }\n";
    let files = files_with(&backend, "  https:\n", auth);
    let relay = TestRelay::start_in(folder.path(), &files).await;
    let echoes = [
        format!(r#"{{"message": "bad token {BACKEND_TOKEN}"}}"#),
        format!(r#"{{"error": -5, "message": "{BACKEND_TOKEN} again"}}"#),
    ];
    for (key, echo) in ["k1", "k2"].into_iter().zip(&echoes) {
        for (asked, status) in [
            (create(key), 400),
            (create(key), 400),
            (request("GET", "/v1/things", None, ""), 500),
        ] {
            backend.will(answers(status, echo));
            let reply = relay.request(asked).await;
            let told = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(told.contains("***"), "{told}");
            assert!(!told.contains(BACKEND_TOKEN), "{told}");
            backend.forget();
        }
    }
    let heard = backend.take_heard();
    assert_eq!(heard.len(), 4, "two creates are replays");
    for call in heard {
        assert_eq!(
            call.headers["authorization"],
            format!("Bearer {BACKEND_TOKEN}")
        );
    }
    let printed = format!("{:?} {:?}", relay.relay.plan(), relay.relay.backends());
    assert!(!printed.contains(BACKEND_TOKEN));
    not_in_the_database(relay, BACKEND_TOKEN).await;
    let log = String::from_utf8_lossy(&logged.0.lock().unwrap()).into_owned();
    assert!(log.contains("the log is heard"));
    assert!(!log.contains(BACKEND_TOKEN), "{log}");
}

/// SEMANTICS 25: a `writeOnly` value that stands in the reply reaches the CMP, and is not kept.
#[tokio::test]
async fn a_write_only_value_is_in_no_file_of_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let backend = Scripted::start().await;
    let relay = TestRelay::start_in(folder.path(), &files(&backend)).await;
    backend.will(made());
    let body = r#"{"id": "t1", "name": "hunter22", "secret": "hunter22"}"#;
    let asked = request("POST", "/v1/things", Some("k1"), body);
    let reply = relay.request(asked.clone()).await;
    assert_eq!(reply.body, r#"{"id":"t1","name":"hunter22"}"#);
    let replayed = relay.request(asked).await;
    assert_eq!(replayed.body, r#"{"id":"t1","name":"***"}"#);
    backend.will(answers(400, r#"{"message": "hunter22 is too short"}"#));
    let body = r#"{"id": "t2", "name": "b", "secret": "hunter22"}"#;
    relay
        .request(request("POST", "/v1/things", Some("k2"), body))
        .await;
    assert_eq!(backend.take_heard().len(), 2);
    not_in_the_database(relay, "hunter22").await;
}

/// Looks for `secret` in every byte of the closed database.
async fn not_in_the_database(relay: TestRelay, secret: &str) {
    let folder: PathBuf = relay.folder.clone();
    let rows = operations(&relay.relay).await.len();
    assert!(rows > 0, "there is something to look into");
    relay.relay.journal().close().await;
    let mut looked_at = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        looked_at += bytes.len();
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "the database holds {secret}");
    }
    assert!(looked_at > 4096, "there is a database to look into");
}

// Invariant 7.

/// A node that is not active writes no row either.
#[tokio::test]
async fn a_closed_gate_costs_neither_row_nor_call() {
    let backend = Scripted::start().await;
    let relay = TestRelay::start(&files(&backend)).await;
    relay.relay.gate().close();
    for asked in [create("k1"), request("GET", "/v1/things", None, "")] {
        let reply = relay.request(asked).await;
        assert_eq!(code(&reply), (503, "standby".into()));
    }
    assert!(operations(&relay.relay).await.is_empty());
    assert!(backend.take_heard().is_empty());
}

/// The gate closes, or opens again in another epoch, between the intent and the first byte: nothing is
/// sent, and once the row says so the retry is safe (SEMANTICS 9).
#[tokio::test]
async fn a_gate_that_moves_on_after_the_intent_stops_the_call() {
    for reopened in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let backend = Scripted::start().await;
        let gate = Gate::open();
        let moved = gate.clone();
        let happening = move |moment, batch: &[Write]| {
            if matches!(
                (moment, batch.first()),
                (Moment::After, Some(Write::Begin(_)))
            ) {
                moved.close();
                if reopened {
                    moved.open_in(9, false);
                }
            }
            None
        };
        let files = files(&backend);
        let happening = Arc::new(happening);
        let relay = over(folder.path(), &files, gate, problem::render, happening).await;
        let reply = request_of(&relay, create("k1")).await;
        let body: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(code(&reply), (503, "standby".into()), "{reopened}");
        assert_eq!(body["safe_to_retry"], true);
        assert!(backend.take_heard().is_empty(), "{reopened}");
        assert_eq!(operations(&relay).await[0].state, State::Failed);
    }
}

/// The gate closes while a read and a create wait for their places: neither is sent, and no row is begun. Who hands over saw
/// nothing of the create in hand, so its row would be left pending on a server that is read-only.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_waited_too_long_for_the_gate_costs_neither_row_nor_call() {
    let backend = Scripted::start().await;
    let one_place = "limits:\n  concurrency: 1\n  timeout: 20s\n";
    let files = files_with(&backend, "limits:\n  timeout: 1s\n", one_place);
    let relay = TestRelay::start(&files).await;
    let (act, came, go) = held(made());
    backend.will(act);
    let asks = |asked: CmpRequest| {
        let relay = relay.relay.clone();
        tokio::spawn(async move { request_of(&relay, asked).await })
    };
    let first = asks(create("k1"));
    came.notified().await;
    let read = asks(request("GET", "/v1/things", None, ""));
    let second = asks(create("k2"));
    while relay.relay.backends().snapshot()[0].queued < 2 {
        tokio::task::yield_now().await;
    }
    relay.relay.gate().close();
    go.send(()).unwrap();
    assert_eq!(
        first.await.unwrap().status,
        201,
        "what was sent is finished"
    );
    assert_eq!(code(&read.await.unwrap()), (503, "standby".into()));
    assert_eq!(code(&second.await.unwrap()), (503, "standby".into()));
    assert_eq!(operations(&relay.relay).await.len(), 1);
    assert_eq!(backend.take_heard().len(), 1);
}

/// At the end of the process sessions are ended, where that is declared (SEMANTICS 31).
#[tokio::test]
async fn draining_logs_out() {
    let backend = Scripted::start().await;
    let login = "  https:\n    auth:\n      login:\n        http: POST /login\n        \
                 form: { user: relay }\n        tokens: { session: { cookie: session } }\n        \
                 send:\n          - { cookie: session, value: \"{{ tokens.session }}\" }\n        \
                 logout: POST /logout\n";
    let relay = TestRelay::start(&files_with(&backend, "  https:\n", login)).await;
    backend.will(Act::Answer {
        status: 200,
        headers: vec![("set-cookie".into(), "session=s1".into())],
        body: String::new(),
    });
    backend.will(made());
    assert_eq!(relay.request(create("k1")).await.status, 201);
    relay
        .relay
        .drain(Boottime::now() + Duration::from_secs(5))
        .await;
    let heard: Vec<_> = backend
        .take_heard()
        .into_iter()
        .map(|call| call.path_and_query)
        .collect();
    assert_eq!(heard, ["/login", "/api/things", "/logout"]);
}

// Invariant 8.

/// A backend without a free place, or whose breaker is open, refuses before the intent: no row, no call,
/// and the CMP is told when to come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backend_that_can_bear_no_more_costs_neither_row_nor_call() {
    let backend = Scripted::start().await;
    let bounds = "limits:\n  concurrency: 1\n  queue: 0\n  timeout: 20s\nbreaker:\n  failures: 1\n  open_for: 1h\n";
    let files = files_with(&backend, "limits:\n  timeout: 1s\n", bounds);
    let relay = TestRelay::start(&files).await;
    let (act, came, go) = held(Act::Reset);
    backend.will(act);
    let first = {
        let relay = relay.relay.clone();
        tokio::spawn(async move { request_of(&relay, create("k1")).await })
    };
    came.notified().await;
    let other = request("POST", "/v1/made-things", Some("k2"), r#"{"name": "b"}"#);
    let busy = relay.request(other.clone()).await;
    assert_eq!(code(&busy), (503, "backend_busy".into()));
    go.send(()).unwrap();
    assert_eq!(first.await.unwrap().status, 504);
    let open = relay.request(other).await;
    assert_eq!(code(&open), (503, "breaker_open".into()));
    let body: Value = serde_json::from_slice(&open.body).unwrap();
    assert_eq!(
        (&body["side_effect"], &body["safe_to_retry"]),
        (&"none".into(), &true.into())
    );
    assert_eq!(operations(&relay.relay).await.len(), 1);
    assert_eq!(backend.take_heard().len(), 1);
}
