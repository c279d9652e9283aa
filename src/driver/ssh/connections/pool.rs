//! The connections of one backend and the places on them.
//!
//! A place is leave to have one channel. Connections are made one at a time, by a task of their own, and
//! whoever waits for one meanwhile hears how it went: a wrong password is sent once and not once a call.

use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use russh::ChannelOpenFailure;
use tokio::sync::{Notify, watch};

use super::connect::{Claimed, Connection, Maker};
use super::refused;
use crate::clock::Boottime;
use crate::driver::backoff::{Backoff, resting};
use crate::driver::{AuthState, Clearance, DriverError, Phase, Refusal, SendOutcome};

/// How long a connection without a channel is kept.
const MAX_IDLE: Duration = Duration::from_secs(45);
const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Every connection of a backend.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) maker: Maker,
    state: Mutex<State>,
    /// A place was freed, or a connection came or went.
    freed: Notify,
}

#[derive(Debug, Default)]
struct State {
    connections: Vec<Entry>,
    flight: Option<Flight>,
    logins: Option<Backoff<DriverError>>,
    /// Logins that went well.
    made: u64,
    closed: bool,
    sweeping: bool,
}

type Flight = watch::Receiver<Option<Result<(), DriverError>>>;

#[derive(Debug)]
struct Entry {
    connection: Arc<Connection>,
    /// Channels on it.
    open: usize,
    /// Channels that it may have; less than the configured number where the server refused one.
    room: usize,
    /// Whether it ever had one.
    served: bool,
    idle_since: Boottime,
}

/// Leave to have one channel on a connection; dropped, it is free for another.
#[derive(Debug)]
pub(super) struct Place {
    pool: Arc<Pool>,
    pub(super) connection: Arc<Connection>,
}

impl Place {
    /// Ends the connection as soon as nobody else has a channel on it.
    pub(super) fn retire(&self) {
        self.connection.retire();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pool.release(&self.connection);
    }
}

enum Step {
    Use(Place),
    Wait(Flight),
    Full,
}

impl Pool {
    pub(super) fn new(maker: Maker) -> Self {
        Self {
            maker,
            state: Mutex::default(),
            freed: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a channel, on a new connection where none has room.
    pub(super) async fn open(
        self: &Arc<Self>,
        clearance: &Clearance,
    ) -> Result<(Claimed, Place), DriverError> {
        loop {
            let place = self.place(clearance).await?;
            // What it just had may still be ending on the server: it is asked a second time.
            for again in [false, true] {
                let opened = place.connection.open();
                let opened = tokio::time::timeout(self.maker.limits.connect_timeout, opened).await;
                match opened {
                    Ok(Ok(channel)) => {
                        self.served(&place);
                        return Ok((channel, place));
                    }
                    Ok(Err(russh::Error::ChannelOpenFailure(reason))) => {
                        if self.is_full(&place, &reason, again)? {
                            break;
                        }
                    }
                    // It died unseen while it idled, which a new one did not.
                    Ok(Err(_)) | Err(_) => {
                        place.connection.cut();
                        if !self.has_served(&place) {
                            return Err(DriverError::not_sent(
                                Phase::Open,
                                "the connection was lost when a session was opened",
                            ));
                        }
                        break;
                    }
                }
            }
        }
    }

    /// The server refuses a channel. Whether the connection is full; else it may be asked again, and an
    /// error says that it never had one.
    fn is_full(
        &self,
        place: &Place,
        reason: &ChannelOpenFailure,
        again: bool,
    ) -> Result<bool, DriverError> {
        let mut state = self.state();
        let Some(entry) = state.entry(&place.connection) else {
            return Ok(true);
        };
        let others = entry.open - 1;
        if others > 0 {
            entry.room = others;
            return Ok(true);
        }
        if entry.served && !again {
            return Ok(false);
        }
        entry.connection.retire();
        if entry.served {
            return Ok(true);
        }
        Err(DriverError::not_sent(
            Phase::Open,
            format!("the server refuses a session on a new connection ({reason:?})"),
        ))
    }

    fn served(&self, place: &Place) {
        if let Some(entry) = self.state().entry(&place.connection) {
            entry.served = true;
        }
    }

    fn has_served(&self, place: &Place) -> bool {
        let mut state = self.state();
        state
            .entry(&place.connection)
            .is_none_or(|entry| entry.served)
    }

    /// Waits for a place, at most until the deadline.
    async fn place(self: &Arc<Self>, clearance: &Clearance) -> Result<Place, DriverError> {
        let late = |refusal| refused(refusal, Phase::Connect);
        loop {
            let mut freed = pin!(self.freed.notified());
            freed.as_mut().enable();
            let left = clearance.check().map_err(late)?;
            match self.step(clearance)? {
                Step::Use(place) => return Ok(place),
                Step::Full => {
                    if tokio::time::timeout(left, freed).await.is_err() {
                        return Err(DriverError::refused(
                            Refusal::Deadline,
                            Phase::Open,
                            "every session that the server allows was in use until the deadline",
                        ));
                    }
                }
                Step::Wait(mut flight) => {
                    let landed = flight.wait_for(Option::is_some);
                    let landed = tokio::time::timeout(left, landed).await;
                    match landed.map_err(|_| late(Refusal::Deadline))? {
                        Ok(result) => {
                            if let Some(Err(failure)) = &*result {
                                return Err(failure.clone());
                            }
                        }
                        // The task ended without a word: it panicked, or the runtime stops.
                        Err(_) => {
                            return Err(DriverError::not_sent(
                                Phase::Connect,
                                "connecting was broken off",
                            ));
                        }
                    }
                }
            }
        }
    }

    fn step(self: &Arc<Self>, clearance: &Clearance) -> Result<Step, DriverError> {
        let mut state = self.state();
        state.prune();
        let free = |entry: &&mut Entry| !entry.connection.is_retired() && entry.open < entry.room;
        if let Some(entry) = state.connections.iter_mut().find(free) {
            entry.open += 1;
            return Ok(Step::Use(Place {
                pool: Arc::clone(self),
                connection: Arc::clone(&entry.connection),
            }));
        }
        // One that panicked left nobody to land it; the next one may try.
        state.flight.take_if(|flight| flight.has_changed().is_err());
        if let Some(flight) = &state.flight {
            return Ok(Step::Wait(flight.clone()));
        }
        if let Some(refused) = resting(&state.logins) {
            let mut failure = refused.cause.clone();
            failure.detail = refused.words(&failure.detail, "login");
            return Err(failure);
        }
        if state.connections.len() >= self.maker.limits.concurrency {
            return Ok(Step::Full);
        }
        Ok(Step::Wait(self.take_off(&mut state, clearance)))
    }

    /// Starts the one connection that is being made.
    fn take_off(self: &Arc<Self>, state: &mut State, clearance: &Clearance) -> Flight {
        let (land, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        let pool = Arc::clone(self);
        let limits = &self.maker.limits;
        // Others wait for it too, so its time is its own and not that of the call that was first.
        let clearance = Clearance {
            deadline: Boottime::now() + limits.connect_timeout + limits.first_byte_timeout,
            ..clearance.clone()
        };
        tokio::spawn(async move {
            let made = pool.maker.connect(&clearance, false, &mut Vec::new()).await;
            let _ = land.send(Some(pool.land(made)));
        });
        flight
    }

    fn land(self: &Arc<Self>, made: Result<Connection, DriverError>) -> Result<(), DriverError> {
        let mut state = self.state();
        state.flight = None;
        let made = match made {
            Ok(connection) => {
                state.logins = None;
                state.made += 1;
                state.connections.push(Entry {
                    connection: Arc::new(connection),
                    open: 0,
                    room: self.maker.access.channels,
                    served: false,
                    idle_since: Boottime::now(),
                });
                if !std::mem::replace(&mut state.sweeping, true) {
                    tokio::spawn(sweep(Arc::downgrade(self)));
                }
                Ok(())
            }
            Err(failure) => {
                if failure.outcome == SendOutcome::Unauthorized {
                    state.logins = Some(Backoff::after(state.logins.as_ref(), failure.clone()));
                }
                Err(failure)
            }
        };
        drop(state);
        self.freed.notify_waiters();
        made
    }

    fn release(&self, connection: &Arc<Connection>) {
        {
            let mut state = self.state();
            let closed = state.closed;
            if let Some(entry) = state.entry(connection) {
                entry.open -= 1;
                entry.idle_since = Boottime::now();
                if closed {
                    entry.connection.retire();
                }
            }
            state.prune();
        }
        self.freed.notify_waiters();
    }

    /// Whether a channel can be opened without waiting for somebody to close one.
    pub(super) fn has_room(&self) -> bool {
        let mut state = self.state();
        state.prune();
        let free = |entry: &Entry| !entry.connection.is_retired() && entry.open < entry.room;
        state.connections.iter().any(free)
            || state.connections.len() < self.maker.limits.concurrency
    }

    pub(super) fn auth_state(&self) -> AuthState {
        let mut state = self.state();
        state.prune();
        if let Some(resting) = resting(&state.logins) {
            return AuthState::BackingOff {
                retry_after: resting.until.remaining().unwrap_or_default(),
                detail: resting.cause.detail.clone(),
            };
        }
        match (&state.flight, state.connections.is_empty()) {
            (_, false) => AuthState::LoggedIn {
                renewals: state.made,
                expires_in: None,
            },
            (Some(_), true) => AuthState::LoggingIn,
            (None, true) => AuthState::LoggedOut,
        }
    }

    /// Ends idle connections, and the others as soon as their last channel closes.
    pub(super) async fn close(&self) {
        let idle: Vec<_> = {
            let mut state = self.state();
            state.closed = true;
            for entry in &state.connections {
                entry.connection.retire();
            }
            let unused = state.connections.extract_if(.., |entry| entry.open == 0);
            unused.map(|entry| entry.connection).collect()
        };
        for connection in idle {
            connection.leave().await;
        }
    }
}

impl State {
    fn entry(&mut self, connection: &Arc<Connection>) -> Option<&mut Entry> {
        let is_it = |entry: &&mut Entry| Arc::ptr_eq(&entry.connection, connection);
        self.connections.iter_mut().find(is_it)
    }

    /// Forgets what has ended, and ends what is retired and not in use.
    fn prune(&mut self) {
        self.connections.retain(|entry| {
            let unused = entry.open == 0 && entry.connection.is_retired();
            if unused {
                entry.connection.cut();
            }
            !unused && !entry.connection.is_over()
        });
    }
}

/// Closes what has idled too long, until there is nothing left.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let Some(pool) = pool.upgrade() else { return };
        let idle: Vec<_> = {
            let mut state = pool.state();
            state.prune();
            let aged = state.connections.extract_if(.., |entry| {
                entry.open == 0 && entry.idle_since.elapsed() >= MAX_IDLE
            });
            let aged = aged.map(|entry| entry.connection).collect();
            if state.connections.is_empty() {
                state.sweeping = false;
            }
            aged
        };
        for connection in &idle {
            connection.leave().await;
        }
        if !pool.state().sweeping {
            return;
        }
    }
}
