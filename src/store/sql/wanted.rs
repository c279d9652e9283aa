//! Which rows a batch may ask for, so that they are read together before anything is decided.

use std::collections::BTreeSet;

use crate::store::ledger::Ledger;
use crate::store::rules::key_of;
use crate::store::{Claim, Expect, Mapping, MappingChange, ObjectKey, OperationId, Verdict, Write};

/// The rows that a batch may ask for; sets, so that each is read once and in one order.
#[derive(Debug, Default)]
pub(super) struct Wanted<'w> {
    pub(super) ids: BTreeSet<OperationId>,
    /// Client and key.
    pub(super) keys: BTreeSet<(&'w str, &'w str)>,
    pub(super) claims: BTreeSet<Claim>,
    pub(super) objects: BTreeSet<&'w ObjectKey>,
    /// Resource, backend and backend id.
    pub(super) backend_ids: BTreeSet<(&'w str, &'w str, &'w str)>,
}

impl<'w> Wanted<'w> {
    /// What is known before anything was read. Where a batch `believes`, its intents' ids and keys and the
    /// names that its creates give are taken to be free, and of the operations that it ends those are not
    /// asked for that the ledger has.
    pub(super) fn of(batch: &'w [Write], ledger: &Ledger, believes: bool) -> Self {
        let mut wanted = Self::default();
        for write in batch {
            match write {
                Write::Begin(intent) => {
                    let operation = &intent.operation;
                    if !believes {
                        wanted.ids.insert(operation.id);
                        let key = operation.idempotency_key.as_ref();
                        wanted
                            .keys
                            .extend(key.map(|key| (&*operation.client, &**key)));
                    }
                    wanted.claims.extend(operation.claim);
                    for expect in &intent.expects {
                        let (Expect::Mapped { key, .. } | Expect::Unmapped { key }) = expect;
                        wanted.objects.insert(key);
                    }
                }
                Write::Finish(outcome) => {
                    if ledger.operation(outcome.id).is_none() {
                        wanted.ids.insert(outcome.id);
                    }
                    for change in &outcome.changes {
                        if believes && matches!(change, MappingChange::Create(_)) {
                            continue;
                        }
                        wanted.objects.insert(key_of(change));
                        if let MappingChange::Create(row) | MappingChange::Put(row) = change {
                            wanted.backend_ids.extend(backend_id(row));
                        }
                    }
                }
                Write::Settle(settlement) => {
                    wanted.ids.insert(settlement.id);
                }
                Write::Adopt { mapping, .. } => {
                    wanted.claims.insert(mapping.key.claim());
                    wanted.objects.insert(&mapping.key);
                    wanted.backend_ids.extend(backend_id(mapping));
                }
                Write::Forget { key, .. } => {
                    wanted.claims.insert(key.claim());
                    wanted.objects.insert(key);
                }
                Write::ExpirePending { .. }
                | Write::RecoverPending { .. }
                | Write::Prune { .. }
                | Write::RecordHostKey(_)
                | Write::ForgetHostKey { .. }
                | Write::Audit { .. } => {}
            }
        }
        wanted
    }

    /// What only the rows of the first read could tell: the objects of settled operations, and the
    /// backend that an update's object is on.
    pub(super) fn then(batch: &'w [Write], ledger: &'w Ledger) -> Self {
        let mut wanted = Self::default();
        for write in batch {
            match write {
                Write::Settle(settlement) => {
                    let Some(row) = ledger.operation(settlement.id) else {
                        continue;
                    };
                    for effect in &row.effects {
                        wanted.claims.insert(effect.key.claim());
                        wanted.objects.insert(&effect.key);
                        if let Verdict::Succeeded {
                            backend_id: Some(id),
                            ..
                        } = &settlement.verdict
                        {
                            let resource = &effect.key.resource;
                            wanted.backend_ids.insert((resource, &row.backend, id));
                        }
                    }
                }
                Write::Finish(outcome) => {
                    for change in &outcome.changes {
                        let MappingChange::Update {
                            key,
                            backend_id: Some(Some(id)),
                            ..
                        } = change
                        else {
                            continue;
                        };
                        // The object may be created by this very batch: then by its operation.
                        let mapped = ledger.mapping(key).map(|row| &row.backend);
                        let own = ledger.operation(outcome.id).map(|row| &row.backend);
                        for backend in mapped.into_iter().chain(own) {
                            wanted.backend_ids.insert((&key.resource, backend, id));
                        }
                    }
                }
                _ => {}
            }
        }
        wanted
    }
}

fn backend_id(row: &Mapping) -> Option<(&str, &str, &str)> {
    Some((&row.key.resource, &row.backend, row.backend_id.as_deref()?))
}
