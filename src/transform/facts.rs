//! What a condition or a list says of variables where it holds: `has body.port` that `body.port` is there.
//!
//! Whatever gave a value was there to give one, so a condition that came to true or false says that
//! its bare variables are present, beside what its helpers ask.

use serde_json::Value;

use super::expr::Expr;
use super::helpers::Func;
use super::node::{Node, PathNode, Start};
use super::parse::Compiler;
use super::uses::{Fact, Place};

impl Compiler<'_> {
    /// What holds where the expression has a value.
    pub(super) fn facts_of_value(&self, expr: &Expr) -> Vec<Fact> {
        let mut facts = Vec::new();
        self.valued(&expr.node, &mut facts);
        facts
    }

    /// What holds where the condition is true, or false.
    pub(super) fn facts_if(&self, truth: bool, node: &Node) -> Vec<Fact> {
        let mut facts = Vec::new();
        self.judged(node, truth, &mut facts);
        facts
    }

    /// The value that a variable names; `None` inside a loop over what is no variable.
    pub(super) fn place(&self, path: &PathNode) -> Option<Place> {
        let names: Vec<&str> = path.steps.iter().map(|step| step.key()).collect();
        match path.start {
            Start::Root(root) => Some(
                Place {
                    root,
                    keys: Vec::new(),
                }
                .below(&names),
            ),
            Start::Item(depth) => {
                let around = self.loops.iter().rev().nth(depth)?;
                Some(around.place.as_ref()?.below(&names))
            }
        }
    }

    /// The list that a loop walks, where every item of it is surely one of a variable's.
    pub(super) fn list_place(&self, node: &Node) -> Option<Place> {
        match node {
            Node::Path(path) => self.place(path),
            Node::Optional(inner) => self.list_place(inner),
            Node::Default(inner, fallback) => match &**fallback {
                Node::Literal(Value::Array(items)) if items.is_empty() => self.list_place(inner),
                _ => None,
            },
            _ => None,
        }
    }

    fn valued(&self, node: &Node, facts: &mut Vec<Fact>) {
        match node {
            Node::Path(path) => facts.extend(self.place(path).map(Fact::Present)),
            Node::Optional(inner) => self.valued(inner, facts),
            Node::Map { word, .. } => self.valued(word, facts),
            Node::Row { id, .. } => self.valued(id, facts),
            Node::Call { args, .. } => args.iter().for_each(|arg| self.valued(arg, facts)),
            // Later parts of these may not have been looked at.
            Node::Any(parts) | Node::All(parts) => {
                if let Some(first) = parts.first() {
                    self.valued(first, facts);
                }
            }
            Node::Round(..) | Node::Literal(_) | Node::Has(_) | Node::Default(..) => {}
        }
    }

    fn judged(&self, node: &Node, truth: bool, facts: &mut Vec<Fact>) {
        self.valued(node, facts);
        match node {
            Node::Path(path) => {
                let place = self.place(path);
                facts.extend(place.map(|place| Fact::Is(place, truth.into())));
            }
            Node::Optional(inner) => self.judged(inner, truth, facts),
            // Not the fallback, so the variable itself.
            Node::Default(inner, fallback) => {
                if matches!(**fallback, Node::Literal(Value::Bool(value)) if value != truth) {
                    self.judged(inner, truth, facts);
                }
            }
            Node::Has(inner) => match (truth, &**inner) {
                (true, inner) => self.valued(inner, facts),
                (false, Node::Path(path)) => {
                    facts.extend(self.place(path).map(Fact::Absent));
                }
                (false, _) => {}
            },
            Node::All(parts) if truth => parts.iter().for_each(|p| self.judged(p, true, facts)),
            Node::Any(parts) if !truth => parts.iter().for_each(|p| self.judged(p, false, facts)),
            // One of several held, nobody knows which: what all of them say holds.
            Node::Any(parts) | Node::All(parts) => facts.extend(self.common(parts, truth)),
            Node::Call { func, args, .. } => match (func, args.as_slice()) {
                (Func::Not, [inner]) => self.judged(inner, !truth, facts),
                (Func::Eq, [a, b]) => self.compared(a, b, truth, facts),
                (Func::Ne, [a, b]) => self.compared(a, b, !truth, facts),
                _ => {}
            },
            Node::Round(..) | Node::Literal(_) | Node::Map { .. } | Node::Row { .. } => {}
        }
    }

    fn common(&self, parts: &[Node], truth: bool) -> Vec<Fact> {
        let mut each = parts.iter().map(|part| self.facts_if(truth, part));
        let first = each.next().unwrap_or_default();
        each.fold(first, |mut common, facts| {
            common.retain(|fact| facts.contains(fact));
            common
        })
    }

    fn compared(&self, a: &Node, b: &Node, equal: bool, facts: &mut Vec<Fact>) {
        let (variable, literal) = match (a, b) {
            (Node::Literal(literal), other) | (other, Node::Literal(literal)) => (other, literal),
            _ => return,
        };
        let path = match variable {
            Node::Optional(inner) => inner,
            Node::Default(inner, fallback) => match &**fallback {
                Node::Literal(value) if equal && value != literal => inner,
                _ => return,
            },
            other => other,
        };
        let Node::Path(path) = path else {
            return;
        };
        facts.extend(self.place(path).map(|place| match equal {
            true => Fact::Is(place, literal.clone()),
            false => Fact::IsNot(place, literal.clone()),
        }));
    }
}
