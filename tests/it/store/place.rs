//! Where the data lies: who may open it, whether its tables fit, what outlives a crash (SEMANTICS 20, 21).

use sqlx::{ConnectOptions, Connection, Executor};

use super::*;

on_both!(
    a_second_instance_is_refused,
    tables_that_are_missing_or_differ_are_refused,
    what_was_committed_outlives_a_store_that_was_not_closed,
);

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
        Place::Sqlite(folder) => {
            let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
                .filename(folder.path().join("data/relay.db"))
                .connect()
                .await
                .unwrap();
            connection.execute(statement).await.unwrap();
            connection.close().await.unwrap();
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

    beside(&db.place, "UPDATE _sqlx_migrations SET version = 99").await;
    assert!(refusal(&db).await.contains("run `cmp-relay migrate`"));
    beside(&db.place, "UPDATE _sqlx_migrations SET version = 1").await;
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
async fn reopened(place: &Place) -> Arc<dyn Store> {
    for _ in 0..1_000 {
        match place.open().await {
            Ok(store) => return store,
            Err(StoreError::Locked(_)) => tokio::task::yield_now().await,
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
    assert_eq!(store.migrate().await.unwrap(), ["0001 tables"]);
    assert!(store.check_schema().await.is_ok());
}

#[tokio::test]
async fn a_read_only_server_is_not_writable() {
    let Some(place) = Place::mariadb().await else {
        return;
    };
    let Place::MariaDb(server) = &place else {
        unreachable!()
    };
    // For one account, as a standby is for all: the server is shared with other tests.
    let mut raw = crate::support::mariadb::raw(server.port, Some(&server.database)).await;
    let name = server.database.to_string();
    for statement in [
        format!("CREATE USER {name}@'127.0.0.1', {name}@localhost"),
        format!("GRANT SELECT ON {name}.* TO {name}@'127.0.0.1', {name}@localhost"),
    ] {
        raw.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    }
    let root = place.migrated().await;
    let Place::MariaDb(server) = &root.place else {
        unreachable!()
    };
    let reader = MariaDb {
        user: name.into(),
        ..server.clone()
    };
    let store = MariaDbStore::connect(&reader, Exclusive::No).await.unwrap();
    let intent = create("n1");
    let denied = store.apply(&[Write::Begin(Box::new(intent))]).await;
    assert!(matches!(denied, Err(StoreError::Unavailable(_))));
    assert_eq!(store.mappings(&[key("n1")]).await.unwrap(), [None]);
}
