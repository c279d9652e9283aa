//! What the expressions of a subtree read: variables, maps and templates, each with its place.
//!
//! A scan of the text, beside the compilation in `transform`: it answers what a whole route uses (an
//! unused map, a `writeOnly` field on its way into a row). It does not judge syntax, and it is not what
//! variables are checked by (`uses`).

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use crate::document::{Kind, Node, Snippet, Span};

/// Quoted words, and names with dots: `body.rule.name`, `'action'`.
static WORDS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"'([^']*)'|"([^"]*)"|[A-Za-z_][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_@#$-]+)*"#)
        .expect("a literal pattern")
});

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
        for found in WORDS.captures_iter(snippet.text) {
            let Some(whole) = found.get(0) else { continue };
            match found.get(1).or_else(|| found.get(2)) {
                Some(quoted) if before == "map" || before == "unmap" => {
                    self.maps.insert(quoted.as_str().to_owned());
                }
                Some(_) => {}
                None => self.variables.push((
                    whole.as_str().to_owned(),
                    snippet.part_span(whole.start(), whole.end()),
                )),
            }
            before = whole.as_str();
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
