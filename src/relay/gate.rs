//! The write gate: whether this node may cause anything (invariant 7).
//!
//! One machine on SQLite is always active, in epoch 0. The pair's role machine opens and closes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Shared by the role machine, which sets it, and every call, which asks it right before it sends.
#[derive(Clone, Debug)]
pub struct Gate(Arc<State>);

#[derive(Debug)]
struct State {
    active: AtomicBool,
    epoch: AtomicI64,
}

impl Gate {
    /// A gate that is open, as on one machine.
    pub fn open() -> Self {
        Self(Arc::new(State {
            active: AtomicBool::new(true),
            epoch: AtomicI64::new(0),
        }))
    }

    pub fn is_open(&self) -> bool {
        self.0.active.load(Ordering::Acquire)
    }

    /// The epoch of the present activity; rows carry it, and an outcome is written only into a row
    /// of its own epoch.
    pub fn epoch(&self) -> i64 {
        self.0.epoch.load(Ordering::Acquire)
    }

    /// Closes the gate: nothing more is sent, from the next byte sequence on.
    pub fn close(&self) {
        self.0.active.store(false, Ordering::Release);
    }

    /// Opens the gate in `epoch`.
    pub fn open_in(&self, epoch: i64) {
        self.0.epoch.store(epoch, Ordering::Release);
        self.0.active.store(true, Ordering::Release);
    }

    /// Whether the gate is open and the epoch still is this one.
    pub fn holds(&self, epoch: i64) -> bool {
        self.is_open() && self.epoch() == epoch
    }
}
