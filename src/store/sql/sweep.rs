//! Writes that no rule decides: those about rows by what they are, not by name (expiring, recovering,
//! pruning), and those of host keys.

use super::host_keys;
use super::rows::{self, OPERATION, Reader};
use super::session::{Cell, Columns, Fault, Session};
use super::tables::{chunks, settle};
use super::texts::{LONGEST, tuple};
use crate::store::{Operation, OperationId, State, Write, rules};

pub(super) fn is_sweep(write: &Write) -> bool {
    matches!(
        write,
        Write::ExpirePending { .. }
            | Write::RecoverPending { .. }
            | Write::Prune { .. }
            | Write::RecordHostKey(_)
            | Write::ForgetHostKey { .. }
    )
}

/// Runs a sweep; says how many rows it changed.
pub(super) async fn run<S: Session>(session: &mut S, write: &Write) -> Result<u64, Fault> {
    match write {
        Write::ExpirePending { now, owned } => {
            let overdue = pending(session, Some(*now)).await?;
            let abandoned = overdue.into_iter().filter(|row| !owned.contains(&row.id));
            abandon(
                session,
                abandoned,
                *now,
                "the request's deadline passed and no outcome was recorded",
            )
            .await
        }
        Write::RecoverPending { now, owned } => {
            let rows = pending(session, None).await?;
            abandon(
                session,
                rows.into_iter().filter(|row| !owned.contains(&row.id)),
                *now,
                "the relay stopped before the outcome was recorded",
            )
            .await
        }
        Write::Prune { before, limit } => prune(session, *before, *limit).await,
        Write::RecordHostKey(row) => host_keys::record(session, row).await,
        Write::ForgetHostKey { backend, by, at } => {
            host_keys::forget(session, backend, by, *at).await
        }
        _ => unreachable!("only sweeps are run here"),
    }
}

/// The pending rows, all or only those whose deadline lies before `before`.
async fn pending<S: Session>(
    session: &mut S,
    before: Option<i64>,
) -> Result<Vec<Operation>, Fault> {
    let columns = OPERATION.join(", ");
    let lock = S::DIALECT.lock;
    let sql = format!(
        "SELECT {columns} FROM operation WHERE state = 'pending' AND deadline < ? \
         ORDER BY created_at, id{lock}"
    );
    let cells = [Cell::Int(before.unwrap_or(i64::MAX))];
    session.fetch(sql.into(), &cells, rows::operation).await
}

async fn abandon<S: Session>(
    session: &mut S,
    found: impl Iterator<Item = Operation>,
    now: i64,
    why: &str,
) -> Result<u64, Fault> {
    let changed: Vec<_> = found.map(|row| rules::abandon(row, now, why)).collect();
    let changed: Vec<_> = changed.iter().collect();
    settle(session, &changed).await?;
    Ok(changed.len() as u64)
}

/// Deletes the oldest settled operations, by `created_at, id` (SEMANTICS 26).
async fn prune<S: Session>(session: &mut S, before: i64, limit: u32) -> Result<u64, Fault> {
    let mut oldest: Vec<(i64, OperationId)> = Vec::new();
    for state in [State::Succeeded, State::Failed] {
        // Nothing finishes before it was created, so the index need not be read beyond `before`.
        let sql = format!(
            "SELECT created_at, id FROM operation WHERE state = ? AND created_at < ? \
             AND finished_at < ? ORDER BY created_at, id LIMIT ?{}",
            S::DIALECT.lock
        );
        let cells = [
            Cell::Text(state.name()),
            Cell::Int(before),
            Cell::Int(before),
            Cell::Int(i64::from(limit)),
        ];
        oldest.append(&mut session.fetch(sql.into(), &cells, age).await?);
    }
    oldest.sort_unstable();
    oldest.truncate(limit as usize);
    for chunk in chunks(&oldest, LONGEST) {
        let sql = format!("DELETE FROM operation WHERE id IN {}", tuple(chunk.len()));
        let cells: Vec<_> = chunk
            .iter()
            .map(|(_, id)| Cell::Bytes(id.as_bytes()))
            .collect();
        session.change(sql.into(), &cells).await?;
    }
    Ok(oldest.len() as u64)
}

/// When an operation was created, and its id.
fn age(row: &dyn Columns) -> Result<(i64, OperationId), Fault> {
    let mut row = Reader::new(row);
    Ok((row.int()?, row.id()?))
}
