//! What can go wrong with a request, in our words. Statuses are in `http/problem.rs`, and only there.

use std::time::Duration;

use http::{Method, StatusCode};

use super::Replicated;
use crate::plan::{Route, SideEffect, Violation};
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
    /// Whether the standby has what was written down of it; `None`: nothing was.
    pub replicated: Option<Replicated>,
}

impl Failure {
    /// A refusal before anything is known of the request.
    pub fn refused(error: RelayError) -> Failure {
        Failure {
            safe_to_retry: error.may_pass_later(),
            retry_after: error.retry_after(),
            replicated: (error == RelayError::OrderUnconfirmed).then_some(Replicated::No),
            error,
            side_effect: SideEffect::None,
            mutating: false,
            operation: None,
            route: None,
            backend: None,
            backend_status: None,
        }
    }

    /// A refusal of a request that is of no route: its method alone says whether it would have
    /// changed anything.
    pub fn of_method(method: &Method, error: RelayError) -> Failure {
        Failure {
            mutating: method != Method::GET && method != Method::HEAD,
            ..Self::refused(error)
        }
    }

    /// A refusal of a request of `route`: nothing was sent.
    pub fn of_route(route: &Route, error: RelayError) -> Failure {
        let operation = match &error {
            RelayError::OperationInProgress(id) | RelayError::EarlierOutcomeUnknown(id) => {
                Some(*id)
            }
            _ => None,
        };
        Failure {
            operation,
            route: Some(route.name.clone()),
            mutating: route.mutating,
            ..Self::refused(error)
        }
    }
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
    /// An administrative write does not apply to what there is; the words say why and what to do.
    Refused(String),

    // The choice and the way to a backend.
    NoSuchBackend(String),
    NoBackend(String),
    BackendBusy,
    BreakerOpen {
        retry_after: Duration,
    },
    Standby,
    /// The standby did not confirm the intent, and so nothing was sent: 503.
    StandbyUnconfirmed,
    /// The words are for the log; the CMP gets the code.
    DatabaseUnavailable(String),
    RelayBusy,
    ShuttingDown,

    // The call.
    BackendUnreachable(String),
    BackendAuth(String),
    BackendError {
        status: u16,
        excerpt: String,
    },
    /// A device refused the call, or some of it; `reply` where its protocol says what that is in HTTP.
    CallRefused {
        reply: Option<StatusCode>,
        words: String,
    },
    /// Some lines of a call are in force, and the others are not.
    PartlyApplied {
        applied: usize,
        total: usize,
        words: String,
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
    /// It was done and written down, and the standby has not confirmed that: 504.
    OutcomeUnconfirmed,
    /// The same of an operator's or a client's own order about rows; no backend was called: 504.
    OrderUnconfirmed,
    ExtractionFailed(String),
    ReplyFailed(String),

    Internal(String),
}

impl RelayError {
    /// The stable code (DESIGN section 5, SEMANTICS 29).
    pub fn code(&self) -> &str {
        match self {
            Self::MalformedRequest(_) => "malformed_request",
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden(_) => "forbidden",
            Self::RouteNotFound { .. } => "route_not_found",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::UnsupportedMediaType(_) => "unsupported_media_type",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::UriTooLong { .. } => "uri_too_long",
            Self::HeadersTooLarge => "headers_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::SchemaViolation(_) => "schema_violation",
            Self::UnsafeValue(_) => "unsafe_value",
            Self::IdempotencyKeyInvalid(_) => "idempotency_key_invalid",
            Self::IdempotencyKeyRequired => "idempotency_key_required",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::NotMapped { .. } => "not_mapped",
            Self::NoSuchOperation(_) => "no_such_operation",
            Self::AlreadyMapped { .. } => "already_mapped",
            Self::MappingConflict { .. } => "mapping_conflict",
            Self::PendingObject { .. } => "pending_object",
            Self::WrongBackend { .. } => "wrong_backend",
            Self::OperationInProgress(_) => "operation_in_progress",
            Self::EarlierOutcomeUnknown(_) | Self::OutcomeUnknown(_) => "outcome_unknown",
            Self::Refused(_) => "refused",
            Self::NoSuchBackend(_) => "no_such_backend",
            Self::NoBackend(_) => "no_backend",
            Self::BackendBusy => "backend_busy",
            Self::BreakerOpen { .. } => "breaker_open",
            Self::Standby | Self::ShuttingDown => "standby",
            Self::StandbyUnconfirmed | Self::OutcomeUnconfirmed | Self::OrderUnconfirmed => {
                "standby_unconfirmed"
            }
            Self::DatabaseUnavailable(_) => "database_unavailable",
            Self::RelayBusy => "relay_busy",
            Self::BackendUnreachable(_) => "backend_unreachable",
            Self::BackendAuth(_) => "backend_auth",
            Self::BackendError { .. } | Self::CallRefused { .. } => "backend_error",
            Self::PartlyApplied { .. } => "partly_applied",
            Self::BackendObjectMissing { .. } => "backend_object_missing",
            Self::Rule { code, .. } => code,
            Self::ExtractionFailed(_) => "extraction_failed",
            Self::ReplyFailed(_) => "reply_failed",
            Self::Internal(_) => "internal_error",
        }
    }

    /// One sentence for the CMP's developer: what is wrong, where, and what to do.
    pub fn detail(&self) -> String {
        match self {
            Self::MalformedRequest(why)
            | Self::Forbidden(why)
            | Self::UnsupportedMediaType(why)
            | Self::UnsafeValue(why)
            | Self::Refused(why)
            | Self::NoBackend(why) => why.clone(),
            Self::Unauthenticated => {
                "the request needs `Authorization: Bearer` with a token of a configured client".into()
            }
            Self::RouteNotFound { nearest: Some(nearest) } => {
                format!("no route has this path; the nearest is `{nearest}`")
            }
            Self::RouteNotFound { nearest: None } => "no route has this path; see /docs".into(),
            Self::MethodNotAllowed { allow } if allow.is_empty() => {
                "this path does not take this method".into()
            }
            Self::MethodNotAllowed { allow } => {
                let methods: Vec<_> = allow.iter().map(Method::as_str).collect();
                format!("this path takes {}", methods.join(", "))
            }
            Self::BodyTooLarge { limit } => format!("the body is larger than {limit} bytes"),
            Self::UriTooLong { limit } => format!("the URI is longer than {limit} bytes"),
            Self::HeadersTooLarge => "the headers are larger than this server takes".into(),
            Self::RequestTimeout => "the request did not arrive in time".into(),
            Self::SchemaViolation(violations) => match violations.as_slice() {
                [only] => format!("{}: {}", place(&only.pointer), only.detail),
                many => format!("{} values do not fit the route's schema", many.len()),
            },
            Self::IdempotencyKeyInvalid(why) => format!("`Idempotency-Key`: {why}"),
            Self::IdempotencyKeyRequired => "this server needs an `Idempotency-Key` on every request that changes something".into(),
            Self::IdempotencyKeyReused => "this `Idempotency-Key` was used for another request; a new request needs a new key".into(),
            Self::NotMapped { resource, id } => format!("{resource} `{id}` is not mapped to a backend object"),
            Self::NoSuchOperation(id) => format!("there is no operation `{id}` of this client"),
            Self::AlreadyMapped { resource, cmp_id } => {
                format!("{resource} `{cmp_id}` exists already, made by another request")
            }
            Self::MappingConflict { ours, theirs } => format!(
                "the backend object was made for `{ours}`, and its id is recorded for `{theirs}`; forget the stale mapping, then resolve this operation"
            ),
            Self::PendingObject { resource, id } => {
                format!("the backend id of {resource} `{id}` is not known yet; its job has not ended")
            }
            Self::WrongBackend { detail } => detail.clone(),
            Self::OperationInProgress(id) => format!("operation {id} on this object is still running"),
            Self::EarlierOutcomeUnknown(id) => format!(
                "the outcome of operation {id} on this object is not known; look at the backend, then resolve the operation"
            ),
            Self::NoSuchBackend(name) => format!("no backend is called `{name}`"),
            Self::BackendBusy => "the backend's places and its queue are full, or as many requests for it wait for the standby".into(),
            Self::BreakerOpen { .. } => "the backend failed several times in a row and is left alone for a moment".into(),
            Self::Standby => "this node is not the active one".into(),
            Self::ShuttingDown => "this node is stopping".into(),
            Self::StandbyUnconfirmed => "the standby did not confirm in time that it has this request; nothing was sent to a backend".into(),
            Self::OutcomeUnconfirmed => "it was done and is recorded here, and the standby has not confirmed that yet; a retry with the same key waits for it and gets the reply".into(),
            Self::OrderUnconfirmed => "it is done and recorded here, and the standby has not confirmed that yet: the loss of this node now could undo it; it need not be ordered again".into(),
            Self::DatabaseUnavailable(_) => "the mapping table cannot be reached; nothing was sent to a backend".into(),
            Self::RelayBusy => "the relay has all the requests that it can take".into(),
            Self::BackendUnreachable(why) => format!("no connection to the backend was made: {why}"),
            Self::BackendAuth(why) => format!("the backend refused the relay's credentials: {why}"),
            Self::BackendError { status, excerpt } => format!("the backend answered {status}: {excerpt}"),
            Self::CallRefused { words, .. } => format!("the backend refused the call: {words}"),
            Self::PartlyApplied { applied, total, words } => format!(
                "{applied} of {total} were taken and are in force, the next one was not: {words}"
            ),
            Self::BackendObjectMissing { resource, id } => format!(
                "{resource} `{id}` is mapped, and its backend says that the object does not exist"
            ),
            Self::Rule { detail, code, .. } => detail.clone().unwrap_or_else(|| code.replace('_', " ")),
            Self::OutcomeUnknown(why) => format!("whether the backend did it is not known: {why}"),
            Self::ExtractionFailed(why) => {
                format!("the backend answered with success, and what must be recorded is not in its answer: {why}")
            }
            Self::ReplyFailed(why) => format!("it was done, and the reply could not be made: {why}"),
            Self::Internal(_) => "the relay or its configuration failed; the log has the cause under this request's id".into(),
        }
    }

    /// Whether the same request, sent again, may succeed without a person (SEMANTICS 30). Asked only of
    /// refusals before the call; after it, the outcome decides.
    pub fn may_pass_later(&self) -> bool {
        matches!(
            self,
            Self::RequestTimeout
                | Self::NotMapped { .. }
                | Self::PendingObject { .. }
                | Self::OperationInProgress(_)
                | Self::BackendBusy
                | Self::BreakerOpen { .. }
                | Self::Standby
                | Self::StandbyUnconfirmed
                | Self::ShuttingDown
                | Self::DatabaseUnavailable(_)
                | Self::RelayBusy
                | Self::BackendUnreachable(_)
        )
    }

    /// The same error with the words that may quote a backend put through `clean`.
    pub fn cleaned(self, clean: impl Fn(&str) -> String) -> Self {
        match self {
            Self::BackendError { status, excerpt } => Self::BackendError {
                status,
                excerpt: clean(&excerpt),
            },
            Self::Rule {
                reply,
                code,
                detail,
            } => Self::Rule {
                reply,
                code,
                detail: detail.as_deref().map(clean),
            },
            Self::CallRefused { reply, words } => Self::CallRefused {
                reply,
                words: clean(&words),
            },
            Self::PartlyApplied {
                applied,
                total,
                words,
            } => Self::PartlyApplied {
                applied,
                total,
                words: clean(&words),
            },
            Self::BackendUnreachable(words) => Self::BackendUnreachable(clean(&words)),
            Self::BackendAuth(words) => Self::BackendAuth(clean(&words)),
            Self::OutcomeUnknown(words) => Self::OutcomeUnknown(clean(&words)),
            Self::ExtractionFailed(words) => Self::ExtractionFailed(clean(&words)),
            Self::ReplyFailed(words) => Self::ReplyFailed(clean(&words)),
            other => other,
        }
    }

    /// Whether its words hold a part of the backend's answer.
    pub fn quotes_the_backend(&self) -> bool {
        matches!(
            self,
            Self::BackendError { .. }
                | Self::CallRefused { .. }
                | Self::PartlyApplied { .. }
                | Self::Rule { .. }
                | Self::ExtractionFailed(_)
        )
    }

    /// What it is about, in words that do not send the reader to the log.
    pub fn cause(&self) -> String {
        match self {
            Self::Internal(words) | Self::DatabaseUnavailable(words) => words.clone(),
            other => other.detail(),
        }
    }

    /// When to come again, for what passes by itself.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::BreakerOpen { retry_after } => Some((*retry_after).max(Duration::from_secs(1))),
            Self::OperationInProgress(_)
            | Self::NoBackend(_)
            | Self::BackendBusy
            | Self::DatabaseUnavailable(_)
            | Self::StandbyUnconfirmed
            | Self::OutcomeUnconfirmed
            | Self::OrderUnconfirmed
            | Self::RelayBusy => Some(Duration::from_secs(1)),
            Self::Standby | Self::ShuttingDown => Some(Duration::from_secs(2)),
            _ => None,
        }
    }
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() {
        "the body"
    } else {
        pointer
    }
}
