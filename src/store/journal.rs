//! What the relay uses of the store: grouped writes, cached mapping reads.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::cache::Cache;
use super::committer::{self, Job, Options};
use super::{
    Begun, Finished, Intent, Mapping, ObjectKey, Operation, Outcome, Position, Settled, Store,
    StoreError, Write, Written,
};
use crate::clock::Boottime;

/// How long a write may take. It bounds what no database bounds: a local disk that hangs, and the committer in it.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// For so long a key that was repeated makes others likely. Each that is not looked up has a batch run twice, which is cheap
/// now and then, and dearer than a question for each create from some ten a second on.
const A_MOMENT: Duration = Duration::from_millis(100);

/// The store behind its committer and its cache. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
    cache: Arc<Cache>,
    /// When a key was found that a client repeated, by [`millis`].
    repeated: Arc<AtomicU64>,
    queue: mpsc::Sender<Job>,
    /// Told when the committer has ended.
    ended: Arc<Mutex<Option<oneshot::Receiver<()>>>>,
}

fn millis() -> u64 {
    u64::try_from(Boottime::now().since_boot().as_millis()).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

impl Journal {
    /// Starts the committer over `store`.
    pub fn start(store: Arc<dyn Store>) -> Self {
        Self::start_with(store, Options::default())
    }

    /// As [`Journal::start`], with other bounds.
    pub fn start_with(store: Arc<dyn Store>, options: Options) -> Self {
        let cache = Arc::new(Cache::new(options.cached_mappings));
        let (queue, jobs) = mpsc::channel(options.queue.max(1));
        let ended = committer::start(store.clone(), cache.clone(), options, jobs);
        Self {
            repeated: Arc::new(AtomicU64::new(0)),
            store,
            cache,
            queue,
            ended: Arc::new(Mutex::new(Some(ended))),
        }
    }

    /// The reads that the cache does not serve.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Writes an intent; returns once it is durable. A caller that goes away before does not take the
    /// intent back: what was queued is written. Beside it: where its commit stands.
    pub async fn begin(
        &self,
        intent: impl Into<Arc<Intent>>,
    ) -> Result<(Begun, Option<Position>), StoreError> {
        match self.commit(Write::Begin(intent.into())).await? {
            (Written::Begun(begun), position) => Ok((begun, position)),
            (other, _) => Err(mismatch(&other)),
        }
    }

    /// Writes an outcome; returns once it is durable. A commit whose result is unknown has been
    /// read back by id before this returns (SEMANTICS 6). Beside it: where its commit stands.
    pub async fn finish(
        &self,
        outcome: impl Into<Arc<Outcome>>,
    ) -> Result<(Finished, Option<Position>), StoreError> {
        match self.commit(Write::Finish(outcome.into())).await? {
            (Written::Finished(finished), position) => Ok((finished, position)),
            (other, _) => Err(mismatch(&other)),
        }
    }

    /// Settles, adopts or forgets, through the same committer. Beside it: where its commit stands.
    pub async fn administer(
        &self,
        write: Write,
    ) -> Result<(Settled, Option<Position>), StoreError> {
        match self.commit(write).await? {
            (Written::Settled(settled), position) => Ok((settled, position)),
            (other, _) => Err(mismatch(&other)),
        }
    }

    /// Any other write, through the same committer.
    pub async fn write(&self, write: Write) -> Result<Written, StoreError> {
        self.commit(write).await.map(|(written, _)| written)
    }

    async fn commit(&self, write: Write) -> Result<(Written, Option<Position>), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.queue
            .send(Job::Write(Box::new(write), answer))
            .await
            .map_err(|_| committer::closed())?;
        let unknown = |words: &str| Err(StoreError::CommitUnknown(words.to_owned()));
        match timeout(ANSWER_WITHIN, answered).await {
            // The write is dropped where it was made, which is what an allocator is quickest at.
            Ok(Ok((answer, _))) => answer,
            // A committer that died with the write in hand says nothing of it.
            Ok(Err(_)) => unknown("the committer ended before it answered"),
            Err(_) => unknown("the database does not answer"),
        }
    }

    /// The operation that a client began with this key.
    pub async fn operation_by_key(
        &self,
        client: &str,
        key: &str,
    ) -> Result<Option<Operation>, StoreError> {
        let found = self.store.operation_by_key(client, key).await;
        if let Ok(Some(_)) = found {
            self.repeated.store(millis(), Ordering::Relaxed);
        }
        found
    }

    /// Whether a client repeated a key of its own a moment ago.
    pub fn keys_come_again(&self) -> bool {
        let repeated = self.repeated.load(Ordering::Relaxed);
        millis() < repeated.saturating_add(A_MOMENT.as_millis() as u64)
    }

    /// Where the newest commit stands, which covers every row that was read before; `None` without a standby, and
    /// where the database does not say.
    pub async fn position(&self) -> Option<Position> {
        self.store.position().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the position of the newest commit could not be read");
            None
        })
    }

    /// A mapping that is in memory; `None` says nothing of the table.
    pub fn remembered(&self, key: &ObjectKey) -> Option<Arc<Mapping>> {
        self.cache.get(key)
    }

    /// A mapping, from memory where it is known there (SEMANTICS 24: absence never is).
    pub async fn mapping(&self, key: &ObjectKey) -> Result<Option<Arc<Mapping>>, StoreError> {
        if let Some(row) = self.cache.get(key) {
            return Ok(Some(row));
        }
        let start = self.cache.read_start();
        let found = self.store.mappings(std::slice::from_ref(key)).await?;
        let row = found.into_iter().next().flatten().map(Arc::new);
        if let Some(row) = &row {
            self.cache.fill(start, row);
        }
        Ok(row)
    }

    /// Several mappings, in the order of their keys, from memory where known.
    pub async fn mappings(
        &self,
        keys: &[ObjectKey],
    ) -> Result<Vec<Option<Arc<Mapping>>>, StoreError> {
        let mut rows: Vec<_> = keys.iter().map(|key| self.cache.get(key)).collect();
        let missing: Vec<usize> = absent(&rows);
        if missing.is_empty() {
            return Ok(rows);
        }
        let wanted: Vec<_> = missing.iter().map(|index| keys[*index].clone()).collect();
        let start = self.cache.read_start();
        let found = self.store.mappings(&wanted).await?;
        self.merge(start, &mut rows, missing, found);
        Ok(rows)
    }

    /// Several mappings by backend id on one backend, in their order, from memory where known.
    pub async fn mappings_by_backend_id(
        &self,
        resource: &str,
        backend: &str,
        backend_ids: &[String],
    ) -> Result<Vec<Option<Arc<Mapping>>>, StoreError> {
        let known = |id: &String| self.cache.get_by_backend_id(resource, backend, id);
        let mut rows: Vec<_> = backend_ids.iter().map(known).collect();
        let missing = absent(&rows);
        if missing.is_empty() {
            return Ok(rows);
        }
        let wanted: Vec<_> = missing
            .iter()
            .map(|index| backend_ids[*index].clone())
            .collect();
        let start = self.cache.read_start();
        let found = self
            .store
            .mappings_by_backend_id(resource, backend, &wanted)
            .await?;
        self.merge(start, &mut rows, missing, found);
        Ok(rows)
    }

    fn merge(
        &self,
        start: super::cache::ReadStart,
        rows: &mut [Option<Arc<Mapping>>],
        missing: Vec<usize>,
        found: Vec<Option<Mapping>>,
    ) {
        for (index, row) in missing.into_iter().zip(found) {
            let row = row.map(Arc::new);
            if let Some(row) = &row {
                self.cache.fill(start, row);
            }
            rows[index] = row;
        }
    }

    /// Empties the cache: at every change of role.
    pub fn forget_cached(&self) {
        self.cache.clear();
    }

    /// Stops taking writes, commits what waits, closes the store.
    pub async fn close(&self) {
        // A committer that has ended already takes no job, and needs none.
        let _ = self.queue.send(Job::Close).await;
        let ended = self
            .ended
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(ended) = ended
            && ended.await.is_err()
        {
            tracing::error!("the committer panicked");
            self.store.close().await;
        }
    }
}

fn absent(rows: &[Option<Arc<Mapping>>]) -> Vec<usize> {
    let places = rows.iter().enumerate();
    places
        .filter(|(_, row)| row.is_none())
        .map(|(index, _)| index)
        .collect()
}

fn mismatch(written: &Written) -> StoreError {
    StoreError::Unavailable(format!("the store answered another write: {written:?}"))
}
