//! Outcomes that could not be written, and operations whose task ended without one.
//!
//! The keeper writes what the database refused as soon as it returns (SEMANTICS 13); the janitor
//! writes an orphaned attempt down as `unknown` at once (SEMANTICS 7).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, info, warn};

use super::owned::{Attempt, InHand};
use crate::clock;
use crate::store::{Finished, Journal, Outcome, State};

/// Outcomes kept at most; a further one leaves its row pending, which becomes `unknown` in time.
const LIMIT: usize = 10_000;

/// The end that takes outcomes.
#[derive(Debug)]
pub struct Keeper {
    waiting: Arc<AtomicUsize>,
    sender: mpsc::UnboundedSender<Kept>,
}

/// The end that writes them.
#[derive(Debug)]
pub struct Keeping {
    waiting: Arc<AtomicUsize>,
    receiver: mpsc::UnboundedReceiver<Kept>,
}

type Kept = (Outcome, InHand);

impl Keeper {
    pub fn new() -> (Self, Keeping) {
        let waiting = Arc::new(AtomicUsize::new(0));
        let (sender, receiver) = mpsc::unbounded_channel();
        let keeping = Keeping {
            waiting: waiting.clone(),
            receiver,
        };
        (Self { waiting, sender }, keeping)
    }

    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Keeps an outcome; its operation stays in hand until it is written.
    pub fn keep(&self, outcome: Outcome, in_hand: InHand) {
        if self.waiting() >= LIMIT {
            error!(operation = %outcome.id, "too many outcomes wait for the database; this one is lost and its row will say unknown");
            return;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        if let Err(refused) = self.sender.send((outcome, in_hand)) {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            warn!(operation = %refused.0.0.id, "the relay ends; the next start makes this operation unknown");
        }
    }
}

/// Starts both tasks; they end when the relay is gone.
pub fn spawn(
    journal: &Journal,
    mut orphans: mpsc::UnboundedReceiver<Attempt>,
    mut keeping: Keeping,
) {
    let keeper_journal = journal.clone();
    tokio::spawn(async move {
        while let Some((outcome, in_hand)) = keeping.receiver.recv().await {
            write_down(&keeper_journal, outcome).await;
            in_hand.settled();
            keeping.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    });
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

async fn write_down(journal: &Journal, outcome: Outcome) {
    let mut pause = Duration::from_millis(100);
    loop {
        match journal.finish(outcome.clone()).await {
            Ok(Finished::Done) => {
                info!(operation = %outcome.id, "a kept outcome was written");
                return;
            }
            Ok(other) => {
                warn!(operation = %outcome.id, result = ?other, "a kept outcome met a changed table");
                return;
            }
            Err(_) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(5));
            }
        }
    }
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
    let creates_or_deletes = row.effects.iter().any(|effect| effect.verb != "update");
    let outcome = Outcome {
        id: attempt.id,
        attempt: attempt.attempt,
        epoch: attempt.epoch,
        state: State::Unknown,
        keep_claim: creates_or_deletes,
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
