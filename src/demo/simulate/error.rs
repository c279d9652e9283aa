//! The errors of a Neutron: a status and `{"NeutronError": {"type", "message", "detail"}}`.

use axum::http::StatusCode;
use serde_json::{Value, json};

/// An error as Neutron words it.
#[derive(Clone, Debug)]
pub(super) struct NeutronError {
    pub(super) status: StatusCode,
    kind: &'static str,
    message: String,
}

impl NeutronError {
    pub(super) fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            kind,
            message: message.into(),
        }
    }

    /// 400, of the API layer: what a request says cannot be.
    pub(super) fn bad(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "HTTPBadRequest", message)
    }

    /// 400, of a plugin: what a request says cannot be done.
    pub(super) fn invalid(message: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "InvalidInput",
            format!("Invalid input for operation: {message}"),
        )
    }

    /// 400 of the L3 plugin.
    pub(super) fn bad_resource(resource: &str, message: impl std::fmt::Display) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "BadRequest",
            format!("Bad {resource} request: {message}"),
        )
    }

    pub(super) fn conflict(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, kind, message)
    }

    pub(super) fn missing(kind: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, kind, message)
    }

    pub(super) fn body(&self) -> Value {
        json!({ "NeutronError": { "type": self.kind, "message": self.message, "detail": "" } })
    }
}
