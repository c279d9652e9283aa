//! The rows that one batch touches, in memory: loaded and locked first, written back at the end.
//!
//! It keeps what the unique indexes keep (keys, claims, backend ids), so that the rules can ask for a
//! row the way the tables would. What was not loaded does not exist here: `sql::tables` loads every
//! row that a rule may ask for.

use std::sync::Arc;

// Maps of at most a few hundred rows, built for each batch: quick hashes, not such that no client can choose.
use foldhash::{HashMap, HashSet};
use uuid::Uuid;

use super::{Audit, Claim, Mapping, ObjectKey, Operation, OperationId};

/// `(resource, backend, backend_id)`: unique where the backend id is known.
pub(super) type BackendKey = (String, String, String);

/// The rows of one batch.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    operations: HashMap<OperationId, Box<Operation>>,
    /// By client and key.
    by_key: HashMap<(String, String), OperationId>,
    by_claim: HashMap<Claim, OperationId>,
    mappings: HashMap<ObjectKey, Arc<Mapping>>,
    by_backend: HashMap<BackendKey, ObjectKey>,
    /// What the tables hold already.
    stored_operations: HashSet<OperationId>,
    /// Those of them that were not read: the table is believed to hold them as they were committed.
    believed: HashSet<OperationId>,
    stored_mappings: HashSet<ObjectKey>,
    /// What the batch changed, the place of its first change, and whether more than an outcome did.
    touched_operations: HashMap<OperationId, (usize, bool)>,
    touched_mappings: HashMap<ObjectKey, usize>,
    audits: Vec<Audit>,
}

/// What is to be written, in an order that breaks no unique index on the way.
#[derive(Debug, Default)]
pub(super) struct Changes<'l> {
    pub(super) delete_mappings: Vec<&'l ObjectKey>,
    /// Those of which only what an outcome changes is to be written.
    pub(super) settle_operations: Vec<&'l Operation>,
    /// The same of those that were believed to be pending, which is to be compared.
    pub(super) finish_operations: Vec<&'l Operation>,
    pub(super) replace_operations: Vec<&'l Operation>,
    pub(super) insert_operations: Vec<&'l Operation>,
    pub(super) update_mappings: Vec<&'l Mapping>,
    pub(super) insert_mappings: Vec<&'l Mapping>,
    pub(super) audits: &'l [Audit],
}

impl Ledger {
    /// A row as the table holds it.
    pub(super) fn load_operation(&mut self, row: Box<Operation>) {
        if self.stored_operations.insert(row.id) {
            self.index_operation(row);
        }
    }

    /// A pending row as this store committed it, which was not read since.
    pub(super) fn believe_operation(&mut self, row: Box<Operation>) {
        self.believed.insert(row.id);
        self.load_operation(row);
    }

    /// A row as the table holds it.
    pub(super) fn load_mapping(&mut self, row: Arc<Mapping>) {
        if self.stored_mappings.insert(row.key.clone()) {
            self.index_mapping(row);
        }
    }

    pub(super) fn operation(&self, id: OperationId) -> Option<&Operation> {
        self.operations.get(&id).map(Box::as_ref)
    }

    pub(super) fn operation_by_key(&self, client: &str, key: &str) -> Option<&Operation> {
        self.by_key
            .get(&(client.to_owned(), key.to_owned()))
            .and_then(|id| self.operation(*id))
    }

    pub(super) fn holder(&self, claim: &Claim) -> Option<&Operation> {
        self.by_claim.get(claim).and_then(|id| self.operation(*id))
    }

    pub(super) fn mapping(&self, key: &ObjectKey) -> Option<&Mapping> {
        self.mappings.get(key).map(Arc::as_ref)
    }

    /// A row, to be put back as it is.
    pub(super) fn shared_mapping(&self, key: &ObjectKey) -> Option<Arc<Mapping>> {
        self.mappings.get(key).cloned()
    }

    pub(super) fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.values().map(Box::as_ref)
    }

    pub(super) fn into_operations(self) -> impl Iterator<Item = Box<Operation>> {
        self.operations.into_values()
    }

    pub(super) fn mappings(&self) -> impl Iterator<Item = &Mapping> {
        self.mappings.values().map(Arc::as_ref)
    }

    pub(super) fn audits(&self) -> &[Audit] {
        &self.audits
    }

    /// The row that has this backend id.
    pub(super) fn by_backend_id(&self, key: &BackendKey) -> Option<&Mapping> {
        self.by_backend.get(key).and_then(|key| self.mapping(key))
    }

    /// The row of another object than `mapping`'s that has its backend id.
    pub(super) fn rival(&self, mapping: &Mapping) -> Option<&Mapping> {
        self.by_backend_id(&backend_key(mapping)?)
            .filter(|row| row.key != mapping.key)
    }

    /// Inserts or replaces a row.
    pub(super) fn put_operation(&mut self, row: Box<Operation>) {
        self.change_operation(row, true);
    }

    /// Changes no more of a row than an outcome does: its state, its claim, its reply, and what goes with them.
    pub(super) fn settle_operation(&mut self, row: Box<Operation>) {
        self.change_operation(row, false);
    }

    fn change_operation(&mut self, row: Box<Operation>, whole: bool) {
        let place = self.touched_operations.len();
        let (_, touched) = self
            .touched_operations
            .entry(row.id)
            .or_insert((place, whole));
        *touched |= whole;
        self.take_operation(row.id);
        self.index_operation(row);
    }

    /// Takes a row in hand, to be changed and put back.
    pub(super) fn take_operation(&mut self, id: OperationId) -> Option<Box<Operation>> {
        let row = self.operations.remove(&id)?;
        self.by_claim
            .retain_other(row.claim.as_ref(), |owner| *owner == id);
        Some(row)
    }

    /// Takes a row out, where the ledger itself is the table.
    pub(super) fn remove_operation(&mut self, id: OperationId) {
        let Some(old) = self.take_operation(id) else {
            return;
        };
        let Operation {
            idempotency_key,
            client,
            ..
        } = *old;
        let key = idempotency_key.map(|key| (client, key));
        self.by_key.retain_other(key.as_ref(), |owner| *owner == id);
    }

    /// Inserts or changes a row.
    pub(super) fn put_mapping(&mut self, row: Arc<Mapping>) {
        self.remove_mapping(&row.key);
        self.index_mapping(row);
    }

    /// Deletes a row; says whether there was one.
    pub(super) fn remove_mapping(&mut self, key: &ObjectKey) -> bool {
        if !self.touched_mappings.contains_key(key) {
            self.touched_mappings
                .insert(key.clone(), self.touched_mappings.len());
        }
        let old = self.mappings.remove(key);
        if let Some(index) = old.as_deref().and_then(backend_key) {
            self.by_backend
                .retain_other(Some(&index), |owner| owner == key);
        }
        old.is_some()
    }

    pub(super) fn audit(&mut self, by: &str, action: &str, detail: String, at: i64) {
        self.audits.push(Audit {
            id: Uuid::now_v7(),
            at,
            by: by.to_owned(),
            action: action.to_owned(),
            detail,
        });
    }

    /// Everything that differs from the tables.
    pub(super) fn changes(&self) -> Changes<'_> {
        let mut changes = Changes {
            audits: &self.audits,
            ..Changes::default()
        };
        for (id, (_, whole)) in in_order(&self.touched_operations, |(place, _)| *place) {
            let row = &self.operations[id];
            match (self.stored_operations.contains(id), whole) {
                (true, false) if self.believed.contains(id) => changes.finish_operations.push(row),
                (true, false) => changes.settle_operations.push(row),
                (true, true) => changes.replace_operations.push(row),
                (false, _) => changes.insert_operations.push(row),
            }
        }
        // A row that lets go of a claim is written before one that takes it; what only settles takes none.
        changes
            .replace_operations
            .sort_by_key(|row| row.claim.is_some());
        for (key, _) in in_order(&self.touched_mappings, |place| *place) {
            match (self.mappings.get(key), self.stored_mappings.contains(key)) {
                (Some(row), true) => changes.update_mappings.push(row),
                (Some(row), false) => changes.insert_mappings.push(row),
                (None, true) => changes.delete_mappings.push(key),
                (None, false) => {}
            }
        }
        changes
    }

    fn index_operation(&mut self, row: Box<Operation>) {
        if let Some(key) = &row.idempotency_key {
            self.by_key
                .insert((row.client.clone(), key.clone()), row.id);
        }
        if let Some(claim) = row.claim {
            self.by_claim.insert(claim, row.id);
        }
        self.operations.insert(row.id, row);
    }

    fn index_mapping(&mut self, row: Arc<Mapping>) {
        if let Some(index) = backend_key(&row) {
            self.by_backend.insert(index, row.key.clone());
        }
        self.mappings.insert(row.key.clone(), row);
    }
}

fn in_order<K, V>(touched: &HashMap<K, V>, place: impl Fn(&V) -> usize) -> Vec<(&K, &V)> {
    let mut touched: Vec<_> = touched.iter().collect();
    touched.sort_unstable_by_key(|(_, value)| place(value));
    touched
}

/// The unique key of a mapping whose backend id is known.
pub(super) fn backend_key(row: &Mapping) -> Option<BackendKey> {
    let id = row.backend_id.clone()?;
    Some((row.key.resource.clone(), row.backend.clone(), id))
}

/// Removing an index entry only while it still points at the row that is leaving.
trait RetainOther<K, V> {
    fn retain_other(&mut self, key: Option<&K>, is_mine: impl Fn(&V) -> bool);
}

impl<K: std::hash::Hash + Eq, V> RetainOther<K, V> for HashMap<K, V> {
    fn retain_other(&mut self, key: Option<&K>, is_mine: impl Fn(&V) -> bool) {
        if let Some(key) = key
            && self.get(key).is_some_and(is_mine)
        {
            self.remove(key);
        }
    }
}
