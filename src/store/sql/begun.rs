//! What this store began and has not ended: so that an outcome's batch need not read its operation.
//!
//! Nothing rests on it. An outcome is written only onto a row that is still pending, in the attempt and the epoch
//! that are remembered here; a batch for which that is not so is run again, and reads every row that it touches. So
//! is one whose outcome is of another attempt than is remembered: the row may have been begun anew since.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::store::ledger::Ledger;
use crate::store::{Operation, OperationId, State, Write};

/// More than requests can be in hand: what nobody ends must not stay for ever.
const MOST: usize = 16_384;

/// The pending operations that were committed here, as they were committed.
#[derive(Debug, Default)]
pub(super) struct BegunHere(Mutex<HashMap<OperationId, Box<Operation>>>);

/// Whether a write is one of those that nearly always find what they expect.
pub(super) fn may_be_believed(write: &Write) -> bool {
    match write {
        Write::Begin(intent) => intent.replaces.is_none(),
        Write::Finish(_) => true,
        _ => false,
    }
}

impl BegunHere {
    /// Hands over what is remembered of the operations that a batch ends, and forgets it.
    pub(super) fn take(&self, batch: &[Write]) -> Ledger {
        let mut ledger = Ledger::default();
        let mut rows = self.lock();
        for write in batch {
            if let Write::Finish(outcome) = write
                && let Some(row) = rows.remove(&outcome.id)
            {
                ledger.believe_operation(row);
            }
        }
        ledger
    }

    /// Remembers what a committed batch began.
    pub(super) fn keep(&self, committed: Ledger) {
        let mut rows = self.lock();
        let begun = committed.into_operations();
        for row in begun.filter(|row| row.state == State::Pending) {
            if rows.len() >= MOST {
                rows.clear();
            }
            rows.insert(row.id, row);
        }
    }

    // Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<OperationId, Box<Operation>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
