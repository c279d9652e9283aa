//! What every CMP request passes, in one list: id, head, door, token, place, body; then the handler;
//! then, whatever came of it, one log line and the metrics.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request};
use http_body_util::Full;
use hyper::body::Incoming;
use metrics::{Gauge, counter, gauge};

use super::auth::{Authenticator, require};
use super::inbound::{X_REQUEST_ID, check_head, read_body, request_id};
use super::listener::{Answer, Bounds, Peer};
use super::{docs, openapi, panic, problem};
use crate::plan::{Plan, Role, RouteId};
use crate::relay::{Caller, Failure, Inbound, RelayError, Reply};
use crate::telemetry::metrics::{ABANDONED, IN_FLIGHT, RouteMetrics, refused_write};

/// Where a caller on this machine finds the listener.
fn base(plan: &Plan) -> String {
    let scheme = match plan.server.tls {
        Some(_) => "https",
        None => "http",
    };
    format!("{scheme}://{}", plan.server.listen)
}

/// What the listener makes of one plan.
#[derive(Debug)]
pub struct Front {
    pub plan: Arc<Plan>,
    pub authenticator: Authenticator,
    /// Made when somebody first asks: few do, and it takes as long as all else of a start.
    pages: OnceLock<Pages>,
    /// By [`RouteId`].
    routes: Vec<RouteMetrics>,
    no_route: RouteMetrics,
}

impl Front {
    pub fn new(plan: Arc<Plan>) -> Self {
        Self {
            authenticator: Authenticator::new(&plan.server.clients),
            pages: OnceLock::new(),
            routes: plan
                .routes
                .iter()
                .map(|route| RouteMetrics::new(&route.name))
                .collect(),
            no_route: RouteMetrics::new("none"),
            plan,
        }
    }
}

/// The description of the API, for programs and for people.
#[derive(Debug)]
struct Pages {
    openapi: openapi::Published,
    docs: Bytes,
}

impl Pages {
    fn of(plan: &Plan) -> Self {
        let document = openapi::document(plan);
        Self {
            docs: docs::page(&document, &base(plan)).into(),
            openapi: openapi::Published::new(&document),
        }
    }

    /// Those of a front, made beside the requests where they are not there yet.
    async fn within(front: &Arc<Front>) -> Result<&Self, RelayError> {
        if front.pages.get().is_none() {
            let front = front.clone();
            let made = move || {
                front.pages.get_or_init(|| Self::of(&front.plan));
            };
            tokio::task::spawn_blocking(made)
                .await
                .map_err(|_| RelayError::Internal("the description cannot be written".into()))?;
        }
        Ok(front.pages.get().expect("it was made just now"))
    }
}

/// The CMP listener's state: the front of the plan that serves, and who is inside.
#[derive(Debug)]
pub struct Edge {
    front: ArcSwap<Front>,
    bounds: Bounds,
    in_flight: AtomicUsize,
    gauge: Gauge,
}

impl Edge {
    pub fn new(plan: Arc<Plan>, bounds: Bounds) -> Self {
        Self {
            front: ArcSwap::from_pointee(Front::new(plan)),
            bounds,
            in_flight: AtomicUsize::new(0),
            gauge: gauge!(IN_FLIGHT),
        }
    }

    /// Another plan serves from now on.
    pub fn renew(&self, plan: Arc<Plan>) {
        self.front.store(Arc::new(Front::new(plan)));
    }

    pub fn front(&self) -> Arc<Front> {
        self.front.load_full()
    }

    pub fn bounds(&self) -> &Bounds {
        &self.bounds
    }
}

/// Answers one request of the CMP listener. Dropped, it drops the handler's future with it.
pub async fn answer<H, F>(
    edge: Arc<Edge>,
    handler: H,
    request: Request<Incoming>,
    peer: Peer,
) -> Answer
where
    H: Fn(Inbound) -> F,
    F: Future<Output = Result<Reply, Failure>>,
{
    let front = edge.front();
    let id = request_id(request.headers());
    let record = Record::begin(&front, &id, &request, peer);
    let method = request.method().clone();
    let outcome = {
        // Pinned here: handed on by value, a future is copied, and has its size twice.
        let passing = pin!(pass(&edge, &front, &handler, request, &id, &record));
        panic::catch(passing).await
    };
    let outcome = outcome.unwrap_or_else(|words| {
        let error = RelayError::Internal(format!("a handler panicked: {words}"));
        Err(problem::refused(error, &method))
    });
    let (mut answer, failure) = match outcome {
        Ok(reply) => {
            let mut answer = Answer::new(Full::new(reply.body));
            *answer.status_mut() = reply.status;
            *answer.headers_mut() = reply.headers;
            (answer, None)
        }
        Err(failure) => (problem_answer(&failure), Some(failure)),
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(X_REQUEST_ID, value);
    }
    record.end(&answer, failure.as_ref());
    answer
}

/// The layers, in order.
async fn pass<H, F>(
    edge: &Edge,
    front: &Arc<Front>,
    handler: &H,
    request: Request<Incoming>,
    id: &str,
    record: &Record<'_>,
) -> Result<Reply, Failure>
where
    H: Fn(Inbound) -> F,
    F: Future<Output = Result<Reply, Failure>>,
{
    let (parts, body) = request.into_parts();
    let refuse = |error| problem::refused(error, &parts.method);

    check_head(&parts, &edge.bounds).map_err(refuse)?;
    if is_published(parts.uri.path()) {
        return published(front, &parts).await.map_err(refuse);
    }
    let caller = front.authenticator.check(&parts.headers).map_err(refuse)?;
    record.knows_caller(&caller);
    let roles: &[Role] = match super::operations::is_operations_path(parts.uri.path()) {
        true => &[Role::Cmp, Role::Operator],
        false => &[Role::Cmp],
    };
    require(&caller, roles).map_err(refuse)?;
    let limits = &front.plan.server.limits;
    let _place = Place::take(edge, limits.in_flight).map_err(refuse)?;
    let body = read_body(
        body,
        &parts.headers,
        limits.request_body,
        edge.bounds.body_read,
    )
    .await
    .map_err(refuse)?;
    handler(Inbound {
        request_id: id.into(),
        caller,
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
        body,
    })
    .await
}

/// What anybody may read: the API's description holds no secret, and a browser sends no token.
fn is_published(path: &str) -> bool {
    matches!(path, "/openapi.json" | "/docs" | "/docs/problems")
}

async fn published(front: &Arc<Front>, parts: &http::request::Parts) -> Result<Reply, RelayError> {
    use http::Method;
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(RelayError::MethodNotAllowed {
            allow: vec![Method::GET],
        });
    }
    if parts.uri.path() == "/docs/problems" {
        return Ok(html(docs::problems().into()));
    }
    let pages = Pages::within(front).await?;
    Ok(match parts.uri.path() {
        "/docs" => html(pages.docs.clone()),
        _ => pages.openapi.reply(&parts.headers),
    })
}

/// A page that may load nothing and run nothing.
pub(super) fn html(body: Bytes) -> Reply {
    let mut headers = http::HeaderMap::new();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-cache"),
        (
            http::header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
        (http::header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    Reply {
        status: http::StatusCode::OK,
        headers,
        body,
    }
}

/// A failure as an answer.
pub(super) fn problem_answer(failure: &Failure) -> Answer {
    let (status, body) = problem::render(failure);
    let mut answer = Answer::new(Full::new(body.into()));
    *answer.status_mut() = status;
    *answer.headers_mut() = problem::headers(failure);
    answer
}

/// A place among the requests that the relay works on at once; dropped, it is free again.
struct Place<'a>(&'a Edge);

impl<'a> Place<'a> {
    fn take(edge: &'a Edge, cap: usize) -> Result<Self, RelayError> {
        let before = edge.in_flight.fetch_add(1, Ordering::Relaxed);
        edge.gauge.increment(1);
        // Dropped with the refusal, when there is one.
        let place = Self(edge);
        (before < cap).then_some(place).ok_or(RelayError::RelayBusy)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.0.gauge.decrement(1);
    }
}

/// The one log line of a request; a request whose client went away has one, too.
struct Record<'a> {
    front: &'a Front,
    request_id: &'a str,
    method: http::Method,
    path: String,
    peer: Peer,
    route: Option<RouteId>,
    caller: OnceLock<Arc<str>>,
    started: Instant,
    ended: bool,
}

impl<'a> Record<'a> {
    fn begin(
        front: &'a Front,
        request_id: &'a str,
        request: &Request<Incoming>,
        peer: Peer,
    ) -> Self {
        let path = request.uri().path();
        Self {
            front,
            request_id,
            method: request.method().clone(),
            path: path.to_owned(),
            peer,
            route: front.plan.table.route_of(request.method(), path),
            caller: OnceLock::new(),
            started: Instant::now(),
            ended: false,
        }
    }

    fn knows_caller(&self, caller: &Caller) {
        let _ = self.caller.set(Arc::clone(&caller.name));
    }

    fn route_name(&self) -> Option<&str> {
        self.route.map(|route| &*self.front.plan.route(route).name)
    }

    fn end(mut self, answer: &Answer, failure: Option<&Failure>) {
        self.ended = true;
        let took = self.started.elapsed();
        let status = answer.status().as_u16();
        let metrics = self.route.map_or(&self.front.no_route, |id| {
            &self.front.routes[usize::from(id.0)]
        });
        metrics.record(status, took);
        if let Some(reason) = failure.and_then(problem::refused_write) {
            refused_write(reason);
        }
        let header = |name| {
            answer
                .headers()
                .get(name)
                .and_then(|value: &HeaderValue| value.to_str().ok())
        };
        let cause = failure.and_then(|failure| match &failure.error {
            RelayError::Internal(cause) | RelayError::DatabaseUnavailable(cause) => {
                Some(cause.as_str())
            }
            _ => None,
        });
        if let Some(cause) = cause {
            tracing::error!(
                request_id = self.request_id,
                route = self.route_name(),
                cause,
                "the relay failed"
            );
        }
        tracing::info!(
            request_id = self.request_id,
            client = self.caller.get().map(|name| &**name),
            peer = %self.peer,
            method = %self.method,
            path = &*self.path,
            route = self.route_name(),
            status,
            code = failure.map(|failure| failure.error.code()),
            operation = header(problem::RELAY_OPERATION),
            backend = header(problem::RELAY_BACKEND),
            ms = milliseconds(took),
            "request"
        );
    }
}

/// With three decimals: microseconds are as fine as a log needs.
fn milliseconds(span: Duration) -> f64 {
    (span.as_secs_f64() * 1e6).round() / 1e3
}

impl Drop for Record<'_> {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        counter!(ABANDONED).increment(1);
        tracing::info!(
            request_id = self.request_id,
            client = self.caller.get().map(|name| &**name),
            peer = %self.peer,
            method = %self.method,
            path = &*self.path,
            route = self.route_name(),
            ms = milliseconds(self.started.elapsed()),
            "request abandoned by its client"
        );
    }
}
