//! The admin listener: probes, metrics, the operator's page and the admin API (SEMANTICS 28).
//!
//! `/livez`, `/readyz` and `/metrics` are open; all else needs a `reader` (to look) or `operator` (to
//! change) token as soon as any client is configured, on loopback too. Writes must be JSON and leave
//! an audit row. Paths and shapes are told where each handler stands.

mod console;
mod guard;
mod ha;
mod host_keys;
mod mappings;
mod operations;
mod reload;
mod views;

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower::ServiceExt;

use super::inbound::{X_REQUEST_ID, check_head, request_id};
use super::layers::{Edge, problem_answer};
use super::listener::{self, Answer, Bounds, TlsSlot};
use super::reload::Reloader;
use super::{panic, problem};
use crate::backend::BreakerState;
use crate::driver::AuthState;
use crate::ha::Ha;
use crate::relay::{Relay, RelayError, Reply};
use crate::shutdown::Shutdown;
use crate::store::StoreError;
use crate::telemetry::metrics;
use crate::workers::Workers;

/// What the handlers share.
#[derive(Clone)]
pub struct Admin {
    pub relay: Arc<Relay>,
    pub edge: Arc<Edge>,
    pub reloader: Arc<Reloader>,
    /// Of a pair: the role machine's desk.
    pub ha: Option<Ha>,
    /// Where this listener is bound: what the Host header may name.
    pub address: SocketAddr,
    /// Microseconds since 1970.
    pub started_at: i64,
}

/// How long `/readyz` waits for the database.
const READY_WITHIN: Duration = Duration::from_millis(500);
/// How long an order to the pair may take: a rebuild copies every row.
const ORDER: Duration = Duration::from_secs(3600);
/// Bytes of a body of the admin API.
const BODY: usize = 1 << 20;

/// Serves the admin listener until told to stop.
pub async fn serve(
    socket: TcpListener,
    tls: Option<TlsSlot>,
    bounds: Bounds,
    admin: Admin,
    shutdown: Shutdown,
) {
    let router = router(admin);
    let limits = bounds.clone();
    let handler = move |request, _peer| answer(router.clone(), limits.clone(), request);
    let here = Workers::default();
    listener::serve(socket, tls, bounds, shutdown, here, handler).await;
}

/// Every path of the admin listener.
pub fn router(admin: Admin) -> Router {
    let api = Router::new()
        .route("/status", get(views::status))
        .route("/routes", get(views::routes))
        .route("/backends", get(views::backends))
        .route("/counts", get(views::counts))
        .route("/mappings", get(mappings::list).post(mappings::adopt))
        .route(
            "/mappings/{resource}/{cmp_id}",
            get(mappings::show).delete(mappings::forget),
        )
        .route("/host-keys", get(host_keys::list))
        .route("/host-keys/{backend}", delete(host_keys::forget))
        .route("/operations", get(operations::list))
        .route("/operations/{id}", get(operations::show))
        .route("/operations/{id}/resolve", post(operations::resolve))
        .route("/reload", post(reload::reload))
        .route("/ha", get(ha::status))
        .route("/ha/yield", post(ha::yield_to))
        .route("/ha/take-over", post(ha::take_over))
        .route("/ha/promote", post(ha::promote))
        .route("/ha/switchover", post(ha::switchover))
        .route("/ha/rejoin", post(ha::rejoin))
        .route("/ha/standalone", post(ha::standalone))
        .route("/ha/pause", post(ha::pause))
        .route("/ha/resume", post(ha::resume))
        .route("/ha/acknowledge", post(ha::acknowledge))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found);
    Router::new()
        .nest("/relay/v1", api)
        .route("/console", get(console::page))
        .fallback(not_found)
        .layer(middleware::from_fn_with_state(
            admin.clone(),
            guard::authorize,
        ))
        // What stands below the guard's layer needs no token.
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/primary", get(ha::primary))
        .route("/standby", get(ha::standby))
        .route("/ha/vip", get(ha::vip))
        .route("/metrics", get(page))
        .layer(middleware::from_fn_with_state(admin.clone(), guard::host))
        .with_state(admin)
}

/// One request: bounds, the router, the request id; a panic is a 500.
async fn answer(router: Router, bounds: Bounds, request: Request<Incoming>) -> Answer {
    let id = request_id(request.headers());
    let method = request.method().clone();
    let (parts, body) = request.into_parts();
    let mut answer = match check_head(&parts, &bounds) {
        Err(error) => problem_answer(&problem::refused(error, &method)),
        Ok(()) => {
            let body = http_body_util::Limited::new(body, BODY);
            let request = Request::from_parts(parts, Body::new(body));
            // What a pair is ordered to do ends when it has done it.
            let patience = match request.uri().path().starts_with("/relay/v1/ha/") {
                true => ORDER,
                false => bounds.body_read,
            };
            let within = pin!(tokio::time::timeout(patience, whole(router, request)));
            match panic::catch(within).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) => {
                    problem_answer(&problem::refused(RelayError::RequestTimeout, &method))
                }
                Err(words) => {
                    tracing::error!(
                        request_id = &*id,
                        cause = words,
                        "an admin handler panicked"
                    );
                    problem_answer(&problem::refused(RelayError::Internal(words), &method))
                }
            }
        }
    };
    if let Ok(value) = http::HeaderValue::from_str(&id) {
        answer.headers_mut().insert(X_REQUEST_ID, value);
    }
    answer
}

/// The router's answer with its body in one piece; the router itself cannot fail.
async fn whole(router: Router, request: Request<Body>) -> Answer {
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    let (parts, body) = response.into_parts();
    let body = match body.collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    Answer::from_parts(parts, Full::new(body))
}

/// A failure of an admin handler.
pub(super) struct Problem(pub RelayError);

impl From<RelayError> for Problem {
    fn from(error: RelayError) -> Self {
        Self(error)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if let RelayError::Internal(cause) | RelayError::DatabaseUnavailable(cause) = &self.0 {
            tracing::error!(cause, "an admin request failed");
        }
        // The two facts for a CMP's retry are about backends; an admin write never calls one.
        problem_answer(&problem::refused(self.0, &Method::GET)).map(Body::new)
    }
}

/// A reply of the relay's own, as axum takes it.
pub(super) fn respond(reply: Reply) -> Response {
    let mut response = Response::new(Body::from(reply.body));
    *response.status_mut() = reply.status;
    *response.headers_mut() = reply.headers;
    response
}

/// The body's bytes, bounded.
pub(super) async fn body_of(body: Body) -> Result<Bytes, Problem> {
    let collected = body.collect().await;
    collected
        .map(|collected| collected.to_bytes())
        .map_err(|_| Problem(RelayError::BodyTooLarge { limit: BODY }))
}

async fn not_found() -> Problem {
    Problem(RelayError::RouteNotFound { nearest: None })
}

/// The router, which alone knows what a path takes, adds its own `Allow` where there is none.
async fn method_not_allowed() -> Response {
    let mut response = Problem(RelayError::MethodNotAllowed { allow: Vec::new() }).into_response();
    response.headers_mut().remove(http::header::ALLOW);
    response
}

/// The process runs.
async fn livez() -> &'static str {
    "alive\n"
}

/// 200 only on the active node with a database that takes writes; never waits for long.
async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if !admin.relay.is_active() {
        return (StatusCode::SERVICE_UNAVAILABLE, "standby\n");
    }
    let store = admin.relay.journal().store().clone();
    match tokio::time::timeout(READY_WITHIN, store.is_writable()).await {
        Ok(Ok(true)) => (StatusCode::OK, "ready\n"),
        Ok(Ok(false)) => (StatusCode::SERVICE_UNAVAILABLE, "database read-only\n"),
        Ok(Err(_)) => (StatusCode::SERVICE_UNAVAILABLE, "database unavailable\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "database too slow\n"),
    }
}

/// `/metrics`, in Prometheus' text format; what has a present state is asked for it now.
async fn page(State(admin): State<Admin>) -> ([(http::HeaderName, &'static str); 1], String) {
    metrics::active(admin.relay.is_active());
    for backend in admin.relay.backends().snapshot() {
        metrics::backend_load(&backend.name, backend.in_flight, backend.queued);
        let position = match backend.breaker {
            BreakerState::Closed => 0,
            BreakerState::HalfOpen => 1,
            BreakerState::Open { .. } => 2,
        };
        metrics::breaker(&backend.name, position);
        if let AuthState::LoggedIn { renewals, .. } = backend.auth {
            metrics::logins(&backend.name, renewals);
        }
    }
    if let Ok(Ok(counts)) =
        tokio::time::timeout(READY_WITHIN, admin.relay.journal().store().count_by_state()).await
    {
        for (state, count) in counts {
            metrics::operations_now(state.name(), count);
        }
    }
    (
        [(
            http::header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        metrics::page(),
    )
}
