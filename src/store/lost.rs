//! Commits whose answer was lost: found out before anyone is told (SEMANTICS 6).

use std::time::{Duration, Instant};

use super::rules::{is_same_intent, is_same_outcome};
use super::{Begun, Finished, MappingChange, Operation, Store, StoreError, Write, Written};

/// For how long a lost commit is looked for, at most: somebody waits for the answer.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(10);

/// Reads back what became of a batch whose commit was not answered (SEMANTICS 6).
///
/// A transaction is all or nothing: one row that is there as this batch wrote it proves all of it. When
/// none is, the batch is applied again: if the lost commit is still under way in the server, the locking
/// reads wait for it, and the rules know the rows of this very batch again.
pub(super) async fn find_out(
    store: &dyn Store,
    look_ups: u32,
    batch: &[Write],
    words: String,
) -> Vec<Result<Written, StoreError>> {
    let mut reason = words;
    let unknown = |reason: &str| -> Vec<_> {
        let one = || Err(StoreError::CommitUnknown(reason.to_owned()));
        std::iter::repeat_with(one).take(batch.len()).collect()
    };
    let leaves_a_trace = |write: &Write| matches!(write, Write::Begin(_) | Write::Finish(_));
    if !batch.iter().any(leaves_a_trace) {
        return unknown(&reason);
    }
    let began = Instant::now();
    for look_up in 0..look_ups {
        if began.elapsed() >= LOOK_UP_WITHIN {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10 << look_up.min(7))).await;
        let rows = match read_back(store, batch).await {
            Ok(rows) => rows,
            Err(error) => {
                reason = error.to_string();
                continue;
            }
        };
        if let Some(results) = committed(store, batch, &rows, &reason).await {
            return results;
        }
        match store.apply(batch).await {
            Ok(applied) => return applied.written.into_iter().map(Ok).collect(),
            Err(error) => reason = error.to_string(),
        }
    }
    tracing::error!(
        writes = batch.len(),
        reason,
        "the result of a commit could not be found out"
    );
    unknown(&reason)
}

/// The rows of a batch's intents and outcomes, as they are now; `None` for other writes.
async fn read_back(
    store: &dyn Store,
    batch: &[Write],
) -> Result<Vec<Option<Operation>>, StoreError> {
    let mut rows = Vec::with_capacity(batch.len());
    for write in batch {
        rows.push(match write {
            Write::Begin(intent) => store.operation(intent.operation.id).await?,
            Write::Finish(outcome) => store.operation(outcome.id).await?,
            _ => None,
        });
    }
    Ok(rows)
}

/// Each write's result if the rows prove that the batch was committed.
async fn committed(
    store: &dyn Store,
    batch: &[Write],
    rows: &[Option<Operation>],
    reason: &str,
) -> Option<Vec<Result<Written, StoreError>>> {
    let mut started = Vec::new();
    let mut proven = false;
    let mut results = Vec::with_capacity(batch.len());
    for (write, row) in batch.iter().zip(rows) {
        let row = row.as_ref();
        results.push(match (write, row) {
            (Write::Begin(intent), Some(row))
                if is_same_intent(row, &intent.operation) && !started.contains(&row.id) =>
            {
                // Of two equal retries in one batch only the first can have started.
                started.push(row.id);
                proven = true;
                Ok(Written::Begun(Begun::Started))
            }
            (Write::Finish(outcome), Some(row)) if is_same_outcome(row, outcome) => {
                proven = true;
                Ok(Written::Finished(Finished::Done))
            }
            (Write::Finish(outcome), Some(row))
                if row.attempt == outcome.attempt
                    && row.finished_at == Some(outcome.finished_at) =>
            {
                proven = true;
                conflict(store, row, &outcome.changes).await
            }
            (Write::Begin(_), row) => Ok(Written::Begun(Begun::Superseded(
                row.cloned().map(Box::new),
            ))),
            (Write::Finish(_), row) => Ok(Written::Finished(Finished::Lost(
                row.cloned().map(Box::new),
            ))),
            _ => Err(StoreError::CommitUnknown(reason.to_owned())),
        });
    }
    if !proven {
        return None;
    }
    // What did not start in a batch that was committed is told exactly by asking once more: an intent
    // that was refused is refused again, and an outcome that lost its row has lost it.
    for (write, result) in batch.iter().zip(&mut results) {
        if let Ok(Written::Begun(Begun::Superseded(_))) = result {
            *result = again(store, write).await;
        }
    }
    Some(results)
}

async fn again(store: &dyn Store, write: &Write) -> Result<Written, StoreError> {
    let one = store.apply(std::slice::from_ref(write)).await?;
    let none = || StoreError::CommitUnknown("a write was not answered".to_owned());
    one.written.into_iter().next().ok_or_else(none)
}

/// The row in whose way an outcome came, looked up after the fact.
async fn conflict(
    store: &dyn Store,
    row: &Operation,
    changes: &[MappingChange],
) -> Result<Written, StoreError> {
    for change in changes {
        let (MappingChange::Create(wanted) | MappingChange::Put(wanted)) = change else {
            continue;
        };
        let by_key = store.mappings(std::slice::from_ref(&wanted.key)).await?;
        let ids: Vec<String> = wanted.backend_id.iter().cloned().collect();
        let by_id = store
            .mappings_by_backend_id(&wanted.key.resource, &wanted.backend, &ids)
            .await?;
        let other = by_key
            .into_iter()
            .chain(by_id)
            .flatten()
            .find(|other| other.created_operation != Some(row.id));
        if let Some(other) = other {
            return Ok(Written::Finished(Finished::Conflict(Box::new(other))));
        }
    }
    Ok(Written::Finished(Finished::Lost(Some(Box::new(
        row.clone(),
    )))))
}
