//! Failures as RFC 9457 problems: the only place that knows error statuses.
//!
//! [`render`] makes status and body, which the relay also stores with a failed operation, so that a
//! replay gives the bytes that the first answer had; [`headers`] makes what stands beside them. The
//! whole table of codes is [`TABLE`]: `/docs/problems` prints it.

use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};

use super::reload::FORCE_HINT;
use crate::plan::SideEffect;
use crate::relay::orphans::Orphans;
use crate::relay::{Failure, PROBLEM_TYPE, RelayError};

/// The operation that a reply is about.
pub const RELAY_OPERATION: HeaderName = HeaderName::from_static("relay-operation");
/// The backend that a reply came from.
pub const RELAY_BACKEND: HeaderName = HeaderName::from_static("relay-backend");
/// Whether the standby has what was written down.
pub const RELAY_REPLICATED: HeaderName = HeaderName::from_static("relay-replicated");

/// A line of the published table: status, code, title.
pub type Entry = (StatusCode, &'static str, &'static str);

/// Every code the relay itself gives, in the order of their statuses. Routes may add their own.
pub const TABLE: &[Entry] = &[
    MALFORMED_REQUEST,
    IDEMPOTENCY_KEY_INVALID,
    IDEMPOTENCY_KEY_REQUIRED,
    UNAUTHENTICATED,
    FORBIDDEN,
    ROUTE_NOT_FOUND,
    NOT_MAPPED,
    NO_SUCH_OPERATION,
    NO_SUCH_BACKEND,
    BACKEND_OBJECT_MISSING,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    ALREADY_MAPPED,
    MAPPING_CONFLICT,
    PENDING_OBJECT,
    WRONG_BACKEND,
    OPERATION_IN_PROGRESS,
    EARLIER_OUTCOME_UNKNOWN,
    REFUSED,
    BODY_TOO_LARGE,
    URI_TOO_LONG,
    UNSUPPORTED_MEDIA_TYPE,
    SCHEMA_VIOLATION,
    UNSAFE_VALUE,
    IDEMPOTENCY_KEY_REUSED,
    CONFIGURATION_REJECTED,
    HEADERS_TOO_LARGE,
    INTERNAL_ERROR,
    BACKEND_ERROR,
    PARTLY_APPLIED,
    BACKEND_UNREACHABLE,
    BACKEND_AUTH,
    EXTRACTION_FAILED,
    REPLY_FAILED,
    STANDBY,
    STANDBY_UNCONFIRMED,
    NO_BACKEND,
    BACKEND_BUSY,
    BREAKER_OPEN,
    DATABASE_UNAVAILABLE,
    RELAY_BUSY,
    OUTCOME_UNKNOWN,
    OUTCOME_UNCONFIRMED,
];

macro_rules! entries {
    ($($name:ident = $status:ident $code:literal $title:literal;)*) => {
        $(pub(super) const $name: Entry = (StatusCode::$status, $code, $title);)*
    };
}

entries! {
    MALFORMED_REQUEST = BAD_REQUEST "malformed_request" "The request cannot be read";
    IDEMPOTENCY_KEY_INVALID = BAD_REQUEST "idempotency_key_invalid" "The Idempotency-Key is not valid";
    IDEMPOTENCY_KEY_REQUIRED = BAD_REQUEST "idempotency_key_required" "An Idempotency-Key is required";
    UNAUTHENTICATED = UNAUTHORIZED "unauthenticated" "A valid token is required";
    FORBIDDEN = FORBIDDEN "forbidden" "The client may not do this";
    ROUTE_NOT_FOUND = NOT_FOUND "route_not_found" "No route has this path";
    NOT_MAPPED = NOT_FOUND "not_mapped" "The object is not mapped";
    NO_SUCH_OPERATION = NOT_FOUND "no_such_operation" "There is no such operation";
    NO_SUCH_BACKEND = NOT_FOUND "no_such_backend" "There is no such backend";
    BACKEND_OBJECT_MISSING = NOT_FOUND "backend_object_missing" "The backend does not have the mapped object";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED "method_not_allowed" "The path does not take this method";
    REQUEST_TIMEOUT = REQUEST_TIMEOUT "request_timeout" "The request did not arrive in time";
    ALREADY_MAPPED = CONFLICT "already_mapped" "The object exists already";
    MAPPING_CONFLICT = CONFLICT "mapping_conflict" "Another object has this backend id";
    PENDING_OBJECT = CONFLICT "pending_object" "The object's backend id is not known yet";
    WRONG_BACKEND = CONFLICT "wrong_backend" "The objects are on different backends";
    OPERATION_IN_PROGRESS = CONFLICT "operation_in_progress" "An earlier request is still running";
    EARLIER_OUTCOME_UNKNOWN = CONFLICT "outcome_unknown" "The outcome of an earlier request is unknown";
    REFUSED = CONFLICT "refused" "This cannot be done now";
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE "body_too_large" "The body is too large";
    URI_TOO_LONG = URI_TOO_LONG "uri_too_long" "The URI is too long";
    UNSUPPORTED_MEDIA_TYPE = UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" "The media type is not supported";
    SCHEMA_VIOLATION = UNPROCESSABLE_ENTITY "schema_violation" "The request does not match the route's schema";
    UNSAFE_VALUE = UNPROCESSABLE_ENTITY "unsafe_value" "A value cannot stand where the call puts it";
    IDEMPOTENCY_KEY_REUSED = UNPROCESSABLE_ENTITY "idempotency_key_reused" "The Idempotency-Key belongs to another request";
    CONFIGURATION_REJECTED = UNPROCESSABLE_ENTITY "configuration_rejected" "The configuration does not compile";
    HEADERS_TOO_LARGE = REQUEST_HEADER_FIELDS_TOO_LARGE "headers_too_large" "The headers are too large";
    INTERNAL_ERROR = INTERNAL_SERVER_ERROR "internal_error" "The relay failed";
    BACKEND_ERROR = BAD_GATEWAY "backend_error" "The backend refused the call";
    PARTLY_APPLIED = BAD_GATEWAY "partly_applied" "The backend took a part of the call";
    BACKEND_UNREACHABLE = BAD_GATEWAY "backend_unreachable" "The backend cannot be reached";
    BACKEND_AUTH = BAD_GATEWAY "backend_auth" "The backend refused the relay's credentials";
    EXTRACTION_FAILED = BAD_GATEWAY "extraction_failed" "The backend's answer lacks what it must carry";
    REPLY_FAILED = BAD_GATEWAY "reply_failed" "The reply could not be made";
    STANDBY = SERVICE_UNAVAILABLE "standby" "This node is not active";
    STANDBY_UNCONFIRMED = SERVICE_UNAVAILABLE "standby_unconfirmed" "The standby does not confirm";
    NO_BACKEND = SERVICE_UNAVAILABLE "no_backend" "No backend can take the request";
    BACKEND_BUSY = SERVICE_UNAVAILABLE "backend_busy" "The backend has no place free";
    BREAKER_OPEN = SERVICE_UNAVAILABLE "breaker_open" "The backend failed too often";
    DATABASE_UNAVAILABLE = SERVICE_UNAVAILABLE "database_unavailable" "The database is not available";
    RELAY_BUSY = SERVICE_UNAVAILABLE "relay_busy" "The relay has no place free";
    OUTCOME_UNKNOWN = GATEWAY_TIMEOUT "outcome_unknown" "The outcome of this request is unknown";
    OUTCOME_UNCONFIRMED = GATEWAY_TIMEOUT "standby_unconfirmed" "It was done, and the standby does not confirm it";
}

/// A failure of the listener itself, before any route or backend was involved.
pub fn refused(error: RelayError, method: &Method) -> Failure {
    Failure::of_method(method, error)
}

/// Status and body of the problem.
pub fn render(failure: &Failure) -> (StatusCode, Vec<u8>) {
    let (status, code, title) = match &failure.error {
        // A route's own code has no page here: RFC 9457, section 4.2.1, `about:blank`.
        RelayError::Rule { reply, code, .. } => {
            (*reply, &**code, reply.canonical_reason().unwrap_or("Error"))
        }
        // What a device says in its own protocol is a backend's error under a status of its own.
        RelayError::CallRefused {
            reply: Some(reply), ..
        } => (*reply, BACKEND_ERROR.1, BACKEND_ERROR.2),
        known => entry(known),
    };
    let mut problem = Map::new();
    let kind = match failure.error {
        RelayError::Rule { .. } => "about:blank".to_owned(),
        _ => format!("/docs/problems#{code}"),
    };
    problem.insert("type".into(), kind.into());
    problem.insert("title".into(), title.into());
    problem.insert("status".into(), status.as_u16().into());
    problem.insert("code".into(), code.into());
    problem.insert("detail".into(), failure.error.detail().into());
    if let Some(operation) = named_operation(failure) {
        problem.insert(
            "instance".into(),
            format!("/relay/v1/operations/{operation}").into(),
        );
        problem.insert("operation".into(), operation.into());
    }
    for (name, value) in [("route", &failure.route), ("backend", &failure.backend)] {
        if let Some(value) = value {
            problem.insert(name.into(), (**value).into());
        }
    }
    if let Some(status) = failure.backend_status {
        problem.insert("backend_status".into(), status.into());
    }
    match &failure.error {
        RelayError::SchemaViolation(violations) => {
            let errors = violations.iter().map(
                |violation| json!({ "pointer": violation.pointer, "detail": violation.detail }),
            );
            problem.insert("errors".into(), errors.collect());
        }
        RelayError::PartlyApplied { applied, total, .. } => {
            problem.insert("applied".into(), (*applied).into());
            problem.insert("total".into(), (*total).into());
        }
        RelayError::RouteNotFound {
            nearest: Some(nearest),
        } => {
            problem.insert("nearest".into(), nearest.as_str().into());
        }
        _ => {}
    }
    if failure.mutating {
        let side_effect = match failure.side_effect {
            SideEffect::None => "none",
            SideEffect::Unknown => "unknown",
            SideEffect::Done => "done",
        };
        problem.insert("side_effect".into(), side_effect.into());
        problem.insert("safe_to_retry".into(), failure.safe_to_retry.into());
    }
    (status, Value::Object(problem).to_string().into_bytes())
}

/// The headers beside the problem.
pub fn headers(failure: &Failure) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, PROBLEM_TYPE);
    match &failure.error {
        RelayError::MethodNotAllowed { allow } => {
            headers.insert(ALLOW, allow_value(allow));
        }
        RelayError::Unauthenticated => {
            headers.insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"cmp-relay\""),
            );
        }
        _ => {}
    }
    let status = status(&failure.error);
    let in_progress = matches!(failure.error, RelayError::OperationInProgress(_));
    if let Some(after) = failure.retry_after {
        headers.insert(RETRY_AFTER, seconds(after));
    } else if status == StatusCode::SERVICE_UNAVAILABLE || in_progress {
        headers.insert(RETRY_AFTER, seconds(Duration::from_secs(1)));
    }
    if let Some(value) = named_operation(failure).and_then(|id| HeaderValue::try_from(id).ok()) {
        headers.insert(RELAY_OPERATION, value);
    }
    if let Some(replicated) = failure.replicated {
        headers.insert(
            RELAY_REPLICATED,
            HeaderValue::from_static(replicated.name()),
        );
    }
    if let Some(value) = failure
        .backend
        .as_deref()
        .and_then(|name| HeaderValue::from_str(name).ok())
    {
        headers.insert(RELAY_BACKEND, value);
    }
    headers
}

/// The status alone.
pub fn status(error: &RelayError) -> StatusCode {
    match error {
        RelayError::Rule { reply, .. }
        | RelayError::CallRefused {
            reply: Some(reply), ..
        } => *reply,
        known => entry(known).0,
    }
}

/// Why a request that would change something was refused for now: the code of a 503 of the relay's own.
pub fn refused_write(failure: &Failure) -> Option<&'static str> {
    let (status, code, _) = entry(&failure.error);
    (failure.mutating && status == StatusCode::SERVICE_UNAVAILABLE).then_some(code)
}

/// A reload whose files do not compile: the diagnostics come back, and nothing has changed.
pub fn configuration_rejected(diagnostics: &Value, text: &str) -> (StatusCode, Vec<u8>) {
    let (status, code, title) = CONFIGURATION_REJECTED;
    let problem = json!({
        "type": format!("/docs/problems#{code}"),
        "title": title,
        "status": status.as_u16(),
        "code": code,
        "detail": "The configuration does not compile; the one before it goes on.",
        "diagnostics": diagnostics,
        "text": text,
    });
    (status, problem.to_string().into_bytes())
}

/// A reload that would leave mappings without a route or a backend: which, and nothing has changed.
pub fn reload_refused(orphans: &[Orphans]) -> (StatusCode, Vec<u8>) {
    let (status, code, title) = REFUSED;
    let words: Vec<String> = orphans.iter().map(Orphans::words).collect();
    let problem = json!({
        "type": format!("/docs/problems#{code}"),
        "title": title,
        "status": status.as_u16(),
        "code": code,
        "detail": format!(
            "The reload would leave mappings without a route or a backend: {}. The configuration before \
             it goes on: {FORCE_HINT}.",
            words.join("; ")
        ),
        "orphans": orphans.iter().map(Orphans::to_json).collect::<Value>(),
    });
    (status, problem.to_string().into_bytes())
}

fn entry(error: &RelayError) -> Entry {
    use RelayError as E;
    match error {
        E::MalformedRequest(_) => MALFORMED_REQUEST,
        E::Unauthenticated => UNAUTHENTICATED,
        E::Forbidden(_) => FORBIDDEN,
        E::RouteNotFound { .. } => ROUTE_NOT_FOUND,
        E::MethodNotAllowed { .. } => METHOD_NOT_ALLOWED,
        E::UnsupportedMediaType(_) => UNSUPPORTED_MEDIA_TYPE,
        E::BodyTooLarge { .. } => BODY_TOO_LARGE,
        E::UriTooLong { .. } => URI_TOO_LONG,
        E::HeadersTooLarge => HEADERS_TOO_LARGE,
        E::RequestTimeout => REQUEST_TIMEOUT,
        E::SchemaViolation(_) => SCHEMA_VIOLATION,
        E::UnsafeValue(_) => UNSAFE_VALUE,
        E::IdempotencyKeyInvalid(_) => IDEMPOTENCY_KEY_INVALID,
        E::IdempotencyKeyRequired => IDEMPOTENCY_KEY_REQUIRED,
        E::IdempotencyKeyReused => IDEMPOTENCY_KEY_REUSED,
        E::NotMapped { .. } => NOT_MAPPED,
        E::NoSuchOperation(_) => NO_SUCH_OPERATION,
        E::AlreadyMapped { .. } => ALREADY_MAPPED,
        E::MappingConflict { .. } => MAPPING_CONFLICT,
        E::PendingObject { .. } => PENDING_OBJECT,
        E::WrongBackend { .. } => WRONG_BACKEND,
        E::OperationInProgress(_) => OPERATION_IN_PROGRESS,
        E::EarlierOutcomeUnknown(_) => EARLIER_OUTCOME_UNKNOWN,
        E::Refused(_) => REFUSED,
        E::NoSuchBackend(_) => NO_SUCH_BACKEND,
        E::NoBackend(_) => NO_BACKEND,
        E::BackendBusy => BACKEND_BUSY,
        E::BreakerOpen { .. } => BREAKER_OPEN,
        E::Standby | E::ShuttingDown => STANDBY,
        E::StandbyUnconfirmed => STANDBY_UNCONFIRMED,
        E::OutcomeUnconfirmed | E::OrderUnconfirmed => OUTCOME_UNCONFIRMED,
        E::DatabaseUnavailable(_) => DATABASE_UNAVAILABLE,
        E::RelayBusy => RELAY_BUSY,
        E::BackendUnreachable(_) => BACKEND_UNREACHABLE,
        E::BackendAuth(_) => BACKEND_AUTH,
        E::BackendError { .. } | E::CallRefused { .. } => BACKEND_ERROR,
        E::PartlyApplied { .. } => PARTLY_APPLIED,
        E::BackendObjectMissing { .. } => BACKEND_OBJECT_MISSING,
        // Callers take a rule's own status and code first; this is what it is a case of.
        E::Rule { .. } => BACKEND_ERROR,
        E::OutcomeUnknown(_) => OUTCOME_UNKNOWN,
        E::ExtractionFailed(_) => EXTRACTION_FAILED,
        E::ReplyFailed(_) => REPLY_FAILED,
        E::Internal(_) => INTERNAL_ERROR,
    }
}

/// The operation whose link helps: the one in the way, or else this request's own.
fn named_operation(failure: &Failure) -> Option<String> {
    match failure.error {
        RelayError::OperationInProgress(id) | RelayError::EarlierOutcomeUnknown(id) => Some(id),
        _ => failure.operation,
    }
    .map(|id| id.to_string())
}

fn allow_value(allow: &[Method]) -> HeaderValue {
    let mut names: Vec<&str> = allow.iter().map(Method::as_str).collect();
    if names.contains(&"GET") && !names.contains(&"HEAD") {
        names.push("HEAD");
    }
    HeaderValue::try_from(names.join(", ")).unwrap_or(HeaderValue::from_static(""))
}

/// Whole seconds, rounded up, at least one.
fn seconds(span: Duration) -> HeaderValue {
    let whole = span.as_secs() + u64::from(span.subsec_nanos() > 0);
    HeaderValue::from(whole.max(1))
}

#[cfg(test)]
mod tests;
