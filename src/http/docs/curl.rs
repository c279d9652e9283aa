//! A line to try an operation with: what an example says, or the least that the schema asks for.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::{Operation, escape, resolved};

/// What the lines need: where the relay is, and a token where callers are asked for one.
pub(super) fn preface(document: &Value, base: &str) -> String {
    let token = match document["security"].is_array() {
        true => "\nTOKEN=...   # as cmp-relay token new printed it",
        false => "",
    };
    format!(
        "<p>The lines to try are for a shell that knows these:</p><pre><code>RELAY={}{token}</code></pre>",
        escape(base)
    )
}

pub(super) fn line(document: &Value, operation: &Operation<'_>) -> String {
    let value = operation.value;
    let mut url = operation.path.to_owned();
    let mut query = Vec::new();
    let mut headers = String::new();
    for parameter in value["parameters"].as_array().into_iter().flatten() {
        let name = parameter["name"].as_str().unwrap_or_default();
        let known = sample(document, parameter);
        match parameter["in"].as_str() {
            Some("path") => {
                let text = known.unwrap_or_else(|| "ID".into());
                url = url.replace(&format!("{{{name}}}"), &percent(&text));
            }
            Some("query") if parameter["required"] == true => {
                let text = known.unwrap_or_else(|| name.to_uppercase());
                query.push(format!("{}={}", percent(name), percent(&text)));
            }
            Some("header") if name == "Idempotency-Key" => {
                headers.push_str(" \\\n  -H \"Idempotency-Key: $(uuidgen)\"");
            }
            Some("header") if parameter["required"] == true => {
                let text = known.unwrap_or_else(|| name.to_uppercase());
                let _ = write!(headers, " \\\n  -H {}", quoted(&format!("{name}: {text}")));
            }
            _ => {}
        }
    }
    let query = match query.is_empty() {
        true => String::new(),
        false => format!("?{}", query.join("&")),
    };
    let method = operation.method.to_uppercase();
    let mut line = match method.as_str() {
        "GET" => "curl -i".to_owned(),
        "HEAD" => "curl -I".to_owned(),
        other => format!("curl -i -X {other}"),
    };
    let _ = write!(line, " \"$RELAY\"{}", quoted(&format!("{url}{query}")));
    let open = value["security"].as_array().is_some_and(Vec::is_empty);
    if document["security"].is_array() && !open {
        line.push_str(" \\\n  -H \"Authorization: Bearer $TOKEN\"");
    }
    line.push_str(&headers);
    let media = &value["requestBody"]["content"]["application/json"];
    if media.is_object() {
        let body = example(media).unwrap_or_else(|| least(document, &media["schema"], 6));
        let _ = write!(
            line,
            " \\\n  -H 'Content-Type: application/json' \\\n  -d {}",
            quoted(&body.to_string())
        );
    }
    line
}

/// What an example says of a parameter, or the first of its words.
fn sample(document: &Value, parameter: &Value) -> Option<String> {
    let schema = resolved(document, &parameter["schema"]);
    let value = match &parameter["example"] {
        Value::Null => schema["enum"].get(0)?,
        given => given,
    };
    Some(match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.first()?.as_str()?.to_owned(),
        other => other.to_string(),
    })
}

fn example(media: &Value) -> Option<Value> {
    let first = media["examples"].as_object()?.values().next()?;
    first.get("value").cloned()
}

/// The least that a schema asks for, with words where somebody must choose.
fn least(document: &Value, schema: &Value, depth: usize) -> Value {
    let schema = resolved(document, schema);
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"].get(0)?.as_str());
    match kind {
        Some("object") if depth > 0 => {
            let required = schema["required"].as_array().into_iter().flatten();
            let members: Map<String, Value> = required
                .filter_map(Value::as_str)
                .map(|name| {
                    let member = &schema["properties"][name];
                    (name.to_owned(), least(document, member, depth - 1))
                })
                .collect();
            Value::Object(members)
        }
        Some("array") => json!([]),
        Some("integer" | "number") => schema.get("minimum").cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(true),
        Some("null") => Value::Null,
        _ => json!("..."),
    }
}

/// One word of a shell, whatever is in it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// RFC 3986, but for its unreserved characters.
fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            other => {
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}
