//! The `https` driver: one rendered call, sent once, over a backend's own connections and with its
//! own credentials.
//!
//! Reading order: `transport` (deadlines, what "sent" means), `pool`, `stream` and [`tls`] below it,
//! `request` and [`body`] beside it, `auth` above it, [`wire`] what is shown of it all. This file joins them: it asks for credentials,
//! sends, and after a refusal renews them and sends once more (SEMANTICS 10).

mod auth;
pub mod body;
mod pool;
mod request;
pub(super) mod scrub;
mod stream;
pub mod tls;
mod transport;
pub mod wire;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use self::auth::{AuthFailure, Authenticator, Credentials};
use self::request::{Frame, Particulars};
use self::scrub::Scrubber;
use self::transport::{Failure, Transport};
use super::{
    Answer, Async, AuthState, Clearance, Driver, DriverError, Found, HttpRequest, Phase, Probe,
    RenderedCall, SendOutcome,
};
use crate::plan::{self, BackendLimits};

/// How long `close` waits for the logouts of one backend, all of them together.
const LOGOUTS_WITHIN: std::time::Duration = std::time::Duration::from_secs(10);

/// The driver of one backend.
pub struct HttpsDriver {
    transport: Arc<Transport>,
    frame: Frame,
    /// As `plan::HttpsDriver::auths`: the first is `auth`.
    auths: Vec<(Box<str>, Box<dyn Authenticator>)>,
}

impl fmt::Debug for HttpsDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpsDriver")
            .field("transport", &self.transport)
            .finish_non_exhaustive()
    }
}

impl HttpsDriver {
    /// Builds everything that can be built before the first call; the error names what cannot.
    pub fn new(spec: &plan::HttpsDriver, limits: &BackendLimits) -> Result<Self, String> {
        let transport = Arc::new(Transport::new(&spec.url, &spec.tls, limits)?);
        let mut auths = Vec::with_capacity(spec.auths.len());
        for (name, auth) in &spec.auths {
            auths.push((name.clone(), auth::make(auth, spec, &transport)?));
        }
        Ok(Self {
            frame: Frame::new(&spec.url, &spec.headers, &spec.query)?,
            transport,
            auths,
        })
    }

    async fn call(&self, call: &HttpRequest, clearance: &Clearance) -> Result<Answer, DriverError> {
        let auth = self.authenticator(call.auth.as_deref())?;
        let credentials = match auth.ready() {
            Some(credentials) => credentials,
            None => auth
                .obtain(clearance, None)
                .await
                .map_err(|failure| unauthenticated(failure, 0))?,
        };
        let answer = self
            .send_once(call, &credentials, clearance)
            .await
            .map_err(|failure| unanswered(failure, 0))?;
        if !auth.refuses(&answer) {
            return Ok(answer);
        }
        let status = answer.status;
        if !auth.resends() {
            // The next call has new credentials; this one is over.
            auth.retire(credentials.generation);
            return Err(refused(
                status,
                1,
                "and `on_unauthorized: fail` sends it no more",
            ));
        }
        let renewed = auth
            .obtain(clearance, Some(credentials.generation))
            .await
            .map_err(|failure| DriverError {
                backend_status: failure.backend_status.or(Some(status)),
                ..unauthenticated(failure, 1)
            })?;
        let mut answer = self
            .send_once(call, &renewed, clearance)
            .await
            .map_err(|failure| unanswered(failure, 1))?;
        let again = auth.refuses(&answer);
        auth.settle(renewed.generation, again);
        if again {
            return Err(refused(answer.status, 2, "twice, with new credentials too"));
        }
        answer.sends = 2;
        Ok(answer)
    }

    async fn probe_into(
        &self,
        found: &mut Vec<Found>,
        clearance: &Clearance,
    ) -> Result<(), DriverError> {
        let steps = self
            .transport
            .probe(clearance)
            .await
            .map_err(|failure| unanswered(failure, 0))?;
        found.extend(steps);
        for (name, auth) in &self.auths {
            let fixed = auth.state() == AuthState::Fixed;
            auth.obtain(clearance, None)
                .await
                .map_err(|failure| unauthenticated(failure, 0))?;
            let how = if fixed {
                "takes its credentials from the configuration; they were not tried"
            } else {
                "is logged in"
            };
            found.push(Found {
                phase: Phase::Authenticate,
                what: format!("`{name}` {how}"),
            });
        }
        Ok(())
    }

    fn authenticator(&self, name: Option<&str>) -> Result<&dyn Authenticator, DriverError> {
        let found = match name {
            None => self.auths.first(),
            Some(name) => self.auths.iter().find(|(known, _)| **known == *name),
        };
        found.map(|(_, auth)| &**auth).ok_or_else(|| DriverError {
            phase: Phase::Authenticate,
            outcome: SendOutcome::NotSent,
            detail: format!("this backend has no auth `{}`", name.unwrap_or("auth")),
            sends: 0,
            backend_status: None,
        })
    }

    async fn send_once(
        &self,
        call: &HttpRequest,
        credentials: &Credentials,
        clearance: &Clearance,
    ) -> Result<Answer, Failure> {
        let request = self
            .frame
            .request(Particulars::of(call), credentials)
            .map_err(|detail| Failure {
                phase: Phase::Send,
                outcome: SendOutcome::NotSent,
                sent: false,
                detail,
            })?;
        self.transport.send(request, clearance).await
    }

    fn scrubber(&self) -> Scrubber {
        let mut scrubber = Scrubber::default();
        for (_, auth) in &self.auths {
            auth.conceal(&mut scrubber);
        }
        scrubber
    }
}

/// A sending without an answer, after `earlier` refused ones.
fn unanswered(failure: Failure, earlier: u32) -> DriverError {
    DriverError {
        sends: earlier + u32::from(failure.sent),
        phase: failure.phase,
        outcome: failure.outcome,
        detail: failure.detail,
        backend_status: None,
    }
}

fn unauthenticated(failure: AuthFailure, sends: u32) -> DriverError {
    DriverError {
        phase: failure.phase,
        outcome: failure.outcome,
        detail: failure.detail,
        sends,
        backend_status: failure.backend_status,
    }
}

fn refused(status: u16, sends: u32, how: &str) -> DriverError {
    DriverError {
        phase: Phase::Authenticate,
        outcome: SendOutcome::Unauthorized,
        detail: format!("the backend refused the call for its credentials ({status}), {how}"),
        sends,
        backend_status: Some(status),
    }
}

impl Driver for HttpsDriver {
    fn send<'a>(
        &'a self,
        call: &'a RenderedCall,
        clearance: &'a Clearance,
    ) -> Async<'a, Result<Answer, DriverError>> {
        Box::pin(async move {
            let RenderedCall::Http(call) = call else {
                return Err(DriverError::not_sent(
                    Phase::Send,
                    "the https driver sends `http` calls",
                ));
            };
            let answer = self.call(call, clearance).await;
            answer.map_err(|error| error.scrubbed(self))
        })
    }

    fn probe<'a>(&'a self, clearance: &'a Clearance) -> Async<'a, Probe> {
        Box::pin(async move {
            let mut probe = Probe {
                found: Vec::new(),
                failed: None,
            };
            let failed = self.probe_into(&mut probe.found, clearance).await.err();
            probe.failed = failed.map(|error| error.scrubbed(self));
            probe
        })
    }

    fn close(&self) -> Async<'_, ()> {
        Box::pin(async move {
            let logouts = async {
                for (_, auth) in &self.auths {
                    auth.end().await;
                }
            };
            if tokio::time::timeout(LOGOUTS_WITHIN, logouts).await.is_err() {
                tracing::info!(backend = ?self.transport, "logging out took too long");
            }
            self.transport.close();
        })
    }

    fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.scrubber().clean(text)
    }

    fn auth_state(&self) -> AuthState {
        self.auths
            .first()
            .map_or(AuthState::Fixed, |(_, auth)| auth.state())
    }
}
