//! The breaker: after a number of failures in a row a backend is left alone for a while, then one
//! call tries whether it is back.
//!
//! A failure is what says that the backend itself is sick: no connection, no TLS, no answer after
//! the call was sent, or a 502, 503 or 504 (a proxy in front of it, or its own overload). Any other
//! answer shows a backend that lives, an error status included. What was refused on our side (the
//! gate, the deadline, a failed login, which has its own back-off) says nothing either way.
//!
//! What time it is comes in as an argument.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::driver::{Answer, DriverError, Phase, Protocol, SendOutcome};
use crate::plan;

/// The breaker of one backend.
#[derive(Debug)]
pub struct Breaker {
    settings: plan::Breaker,
    /// Closed, and the last call was well: nothing to look up, nothing to change.
    calm: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
    },
    /// One call tries, or may try; the others wait for what comes of it.
    HalfOpen {
        trying: bool,
    },
}

/// What a breaker shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    Closed,
    Open { retry_after: Duration },
    HalfOpen,
}

/// What a call says of its backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    Well,
    Sick,
    NothingSaid,
}

impl Health {
    /// Of a driver's result; see the head of this file.
    pub fn of(result: &Result<Answer, DriverError>) -> Self {
        match result {
            Ok(answer)
                if answer.protocol == Protocol::Http && matches!(answer.status, 502..=504) =>
            {
                Health::Sick
            }
            Ok(_) => Health::Well,
            Err(error) => match (error.outcome, error.phase) {
                (SendOutcome::Unknown, _)
                | (SendOutcome::NotSent, Phase::Resolve | Phase::Connect | Phase::Tls) => {
                    Health::Sick
                }
                _ => Health::NothingSaid,
            },
        }
    }
}

/// How long the others wait while one call tries.
const WHILE_TRYING: Duration = Duration::from_secs(1);

/// Leave to call; `trial` is the one call of a half-open breaker.
#[derive(Debug, PartialEq, Eq)]
pub struct Leave {
    pub trial: bool,
}

impl Breaker {
    pub fn new(settings: plan::Breaker) -> Self {
        Self {
            settings,
            calm: AtomicBool::new(true),
            state: Mutex::new(State::Closed { failures: 0 }),
        }
    }

    pub fn settings(&self) -> &plan::Breaker {
        &self.settings
    }

    /// Whether a call would get leave now; takes none.
    pub fn check(&self, now: Instant) -> Result<(), Duration> {
        if self.is_calm() {
            return Ok(());
        }
        match self.state(now) {
            BreakerState::Open { retry_after } => Err(retry_after),
            BreakerState::HalfOpen if self.is_trying() => Err(WHILE_TRYING),
            BreakerState::Closed | BreakerState::HalfOpen => Ok(()),
        }
    }

    /// Takes leave to call, or says how long there is none.
    pub fn admit(&self, now: Instant) -> Result<Leave, Duration> {
        if self.is_calm() {
            return Ok(Leave { trial: false });
        }
        let mut state = self.lock();
        match &mut *state {
            State::Closed { .. } => Ok(Leave { trial: false }),
            State::HalfOpen { trying: true } => Err(WHILE_TRYING),
            State::HalfOpen { trying } => {
                *trying = true;
                Ok(Leave { trial: true })
            }
            State::Open { until } => match left(*until, now) {
                Some(wait) => Err(wait),
                None => {
                    *state = State::HalfOpen { trying: true };
                    Ok(Leave { trial: true })
                }
            },
        }
    }

    /// Notes what a call says of its backend.
    pub fn note(&self, health: Health, now: Instant) {
        // Zero failures in a row would be always open: it means "no breaker".
        if self.settings.failures == 0 || (health == Health::Well && self.is_calm()) {
            return;
        }
        let mut state = self.lock();
        match (&mut *state, health) {
            (_, Health::NothingSaid) => {}
            (_, Health::Well) => *state = State::Closed { failures: 0 },
            (State::Closed { failures }, Health::Sick)
                if *failures + 1 < self.settings.failures =>
            {
                *failures += 1;
            }
            // A call that began before the breaker opened does not prolong it.
            (State::Open { .. }, Health::Sick) => {}
            (_, Health::Sick) => {
                *state = State::Open {
                    until: now + self.settings.open_for,
                };
            }
        }
        let calm = matches!(&*state, State::Closed { failures: 0 });
        self.calm.store(calm, Ordering::Release);
    }

    /// Gives leave back: a trial that came to no verdict (cancelled, refused on our side) lets the
    /// next call try.
    pub fn give_back(&self, leave: &Leave) {
        if leave.trial
            && let State::HalfOpen { trying } = &mut *self.lock()
        {
            *trying = false;
        }
    }

    pub fn state(&self, now: Instant) -> BreakerState {
        match &*self.lock() {
            State::Closed { .. } => BreakerState::Closed,
            State::HalfOpen { .. } => BreakerState::HalfOpen,
            State::Open { until } => match left(*until, now) {
                Some(retry_after) => BreakerState::Open { retry_after },
                None => BreakerState::HalfOpen,
            },
        }
    }

    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Acquire)
    }

    fn is_trying(&self) -> bool {
        matches!(&*self.lock(), State::HalfOpen { trying: true })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn left(until: Instant, now: Instant) -> Option<Duration> {
    Some(until.saturating_duration_since(now)).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaker() -> Breaker {
        Breaker::new(plan::Breaker {
            failures: 2,
            open_for: Duration::from_secs(10),
        })
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_one_call_tries() {
        let (breaker, mut now) = (breaker(), Instant::now());
        breaker.note(Health::Sick, now);
        breaker.note(Health::Well, now);
        breaker.note(Health::Sick, now);
        assert_eq!(breaker.admit(now), Ok(Leave { trial: false }));
        breaker.note(Health::Sick, now);
        assert_eq!(breaker.admit(now), Err(Duration::from_secs(10)));

        now += Duration::from_secs(10);
        assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(now), Ok(Leave { trial: true }));
        assert_eq!(breaker.admit(now), Err(WHILE_TRYING));
        breaker.note(Health::Well, now);
        assert_eq!(breaker.admit(now), Ok(Leave { trial: false }));
    }

    #[test]
    fn a_failed_trial_opens_it_again() {
        let (breaker, mut now) = (breaker(), Instant::now());
        breaker.note(Health::Sick, now);
        breaker.note(Health::Sick, now);
        now += Duration::from_secs(11);
        let leave = breaker.admit(now).unwrap();
        breaker.note(Health::Sick, now);
        breaker.give_back(&leave);
        assert_eq!(breaker.admit(now), Err(Duration::from_secs(10)));
    }

    #[test]
    fn a_trial_without_a_verdict_lets_the_next_call_try() {
        let (breaker, mut now) = (breaker(), Instant::now());
        breaker.note(Health::Sick, now);
        breaker.note(Health::Sick, now);
        now += Duration::from_secs(11);
        let leave = breaker.admit(now).unwrap();
        breaker.note(Health::NothingSaid, now);
        breaker.give_back(&leave);
        assert_eq!(breaker.admit(now), Ok(Leave { trial: true }));
    }

    #[test]
    fn a_late_failure_does_not_prolong_an_open_breaker() {
        let (breaker, mut now) = (breaker(), Instant::now());
        breaker.note(Health::Sick, now);
        breaker.note(Health::Sick, now);
        now += Duration::from_secs(6);
        breaker.note(Health::Sick, now);
        assert_eq!(breaker.check(now), Err(Duration::from_secs(4)));
    }

    #[test]
    fn a_failed_login_and_an_error_status_are_no_sickness() {
        let error = |phase, outcome| {
            Err(DriverError {
                phase,
                outcome,
                detail: String::new(),
                sends: 0,
                backend_status: None,
            })
        };
        let answer = |status| {
            Ok(Answer {
                status,
                headers: http::HeaderMap::new(),
                body: bytes::Bytes::new(),
                body_error: None,
                sends: 1,
                ..Answer::default()
            })
        };
        for (result, health) in [
            (error(Phase::Connect, SendOutcome::NotSent), Health::Sick),
            (error(Phase::Tls, SendOutcome::NotSent), Health::Sick),
            (error(Phase::Wait, SendOutcome::Unknown), Health::Sick),
            (
                error(Phase::Authenticate, SendOutcome::Unauthorized),
                Health::NothingSaid,
            ),
            (answer(503), Health::Sick),
            (answer(500), Health::Well),
            (answer(404), Health::Well),
        ] {
            assert_eq!(Health::of(&result), health, "{result:?}");
        }
    }
}
