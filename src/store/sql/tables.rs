//! A batch's rows: read and locked, and written back, in as few statements as the dialect likes.
//!
//! Lists have one of a few lengths ([`super::texts`]): what is asked for is padded, what is written
//! is cut. Where no network lies between, a statement has one row and is run in a loop.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use super::rows::{self, MappingCells, OperationCells, OutcomeCells};
use super::session::{Cell, Decode, Fault, Session};
use super::texts::{Statement, at_least, at_most, text};
use super::wanted::Wanted;
use crate::store::ledger::{Changes, Ledger};
use crate::store::{Audit, Mapping, ObjectKey, Operation};

/// Rows as the tables hold them.
#[derive(Debug, Default)]
pub(super) struct Found {
    operations: Vec<Operation>,
    mappings: Vec<Mapping>,
}

impl Found {
    pub(super) fn into(self, ledger: &mut Ledger) {
        for row in self.operations {
            ledger.load_operation(Box::new(row));
        }
        for row in self.mappings {
            ledger.load_mapping(Arc::new(row));
        }
    }
}

/// Reads and locks what is wanted.
pub(super) async fn load<S: Session>(session: &mut S, wanted: &Wanted<'_>) -> Result<Found, Fault> {
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
    let objects: Vec<_> = wanted.objects.iter().map(|key| object_cells(key)).collect();
    let backend_ids: Vec<_> = wanted
        .backend_ids
        .iter()
        .map(|(resource, backend, id)| [Cell::Text(resource), Cell::Text(backend), Cell::Text(id)])
        .collect();

    let mut found = Found::default();
    let Found {
        operations,
        mappings,
    } = &mut found;
    let (operation, mapping) = (rows::operation, rows::mapping);
    lookup(
        session,
        Statement::OperationsById,
        &ids,
        true,
        operation,
        operations,
    )
    .await?;
    lookup(
        session,
        Statement::OperationsByClaim,
        &claims,
        true,
        operation,
        operations,
    )
    .await?;
    lookup(
        session,
        Statement::OperationsByKey,
        &keys,
        true,
        operation,
        operations,
    )
    .await?;
    lookup(
        session,
        Statement::MappingsByKey,
        &objects,
        true,
        mapping,
        mappings,
    )
    .await?;
    lookup(
        session,
        Statement::MappingsByBackendId,
        &backend_ids,
        true,
        mapping,
        mappings,
    )
    .await?;
    Ok(found)
}

pub(super) fn object_cells(key: &ObjectKey) -> [Cell<'_>; 3] {
    [
        Cell::Text(&key.resource),
        Cell::Text(&key.cmp_id),
        Cell::Text(&key.scope),
    ]
}

/// The rows of these keys, in no order; `lock`ed if they are to be written.
pub(super) async fn lookup<S: Session, T: Send, const N: usize>(
    session: &mut S,
    statement: Statement,
    keys: &[[Cell<'_>; N]],
    lock: bool,
    decode: Decode<T>,
    found: &mut Vec<T>,
) -> Result<(), Fault> {
    let one_by_one = S::DIALECT.longest == 1;
    let longest = if one_by_one {
        keys.len().max(1)
    } else {
        S::DIALECT.longest
    };
    for chunk in keys.chunks(longest) {
        let chunk = if one_by_one {
            chunk.into()
        } else {
            padded(chunk)
        };
        let sql = text::<S>(statement, chunk.len(), lock);
        let rows = session.fetch(sql.into(), chunk.as_flattened(), decode);
        found.append(&mut rows.await?);
    }
    Ok(())
}

/// Writes everything that a batch changed.
pub(super) async fn store<S: Session>(session: &mut S, ledger: &Ledger) -> Result<(), Fault> {
    let Changes {
        delete_mappings,
        settle_operations,
        finish_operations,
        replace_operations,
        insert_operations,
        update_mappings,
        insert_mappings,
        audits: acts,
    } = ledger.changes();
    for chunk in chunks(&delete_mappings, S::DIALECT.longest) {
        let cells: Vec<_> = chunk.iter().map(|key| object_cells(key)).collect();
        let sql = text::<S>(Statement::DeleteMappings, chunk.len(), false);
        session.change(sql.into(), cells.as_flattened()).await?;
    }
    settle(session, &settle_operations).await?;
    finish(session, &finish_operations).await?;
    operations(session, Statement::ReplaceOperations, &replace_operations).await?;
    operations(session, Statement::InsertOperations, &insert_operations).await?;
    mappings(session, Statement::ReplaceMappings, &update_mappings).await?;
    mappings(session, Statement::InsertMappings, &insert_mappings).await?;
    audits(session, acts).await
}

/// Writes what an outcome changes of operations that exist and are locked.
pub(super) async fn settle<S: Session>(
    session: &mut S,
    changed: &[&Operation],
) -> Result<(), Fault> {
    for chunk in chunks(changed, S::DIALECT.longest) {
        if chunk.len() > 1 && S::DIALECT.longest > 1 {
            // No statement sets some columns of several rows to values of their own.
            operations(session, Statement::ReplaceOperations, chunk).await?;
            continue;
        }
        let encoded: Vec<_> = chunk.iter().map(|row| OutcomeCells::new(row)).collect();
        let cells: Vec<_> = encoded.iter().map(OutcomeCells::all).collect();
        let sql = text::<S>(Statement::SettleOperation, 1, false);
        session.change(sql.into(), cells.as_flattened()).await?;
    }
    Ok(())
}

/// The same of operations that were believed to be pending; [`Fault::Row`] where one is not any more.
async fn finish<S: Session>(session: &mut S, changed: &[&Operation]) -> Result<(), Fault> {
    let pending = if S::DIALECT.longest == 1 {
        let encoded: Vec<_> = changed.iter().map(|row| OutcomeCells::new(row)).collect();
        let cells = encoded.iter().zip(changed).flat_map(|(cells, row)| {
            let compared = [Cell::Int(i64::from(row.attempt)), Cell::Int(row.epoch)];
            cells.all().into_iter().chain(compared)
        });
        let cells: Vec<_> = cells.collect();
        let sql = text::<S>(Statement::FinishOperation, 1, false);
        session.change(sql.into(), &cells).await? as usize
    } else {
        let ids: Vec<_> = changed
            .iter()
            .map(|row| [Cell::Bytes(row.id.as_bytes())])
            .collect();
        let mut found = Vec::with_capacity(ids.len());
        let statement = Statement::PendingOperations;
        lookup(session, statement, &ids, true, rows::attempt, &mut found).await?;
        let found: HashSet<_> = found.into_iter().collect();
        let held = |row: &&&Operation| found.contains(&(row.id, row.attempt, row.epoch));
        settle(session, changed).await?;
        changed.iter().filter(held).count()
    };
    match pending == changed.len() {
        true => Ok(()),
        false => Err(Fault::Row("an operation is not pending any more".into())),
    }
}

async fn operations<S: Session>(
    session: &mut S,
    statement: Statement,
    changed: &[&Operation],
) -> Result<(), Fault> {
    for chunk in chunks(changed, S::DIALECT.longest) {
        let encoded: Vec<_> = chunk.iter().map(|row| OperationCells::new(row)).collect();
        let cells: Vec<_> = encoded.iter().map(OperationCells::all).collect();
        let sql = text::<S>(statement, chunk.len(), false);
        session.change(sql.into(), cells.as_flattened()).await?;
    }
    Ok(())
}

async fn mappings<S: Session>(
    session: &mut S,
    statement: Statement,
    changed: &[&Mapping],
) -> Result<(), Fault> {
    for chunk in chunks(changed, S::DIALECT.longest) {
        let encoded: Vec<_> = chunk.iter().map(|row| MappingCells::new(row)).collect();
        let cells: Vec<_> = encoded.iter().map(MappingCells::all).collect();
        let sql = text::<S>(statement, chunk.len(), false);
        session.change(sql.into(), cells.as_flattened()).await?;
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
        session.change(sql.into(), &cells).await?;
    }
    Ok(())
}

/// Keys to ask for, the last one repeated up to one of the lengths: asking twice finds one row.
fn padded<K: Copy>(keys: &[K]) -> Cow<'_, [K]> {
    match keys.last() {
        Some(last) if keys.len() < at_least(keys.len()) => {
            let mut keys = keys.to_vec();
            keys.resize(at_least(keys.len()), *last);
            keys.into()
        }
        _ => keys.into(),
    }
}

/// Cuts a list into pieces that have one of the lengths, the longest first; not at all where a statement is run
/// for each row.
pub(super) fn chunks<T>(mut items: &[T], longest: usize) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        if items.is_empty() {
            return None;
        }
        let length = match longest {
            1 => items.len(),
            _ => at_most(items.len()).min(longest),
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
    fn lists_are_cut_into_pieces_of_a_few_lengths() {
        let lengths = |count: usize, longest| -> Vec<usize> {
            let items = vec![0; count];
            chunks(&items, longest).map(<[i32]>::len).collect()
        };
        assert_eq!(lengths(0, 128), Vec::<usize>::new());
        assert_eq!(lengths(1, 128), [1]);
        assert_eq!(lengths(300, 128), [128, 128, 32, 12]);
        assert_eq!(lengths(31, 128), [24, 6, 1]);
        assert!((1..=128).all(|count| lengths(count, 128).len() <= 4));
        assert_eq!(lengths(3, 1), [3]);
    }

    #[test]
    fn keys_are_padded_with_their_last() {
        assert!(padded::<i32>(&[]).is_empty());
        assert_eq!(*padded(&[1]), [1]);
        assert_eq!(*padded(&[1, 2, 3]), [1, 2, 3]);
        assert_eq!(*padded(&[1, 2, 3, 4, 5]), [1, 2, 3, 4, 5, 5]);
    }
}
