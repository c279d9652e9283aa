//! What a command line says, read: bytes in; echo, output and prompt told apart.
//!
//! The reader is pure. It neither waits nor writes: whoever drives it hands it bytes ([`Reader::feed`]), asks
//! what stands at the end of them ([`Reader::sight`]), and takes what a line was answered with
//! ([`Reader::take`]). However the bytes are cut into pieces, the answers are the same once all of them are in.
//!
//! A prompt counts only behind the echo of the line that was sent last, so one that the device showed before
//! it heard that line is never taken for its answer. Memory is bounded by the limit of the output.

mod prompts;
mod screen;

pub use prompts::{Prompts, any_host, regex};
use screen::{Line, Screen};

use regex::Regex;

/// A prompt, a question and a pager are short lines.
const LONGEST_PROMPT: usize = 512;
/// Nor is a message that tells a failure longer.
const LONGEST_MESSAGE: usize = 4096;
/// An echo longer than this may be scrolled sideways by the device: its end is enough then.
const SCROLLED: usize = 60;
/// How much of its end.
const TAIL: usize = 30;

/// What a command line shows besides prompts and output.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The end of a page, as the last line.
    pub pager: Option<Regex>,
    /// Questions, as the last line.
    pub questions: Vec<Regex>,
    /// The prompt that asks for a password.
    pub secret: Regex,
    /// Lines of an answer that say it was refused.
    pub failures: Vec<Regex>,
    /// Lines that belong to no answer: log messages, decoration.
    pub ignored: Vec<Regex>,
}

impl Rules {
    /// Whether a line says that what was sent is refused.
    pub fn is_failure(&self, line: &str) -> bool {
        !self.is_ignored(line) && self.failures.iter().any(|failure| failure.is_match(line))
    }

    /// Whether a line belongs to no answer.
    pub fn is_ignored(&self, line: &str) -> bool {
        self.ignored.iter().any(|ignored| ignored.is_match(line))
    }
}

/// What stands at the end of what came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sight {
    /// More is to come.
    Nothing,
    /// A prompt, by its index.
    Prompt(usize),
    /// The end of a page.
    Pager,
    /// A question, by its index.
    Question(usize),
    /// A prompt that asks for a password.
    Secret,
}

/// What a line was answered with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Without echo and prompt; each line ended by `\n`.
    pub text: String,
    /// It was longer than the limit, and the rest is missing.
    pub cut: bool,
    /// The first line that says that it was refused.
    pub failure: Option<String>,
}

/// Reads one session.
#[derive(Clone, Debug)]
pub struct Reader {
    screen: Screen,
    prompts: Prompts,
    rules: Rules,
    /// Bytes that are kept of an answer.
    limit: usize,
    echo: Option<Echo>,
    /// The line that was sent last: it may have given the device another name.
    sent: String,
    said: Said,
    /// The last two complete lines, blank and ignored ones aside.
    above: [String; 2],
    /// An ignored line came behind them.
    logged: bool,
    /// A complete line of the answer is a prompt, and only ignored ones came behind it: the prompt, and how
    /// long the answer was before. So a log message that breaks into a prompt does not hide it.
    broken: Option<(usize, usize)>,
    /// The last line, as it was when it was answered: it is not answered twice, unless it was drawn anew.
    answered: Option<(String, u64)>,
    asks_secret: bool,
}

impl Reader {
    pub fn new(prompts: Prompts, rules: Rules, limit: usize) -> Self {
        Self {
            screen: Screen::new(limit),
            prompts,
            rules,
            limit,
            echo: None,
            sent: String::new(),
            said: Said::default(),
            above: Default::default(),
            logged: false,
            broken: None,
            answered: None,
            asks_secret: false,
        }
    }

    /// A line is about to be written: its echo is awaited, and what came before it is no answer to it.
    /// `asks_secret`: it may be answered by the prompt that asks for a password.
    pub fn begin(&mut self, line: &str, asks_secret: bool) {
        let prompt = self.last().unwrap_or_default();
        self.echo = Echo::of(&prompt, line);
        self.said = Said::default();
        self.broken = None;
        self.answered = None;
        self.asks_secret = asks_secret;
        line.clone_into(&mut self.sent);
    }

    /// Takes bytes as they come.
    pub fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(line) = self.screen.push(*byte) {
                self.line(line);
            }
        }
    }

    /// What stands at the end of what came.
    pub fn sight(&mut self) -> Sight {
        if self.echo.is_some() {
            return Sight::Nothing;
        }
        let Some(last) = self.last() else {
            return Sight::Nothing;
        };
        if last.trim().is_empty() {
            let broken = self.broken.filter(|_| self.logged);
            return broken.map_or(Sight::Nothing, |(prompt, _)| Sight::Prompt(prompt));
        }
        let answered = (last.trim_end().to_owned(), self.screen.redrawn());
        if self.answered.as_ref() == Some(&answered) {
            return Sight::Nothing;
        }
        if let Some(prompt) = self.prompt(last.trim_end()) {
            return Sight::Prompt(prompt);
        }
        let pager = self.rules.pager.as_ref();
        if pager.is_some_and(|pager| pager.is_match(&last)) {
            return Sight::Pager;
        }
        let mut questions = self.rules.questions.iter();
        if let Some(question) = questions.position(|question| question.is_match(&last)) {
            return Sight::Question(question);
        }
        match self.asks_secret && self.rules.secret.is_match(&last) {
            true => Sight::Secret,
            false => Sight::Nothing,
        }
    }

    /// The first prompt: what the last line would be on any device, and whether the line above it is the
    /// same prompt, so that the device has answered an empty line with it.
    pub fn first_prompt(&self) -> Option<(usize, bool)> {
        let (above, last) = self.first_lines()?;
        let (prompt, host) = self.prompts.find_any(&last)?;
        let twice = self
            .prompts
            .find_any(&above)
            .is_some_and(|(index, other)| index == prompt && above.get(other) == last.get(host));
        Some((prompt, twice))
    }

    /// Learns the device's name from the prompt that is the last line.
    pub fn learn(&mut self) {
        if let Some((_, last)) = self.first_lines()
            && let Some((_, host)) = self.prompts.find_any(&last)
        {
            self.prompts.learn(&last[host]);
        }
    }

    /// The last line and the one above it, log messages aside.
    fn first_lines(&self) -> Option<(String, String)> {
        let last = self.last()?;
        let [upper, lower] = &self.above;
        let (above, last) = match last.trim_end() {
            "" if self.logged => (upper.trim_end(), lower.trim_end()),
            last => (lower.trim_end(), last),
        };
        Some((above.to_owned(), last.to_owned()))
    }

    /// The page was turned: its prompt is none of the output.
    pub fn turned(&mut self) {
        self.screen.wipe();
    }

    /// The last line was answered: it is not asked again.
    pub fn answered(&mut self) {
        let last = self.last();
        self.answered = last.map(|last| (last.trim_end().to_owned(), self.screen.redrawn()));
    }

    /// The answer to the line that [`Reader::begin`] named, so far.
    pub fn take(&mut self) -> Said {
        if let Some((_, length)) = self.broken.take() {
            self.said.text.truncate(length);
        }
        std::mem::take(&mut self.said)
    }

    /// The line that is not complete; `None` when it is longer than any prompt.
    pub fn last(&self) -> Option<String> {
        self.screen.last(LONGEST_PROMPT)
    }

    /// Whether the echo of the last line has not come.
    pub fn awaits_echo(&self) -> bool {
        self.echo.is_some()
    }

    fn prompt(&mut self, last: &str) -> Option<usize> {
        if let Some(prompt) = self.prompts.find(last) {
            return Some(prompt);
        }
        // Another name counts where the very line that was sent may have given it.
        let (prompt, host) = self.prompts.find_any(last)?;
        let host = &last[host];
        let given = self.sent.split_whitespace().any(|word| word == host);
        given.then(|| {
            self.prompts.learn(host);
            prompt
        })
    }

    fn line(&mut self, line: Line) {
        self.answered = None;
        if let Some(echo) = &mut self.echo {
            if echo.hears(&line.text) {
                self.echo = None;
            }
            return;
        }
        let short = line.text.len() <= LONGEST_MESSAGE;
        if short && self.rules.is_ignored(&line.text) {
            self.logged = true;
            return;
        }
        self.broken = None;
        if short && self.said.failure.is_none() && self.rules.is_failure(&line.text) {
            self.said.failure = Some(line.text.clone());
        }
        if short && !line.text.trim().is_empty() {
            self.logged = false;
            self.above.swap(0, 1);
            line.text.clone_into(&mut self.above[1]);
            let prompt = self.prompts.find(line.text.trim_end());
            self.broken = prompt.map(|prompt| (prompt, self.said.text.len()));
        }
        let room = self.limit.saturating_sub(self.said.text.len());
        if self.said.cut || line.cut || line.text.len() >= room {
            self.said.cut = true;
            return;
        }
        self.said.text.push_str(&line.text);
        self.said.text.push('\n');
    }
}

/// The echo of a line. Blanks do not count: a device breaks a long line where its terminal ends.
#[derive(Clone, Debug)]
struct Echo {
    /// Prompt and line.
    whole: String,
    /// The line alone: a log message came between the prompt and it.
    line: String,
    /// The end of a long line.
    tail: Option<String>,
    /// What came, as far back as `whole` is long.
    heard: String,
}

impl Echo {
    /// `None` for a line that leaves no echo of its own.
    fn of(prompt: &str, line: &str) -> Option<Self> {
        let line = squeezed(line);
        if line.is_empty() {
            return None;
        }
        let length = line.chars().count();
        let tail = (length > SCROLLED).then(|| line.chars().skip(length - TAIL).collect());
        Some(Self {
            whole: squeezed(prompt) + &line,
            line,
            tail,
            heard: String::new(),
        })
    }

    /// Whether the echo is complete with this line.
    fn hears(&mut self, line: &str) -> bool {
        let line = squeezed(line);
        self.heard.push_str(&line);
        let mut surplus = self.heard.len().saturating_sub(self.whole.len());
        while !self.heard.is_char_boundary(surplus) {
            surplus += 1;
        }
        self.heard.drain(..surplus);
        let tail = self.tail.as_ref();
        self.heard == self.whole
            || line == self.line
            || tail.is_some_and(|tail| line.ends_with(&**tail))
    }
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect()
}

#[cfg(test)]
mod tests;
