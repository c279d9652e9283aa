//! The relay's own paths on the CMP listener: operations, and the description of the API.

use serde_json::{Map, Value, json};

use super::schema::reference;
use super::{OWN_TAG, headers, problems};
use crate::http::problem::{self, Entry};
use crate::plan::Plan;

/// What any request with a token may be refused for.
const ANY: [Entry; 6] = [
    problem::MALFORMED_REQUEST,
    problem::REQUEST_TIMEOUT,
    problem::URI_TOO_LONG,
    problem::HEADERS_TOO_LARGE,
    problem::INTERNAL_ERROR,
    problem::RELAY_BUSY,
];

/// Paths and their items.
pub fn paths(plan: &Plan) -> [(&'static str, Value); 6] {
    [
        (
            "/relay/v1/operations",
            json!({ "get": find_operations(plan) }),
        ),
        (
            "/relay/v1/operations/{id}",
            json!({ "get": read_operation(plan) }),
        ),
        (
            "/relay/v1/operations/{id}/resolve",
            json!({ "post": resolve_operation(plan) }),
        ),
        (
            "/openapi.json",
            json!({ "get": described("openapi", "This document", "application/json", &json!({ "type": "object" })) }),
        ),
        (
            "/docs",
            json!({ "get": described("docs", "This document, for people", "text/html", &text()) }),
        ),
        (
            "/docs/problems",
            json!({ "get": described("docs_problems", "The relay's problem codes", "text/html", &text()) }),
        ),
    ]
}

/// `components.schemas` of the relay's own.
pub fn schemas() -> [(String, Value); 2] {
    [
        ("Operation".to_owned(), operation_schema()),
        ("Resolve".to_owned(), resolve_schema()),
    ]
}

fn text() -> Value {
    json!({ "type": "string" })
}

/// With the refusals of a caller that is not known, where callers are.
fn refusals(plan: &Plan, further: &[Entry]) -> Map<String, Value> {
    let mut entries = ANY.to_vec();
    entries.push(problem::DATABASE_UNAVAILABLE);
    if !plan.server.clients.is_empty() {
        entries.extend([problem::UNAUTHENTICATED, problem::FORBIDDEN]);
    }
    entries.extend_from_slice(further);
    problems::own(&entries)
}

fn answer(description: &str, schema: &Value) -> Value {
    json!({
        "description": description,
        "headers": headers::named(["X-Request-Id"]),
        "content": { "application/json": { "schema": schema } },
    })
}

fn id_parameter() -> Value {
    json!({
        "name": "id",
        "in": "path",
        "required": true,
        "description": "As `Relay-Operation` and a problem's `operation` say it.",
        "schema": { "type": "string", "minLength": 1 },
    })
}

fn find_operations(plan: &Plan) -> Value {
    let items = json!({
        "type": "object",
        "required": ["items"],
        "properties": { "items": { "type": "array", "items": reference("Operation") } },
        "additionalProperties": false,
    });
    let mut responses = refusals(plan, &[]);
    responses.insert(
        "200".into(),
        answer("One at most, for a client of its own.", &items),
    );
    json!({
        "operationId": "find_operations",
        "tags": [OWN_TAG],
        "summary": "Find one's own operation by its Idempotency-Key",
        "parameters": [{
            "name": "key",
            "in": "query",
            "required": true,
            "description": "The `Idempotency-Key` that the request had.",
            "schema": { "type": "string" },
        }],
        "responses": responses,
    })
}

fn read_operation(plan: &Plan) -> Value {
    let mut responses = refusals(plan, &[problem::NO_SUCH_OPERATION]);
    let mut found = answer("The operation.", &reference("Operation"));
    for (name, header) in headers::optional(["Relay-Replicated"]) {
        found["headers"][name] = header;
    }
    responses.insert("200".into(), found);
    json!({
        "operationId": "read_operation",
        "tags": [OWN_TAG],
        "summary": "Read one of one's own operations",
        "parameters": [id_parameter()],
        "responses": responses,
    })
}

fn resolve_operation(plan: &Plan) -> Value {
    let mut further = vec![
        problem::NO_SUCH_OPERATION,
        problem::MAPPING_CONFLICT,
        problem::OPERATION_IN_PROGRESS,
        problem::EARLIER_OUTCOME_UNKNOWN,
        problem::REFUSED,
        problem::BODY_TOO_LARGE,
        problem::UNSUPPORTED_MEDIA_TYPE,
    ];
    if plan.server.replication.standby.is_some() {
        further.push(problem::OUTCOME_UNCONFIRMED);
    }
    let mut responses = refusals(plan, &further);
    let mut settled = answer("The operation, settled.", &reference("Operation"));
    for (name, header) in headers::named(["Relay-Replicated"]) {
        settled["headers"][name] = header;
    }
    responses.insert("200".into(), settled);
    json!({
        "operationId": "resolve_operation",
        "tags": [OWN_TAG],
        "summary": "Say what became of an operation whose outcome is unknown",
        "description": "The relay never asks a backend what it did: whoever looked says it here.",
        "parameters": [id_parameter()],
        "requestBody": {
            "required": true,
            "content": { "application/json": { "schema": reference("Resolve") } },
        },
        "responses": responses,
    })
}

/// A page that anybody may read.
fn described(id: &str, summary: &str, media_type: &str, schema: &Value) -> Value {
    let mut responses = problems::own(&ANY);
    responses.insert(
        "200".into(),
        json!({
            "description": "As of the configuration that serves now.",
            "headers": headers::named(["X-Request-Id"]),
            "content": { media_type: { "schema": schema } },
        }),
    );
    if id == "openapi" {
        let tag =
            json!({ "description": "For `If-None-Match`.", "required": true, "schema": text() });
        responses["200"]["headers"]["ETag"] = tag;
        responses.insert(
            "304".into(),
            json!({ "description": "The caller has it: its `If-None-Match` is the document's `ETag`." }),
        );
    }
    json!({
        "operationId": id,
        "tags": [OWN_TAG],
        "summary": summary,
        "security": [],
        "responses": responses,
    })
}

fn operation_schema() -> Value {
    let key = json!({
        "type": "object",
        "required": ["resource", "cmp_id", "scope"],
        "properties": {
            "resource": text(),
            "cmp_id": { "type": "string", "description": "Empty where it is about no object." },
            "scope": { "type": "string", "description": "The backend, of a resource that may be on several." },
        },
    });
    let time = json!({ "type": "string", "format": "date-time" });
    let count = json!({ "type": "integer", "minimum": 0 });
    json!({
        "description": "One accepted request that changes something: from its intent to its outcome.",
        "type": "object",
        "required": [
            "id", "state", "route", "client", "attempt", "object", "backend", "effects", "idempotency_key",
            "side_effect", "safe_to_retry", "error", "backend_status", "sends", "reply_status", "note",
            "node", "epoch", "created_at", "deadline", "finished_at",
        ],
        "properties": {
            "id": { "type": "string", "format": "uuid" },
            "state": { "enum": ["pending", "succeeded", "failed", "unknown"] },
            "route": text(),
            "client": text(),
            "attempt": count,
            "object": key,
            "backend": text(),
            "effects": {
                "type": "array",
                "items": { "allOf": [key], "required": ["verb"], "properties": { "verb": text() } },
            },
            "idempotency_key": { "type": ["string", "null"] },
            "side_effect": { "enum": ["none", "unknown", "done"] },
            "safe_to_retry": { "type": "boolean" },
            "error": {
                "type": ["object", "null"],
                "required": ["code", "detail"],
                "properties": { "code": text(), "detail": text() },
            },
            "backend_status": { "type": ["integer", "null"] },
            "sends": { "type": "integer", "description": "How often the call's bytes were sent." },
            "reply_status": { "type": ["integer", "null"] },
            "note": {
                "type": ["string", "null"],
                "description": "`operator`: settled by hand. `absent`: a delete found nothing.",
            },
            "node": text(),
            "epoch": { "type": "integer" },
            "created_at": time,
            "deadline": time,
            "finished_at": { "type": ["string", "null"], "format": "date-time" },
        },
        "additionalProperties": false,
    })
}

fn resolve_schema() -> Value {
    json!({
        "type": "object",
        "required": ["verdict"],
        "properties": {
            "verdict": { "enum": ["succeeded", "failed"] },
            "backend_id": {
                "type": ["string", "null"],
                "description": "What the backend calls the object; a create that succeeded needs it.",
            },
            "reply": { "description": "What a replay gives; `{\"id\": ...}` when it is left out." },
            "force": {
                "type": "boolean",
                "description": "Settle an operation whose deadline has not passed.",
            },
            "replace": { "type": "boolean", "description": "Remove the mapping that is in the way." },
        },
        "additionalProperties": false,
    })
}
