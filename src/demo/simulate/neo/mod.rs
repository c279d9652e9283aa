//! A Mellanox NEO: the login form, the objects of one cloud domain, and the jobs that every write begins.
//!
//! Written from the NVIDIA NEO REST API Guide 2.7.20 (Jobs, Users), the NEO SDK (login, session cookie, states of
//! a job) and OpenStack's networking-mlnx (the domain's `Network` and `Port`, a JSON string or a page as the
//! answer to a write, 404 and 501). How jobs go follows from how often they are read, never from a clock; what
//! networks are called decides how they end ([`fabric`]). One path is not NEO's: `POST /demo/end-sessions`,
//! so that a reader of the demo can watch the relay log in again.

mod fabric;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use fabric::{Accepted, Collection, Fabric, Refused};

/// The cloud domain that NEO comes with.
const DOMAIN: &str = "cloudx";
const LOGIN: &str = "/neo/login";
const LOGIN_PAGE: &str = "<html><body><form method=\"post\" action=\"/neo/login\"><input name=\"username\"/>\
    <input name=\"password\" type=\"password\"/></form></body></html>";

/// How the answer to a write says which job it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// The job, as a JSON object.
    Object,
    /// The job's path, as a JSON string.
    Text,
    /// The job's URL in `Location`, and no body.
    Location,
    /// A page with a link.
    Page,
}

/// One simulated NEO.
#[derive(Debug)]
pub struct Neo {
    password: String,
    fabric: Mutex<Fabric>,
    sessions: Mutex<HashSet<String>>,
    manner: Mutex<Option<Manner>>,
    shows_the_way: AtomicBool,
    serves_clouds: AtomicBool,
    logins: AtomicU64,
    calls: AtomicU64,
}

impl Neo {
    /// A NEO with what its file holds; its user is `relay`.
    pub fn open(password: String, file: Option<PathBuf>) -> io::Result<Self> {
        Ok(Self {
            password,
            fabric: Mutex::new(Fabric::open(file)?),
            sessions: Mutex::default(),
            manner: Mutex::default(),
            shows_the_way: AtomicBool::new(false),
            serves_clouds: AtomicBool::new(true),
            logins: AtomicU64::default(),
            calls: AtomicU64::default(),
        })
    }

    /// Everything that it answers, below `/neo`.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(handle).with_state(Arc::clone(self))
    }

    /// Ends every session. From now on who has none is told 401, or is shown the way to the login page.
    pub fn end_sessions(&self, shows_the_way: bool) {
        self.shows_the_way.store(shows_the_way, Ordering::Relaxed);
        locked(&self.sessions).clear();
    }

    /// Answers every write in this manner; `None`: each sort of write in its own.
    pub fn answer_in(&self, manner: Option<Manner>) {
        *locked(&self.manner) = manner;
    }

    /// Whether it has the service of its cloud domain: without, it answers 501.
    pub fn serve_clouds(&self, served: bool) {
        self.serves_clouds.store(served, Ordering::Relaxed);
    }

    /// Forgets every job, as after a reinstallation.
    pub fn forget_jobs(&self) {
        locked(&self.fabric).forget_jobs();
    }

    /// Removes an object behind everybody's back.
    pub fn remove(&self, id: &str) {
        locked(&self.fabric).remove(id);
    }

    /// Sessions given out.
    pub fn logins(&self) -> u64 {
        self.logins.load(Ordering::Relaxed)
    }

    /// Requests but logins, the refused ones included.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// "Logged in" is the cookie: a wrong password gets the form again, with status 200.
    fn log_in(&self, body: &[u8]) -> Response {
        let fields = form(body);
        let says = |name: &str, value: &str| {
            let field = fields.iter().find(|(known, _)| known == name);
            field.is_some_and(|(_, said)| said == value)
        };
        if !(says("username", "relay") && says("password", &self.password)) {
            return Html(LOGIN_PAGE).into_response();
        }
        self.logins.fetch_add(1, Ordering::Relaxed);
        let session = Uuid::new_v4().simple().to_string();
        let cookie = format!("session={session}; Path=/neo; HttpOnly");
        locked(&self.sessions).insert(session);
        ([(header::SET_COOKIE, cookie)], Html("<html></html>")).into_response()
    }

    fn knows(&self, headers: &HeaderMap) -> bool {
        let sessions = locked(&self.sessions);
        let cookies = headers.get_all(header::COOKIE).iter();
        cookies
            .filter_map(|cookies| cookies.to_str().ok())
            .flat_map(|cookies| cookies.split(';'))
            .filter_map(|cookie| cookie.trim().strip_prefix("session="))
            .any(|session| sessions.contains(session))
    }

    fn turn_away(&self, uri: &Uri) -> Response {
        match self.shows_the_way.load(Ordering::Relaxed) {
            true => {
                let way = format!("{LOGIN}?next={}", uri.path());
                (StatusCode::FOUND, [(header::LOCATION, way)]).into_response()
            }
            false => refused(StatusCode::UNAUTHORIZED, "not logged in"),
        }
    }

    fn answer(&self, method: &Method, path: &str, body: &[u8]) -> Response {
        let mut parts = path.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some("app"), Some("jobs"), id, None) if method == Method::GET => {
                let mut fabric = locked(&self.fabric);
                let jobs = match id {
                    Some(id) => fabric.read_job(id),
                    None => fabric.jobs(),
                };
                kept(&fabric, || axum::Json(jobs).into_response())
            }
            (Some(DOMAIN), Some(name), id, None) => match Collection::named(name) {
                _ if !self.serves_clouds.load(Ordering::Relaxed) => {
                    refused(StatusCode::NOT_IMPLEMENTED, "not implemented")
                }
                Some(collection) => self.of_domain(method, collection, id, body),
                None => refused(StatusCode::NOT_IMPLEMENTED, "not implemented"),
            },
            _ => refused(StatusCode::NOT_FOUND, "not found"),
        }
    }

    fn of_domain(
        &self,
        method: &Method,
        collection: Collection,
        id: Option<&str>,
        body: &[u8],
    ) -> Response {
        let mut fabric = locked(&self.fabric);
        let body = || serde_json::from_slice(body).unwrap_or(Value::Null);
        let begun = match (method, id) {
            (&Method::GET, None) => return axum::Json(fabric.all(collection)).into_response(),
            (&Method::GET, Some(id)) => {
                return match fabric.one(collection, id) {
                    Ok(object) => axum::Json(object).into_response(),
                    Err(Refused(status, why)) => refused(status, &why),
                };
            }
            (&Method::POST, None) => fabric.create(collection, body()),
            (&Method::PUT, Some(id)) => fabric.update(collection, id, body()),
            (&Method::DELETE, Some(id)) => fabric.delete(collection, id),
            _ => return refused(StatusCode::METHOD_NOT_ALLOWED, "method not allowed"),
        };
        match begun {
            Err(Refused(status, why)) => refused(status, &why),
            Ok(accepted) => {
                let usual = match (method, collection) {
                    (&Method::POST, Collection::Port) => Manner::Page,
                    (&Method::POST, Collection::Network) => Manner::Text,
                    (&Method::PUT, _) => Manner::Location,
                    _ => Manner::Object,
                };
                let manner = locked(&self.manner).unwrap_or(usual);
                kept(&fabric, || say(&accepted, manner))
            }
        }
    }
}

async fn handle(
    State(neo): State<Arc<Neo>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    match (&method, uri.path()) {
        (&Method::POST, "/demo/end-sessions") => {
            neo.end_sessions(false);
            return StatusCode::NO_CONTENT.into_response();
        }
        (&Method::POST, LOGIN) => return neo.log_in(&body),
        (&Method::GET, LOGIN) => return Html(LOGIN_PAGE).into_response(),
        _ => {}
    }
    neo.calls.fetch_add(1, Ordering::Relaxed);
    if !neo.knows(&headers) {
        return neo.turn_away(&uri);
    }
    match uri.path().strip_prefix("/neo/") {
        Some(path) => neo.answer(&method, path, &body),
        None => refused(StatusCode::NOT_FOUND, "not found"),
    }
}

/// The answer to a write.
fn say(accepted: &Accepted, manner: Manner) -> Response {
    let path = format!("/app/jobs/{}", accepted.job);
    match manner {
        Manner::Object => (StatusCode::ACCEPTED, axum::Json(&accepted.shown)).into_response(),
        Manner::Text => (StatusCode::ACCEPTED, axum::Json(path)).into_response(),
        Manner::Location => {
            let location = [(header::LOCATION, format!("/neo{path}"))];
            (StatusCode::ACCEPTED, location).into_response()
        }
        Manner::Page => {
            let link = format!("<html><body><a href=\"{path}\">{path}</a></body></html>");
            (StatusCode::ACCEPTED, Html(link)).into_response()
        }
    }
}

/// The answer, once the file holds what it says.
fn kept(fabric: &Fabric, answer: impl FnOnce() -> Response) -> Response {
    match fabric.save() {
        Ok(()) => answer(),
        Err(error) => {
            let why = format!("the simulated NEO cannot keep its objects: {error}");
            refused(StatusCode::INTERNAL_SERVER_ERROR, &why)
        }
    }
}

fn refused(status: StatusCode, why: &str) -> Response {
    (status, axum::Json(json!({ "error": why }))).into_response()
}

/// The fields of a form.
pub(super) fn form(body: &[u8]) -> Vec<(String, String)> {
    let uri = format!("/?{}", String::from_utf8_lossy(body)).parse();
    let fields = uri.ok().and_then(|uri| Query::try_from_uri(&uri).ok());
    fields.map(|Query(fields)| fields).unwrap_or_default()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
