//! How calls to a backend authenticate: [`fixed`] credentials, or [`token`]s that are obtained,
//! shared, renewed before they expire, and renewed once more after a refusal (SEMANTICS 10).
//!
//! Secrets leave `Secret` here and in what is built here, never in a message.

pub(super) mod fixed;
pub(super) mod keystone;
pub(super) mod login;
mod redirect;
pub(super) mod token;
mod tree;

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::scrub::Scrubber;
use super::transport::{Failure, Transport};
use crate::driver::{Answer, Async, AuthState, Clearance, Phase, SendOutcome};
use crate::plan::{Auth, HttpsDriver};

/// What a call carries to be let in.
#[derive(Clone, Default)]
pub(super) struct Credentials {
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) cookie: Option<HeaderValue>,
    /// Encoded pairs.
    pub(super) query: Box<str>,
    /// Grows with each renewal.
    pub(super) generation: u64,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials of generation {}", self.generation)
    }
}

/// Why there are no credentials.
#[derive(Clone, Debug)]
pub(super) struct AuthFailure {
    pub(super) phase: Phase,
    pub(super) outcome: SendOutcome,
    pub(super) detail: String,
    pub(super) backend_status: Option<u16>,
}

impl AuthFailure {
    fn unauthorized(detail: String, backend_status: Option<u16>) -> Self {
        Self {
            phase: Phase::Authenticate,
            outcome: SendOutcome::Unauthorized,
            detail,
            backend_status,
        }
    }
}

/// One way to authenticate.
pub(super) trait Authenticator: fmt::Debug + Send + Sync {
    /// The credentials at hand, where nobody has to be asked for them.
    fn ready(&self) -> Option<Arc<Credentials>>;

    /// Credentials that are not of the generation `refused`, asked for where there are none.
    fn obtain<'a>(
        &'a self,
        clearance: &'a Clearance,
        refused: Option<u64>,
    ) -> Async<'a, Result<Arc<Credentials>, AuthFailure>>;

    /// Whether this answer says that the credentials are no longer good and that new ones might be.
    fn refuses(&self, answer: &Answer) -> bool;

    /// Whether a refused call is sent once more with renewed credentials.
    fn resends(&self) -> bool;

    /// Forgets credentials that were refused.
    fn retire(&self, generation: u64);

    /// Notes what came of credentials that were at most one renewal old: a backend that refuses even
    /// those is not asked for new ones at every call.
    fn settle(&self, generation: u64, refused: bool);

    /// Adds what must not be read in a message.
    fn conceal(&self, scrubber: &mut Scrubber);

    /// Ends the session where that is declared.
    fn end(&self) -> Async<'_, ()>;

    fn state(&self) -> AuthState;
}

/// The authenticator that a backend's file asks for. `home` is the transport of the backend itself.
pub(super) fn make(
    auth: &Auth,
    driver: &HttpsDriver,
    home: &Arc<Transport>,
) -> Result<Box<dyn Authenticator>, String> {
    Ok(match auth {
        Auth::Keystone(keystone) => {
            let grant = keystone::Grant::new(keystone, home.limits())?;
            Box::new(token::Tokens::new(grant))
        }
        Auth::Login(login) => {
            let grant = login::Grant::new(login, driver, home)?;
            Box::new(token::Tokens::new(grant))
        }
        other => Box::new(fixed::Fixed::new(other)?),
    })
}

/// What stands where a secret would.
const MASK: &str = "***";

/// What calls would carry, with `***` for each secret; nobody is asked for a token.
pub(super) fn masked(auth: &Auth) -> Result<Credentials, String> {
    match auth {
        Auth::Keystone(_) => keystone::credentials(MASK),
        Auth::Login(login) => {
            let tokens = login.tokens.iter();
            login::credentials(
                login,
                tokens.map(|(name, _)| (name.clone(), MASK.to_owned())),
            )
        }
        other => fixed::credentials(other, |_| MASK.to_owned()),
    }
}

/// A header value that holds a secret; the message names the header and not the value.
fn secret_header(name: &HeaderName, value: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::try_from(value)
        .map_err(|_| format!("the secret for the header `{name}` cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A failed sending of a login as the failure of the call that needed it. A login that was sent and
/// not answered leaves the call unsent all the same.
fn login_failure(failure: Failure, whom: &str) -> AuthFailure {
    AuthFailure {
        outcome: match failure.outcome {
            SendOutcome::Unknown => SendOutcome::Unauthorized,
            other => other,
        },
        phase: if failure.sent {
            Phase::Authenticate
        } else {
            failure.phase
        },
        detail: format!("the login at {whom} failed: {}", failure.detail),
        backend_status: None,
    }
}
