//! The backends of a trial: drivers that do what they are told and remember what they were to send.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::driver::{
    Answer, Async, AuthState, Clearance, Driver, DriverError, Phase, Probe, Refusal, RenderedCall,
    Ruling, SendOutcome,
};
use crate::plan::BackendId;

/// What a backend does when it is called.
#[derive(Clone, Debug)]
pub enum Act {
    Answer(Answer),
    Fail(DriverError),
}

impl Act {
    /// No connection is made: the request ends there, and nothing was sent.
    pub fn unreachable() -> Self {
        Act::Fail(DriverError {
            phase: Phase::Connect,
            outcome: SendOutcome::NotSent,
            detail: "there is no backend in a trial".into(),
            sends: 0,
            backend_status: None,
        })
    }

    /// The call is sent, and no answer comes.
    pub fn silence() -> Self {
        Act::Fail(DriverError {
            phase: Phase::Wait,
            outcome: SendOutcome::Unknown,
            detail: "the deadline passed".into(),
            sends: 1,
            backend_status: None,
        })
    }
}

/// A call that a driver was to send.
#[derive(Clone, Debug)]
pub struct Sent {
    pub backend: BackendId,
    pub call: RenderedCall,
}

/// What every backend of a trial does, and what they heard.
#[derive(Debug, Default)]
pub(super) struct Stage {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// `None` before the first scene: unreachable.
    act: Option<Act>,
    heard: Vec<Sent>,
}

impl Stage {
    pub(super) fn set(&self, act: Act) {
        *self.lock() = State {
            act: Some(act),
            heard: Vec::new(),
        };
    }

    pub(super) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.lock().heard)
    }

    pub(super) fn driver(self: &Arc<Self>, backend: BackendId) -> Arc<dyn Driver> {
        Arc::new(Player {
            stage: Arc::clone(self),
            backend,
        })
    }

    // Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The driver of one backend.
struct Player {
    stage: Arc<Stage>,
    backend: BackendId,
}

impl Player {
    fn play(&self, call: &RenderedCall, clearance: &Clearance) -> Result<Answer, DriverError> {
        // The deadline is not asked: a trial takes no time.
        if !(clearance.gate)() {
            return Err(DriverError {
                phase: Phase::Send,
                outcome: SendOutcome::Refused(Refusal::Gate),
                detail: "the gate is closed".into(),
                sends: 0,
                backend_status: None,
            });
        }
        let mut state = self.stage.lock();
        state.heard.push(Sent {
            backend: self.backend,
            call: call.clone(),
        });
        match state.act.clone().unwrap_or_else(Act::unreachable) {
            Act::Answer(mut answer) => {
                if let (Ruling::Partly { total, .. }, RenderedCall::Cli(script)) =
                    (&mut answer.ruling, call)
                {
                    *total = script.lines.len();
                }
                Ok(answer)
            }
            Act::Fail(error) => Err(error),
        }
    }
}

impl Driver for Player {
    fn send<'a>(
        &'a self,
        call: &'a RenderedCall,
        clearance: &'a Clearance,
    ) -> Async<'a, Result<Answer, DriverError>> {
        Box::pin(std::future::ready(self.play(call, clearance)))
    }

    fn close(&self) -> Async<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn probe<'a>(&'a self, _: &'a Clearance) -> Async<'a, Probe> {
        Box::pin(std::future::ready(Probe {
            found: Vec::new(),
            failed: None,
        }))
    }

    fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        Cow::Borrowed(text)
    }

    fn auth_state(&self) -> AuthState {
        AuthState::Fixed
    }
}
