//! Shapes that many maps of the language share: text with its place, one or several, words of a
//! closed set, and parts whose own problems do not hide those of their neighbours.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::decode::{Decode, codes};
use crate::diagnostics::{Diagnostic, Diagnostics, codes as expression_codes, suggest};
use crate::document::{Kind, Node, Snippet, Span};

/// How resources, kinds and routes are called, for editors.
pub const NAME: &str = "^[a-z][a-z0-9_]{0,63}$";
/// How backends, clients and nodes are called, for editors.
pub const INSTANCE: &str = "^[a-z][a-z0-9_.-]{0,127}$";
/// A method and a path, for editors.
pub const METHOD_AND_PATH: &str = "^(GET|HEAD|POST|PUT|PATCH|DELETE) +/";

/// A part of a map that is read on its own: when it is wrong, that has been reported, and the map
/// around it is still read and checked.
#[derive(Clone, Debug)]
pub struct Part<T>(pub Option<T>);

impl<T: Decode> Decode for Part<T> {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        Some(Self(T::decode(node, diags)))
    }
}

impl<T: JsonSchema> JsonSchema for Part<T> {
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

/// The part, where it is written and right.
pub fn right<T>(part: &Option<Part<T>>) -> Option<&T> {
    part.as_ref().and_then(|part| part.0.as_ref())
}

/// Whether the part is written and wrong; that has been reported.
pub fn wrong<T>(part: &Option<Part<T>>) -> bool {
    matches!(part, Some(Part(None)))
}

/// Text, as it stands in the file.
#[derive(Clone, Debug)]
pub struct Written(Node);

impl Written {
    pub fn text(&self) -> &str {
        self.0.as_text().expect("only text is decoded")
    }

    pub fn span(&self) -> Span {
        self.0.span
    }

    pub fn snippet(&self) -> Snippet<'_> {
        self.0.snippet().expect("only text is decoded")
    }

    /// The text where no expression may stand; one that does is reported.
    pub fn literal(&self, what: &str, diags: &mut Diagnostics) -> Option<&str> {
        let text = self.text();
        let Some(at) = text.find("{{") else {
            return Some(text);
        };
        diags.push(misplaced(
            self.snippet().part_span(at, text.len()),
            &format!("{what} takes no expression"),
        ));
        None
    }
}

/// An expression stands where none is evaluated.
pub fn misplaced(span: Span, message: &str) -> Diagnostic {
    Diagnostic::error(expression_codes::MISPLACED_EXPRESSION, span, message)
        .label("this is known before any request, so it is written out")
}

impl Decode for Written {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        String::decode(node, diags).map(|_| Self(node.clone()))
    }
}

impl JsonSchema for Written {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Text".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// One thing, or a list of them (an empty one included).
#[derive(Clone, Debug)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T: Decode> Decode for OneOrMany<T> {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match &node.kind {
            Kind::List(_) => Vec::decode(node, diags).map(Self),
            _ => T::decode(node, diags).map(|one| Self(vec![one])),
        }
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany_{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "if": { "type": "array" }, "then": { "items": one }, "else": one })
    }
}

/// Reports a word that is not of a closed set.
pub fn unknown_word(node: &Node, what: &str, words: &[&str], diags: &mut Diagnostics) {
    let nearest = node
        .as_text()
        .and_then(|text| suggest::nearest(text, words.iter().copied()));
    let found = match node.as_text() {
        Some(text) => format!("`{text}`"),
        None => node.describe().to_owned(),
    };
    let mut diagnostic = Diagnostic::error(
        codes::BAD_VALUE,
        node.span,
        format!("{found} is not {what}"),
    )
    .did_you_mean(nearest)
    .help(format!("write one of: {}", words.join(", ")));
    if matches!(node.kind, Kind::Number(_) | Kind::Bool(_)) {
        diagnostic = diagnostic.label("quote it");
    }
    diags.push(diagnostic);
}

/// Declares a closed set of words: the enum, its decoder and its JSON Schema.
#[macro_export]
macro_rules! words {
    (
        $(#[$meta:meta])*
        $name:ident as $what:literal {
            $( $(#[$variant_meta:meta])* $variant:ident = $word:literal ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$variant_meta])* $variant, )*
        }

        impl $crate::config::spec::decode::Decode for $name {
            fn decode(
                node: &$crate::document::Node,
                diags: &mut $crate::diagnostics::Diagnostics,
            ) -> Option<Self> {
                match node.as_text() {
                    $( Some($word) => Some(Self::$variant), )*
                    _ => {
                        $crate::config::spec::part::unknown_word(node, $what, &[$($word),*], diags);
                        None
                    }
                }
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "enum": [$($word),*] })
            }
        }
    };
}
