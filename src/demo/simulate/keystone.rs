//! A Keystone v3 with one user: password authentication scoped to a project, and its tokens.
//!
//! Shapes as in "Identity API v3", `POST /v3/auth/tokens`. One path is not Keystone's:
//! `POST /demo/expire-tokens`, so that a reader of the demo can watch the relay log in again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;
use uuid::Uuid;

use super::openstack::{Counters, SimulatedRegion};
use crate::clock::Boottime;

/// The project that every object belongs to.
pub(super) const PROJECT: &str = "5f9184b1416f4c079574c0428bde2288";
const SUBJECT: &str = "x-subject-token";

/// The tokens given out, and what is needed to give out more.
pub(super) struct Tokens {
    password: String,
    ttl: Duration,
    root: String,
    regions: Vec<SimulatedRegion>,
    valid: Mutex<HashMap<String, Boottime>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    pub(super) fn new(
        password: String,
        ttl: Duration,
        root: String,
        regions: Vec<SimulatedRegion>,
    ) -> Self {
        Self {
            password,
            ttl,
            root,
            regions,
            valid: Mutex::default(),
        }
    }

    /// Whether the request carries a token whose time is not over.
    pub(super) fn accepts(&self, headers: &HeaderMap) -> bool {
        let token = headers
            .get("x-auth-token")
            .and_then(|value| value.to_str().ok());
        let valid = self.valid();
        token
            .and_then(|token| valid.get(token))
            .is_some_and(|until| until.remaining().is_some())
    }

    pub(super) fn expire_all(&self) {
        self.valid().clear();
    }

    fn issue(&self) -> String {
        let token = format!(
            "gAAAAAB{}{}",
            Uuid::new_v4().simple(),
            Uuid::new_v4().simple()
        );
        let mut valid = self.valid();
        valid.retain(|_, until| until.remaining().is_some());
        valid.insert(token.clone(), Boottime::now() + self.ttl);
        token
    }

    fn valid(&self) -> std::sync::MutexGuard<'_, HashMap<String, Boottime>> {
        self.valid.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The 401 of Keystone and of the middleware before Neutron: not Neutron's error shape.
    pub(super) fn unauthorized(&self, counters: &Counters) -> Response {
        Counters::count(&counters.unauthorized);
        let body = json!({ "error": {
            "code": 401,
            "message": "The request you have made requires authentication.",
            "title": "Unauthorized",
        }});
        let mut response = (StatusCode::UNAUTHORIZED, axum::Json(body)).into_response();
        let challenge = format!("Keystone uri=\"{}/v3\"", self.root);
        if let Ok(value) = HeaderValue::from_str(&challenge) {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, value);
        }
        response
    }
}

type Shared = State<(Arc<Tokens>, Arc<Counters>)>;

pub(super) fn router(tokens: Arc<Tokens>, counters: Arc<Counters>) -> Router {
    Router::new()
        .route("/v3", get(version))
        .route("/v3/", get(version))
        .route("/v3/auth/tokens", post(log_in).delete(revoke))
        .route("/demo/expire-tokens", post(expire))
        .with_state((tokens, counters))
}

async fn version(State((tokens, _)): Shared) -> Response {
    axum::Json(json!({ "version": {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{ "rel": "self", "href": format!("{}/v3/", tokens.root) }],
        "media-types": [{ "base": "application/json",
            "type": "application/vnd.openstack.identity-v3+json" }],
    }}))
    .into_response()
}

async fn log_in(State((tokens, counters)): Shared, body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        let body = json!({ "error": {
            "code": 400, "title": "Bad Request",
            "message": "The request body is not JSON.",
        }});
        return (StatusCode::BAD_REQUEST, axum::Json(body)).into_response();
    };
    let user = &request["auth"]["identity"]["password"]["user"];
    let known = user["name"] == "relay"
        && user["password"] == tokens.password.as_str()
        && request["auth"]["scope"]["project"]["name"] == "admin";
    if !known {
        return tokens.unauthorized(&counters);
    }
    Counters::count(&counters.logins);
    let token = tokens.issue();
    let now = OffsetDateTime::now_utc();
    let mut response = (StatusCode::CREATED, axum::Json(describe(&tokens, now))).into_response();
    if let Ok(value) = HeaderValue::from_str(&token) {
        response.headers_mut().insert(SUBJECT, value);
    }
    response
        .headers_mut()
        .insert(header::VARY, HeaderValue::from_static("X-Auth-Token"));
    response
}

fn describe(tokens: &Tokens, now: OffsetDateTime) -> Value {
    let domain = json!({ "id": "default", "name": "Default" });
    let endpoints: Vec<Value> = tokens
        .regions
        .iter()
        .map(|region| {
            json!({ "id": Uuid::new_v4().simple().to_string(), "interface": "public",
                "region_id": region.name, "region": region.name, "url": region.url })
        })
        .collect();
    json!({ "token": {
        "methods": ["password"],
        "user": { "domain": domain, "id": "00ac635eac7442148690de5efbce818f", "name": "relay",
            "password_expires_at": null },
        "audit_ids": ["9C4vyDMdTrq9MIjhgCDrLQ"],
        "expires_at": micros(now + tokens.ttl),
        "issued_at": micros(now),
        "project": { "domain": domain, "id": PROJECT, "name": "admin" },
        "is_domain": false,
        "roles": [{ "id": "97e9919d70d9403190ccdc5c1f6d565d", "name": "admin" }],
        "catalog": [{ "endpoints": endpoints, "id": "2742a8577a434c0fa755c38546606510",
            "type": "network", "name": "neutron" }],
    }})
}

/// Keystone's times have exactly six digits behind the second.
fn micros(at: OffsetDateTime) -> String {
    at.format(format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z"
    ))
    .expect("every component of the format exists in a UTC time")
}

async fn revoke(State((tokens, counters)): Shared, headers: HeaderMap) -> Response {
    if !tokens.accepts(&headers) {
        return tokens.unauthorized(&counters);
    }
    if let Some(token) = headers.get(SUBJECT).and_then(|value| value.to_str().ok()) {
        tokens.valid().remove(token);
    }
    StatusCode::NO_CONTENT.into_response()
}

async fn expire(State((tokens, _)): Shared) -> Response {
    tokens.expire_all();
    StatusCode::NO_CONTENT.into_response()
}
