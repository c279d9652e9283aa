//! A FortiGate's REST API (FortiOS 7): the tables of `cmdb` that the firewall pack works with, in one vdom.
//!
//! Written from Fortinet's REST API documents (the envelope of answers, `action=move`, the numbers of errors) and from
//! what clients of it tell: HTTP says little. What is there already, in use or too much comes as 500, a name that is
//! not known and a value that is wrong as 424, what cannot be moved as 200; `status` and `error` in the body say what it
//! is. Everything is in force at once. Zones are `trust`, `untrust` and `dmz`.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use ipnet::Ipv4Net;
use serde_json::{Map, Value, json};

use super::kept::Kept;

const ZONES: [&str; 3] = ["trust", "untrust", "dmz"];

type Object = Map<String, Value>;
type Tables = BTreeMap<String, Vec<Object>>;

/// A table of `cmdb`.
struct Table {
    path: &'static str,
    /// The attribute that names a row.
    key: &'static str,
    /// What every row has: names and values where nothing else was said.
    defaults: fn() -> Value,
    /// Attributes that name rows of other tables, and which.
    references: &'static [(&'static str, &'static str)],
    /// The row that the firewall comes with.
    own: Option<&'static str>,
}

const ADDRESSES: &str = "firewall/address";
const SERVICES: &str = "firewall.service/custom";
const INTERFACES: &str = "system/zone";

static TABLES: [Table; 4] = [
    Table {
        path: ADDRESSES,
        key: "name",
        defaults: || json!({ "type": "ipmask", "subnet": "0.0.0.0 0.0.0.0", "fqdn": "", "comment": "" }),
        references: &[],
        own: Some("all"),
    },
    Table {
        path: SERVICES,
        key: "name",
        defaults: || json!({ "protocol": "TCP/UDP/SCTP", "tcp-portrange": "", "udp-portrange": "", "comment": "" }),
        references: &[],
        own: Some("ALL"),
    },
    Table {
        path: "firewall/policy",
        key: "policyid",
        defaults: || {
            json!({ "srcintf": [], "dstintf": [], "srcaddr": [], "dstaddr": [], "service": [],
                "schedule": "always", "action": "deny", "status": "enable", "comments": "" })
        },
        references: &[
            ("srcintf", INTERFACES),
            ("dstintf", INTERFACES),
            ("srcaddr", ADDRESSES),
            ("dstaddr", ADDRESSES),
            ("service", SERVICES),
        ],
        own: None,
    },
    Table {
        path: "firewall/central-snat-map",
        key: "policyid",
        defaults: || {
            json!({ "srcintf": [], "dstintf": [], "orig-addr": [], "dst-addr": [], "nat": "enable",
                "status": "enable", "comments": "" })
        },
        references: &[
            ("srcintf", INTERFACES),
            ("dstintf", INTERFACES),
            ("orig-addr", ADDRESSES),
            ("dst-addr", ADDRESSES),
        ],
        own: None,
    },
];

/// A refusal: the status of HTTP, what the body calls the status, and the number of the error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Refused(u16, u16, i32);

const DUPLICATE: Refused = Refused(500, 500, -5);
const FULL: Refused = Refused(500, 500, -4);
const IN_USE: Refused = Refused(500, 500, -23);
const ABSENT: Refused = Refused(404, 404, -3);
const UNKNOWN_NAME: Refused = Refused(424, 424, -3);
const INVALID: Refused = Refused(424, 424, -651);
const NOT_MOVED: Refused = Refused(200, 500, -3);

/// One simulated FortiGate.
#[derive(Debug)]
pub struct Fortios {
    token: String,
    /// The rows of each table, in their order.
    tables: Mutex<Kept<Tables>>,
    most: AtomicUsize,
}

impl Fortios {
    /// A firewall with what its file holds; it takes calls with this token.
    pub fn open(token: String, file: Option<PathBuf>) -> io::Result<Self> {
        let mut tables = Kept::<Tables>::open(file)?;
        if tables.is_empty() {
            tables.extend(TABLES.iter().map(first_rows));
        }
        Ok(Self {
            token,
            tables: Mutex::new(tables),
            most: AtomicUsize::new(1000),
        })
    }

    /// Everything that it answers, below `/api/v2/cmdb`.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(handle).with_state(Arc::clone(self))
    }

    /// How many rows a table takes from now on.
    pub fn hold_at_most(&self, most: usize) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// Removes a row behind everybody's back, whoever refers to it: `firewall/address` and its name.
    pub fn remove(&self, table: &str, key: &str) {
        if let Some(rows) = self.tables().get_mut(table) {
            rows.retain(|row| !known_as(row, key));
        }
    }

    fn tables(&self) -> MutexGuard<'_, Kept<Tables>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(
        &self,
        method: &Method,
        (table, key): (&'static Table, Option<&str>),
        query: &BTreeMap<String, String>,
        body: &[u8],
    ) -> Result<Value, Refused> {
        let mut tables = self.tables();
        let body: Object = match body {
            [] => Object::new(),
            body => serde_json::from_slice(body).map_err(|_| Refused(400, 400, -651))?,
        };
        let mut rows = tables.get(table.path).cloned().unwrap_or_default();
        let at = |key: &str| rows.iter().position(|row| known_as(row, key));
        let mkey = match (method, key) {
            (&Method::GET, None) => {
                let number = |name: &str| query.get(name).and_then(|said| said.parse().ok());
                let (start, count) = (number("start"), number("count"));
                let page = rows.iter().skip(start.unwrap_or(0));
                let page: Vec<_> = page.take(count.unwrap_or(usize::MAX)).collect();
                let size = rows.len();
                return Ok(json!({ "results": page, "size": size, "matched_count": size }));
            }
            (&Method::GET, Some(key)) => {
                let row = at(key).map(|at| &rows[at]).ok_or(ABSENT)?;
                return Ok(json!({ "results": [row] }));
            }
            (&Method::POST, None) => {
                let row = new_row(table, &rows, body)?;
                check(table, &row, &tables)?;
                if rows.len() >= self.most.load(Ordering::Relaxed) {
                    return Err(FULL);
                }
                let mkey = row[table.key].clone();
                rows.push(row);
                mkey
            }
            (&Method::PUT, Some(key)) if query.get("action").is_some_and(|a| a == "move") => {
                let row = rows.remove(at(key).ok_or(NOT_MOVED)?);
                let beside = |name: &str| {
                    let other = query.get(name)?;
                    rows.iter().position(|row| known_as(row, other))
                };
                let place = beside("before").or_else(|| beside("after").map(|at| at + 1));
                let mkey = row[table.key].clone();
                rows.insert(place.ok_or(NOT_MOVED)?, row);
                mkey
            }
            (&Method::PUT, Some(key)) => {
                let at = at(key).ok_or(ABSENT)?;
                let mut row = rows[at].clone();
                row.extend(members(body));
                check(table, &row, &tables)?;
                let mkey = row[table.key].clone();
                rows[at] = row;
                mkey
            }
            (&Method::DELETE, Some(key)) => {
                let at = at(key).ok_or(ABSENT)?;
                if used(table, key, &tables) {
                    return Err(IN_USE);
                }
                rows.remove(at)[table.key].clone()
            }
            _ => return Err(Refused(405, 405, -651)),
        };
        tables.insert(table.path.to_owned(), rows);
        tables.save().map_err(|_| Refused(500, 500, -6))?;
        Ok(json!({ "mkey": mkey }))
    }
}

async fn handle(
    State(firewall): State<Arc<Fortios>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let bearer = format!("Bearer {}", firewall.token);
    if headers
        .get(header::AUTHORIZATION)
        .is_none_or(|said| *said != *bearer)
    {
        let page = Html("<html><body><h1>401 Unauthorized</h1></body></html>");
        return (StatusCode::UNAUTHORIZED, page).into_response();
    }
    let query = Query::<BTreeMap<String, String>>::try_from_uri(&uri);
    let query = query.map(|Query(query)| query).unwrap_or_default();
    let vdom = query.get("vdom").map_or("root", String::as_str);
    let answer = match place(uri.path()) {
        _ if vdom != "root" => Err(Refused(403, 403, -14)),
        Some((table, key)) => firewall.answer(&method, (table, key), &query, &body),
        None => Err(ABSENT),
    };
    let (status, mut said) = match answer {
        Ok(said) => (200, said),
        Err(Refused(status, http_status, error)) => {
            let said = json!({ "status": "error", "http_status": http_status, "error": error });
            (status, said)
        }
    };
    let envelope = json!({ "http_method": method.as_str(), "vdom": vdom, "path": uri.path(),
        "status": "success", "http_status": 200, "serial": "FGVM00SIMULATED", "version": "v7.4.4", "build": 2662 });
    if let (Value::Object(said), Value::Object(envelope)) = (&mut said, envelope) {
        for (name, value) in envelope {
            said.entry(name).or_insert(value);
        }
    }
    let status = StatusCode::from_u16(status).expect("the refusals have statuses of HTTP");
    (status, axum::Json(said)).into_response()
}

/// The table and the row that a path names.
fn place(path: &str) -> Option<(&'static Table, Option<&str>)> {
    let path = path.strip_prefix("/api/v2/cmdb/")?;
    TABLES.iter().find_map(|table| {
        let rest = path.strip_prefix(table.path)?;
        match rest.strip_prefix('/') {
            None if rest.is_empty() => Some((table, None)),
            Some(key) if !key.contains('/') => Some((table, Some(key))),
            _ => None,
        }
    })
}

fn first_rows(table: &Table) -> (String, Vec<Object>) {
    let row = |name: &str| {
        let mut row = defaults(table);
        row.insert(table.key.to_owned(), name.into());
        row
    };
    let rows = table.own.map(row).into_iter().collect();
    (table.path.to_owned(), rows)
}

fn defaults(table: &Table) -> Object {
    match (table.defaults)() {
        Value::Object(row) => row,
        _ => Object::new(),
    }
}

/// A row as it is kept: the next number where the table counts.
fn new_row(table: &Table, rows: &[Object], body: Object) -> Result<Object, Refused> {
    let mut row = defaults(table);
    row.extend(members(body));
    if table.key == "policyid" {
        let last = rows.iter().filter_map(|row| row["policyid"].as_u64()).max();
        row.entry("policyid")
            .or_insert(json!(last.unwrap_or(0) + 1));
    }
    let key = row.get(table.key).map(text).unwrap_or_default();
    match rows.iter().any(|row| known_as(row, &key)) {
        _ if key.is_empty() => Err(INVALID),
        true => Err(DUPLICATE),
        false => {
            row.insert("q_origin_key".to_owned(), row[table.key].clone());
            Ok(row)
        }
    }
}

/// Members of lists say their own key twice.
fn members(mut body: Object) -> Object {
    let lists = body.values_mut().filter_map(Value::as_array_mut);
    for member in lists.flatten() {
        if let Some(name) = member.get("name").cloned() {
            member["q_origin_key"] = name;
        }
    }
    body
}

fn check(table: &Table, row: &Object, tables: &Tables) -> Result<(), Refused> {
    for (attribute, of) in table.references {
        let names = names(row, attribute);
        if names.is_empty() {
            return Err(INVALID);
        }
        let known = |name: &&str| match *of {
            INTERFACES => ZONES.contains(name),
            of => tables
                .get(of)
                .is_some_and(|rows| rows.iter().any(|row| known_as(row, name))),
        };
        if !names.iter().all(known) {
            return Err(UNKNOWN_NAME);
        }
    }
    let said = |name: &str| row.get(name).and_then(Value::as_str).unwrap_or_default();
    let fine = match table.path {
        ADDRESSES if said("type") == "ipmask" => subnet(said("subnet")),
        ADDRESSES => said("type") == "fqdn" && !said("fqdn").is_empty(),
        SERVICES => [said("tcp-portrange"), said("udp-portrange")]
            .iter()
            .all(|range| range.is_empty() || ports(range)),
        _ => ["enable", "disable"].contains(&said("status")),
    };
    if fine { Ok(()) } else { Err(INVALID) }
}

/// `10.0.0.0 255.255.255.0`
fn subnet(text: &str) -> bool {
    let parts = text
        .split_once(' ')
        .and_then(|(address, mask)| Some((address.parse().ok()?, mask.parse().ok()?)));
    parts.is_some_and(|(address, mask)| Ipv4Net::with_netmask(address, mask).is_ok())
}

/// `80` or `8000-8080`
pub(super) fn ports(text: &str) -> bool {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse::<u16>(), last.parse::<u16>()) {
        (Ok(first), Ok(last)) => first > 0 && first <= last,
        _ => false,
    }
}

/// Whether a row of any table names this one.
fn used(table: &Table, key: &str, tables: &Tables) -> bool {
    TABLES.iter().any(|other| {
        let rows = tables.get(other.path).into_iter().flatten();
        let own = || other.references.iter().filter(|(_, of)| *of == table.path);
        rows.into_iter()
            .any(|row| own().any(|(attribute, _)| names(row, attribute).contains(&key)))
    })
}

fn names<'r>(row: &'r Object, attribute: &str) -> Vec<&'r str> {
    let members = row.get(attribute).and_then(Value::as_array);
    let members = members.into_iter().flatten();
    members
        .filter_map(|member| member["name"].as_str())
        .collect()
}

fn known_as(row: &Object, key: &str) -> bool {
    let own = row.get("name").or_else(|| row.get("policyid"));
    own.is_some_and(|own| text(own) == key)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
