//! What `ha doctor` asks a MariaDB server. Nothing is changed there.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::plan::MariaDb;

/// How long a question may take; a checksum reads a whole table.
const WITHIN: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// What a server says of itself.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// `HOST:PORT`.
    pub place: String,
    /// Global variables, by name.
    pub variables: BTreeMap<String, String>,
    /// Where it follows another server.
    pub following: Option<Following>,
    /// Tables that are not InnoDB, or have no primary key, in words.
    pub odd_tables: Vec<String>,
    pub tables: Vec<String>,
    /// The newest promotion: epoch, node, fork.
    pub epoch: Option<(i64, String, String)>,
    /// How much its clock is ahead of this machine's, in seconds.
    pub ahead: f64,
}

/// `SHOW SLAVE STATUS`.
#[derive(Clone, Debug, Default)]
pub struct Following {
    pub runs: bool,
    pub error: String,
    /// Seconds between two signs of life of a quiet source.
    pub heartbeat: f64,
}

impl Facts {
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.variable(name).parse().ok()
    }
}

/// A connection to a server.
#[derive(Debug)]
pub struct Server {
    connection: MySqlConnection,
    database: String,
    pub place: String,
}

impl Server {
    pub async fn connect(server: &MariaDb) -> Result<Self> {
        let place = format!("{}:{}", server.host, server.port);
        let mut options = MySqlConnectOptions::new()
            .host(&server.host)
            .port(server.port)
            .username(&server.user)
            .disable_statement_logging();
        if let Some(password) = &server.password {
            options = options.password(password.expose());
        }
        let connection = tokio::time::timeout(CONNECT_WITHIN, options.connect())
            .await
            .with_context(|| format!("{place} does not answer"))?
            .with_context(|| format!("{place}, as `{}`", server.user))?;
        Ok(Self {
            connection,
            database: server.database.to_string(),
            place,
        })
    }

    pub async fn facts(&mut self) -> Result<Facts> {
        let mut facts = Facts {
            place: self.place.clone(),
            ..Facts::default()
        };
        for row in self.rows("SHOW GLOBAL VARIABLES").await? {
            facts.variables.insert(text(&row, 0), text(&row, 1));
        }
        if let Some(row) = self.rows("SHOW SLAVE STATUS").await?.first() {
            let of = |name: &str| named(row, name);
            let heartbeat = self
                .rows("SHOW STATUS LIKE 'Slave_heartbeat_period'")
                .await?;
            facts.following = Some(Following {
                runs: of("Slave_IO_Running") == "Yes" && of("Slave_SQL_Running") == "Yes",
                error: match of("Last_SQL_Error") {
                    none if none.is_empty() => of("Last_IO_Error"),
                    error => error,
                },
                heartbeat: heartbeat
                    .first()
                    .map_or(0.0, |row| text(row, 1).parse().unwrap_or(0.0)),
            });
        }
        let database = literal(&self.database);
        let tables = format!(
            "SELECT t.table_name, t.engine, (SELECT COUNT(*) FROM information_schema.table_constraints c WHERE \
             c.table_schema = t.table_schema AND c.table_name = t.table_name AND c.constraint_type = 'PRIMARY KEY') \
             FROM information_schema.tables t WHERE t.table_schema = {database} AND t.table_type = 'BASE TABLE' ORDER BY 1"
        );
        for row in self.rows(&tables).await? {
            let (name, engine) = (text(&row, 0), text(&row, 1));
            if engine != "InnoDB" {
                facts
                    .odd_tables
                    .push(format!("`{name}` is {engine}, not InnoDB"));
            }
            if text(&row, 2) == "0" {
                facts
                    .odd_tables
                    .push(format!("`{name}` has no primary key"));
            }
            facts.tables.push(name);
        }
        if facts.tables.iter().any(|name| name == "ha_epoch") {
            let newest = format!(
                "SELECT epoch, node, fork_gtid FROM {}.ha_epoch ORDER BY epoch DESC LIMIT 1",
                quoted(&self.database)
            );
            facts.epoch = self.rows(&newest).await?.first().map(|row| {
                (
                    text(row, 0).parse().unwrap_or(0),
                    text(row, 1),
                    text(row, 2),
                )
            });
        }
        let before = SystemTime::now();
        let clock = self.rows("SELECT UNIX_TIMESTAMP(NOW(6))").await?;
        let middle = before + before.elapsed().unwrap_or_default() / 2;
        let now: f64 = clock
            .first()
            .map_or(0.0, |row| text(row, 0).parse().unwrap_or(0.0));
        let since = middle
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        facts.ahead = now - since.as_secs_f64();
        Ok(facts)
    }

    /// Accounts and roles that may write to a fenced server, `'USER'@'HOST'`.
    pub async fn powerful(&mut self) -> Result<Vec<String>> {
        let sql = "SELECT DISTINCT grantee FROM information_schema.user_privileges \
                   WHERE privilege_type IN ('SUPER', 'READ_ONLY ADMIN') ORDER BY 1";
        Ok(self
            .rows(sql)
            .await?
            .iter()
            .map(|row| text(row, 0))
            .collect())
    }

    /// A sum over the rows of each table.
    pub async fn checksums(&mut self, tables: &[String]) -> Result<Vec<String>> {
        let names: Vec<String> = tables
            .iter()
            .map(|table| format!("{}.{}", quoted(&self.database), quoted(table)))
            .collect();
        let sql = format!("CHECKSUM TABLE {}", names.join(", "));
        Ok(self
            .rows(&sql)
            .await?
            .iter()
            .map(|row| text(row, 1))
            .collect())
    }

    pub async fn position(&mut self) -> Result<String> {
        let rows = self.rows("SELECT @@global.gtid_binlog_pos").await?;
        Ok(rows.first().map(|row| text(row, 0)).unwrap_or_default())
    }

    /// Waits until this server has applied the position.
    pub async fn applied(&mut self, position: &str, seconds: u32) -> Result<bool> {
        let sql = format!("SELECT MASTER_GTID_WAIT({}, {seconds})", literal(position));
        Ok(self
            .rows(&sql)
            .await?
            .first()
            .is_some_and(|row| text(row, 0) == "0"))
    }

    async fn rows(&mut self, sql: &str) -> Result<Vec<MySqlRow>> {
        // Safe: made of constants, and of names and values between their quotes.
        let asked = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.connection);
        let rows = tokio::time::timeout(WITHIN, asked).await;
        rows.with_context(|| format!("{} does not answer", self.place))?
            .with_context(|| self.place.clone())
    }
}

fn text(row: &MySqlRow, column: usize) -> String {
    bytes(row.try_get_unchecked(column))
}

fn named(row: &MySqlRow, column: &str) -> String {
    bytes(row.try_get_unchecked(column))
}

/// What the text protocol gave; NULL is empty.
fn bytes(cell: Result<Option<Vec<u8>>, sqlx::Error>) -> String {
    let bytes = cell.ok().flatten().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A name between backticks.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A string; names of databases and positions have no backslash.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "").replace('\'', "''"))
}
