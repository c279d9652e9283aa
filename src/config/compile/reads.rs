//! What the expressions of a subtree read: variables, maps and templates, each with its place.
//!
//! A scan of the text, beside the compilation in `transform`: it answers what a whole route uses (an
//! unused map, a `writeOnly` field on its way into a row). It does not judge syntax, and it is not what
//! variables are checked by (`uses`).

use std::collections::BTreeSet;
use std::ops::Range;

use crate::document::{Kind, Node, Snippet, Span};

/// Names of variables.
#[derive(Clone, Debug, Default)]
pub(super) struct Reads {
    /// `body.rule.name`, wherever it is named.
    pub variables: Vec<(String, Span)>,
    /// The tables of `map` and `unmap`.
    pub maps: BTreeSet<String>,
    /// The files of `$template` and `template`.
    pub templates: BTreeSet<String>,
}

impl Reads {
    /// Everything that a subtree reads.
    pub(super) fn of(node: &Node) -> Self {
        let mut reads = Self::default();
        reads.node(node);
        reads
    }

    pub(super) fn node(&mut self, node: &Node) {
        match &node.kind {
            Kind::Text(_) => {
                if let Some(snippet) = node.snippet() {
                    self.text(snippet);
                }
            }
            Kind::List(items) => items.iter().for_each(|item| self.node(item)),
            Kind::Map(entries) => {
                for entry in entries {
                    match (entry.key.as_str(), entry.value.snippet()) {
                        ("$for" | "$if" | "$where", Some(bare)) => self.expression(bare),
                        ("$template" | "template" | "textfsm", Some(name)) => {
                            self.templates.insert(name.text.to_owned());
                        }
                        _ => self.node(&entry.value),
                    }
                }
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
        }
    }

    /// The expressions between braces.
    pub(super) fn text(&mut self, snippet: Snippet<'_>) {
        let text = snippet.text;
        let mut from = 0;
        while let Some(open) = text[from..].find("{{").map(|at| from + at) {
            let comment = text[open + 2..].starts_with('!');
            let close = match text[open + 2..].starts_with("!--") {
                true => "--}}",
                false => "}}",
            };
            let end = text[open..].find(close).map_or(text.len(), |at| open + at);
            if !comment {
                self.expression(snippet.cut(open + 2, end));
            }
            from = end;
        }
    }

    fn expression(&mut self, snippet: Snippet<'_>) {
        let mut before = "";
        let mut from = 0;
        while let Some((word, quoted)) = next_word(snippet.text, from) {
            from = word.end;
            let text = &snippet.text[word.clone()];
            if !quoted {
                let span = snippet.part_span(word.start, word.end);
                self.variables.push((text.to_owned(), span));
            } else if before == "map" || before == "unmap" {
                self.maps.insert(text[1..text.len() - 1].to_owned());
            }
            before = text;
        }
    }

    /// The variables of one root, without it: `rule.name` of `body.rule.name`, empty for the root itself.
    pub(super) fn of_root<'r>(&'r self, root: &'r str) -> impl Iterator<Item = (&'r str, Span)> {
        self.variables.iter().filter_map(move |(name, span)| {
            let rest = name.strip_prefix(root)?;
            match rest.strip_prefix('.') {
                Some(path) => Some((path, *span)),
                None => rest.is_empty().then_some((rest, *span)),
            }
        })
    }

    /// Adds what another subtree reads.
    pub(super) fn extend(&mut self, other: &Reads) {
        self.variables.extend(other.variables.iter().cloned());
        self.maps.extend(other.maps.iter().cloned());
        self.templates.extend(other.templates.iter().cloned());
    }
}

/// The next quoted word (with its quotes, and then `true`) or name with dots, such as `body.rule.name`.
fn next_word(text: &str, from: usize) -> Option<(Range<usize>, bool)> {
    let bytes = text.as_bytes();
    let run = |from: usize, more: &[u8]| {
        let within = |byte: &&u8| byte.is_ascii_alphanumeric() || more.contains(byte);
        from + bytes[from..].iter().take_while(within).count()
    };
    let mut at = from;
    loop {
        match *bytes.get(at)? {
            quote @ (b'\'' | b'"') => {
                let inside = &bytes[at + 1..];
                if let Some(length) = inside.iter().position(|byte| *byte == quote) {
                    return Some((at..at + length + 2, true));
                }
            }
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                let mut end = run(at, b"_-");
                while bytes.get(end) == Some(&b'.') {
                    let next = run(end + 1, b"_@#$-");
                    if next == end + 1 {
                        break;
                    }
                    end = next;
                }
                return Some((at..end, false));
            }
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::FileId;

    fn read(text: &str) -> Reads {
        let mut reads = Reads::default();
        reads.text(Snippet::file(FileId(0), text));
        reads
    }

    #[test]
    fn variables_are_found_with_their_places() {
        let reads = read("a {{ body.rule.name }} and {{default header.x_y 'body.no'}}");
        let names: Vec<_> = reads.of_root("body").collect();
        assert_eq!(names, [("rule.name", Span::new(FileId(0), 5, 19))]);
        assert_eq!(reads.of_root("header").count(), 1);
        assert_eq!(reads.of_root("head").count(), 0);
    }

    #[test]
    fn words_are_names_with_dots_and_what_is_quoted() {
        let text = "é a.b-c.. 'd é' \"e 'f\" 7g @h.$i x.@index 'open";
        let mut words = Vec::new();
        let mut from = 0;
        while let Some((word, quoted)) = next_word(text, from) {
            from = word.end;
            words.push((&text[word], quoted));
        }
        let names = ["g", "h.$i", "x.@index", "open"].map(|name| (name, false));
        assert_eq!(
            words[..3],
            [("a.b-c", false), ("'d é'", true), ("\"e 'f\"", true)]
        );
        assert_eq!(words[3..], names);
    }

    #[test]
    fn tables_are_the_quoted_words_behind_map() {
        let reads = read(
            "{{ map 'action' body.action }}{{ unmap \"port\" response.body.p }}{{ default x 'no' }}",
        );
        assert_eq!(
            reads.maps.into_iter().collect::<Vec<_>>(),
            ["action", "port"]
        );
    }
}
