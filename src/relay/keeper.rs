//! Outcomes that could not be written, and operations whose task ended without one.
//!
//! The keeper writes what the database refused as soon as it returns (SEMANTICS 13); the janitor
//! writes an orphaned attempt down as `unknown` at once (SEMANTICS 7).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, info};

use super::owned::{Attempt, InHand};
use crate::clock;
use crate::store::{Effect, Finished, Journal, OperationId, Outcome, State, StoreError};

/// Outcomes kept at most; a further one leaves its row pending, which becomes `unknown` in time.
const LIMIT: usize = 10_000;

/// An outcome that waits for the database, and what an operator must be able to read of it if it never
/// comes back.
#[derive(Clone, Debug)]
pub struct Kept {
    pub outcome: Arc<Outcome>,
    pub backend: String,
    pub backend_id: Option<String>,
}

/// The outcomes that wait. Each has a task of its own, so that one that cannot be written holds up no
/// other, and the committer groups them.
#[derive(Debug, Default)]
pub struct Keeper {
    shelf: Arc<Shelf>,
}

type Key = (OperationId, u32);

#[derive(Debug, Default)]
struct Shelf(Mutex<HashMap<Key, Arc<Kept>>>);

impl Shelf {
    fn kept(&self) -> MutexGuard<'_, HashMap<Key, Arc<Kept>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Keeper {
    pub fn waiting(&self) -> usize {
        self.shelf.kept().len()
    }

    /// The outcome of an attempt, if it waits here.
    pub fn of(&self, attempt: Attempt) -> Option<Arc<Kept>> {
        let key = (attempt.id, attempt.attempt);
        self.shelf.kept().get(&key).cloned()
    }

    /// Keeps an outcome; its operation stays in hand until it is written.
    pub fn keep(&self, journal: &Journal, kept: Kept, in_hand: InHand) {
        if self.waiting() >= LIMIT {
            kept.lost("too many outcomes wait for the database");
            return;
        }
        let key = (kept.outcome.id, kept.outcome.attempt);
        let kept = Arc::new(kept);
        self.shelf.kept().insert(key, kept.clone());
        let (shelf, journal) = (self.shelf.clone(), journal.clone());
        tokio::spawn(async move {
            let settled = write_down(&journal, &kept).await;
            shelf.kept().remove(&key);
            if settled {
                in_hand.settled();
            }
        });
    }
}

impl Kept {
    fn lost(&self, why: &str) {
        error!(
            operation = %self.outcome.id,
            backend = %self.backend,
            backend_id = self.backend_id.as_deref().unwrap_or("-"),
            why,
            "an outcome was not written; its row says unknown, now or after the next start"
        );
    }
}

/// Writes an outcome as soon as the database takes it; `false`: it never will.
async fn write_down(journal: &Journal, kept: &Kept) -> bool {
    let mut pause = Duration::from_millis(100);
    loop {
        match journal.finish(kept.outcome.clone()).await {
            Ok((finished, _)) => {
                report(kept, &finished);
                return true;
            }
            Err(StoreError::Invalid(words)) => {
                kept.lost(&words);
                return false;
            }
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
}

fn report(kept: &Kept, finished: &Finished) {
    match finished {
        Finished::Done => info!(operation = %kept.outcome.id, "a kept outcome was written"),
        // An intent that was never written leaves no row, and nothing was sent for it.
        Finished::Lost(None) if kept.outcome.sends == 0 => {}
        Finished::Lost(_) => kept.lost("its row was settled by somebody else meanwhile"),
        Finished::Conflict(_) => kept.lost("another object has its backend id or its name"),
    }
}

/// The last attempt before the process ends.
pub async fn last_attempt(journal: &Journal, kept: &Kept) {
    match journal.finish(kept.outcome.clone()).await {
        Ok((finished, _)) => report(kept, &finished),
        Err(error) => kept.lost(&error.to_string()),
    }
}

/// Starts the janitor; it ends when the relay is gone.
pub fn spawn_janitor(journal: &Journal, mut orphans: mpsc::UnboundedReceiver<Attempt>) {
    let journal = journal.clone();
    tokio::spawn(async move {
        while let Some(attempt) = orphans.recv().await {
            abandon(
                &journal,
                attempt,
                "the relay failed while it ran this request",
            )
            .await;
        }
    });
}

/// Makes an attempt's row `unknown`, if it still is pending.
pub async fn abandon(journal: &Journal, attempt: Attempt, why: &str) {
    let row = match journal.store().operation(attempt.id).await {
        Ok(Some(row)) if row.state == State::Pending && row.attempt == attempt.attempt => row,
        Ok(_) => return,
        Err(error) => {
            error!(operation = %attempt.id, %error, "an abandoned operation could not be read; the next start makes it unknown");
            return;
        }
    };
    let outcome = Outcome {
        id: attempt.id,
        attempt: attempt.attempt,
        epoch: attempt.epoch,
        state: State::Unknown,
        keep_claim: row.effects.iter().any(Effect::keeps_claim),
        changes: Vec::new(),
        backend_status: None,
        sends: 0,
        reply_status: 504,
        reply_headers: Vec::new(),
        reply_body: None,
        error: Some(("outcome_unknown".into(), why.to_owned())),
        side_effect: "unknown",
        safe_to_retry: false,
        note: None,
        finished_at: clock::unix_micros(),
    };
    if let Err(error) = journal.finish(outcome).await {
        error!(operation = %attempt.id, %error, "an abandoned operation could not be written; the next start makes it unknown");
    }
}
