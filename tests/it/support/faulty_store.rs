//! A store that something happens to: the process dies, the database goes away, a commit's answer is
//! lost; right before a batch is applied, or right after it is durable.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cmp_relay::store::{
    Applied, Async, Audit, Claim, CountOf, HostKeyRow, Mapping, MappingFilter, ObjectCount,
    ObjectKey, Operation, OperationFilter, OperationId, Position, State, Store, StoreError, Write,
};

/// Every commit has its place, as in a binary log: a number that grows, over all stores.
static COMMITS: AtomicU64 = AtomicU64::new(0);

fn at(sequence: u64) -> Position {
    Position {
        domain: 0,
        server: 1,
        sequence,
    }
}

/// When, seen from the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    Before,
    After,
    /// An operation is read by its id; there is no batch.
    Reading,
}

/// What happens at a moment; an error is what the caller is told.
pub type Happening = Arc<dyn Fn(Moment, &[Write]) -> Option<StoreError> + Send + Sync>;

pub struct FaultyStore {
    pub inner: Arc<dyn Store>,
    pub happening: Happening,
}

impl Store for FaultyStore {
    fn apply<'a>(&'a self, batch: &'a [Write]) -> Async<'a, Result<Applied, StoreError>> {
        Box::pin(async move {
            if let Some(error) = (self.happening)(Moment::Before, batch) {
                return Err(error);
            }
            let applied = self.inner.apply(batch).await?;
            let sequence = COMMITS.fetch_add(1, Ordering::SeqCst) + 1;
            let position = Some(at(sequence));
            match (self.happening)(Moment::After, batch) {
                Some(error) => Err(error),
                None => Ok(Applied {
                    position,
                    ..applied
                }),
            }
        })
    }

    fn position(&self) -> Async<'_, Result<Option<Position>, StoreError>> {
        let newest = at(COMMITS.load(Ordering::SeqCst));
        Box::pin(std::future::ready(Ok(Some(newest))))
    }

    fn mappings<'a>(
        &'a self,
        keys: &'a [ObjectKey],
    ) -> Async<'a, Result<Vec<Option<Mapping>>, StoreError>> {
        self.inner.mappings(keys)
    }

    fn mappings_of_object<'a>(
        &'a self,
        resource: &'a str,
        cmp_id: &'a str,
    ) -> Async<'a, Result<Vec<Mapping>, StoreError>> {
        self.inner.mappings_of_object(resource, cmp_id)
    }

    fn mappings_by_backend_id<'a>(
        &'a self,
        resource: &'a str,
        backend: &'a str,
        backend_ids: &'a [String],
    ) -> Async<'a, Result<Vec<Option<Mapping>>, StoreError>> {
        self.inner
            .mappings_by_backend_id(resource, backend, backend_ids)
    }

    fn list_mappings<'a>(
        &'a self,
        filter: &'a MappingFilter,
    ) -> Async<'a, Result<Vec<Mapping>, StoreError>> {
        self.inner.list_mappings(filter)
    }

    fn count_by_backend(&self) -> Async<'_, Result<Vec<(String, u64)>, StoreError>> {
        self.inner.count_by_backend()
    }

    fn count_mappings<'a>(
        &'a self,
        of: &'a CountOf,
    ) -> Async<'a, Result<Vec<ObjectCount>, StoreError>> {
        self.inner.count_mappings(of)
    }

    fn count_unsettled(&self) -> Async<'_, Result<Vec<ObjectCount>, StoreError>> {
        self.inner.count_unsettled()
    }

    fn operation(&self, id: OperationId) -> Async<'_, Result<Option<Operation>, StoreError>> {
        match (self.happening)(Moment::Reading, &[]) {
            Some(error) => Box::pin(std::future::ready(Err(error))),
            None => self.inner.operation(id),
        }
    }

    fn operation_by_key<'a>(
        &'a self,
        client: &'a str,
        key: &'a str,
    ) -> Async<'a, Result<Option<Operation>, StoreError>> {
        self.inner.operation_by_key(client, key)
    }

    fn operation_by_claim(&self, claim: Claim) -> Async<'_, Result<Option<Operation>, StoreError>> {
        self.inner.operation_by_claim(claim)
    }

    fn list_operations<'a>(
        &'a self,
        filter: &'a OperationFilter,
    ) -> Async<'a, Result<Vec<Operation>, StoreError>> {
        self.inner.list_operations(filter)
    }

    fn host_keys(&self) -> Async<'_, Result<Vec<HostKeyRow>, StoreError>> {
        self.inner.host_keys()
    }

    fn list_audit(&self, limit: u32) -> Async<'_, Result<Vec<Audit>, StoreError>> {
        self.inner.list_audit(limit)
    }

    fn count_by_state(&self) -> Async<'_, Result<Vec<(State, u64)>, StoreError>> {
        self.inner.count_by_state()
    }

    fn fingerprint_key(&self) -> Async<'_, Result<[u8; 32], StoreError>> {
        self.inner.fingerprint_key()
    }

    fn migrate(&self) -> Async<'_, Result<Vec<String>, StoreError>> {
        self.inner.migrate()
    }

    fn check_schema(&self) -> Async<'_, Result<(), StoreError>> {
        self.inner.check_schema()
    }

    fn is_writable(&self) -> Async<'_, Result<bool, StoreError>> {
        self.inner.is_writable()
    }

    fn close(&self) -> Async<'_, ()> {
        self.inner.close()
    }
}
