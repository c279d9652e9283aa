//! Waiting after a login that the backend refused: appliances lock accounts.

use std::time::Duration;

use crate::clock::Boottime;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// A wait that doubles with each failure in a row.
#[derive(Debug)]
pub(super) struct Backoff<F> {
    failures: u32,
    pub(super) until: Boottime,
    pub(super) cause: F,
}

impl<F> Backoff<F> {
    pub(super) fn after(previous: Option<&Self>, cause: F) -> Self {
        let failures = previous.map_or(0, |previous| previous.failures) + 1;
        let span = FIRST
            .saturating_mul(1 << (failures - 1).min(16))
            .min(LONGEST);
        Self {
            failures,
            until: Boottime::now() + span,
            cause,
        }
    }

    /// The words for what comes meanwhile: `detail` is why, `what` is waited with.
    pub(super) fn words(&self, detail: &str, what: &str) -> String {
        let wait = self.until.remaining().unwrap_or_default().as_secs() + 1;
        format!("{detail}; the next {what} is tried in {wait} s")
    }
}

/// The wait that is not over.
pub(super) fn resting<F>(backoff: &Option<Backoff<F>>) -> Option<&Backoff<F>> {
    backoff
        .as_ref()
        .filter(|backoff| backoff.until.remaining().is_some())
}
