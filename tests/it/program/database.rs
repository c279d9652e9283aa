//! `serve` on a MariaDB server that hangs, dies and returns in the middle of requests (SEMANTICS 13, 20).

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use sqlx::Executor;

use super::thing;
use crate::support::mariadb::{Private, peer_or_skip, raw};
use crate::support::program::{Folder, Keeping, Served, Told, run, told};

fn create(
    served: &Arc<Served>,
    id: &'static str,
    name: &'static str,
) -> tokio::task::JoinHandle<Told> {
    let served = served.clone();
    tokio::spawn(async move { served.ask("POST", "/v1/things", id, thing(id, name)).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_goes_away_loses_nothing_and_everything_recovers_when_it_returns() {
    let started = tokio::task::spawn_blocking(Private::start).await.unwrap();
    let Some(mut database) = peer_or_skip("MariaDB", started) else {
        return;
    };
    let mut root = raw(database.port, None).await;
    root.execute("CREATE DATABASE relay").await.unwrap();
    drop(root);
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    folder.edit("backends.d/one.yaml", "timeout: 1s", "timeout: 20s");
    folder.relay(&format!(
        "database: mysql://root@127.0.0.1:{}/relay\n",
        database.port
    ));
    let serve = ["serve", "--config", folder.argument()];
    let migrate = ["migrate", "--config", folder.argument()];

    // Tables are made when told to, and only then.
    let (status, _, said) = told(&run(&serve));
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("run `cmp-relay migrate`"), "{said}");
    let (status, out, said) = told(&run(&migrate));
    assert_eq!(status, 0, "{said}");
    assert!(out.starts_with("ran "), "{out}");
    let (status, out, _) = told(&run(&migrate));
    assert_eq!(
        (status, out.as_str()),
        (0, "nothing to do: the tables are what this version needs\n")
    );

    let served = Arc::new(Served::start(&folder));
    for id in ["t1", "t2"] {
        assert_eq!(create(&served, id, "a").await.unwrap().status, 201);
    }
    assert_eq!(served.get("/v1/things/t1").await.status, 200);
    let deleted = served.ask("DELETE", "/v1/things/t2", "", Value::Null).await;
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert_one_serves(&serve);

    // It dies between a call and its outcome.
    let slow = create(&served, "t3", "slow");
    backend.hears("POST /api/things", 3).await;
    database.order("kill");
    backend.release();
    let unwritten = slow.await.unwrap();
    assert_eq!(
        (unwritten.status, unwritten.code()),
        (504, "outcome_unknown"),
        "{unwritten:?}"
    );
    assert_eq!(unwritten.body["side_effect"], "done", "{unwritten:?}");
    assert_refuses(&served).await;
    assert_eq!(
        served.get("/v1/things/t1").await.status,
        200,
        "what is known in memory is still read"
    );

    // It returns: the outcome is written, and the lock is this relay's again.
    database.order("start");
    recovered(&served).await;
    let retried = until_replayed(&served, "t3", "slow").await;
    assert_eq!(retried.status, 201, "{retried:?}");
    assert_one_serves(&serve);

    // A pause that is shorter than anybody's patience is only a pause.
    database.order("freeze");
    let paused = create(&served, "t4", "a");
    tokio::time::sleep(Duration::from_millis(300)).await;
    database.order("thaw");
    let paused = paused.await.unwrap();
    assert_eq!(paused.status, 201, "{paused:?}");

    // One that hangs refuses nothing; it is given up on.
    database.order("freeze");
    assert_refuses(&served).await;
    database.order("thaw");
    recovered(&served).await;
    let made = served
        .ask("POST", "/v1/things", "t5", thing("t5", "a"))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_one_serves(&serve);

    let made = backend.state().made;
    let each: Vec<&str> = made.keys().map(String::as_str).collect();
    assert_eq!(each, ["cmp:t1", "cmp:t2", "cmp:t3", "cmp:t4", "cmp:t5"]);
    assert!(made.values().all(|made| *made == 1), "{made:?}");
    let page = served.admin("GET", "/relay/v1/operations?state=unknown", Value::Null);
    assert_eq!(page.await.body["items"], serde_json::json!([]));
    let mapped = served
        .admin("GET", "/relay/v1/mappings", Value::Null)
        .await
        .body;
    assert_eq!(mapped["items"].as_array().unwrap().len(), 4, "{mapped}");

    // Its end does not wait for a database that hangs.
    database.order("freeze");
    let mut served = Arc::into_inner(served).unwrap();
    served.signal("TERM");
    assert_eq!(served.ended().await.code(), Some(0), "{}", served.log());
}

/// Without its table nothing is begun, and nothing is said of what it would tell.
async fn assert_refuses(served: &Arc<Served>) {
    let create = create(served, "t5", "a");
    let (read, ready) = tokio::join!(
        served.get("/v1/things/never-seen"),
        served.admin("GET", "/readyz", Value::Null),
    );
    let create = create.await.unwrap();
    for told in [&read, &create] {
        assert_eq!(
            (told.status, told.code()),
            (503, "database_unavailable"),
            "{told:?}"
        );
        assert!(
            told.head.to_lowercase().contains("retry-after:"),
            "{told:?}"
        );
    }
    assert_eq!(create.body["side_effect"], "none", "{create:?}");
    assert_eq!(create.body["safe_to_retry"], true, "{create:?}");
    assert_eq!(ready.status, 503, "{ready:?}");
}

async fn recovered(served: &Served) {
    for _ in 0..200 {
        if served.admin("GET", "/readyz", Value::Null).await.status == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it does not recover:\n{}", served.log());
}

/// The kept outcome is written a moment after the database is back.
async fn until_replayed(served: &Served, id: &str, name: &str) -> Told {
    for _ in 0..200 {
        let told = served.ask("POST", "/v1/things", id, thing(id, name)).await;
        if told.has("idempotency-replayed: true") {
            return told;
        }
        assert_eq!(told.code(), "operation_in_progress", "{told:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is not written:\n{}", served.log());
}

fn assert_one_serves(serve: &[&str]) {
    let (status, _, said) = told(&run(serve));
    assert_eq!(status, 1, "{said}");
    assert!(
        said.contains("another cmp-relay serves this database"),
        "{said}"
    );
}
