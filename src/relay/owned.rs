//! The operations that this process has in hand: a pending row that is not among them belongs to
//! nobody and becomes `unknown` once its deadline has passed (SEMANTICS 7).

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use crate::store::OperationId;

/// One attempt of one operation, as the row knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub id: OperationId,
    pub attempt: u32,
    pub epoch: i64,
}

/// The set of attempts in hand.
#[derive(Clone, Debug)]
pub struct Owned(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// By the ticket of their holder: two retries of one operation may reach for it at once.
    attempts: Mutex<HashMap<u64, Attempt>>,
    tickets: AtomicU64,
    emptied: Notify,
    orphans: mpsc::UnboundedSender<Attempt>,
}

/// Held by the task of an operation. Dropped before [`InHand::settled`], by a panic or by a runtime
/// that ends, it hands the attempt to the janitor, which writes it down as `unknown`.
#[derive(Debug)]
pub struct InHand {
    owned: Owned,
    ticket: u64,
    attempt: Attempt,
    settled: bool,
}

impl Owned {
    /// The set, and the receiving end for attempts whose task ended without an outcome.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Attempt>) {
        let (orphans, receiver) = mpsc::unbounded_channel();
        let inner = Inner {
            attempts: Mutex::default(),
            tickets: AtomicU64::new(0),
            emptied: Notify::new(),
            orphans,
        };
        (Self(Arc::new(inner)), receiver)
    }

    pub fn take(&self, attempt: Attempt) -> InHand {
        let ticket = self.0.tickets.fetch_add(1, Ordering::Relaxed);
        self.attempts().insert(ticket, attempt);
        InHand {
            owned: self.clone(),
            ticket,
            attempt,
            settled: false,
        }
    }

    /// Every attempt in hand.
    pub fn all(&self) -> Vec<Attempt> {
        self.attempts().values().copied().collect()
    }

    /// Returns once nothing is in hand.
    pub async fn emptied(&self) {
        loop {
            let notified = self.0.emptied.notified();
            if self.attempts().is_empty() {
                return;
            }
            notified.await;
        }
    }

    /// Whether a task of this process holds an attempt of the operation.
    pub fn holds(&self, id: OperationId) -> bool {
        self.attempts().values().any(|attempt| attempt.id == id)
    }

    fn release(&self, ticket: u64) {
        let mut attempts = self.attempts();
        attempts.remove(&ticket);
        if attempts.is_empty() {
            self.0.emptied.notify_waiters();
        }
    }

    fn attempts(&self) -> MutexGuard<'_, HashMap<u64, Attempt>> {
        self.0
            .attempts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl InHand {
    /// The row says how it ended, or there is no row.
    pub fn settled(mut self) {
        self.settled = true;
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if !self.settled {
            // A janitor that is gone means that the process ends: the next start recovers the row.
            let _ = self.owned.0.orphans.send(self.attempt);
        }
        self.owned.release(self.ticket);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        Attempt {
            id: OperationId::now_v7(),
            attempt: 1,
            epoch: 0,
        }
    }

    #[tokio::test]
    async fn an_attempt_dropped_without_an_outcome_is_handed_on() {
        let (owned, mut orphans) = Owned::new();
        let (lost, kept) = (attempt(), attempt());
        drop(owned.take(lost));
        owned.take(kept).settled();
        owned.emptied().await;
        assert_eq!(orphans.recv().await, Some(lost));
        assert!(orphans.is_empty());
    }

    /// Two retries of one operation: the one that loses lets go of its own place only.
    #[tokio::test]
    async fn two_holders_of_one_operation_do_not_release_each_other() {
        let (owned, _orphans) = Owned::new();
        let attempt = attempt();
        let (winner, loser) = (owned.take(attempt), owned.take(attempt));
        loser.settled();
        assert!(owned.holds(attempt.id));
        winner.settled();
        assert!(!owned.holds(attempt.id));
    }
}
