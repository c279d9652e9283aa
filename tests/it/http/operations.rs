//! Operations from the outside: an unknown one is found and settled by its own client, and the end of
//! the process leaves none pending.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Notify;

use super::client::{Answer, Connection, once};
use super::serving::{Whole, clients, whole_over};
use crate::support::scripted::{Act, Effect, Scripted};

fn post(path: &str, token: &str, extra: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}-token\r\n\
         content-type: application/json\r\n{extra}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn create(id: &str) -> String {
    post(
        "/v1/things",
        "cmp",
        "idempotency-key: k1\r\n",
        &json!({ "id": id }),
    )
}

async fn resolve(address: SocketAddr, operation: &str, token: &str, order: Value) -> Answer {
    let path = format!("/relay/v1/operations/{operation}/resolve");
    once(address, &post(&path, token, "", &order)).await
}

async fn start() -> (Whole, Scripted) {
    let backend = Scripted::start().await;
    let whole = whole_over(&clients(), &backend.url()).await;
    (whole, backend)
}

#[tokio::test]
async fn a_client_settles_its_own_unknown_operation_and_retries() {
    let (whole, backend) = start().await;
    backend.will(Act::Reset);
    let unknown = once(whole.cmp, &create("t1")).await;
    assert_eq!((unknown.status, &*unknown.code()), (504, "outcome_unknown"));
    let problem = unknown.json();
    assert_eq!(problem["side_effect"], "unknown");
    let id = problem["operation"].as_str().unwrap();
    assert_eq!(problem["instance"], format!("/relay/v1/operations/{id}"));

    let again = once(whole.cmp, &create("t1")).await;
    assert_eq!((again.status, &*again.code()), (409, "outcome_unknown"));
    let early = resolve(whole.cmp, id, "cmp", json!({ "verdict": "failed" })).await;
    assert_eq!((early.status, &*early.code()), (409, "refused"));
    let order = json!({ "verdict": "failed", "force": true });
    let settled = resolve(whole.cmp, id, "cmp", order).await;
    assert_eq!(
        (settled.status, &settled.json()["state"]),
        (200, &json!("failed"))
    );

    backend.will(Act::Answer {
        status: 201,
        headers: vec![("content-type".into(), "application/json".into())],
        body: r#"{"id":"7"}"#.into(),
    });
    let done = once(whole.cmp, &create("t1")).await;
    assert_eq!((done.status, &*done.body), (201, r#"{"id":"t1"}"#));
    assert_eq!(done.header("relay-operation"), Some(id));
    assert_eq!(done.header("relay-backend"), Some("box-1"));
}

#[tokio::test]
async fn an_operator_settles_for_a_client_and_the_replay_says_so() {
    let (whole, backend) = start().await;
    backend.will(Act::Reset);
    let unknown = once(whole.cmp, &create("t1")).await.json();
    let id = unknown["operation"].as_str().unwrap();
    let order = json!({ "verdict": "succeeded", "backend_id": "7", "force": true });
    let settled = resolve(whole.admin, id, "ops", order).await;
    assert_eq!(
        (settled.status, &settled.json()["state"]),
        (200, &json!("succeeded"))
    );
    let replay = once(whole.cmp, &create("t1")).await;
    assert_eq!((replay.status, &*replay.body), (201, r#"{"id":"t1"}"#));
    assert_eq!(replay.header("relay-settled"), Some("operator"));
    assert_eq!(backend.take_heard().len(), 1, "a replay is not a call");
}

#[tokio::test]
async fn what_is_left_at_the_end_is_written_down_as_unknown() {
    let (whole, backend) = start().await;
    let heard = Arc::new(Notify::new());
    let tell = heard.clone();
    let effect = Effect(Arc::new(move || tell.notify_one()));
    backend.will(Act::After(effect, Box::new(Act::Silence)));
    let mut connection = Connection::open(whole.cmp).await;
    connection.send(&create("t1")).await;
    heard.notified().await;
    whole
        .running
        .finish(Duration::from_millis(50), std::future::pending())
        .await;

    // The relay of this process still holds the lock of its file; a reader needs none.
    let file = whole.relay.folder.join("relay.db");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(file, flags).unwrap();
    let mut rows = database.prepare("SELECT state FROM operation").unwrap();
    let states = rows.query_map([], |row| row.get(0)).unwrap();
    let states: Vec<String> = states.collect::<Result<_, _>>().unwrap();
    assert_eq!(states, ["unknown"]);
}
