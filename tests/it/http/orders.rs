//! The orders of people about rows, under a standby: they are confirmed like outcomes (SEMANTICS 18, 19).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cmp_relay::relay::Confirm;
use cmp_relay::store::{Async, Position};
use serde_json::{Value, json};

use super::client::{Answer, once};
use super::serving::{files_over, over};
use crate::support::faulty_store::FaultyStore;
use crate::support::relay::{TestRelay, compile, open};
use crate::support::scripted::{Act, Scripted};

/// A standby that has what was committed, or has not.
struct Standby(AtomicBool);

impl Confirm for Standby {
    fn answers(&self) -> bool {
        true
    }

    fn applied(&self, _: Position, _: i64) -> Async<'_, bool> {
        Box::pin(async { self.0.load(Ordering::SeqCst) })
    }
}

fn request(method: &str, path: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Status, `Relay-Replicated`, and the code of a problem.
fn told(answer: &Answer) -> String {
    let replicated = answer.header("relay-replicated").unwrap_or("-");
    let code = match answer.status {
        ..400 => String::new(),
        _ => format!(" {}", answer.code()),
    };
    format!("{} {replicated}{code}", answer.status)
}

/// What two settlements, an adoption and a forgetting are told, each of which is done.
async fn orders(rule: &str, standby: Option<bool>, alone: bool) -> Vec<String> {
    let backend = Scripted::start().await;
    let server = format!(
        "database: mysql://relay@127.0.0.1:3306/relay\nreplication:\n  \
         standby: mysql://relay@127.0.0.1:3307/relay\n  confirm: {rule}\n"
    );
    // Who starts without a standby has nobody to ask, until it is told whom.
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(FaultyStore {
        inner: open(folder.path()).await,
        happening: Arc::new(|_, _| None),
    });
    let alone_yet = files_over("", &backend.url());
    let whole = over(TestRelay::start_over(store, folder.path(), &alone_yet).await).await;
    let relay = &whole.relay.relay;
    let there = Arc::new(Standby(AtomicBool::new(true)));
    if standby.is_some() {
        relay.confirmed_by(there.clone());
    }
    let files = files_over(&server, &backend.url());
    relay.reload(compile(&files)).unwrap();
    relay.gate().set_alone(alone);
    let mut unknown = Vec::new();
    for id in ["t1", "t2"] {
        backend.will(Act::Reset);
        let create = request("POST", "/v1/things", &json!({ "id": id }));
        let problem = once(whole.cmp, &create).await.json();
        unknown.push(problem["operation"].as_str().unwrap().to_owned());
    }
    there.0.store(standby == Some(true), Ordering::SeqCst);

    let mut answers = Vec::new();
    for (listener, id) in [whole.admin, whole.cmp].iter().zip(&unknown) {
        let order = json!({ "verdict": "failed", "force": true });
        let path = format!("/relay/v1/operations/{id}/resolve");
        let answer = once(*listener, &request("POST", &path, &order)).await;
        answers.push(told(&answer));
        let row = relay.journal().store().operation(id.parse().unwrap());
        assert_eq!(row.await.unwrap().unwrap().state.name(), "failed");
    }
    let adopt =
        json!({ "resource": "thing", "cmp_id": "t9", "backend": "box-1", "backend_id": "9" });
    let mapped = || async {
        let store = relay.journal().store();
        store.mappings_of_object("thing", "t9").await.unwrap().len()
    };
    for (method, path, body, rows) in [
        ("POST", "/relay/v1/mappings", adopt, 1),
        ("DELETE", "/relay/v1/mappings/thing/t9", json!({}), 0),
    ] {
        let answer = once(whole.admin, &request(method, path, &body)).await;
        answers.push(told(&answer));
        assert_eq!(mapped().await, rows, "{method}");
    }
    answers
}

#[tokio::test]
async fn what_a_person_orders_is_confirmed_like_an_outcome() {
    for (rule, standby, alone, expected) in [
        ("required", None, false, "off"),
        ("required", Some(true), false, "yes"),
        ("preferred", Some(true), false, "yes"),
        ("preferred", Some(false), false, "no"),
        ("required", Some(false), true, "no"),
        ("none", Some(true), false, "no"),
    ] {
        let expected = [200, 200, 201, 204].map(|status| format!("{status} {expected}"));
        let told = orders(rule, standby, alone).await;
        assert_eq!(told, expected, "{rule}, {standby:?}, alone: {alone}");
    }
}

/// It is done, and not acknowledged: the loss of this node could undo it.
#[tokio::test]
async fn an_order_that_the_standby_does_not_confirm_is_not_acknowledged() {
    let told = orders("required", Some(false), false).await;
    assert_eq!(told, ["504 no standby_unconfirmed"; 4]);
}
