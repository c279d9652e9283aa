//! The compiled pieces of a text: literals, values with the slot each lands in, and blocks.

use serde_json::Value;

use super::encode::Slot;
use super::expr::{Context, Expr, Fault, Got, Truth, Wrote};
use super::node::PathNode;
use crate::document::Span;

/// One piece of a text.
#[derive(Debug)]
pub(super) enum Segment {
    Literal(Box<str>),
    Value {
        expr: Expr,
        slot: Slot,
        at: Span,
    },
    If {
        condition: Expr,
        then: Vec<Segment>,
        otherwise: Vec<Segment>,
        at: Span,
    },
    Each {
        list: Expr,
        body: Vec<Segment>,
        otherwise: Vec<Segment>,
        at: Span,
    },
}

/// What an absent value takes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// The whole text.
    Whole,
    /// The line it stands in.
    Line,
}

/// A text being rendered.
#[derive(Debug)]
pub(super) struct Rendering {
    pub(super) out: String,
    holder: Holder,
    /// Where the current line begins; kept for [`Holder::Line`].
    line: usize,
    /// The rest of the current line vanishes.
    skipping: bool,
    pub(super) absent: bool,
    pub(super) wanted: bool,
}

impl Rendering {
    pub(super) fn new(holder: Holder) -> Self {
        Self {
            out: String::new(),
            holder,
            line: 0,
            skipping: false,
            absent: false,
            wanted: false,
        }
    }

    pub(super) fn run(&mut self, segments: &[Segment], context: Context<'_>) -> Result<(), Fault> {
        for segment in segments {
            match segment {
                Segment::Literal(text) => self.literal(text),
                Segment::Value { expr, slot, .. } => self.value(expr, *slot, context)?,
                Segment::If {
                    condition,
                    then,
                    otherwise,
                    ..
                } => match condition.test(context)? {
                    Truth::Is(true) => self.run(then, context)?,
                    Truth::Is(false) | Truth::Absent => self.run(otherwise, context)?,
                    Truth::Wanted => self.wanted = true,
                },
                Segment::Each {
                    list,
                    body,
                    otherwise,
                    ..
                } => match list.get(context)? {
                    Got::Value(items) => {
                        let Value::Array(items) = &*items else {
                            return Err(Fault::refused(&list.text, "it is not a list"));
                        };
                        if items.is_empty() {
                            self.run(otherwise, context)?;
                        }
                        for (index, item) in items.iter().enumerate() {
                            let frame = context.round(item, index, items.len());
                            self.run(body, context.inside(&frame))?;
                        }
                    }
                    Got::Absent => self.run(otherwise, context)?,
                    Got::Wanted => self.wanted = true,
                },
            }
            if self.absent {
                break;
            }
        }
        Ok(())
    }

    fn literal(&mut self, text: &str) {
        if self.holder == Holder::Whole {
            self.out.push_str(text);
            return;
        }
        let rest = match (self.skipping, text.find('\n')) {
            (false, _) => text,
            (true, Some(end)) => {
                self.skipping = false;
                &text[end + 1..]
            }
            (true, None) => "",
        };
        self.out.push_str(rest);
        if let Some(end) = rest.rfind('\n') {
            self.line = self.out.len() - rest.len() + end + 1;
        }
    }

    fn value(&mut self, expr: &Expr, slot: Slot, context: Context<'_>) -> Result<(), Fault> {
        if self.skipping {
            return Ok(());
        }
        match (expr.write(slot, context, &mut self.out)?, self.holder) {
            (Wrote::Value, _) => {}
            (Wrote::Wanted, _) => self.wanted = true,
            (Wrote::Absent, Holder::Whole) => self.absent = true,
            (Wrote::Absent, Holder::Line) => {
                self.out.truncate(self.line);
                self.skipping = true;
            }
        }
        Ok(())
    }
}

/// Visits every expression that is put into the text, blocks included.
pub(super) fn each_value<'s>(segments: &'s [Segment], visit: &mut impl FnMut(&'s Expr, Span)) {
    for segment in segments {
        match segment {
            Segment::Literal(_) => {}
            Segment::Value { expr, at, .. } => visit(expr, *at),
            Segment::If {
                then, otherwise, ..
            } => {
                each_value(then, visit);
                each_value(otherwise, visit);
            }
            Segment::Each {
                body, otherwise, ..
            } => {
                each_value(body, visit);
                each_value(otherwise, visit);
            }
        }
    }
}

/// Gives every value this slot.
pub(super) fn put_into(segments: &mut [Segment], wanted: Slot) {
    for segment in segments {
        match segment {
            Segment::Literal(_) => {}
            Segment::Value { slot, .. } => *slot = wanted,
            Segment::If {
                then, otherwise, ..
            } => {
                put_into(then, wanted);
                put_into(otherwise, wanted);
            }
            Segment::Each {
                body, otherwise, ..
            } => {
                put_into(body, wanted);
                put_into(otherwise, wanted);
            }
        }
    }
}

/// The text with some value in each place: at first with the first way through each block and two rounds of each
/// loop, then once more for every other way, with the block that takes it. What opens and closes well in all
/// of these does so in every rendering, whichever ways are taken together.
pub(super) fn ways(segments: &[Segment]) -> Vec<(Option<Span>, String)> {
    let mut all = vec![(None, String::new())];
    for segment in segments {
        let (first, others) = match segment {
            Segment::Literal(text) => (text.to_string(), Vec::new()),
            Segment::Value { .. } => ("1".to_owned(), Vec::new()),
            Segment::If {
                then,
                otherwise,
                at,
                ..
            } => two_ways(then, otherwise, 1, *at),
            Segment::Each {
                body,
                otherwise,
                at,
                ..
            } => two_ways(body, otherwise, 2, *at),
        };
        let before = all[0].1.clone();
        for (_, text) in &mut all {
            text.push_str(&first);
        }
        all.extend(
            others
                .into_iter()
                .map(|(at, text)| (at, format!("{before}{text}"))),
        );
    }
    all
}

type Ways = Vec<(Option<Span>, String)>;

/// A block's first way, and all of its others.
fn two_ways(first: &[Segment], second: &[Segment], rounds: usize, block: Span) -> (String, Ways) {
    let mut others = ways(first);
    let (_, one) = others.remove(0);
    let otherwise = ways(second).into_iter();
    others.extend(otherwise.map(|(at, text)| (at.or(Some(block)), text)));
    (one.repeat(rounds), others)
}

/// The variables of values, conditions and lists.
pub(super) fn variables<'s>(segments: &'s [Segment], names: &mut Vec<&'s str>) {
    paths(segments, &mut |path| names.extend(path.reads.as_deref()));
}

/// Shows every variable in them.
pub(super) fn paths<'s>(segments: &'s [Segment], see: &mut dyn FnMut(&'s PathNode)) {
    for segment in segments {
        match segment {
            Segment::Literal(_) => {}
            Segment::Value { expr, .. } => expr.node.paths(see),
            Segment::If {
                condition: subject,
                then: first,
                otherwise: second,
                ..
            }
            | Segment::Each {
                list: subject,
                body: first,
                otherwise: second,
                ..
            } => {
                subject.node.paths(see);
                paths(first, see);
                paths(second, see);
            }
        }
    }
}
