//! `POST /relay/v1/reload`: the configuration folder, compiled anew.

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use super::{Admin, Problem, respond};
use crate::http::operations::json_reply;
use crate::http::problem;
use crate::http::reload::ReloadError;
use crate::relay::{Caller, RelayError};

/// 200 says what changed (see `Reloader::reload`); 422 `configuration_rejected` brings the diagnostics
/// and has changed nothing.
pub(super) async fn reload(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    // In a task of its own: an operator who goes away leaves no half of a reload behind.
    let (reloader, by) = (admin.reloader.clone(), caller.name.clone());
    let reloading = tokio::spawn(async move { reloader.reload(&by).await });
    let reloaded = reloading
        .await
        .unwrap_or_else(|panic| Err(ReloadError::Failed(panic.into())));
    match reloaded {
        Ok(report) => Ok(respond(json_reply(StatusCode::OK, &report))),
        Err(ReloadError::Rejected(rejected)) => {
            tracing::warn!(
                by = &*caller.name,
                "a reload was rejected; the old plan goes on"
            );
            let (status, body) =
                problem::configuration_rejected(&rejected.diagnostics, &rejected.text);
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = status;
            response
                .headers_mut()
                .insert(http::header::CONTENT_TYPE, crate::relay::PROBLEM_TYPE);
            Ok(response)
        }
        Err(ReloadError::Failed(error)) => {
            tracing::error!(
                by = &*caller.name,
                error = format!("{error:#}"),
                "a reload failed"
            );
            Err(Problem(RelayError::Refused(format!("{error:#}."))))
        }
    }
}
