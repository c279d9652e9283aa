//! `host-keys`: list, forget. They are recorded by `host_key: tofu` when a backend is seen first.
//!
//! ```json
//! { "backend": "sw-1", "host_key": "ssh-ed25519 SHA256:…", "first_seen": "…" }
//! ```

use axum::Extension;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::{Admin, Problem, respond};
use crate::clock::{rfc3339, unix_micros};
use crate::http::operations::json_reply;
use crate::relay::{Caller, RelayError};
use crate::store::{Write, Written};

/// `GET /relay/v1/host-keys`: `{ "items": [host key] }`, in the order of the backends' names.
pub(super) async fn list(State(admin): State<Admin>) -> Result<Response, Problem> {
    let rows = admin.relay.journal().store().host_keys().await?;
    let items: Vec<_> = rows
        .iter()
        .map(|row| {
            json!({
                "backend": row.backend,
                "host_key": row.host_key,
                "first_seen": rfc3339(row.first_seen),
            })
        })
        .collect();
    Ok(respond(json_reply(
        StatusCode::OK,
        &json!({ "items": items }),
    )))
}

/// `DELETE /relay/v1/host-keys/{backend}`: the key that is seen next is recorded; 204.
pub(super) async fn forget(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Path(backend): Path<String>,
) -> Result<Response, Problem> {
    let write = Write::ForgetHostKey {
        backend: backend.clone(),
        by: caller.name.to_string(),
        at: unix_micros(),
    };
    match admin.relay.journal().write(write).await? {
        Written::Count(0) => Err(Problem(RelayError::Refused(format!(
            "No host key is recorded for the backend `{backend}`."
        )))),
        Written::Invalid(words) => Err(Problem(RelayError::Refused(words))),
        _ => {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NO_CONTENT;
            Ok(response)
        }
    }
}
