//! An Avi Controller (Avi Load Balancer): `/login`, `/logout` and `/api/<type>[/<uuid>]`.
//!
//! A login sets two cookies, `sessionid` and `csrftoken`. Each call carries both; one that writes carries the second as the
//! header `X-CSRFToken`, too, and a `Referer`. References are URLs, written by id or by name and answered by id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Object, Objects, USER, VIRTUAL_SERVER, locked, text};

/// The types, and how messages call them.
const TYPES: [(&str, &str); 6] = [
    ("pool", "Pool"),
    ("ipaddrgroup", "IpAddrGroup"),
    ("wafpolicy", "WafPolicy"),
    ("wafprofile", "WafProfile"),
    ("virtualservice", "VirtualService"),
    ("vsvip", "VsVip"),
];

/// `max_concurrent_sessions` of the account: enough for a relay that logs out, and not for one that does not.
const MOST_SESSIONS: usize = 3;

/// Sessions, by their ids: the token of each.
pub(super) struct Sessions {
    password: String,
    tokens: Mutex<HashMap<String, String>>,
    logins: AtomicU64,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    pub(super) fn new(password: String) -> Self {
        Self {
            password,
            tokens: Mutex::default(),
            logins: AtomicU64::new(0),
        }
    }

    pub(super) fn logins(&self) -> u64 {
        self.logins.load(Ordering::Relaxed)
    }

    pub(super) fn open(&self) -> usize {
        self.tokens().len()
    }

    pub(super) fn expire_all(&self) {
        self.tokens().clear();
    }

    fn tokens(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        locked(&self.tokens)
    }

    fn log_in(&self, body: &[u8]) -> Response {
        let who: Value = serde_json::from_slice(body).unwrap_or_default();
        if who["username"] != USER || who["password"] != *self.password {
            return refusal(StatusCode::UNAUTHORIZED, "Invalid credentials");
        }
        let mut tokens = self.tokens();
        if tokens.len() >= MOST_SESSIONS {
            return refusal(
                StatusCode::FORBIDDEN,
                "Maximum number of concurrent sessions reached",
            );
        }
        self.logins.fetch_add(1, Ordering::Relaxed);
        let [session, token] = [Uuid::new_v4(), Uuid::new_v4()].map(|id| id.simple().to_string());
        tokens.insert(session.clone(), token.clone());
        let cookies = AppendHeaders([
            (
                header::SET_COOKIE,
                format!("csrftoken={token}; Path=/; Secure"),
            ),
            (
                header::SET_COOKIE,
                format!("sessionid={session}; HttpOnly; Path=/; Secure"),
            ),
        ]);
        let body = json!({ "user": { "name": USER }, "version": { "Version": "22.1.3" } });
        (cookies, axum::Json(body)).into_response()
    }

    /// The session of a call, or why there is none.
    fn admit(&self, method: &Method, headers: &HeaderMap) -> Result<String, Response> {
        let cookie = |name| cookie(headers, name);
        let session = cookie("sessionid").unwrap_or_default();
        let Some(token) = self.tokens().get(session).cloned() else {
            return Err(refusal(
                StatusCode::UNAUTHORIZED,
                "Authentication credentials were not provided.",
            ));
        };
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let why = match method {
            &Method::GET => None,
            _ if header("x-csrftoken") != Some(&*token) || cookie("csrftoken") != Some(&*token) => {
                Some("CSRF Failed: CSRF token missing or incorrect.")
            }
            _ if header("referer").is_none() => {
                Some("CSRF Failed: Referer checking failed - no Referer.")
            }
            _ => None,
        };
        match why {
            Some(why) => {
                let body = axum::Json(json!({ "detail": why }));
                Err((StatusCode::FORBIDDEN, body).into_response())
            }
            None => Ok(session.to_owned()),
        }
    }
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    let mut pairs = all
        .split(';')
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

struct Controller {
    objects: Arc<Mutex<Objects>>,
    url: String,
    sessions: Arc<Sessions>,
}

pub(super) fn router(kept: Arc<Mutex<Objects>>, url: String, sessions: Arc<Sessions>) -> Router {
    let mut objects = locked(&kept);
    // What each Controller comes with, and what its administrator has made.
    for (kind, name) in [
        ("wafprofile", "System-WAF-Profile"),
        ("vsvip", VIRTUAL_SERVER),
    ] {
        if objects.find(kind, "name", name).is_none() {
            let mut object = Object::new();
            object.insert("name".to_owned(), json!(name));
            object.insert(
                "uuid".to_owned(),
                json!(format!("{kind}-{}", Uuid::new_v4())),
            );
            objects.insert(kind, object);
        }
    }
    drop(objects);
    Router::new()
        .fallback(handle)
        .with_state(Arc::new(Controller {
            objects: kept,
            url,
            sessions,
        }))
}

type Answer = Result<(StatusCode, Value), (StatusCode, String)>;

fn refusal(status: StatusCode, error: &str) -> Response {
    (status, axum::Json(json!({ "error": error }))).into_response()
}

async fn handle(
    State(controller): State<Arc<Controller>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if (&method, uri.path()) == (&Method::POST, "/login") {
        return controller.sessions.log_in(&body);
    }
    let logout = (&method, uri.path()) == (&Method::POST, "/logout");
    let session = match controller.sessions.admit(&method, &headers) {
        Ok(session) => session,
        Err(refusal) => return refusal,
    };
    if logout {
        controller.sessions.tokens().remove(&session);
        return StatusCode::OK.into_response();
    }
    if !headers.contains_key("x-avi-version") {
        return refusal(StatusCode::BAD_REQUEST, "X-Avi-Version is missing");
    }
    let mut objects = locked(&controller.objects);
    let answer = answer(&mut objects, &controller.url, &method, &uri, &body);
    if let Err(error) = objects.save() {
        let why = format!("the simulated objects cannot be kept: {error}");
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, &why);
    }
    match answer {
        Ok((StatusCode::NO_CONTENT, _)) => StatusCode::NO_CONTENT.into_response(),
        Ok((status, body)) => (status, axum::Json(body)).into_response(),
        Err((status, error)) => refusal(status, &error),
    }
}

fn answer(objects: &mut Objects, url: &str, method: &Method, uri: &Uri, body: &[u8]) -> Answer {
    let missing = |model: &str| Err((StatusCode::NOT_FOUND, format!("{model} object not found!")));
    let mut parts = uri.path().trim_start_matches("/api/").split('/');
    let kind = parts.next().unwrap_or("");
    let Some((kind, model)) = TYPES.into_iter().find(|(known, _)| *known == kind) else {
        return missing("API");
    };
    let Some(uuid) = parts.next() else {
        return match *method {
            Method::GET => Ok((StatusCode::OK, list(objects, url, kind, uri))),
            Method::POST => create(objects, url, kind, model, body),
            _ => Err((StatusCode::METHOD_NOT_ALLOWED, "Method not allowed".into())),
        };
    };
    let Some(object) = objects.find(kind, "uuid", uuid).cloned() else {
        return missing(model);
    };
    match *method {
        Method::GET => Ok((StatusCode::OK, object.into())),
        Method::PATCH => {
            let changed = patch(object, &parse(body)?);
            let changed = resolve(objects, url, changed.into())?;
            if let (Some(kept), Value::Object(changed)) =
                (objects.find_mut(kind, "uuid", uuid), &changed)
            {
                kept.clone_from(changed);
            }
            Ok((StatusCode::OK, changed))
        }
        Method::DELETE => {
            let referred = format!("{url}/api/{kind}/{uuid}");
            let by: Vec<String> = TYPES
                .iter()
                .flat_map(|(kind, model)| objects.all(kind).iter().map(move |one| (model, one)))
                .filter(|(_, one)| text(one, "uuid") != uuid)
                .filter(|(_, one)| Value::from((*one).clone()).to_string().contains(&referred))
                .map(|(model, one)| format!("'{model} {}'", text(one, "name")))
                .collect();
            if !by.is_empty() {
                let error = format!("Cannot delete, object is referred by: [{}]", by.join(", "));
                return Err((StatusCode::FORBIDDEN, error));
            }
            objects.remove(kind, "uuid", uuid);
            Ok((StatusCode::NO_CONTENT, Value::Null))
        }
        _ => Err((StatusCode::METHOD_NOT_ALLOWED, "Method not allowed".into())),
    }
}

fn parse(body: &[u8]) -> Result<Object, (StatusCode, String)> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err((StatusCode::BAD_REQUEST, "JSON parse error".to_owned())),
    }
}

/// A page: `page` from one on, of `page_size`.
fn list(objects: &Objects, url: &str, kind: &str, uri: &Uri) -> Value {
    let number = |name: &str, default: usize| {
        let pairs = uri.query().unwrap_or("").split('&');
        let mut values = pairs.filter_map(|pair| pair.split_once('='));
        let found = values.find(|(found, _)| *found == name);
        found
            .and_then(|(_, value)| value.parse().ok())
            .unwrap_or(default)
    };
    let (page, size) = (number("page", 1).max(1), number("page_size", 25).max(1));
    let all = objects.all(kind);
    let results: Vec<_> = all.iter().skip((page - 1) * size).take(size).collect();
    let mut answer = json!({ "count": all.len(), "results": results });
    if page * size < all.len() {
        let next = format!("{url}/api/{kind}?page={}&page_size={size}", page + 1);
        answer["next"] = next.into();
    }
    answer
}

fn create(objects: &mut Objects, url: &str, kind: &str, model: &str, body: &[u8]) -> Answer {
    let mut object = parse(body)?;
    let name = text(&object, "name").to_owned();
    if name.is_empty() {
        return Err((StatusCode::BAD_REQUEST, "name: Invalid value".to_owned()));
    }
    if objects.find(kind, "name", &name).is_some() {
        let cloud = if kind == "pool" || kind == "virtualservice" {
            " and Cloud ref"
        } else {
            ""
        };
        let error = format!("{model} with this Name, Tenant ref{cloud} already exists.");
        return Err((StatusCode::CONFLICT, error));
    }
    let uuid = format!("{kind}-{}", Uuid::new_v4());
    object.insert("url".to_owned(), json!(format!("{url}/api/{kind}/{uuid}")));
    object.insert("uuid".to_owned(), json!(uuid));
    // The address of itself is no reference.
    let resolved = resolve(objects, url, object.into())?;
    if let Value::Object(object) = &resolved {
        objects.insert(kind, object.clone());
    }
    Ok((StatusCode::CREATED, resolved))
}

/// The tree with each reference as a whole URL by id: fields that end in `_ref` and `_refs`.
fn resolve(objects: &Objects, url: &str, tree: Value) -> Result<Value, (StatusCode, String)> {
    match tree {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(field, value)| {
                let value = match value {
                    Value::String(to) if field.ends_with("_ref") => reference(objects, url, &to)?,
                    Value::Array(all) if field.ends_with("_refs") => all
                        .iter()
                        .map(|to| reference(objects, url, to.as_str().unwrap_or("")))
                        .collect::<Result<_, _>>()?,
                    other => resolve(objects, url, other)?,
                };
                Ok((field, value))
            })
            .collect::<Result<Object, _>>()
            .map(Value::Object),
        Value::Array(items) => items
            .into_iter()
            .map(|item| resolve(objects, url, item))
            .collect(),
        other => Ok(other),
    }
}

fn reference(objects: &Objects, url: &str, to: &str) -> Result<Value, (StatusCode, String)> {
    let path = to.trim_start_matches(url).trim_start_matches("/api/");
    let (kind, key, value) = match path.split_once("?name=") {
        Some((kind, name)) => (kind, "name", name),
        None => {
            let (kind, uuid) = path.split_once('/').unwrap_or((path, ""));
            (kind, "uuid", uuid)
        }
    };
    match objects.find(kind, key, value) {
        Some(found) => Ok(json!(format!("{url}/api/{kind}/{}", text(found, "uuid")))),
        None => {
            let model = TYPES.iter().find(|(known, _)| *known == kind);
            let model = model.map_or("API", |(_, model)| *model);
            Err((StatusCode::NOT_FOUND, format!("{model} object not found!")))
        }
    }
}

/// `add` and `replace` set a field, `add` adds to a list what is not in it, `delete` takes out of one what is equal.
fn patch(mut object: Object, operations: &Object) -> Object {
    for (operation, fields) in operations {
        for (field, value) in fields.as_object().into_iter().flatten() {
            match (operation.as_str(), value, object.get_mut(field)) {
                ("add", Value::Array(added), Some(Value::Array(items))) => {
                    for one in added {
                        if !items.contains(one) {
                            items.push(one.clone());
                        }
                    }
                }
                ("delete", Value::Array(gone), Some(Value::Array(items))) => {
                    items.retain(|item| !gone.contains(item));
                }
                ("delete", ..) => {
                    object.remove(field);
                }
                _ => {
                    object.insert(field.clone(), value.clone());
                }
            }
        }
    }
    object
}
