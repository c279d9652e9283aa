//! The JSON Schemas of the configuration's files, as editors and `cmp-relay schema` take them.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::backend::BackendSpec;
use super::route::RouteFileSpec;
use super::server::ServerSpec;
use crate::config::compile::variables_at;

/// The schema of a route file: there a map of the language may also be a `$ref`.
pub fn route_schema() -> Value {
    schema_of::<RouteFileSpec>(true)
}

/// The schema of a backend file.
pub fn backend_schema() -> Value {
    schema_of::<BackendSpec>(false)
}

/// The schema of relay.yaml.
pub fn server_schema() -> Value {
    schema_of::<ServerSpec>(false)
}

/// The three schemas with what they say to the reference page alone: `x-holds`, what stands at a
/// key of any type, and `x-stage`, when it is rendered.
pub(in crate::config) fn annotated() -> [Value; 3] {
    [
        annotated_of::<RouteFileSpec>(true),
        annotated_of::<BackendSpec>(false),
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
            if references {
                with_reference(map);
            }
        }
        _ => {}
    }
}

/// schemars writes an `Option` as "or null"; the language has no such null.
fn without_null(schema: &mut Map<String, Value>) {
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
                "description": "The value of another file, by its path below `routes.d/`; the keys beside it win.",
            }),
        );
    }
    if let Some(required) = schema.remove("required") {
        schema.insert(
            "anyOf".into(),
            json!([{ "required": required }, { "required": ["$ref"] }]),
        );
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
        let validator = jsonschema::draft202012::new(&schema).unwrap();
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
    }

    #[test]
    fn every_key_is_explained() {
        let schema = route_schema();
        let pieces = schema["$defs"].as_object().unwrap().iter();
        let undescribed: Vec<String> = pieces
            .chain([(&"a route file".to_owned(), &schema)])
            .filter(|(name, _)| !name.starts_with("Example"))
            .filter_map(|(name, piece)| Some((name, piece["properties"].as_object()?)))
            .flat_map(|(name, properties)| {
                properties
                    .iter()
                    .filter(|(_, property)| property.get("description").is_none())
                    .map(move |(key, _)| format!("{name}.{key}"))
            })
            .filter(|path| !path.starts_with("Mapping."))
            .collect();
        assert_eq!(undescribed, Vec::<String>::new());
    }
}
