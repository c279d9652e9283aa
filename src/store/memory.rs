//! The store in memory: for what is only tried (`trial`). It keeps nothing and shares everything that
//! decides: the rules are those of the databases.
//!
//! A database loads a ledger for each batch; here one ledger is the tables. What was asked of the
//! mapping table is remembered, so that a trial can say which rows a request read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ledger::Ledger;
use super::{
    Applied, Async, Audit, Claim, CountOf, HostKeyRow, Mapping, MappingFilter, ObjectCount,
    ObjectKey, Operation, OperationFilter, OperationId, Position, State, Store, StoreError, Write,
    Written, decide, rules,
};

/// The tables, and what was asked of them.
#[derive(Debug, Default)]
pub struct MemoryStore {
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    ledger: Ledger,
    host_keys: BTreeMap<String, HostKeyRow>,
    asked: Vec<Asked>,
    intent: Option<Operation>,
}

/// A question to the mapping table, and its answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Asked {
    /// Where is this CMP object?
    Object {
        key: ObjectKey,
        found: Option<Mapping>,
    },
    /// Which CMP object is this object of a backend?
    BackendId {
        resource: String,
        backend: String,
        backend_id: String,
        found: Option<Mapping>,
    },
}

impl MemoryStore {
    /// Forgets everything and holds these rows.
    pub fn hold(&self, rows: Vec<Mapping>) {
        let mut tables = Tables::default();
        for row in rows {
            tables.ledger.load_mapping(Arc::new(row));
        }
        *self.lock() = tables;
    }

    /// What was asked of the mapping table since, each question once, in order.
    pub fn asked(&self) -> Vec<Asked> {
        self.lock().asked.clone()
    }

    /// The last operation that was begun, as its intent wrote it.
    pub fn intent(&self) -> Option<Operation> {
        self.lock().intent.clone()
    }

    /// An operation as it is now.
    pub fn row(&self, id: OperationId) -> Option<Operation> {
        self.lock().ledger.operation(id).cloned()
    }

    /// Every mapping, in the order of the keys.
    pub fn rows(&self) -> Vec<Mapping> {
        let mut rows: Vec<_> = self.lock().ledger.mappings().cloned().collect();
        rows.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        rows
    }

    // Nothing panics while it holds the lock, and a write that fails leaves the ledger as it was.
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers at once.
    fn answer<'a, T: Send + 'a>(
        &self,
        read: impl FnOnce(&mut Tables) -> T,
    ) -> Async<'a, Result<T, StoreError>> {
        let answer = read(&mut self.lock());
        Box::pin(std::future::ready(Ok(answer)))
    }
}

impl Tables {
    fn write(&mut self, write: &Write) -> Written {
        match write {
            Write::ExpirePending { now, owned } => {
                let overdue = |row: &Operation| row.deadline < *now && !owned.contains(&row.id);
                let why = "the request's deadline passed and no outcome was recorded";
                self.abandon(overdue, *now, why)
            }
            Write::RecoverPending { now, owned } => {
                let why = "the relay stopped before the outcome was recorded";
                self.abandon(|row| !owned.contains(&row.id), *now, why)
            }
            Write::Prune { before, limit } => self.prune(*before, *limit),
            Write::RecordHostKey(row) => {
                let known = self.host_keys.contains_key(&row.backend);
                if !known {
                    self.host_keys.insert(row.backend.clone(), row.clone());
                }
                Written::Count(u64::from(!known))
            }
            Write::ForgetHostKey { backend, by, at } => {
                let removed = self.host_keys.remove(backend);
                if let Some(row) = &removed {
                    self.ledger
                        .audit(by, HostKeyRow::FORGET, row.forgotten(), *at);
                }
                Written::Count(u64::from(removed.is_some()))
            }
            named => {
                if let Write::Begin(intent) = named {
                    self.intent = Some(intent.operation.clone());
                }
                decide::one(&mut self.ledger, named)
            }
        }
    }

    fn abandon(&mut self, which: impl Fn(&Operation) -> bool, now: i64, why: &str) -> Written {
        let pending = |row: &&Operation| row.state == State::Pending && which(row);
        let found: Vec<_> = self.ledger.operations().filter(pending).cloned().collect();
        let count = found.len() as u64;
        for row in found {
            self.ledger
                .put_operation(Box::new(rules::abandon(row, now, why)));
        }
        Written::Count(count)
    }

    fn prune(&mut self, before: i64, limit: u32) -> Written {
        let settled = |row: &&Operation| {
            matches!(row.state, State::Succeeded | State::Failed)
                && row.created_at < before
                && row.finished_at.is_some_and(|at| at < before)
        };
        let mut oldest: Vec<_> = self
            .ledger
            .operations()
            .filter(settled)
            .map(|row| (row.created_at, row.id))
            .collect();
        oldest.sort_unstable();
        oldest.truncate(limit as usize);
        for (_, id) in &oldest {
            self.ledger.remove_operation(*id);
        }
        Written::Count(oldest.len() as u64)
    }

    fn ask(&mut self, asked: Asked) {
        if !self.asked.contains(&asked) {
            self.asked.push(asked);
        }
    }

    fn mapping(&mut self, key: &ObjectKey) -> Option<Mapping> {
        let found = self.ledger.mapping(key).cloned();
        self.ask(Asked::Object {
            key: key.clone(),
            found: found.clone(),
        });
        found
    }

    fn by_backend_id(&mut self, resource: &str, backend: &str, id: &str) -> Option<Mapping> {
        let key = (resource.to_owned(), backend.to_owned(), id.to_owned());
        let found = self.ledger.by_backend_id(&key).cloned();
        let (resource, backend, backend_id) = key;
        self.ask(Asked::BackendId {
            resource,
            backend,
            backend_id,
            found: found.clone(),
        });
        found
    }
}

fn is(wanted: Option<&str>, found: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == found)
}

/// How often each resource is on each backend, in the order of their names.
fn object_counts(rows: impl Iterator<Item = (String, String)>) -> Vec<ObjectCount> {
    let counts = counted(rows).into_iter();
    counts
        .map(|((resource, backend), count)| ObjectCount {
            resource,
            backend,
            count,
        })
        .collect()
}

/// How many of each, in order.
fn counted<T: Ord>(found: impl Iterator<Item = T>) -> Vec<(T, u64)> {
    let mut counts = BTreeMap::new();
    found.for_each(|one| *counts.entry(one).or_default() += 1);
    counts.into_iter().collect()
}

impl Store for MemoryStore {
    fn apply<'a>(&'a self, batch: &'a [Write]) -> Async<'a, Result<Applied, StoreError>> {
        self.answer(|tables| Applied {
            written: batch.iter().map(|write| tables.write(write)).collect(),
            position: None,
        })
    }

    fn position(&self) -> Async<'_, Result<Option<Position>, StoreError>> {
        self.answer(|_| None)
    }

    fn mappings<'a>(
        &'a self,
        keys: &'a [ObjectKey],
    ) -> Async<'a, Result<Vec<Option<Mapping>>, StoreError>> {
        self.answer(|tables| keys.iter().map(|key| tables.mapping(key)).collect())
    }

    fn mappings_of_object<'a>(
        &'a self,
        resource: &'a str,
        cmp_id: &'a str,
    ) -> Async<'a, Result<Vec<Mapping>, StoreError>> {
        let mut rows = self.rows();
        rows.retain(|row| row.key.resource == resource && row.key.cmp_id == cmp_id);
        self.answer(|_| rows)
    }

    fn mappings_by_backend_id<'a>(
        &'a self,
        resource: &'a str,
        backend: &'a str,
        backend_ids: &'a [String],
    ) -> Async<'a, Result<Vec<Option<Mapping>>, StoreError>> {
        self.answer(|tables| {
            let ids = backend_ids.iter();
            ids.map(|id| tables.by_backend_id(resource, backend, id))
                .collect()
        })
    }

    fn list_mappings<'a>(
        &'a self,
        filter: &'a MappingFilter,
    ) -> Async<'a, Result<Vec<Mapping>, StoreError>> {
        let mut rows = self.rows();
        rows.retain(|row| {
            is(filter.resource.as_deref(), &row.key.resource)
                && is(filter.cmp_id.as_deref(), &row.key.cmp_id)
                && is(filter.backend.as_deref(), &row.backend)
                && (filter.backend_id.is_none() || filter.backend_id == row.backend_id)
                && filter.after.as_ref().is_none_or(|after| row.key > *after)
        });
        rows.truncate(filter.limit as usize);
        self.answer(|_| rows)
    }

    fn count_by_backend(&self) -> Async<'_, Result<Vec<(String, u64)>, StoreError>> {
        self.answer(|tables| counted(tables.ledger.mappings().map(|row| row.backend.clone())))
    }

    fn count_mappings<'a>(
        &'a self,
        of: &'a CountOf,
    ) -> Async<'a, Result<Vec<ObjectCount>, StoreError>> {
        self.answer(|tables| {
            let rows = tables.ledger.mappings().filter(|row| match of {
                CountOf::All => true,
                CountOf::Resource(name) => row.key.resource == *name,
                CountOf::Backend(name) => row.backend == *name,
            });
            object_counts(rows.map(|row| (row.key.resource.clone(), row.backend.clone())))
        })
    }

    fn count_unsettled(&self) -> Async<'_, Result<Vec<ObjectCount>, StoreError>> {
        self.answer(|tables| {
            let unsettled = |row: &&Operation| matches!(row.state, State::Pending | State::Unknown);
            let rows = tables.ledger.operations().filter(unsettled);
            object_counts(rows.map(|row| (row.object.resource.clone(), row.backend.clone())))
        })
    }

    fn operation(&self, id: OperationId) -> Async<'_, Result<Option<Operation>, StoreError>> {
        self.answer(|tables| tables.ledger.operation(id).cloned())
    }

    fn operation_by_key<'a>(
        &'a self,
        client: &'a str,
        key: &'a str,
    ) -> Async<'a, Result<Option<Operation>, StoreError>> {
        self.answer(|tables| tables.ledger.operation_by_key(client, key).cloned())
    }

    fn operation_by_claim(&self, claim: Claim) -> Async<'_, Result<Option<Operation>, StoreError>> {
        self.answer(|tables| tables.ledger.holder(&claim).cloned())
    }

    fn list_operations<'a>(
        &'a self,
        filter: &'a OperationFilter,
    ) -> Async<'a, Result<Vec<Operation>, StoreError>> {
        self.answer(|tables| {
            let mut rows: Vec<_> = tables.ledger.operations().cloned().collect();
            rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.id));
            rows.retain(|row| {
                filter.state.is_none_or(|state| state == row.state)
                    && is(filter.client.as_deref(), &row.client)
                    && (filter.idempotency_key.is_none()
                        || filter.idempotency_key == row.idempotency_key)
                    && is(filter.resource.as_deref(), &row.object.resource)
                    && is(filter.cmp_id.as_deref(), &row.object.cmp_id)
                    && is(filter.route.as_deref(), &row.route)
                    && is(filter.backend.as_deref(), &row.backend)
                    && filter.before.is_none_or(|before| row.id < before)
            });
            rows.truncate(filter.limit as usize);
            rows
        })
    }

    fn host_keys(&self) -> Async<'_, Result<Vec<HostKeyRow>, StoreError>> {
        self.answer(|tables| tables.host_keys.values().cloned().collect())
    }

    fn list_audit(&self, limit: u32) -> Async<'_, Result<Vec<Audit>, StoreError>> {
        self.answer(|tables| {
            let newest = tables.ledger.audits().iter().rev();
            newest.take(limit as usize).cloned().collect()
        })
    }

    fn count_by_state(&self) -> Async<'_, Result<Vec<(State, u64)>, StoreError>> {
        self.answer(|tables| {
            let named = counted(tables.ledger.operations().map(|row| row.state.name()));
            named
                .into_iter()
                .filter_map(|(name, count)| Some((State::parse(name)?, count)))
                .collect()
        })
    }

    /// Nothing outlives the process, so nobody can read a fingerprint to guess what it is of.
    fn fingerprint_key(&self) -> Async<'_, Result<[u8; 32], StoreError>> {
        self.answer(|_| [0; 32])
    }

    fn migrate(&self) -> Async<'_, Result<Vec<String>, StoreError>> {
        self.answer(|_| Vec::new())
    }

    fn check_schema(&self) -> Async<'_, Result<(), StoreError>> {
        self.answer(|_| ())
    }

    fn is_writable(&self) -> Async<'_, Result<bool, StoreError>> {
        self.answer(|_| true)
    }

    fn close(&self) -> Async<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}
