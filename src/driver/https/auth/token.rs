//! Tokens: obtained once for everybody, renewed before they expire, renewed after a refusal.
//!
//! At most one login runs at a time, in a task of its own, so that a caller who gives up does not
//! leave a session behind that nobody knows. Callers wait for it within their own deadlines. A
//! login that the backend refused is not repeated at once: appliances lock accounts. Until the
//! back-off has passed, requests fail at once and say when it will be tried again.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::{AuthFailure, Authenticator, Credentials};
use crate::clock::Boottime;
use crate::driver::backoff::{Backoff, resting};
use crate::driver::https::scrub::Scrubber;
use crate::driver::https::transport::Failure;
use crate::driver::{Answer, Async, AuthState, Clearance, Refusal, SendOutcome};

/// A token is renewed while it still lives this long (as keystoneauth does), but never before half
/// of its life is over.
const MIN_LIFE: Duration = Duration::from_secs(120);
/// A session's end is told to the backend, and not waited for any longer.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Whether the node may send now; kept from the clearance of the last login for the logout.
type Gate = Arc<dyn Fn() -> bool + Send + Sync>;

/// What a login gave.
pub(in crate::driver::https) struct Granted {
    pub(super) credentials: Credentials,
    /// The tokens themselves, to be concealed.
    pub(super) tokens: Vec<String>,
    /// `None`: until the backend refuses them.
    pub(super) life: Option<Duration>,
}

/// The protocol of a login: a form, a JSON body, Keystone.
pub(in crate::driver::https) trait Grant:
    fmt::Debug + Send + Sync + 'static
{
    /// Logs in once.
    fn log_in<'a>(&'a self, clearance: &'a Clearance) -> Async<'a, Result<Granted, AuthFailure>>;

    /// Who is asked, for the log.
    fn whom(&self) -> String;

    /// How long a login may take.
    fn timeout(&self) -> Duration;

    /// Whether an answer to a call means "log in again".
    fn refuses(&self, answer: &Answer) -> bool;

    fn resends(&self) -> bool;

    /// Logs out where that is declared.
    fn log_out<'a>(
        &'a self,
        credentials: &'a Credentials,
        clearance: &'a Clearance,
    ) -> Async<'a, Result<(), Failure>>;

    fn conceal(&self, scrubber: &mut Scrubber);
}

/// An authenticator over a [`Grant`].
#[derive(Debug)]
pub(in crate::driver::https) struct Tokens<G> {
    shared: Arc<Shared<G>>,
}

#[derive(Debug)]
struct Shared<G> {
    grant: G,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    generation: u64,
    held: Option<Held>,
    /// Logins that the backend refused: until this has passed there is none.
    logins: Option<Backoff<AuthFailure>>,
    /// Renewals that did not help the call that asked for them: until this has passed, a refused
    /// call does not ask for another.
    renewals: Option<Backoff<AuthFailure>>,
    flight: Option<watch::Receiver<Option<Result<(), AuthFailure>>>>,
    gate: Option<Gate>,
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

struct Held {
    credentials: Arc<Credentials>,
    scrubber: Scrubber,
    renew_at: Option<Boottime>,
    expires_at: Option<Boottime>,
    refused: bool,
}

/// The failure of a request that comes while a wait is not over.
fn meanwhile(backoff: &Backoff<AuthFailure>, what: &str) -> AuthFailure {
    let mut failure = backoff.cause.clone();
    failure.detail = backoff.words(&failure.detail, what);
    failure
}

fn is_ahead(at: Boottime) -> bool {
    at.remaining().is_some()
}

/// What a caller does next.
enum Step {
    Use(Arc<Credentials>),
    Wait(watch::Receiver<Option<Result<(), AuthFailure>>>),
    Fail(AuthFailure),
}

impl<G: Grant> Tokens<G> {
    pub(super) fn new(grant: G) -> Self {
        Self {
            shared: Arc::new(Shared {
                grant,
                state: Mutex::default(),
            }),
        }
    }

    async fn credentials(
        &self,
        clearance: &Clearance,
        refused: Option<u64>,
    ) -> Result<Arc<Credentials>, AuthFailure> {
        let mut joined = false;
        loop {
            let mut flight = match self.shared.step(clearance, refused, joined)? {
                Step::Use(credentials) => return Ok(credentials),
                Step::Fail(failure) => return Err(failure),
                Step::Wait(flight) => flight,
            };
            joined = true;
            let left = clearance.check().map_err(refusal)?;
            let landed = tokio::time::timeout(left, flight.wait_for(Option::is_some)).await;
            match landed {
                Err(_) => return Err(refusal(Refusal::Deadline)),
                // The task ended without a word: it panicked, or the runtime stops.
                Ok(Err(_)) => {
                    return Err(AuthFailure::unauthorized(
                        "the login was broken off".to_owned(),
                        None,
                    ));
                }
                Ok(Ok(result)) => {
                    if let Some(Err(failure)) = &*result {
                        return Err(failure.clone());
                    }
                }
            }
        }
    }
}

fn refusal(refusal: Refusal) -> AuthFailure {
    let failure = Failure::refused(refusal);
    AuthFailure {
        phase: crate::driver::Phase::Authenticate,
        outcome: failure.outcome,
        detail: failure.detail,
        backend_status: None,
    }
}

impl<G: Grant> Shared<G> {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `joined`: the caller has already waited for one login, whose token it takes as it comes.
    fn step(
        self: &Arc<Self>,
        clearance: &Clearance,
        refused: Option<u64>,
        joined: bool,
    ) -> Result<Step, AuthFailure> {
        let mut state = self.state();
        // A login that panicked left nobody to land it; the next one may try.
        state.flight.take_if(|flight| flight.has_changed().is_err());
        if let Some(generation) = refused
            && state.generation == generation
        {
            // Renewing has just been tried and was of no use: this call is refused for another
            // reason, and the others go on with the token.
            if let Some(useless) = resting(&state.renewals) {
                return Ok(Step::Fail(meanwhile(useless, "renewal")));
            }
            if let Some(held) = &mut state.held {
                held.refused = true;
            }
        }
        let usable = state
            .held
            .as_ref()
            .filter(|held| !held.refused && (joined || held.expires_at.is_none_or(is_ahead)));
        if let Some(held) = usable {
            let credentials = Arc::clone(&held.credentials);
            let due = held.renew_at.is_some_and(|at| !is_ahead(at));
            let may_log_in = state.flight.is_none() && resting(&state.logins).is_none();
            // It is renewed beside the call, which goes on with what is still good.
            if due && !joined && may_log_in && clearance.check().is_ok() {
                self.take_off(&mut state, clearance);
            }
            return Ok(Step::Use(credentials));
        }
        if let Some(flight) = &state.flight {
            return Ok(Step::Wait(flight.clone()));
        }
        if let Some(refused) = resting(&state.logins) {
            return Ok(Step::Fail(meanwhile(refused, "login")));
        }
        // A login is something that this node sends, so the gate is asked before it too.
        clearance.check().map_err(refusal)?;
        Ok(Step::Wait(self.take_off(&mut state, clearance)))
    }

    /// Starts the one login.
    fn take_off(
        self: &Arc<Self>,
        state: &mut State,
        clearance: &Clearance,
    ) -> watch::Receiver<Option<Result<(), AuthFailure>>> {
        let (land, flight) = watch::channel(None);
        state.flight = Some(flight.clone());
        state.gate = Some(Arc::clone(&clearance.gate));
        let own = Clearance {
            deadline: Boottime::now() + self.grant.timeout(),
            // A session is made: a stale connection would leave it unknown whether it was.
            mutating: true,
            gate: Arc::clone(&clearance.gate),
        };
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let result = shared.grant.log_in(&own).await;
            land.send_replace(Some(shared.landed(result)));
        });
        flight
    }

    fn landed(&self, result: Result<Granted, AuthFailure>) -> Result<(), AuthFailure> {
        let mut state = self.state();
        state.flight = None;
        let failure = match result {
            Ok(granted) => {
                state.generation += 1;
                let now = Boottime::now();
                let generation = state.generation;
                let mut scrubber = Scrubber::default();
                for token in &granted.tokens {
                    scrubber.add(token);
                }
                state.held = Some(Held {
                    credentials: Arc::new(Credentials {
                        generation,
                        ..granted.credentials
                    }),
                    scrubber,
                    renew_at: granted
                        .life
                        .map(|life| now + (life - MIN_LIFE.min(life / 2))),
                    expires_at: granted.life.map(|life| now + life),
                    refused: false,
                });
                state.logins = None;
                return Ok(());
            }
            Err(failure) => failure,
        };
        // Only what the backend heard is held against the credentials: a host that is down is the
        // breaker's matter, and is found again without a wait.
        if failure.outcome == SendOutcome::Unauthorized {
            state.logins = Some(Backoff::after(state.logins.as_ref(), failure.clone()));
        }
        tracing::warn!(whom = %self.grant.whom(), detail = %failure.detail, "a login failed");
        Err(failure)
    }
}

impl<G: Grant> Authenticator for Tokens<G> {
    fn ready(&self) -> Option<Arc<Credentials>> {
        let state = self.shared.state();
        let held = state.held.as_ref()?;
        let fresh = held.renew_at.is_none_or(is_ahead);
        (fresh && !held.refused).then(|| Arc::clone(&held.credentials))
    }

    fn obtain<'a>(
        &'a self,
        clearance: &'a Clearance,
        refused: Option<u64>,
    ) -> Async<'a, Result<Arc<Credentials>, AuthFailure>> {
        Box::pin(self.credentials(clearance, refused))
    }

    fn refuses(&self, answer: &Answer) -> bool {
        self.shared.grant.refuses(answer)
    }

    fn resends(&self) -> bool {
        self.shared.grant.resends()
    }

    fn retire(&self, generation: u64) {
        let mut state = self.shared.state();
        if state.generation == generation
            && let Some(held) = &mut state.held
        {
            held.refused = true;
        }
    }

    fn settle(&self, generation: u64, refused: bool) {
        let mut state = self.shared.state();
        if !refused {
            state.renewals = None;
        } else if state.generation == generation {
            let cause = AuthFailure::unauthorized(
                "the backend refused the call even with new credentials".to_owned(),
                None,
            );
            state.renewals = Some(Backoff::after(state.renewals.as_ref(), cause));
        }
    }

    fn conceal(&self, scrubber: &mut Scrubber) {
        self.shared.grant.conceal(scrubber);
        if let Some(held) = &self.shared.state().held {
            scrubber.join(&held.scrubber);
        }
    }

    fn end(&self) -> Async<'_, ()> {
        Box::pin(async {
            // A login under way makes a session too.
            let flight = self.shared.state().flight.clone();
            if let Some(mut flight) = flight {
                let landed = flight.wait_for(Option::is_some);
                // Whatever came of it, what is held now is what there is to end.
                let _ = tokio::time::timeout(END_WITHIN, landed).await;
            }
            let (credentials, gate) = {
                let mut state = self.shared.state();
                match (state.held.take(), state.gate.clone()) {
                    (Some(held), Some(gate)) => (held.credentials, gate),
                    _ => return,
                }
            };
            let clearance = Clearance {
                deadline: Boottime::now() + END_WITHIN,
                mutating: true,
                gate,
            };
            if let Err(failure) = self.shared.grant.log_out(&credentials, &clearance).await {
                tracing::info!(
                    whom = %self.shared.grant.whom(),
                    detail = %failure.detail,
                    "a session was not ended"
                );
            }
        })
    }

    fn state(&self) -> AuthState {
        let state = self.shared.state();
        if let Some(resting) = resting(&state.logins) {
            return AuthState::BackingOff {
                retry_after: resting.until.remaining().unwrap_or_default(),
                detail: resting.cause.detail.clone(),
            };
        }
        match &state.held {
            Some(held) => AuthState::LoggedIn {
                renewals: state.generation,
                expires_in: held.expires_at.map(|at| at.remaining().unwrap_or_default()),
            },
            None if state.flight.is_some() => AuthState::LoggingIn,
            None => AuthState::LoggedOut,
        }
    }
}
