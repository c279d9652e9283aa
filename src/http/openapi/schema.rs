//! Request schemas inside the document: each under a name, its own references (`#/...`) moved with it.

use serde_json::{Map, Value, json};

use crate::transform::encode::percent_decoded;

const SCHEMAS: &str = "#/components/schemas/";
/// Keywords whose value is a map of names to schemas.
const NAMED: [&str; 5] = [
    "properties",
    "patternProperties",
    "$defs",
    "definitions",
    "dependentSchemas",
];
/// Keywords whose value is no schema, whatever it looks like.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];

/// The schemas of the document.
#[derive(Debug, Default)]
pub struct Components {
    schemas: Map<String, Value>,
}

impl Components {
    /// Puts a schema in; gives what refers to it.
    pub fn put(&mut self, name: &str, schema: Value) -> Value {
        self.schemas.insert(name.to_owned(), schema);
        reference(name)
    }

    /// Adds the words that a field of a schema may be.
    pub fn narrow(&mut self, name: &str, field: &str, words: &[&str]) {
        let schema = self.schemas.get_mut(name);
        let properties = schema.and_then(|schema| schema.get_mut("properties"));
        if let Some(property) = properties.and_then(|all| all.get_mut(field)) {
            super::operation::narrow(property, words);
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.schemas.contains_key(name)
    }

    /// All of them, and the ones that every document has.
    pub fn into_schemas(self) -> Map<String, Value> {
        let mut schemas = self.schemas;
        schemas.extend(super::problems::schemas());
        schemas.extend(super::own::schemas());
        schemas
    }
}

/// What refers to the schema of this name.
pub fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{SCHEMAS}{name}") })
}

/// A compiled request schema and its place in the document.
#[derive(Clone, Debug)]
pub struct Placed<'p> {
    name: String,
    document: &'p Value,
}

impl<'p> Placed<'p> {
    /// The whole schema goes into the document under `name`, and each of its definitions beside it.
    pub fn new(name: String, document: &'p Value, components: &mut Components) -> Self {
        let placed = Self { name, document };
        let mut whole = placed.moved(document);
        if let Value::Object(map) = &mut whole {
            map.remove("$schema");
            for key in ["$defs", "definitions"] {
                let Some(Value::Object(definitions)) = map.remove(key) else {
                    continue;
                };
                for (name, definition) in definitions {
                    components.put(&placed.definition(&name), definition);
                }
            }
        }
        components.put(&placed.name, whole);
        placed
    }

    /// A schema of scalars, whose properties stand one by one in the document: it goes in as a whole only
    /// where a property refers to it.
    pub fn scalars(name: String, document: &'p Value, components: &mut Components) -> Self {
        match refers(document) {
            true => Self::new(name, document, components),
            false => Self { name, document },
        }
    }

    pub fn reference(&self) -> Value {
        reference(&self.name)
    }

    pub fn document(&self) -> &'p Value {
        self.document
    }

    /// A part of the schema as it must be written elsewhere in the document.
    pub fn moved(&self, schema: &Value) -> Value {
        let mut moved = schema.clone();
        self.rebase(&mut moved);
        moved
    }

    /// The schema of what these steps lead to, where nothing but `properties` and `items` is on the way.
    pub fn at<'s>(&self, steps: impl Iterator<Item = &'s str>) -> Option<Value> {
        let mut schema = self.resolved(self.document)?;
        let mut last = self.document;
        for step in steps {
            last = match (step, step.bytes().all(|byte| byte.is_ascii_digit())) {
                ("*", _) | (_, true) if schema.get("prefixItems").is_some() => return None,
                ("*", _) => schema.get("items")?,
                (name, digits) => match schema.get("properties").and_then(|all| all.get(name)) {
                    Some(property) => property,
                    None if digits => schema.get("items")?,
                    None => return None,
                },
            };
            schema = self.resolved(last)?;
        }
        let mut moved = self.moved(last);
        if let Value::Object(map) = &mut moved {
            // It says who may send it, and here it is the relay that does.
            map.remove("writeOnly");
        }
        Some(moved)
    }

    /// The schema itself, or the one that it refers to, a few references deep.
    fn resolved(&self, schema: &'p Value) -> Option<&'p Value> {
        let mut schema = schema;
        for _ in 0..8 {
            let Some(target) = schema.get("$ref").and_then(Value::as_str) else {
                return Some(schema);
            };
            schema = self
                .document
                .pointer(&percent_decoded(target.strip_prefix('#')?))?;
        }
        None
    }

    fn rebase(&self, schema: &mut Value) {
        match schema {
            Value::Array(items) => items.iter_mut().for_each(|item| self.rebase(item)),
            Value::Object(map) => {
                for (key, value) in map.iter_mut() {
                    match (key.as_str(), value) {
                        ("$ref", Value::String(target)) => {
                            if let Some(pointer) = target.strip_prefix('#') {
                                *target = self.target(pointer);
                            }
                        }
                        (key, Value::Object(named)) if NAMED.contains(&key) => {
                            named.values_mut().for_each(|schema| self.rebase(schema));
                        }
                        (key, _) if DATA.contains(&key) => {}
                        (_, value) => self.rebase(value),
                    }
                }
            }
            _ => {}
        }
    }

    /// Where a pointer of the schema leads in the document.
    fn target(&self, pointer: &str) -> String {
        let definition = ["/$defs/", "/definitions/"]
            .into_iter()
            .find_map(|prefix| pointer.strip_prefix(prefix));
        match definition {
            Some(rest) => {
                let (name, below) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let name = percent_decoded(name).replace("~1", "/").replace("~0", "~");
                format!("{SCHEMAS}{}{below}", self.definition(&name))
            }
            None => format!("{SCHEMAS}{}{pointer}", self.name),
        }
    }

    /// The name of a definition in the document: its keys are of few characters.
    fn definition(&self, name: &str) -> String {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let name = name.replace(|c| !plain(c), "_");
        format!("{}_{name}", self.name)
    }
}

/// Whether a schema refers to a part of its own document.
fn refers(schema: &Value) -> bool {
    match schema {
        Value::Array(items) => items.iter().any(refers),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key == "$ref" && value.is_string() || refers(value)),
        _ => false,
    }
}
