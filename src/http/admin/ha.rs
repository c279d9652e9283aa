//! The pair: what probes, people and the peer ask this node. Everything answers from what the role machine said
//! last, so that nothing hangs on a database that does; what was said too long ago is red.

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::{Extension, Json};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::operations::read;
use super::{Admin, Problem, body_of, respond};
use crate::ha::{Ask, Ha, Setting};
use crate::http::operations::json_reply;
use crate::relay::{Caller, RelayError};

type Probe = (StatusCode, String);

fn probe(said: Result<(), String>, well: &str) -> Probe {
    match said {
        Ok(()) => (StatusCode::OK, format!("{well}\n")),
        Err(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")),
    }
}

/// 200 only on the node that serves the CMP now.
pub(super) async fn primary(state: State<Admin>) -> Probe {
    match &state.ha {
        Some(ha) => probe(ha.status().serves(), "active"),
        None => {
            let (status, words) = super::readyz(state).await;
            (status, words.to_owned())
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Lag {
    lag: Option<u64>,
}

/// 200 only on a standby that may take over; with `lag`, only if it is at most so many seconds behind.
pub(super) async fn standby(
    State(admin): State<Admin>,
    query: Result<Query<Lag>, QueryRejection>,
) -> Result<Probe, Problem> {
    let lag = read(query)?.lag;
    Ok(match &admin.ha {
        Some(ha) => probe(ha.status().follows(lag), "standby"),
        None => probe(Err(ALONE.to_owned()), ""),
    })
}

/// 200 where keepalived may put the address.
pub(super) async fn vip(State(admin): State<Admin>) -> Probe {
    match &admin.ha {
        Some(ha) => probe(ha.status().may_have_the_address(), "ok"),
        None => probe(Err(ALONE.to_owned()), ""),
    }
}

const ALONE: &str = "this node is none of a pair: relay.yaml has no `ha.vip`";

fn desk(admin: &Admin) -> Result<&Ha, Problem> {
    let none = || Problem(RelayError::Refused(format!("{ALONE}.")));
    admin.ha.as_ref().ok_or_else(none)
}

/// `GET /relay/v1/ha`: see `ha::Status`.
pub(super) async fn status(State(admin): State<Admin>) -> Result<Response, Problem> {
    let status = json!(desk(&admin)?.status());
    Ok(respond(json_reply(StatusCode::OK, &status)))
}

/// The peer asks for leave to take over: `ha::Ask`, answered with `ha::Granted`.
pub(super) async fn yield_to(State(admin): State<Admin>, body: Body) -> Result<Response, Problem> {
    let ask: Ask = parsed(body).await?;
    let granted = desk(&admin)?.yield_to(ask).await.map_err(refused)?;
    Ok(respond(json_reply(StatusCode::OK, &json!(granted))))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Promote {
    /// Though the peer may have what this node has not.
    force: bool,
}

/// This node takes over; answered when it has, or with why not.
pub(super) async fn promote(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Json<Value>, Problem> {
    let wish: Promote = parsed(body).await?;
    let by = format!("promote by {}", caller.name);
    done(desk(&admin)?.take_over(wish.force, by).await)
}

/// As the peer's switchover asks.
pub(super) async fn take_over(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    let by = format!("switchover by {}", caller.name);
    done(desk(&admin)?.take_over(false, by).await)
}

/// The standby takes over from the active node, whichever of them is told.
pub(super) async fn switchover(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Value>, Problem> {
    let by = format!("switchover by {}", caller.name);
    done(desk(&admin)?.switchover(by).await)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Rejoin {
    /// Replace this node's rows by the active node's.
    rebuild: bool,
}

/// A node that was lost becomes a standby again.
pub(super) async fn rejoin(State(admin): State<Admin>, body: Body) -> Result<Json<Value>, Problem> {
    let wish: Rejoin = parsed(body).await?;
    done(desk(&admin)?.rejoin(wish.rebuild).await)
}

pub(super) async fn pause(State(admin): State<Admin>) -> Result<Json<Value>, Problem> {
    done(desk(&admin)?.set(Setting::Pause).await)
}

pub(super) async fn resume(State(admin): State<Admin>) -> Result<Json<Value>, Problem> {
    done(desk(&admin)?.set(Setting::Resume).await)
}

pub(super) async fn standalone(State(admin): State<Admin>) -> Result<Json<Value>, Problem> {
    done(desk(&admin)?.set(Setting::Standalone).await)
}

pub(super) async fn acknowledge(State(admin): State<Admin>) -> Result<Json<Value>, Problem> {
    done(desk(&admin)?.set(Setting::Acknowledge).await)
}

fn done(answer: Result<String, String>) -> Result<Json<Value>, Problem> {
    answer
        .map(|detail| Json(json!({ "detail": detail })))
        .map_err(refused)
}

fn refused(why: String) -> Problem {
    Problem(RelayError::Refused(why))
}

/// A body that may be absent where every key has a default.
async fn parsed<T: serde::de::DeserializeOwned>(body: Body) -> Result<T, Problem> {
    let bytes = body_of(body).await?;
    let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| {
        Problem(RelayError::MalformedRequest(format!(
            "The body is not what this path takes: {error}."
        )))
    })
}
