//! Uses of variables, as compiling resolves them: which value, where it is written, what the position
//! takes, and what is known of it there.
//!
//! Compiling judges names that the language itself knows (`resolve`). Whether a request's schema, a parent or
//! an answer has such a value is known to the configuration alone, so each use is noted here for it to judge.
//! Nothing of this exists at request time.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value;

use super::{Root, ValueMap};
use crate::document::Span;

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A key of an object; where it is a number, perhaps an index of a list.
    Name(Box<str>),
    /// Whichever item the loop of this number stands at.
    Item(u32),
}

/// Which value: a namespace and the steps from there, loop variables resolved to the lists they walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub root: Root,
    pub keys: Vec<Key>,
}

impl Place {
    pub(super) fn below(&self, names: &[&str]) -> Self {
        let mut place = self.clone();
        let names = names.iter().map(|name| Key::Name((*name).into()));
        place.keys.extend(names);
        place
    }

    pub(super) fn item(mut self, of_loop: u32) -> Self {
        self.keys.push(Key::Item(of_loop));
        self
    }

    /// Whether this is `keys` below `root`, or something inside of that.
    pub fn is_within(&self, root: Root, keys: &[Key]) -> bool {
        self.root == root && self.keys.starts_with(keys)
    }
}

/// What surely holds where a variable stands, because of the conditions and loops around it.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    Present(Place),
    Absent(Place),
    /// It is there, and is this literal.
    Is(Place, Value),
    /// It is there, and is not this literal.
    IsNot(Place, Value),
}

/// What becomes of an absent value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// The request fails.
    Fault,
    /// The variable itself is `optional`.
    Optional,
    /// The variable itself has a `default`.
    Default,
    /// `has` asks for the variable itself.
    Has,
    /// Something around the variable forgives it.
    Around,
}

/// What a position takes of a value that is put there as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    Anything,
    /// No list and no object: it becomes text.
    Text,
    List,
    Boolean,
}

/// What an expression stands in, and so what it can take with it when it is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landing {
    /// A leaf of a tree, alone.
    Leaf,
    /// A text, with other things.
    Text,
    Header,
    /// A path, in which nothing can vanish.
    Path,
    /// A line of a text template.
    Line,
    /// A JSON or XML template, in which nothing can vanish.
    Markup,
    /// `$if`, `$where`, `{{#if}}`.
    Condition,
    /// `$for`, `{{#each}}`.
    List,
}

/// The table that translates a value.
#[derive(Clone, Debug)]
pub struct Table {
    pub name: Box<str>,
    pub map: Arc<ValueMap>,
}

/// One use of a variable.
#[derive(Clone, Debug)]
pub struct Use {
    pub place: Place,
    /// As written: `rule.port`.
    pub text: Box<str>,
    /// How many of the last keys of `place` stand in `text`; the others are those of a loop's list.
    pub written: usize,
    pub span: Span,
    /// The whole expression: `upper rule.port`.
    pub expression: Rc<str>,
    /// Where in the route: `call.body.port`.
    pub field: Rc<str>,
    pub landing: Landing,
    pub wants: Wants,
    pub absence: Absence,
    /// The literal of its `default`, when it is one.
    pub fallback: Option<Value>,
    pub facts: Rc<Vec<Fact>>,
    /// The table that it is a word of: it is the argument of `map`.
    pub table: Option<Table>,
}

impl Use {
    /// Whether it is the whole of its expression.
    pub fn is_bare(&self) -> bool {
        self.absence == Absence::Fault
    }
}

/// The uses of one route, in the order in which they were compiled.
#[derive(Debug, Default)]
pub struct Uses {
    found: RefCell<Vec<Use>>,
    loops: Cell<u32>,
}

impl Uses {
    /// What has been noted so far.
    pub fn noted(&self) -> Vec<Use> {
        self.found.borrow().clone()
    }

    pub(super) fn note(&self, found: Use) {
        self.found.borrow_mut().push(found);
    }

    /// How many there are: a mark to come back to.
    pub(super) fn mark(&self) -> usize {
        self.found.borrow().len()
    }

    /// Forgets what was noted since the mark: it is compiled again.
    pub(super) fn forget(&self, mark: usize) {
        self.found.borrow_mut().truncate(mark);
    }

    /// Says of what was noted since the mark what its expression is.
    pub(super) fn say_expression(&self, mark: usize, expression: &str) {
        let expression: Rc<str> = expression.into();
        for found in &mut self.found.borrow_mut()[mark..] {
            found.expression = Rc::clone(&expression);
        }
    }

    /// What was noted since the mark may be absent: something around it has an answer to that.
    pub(super) fn forgive(&self, mark: usize) {
        for found in &mut self.found.borrow_mut()[mark..] {
            if found.absence == Absence::Fault {
                found.absence = Absence::Around;
            }
        }
    }

    /// A number for a loop that no other loop of the route has.
    pub(super) fn next_loop(&self) -> u32 {
        let next = self.loops.get();
        self.loops.set(next + 1);
        next
    }
}

/// How the expression being compiled stands.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub landing: Landing,
    pub wants: Wants,
    pub absence: Absence,
    pub fallback: Option<Value>,
    pub facts: Rc<Vec<Fact>>,
    pub table: Option<Table>,
}

impl Standing {
    pub(super) fn new(landing: Landing) -> Self {
        Self {
            landing,
            wants: match landing {
                Landing::Leaf => Wants::Anything,
                Landing::Condition => Wants::Boolean,
                Landing::List => Wants::List,
                _ => Wants::Text,
            },
            absence: Absence::Fault,
            fallback: None,
            facts: Rc::default(),
            table: None,
        }
    }

    /// The same surroundings, in another kind of position.
    pub(super) fn landing(&self, landing: Landing) -> Self {
        Self {
            absence: match self.absence {
                Absence::Fault => Absence::Fault,
                _ => Absence::Around,
            },
            facts: Rc::clone(&self.facts),
            ..Self::new(landing)
        }
    }

    /// As an argument of a helper that wants this of it.
    pub(super) fn argument(&self, wants: Wants) -> Self {
        Self {
            wants,
            fallback: None,
            ..self.landing(self.landing)
        }
    }

    /// Where absence has this answer.
    pub(super) fn forgiving(&self, absence: Absence, wants: Wants) -> Self {
        Self {
            absence,
            wants,
            fallback: None,
            ..self.clone()
        }
    }

    /// With further facts.
    pub(super) fn knowing(&self, facts: Vec<Fact>) -> Self {
        let mut this = self.clone();
        if !facts.is_empty() {
            Rc::make_mut(&mut this.facts).extend(facts);
        }
        this
    }
}
