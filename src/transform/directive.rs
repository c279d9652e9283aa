//! From nodes to the shape of a tree: leaves, lists, maps, and the maps that `$` keys make special.

use std::sync::Arc;

use serde_json::Value;

use super::expr::Expr;
use super::parse::Compiler;
use super::program::Program;
use super::segment::Segment;
use super::text::Position;
use super::tree::Shape;
use super::uses::{Landing, Uses};
use crate::diagnostics::{Diagnostic, codes, suggest};
use crate::document::{Entry, Kind, Node, Snippet};

/// The keys with a meaning.
const DIRECTIVES: [&str; 12] = [
    "$for",
    "$item",
    "$as",
    "$where",
    "$if",
    "$then",
    "$else",
    "$xml",
    "$xpath",
    "$json",
    "$cli",
    "$template",
];

/// The directives that make a map one thing, and what may stand beside each.
const FORMS: [(&str, &[&str]); 7] = [
    ("$for", &["$item", "$as", "$where"]),
    ("$if", &["$then", "$else"]),
    ("$xml", &[]),
    ("$xpath", &[]),
    ("$json", &[]),
    ("$cli", &[]),
    ("$template", &[]),
];

impl Compiler<'_> {
    /// Compiles a node; every problem below it is reported.
    pub(super) fn shape(&mut self, node: &Node, field: &str) -> Option<Shape> {
        match &node.kind {
            Kind::Null | Kind::Bool(_) | Kind::Number(_) => Some(Shape::Literal(node.to_json())),
            Kind::Text(_) => self.leaf(node.snippet()?, field),
            Kind::List(items) => {
                let items: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.shape(item, &format!("{field}.{index}")))
                    .collect();
                Some(list_of(items.into_iter().collect::<Option<_>>()?))
            }
            Kind::Map(entries) if entries.iter().any(|entry| is_directive(&entry.key)) => {
                self.directive(node, entries, field)
            }
            Kind::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|entry| self.entry(entry, field))
                    .collect();
                Some(map_of(entries.into_iter().collect::<Option<_>>()?))
            }
        }
    }

    fn entry(&mut self, entry: &Entry, field: &str) -> Option<(Box<str>, Shape)> {
        if entry.key.contains("{{") {
            self.diags.push(
                Diagnostic::error(
                    codes::MISPLACED_EXPRESSION,
                    entry.key_span,
                    "a key is literal: no value can add one",
                )
                .help("for several keys by condition, write each with `$if`"),
            );
            return None;
        }
        let key = match entry.key.strip_prefix("$$") {
            Some(rest) => format!("${rest}"),
            None => entry.key.clone(),
        };
        let value = self.shape(&entry.value, &format!("{field}.{key}"))?;
        Some((key.into(), value))
    }

    fn leaf(&mut self, source: Snippet<'_>, field: &str) -> Option<Shape> {
        if !source.text.contains("{{") {
            self.warn_of_bare_expression(source, field);
            return Some(Shape::Literal(source.text.into()));
        }
        let mark = self.uses.map_or(0, Uses::mark);
        let standing = self.standing.landing(Landing::Leaf);
        let segments = self.standing(standing, |this| this.segments(source, field, false));
        let mut segments = segments?;
        match segments.as_slice() {
            [] => return Some(Shape::Literal("".into())),
            [Segment::Literal(text)] => return Some(Shape::Literal((**text).into())),
            [Segment::Value { .. }] => {
                if let Some(Segment::Value { expr, .. }) = segments.pop() {
                    return Some(Shape::Leaf(Arc::new(expr)));
                }
            }
            _ => {}
        }
        if !self.is_plain_text(&segments) {
            return None;
        }
        // It is compiled again, as the text that it is.
        if let Some(uses) = self.uses {
            uses.forget(mark);
        }
        self.text(source, Position::Plain, field)
            .map(|text| Shape::Text(Arc::new(text)))
    }

    /// A text that looks like another format must say so, or its values would not be encoded for it.
    fn is_plain_text(&mut self, segments: &[Segment]) -> bool {
        let mut before = String::new();
        for (index, segment) in segments.iter().enumerate() {
            match segment {
                Segment::Literal(text) => before.push_str(text),
                Segment::Value { at, .. } => {
                    let after = match segments.get(index + 1) {
                        Some(Segment::Literal(text)) => text,
                        _ => "",
                    };
                    if let Some(form) = format_of(&before, after) {
                        self.diags.push(
                            Diagnostic::error(
                                codes::UNNAMED_FORMAT,
                                *at,
                                "this text looks like another format, for which the value would not be encoded",
                            )
                            .help(match form {
                                    "$json: ..." => format!(
                                        "write it as a YAML tree, or, for a text that holds JSON, name the format: `{form}`"
                                    ),
                                    _ => format!("name the format: `{form}`"),
                                }),
                        );
                        return false;
                    }
                }
                Segment::If { .. } | Segment::Each { .. } => {}
            }
        }
        true
    }

    fn directive(&mut self, node: &Node, entries: &[Entry], field: &str) -> Option<Shape> {
        let errors = self.diags.errors();
        for entry in entries {
            if is_directive(&entry.key) && !DIRECTIVES.contains(&entry.key.as_str()) {
                let near = suggest::nearest(&entry.key, DIRECTIVES);
                self.diags.push(
                    Diagnostic::error(
                        codes::UNKNOWN_DIRECTIVE,
                        entry.key_span,
                        format!("`{}` has no meaning here", entry.key),
                    )
                    .did_you_mean(near)
                    .help(format!(
                        "a key that really begins with `$` is written `${}`",
                        entry.key
                    )),
                );
            }
        }
        if self.diags.errors() > errors {
            return None;
        }
        let Some((form, beside)) = FORMS
            .iter()
            .find(|(form, _)| entries.iter().any(|entry| entry.key == *form))
        else {
            let entry = entries.iter().find(|entry| is_directive(&entry.key))?;
            let owner = FORMS
                .iter()
                .find(|(_, beside)| beside.contains(&entry.key.as_str()))
                .map_or("", |(form, _)| form);
            self.error(
                codes::BAD_TREE,
                entry.key_span,
                format!("`{}` stands beside `{owner}` only", entry.key),
            );
            return None;
        };
        for entry in entries {
            if entry.key != *form && !beside.contains(&entry.key.as_str()) {
                let words: Vec<&str> = beside
                    .iter()
                    .map(|word| word.trim_start_matches('$'))
                    .collect();
                let near = suggest::nearest(entry.key.trim_start_matches('$'), words)
                    .map(|near| format!("${near}"));
                self.diags.push(
                    Diagnostic::error(
                        codes::BAD_TREE,
                        entry.key_span,
                        format!("`{}` cannot stand beside `{form}`", entry.key),
                    )
                    .did_you_mean(near.as_deref())
                    .help(match beside.is_empty() {
                        true => format!("`{form}` stands alone"),
                        false => format!("beside it: {}", beside.join(", ")),
                    }),
                );
            }
        }
        let value = node.get(form)?;
        let shape = match *form {
            "$for" => self.for_each(node, value, field),
            "$if" => self.if_then(node, value, field),
            "$json" => self.shape(value, field).map(|inner| match inner {
                Shape::Literal(value) => Shape::Literal(value.to_string().into()),
                inner => {
                    let program = Arc::new(Program::of(&inner));
                    Shape::Json(Box::new(inner), program)
                }
            }),
            "$template" => {
                let name = self.plain(value, form)?;
                self.template(name.text, value.span, field)
                    .map(|template| Shape::Template(Arc::new(template)))
            }
            "$xml" => self.inner_text(value, form, Position::Xml, field),
            "$xpath" => self.inner_text(value, form, Position::XPath, field),
            "$cli" => match &value.kind {
                Kind::List(lines) => {
                    let lines: Vec<_> = lines
                        .iter()
                        .enumerate()
                        .map(|(index, line)| {
                            let field = format!("{field}.{index}");
                            self.inner_text(line, form, Position::CliLine, &field)
                        })
                        .collect();
                    Some(list_of(lines.into_iter().collect::<Option<_>>()?))
                }
                _ => self.inner_text(value, form, Position::CliLine, field),
            },
            _ => None,
        };
        shape.filter(|_| self.diags.errors() == errors)
    }

    /// A text of another format than the tree that it stands in.
    fn inner_text(
        &mut self,
        value: &Node,
        form: &str,
        position: Position,
        field: &str,
    ) -> Option<Shape> {
        let source = self.plain(value, form)?;
        self.text(source, position, field)
            .map(|text| match text.as_literal() {
                Some(literal) => Shape::Literal(literal.into()),
                None => Shape::Text(Arc::new(text)),
            })
    }

    fn for_each(&mut self, node: &Node, list: &Node, field: &str) -> Option<Shape> {
        let list = self.plain(list, "$for")?;
        let standing = self.standing.landing(Landing::List);
        let list = self.standing(standing, |this| this.bare(list, field));
        let name = match node.get("$as") {
            None => "item",
            Some(name) => {
                let source = self.plain(name, "$as")?;
                if !self.may_name_item(source.text, name.span) {
                    return None;
                }
                source.text
            }
        };
        let Some(item) = node.get("$item") else {
            self.diags.push(
                Diagnostic::error(codes::BAD_TREE, node.span, "`$for` needs an `$item`")
                    .help("write `$item:` beside it, with what each element becomes"),
            );
            return None;
        };
        let around = self.loop_over(name, list.as_ref());
        let facts = list.as_ref().map(|list| self.facts_of_value(list));
        let inside = |this: &mut Self| {
            let filter = match node.get("$where") {
                None => Some(None),
                Some(filter) => this.where_of(filter, field).map(Some),
            };
            let facts = filter.as_ref().map(|filter| match filter {
                Some(filter) => this.facts_if(true, &filter.node),
                None => Vec::new(),
            });
            let item = this.knowing(facts, |this| this.shape(item, field));
            (filter, item)
        };
        let (filter, item) = self.knowing(facts, |this| this.within(around, inside));
        let filter = filter.map(|filter| filter.map(Arc::new));
        Some(Shape::For {
            list: Arc::new(list?),
            filter: filter?,
            item: Box::new(item?),
        })
    }

    fn where_of(&mut self, filter: &Node, field: &str) -> Option<Expr> {
        let source = self.plain(filter, "$where")?;
        let standing = self.standing.landing(Landing::Condition);
        self.standing(standing, |this| {
            this.bare(source, &format!("{field}.$where"))
        })
    }

    fn if_then(&mut self, node: &Node, condition: &Node, field: &str) -> Option<Shape> {
        let source = self.plain(condition, "$if");
        let standing = self.standing.landing(Landing::Condition);
        let condition = self.standing(standing, |this| this.bare(source?, field));
        let facts = |this: &Self, truth: bool| {
            condition
                .as_ref()
                .map(|condition| this.facts_if(truth, &condition.node))
        };
        let Some(then) = node.get("$then") else {
            self.error(codes::BAD_TREE, node.span, "`$if` needs a `$then`");
            return None;
        };
        let known = facts(self, true);
        let then = self.knowing(known, |this| this.shape(then, field));
        let otherwise = match node.get("$else") {
            None => Some(None),
            Some(otherwise) => {
                let known = facts(self, false);
                self.knowing(known, |this| this.shape(otherwise, field))
                    .map(|otherwise| Some(Box::new(otherwise)))
            }
        };
        Some(Shape::If {
            condition: Arc::new(condition?),
            then: Box::new(then?),
            otherwise: otherwise?,
        })
    }

    /// The text of a directive.
    fn plain<'n>(&mut self, node: &'n Node, directive: &str) -> Option<Snippet<'n>> {
        let source = node.snippet();
        if source.is_none() {
            self.error(
                codes::BAD_TREE,
                node.span,
                format!("`{directive}` takes text, not {}", node.describe()),
            );
        }
        source
    }
}

fn is_directive(key: &str) -> bool {
    key.starts_with('$') && !key.starts_with("$$")
}

/// The directive for the format that a text around a value looks like.
fn format_of(before: &str, after: &str) -> Option<&'static str> {
    let markup = |text: &str| {
        text.match_indices('<').any(|(at, _)| {
            text[at + 1..]
                .chars()
                .next()
                .is_none_or(|c| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?'))
        })
    };
    if markup(before) || after.starts_with('<') {
        return Some("$xml: ...");
    }
    if before.contains("[@") {
        return Some("$xpath: ...");
    }
    // An apostrophe inside a word opens no quote.
    let mut quote = None;
    let mut word = false;
    for c in before.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '"' || (c == '\'' && !word) => quote = Some(c),
            _ => {}
        }
        word = c.is_alphanumeric();
    }
    match quote {
        Some('"') => Some("$json: ..."),
        Some(_) => Some("$xpath: ..."),
        None => None,
    }
}

fn list_of(items: Vec<Shape>) -> Shape {
    if items.iter().all(|item| matches!(item, Shape::Literal(_))) {
        let literals = items.into_iter().filter_map(|item| match item {
            Shape::Literal(value) => Some(value),
            _ => None,
        });
        return Shape::Literal(Value::Array(literals.collect()));
    }
    Shape::List(items)
}

fn map_of(entries: Vec<(Box<str>, Shape)>) -> Shape {
    if entries
        .iter()
        .all(|(_, value)| matches!(value, Shape::Literal(_)))
    {
        let literals = entries.into_iter().filter_map(|(key, value)| match value {
            Shape::Literal(value) => Some((key.into_string(), value)),
            _ => None,
        });
        return Shape::Literal(Value::Object(literals.collect()));
    }
    Shape::Map(entries)
}
