//! What an expression means, and its evaluation against a scope and the loops around it.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::expr::{Context, Fault, Got};
use super::helpers::{self, Func};
use super::{Lookup, LookupRow, Parts, Root, Scope, ValueMap, encode};

/// A compiled expression's meaning.
#[derive(Debug)]
pub(super) enum Node {
    Path(PathNode),
    /// `@index`, `@first`, `@last` of a loop, so many loops out.
    Round(usize, RoundPart),
    Literal(Value),
    Optional(Box<Node>),
    Default(Box<Node>, Box<Node>),
    Has(Box<Node>),
    Any(Vec<Node>),
    All(Vec<Node>),
    Map {
        map: Arc<ValueMap>,
        name: Box<str>,
        backwards: bool,
        word: Box<Node>,
        text: Box<str>,
    },
    Row {
        ask: Ask,
        resource: Box<str>,
        id: Box<Node>,
        text: Box<str>,
    },
    Call {
        func: Func,
        args: Vec<Node>,
        text: Box<str>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoundPart {
    Index,
    First,
    Last,
}

/// What a helper asks the mapping table for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    BackendId,
    CmpId,
    Mapped,
}

/// A variable: where it starts, and the steps from there.
#[derive(Debug)]
pub(super) struct PathNode {
    pub(super) start: Start,
    pub(super) steps: Vec<Step>,
    /// As written.
    pub(super) text: Box<str>,
    /// The variable that it reads in terms of a root, where a loop variable stands for items of one.
    pub(super) reads: Option<Box<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    Root(Root),
    /// The item of the loop that is so many loops out.
    Item(usize),
}

/// One step: a key of an object, or, where it is a number, an index of a list.
#[derive(Debug)]
pub(super) struct Step {
    key: Box<str>,
    index: Option<usize>,
}

impl Step {
    pub(super) fn new(key: &str) -> Self {
        let plain = key.bytes().all(|byte| byte.is_ascii_digit());
        Self {
            key: key.into(),
            index: key.parse().ok().filter(|_| plain),
        }
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    fn of<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        match value {
            Value::Object(map) => member(map, &self.key),
            Value::Array(items) => items.get(self.index?),
            _ => None,
        }
    }
}

/// The value of a key: among few of them it is found sooner by looking at each than by hashing.
pub(super) fn member<'v>(map: &'v Map<String, Value>, key: &str) -> Option<&'v Value> {
    const FEW: usize = 12;
    if map.len() > FEW {
        return map.get(key);
    }
    map.iter()
        .find_map(|(known, value)| (known == key).then_some(value))
}

impl PathNode {
    /// Notes what it reads of the answer's body; an item of a loop is a part of the loop's list.
    pub(super) fn note(&self, parts: &mut Parts) {
        if self.start != Start::Root(Root::Response) {
            return;
        }
        // Where a list may be meant, all of it is.
        let names = self.steps.iter().take_while(|step| step.index.is_none());
        let mut names = names.map(Step::key);
        match names.next() {
            None => *parts = Parts::Whole,
            Some("body") => parts.add(&mut names),
            Some(_) => {}
        }
    }

    fn get<'c>(&self, context: Context<'c>) -> Option<&'c Value> {
        let start = match self.start {
            Start::Root(root) => context.scope.get(root)?,
            Start::Item(depth) => context.frame(depth).item,
        };
        self.steps
            .iter()
            .try_fold(start, |value, step| step.of(value))
    }
}

impl Node {
    pub(super) fn eval<'c>(&'c self, context: Context<'c>) -> Result<Got<'c>, Fault> {
        match self {
            Node::Path(path) => match path.get(context) {
                Some(value) => Ok(Got::Value(Cow::Borrowed(value))),
                None => Err(Fault::Missing {
                    variable: path.text.to_string(),
                }),
            },
            Node::Literal(value) => Ok(Got::Value(Cow::Borrowed(value))),
            Node::Round(depth, part) => {
                let frame = context.frame(*depth);
                Ok(Got::owned(match part {
                    RoundPart::Index => Value::from(frame.index),
                    RoundPart::First => Value::from(frame.index == 0),
                    RoundPart::Last => Value::from(frame.index + 1 == frame.count),
                }))
            }
            Node::Optional(inner) => match inner.eval(context) {
                Err(fault) if fault.is_absence() => Ok(Got::Absent),
                other => other,
            },
            Node::Default(inner, fallback) => match inner.eval(context) {
                Ok(Got::Absent) => fallback.eval(context),
                Err(fault) if fault.is_absence() => fallback.eval(context),
                other => other,
            },
            Node::Has(inner) => match inner.eval(context) {
                Ok(Got::Wanted) => Ok(Got::Wanted),
                Ok(Got::Value(_)) => Ok(Got::owned(Value::Bool(true))),
                Ok(Got::Absent) => Ok(Got::owned(Value::Bool(false))),
                Err(fault) if fault.is_absence() => Ok(Got::owned(Value::Bool(false))),
                Err(fault) => Err(fault),
            },
            Node::Any(parts) => short_circuit(parts, true, context),
            Node::All(parts) => short_circuit(parts, false, context),
            Node::Map {
                map,
                name,
                backwards,
                word,
                text,
            } => match word.eval(context)? {
                Got::Value(word) => translate(map, &word, *backwards)
                    .map(|word| Got::Value(Cow::Borrowed(word)))
                    .ok_or_else(|| {
                        Fault::refused(text, format!("it is not a word of the map `{name}`"))
                    }),
                other => Ok(other),
            },
            Node::Row {
                ask,
                resource,
                id,
                text,
            } => match id.eval(context)? {
                Got::Value(id) => {
                    let id = encode::text_of(&id).map_err(|why| Fault::refused(text, why))?;
                    row(*ask, resource, id.into_owned(), context.scope)
                }
                other => Ok(other),
            },
            Node::Call { func, args, text } => call(*func, args, text, context),
        }
    }

    /// Whether it is the helper `words`.
    pub(super) fn is_words(&self) -> bool {
        matches!(
            self,
            Node::Call {
                func: Func::Words,
                ..
            }
        )
    }

    /// Whether it can come to nothing at all without a fault.
    pub(super) fn may_be_absent(&self) -> bool {
        match self {
            Node::Optional(_) => true,
            Node::Path(_) | Node::Round(..) | Node::Literal(_) | Node::Has(_) => false,
            Node::Default(_, fallback) => fallback.may_be_absent(),
            Node::Map { word, .. } => word.may_be_absent(),
            Node::Row { id, .. } => id.may_be_absent(),
            Node::Any(parts) | Node::All(parts) | Node::Call { args: parts, .. } => {
                parts.iter().any(Node::may_be_absent)
            }
        }
    }

    /// The variable whose items a loop over this expression walks, where it is one variable.
    pub(super) fn list_variable(&self) -> Option<&str> {
        match self {
            Node::Path(path) => path.reads.as_deref(),
            Node::Optional(inner) | Node::Default(inner, _) => inner.list_variable(),
            _ => None,
        }
    }

    pub(super) fn variables<'n>(&'n self, names: &mut Vec<&'n str>) {
        self.paths(&mut |path| names.extend(path.reads.as_deref()));
    }

    /// Shows every variable in it.
    pub(super) fn paths<'n>(&'n self, see: &mut dyn FnMut(&'n PathNode)) {
        match self {
            Node::Path(path) => see(path),
            Node::Round(..) | Node::Literal(_) => {}
            Node::Optional(inner) | Node::Has(inner) => inner.paths(see),
            Node::Default(inner, fallback) => {
                inner.paths(see);
                fallback.paths(see);
            }
            Node::Map { word, .. } => word.paths(see),
            Node::Row { id, .. } => id.paths(see),
            Node::Any(parts) | Node::All(parts) | Node::Call { args: parts, .. } => {
                for part in parts {
                    part.paths(see);
                }
            }
        }
    }
}

/// `or` ends at the first true, `and` at the first false.
fn short_circuit<'c>(parts: &'c [Node], end: bool, context: Context<'c>) -> Result<Got<'c>, Fault> {
    for part in parts {
        match part.eval(context)? {
            Got::Value(value) => match *value {
                Value::Bool(value) if value == end => return Ok(Got::owned(Value::Bool(end))),
                Value::Bool(_) => {}
                _ => return Err(Fault::not_boolean(part.text())),
            },
            other => return Ok(other),
        }
    }
    Ok(Got::owned(Value::Bool(!end)))
}

impl Node {
    /// What a message calls it.
    fn text(&self) -> &str {
        match self {
            Node::Path(path) => &path.text,
            Node::Map { text, .. } | Node::Row { text, .. } | Node::Call { text, .. } => text,
            Node::Optional(inner) | Node::Default(inner, _) | Node::Has(inner) => inner.text(),
            Node::Round(..) => "@index",
            Node::Literal(_) => "the literal",
            Node::Any(_) => "or",
            Node::All(_) => "and",
        }
    }
}

/// Every argument is evaluated before a wanted row or a fault counts, so that one rendering collects
/// as many wanted rows as it can.
fn call<'c>(
    func: Func,
    args: &'c [Node],
    text: &str,
    context: Context<'c>,
) -> Result<Got<'c>, Fault> {
    let mut values = Vec::with_capacity(args.len());
    let mut absent = false;
    let mut wanted = false;
    let mut fault = None;
    for arg in args {
        match arg.eval(context) {
            Ok(Got::Value(value)) => values.push(value),
            Ok(Got::Absent) => absent = true,
            Ok(Got::Wanted) => wanted = true,
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    match fault {
        _ if wanted => Ok(Got::Wanted),
        Some(fault) => Err(fault),
        None if absent => Ok(Got::Absent),
        None => helpers::compute(func, &values)
            .map(Got::owned)
            .map_err(|reason| Fault::refused(text, reason)),
    }
}

/// The other side of a word in a table. YAML keys are text, so a number or boolean also matches the
/// key that is its text.
pub(super) fn translate<'m>(map: &'m ValueMap, word: &Value, backwards: bool) -> Option<&'m Value> {
    let matches = |side: &Value| {
        super::number::same_value(side, word)
            || match (side, encode::text_of(word)) {
                (Value::String(side), Ok(text)) => **side == *text,
                _ => false,
            }
    };
    map.entries
        .iter()
        .map(|(from, to)| if backwards { (to, from) } else { (from, to) })
        .find(|(from, _)| matches(from))
        .map(|(_, to)| to)
}

fn row<'c>(ask: Ask, resource: &str, id: String, scope: &Scope) -> Result<Got<'c>, Fault> {
    let question = match ask {
        Ask::BackendId => Lookup::BackendId {
            resource: resource.into(),
            cmp_id: id.clone(),
        },
        Ask::CmpId | Ask::Mapped => Lookup::CmpId {
            resource: resource.into(),
            backend_id: id.clone(),
        },
    };
    let resource = resource.to_owned();
    match (scope.lookup(question), ask) {
        (None, _) => Ok(Got::Wanted),
        (Some(answer), Ask::Mapped) => Ok(Got::owned(Value::Bool(answer != LookupRow::Unmapped))),
        (Some(LookupRow::Id(other)), _) => Ok(Got::owned(Value::String(other))),
        (Some(LookupRow::Unmapped), _) => Err(Fault::NotMapped { resource, id }),
        (Some(LookupRow::Pending), _) => Err(Fault::Pending { resource, id }),
    }
}
