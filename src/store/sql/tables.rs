//! A batch's rows: read and locked in a few statements, written back in a few.
//!
//! Lists are cut into lengths that are powers of two, so that a connection keeps a handful of prepared
//! statements instead of one for every length. No list is longer than [`LONGEST`].

use std::collections::BTreeSet;

use super::rows::{self, MAPPING, MappingCells, OPERATION, OperationCells};
use super::session::{Cell, Fault, Session, list, tuple};
use crate::store::ledger::{BackendKey, ClientKey, Ledger, backend_key};
use crate::store::rules::key_of;
use crate::store::{
    Audit, Claim, Expect, Mapping, MappingChange, ObjectKey, Operation, OperationId, Verdict, Write,
};

/// 128 operations of 30 columns stay far below what one statement may bind.
const LONGEST: usize = 128;

/// The rows that a batch may ask for; sets, so that each is read once and in one order.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    ids: BTreeSet<OperationId>,
    keys: BTreeSet<ClientKey>,
    claims: BTreeSet<Claim>,
    objects: BTreeSet<ObjectKey>,
    backend_ids: BTreeSet<BackendKey>,
}

impl Wanted {
    /// What is known before anything was read.
    pub(super) fn of(batch: &[Write]) -> Self {
        let mut wanted = Self::default();
        for write in batch {
            match write {
                Write::Begin(intent) => {
                    let operation = &intent.operation;
                    wanted.ids.insert(operation.id);
                    if let Some(key) = &operation.idempotency_key {
                        wanted.keys.insert((operation.client.clone(), key.clone()));
                    }
                    wanted.claims.extend(operation.claim);
                    for expect in &intent.expects {
                        let (Expect::Mapped { key, .. } | Expect::Unmapped { key }) = expect;
                        wanted.objects.insert(key.clone());
                    }
                }
                Write::Finish(outcome) => {
                    wanted.ids.insert(outcome.id);
                    for change in &outcome.changes {
                        wanted.objects.insert(key_of(change).clone());
                        if let MappingChange::Create(row) | MappingChange::Put(row) = change {
                            wanted.backend_ids.extend(backend_key(row));
                        }
                    }
                }
                Write::Settle(settlement) => {
                    wanted.ids.insert(settlement.id);
                }
                Write::Adopt { mapping, .. } => {
                    wanted.claims.insert(mapping.key.claim());
                    wanted.objects.insert(mapping.key.clone());
                    wanted.backend_ids.extend(backend_key(mapping));
                }
                Write::Forget { key, .. } => {
                    wanted.claims.insert(key.claim());
                    wanted.objects.insert(key.clone());
                }
                Write::ExpirePending { .. }
                | Write::RecoverPending { .. }
                | Write::Prune { .. }
                | Write::Audit { .. } => {}
            }
        }
        wanted
    }

    /// What only the rows of the first read could tell: the objects of settled operations, and the
    /// backend that an update's object is on.
    pub(super) fn then(batch: &[Write], ledger: &Ledger) -> Self {
        let mut wanted = Self::default();
        for write in batch {
            match write {
                Write::Settle(settlement) => {
                    let Some(row) = ledger.operation(settlement.id) else {
                        continue;
                    };
                    for effect in &row.effects {
                        wanted.claims.insert(effect.key.claim());
                        wanted.objects.insert(effect.key.clone());
                        if let Verdict::Succeeded {
                            backend_id: Some(id),
                            ..
                        } = &settlement.verdict
                        {
                            wanted.backend_ids.insert((
                                effect.key.resource.clone(),
                                row.backend.clone(),
                                id.clone(),
                            ));
                        }
                    }
                }
                Write::Finish(outcome) => {
                    for change in &outcome.changes {
                        let MappingChange::Update {
                            key,
                            backend_id: Some(Some(id)),
                            ..
                        } = change
                        else {
                            continue;
                        };
                        // The object may be created by this very batch: then by its operation.
                        let mapped = ledger.mapping(key).map(|row| &row.backend);
                        let own = ledger.operation(outcome.id).map(|row| &row.backend);
                        for backend in mapped.into_iter().chain(own) {
                            wanted.backend_ids.insert((
                                key.resource.clone(),
                                backend.clone(),
                                id.clone(),
                            ));
                        }
                    }
                }
                _ => {}
            }
        }
        wanted
    }
}

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
    for chunk in chunks(keys) {
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
    for chunk in chunks(keys) {
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
    } else if S::DIALECT.row_values {
        // The last column is the nullable one: saying so lets a partial index serve.
        format!(
            "{} IS NOT NULL AND ({}) IN (VALUES {})",
            columns[N - 1],
            columns.join(", "),
            list(&tuple(N), count)
        )
    } else {
        let one = columns.map(|column| format!("{column} = ?")).join(" AND ");
        list(&format!("({one})"), count).replace(", ", " OR ")
    };
    let lock = if lock { S::DIALECT.lock } else { "" };
    format!("{head} WHERE {condition}{lock}")
}

/// Writes everything that a batch changed.
pub(super) async fn store<S: Session>(session: &mut S, ledger: &Ledger) -> Result<(), Fault> {
    let changes = ledger.changes();
    for chunk in chunks(&changes.delete_mappings) {
        let one = "(resource = ? AND cmp_id = ? AND scope = ?)";
        let sql = format!(
            "DELETE FROM mapping WHERE {}",
            list(one, chunk.len()).replace(", ", " OR ")
        );
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
    use super::*;

    #[test]
    fn lists_are_cut_into_powers_of_two() {
        let lengths =
            |count: usize| -> Vec<usize> { chunks(&vec![0; count]).map(<[i32]>::len).collect() };
        assert_eq!(lengths(0), Vec::<usize>::new());
        assert_eq!(lengths(1), [1]);
        assert_eq!(lengths(300), [128, 128, 32, 8, 4]);
    }
}
