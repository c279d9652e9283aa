//! Schemas of OpenAPI 3.0 and 3.1 -> JSON Schema 2020-12 as the language takes it.
//!
//! What the converter drops makes a schema looser, never stricter: the backend still checks.

use serde_json::{Map, Value, json};

use super::document::{Document, list, object, one_line};
use super::words;

/// Keywords whose value is kept as it is.
const KEPT: [&str; 17] = [
    "title",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "minimum",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxProperties",
    "minProperties",
    "writeOnly",
    "deprecated",
    "minContains",
    "maxContains",
];
/// JSON Schema 2020-12 Validation, section 7.3: others are a backend's own words.
const FORMATS: [&str; 15] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "json-pointer",
    "regex",
    "time",
    "uri",
    "uri-reference",
    "uuid",
];
const TYPES: [&str; 7] = [
    "string", "integer", "number", "boolean", "object", "array", "null",
];
const MAX_DEPTH: usize = 24;

/// Which way a value goes: what is read-only is not sent, what is write-only is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Request,
    Answer,
}

/// A property of an object.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    /// As written in the document, resolved.
    pub schema: Value,
    pub required: bool,
}

/// The properties of an object schema, those of its `allOf` among them; `None` for anything else.
pub fn fields(document: &Document, schema: &Value, way: Way) -> Option<Vec<Field>> {
    let mut found = Vec::new();
    let mut required = Vec::new();
    collect(document, schema, 0, &mut found, &mut required)?;
    let hidden = match way {
        Way::Request => "readOnly",
        Way::Answer => "writeOnly",
    };
    found.retain(|field: &Field| field.schema[hidden] != true);
    found
        .iter_mut()
        .for_each(|field| field.required = required.contains(&field.name));
    (!found.is_empty()).then_some(found)
}

fn collect(
    document: &Document,
    schema: &Value,
    depth: usize,
    found: &mut Vec<Field>,
    required: &mut Vec<String>,
) -> Option<()> {
    let schema = document.resolve(schema);
    let choice = ["oneOf", "anyOf", "not"]
        .iter()
        .any(|key| schema.get(key).is_some());
    if depth > MAX_DEPTH || choice || !schema.is_object() {
        return None;
    }
    for part in list(&schema["allOf"]) {
        collect(document, part, depth + 1, found, required)?;
    }
    let known = types(schema);
    if !known.is_empty() && !known.contains(&"object") {
        return None;
    }
    for (name, property) in object(&schema["properties"]) {
        // What the language cannot name cannot be carried.
        words::step(name)?;
        found.retain(|field| field.name != *name);
        let mut resolved = document.resolve(property).clone();
        // Beside a reference, 3.1 may say more.
        for key in ["readOnly", "writeOnly", "description"] {
            if let (Some(value), Value::Object(map)) = (property.get(key), &mut resolved) {
                map.insert(key.to_owned(), value.clone());
            }
        }
        found.push(Field {
            name: name.clone(),
            schema: resolved,
            required: false,
        });
    }
    required.extend(
        list(&schema["required"])
            .filter_map(Value::as_str)
            .map(str::to_owned),
    );
    Some(())
}

/// The words of `type`.
pub fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(word) => vec![word.as_str()],
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// What the converter left out, for the report.
#[derive(Debug, Default)]
pub struct Dropped {
    pub patterns: Vec<String>,
    pub recursive: bool,
}

/// Converts a schema of a request.
pub fn convert(document: &Document, schema: &Value, dropped: &mut Dropped) -> Value {
    Converter {
        document,
        dropped,
        stack: Vec::new(),
    }
    .convert(schema)
}

struct Converter<'a> {
    document: &'a Document,
    dropped: &'a mut Dropped,
    /// The references that are being put in.
    stack: Vec<String>,
}

impl Converter<'_> {
    fn convert(&mut self, schema: &Value) -> Value {
        if schema.is_boolean() {
            return match schema.as_bool() {
                Some(false) => json!({ "not": {} }),
                _ => json!({}),
            };
        }
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            return self.map(schema);
        };
        if self.stack.iter().any(|open| open == reference) || self.stack.len() > MAX_DEPTH {
            // A file cannot hold itself: below here the backend alone checks.
            self.dropped.recursive = true;
            return json!({});
        }
        self.stack.push(reference.to_owned());
        let mut converted = self.map(self.document.resolve(schema));
        self.stack.pop();
        if let (Value::Object(converted), Value::Object(beside)) = (&mut converted, schema) {
            for (key, value) in beside {
                if ["description", "writeOnly"].contains(&key.as_str()) {
                    converted.insert(key.clone(), value.clone());
                }
            }
        }
        converted
    }

    fn map(&mut self, schema: &Value) -> Value {
        let mut out = Map::new();
        let nullable = schema["nullable"] == true;
        let mut kinds: Vec<&str> = types(schema)
            .into_iter()
            .filter(|word| TYPES.contains(word))
            .collect();
        if nullable && !kinds.is_empty() && !kinds.contains(&"null") {
            kinds.push("null");
        }
        match kinds.as_slice() {
            [] => {}
            [one] => {
                out.insert("type".into(), json!(one));
            }
            several => {
                out.insert("type".into(), json!(several));
            }
        }
        for (key, value) in object(schema) {
            self.keyword(key, value, schema, &mut out);
        }
        if nullable
            && let Some(Value::Array(words)) = out.get_mut("enum")
            && !words.contains(&Value::Null)
        {
            words.push(Value::Null);
        }
        self.merge_all_of(&mut out);
        self.keep_required(schema, &mut out);
        if nullable && kinds.is_empty() && !out.is_empty() {
            return json!({ "anyOf": [Value::Object(out), { "type": "null" }] });
        }
        Value::Object(out)
    }

    fn keyword(&mut self, key: &str, value: &Value, schema: &Value, out: &mut Map<String, Value>) {
        match key {
            "exclusiveMinimum" | "exclusiveMaximum" => {
                let bound = match key {
                    "exclusiveMinimum" => "minimum",
                    _ => "maximum",
                };
                match value {
                    // 3.0: a flag beside the bound.
                    Value::Bool(true) => {
                        if let Some(limit) = schema.get(bound) {
                            out.shift_remove(bound);
                            out.insert(key.into(), limit.clone());
                        }
                    }
                    Value::Number(_) => {
                        out.insert(key.into(), value.clone());
                    }
                    _ => {}
                }
            }
            "minimum" if schema["exclusiveMinimum"] == true => {}
            "maximum" if schema["exclusiveMaximum"] == true => {}
            "format" => match value.as_str() {
                Some("password") => {
                    out.insert("writeOnly".into(), json!(true));
                }
                Some(word) if FORMATS.contains(&word) => {
                    out.insert("format".into(), value.clone());
                }
                _ => {}
            },
            "pattern" => {
                let pattern = value.as_str().unwrap_or_default();
                match regex::Regex::new(pattern) {
                    Ok(_) => {
                        out.insert("pattern".into(), value.clone());
                    }
                    Err(_) => self.dropped.patterns.push(pattern.to_owned()),
                }
            }
            "description" => {
                if let Some(line) = value.as_str().and_then(one_line) {
                    out.insert("description".into(), line.into());
                }
            }
            "properties" | "patternProperties" => {
                let kept: Map<String, Value> = object(value)
                    .filter(|(_, property)| {
                        property["readOnly"] != true
                            && self.document.resolve(property)["readOnly"] != true
                    })
                    .map(|(name, property)| (name.clone(), property.clone()))
                    .collect();
                let converted = kept
                    .iter()
                    .map(|(name, property)| (name.clone(), self.convert(property)));
                let converted: Map<String, Value> = converted.collect();
                if !converted.is_empty() {
                    out.insert(key.into(), converted.into());
                }
            }
            "items" | "additionalProperties" | "not" | "contains" | "propertyNames" => {
                let converted = match value {
                    Value::Bool(_) => value.clone(),
                    value => self.convert(value),
                };
                out.insert(key.into(), converted);
            }
            "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
                let converted: Vec<Value> =
                    list(value).map(|branch| self.convert(branch)).collect();
                if !converted.is_empty() {
                    out.insert(key.into(), converted.into());
                }
            }
            _ if KEPT.contains(&key) => {
                out.insert(key.into(), value.clone());
            }
            _ => {}
        }
    }

    /// One object where the branches of `allOf` are plain objects: a closed branch would refuse its
    /// neighbour's properties.
    fn merge_all_of(&self, out: &mut Map<String, Value>) {
        let Some(Value::Array(branches)) = out.get("allOf").cloned() else {
            return;
        };
        let plain = |branch: &Value| {
            object(branch).all(|(key, _)| {
                [
                    "type",
                    "properties",
                    "required",
                    "description",
                    "title",
                    "additionalProperties",
                ]
                .contains(&key.as_str())
            })
        };
        if branches.len() > 1 && !branches.iter().all(plain) {
            return;
        }
        out.remove("allOf");
        let own: Vec<(String, Value)> = out.clone().into_iter().collect();
        out.clear();
        for (key, value) in branches
            .iter()
            .flat_map(object)
            .map(|(k, v)| (k.clone(), v.clone()))
            .chain(own)
        {
            match (out.get_mut(&key), value) {
                (Some(Value::Object(known)), Value::Object(more)) if key == "properties" => {
                    known.extend(more)
                }
                (Some(Value::Array(known)), Value::Array(more)) if key == "required" => {
                    for name in more {
                        if !known.contains(&name) {
                            known.push(name);
                        }
                    }
                }
                (_, value) => {
                    out.insert(key, value);
                }
            }
        }
    }

    /// Of `required`, what is a property here still.
    fn keep_required(&self, schema: &Value, out: &mut Map<String, Value>) {
        let mut names: Vec<Value> = out
            .remove("required")
            .and_then(|r| r.as_array().cloned())
            .unwrap_or_default();
        names.extend(list(&schema["required"]).cloned());
        let mut kept: Vec<Value> = Vec::new();
        for name in names {
            let there = name.as_str().is_some_and(|name| {
                out.get("properties")
                    .is_some_and(|properties| properties.get(name).is_some())
            });
            if there && !kept.contains(&name) {
                kept.push(name);
            }
        }
        if !kept.is_empty() {
            out.insert("required".into(), kept.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(schemas: Value) -> Document {
        let text = json!({ "openapi": "3.0.3", "info": {}, "paths": {}, "components": { "schemas": schemas } });
        Document::parse(&text.to_string()).unwrap()
    }

    #[test]
    fn a_schema_of_3_0_becomes_one_of_2020_12() {
        let document = document(json!({
            "Tag": { "type": "object", "properties": { "next": { "$ref": "#/components/schemas/Tag" } } },
        }));
        let mut dropped = Dropped::default();
        let converted = convert(
            &document,
            &json!({
                "type": "object",
                "required": ["id", "size"],
                "properties": {
                    "id": { "type": "integer", "readOnly": true },
                    "size": { "type": "integer", "format": "int32", "minimum": 0, "exclusiveMinimum": true, "maximum": 9, "exclusiveMaximum": false },
                    "kind": { "type": "string", "enum": ["a"], "nullable": true, "example": "a", "xml": {} },
                    "secret": { "type": "string", "format": "password", "default": "x" },
                    "tag": { "$ref": "#/components/schemas/Tag" },
                    "odd": { "type": "string", "pattern": "^(?!x)" },
                },
            }),
            &mut dropped,
        );
        assert_eq!(
            converted,
            json!({
                "type": "object",
                "properties": {
                    "size": { "type": "integer", "exclusiveMinimum": 0, "maximum": 9 },
                    "kind": { "type": ["string", "null"], "enum": ["a", null] },
                    "secret": { "type": "string", "writeOnly": true },
                    "tag": { "type": "object", "properties": { "next": {} } },
                    "odd": { "type": "string" },
                },
                "required": ["size"],
            })
        );
        assert_eq!(dropped.patterns, ["^(?!x)"]);
        assert!(dropped.recursive);
    }

    #[test]
    fn the_properties_of_all_branches_are_fields() {
        let document = document(json!({
            "Base": { "type": "object", "required": ["id"], "properties": { "id": { "type": "string", "readOnly": true } } },
        }));
        let schema = json!({ "allOf": [{ "$ref": "#/components/schemas/Base" }, { "type": "object", "required": ["name"], "properties": { "name": { "type": "string" } } }] });
        let names = |way| -> Vec<String> {
            let fields = fields(&document, &schema, way).unwrap();
            fields
                .into_iter()
                .map(|field| format!("{} {}", field.name, field.required))
                .collect()
        };
        assert_eq!(names(Way::Answer), ["id true", "name true"]);
        assert_eq!(names(Way::Request), ["name true"]);
        assert!(fields(&document, &json!({ "oneOf": [] }), Way::Answer).is_none());
    }
}
