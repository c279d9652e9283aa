//! What `ha doctor` knows of a MariaDB server. Nothing is changed there.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::Result;

use crate::ha::class::Log;
use crate::ha::control::{Control, text};
use crate::ha::rebuild::{self, Table};
use crate::ha::status::{EpochRow, Replication};
use crate::plan::MariaDb;

/// How long a question may take.
pub const WITHIN: Duration = Duration::from_secs(10);

/// A server that answers.
#[derive(Debug)]
pub struct Server {
    pub control: Control,
    pub facts: Facts,
}

/// What a server says of itself.
#[derive(Debug, Default)]
pub struct Facts {
    /// `HOST:PORT`.
    pub place: String,
    /// Global variables, by name.
    pub variables: BTreeMap<String, String>,
    /// Where it follows another server.
    pub following: Option<Replication>,
    /// Seconds between two signs of life of a quiet source.
    pub heartbeat: f64,
    pub log: Log,
    pub tables: Vec<Table>,
    /// The promotions that it knows, oldest first.
    pub promotions: Vec<EpochRow>,
    /// How much its clock is ahead of this machine's, in seconds.
    pub ahead: f64,
}

impl Facts {
    pub fn variable(&self, name: &str) -> &str {
        self.variables.get(name).map_or("", String::as_str)
    }

    pub fn number(&self, name: &str) -> Option<f64> {
        self.variable(name).parse().ok()
    }
}

/// Asks a server all of it.
pub async fn meet(server: &MariaDb) -> Result<Server> {
    let mut control = Control::patient(server);
    let facts = of(&mut control, server).await?;
    Ok(Server { control, facts })
}

async fn of(control: &mut Control, server: &MariaDb) -> Result<Facts> {
    let rows = control.rows("SHOW GLOBAL VARIABLES", WITHIN).await?;
    let variable = |row| Some((text(row, "Variable_name")?, text(row, "Value")?));
    let variables = rows.iter().filter_map(variable).collect();
    let heartbeat = "SHOW STATUS LIKE 'Slave_heartbeat_period'";
    let heartbeat = number(control, heartbeat, "Value").await?;
    let tables = rebuild::tables(control, &server.database).await?;
    let promotions = match tables.iter().any(|table| table.name == "ha_epoch") {
        true => control.epochs().await?,
        false => Vec::new(),
    };
    let before = SystemTime::now();
    let now = number(control, "SELECT UNIX_TIMESTAMP(NOW(6)) AS v", "v").await?;
    let middle = before + before.elapsed().unwrap_or_default() / 2;
    let since = middle.duration_since(SystemTime::UNIX_EPOCH);
    Ok(Facts {
        place: format!("{}:{}", server.host, server.port),
        variables,
        following: control.replication().await?,
        heartbeat,
        log: control.log().await?,
        tables,
        promotions,
        ahead: now - since.unwrap_or_default().as_secs_f64(),
    })
}

/// Of the first row; 0 where there is none.
async fn number(control: &mut Control, sql: &str, column: &str) -> Result<f64> {
    let rows = control.rows(sql, WITHIN).await?;
    let value = rows.first().and_then(|row| text(row, column));
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0.0))
}
