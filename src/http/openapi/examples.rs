//! The routes' `examples:` in the document: requests as they are written, and the replies of successes
//! that are written whole.

use serde_json::{Map, Value, json};

use crate::plan::PublishedExample;

/// Adds the examples' bodies to a request's media type.
pub fn of_request(examples: &[PublishedExample], media: &mut Value) {
    let bodies = examples
        .iter()
        .filter_map(|example| Some((example, example.body.clone()?)));
    let examples = named(bodies);
    if !examples.is_empty() {
        media["examples"] = Value::Object(examples);
    }
}

/// Adds the first value that an example gives to a parameter.
pub fn of_parameter(examples: &[PublishedExample], place: &str, name: &str, parameter: &mut Value) {
    let value = examples.iter().find_map(|example| {
        let given = match place {
            "path" => &example.path,
            "query" => &example.query,
            _ => &example.headers,
        };
        given.get(name).cloned()
    });
    if let Some(value) = value {
        parameter["example"] = value;
    }
}

/// The replies of the examples that succeed; what is written in part only is no example of a reply.
pub fn of_replies(examples: &[PublishedExample], schema: &Value) -> Option<Value> {
    let replies = examples
        .iter()
        .filter(|example| example.status.is_none_or(|status| status < 300))
        .filter_map(|example| Some((example, example.reply.clone()?)))
        .filter(|(_, reply)| !reply.is_null() && fits(schema, reply));
    let examples = named(replies);
    (!examples.is_empty()).then_some(Value::Object(examples))
}

/// Under names that the document takes; the example's own is its summary.
fn named<'e>(examples: impl Iterator<Item = (&'e PublishedExample, Value)>) -> Map<String, Value> {
    let mut named = Map::new();
    for (example, value) in examples {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let mut key = example.name.replace(|c| !plain(c), "_");
        while named.contains_key(&key) {
            key.push('_');
        }
        named.insert(key, json!({ "summary": example.name, "value": value }));
    }
    named
}

/// Whether a value has the members that a form is certain of, each with a value of its own: in an
/// example `"*"` stands for any, and `null` for no body.
fn fits(schema: &Value, value: &Value) -> bool {
    match value {
        Value::Object(members) => {
            let required = schema["required"].as_array();
            let whole = required
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .all(|name| members.contains_key(name));
            whole
                && members.iter().all(|(name, member)| {
                    let property = schema["properties"].get(name);
                    property.is_none_or(|property| fits(property, member))
                })
        }
        Value::Array(items) => items.iter().all(|item| fits(&schema["items"], item)),
        Value::String(text) => text != "*",
        _ => true,
    }
}
