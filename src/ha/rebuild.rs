//! A standby's rows, copied from the active node and compared with it: plain SQL over the connections that are there.
//!
//! The copy is of one moment, whose GTID is known: a consistent snapshot (mariadb.com/kb/en/start-transaction)
//! and its place in the binary log. Nothing of it enters this node's own log.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sqlx::mysql::MySqlRow;

use super::control::{Control, name, quoted, text};
use crate::failpoint;
use crate::plan::MariaDb;
use crate::store::Position;

const STATEMENT: Duration = Duration::from_secs(120);
/// Rows of one look.
const PAGE: usize = 200;
/// An insert is no longer than this and one row: servers take 16 MiB (`max_allowed_packet`).
const INSERT: usize = 4 << 20;

/// A table's columns, in their order.
#[derive(Debug)]
pub struct Table {
    pub name: String,
    pub engine: String,
    columns: Vec<Column>,
    /// The columns of its primary key.
    pub key: Vec<String>,
}

#[derive(Debug)]
struct Column {
    name: String,
    is_number: bool,
}

/// Replaces the relay's tables here by those of `active`, and follows `source` from there on; `say` is told how far it is.
pub async fn copy(
    here: &mut Control,
    active: &mut Control,
    source: &MariaDb,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<()> {
    let database = source.database.clone();
    let at = snapshot(active).await?;
    let tables = tables(active, &database).await?;
    ensure!(
        !tables.is_empty(),
        "the active node has no tables in `{database}`"
    );
    // Forgotten first: rows of which some are missing must not be followed on.
    here.run("STOP SLAVE", STATEMENT).await?;
    here.run("RESET SLAVE ALL", STATEMENT).await?;
    here.run(
        "SET SESSION sql_log_bin = 0, foreign_key_checks = 0",
        STATEMENT,
    )
    .await?;
    here.run(
        &format!("CREATE DATABASE IF NOT EXISTS {}", name(&database)),
        STATEMENT,
    )
    .await?;
    for table in &tables {
        copy_table(here, active, &database, table, say).await?;
        failpoint::reached("table_copied");
    }
    active.run("COMMIT", STATEMENT).await?;
    here.run("SET SESSION sql_log_bin = 1", STATEMENT).await?;
    // In this order and without a pause: a log that begins anew says nothing of where it stands.
    here.run("RESET MASTER", STATEMENT).await?;
    here.run(&format!("SET GLOBAL gtid_slave_pos = '{at}'"), STATEMENT)
        .await?;
    here.follow(source, false).await
}

/// Begins a transaction that sees one moment, and says which.
async fn snapshot(active: &mut Control) -> Result<Position> {
    active
        .run(
            "SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ",
            STATEMENT,
        )
        .await?;
    active
        .run("START TRANSACTION WITH CONSISTENT SNAPSHOT", STATEMENT)
        .await?;
    let rows = active
        .rows("SHOW STATUS LIKE 'binlog_snapshot_%'", STATEMENT)
        .await?;
    let of = |wanted: &str| {
        rows.iter()
            .find(|row| {
                text(row, "Variable_name").is_some_and(|found| found.eq_ignore_ascii_case(wanted))
            })
            .and_then(|row| text(row, "Value"))
            .with_context(|| format!("the server does not say `{wanted}`: has it no binary log?"))
    };
    let (file, position) = (of("binlog_snapshot_file")?, of("binlog_snapshot_position")?);
    let sql = format!("SELECT BINLOG_GTID_POS({}, {position}) AS v", quoted(&file));
    let rows = active.rows(&sql, STATEMENT).await?;
    let at = rows
        .first()
        .and_then(|row| text(row, "v"))
        .unwrap_or_default();
    Position::first_of(&at).with_context(|| format!("the snapshot has no GTID (`{at}`)"))
}

/// The tables of a database, by name.
pub async fn tables(server: &mut Control, database: &str) -> Result<Vec<Table>> {
    let sql = format!(
        "SELECT c.table_name AS t, t.engine AS e, c.column_name AS c, c.data_type AS d, c.column_key AS k \
         FROM information_schema.columns c JOIN information_schema.tables t \
         ON t.table_schema = c.table_schema AND t.table_name = c.table_name \
         WHERE c.table_schema = {} AND t.table_type = 'BASE TABLE' ORDER BY c.table_name, c.ordinal_position",
        quoted(database)
    );
    let mut tables: Vec<Table> = Vec::new();
    for row in server.rows(&sql, STATEMENT).await? {
        let (Some(table), Some(column), Some(kind), Some(key)) = (
            text(&row, "t"),
            text(&row, "c"),
            text(&row, "d"),
            text(&row, "k"),
        ) else {
            continue;
        };
        if tables.last().is_none_or(|last| last.name != table) {
            tables.push(Table {
                name: table,
                engine: text(&row, "e").unwrap_or_default(),
                columns: Vec::new(),
                key: Vec::new(),
            });
        }
        let Some(table) = tables.last_mut() else {
            continue;
        };
        if key == "PRI" {
            table.key.push(column.clone());
        }
        table.columns.push(Column {
            name: column,
            is_number: matches!(
                kind.as_str(),
                "bigint" | "int" | "smallint" | "tinyint" | "mediumint"
            ),
        });
    }
    Ok(tables)
}

async fn copy_table(
    here: &mut Control,
    active: &mut Control,
    database: &str,
    table: &Table,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<()> {
    ensure!(
        !table.key.is_empty(),
        "table `{}` has no primary key",
        table.name
    );
    let full = format!("{}.{}", name(database), name(&table.name));
    let rows = active
        .rows(&format!("SHOW CREATE TABLE {full}"), STATEMENT)
        .await?;
    let create = rows
        .first()
        .and_then(|row| text(row, "Create Table"))
        .with_context(|| format!("{full} cannot be described"))?;
    here.run(&format!("USE {}", name(database)), STATEMENT)
        .await?;
    here.run(&format!("DROP TABLE IF EXISTS {full}"), STATEMENT)
        .await?;
    here.run(&create, STATEMENT).await?;
    let key = list(table.key.iter().map(|column| name(column)));
    let mut after = String::new();
    let mut copied = 0;
    loop {
        if copied % (50 * PAGE) == 0 {
            say(&format!("copying `{}`: {copied} rows", table.name));
        }
        let sql = format!("SELECT * FROM {full} {after} ORDER BY {key} LIMIT {PAGE}");
        let page = active.rows(&sql, STATEMENT).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        let mut insert = String::new();
        for row in &page {
            let start = match insert.is_empty() {
                true => format!("INSERT INTO {full} VALUES "),
                false => ", ".to_owned(),
            };
            let values = list(table.columns.iter().map(|column| value(row, column)));
            insert += &format!("{start}({values})");
            if insert.len() > INSERT {
                here.run(&std::mem::take(&mut insert), STATEMENT).await?;
            }
        }
        if !insert.is_empty() {
            here.run(&insert, STATEMENT).await?;
        }
        copied += page.len();
        if page.len() < PAGE {
            return Ok(());
        }
        let columns = table
            .columns
            .iter()
            .filter(|column| table.key.contains(&column.name));
        after = format!(
            "WHERE ({key}) > ({})",
            list(columns.map(|column| value(last, column)))
        );
    }
}

fn list(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// A column's value as a literal, byte for byte.
fn value(row: &MySqlRow, column: &Column) -> String {
    match super::control::bytes(row, &column.name) {
        None => "NULL".to_owned(),
        Some(bytes) if column.is_number => String::from_utf8_lossy(&bytes).into_owned(),
        Some(bytes) if bytes.is_empty() => "''".to_owned(),
        Some(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            format!("X'{hex}'")
        }
    }
}

/// How often a moment is looked for at which nothing is under way between the nodes.
const MOMENTS: usize = 100;

/// Whether every table has the same rows on both nodes, at one commit of the active one. Replication goes on after it.
///
/// Only the thread that applies is stopped, and only while the other one receives: what it received stays. (A start
/// UNTIL a GTID would say the moment beforehand, and stalls where replication is semi-synchronous.)
pub async fn compare(here: &mut Control, active: &mut Control, database: &str) -> Result<()> {
    let tables = tables(active, database).await?;
    for _ in 0..MOMENTS {
        here.run("STOP SLAVE SQL_THREAD", STATEMENT).await?;
        let compared = differing(here, active, database, &tables).await;
        here.run("START SLAVE SQL_THREAD", STATEMENT).await?;
        let Some(differing) = compared? else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        ensure!(
            differing.is_empty(),
            "the rows of {} differ between the nodes: `cmp-relay ha rejoin --rebuild`",
            differing.join(", ")
        );
        return Ok(());
    }
    bail!("the active node writes without a pause, and the rows could not be compared; ask again")
}

/// The tables whose rows differ, in backticks; `None` where this node does not stand where the active one does, or did not
/// stay there while it was looked at.
pub async fn differing(
    here: &mut Control,
    active: &mut Control,
    database: &str,
    tables: &[Table],
) -> Result<Option<Vec<String>>> {
    let at = snapshot(active).await?;
    let compared = differing_at(at, here, active, database, tables).await;
    active.run("COMMIT", STATEMENT).await?;
    compared
}

async fn differing_at(
    at: Position,
    here: &mut Control,
    active: &mut Control,
    database: &str,
    tables: &[Table],
) -> Result<Option<Vec<String>>> {
    if here.applied_position().await? != Some(at) {
        return Ok(None);
    }
    let mut differing = Vec::new();
    for table in tables {
        if digest(here, database, table).await? != digest(active, database, table).await? {
            differing.push(name(&table.name));
        }
    }
    let stayed = here.applied_position().await? == Some(at);
    Ok(stayed.then_some(differing))
}

/// How many rows, and a sum over their hashes that no order changes.
async fn digest(
    control: &mut Control,
    database: &str,
    table: &Table,
) -> Result<(Option<String>, Option<String>)> {
    let columns = list(
        table
            .columns
            .iter()
            .map(|column| format!("IFNULL(HEX({}), 'N')", name(&column.name))),
    );
    let sql = format!(
        "SELECT COUNT(*) AS n, BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS('.', {columns})), 16), 16, 10) AS UNSIGNED)) AS h FROM {}.{}",
        name(database),
        name(&table.name)
    );
    let rows = control.rows(&sql, STATEMENT).await?;
    let row = rows.first().context("no digest")?;
    Ok((text(row, "n"), text(row, "h")))
}
