//! YAML text -> [`Node`]s with exact places.
//!
//! Built on the event parser below `serde_yaml` (serde-saphyr re-exports it), because only events
//! tell how a scalar was written and where each of two equal keys stands. What YAML allows and a
//! configuration is better without (tags, merge keys, several documents, maps as keys) is refused
//! by name. Scalars follow the YAML 1.2 core schema, less what older readers read differently:
//! `yes`, `0755`, `1_000`, `0x1F` and `.inf` stay text, with a warning.

mod mistake;
mod scalar;
mod slip;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, HashMap};

use serde_yaml::granit_parser::{
    self as granit, Event, Options, Parser, ScalarStyle, ScanError, StrInput, StructureStyle, Tag,
};

use mistake::{quote_template, syntax_error};
use scalar::{resolve, trap, verbatim_at};

use super::{codes, secrets};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{Entry, FileId, Kind, Node, Scalar, Span};

/// Maps and lists inside each other.
const MAX_DEPTH: usize = 64;
/// Nodes of a file, what aliases repeat included: a small file must not become a large document.
const MAX_NODES: usize = 100_000;

/// Parses one file. An empty one is an empty map; `None` means that it was reported.
pub fn parse(file: FileId, text: &str, diags: &mut Diagnostics) -> Option<Node> {
    let mut options = Options::default();
    options.emit_comments = false;
    options.flow_nesting_limit = MAX_DEPTH;
    options.block_nesting_limit = MAX_DEPTH;
    let mut reader = Reader {
        file,
        text,
        parser: Parser::new_from_str_with_options(text, options),
        anchors: HashMap::new(),
        idle: BTreeSet::new(),
        nodes: 0,
        diags,
    };
    match reader.document() {
        Ok(node) => Some(node),
        Err(Stop::Reported) => None,
        Err(Stop::Scan(error)) => {
            secrets::mask_lines(file, text, diags);
            let diagnostic = syntax_error(file, text, &error);
            // `a: {{ x }}-y` is first a map with a map as its key, and then no YAML at all.
            let known = |d: &Diagnostic| d.code == diagnostic.code && d.span == diagnostic.span;
            if !diags.iter().any(known) {
                diags.push(diagnostic);
            }
            None
        }
    }
}

/// A key as it is written.
struct Key {
    text: String,
    style: ScalarStyle,
    span: Span,
}

/// Why a file cannot be read to its end.
enum Stop {
    Scan(ScanError),
    Reported,
}

impl From<ScanError> for Stop {
    fn from(error: ScanError) -> Self {
        Self::Scan(error)
    }
}

struct Reader<'t, 'd> {
    file: FileId,
    text: &'t str,
    parser: Parser<'t, StrInput<'t>>,
    /// What an alias repeats, by anchor id, and how many nodes that is.
    anchors: HashMap<usize, (Node, usize)>,
    /// Where anchors are written that no alias has repeated yet.
    idle: BTreeSet<(usize, Span)>,
    nodes: usize,
    diags: &'d mut Diagnostics,
}

type Read<T> = Result<T, Stop>;

impl<'t> Reader<'t, '_> {
    fn document(&mut self) -> Read<Node> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::DocumentStart(..) if root.is_some() => {
                    let span = self.span(&span);
                    self.diags.push(
                        Diagnostic::error(
                            codes::YAML_DOCUMENTS,
                            span,
                            "a second document begins here",
                        )
                        .help("write each document into a file of its own"),
                    );
                    return Err(Stop::Reported);
                }
                event if event.is_node() => root = Some(self.node(event, &span)?),
                _ => {}
            }
        }
        for (_, place) in std::mem::take(&mut self.idle) {
            self.diags.push(slip::idle_anchor(place, self.text));
        }
        Ok(match root {
            Some(node) if node.kind != Kind::Null => node,
            _ => Node {
                span: Span::new(self.file, 0, 0),
                kind: Kind::Map(Vec::new()),
            },
        })
    }

    fn next(&mut self) -> Read<(Event<'t>, granit::Span)> {
        match self.parser.next_event() {
            Some(next) => Ok(next?),
            // The stream ends with an event of its own, after which nobody asks.
            None => Err(Stop::Reported),
        }
    }

    /// Reads the node that begins with `event`, to its end.
    fn node(&mut self, event: Event<'t>, at: &granit::Span) -> Read<Node> {
        self.refuse_tag(event.tag(), at);
        self.spend(1, at)?;
        let before = self.nodes;
        let anchor = event.anchor_id();
        let node = match event {
            Event::Scalar(text, style, ..) => self.scalar(&text, style, at),
            Event::SequenceStart(..) => self.list(at)?,
            Event::MappingStart(style, ..) => self.map(style, at)?,
            Event::Alias(id) => return self.alias(id, at),
            _ => return Err(Stop::Reported),
        };
        let mut node = node;
        if let Some(id) = anchor {
            let place = slip::anchor_before(self.file, self.text, self.span(at).start as usize);
            if let (Some(place), Kind::Null) = (place, &node.kind) {
                self.diags.push(slip::empty_anchor(place, self.text));
                node = self.meant(place);
            } else {
                self.idle.extend(place.map(|place| (id, place)));
            }
            self.anchors
                .insert(id, (node.clone(), self.nodes - before + 1));
        }
        Ok(node)
    }

    fn list(&mut self, at: &granit::Span) -> Read<Node> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::SequenceEnd => {
                    let span = self.enclosing(at, &span);
                    return Ok(Node {
                        span,
                        kind: Kind::List(items),
                    });
                }
                event if event.is_node() => items.push(self.node(event, &span)?),
                _ => {}
            }
        }
    }

    fn map(&mut self, style: StructureStyle, at: &granit::Span) -> Read<Node> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut unquoted = false;
        loop {
            let (event, key_at) = self.next()?;
            if event == Event::MappingEnd {
                let span = self.enclosing(at, &key_at);
                if unquoted {
                    return Ok(self.unquoted_template(span));
                }
                return Ok(Node {
                    span,
                    kind: Kind::Map(entries),
                });
            }
            if !event.is_node() {
                continue;
            }
            let key = match event {
                Event::Scalar(text, style, anchor, tag) => {
                    self.refuse_tag(tag.as_deref(), &key_at);
                    let span = self.span(&key_at);
                    if anchor != 0 {
                        let node = self.scalar(&text, style, &key_at);
                        self.anchors.insert(anchor, (node, 1));
                    }
                    Some((text.into_owned(), style, span))
                }
                event => {
                    let flow = matches!(event, Event::MappingStart(StructureStyle::Flow, ..));
                    let key = self.node(event, &key_at)?;
                    // `{{ body.name }}` is, to YAML, a map whose only key is a map.
                    if flow && style == StructureStyle::Flow && self.begins_template(at) {
                        unquoted = true;
                    } else {
                        self.diags.push(
                            Diagnostic::error(codes::YAML_KEY, key.span, "a key must be text")
                                .help("write the key out; quote it where it has YAML's own signs"),
                        );
                    }
                    None
                }
            };
            let (event, value_at) = self.next()?;
            let value = self.node(event, &value_at)?;
            if let Some((key, key_style, key_span)) = key {
                let key = Key {
                    text: key,
                    style: key_style,
                    span: key_span,
                };
                if let Some((key, value)) = self.slips(key, value, style) {
                    self.entry(&mut entries, key, value);
                }
            }
        }
    }

    /// Reports what YAML takes for a key or a value, and the author hardly did; gives what was meant.
    fn slips(
        &mut self,
        mut key: Key,
        mut value: Node,
        style: StructureStyle,
    ) -> Option<(Key, Node)> {
        if key.style == ScalarStyle::Plain {
            if let Some(found) = slip::invisible(&key.text, key.span, true) {
                self.diags.push(found);
                key.text = slip::visible(&key.text);
            }
            self.diags_extend(slip::curly_quote(&key.text, key.span));
        }
        let source = self.text;
        let end = match &value.kind {
            Kind::Null if style == StructureStyle::Flow => {
                if let Some(lone) = slip::lone_key(&key.text, key.style, key.span, source) {
                    self.diags.push(lone);
                    return None;
                }
                None
            }
            // What is not written at all has no place of its own: it would stand behind the colon.
            Kind::Null => source[key.span.end as usize..]
                .find(':')
                .map(|colon| key.span.end as usize + colon + 1),
            Kind::Text(Scalar { plain: true, .. }) | Kind::Number(_) | Kind::Bool(_) => {
                Some(value.span.end as usize)
            }
            _ => None,
        };
        let comment = end.and_then(|end| slip::comment_behind(self.file, source, end));
        if let Some(comment) = comment {
            if secrets::smells(&key.text) {
                self.diags.mask(comment);
            }
            let instead = value.kind == Kind::Null;
            self.diags.push(slip::swallowed(comment, instead));
            if instead {
                value = self.meant(comment);
            }
        }
        Some((key, value))
    }

    /// The text at a place, as the value that was meant.
    fn meant(&self, span: Span) -> Node {
        Node {
            span,
            kind: Kind::Text(Scalar {
                text: self.text[span.start as usize..span.end as usize].to_owned(),
                verbatim_at: Some(span.start),
                plain: true,
            }),
        }
    }

    fn diags_extend(&mut self, found: Option<Diagnostic>) {
        if let Some(diagnostic) = found {
            self.diags.push(diagnostic);
        }
    }

    /// Adds an entry, unless its key may not stand there.
    fn entry(
        &mut self,
        entries: &mut Vec<Entry>,
        Key {
            text: key,
            style,
            span: key_span,
        }: Key,
        value: Node,
    ) {
        secrets::mask_value(&key, &value, self.diags);
        if key == "<<" && style == ScalarStyle::Plain {
            self.diags.push(
                Diagnostic::error(
                    codes::YAML_MERGE,
                    key_span,
                    "merge keys (`<<`) are not read",
                )
                .help("write the keys out; in a route file, share them with `$ref`"),
            );
            return;
        }
        if let Some(first) = entries.iter().find(|entry| entry.key == key) {
            self.diags.push(
                Diagnostic::error(
                    codes::DUPLICATE_KEY,
                    key_span,
                    format!("`{key}` stands twice in this map"),
                )
                .label("the second")
                .related(first.key_span, "the first"),
            );
            return;
        }
        entries.push(Entry {
            key,
            key_span,
            value,
        });
    }

    fn alias(&mut self, id: usize, at: &granit::Span) -> Read<Node> {
        let Some((node, size)) = self.anchors.get(&id) else {
            let span = self.span(at);
            self.diags.push(Diagnostic::error(
                codes::YAML_SYNTAX,
                span,
                "this alias repeats a value from inside itself",
            ));
            return Err(Stop::Reported);
        };
        let (node, size) = (node.clone(), *size);
        self.idle.retain(|(idle, _)| *idle != id);
        self.spend(size, at)?;
        Ok(node)
    }

    fn spend(&mut self, nodes: usize, at: &granit::Span) -> Read<()> {
        self.nodes += nodes;
        if self.nodes <= MAX_NODES {
            return Ok(());
        }
        let span = self.span(at);
        self.diags.push(Diagnostic::error(
            codes::YAML_BUDGET,
            span,
            format!("this file holds more than {MAX_NODES} values, what aliases repeat included"),
        ));
        Err(Stop::Reported)
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, at: &granit::Span) -> Node {
        let span = self.span(at);
        let plain = style == ScalarStyle::Plain;
        let kind = match plain.then(|| resolve(text)).flatten() {
            Some(kind) => {
                if slip::loses_its_zero(text) {
                    let short = text.trim_end_matches('0').trim_end_matches('.');
                    self.diags.push(
                        Diagnostic::warning(
                            codes::YAML_TRAP,
                            span,
                            format!("`{text}` is a number here, the same as `{short}`"),
                        )
                        .label("quote a version; a number needs no zero at its end"),
                    );
                }
                kind
            }
            None => {
                if plain {
                    let found = slip::curly_quote(text, span);
                    self.diags_extend(found.or_else(|| slip::invisible(text, span, false)));
                }
                if plain && let Some(instead) = trap(text) {
                    self.diags.push(
                        Diagnostic::warning(
                            codes::YAML_TRAP,
                            span,
                            format!(
                                "`{text}` is text here, and something else to other readers of YAML"
                            ),
                        )
                        .label(instead),
                    );
                }
                Kind::Text(Scalar {
                    text: text.to_owned(),
                    verbatim_at: verbatim_at(self.text, span, text, style),
                    plain,
                })
            }
        };
        Node { span, kind }
    }

    fn begins_template(&self, at: &granit::Span) -> bool {
        let start = self.span(at).start as usize;
        self.text[start..].starts_with("{{")
    }

    /// Reports `name: {{ body.name }}` and takes it for the text that was meant.
    fn unquoted_template(&mut self, span: Span) -> Node {
        self.diags.push(quote_template(span));
        self.meant(span)
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, at: &granit::Span) {
        if tag.is_none() {
            return;
        }
        let span = self.span(&at.tag_span().unwrap_or(*at));
        self.diags.push(
            Diagnostic::error(codes::YAML_TAG, span, "tags are not read").help(
                "drop the tag; quote a value that must be text, and a text that begins with `!`",
            ),
        );
    }

    fn span(&self, at: &granit::Span) -> Span {
        let start = at.start.byte_offset().unwrap_or(0).min(self.text.len());
        let end = at.end.byte_offset().unwrap_or(start).min(self.text.len());
        // A block scalar's range runs on to the next token; its place ends with its last character.
        let end = start + self.text[start..end.max(start)].trim_end().len();
        Span::new(self.file, start, end)
    }

    /// From where a collection begins to where it ends.
    fn enclosing(&self, begin: &granit::Span, end: &granit::Span) -> Span {
        let start = self.span(begin).start as usize;
        let end = (self.span(end).end as usize).max(start);
        let end = start + self.text[start..end].trim_end().len();
        Span::new(self.file, start, end)
    }
}
