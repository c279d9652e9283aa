//! The JSON Schemas of the configuration's files, as editors and `cmp-relay schema` take them.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::backend::BackendSpec;
use super::profile::ProfileSpec;
use super::response::ResponseSpec;
use super::route::RouteFileSpec;
use super::server::ServerSpec;
use crate::config::compile::variables_at;

/// The schema of a route file: there a map of the language may also be a `$ref`.
pub fn route_schema() -> Value {
    schema_of::<RouteFileSpec>(true)
}

/// The schema of a shared piece that is the `response` of routes.
pub fn response_schema() -> Value {
    schema_of::<ResponseSpec>(true)
}

/// The schema of a shared piece that is a source: where a value stands in an answer.
pub fn source_schema() -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "a source",
        "description": "Where a value stands in an answer: a JSONPath, or a map with one place and how it is read.",
        "if": { "type": "object" },
        "then": {
            "additionalProperties": false,
            "minProperties": 1,
            "properties": {
                "path": text("A JSONPath into the body."),
                "header": text("The name of a header."),
                "link": text("A relation: the target of the `Link` header that has it (RFC 8288)."),
                "text": { "const": true, "description": "The whole text of the answer." },
                "value": { "description": "A text or a tree with expressions." },
                "first": {
                    "type": "array",
                    "minItems": 1,
                    "items": { "$ref": "#" },
                    "description": "Sources, one after the other: the first that is there.",
                },
                "param": text("A query parameter of the URL that was found, decoded."),
                "regex": text("Its first group is the value."),
                "optional": { "type": "boolean", "description": "It may be absent. Default: false." },
            },
        },
        "else": { "type": "string", "pattern": "^\\$", "description": "A JSONPath into the body." },
    })
}

/// The schema of a backend file.
pub fn backend_schema() -> Value {
    schema_of::<BackendSpec>(false)
}

/// The schema of a CLI profile.
pub fn profile_schema() -> Value {
    schema_of::<ProfileSpec>(false)
}

/// The schema of relay.yaml.
pub fn server_schema() -> Value {
    schema_of::<ServerSpec>(false)
}

/// The four schemas with what they say to the reference page alone: `x-holds`, what stands at a
/// key of any type, `x-stage`, when it is rendered, and `x-of`, whose key it is as well.
pub(in crate::config) fn annotated() -> [Value; 4] {
    [
        annotated_of::<RouteFileSpec>(true),
        annotated_of::<BackendSpec>(false),
        annotated_of::<ProfileSpec>(false),
        annotated_of::<ServerSpec>(false),
    ]
}

fn schema_of<T: JsonSchema>(references: bool) -> Value {
    let mut schema = annotated_of::<T>(references);
    without_annotations(&mut schema);
    schema
}

/// What may be absent is left out rather than written as `null`.
fn annotated_of<T: JsonSchema>(references: bool) -> Value {
    let mut schema = schemars::schema_for!(T).to_value();
    refine(&mut schema, references);
    schema
}

/// An editor shows descriptions alone: the variables of a position become a sentence of its own.
fn without_annotations(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(without_annotations),
        Value::Object(map) => {
            map.remove("x-holds");
            map.remove("x-of");
            if let Some(Value::String(stage)) = map.remove("x-stage")
                && let Some(roots) = variables_at(&stage)
                && let Some(Value::String(description)) = map.get_mut("description")
            {
                description.push_str(&format!("\n\nVariables: {}.", roots.join(", ")));
            }
            map.values_mut().for_each(without_annotations);
        }
        _ => {}
    }
}

fn refine(schema: &mut Value, references: bool) {
    let refine = |schema: &mut Value| refine(schema, references);
    match schema {
        Value::Array(items) => items.iter_mut().for_each(refine),
        Value::Object(map) => {
            // The names of properties are no keywords: their schemas are refined one by one.
            for (key, value) in map.iter_mut() {
                match (key.as_str(), value) {
                    ("properties" | "$defs", Value::Object(named)) => {
                        named.values_mut().for_each(refine);
                    }
                    ("enum" | "const" | "required" | "description", _) => {}
                    (_, value) => refine(value),
                }
            }
            without_null(map);
            on_one_line(map);
            with_default_and_example(map);
            if references {
                with_reference(map);
            }
        }
        _ => {}
    }
}

/// schemars writes an `Option` as "or null"; the language has no such null.
fn without_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|word| word != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(options)) = schema.get_mut("anyOf") {
        options.retain(|option| *option != json!({ "type": "null" }));
        if let [only] = options.as_mut_slice() {
            let only = only.take();
            schema.remove("anyOf");
            if let Value::Object(only) = only {
                // A description beside the reference is the field's own, and wins.
                for (key, value) in only {
                    schema.entry(key).or_insert(value);
                }
            }
        }
    }
}

/// A doc comment is broken where the source is; its paragraphs stay.
fn on_one_line(schema: &mut Map<String, Value>) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs = text.split("\n\n").map(|lines| lines.replace('\n', " "));
        *text = paragraphs.collect::<Vec<_>>().join("\n\n");
    }
}

/// What a description says of a key as "Default: `5s`." or "such as `GET /v1/networks`" stands for the
/// editor as well: said once, it cannot differ.
fn with_default_and_example(schema: &mut Map<String, Value>) {
    let Some(Value::String(text)) = schema.get("description") else {
        return;
    };
    let default = said_after(text, "Default: ").and_then(literal);
    let example = said_after(text, "such as ").and_then(quoted).map(scalar);
    if let Some(default) = default {
        schema.entry("default").or_insert(default);
    }
    if let Some(example) = example {
        schema.entry("examples").or_insert(json!([example]));
    }
}

fn said_after<'t>(text: &'t str, words: &str) -> Option<&'t str> {
    text.split_once(words).map(|(_, rest)| rest)
}

/// A value that a sentence begins with: in backticks, or a bare number or truth at its end.
fn literal(text: &str) -> Option<Value> {
    let bare = || {
        let word = text.split([' ', ',', '.']).next()?;
        Some(scalar(word)).filter(|value| !value.is_string())
    };
    quoted(text).map(scalar).or_else(bare)
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('`')?
        .split_once('`')
        .map(|(word, _)| word)
}

/// A scalar as YAML would read it.
fn scalar(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| match text {
        "[cmp]" => json!(["cmp"]),
        word => word.into(),
    })
}

/// A closed map may come, whole or in part, from another file.
fn with_reference(schema: &mut Map<String, Value>) {
    if schema.get("additionalProperties") != Some(&Value::Bool(false)) {
        return;
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.insert(
            "$ref".into(),
            json!({
                "type": "string",
                "pattern": "\\.yaml(#/.*)?$",
                "description": "The value of another file, by its path below `routes.d/`; the keys beside it win.",
            }),
        );
    }
    if let Some(required) = schema.remove("required") {
        schema.insert("if".into(), json!({ "not": { "required": ["$ref"] } }));
        schema.insert("then".into(), json!({ "required": required }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;
    use crate::diagnostics::Diagnostics;
    use crate::document::FileId;

    fn complaints(text: &str) -> Vec<String> {
        let schema = route_schema();
        let validator = json_schema::draft202012::new(&schema).unwrap();
        let mut diags = Diagnostics::default();
        let file = yaml::parse(FileId(0), text, &mut diags).unwrap();
        validator
            .iter_errors(&file.to_json())
            .map(|error| error.to_string())
            .collect()
    }

    #[test]
    fn the_example_of_the_language_is_right_in_an_editor() {
        let example =
            include_str!("../../../tests/config/language_example/routes.d/firewall_rule.yaml");
        assert_eq!(complaints(example), Vec::<String>::new());
    }

    #[test]
    fn a_slip_is_wrong_in_an_editor() {
        let wrong = "resource: a\nkind: b\nroutes:\n  x:\n    match: GET /x\n    cal: {}\n";
        assert_eq!(complaints(wrong).len(), 2, "{:?}", complaints(wrong));
        let null = "resource: a\nkind: b\nsummary: null\nroutes: {}\n";
        assert_eq!(complaints(null).len(), 1);
        let null = "resource: a\nkind: b\nresponse:\n  format: null\nroutes: {}\n";
        assert_eq!(complaints(null).len(), 1);
    }

    #[test]
    fn what_a_description_says_of_a_default_is_the_default() {
        let backend = backend_schema();
        let limits = &backend["$defs"]["BackendLimitsSpec"]["properties"];
        assert_eq!(limits["concurrency"]["default"], 8);
        assert_eq!(limits["timeout"]["default"], "15s");
        assert_eq!(
            backend["$defs"]["TlsSpec"]["properties"]["verify"]["default"],
            true
        );
        let relay = server_schema();
        assert_eq!(
            relay["$defs"]["ClientSpec"]["properties"]["roles"]["default"],
            json!(["cmp"])
        );
        let routes = route_schema();
        let route = &routes["$defs"]["RouteSpec"]["properties"];
        assert_eq!(route["match"]["examples"], json!(["GET /v1/networks/{id}"]));
        assert!(route["select"].get("default").is_none());
    }

    /// The keys below a schema that have no description, by their way.
    fn unexplained(schema: &Value, way: &str, found: &mut Vec<String>) {
        match schema {
            Value::Array(items) => items.iter().for_each(|item| unexplained(item, way, found)),
            Value::Object(map) => {
                for (keyword, value) in map {
                    match (keyword.as_str(), value.as_object()) {
                        ("properties" | "$defs", Some(named)) => {
                            for (name, schema) in named {
                                let way = format!("{way}.{name}");
                                if keyword == "properties" && schema.get("description").is_none() {
                                    found.push(way.clone());
                                }
                                unexplained(schema, &way, found);
                            }
                        }
                        ("default" | "examples", _) => {}
                        _ => unexplained(value, way, found),
                    }
                }
            }
            _ => {}
        }
    }

    #[test]
    fn every_key_is_explained_and_every_map_is_closed() {
        for (name, schema) in [
            ("routes", route_schema()),
            ("response", response_schema()),
            ("source", source_schema()),
            ("backend", backend_schema()),
            ("profile", profile_schema()),
            ("relay", server_schema()),
        ] {
            let mut found = Vec::new();
            unexplained(&schema, name, &mut found);
            assert_eq!(found, Vec::<String>::new());
            let text = schema.to_string();
            // An editor that must guess which of several forms is meant says the wrong thing.
            assert!(
                !text.contains("\"anyOf\"") && !text.contains("\"oneOf\""),
                "{name}"
            );
            let maps = text.matches("\"properties\":").count();
            let closed = text.matches("\"additionalProperties\":false").count();
            assert_eq!(maps, closed, "{name}");
        }
    }
}
