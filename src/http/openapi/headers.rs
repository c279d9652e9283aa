//! The headers that the relay puts beside its answers, each described once.

use serde_json::{Map, Value, json};

/// Of every answer, of a success, of a journalled one, of a replay; and of problems.
const ALL: [(&str, &str, bool); 10] = [
    (
        "X-Request-Id",
        "Names this request in logs: the one that was sent, or one that the relay made.",
        true,
    ),
    ("Relay-Backend", "The backend that the call went to.", true),
    (
        "Relay-Operation",
        "The operation: `/relay/v1/operations/{id}`.",
        true,
    ),
    (
        "Relay-Replicated",
        "Whether the standby has what was written: `yes`, `no`, or `off` without one. Of a read: `no`, where the standby does not confirm.",
        true,
    ),
    (
        "Idempotency-Replayed",
        "`true`: this is the stored answer of an earlier request, and no call was made.",
        false,
    ),
    (
        "Relay-Reply",
        "`omitted`: a replay of a reply that was not stored; its body is `{\"id\": ...}` or empty.",
        false,
    ),
    (
        "Relay-Settled",
        "`operator`: a replay of an operation that was settled by hand, with the reply given then.",
        false,
    ),
    (
        "Relay-Note",
        "`absent`: the backend did not have the object that was to be deleted.",
        false,
    ),
    ("Retry-After", "When to come again, in seconds.", true),
    ("WWW-Authenticate", "The scheme: `Bearer`.", true),
];

/// Those that some answers have and others have not.
const SOMETIMES: [&str; 5] = [
    "X-Request-Id",
    "Relay-Backend",
    "Relay-Operation",
    "Relay-Replicated",
    "Retry-After",
];

/// `components.headers`.
pub fn components() -> Map<String, Value> {
    let mut components = Map::new();
    for (name, description, required) in ALL {
        let header = |required: bool| json!({ "description": description, "required": required, "schema": schema(name) });
        components.insert(name.to_owned(), header(required));
        if SOMETIMES.contains(&name) {
            components.insert(sometimes(name), header(false));
        }
    }
    components
}

fn sometimes(name: &str) -> String {
    format!("{name}.optional")
}

fn schema(name: &str) -> Value {
    match name {
        "Relay-Operation" => json!({ "type": "string", "format": "uuid" }),
        "Relay-Replicated" => json!({ "enum": ["yes", "no", "off"] }),
        "Idempotency-Replayed" => json!({ "const": "true" }),
        "Relay-Reply" => json!({ "const": "omitted" }),
        "Relay-Settled" => json!({ "const": "operator" }),
        "Relay-Note" => json!({ "const": "absent" }),
        "Retry-After" => json!({ "type": "integer", "minimum": 1 }),
        _ => json!({ "type": "string" }),
    }
}

/// The headers of these names, as an answer refers to them.
pub fn named<'n>(names: impl IntoIterator<Item = &'n str>) -> Map<String, Value> {
    names
        .into_iter()
        .map(|name| {
            let reference = json!({ "$ref": format!("#/components/headers/{name}") });
            (name.to_owned(), reference)
        })
        .collect()
}

/// The same, where the answer may lack them.
pub fn optional<'n>(names: impl IntoIterator<Item = &'n str>) -> Map<String, Value> {
    names
        .into_iter()
        .map(|name| {
            let reference = json!({ "$ref": format!("#/components/headers/{}", sometimes(name)) });
            (name.to_owned(), reference)
        })
        .collect()
}
