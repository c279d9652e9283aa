//! This node's MariaDB server, as the account `ha.control` looks at it and changes it.
//!
//! Every statement is bounded: a server that hangs is told apart from one that answers, and no look waits for
//! it. Variables are read in statements of their own: in an aggregate query a boolean one reads 0. The statements
//! are those of mariadb.com/kb/en/gtid and mariadb.com/kb/en/change-master-to.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, Row};
use tokio::time::timeout;

use super::class::Log;
use super::status::{EpochRow, Replication, ServerView};
use crate::clock;
use crate::failpoint;
use crate::plan::MariaDb;
use crate::store::Position;

/// How long a look may take: what it says is published before the last one is stale.
const LOOK: Duration = Duration::from_millis(1700);
/// How long a plain statement may take.
const ANSWER: Duration = Duration::from_secs(2);
/// The same, where a person waits and no role hangs upon it.
const PATIENT: Duration = Duration::from_secs(10);
/// Stopping replication whose source is frozen takes a second, and a commit in hand may be waited for.
const CHANGE: Duration = Duration::from_secs(6);

/// Set on each connection: a backslash in a literal is a backslash.
const MODE: &str =
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,NO_BACKSLASH_ESCAPES'";

/// One connection, made anew when it is lost.
#[derive(Debug)]
pub struct Control {
    server: MariaDb,
    options: MySqlConnectOptions,
    answer: Duration,
    /// The last look had no end: the next one is given less time, for whoever looks has more to do.
    hangs: bool,
    connection: Option<MySqlConnection>,
}

impl Control {
    pub fn new(server: &MariaDb) -> Self {
        Self {
            server: server.clone(),
            options: crate::store::mariadb::server_options(server),
            answer: ANSWER,
            hangs: false,
            connection: None,
        }
    }

    /// For looks that may take their time.
    pub(super) fn patient(server: &MariaDb) -> Self {
        Self {
            answer: PATIENT,
            ..Self::new(server)
        }
    }

    /// The rows of a statement. A connection whose answer did not come is dropped: what it would still say
    /// belongs to nobody.
    pub(super) async fn rows(&mut self, sql: &str, within: Duration) -> Result<Vec<MySqlRow>> {
        let asked = async {
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => {
                    let mut connection = self.options.connect().await?;
                    connection.execute(MODE).await?;
                    connection
                }
            };
            // Safe: made of constants, and of names and values that were quoted by `quoted`.
            let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
                .fetch_all(&mut connection)
                .await;
            match rows {
                Ok(rows) => {
                    self.connection = Some(connection);
                    Ok(rows)
                }
                Err(error @ sqlx::Error::Database(_)) => {
                    self.connection = Some(connection);
                    Err(error)
                }
                Err(error) => Err(error),
            }
        };
        match timeout(within, asked).await {
            Ok(rows) => rows.with_context(|| self.place()),
            Err(_) => Err(anyhow!("no answer within {} s", within.as_secs())).context(self.place()),
        }
    }

    pub(super) async fn run(&mut self, sql: &str, within: Duration) -> Result<()> {
        self.rows(sql, within).await.map(drop)
    }

    fn place(&self) -> String {
        format!(
            "MariaDB at {}:{} as `{}`",
            self.server.host, self.server.port, self.server.user
        )
    }

    async fn variable(&mut self, name: &str) -> Result<String> {
        let rows = self
            .rows(&format!("SELECT @@global.{name} AS v"), self.answer)
            .await?;
        rows.first()
            .and_then(|row| text(row, "v"))
            .with_context(|| format!("@@{name} has no value"))
    }

    /// `@@gtid_binlog_pos`: the newest commit in this server's own binary log.
    pub async fn binlog_position(&mut self) -> Result<Option<Position>> {
        Ok(Position::first_of(&self.variable("gtid_binlog_pos").await?))
    }

    /// `@@gtid_slave_pos`: the newest commit that was applied here.
    pub async fn applied_position(&mut self) -> Result<Option<Position>> {
        Ok(Position::first_of(&self.variable("gtid_slave_pos").await?))
    }

    /// What its binary log says of it.
    pub async fn log(&mut self) -> Result<Log> {
        let newest = self.variable("gtid_binlog_state").await?;
        Ok(Log {
            server: self.variable("server_id").await?.parse().unwrap_or(0),
            end: self.binlog_position().await?,
            newest: newest.split(',').filter_map(Position::parse).collect(),
        })
    }

    /// Everything that the role machine looks at. A connection that somebody ended is no server that is away: what
    /// was asked on a kept one is asked once more on a new one.
    pub async fn look(&mut self) -> Result<ServerView> {
        let kept = self.connection.is_some();
        let within = if self.hangs { LOOK / 4 } else { LOOK };
        let looked = timeout(within, async {
            match self.look_once().await {
                Err(_) if kept && self.connection.is_none() => self.look_once().await,
                seen => seen,
            }
        });
        let looked = looked.await;
        self.hangs = looked.is_err();
        match looked {
            Ok(seen) => seen,
            Err(_) => Err(anyhow!("it hangs")).context(self.place()),
        }
    }

    async fn look_once(&mut self) -> Result<ServerView> {
        let read_only = self.variable("read_only").await? == "1";
        let server_id = self.variable("server_id").await?.parse().unwrap_or(0);
        let position = Position::first_of(&self.variable("gtid_current_pos").await?);
        Ok(ServerView {
            read_only,
            server_id,
            position,
            epoch: self.epoch().await?,
            replication: self.replication().await?,
        })
    }

    /// The newest row of `ha_epoch`; none where the tables are not there yet.
    async fn epoch(&mut self) -> Result<Option<EpochRow>> {
        let sql = format!(
            "SELECT epoch, node, fork_gtid FROM {}.ha_epoch ORDER BY epoch DESC LIMIT 1",
            name(&self.server.database)
        );
        match self.rows(&sql, ANSWER).await {
            Ok(rows) => Ok(rows.first().and_then(epoch_row)),
            Err(error) if is_number(&error, 1146) || is_number(&error, 1049) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Every row of `ha_epoch`, oldest first.
    pub async fn epochs(&mut self) -> Result<Vec<EpochRow>> {
        let sql = format!(
            "SELECT epoch, node, fork_gtid FROM {}.ha_epoch ORDER BY epoch",
            name(&self.server.database)
        );
        let rows = self.rows(&sql, self.answer).await?;
        Ok(rows.iter().filter_map(epoch_row).collect())
    }

    pub async fn replication(&mut self) -> Result<Option<Replication>> {
        let rows = self.rows("SHOW SLAVE STATUS", self.answer).await?;
        Ok(rows.first().map(|row| {
            let of = |column: &str| text(row, column).filter(|value| !value.is_empty());
            Replication {
                source: format!(
                    "{}:{}",
                    of("Master_Host").unwrap_or_default(),
                    of("Master_Port").unwrap_or_default()
                ),
                io: of("Slave_IO_Running").unwrap_or_default(),
                sql: of("Slave_SQL_Running").as_deref() == Some("Yes"),
                io_error: of("Last_IO_Error"),
                sql_error: of("Last_SQL_Error"),
                received: of("Gtid_IO_Pos").and_then(|position| Position::first_of(&position)),
                lag_s: of("Seconds_Behind_Master").and_then(|lag| lag.parse().ok()),
            }
        }))
    }

    /// Makes the server refuse writes. Bounded: it waits behind a commit that waits for somebody
    /// (error 1205), and by default would wait a day.
    pub async fn fence(&mut self) -> Result<()> {
        self.run("SET SESSION lock_wait_timeout = 3", ANSWER)
            .await?;
        self.run("SET GLOBAL read_only = 1", CHANGE).await
    }

    /// Starts both threads; one that runs goes on.
    pub async fn start_replication(&mut self) -> Result<()> {
        match self.run("START SLAVE", CHANGE).await {
            Err(error) if is_number(&error, 1254) => Ok(()),
            started => started,
        }
    }

    /// Waits until `gtid` is applied here. The number is compared within its domain alone: ask only for what was
    /// written in this epoch or before.
    pub async fn applied(&mut self, gtid: Position, within: Duration) -> Result<bool> {
        let sql = format!(
            "SELECT MASTER_GTID_WAIT('{gtid}', {:.3}) AS v",
            within.as_secs_f64()
        );
        let rows = self.rows(&sql, within + self.answer).await?;
        Ok(rows.first().and_then(|row| text(row, "v")).as_deref() == Some("0"))
    }

    /// Ends the thread that waits for the source: to stop it costs a second where the source says nothing. It may have
    /// ended by itself.
    async fn hang_up(&mut self) {
        let sql = "SELECT id AS id FROM information_schema.processlist WHERE command = 'Slave_IO'";
        let Ok(rows) = self.rows(sql, ANSWER).await else {
            return;
        };
        for id in rows.iter().filter_map(|row| text(row, "id")) {
            if let Err(error) = self.run(&format!("KILL {id}"), ANSWER).await {
                tracing::debug!(%error, "the thread that receives was not ended");
            }
        }
    }

    /// Makes a standby writable: replication stopped and forgotten, the epoch written down with the fork. Each step can
    /// be done again. Gives the new epoch's row.
    pub async fn promote(
        &mut self,
        epoch: i64,
        node: &str,
        reason: &str,
        before_writable: impl FnOnce() -> Result<()>,
    ) -> Result<EpochRow> {
        let replication = self.replication().await?;
        if let Some(replication) = &replication {
            self.hang_up().await;
            self.run("STOP SLAVE", CHANGE).await?;
            let applied = self.applied_position().await?;
            if applied.map(|at| at.sequence) < replication.received.map(|at| at.sequence) {
                bail!(
                    "something that was received is not applied; START SLAVE SQL_THREAD, then again"
                );
            }
        }
        let fork = Position::first_of(&self.variable("gtid_current_pos").await?);
        before_writable()?;
        self.run("SET GLOBAL read_only = 0", CHANGE).await?;
        failpoint::reached("promoted_unwritten");
        let text = fork.map_or_else(String::new, |fork| fork.to_string());
        let sql = format!(
            "INSERT INTO {}.ha_epoch (epoch, node, fork_gtid, reason, at) VALUES ({epoch}, {}, '{text}', {}, {})",
            name(&self.server.database),
            quoted(node),
            quoted(&reason.chars().take(200).collect::<String>()),
            clock::unix_micros(),
        );
        self.run(&sql, CHANGE).await?;
        // Forgotten last: whatever failed before this can follow again.
        if replication.is_some() {
            self.run("RESET SLAVE ALL", CHANGE).await?;
        }
        Ok(EpochRow {
            epoch,
            node: node.to_owned(),
            fork,
        })
    }

    /// Makes this server follow `source`. `demote`: what it wrote itself until now counts as applied
    /// (`MASTER_DEMOTE_TO_SLAVE`, MariaDB 10.10); the source refuses what it does not have.
    pub async fn follow(&mut self, source: &MariaDb, demote: bool) -> Result<()> {
        self.run("STOP SLAVE", CHANGE).await?;
        let password = source
            .password
            .as_ref()
            .map_or("", |secret| secret.expose());
        let sql = format!(
            "CHANGE MASTER TO MASTER_HOST = {}, MASTER_PORT = {}, MASTER_USER = {}, MASTER_PASSWORD = {}, \
             MASTER_CONNECT_RETRY = 1, MASTER_HEARTBEAT_PERIOD = 1, MASTER_USE_GTID = slave_pos{}",
            quoted(&source.host),
            source.port,
            quoted(&source.user),
            quoted(password),
            if demote {
                ", MASTER_DEMOTE_TO_SLAVE = 1"
            } else {
                ""
            },
        );
        self.run(&sql, CHANGE).await?;
        self.start_replication().await
    }

    /// Says goodbye; a connection that is dropped is an aborted one in the server's log.
    pub async fn close(mut self) {
        if let Some(connection) = self.connection.take() {
            // It is gone either way.
            let _ = timeout(ANSWER, connection.close()).await;
        }
    }
}

fn epoch_row(row: &MySqlRow) -> Option<EpochRow> {
    Some(EpochRow {
        epoch: text(row, "epoch")?.parse().ok()?,
        node: text(row, "node")?,
        fork: Position::first_of(&text(row, "fork_gtid")?),
    })
}

/// A column of the text protocol, whatever its type.
pub(super) fn text(row: &MySqlRow, column: &str) -> Option<String> {
    bytes(row, column).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// The same, as it came.
pub(super) fn bytes(row: &MySqlRow, column: &str) -> Option<Vec<u8>> {
    row.try_get_unchecked::<Option<Vec<u8>>, _>(column).ok()?
}

/// Whether the server said this number (mariadb.com/kb/en/mariadb-error-code-reference).
pub(super) fn is_number(error: &anyhow::Error, number: u16) -> bool {
    error
        .downcast_ref::<sqlx::Error>()
        .and_then(|error| error.as_database_error())
        .and_then(|error| error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>())
        .is_some_and(|error| error.number() == number)
}

/// A string literal, on a connection whose mode is [`MODE`].
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A name, between backticks.
pub(super) fn name(text: &str) -> String {
    format!("`{}`", text.replace('`', "``"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_its_literal_and_no_name_its_backticks() {
        assert_eq!(quoted("a'b\\"), "'a''b\\'");
        assert_eq!(name("re`lay"), "`re``lay`");
    }
}
