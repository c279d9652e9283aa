//! The store on an embedded SQLite file: one machine, no standby.
//!
//! WAL with `synchronous=FULL`: what was committed survives a power cut. One connection writes, a few
//! read. A lock file beside the database is held for life, so that one process serves it (SEMANTICS 20).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sqlx::error::DatabaseError;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Sqlite, Transaction};

use super::sql::session::{Dialect, Fault, session};
use super::sql::{Engine, SqlStore, schema};
use super::{Position, StoreError};

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    schema::migrator(&[
        (
            1,
            "tables",
            include_str!("../../migrations/sqlite/0001_tables.sql"),
        ),
        (
            2,
            "host keys",
            include_str!("../../migrations/sqlite/0002_host_keys.sql"),
        ),
    ])
});

/// Connections that answer questions while the one that writes is busy.
const READERS: u32 = 4;

/// The store on an SQLite file.
pub type SqliteStore = SqlStore<SqliteEngine>;

/// The two pools of one file, and the lock on it.
#[derive(Debug)]
pub struct SqliteEngine {
    path: PathBuf,
    writer: SqlitePool,
    readers: SqlitePool,
    /// Dropped last: while it is open, no other process opens this database.
    _lock: File,
}

impl SqlStore<SqliteEngine> {
    /// Opens the file, which is made with its directory when it is missing. Refuses one that another
    /// process has open. Creates no tables: [`super::Store::migrate`] does.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let unavailable = |what: &str, error: &dyn std::fmt::Display| -> StoreError {
            StoreError::Unavailable(format!("{what} {}: {error}", path.display()))
        };
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            fs::create_dir_all(folder).map_err(|error| unavailable("the folder of", &error))?;
        }
        let lock = lock(path)?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(5))
            .statement_cache_capacity(256)
            .disable_statement_logging();
        let pool = |size| {
            SqlitePoolOptions::new()
                .max_connections(size)
                .acquire_timeout(Duration::from_secs(10))
                // A local file needs no ping, and nothing ends an idle connection.
                .test_before_acquire(false)
                .idle_timeout(None)
                .max_lifetime(None)
        };
        let writer = pool(1)
            .connect_with(options.clone())
            .await
            .map_err(|error| unavailable("opening", &error))?;
        let readers = pool(READERS).connect_lazy_with(options.pragma("query_only", "ON"));
        Ok(SqlStore {
            engine: SqliteEngine {
                path: path.to_owned(),
                writer,
                readers,
                _lock: lock,
            },
        })
    }
}

/// Takes the lock beside the database: `relay.db.lock`.
fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let name = PathBuf::from(name);
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| StoreError::Unavailable(format!("opening {}: {error}", name.display())))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => Err(StoreError::Locked(format!(
            "another cmp-relay serves this database: {} is locked; stop that one first",
            name.display()
        ))),
        Err(error) => Err(StoreError::Unavailable(format!(
            "locking {}: {error}",
            name.display()
        ))),
    }
}

impl Engine for SqliteEngine {
    type Session = SqliteConnection;
    type Reader = PoolConnection<Sqlite>;
    type Transaction = Transaction<'static, Sqlite>;

    async fn reader(&self) -> Result<Self::Reader, Fault> {
        self.readers.acquire().await.map_err(fault)
    }

    async fn begin(&self) -> Result<Self::Transaction, Fault> {
        // Immediate: the write lock is taken before the first read, so nothing read can change.
        self.writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(fault)
    }

    async fn commit(&self, transaction: Self::Transaction) -> Result<Option<Position>, Fault> {
        let committed = transaction.commit().await.map_err(|error| {
            let answered = error.as_database_error().map(primary_code);
            match answered {
                // After an I/O error the frames may be in the log nevertheless; any other answer
                // (busy, full, read-only) says that nothing was committed.
                None | Some(IO_ERROR) => Fault::CommitUnknown(error.to_string()),
                Some(_) => fault(error),
            }
        });
        committed.map(|()| None)
    }

    async fn position(&self) -> Result<Option<Position>, Fault> {
        Ok(None)
    }

    async fn rollback(transaction: Self::Transaction) {
        // A transaction that cannot be rolled back is one that the connection has lost already.
        let _ = transaction.rollback().await;
    }

    fn migrator() -> &'static Migrator {
        &MIGRATIONS
    }

    async fn run_migrations(&self) -> Result<(), StoreError> {
        MIGRATIONS
            .run(&self.writer)
            .await
            .map_err(|error| StoreError::Schema(format!("migrating: {error}")))
    }

    async fn is_writable(&self) -> Result<bool, Fault> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let unavailable = |words: String| Fault::Unavailable(words);
        let disk = rustix::fs::statvfs(folder)
            .map_err(|error| unavailable(format!("{}: {error}", folder.display())))?;
        let read_only = disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
        Ok(!self.writer.is_closed() && !read_only && disk.f_bavail > 0)
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

session!(
    SqliteConnection,
    SqliteRow,
    Dialect {
        lock: "",
        upsert: |key| format!(" ON CONFLICT ({key}) DO UPDATE SET "),
        excluded: |column| format!("excluded.{column}"),
        insert_ignore: "INSERT OR IGNORE",
        use_index: |_| String::new(),
    },
    fault
);

/// `SQLITE_IOERR`.
const IO_ERROR: i32 = 10;

fn primary_code(error: &dyn DatabaseError) -> i32 {
    let code: Option<i32> = error.code().and_then(|code| code.parse().ok());
    code.unwrap_or_default() & 0xff
}

/// What an error means; the primary result code is the low byte (sqlite.org/rescode.html).
fn fault(error: sqlx::Error) -> Fault {
    let words = error.to_string();
    let sqlx::Error::Database(database) = &error else {
        return Fault::Unavailable(words);
    };
    match primary_code(&**database) {
        // SQLITE_BUSY, SQLITE_LOCKED
        5 | 6 => Fault::Retry(words),
        // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH
        18..=20 => Fault::Row(words),
        1 if words.contains("no such table") || words.contains("no such column") => {
            Fault::Schema(format!("{words}; run `cmp-relay migrate`"))
        }
        _ => Fault::Unavailable(words),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no test without a power cut can see: that a commit waits for the disk.
    #[tokio::test]
    async fn the_writer_commits_to_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("relay.db"))
            .await
            .unwrap();
        let pragma = async |name: &str| -> String {
            sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                "SELECT CAST({name} AS TEXT) FROM pragma_{name}"
            )))
            .fetch_one(&store.engine.writer)
            .await
            .unwrap()
        };
        assert_eq!(pragma("synchronous").await, "2");
        assert_eq!(pragma("journal_mode").await, "wal");
    }
}
