//! What a JSON body may hold, as a table: one line a member, as deep as its objects and lists go.

use std::fmt::Write as _;

use serde_json::Value;

use super::{escape, prose, resolved};

/// Deeper than this a schema is read in its JSON.
const DEPTH: usize = 4;

/// Nothing, where the schema names no members.
pub(super) fn table(body: &mut String, document: &Value, schema: &Value, caption: &str) {
    let mut rows = String::new();
    members(&mut rows, document, schema, "", DEPTH);
    if rows.is_empty() {
        return;
    }
    let _ = write!(
        body,
        "<table><caption>{}</caption><tr><th scope=col>Member<th scope=col>Type<th scope=col>Meaning{rows}</table>",
        escape(caption)
    );
}

fn members(rows: &mut String, document: &Value, schema: &Value, prefix: &str, depth: usize) {
    let schema = resolved(document, schema);
    if schema["items"].is_object() && depth > 0 {
        members(
            rows,
            document,
            &schema["items"],
            &format!("{prefix}[]"),
            depth - 1,
        );
    }
    let required = schema["required"].as_array();
    for (name, member) in schema["properties"].as_object().into_iter().flatten() {
        let way = match prefix {
            "" => name.clone(),
            prefix => format!("{prefix}.{name}"),
        };
        let needed = required.is_some_and(|names| names.iter().any(|known| known == name));
        let optional = match needed {
            true => "",
            false => " <span class=quiet>(optional)</span>",
        };
        let target = resolved(document, member);
        let description = member["description"]
            .as_str()
            .or(target["description"].as_str());
        let _ = write!(
            rows,
            "<tr><td><code>{}</code>{optional}<td>{}<td>{}",
            escape(&way),
            words(document, member),
            prose(description),
        );
        if depth > 0 {
            members(rows, document, member, &way, depth - 1);
        }
    }
}

/// A schema in a few words: its type, its words, its bounds.
pub(super) fn words(document: &Value, schema: &Value) -> String {
    let schema = resolved(document, schema);
    let mut said = Vec::new();
    match &schema["type"] {
        Value::String(kind) => said.push(escape(kind)),
        Value::Array(kinds) => {
            let kinds: Vec<_> = kinds.iter().filter_map(Value::as_str).map(escape).collect();
            said.push(kinds.join(" or "));
        }
        _ => {}
    }
    if let Some(format) = schema["format"].as_str() {
        said.push(escape(format));
    }
    let code = |value: &Value| format!("<code>{}</code>", escape(&value.to_string()));
    if let Some(words) = schema["enum"].as_array() {
        said.push(words.iter().map(code).collect::<Vec<_>>().join(", "));
    }
    if let Some(value) = schema.get("const") {
        said.push(code(value));
    }
    for (keyword, before, after) in [
        ("minimum", "from ", ""),
        ("maximum", "to ", ""),
        ("minLength", "at least ", " characters"),
        ("maxLength", "at most ", " characters"),
        ("minItems", "at least ", " items"),
        ("maxItems", "at most ", " items"),
        ("pattern", "matching ", ""),
    ] {
        // That something is there at all needs no words.
        let bound = schema
            .get(keyword)
            .filter(|bound| keyword != "minLength" || **bound != 1);
        if let Some(bound) = bound {
            said.push(format!("{before}{}{after}", code(bound)));
        }
    }
    if said.is_empty() {
        said.push("<span class=quiet>as the backend says it</span>".to_owned());
    }
    said.join(", ")
}
