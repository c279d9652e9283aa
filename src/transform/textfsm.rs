//! TextFSM templates: semi-formatted text of a device as rows (google/textfsm, "TextFSM" of its wiki).
//!
//! A template declares values, and states of rules: a rule that matches a line assigns values, may
//! record a row, and says which state reads the next line. Here every regular expression is of the linear
//! engine, so that no output of a device can make a rule run for ever; look-around and references back
//! are therefore not to be had. Reading a template is in `template`, running it in `run`.

mod run;
mod template;

use regex::Regex;
use serde_json::Value;

pub use template::Wrong;

/// The most rules and values of one template.
const MOST: usize = 1000;
/// The most rows of one answer, and the most items that its lists hold together.
const MOST_ROWS: usize = 100_000;
const MOST_ITEMS: usize = 1_000_000;

/// A compiled template.
#[derive(Debug)]
pub struct TextFsm {
    values: Vec<Column>,
    /// The first is `Start`.
    states: Vec<State>,
    /// A state `EOF` is declared: the end of the text records nothing.
    silent_end: bool,
}

/// One `Value`.
#[derive(Debug)]
struct Column {
    /// Lower case, as a row has it.
    key: Box<str>,
    /// A row without it is no row.
    required: bool,
    /// It stays for the rows that follow.
    filldown: bool,
    /// It is put into the rows before it that lack it.
    fillup: bool,
    /// `Some`: every assignment adds an item; an expression with named groups of its own makes objects.
    list: Option<Option<Regex>>,
}

#[derive(Debug)]
struct State {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    regex: Regex,
    /// The values that its groups assign, by the group's number.
    assigns: Vec<(usize, usize)>,
    line: LineAction,
    record: RecordAction,
}

/// What becomes of the line.
#[derive(Debug, PartialEq, Eq)]
enum LineAction {
    /// The next line, in this state.
    Next(Target),
    /// The same line, from the next rule on.
    Continue,
    /// The text is not what the template reads.
    Error(Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Same,
    State(usize),
    /// Nothing more is read; `records`: the row begun is one.
    End {
        records: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordAction {
    None,
    Record,
    Clear,
    ClearAll,
}

impl TextFsm {
    /// Compiles a template; every problem of it is told.
    pub fn compile(text: &str) -> Result<Self, Vec<Wrong>> {
        template::compile(text)
    }

    /// The names of a row, in lower case, in the order of the template.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|value| &*value.key)
    }

    /// The rows of a text, each an object; the error says why it cannot be read.
    pub fn parse(&self, text: &str) -> Result<Vec<Value>, String> {
        run::rows(self, text)
    }
}
