//! A map with exactly one key, which says what the rest is: `driver`, `auth`, `expires`.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::Map;

use super::decode::{Decode, codes};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Entry, Kind, Node};

/// The content of a choice that has none: `auth: none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nothing;

impl Decode for Nothing {
    const BARE: bool = true;

    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::Null => Some(Self),
            Kind::Map(entries) if entries.is_empty() => Some(Self),
            _ => {
                super::decode::wrong_type(node, "nothing", diags);
                None
            }
        }
    }
}

impl JsonSchema for Nothing {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Nothing".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["null", "object"], "maxProperties": 0 })
    }
}

/// The one entry of a choice; a bare word stands for one without content.
pub fn chosen(node: &Node, what: &str, words: &[&str], diags: &mut Diagnostics) -> Option<Entry> {
    let entry = match &node.kind {
        Kind::Map(entries) => match entries.as_slice() {
            [only] => only.clone(),
            _ => {
                let found = match entries.len() {
                    0 => "none".to_owned(),
                    _ => {
                        let keys = entries.iter().map(|entry| format!("`{}`", entry.key));
                        keys.collect::<Vec<_>>().join(", ")
                    }
                };
                diags.push(
                    Diagnostic::error(
                        codes::WRONG_TYPE,
                        node.span,
                        format!("{what} has exactly one key, found {found}"),
                    )
                    .help(format!("one of: {}", words.join(", "))),
                );
                return None;
            }
        },
        Kind::Text(scalar) => Entry {
            key: scalar.text.clone(),
            key_span: node.span,
            value: Node {
                span: node.span,
                kind: Kind::Null,
            },
        },
        _ => {
            super::decode::wrong_type(node, &format!("{what} (a map)"), diags);
            return None;
        }
    };
    if words.contains(&entry.key.as_str()) {
        return Some(entry);
    }
    let near = suggest::nearest(&entry.key, words.iter().copied());
    let message = match (&node.kind, near) {
        (Kind::Text(_), None) => {
            // A word that is near to none may be anything, a secret in the wrong place included.
            diags.mask(node.span);
            format!("this is not {what}")
        }
        _ => format!("`{}` is not {what}", entry.key),
    };
    diags.push(
        Diagnostic::error(codes::UNKNOWN_KEY, entry.key_span, message)
            .did_you_mean(near)
            .help(format!("one of: {}", words.join(", "))),
    );
    // A slip of the fingers is read as what was meant: nobody misses the value as well.
    let meant = near.filter(|near| suggest::is_slip(&entry.key, near))?;
    Some(Entry {
        key: meant.to_owned(),
        ..entry
    })
}

/// One alternative of a choice: its word, its description, and the schema of what it holds.
pub type Alternative = (&'static str, String, Option<Schema>);

/// An alternative; without content it is a bare word.
pub fn alternative<T: Decode + JsonSchema>(
    word: &'static str,
    docs: &[&str],
    generator: &mut SchemaGenerator,
) -> Alternative {
    let lines: Vec<_> = docs.iter().map(|line| line.trim()).collect();
    let content = (!T::BARE).then(|| generator.subschema_for::<T>());
    (word, lines.join("\n"), content)
}

/// The JSON Schema of a choice: one map with one key, so that an editor offers the keys; or a word.
pub fn schema(what: &str, alternatives: Vec<Alternative>) -> Schema {
    let mut words = Vec::new();
    let mut properties = Map::new();
    for (word, description, content) in alternatives {
        let Some(mut content) = content else {
            words.push(word);
            continue;
        };
        content.insert("description".to_owned(), description.into());
        properties.insert(word.to_owned(), content.into());
    }
    // `maxProperties` would say it, too; but a language server then offers no key where one is being typed.
    let map = json_schema!({
        "type": "object",
        "title": what,
        "properties": properties,
        "minProperties": 1,
        "not": { "type": "object", "minProperties": 2 },
        "additionalProperties": false,
    });
    if words.is_empty() {
        return map;
    }
    json_schema!({ "if": { "type": "string" }, "then": { "enum": words }, "else": map })
}

/// Declares a choice: the enum, its decoder and its JSON Schema. Each alternative holds a type;
/// [`Nothing`] makes it a bare word.
#[macro_export]
macro_rules! choice {
    (
        $(#[$meta:meta])*
        $name:ident as $what:literal {
            $( $(#[doc = $doc:literal])* $variant:ident = $word:literal ($type:ty) ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub enum $name {
            $( $(#[doc = $doc])* $variant($type), )*
        }

        impl $crate::config::spec::decode::Decode for $name {
            fn decode(
                node: &$crate::document::Node,
                diags: &mut $crate::diagnostics::Diagnostics,
            ) -> Option<Self> {
                let entry = $crate::config::spec::choice::chosen(node, $what, &[$($word),*], diags)?;
                match entry.key.as_str() {
                    $(
                        $word => {
                            <$type as $crate::config::spec::decode::Decode>::decode(
                                &entry.value,
                                diags,
                            )
                            .map(Self::$variant)
                        }
                    )*
                    _ => None,
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                use $crate::config::spec::choice::{alternative, schema};
                let alternatives = vec![
                    $( alternative::<$type>($word, &[$($doc),*], generator), )*
                ];
                schema($what, alternatives)
            }
        }
    };
}
