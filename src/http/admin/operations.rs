//! `operations`: list, show, resolve.

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Admin, Problem, body_of, respond};
use crate::http::operations::{self, Resolve, json_reply, to_json};
use crate::relay::{Caller, RelayError};
use crate::store::{OperationFilter, OperationId, State as OperationState};

/// Rows of a page, at most and by default.
pub(super) const PAGE: (u32, u32) = (1000, 100);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    state: Option<String>,
    client: Option<String>,
    key: Option<String>,
    resource: Option<String>,
    cmp_id: Option<String>,
    route: Option<String>,
    backend: Option<String>,
    before: Option<String>,
    limit: Option<u32>,
}

/// `GET /relay/v1/operations?state=&client=&key=&resource=&cmp_id=&route=&backend=&before=&limit=`:
/// `{ "items": [operation], "next": "<id for before>" | null }`, newest first.
pub(super) async fn list(
    State(admin): State<Admin>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Response, Problem> {
    let filter = read(filter)?;
    let state = filter
        .state
        .map(|name| {
            OperationState::parse(&name).ok_or_else(|| {
                RelayError::MalformedRequest(
                    "`state` is pending, succeeded, failed or unknown.".into(),
                )
            })
        })
        .transpose()?;
    let before = filter
        .before
        .map(|id| {
            id.parse::<OperationId>()
                .map_err(|_| RelayError::MalformedRequest("`before` is an operation's id.".into()))
        })
        .transpose()?;
    let limit = filter.limit.unwrap_or(PAGE.1).clamp(1, PAGE.0);
    let wanted = OperationFilter {
        state,
        client: filter.client,
        idempotency_key: filter.key,
        resource: filter.resource,
        cmp_id: filter.cmp_id,
        route: filter.route,
        backend: filter.backend,
        before,
        limit,
    };
    let store = admin.relay.journal().store();
    let found = store.list_operations(&wanted).await?;
    let full = found.len() == limit as usize;
    let next = found.last().filter(|_| full).map(|row| row.id.to_string());
    let items: Vec<Value> = found.iter().map(to_json).collect();
    let page = json!({ "items": items, "next": next });
    Ok(respond(json_reply(StatusCode::OK, &page)))
}

/// `GET /relay/v1/operations/{id}`: the operation.
pub(super) async fn show(
    State(admin): State<Admin>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let found = operations::any(&admin.relay, &id).await?;
    Ok(respond(json_reply(StatusCode::OK, &to_json(&found))))
}

/// `POST /relay/v1/operations/{id}/resolve` with
/// `{ "verdict": "succeeded" | "failed", "backend_id", "reply", "force", "replace" }`: the operation
/// as it is then; 409 `refused` says why it cannot be settled so.
pub(super) async fn resolve(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Problem> {
    let found = operations::any(&admin.relay, &id).await?;
    let order = Resolve::parse(&body_of(body).await?)?;
    let settled = operations::resolve(&admin.relay, found.id, &caller, order).await?;
    Ok(respond(settled))
}

/// A filter, or the words that say which name is wrong: an unknown one would filter nothing.
pub(super) fn read<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, RelayError> {
    match query {
        Ok(Query(filter)) => Ok(filter),
        Err(rejection) => Err(RelayError::MalformedRequest(rejection.body_text())),
    }
}
