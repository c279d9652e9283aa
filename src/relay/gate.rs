//! The write gate: whether this node may cause anything (invariant 7).
//!
//! One machine on SQLite is always active, in epoch 0. In a pair the role machine opens the gate for a
//! lease, which it renews after each whole look at itself and at its peer: a process that was frozen finds
//! the gate shut when it wakes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Boottime;

/// Shared by the role machine, which sets it, and every call, which asks it right before it sends.
#[derive(Clone, Debug)]
pub struct Gate(Arc<State>);

#[derive(Debug)]
struct State {
    /// The epoch in which it is open, or `NEVER`.
    active: AtomicI64,
    /// The newest epoch that is over; it is open in none up to this one.
    over: AtomicI64,
    epoch: AtomicI64,
    alone: AtomicBool,
    /// Milliseconds of the boottime clock; `FOREVER` without a pair.
    until: AtomicU64,
}

const FOREVER: u64 = u64::MAX;
const NEVER: i64 = i64::MIN;

impl Gate {
    /// A gate that is open for ever, as on one machine.
    pub fn open() -> Self {
        Self::new(0, FOREVER)
    }

    /// A gate that is shut, as a node of a pair starts.
    pub fn shut() -> Self {
        Self::new(NEVER, 0)
    }

    fn new(active: i64, until: u64) -> Self {
        Self(Arc::new(State {
            active: AtomicI64::new(active),
            over: AtomicI64::new(NEVER),
            epoch: AtomicI64::new(0),
            alone: AtomicBool::new(false),
            until: AtomicU64::new(until),
        }))
    }

    pub fn is_open(&self) -> bool {
        self.active().is_some()
    }

    /// The epoch in which it is open now.
    fn active(&self) -> Option<i64> {
        let active = self.0.active.load(Ordering::Acquire);
        let until = self.0.until.load(Ordering::Acquire);
        let open = active > self.0.over.load(Ordering::Acquire)
            && (until == FOREVER || millis(Boottime::now()) < until);
        open.then_some(active)
    }

    /// The epoch of the present activity; rows carry it, and an outcome is written only into a row
    /// of its own epoch.
    pub fn epoch(&self) -> i64 {
        self.0.epoch.load(Ordering::Acquire)
    }

    /// Whether this node acknowledges without a standby, as it was promoted or told to.
    pub fn is_alone(&self) -> bool {
        self.0.alone.load(Ordering::Acquire)
    }

    /// Closes the gate: nothing more is sent, from the next byte sequence on.
    pub fn close(&self) {
        self.0.active.store(NEVER, Ordering::Release);
    }

    /// There is a newer epoch than this: the gate is shut in it for good. In a newer one it stays as it is, however
    /// late this is learnt.
    pub fn close_in(&self, epoch: i64) {
        self.0.over.fetch_max(epoch, Ordering::AcqRel);
    }

    /// The epoch in which the gate will open: what is asked of the standby meanwhile is asked for it.
    pub fn enter(&self, epoch: i64) {
        self.0.epoch.store(epoch, Ordering::Release);
    }

    /// Opens the gate in `epoch`; of a pair, for as long as [`Gate::renew`] says.
    pub fn open_in(&self, epoch: i64, alone: bool) {
        self.0.epoch.store(epoch, Ordering::Release);
        self.0.alone.store(alone, Ordering::Release);
        self.0.active.store(epoch, Ordering::Release);
    }

    /// A standby is there again, or is given up.
    pub fn set_alone(&self, alone: bool) {
        self.0.alone.store(alone, Ordering::Release);
    }

    /// The lease ends `span` after `looked`, when the last whole look began.
    pub fn renew(&self, looked: Boottime, span: Duration) {
        self.0.until.store(millis(looked + span), Ordering::Release);
    }

    /// Whether the gate is open and the epoch still is this one.
    pub fn holds(&self, epoch: i64) -> bool {
        self.active() == Some(epoch)
    }
}

fn millis(at: Boottime) -> u64 {
    u64::try_from(at.since_boot().as_millis()).unwrap_or(FOREVER - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_ran_out_shuts_the_gate_until_it_is_renewed() {
        let gate = Gate::shut();
        gate.open_in(7, false);
        assert!(!gate.is_open(), "no lease yet");
        gate.renew(Boottime::now(), Duration::from_secs(60));
        assert!(gate.holds(7) && !gate.holds(8));
        gate.renew(Boottime::now(), Duration::ZERO);
        assert!(!gate.holds(7));
        gate.renew(Boottime::now(), Duration::from_secs(60));
        gate.close();
        assert!(!gate.holds(7));
    }

    /// Whoever learns late that an epoch is over: what is shut is that one, and it alone.
    #[test]
    fn an_epoch_that_is_over_does_not_come_back_and_takes_no_newer_one_with_it() {
        let gate = Gate::open();
        gate.open_in(7, false);
        gate.close_in(6);
        assert!(gate.holds(7));
        gate.close_in(7);
        assert!(!gate.is_open());
        gate.open_in(7, false);
        assert!(!gate.is_open(), "by who has not heard of it");
        gate.open_in(8, false);
        gate.close_in(7);
        assert!(gate.holds(8));
    }

    #[test]
    fn a_gate_of_one_machine_needs_no_lease() {
        assert!(Gate::open().holds(0) && !Gate::open().is_alone());
    }
}
