//! Values on a command line and among the words of a program: what a value may hold there, and where on
//! a line it stands.
//!
//! A command line has no escapes that every device knows, so nothing is encoded: a value is put in as it
//! is or refused. One bare value is one word; between double quotes, or in the helper `words`, it may
//! hold blanks.

use super::encode::Slot;
use super::scan::Scanner;
use super::segment::Segment;

/// What the command line of the chosen backend refuses, beyond what every one does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LineRules {
    /// No value may hold any of these: what separates commands there, what completes them.
    pub refuse: Vec<Box<str>>,
    /// Its programs take words that need no quoting, and no others.
    pub plain_words: bool,
}

impl LineRules {
    /// Judges a value that has been put into `slot` as it is.
    pub(super) fn judge(&self, slot: Slot, value: &str) -> Result<(), String> {
        match slot {
            Slot::Cli | Slot::CliWords => {
                match self.refuse.iter().find(|one| value.contains(&***one)) {
                    None => Ok(()),
                    Some(one) => Err(format!(
                        "this backend's command line acts on {:?}, which it holds",
                        &**one
                    )),
                }
            }
            Slot::Word if self.plain_words && !is_plain(value) => Err(
                "this backend's command line quotes nothing, so a value is letters, digits and _@%+=:,./- only"
                    .into(),
            ),
            _ => Ok(()),
        }
    }
}

/// Whether a word means itself to a shell, without quotes.
pub fn is_plain(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_@%+=:,./-".contains(&byte);
    !word.is_empty() && word.bytes().all(plain)
}

/// A word as a POSIX shell reads it back (IEEE 1003.1, Shell Command Language, section 2.2.2).
pub fn quoted(word: &str) -> String {
    match is_plain(word) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// The words of a command that was put together from [`quoted`] ones, as a shell reads them.
pub fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            '\\' if !quoted => word.get_or_insert_default().extend(chars.next()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// A question mark asks a device for help and a tab completes, before the line is sent; a quote or a
/// backslash joins what stands behind it to the value.
pub(super) fn value(text: &str, blanks: bool) -> Result<(), &'static str> {
    for c in text.chars() {
        match c {
            '?' => return Err("a CLI line cannot hold a question mark, which asks for help"),
            '"' | '\\' => {
                return Err("a value on a CLI line cannot hold a double quote or a backslash");
            }
            ' ' if blanks => {}
            ' ' => {
                return Err(
                    "it holds a blank, which would add a word; put the expression between double quotes, or write `words`",
                );
            }
            c if c.is_control() => return Err("it holds a control character"),
            c if c.is_whitespace() => return Err("it holds white space that is no plain blank"),
            _ => {}
        }
    }
    match text.trim().is_empty() {
        true => Err("it is empty, and a CLI line would lack a word"),
        false => Ok(()),
    }
}

/// What a program's argument may hold: anything but control characters, for no shell keeps them all.
pub(super) fn word(text: &str) -> Result<(), &'static str> {
    match text.chars().any(char::is_control) {
        true => Err("it holds a control character; `stdin` takes text of several lines"),
        false => Ok(()),
    }
}

/// The lines of a command line: where each begins, and what stands between double quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CliLine {
    /// Nothing but blanks stands before.
    begins: bool,
    quoted: bool,
    /// A value stands inside the open quote.
    holds: bool,
    /// A backslash stood before a quote: what the device makes of that is its own affair.
    escaped: bool,
    last: Option<char>,
    /// A line ended inside quotes that hold a value.
    torn: bool,
}

impl Default for CliLine {
    fn default() -> Self {
        Self {
            begins: true,
            quoted: false,
            holds: false,
            escaped: false,
            last: None,
            torn: false,
        }
    }
}

impl Scanner for CliLine {
    fn literal(&mut self, text: &str) {
        for c in text.chars() {
            match c {
                '\n' => {
                    *self = Self {
                        torn: self.torn || self.quoted && self.holds,
                        ..Self::default()
                    };
                    continue;
                }
                '"' => {
                    self.escaped |= self.last == Some('\\');
                    self.quoted = !self.quoted;
                    self.holds = false;
                    self.begins = false;
                }
                c => self.begins &= c.is_whitespace(),
            }
            self.last = Some(c);
        }
    }

    fn value(&mut self) -> Result<Slot, &'static str> {
        if self.begins {
            return Err("a CLI line cannot begin with an expression: no value is a command");
        }
        if self.escaped || self.last == Some('\\') {
            return Err("behind a backslash nobody knows what a device makes of a value");
        }
        self.holds = self.quoted;
        self.last = None;
        Ok(match self.quoted {
            true => Slot::CliWords,
            false => Slot::Cli,
        })
    }

    fn join(&mut self, other: &Self) -> bool {
        self.begins |= other.begins;
        self.holds |= other.holds;
        self.escaped |= other.escaped;
        self.torn |= other.torn;
        if other.last == Some('\\') {
            self.last = other.last;
        }
        self.quoted == other.quoted
    }

    fn end(&self) -> Result<(), &'static str> {
        match self.torn || self.quoted && self.holds {
            true => Err("inside double quotes"),
            false => Ok(()),
        }
    }
}

/// What of the literal parts cannot stand on a line; `lines`: they may be several.
pub(super) fn literals(segments: &[Segment], lines: bool) -> Result<(), &'static str> {
    for segment in segments {
        match segment {
            Segment::Literal(text) => literal(text, lines)?,
            Segment::Value { .. } => {}
            Segment::If {
                then: first,
                otherwise: second,
                ..
            }
            | Segment::Each {
                body: first,
                otherwise: second,
                ..
            } => {
                literals(first, lines)?;
                literals(second, lines)?;
            }
        }
    }
    Ok(())
}

fn literal(text: &str, lines: bool) -> Result<(), &'static str> {
    for c in text.chars() {
        match c {
            '\n' | '\r' if lines => {}
            '\n' | '\r' => return Err("one item of `cli` is one line"),
            '\t' => return Err("a tab completes on a command line; write blanks"),
            '?' => return Err("a question mark asks a device for help before the line is sent"),
            c if c.is_control() => return Err("a CLI line cannot hold a control character"),
            _ => {}
        }
    }
    Ok(())
}
