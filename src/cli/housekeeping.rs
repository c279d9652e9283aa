//! What a serving relay does now and then: pending rows that nobody owns expire, old operations are
//! pruned, metrics are folded. Each is small, and ends with the shutdown signal.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Boottime, unix_micros};
use crate::relay::Relay;
use crate::shutdown::Shutdown;
use crate::store::{StoreError, Write, Written};
use crate::telemetry;

/// Operations of one pruning write, and such writes of one round (SEMANTICS 26).
const PRUNE: (u32, u32) = (500, 20);
/// A wall clock that is further from boottime than this is not believed.
const CLOCK_DRIFT: i64 = 3_600_000_000;

/// Starts every task.
pub fn start(relay: &Arc<Relay>, stop: &Shutdown) {
    let expiring = relay.clone();
    every(Duration::from_secs(2), stop, move || {
        let relay = expiring.clone();
        async move { log("expire pending operations", expire(&relay).await) }
    });
    let pruning = relay.clone();
    let clock = Clock::new();
    every(Duration::from_secs(30), stop, move || {
        let relay = pruning.clone();
        async move {
            if clock.jumped() {
                tracing::warn!("the wall clock jumped by more than an hour; nothing is pruned");
                return;
            }
            log("prune operations", prune(&relay).await);
        }
    });
    every(Duration::from_secs(5), stop, || async {
        telemetry::metrics::upkeep();
    });
}

/// Runs `task` at this pace until told to stop.
fn every<F>(pace: Duration, stop: &Shutdown, task: impl Fn() -> F + Send + 'static)
where
    F: Future<Output = ()> + Send,
{
    let mut stop = stop.clone();
    tokio::spawn(async move {
        let mut clock = tokio::time::interval(pace);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.stopping() => return,
                _ = clock.tick() => task().await,
            }
        }
    });
}

/// Pending rows past their deadline that no task of this process owns become unknown (SEMANTICS 7).
async fn expire(relay: &Relay) -> Result<(), StoreError> {
    if !relay.is_active() {
        return Ok(());
    }
    let write = Write::ExpirePending {
        now: unix_micros(),
        owned: relay.owned_operations(),
    };
    if let Written::Count(count @ 1..) = relay.journal().write(write).await? {
        tracing::warn!(
            count,
            "pending operations passed their deadline and are unknown now"
        );
    }
    Ok(())
}

/// Settled operations older than `operations.retain` are deleted, a bounded number a round.
async fn prune(relay: &Relay) -> Result<(), StoreError> {
    let retain = relay.plan().server.operations.retain;
    let retain = i64::try_from(retain.as_micros()).unwrap_or(i64::MAX);
    for _ in 0..PRUNE.1 {
        if !relay.is_active() {
            break;
        }
        let write = Write::Prune {
            before: unix_micros().saturating_sub(retain),
            limit: PRUNE.0,
        };
        match relay.journal().write(write).await? {
            Written::Count(count) if count >= u64::from(PRUNE.0) => {}
            _ => break,
        }
    }
    Ok(())
}

fn log(what: &str, done: Result<(), StoreError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "could not {what}; it is tried again");
    }
}

/// Where the wall clock was when the process started.
#[derive(Clone, Copy, Debug)]
struct Clock {
    wall: i64,
    boot: Boottime,
}

impl Clock {
    fn new() -> Self {
        Self {
            wall: unix_micros(),
            boot: Boottime::now(),
        }
    }

    fn jumped(&self) -> bool {
        let boot = i64::try_from(self.boot.elapsed().as_micros()).unwrap_or(i64::MAX);
        (unix_micros() - self.wall).abs_diff(boot) > CLOCK_DRIFT.unsigned_abs()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_clock_an_hour_off_is_noticed() {
        let mut clock = Clock::new();
        assert!(!clock.jumped());
        clock.wall -= CLOCK_DRIFT + 60_000_000;
        assert!(clock.jumped());
    }
}
