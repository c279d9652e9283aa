//! What the relay uses of the store: grouped writes, cached mapping reads.

use std::sync::Arc;

use super::{
    Begun, Finished, Intent, Mapping, ObjectKey, Outcome, Store, StoreError, Write, Written,
};

/// The store behind its committer and its cache. Cheap to clone.
#[derive(Clone)]
pub struct Journal {
    store: Arc<dyn Store>,
}

impl Journal {
    /// Starts the committer task over `store`.
    pub fn start(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// The reads that the cache does not serve.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Writes an intent; returns once it is durable.
    pub async fn begin(&self, _intent: Intent) -> Result<Begun, StoreError> {
        unimplemented!()
    }

    /// Writes an outcome; returns once it is durable. A commit whose result is unknown has been
    /// read back by id before this returns (SEMANTICS 6).
    pub async fn finish(&self, _outcome: Outcome) -> Result<Finished, StoreError> {
        unimplemented!()
    }

    /// Any other write, through the same committer.
    pub async fn write(&self, _write: Write) -> Result<Written, StoreError> {
        unimplemented!()
    }

    /// A mapping, from memory where it is known there (SEMANTICS 24: absence never is).
    pub async fn mapping(&self, _key: &ObjectKey) -> Result<Option<Arc<Mapping>>, StoreError> {
        unimplemented!()
    }

    /// Several mappings by backend id on one backend, in their order, from memory where known.
    pub async fn mappings_by_backend_id(
        &self,
        _resource: &str,
        _backend: &str,
        _backend_ids: &[String],
    ) -> Result<Vec<Option<Arc<Mapping>>>, StoreError> {
        unimplemented!()
    }

    /// Empties the cache: at every change of role.
    pub fn forget_cached(&self) {
        unimplemented!()
    }

    /// Stops taking writes, commits what waits, closes the store.
    pub async fn close(&self) {
        unimplemented!()
    }
}
