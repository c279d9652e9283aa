//! Time that neither jumps with the wall clock nor stops while the machine sleeps.
//!
//! Deadlines are in [`Boottime`] (`CLOCK_BOOTTIME`, `clock_gettime(2)`): a paused virtual machine
//! finds its deadlines passed when it wakes. Rows carry wall-clock times, for people and for other
//! nodes: [`unix_micros`] and [`rfc3339`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// A point in `CLOCK_BOOTTIME`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Boottime(Duration);

impl Boottime {
    /// Now.
    pub fn now() -> Self {
        let spec = clock_gettime(ClockId::Boottime);
        Self(Duration::new(
            u64::try_from(spec.tv_sec).unwrap_or(0),
            u32::try_from(spec.tv_nsec).unwrap_or(0),
        ))
    }

    /// How long until this point; `None` once it has passed.
    pub fn remaining(self) -> Option<Duration> {
        self.0
            .checked_sub(Self::now().0)
            .filter(|left| !left.is_zero())
    }

    /// How long after the machine's start.
    pub fn since_boot(self) -> Duration {
        self.0
    }

    /// How long since this point; zero while it lies ahead.
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

impl std::ops::Add<Duration> for Boottime {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0 + span)
    }
}

/// The wall clock, in microseconds since 1970-01-01T00:00:00Z: the unit of every stored time.
pub fn unix_micros() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A stored time as RFC 3339 in UTC, with microseconds.
pub fn rfc3339(unix_micros: i64) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(unix_micros) * 1_000)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| unix_micros.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_passes_once() {
        let ahead = Boottime::now() + Duration::from_secs(60);
        assert!(
            ahead
                .remaining()
                .is_some_and(|left| left > Duration::from_secs(59))
        );
        assert_eq!(Boottime::now().remaining(), None);
    }

    #[test]
    fn stored_times_read_as_rfc3339() {
        assert_eq!(rfc3339(1_700_000_000_250_000), "2023-11-14T22:13:20.25Z");
    }
}
