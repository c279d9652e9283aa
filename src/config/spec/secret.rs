//! A secret as written: a reference, never the secret.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::decode::{At, Decode, codes};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{Kind, Node, Span};

const HELP: &str = "write where it is taken from: `{ env: NAME }` or `{ file: PATH }`";

/// `{ env: NAME }` or `{ file: PATH }`.
#[derive(Clone, Debug, PartialEq)]
pub enum SecretRef {
    Env(At<String>),
    File(At<String>),
}

impl SecretRef {
    /// What messages quote: `env NAME` or `file PATH`.
    pub fn reference(&self) -> String {
        match self {
            Self::Env(name) => format!("env {}", name.value),
            Self::File(path) => format!("file {}", path.value),
        }
    }

    pub fn span(&self) -> Span {
        match self {
            Self::Env(at) | Self::File(at) => at.span,
        }
    }
}

crate::choice! {
    /// Where the value of a secret is taken from.
    Reference as "a secret's reference" {
        /// An environment variable of the relay.
        Env = "env" (At<String>),
        /// A file, relative to the configuration folder; a line end at its end is dropped.
        File = "file" (At<String>),
    }
}

impl Decode for SecretRef {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::Text(_) | Kind::Number(_) | Kind::Bool(_) => {
                diags.push(in_clear(node.span, HELP));
                diags.mask(node.span);
                None
            }
            _ => Some(match Reference::decode(node, diags)? {
                Reference::Env(name) => Self::Env(name),
                Reference::File(path) => Self::File(path),
            }),
        }
    }
}

/// A secret stands in the clear; whoever reports it also masks the place.
pub fn in_clear(span: Span, help: &str) -> Diagnostic {
    Diagnostic::error(
        codes::SECRET_IN_CLEAR,
        span,
        "a secret stands here in the clear",
    )
    .label("this value is masked")
    .help(help)
}

impl JsonSchema for SecretRef {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Reference::json_schema(generator);
        schema.insert("description".to_owned(), "A secret, by reference.".into());
        schema
    }
}

/// `{ env: NAME }`, `{ file: PATH }`, or `{ $base64: ... }` and `{ $json: ... }`: a text with secrets in it.
#[derive(Clone, Debug)]
pub enum SecretValue {
    Reference(SecretRef),
    /// A map with a directive; `compile` reads it.
    Built(Node),
}

impl Decode for SecretValue {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::Map(entries) if entries.iter().any(|entry| entry.key.starts_with('$')) => {
                Some(Self::Built(node.clone()))
            }
            _ => SecretRef::decode(node, diags).map(Self::Reference),
        }
    }
}

impl JsonSchema for SecretValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretValue".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let reference = generator.subschema_for::<SecretRef>();
        schemars::json_schema!({
            "if": { "type": "object", "patternProperties": { "^\\$": false } },
            "then": reference,
            "else": {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "propertyNames": { "enum": ["$base64", "$json"] },
            },
        })
    }
}
