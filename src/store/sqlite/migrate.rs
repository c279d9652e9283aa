//! Migrations of an SQLite file: the list and the table are sqlx's, as on MariaDB, and so are the files
//! that sqlx itself has migrated.

use std::time::Instant;

use rusqlite::params;
use sqlx::migrate::{Migration, Migrator};

use super::{SqliteEngine, fault};
use crate::store::StoreError;
use crate::store::sql::session::Fault;
use crate::store::sql::{Engine, schema};

/// As sqlx makes it.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
)";

/// Runs those that the file lacks, in one transaction; refuses a file that has others.
pub(super) async fn run(engine: &SqliteEngine, migrator: &Migrator) -> Result<(), StoreError> {
    let failed = |fault: Fault| StoreError::Schema(format!("migrating: {fault}"));
    let mut transaction = engine.begin().await.map_err(failed)?;
    transaction
        .execute_batch(TABLE)
        .map_err(|error| failed(fault(error)))?;
    let applied = schema::applied(&mut *transaction).await.map_err(failed)?;
    schema::compare_applied(migrator, &applied)?;
    for migration in schema::lacking(migrator, &applied) {
        apply(&transaction, migration).map_err(|error| failed(fault(error)))?;
    }
    let (_, durable) = engine.commit(transaction).await.map_err(failed)?;
    durable.wait().await
}

fn apply(connection: &rusqlite::Connection, migration: &Migration) -> rusqlite::Result<()> {
    let began = Instant::now();
    connection.execute_batch(migration.sql.as_str())?;
    let nanoseconds = i64::try_from(began.elapsed().as_nanos()).unwrap_or(i64::MAX);
    connection.execute(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES (?, ?, TRUE, ?, ?)",
        params![
            migration.version,
            migration.description,
            migration.checksum,
            nanoseconds
        ],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::SqliteStore;
    use super::*;
    use crate::store::{State, Store};

    const TABLES: &str = include_str!("../../../migrations/sqlite/0001_tables.sql");
    const HOST_KEYS: &str = include_str!("../../../migrations/sqlite/0002_host_keys.sql");
    /// `sha384sum migrations/sqlite/*`, which is what sqlx wrote down.
    const CHECKSUMS: [&str; 2] = [
        "dc22c2e595e433fe72371331d7989ab900132396ebf5cba3988f3b68d8bbec19c285cc01957059326ea484c814e2a2a3",
        "53ccd1df88dc80018ae9557bb6bd2a74baf5e1758ccc6c9fe6a10990c74a974976edbc79a841cb85ddfc64503809a8d1",
    ];

    /// A file as sqlx 0.9.0 left it, with the first so many migrations.
    fn made_by_sqlx(path: &std::path::Path, migrations: usize) {
        let connection = Connection::open(path).unwrap();
        let table = "CREATE TABLE IF NOT EXISTS _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);";
        connection.execute_batch(table).unwrap();
        let both = [(1, "tables", TABLES), (2, "host keys", HOST_KEYS)];
        for ((version, name, text), checksum) in both.iter().zip(CHECKSUMS).take(migrations) {
            connection.execute_batch(text).unwrap();
            let row = format!(
                "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES ({version}, '{name}', TRUE, X'{checksum}', -1);
                 UPDATE _sqlx_migrations SET execution_time = 431250 WHERE version = {version}"
            );
            connection.execute_batch(&row).unwrap();
        }
    }

    fn recorded(path: &std::path::Path) -> Vec<(i64, String, bool, String)> {
        let connection = Connection::open(path).unwrap();
        let sql = "SELECT version, description, success, lower(hex(checksum)) \
                   FROM _sqlx_migrations ORDER BY version";
        let mut rows = connection.prepare(sql).unwrap();
        let row =
            |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
        rows.query_map([], row)
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }

    #[tokio::test]
    async fn a_file_that_sqlx_made_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let as_sqlx_would = [
            (1, "tables".to_owned(), true, CHECKSUMS[0].to_owned()),
            (2, "host keys".to_owned(), true, CHECKSUMS[1].to_owned()),
        ];
        let since = ["0001 tables", "0002 host keys", "0003 checks"];
        for migrations in 0..=as_sqlx_would.len() {
            let lacking = &since[migrations..];
            let path = folder.path().join(format!("{migrations}.db"));
            made_by_sqlx(&path, migrations);
            let store = SqliteStore::open(&path).await.unwrap();
            assert!(store.check_schema().await.is_err());
            assert_eq!(store.migrate().await.unwrap(), *lacking);
            assert_eq!(store.check_schema().await, Ok(()));
            store.close().await;
            assert_eq!(recorded(&path)[..2], as_sqlx_would);
        }
    }

    /// The table is made anew; its rows and what it refuses are what they were.
    #[tokio::test]
    async fn the_checks_are_others_and_the_rows_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.db");
        made_by_sqlx(&path, 2);
        let connection = Connection::open(&path).unwrap();
        let row = |id: &str, state: &str, side_effect: &str| {
            let sql = format!(
                "INSERT INTO operation VALUES (X'{id}', 'r', 'c', 'k{id}', X'01', 1, 'net', 'n', '', 'b', '[]', '{state}', 0, \
                 X'{id}', X'02', 201, 1, 201, '[]', X'03', NULL, NULL, '{side_effect}', 0, NULL, 5, 'node', 1, 6, 7)"
            );
            connection.execute_batch(&sql)
        };
        let all = || -> Vec<Vec<rusqlite::types::Value>> {
            let mut rows = connection
                .prepare("SELECT * FROM operation ORDER BY id")
                .unwrap();
            let columns = rows.column_count();
            let row =
                |row: &rusqlite::Row<'_>| (0..columns).map(|column| row.get(column)).collect();
            rows.query_map([], row)
                .unwrap()
                .map(Result::unwrap)
                .collect()
        };
        for (id, state) in ["02", "01", "04", "03"].into_iter().zip([
            State::Pending,
            State::Succeeded,
            State::Failed,
            State::Unknown,
        ]) {
            row(id, state.name(), "none").unwrap();
        }
        let before = all();
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(store.migrate().await.unwrap(), ["0003 checks"]);
        store.close().await;
        assert_eq!((before.len(), all()), (4, before));
        assert!(row("05", "pendin", "none").is_err());
        assert!(row("05", "pending", "maybe").is_err());
        assert!(row("01", "failed", "done").is_err());
        for (id, side_effect) in [("05", "unknown"), ("06", "done")] {
            row(id, "pending", side_effect).unwrap();
        }
    }

    #[tokio::test]
    async fn a_file_of_another_text_is_not_migrated() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("relay.db");
        made_by_sqlx(&path, 1);
        let connection = Connection::open(&path).unwrap();
        let other = "UPDATE _sqlx_migrations SET checksum = X'00'";
        connection.execute_batch(other).unwrap();
        let store = SqliteStore::open(&path).await.unwrap();
        let Err(StoreError::Schema(words)) = store.migrate().await else {
            panic!("it is another text");
        };
        assert!(words.contains("another text of migration 0001"), "{words}");
        assert_eq!(recorded(&path).len(), 1);
    }
}
