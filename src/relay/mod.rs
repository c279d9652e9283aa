//! The life of a request, from a parsed CMP request to its reply.

pub mod error;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::plan::Role;

pub use error::{Failure, RelayError};

/// Who calls, once the token has been checked.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's name; `anonymous` when no client is configured.
    pub name: Box<str>,
    pub roles: Vec<Role>,
}

/// A CMP request as it came in: bounded, its caller known, nothing else decided.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Of `X-Request-Id`, or made by the listener.
    pub request_id: Box<str>,
    pub caller: Caller,
    pub method: Method,
    /// Raw, still percent-encoded, without the query.
    pub path: String,
    /// Raw, without the `?`.
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What the CMP is told when there is no failure (or a stored one is replayed).
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    /// `Content-Type`, the route's own, and the `Relay-*` ones.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Writes a failure as the CMP will see it: given to the relay by `http::problem`, which alone knows
/// error statuses, so that a failed operation can be journalled with the reply that it was given.
pub type RenderProblem = fn(&Failure) -> (StatusCode, Vec<u8>);
