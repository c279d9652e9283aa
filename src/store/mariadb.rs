//! The store on MariaDB: what the pair replicates.
//!
//! Every connection sets strict SQL mode and its character set, whatever the server's defaults
//! (SEMANTICS 21). One connection writes, with locking reads; a pool reads. The lock of `serve`
//! (SEMANTICS 20) is a `GET_LOCK` on a connection of its own, which is held for life: a server that
//! restarts forgets it, so no connection writes before it is held again.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::mysql::{
    MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlPool,
    MySqlPoolOptions, MySqlRow,
};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, MySql, Row, SqlSafeStr, SqlStr, Transaction};
use tokio::sync::Mutex;

use super::sql::session::{Cell, Columns, Decode, Dialect, Fault, Session, Text};
use super::sql::texts::{LONGEST, Texts};
use super::sql::{Engine, Question, Rows, SqlStore, schema};
use super::{Durable, Position, StoreError};
use crate::plan::MariaDb;

static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    schema::migrator(&[
        (
            1,
            "tables",
            include_str!("../../migrations/mysql/0001_tables.sql"),
        ),
        (
            2,
            "host keys",
            include_str!("../../migrations/mysql/0002_host_keys.sql"),
        ),
    ])
});

/// Connections that answer questions.
const READERS: u32 = 8;
/// How long a start waits for a server that takes the connection and then says nothing.
const START_WITHIN: Duration = Duration::from_secs(10);

/// Set on every connection, whatever the server's defaults. A waiting lock is given up well before a
/// request's patience ends; the batch is then run again.
const SESSION: &str = "SET SESSION \
     sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', \
     innodb_lock_wait_timeout = 5, lock_wait_timeout = 10, \
     tx_isolation = 'REPEATABLE-READ', autocommit = 1";

/// The store on a MariaDB server.
pub type MariaDbStore = SqlStore<MariaDbEngine>;

/// Whether this process wants the database for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exclusive {
    /// As `serve` does: refuse to start while another process holds the lock.
    Yes,
    /// As the tools of an operator do.
    No,
}

/// The pools of one server, and the lock on its database.
#[derive(Debug)]
pub struct MariaDbEngine {
    writer: MySqlPool,
    readers: MySqlPool,
    lock: Option<Arc<Lock>>,
    /// Each commit says where it stands in the binary log.
    positions: bool,
}

/// The lock of `serve`: a server that restarts forgets it, so it is looked after for as long as the
/// process lives.
#[derive(Debug)]
struct Lock {
    options: MySqlConnectOptions,
    name: String,
    held: Mutex<Held>,
}

/// The connection that holds the lock, and what the server calls it.
#[derive(Debug)]
struct Held {
    connection: MySqlConnection,
    id: u64,
}

impl SqlStore<MariaDbEngine> {
    /// Connects. Creates no tables: [`super::Store::migrate`] does.
    pub async fn connect(server: &MariaDb, exclusive: Exclusive) -> Result<Self, StoreError> {
        let options = options(server).statement_cache_capacity(256);
        let lock = match exclusive {
            Exclusive::Yes => Some(Arc::new(Lock::take(&options, server).await?)),
            Exclusive::No => None,
        };
        let guard = lock.clone();
        let pool = |size, options: MySqlConnectOptions, guard: Option<Arc<Lock>>| {
            MySqlPoolOptions::new()
                .max_connections(size)
                .acquire_timeout(Duration::from_secs(3))
                .after_connect(move |connection, _| {
                    let guard = guard.clone();
                    Box::pin(async move {
                        // What ended the connection before may have ended the lock's, too.
                        if let Some(lock) = guard {
                            lock.hold().await?;
                        }
                        connection.execute(SESSION).await.map(|_| ())
                    })
                })
                .test_before_acquire(size > 1)
                .connect_lazy_with(options)
        };
        let engine = MariaDbEngine {
            // The writer is not asked before each use: what a lost connection leaves is run again.
            writer: pool(1, options.clone(), guard),
            readers: pool(READERS, options, None),
            lock,
            positions: false,
        };
        engine
            .warn_of_lazy_commits()
            .await
            .map_err(|fault| unreachable(server, &fault))?;
        Ok(SqlStore::over(engine))
    }

    /// Every commit says from now on where it stands: there is a standby to be asked for it.
    pub fn with_positions(mut self) -> Self {
        self.engine.positions = true;
        self
    }
}

/// How a database is reached, by whatever account.
pub fn options(server: &MariaDb) -> MySqlConnectOptions {
    server_options(server).database(&server.database)
}

/// The same of its server, where the database may not be there.
pub fn server_options(server: &MariaDb) -> MySqlConnectOptions {
    let options = MySqlConnectOptions::new()
        .host(&server.host)
        .port(server.port)
        .username(&server.user)
        .charset("utf8mb4")
        .disable_statement_logging();
    match &server.password {
        Some(password) => options.password(password.expose()),
        None => options,
    }
}

fn unreachable(server: &MariaDb, fault: &Fault) -> StoreError {
    StoreError::Unavailable(format!(
        "MariaDB at {}:{}, database `{}`: {fault}",
        server.host, server.port, server.database
    ))
}

/// Names of locks have at most 64 characters on MariaDB.
fn lock_name(database: &str) -> String {
    let name = format!("cmp-relay.{database}");
    name.chars().take(64).collect()
}

impl Lock {
    /// Takes it, or says who is in the way.
    async fn take(options: &MySqlConnectOptions, server: &MariaDb) -> Result<Self, StoreError> {
        let name = lock_name(&server.database);
        let taken = tokio::time::timeout(START_WITHIN, acquire(options, &name, None))
            .await
            .map_err(|_| Fault::Unavailable("it does not answer".into()))
            .and_then(|taken| taken.map_err(fault));
        match taken.map_err(|fault| unreachable(server, &fault))? {
            Some(held) => Ok(Self {
                options: options.clone(),
                name,
                held: Mutex::new(held),
            }),
            None => Err(StoreError::Locked(format!(
                "another cmp-relay serves this database: the lock `{name}` on {}:{} is held; stop \
                 that one first",
                server.host, server.port
            ))),
        }
    }

    /// Sees to it that the lock is held, on a new connection where the old one is lost.
    async fn hold(&self) -> Result<(), sqlx::Error> {
        let mut held = self.held.lock().await;
        let here: Result<Option<i64>, _> =
            sqlx::query_scalar("SELECT IS_USED_LOCK(?) = CONNECTION_ID()")
                .bind(&self.name)
                .fetch_one(&mut held.connection)
                .await;
        if let Ok(Some(1)) = here {
            return Ok(());
        }
        match acquire(&self.options, &self.name, Some(held.id)).await? {
            Some(again) => {
                tracing::warn!(lock = self.name, "the lock on the database was taken anew");
                *held = again;
                Ok(())
            }
            None => Err(sqlx::Error::Protocol(format!(
                "another cmp-relay holds the lock `{}` now",
                self.name
            ))),
        }
    }
}

/// A connection that holds the lock; `None`: somebody else does. A connection of our own that the
/// server believes alive, though it is lost, is ended first.
async fn acquire(
    options: &MySqlConnectOptions,
    name: &str,
    lost: Option<u64>,
) -> Result<Option<Held>, sqlx::Error> {
    let mut connection = options.connect().await?;
    // It idles for as long as the process lives; the server must not end it.
    connection
        .execute("SET SESSION wait_timeout = 31536000")
        .await?;
    if let Some(lost) = lost {
        let holder: Option<u64> = sqlx::query_scalar("SELECT IS_USED_LOCK(?)")
            .bind(name)
            .fetch_one(&mut connection)
            .await?;
        if holder == Some(lost) {
            // It may end by itself meanwhile.
            let _ = sqlx::query("KILL ?")
                .bind(lost)
                .execute(&mut connection)
                .await;
        }
    }
    let patience = if lost.is_some() { 1 } else { 0 };
    let (taken, id): (Option<i64>, u64) = sqlx::query_as("SELECT GET_LOCK(?, ?), CONNECTION_ID()")
        .bind(name)
        .bind(patience)
        .fetch_one(&mut connection)
        .await?;
    Ok((taken == Some(1)).then_some(Held { connection, id }))
}

impl MariaDbEngine {
    /// What was committed must survive a power cut; only the server's configuration can see to that.
    async fn warn_of_lazy_commits(&self) -> Result<(), Fault> {
        let mut reader = self.readers.acquire().await.map_err(fault)?;
        let flush = "SELECT CAST(@@global.innodb_flush_log_at_trx_commit AS SIGNED)";
        let flush: i64 = sqlx::query_scalar(flush)
            .fetch_one(&mut *reader)
            .await
            .map_err(fault)?;
        if flush != 1 {
            tracing::warn!(
                innodb_flush_log_at_trx_commit = flush,
                "the database may lose commits in a power cut; set innodb_flush_log_at_trx_commit = 1"
            );
        }
        Ok(())
    }
}

impl Engine for MariaDbEngine {
    type Session = MySqlConnection;
    type Transaction = Transaction<'static, MySql>;

    async fn ask<T: Send + 'static>(
        &self,
        _: Rows,
        question: Question<MySqlConnection, T>,
    ) -> Result<T, Fault> {
        // Boxed: sqlx's way to a connection is 18 KB, and would be copied with every future around it.
        let mut reader = Box::pin(self.readers.acquire()).await.map_err(fault)?;
        question(&mut reader).await
    }

    async fn begin(&self) -> Result<Self::Transaction, Fault> {
        Box::pin(self.writer.begin()).await.map_err(fault)
    }

    async fn commit(
        &self,
        mut transaction: Self::Transaction,
    ) -> Result<(Option<Position>, Durable), Fault> {
        let refused = |error| match error {
            // The server answered, and its answer was no.
            sqlx::Error::Database(_) => fault(error),
            other => Fault::CommitUnknown(other.to_string()),
        };
        if !self.positions {
            transaction.commit().await.map_err(refused)?;
            return Ok((None, Durable::already()));
        }
        // By hand, so that the session is still in it: the ROLLBACK that the dropped guard queues finds nothing to roll
        // back.
        transaction.execute("COMMIT").await.map_err(refused)?;
        let told = sqlx::query_scalar("SELECT @@last_gtid").fetch_one(&mut *transaction);
        // It is committed, whatever becomes of the question where.
        let told: Result<String, _> = told.await;
        let position = told.ok().as_deref().and_then(Position::parse);
        Ok((position, Durable::already()))
    }

    async fn position(&self) -> Result<Option<Position>, Fault> {
        if !self.positions {
            return Ok(None);
        }
        // Each domain has its newest; this server writes into its own.
        let mut reader = self.readers.acquire().await.map_err(fault)?;
        let (all, domain): (String, u64) =
            sqlx::query_as("SELECT @@global.gtid_binlog_pos, @@global.gtid_domain_id")
                .fetch_one(&mut *reader)
                .await
                .map_err(fault)?;
        let mut each = all.split(',').filter_map(Position::parse);
        Ok(each.find(|position| u64::from(position.domain) == domain))
    }

    async fn rollback(transaction: Self::Transaction) {
        // A transaction that cannot be rolled back is one whose connection is lost.
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
        // In a statement of its own: in an aggregate query a boolean variable reads 0.
        let mut reader = self.readers.acquire().await.map_err(fault)?;
        let read_only: i64 = sqlx::query_scalar("SELECT @@global.read_only")
            .fetch_one(&mut *reader)
            .await
            .map_err(fault)?;
        if let Some(lock) = &self.lock {
            lock.hold().await.map_err(fault)?;
        }
        Ok(read_only == 0)
    }

    async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
        if let Some(lock) = &self.lock {
            let released = sqlx::query("DO RELEASE_LOCK(?)")
                .bind(&lock.name)
                .execute(&mut lock.held.lock().await.connection)
                .await;
            if let Err(error) = released {
                // The server releases it when the connection ends, at the latest with this process.
                tracing::debug!(%error, "the lock was not released by name");
            }
        }
    }
}

static TEXTS: Texts = Texts::new();

impl Columns for MySqlRow {
    fn opt_int(&self, index: usize) -> Result<Option<i64>, Fault> {
        self.try_get(index).map_err(fault)
    }

    fn opt_bytes(&self, index: usize) -> Result<Option<&[u8]>, Fault> {
        self.try_get(index).map_err(fault)
    }
}

impl Session for MySqlConnection {
    const DIALECT: Dialect = Dialect {
        longest: LONGEST,
        lock: " FOR UPDATE",
        upsert: |_| " ON DUPLICATE KEY UPDATE ".to_owned(),
        excluded: |column| format!("VALUES({column})"),
        insert_ignore: "INSERT IGNORE",
        use_index: |index| format!(" FORCE INDEX ({index})"),
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
        let rows = bound(sql, cells).fetch_all(self).await.map_err(fault)?;
        rows.iter().map(|row| decode(row)).collect()
    }

    async fn change(&mut self, sql: Text, cells: &[Cell<'_>]) -> Result<u64, Fault> {
        let done = bound(sql, cells).execute(self).await.map_err(fault)?;
        Ok(done.rows_affected())
    }

    async fn command(&mut self, sql: &'static str) -> Result<(), Fault> {
        sqlx::raw_sql(sql).execute(self).await.map_err(fault)?;
        Ok(())
    }
}

fn bound<'v>(sql: Text, cells: &[Cell<'v>]) -> Query<'v, MySql, MySqlArguments> {
    // Safe: the text is made of constants, every value is a placeholder.
    let sql: SqlStr = match sql {
        Cow::Borrowed(sql) => AssertSqlSafe(sql).into_sql_str(),
        Cow::Owned(sql) => AssertSqlSafe(sql).into_sql_str(),
    };
    cells
        .iter()
        .fold(sqlx::query(sql), |query, cell| match *cell {
            Cell::Int(value) => query.bind(value),
            Cell::OptInt(value) => query.bind(value),
            Cell::Text(value) => query.bind(value),
            Cell::OptText(value) => query.bind(value),
            Cell::Bytes(value) => query.bind(value),
            Cell::OptBytes(value) => query.bind(value),
        })
}

/// What an error means, by its number (mariadb.com/kb/en/mariadb-error-code-reference).
fn fault(error: sqlx::Error) -> Fault {
    let words = error.to_string();
    match &error {
        sqlx::Error::Database(database) => {
            let number = database
                .try_downcast_ref::<MySqlDatabaseError>()
                .map_or(0, MySqlDatabaseError::number);
            match number {
                // Lock wait, deadlock, query interrupted, server shutting down, connection killed.
                1205 | 1213 | 1317 | 1053 | 1927 => Fault::Retry(words),
                // Duplicate, too long, out of range, NULL, bad character, packet, data, check.
                1022 | 1048 | 1062 | 1153 | 1264 | 1265 | 1366 | 1406 | 1586 | 4025 => {
                    Fault::Row(words)
                }
                1054 | 1146 => Fault::Schema(format!("{words}; run `cmp-relay migrate`")),
                _ => Fault::Unavailable(words),
            }
        }
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => Fault::Retry(words),
        _ => Fault::Unavailable(words),
    }
}
