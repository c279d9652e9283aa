//! `POST /relay/v1/reload`: the configuration folder, compiled anew.

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;

use super::operations::read;
use super::{Admin, Problem, body_of, respond};
use crate::http::operations::json_reply;
use crate::http::problem;
use crate::http::reload::{Order, ReloadError};
use crate::relay::{Caller, RelayError};

/// `force`, in the query or in the body: strand what the reload would strand.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    force: Option<bool>,
}

/// 200 says what changed (see `Reloader::reload`). 422 `configuration_rejected` brings the diagnostics,
/// 409 `refused` the mappings that would be left without a route or a backend (`orphans`): neither has
/// changed anything.
pub(super) async fn reload(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    query: Result<Query<Wish>, QueryRejection>,
    body: Body,
) -> Result<Response, Problem> {
    let query = read(query)?;
    let body = match &*body_of(body).await? {
        [] => Wish::default(),
        bytes => serde_json::from_slice(bytes).map_err(|error| {
            RelayError::MalformedRequest(format!("The body is not `{{\"force\": true}}`: {error}."))
        })?,
    };
    let force = query.force == Some(true) || body.force == Some(true);
    // In a task of its own: an operator who goes away leaves no half of a reload behind.
    let (reloader, by) = (admin.reloader.clone(), caller.name.clone());
    let reloading = tokio::spawn(async move { reloader.reload(Order::new(&by, force)).await });
    let reloaded = reloading
        .await
        .unwrap_or_else(|panic| Err(ReloadError::Failed(panic.into())));
    let (status, body) = match reloaded {
        Ok(report) => return Ok(respond(json_reply(StatusCode::OK, &report))),
        Err(ReloadError::Rejected(rejected)) => {
            problem::configuration_rejected(&rejected.diagnostics, &rejected.text)
        }
        Err(ReloadError::Refused(orphans)) => problem::reload_refused(&orphans),
        Err(ReloadError::Failed(error)) => {
            return Err(Problem(RelayError::Refused(format!("{error:#}."))));
        }
        Err(ReloadError::Unsettled) => {
            let words = "The files changed while they were read; ask again.".to_owned();
            return Err(Problem(RelayError::Refused(words)));
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, crate::relay::PROBLEM_TYPE);
    Ok(response)
}
