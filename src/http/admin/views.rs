//! What is configured and how it is doing: `status`, `routes`, `backends`.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::{Admin, Problem, respond};
use crate::backend::BreakerState;
use crate::clock::{rfc3339, unix_micros};
use crate::driver::AuthState;
use crate::http::operations::json_reply;
use crate::plan::{BackendState, Database, Plan, Route};
use crate::store::{CountOf, ObjectCount};

/// `GET /relay/v1/status`:
///
/// ```json
/// { "version": "0.1.0", "node": "a", "role": "active", "plan": "<digest>", "database": "sqlite",
///   "writable": true, "started_at": "…", "uptime_s": 12, "routes": 10, "backends": 3,
///   "operations": { "pending": 0, "succeeded": 12, "failed": 1, "unknown": 0 },
///   "last_reload": { "result": "reloaded", … } }
/// ```
///
/// `last_reload` is told at `LastReload::to_json`.
pub(super) async fn status(State(admin): State<Admin>) -> Result<Response, Problem> {
    Ok(respond(json_reply(
        StatusCode::OK,
        &status_of(&admin).await?,
    )))
}

pub(super) async fn status_of(admin: &Admin) -> Result<Value, Problem> {
    let plan = admin.relay.plan();
    let store = admin.relay.journal().store();
    let counts = store.count_by_state().await?;
    let mut operations = Map::new();
    for state in ["pending", "succeeded", "failed", "unknown"] {
        let found = counts.iter().find(|(known, _)| known.name() == state);
        operations.insert(state.into(), found.map_or(0, |(_, count)| *count).into());
    }
    let uptime = (unix_micros() - admin.started_at).max(0) / 1_000_000;
    let last = admin.reloader.last();
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": plan.server.node,
        "role": match &admin.ha {
            Some(ha) => ha.status().role.name(),
            None if admin.relay.is_active() => "active",
            None => "standby",
        },
        "plan": plan.digest,
        "database": match plan.server.database {
            Database::Sqlite(_) => "sqlite",
            Database::MariaDb(_) => "mariadb",
        },
        "writable": store.is_writable().await.unwrap_or(false),
        "started_at": rfc3339(admin.started_at),
        "uptime_s": uptime,
        "routes": plan.routes.len(),
        "backends": plan.backends.len(),
        "operations": operations,
        "last_reload": last.to_json(),
    }))
}

/// `GET /relay/v1/routes`: `{ "items": [{ "name", "method", "path", "resource", "kind", "mutating",
/// "idempotent", "summary", "per_backend", "object", "digest" }] }`, in the order of the plan. `object`
/// is the resource of the route's object; equal digests, equal routes.
pub(super) async fn routes(State(admin): State<Admin>) -> Response {
    let plan = admin.relay.plan();
    let items: Vec<Value> = plan
        .routes
        .iter()
        .map(|route| route_json(&plan, route))
        .collect();
    respond(json_reply(StatusCode::OK, &json!({ "items": items })))
}

fn route_json(plan: &Plan, route: &Route) -> Value {
    let resource = plan.resource(route.resource);
    json!({
        "name": route.name,
        "method": route.method.as_str(),
        "path": route.path,
        "resource": resource.name,
        "kind": resource.kind,
        "mutating": route.mutating,
        "idempotent": route.idempotent,
        "summary": route.summary,
        "per_backend": resource.per_backend,
        "object": route.object.as_ref().map(|object| &plan.resource(object.resource).name),
        "digest": plan.digests.routes.get(&route.name),
    })
}

/// `GET /relay/v1/backends`: `{ "items": [...] }`, each without credentials and without `vars`, which
/// may hold some:
///
/// ```json
/// { "name": "os-1", "kind": "neutron", "driver": "https", "address": "https://os-1:9696",
///   "state": "active", "labels": { "site": "tpe" }, "objects": 12, "concurrency": 8, "queue": 64,
///   "in_flight": 0, "queued": 0, "breaker": "closed" | "open" | "half_open",
///   "auth": "fixed" | "logged_out" | "logging_in" | "logged_in" | "backing_off",
///   "last_error": null, "digest": "…" }
/// ```
pub(super) async fn backends(State(admin): State<Admin>) -> Result<Response, Problem> {
    let items = backends_of(&admin).await?;
    Ok(respond(json_reply(
        StatusCode::OK,
        &json!({ "items": items }),
    )))
}

pub(super) async fn backends_of(admin: &Admin) -> Result<Vec<Value>, Problem> {
    let plan = admin.relay.plan();
    let store = admin.relay.journal().store();
    let counts = store.count_by_backend().await?;
    let health = admin.relay.backends().snapshot();
    let backends = plan.backends.iter().map(|backend| {
        let health = health.iter().find(|health| health.name == backend.name);
        let labels: Map<String, Value> = backend
            .labels
            .iter()
            .map(|(name, value)| (name.to_string(), (**value).into()))
            .collect();
        let objects = counts.iter().find(|(name, _)| **name == *backend.name);
        json!({
            "name": backend.name,
            "kind": backend.kind,
            "driver": backend.driver.name(),
            "address": backend.driver.address(),
            "state": match backend.state {
                BackendState::Active => "active",
                BackendState::Drain => "drain",
            },
            "labels": labels,
            "concurrency": backend.limits.concurrency,
            "queue": backend.limits.queue,
            "objects": objects.map_or(0, |(_, count)| *count),
            "in_flight": health.map_or(0, |health| health.in_flight),
            "queued": health.map_or(0, |health| health.queued),
            "breaker": health.map(|health| breaker_name(&health.breaker)),
            "auth": health.map(|health| auth_name(&health.auth)),
            "last_error": health.and_then(|health| health.last_error.as_deref()),
            "digest": plan.digests.backends.get(&backend.name),
        })
    });
    Ok(backends.collect())
}

/// `GET /relay/v1/counts`: rows by resource and backend, whether either is configured or not:
///
/// ```json
/// { "mappings": [{ "resource": "network", "backend": "os-1", "count": 12 }], "unsettled": [] }
/// ```
///
/// `unsettled` are pending and unknown operations.
pub(super) async fn counts(State(admin): State<Admin>) -> Result<Response, Problem> {
    let store = admin.relay.journal().store();
    let as_json = |counts: Vec<ObjectCount>| -> Value {
        let counts = counts.iter();
        counts
            .map(|row| json!({ "resource": row.resource, "backend": row.backend, "count": row.count }))
            .collect()
    };
    let counts = json!({
        "mappings": as_json(store.count_mappings(&CountOf::All).await?),
        "unsettled": as_json(store.count_unsettled().await?),
    });
    Ok(respond(json_reply(StatusCode::OK, &counts)))
}

fn breaker_name(breaker: &BreakerState) -> &'static str {
    match breaker {
        BreakerState::Closed => "closed",
        BreakerState::Open { .. } => "open",
        BreakerState::HalfOpen => "half_open",
    }
}

fn auth_name(auth: &AuthState) -> &'static str {
    match auth {
        AuthState::Fixed => "fixed",
        AuthState::LoggedOut => "logged_out",
        AuthState::LoggingIn => "logging_in",
        AuthState::LoggedIn { .. } => "logged_in",
        AuthState::BackingOff { .. } => "backing_off",
    }
}
