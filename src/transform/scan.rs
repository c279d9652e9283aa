//! Where in a text each value lands: scanners over the literal parts of XML, XPath and JSON.
//!
//! A scanner knows just enough of its language to say what kind of place an expression stands in; a
//! place where a value could become structure is a diagnostic. Both sides of a block, and a loop's
//! body, must leave the text where the block found it, so that the answer holds for every rendering.

use super::encode::Slot;
use super::segment::Segment;
use crate::diagnostics::{Diagnostic, Diagnostics, codes};
use crate::document::Span;

/// A language's lexical state.
pub(super) trait Scanner: Clone {
    /// Reads literal text.
    fn literal(&mut self, text: &str);
    /// The slot of a value here, or why none may stand here.
    fn value(&mut self) -> Result<Slot, &'static str>;
    /// Joins what another way through a block led to; `false` when the two cannot be joined.
    fn join(&mut self, other: &Self) -> bool;
    /// Why the text cannot end here.
    fn end(&self) -> Result<(), &'static str>;
}

/// Gives each value of `segments` its slot; reports the misplaced ones. `whole` is the text's place.
pub(super) fn assign<S: Scanner>(
    mut scanner: S,
    segments: &mut [Segment],
    whole: Span,
    diags: &mut Diagnostics,
) -> bool {
    let before = diags.errors();
    walk(&mut scanner, segments, Some(diags));
    if diags.errors() == before
        && let Err(why) = scanner.end()
    {
        diags.push(Diagnostic::error(
            codes::BAD_TEMPLATE,
            whole,
            format!("the text ends {why}"),
        ));
    }
    diags.errors() == before
}

fn walk<S: Scanner>(
    scanner: &mut S,
    segments: &mut [Segment],
    mut diags: Option<&mut Diagnostics>,
) {
    for segment in segments {
        match segment {
            Segment::Literal(text) => scanner.literal(text),
            Segment::Value { expr, slot, at } => match scanner.value() {
                Ok(Slot::Cli) if expr.node.is_words() => *slot = Slot::CliWords,
                Ok(found) => *slot = found,
                Err(why) => report(&mut diags, codes::MISPLACED_EXPRESSION, *at, why),
            },
            Segment::If {
                then,
                otherwise,
                at,
                ..
            } => {
                let mut other = scanner.clone();
                walk(scanner, then, diags.as_deref_mut());
                walk(&mut other, otherwise, diags.as_deref_mut());
                if !scanner.join(&other) {
                    report(&mut diags, codes::BAD_TEMPLATE, *at, UNEVEN);
                }
            }
            Segment::Each {
                body,
                otherwise,
                at,
                ..
            } => {
                let mut other = scanner.clone();
                // A second round begins where the first has ended.
                let mut round = scanner.clone();
                walk(&mut round, body, None);
                let even = scanner.join(&round);
                walk(scanner, body, diags.as_deref_mut());
                walk(&mut other, otherwise, diags.as_deref_mut());
                if !even || !scanner.join(&round) || !scanner.join(&other) {
                    report(&mut diags, codes::BAD_TEMPLATE, *at, UNEVEN);
                }
            }
        }
    }
}

const UNEVEN: &str =
    "each way through this block must end where it began: inside the same tag, quote or brackets";

fn report(diags: &mut Option<&mut Diagnostics>, code: &'static str, at: Span, why: &'static str) {
    if let Some(diags) = diags {
        diags.push(Diagnostic::error(code, at, why));
    }
}

/// XML 1.0 markup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Xml {
    #[default]
    Text,
    /// Behind a `&` in text or in an attribute value with this quote.
    Reference(Option<char>),
    /// Behind `<`, while the kind of markup is still open.
    Open(String),
    /// In a tag; `equals` behind an attribute's `=`, where its quote may open.
    Tag {
        equals: bool,
    },
    Attribute(char),
    Comment(Tail),
    CData(Tail),
    Instruction(Tail),
    /// `subset`: inside the brackets of a document type declaration.
    Declaration {
        subset: bool,
    },
}

/// The last characters of a construct whose end has several.
type Tail = String;

impl Xml {
    fn step(self, c: char) -> Self {
        match self {
            Xml::Text => match c {
                '<' => Xml::Open(String::new()),
                '&' => Xml::Reference(None),
                _ => Xml::Text,
            },
            Xml::Reference(None) if c == '<' => Xml::Open(String::new()),
            Xml::Reference(Some(quote)) if c == quote => Xml::Tag { equals: false },
            Xml::Reference(inside) => match (c.is_alphanumeric() || c == '#', inside) {
                (true, inside) => Xml::Reference(inside),
                (false, None) => Xml::Text,
                (false, Some(quote)) => Xml::Attribute(quote),
            },
            Xml::Open(mut begun) => {
                begun.push(c);
                match begun.as_str() {
                    "!--" => Xml::Comment(Tail::new()),
                    "![CDATA[" => Xml::CData(Tail::new()),
                    "?" => Xml::Instruction(Tail::new()),
                    begun if "!--".starts_with(begun) || "![CDATA[".starts_with(begun) => {
                        Xml::Open(begun.to_owned())
                    }
                    begun if begun.starts_with('!') => match c {
                        '>' => Xml::Text,
                        c => Xml::Declaration { subset: c == '[' },
                    },
                    _ => Xml::Tag { equals: false }.step(c),
                }
            }
            Xml::Tag { equals } => match c {
                '>' => Xml::Text,
                '=' => Xml::Tag { equals: true },
                '"' | '\'' if equals => Xml::Attribute(c),
                c if c.is_whitespace() => Xml::Tag { equals },
                _ => Xml::Tag { equals: false },
            },
            Xml::Attribute(quote) => match c {
                c if c == quote => Xml::Tag { equals: false },
                '&' => Xml::Reference(Some(quote)),
                _ => Xml::Attribute(quote),
            },
            Xml::Comment(tail) => ends(tail, c, "-->").map_or(Xml::Text, Xml::Comment),
            Xml::CData(tail) => ends(tail, c, "]]>").map_or(Xml::Text, Xml::CData),
            Xml::Instruction(tail) => ends(tail, c, "?>").map_or(Xml::Text, Xml::Instruction),
            Xml::Declaration { subset } => match c {
                '>' if !subset => Xml::Text,
                '[' => Xml::Declaration { subset: true },
                ']' => Xml::Declaration { subset: false },
                _ => Xml::Declaration { subset },
            },
        }
    }
}

/// The tail after `c`, or `None` when it is `end`.
fn ends(mut tail: Tail, c: char, end: &str) -> Option<Tail> {
    tail.push(c);
    if tail.ends_with(end) {
        return None;
    }
    if tail.len() > end.len() {
        tail.remove(0);
    }
    Some(tail)
}

impl Scanner for Xml {
    fn literal(&mut self, text: &str) {
        for c in text.chars() {
            *self = std::mem::take(self).step(c);
        }
    }

    fn value(&mut self) -> Result<Slot, &'static str> {
        match self {
            Xml::Text => Ok(Slot::XmlText),
            Xml::Attribute(_) => Ok(Slot::XmlAttribute),
            Xml::Reference(_) => Err("a value cannot be the name of an XML entity"),
            Xml::Open(_) | Xml::Tag { .. } => {
                Err("inside an XML tag a value stands only in a quoted attribute value")
            }
            Xml::Comment(_) => Err("a value cannot stand in an XML comment"),
            Xml::CData(_) => Err("a value cannot stand in a CDATA section; as text it is escaped"),
            Xml::Instruction(_) | Xml::Declaration { .. } => {
                Err("a value cannot stand in an XML declaration or instruction")
            }
        }
    }

    fn join(&mut self, other: &Self) -> bool {
        self == other
    }

    fn end(&self) -> Result<(), &'static str> {
        match self {
            Xml::Text => Ok(()),
            Xml::Attribute(_) | Xml::Reference(Some(_)) => Err("inside an attribute value"),
            Xml::Reference(None) => Err("inside an entity reference"),
            Xml::Open(_) | Xml::Tag { .. } => Err("inside a tag"),
            _ => Err("inside a comment, CDATA section or instruction"),
        }
    }
}

/// XPath 1.0: values stand in quoted literals only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct XPath {
    quote: Option<char>,
}

impl Scanner for XPath {
    fn literal(&mut self, text: &str) {
        for c in text.chars() {
            match self.quote {
                Some(quote) if c == quote => self.quote = None,
                None if matches!(c, '"' | '\'') => self.quote = Some(c),
                _ => {}
            }
        }
    }

    fn value(&mut self) -> Result<Slot, &'static str> {
        self.quote
            .map(Slot::XPath)
            .ok_or("in an XPath a value stands only inside quotes, such as `[@name='{{ ... }}']`")
    }

    fn join(&mut self, other: &Self) -> bool {
        self == other
    }

    fn end(&self) -> Result<(), &'static str> {
        match self.quote {
            None => Ok(()),
            Some(_) => Err("inside a quoted XPath literal"),
        }
    }
}

/// JSON text, so far as it takes to tell a string from a value, and a key from both.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Json {
    /// The open brackets.
    open: Vec<char>,
    string: Option<JsonString>,
    place: JsonPlace,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct JsonString {
    /// It could be a key.
    key: bool,
    /// Characters of an escape that are still to come.
    escape: u8,
}

/// What may stand next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum JsonPlace {
    /// A value; in an object, a key.
    #[default]
    Begin,
    /// A value, behind a colon.
    Member,
    /// A comma or the end.
    After,
    /// One way or the other, by the block taken.
    Either,
}

impl Json {
    fn in_object(&self) -> bool {
        self.open.last() == Some(&'{')
    }

    /// Whether what comes next in an object can only be a member's value.
    fn may_be_key(&self) -> bool {
        self.in_object() && self.place != JsonPlace::Member
    }
}

impl Scanner for Json {
    fn literal(&mut self, text: &str) {
        for c in text.chars() {
            if let Some(string) = &mut self.string {
                match (string.escape, c) {
                    (1, 'u') => string.escape = 4 + 1,
                    (0, '\\') => string.escape = 1,
                    (0, '"') => {
                        self.string = None;
                        self.place = JsonPlace::After;
                    }
                    (0, _) => {}
                    // `\uXXXX`: the count above is one more than the digits, so that it is no `1`.
                    (2, _) => string.escape = 0,
                    _ => string.escape -= 1,
                }
                continue;
            }
            match c {
                '"' => {
                    self.string = Some(JsonString {
                        key: self.may_be_key(),
                        escape: 0,
                    });
                }
                '{' | '[' => {
                    self.open.push(c);
                    self.place = JsonPlace::Begin;
                }
                '}' | ']' => {
                    self.open.pop();
                    self.place = JsonPlace::After;
                }
                ',' => self.place = JsonPlace::Begin,
                ':' => self.place = JsonPlace::Member,
                c if c.is_whitespace() => {}
                _ => self.place = JsonPlace::After,
            }
        }
    }

    fn value(&mut self) -> Result<Slot, &'static str> {
        const KEY: &str = "a value cannot be a key of a JSON object: keys are literal";
        match self.string {
            Some(JsonString { escape: 1.., .. }) => {
                Err("a value cannot stand inside an escape sequence")
            }
            Some(JsonString { key: true, .. }) => Err(KEY),
            Some(_) => Ok(Slot::JsonString),
            None if self.may_be_key() => Err(KEY),
            None if self.place == JsonPlace::After => {
                Err("a JSON value cannot follow another one; write a comma between them")
            }
            None => {
                self.place = JsonPlace::After;
                Ok(Slot::JsonValue)
            }
        }
    }

    fn join(&mut self, other: &Self) -> bool {
        if self.place != other.place {
            self.place = JsonPlace::Either;
        }
        self.open == other.open && self.string == other.string
    }

    fn end(&self) -> Result<(), &'static str> {
        match (&self.string, self.open.is_empty()) {
            (Some(_), _) => Err("inside a string"),
            (None, false) => Err("inside an object or a list"),
            (None, true) => Ok(()),
        }
    }
}
