//! One example, played and compared.

mod device;

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::compare::{ANY, Difference, Rest, compare, compare_text, is, shown};
use super::{Act, Run, Scene, Trial};
use crate::config::example::{
    Example, ExampleAct, Expected, ExpectedCall, ExpectedReply, ExpectedRow,
};
use crate::document::{Kind, Node, Span};
use crate::driver::{HttpRequest, RenderedCall};
use crate::http::problem;
use crate::plan::{Match, Plan, Role, Route};
use crate::relay::{Caller, Inbound};
use crate::store::Mapping;

/// Plays an example of a route; says what came of it and what is not as expected.
pub(super) fn play(trial: &mut Trial, route: &Route, example: &Example) -> (Run, Vec<Difference>) {
    let plan = trial.plan();
    let run = trial.run(scene(&plan, route, example));
    let mut found = Vec::new();
    let told = Told::of(&run);
    if let Some(other) = another_route(&plan, route, example) {
        let wanted = format!("a request of `{}`", route.name);
        let got = format!("{}, which is of {other}", example.request.path);
        found.push(Difference::new(example.span, "request", wanted, got));
        return (run, found);
    }
    if check_call(&plan, example, &run, &told, &mut found) && !example.is_about_the_call() {
        check_reply(example, &told, &mut found);
        check_mapping(&plan, route, example, &run, &mut found);
    }
    (run, found)
}

fn scene(plan: &Plan, route: &Route, example: &Example) -> Scene {
    let asked = &example.request;
    let mut headers = asked.headers.clone();
    if route.mutating && plan.server.operations.key_required {
        let key = http::HeaderValue::from_static("example");
        headers.entry("idempotency-key").or_insert(key);
    }
    let rows = example.rows.iter().map(|row| {
        let row = super::Row {
            resource: row.resource.to_string(),
            cmp_id: row.cmp_id.to_string(),
            backend: row.backend.to_string(),
            backend_id: row.backend_id.as_deref().map(str::to_owned),
            attributes: row.attributes.clone(),
        };
        row.mapping(plan)
    });
    Scene {
        inbound: Inbound {
            request_id: "example".into(),
            caller: Caller {
                name: client(plan, route).into(),
                roles: [Role::Cmp].into(),
            },
            method: asked.method.clone(),
            path: asked.path.clone(),
            query: asked.query.clone(),
            headers,
            body: asked.body.clone(),
        },
        rows: rows.collect(),
        prefer: example
            .backend
            .as_ref()
            .and_then(|(name, _)| plan.backend_named(name)),
        act: match (example.answer(), &example.act) {
            (Some(answer), _) => Act::Answer(answer),
            (None, Some((ExampleAct::Timeout, _))) => Act::silence(),
            _ => Act::unreachable(),
        },
    }
}

/// One that may use the route: the first it names, else the first CMP of relay.yaml.
fn client(plan: &Plan, route: &Route) -> Box<str> {
    let named = route.clients.iter().flatten().next();
    let cmp = || {
        let mut clients = plan.server.clients.iter();
        clients.find(|client| client.roles.contains(&Role::Cmp))
    };
    named
        .cloned()
        .or_else(|| cmp().map(|client| client.name.clone()))
        .unwrap_or_else(|| "anonymous".into())
}

/// The request is for another route, which is nearer to it.
fn another_route(plan: &Plan, route: &Route, example: &Example) -> Option<String> {
    let asked = &example.request;
    match plan.table.find(&asked.method, &asked.path) {
        Match::Route { route: found, .. } if found == route.id => None,
        Match::Route { route: found, .. } => Some(format!("`{}`", plan.route(found).name)),
        Match::MethodNotAllowed(_) | Match::NotFound => Some("no route".into()),
    }
}

/// What the CMP is told, a failure as the listener would write it.
struct Told {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    /// Code and detail of a failure.
    problem: Option<String>,
}

impl Told {
    fn of(run: &Run) -> Self {
        match &run.reply {
            Ok(reply) => Self {
                status: reply.status.as_u16(),
                headers: reply.headers.clone(),
                body: reply.body.to_vec(),
                problem: None,
            },
            Err(failure) => {
                let (status, body) = problem::render(failure);
                let error = &failure.error;
                Self {
                    status: status.as_u16(),
                    headers: problem::headers(failure),
                    body,
                    problem: Some(format!("{} ({})", error.code(), error.cause())),
                }
            }
        }
    }

    fn words(&self) -> String {
        match &self.problem {
            Some(problem) => format!("{} {problem}", self.status),
            None => self.status.to_string(),
        }
    }
}

/// Whether the call is as expected to be there at all: only then what comes after says anything.
fn check_call(
    plan: &Plan,
    example: &Example,
    run: &Run,
    told: &Told,
    found: &mut Vec<Difference>,
) -> bool {
    let Some(sent) = run.calls.first() else {
        let wanted = match (&example.call, &example.act) {
            (Expected::Some(call), _) => Some(call.http_span()),
            (_, Some((_, span))) => Some(*span),
            _ => None,
        };
        if let Some(span) = wanted {
            let got = format!("none: the CMP is told {}", told.words());
            found.push(Difference::new(span, "call", "a call", got));
        }
        return wanted.is_none();
    };
    let line = device::in_a_line(&sent.call);
    let forbidden = match (&example.call, &example.act) {
        (Expected::None(span), _) => Some((*span, "no call")),
        (Expected::NotSaid, None) => Some((
            example.span,
            "no call, for this example has neither `response` nor `expect_call`",
        )),
        _ => None,
    };
    if let Some((span, wanted)) = forbidden {
        found.push(Difference::new(span, "call", wanted, line));
        return false;
    }
    if let Some((name, span)) = &example.backend {
        let chosen = &plan.backend(sent.backend).name;
        if chosen != name {
            let got = format!("`{chosen}`, which is chosen whatever is preferred");
            found.push(Difference::new(*span, "backend", format!("`{name}`"), got));
        }
    }
    if let Expected::Some(expected) = &example.call {
        match (&sent.call, &expected.device) {
            (RenderedCall::Http(call), _) => compare_call(expected, call, found),
            (call, Some(wanted)) => device::compare(wanted, call, found),
            (_, None) => {}
        }
    }
    true
}

impl ExpectedCall {
    /// The most telling place of the expectation.
    fn http_span(&self) -> Span {
        match (&self.method, &self.path, &self.device) {
            (Some((_, method)), Some((_, path)), _) => Span {
                end: path.end,
                ..*method
            },
            (_, _, Some(wanted)) => device::place(wanted).unwrap_or(self.span),
            _ => self.span,
        }
    }
}

fn compare_call(expected: &ExpectedCall, call: &HttpRequest, found: &mut Vec<Difference>) {
    let (path, query) = match call.path_and_query.split_once('?') {
        Some((path, query)) => (path, query),
        None => (&*call.path_and_query, ""),
    };
    if let Some((method, span)) = &expected.method
        && *method != call.method
    {
        let got = call.method.as_str();
        found.push(Difference::new(*span, "call.method", method.as_str(), got));
    }
    if let Some((wanted, span)) = &expected.path
        && !is(wanted, path)
    {
        found.push(Difference::new(*span, "call.path", &**wanted, path));
    }
    if let Some(wanted) = &expected.query {
        let got = pairs(query);
        compare(
            &texts(wanted),
            Some(&got),
            Rest::Refused,
            "call.query",
            found,
        );
    }
    let kind = call.body.as_ref().map(|(kind, _)| (CONTENT_TYPE, kind));
    let headers = call
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value));
    let headers: HeaderMap = headers
        .chain(kind)
        .map(|(name, value)| (name, value.clone()))
        .collect();
    compare_headers(&expected.headers, &headers, "call", found);
    if let Some(wanted) = &expected.body {
        let (kind, bytes) = match &call.body {
            Some((kind, bytes)) => (kind.to_str().unwrap_or_default(), &bytes[..]),
            None => ("", &b""[..]),
        };
        if kind.starts_with("application/x-www-form-urlencoded") {
            let got = pairs(&String::from_utf8_lossy(bytes));
            compare(
                &texts(wanted),
                Some(&got),
                Rest::Refused,
                "call.body",
                found,
            );
        } else {
            compare_body(wanted, bytes, Rest::Refused, "call.body", found);
        }
    }
}

/// Query parameters or form fields: one value, or a list where a name repeats.
fn pairs(encoded: &str) -> Value {
    let mut members = serde_json::Map::new();
    for pair in encoded.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = Value::String(decoded(value));
        match members.entry(decoded(name)) {
            serde_json::map::Entry::Vacant(entry) => drop(entry.insert(value)),
            serde_json::map::Entry::Occupied(mut entry) => match entry.get_mut() {
                Value::Array(items) => items.push(value),
                one => *one = Value::Array(vec![one.take(), value]),
            },
        }
    }
    Value::Object(members)
}

fn decoded(text: &str) -> String {
    // What the relay encoded itself always decodes.
    crate::relay::decode(text, true).unwrap_or_else(|_| text.to_owned())
}

/// Scalars as the texts that a query holds of them; a list of one is that one.
fn texts(node: &Node) -> Node {
    let kind = match &node.kind {
        Kind::Map(entries) => Kind::Map(
            entries
                .iter()
                .map(|entry| crate::document::Entry {
                    value: texts(&entry.value),
                    ..entry.clone()
                })
                .collect(),
        ),
        Kind::List(items) if items.len() == 1 => return texts(&items[0]),
        Kind::List(items) => Kind::List(items.iter().map(texts).collect()),
        Kind::Text(_) => node.kind.clone(),
        _ => Kind::Text(crate::document::Scalar {
            text: node.to_json().to_string(),
            verbatim_at: None,
            plain: true,
        }),
    };
    Node {
        span: node.span,
        kind,
    }
}

fn compare_headers(
    expected: &[(Box<str>, Node)],
    got: &HeaderMap,
    of: &str,
    found: &mut Vec<Difference>,
) {
    for (name, node) in expected {
        let path = format!("{of}.headers.{name}");
        let value = got.get(&**name);
        let value = value.map(|value| Value::from(String::from_utf8_lossy(value.as_bytes())));
        compare(&texts(node), value.as_ref(), Rest::Refused, &path, found);
    }
}

fn compare_body(
    expected: &Node,
    bytes: &[u8],
    rest: Rest,
    path: &str,
    found: &mut Vec<Difference>,
) {
    let text = String::from_utf8_lossy(bytes);
    let json: Option<Value> = serde_json::from_str(&text).ok();
    match (&expected.kind, json) {
        (Kind::Null, _) if bytes.is_empty() => {}
        // A text beside a body that is no JSON string: XML, plain text, or JSON as it is written.
        (Kind::Text(scalar), json) if !matches!(json, Some(Value::String(_))) => {
            if scalar.text != ANY || bytes.is_empty() {
                compare_text(&scalar.text, &text, expected.span, path, found);
            }
        }
        (_, Some(json)) => compare(expected, Some(&json), rest, path, found),
        (_, None) if bytes.is_empty() => compare(expected, None, rest, path, found),
        (_, None) => {
            let wanted = shown(&expected.to_json());
            let got = shown(&Value::from(text));
            found.push(Difference::new(expected.span, path, wanted, got));
        }
    }
}

fn check_reply(example: &Example, told: &Told, found: &mut Vec<Difference>) {
    let Some(expected) = &example.reply else {
        let success = (200..400).contains(&told.status);
        if example.act.is_some() && !success {
            let wanted = "a success, for this example has no `expect_reply`";
            found.push(Difference::new(
                example.span,
                "reply.status",
                wanted,
                told.words(),
            ));
        }
        return;
    };
    compare_reply(expected, told, found);
}

fn compare_reply(expected: &ExpectedReply, told: &Told, found: &mut Vec<Difference>) {
    if let Some((status, span)) = expected.status
        && status != told.status
    {
        let got = told.words();
        found.push(Difference::new(
            span,
            "reply.status",
            status.to_string(),
            got,
        ));
        // The body of another reply is another body.
        return;
    }
    compare_headers(&expected.headers, &told.headers, "reply", found);
    if let Some(wanted) = &expected.body {
        let rest = match told.status < 400 {
            true => Rest::Refused,
            false => Rest::Ignored,
        };
        compare_body(wanted, &told.body, rest, "reply.body", found);
    }
}

fn check_mapping(
    plan: &Plan,
    route: &Route,
    example: &Example,
    run: &Run,
    found: &mut Vec<Difference>,
) {
    match &example.mapping {
        Expected::NotSaid => {}
        Expected::None(span) => {
            let own = &plan.resource(route.resource).name;
            let about = |row: &&Mapping| match &run.intent {
                Some(intent) => intent.effects.iter().any(|effect| effect.key == row.key),
                None => *row.key.resource == **own,
            };
            for row in run.rows.iter().filter(about) {
                found.push(Difference::new(*span, "mapping", "nothing", words(row)));
            }
        }
        Expected::Some(rows) => {
            for row in rows {
                compare_row(row, &run.rows, found);
            }
        }
    }
}

fn words(row: &Mapping) -> String {
    format!(
        "{} `{}` as `{}` on `{}`",
        row.key.resource,
        row.key.cmp_id,
        row.backend_id.as_deref().unwrap_or("pending"),
        row.backend
    )
}

/// The row of the object, or the one of its resource that fits best.
fn compare_row(expected: &ExpectedRow, rows: &[Mapping], found: &mut Vec<Difference>) {
    let (cmp_id, cmp_id_span) = &expected.cmp_id;
    let candidates: Vec<_> = rows
        .iter()
        .filter(|row| *row.key.resource == *expected.resource && is(cmp_id, &row.key.cmp_id))
        .map(|row| row_differences(expected, row))
        .collect();
    match candidates.into_iter().min_by_key(Vec::len) {
        Some(differences) => found.extend(differences),
        None => {
            let of_resource: Vec<_> = rows
                .iter()
                .filter(|row| *row.key.resource == *expected.resource)
                .map(words)
                .collect();
            let got = match of_resource.is_empty() {
                true => format!("no {} is mapped", expected.resource),
                false => of_resource.join(", "),
            };
            let wanted = format!("{} `{cmp_id}`", expected.resource);
            found.push(Difference::new(*cmp_id_span, "mapping.cmp_id", wanted, got));
        }
    }
}

fn row_differences(expected: &ExpectedRow, row: &Mapping) -> Vec<Difference> {
    let mut found = Vec::new();
    if let Some((wanted, span)) = &expected.backend
        && !is(wanted, &row.backend)
    {
        found.push(Difference::new(
            *span,
            "mapping.backend",
            &**wanted,
            &*row.backend,
        ));
    }
    if let Some((wanted, span)) = &expected.backend_id {
        let got = row.backend_id.as_deref().unwrap_or("pending");
        if !is(wanted, got) {
            found.push(Difference::new(*span, "mapping.backend_id", &**wanted, got));
        }
    }
    for (name, node) in &expected.attributes {
        let path = format!("mapping.attributes.{name}");
        compare(
            node,
            row.attributes.get(&**name),
            Rest::Refused,
            &path,
            &mut found,
        );
    }
    found
}
