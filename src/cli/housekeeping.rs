//! What a serving relay does now and then: pending rows that nobody owns expire, old operations are
//! pruned, metrics are folded. Each is small, and ends with the shutdown signal.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::unix_micros;
use crate::relay::Relay;
use crate::shutdown::Shutdown;
use crate::store::retention::{Clocks, ROUND, Round, prune_round};
use crate::store::{StoreError, Write, Written};
use crate::telemetry;

/// Pruning writes of one round (SEMANTICS 26).
const PRUNINGS: usize = 20;

/// Starts every task.
pub fn start(relay: &Arc<Relay>, stop: &Shutdown) {
    let expiring = relay.clone();
    every(Duration::from_secs(2), stop, move || {
        let relay = expiring.clone();
        async move { log("expire pending operations", expire(&relay).await) }
    });
    let pruning = relay.clone();
    let clocks = Clocks::now();
    every(Duration::from_secs(30), stop, move || {
        let relay = pruning.clone();
        async move { log("prune operations", prune(&relay, clocks).await) }
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
async fn prune(relay: &Relay, clocks: Clocks) -> Result<(), StoreError> {
    let retain = relay.plan().server.operations.retain;
    for _ in 0..PRUNINGS {
        if !relay.is_active() {
            break;
        }
        match prune_round(relay.journal(), &clocks, retain).await? {
            Round::Deleted(count) if count >= u64::from(ROUND) => {}
            Round::Deleted(_) => break,
            Round::ClocksDisagree => {
                tracing::warn!("the wall clock jumped by more than an hour; nothing is pruned");
                break;
            }
        }
    }
    Ok(())
}

fn log(what: &str, done: Result<(), StoreError>) {
    if let Err(error) = done {
        tracing::warn!(%error, "could not {what}; it is tried again");
    }
}
