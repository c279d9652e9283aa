//! Where the data lies: who may open it, whether its tables fit, what outlives a crash (SEMANTICS 20, 21).

use std::time::Duration;

use sqlx::Executor;
use tokio::sync::MutexGuard;

use super::*;

on_both!(
    one_row_that_cannot_be_stored_fails_alone,
    the_fingerprint_key_is_made_once,
    a_second_instance_is_refused,
    tables_that_are_missing_or_differ_are_refused,
    what_was_committed_outlives_a_store_that_was_not_closed,
);

async fn one_row_that_cannot_be_stored_fails_alone(db: Db) {
    let mut bad = create("n2");
    // Known to the tables alone: a check constraint.
    bad.operation.side_effect = "maybe".into();
    let batch = [create("n1"), bad, create("n1"), create("n3")]
        .map(|intent| Write::Begin(Arc::new(intent)));
    let written = db.apply(&batch).await;
    assert_eq!(written[0], Written::Begun(Begun::Started));
    assert!(matches!(written[1], Written::Invalid(_)), "{written:?}");
    assert!(matches!(written[2], Written::Begun(Begun::ClaimHeld(_))));
    assert_eq!(written[3], Written::Begun(Begun::Started));
    let counts = db.store.count_by_state().await.unwrap();
    assert_eq!(counts, [(State::Pending, 2)]);
}

async fn the_fingerprint_key_is_made_once(db: Db) {
    let (first, second) = tokio::join!(db.store.fingerprint_key(), db.store.fingerprint_key());
    let first = first.unwrap();
    assert_eq!(first, second.unwrap());
    assert_ne!(first, [0; 32]);
    db.store.close().await;
    drop(db.store);
    let reopened = db.place.open().await.unwrap();
    assert_eq!(reopened.fingerprint_key().await.unwrap(), first);
}

async fn a_second_instance_is_refused(db: Db) {
    let Err(StoreError::Locked(words)) = db.place.open().await else {
        panic!("the database is served already");
    };
    assert!(words.contains("another cmp-relay serves this database"));
    db.store.close().await;
    drop(db.store);
    assert!(db.place.open().await.is_ok());
}

/// Runs a statement beside the store.
async fn beside(place: &Place, statement: &'static str) {
    match place {
        Place::Memory(_) => unreachable!("memory takes no statement"),
        Place::Sqlite(folder) => {
            let file = folder.path().join("data/relay.db");
            let connection = rusqlite::Connection::open(file).unwrap();
            connection.execute_batch(statement).unwrap();
        }
        Place::MariaDb(server) => {
            let database = Some(&*server.database);
            let mut connection = crate::support::mariadb::raw(server.port, database).await;
            connection.execute(statement).await.unwrap();
        }
    }
}

async fn tables_that_are_missing_or_differ_are_refused(db: Db) {
    let refusal = async |db: &Db| match db.store.check_schema().await {
        Err(StoreError::Schema(words)) => words,
        other => panic!("{other:?}"),
    };
    assert!(db.store.check_schema().await.is_ok());
    // Migrating again does nothing.
    assert_eq!(db.store.migrate().await.unwrap(), Vec::<String>::new());

    beside(
        &db.place,
        "UPDATE _sqlx_migrations SET version = 99 WHERE version = 1",
    )
    .await;
    assert!(refusal(&db).await.contains("run `cmp-relay migrate`"));
    beside(
        &db.place,
        "UPDATE _sqlx_migrations SET version = 1 WHERE version = 99",
    )
    .await;
    beside(
        &db.place,
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', TRUE, X'00', 1)",
    )
    .await;
    assert!(refusal(&db).await.contains("newer"));
    beside(&db.place, "DELETE FROM _sqlx_migrations WHERE version = 99").await;
    beside(&db.place, "UPDATE _sqlx_migrations SET checksum = X'00'").await;
    assert!(
        refusal(&db)
            .await
            .contains("another text of migration 0001")
    );
    beside(&db.place, "DROP TABLE _sqlx_migrations").await;
    assert!(refusal(&db).await.contains("run `cmp-relay migrate`"));

    beside(&db.place, "DROP TABLE mapping").await;
    let Err(StoreError::Schema(words)) = db.store.mappings(&[key("n1")]).await else {
        panic!("there is no table");
    };
    assert!(words.contains("cmp-relay migrate"), "{words}");
}

async fn what_was_committed_outlives_a_store_that_was_not_closed(db: Db) {
    let intent = db.created("n1", "b1").await;
    let pending = create("n2");
    db.begin(&pending).await;
    let Db { store, place } = db;
    drop(store);
    let store = reopened(&place).await;
    let db = Db { store, place };
    assert_eq!(
        db.operation(intent.operation.id).await.state,
        State::Succeeded
    );
    assert_eq!(db.operation(pending.operation.id).await, pending.operation);
    assert!(db.mapped("n1").await.is_some());
}

/// The lock goes when the last connection does, which a dropped store does not wait for.
pub(crate) async fn reopened(place: &Place) -> Arc<dyn Store> {
    for _ in 0..10_000 {
        match place.open().await {
            Ok(store) => return store,
            Err(StoreError::Locked(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the lock outlived its store")
}

#[tokio::test]
async fn a_database_without_tables_says_what_to_run() {
    let place = Place::sqlite().await.unwrap();
    let store = place.open().await.unwrap();
    let Err(StoreError::Schema(words)) = store.check_schema().await else {
        panic!("there are no tables");
    };
    assert!(words.contains("run `cmp-relay migrate`"));
    assert_eq!(
        store.migrate().await.unwrap(),
        ["0001 tables", "0002 host keys", "0003 checks"]
    );
    assert!(store.check_schema().await.is_ok());
}

#[tokio::test]
async fn an_open_file_on_a_disk_with_room_is_writable() {
    let db = Place::sqlite().await.unwrap().migrated().await;
    assert!(db.store.is_writable().await.unwrap());
    db.store.close().await;
    assert!(!db.store.is_writable().await.unwrap());
}

/// Held by a test whose store is not root: one of them makes the whole server read-only, which root alone
/// is above.
static NOT_ROOT: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The account of a relay: no more than DML on its own database.
async fn as_relay(server: &MariaDb) -> (MariaDb, MutexGuard<'static, ()>) {
    let guard = NOT_ROOT.lock().await;
    let mut raw = crate::support::mariadb::raw(server.port, None).await;
    let name = &server.database;
    for statement in [
        format!("CREATE USER {name}@'127.0.0.1', {name}@localhost"),
        format!(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {name}@'127.0.0.1', {name}@localhost"
        ),
    ] {
        raw.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    }
    let relay = MariaDb {
        user: name.clone(),
        ..server.clone()
    };
    (relay, guard)
}

#[tokio::test]
async fn a_read_only_server_is_not_writable_and_says_so() {
    let Some(place) = Place::mariadb().await else {
        return;
    };
    let db = place.migrated().await;
    let Place::MariaDb(server) = &db.place else {
        unreachable!()
    };
    let (relay, _guard) = as_relay(server).await;
    let store = MariaDbStore::connect(&relay, Exclusive::No).await.unwrap();
    assert!(store.is_writable().await.unwrap());

    // Harmless to the tests beside this one: they are root, who may write nevertheless, or wait.
    let mut raw = crate::support::mariadb::raw(server.port, None).await;
    raw.execute("SET GLOBAL read_only = 1").await.unwrap();
    let writable = store.is_writable().await;
    let begun = store.apply(&[Write::Begin(Arc::new(create("n1")))]).await;
    let read = store.mappings(&[key("n1")]).await;
    raw.execute("SET GLOBAL read_only = 0").await.unwrap();

    assert_eq!(writable, Ok(false));
    assert!(
        matches!(begun, Err(StoreError::Unavailable(_))),
        "{begun:?}"
    );
    assert_eq!(read, Ok(vec![None]));
    store
        .apply(&[Write::Begin(Arc::new(create("n1")))])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_connection_that_the_server_ended_is_made_again() {
    let Some(place) = Place::mariadb().await else {
        return;
    };
    let db = place.migrated().await;
    let Place::MariaDb(server) = &db.place else {
        unreachable!()
    };
    let (relay, _guard) = as_relay(server).await;
    let store = MariaDbStore::connect(&relay, Exclusive::Yes).await;
    assert!(matches!(store, Err(StoreError::Locked(_))));
    db.store.close().await;
    let store = MariaDbStore::connect(&relay, Exclusive::Yes).await.unwrap();
    store
        .apply(&[Write::Begin(Arc::new(create("n1")))])
        .await
        .unwrap();

    let mut raw = crate::support::mariadb::raw(server.port, None).await;
    let kill = format!("KILL CONNECTION USER {}@localhost", relay.user);
    raw.execute(sqlx::AssertSqlSafe(kill.clone()))
        .await
        .unwrap();
    let begun = store
        .apply(&[Write::Begin(Arc::new(create("n2")))])
        .await
        .unwrap();
    assert_eq!(begun.written, [Written::Begun(Begun::Started)]);
    assert_eq!(store.mappings(&[key("n1")]).await, Ok(vec![None]));
    // The lock went with its connection, and was taken anew before anything was written.
    assert_eq!(store.is_writable().await, Ok(true));
    let second = MariaDbStore::connect(&relay, Exclusive::Yes).await;
    assert!(matches!(second, Err(StoreError::Locked(_))));

    // Where another process was faster, this one is not the only one, and writes nothing.
    raw.execute(sqlx::AssertSqlSafe(kill)).await.unwrap();
    let taken: Option<i64> = sqlx::query_scalar("SELECT GET_LOCK(?, 60)")
        .bind(format!("cmp-relay.{}", server.database))
        .fetch_one(&mut raw)
        .await
        .unwrap();
    assert_eq!(taken, Some(1));
    assert_ne!(store.is_writable().await, Ok(true));
    let refused = store.apply(&[Write::Begin(Arc::new(create("n3")))]).await;
    assert!(
        matches!(refused, Err(StoreError::Unavailable(_))),
        "{refused:?}"
    );
}

/// What each of two processes on one server is told about its intents.
async fn begun_by_two(db: &Db, intents: impl Fn() -> Vec<Intent>) -> Vec<Begun> {
    let Place::MariaDb(server) = &db.place else {
        unreachable!()
    };
    let mut requests = tokio::task::JoinSet::new();
    for _ in 0..2 {
        let store = MariaDbStore::connect(server, Exclusive::No).await.unwrap();
        let journal = cmp_relay::store::Journal::start(Arc::new(store));
        for intent in intents() {
            let journal = journal.clone();
            requests.spawn(async move { journal.begin(intent).await.unwrap().0 });
        }
    }
    requests.join_all().await
}

fn started(begun: &[Begun]) -> usize {
    let started = begun.iter().filter(|begun| **begun == Begun::Started);
    started.count()
}

#[tokio::test]
async fn two_processes_on_one_server_arbitrate_by_its_locks() {
    let Some(place) = Place::mariadb().await else {
        return;
    };
    let db = place.migrated().await;
    let mut retries = Vec::new();
    for number in 0..20 {
        let name = number.to_string();
        let failed = with_key(create(&name), &name);
        db.begin(&failed).await;
        db.finish(&outcome(&failed, State::Failed)).await;
        // Nothing but the row itself says which process may run the next attempt.
        let mut retry = failed.clone();
        retry.replaces = Some((1, State::Failed));
        retry.operation.attempt = 2;
        retry.operation.claim = None;
        retries.push(retry);
    }
    let begun = begun_by_two(&db, || retries.clone()).await;
    assert_eq!(started(&begun), 20);

    // Two operations of each process want each of twenty objects.
    let creates = || {
        (0..40)
            .map(|n| create(&format!("new {}", n % 20)))
            .collect()
    };
    let begun = begun_by_two(&db, creates).await;
    assert_eq!((started(&begun), begun.len()), (20, 80));
    let counts = db.store.count_by_state().await.unwrap();
    assert_eq!(counts, [(State::Pending, 40)]);
}
