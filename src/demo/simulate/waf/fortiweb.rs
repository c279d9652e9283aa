//! A FortiWeb, REST API v2.0: `/api/v2.0/cmdb/<table>?mkey=<name>`, rows of a table in it by `&sub_mkey=<id>`.
//!
//! The credential is base64 of a JSON object in `Authorization`, without a scheme, at every call. A refusal is HTTP 500
//! with a negative `errcode` in the body.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Object, Objects, USER, VIRTUAL_SERVER, locked, text};

const POOLS: &str = "server-policy/server-pool";
const MEMBERS: &str = "server-policy/server-pool/pserver-list";
const VIRTUAL_SERVERS: &str = "server-policy/vserver";
const POLICIES: &str = "server-policy/policy";
const LISTS: &str = "waf/ip-list";
const LIST_MEMBERS: &str = "waf/ip-list/members";
const PROFILES: &str = "waf/web-protection-profile.inline-protection";
const SIGNATURES: &str = "waf/signature";

/// The tables, and those in which each row belongs to an object of another one.
const TABLES: [&str; 6] = [
    POOLS,
    VIRTUAL_SERVERS,
    POLICIES,
    LISTS,
    PROFILES,
    SIGNATURES,
];
const ROWS: [(&str, &str); 2] = [(MEMBERS, POOLS), (LIST_MEMBERS, LISTS)];

/// Which field names an object of which table: table, field, table of what is named.
const REFERENCES: [(&str, &str, &str); 5] = [
    (POLICIES, "vserver", VIRTUAL_SERVERS),
    (POLICIES, "server-pool", POOLS),
    (POLICIES, "web-protection-profile", PROFILES),
    (PROFILES, "signature-rule", SIGNATURES),
    (PROFILES, "ip-list-policy", LISTS),
];

struct FortiWeb {
    objects: Arc<Mutex<Objects>>,
    password: String,
}

/// `errcode` and `message`.
type Refusal = (i64, String);

pub(super) fn router(kept: Arc<Mutex<Objects>>, password: String) -> Router {
    let mut objects = locked(&kept);
    // What each FortiWeb comes with, and what its administrator has made.
    let given = [
        (SIGNATURES, "Standard Protection"),
        (SIGNATURES, "Alert Only"),
        (VIRTUAL_SERVERS, VIRTUAL_SERVER),
    ];
    for (table, name) in given {
        if objects.find(table, "name", name).is_none() {
            let mut object = Object::new();
            object.insert("name".to_owned(), json!(name));
            objects.insert(table, object);
        }
    }
    drop(objects);
    Router::new()
        .fallback(handle)
        .with_state(Arc::new(FortiWeb {
            objects: kept,
            password,
        }))
}

#[derive(Debug, Deserialize)]
struct Keys {
    mkey: Option<String>,
    sub_mkey: Option<String>,
}

async fn handle(
    State(fortiweb): State<Arc<FortiWeb>>,
    Query(keys): Query<Keys>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !fortiweb.knows(&headers) {
        let body = json!({ "results": { "errcode": -1, "message": "Authentication failed." } });
        return (StatusCode::UNAUTHORIZED, axum::Json(body)).into_response();
    }
    let mut objects = locked(&fortiweb.objects);
    let table = uri.path().strip_prefix("/api/v2.0/cmdb/").unwrap_or("");
    let answer =
        answer(&mut objects, table, &keys, &method, &body).and_then(|results| {
            match objects.save() {
                Ok(()) => Ok(results),
                Err(error) => Err((-1, format!("the simulated objects cannot be kept: {error}"))),
            }
        });
    match answer {
        Ok(results) => axum::Json(json!({ "results": results })).into_response(),
        Err((errcode, message)) => {
            let body = json!({ "results": { "errcode": errcode, "message": message } });
            (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(body)).into_response()
        }
    }
}

impl FortiWeb {
    fn knows(&self, headers: &HeaderMap) -> bool {
        let value = headers.get(header::AUTHORIZATION);
        let decoded = value.and_then(|value| STANDARD.decode(value).ok());
        let read = decoded.and_then(|json| serde_json::from_slice::<Value>(&json).ok());
        read.is_some_and(|who| {
            who["username"] == USER && who["password"] == *self.password && who["vdom"] == "root"
        })
    }
}

fn refuse<T>(errcode: i64, message: &str) -> Result<T, Refusal> {
    Err((errcode, message.to_owned()))
}

fn not_found<T>() -> Result<T, Refusal> {
    refuse(-3, "Entry not found.")
}

fn answer(
    objects: &mut Objects,
    path: &str,
    keys: &Keys,
    method: &Method,
    body: &[u8],
) -> Result<Value, Refusal> {
    let mkey = keys.mkey.as_deref();
    if let Some((_, parent)) = ROWS.iter().find(|(table, _)| *table == path) {
        let Some(owner) = mkey.filter(|mkey| objects.find(parent, "name", mkey).is_some()) else {
            return not_found();
        };
        let table = format!("{path}?mkey={owner}");
        return rows(objects, &table, keys.sub_mkey.as_deref(), method, body);
    }
    let Some(table) = TABLES.into_iter().find(|table| *table == path) else {
        return refuse(-20001, "invalid URL");
    };
    match (method, mkey) {
        (&Method::GET, None) => Ok(listed(objects, table)),
        (&Method::GET, Some(name)) => match objects.find(table, "name", name) {
            Some(object) => Ok(object.clone().into()),
            None => not_found(),
        },
        (&Method::POST, None) => {
            let object = data(body)?;
            let name = text(&object, "name").to_owned();
            if name.is_empty() {
                return refuse(-56, "Empty value isn't allowed.");
            }
            if objects.find(table, "name", &name).is_some() {
                return refuse(-5, "A duplicate entry has already existed.");
            }
            let mut whole = defaults(table);
            whole.extend(object);
            check(objects, table, &whole)?;
            objects.insert(table, whole.clone());
            Ok(whole.into())
        }
        (&Method::PUT, Some(name)) => {
            let Some(object) = objects.find(table, "name", name) else {
                return not_found();
            };
            let mut whole = object.clone();
            whole.extend(data(body)?);
            check(objects, table, &whole)?;
            if let Some(object) = objects.find_mut(table, "name", name) {
                object.clone_from(&whole);
            }
            Ok(whole.into())
        }
        (&Method::DELETE, Some(name)) => {
            if objects.find(table, "name", name).is_none() {
                return not_found();
            }
            let users = users(objects, table, name);
            if users > 0 {
                return Err((-23, format!("The entry is used by other {users} entries")));
            }
            objects.remove(table, "name", name);
            for (rows, _) in ROWS.iter().filter(|(_, parent)| *parent == table) {
                objects.tables.remove(&format!("{rows}?mkey={name}"));
            }
            Ok(json!({}))
        }
        _ => refuse(-20001, "invalid URL"),
    }
}

/// All of a table, as a list shows it.
fn listed(objects: &Objects, table: &str) -> Value {
    let all = objects.all(table).iter().cloned();
    all.map(Value::from).collect()
}

/// The rows of one object, numbered from one on.
fn rows(
    objects: &mut Objects,
    table: &str,
    id: Option<&str>,
    method: &Method,
    body: &[u8],
) -> Result<Value, Refusal> {
    match (method, id) {
        (&Method::GET, None) => Ok(listed(objects, table)),
        (&Method::POST, None) => {
            let mut row = data(body)?;
            if text(&row, "ip").parse::<Ipv4Addr>().is_err() {
                return refuse(-651, "Input value is invalid.");
            }
            let listed = table.starts_with(LIST_MEMBERS);
            if listed && objects.find(table, "ip", text(&row, "ip")).is_some() {
                return refuse(-6014, "The IP has already existed in the table.");
            }
            let ids = objects.all(table).iter();
            let last = ids
                .filter_map(|row| text(row, "id").parse::<u32>().ok())
                .max();
            row.insert("id".to_owned(), json!((last.unwrap_or(0) + 1).to_string()));
            objects.insert(table, row.clone());
            Ok(row.into())
        }
        (&Method::DELETE, Some(id)) if objects.find(table, "id", id).is_some() => {
            objects.remove(table, "id", id);
            Ok(json!({}))
        }
        (&Method::DELETE, Some(_)) => not_found(),
        _ => refuse(-20001, "invalid URL"),
    }
}

fn data(body: &[u8]) -> Result<Object, Refusal> {
    match serde_json::from_slice::<Value>(body).map(|mut body| body["data"].take()) {
        Ok(Value::Object(object)) => Ok(object),
        _ => refuse(-651, "Input value is invalid."),
    }
}

fn defaults(table: &str) -> Object {
    let mut object = Object::new();
    let given: &[(&str, &str)] = match table {
        POOLS => &[("lb-algo", "round-robin"), ("comment", "")],
        PROFILES => &[
            ("signature-rule", ""),
            ("ip-list-policy", ""),
            ("comment", ""),
        ],
        POLICIES => &[("web-protection-profile", ""), ("comment", "")],
        _ => &[],
    };
    for (field, value) in given {
        object.insert((*field).to_owned(), json!(value));
    }
    object
}

/// What every object of a table must be: a value that is known, names of what is there.
fn check(objects: &Objects, table: &str, object: &Object) -> Result<(), Refusal> {
    let algorithms = ["round-robin", "weighted-round-robin", "least-connection"];
    if table == POOLS && !algorithms.contains(&text(object, "lb-algo")) {
        return refuse(-651, "Input value is invalid.");
    }
    for (_, field, named) in REFERENCES.iter().filter(|(from, ..)| *from == table) {
        let name = text(object, field);
        if !name.is_empty() && objects.find(named, "name", name).is_none() {
            return not_found();
        }
    }
    Ok(())
}

/// How many objects name this one.
fn users(objects: &Objects, table: &str, name: &str) -> usize {
    let from = REFERENCES.iter().filter(|(.., named)| *named == table);
    from.map(|(from, field, _)| {
        let all = objects.all(from).iter();
        all.filter(|object| text(object, field) == name).count()
    })
    .sum()
}
