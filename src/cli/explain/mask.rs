//! What `writeOnly` fields held, taken out of whatever is shown (SEMANTICS 25).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::transform::encode;

/// Values that must not be read, in the forms in which a call can hold them.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    /// The longest first, so that none is cut by a shorter one inside it.
    forms: Vec<String>,
}

impl Mask {
    /// Of these values: as they are, percent-encoded, in JSON, in XML and in base64.
    pub fn of(values: &[String]) -> Self {
        let mut forms: Vec<String> = Vec::new();
        for value in values.iter().filter(|value| !value.is_empty()) {
            let mut percent = String::new();
            encode::percent(value, &mut percent);
            let quoted = Value::from(value.as_str()).to_string();
            let xml = value
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&apos;");
            forms.extend([
                value.clone(),
                percent,
                quoted[1..quoted.len() - 1].to_owned(),
                xml,
                STANDARD.encode(value),
            ]);
        }
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms.dedup();
        Self { forms }
    }

    /// The text with `***` for each of them.
    pub fn text(&self, text: &str) -> String {
        self.forms.iter().fold(text.to_owned(), |text, form| {
            text.replace(form.as_str(), "***")
        })
    }

    /// The same in every text of a document.
    pub fn value(&self, value: Value) -> Value {
        match value {
            Value::String(text) => Value::String(self.text(&text)),
            Value::Array(items) => items.into_iter().map(|item| self.value(item)).collect(),
            Value::Object(map) => map
                .into_iter()
                .map(|(name, value)| (name, self.value(value)))
                .collect(),
            other => other,
        }
    }
}
