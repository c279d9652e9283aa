//! What a request makes of its standby (SEMANTICS 18 to 20): every answer that the standby may give, at every step, by a
//! standby that follows a script. `pair` has the real one.

mod pair;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use cmp_relay::http::problem;
use cmp_relay::relay::{Confirm, Gate, Relay, Reply};
use cmp_relay::store::{
    Async, Journal, Operation, OperationFilter, Options, Position, State, StoreError, Write,
};
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use crate::support::faulty_store::{FaultyStore, Happening, Moment};
use crate::support::relay::{CmpRequest, compile, files_below, open, request_of};
use crate::support::scripted::{Act, Scripted};

const REQUIRED: &str = "version: 1\ndatabase: mysql://relay@127.0.0.1:3306/relay\nreplication:\n  \
    standby: mysql://relay@127.0.0.1:3307/relay\n  confirm: required\n";

/// The base of the stories, with this backend and this relay.yaml.
fn files(backend: &Scripted, server: &str) -> Vec<(String, String)> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/relay/base");
    let mut files = files_below(&base);
    for (_, text) in &mut files {
        *text = text.replace("{BACKEND}", &backend.url());
    }
    files.push(("relay.yaml".into(), server.into()));
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

/// A read of the thing `t1`.
fn read() -> CmpRequest {
    request("GET", "/v1/things/t1", None, "")
}

/// A create of this thing, its id being its key.
fn create(id: &str) -> CmpRequest {
    let body = format!(r#"{{"id": "{id}", "name": "a"}}"#);
    request("POST", "/v1/things", Some(id), &body)
}

fn answers(status: u16, body: &str) -> Act {
    Act::Answer {
        status,
        headers: vec![("content-type".into(), "application/json".into())],
        body: body.to_owned(),
    }
}

fn made(key: usize) -> Act {
    answers(201, &format!(r#"{{"key": {key}}}"#))
}

/// Status, `Relay-Replicated`, and of a problem its code, `side_effect` and `safe_to_retry`.
fn told(reply: &Reply) -> String {
    let replicated = reply.headers.get("relay-replicated");
    let mut told = vec![
        reply.status.as_str().to_owned(),
        replicated
            .map_or("-", |value| value.to_str().unwrap())
            .to_owned(),
    ];
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if let Some(code) = body["code"].as_str() {
        told.push(code.to_owned());
        told.push(body["side_effect"].as_str().unwrap_or("-").to_owned());
        told.push(body["safe_to_retry"].to_string());
    }
    told.join(" ")
}

async fn operations(relay: &Relay) -> Vec<Operation> {
    let all = OperationFilter {
        limit: 100,
        ..OperationFilter::default()
    };
    relay.journal().store().list_operations(&all).await.unwrap()
}

/// What the standby does when it is asked for a commit.
type Verdict = Async<'static, bool>;

/// A standby that does as it is told, and then says yes.
#[derive(Default)]
struct Told {
    away: AtomicBool,
    verdicts: Mutex<VecDeque<Verdict>>,
    asked: Mutex<Vec<(Position, i64)>>,
}

impl Told {
    fn will(&self, verdict: impl FnOnce() -> bool + Send + 'static) {
        let verdict = Box::pin(async move { verdict() });
        self.verdicts.lock().unwrap().push_back(verdict);
    }

    /// It says nothing until it is told what.
    fn waits(&self) -> oneshot::Sender<bool> {
        let (said, verdict) = oneshot::channel();
        let verdict = Box::pin(async move { verdict.await.unwrap() });
        self.verdicts.lock().unwrap().push_back(verdict);
        said
    }

    /// Returns once it has been asked so often.
    async fn is_asked(&self, times: usize) {
        while self.asked.lock().unwrap().len() < times {
            tokio::task::yield_now().await;
        }
    }

    fn asked(&self) -> Vec<(Position, i64)> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

impl Confirm for Told {
    fn answers(&self) -> bool {
        !self.away.load(Ordering::SeqCst)
    }

    fn applied(&self, position: Position, epoch: i64) -> Async<'_, bool> {
        self.asked.lock().unwrap().push((position, epoch));
        let verdict = self.verdicts.lock().unwrap().pop_front();
        Box::pin(async move {
            match verdict {
                Some(verdict) => verdict.await,
                None => true,
            }
        })
    }
}

/// A relay, its standby and its backend.
struct Lab {
    relay: Arc<Relay>,
    gate: Gate,
    standby: Arc<Told>,
    backend: Scripted,
    _folder: tempfile::TempDir,
}

impl Lab {
    async fn start(confirm: &str) -> Self {
        Self::start_over(confirm, Arc::new(|_, _: &[Write]| None)).await
    }

    async fn start_over(confirm: &str, happening: Happening) -> Self {
        let backend = Scripted::start().await;
        let server = REQUIRED.replace("required", confirm);
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(FaultyStore {
            inner: open(folder.path()).await,
            happening,
        });
        let options = Options {
            look_ups: 1,
            ..Options::default()
        };
        let gate = Gate::open();
        let relay = Relay::start(
            compile(&files(&backend, &server)),
            Journal::start_with(store, options),
            gate.clone(),
            problem::render,
        );
        let relay = relay.await.unwrap();
        let standby = Arc::new(Told::default());
        relay.confirmed_by(standby.clone());
        Self {
            relay,
            gate,
            standby,
            backend,
            _folder: folder,
        }
    }

    async fn ask(&self, asked: CmpRequest) -> Reply {
        request_of(&self.relay, asked).await
    }

    async fn told(&self, asked: CmpRequest) -> String {
        told(&self.ask(asked).await)
    }

    fn ask_meanwhile(&self, asked: CmpRequest) -> JoinHandle<String> {
        let relay = self.relay.clone();
        tokio::spawn(async move { told(&request_of(&relay, asked).await) })
    }

    /// With one place at the backend and no queue, and the thing `t1` there to be read.
    async fn start_narrow() -> Self {
        let lab = Self::start("required").await;
        let mut files = files(&lab.backend, REQUIRED);
        for (_, text) in &mut files {
            let limits =
                "limits:\n  concurrency: 1\n  queue: 0\n  timeout: 60s\nbreaker:\n  failures: 1\n";
            *text = text.replace("limits:\n  timeout: 1s\n", limits);
        }
        lab.relay.reload(compile(&files)).unwrap();
        lab.backend.will(made(1));
        assert_eq!(lab.told(create("t1")).await, "201 yes");
        lab.standby.asked();
        lab.calls();
        lab
    }

    fn calls(&self) -> usize {
        self.backend.take_heard().len()
    }
}

#[tokio::test]
async fn a_success_that_the_standby_has_says_so() {
    let lab = Lab::start("required").await;
    lab.backend.will(made(1));
    assert_eq!(lab.told(create("t1")).await, "201 yes");
    let asked = lab.standby.asked();
    assert_eq!(asked.len(), 2, "the intent, then the outcome");
    assert!(asked[1].0.sequence > asked[0].0.sequence);
}

/// SEMANTICS 19: nothing is sent, and the same request runs when the standby is back.
#[tokio::test]
async fn an_intent_that_is_not_confirmed_is_not_sent() {
    let lab = Lab::start("required").await;
    lab.standby.will(|| false);
    let reply = lab.ask(create("t1")).await;
    assert_eq!(told(&reply), "503 no standby_unconfirmed none true");
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(lab.calls(), 0);
    assert_eq!(
        lab.standby.asked().len(),
        1,
        "what says so is not waited for"
    );
    let rows = operations(&lab.relay).await;
    assert_eq!((rows[0].state, rows[0].claim), (State::Failed, None));
    assert_eq!(rows[0].side_effect, "none");

    lab.backend.will(made(1));
    assert_eq!(lab.told(create("t1")).await, "201 yes");
    assert_eq!(operations(&lab.relay).await[0].attempt, 2);
    assert_eq!(lab.calls(), 1);
}

/// The database goes away in the very moment: what the CMP is told is what is known (SEMANTICS 9).
#[tokio::test]
async fn an_intent_that_is_neither_confirmed_nor_settled_is_in_doubt() {
    let away = Arc::new(AtomicBool::new(true));
    let gone = away.clone();
    let happening = move |moment, batch: &[Write]| match (moment, batch.first()) {
        (Moment::Before, Some(Write::Finish(_))) if gone.load(Ordering::SeqCst) => {
            Some(StoreError::Unavailable("nobody answers".into()))
        }
        _ => None,
    };
    let lab = Lab::start_over("required", Arc::new(happening)).await;
    lab.standby.will(|| false);
    assert_eq!(
        lab.told(create("t1")).await,
        "504 - outcome_unknown none false"
    );
    away.store(false, Ordering::SeqCst);
    while lab.relay.in_hand() != (0, 0) {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(operations(&lab.relay).await[0].state, State::Failed);
    assert_eq!(lab.calls(), 0);
}

/// SEMANTICS 19: done, recorded, and not acknowledged; the retry waits for the row, by its key or by its object.
#[tokio::test]
async fn an_outcome_that_is_not_confirmed_is_not_acknowledged() {
    const UNCONFIRMED: &str = "504 no standby_unconfirmed done true";
    let lab = Lab::start("required").await;
    let without_key = CmpRequest {
        headers: vec![("content-type".into(), "application/json".into())],
        ..create("t2")
    };
    for (number, asked) in [create("t1"), without_key].into_iter().enumerate() {
        lab.backend.will(made(number));
        lab.standby.will(|| true);
        lab.standby.will(|| false);
        assert_eq!(lab.told(asked.clone()).await, UNCONFIRMED);
        let outcome = lab.standby.asked()[1].0;

        lab.standby.will(|| false);
        assert_eq!(lab.told(asked.clone()).await, UNCONFIRMED, "a replay waits");
        let waited = lab.standby.asked();
        assert!(
            waited[0].0.covers(outcome),
            "for a commit that covers its row: {waited:?}"
        );
        let reply = lab.ask(asked).await;
        assert_eq!(told(&reply), "201 yes");
        assert_eq!(reply.headers["idempotency-replayed"], "true");
        assert_eq!(lab.calls(), 1);
        lab.standby.asked();
    }
}

/// Without anything by which a retry would be known again, it would run again.
#[tokio::test]
async fn what_would_run_again_is_not_said_to_be_safe() {
    let lab = Lab::start("required").await;
    let nameless = request("POST", "/v1/made-things", None, r#"{"name": "a"}"#);
    lab.backend.will(made(1));
    lab.standby.will(|| true);
    lab.standby.will(|| false);
    assert_eq!(
        lab.told(nameless).await,
        "504 no standby_unconfirmed done false"
    );
}

#[tokio::test]
async fn a_failure_is_told_as_it_is_with_what_the_standby_has_of_it() {
    let lab = Lab::start("required").await;
    for (last, expected) in [
        (true, "502 yes backend_error none false"),
        (false, "502 no backend_error none false"),
    ] {
        lab.backend.will(answers(400, "{}"));
        lab.standby.will(|| true);
        lab.standby.will(move || last);
        let id = format!("t-{last}");
        assert_eq!(lab.told(create(&id)).await, expected);
        let replay = lab.ask(create(&id)).await;
        assert_eq!(told(&replay), "502 yes backend_error none false");
    }
    assert_eq!(lab.calls(), 2);
}

/// SEMANTICS 18: as `required` while the standby answers; past the timeout it goes on, and says so.
#[tokio::test]
async fn preferred_waits_while_the_standby_answers_and_goes_on_without_it() {
    let lab = Lab::start("preferred").await;
    let mut things = 0;
    for (away, intent, outcome, asked, expected) in [
        (false, true, true, 2, "201 yes"),
        (false, false, true, 2, "201 yes"),
        (false, true, false, 2, "201 no"),
        (true, true, true, 0, "201 no"),
    ] {
        lab.standby.away.store(away, Ordering::SeqCst);
        lab.standby.verdicts.lock().unwrap().clear();
        lab.standby.will(move || intent);
        lab.standby.will(move || outcome);
        things += 1;
        lab.backend.will(made(things));
        assert_eq!(lab.told(create(&format!("t{things}"))).await, expected);
        assert_eq!(lab.standby.asked().len(), asked);
    }
    assert_eq!(lab.told(create("t1")).await, "201 no", "a replay neither");
}

#[tokio::test]
async fn none_never_waits_and_a_route_has_the_last_word() {
    let lab = Lab::start("none").await;
    lab.backend.will(made(1));
    assert_eq!(lab.told(create("t1")).await, "201 no");
    assert_eq!(lab.told(create("t1")).await, "201 no");
    assert!(lab.standby.asked().is_empty());

    let mut files = files(&lab.backend, &REQUIRED.replace("required", "none"));
    for (_, text) in &mut files {
        let plain = "    match: POST /v1/things\n";
        *text = text.replace(
            plain,
            &format!("{plain}    replication: {{ confirm: required }}\n"),
        );
    }
    lab.relay.reload(compile(&files)).unwrap();
    lab.standby.will(|| false);
    assert_eq!(
        lab.told(create("t2")).await,
        "503 no standby_unconfirmed none true"
    );
}

/// A node that was promoted without its peer acknowledges alone, and says so.
#[tokio::test]
async fn a_node_that_is_alone_waits_for_nobody() {
    let lab = Lab::start("required").await;
    lab.gate.set_alone(true);
    lab.backend.will(made(1));
    assert_eq!(lab.told(create("t1")).await, "201 no");
    assert!(lab.standby.asked().is_empty());
    // It is left alone while it waits: by order, or as a standby is given up.
    lab.gate.set_alone(false);
    let gate = lab.gate.clone();
    lab.standby.will(move || {
        gate.set_alone(true);
        false
    });
    lab.backend.will(made(2));
    assert_eq!(lab.told(create("t2")).await, "201 no");
}

/// Invariant 7: what was so before the wait is asked again after it.
#[tokio::test]
async fn a_gate_that_moves_while_the_standby_is_waited_for_stops_the_call() {
    let lab = Lab::start("required").await;
    let gate = lab.gate.clone();
    lab.standby.will(move || {
        gate.open_in(1, false);
        true
    });
    assert_eq!(lab.told(create("t1")).await, "503 yes standby none true");
    let gate = lab.gate.clone();
    lab.standby.will(move || {
        gate.close();
        true
    });
    assert_eq!(lab.told(create("t2")).await, "503 yes standby none true");
    assert_eq!(lab.calls(), 0);
}

/// Two requests whose intents are one commit: one is confirmed, the other is not, and each is told its own.
#[tokio::test]
async fn each_request_of_a_batch_is_told_its_own() {
    let lab = Lab::start("required").await;
    lab.standby.will(|| true);
    lab.standby.will(|| false);
    lab.backend.will(made(1));
    let (one, other) = tokio::join!(lab.told(create("t1")), lab.told(create("t2")));
    let mut both = [one, other];
    both.sort();
    assert_eq!(both, ["201 yes", "503 no standby_unconfirmed none true"]);
    assert_eq!(lab.calls(), 1);
}

/// SEMANTICS 20.
#[tokio::test]
async fn a_read_is_marked_where_the_standby_does_not_confirm() {
    let lab = Lab::start("required").await;
    lab.backend.will(made(1));
    lab.told(create("t1")).await;
    let tell = async |expected: &str| {
        lab.backend.will(answers(200, r#"{"name": "a"}"#));
        assert_eq!(lab.told(read()).await, expected);
    };
    tell("200 -").await;
    lab.standby.away.store(true, Ordering::SeqCst);
    tell("200 no").await;
    lab.standby.away.store(false, Ordering::SeqCst);
    lab.gate.set_alone(true);
    tell("200 no").await;
}

/// A backend's place is for its calls: who waits for the standby, before the call or after it, holds up nobody.
#[tokio::test]
async fn a_request_that_waits_for_the_standby_holds_up_no_read() {
    let lab = Lab::start_narrow().await;
    for (id, waits) in [("before", 1), ("after", 2)] {
        if waits == 2 {
            lab.standby.will(|| true);
            lab.backend.will(made(waits));
        }
        let standby = lab.standby.waits();
        let write = lab.ask_meanwhile(create(id));
        lab.standby.is_asked(waits).await;
        lab.backend.will(answers(200, r#"{"name": "a"}"#));
        assert_eq!(lab.told(read()).await, "200 -", "{id}");
        if waits == 1 {
            lab.backend.will(made(10));
        }
        standby.send(true).unwrap();
        assert_eq!(write.await.unwrap(), "201 yes", "{id}");
        lab.standby.asked();
    }
    assert_eq!(lab.calls(), 4);
}

/// There are as many calls at once as there may be, whoever waited for what; who comes back is refused for no queue.
#[tokio::test]
async fn who_waited_for_the_standby_comes_back_for_a_place() {
    let lab = Lab::start_narrow().await;
    let standby = lab.standby.waits();
    let write = lab.ask_meanwhile(create("t2"));
    lab.standby.is_asked(1).await;
    let held = Arc::new(Semaphore::new(0));
    let found = answers(200, r#"{"name": "a"}"#);
    lab.backend.will(Act::Held(held.clone(), Box::new(found)));
    lab.backend.will(made(2));
    let read = lab.ask_meanwhile(read());
    while lab.backend.heard() < 1 {
        tokio::task::yield_now().await;
    }
    standby.send(true).unwrap();
    while lab.relay.backends().snapshot()[0].queued < 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(lab.calls(), 1, "the place is the read's");
    held.add_permits(1);
    assert_eq!(read.await.unwrap(), "200 -");
    assert_eq!(write.await.unwrap(), "201 yes");
    assert_eq!(lab.calls(), 1);
}

/// Nothing is sent to a backend that fell sick meanwhile; the intent is written, and so is that.
#[tokio::test]
async fn a_breaker_that_opened_while_the_standby_was_waited_for_is_heeded() {
    let lab = Lab::start_narrow().await;
    let standby = lab.standby.waits();
    let write = lab.ask_meanwhile(create("t2"));
    lab.standby.is_asked(1).await;
    lab.backend.will(Act::Reset);
    assert!(lab.told(read()).await.starts_with("504 "));
    standby.send(true).unwrap();
    assert_eq!(write.await.unwrap(), "503 yes breaker_open none true");
    assert_eq!(lab.calls(), 1, "the read's");
    assert_eq!(operations(&lab.relay).await[0].state, State::Failed);
}

/// What is too much is refused before its intent, as without a standby: no more wait than could at the backend.
#[tokio::test]
async fn so_many_wait_for_the_standby_as_could_for_the_backend() {
    let lab = Lab::start_narrow().await;
    let standby = lab.standby.waits();
    let write = lab.ask_meanwhile(create("t2"));
    lab.standby.is_asked(1).await;
    assert_eq!(lab.told(create("t3")).await, "503 - backend_busy none true");
    assert_eq!(operations(&lab.relay).await.len(), 2, "no row of t3");
    lab.backend.will(made(2));
    standby.send(true).unwrap();
    assert_eq!(write.await.unwrap(), "201 yes");
}
