//! The words of a route file that can be misspelled, and how.

use std::ops::Range;
use std::sync::LazyLock;

use cmp_relay::config::yaml;
use cmp_relay::diagnostics::Diagnostics;
use cmp_relay::document::{FileId, Kind, Node, Span};
use regex::Regex;

/// A word that can be misspelled.
#[derive(Clone, Debug)]
pub struct Site {
    /// The file, as `validate-config` names it.
    pub path: String,
    pub range: Range<usize>,
    /// The keys that lead there, with dots; list items have no name of their own.
    pub place: String,
    pub depth: usize,
    pub what: &'static str,
    /// Which it is of the words of its expression, path or scalar.
    pub nth: usize,
    /// The route in which it stands.
    pub route: Option<String>,
    /// The example in which it stands: it means nothing beyond it.
    pub example: Option<Range<usize>>,
}

impl Site {
    /// Whether only an example can tell: a name that the backend or the CMP gives, and no schema.
    pub fn is_for_examples(&self) -> bool {
        let (_, last) = self.place.rsplit_once('.').unwrap_or_default();
        let named_elsewhere = [
            ".call.body.",
            ".call.query.",
            ".call.variants.body.",
            ".call.variants.query.",
            ".reply.body.",
            ".examples.response.body.",
            ".examples.expect_",
        ];
        self.what == "key"
            && !last.starts_with('$')
            && named_elsewhere.iter().any(|keys| self.place.contains(keys))
    }
}

static NAMES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new("[A-Za-z_][A-Za-z0-9_]*").expect("a literal pattern"));

/// What only people read: any word is as right as another.
const PROSE: [&str; 3] = ["summary", "description", "title"];

/// Every word of a file, in its order.
pub fn of(path: &str, text: &str) -> Vec<Site> {
    let mut diags = Diagnostics::default();
    let root = yaml::parse(FileId(0), text, &mut diags).expect("the pack is YAML");
    let mut walk = Walk {
        path,
        text,
        keys: Vec::new(),
        example: None,
        sites: Vec::new(),
    };
    walk.node(&root);
    walk.sites
}

/// The names in the expressions of a template.
pub fn of_template(path: &str, text: &str) -> Vec<Site> {
    let mut walk = Walk {
        path,
        text,
        keys: vec!["template".to_owned()],
        example: None,
        sites: Vec::new(),
    };
    walk.expressions(text, 0);
    walk.sites
}

struct Walk<'w> {
    path: &'w str,
    text: &'w str,
    keys: Vec<String>,
    example: Option<Range<usize>>,
    sites: Vec<Site>,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node) {
        match &node.kind {
            Kind::Map(entries) => {
                for entry in entries {
                    self.keys.push(entry.key.clone());
                    let range = range(entry.key_span);
                    match entry.key.starts_with("$.") {
                        true => self.words(range, "JSONPath name"),
                        false => self.words(range, "key"),
                    }
                    // A property of a schema may be named so, too.
                    let prose = PROSE.contains(&entry.key.as_str())
                        && matches!(entry.value.kind, Kind::Text(_));
                    if !prose || self.keys.iter().any(|key| key == "call") {
                        self.node(&entry.value);
                    }
                    self.keys.pop();
                }
            }
            Kind::List(items) if self.keys.last().is_some_and(|key| key == "examples") => {
                for item in items {
                    self.example = Some(range(item.span));
                    self.node(item);
                }
                self.example = None;
            }
            Kind::List(items) => items.iter().for_each(|item| self.node(item)),
            Kind::Text(scalar) => {
                let Some(at) = scalar.verbatim_at else { return };
                let at = at as usize;
                self.scalar(&scalar.text, at..at + scalar.text.len());
            }
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => {}
        }
    }

    /// The names between braces, in a text that begins at `start`.
    fn expressions(&mut self, text: &str, start: usize) {
        let mut from = 0;
        while let Some(open) = text[from..].find("{{").map(|at| from + at) {
            let end = text[open..].find("}}").map_or(text.len(), |at| open + at);
            self.words(start + open..start + end, "variable");
            from = end;
        }
    }

    fn scalar(&mut self, text: &str, range: Range<usize>) {
        let key = self.keys.last().cloned().unwrap_or_default();
        // What an example makes up, such as the name of a network, is no name of anything else.
        if self.example.is_some() && !["resource", "backend"].contains(&key.as_str()) {
            return;
        }
        if text.contains("{{") {
            self.expressions(text, range.start);
            if ["match", "http"].contains(&key.as_str()) {
                let end = text.find("{{").unwrap_or(text.len());
                self.words(range.start..range.start + end, "path");
            }
        } else if ["$for", "$if", "$where"].contains(&key.as_str()) {
            self.words(range, "variable");
        } else if ["match", "http"].contains(&key.as_str()) {
            self.words(range, "path");
        } else if text.starts_with('$') {
            self.words(range, "JSONPath name");
        } else if !text.contains(' ') {
            self.words(range, "word");
        }
    }

    fn words(&mut self, range: Range<usize>, what: &'static str) {
        let names = NAMES.find_iter(&self.text[range.clone()]);
        for (nth, found) in names.enumerate().filter(|(_, found)| found.len() > 1) {
            let route = match self.keys.as_slice() {
                [routes, route, ..] if routes == "routes" => Some(route.clone()),
                _ => None,
            };
            self.sites.push(Site {
                path: self.path.to_owned(),
                range: range.start + found.start()..range.start + found.end(),
                place: self.keys.join("."),
                depth: self.keys.len(),
                what,
                nth,
                route,
                example: self.example.clone(),
            });
        }
    }
}

fn range(span: Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

/// Two neighbours change places; where all letters are the same, the last one becomes another.
pub fn misspelled(word: &str) -> String {
    let mut letters: Vec<char> = word.chars().collect();
    let middle = letters.len() / 2;
    let swap = (middle.max(1)..letters.len()).chain(1..middle).find(|at| {
        letters[*at] != letters[at - 1] && !letters[at - 1..=*at].iter().any(char::is_ascii_digit)
    });
    match swap {
        Some(at) => letters.swap(at - 1, at),
        None => {
            let last = letters.len() - 1;
            letters[last] = if letters[last] == 'x' { 'y' } else { 'x' };
        }
    }
    letters.into_iter().collect()
}
