//! The decoder behind [`spec!`](crate::spec): from nodes to specs, reporting everything on the way.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Entry, Kind, Node, Span};

pub use super::amount::{Size, TimeSpan};
pub use crate::config::codes;

/// A type that a node can be read as. `None` means that it was reported.
pub trait Decode: Sized {
    /// As a choice it has no content: a bare word.
    const BARE: bool = false;

    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self>;
}

/// A field of a map: required, or an `Option`.
pub trait Field: Sized {
    fn field(map: &mut MapReader<'_>, key: &'static str, diags: &mut Diagnostics) -> Option<Self>;
}

impl<T: Decode> Field for T {
    fn field(map: &mut MapReader<'_>, key: &'static str, diags: &mut Diagnostics) -> Option<Self> {
        match map.take(key) {
            Some(entry) => T::decode(&entry.value, diags),
            None => {
                diags.push(Diagnostic::error(
                    codes::MISSING_KEY,
                    map.span,
                    format!("`{key}` is missing"),
                ));
                None
            }
        }
    }
}

impl<T: Decode> Field for Option<T> {
    fn field(map: &mut MapReader<'_>, key: &'static str, diags: &mut Diagnostics) -> Option<Self> {
        match map.take(key) {
            Some(entry) => T::decode(&entry.value, diags).map(Some),
            None => Some(None),
        }
    }
}

/// A map being read key by key; [`MapReader::finish`] reports what nobody asked for.
///
/// An unknown key that is a slip of the fingers is read as the key that was meant: it is reported
/// once, where it stands, and not again by everyone who misses the value.
#[derive(Debug)]
pub struct MapReader<'n> {
    entries: &'n [Entry],
    keys: &'static [&'static str],
    pub span: Span,
}

impl<'n> MapReader<'n> {
    /// `what` names the map for a message: `a backend`; `keys` are all that it may hold.
    pub fn open(
        node: &'n Node,
        what: &str,
        keys: &'static [&'static str],
        diags: &mut Diagnostics,
    ) -> Option<Self> {
        match &node.kind {
            Kind::Map(entries) => Some(Self {
                entries,
                keys,
                span: node.span,
            }),
            _ => {
                wrong_type(node, &format!("{what} (a map)"), diags);
                None
            }
        }
    }

    pub fn take(&mut self, key: &'static str) -> Option<&'n Entry> {
        let written = self.entries.iter().find(|entry| entry.key == key);
        written.or_else(|| {
            let unknown = |entry: &&Entry| !self.keys.contains(&entry.key.as_str());
            let meant = |entry: &&Entry| self.near(entry) == Some(key);
            self.entries
                .iter()
                .filter(unknown)
                .find(|entry| meant(entry) && suggest::is_slip(&entry.key, key))
        })
    }

    /// The key that an unknown one stands for, most likely.
    fn near(&self, entry: &Entry) -> Option<&'static str> {
        suggest::nearest(&entry.key, self.keys.iter().copied())
    }

    pub fn finish(self, diags: &mut Diagnostics) {
        for entry in self.entries {
            if !self.keys.contains(&entry.key.as_str()) {
                diags.push(
                    Diagnostic::error(
                        codes::UNKNOWN_KEY,
                        entry.key_span,
                        format!("`{}` is not a key here", entry.key),
                    )
                    .did_you_mean(self.near(entry))
                    .help(format!("keys here: {}", self.keys.join(", "))),
                );
            }
        }
    }
}

/// The key of a field: one named after a Rust keyword is written raw.
pub const fn key_of(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Reports that `node` is not `wanted`.
pub fn wrong_type(node: &Node, wanted: &str, diags: &mut Diagnostics) {
    let mut diagnostic = Diagnostic::error(
        codes::WRONG_TYPE,
        node.span,
        format!("expected {wanted}, found {}", node.describe()),
    );
    if wanted == "a whole number" {
        diagnostic = diagnostic.help("write digits alone, such as `200`");
    }
    if wanted == "a map" {
        diagnostic = match node.kind {
            Kind::List(_) => diagnostic.help("write `name: value` below it, without `- `"),
            Kind::Null => diagnostic.help("write `name: value` below it, or remove the key"),
            _ => diagnostic,
        };
    }
    if wanted == "text" {
        diagnostic = match &node.kind {
            Kind::Null => diagnostic.help(
                "nothing at all, `~` and `null` mean null: write the text, in quotes if it is one of these",
            ),
            Kind::Map(entries) if entries.len() == 1 => {
                diagnostic.label("quote it: a text with `: ` in it is a map to YAML")
            }
            _ => diagnostic,
        };
    }
    diags.push(diagnostic);
}

/// A value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct At<T> {
    pub value: T,
    pub span: Span,
}

impl<T: Decode> Decode for At<T> {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        T::decode(node, diags).map(|value| Self {
            value,
            span: node.span,
        })
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }
    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

impl Decode for String {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::Text(scalar) => Some(scalar.text.clone()),
            Kind::Bool(_) | Kind::Number(_) => {
                diags.push(
                    Diagnostic::error(
                        codes::WRONG_TYPE,
                        node.span,
                        format!("expected text, found {}", node.describe()),
                    )
                    .label("quote it"),
                );
                None
            }
            _ => {
                wrong_type(node, "text", diags);
                None
            }
        }
    }
}

impl Decode for bool {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        if let Kind::Bool(value) = node.kind {
            return Some(value);
        }
        let message = format!("expected true or false, found {}", node.describe());
        let diagnostic = Diagnostic::error(codes::WRONG_TYPE, node.span, message);
        diags.push(match node.as_text() {
            Some("yes" | "Yes" | "on" | "On" | "true") => diagnostic.label("write `true`"),
            Some("no" | "No" | "off" | "Off" | "false") => diagnostic.label("write `false`"),
            _ => diagnostic,
        });
        None
    }
}

macro_rules! decode_integer {
    ($($type:ty),*) => {$(
        impl Decode for $type {
            fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
                let Kind::Number(number) = &node.kind else {
                    wrong_type(node, "a whole number", diags);
                    return None;
                };
                let fitting = number.as_u64().and_then(|n| <$type>::try_from(n).ok());
                if fitting.is_none() {
                    diags.push(Diagnostic::error(
                        codes::BAD_VALUE,
                        node.span,
                        format!("expected a whole number from 0 to {}", <$type>::MAX),
                    ));
                }
                fitting
            }
        }
    )*};
}
decode_integer!(u16, u32, u64);

/// Any value: compiled later, by the position in which it stands.
impl Decode for Node {
    fn decode(node: &Node, _: &mut Diagnostics) -> Option<Self> {
        Some(node.clone())
    }
}

impl JsonSchema for Node {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Any".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

impl<T: Decode> Decode for Box<T> {
    const BARE: bool = T::BARE;

    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        T::decode(node, diags).map(Box::new)
    }
}

impl<T: Decode> Decode for Vec<T> {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            // Every item is decoded, so that every problem is reported.
            Kind::List(items) => {
                let decoded: Vec<_> = items.iter().map(|item| T::decode(item, diags)).collect();
                decoded.into_iter().collect()
            }
            _ => {
                wrong_type(node, "a list", diags);
                None
            }
        }
    }
}

/// A map whose keys are the user's own names, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Entries<T>(pub Vec<(At<String>, T)>);

impl<T> Default for Entries<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Decode> Decode for Entries<T> {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        let Kind::Map(entries) = &node.kind else {
            wrong_type(node, "a map", diags);
            return None;
        };
        let decoded: Vec<_> = entries
            .iter()
            .map(|entry| {
                let key = At {
                    value: entry.key.clone(),
                    span: entry.key_span,
                };
                T::decode(&entry.value, diags).map(|value| (key, value))
            })
            .collect();
        // One bad entry is reported and left out, so that the passes see the others.
        Some(Self(decoded.into_iter().flatten().collect()))
    }
}

impl<T: JsonSchema> JsonSchema for Entries<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("Entries_of_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

/// Declares a map of the language: the struct, its decoder and its JSON Schema.
///
/// A field of type `Option<T>` may be absent; any other is required. A field named after a Rust
/// keyword is written raw (`r#match`). The string is what messages call the map.
#[macro_export]
macro_rules! spec {
    (
        $(#[$meta:meta])*
        $name:ident as $what:literal {
            $( $(#[$field_meta:meta])* $field:ident : $type:ty ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields, title = $what)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $type, )*
        }

        impl $crate::config::spec::decode::Decode for $name {
            fn decode(
                node: &$crate::document::Node,
                diags: &mut $crate::diagnostics::Diagnostics,
            ) -> Option<Self> {
                use $crate::config::spec::decode::{Field, MapReader, key_of};
                const KEYS: &[&str] = &[$( key_of(stringify!($field)) ),*];
                let mut map = MapReader::open(node, $what, KEYS, diags)?;
                // Every field is read before any failure counts, so that all of them are reported.
                $( let $field = Field::field(&mut map, key_of(stringify!($field)), diags); )*
                map.finish(diags);
                Some(Self { $( $field: $field?, )* })
            }
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{FileId, Scalar};

    crate::spec! {
        /// For the test.
        #[expect(dead_code, unreachable_pub, reason = "only its decoding is looked at")]
        Sample as "a sample" {
            /// Its name.
            name: At<String>,
            r#match: Option<bool>,
        }
    }

    fn text(value: &str) -> Node {
        Node {
            span: Span::new(FileId(0), 0, 0),
            kind: Kind::Text(Scalar {
                text: value.into(),
                verbatim_at: None,
                plain: true,
            }),
        }
    }

    fn map(entries: &[(&str, Node)]) -> Node {
        let entries = entries
            .iter()
            .map(|(key, value)| Entry {
                key: (*key).into(),
                key_span: Span::default(),
                value: value.clone(),
            })
            .collect();
        Node {
            span: Span::default(),
            kind: Kind::Map(entries),
        }
    }

    #[test]
    fn all_problems_of_a_map_are_reported_at_once() {
        let mut diags = Diagnostics::default();
        let node = map(&[("title", text("x")), ("match", text("maybe"))]);
        assert!(Sample::decode(&node, &mut diags).is_none());
        let found: Vec<_> = diags.iter().map(|item| item.code).collect();
        assert_eq!(
            found,
            [codes::MISSING_KEY, codes::WRONG_TYPE, codes::UNKNOWN_KEY]
        );
    }

    #[test]
    fn a_slip_of_the_fingers_in_a_key_is_one_problem() {
        let mut diags = Diagnostics::default();
        let node = map(&[("nmae", text("x"))]);
        let sample = Sample::decode(&node, &mut diags).expect("the value is there");
        assert_eq!(sample.name.value, "x");
        let found: Vec<_> = diags.iter().map(|item| item.code).collect();
        assert_eq!(found, [codes::UNKNOWN_KEY]);
    }
}
