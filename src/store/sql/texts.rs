//! The texts of the statements about rows by name: each is made once, for as long as the process lives.
//!
//! Lists have one of a few [`LENGTHS`], so that there are a handful of texts, and a connection keeps a handful of
//! prepared statements, instead of one for every length.

use std::sync::OnceLock;

use super::rows::{MAPPING, OPERATION, OUTCOME};
use super::session::{Dialect, Session};

/// So close that two of them, now and then three, make any length up to [`LONGEST`].
const LENGTHS: [usize; 14] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128];
/// 128 operations of 30 columns stay far below what one statement may bind.
pub(in crate::store) const LONGEST: usize = LENGTHS[LENGTHS.len() - 1];

/// The longest list that is no longer than `count`, which is not 0.
pub(super) fn at_most(count: usize) -> usize {
    let longer = LENGTHS.partition_point(|length| *length <= count);
    LENGTHS[longer - 1]
}

/// The shortest list that is no shorter than `count`, where one is.
pub(super) fn at_least(count: usize) -> usize {
    let shorter = LENGTHS.partition_point(|length| *length < count);
    LENGTHS.get(shorter).copied().unwrap_or(LONGEST)
}

/// A statement about rows by name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Statement {
    OperationsById,
    OperationsByClaim,
    OperationsByKey,
    /// Id, attempt and epoch of those that are pending.
    PendingOperations,
    MappingsByKey,
    MappingsByBackendId,
    InsertOperations,
    /// Sets every column of rows that exist and are locked.
    ReplaceOperations,
    /// Sets the columns that an outcome changes, of one row: their values, then its id.
    SettleOperation,
    /// The same of a row that is still pending: then its attempt and its epoch.
    FinishOperation,
    InsertMappings,
    ReplaceMappings,
    DeleteMappings,
}

const STATEMENTS: usize = Statement::DeleteMappings as usize + 1;
const MAPPING_KEY: [&str; 3] = ["resource", "cmp_id", "scope"];

/// The texts of one dialect that were made so far: by statement, whether it locks, and length.
#[derive(Debug)]
pub struct Texts([[[OnceLock<String>; LENGTHS.len()]; 2]; STATEMENTS]);

impl Texts {
    pub(in crate::store) const fn new() -> Self {
        Self([const { [const { [const { OnceLock::new() }; LENGTHS.len()] }; 2] }; STATEMENTS])
    }
}

/// The text of a statement about `count` rows, one of the [`LENGTHS`]; a read `lock`s what it finds if it is to be written.
pub(super) fn text<S: Session>(statement: Statement, count: usize, lock: bool) -> &'static str {
    let count = count.min(S::DIALECT.longest);
    let place = LENGTHS.partition_point(|length| *length < count);
    debug_assert_eq!(LENGTHS[place], count, "one text for each length");
    let made = &S::texts().0[statement as usize][usize::from(lock)][place];
    made.get_or_init(|| make(&S::DIALECT, statement, count, lock))
}

fn make(dialect: &Dialect, statement: Statement, count: usize, lock: bool) -> String {
    let operations = |index, by: &[&str]| {
        let hint = (dialect.use_index)(index);
        select("operation", &OPERATION, &hint) + &by_names(by, count)
    };
    let mappings = |index, by: &[&str]| {
        let hint = (dialect.use_index)(index);
        select("mapping", &MAPPING, &hint) + &by_names(by, count)
    };
    let mut sql = match statement {
        Statement::OperationsById => operations("PRIMARY", &["id"]),
        Statement::OperationsByClaim => operations("operation_claim", &["claim"]),
        Statement::OperationsByKey => operations("operation_key", &["client", "idempotency_key"]),
        Statement::PendingOperations => {
            let hint = (dialect.use_index)("PRIMARY");
            let columns = ["id", "attempt", "epoch"];
            select("operation", &columns, &hint)
                + &by_names(&["id"], count)
                + " AND state = 'pending'"
        }
        Statement::MappingsByKey => mappings("PRIMARY", &MAPPING_KEY),
        Statement::MappingsByBackendId => {
            mappings("mapping_backend_id", &["resource", "backend", "backend_id"])
        }
        Statement::InsertOperations => insert("operation", &OPERATION, count),
        Statement::ReplaceOperations => replace(dialect, "operation", &OPERATION, &["id"], count),
        Statement::SettleOperation => settle(),
        Statement::FinishOperation => {
            settle() + " AND attempt = ? AND epoch = ? AND state = 'pending'"
        }
        Statement::InsertMappings => insert("mapping", &MAPPING, count),
        Statement::ReplaceMappings => replace(dialect, "mapping", &MAPPING, &MAPPING_KEY, count),
        Statement::DeleteMappings => {
            format!("DELETE FROM mapping{}", by_names(&MAPPING_KEY, count))
        }
    };
    if lock {
        sql.push_str(dialect.lock);
    }
    sql
}

fn settle() -> String {
    let set = OUTCOME.map(|column| format!("{column} = ?")).join(", ");
    format!("UPDATE operation SET {set} WHERE id = ?")
}

fn select(table: &str, columns: &[&str], hint: &str) -> String {
    format!("SELECT {} FROM {table}{hint}", columns.join(", "))
}

fn by_names(columns: &[&str], count: usize) -> String {
    if let [column] = columns {
        return format!(" WHERE {column} IN {}", tuple(count));
    }
    // Not `(a, b) IN (..)`: neither optimizer finds the index of a row constructor.
    let one: Vec<_> = columns.iter().map(|c| format!("{c} = ?")).collect();
    let one = format!("({})", one.join(" AND "));
    format!(" WHERE {}", vec![one; count].join(" OR "))
}

fn insert(table: &str, columns: &[&str], count: usize) -> String {
    format!(
        "INSERT INTO {table} ({}) VALUES {}",
        columns.join(", "),
        vec![tuple(columns.len()); count].join(", ")
    )
}

/// An insert that updates each row by its primary key.
///
/// Rows that exist were locked when they were read, so the primary key is the first that collides, and
/// no other unique index can divert the update to another row.
fn replace(dialect: &Dialect, table: &str, columns: &[&str], key: &[&str], count: usize) -> String {
    let set: Vec<_> = columns
        .iter()
        .filter(|column| !key.contains(column))
        .map(|column| format!("{column} = {}", (dialect.excluded)(column)))
        .collect();
    let upsert = (dialect.upsert)(&key.join(", "));
    insert(table, columns, count) + &upsert + &set.join(", ")
}

/// `(?, ?, ..)` with `count` placeholders.
pub(super) fn tuple(count: usize) -> String {
    format!("({})", vec!["?"; count].join(", "))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::reads::{COUNT_UNSETTLED, count_mappings_sql};
    use super::*;
    use crate::store::CountOf;

    /// A scan would lock every row of a table on MariaDB, and cost its size on both.
    #[test]
    fn every_look_up_uses_an_index() {
        let connection = Connection::open_in_memory().unwrap();
        let tables = include_str!("../../../migrations/sqlite/0001_tables.sql");
        connection.execute_batch(tables).unwrap();
        let steps = |sql: &str| -> Vec<String> {
            let explain = format!("EXPLAIN QUERY PLAN {sql}");
            let mut explained = connection.prepare(&explain).unwrap();
            let details = explained.raw_query().mapped(|step| step.get("detail"));
            details.collect::<Result<_, _>>().unwrap()
        };
        for count in [1, 2, LONGEST] {
            for statement in [
                Statement::OperationsById,
                Statement::OperationsByClaim,
                Statement::OperationsByKey,
                Statement::PendingOperations,
                Statement::MappingsByKey,
                Statement::MappingsByBackendId,
                Statement::SettleOperation,
                Statement::FinishOperation,
                Statement::DeleteMappings,
            ] {
                let sql = make(&Connection::DIALECT, statement, count, true);
                let steps = steps(&sql);
                assert!(!steps.is_empty(), "{sql}");
                for step in steps {
                    assert!(!step.starts_with("SCAN"), "{step}: {sql}");
                }
            }
        }
        // Counting all of them goes through an index, and never to a row.
        let counts = [
            (count_mappings_sql(&CountOf::Resource("r".into())), "SEARCH"),
            (count_mappings_sql(&CountOf::Backend("b".into())), "SEARCH"),
            (
                count_mappings_sql(&CountOf::All),
                "SCAN mapping USING COVERING INDEX",
            ),
            (COUNT_UNSETTLED.to_owned(), "SEARCH"),
        ];
        for (sql, begins) in counts {
            let steps = steps(&sql);
            assert!(steps[0].starts_with(begins), "{steps:?}: {sql}");
        }
    }
}
