//! A command line, driven by its profile: lines go one by one, each echo and prompt awaited.
//!
//! Reading order: this file (a session and the script that it runs), `modes` (from one prompt to another),
//! `exchange` (one line and its answer), [`reader`] (what the bytes mean), `report` (what is said of it all).
//!
//! What is held to: nothing is sent behind a line that was refused, the lines that leave a mode aside. The mode
//! is known by its prompt, never by what was sent. A session whose state is in doubt is not clean, for good.

mod exchange;
mod modes;
pub mod reader;
mod report;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use self::exchange::Trouble;
use self::modes::Modes;
use self::reader::{Prompts, Reader, Rules};
use self::report::{excerpt, quoted};
use crate::driver::{
    Answer, Clearance, CliScript, DriverError, Phase, Protocol, Ruling, SendOutcome,
};
use crate::plan::CliProfile;
use crate::secret::Secret;

/// Bytes that are kept of an answer where the driver does not say otherwise.
const OUTPUT_LIMIT: usize = 8 << 20;
/// What looks like the first prompt is taken for it once nothing follows it for so long.
const SETTLE: Duration = Duration::from_millis(100);
/// An empty line asks for a prompt once a login has been silent for so long.
const NUDGE: Duration = Duration::from_secs(2);

/// A session at a prompt that is known.
pub struct Shell<S> {
    stream: S,
    profile: Arc<CliProfile>,
    modes: Modes,
    enable: Option<Secret>,
    reader: Reader,
    buffer: Box<[u8]>,
    /// The prompt that it stands at; `None`: nobody knows.
    at: Option<usize>,
    /// The prompt that the login ended in.
    home: usize,
}

impl<S> fmt::Debug for Shell<S> {
    /// Without what was read: it may hold anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell")
            .field("profile", &self.profile.name)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// A reader of this profile's sessions that keeps `limit` bytes of an answer.
pub fn reader_of(profile: &CliProfile, limit: usize) -> Result<Reader, regex::Error> {
    let patterns = profile.prompts.iter().map(|prompt| &*prompt.pattern);
    Ok(Reader::new(
        Prompts::new(patterns)?,
        rules_of(profile),
        limit,
    ))
}

/// What a profile says of output.
pub fn rules_of(profile: &CliProfile) -> Rules {
    Rules {
        pager: profile.paging.as_ref().map(|paging| paging.more.clone()),
        questions: profile
            .confirm
            .iter()
            .map(|confirm| confirm.question.clone())
            .collect(),
        secret: profile.secret_prompt.clone(),
        failures: profile.failures.clone(),
        ignored: profile.ignore.clone(),
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Shell<S> {
    /// Awaits the first prompt and sends the profile's `open` lines. `enable` is what a mode that asks
    /// for a password is given. Whatever goes wrong, nothing of a call was sent.
    pub async fn open(
        stream: S,
        profile: &Arc<CliProfile>,
        enable: Option<&Secret>,
        clearance: &Clearance,
    ) -> Result<Self, DriverError> {
        Self::open_within(stream, profile, enable, OUTPUT_LIMIT, clearance).await
    }

    /// As [`Shell::open`], with the bytes that are kept of an answer.
    pub async fn open_within(
        stream: S,
        profile: &Arc<CliProfile>,
        enable: Option<&Secret>,
        limit: usize,
        clearance: &Clearance,
    ) -> Result<Self, DriverError> {
        let reader = reader_of(profile, limit).map_err(|error| {
            DriverError::not_sent(Phase::Open, format!("the profile's prompts: {error}"))
        })?;
        let mut shell = Self {
            stream,
            modes: Modes::of(profile),
            profile: Arc::clone(profile),
            enable: enable.cloned(),
            reader,
            buffer: vec![0; 8192].into(),
            at: None,
            home: 0,
        };
        let first = shell.first_prompt(clearance).await;
        shell.home = first.map_err(|trouble| {
            let detail = format!("no prompt of the profile `{}` came: ", profile.name);
            shell.not_sent(trouble, Phase::Open, &detail)
        })?;
        shell.at = Some(shell.home);
        for line in &profile.open {
            let before = |shell: &Self, trouble| {
                let detail = format!("the opening line {}: ", quoted(line));
                shell.not_sent(trouble, Phase::Open, &detail)
            };
            clearance
                .check()
                .map_err(|refusal| before(&shell, Trouble::Refused(refusal)))?;
            let said = shell.say(line, clearance).await;
            let said = said.map_err(|trouble| before(&shell, trouble))?;
            if let Some(failure) = said.failure {
                let detail = format!(
                    "the opening line {} was refused: {}",
                    quoted(line),
                    shell.scrubbed(&excerpt(&failure))
                );
                return Err(DriverError::not_sent(Phase::Open, detail));
            }
        }
        shell.home = shell.at.unwrap_or(shell.home);
        Ok(shell)
    }

    /// Runs the lines of a script. Whatever the outcome, [`Shell::is_clean`] says whether the session
    /// may be used again.
    pub async fn run(
        &mut self,
        script: &CliScript,
        clearance: &Clearance,
    ) -> Result<Answer, DriverError> {
        let target = self.check(script)?;
        if let Err(trouble) = self.go(target, clearance).await {
            let mode = &self.profile.prompts[target].name;
            let detail = format!("entering the mode `{mode}`: ");
            let error = self.not_sent(trouble, Phase::Open, &detail);
            self.go_home(clearance).await;
            return Err(error);
        }
        let answer = self.lines(script, target, clearance).await?;
        self.go_home(clearance).await;
        Ok(answer)
    }

    /// Whether it stands at the prompt that a login ends in, with nothing unread.
    pub fn is_clean(&self) -> bool {
        self.at == Some(self.home)
    }

    /// Gives the stream back.
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// What can be refused before a byte is written; the prompt of the script's mode.
    fn check(&self, script: &CliScript) -> Result<usize, DriverError> {
        let refuse = |detail: String| Err(DriverError::not_sent(Phase::Open, detail));
        if !self.is_clean() {
            return refuse("the session is not at its first prompt".into());
        }
        // The encoder of the position refuses such values; a line that is two would be one line too many.
        let controls = |line: &String| line.chars().any(char::is_control);
        if let Some(at) = script.lines.iter().position(controls) {
            return refuse(format!("line {} holds a control character", at + 1));
        }
        match &script.mode {
            None => Ok(self.home),
            Some(mode) => match self.modes.index(mode) {
                Some(target) => Ok(target),
                None => refuse(format!(
                    "the profile `{}` has no mode `{mode}`",
                    self.profile.name
                )),
            },
        }
    }

    /// The lines, one after the other; then what puts them into force, and what saves them.
    async fn lines(
        &mut self,
        script: &CliScript,
        target: usize,
        clearance: &Clearance,
    ) -> Result<Answer, DriverError> {
        let total = script.lines.len();
        let commit = self.modes.mode(target).map(|mode| mode.commit.clone());
        let commit = commit.unwrap_or_default();
        let mut text = String::new();
        let mut cut = false;
        let lines = script.lines.iter().map(String::as_str);
        for (index, line) in lines.chain(commit.iter().map(|line| &**line)).enumerate() {
            // What is put into force is all that came before: until then nothing of it is.
            let applied = index.min(total);
            let what = match index < total {
                true => format!("line {} of {total}, {}", index + 1, quoted(line)),
                false => format!("{} after line {total} of {total}", quoted(line)),
            };
            let answer = |ruling: Ruling, text: String, cut: bool| {
                let status = u16::try_from(applied.min(total - 1) + 1).unwrap_or(u16::MAX);
                answered(status, text, cut, ruling)
            };
            if let Err(refusal) = clearance.check() {
                let why = report::refusal(refusal);
                if index == 0 {
                    return Err(DriverError::refused(refusal, Phase::Send, why));
                }
                // Nothing more is written, so the session ends where it is.
                self.at = None;
                let detail = format!("{what}, was not sent: {why}");
                let ruling = match commit.is_empty() {
                    true => partly(applied, total, detail),
                    false => Ruling::Unclear { detail },
                };
                return Ok(answer(ruling, text, cut));
            }
            let said = match self.say(line, clearance).await {
                Ok(said) => said,
                Err(trouble) => {
                    self.at = None;
                    let before = match applied {
                        0 => String::new(),
                        _ => format!("; {applied} before it were taken"),
                    };
                    let why = self.scrubbed(&trouble.to_string()).into_owned();
                    let detail = format!("{what}: {why}{before}");
                    return Err(DriverError::unknown(Phase::Wait, detail));
                }
            };
            if index < total {
                cut |= said.cut;
                text.push_str(&said.text);
            }
            if said.failure.is_none() {
                continue;
            }
            let heard = excerpt(&said.text);
            let detail = format!("{what}, was refused: {}", self.scrubbed(&heard));
            let gone = self.abandon(clearance).await;
            let ruling = match (commit.is_empty(), gone) {
                (true, _) => partly(applied, total, detail),
                (false, true) => Ruling::NotDone {
                    reply: None,
                    detail: detail + "; what came before it was thrown away",
                },
                (false, false) => Ruling::Unclear {
                    detail: detail + "; what came before it could not be thrown away",
                },
            };
            return Ok(answer(ruling, text, cut));
        }
        let ruling = match script.save {
            true => self.save(total, clearance).await,
            false => Ruling::ByStatus,
        };
        Ok(answered(0, text, cut, ruling))
    }

    /// Throws away what was entered in the mode that it stands in and not put into force; whether the
    /// device did.
    async fn abandon(&mut self, clearance: &Clearance) -> bool {
        let mode = self.at.and_then(|at| self.modes.mode(at)).cloned();
        let lines = mode.map_or(Vec::new(), |mode| mode.abandon);
        for line in &lines {
            match self.say(line, clearance).await {
                Ok(said) if said.failure.is_none() => {}
                _ => return false,
            }
        }
        !lines.is_empty()
    }

    /// Makes what is in force survive a restart. Every line was taken, whatever becomes of this.
    async fn save(&mut self, total: usize, clearance: &Clearance) -> Ruling {
        let profile = Arc::clone(&self.profile);
        let all = format!("all {total} lines are in force, but they are not saved: ");
        let unclear = |shell: &mut Self, trouble: Trouble| {
            shell.at = None;
            Ruling::Unclear {
                detail: format!("{all}{}", shell.scrubbed(&trouble.to_string())),
            }
        };
        let mode = self.modes.index(&profile.save_mode).unwrap_or(self.home);
        if !profile.save.is_empty()
            && let Err(trouble) = self.go(mode, clearance).await
        {
            return unclear(self, trouble);
        }
        for line in &profile.save {
            if let Err(refusal) = clearance.check() {
                return unclear(self, Trouble::Refused(refusal));
            }
            match self.say(line, clearance).await {
                Ok(said) if said.failure.is_none() => {}
                Ok(said) => {
                    let heard = excerpt(&said.text);
                    let detail = format!("{all}{}: {}", quoted(line), self.scrubbed(&heard));
                    return partly(total, total, detail);
                }
                Err(trouble) => return unclear(self, trouble),
            }
        }
        Ruling::ByStatus
    }

    /// Trouble before the first line of a call: nothing of it was sent.
    fn not_sent(&self, trouble: Trouble, phase: Phase, what: &str) -> DriverError {
        let detail = format!("{what}{trouble}");
        let detail = self.scrubbed(&detail).into_owned();
        match trouble {
            Trouble::Refused(refusal) => DriverError::refused(refusal, phase, detail),
            Trouble::Unauthorized(_) => DriverError {
                outcome: SendOutcome::Unauthorized,
                ..DriverError::not_sent(Phase::Authenticate, detail)
            },
            _ => DriverError::not_sent(phase, detail),
        }
    }
}

fn answered(status: u16, text: String, cut: bool, ruling: Ruling) -> Answer {
    Answer {
        status,
        body: text.into(),
        body_error: cut.then(|| "the output is longer than `limits.response_body`".to_owned()),
        sends: 1,
        protocol: Protocol::Cli,
        ruling,
        ..Answer::default()
    }
}

fn partly(applied: usize, total: usize, detail: String) -> Ruling {
    match applied {
        0 => Ruling::NotDone {
            reply: None,
            detail,
        },
        _ => Ruling::Partly {
            applied,
            total,
            detail,
        },
    }
}
