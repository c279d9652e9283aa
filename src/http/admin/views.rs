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
use crate::plan::{BackendState, Database, DriverSpec, Plan, Route};

/// `GET /relay/v1/status`:
///
/// ```json
/// { "version": "0.1.0", "node": "a", "role": "active", "plan": "<digest>", "database": "sqlite",
///   "writable": true, "started_at": "…", "uptime_s": 12, "routes": 10, "backends": 3,
///   "operations": { "pending": 0, "succeeded": 12, "failed": 1, "unknown": 0 } }
/// ```
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
    Ok(json!({
        "version": env!("CARGO_PKG_VERSION"),
        "node": plan.server.node,
        "role": if admin.relay.is_active() { "active" } else { "standby" },
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
    }))
}

/// `GET /relay/v1/routes`: `{ "items": [{ "name", "method", "path", "resource", "kind", "mutating",
/// "idempotent", "summary" }] }`, in the order of the plan.
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
///   "last_error": null }
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
        let DriverSpec::Https(driver) = &backend.driver;
        let scheme = if driver.url.https { "https" } else { "http" };
        let labels: Map<String, Value> = backend
            .labels
            .iter()
            .map(|(name, value)| (name.to_string(), (**value).into()))
            .collect();
        let objects = counts.iter().find(|(name, _)| **name == *backend.name);
        json!({
            "name": backend.name,
            "kind": backend.kind,
            "driver": "https",
            "address": format!("{scheme}://{}:{}{}", driver.url.host, driver.url.port, driver.url.path),
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
        })
    });
    Ok(backends.collect())
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
