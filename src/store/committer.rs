//! The one that writes, on a thread of its own, which a database may block: it takes what waits, up to a bound, as one transaction.
//!
//! An idle queue commits at once, a busy one groups, so commits per second grow with the load while each
//! writer still waits for its own row's durability, and the next batch is applied meanwhile. The cache learns of a commit
//! before the writer does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};

use super::cache::Cache;
use super::lost::find_out;
use super::rules::{key_of, made_by};
use super::{Begun, Finished, MappingChange, Position, State, Store, StoreError, Write, Written};
use crate::plan::Limits;
use crate::telemetry;

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

impl Options {
    /// What relay.yaml says of them; the others have their defaults.
    pub fn of(limits: &Limits) -> Self {
        Self {
            cached_mappings: limits.cached_mappings,
            ..Self::default()
        }
    }
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

/// From so many writes on, those that a commit answered are given time to come back with their next one: half as long as the
/// commit took. Without it they and those that waited meanwhile go on in two halves, each of which writes its pages by itself; as long
/// as the commit itself, it leaves the cores idle. PostgreSQL's `commit_siblings` and `commit_delay` are the same.
const COMPANY: usize = 8;
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// What stands in the queue.
#[derive(Debug)]
pub(super) enum Job {
    Write(Box<Write>, Waiter),
    /// Commit what stands before this, refuse what comes after, close the store, and end.
    Close,
}

/// Told what became of its write, and where that commit stands; and given the write back.
type Waiter = oneshot::Sender<(Result<(Written, Option<Position>), StoreError>, Write)>;

/// Starts the thread that [`run`]s, in a runtime of its own. What is returned is told when it has ended.
pub(super) fn start(
    store: Arc<dyn Store>,
    cache: Arc<Cache>,
    options: Options,
    queue: mpsc::Receiver<Job>,
) -> oneshot::Receiver<()> {
    let (tell, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the system has descriptors for one more runtime");
    std::thread::Builder::new()
        .name("relay-committer".to_owned())
        .spawn(move || {
            runtime.block_on(run(store, cache, options, queue));
            drop(runtime);
            let _ = tell.send(());
        })
        .expect("the system has room for one more thread");
    ended
}

/// Runs until [`Job::Close`] or until every sender is gone.
async fn run(
    store: Arc<dyn Store>,
    cache: Arc<Cache>,
    options: Options,
    mut queue: mpsc::Receiver<Job>,
) {
    let mut waiting = VecDeque::new();
    let mut together = Instant::now();
    loop {
        if waiting.is_empty() {
            match queue.recv().await {
                Some(job) => waiting.push_back(job),
                None => return,
            }
        }
        if waiting.len() < options.batch_rows {
            std::thread::sleep(together.saturating_duration_since(Instant::now()));
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
        let began = Instant::now();
        let length = batch.len();
        commit(&*store, &cache, &options, batch, waiters).await;
        if length >= COMPANY {
            together = Instant::now() + (began.elapsed() / 2).min(LONGEST_PAUSE);
        }
    }
    queue.close();
    // Nobody can send any more; what came in after the closing is told so.
    while let Some(job) = queue.recv().await {
        waiting.push_back(job);
    }
    for job in waiting {
        if let Job::Write(write, waiter) = job {
            let _ = waiter.send((Err(closed()), *write));
        }
    }
    // Here, where the connection that writes was opened, and whose runtime ends with this.
    store.close().await;
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

/// Commits one batch. Each waiter is told its own result once that is durable.
async fn commit(
    store: &dyn Store,
    cache: &Arc<Cache>,
    options: &Options,
    batch: Vec<Write>,
    waiters: Vec<Waiter>,
) {
    telemetry::metrics::commit(batch.len());
    let results: Vec<Result<Written, StoreError>> = match store.write(&batch).await {
        Ok((applied, durable)) => {
            let position = or_newest(store, applied.position).await;
            let cache = cache.clone();
            durable.then(move |flushed| {
                let result = |written| flushed.clone().map(|()| written);
                let results = applied.written.into_iter().map(result).collect();
                tell(&cache, batch, waiters, results, position);
            });
            return;
        }
        Err(StoreError::CommitUnknown(words)) => {
            find_out(store, options.look_ups, &batch, words).await
        }
        Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
    };
    let position = match results.iter().any(Result::is_ok) {
        true => or_newest(store, None).await,
        false => None,
    };
    tell(cache, batch, waiters, results, position);
}

/// A connection that was lost took the commit's own position with it; the newest one covers it.
async fn or_newest(store: &dyn Store, position: Option<Position>) -> Option<Position> {
    match position {
        None => store.position().await.unwrap_or_default(),
        known => known,
    }
}

/// The cache first, then who waits.
fn tell(
    cache: &Cache,
    batch: Vec<Write>,
    waiters: Vec<Waiter>,
    results: Vec<Result<Written, StoreError>>,
    position: Option<Position>,
) {
    for (write, result) in batch.iter().zip(&results) {
        remember(cache, write, result);
        count(write, result);
    }
    for ((waiter, result), write) in waiters.into_iter().zip(results).zip(batch) {
        let result = result.and_then(|written| match written {
            Written::Invalid(words) => Err(StoreError::Invalid(words)),
            written => Ok((written, position)),
        });
        // A waiter that is gone needs no answer; its row stands.
        let _ = waiter.send((result, write));
    }
}

/// Counts an operation that reached a state.
fn count(write: &Write, result: &Result<Written, StoreError>) {
    match (write, result) {
        (Write::Begin(_), Ok(Written::Begun(Begun::Started))) => {
            telemetry::metrics::operation(State::Pending.name());
        }
        (Write::Finish(outcome), Ok(Written::Finished(Finished::Done))) => {
            telemetry::metrics::operation(outcome.state.name());
        }
        _ => {}
    }
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
                        cache.committed(&made_by(row, outcome.id));
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
        | Write::RecordHostKey(_)
        | Write::ForgetHostKey { .. }
        | Write::Audit { .. } => {}
    }
}
