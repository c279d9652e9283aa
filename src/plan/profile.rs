//! A CLI profile, compiled: how the command line of a family of devices behaves.

use regex::Regex;

/// Prompts, modes and habits of a command line. It is data: no driver knows a vendor.
#[derive(Debug)]
pub struct CliProfile {
    pub name: Box<str>,
    /// The first is where a login ends.
    pub prompts: Vec<Prompt>,
    pub modes: Vec<Mode>,
    /// Lines that are sent after the login, such as `terminal length 0`.
    pub open: Vec<Box<str>>,
    pub paging: Option<Paging>,
    /// What in the answer to a line says that it was refused; each may match one line of it.
    pub failures: Vec<Regex>,
    /// Lines that belong to no answer, such as log messages: neither output nor a failure.
    pub ignore: Vec<Regex>,
    /// The prompt that asks for a password.
    pub secret_prompt: Regex,
    /// Questions that a line may be answered with.
    pub confirm: Vec<Confirmation>,
    /// Lines that make the configuration survive a restart; empty: it needs none.
    pub save: Vec<Box<str>>,
    /// The mode in which they are sent.
    pub save_mode: Box<str>,
    /// What no value may hold: what separates or completes commands here.
    pub refuse: Vec<Box<str>>,
    /// How the words of an `exec` call are quoted.
    pub exec: ExecQuoting,
}

/// A prompt by its name, which is the name of the mode that shows it.
#[derive(Debug)]
pub struct Prompt {
    pub name: Box<str>,
    /// Over the last line of what came, `{host}` in it standing for what the first prompt showed there.
    pub pattern: Box<str>,
}

/// A mode that is entered from another one.
#[derive(Clone, Debug)]
pub struct Mode {
    /// Also the name of its prompt.
    pub name: Box<str>,
    pub from: Box<str>,
    /// Empty: only the lines of a call lead there.
    pub enter: Vec<Box<str>>,
    /// The prompt that asks for the backend's `enable` secret while it is entered.
    pub asks_secret: bool,
    /// Lines that put into force what was entered in it; empty: each line acts at once.
    pub commit: Vec<Box<str>>,
    /// Lines that throw away what was entered and not put into force.
    pub abandon: Vec<Box<str>>,
    pub leave: Vec<Box<str>>,
}

/// What stands at the end of a page, and what brings the next one.
#[derive(Debug)]
pub struct Paging {
    pub more: Regex,
    pub send: Box<str>,
}

/// A question and its answer.
#[derive(Debug)]
pub struct Confirmation {
    pub question: Regex,
    pub send: Box<str>,
}

/// How the words of an `exec` call become one command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExecQuoting {
    /// The remote shell is POSIX: what is not plain is quoted.
    #[default]
    Posix,
    /// The remote side splits at blanks and unquotes nothing: a word that is not plain is refused.
    Words,
}

impl CliProfile {
    /// The mode that a login ends in.
    pub fn base(&self) -> &str {
        self.prompts.first().map_or("", |prompt| &prompt.name)
    }

    /// Whether `mode:` may name it: it is where a login ends, or there are lines that enter it.
    pub fn has_mode(&self, name: &str) -> bool {
        let entered = |mode: &Mode| *mode.name == *name && !mode.enter.is_empty();
        self.base() == name || self.modes.iter().any(entered)
    }
}
