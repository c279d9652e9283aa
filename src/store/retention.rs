//! Pruning what has been settled for long (SEMANTICS 26).
//!
//! A round deletes a bounded number of operations. A wall clock that was set wrong would make young rows
//! look old, so no round runs while wall clock and boottime disagree by more than an hour.

use std::time::Duration;

use super::{Journal, StoreError, Write, Written};
use crate::clock::{Boottime, unix_micros};

/// Operations that one round deletes at most.
pub const ROUND: u32 = 1000;

const DISAGREEMENT: Duration = Duration::from_secs(3600);

/// Both clocks at the start, to compare them later.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    wall: i64,
    boottime: Boottime,
}

/// What a round did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    Deleted(u64),
    /// The clocks disagree; an operator must look before anything is deleted.
    ClocksDisagree,
}

impl Clocks {
    pub fn now() -> Self {
        Self {
            wall: unix_micros(),
            boottime: Boottime::now(),
        }
    }

    /// Whether the wall clock has run as far as boottime since, within an hour.
    pub fn agree(&self) -> bool {
        agree(
            unix_micros().saturating_sub(self.wall),
            self.boottime.elapsed(),
        )
    }
}

fn agree(wall_micros: i64, boottime: Duration) -> bool {
    let boottime = i64::try_from(boottime.as_micros()).unwrap_or(i64::MAX);
    wall_micros.abs_diff(boottime) <= DISAGREEMENT.as_micros() as u64
}

/// Deletes up to [`ROUND`] operations that were settled more than `retain` ago.
pub async fn prune_round(
    journal: &Journal,
    clocks: &Clocks,
    retain: Duration,
) -> Result<Round, StoreError> {
    if !clocks.agree() {
        return Ok(Round::ClocksDisagree);
    }
    let retain = i64::try_from(retain.as_micros()).unwrap_or(i64::MAX);
    let before = unix_micros().saturating_sub(retain);
    let prune = Write::Prune {
        before,
        limit: ROUND,
    };
    match journal.write(prune).await? {
        Written::Count(deleted) => Ok(Round::Deleted(deleted)),
        other => Err(StoreError::Unavailable(format!(
            "the store answered another write: {other:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_that_disagree_by_more_than_an_hour_stop_pruning() {
        let day = Duration::from_secs(86_400);
        let micros = |seconds: i64| seconds * 1_000_000;
        assert!(agree(micros(86_400), day));
        assert!(agree(micros(86_400 - 3_600), day));
        assert!(!agree(micros(86_400 + 3_601), day));
        assert!(!agree(micros(-1), day));
    }
}
