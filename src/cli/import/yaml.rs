//! The YAML that a draft is written as: block style, in the order that people read.
//!
//! Only what a draft needs; reading YAML is `config::yaml`.

use serde_json::Value;

/// A tree to be written.
#[derive(Clone, Debug)]
pub enum Yaml {
    /// Plain data; a small map stands on one line.
    Data(Value),
    Map(Vec<Entry>),
    List(Vec<Yaml>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    key: String,
    value: Yaml,
}

/// What still fits on one line.
const LINE: usize = 100;
/// Words that are no text where they stand bare, in one YAML or another.
const WORDS: [&str; 11] = [
    "true", "false", "null", "yes", "no", "on", "off", "y", "n", "~", "",
];

impl Yaml {
    pub fn map() -> Self {
        Self::Map(Vec::new())
    }

    pub fn text(text: impl Into<String>) -> Self {
        Self::Data(Value::String(text.into()))
    }

    /// Adds a key.
    pub fn with(self, key: &str, value: impl Into<Yaml>) -> Self {
        self.entry(key, value.into())
    }

    /// Adds a key where there is something to say.
    pub fn with_some(self, key: &str, value: Option<Yaml>) -> Self {
        match value {
            Some(value) => self.entry(key, value),
            None => self,
        }
    }

    fn entry(self, key: &str, value: Yaml) -> Self {
        let mut entries = match self {
            Self::Map(entries) => entries,
            _ => Vec::new(),
        };
        entries.push(Entry {
            key: key.to_owned(),
            value,
        });
        Self::Map(entries)
    }

    pub fn is_empty(&self) -> bool {
        match self {
            Self::Map(entries) => entries.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Data(_) => false,
        }
    }

    /// What a person must decide: the question, and what would do, the likeliest first.
    pub fn decide(question: &str, candidates: Vec<Yaml>) -> Self {
        Self::map()
            .with("$decide", Yaml::text(question))
            .with("candidates", Self::List(candidates))
    }

    /// The text of a file.
    pub fn write(&self) -> String {
        let mut out = String::new();
        self.block(0, &mut out);
        out
    }

    fn block(&self, indent: usize, out: &mut String) {
        let pad = " ".repeat(indent);
        match self {
            Self::Data(value) => match spread(value) {
                Some(spread) => spread.block(indent, out),
                None => out.push_str(&format!("{pad}{}\n", line(value))),
            },
            Self::Map(entries) => {
                for entry in entries {
                    out.push_str(&format!("{pad}{}:", scalar(&entry.key)));
                    entry.value.behind(indent, out);
                }
            }
            Self::List(items) => {
                for item in items {
                    // A map begins on the line of its dash.
                    let mut inner = String::new();
                    item.block(indent + 2, &mut inner);
                    let inner = inner.get(indent + 2..).unwrap_or_default();
                    out.push_str(&format!("{pad}- {inner}"));
                }
            }
        }
    }

    /// Behind `key:`, on its line or below it.
    fn behind(&self, indent: usize, out: &mut String) {
        match self {
            Self::Data(value) => match spread(value) {
                Some(spread) => {
                    out.push('\n');
                    spread.block(indent + 2, out);
                }
                None => out.push_str(&format!(" {}\n", line(value))),
            },
            Self::Map(entries) if entries.is_empty() => out.push_str(" {}\n"),
            Self::List(items) if items.is_empty() => out.push_str(" []\n"),
            _ => {
                out.push('\n');
                self.block(indent + 2, out);
            }
        }
    }
}

impl From<Value> for Yaml {
    fn from(value: Value) -> Self {
        Self::Data(value)
    }
}

impl From<&str> for Yaml {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Yaml {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

/// Data that does not fit on a line, as a block.
fn spread(value: &Value) -> Option<Yaml> {
    let is_flat = |value: &Value| match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items
            .iter()
            .all(|item| !item.is_object() && !item.is_array()),
        _ => true,
    };
    match value {
        Value::Object(map) if !map.is_empty() => {
            let flat = map.values().all(is_flat) && flow(value).chars().count() <= LINE;
            (!flat).then(|| {
                Yaml::Map(
                    map.iter()
                        .map(|(key, value)| Entry {
                            key: key.clone(),
                            value: Yaml::Data(value.clone()),
                        })
                        .collect(),
                )
            })
        }
        Value::Array(items) if !items.is_empty() => {
            let flat = is_flat(value) && flow(value).chars().count() <= LINE;
            (!flat).then(|| Yaml::List(items.iter().cloned().map(Yaml::Data).collect()))
        }
        _ => None,
    }
}

/// A value on a line of its own: a text may hold more there than inside brackets.
fn line(value: &Value) -> String {
    let Some(text) = value.as_str() else {
        return flow(value);
    };
    let odd = [": ", " #", "\"", "\\"]
        .iter()
        .any(|odd| text.contains(odd));
    let begins =
        text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '/' | '$'));
    let ends = text.ends_with([':', ' ']);
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    match begins && !ends && !odd && !is_word && !text.contains(char::is_control) {
        true => text.to_owned(),
        false => flow(value),
    }
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let entries: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{}: {}", scalar(key), flow(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// A text: bare where every YAML reads it as this text, else in double quotes.
fn scalar(text: &str) -> String {
    let first = text.chars().next();
    let begins = first.is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '/' | '$'));
    let plain =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '$' | '.' | '-' | ' ');
    let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
    if begins && text.chars().all(plain) && !text.ends_with(' ') && !is_word {
        return text.to_owned();
    }
    // The escapes of JSON are escapes of YAML too.
    Value::String(text.to_owned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;
    use crate::diagnostics::Diagnostics;
    use crate::document::FileId;
    use serde_json::json;

    /// Whatever is written is read again as what it was.
    #[test]
    fn what_is_written_is_read_again() {
        let long = "x".repeat(120);
        let value = json!({
            "a": "yes", "b": "no: x", "c": "{{ body.x }}", "d": "1.10", "e": 1.5, "f": null,
            "g": [1, "x, y", true], "h": {"i": {"j": []}, "k": {}}, "l": "- dash", "m": "line\nbreak \"q\" \\",
            "n": [{"o": [[1, 2], {"p": long}]}, "~"], "404": "#x", "": "", "$ref": "schemas/x.yaml#/a",
        });
        let text = Yaml::Data(value.clone()).write();
        let mut diags = Diagnostics::default();
        let node = yaml::parse(FileId(0), &text, &mut diags).unwrap();
        assert!(diags.no_errors(), "{text}\n{diags:?}");
        assert_eq!(node.to_json(), value, "{text}");
    }
}
