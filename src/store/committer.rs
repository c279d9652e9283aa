//! The one task that writes: it takes what waits, up to a bound, as one transaction.
//!
//! An idle queue commits at once, a busy one groups, so commits per second grow with the load while each
//! writer still waits for its own row's durability. The cache learns of a commit before the writer does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::cache::Cache;
use super::rules::{is_same_intent, is_same_outcome, key_of};
use super::{Begun, Finished, MappingChange, Operation, Store, StoreError, Write, Written};

/// Bounds of the committer and of the cache.
#[derive(Clone, Debug)]
pub struct Options {
    /// Writes in one transaction.
    pub batch_rows: usize,
    /// Bytes of stored replies in one transaction.
    pub batch_bytes: usize,
    /// Writes that may wait; further writers wait for a place.
    pub queue: usize,
    /// Mappings kept in memory.
    pub cached_mappings: usize,
    /// How often a commit whose result is unknown is looked up, with growing pauses in between.
    pub look_ups: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            batch_rows: 256,
            batch_bytes: 4 << 20,
            queue: 4096,
            cached_mappings: 100_000,
            look_ups: 8,
        }
    }
}

/// What stands in the queue.
#[derive(Debug)]
pub(super) enum Job {
    Write(Box<Write>, oneshot::Sender<Result<Written, StoreError>>),
    /// Commit what stands before this, refuse what comes after, and end.
    Close,
}

type Waiter = oneshot::Sender<Result<Written, StoreError>>;

/// Runs until [`Job::Close`] or until every sender is gone.
pub(super) async fn run(
    store: Arc<dyn Store>,
    cache: Arc<Cache>,
    options: Options,
    mut queue: mpsc::Receiver<Job>,
) {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match queue.recv().await {
                Some(job) => waiting.push_back(job),
                None => return,
            }
        }
        while waiting.len() < options.batch_rows {
            match queue.try_recv() {
                Ok(job) => waiting.push_back(job),
                Err(_) => break,
            }
        }
        let (batch, waiters) = take(&mut waiting, &options);
        if batch.is_empty() {
            // Only a closing stands first in the queue and yields no batch.
            break;
        }
        commit(&*store, &cache, &options, &batch, waiters).await;
    }
    queue.close();
    // Nobody can send any more; what came in after the closing is told so.
    while let Some(job) = waiting.pop_front().or_else(|| queue.try_recv().ok()) {
        if let Job::Write(_, waiter) = job {
            let _ = waiter.send(Err(closed()));
        }
    }
}

pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// The next transaction: within the bounds, but never empty unless a closing is next.
fn take(waiting: &mut VecDeque<Job>, options: &Options) -> (Vec<Write>, Vec<Waiter>) {
    let (mut batch, mut waiters) = (Vec::new(), Vec::new());
    let mut bytes = 0;
    while let Some(Job::Write(write, _)) = waiting.front() {
        bytes += reply_bytes(write);
        let full = batch.len() >= options.batch_rows || bytes > options.batch_bytes;
        if full && !batch.is_empty() {
            break;
        }
        let Some(Job::Write(write, waiter)) = waiting.pop_front() else {
            break;
        };
        batch.push(*write);
        waiters.push(waiter);
    }
    (batch, waiters)
}

fn reply_bytes(write: &Write) -> usize {
    match write {
        Write::Finish(outcome) => outcome.reply_body.as_ref().map_or(0, Vec::len),
        _ => 0,
    }
}

/// Commits one batch and tells each waiter its own result.
async fn commit(
    store: &dyn Store,
    cache: &Cache,
    options: &Options,
    batch: &[Write],
    waiters: Vec<Waiter>,
) {
    let results: Vec<Result<Written, StoreError>> = match store.apply(batch).await {
        Ok(written) => written.into_iter().map(Ok).collect(),
        Err(StoreError::CommitUnknown(words)) => find_out(store, options, batch, words).await,
        Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
    };
    for (write, result) in batch.iter().zip(&results) {
        remember(cache, write, result);
    }
    for (waiter, result) in waiters.into_iter().zip(results) {
        // A waiter that is gone needs no answer; its row stands.
        let _ = waiter.send(result.and_then(|written| match written {
            Written::Invalid(words) => Err(StoreError::Invalid(words)),
            written => Ok(written),
        }));
    }
}

/// Reads back what became of a batch whose commit was not answered (SEMANTICS 6).
///
/// A transaction is all or nothing: one row that is there as this batch wrote it proves all of it. When
/// none is, the batch is applied again: if the lost commit is still under way in the server, the locking
/// reads wait for it, and the rules know the rows of this very batch again.
async fn find_out(
    store: &dyn Store,
    options: &Options,
    batch: &[Write],
    words: String,
) -> Vec<Result<Written, StoreError>> {
    let mut reason = words;
    for look_up in 0..options.look_ups {
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
            Ok(written) => return written.into_iter().map(Ok).collect(),
            Err(error) => reason = error.to_string(),
        }
    }
    tracing::error!(
        writes = batch.len(),
        reason,
        "the result of a commit could not be found out"
    );
    let unknown = || Err(StoreError::CommitUnknown(reason.clone()));
    std::iter::repeat_with(unknown).take(batch.len()).collect()
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
    one.into_iter().next().ok_or_else(none)
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

/// Tells the cache what a write did, or may have done.
fn remember(cache: &Cache, write: &Write, result: &Result<Written, StoreError>) {
    let done = matches!(result, Ok(Written::Finished(Finished::Done)));
    match write {
        Write::Finish(outcome) => {
            for change in &outcome.changes {
                // The row that a create leaves is known but for the operation that the store set; any
                // other is read again.
                match change {
                    MappingChange::Create(row) if done && outcome.changes.len() == 1 => {
                        let mut row = row.clone();
                        row.created_operation = Some(outcome.id);
                        row.updated_operation = Some(outcome.id);
                        cache.committed(&Arc::new(row));
                    }
                    _ => cache.invalidate(key_of(change)),
                }
            }
        }
        Write::Adopt { mapping, .. } => cache.invalidate(&mapping.key),
        Write::Forget { key, .. } => cache.invalidate(key),
        // Rare, and it may remove rows that it does not name.
        Write::Settle(_) => cache.clear(),
        Write::Begin(_)
        | Write::ExpirePending { .. }
        | Write::RecoverPending { .. }
        | Write::Prune { .. }
        | Write::Audit { .. } => {}
    }
}
