//! A value that a schema allows, for the examples of a draft: the document's own example, or one made up.

use serde_json::{Map, Value, json};

use super::document::{Document, list};
use super::schema::{Way, fields, types};

const MAX_DEPTH: usize = 6;

/// A value of this schema. It is a guess: whoever uses it validates it.
pub fn sample(document: &Document, schema: &Value, way: Way) -> Value {
    at(document, schema, way, 0)
}

fn at(document: &Document, schema: &Value, way: Way, depth: usize) -> Value {
    let schema = document.resolve(schema);
    if depth > 2 * MAX_DEPTH {
        return Value::Null;
    }
    if let Some(example) = schema.get("example").or_else(|| schema["examples"].get(0)) {
        return example.clone();
    }
    if let Some(value) = schema
        .get("const")
        .or_else(|| schema["enum"].get(0))
        .or_else(|| schema.get("default"))
    {
        return value.clone();
    }
    if let Some(branch) = ["oneOf", "anyOf"]
        .iter()
        .find_map(|key| schema[*key].get(0))
    {
        return at(document, branch, way, depth + 1);
    }
    if let Some(fields) = fields(document, schema, way) {
        let mut map = Map::new();
        for field in fields {
            // Deep down, what may be left out is.
            if field.required || depth < 4 {
                map.insert(field.name, at(document, &field.schema, way, depth + 1));
            }
        }
        return Value::Object(map);
    }
    let kinds = types(schema);
    let first = kinds.iter().find(|kind| **kind != "null");
    match first.copied().unwrap_or_default() {
        "integer" | "number" => number(schema),
        "boolean" => json!(true),
        "array" if depth < MAX_DEPTH => {
            let least = schema["minItems"].as_u64().unwrap_or(1).min(8);
            let item = at(document, &schema["items"], way, depth + 1);
            (0..least).map(|_| item.clone()).collect()
        }
        "array" => json!([]),
        "object" => json!({}),
        "string" => text(schema).into(),
        _ => match schema.get("allOf").map(|branches| list(branches).next()) {
            Some(Some(branch)) => at(document, branch, way, depth + 1),
            _ => json!("any"),
        },
    }
}

fn number(schema: &Value) -> Value {
    let flag = |key: &str| schema[key] == true;
    let bound = |key: &str| schema[key].as_i64();
    if let Some(least) = bound("exclusiveMinimum") {
        return json!(least + 1);
    }
    if let Some(least) = bound("minimum") {
        return json!(least + i64::from(flag("exclusiveMinimum")));
    }
    match (bound("maximum"), schema["multipleOf"].as_i64()) {
        (Some(most), _) if most < 1 => json!(most - i64::from(flag("exclusiveMaximum"))),
        (_, Some(step)) => json!(step),
        _ => json!(1),
    }
}

fn text(schema: &Value) -> String {
    let made = match schema["format"].as_str().unwrap_or_default() {
        "date-time" => "2026-01-02T03:04:05Z",
        "date" => "2026-01-02",
        "time" => "03:04:05Z",
        "duration" => "PT1H",
        "uuid" => "11111111-2222-4333-8444-555555555555",
        "email" | "idn-email" => "someone@example.net",
        "ipv4" => "192.0.2.1",
        "ipv6" => "2001:db8::1",
        "uri" | "url" | "uri-reference" => "https://example.net/x",
        "hostname" | "idn-hostname" => "host.example.net",
        "regex" => "^x$",
        "json-pointer" => "/x",
        "byte" => "eA==",
        // What is masked wherever it is echoed must not be a word of the other samples.
        "password" => "s3cret-sample",
        _ => "text",
    };
    let mut made = made.to_owned();
    let least = usize::try_from(schema["minLength"].as_u64().unwrap_or(0).min(256)).unwrap_or(0);
    while made.len() < least {
        made.push('x');
    }
    if let Some(most) = schema["maxLength"]
        .as_u64()
        .and_then(|most| usize::try_from(most).ok())
    {
        made.truncate(most);
    }
    made
}
