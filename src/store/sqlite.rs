//! The store on an embedded SQLite file: one machine, no standby.
//!
//! WAL, and nobody is told of a commit before it survives a power cut (`log`). One connection writes, on the
//! thread of whoever applies a batch, which is the committer's own; a few read (`readers`). A lock file beside the database is held for life, so that one process serves it (SEMANTICS 20).

mod log;
mod migrate;
mod readers;

use std::fs::{self, File};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, OpenFlags, Row, Statement};
use rustix::fs::{FlockOperation, flock};
use sqlx::migrate::Migrator;
use tokio::sync::{Mutex, OwnedMutexGuard};

use self::log::Log;
use self::readers::Readers;
use super::sql::session::{Cell, Columns, Decode, Dialect, Fault, Session, Text};
use super::sql::texts::Texts;
use super::sql::{Engine, Question, Rows, SqlStore, schema};
use super::{Durable, Position, StoreError};

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
        (
            3,
            "checks",
            include_str!("../../migrations/sqlite/0003_checks.sql"),
        ),
    ])
});

/// The store on an SQLite file.
pub type SqliteStore = SqlStore<SqliteEngine>;

/// The connections to one file, and the lock on it.
#[derive(Debug)]
pub struct SqliteEngine {
    path: PathBuf,
    /// `None` once it is closed.
    writer: Arc<Mutex<Option<Connection>>>,
    readers: Readers,
    log: Log,
    /// Dropped last: while it is open, no other process opens this database.
    _lock: File,
}

impl SqlStore<SqliteEngine> {
    /// Opens the file, which is made with its directory when it is missing. Refuses one that another
    /// process has open. Creates no tables: [`super::Store::migrate`] does.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Self::open_with(path, log::flush_of(path))
    }

    fn open_with(
        path: &Path,
        flush: impl FnMut() -> std::io::Result<()> + Send + 'static,
    ) -> Result<Self, StoreError> {
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
        // The log's pages go back into the file in larger turns than each 4 MiB: one flush of both for more commits.
        // What it commits is flushed by `log`.
        let writer = "PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 4096; PRAGMA synchronous = NORMAL";
        let writer = connect(path, writer).map_err(|error| unavailable("opening", &error))?;
        // It reads once, so that what it cannot open is told here and not by a question.
        let reader = "PRAGMA query_only = ON; SELECT count(*) FROM sqlite_schema";
        let readers = Readers::start(|| connect(path, reader))
            .map_err(|error| unavailable("opening", &error))?;
        let log = Log::start(flush).map_err(|error| unavailable("opening", &error))?;
        Ok(SqlStore::over(SqliteEngine {
            path: path.to_owned(),
            writer: Arc::new(Mutex::new(Some(writer))),
            readers,
            log,
            _lock: lock,
        }))
    }
}

/// A connection, with what every one has and what this one is `for`.
fn connect(path: &Path, mode: &str) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    connection.execute_batch(mode)?;
    connection.execute_batch("PRAGMA foreign_keys = ON")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
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

/// The connection that writes, while it is in a transaction.
#[derive(Debug)]
pub struct Transaction(OwnedMutexGuard<Option<Connection>>);

impl Deref for Transaction {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.0.as_ref().expect("begun on an open connection")
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut Connection {
        self.0.as_mut().expect("begun on an open connection")
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        // Neither committed nor rolled back by SQLite itself.
        if !self.is_autocommit()
            && let Err(error) = run(self, "ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }
}

fn run(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.raw_execute().map(|_| ())
}

impl Engine for SqliteEngine {
    type Session = Connection;
    type Transaction = Transaction;

    async fn ask<T: Send + 'static>(
        &self,
        rows: Rows,
        question: Question<Connection, T>,
    ) -> Result<T, Fault> {
        match rows {
            Rows::Few => self.readers.ask_at_once(question).await,
            Rows::Any => self.readers.ask(question).await,
        }
    }

    async fn begin(&self) -> Result<Transaction, Fault> {
        let writer = self.writer.clone().lock_owned().await;
        if writer.is_none() {
            return Err(Fault::Unavailable("the store is closed".to_owned()));
        }
        if let Some(words) = self.log.failure() {
            return Err(Fault::Unavailable(words));
        }
        let transaction = Transaction(writer);
        // Immediate: the write lock is taken before the first read, so nothing read can change.
        run(&transaction, "BEGIN IMMEDIATE").map_err(fault)?;
        Ok(transaction)
    }

    async fn commit(&self, transaction: Transaction) -> Result<(Option<Position>, Durable), Fault> {
        self.log.begins();
        let committed = run(&transaction, "COMMIT").map_err(|error| match primary_code(&error) {
            // After an I/O error the frames may be in the log nevertheless; any other answer
            // (busy, full, read-only) says that nothing was committed.
            None | Some(IO_ERROR) => Fault::CommitUnknown(error.to_string()),
            Some(_) => fault(error),
        });
        let durable = self.log.ended();
        committed.map(|()| (None, durable))
    }

    fn seen(&self) -> Durable {
        self.log.all()
    }

    async fn position(&self) -> Result<Option<Position>, Fault> {
        Ok(None)
    }

    async fn rollback(transaction: Transaction) {
        drop(transaction);
    }

    fn migrator() -> &'static Migrator {
        &MIGRATIONS
    }

    async fn run_migrations(&self) -> Result<(), StoreError> {
        migrate::run(self, &MIGRATIONS).await
    }

    async fn is_writable(&self) -> Result<bool, Fault> {
        let folder = self
            .path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let unavailable = |words: String| Fault::Unavailable(words);
        if let Some(words) = self.log.failure() {
            return Err(unavailable(words));
        }
        let disk = rustix::fs::statvfs(folder)
            .map_err(|error| unavailable(format!("{}: {error}", folder.display())))?;
        let read_only = disk.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
        Ok(!self.readers.are_closed() && !read_only && disk.f_bavail > 0)
    }

    async fn close(&self) {
        self.readers.close();
        let writer = self.writer.lock().await.take();
        self.log.close();
        drop(writer);
    }
}

static TEXTS: Texts = Texts::new();

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Cell::Int(value) | Cell::OptInt(Some(value)) => ValueRef::Integer(value),
            Cell::Text(value) | Cell::OptText(Some(value)) => ValueRef::Text(value.as_bytes()),
            Cell::Bytes(value) | Cell::OptBytes(Some(value)) => ValueRef::Blob(value),
            Cell::OptInt(None) | Cell::OptText(None) | Cell::OptBytes(None) => ValueRef::Null,
        }))
    }
}

impl Columns for Row<'_> {
    fn opt_int(&self, index: usize) -> Result<Option<i64>, Fault> {
        match self.get_ref(index).map_err(fault)? {
            ValueRef::Null => Ok(None),
            ValueRef::Integer(value) => Ok(Some(value)),
            other => Err(unexpected(index, other, "a number")),
        }
    }

    fn opt_bytes(&self, index: usize) -> Result<Option<&[u8]>, Fault> {
        match self.get_ref(index).map_err(fault)? {
            ValueRef::Null => Ok(None),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(bytes)),
            other => Err(unexpected(index, other, "a text or bytes")),
        }
    }
}

fn unexpected(index: usize, found: ValueRef<'_>, wanted: &str) -> Fault {
    let found = found.data_type();
    Fault::Unavailable(format!("column {index} of a row is {found}, not {wanted}"))
}

impl Session for Connection {
    const DIALECT: Dialect = Dialect {
        // Nothing lies between: a prepared statement that is run in a loop is the cheapest.
        longest: 1,
        lock: "",
        upsert: |key| format!(" ON CONFLICT ({key}) DO UPDATE SET "),
        excluded: |column| format!("excluded.{column}"),
        insert_ignore: "INSERT OR IGNORE",
        use_index: |_| String::new(),
    };

    fn texts() -> &'static Texts {
        &TEXTS
    }

    async fn fetch<T: Send>(
        &mut self,
        sql: Text,
        cells: &[Cell<'_>],
        decode: Decode<T>,
    ) -> Result<Vec<T>, Fault> {
        let mut statement = self.prepare_cached(&sql).map_err(fault)?;
        let mut found = Vec::new();
        for run in runs(&statement, cells) {
            bind(&mut statement, run).map_err(fault)?;
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next().map_err(fault)? {
                found.push(decode(row)?);
            }
        }
        Ok(found)
    }

    async fn change(&mut self, sql: Text, cells: &[Cell<'_>]) -> Result<u64, Fault> {
        let mut statement = self.prepare_cached(&sql).map_err(fault)?;
        let mut changed = 0;
        for run in runs(&statement, cells) {
            bind(&mut statement, run).map_err(fault)?;
            changed += statement.raw_execute().map_err(fault)? as u64;
        }
        Ok(changed)
    }

    async fn command(&mut self, sql: &'static str) -> Result<(), Fault> {
        run(self, sql).map_err(fault)
    }
}

/// The values of each run of a statement; one run where it has none.
fn runs<'c, 'v>(
    statement: &Statement<'_>,
    cells: &'c [Cell<'v>],
) -> impl Iterator<Item = &'c [Cell<'v>]> + use<'c, 'v> {
    let each = statement.parameter_count();
    let count = cells.len().checked_div(each).unwrap_or(1);
    (0..count).map(move |run| &cells[run * each..][..each])
}

fn bind(statement: &mut Statement<'_>, cells: &[Cell<'_>]) -> rusqlite::Result<()> {
    for (index, cell) in cells.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, cell)?;
    }
    Ok(())
}

/// `SQLITE_IOERR`.
const IO_ERROR: i32 = 10;

/// The result code without its extension, which is the low byte (sqlite.org/rescode.html).
fn primary_code(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code & 0xff)
}

/// What an error means.
fn fault(error: rusqlite::Error) -> Fault {
    let words = error.to_string();
    match primary_code(&error) {
        // SQLITE_BUSY, SQLITE_LOCKED
        Some(5 | 6) => Fault::Retry(words),
        // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH
        Some(18..=20) => Fault::Row(words),
        Some(1) if words.contains("no such table") || words.contains("no such column") => {
            Fault::Schema(format!("{words}; run `cmp-relay migrate`"))
        }
        _ => Fault::Unavailable(words),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;
    use crate::store::{HostKeyRow, Journal, Store, Write, Written};

    /// What no test without a power cut can see: that a commit waits for the disk, and who reads it too.
    #[tokio::test]
    async fn nobody_is_told_what_is_not_on_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let (holds, held) = std::sync::mpsc::channel();
        let (go, goes) = std::sync::mpsc::channel();
        let flush = move || {
            holds.send(()).unwrap();
            goes.recv().unwrap()
        };
        let store = SqliteStore::open_with(&folder.path().join("relay.db"), flush).unwrap();
        let store = Arc::new(store);
        let journal = Journal::start(store.clone());
        go.send(Ok(())).unwrap();
        store.migrate().await.unwrap();
        held.recv().unwrap();

        let row = HostKeyRow {
            backend: "b".into(),
            host_key: "ssh-ed25519 SHA256:x".into(),
            first_seen: 1,
        };
        let batch = [Write::RecordHostKey(row)];
        let mut written = Box::pin(journal.write(batch[0].clone()));
        let mut read = store.host_keys();
        let waits = Duration::from_millis(50);
        assert!(timeout(waits, &mut written).await.is_err());
        held.recv().unwrap();
        assert!(timeout(waits, &mut read).await.is_err());
        let none = store.operation_by_key("c", "k").await;
        assert_eq!(none, Ok(None), "it says nothing");
        go.send(Ok(())).unwrap();
        assert_eq!(written.await, Ok(Written::Count(1)));
        assert_eq!(read.await.unwrap().len(), 1);

        go.send(Err(std::io::Error::from_raw_os_error(5))).unwrap();
        let forgotten = Write::ForgetHostKey {
            backend: "b".into(),
            by: "me".into(),
            at: 2,
        };
        let lost = store.apply(&[forgotten]).await;
        assert!(
            matches!(lost, Err(StoreError::CommitUnknown(_))),
            "{lost:?}"
        );
        for refused in [
            store.apply(&batch).await.map(drop),
            store.host_keys().await.map(drop),
            store.is_writable().await.map(drop),
        ] {
            assert!(
                matches!(refused, Err(StoreError::Unavailable(_))),
                "{refused:?}"
            );
        }
        journal.close().await;
    }

    /// What the log leaves to SQLite: the order of a checkpoint's writes.
    #[tokio::test]
    async fn the_writer_flushes_what_a_checkpoint_needs() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&folder.path().join("relay.db"))
            .await
            .unwrap();
        let writer = store.engine.begin().await.unwrap();
        let pragma = |name: &str| -> String {
            let sql = format!("SELECT CAST({name} AS TEXT) FROM pragma_{name}");
            writer.query_row(&sql, [], |row| row.get(0)).unwrap()
        };
        assert_eq!(pragma("synchronous"), "1");
        assert_eq!(pragma("journal_mode"), "wal");
    }
}
