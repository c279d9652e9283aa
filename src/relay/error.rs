//! What can go wrong with a request, in our words. Statuses are in `http/problem.rs`, and only there.

use std::time::Duration;

use http::{Method, StatusCode};

use crate::plan::{SideEffect, Violation};
use crate::store::OperationId;

/// A failure as the CMP needs it: what went wrong, and the two facts that its retry depends on.
#[derive(Clone, Debug)]
pub struct Failure {
    pub error: RelayError,
    pub side_effect: SideEffect,
    /// The same request can cause no second effect and may succeed without a person (SEMANTICS 30).
    pub safe_to_retry: bool,
    /// The request changes something: only then the two facts above are told.
    pub mutating: bool,
    pub operation: Option<OperationId>,
    pub route: Option<Box<str>>,
    pub backend: Option<Box<str>>,
    pub backend_status: Option<u16>,
    pub retry_after: Option<Duration>,
}

/// What went wrong. Each variant has one stable code.
#[derive(Clone, Debug, PartialEq)]
pub enum RelayError {
    // The request itself.
    MalformedRequest(String),
    Unauthenticated,
    Forbidden(String),
    RouteNotFound {
        nearest: Option<String>,
    },
    MethodNotAllowed {
        allow: Vec<Method>,
    },
    UnsupportedMediaType(String),
    BodyTooLarge {
        limit: usize,
    },
    UriTooLong {
        limit: usize,
    },
    HeadersTooLarge,
    RequestTimeout,
    SchemaViolation(Vec<Violation>),
    UnsafeValue(String),
    IdempotencyKeyInvalid(String),
    IdempotencyKeyRequired,
    IdempotencyKeyReused,

    // The mapping table and the journal.
    NotMapped {
        resource: String,
        id: String,
    },
    /// `GET /relay/v1/operations/{id}` of nobody's or somebody else's.
    NoSuchOperation(String),
    AlreadyMapped {
        resource: String,
        cmp_id: String,
    },
    MappingConflict {
        ours: String,
        theirs: String,
    },
    PendingObject {
        resource: String,
        id: String,
    },
    WrongBackend {
        detail: String,
    },
    OperationInProgress(OperationId),
    /// An earlier request's outcome is unknown: 409.
    EarlierOutcomeUnknown(OperationId),

    // The choice and the way to a backend.
    NoSuchBackend(String),
    NoBackend(String),
    BackendBusy,
    BreakerOpen,
    Standby,
    DatabaseUnavailable,
    RelayBusy,
    ShuttingDown,

    // The call.
    BackendUnreachable(String),
    BackendAuth(String),
    BackendError {
        status: u16,
        excerpt: String,
    },
    BackendObjectMissing {
        resource: String,
        id: String,
    },
    /// An `errors` rule of the route: its own status and code.
    Rule {
        reply: StatusCode,
        code: String,
        detail: Option<String>,
    },
    /// This request's outcome is unknown: 504.
    OutcomeUnknown(String),
    ExtractionFailed(String),
    ReplyFailed(String),

    Internal(String),
}
