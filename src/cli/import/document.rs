//! An OpenAPI 3.0 or 3.1 document: read from a file, its references resolved within it, its operations
//! listed. Nothing is fetched.

use anyhow::{Context, bail};
use serde_json::{Map, Value};

use crate::cli::Misuse;

/// How far a chain of references goes.
const MAX_CHAIN: usize = 32;
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];
static NOTHING: Value = Value::Null;

/// The document.
#[derive(Debug)]
pub struct Document {
    root: Value,
}

/// One method of one path.
#[derive(Clone, Debug)]
pub struct Operation {
    /// In capitals.
    pub method: String,
    pub path: String,
    /// The operation object.
    pub node: Value,
    /// Its parameters and its path's, resolved.
    pub parameters: Vec<Value>,
}

impl Document {
    /// Reads JSON or YAML.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let root: Value = match serde_json::from_str(text) {
            Ok(root) => root,
            Err(_) => serde_yaml::from_str(text).context("this is neither JSON nor YAML")?,
        };
        if root.get("swagger").is_some() {
            return Err(Misuse(
                "this is a Swagger 2.0 document: convert it to OpenAPI 3 first, with a converter of your choice".into(),
            )
            .into());
        }
        let version = match &root["openapi"] {
            Value::String(version) => version.clone(),
            Value::Number(version) => version.to_string(),
            _ => String::new(),
        };
        if !version.starts_with("3.0") && !version.starts_with("3.1") {
            let words =
                format!("this is not an OpenAPI 3.0 or 3.1 document: `openapi` is `{version}`");
            return Err(Misuse(words).into());
        }
        let document = Self { root };
        document.check_references()?;
        Ok(document)
    }

    /// Every reference must lead somewhere in this file.
    fn check_references(&self) -> anyhow::Result<()> {
        let mut wrong = Vec::new();
        references(&self.root, &mut |reference| {
            let found = reference
                .strip_prefix('#')
                .is_some_and(|pointer| self.root.pointer(&decoded(pointer)).is_some());
            if !found && !wrong.contains(&reference.to_owned()) {
                wrong.push(reference.to_owned());
            }
        });
        if let Some(first) = wrong.first() {
            match first.starts_with('#') {
                true => bail!("`$ref: {first}` leads nowhere in this document"),
                false => bail!(
                    "`$ref: {first}` leads out of this file, and nothing is fetched: bundle the document into one file first"
                ),
            }
        }
        Ok(())
    }

    /// A value, or what its `$ref` names.
    pub fn resolve<'a>(&'a self, mut value: &'a Value) -> &'a Value {
        for _ in 0..MAX_CHAIN {
            let Some(reference) = value.get("$ref").and_then(Value::as_str) else {
                return value;
            };
            let target = self
                .root
                .pointer(&decoded(reference.trim_start_matches('#')));
            value = target.unwrap_or(&NOTHING);
        }
        &NOTHING
    }

    pub fn title(&self) -> &str {
        self.root["info"]["title"].as_str().unwrap_or("backend")
    }

    pub fn servers(&self) -> &Value {
        &self.root["servers"]
    }

    pub fn security_schemes(&self) -> Vec<(&str, &Value)> {
        object(&self.root["components"]["securitySchemes"])
            .map(|(name, scheme)| (name.as_str(), self.resolve(scheme)))
            .collect()
    }

    /// The operations in the order of the document.
    pub fn operations(&self) -> Vec<Operation> {
        let mut found = Vec::new();
        for (path, item) in object(&self.root["paths"]) {
            let item = self.resolve(item);
            for (method, node) in object(item) {
                if !METHODS.contains(&method.as_str()) {
                    continue;
                }
                // An operation's own parameter stands for its path's of the same name and place.
                let mut parameters: Vec<Value> = Vec::new();
                for parameter in list(&node["parameters"]).chain(list(&item["parameters"])) {
                    let parameter = self.resolve(parameter);
                    let same = |known: &Value| {
                        known["name"] == parameter["name"] && known["in"] == parameter["in"]
                    };
                    if !parameters.iter().any(same) {
                        parameters.push(parameter.clone());
                    }
                }
                found.push(Operation {
                    method: method.to_uppercase(),
                    path: path.clone(),
                    node: node.clone(),
                    parameters,
                });
            }
        }
        found
    }
}

impl Operation {
    pub fn has_tag(&self, tag: &str) -> bool {
        list(&self.node["tags"]).any(|known| known == tag)
    }

    /// One line for people; an expression in it would be one of ours.
    pub fn summary(&self) -> Option<String> {
        let text = self.node["summary"]
            .as_str()
            .or(self.node["description"].as_str())?;
        one_line(text)
    }

    /// The documented answers: status and response object.
    pub fn responses<'a>(&'a self, document: &'a Document) -> Vec<(u16, &'a Value)> {
        object(&self.node["responses"])
            .filter_map(|(status, response)| {
                Some((status.parse().ok()?, document.resolve(response)))
            })
            .collect()
    }

    /// The first documented success.
    pub fn success<'a>(&'a self, document: &'a Document) -> Option<(u16, &'a Value)> {
        let responses = self.responses(document);
        responses
            .into_iter()
            .find(|(status, _)| (200..300).contains(status))
    }
}

/// The entries of a map; none where it is no map.
pub fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

/// The items of a list; none where it is no list.
pub fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The JSON content of a body or an answer.
pub fn json_content(node: &Value) -> Option<&Value> {
    let content = || object(&node["content"]);
    let is_json = |name: &str| {
        let name = name.split(';').next().unwrap_or(name).trim();
        name == "application/json" || name.ends_with("+json") || name == "*/*"
    };
    content()
        .find(|(name, _)| is_json(name))
        .map(|(_, media)| media)
}

/// The example of a media type, where there is one.
pub fn media_example(document: &Document, media: &Value) -> Option<Value> {
    if let Some(example) = media.get("example") {
        return Some(example.clone());
    }
    let (_, first) = object(&media["examples"]).next()?;
    document.resolve(first).get("value").cloned()
}

/// A text on one line, without what would be an expression.
pub fn one_line(text: &str) -> Option<String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line: String = words.join(" ").replace("{{", "{").replace("}}", "}");
    let short: String = line.chars().take(160).collect();
    (!short.is_empty()).then_some(short)
}

fn references(value: &Value, visit: &mut dyn FnMut(&str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, visit)),
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                visit(reference);
            }
            for (key, value) in map {
                // What is shown as an example is data.
                if key != "example" && key != "examples" {
                    references(value, visit);
                }
            }
        }
        _ => {}
    }
}

/// A fragment as a JSON pointer.
fn decoded(pointer: &str) -> String {
    let bytes = pointer.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = pointer.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| pointer.to_owned())
}
