//! A YAML document as it was written: values with their places.
//!
//! `config` parses files into [`Node`]s, `transform` compiles trees and templates out of them, and
//! `diagnostics` points at their [`Span`]s. Nothing here knows what a document means.

use serde_json::Number;

/// A source file of one load: an index into `config::source::SourceFiles`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// A half-open byte range in a source file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    pub file: FileId,
    pub start: u32,
    pub end: u32,
}

impl Span {
    pub fn new(file: FileId, start: usize, end: usize) -> Self {
        let clamp = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self {
            file,
            start: clamp(start),
            end: clamp(end.max(start)),
        }
    }
}

/// A value and the place where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub span: Span,
    pub kind: Kind,
}

/// What stands there, by the YAML 1.2 core schema: `yes` is text, and so is `0755`.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    Null,
    Bool(bool),
    /// The number as written: `1.10` keeps its zero.
    Number(Number),
    Text(Scalar),
    List(Vec<Node>),
    /// In the order of the file; a repeated key has been reported and dropped.
    Map(Vec<Entry>),
}

/// One entry of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_span: Span,
    pub value: Node,
}

/// A text scalar.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar {
    pub text: String,
    /// Where `text` begins in the file when it stands there byte for byte (no escapes, no folding),
    /// behind the opening quote; `None` when a part of it has no place of its own.
    pub verbatim_at: Option<u32>,
    /// Written without quotes.
    pub plain: bool,
}

impl Node {
    /// What a message calls this kind of value.
    pub fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing (null)",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::Text(_) => "text",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }

    /// The text of a text scalar.
    pub fn as_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    /// The entries of a map, in the order of the file; what is no map has none.
    pub fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The entry of a map with this key.
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    /// The whole text scalar as a snippet, from which parts are cut with their places.
    pub fn snippet(&self) -> Option<Snippet<'_>> {
        match &self.kind {
            Kind::Text(scalar) => Some(Snippet {
                text: &scalar.text,
                verbatim_at: scalar.verbatim_at,
                whole: self.span,
            }),
            _ => None,
        }
    }

    /// The node as JSON: its places are gone, its numbers keep their digits.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value;
        match &self.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Number(number) => Value::Number(number.clone()),
            Kind::Text(scalar) => Value::String(scalar.text.clone()),
            Kind::List(items) => items.iter().map(Node::to_json).collect(),
            Kind::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.value.to_json()))
                .collect(),
        }
    }
}

/// The keys and values of a map that may be absent.
pub fn pairs(map: Option<&Node>) -> impl Iterator<Item = (&str, &Node)> + Clone {
    let entries = map.map_or(&[][..], Node::entries);
    entries
        .iter()
        .map(|entry| (entry.key.as_str(), &entry.value))
}

/// A piece of source text that knows where it stands: a scalar, a part of one, or a template file.
#[derive(Clone, Copy, Debug)]
pub struct Snippet<'a> {
    pub text: &'a str,
    verbatim_at: Option<u32>,
    whole: Span,
}

impl<'a> Snippet<'a> {
    /// A whole file, as a template is.
    pub fn file(file: FileId, text: &'a str) -> Self {
        Self {
            text,
            verbatim_at: Some(0),
            whole: Span::new(file, 0, text.len()),
        }
    }

    /// The place of the whole snippet.
    pub fn span(&self) -> Span {
        self.part_span(0, self.text.len())
    }

    /// The place of a byte range of `text`; the whole scalar where it has no place of its own.
    pub fn part_span(&self, start: usize, end: usize) -> Span {
        match self.verbatim_at {
            Some(at) => Span::new(self.whole.file, at as usize + start, at as usize + end),
            None => self.whole,
        }
    }

    /// The sub-snippet of a byte range; both ends lie on character boundaries of `text`.
    pub fn cut(&self, start: usize, end: usize) -> Self {
        Self {
            text: &self.text[start..end],
            verbatim_at: self
                .verbatim_at
                .map(|at| at + u32::try_from(start).unwrap_or(u32::MAX)),
            whole: self.whole,
        }
    }
}
