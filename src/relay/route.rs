//! From a raw CMP request to one of a route: matched, allowed, parsed, and then validated.
//!
//! Parsing and validation are two steps, because a finished retry replays in between, whatever the
//! schema says today (SEMANTICS 5).

use std::sync::Arc;

use http::Method;
use percent::decode;
use ring::hmac;
use serde_json::{Map, Value};

use super::idempotency::{self, Fingerprinted};
use super::{Caller, Inbound, RelayError, Snapshot, json};
use crate::clock;
use crate::plan::{Match, Role, Route, RouteId, ScalarType, Schema, Violation, Way};
use crate::store::OperationId;
use crate::transform::{Root, Scope};

pub mod percent;

/// A request of a route.
#[derive(Debug)]
pub struct Request {
    pub snapshot: Arc<Snapshot>,
    pub route: RouteId,
    /// A place in the route's ways; it means something once the instance is chosen.
    pub way: usize,
    pub inbound: Arc<Inbound>,
    pub idempotency_key: Option<String>,
    pub fingerprint: Vec<u8>,
    pub scope: Scope,
    /// The values of `writeOnly` fields: never stored, never shown (SEMANTICS 25).
    pub masks: Vec<String>,
    query: Vec<(String, String)>,
    headers: Map<String, Value>,
    repeated_headers: Vec<String>,
}

impl Request {
    pub fn route(&self) -> &Route {
        self.snapshot.plan.route(self.route)
    }

    /// What the route does at the chosen instance.
    pub fn way(&self) -> &Way {
        &self.route().ways[self.way]
    }
}

/// Which route a request is for.
pub fn find(
    snapshot: &Snapshot,
    inbound: &Inbound,
) -> Result<(RouteId, Vec<(String, String)>), RelayError> {
    let plan = &snapshot.plan;
    match plan.table.find(&inbound.method, &inbound.path) {
        Match::Route { route, params } => Ok((route, params)),
        Match::MethodNotAllowed(allow) => Err(RelayError::MethodNotAllowed { allow }),
        Match::NotFound => Err(RelayError::RouteNotFound {
            nearest: nearest(&plan.routes, &inbound.method, &inbound.path),
        }),
    }
}

/// Parses the request of `route`; nothing of it has been validated yet. Boxed: it is handed on many times.
pub fn parse(
    snapshot: Arc<Snapshot>,
    route_id: RouteId,
    params: &[(String, String)],
    inbound: &Arc<Inbound>,
    fingerprint_key: &hmac::Key,
) -> Result<Box<Request>, RelayError> {
    let route = snapshot.plan.route(route_id);
    let mut path = Map::with_capacity(params.len());
    for (name, raw) in params {
        path.insert(name.clone(), Value::String(decode(raw, false)?));
    }
    let query = parse_query(inbound.query.as_deref().unwrap_or(""))?;
    let body = json::request_body(&inbound.headers, &inbound.body)?;
    let (headers, repeated_headers) = declared_headers(route, inbound);
    let idempotency_key = if route.mutating {
        idempotency::key(&inbound.headers)?
    } else {
        None
    };
    if route.mutating && idempotency_key.is_none() && snapshot.plan.server.operations.key_required {
        return Err(RelayError::IdempotencyKeyRequired);
    }
    let fingerprint = if route.mutating {
        let segments = inbound
            .path
            .split('/')
            .skip(1)
            .map(|raw| decode(raw, false))
            .collect::<Result<Vec<_>, _>>()?;
        let fingerprinted = Fingerprinted {
            method: route.method.as_str(),
            path: &segments,
            query: &query,
            body: body.as_ref(),
            headers: &headers,
        };
        idempotency::fingerprint(fingerprint_key, &fingerprinted)
    } else {
        Vec::new()
    };

    let mut scope = Scope::new();
    scope.set(Root::Path, Value::Object(path));
    let masks = match (&route.request.body, &body) {
        (Some(schema), Some(body)) => write_only_values(schema, body),
        _ => Vec::new(),
    };
    if let Some(body) = body {
        scope.set(Root::Body, body);
    }
    Ok(Box::new(Request {
        snapshot,
        route: route_id,
        way: 0,
        inbound: Arc::clone(inbound),
        idempotency_key,
        fingerprint,
        scope,
        masks,
        query,
        headers,
        repeated_headers,
    }))
}

/// Validates what was parsed against the route's schemas; `query.*`, `header.*` and `request.*` exist
/// from here on.
pub fn validate(request: &mut Request, operation: Option<OperationId>) -> Result<(), RelayError> {
    let route = request.snapshot.plan.route(request.route);
    let mut violations = Vec::new();

    let came = request.scope.get(Root::Body).is_some();
    json::check_presence(came, route.request.body.is_some())?;
    if let (Some(schema), Some(body)) = (&route.request.body, request.scope.get(Root::Body)) {
        violations.extend(schema.check(body));
    }
    let query = convert_query(
        route.request.query.as_ref(),
        &request.query,
        &mut violations,
    );
    if let Some(schema) = &route.request.query {
        violations.extend(prefixed("query", schema.check(&query)));
    }
    for name in &request.repeated_headers {
        violations.push(Violation {
            pointer: format!("/{name}"),
            detail: format!("header: `{name}` came more than once"),
        });
    }
    let headers = convert_headers(
        route.request.headers.as_ref(),
        std::mem::take(&mut request.headers),
    );
    if let Some(schema) = &route.request.headers {
        violations.extend(prefixed("header", schema.check(&headers)));
    }
    if !violations.is_empty() {
        return Err(RelayError::SchemaViolation(violations));
    }

    request.scope.set(Root::Query, query);
    request.scope.set(Root::Header, headers);
    if route.reads_request {
        request.scope.set(Root::Request, about(request, operation));
    }
    Ok(())
}

/// `request.*`.
fn about(request: &Request, operation: Option<OperationId>) -> Value {
    let mut about = Map::new();
    about.insert("id".into(), Value::from(&*request.inbound.request_id));
    about.insert("client".into(), Value::from(&*request.inbound.caller.name));
    about.insert(
        "time".into(),
        Value::from(clock::rfc3339(clock::unix_micros())),
    );
    if let Some(operation) = operation {
        about.insert("operation".into(), Value::from(operation.to_string()));
    }
    Value::Object(about)
}

/// Whether the caller may use the route.
pub fn authorize(route: &Route, caller: &Caller) -> Result<(), RelayError> {
    if !caller.roles.contains(&Role::Cmp) {
        return Err(RelayError::Forbidden(format!(
            "client `{}` has not the role `cmp`",
            caller.name
        )));
    }
    match &route.clients {
        Some(clients) if !clients.iter().any(|known| **known == *caller.name) => {
            Err(RelayError::Forbidden(format!(
                "route `{}` is not open to client `{}`",
                route.name, caller.name
            )))
        }
        _ => Ok(()),
    }
}

/// Query pairs, decoded; `+` is a blank, as forms and browsers write it.
fn parse_query(raw: &str) -> Result<Vec<(String, String)>, RelayError> {
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, true)?, decode(value, true)?))
        })
        .collect()
}

fn declared_headers(route: &Route, inbound: &Inbound) -> (Map<String, Value>, Vec<String>) {
    let mut found = Map::new();
    let mut repeated = Vec::new();
    for (name, _) in route
        .request
        .headers
        .iter()
        .flat_map(|schema| &schema.scalars)
    {
        let mut values = inbound.headers.get_all(name.replace('_', "-")).iter();
        if let Some(value) = values.next() {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            found.insert(name.to_string(), Value::String(text));
        }
        if values.next().is_some() {
            repeated.push(name.to_string());
        }
    }
    (found, repeated)
}

fn convert_query(
    schema: Option<&Schema>,
    pairs: &[(String, String)],
    violations: &mut Vec<Violation>,
) -> Value {
    let mut query = Map::new();
    for (name, text) in pairs {
        let declared = schema
            .iter()
            .flat_map(|schema| &schema.scalars)
            .find(|(known, _)| **known == **name);
        let Some((_, scalar)) = declared else {
            violations.push(Violation {
                pointer: format!("/{name}"),
                detail: format!("query: this route takes no parameter `{name}`"),
            });
            continue;
        };
        if *scalar == ScalarType::TextList {
            let list = query
                .entry(name.clone())
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(items) = list {
                items.push(Value::String(text.clone()));
            }
        } else if query.insert(name.clone(), convert(*scalar, text)).is_some() {
            violations.push(Violation {
                pointer: format!("/{name}"),
                detail: format!("query: `{name}` came more than once"),
            });
        }
    }
    Value::Object(query)
}

fn convert_headers(schema: Option<&Schema>, headers: Map<String, Value>) -> Value {
    let scalar_of = |name: &str| {
        schema
            .iter()
            .flat_map(|schema| &schema.scalars)
            .find(|(known, _)| **known == *name)
            .map_or(ScalarType::Text, |(_, scalar)| *scalar)
    };
    headers
        .into_iter()
        .map(|(name, value)| {
            let converted = convert(scalar_of(&name), value.as_str().unwrap_or_default());
            (name, converted)
        })
        .collect()
}

/// What does not read as its type stays text, and so violates its schema by name.
fn convert(scalar: ScalarType, text: &str) -> Value {
    let number = || {
        serde_json::from_str::<serde_json::Number>(text)
            .map(Value::Number)
            .ok()
    };
    match scalar {
        ScalarType::Integer | ScalarType::Number => number(),
        ScalarType::Boolean => text.parse().map(Value::Bool).ok(),
        ScalarType::Text | ScalarType::TextList => None,
    }
    .unwrap_or_else(|| Value::String(text.to_owned()))
}

fn prefixed(place: &str, violations: Vec<Violation>) -> impl Iterator<Item = Violation> {
    violations.into_iter().map(move |violation| Violation {
        detail: format!("{place}: {}", violation.detail),
        ..violation
    })
}

/// The text of every `writeOnly` field that is present.
fn write_only_values(schema: &Schema, body: &Value) -> Vec<String> {
    let mut values = Vec::new();
    for pointer in &schema.write_only {
        let mut nodes = vec![body];
        for step in pointer.split('/').skip(1) {
            nodes = nodes
                .into_iter()
                .flat_map(|node| match (node, step) {
                    (Value::Array(items), "*") => items.iter().collect(),
                    (Value::Object(map), "*") => map.values().collect(),
                    (Value::Object(map), name) => {
                        let name = name.replace("~1", "/").replace("~0", "~");
                        map.get(&name).into_iter().collect()
                    }
                    _ => Vec::new(),
                })
                .collect();
        }
        nodes.into_iter().for_each(|node| leaves(node, &mut values));
    }
    values
}

fn leaves(node: &Value, out: &mut Vec<String>) {
    match node {
        Value::String(text) if !text.is_empty() => out.push(text.clone()),
        Value::Number(number) => out.push(number.to_string()),
        Value::Array(items) => items.iter().for_each(|item| leaves(item, out)),
        Value::Object(map) => map.values().for_each(|item| leaves(item, out)),
        _ => {}
    }
}

/// The route whose pattern differs least from the path, by segments: what was probably meant.
fn nearest(routes: &[Route], method: &Method, path: &str) -> Option<String> {
    let asked: Vec<&str> = path.split('/').collect();
    let distance = |route: &Route| -> usize {
        let pattern: Vec<&str> = route.path.split('/').collect();
        let by_segment: usize = asked
            .iter()
            .zip(&pattern)
            .map(|(asked, known)| match known.starts_with('{') {
                true => 0,
                false => strsim::damerau_levenshtein(asked, known),
            })
            .sum();
        by_segment + 4 * asked.len().abs_diff(pattern.len()) + usize::from(route.method != method)
    };
    routes
        .iter()
        .map(|route| (distance(route), route))
        .filter(|(distance, _)| *distance <= 5)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, route)| format!("{} {}", route.method, route.path))
}
