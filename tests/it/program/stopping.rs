//! SIGTERM: what is in hand ends, nothing new begins, what cannot end is written down as unknown,
//! backends are logged out of last (SEMANTICS 31).

use std::sync::Arc;

use serde_json::Value;
use tokio::net::TcpStream;

use super::{thing, with_login};
use crate::support::program::{Folder, Keeping, Served, Told, try_ask};

fn create(
    served: &Arc<Served>,
    id: &'static str,
    name: &'static str,
) -> tokio::task::JoinHandle<Told> {
    let served = served.clone();
    tokio::spawn(async move { served.ask("POST", "/v1/things", id, thing(id, name)).await })
}

#[tokio::test]
async fn what_is_in_flight_is_finished_and_the_logout_comes_last() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    with_login(&folder, "20s");
    let served = Arc::new(Served::start(&folder));
    let slow = create(&served, "t1", "slow");
    backend.hears("POST /api/things", 1).await;

    served.signal("TERM");
    served.says("stopping").await;
    // The listeners close at once; what was accepted goes on.
    while TcpStream::connect(served.cmp).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(TcpStream::connect(served.admin).await.is_err());
    assert_eq!(backend.state().count("POST /logout"), 0);
    backend.release();
    let told = slow.await.unwrap();
    assert_eq!(told.status, 201, "{told:?}");
    let mut served = Arc::into_inner(served).unwrap();
    assert_eq!(served.ended().await.code(), Some(0), "{}", served.log());
    let heard = backend.state().heard;
    assert_eq!(heard, ["POST /login", "POST /api/things", "POST /logout"]);

    let again = Served::start(&folder);
    let replay = again
        .ask("POST", "/v1/things", "t1", thing("t1", "slow"))
        .await;
    assert!(replay.has("idempotency-replayed: true"), "{replay:?}");
    assert_eq!(backend.state().made["cmp:t1"], 1);
}

#[tokio::test]
async fn what_reaches_its_deadline_is_unknown_before_the_program_ends() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    with_login(&folder, "1s");
    let served = Arc::new(Served::start(&folder));
    let mute = create(&served, "t1", "mute");
    backend.hears("POST /api/things", 1).await;
    served.signal("TERM");
    // Its own deadline ends the call within the bound, and its CMP is told.
    let told = mute.await.unwrap();
    assert_eq!(
        (told.status, told.code()),
        (504, "outcome_unknown"),
        "{told:?}"
    );
    let mut served = Arc::into_inner(served).unwrap();
    assert_eq!(served.ended().await.code(), Some(0), "{}", served.log());
    assert_eq!(backend.state().heard.last().unwrap(), "POST /logout");
    let again = Served::start(&folder);
    assert!(!again.log().contains("were pending"), "{}", again.log());
    assert_unknown(&again).await;
}

#[tokio::test]
async fn told_twice_it_waits_for_nothing_and_still_leaves_no_pending_row() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    with_login(&folder, "300s");
    let mut served = Served::start(&folder);
    let relay = served.cmp;
    let mute = tokio::spawn(async move {
        try_ask(relay, "POST", "/v1/things", "t1", &thing("t1", "mute")).await
    });
    backend.hears("POST /api/things", 1).await;
    served.signal("TERM");
    served.says("stopping").await;
    served.signal("TERM");
    served.says("told to stop again").await;
    assert!(mute.await.unwrap().is_err(), "nobody is left to answer");
    assert_eq!(served.ended().await.code(), Some(0), "{}", served.log());
    assert_eq!(backend.state().heard.last().unwrap(), "POST /logout");
    let again = Served::start(&folder);
    assert!(!again.log().contains("were pending"), "{}", again.log());
    assert_unknown(&again).await;
    let retried = again
        .ask("POST", "/v1/things", "t1", thing("t1", "mute"))
        .await;
    assert_eq!((retried.status, retried.code()), (409, "outcome_unknown"));
}

/// The one operation is in doubt, and named.
async fn assert_unknown(served: &Served) {
    let page = served
        .admin("GET", "/relay/v1/operations", Value::Null)
        .await
        .body;
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{page}");
    assert_eq!(items[0]["state"], "unknown", "{page}");
    assert_eq!(items[0]["object"]["cmp_id"], "t1", "{page}");
}
