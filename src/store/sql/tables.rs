//! A batch's rows: read and locked in a few statements, written back in a few.
//!
//! Lists have lengths that are powers of two, so that a connection keeps a handful of prepared
//! statements instead of one for every length: what is asked for is padded, what is written is cut.
//! No list is longer than [`LONGEST`].

use super::rows::{self, MAPPING, MappingCells, OPERATION, OperationCells};
use super::session::{Cell, Fault, Session, list, tuple};
use super::wanted::Wanted;
use crate::store::ledger::Ledger;
use crate::store::{Audit, Mapping, ObjectKey, Operation};

/// 128 operations of 30 columns stay far below what one statement may bind.
const LONGEST: usize = 128;

/// Reads and locks what is wanted.
pub(super) async fn load<S: Session>(
    session: &mut S,
    wanted: &Wanted,
    ledger: &mut Ledger,
) -> Result<(), Fault> {
    let ids: Vec<_> = wanted
        .ids
        .iter()
        .map(|id| [Cell::Bytes(id.as_bytes())])
        .collect();
    let claims: Vec<_> = wanted
        .claims
        .iter()
        .map(|claim| [Cell::Bytes(claim)])
        .collect();
    let keys: Vec<_> = wanted
        .keys
        .iter()
        .map(|(client, key)| [Cell::Text(client), Cell::Text(key)])
        .collect();
    for row in operations_by(session, "PRIMARY", ["id"], &ids, true).await? {
        ledger.load_operation(row);
    }
    for row in operations_by(session, "operation_claim", ["claim"], &claims, true).await? {
        ledger.load_operation(row);
    }
    let columns = ["client", "idempotency_key"];
    for row in operations_by(session, "operation_key", columns, &keys, true).await? {
        ledger.load_operation(row);
    }

    let objects: Vec<_> = wanted.objects.iter().map(object_cells).collect();
    let backend_ids: Vec<_> = wanted
        .backend_ids
        .iter()
        .map(|(resource, backend, id)| [Cell::Text(resource), Cell::Text(backend), Cell::Text(id)])
        .collect();
    for row in mappings_by_key(session, &objects, true).await? {
        ledger.load_mapping(row);
    }
    for row in mappings_by_backend_id(session, &backend_ids, true).await? {
        ledger.load_mapping(row);
    }
    Ok(())
}

pub(super) fn object_cells(key: &ObjectKey) -> [Cell<'_>; 3] {
    [
        Cell::Text(&key.resource),
        Cell::Text(&key.cmp_id),
        Cell::Text(&key.scope),
    ]
}

pub(super) async fn mappings_by_key<S: Session>(
    session: &mut S,
    keys: &[[Cell<'_>; 3]],
    lock: bool,
) -> Result<Vec<Mapping>, Fault> {
    let columns = ["resource", "cmp_id", "scope"];
    mappings_by(session, "PRIMARY", columns, keys, lock).await
}

pub(super) async fn mappings_by_backend_id<S: Session>(
    session: &mut S,
    keys: &[[Cell<'_>; 3]],
    lock: bool,
) -> Result<Vec<Mapping>, Fault> {
    let columns = ["resource", "backend", "backend_id"];
    mappings_by(session, "mapping_backend_id", columns, keys, lock).await
}

async fn mappings_by<S: Session>(
    session: &mut S,
    index: &str,
    columns: [&str; 3],
    keys: &[[Cell<'_>; 3]],
    lock: bool,
) -> Result<Vec<Mapping>, Fault> {
    let head = select_by::<S>("mapping", &MAPPING, index);
    let mut found = Vec::new();
    for chunk in keys.chunks(LONGEST) {
        let chunk = padded(chunk);
        let sql = where_in::<S, 3>(&head, columns, chunk.len(), lock);
        for row in session.fetch(sql, chunk.as_flattened()).await? {
            found.push(rows::mapping(&row)?);
        }
    }
    Ok(found)
}

pub(super) async fn operations_by<S: Session, const N: usize>(
    session: &mut S,
    index: &str,
    columns: [&str; N],
    keys: &[[Cell<'_>; N]],
    lock: bool,
) -> Result<Vec<Operation>, Fault> {
    let head = select_by::<S>("operation", &OPERATION, index);
    let mut found = Vec::new();
    for chunk in keys.chunks(LONGEST) {
        let chunk = padded(chunk);
        let sql = where_in::<S, N>(&head, columns, chunk.len(), lock);
        for row in session.fetch(sql, chunk.as_flattened()).await? {
            found.push(rows::operation(&row)?);
        }
    }
    Ok(found)
}

fn select_by<S: Session>(table: &str, columns: &[&str], index: &str) -> String {
    let hint = (S::DIALECT.use_index)(index);
    format!("SELECT {} FROM {table}{hint}", columns.join(", "))
}

fn where_in<S: Session, const N: usize>(
    head: &str,
    columns: [&str; N],
    count: usize,
    lock: bool,
) -> String {
    let condition = if N == 1 {
        format!("{} IN {}", columns[0], tuple(count))
    } else {
        // Not `(a, b) IN (..)`: neither optimizer finds the index of a row constructor.
        let one = columns.map(|column| format!("{column} = ?")).join(" AND ");
        any_of(&format!("({one})"), count)
    };
    let lock = if lock { S::DIALECT.lock } else { "" };
    format!("{head} WHERE {condition}{lock}")
}

fn any_of(condition: &str, count: usize) -> String {
    vec![condition; count].join(" OR ")
}

/// Writes everything that a batch changed.
pub(super) async fn store<S: Session>(session: &mut S, ledger: &Ledger) -> Result<(), Fault> {
    let changes = ledger.changes();
    for chunk in chunks(&changes.delete_mappings) {
        let one = "(resource = ? AND cmp_id = ? AND scope = ?)";
        let sql = format!("DELETE FROM mapping WHERE {}", any_of(one, chunk.len()));
        let cells: Vec<_> = chunk.iter().flat_map(|key| object_cells(key)).collect();
        session.execute(sql, &cells).await?;
    }
    operations(session, &changes.update_operations, true).await?;
    operations(session, &changes.insert_operations, false).await?;
    mappings(session, &changes.update_mappings, true).await?;
    mappings(session, &changes.insert_mappings, false).await?;
    audits(session, changes.audits).await
}

/// Inserts operations, or sets every column of ones that exist and are locked.
pub(super) async fn operations<S: Session>(
    session: &mut S,
    changed: &[&Operation],
    exist: bool,
) -> Result<(), Fault> {
    for chunk in chunks(changed) {
        let encoded: Vec<_> = chunk.iter().map(|row| OperationCells::new(row)).collect();
        let mut cells = Vec::with_capacity(chunk.len() * OPERATION.len());
        for row in &encoded {
            row.push(&mut cells);
        }
        let sql = insert::<S>("operation", &OPERATION, &["id"], chunk.len(), exist);
        session.execute(sql, &cells).await?;
    }
    Ok(())
}

async fn mappings<S: Session>(
    session: &mut S,
    changed: &[&Mapping],
    exist: bool,
) -> Result<(), Fault> {
    for chunk in chunks(changed) {
        let encoded: Vec<_> = chunk.iter().map(|row| MappingCells::new(row)).collect();
        let mut cells = Vec::with_capacity(chunk.len() * MAPPING.len());
        for row in &encoded {
            row.push(&mut cells);
        }
        let key = ["resource", "cmp_id", "scope"];
        let sql = insert::<S>("mapping", &MAPPING, &key, chunk.len(), exist);
        session.execute(sql, &cells).await?;
    }
    Ok(())
}

async fn audits<S: Session>(session: &mut S, audits: &[Audit]) -> Result<(), Fault> {
    for audit in audits {
        let sql = "INSERT INTO audit (id, at, actor, action, detail) VALUES (?, ?, ?, ?, ?)";
        let cells = [
            Cell::Bytes(audit.id.as_bytes()),
            Cell::Int(audit.at),
            Cell::Text(&audit.by),
            Cell::Text(&audit.action),
            Cell::Text(&audit.detail),
        ];
        session.execute(sql.to_owned(), &cells).await?;
    }
    Ok(())
}

/// An insert of `count` rows; where they `exist`, one statement that updates each by its primary key.
///
/// Rows that exist were locked when they were read, so the primary key is the first that collides, and
/// no other unique index can divert the update to another row.
fn insert<S: Session>(
    table: &str,
    columns: &[&str],
    key: &[&str],
    count: usize,
    exist: bool,
) -> String {
    let mut sql = format!(
        "INSERT INTO {table} ({}) VALUES {}",
        columns.join(", "),
        list(&tuple(columns.len()), count)
    );
    if exist {
        sql.push_str(&(S::DIALECT.upsert)(&key.join(", ")));
        let set: Vec<_> = columns
            .iter()
            .filter(|column| !key.contains(column))
            .map(|column| format!("{column} = {}", (S::DIALECT.excluded)(column)))
            .collect();
        sql.push_str(&set.join(", "));
    }
    sql
}

/// Keys to ask for, the last one repeated up to a power of two: asking twice finds one row.
fn padded<K: Copy>(keys: &[K]) -> Vec<K> {
    let mut keys = keys.to_vec();
    if let Some(last) = keys.last().copied() {
        keys.resize(keys.len().next_power_of_two(), last);
    }
    keys
}

/// Cuts a list into pieces whose lengths are powers of two, the longest first.
pub(super) fn chunks<T>(mut items: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        if items.is_empty() {
            return None;
        }
        let length = if items.len() >= LONGEST {
            LONGEST
        } else {
            1 << items.len().ilog2()
        };
        let (piece, rest) = items.split_at(length);
        items = rest;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::super::reads::{COUNT_UNSETTLED, count_mappings_sql};
    use super::*;

    #[test]
    fn lists_are_cut_into_powers_of_two() {
        let lengths =
            |count: usize| -> Vec<usize> { chunks(&vec![0; count]).map(<[i32]>::len).collect() };
        assert_eq!(lengths(0), Vec::<usize>::new());
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(300), [128, 128, 32, 8, 4]);
    }

    #[test]
    fn keys_are_padded_with_their_last() {
        assert!(padded::<i32>(&[]).is_empty());
        assert_eq!(padded(&[1]), [1]);
        assert_eq!(padded(&[1, 2, 3]), [1, 2, 3, 3]);
    }

    /// A scan would lock every row of a table on MariaDB, and cost its size on both.
    #[tokio::test]
    async fn every_look_up_uses_an_index() {
        use sqlx::{Connection, SqliteConnection};
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let tables = include_str!("../../../migrations/sqlite/0001_tables.sql");
        sqlx::raw_sql(tables)
            .execute(&mut connection)
            .await
            .unwrap();
        type S = SqliteConnection;
        let operation = select_by::<S>("operation", &OPERATION, "");
        let mapping = select_by::<S>("mapping", &MAPPING, "");
        for count in [1, 2, LONGEST] {
            for sql in [
                where_in::<S, 1>(&operation, ["id"], count, true),
                where_in::<S, 1>(&operation, ["claim"], count, true),
                where_in::<S, 2>(&operation, ["client", "idempotency_key"], count, true),
                where_in::<S, 3>(&mapping, ["resource", "cmp_id", "scope"], count, true),
                where_in::<S, 3>(&mapping, ["resource", "backend", "backend_id"], count, true),
            ] {
                for step in steps(&mut connection, &sql).await {
                    assert!(!step.starts_with("SCAN"), "{step}: {sql}");
                }
            }
        }
        // Counting all of them goes through an index, and never to a row.
        use crate::store::CountOf;
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
            let steps = steps(&mut connection, &sql).await;
            assert!(steps[0].starts_with(begins), "{steps:?}: {sql}");
        }
    }

    async fn steps(connection: &mut sqlx::SqliteConnection, sql: &str) -> Vec<String> {
        use sqlx::Row;
        let explain = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
        let steps = sqlx::query(explain).fetch_all(connection).await.unwrap();
        steps.iter().map(|step| step.get("detail")).collect()
    }
}
