//! Shells that wait for the next call: each at the prompt that a login ends in, with nothing unread.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::cli::Shell;
use super::connections::{Life, Stream};
use crate::clock::Boottime;

/// How long a shell is kept. Devices have few lines, and close an idle one themselves.
const MAX_IDLE: Duration = Duration::from_secs(30);
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Idle shells, the last used on top.
#[derive(Default)]
pub(super) struct Shells {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: Vec<Idle>,
    closed: bool,
    sweeping: bool,
}

struct Idle {
    shell: Shell<Stream>,
    life: Life,
    since: Boottime,
}

impl fmt::Debug for Shells {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} idle shells", self.state().idle.len())
    }
}

impl Shells {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The shell used last that is still as it was left. One that has idled for longer than `fresh` is
    /// used only if its server answers, within `patience`.
    pub(super) async fn take(
        &self,
        fresh: Duration,
        patience: Duration,
    ) -> Option<(Shell<Stream>, Life)> {
        loop {
            let idle = self.state().idle.pop()?;
            if !idle.life.is_still() {
                continue;
            }
            if idle.since.elapsed() < fresh || idle.life.answers(patience).await {
                return Some((idle.shell, idle.life));
            }
        }
    }

    /// Keeps a shell that stands where a login ends.
    pub(super) fn put(self: &Arc<Self>, shell: Shell<Stream>, life: Life) {
        let mut state = self.state();
        if state.closed {
            return;
        }
        state.idle.push(Idle {
            shell,
            life,
            since: Boottime::now(),
        });
        if !std::mem::replace(&mut state.sweeping, true) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Lets the one go that has idled longest; whether there was one.
    pub(super) fn give_up_one(&self) -> bool {
        let mut state = self.state();
        if state.idle.is_empty() {
            return false;
        }
        drop(state.idle.remove(0));
        true
    }

    /// Lets all of them go, and keeps none from now on.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.idle.clear();
    }
}

/// Lets go what has idled too long or has ended, until nothing is left.
async fn sweep(shells: Weak<Shells>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(shells) = shells.upgrade() else {
            return;
        };
        let mut state = shells.state();
        state
            .idle
            .retain(|idle| idle.since.elapsed() < MAX_IDLE && idle.life.is_still());
        if state.idle.is_empty() {
            state.sweeping = false;
            return;
        }
    }
}
