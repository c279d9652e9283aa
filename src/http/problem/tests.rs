//! The documented table, code by code, and what stands beside a problem.

use std::collections::BTreeSet;
use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::plan::Violation;

fn failure(error: RelayError) -> Failure {
    refused(error, &Method::POST)
}

fn body(failure: &Failure) -> Value {
    serde_json::from_slice(&render(failure).1).unwrap()
}

/// One of each variant; a new variant does not compile here until it has its line below.
fn documented() -> Vec<(RelayError, u16, &'static str)> {
    use RelayError as E;
    let words = || "words".to_owned();
    let id = Uuid::now_v7();
    let all = vec![
        (E::MalformedRequest(words()), 400, "malformed_request"),
        (E::Unauthenticated, 401, "unauthenticated"),
        (E::Forbidden(words()), 403, "forbidden"),
        (E::RouteNotFound { nearest: None }, 404, "route_not_found"),
        (
            E::MethodNotAllowed { allow: vec![] },
            405,
            "method_not_allowed",
        ),
        (
            E::UnsupportedMediaType(words()),
            415,
            "unsupported_media_type",
        ),
        (E::BodyTooLarge { limit: 1 }, 413, "body_too_large"),
        (E::UriTooLong { limit: 1 }, 414, "uri_too_long"),
        (E::HeadersTooLarge, 431, "headers_too_large"),
        (E::RequestTimeout, 408, "request_timeout"),
        (E::SchemaViolation(vec![]), 422, "schema_violation"),
        (E::UnsafeValue(words()), 422, "unsafe_value"),
        (
            E::IdempotencyKeyInvalid(words()),
            400,
            "idempotency_key_invalid",
        ),
        (E::IdempotencyKeyRequired, 400, "idempotency_key_required"),
        (E::IdempotencyKeyReused, 422, "idempotency_key_reused"),
        (
            E::NotMapped {
                resource: words(),
                id: words(),
            },
            404,
            "not_mapped",
        ),
        (E::NoSuchOperation(words()), 404, "no_such_operation"),
        (
            E::AlreadyMapped {
                resource: words(),
                cmp_id: words(),
            },
            409,
            "already_mapped",
        ),
        (
            E::MappingConflict {
                ours: words(),
                theirs: words(),
            },
            409,
            "mapping_conflict",
        ),
        (
            E::PendingObject {
                resource: words(),
                id: words(),
            },
            409,
            "pending_object",
        ),
        (E::WrongBackend { detail: words() }, 409, "wrong_backend"),
        (E::OperationInProgress(id), 409, "operation_in_progress"),
        (E::EarlierOutcomeUnknown(id), 409, "outcome_unknown"),
        (E::Refused(words()), 409, "refused"),
        (E::NoSuchBackend(words()), 404, "no_such_backend"),
        (E::NoBackend(words()), 503, "no_backend"),
        (E::BackendBusy, 503, "backend_busy"),
        (
            E::BreakerOpen {
                retry_after: Duration::from_millis(2100),
            },
            503,
            "breaker_open",
        ),
        (E::Standby, 503, "standby"),
        (E::StandbyUnconfirmed, 503, "standby_unconfirmed"),
        (E::OutcomeUnconfirmed, 504, "standby_unconfirmed"),
        (E::OrderUnconfirmed, 504, "standby_unconfirmed"),
        (E::DatabaseUnavailable(words()), 503, "database_unavailable"),
        (E::RelayBusy, 503, "relay_busy"),
        (E::ShuttingDown, 503, "standby"),
        (E::BackendUnreachable(words()), 502, "backend_unreachable"),
        (E::BackendAuth(words()), 502, "backend_auth"),
        (
            E::BackendError {
                status: 400,
                excerpt: words(),
            },
            502,
            "backend_error",
        ),
        (
            E::CallRefused {
                reply: None,
                words: words(),
            },
            502,
            "backend_error",
        ),
        (
            E::PartlyApplied {
                applied: 1,
                total: 3,
                words: words(),
            },
            502,
            "partly_applied",
        ),
        (
            E::BackendObjectMissing {
                resource: words(),
                id: words(),
            },
            404,
            "backend_object_missing",
        ),
        (
            E::Rule {
                reply: StatusCode::CONFLICT,
                code: "duplicate".into(),
                detail: None,
            },
            409,
            "duplicate",
        ),
        (E::OutcomeUnknown(words()), 504, "outcome_unknown"),
        (E::ExtractionFailed(words()), 502, "extraction_failed"),
        (E::ReplyFailed(words()), 502, "reply_failed"),
        (E::Internal(words()), 500, "internal_error"),
    ];
    for (error, ..) in &all {
        match error {
            E::MalformedRequest(_) | E::Unauthenticated | E::Forbidden(_) => {}
            E::RouteNotFound { .. } | E::MethodNotAllowed { .. } => {}
            E::UnsupportedMediaType(_) | E::BodyTooLarge { .. } | E::UriTooLong { .. } => {}
            E::HeadersTooLarge | E::RequestTimeout | E::SchemaViolation(_) => {}
            E::UnsafeValue(_) | E::IdempotencyKeyInvalid(_) | E::IdempotencyKeyRequired => {}
            E::IdempotencyKeyReused | E::NotMapped { .. } | E::NoSuchOperation(_) => {}
            E::AlreadyMapped { .. } | E::MappingConflict { .. } | E::PendingObject { .. } => {}
            E::WrongBackend { .. } | E::OperationInProgress(_) => {}
            E::EarlierOutcomeUnknown(_) | E::Refused(_) | E::NoSuchBackend(_) => {}
            E::NoBackend(_) | E::BackendBusy | E::BreakerOpen { .. } | E::Standby => {}
            E::DatabaseUnavailable(_) | E::RelayBusy | E::ShuttingDown => {}
            E::BackendUnreachable(_) | E::BackendAuth(_) | E::BackendError { .. } => {}
            E::BackendObjectMissing { .. } | E::Rule { .. } | E::OutcomeUnknown(_) => {}
            E::ExtractionFailed(_) | E::ReplyFailed(_) | E::Internal(_) => {}
            E::CallRefused { .. } | E::PartlyApplied { .. } => {}
            E::StandbyUnconfirmed | E::OutcomeUnconfirmed | E::OrderUnconfirmed => {}
        }
    }
    all
}

#[test]
fn every_error_has_its_documented_status_and_code() {
    for (error, status, code) in documented() {
        let failure = failure(error.clone());
        let (rendered, _) = render(&failure);
        assert_eq!(rendered.as_u16(), status, "{error:?}");
        let body = body(&failure);
        assert_eq!(body["status"], status, "{error:?}");
        assert_eq!(body["code"], code, "{error:?}");
        assert_eq!(failure.error.code(), code);
        assert!(
            body["detail"]
                .as_str()
                .is_some_and(|words| !words.is_empty())
        );
        assert!(body["title"].is_string() && body["type"].is_string());
    }
}

#[test]
fn the_published_table_holds_every_code_of_the_relay_once() {
    let given: BTreeSet<(u16, &str)> = documented()
        .into_iter()
        .filter(|(error, ..)| !matches!(error, RelayError::Rule { .. } | RelayError::ShuttingDown))
        .map(|(_, status, code)| (status, code))
        .collect();
    let published: Vec<(u16, &str)> = TABLE
        .iter()
        .map(|(status, code, _)| (status.as_u16(), *code))
        .filter(|(_, code)| *code != "configuration_rejected")
        .collect();
    assert_eq!(published.len(), given.len());
    assert_eq!(published.into_iter().collect::<BTreeSet<_>>(), given);
}

#[test]
fn each_503_and_a_running_operation_say_when_to_come_back() {
    for (error, status, code) in documented() {
        let with_retry =
            status == 503 || ["operation_in_progress", "standby_unconfirmed"].contains(&code);
        let headers = headers(&failure(error));
        assert_eq!(headers.contains_key(RETRY_AFTER), with_retry, "{code}");
    }
    let open = failure(RelayError::BreakerOpen {
        retry_after: Duration::from_millis(2100),
    });
    assert_eq!(headers(&open)[RETRY_AFTER], "3");
}

#[test]
fn a_405_lists_methods_and_a_401_its_scheme() {
    let allow = vec![Method::GET, Method::DELETE];
    let headers_of = |error| headers(&failure(error));
    assert_eq!(
        headers_of(RelayError::MethodNotAllowed { allow })[ALLOW],
        "GET, DELETE, HEAD"
    );
    assert_eq!(
        headers_of(RelayError::Unauthenticated)[WWW_AUTHENTICATE],
        "Bearer realm=\"cmp-relay\""
    );
}

#[test]
fn a_mutating_request_hears_of_side_effect_and_retry_and_a_read_does_not() {
    let mut failed = failure(RelayError::OutcomeUnknown("silence".into()));
    failed.side_effect = SideEffect::Unknown;
    let told = body(&failed);
    assert_eq!(told["side_effect"], "unknown");
    assert_eq!(told["safe_to_retry"], false);
    failed.mutating = false;
    let told = body(&failed);
    assert!(told.get("side_effect").is_none() && told.get("safe_to_retry").is_none());
}

#[test]
fn the_operation_in_the_way_is_named_and_linked() {
    let (own, holder) = (Uuid::now_v7(), Uuid::now_v7());
    let mut failed = failure(RelayError::EarlierOutcomeUnknown(holder));
    failed.operation = Some(own);
    failed.route = Some("create_network".into());
    failed.backend = Some("os-1".into());
    failed.backend_status = Some(500);
    let told = body(&failed);
    assert_eq!(told["operation"], holder.to_string());
    assert_eq!(told["instance"], format!("/relay/v1/operations/{holder}"));
    assert_eq!(told["route"], "create_network");
    assert_eq!(told["backend"], "os-1");
    assert_eq!(told["backend_status"], 500);
    assert_eq!(headers(&failed)[RELAY_OPERATION], holder.to_string());
    assert_eq!(headers(&failed)[RELAY_BACKEND], "os-1");
}

#[test]
fn violations_and_the_nearest_route_are_extensions() {
    let violations = vec![Violation {
        pointer: "/name".into(),
        detail: "\"name\" is required".into(),
    }];
    assert_eq!(
        body(&failure(RelayError::SchemaViolation(violations)))["errors"],
        json!([{ "pointer": "/name", "detail": "\"name\" is required" }])
    );
    let nearest = Some("/v1/networks".to_owned());
    assert_eq!(
        body(&failure(RelayError::RouteNotFound { nearest }))["nearest"],
        "/v1/networks"
    );
}

#[test]
fn an_internal_error_keeps_its_cause_to_the_log() {
    let told = body(&failure(RelayError::Internal("secret cause".into()))).to_string();
    assert!(!told.contains("secret cause"));
}
