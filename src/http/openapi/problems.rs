//! What can go wrong on a route: every status, and under each the codes that this route can give.

use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::headers;
use super::operation::acts;
use super::schema::reference;
use crate::http::problem::{self, Entry};
use crate::plan::{
    Action, BackendIdSource, CmpIdSource, Confirm, MappingOp, Plan, Prefer, PublishedExample,
    Reply, ReplyBody, Route, Verb, Way,
};
use crate::relay::confirm::rule;

/// Given before any route is asked, each alone under its status: described once.
const COMMON: [Entry; 8] = [
    problem::UNAUTHENTICATED,
    problem::FORBIDDEN,
    problem::REQUEST_TIMEOUT,
    problem::BODY_TOO_LARGE,
    problem::URI_TOO_LONG,
    problem::UNSUPPORTED_MEDIA_TYPE,
    problem::HEADERS_TOO_LARGE,
    problem::INTERNAL_ERROR,
];

/// What the listener can say before it knows a request, and so its id.
const WITHOUT_ID: [u16; 5] = [400, 408, 414, 431, 503];

/// A status with its codes: those of the relay with their meaning, those of error rules without.
#[derive(Clone, Debug, Default)]
struct Answer {
    codes: Vec<(String, String)>,
    /// One of them ends an operation, and so may be replayed.
    stored: bool,
    /// One of them is an error rule's.
    ruled: bool,
}

impl Answer {
    fn add(&mut self, code: &str, meaning: impl FnOnce() -> String) {
        if !self.codes.iter().any(|(known, _)| known == code) {
            self.codes.push((code.to_owned(), meaning()));
        }
    }
}

/// The problem responses of a route, by status.
pub fn of(plan: &Plan, route: &Route, examples: &[PublishedExample]) -> Map<String, Value> {
    let mut answers: BTreeMap<u16, Answer> = BTreeMap::new();
    for (status, code, title) in possible(plan, route) {
        let answer = answers.entry(status.as_u16()).or_default();
        answer.add(code, || title.to_owned());
        answer.stored |= stored(code);
    }
    for rule in route.ways.iter().flat_map(|way| &way.response.errors) {
        let answer = answers.entry(rule.reply.as_u16()).or_default();
        let code = rule.code.as_deref().unwrap_or(problem::BACKEND_ERROR.1);
        answer.add(code, || meaning(examples, code, rule.reply));
        answer.stored = true;
        answer.ruled = true;
    }
    let tells_effect = route.mutating && acts(&route.method);
    answers
        .into_iter()
        .map(|(status, answer)| {
            let abridged =
                answer.stored && route.mutating && route.ways.iter().any(|way| !way.store_reply);
            (
                status.to_string(),
                response(status, &answer, tells_effect, route.mutating, abridged),
            )
        })
        .collect()
}

/// The problem responses of a path of the relay's own.
pub fn own(entries: &[Entry]) -> Map<String, Value> {
    let mut answers: BTreeMap<u16, Answer> = BTreeMap::new();
    for (status, code, title) in entries {
        let answer = answers.entry(status.as_u16()).or_default();
        answer.add(code, || (*title).to_owned());
    }
    answers
        .into_iter()
        .map(|(status, answer)| {
            let response = response(status, &answer, false, false, false);
            (status.to_string(), response)
        })
        .collect()
}

/// `components.responses`.
pub fn components() -> Map<String, Value> {
    COMMON
        .iter()
        .map(|(status, code, title)| {
            let answer = Answer {
                codes: vec![((*code).to_owned(), (*title).to_owned())],
                ..Answer::default()
            };
            let written = written(status.as_u16(), &answer, false, false, false);
            ((*code).to_owned(), written)
        })
        .collect()
}

/// `components.schemas` of problems.
pub fn schemas() -> [(String, Value); 3] {
    [
        ("Problem".to_owned(), problem_schema()),
        (
            "ChangeProblem".to_owned(),
            json!({
                "description": "A problem of a request that changes something: it says what a retry needs.",
                "allOf": [reference("Problem")],
                "required": ["side_effect", "safe_to_retry"],
            }),
        ),
        (
            "Abridged".to_owned(),
            json!({
                "description": "What a replay has of a reply that was not stored (`Relay-Reply: omitted`).",
                "type": "object",
                "required": ["id"],
                "properties": { "id": { "type": "string" } },
                "additionalProperties": false,
            }),
        ),
    ]
}

/// What a code of an error rule means: the name of an example that shows it, or else its status.
fn meaning(examples: &[PublishedExample], code: &str, status: StatusCode) -> String {
    let shown = examples.iter().find(|example| {
        let reply = example.reply.as_ref();
        reply.and_then(|reply| reply["code"].as_str()) == Some(code)
    });
    match shown {
        Some(example) => example.name.to_string(),
        None => status.canonical_reason().unwrap_or("Refused").to_owned(),
    }
}

/// The relay's own problems that this route can give.
fn possible(plan: &Plan, route: &Route) -> Vec<Entry> {
    use problem::*;
    let mut found = vec![
        MALFORMED_REQUEST,
        REQUEST_TIMEOUT,
        URI_TOO_LONG,
        HEADERS_TOO_LARGE,
        // A query parameter that is not declared is one, whatever the route takes.
        SCHEMA_VIOLATION,
        INTERNAL_ERROR,
        BACKEND_ERROR,
        BACKEND_UNREACHABLE,
        BACKEND_AUTH,
        STANDBY,
        NO_BACKEND,
        BACKEND_BUSY,
        BREAKER_OPEN,
        RELAY_BUSY,
        OUTCOME_UNKNOWN,
    ];
    let mut when = |holds: bool, entries: &[Entry]| {
        if holds {
            found.extend_from_slice(entries);
        }
    };
    let request = &route.request;
    let names = |verbs: &[Verb]| route.changes().any(|op| verbs.contains(&op.verb));
    let any = |is: fn(&Way) -> bool| route.ways.iter().any(is);
    let looks_up = route.object.is_some() || !route.parents.is_empty();
    let asks_table = looks_up || any(|way| way.reads.rows);
    let counts = matches!(route.select.prefer, Prefer::LeastObjects);
    when(
        !plan.server.clients.is_empty(),
        &[UNAUTHENTICATED, FORBIDDEN],
    );
    when(
        request.body.is_some(),
        &[BODY_TOO_LARGE, UNSUPPORTED_MEDIA_TYPE],
    );
    when(
        request.body.is_some()
            || request.query.is_some()
            || request.headers.is_some()
            || !route.path_params.is_empty(),
        &[UNSAFE_VALUE],
    );
    when(
        asks_table,
        &[NOT_MAPPED, PENDING_OBJECT, EARLIER_OUTCOME_UNKNOWN],
    );
    let by_http = |way: &Way| matches!(way.call.action, Action::Http(_));
    let by_netconf = |way: &Way| matches!(way.call.action, Action::Netconf(_));
    when(
        route.object.is_some() && any(by_http),
        &[BACKEND_OBJECT_MISSING],
    );
    when(
        route.mutating && any(|way| matches!(way.call.action, Action::Cli(_) | Action::Netconf(_))),
        &[PARTLY_APPLIED],
    );
    // What a NETCONF error is in HTTP: `RpcError::status`.
    let refused = |status| (status, BACKEND_ERROR.1, BACKEND_ERROR.2);
    when(
        any(by_netconf),
        &[
            refused(StatusCode::FORBIDDEN),
            refused(StatusCode::NOT_FOUND),
            refused(StatusCode::CONFLICT),
            refused(StatusCode::UNPROCESSABLE_ENTITY),
            refused(StatusCode::NOT_IMPLEMENTED),
        ],
    );
    when(route.select.instance.is_some(), &[NO_SUCH_BACKEND]);
    when(may_part(plan, route), &[WRONG_BACKEND]);
    when(
        route.mutating,
        &[
            IDEMPOTENCY_KEY_INVALID,
            IDEMPOTENCY_KEY_REUSED,
            OPERATION_IN_PROGRESS,
            EARLIER_OUTCOME_UNKNOWN,
        ],
    );
    when(
        route.mutating && plan.server.operations.key_required,
        &[IDEMPOTENCY_KEY_REQUIRED],
    );
    when(
        asks_table || route.mutating || counts,
        &[DATABASE_UNAVAILABLE],
    );
    when(route.changes().any(named_create), &[ALREADY_MAPPED]);
    when(route.changes().any(records_id), &[MAPPING_CONFLICT]);
    when(
        names(&[Verb::Create, Verb::Update, Verb::Put]) || any(|way| !way.extract.is_empty()),
        &[EXTRACTION_FAILED],
    );
    when(any(|way| reply_may_fail(&way.reply)), &[REPLY_FAILED]);
    when(
        route.mutating
            && rule(plan, Some(route)) == Confirm::Required
            && plan.server.replication.standby.is_some(),
        &[STANDBY_UNCONFIRMED, OUTCOME_UNCONFIRMED],
    );
    found
}

/// A create whose id the CMP gives.
fn named_create(change: &MappingOp) -> bool {
    change.verb == Verb::Create && matches!(change.cmp_id, CmpIdSource::Given(_))
}

fn records_id(change: &MappingOp) -> bool {
    matches!(change.backend_id, Some(BackendIdSource::Extract(_)))
}

/// Whether two mappings that the route needs may be on different backends.
fn may_part(plan: &Plan, route: &Route) -> bool {
    let kind = &plan.resource(route.resource).kind;
    let own_kind = |parent: &crate::plan::Parent| plan.resource(parent.resource).kind == *kind;
    let others = route
        .parents
        .iter()
        .enumerate()
        .any(|(index, parent)| own_kind(parent) && route.select.same_as != Some(index));
    let follows = route.select.same_as.is_some() && route.object.is_some();
    let puts = route.changes().any(|op| op.verb == Verb::Put);
    others || follows || puts || route.ways.iter().any(|way| way.reads.rows)
}

fn reply_may_fail(reply: &Reply) -> bool {
    let body = match &reply.body {
        ReplyBody::None => false,
        ReplyBody::PassThrough => true,
        ReplyBody::Tree(tree) => !tree.is_literal(),
    };
    body || reply
        .headers
        .iter()
        .any(|(_, text)| text.as_literal().is_none())
}

/// Whether a failure of this code is a finished operation, and so may be replayed.
fn stored(code: &str) -> bool {
    [
        problem::BACKEND_ERROR,
        problem::PARTLY_APPLIED,
        problem::BACKEND_UNREACHABLE,
        problem::BACKEND_AUTH,
        problem::BACKEND_OBJECT_MISSING,
        problem::EXTRACTION_FAILED,
        problem::REPLY_FAILED,
        problem::OUTCOME_UNKNOWN,
        problem::STANDBY,
        problem::STANDBY_UNCONFIRMED,
    ]
    .iter()
    .any(|(_, known, _)| *known == code)
}

/// The response, or a reference where it is one of those that are described once.
fn response(status: u16, answer: &Answer, effect: bool, journalled: bool, abridged: bool) -> Value {
    if let [(code, _)] = answer.codes.as_slice()
        && !answer.ruled
        && COMMON.iter().any(|(_, common, _)| common == code)
    {
        return json!({ "$ref": format!("#/components/responses/{code}") });
    }
    written(status, answer, effect, journalled, abridged)
}

fn written(status: u16, answer: &Answer, effect: bool, journalled: bool, abridged: bool) -> Value {
    let described: Vec<String> = answer
        .codes
        .iter()
        .map(|(code, title)| format!("`{code}`: {title}."))
        .collect();
    let codes: Vec<&str> = answer.codes.iter().map(|(code, _)| &**code).collect();
    let base = match effect {
        true => "ChangeProblem",
        false => "Problem",
    };
    let mut content = json!({
        "application/problem+json": {
            "schema": {
                "allOf": [reference(base)],
                "properties": { "status": { "const": status }, "code": { "enum": codes } },
            },
        },
    });
    if abridged {
        content["application/json"] = json!({ "schema": reference("Abridged") });
    }
    let mut headers = match WITHOUT_ID.contains(&status) {
        true => headers::optional(["X-Request-Id"]),
        false => headers::named(["X-Request-Id"]),
    };
    if answer.stored {
        headers.extend(headers::optional(["Relay-Backend"]));
    }
    if journalled && (answer.stored || status == 409) {
        headers.extend(headers::optional(["Relay-Operation"]));
    }
    if journalled && answer.stored {
        headers.extend(headers::named(["Idempotency-Replayed"]));
        headers.extend(headers::optional(["Relay-Replicated"]));
    }
    match status {
        503 => headers.extend(headers::named(["Retry-After"])),
        409 => headers.extend(headers::optional(["Retry-After"])),
        401 if !answer.ruled => headers.extend(headers::named(["WWW-Authenticate"])),
        _ => {}
    }
    json!({ "description": described.join(" "), "headers": headers, "content": content })
}

fn problem_schema() -> Value {
    let least = StatusCode::BAD_REQUEST.as_u16();
    json!({
        "type": "object",
        "description": "RFC 9457, with a stable `code`: `/docs/problems` lists the relay's own.",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": {
                "type": "string",
                "format": "uri-reference",
                "description": "Where the code is explained; `about:blank` for a route's own code.",
            },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": least, "maximum": 599 },
            "code": { "type": "string", "pattern": "^[a-z][a-z0-9_]*$" },
            "detail": { "type": "string", "description": "One sentence for people." },
            "instance": { "type": "string", "format": "uri-reference", "description": "The operation's path." },
            "operation": { "type": "string", "format": "uuid", "description": "The operation to look at or to resolve." },
            "route": { "type": "string" },
            "backend": { "type": "string" },
            "backend_status": { "type": "integer", "description": "What the backend answered." },
            "applied": { "type": "integer", "description": "How much of the call the backend took: lines of a command line." },
            "total": { "type": "integer", "description": "How much the call was." },
            "nearest": { "type": "string", "description": "The route that was perhaps meant." },
            "side_effect": {
                "enum": ["none", "unknown", "done"],
                "description": "What is known of the backend.",
            },
            "safe_to_retry": {
                "type": "boolean",
                "description": "The same request can cause no second effect and may succeed without a person.",
            },
            "errors": {
                "type": "array",
                "description": "Every place at which the request does not fit its schema.",
                "items": {
                    "type": "object",
                    "required": ["pointer", "detail"],
                    "properties": {
                        "pointer": { "type": "string", "description": "RFC 6901, into the body, the query or the headers." },
                        "detail": { "type": "string" },
                    },
                },
            },
        },
    })
}
