//! A tree as a program that writes JSON bytes in one pass.
//!
//! Neighbouring constant parts are one run of bytes, made when the tree is compiled, and a variable
//! alone is written from where it is, without a copy. What may vanish remembers where it began.

use std::sync::Arc;

use super::expr::{Context, Expr, Got};
use super::tree::{Shape, rendered, rendered_template, rounds, truth, write_string, write_value};
use super::{Presence, RenderError, Template, Text};

/// What writes a tree.
#[derive(Debug, Default)]
pub(super) struct Program {
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Bytes(Vec<u8>),
    /// A comma, unless an opening bracket is right before.
    Comma,
    Value(Arc<Expr>),
    Text(Arc<Text>),
    Template(Arc<Template>),
    /// What it writes vanishes when something in it is absent.
    Maybe(Program),
    If {
        condition: Arc<Expr>,
        then: Program,
        otherwise: Option<Program>,
    },
    For {
        list: Arc<Expr>,
        filter: Option<Arc<Expr>>,
        item: Program,
    },
    /// What it writes is put into a JSON string.
    Quoted(Arc<Program>),
}

impl Program {
    pub(super) fn of(shape: &Shape) -> Self {
        Self::made(|program| program.shape(shape))
    }

    /// A plan has many programs of a step or two, and keeps them: without room to grow.
    fn made(write: impl FnOnce(&mut Self)) -> Self {
        let mut program = Self::default();
        write(&mut program);
        program.steps.shrink_to_fit();
        for step in &mut program.steps {
            if let Step::Bytes(run) = step {
                run.shrink_to_fit();
            }
        }
        program
    }

    fn bytes(&mut self, bytes: &[u8]) {
        if let Some(Step::Bytes(run)) = self.steps.last_mut() {
            run.extend_from_slice(bytes);
        } else {
            self.steps.push(Step::Bytes(bytes.to_vec()));
        }
    }

    fn shape(&mut self, shape: &Shape) {
        match shape {
            Shape::Literal(value) => {
                let mut bytes = Vec::new();
                write_value(value, &mut bytes);
                self.bytes(&bytes);
            }
            Shape::Leaf(expr) => self.steps.push(Step::Value(expr.clone())),
            Shape::Text(text) => self.steps.push(Step::Text(text.clone())),
            Shape::Template(template) => self.steps.push(Step::Template(template.clone())),
            Shape::Map(entries) => {
                self.bytes(b"{");
                let mut before = Before::Nothing;
                for (key, value) in entries {
                    self.member(Some(key), value, &mut before);
                }
                self.bytes(b"}");
            }
            Shape::List(items) => {
                self.bytes(b"[");
                let mut before = Before::Nothing;
                for item in items {
                    match item {
                        Shape::For { .. } => {
                            let spliced = Self::made(|spliced| spliced.walk(item, before));
                            self.steps.push(Step::Maybe(spliced));
                            before = before.max(Before::Perhaps);
                        }
                        item => self.member(None, item, &mut before),
                    }
                }
                self.bytes(b"]");
            }
            Shape::If {
                condition,
                then,
                otherwise,
            } => self.steps.push(Step::If {
                condition: condition.clone(),
                then: Self::of(then),
                otherwise: otherwise.as_deref().map(Self::of),
            }),
            Shape::For { .. } => {
                self.bytes(b"[");
                self.walk(shape, Before::Nothing);
                self.bytes(b"]");
            }
            Shape::Json(_, program) => self.steps.push(Step::Quoted(program.clone())),
        }
    }

    /// One entry of a map or item of a list, with the comma before it.
    fn member(&mut self, key: Option<&str>, value: &Shape, before: &mut Before) {
        let write = |program: &mut Self| {
            program.comma(*before);
            if let Some(key) = key {
                let mut bytes = Vec::new();
                write_string(key, &mut bytes);
                bytes.push(b':');
                program.bytes(&bytes);
            }
            program.shape(value);
        };
        if value.may_be_absent() {
            self.steps.push(Step::Maybe(Self::made(write)));
            *before = (*before).max(Before::Perhaps);
        } else {
            write(self);
            *before = Before::Something;
        }
    }

    fn comma(&mut self, before: Before) {
        match before {
            Before::Nothing => {}
            Before::Perhaps => self.steps.push(Step::Comma),
            Before::Something => self.bytes(b","),
        }
    }

    /// The items of a `$for`, without brackets.
    fn walk(&mut self, shape: &Shape, before: Before) {
        let Shape::For { list, filter, item } = shape else {
            return;
        };
        self.steps.push(Step::For {
            list: list.clone(),
            filter: filter.clone(),
            item: Self::made(|round| {
                round.comma(before.max(Before::Perhaps));
                round.shape(item);
            }),
        });
    }

    /// Appends to `out`. On `Absent` and on an error the caller takes back what was appended.
    pub(super) fn run(
        &self,
        context: Context<'_>,
        out: &mut Vec<u8>,
        wanted: &mut bool,
    ) -> Result<Presence, RenderError> {
        for step in &self.steps {
            match step {
                Step::Bytes(bytes) => out.extend_from_slice(bytes),
                // A complete JSON value never ends with an opening bracket.
                Step::Comma => {
                    if !matches!(out.last(), Some(b'{' | b'[')) {
                        out.push(b',');
                    }
                }
                Step::Value(expr) => {
                    match expr.get(context).map_err(|fault| fault.at(&expr.field))? {
                        Got::Value(value) => write_value(&value, out),
                        Got::Absent => return Ok(Presence::Absent),
                        Got::Wanted => *wanted = true,
                    }
                }
                Step::Text(text) => match rendered(text, context, wanted)? {
                    Some(text) => write_string(&text, out),
                    None => return Ok(Presence::Absent),
                },
                Step::Template(template) => {
                    write_string(&rendered_template(template, context, wanted)?, out);
                }
                Step::Maybe(program) => {
                    program.attempt(context, out, wanted)?;
                }
                Step::If {
                    condition,
                    then,
                    otherwise,
                } => {
                    let chosen = match truth(condition, context, wanted)? {
                        Some(true) => Some(then),
                        Some(false) => otherwise.as_ref(),
                        None => None,
                    };
                    let presence = match chosen {
                        Some(program) => program.run(context, out, wanted)?,
                        None => Presence::Absent,
                    };
                    // A condition that waits for a row ends nothing: the others' rows are wanted too.
                    if presence == Presence::Absent && !*wanted {
                        return Ok(Presence::Absent);
                    }
                }
                Step::For { list, filter, item } => {
                    let presence = rounds(
                        list,
                        filter.as_deref(),
                        context,
                        wanted,
                        |inside, wanted| item.attempt(inside, out, wanted).map(|_| ()),
                    )?;
                    if presence == Presence::Absent {
                        return Ok(Presence::Absent);
                    }
                }
                Step::Quoted(program) => {
                    let mut inner = Vec::new();
                    if program.run(context, &mut inner, wanted)? == Presence::Absent {
                        return Ok(Presence::Absent);
                    }
                    let text = std::str::from_utf8(&inner).expect("JSON text is UTF-8");
                    write_string(text, out);
                }
            }
        }
        Ok(Presence::Present)
    }

    /// Appends, or takes back what was appended when something was absent.
    fn attempt(
        &self,
        context: Context<'_>,
        out: &mut Vec<u8>,
        wanted: &mut bool,
    ) -> Result<Presence, RenderError> {
        let start = out.len();
        let presence = self.run(context, out, wanted)?;
        if presence == Presence::Absent {
            out.truncate(start);
        }
        Ok(presence)
    }
}

/// What surely or perhaps stands before a member, and so what its comma depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Before {
    Nothing,
    Perhaps,
    Something,
}
