//! A driver is the protocol that reaches a backend. It sends one rendered call, once, and says what
//! came of it. A driver never sees a route, a mapping or a template of one.

mod backoff;
pub mod https;
pub mod manager;
pub mod netconf;
pub mod ssh;

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use crate::clock::Boottime;
use crate::plan::{Datastore, NetconfOperation};

pub use https::body::text_of;
pub use manager::{DriverManager, Preview};

/// A boxed future: `Driver` is used as a trait object.
pub type Async<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A rendered call: all that a backend will hear, but for its credentials.
#[derive(Clone, Debug)]
pub enum RenderedCall {
    Http(HttpRequest),
    Cli(CliScript),
    Exec(ExecCommand),
    Netconf(NetconfRequest),
}

/// Rendered lines of the `ssh` driver's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliScript {
    /// A mode of the backend's profile; `None`: the one that a login ends in.
    pub mode: Option<Box<str>>,
    /// Without line ends; never empty.
    pub lines: Vec<String>,
    /// Run the profile's save command after the last line.
    pub save: bool,
}

/// A rendered program of the `ssh` driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecCommand {
    /// The words, quoted for the remote shell, with blanks between them.
    pub command: String,
    pub stdin: Option<Bytes>,
}

/// A rendered operation of the `netconf` driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetconfRequest {
    pub operation: NetconfOperation,
    pub target: Option<Datastore>,
    /// Well-formed XML that stands inside `<filter>`, `<config>` or `<rpc>`.
    pub content: Option<String>,
}

/// A rendered call of the `https` driver.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    pub method: Method,
    /// Encoded path and query below the backend's base path: `/v2.0/ports?fields=id`.
    pub path_and_query: String,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Content type and body.
    pub body: Option<(HeaderValue, Bytes)>,
    /// A name of the backend's `auths`; `None`: its `auth`.
    pub auth: Option<Box<str>>,
}

/// Leave to send, asked right before every byte sequence that can act (SEMANTICS 9): the write gate,
/// the epoch and the deadline.
#[derive(Clone)]
pub struct Clearance {
    pub deadline: Boottime,
    /// The call may change something: reuse of idle connections is bounded by `idle_reuse`.
    pub mutating: bool,
    /// Whether this node is still the one that calls backends.
    pub gate: Arc<dyn Fn() -> bool + Send + Sync>,
}

impl Clearance {
    /// Refuses when the gate is closed or the deadline has passed.
    pub fn check(&self) -> Result<Duration, Refusal> {
        if !(self.gate)() {
            return Err(Refusal::Gate);
        }
        self.deadline.remaining().ok_or(Refusal::Deadline)
    }
}

impl fmt::Debug for Clearance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clearance")
            .field("deadline", &self.deadline)
            .field("mutating", &self.mutating)
            .finish_non_exhaustive()
    }
}

/// Why leave to send was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This node is not, or no longer, active.
    Gate,
    Deadline,
}

/// What a backend answered.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status of HTTP; the exit status of a program; 0, or the number of the line that a command
    /// line refused; 0, or 1 where a NETCONF reply has an `rpc-error` of severity error.
    pub status: u16,
    /// Of HTTP; elsewhere at most what tells how the body is read.
    pub headers: HeaderMap,
    /// Decompressed, at most the backend's `limits.response_body`: a body, what a program or a command
    /// line wrote, an `<rpc-reply>`.
    pub body: Bytes,
    /// What a program wrote as its errors.
    pub stderr: Bytes,
    /// The body was cut, too large, or could not be decompressed: it must not be believed.
    pub body_error: Option<String>,
    /// How often the call's bytes were sent: 1, or 2 after a refused 401.
    pub sends: u32,
    pub protocol: Protocol,
    pub ruling: Ruling,
}

/// What an answer is an answer of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Http,
    Cli,
    Exec,
    Netconf,
}

/// What the protocol itself says of an answer, whatever the route's rules make of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Ruling {
    /// The status says it: 2xx of HTTP, 0 of everything else is a success.
    #[default]
    ByStatus,
    /// It was refused, and nothing of the call is in force: a first line refused, an edit rolled back.
    NotDone {
        /// What the refusal is in HTTP, where the protocol's own errors say it (RFC 6241, appendix A).
        reply: Option<StatusCode>,
        detail: String,
    },
    /// Some of the call is in force, and the rest is not.
    Partly {
        /// Lines that were taken.
        applied: usize,
        /// Lines of the call.
        total: usize,
        detail: String,
    },
    /// It went wrong, and how much of it is in force is not known.
    Unclear { detail: String },
}

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{phase}: {detail}")]
pub struct DriverError {
    pub phase: Phase,
    pub outcome: SendOutcome,
    /// For the log and the operation: never a secret.
    pub detail: String,
    pub sends: u32,
    /// The backend's status where one came (a second 401, a failed login's).
    pub backend_status: Option<u16>,
}

impl DriverError {
    /// Nothing of the call was handed to a socket.
    pub fn not_sent(phase: Phase, detail: impl Into<String>) -> Self {
        Self {
            phase,
            outcome: SendOutcome::NotSent,
            detail: detail.into(),
            sends: 0,
            backend_status: None,
        }
    }

    /// Refused before the first byte.
    pub fn refused(refusal: Refusal, phase: Phase, detail: impl Into<String>) -> Self {
        Self {
            outcome: SendOutcome::Refused(refusal),
            ..Self::not_sent(phase, detail)
        }
    }

    /// Without the backend's credentials: `driver` knows them.
    fn scrubbed(mut self, driver: &impl Driver) -> Self {
        self.detail = driver.scrub(&self.detail).into_owned();
        self
    }

    /// Sent, and what became of it is not known.
    pub fn unknown(phase: Phase, detail: impl Into<String>) -> Self {
        Self {
            outcome: SendOutcome::Unknown,
            sends: 1,
            ..Self::not_sent(phase, detail)
        }
    }
}

/// What is known of a call that has no answer: it decides what is journalled and what the CMP hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    /// Not one byte was handed to a socket.
    NotSent,
    /// Refused before the first byte by the gate or the deadline; after a 401, before the first byte
    /// of the re-send (`sends` is 1 then: the refused call did not run).
    Refused(Refusal),
    /// The login failed, or the call was refused a second time for its credentials: it did not run.
    Unauthorized,
    /// Sent, then silence, a reset or a timeout.
    Unknown,
}

/// How far a call came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Resolve,
    Connect,
    Tls,
    /// SSH: versions and algorithms.
    Negotiate,
    HostKey,
    Authenticate,
    /// SSH: a channel; a command line's first prompt and mode; NETCONF's hello and lock.
    Open,
    Send,
    Wait,
    Read,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Resolve => "resolving the host",
            Phase::Connect => "connecting",
            Phase::Tls => "negotiating TLS",
            Phase::Negotiate => "negotiating SSH",
            Phase::HostKey => "checking the host key",
            Phase::Authenticate => "authenticating",
            Phase::Open => "opening a session",
            Phase::Send => "sending",
            Phase::Wait => "waiting for the answer",
            Phase::Read => "reading the answer",
        })
    }
}

/// One step of a probe that went well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub phase: Phase,
    /// In an operator's words: what was negotiated, which certificate was shown.
    pub what: String,
}

/// What a probe found, step by step, and the first step that failed.
#[derive(Clone, Debug)]
pub struct Probe {
    pub found: Vec<Found>,
    pub failed: Option<DriverError>,
}

impl Probe {
    /// Without the backend's credentials: `driver` knows them.
    fn scrubbed(mut self, driver: &impl Driver) -> Self {
        for found in &mut self.found {
            found.what = driver.scrub(&found.what).into_owned();
        }
        self.failed = self.failed.map(|error| error.scrubbed(driver));
        self
    }
}

/// How a driver stands with its backend's credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthState {
    /// Credentials of the configuration, or none at all: nothing is asked for.
    Fixed,
    LoggedOut,
    LoggingIn,
    LoggedIn {
        /// Logins since the driver was made.
        renewals: u64,
        /// `None`: until the backend refuses them.
        expires_in: Option<Duration>,
    },
    /// The last login failed, and the next one waits.
    BackingOff {
        retry_after: Duration,
        detail: String,
    },
}

/// The protocol that reaches one backend.
pub trait Driver: Send + Sync + 'static {
    /// Sends the call once and reads the answer, within the clearance's deadline.
    fn send<'a>(
        &'a self,
        call: &'a RenderedCall,
        clearance: &'a Clearance,
    ) -> Async<'a, Result<Answer, DriverError>>;

    /// Ends sessions (logout where declared) and closes connections: at shutdown, and when a reload
    /// replaces the driver.
    fn close(&self) -> Async<'_, ()>;

    /// Connects, negotiates and logs in, and changes nothing: for the operator's `probe`.
    fn probe<'a>(&'a self, clearance: &'a Clearance) -> Async<'a, Probe>;

    /// Takes the backend's credentials out of text that came from it, before anybody reads it.
    fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str>;

    /// How it stands with the backend's `auth`.
    fn auth_state(&self) -> AuthState;
}
