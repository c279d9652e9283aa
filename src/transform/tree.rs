//! A JSON tree whose leaves are templates; keys are always literal, so no value can add one.
//!
//! A tree is kept in two forms that share their expressions: [`Shape`], for a value, and a program
//! (`program`), for bytes in one pass.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::expr::{Context, Expr, Fault, Got, Truth};
use super::parse::{Compiler, Loop};
use super::program::Program;
use super::segment::Segment;
use super::text::Position;
use super::{Env, Presence, RenderError, Scope, Template, Text};
use crate::diagnostics::{Diagnostic, Diagnostics, codes, suggest};
use crate::document::{Entry, Kind, Node, Snippet};

/// A compiled tree: literals, typed leaves, `$for`, `$if`, `$xml`, `$xpath`, `$json`, `$template`.
#[derive(Debug)]
pub struct Tree {
    shape: Shape,
    program: Program,
}

/// What a tree is made of.
#[derive(Debug)]
pub(super) enum Shape {
    Literal(Value),
    Leaf(Arc<Expr>),
    Text(Arc<Text>),
    Template(Arc<Template>),
    List(Vec<Shape>),
    Map(Vec<(Box<str>, Shape)>),
    If {
        condition: Arc<Expr>,
        then: Box<Shape>,
        otherwise: Option<Box<Shape>>,
    },
    For {
        list: Arc<Expr>,
        filter: Option<Arc<Expr>>,
        item: Box<Shape>,
    },
    /// A tree as a JSON string.
    Json(Box<Shape>, Arc<Program>),
}

impl Tree {
    /// Compiles a node; `field` names the tree's place for errors at render time (`call.body`).
    pub fn compile(
        node: &Node,
        field: &str,
        env: &Env<'_>,
        diags: &mut Diagnostics,
    ) -> Option<Self> {
        let shape = Compiler::new(env, diags).shape(node, field)?;
        let program = Program::of(&shape);
        Some(Self { shape, program })
    }

    /// Appends the tree as JSON text in one pass; on `Absent` and on an error `out` is unchanged.
    pub fn write_json(
        &self,
        scope: &Scope<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Presence, RenderError> {
        let start = out.len();
        let mut wanted = false;
        let result = self.program.run(Context::new(scope), out, &mut wanted);
        let result = if wanted {
            Err(RenderError::Lookups)
        } else {
            result
        };
        if result != Ok(Presence::Present) {
            out.truncate(start);
        }
        result
    }

    /// The tree as a value; `None` when it is absent as a whole.
    pub fn to_value(&self, scope: &Scope<'_>) -> Result<Option<Value>, RenderError> {
        let mut wanted = false;
        let result = self.shape.value(Context::new(scope), &mut wanted);
        if wanted {
            return Err(RenderError::Lookups);
        }
        result
    }

    /// The request fields (`body.user.password`) that its expressions read, for `writeOnly`.
    pub fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.shape.variables(&mut names);
        names
    }

    /// Its value when it has no expression at all.
    pub fn as_literal(&self) -> Option<&Value> {
        match &self.shape {
            Shape::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// Whether it has no expression at all.
    pub fn is_literal(&self) -> bool {
        self.as_literal().is_some()
    }

    /// Whether an `optional` may make it vanish as a whole.
    pub fn may_be_absent(&self) -> bool {
        self.shape.may_be_absent()
    }
}

impl Shape {
    pub(super) fn may_be_absent(&self) -> bool {
        match self {
            Shape::Literal(_) | Shape::Template(_) | Shape::List(_) | Shape::Map(_) => false,
            Shape::Leaf(expr) => expr.node.may_be_absent(),
            Shape::Text(text) => text.may_be_absent(),
            Shape::If {
                condition,
                then,
                otherwise,
            } => {
                condition.node.may_be_absent()
                    || then.may_be_absent()
                    || otherwise
                        .as_ref()
                        .is_none_or(|otherwise| otherwise.may_be_absent())
            }
            Shape::For { list, .. } => list.node.may_be_absent(),
            Shape::Json(inner, _) => inner.may_be_absent(),
        }
    }

    fn variables<'t>(&'t self, names: &mut Vec<&'t str>) {
        match self {
            Shape::Literal(_) => {}
            Shape::Leaf(expr) => expr.node.variables(names),
            Shape::Text(text) => names.extend(text.variables()),
            Shape::Template(template) => names.extend(template.variables()),
            Shape::List(items) => items.iter().for_each(|item| item.variables(names)),
            Shape::Map(entries) => entries.iter().for_each(|(_, value)| value.variables(names)),
            Shape::If {
                condition,
                then,
                otherwise,
            } => {
                condition.node.variables(names);
                then.variables(names);
                if let Some(otherwise) = otherwise {
                    otherwise.variables(names);
                }
            }
            Shape::For { list, filter, item } => {
                list.node.variables(names);
                if let Some(filter) = filter {
                    filter.node.variables(names);
                }
                item.variables(names);
            }
            Shape::Json(inner, _) => inner.variables(names),
        }
    }

    fn value(&self, context: Context<'_>, wanted: &mut bool) -> Result<Option<Value>, RenderError> {
        Ok(match self {
            Shape::Literal(value) => Some(value.clone()),
            Shape::Leaf(expr) => match expr.get(context).map_err(|fault| fault.at(&expr.field))? {
                Got::Value(value) => Some(value.into_owned()),
                Got::Absent => None,
                Got::Wanted => {
                    *wanted = true;
                    None
                }
            },
            Shape::Text(text) => rendered(text, context, wanted)?.map(Value::String),
            Shape::Template(template) => {
                Some(Value::String(rendered_template(template, context, wanted)?))
            }
            Shape::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    match (item, item.value(context, wanted)?) {
                        (Shape::For { .. }, Some(Value::Array(items))) => list.extend(items),
                        (_, value) => list.extend(value),
                    }
                }
                Some(Value::Array(list))
            }
            Shape::Map(entries) => {
                let mut map = Map::with_capacity(entries.len());
                for (key, value) in entries {
                    if let Some(value) = value.value(context, wanted)? {
                        map.insert(key.to_string(), value);
                    }
                }
                Some(Value::Object(map))
            }
            Shape::If {
                condition,
                then,
                otherwise,
            } => match (truth(condition, context, wanted)?, otherwise) {
                (Some(true), _) => then.value(context, wanted)?,
                (Some(false), Some(otherwise)) => otherwise.value(context, wanted)?,
                _ => None,
            },
            Shape::For { list, filter, item } => {
                let mut values = Vec::new();
                let present = rounds(
                    list,
                    filter.as_deref(),
                    context,
                    wanted,
                    |inside, wanted| {
                        values.extend(item.value(inside, wanted)?);
                        Ok(())
                    },
                )?;
                (present == Presence::Present).then_some(Value::Array(values))
            }
            Shape::Json(_, program) => {
                let mut text = Vec::new();
                match program.run(context, &mut text, wanted)? {
                    Presence::Present => {
                        let text = String::from_utf8(text).expect("JSON text is UTF-8");
                        Some(Value::String(text))
                    }
                    Presence::Absent => None,
                }
            }
        })
    }
}

/// A text inside loops.
pub(super) fn rendered(
    text: &Text,
    context: Context<'_>,
    wanted: &mut bool,
) -> Result<Option<String>, RenderError> {
    match text.run(context) {
        Ok(done) => {
            *wanted |= done.wanted;
            Ok((!done.absent).then_some(done.out))
        }
        Err((fault, asked)) => {
            *wanted |= asked;
            Err(fault.at(text.field()))
        }
    }
}

/// A template inside loops.
pub(super) fn rendered_template(
    template: &Template,
    context: Context<'_>,
    wanted: &mut bool,
) -> Result<String, RenderError> {
    match template.run(context) {
        Ok(done) => {
            *wanted |= done.wanted;
            Ok(done.out)
        }
        Err((fault, asked)) => {
            *wanted |= asked;
            Err(fault.at(template.field()))
        }
    }
}

/// A condition; `None` when it is absent or waits for a row.
pub(super) fn truth(
    condition: &Expr,
    context: Context<'_>,
    wanted: &mut bool,
) -> Result<Option<bool>, RenderError> {
    match condition.test(context) {
        Ok(Truth::Is(value)) => Ok(Some(value)),
        Ok(Truth::Absent) => Ok(None),
        Ok(Truth::Wanted) => {
            *wanted = true;
            Ok(None)
        }
        Err(fault) => Err(fault.at(&condition.field)),
    }
}

/// Walks a list, item by item, those that pass the filter; absent when the list is.
pub(super) fn rounds(
    list: &Expr,
    filter: Option<&Expr>,
    context: Context<'_>,
    wanted: &mut bool,
    mut visit: impl FnMut(Context<'_>, &mut bool) -> Result<(), RenderError>,
) -> Result<Presence, RenderError> {
    let items = match list.get(context).map_err(|fault| fault.at(&list.field))? {
        Got::Value(items) => items,
        Got::Absent => return Ok(Presence::Absent),
        Got::Wanted => {
            *wanted = true;
            return Ok(Presence::Present);
        }
    };
    let Value::Array(items) = &*items else {
        return Err(Fault::refused(&list.text, "it is not a list").at(&list.field));
    };
    for (index, item) in items.iter().enumerate() {
        let frame = context.round(item, index, items.len());
        let inside = context.inside(&frame);
        let passes = match filter {
            Some(filter) => truth(filter, inside, wanted)? == Some(true),
            None => true,
        };
        if passes {
            visit(inside, wanted)?;
        }
    }
    Ok(Presence::Present)
}

/// The keys with a meaning.
const DIRECTIVES: [&str; 11] = [
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
    "$template",
];

/// The directives that make a map one thing, and what may stand beside each.
const FORMS: [(&str, &[&str]); 6] = [
    ("$for", &["$item", "$as", "$where"]),
    ("$if", &["$then", "$else"]),
    ("$xml", &[]),
    ("$xpath", &[]),
    ("$json", &[]),
    ("$template", &[]),
];

impl Compiler<'_> {
    fn shape(&mut self, node: &Node, field: &str) -> Option<Shape> {
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
            return Some(Shape::Literal(source.text.into()));
        }
        let mut segments = self.segments(source, field, false)?;
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
                            .help(format!("name the format: `{form}`")),
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
                self.error(
                    codes::BAD_TREE,
                    entry.key_span,
                    format!("`{}` cannot stand beside `{form}`", entry.key),
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
            "$xml" | "$xpath" => {
                let position = match *form {
                    "$xml" => Position::Xml,
                    _ => Position::XPath,
                };
                let source = self.plain(value, form)?;
                self.text(source, position, field)
                    .map(|text| match text.as_literal() {
                        Some(literal) => Shape::Literal(literal.into()),
                        None => Shape::Text(Arc::new(text)),
                    })
            }
            _ => None,
        };
        shape.filter(|_| self.diags.errors() == errors)
    }

    fn for_each(&mut self, node: &Node, list: &Node, field: &str) -> Option<Shape> {
        let list = self.plain(list, "$for")?;
        let list = self.bare(list, field);
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
            self.error(codes::BAD_TREE, node.span, "`$for` needs an `$item`");
            return None;
        };
        let around = match &list {
            Some(list) => Loop::over(name, list),
            None => Loop {
                name: name.into(),
                reads: None,
            },
        };
        let (filter, item) = self.within(around, |this| {
            let filter = match node.get("$where") {
                None => Some(None),
                Some(filter) => this
                    .plain(filter, "$where")
                    .and_then(|source| this.bare(source, &format!("{field}.$where")))
                    .map(|filter| Some(Arc::new(filter))),
            };
            (filter, this.shape(item, field))
        });
        Some(Shape::For {
            list: Arc::new(list?),
            filter: filter?,
            item: Box::new(item?),
        })
    }

    fn if_then(&mut self, node: &Node, condition: &Node, field: &str) -> Option<Shape> {
        let condition = self
            .plain(condition, "$if")
            .and_then(|source| self.bare(source, field));
        let Some(then) = node.get("$then") else {
            self.error(codes::BAD_TREE, node.span, "`$if` needs a `$then`");
            return None;
        };
        let then = self.shape(then, field);
        let otherwise = match node.get("$else") {
            None => Some(None),
            Some(otherwise) => self
                .shape(otherwise, field)
                .map(|otherwise| Some(Box::new(otherwise))),
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

/// The JSON of a string, appended.
pub(super) fn write_string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text is written to memory");
}

/// A value put into a JSON tree, appended.
pub(super) fn write_value(value: &Value, out: &mut Vec<u8>) {
    serde_json::to_writer(out, value).expect("a value is written to memory");
}
