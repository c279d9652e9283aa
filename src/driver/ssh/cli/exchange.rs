//! One line and its answer: written, its echo and its prompt awaited; pages turned and questions answered on
//! the way.

use std::fmt;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::reader::{Said, Sight};
use super::report::{excerpt, quoted, refusal};
use super::{NUDGE, SETTLE, Shell};
use crate::driver::{Clearance, Refusal};

/// Questions that one line may ask.
const QUESTIONS: usize = 8;

/// Why a line has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The time is over; what the last line was.
    Silence { last: String, echo: bool },
    /// The session ended.
    Ended(String),
    /// Leave to write was refused.
    Refused(Refusal),
    /// It asked and asked.
    Questions(String),
    /// The mode that was asked for was not entered.
    Elsewhere(String),
    /// The `enable` secret is missing, or was refused.
    Unauthorized(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Silence { last, echo } => {
                let missing = if *echo { "its echo" } else { "a prompt" };
                match last.trim() {
                    "" => write!(f, "{missing} did not come in time"),
                    last => write!(
                        f,
                        "{missing} did not come in time; last was {}",
                        quoted(last)
                    ),
                }
            }
            Trouble::Ended(why) => write!(f, "the session ended: {why}"),
            Trouble::Refused(why) => f.write_str(refusal(*why)),
            Trouble::Questions(last) => write!(f, "it keeps asking {}", quoted(last)),
            Trouble::Elsewhere(what) | Trouble::Unauthorized(what) => f.write_str(what),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Shell<S> {
    /// Awaits the first prompt of a login, past banners; the prompt, by its index.
    ///
    /// A banner may look like a prompt, so an empty line is sent, once, and what answers it is the prompt.
    pub(super) async fn first_prompt(&mut self, clearance: &Clearance) -> Result<usize, Trouble> {
        let mut asked = false;
        let mut answers = 0;
        loop {
            let seen = self.reader.first_prompt();
            if let Some((prompt, true)) = seen {
                self.reader.learn();
                return Ok(prompt);
            }
            let quiet = match (seen, self.reader.sight()) {
                (Some(_), _) if !asked => SETTLE,
                (None, Sight::Pager | Sight::Question(_)) => SETTLE,
                _ => NUDGE,
            };
            if self.read(Some(quiet), clearance).await? {
                continue;
            }
            match (seen, self.reader.sight()) {
                // Even a greeting may be paged.
                (None, Sight::Pager) => self.turn(clearance).await?,
                // The device answers an empty line with nothing; the prompt has stood for long.
                (Some((prompt, _)), _) if asked => {
                    self.reader.learn();
                    return Ok(prompt);
                }
                // Terms to be accepted, and the like.
                (None, Sight::Question(question)) if answers < QUESTIONS => {
                    answers += 1;
                    self.answer(question, clearance).await?;
                }
                _ if !asked => {
                    asked = true;
                    clearance.check().map_err(Trouble::Refused)?;
                    self.write("\n", clearance).await?;
                }
                _ => {}
            }
        }
    }

    /// Sends a line and awaits a prompt; what came between.
    pub(super) async fn say(&mut self, line: &str, clearance: &Clearance) -> Result<Said, Trouble> {
        self.at = None;
        self.reader.begin(line, false);
        self.write(&format!("{line}\n"), clearance).await?;
        let prompt = match self.hear(clearance).await? {
            Some(prompt) => prompt,
            None => return Err(self.silence()),
        };
        self.at = Some(prompt);
        Ok(self.reader.take())
    }

    /// Sends a line that the device may answer by asking for the `enable` secret; what came between, with
    /// nothing of the secret in it.
    pub(super) async fn say_with_secret(
        &mut self,
        line: &str,
        clearance: &Clearance,
    ) -> Result<Said, Trouble> {
        self.at = None;
        self.reader.begin(line, true);
        self.write(&format!("{line}\n"), clearance).await?;
        let mut given = false;
        let prompt = loop {
            match self.hear(clearance).await? {
                Some(prompt) => break prompt,
                None if given => {
                    let detail = "the device refused the `enable` secret";
                    return Err(Trouble::Unauthorized(detail.into()));
                }
                None => {
                    let Some(secret) = self.enable.clone() else {
                        let detail =
                            "the device asks for a password, and the backend has no `enable`";
                        return Err(Trouble::Unauthorized(detail.into()));
                    };
                    given = true;
                    clearance.check().map_err(Trouble::Refused)?;
                    self.reader.answered();
                    self.write(&format!("{}\n", secret.expose()), clearance)
                        .await?;
                }
            }
        };
        self.at = Some(prompt);
        let mut said = self.reader.take();
        said.text = self.scrubbed(&said.text).into_owned();
        Ok(said)
    }

    /// Awaits a prompt, by its index; `None`: it asks for a password.
    async fn hear(&mut self, clearance: &Clearance) -> Result<Option<usize>, Trouble> {
        let mut questions = 0;
        loop {
            match self.reader.sight() {
                Sight::Prompt(prompt) => return Ok(Some(prompt)),
                Sight::Secret => return Ok(None),
                Sight::Nothing => {
                    self.read(None, clearance).await?;
                }
                Sight::Pager => self.turn(clearance).await?,
                Sight::Question(question) => {
                    questions += 1;
                    if questions > QUESTIONS {
                        let last = self.reader.last().unwrap_or_default();
                        return Err(Trouble::Questions(excerpt(&last)));
                    }
                    self.answer(question, clearance).await?;
                }
            }
        }
    }

    /// Turns a page.
    async fn turn(&mut self, clearance: &Clearance) -> Result<(), Trouble> {
        self.reader.turned();
        let profile = std::sync::Arc::clone(&self.profile);
        let key = profile.paging.as_ref().map_or("", |paging| &paging.send);
        self.write(key, clearance).await
    }

    /// Answers a question, which can act: leave is asked for.
    async fn answer(&mut self, question: usize, clearance: &Clearance) -> Result<(), Trouble> {
        clearance.check().map_err(Trouble::Refused)?;
        self.reader.answered();
        let profile = std::sync::Arc::clone(&self.profile);
        self.write(&profile.confirm[question].send, clearance).await
    }

    /// Reads what comes next; `false`: nothing did, for as long as `quiet`.
    async fn read(
        &mut self,
        quiet: Option<Duration>,
        clearance: &Clearance,
    ) -> Result<bool, Trouble> {
        let Some(left) = clearance.deadline.remaining() else {
            return Err(self.silence());
        };
        let patience = quiet.map_or(left, |quiet| quiet.min(left));
        match timeout(patience, self.stream.read(&mut self.buffer)).await {
            Err(_) if quiet.is_some_and(|quiet| quiet < left) => Ok(false),
            Err(_) => Err(self.silence()),
            Ok(Ok(0)) => Err(self.ended("the device closed it")),
            Ok(Err(error)) => Err(self.ended(&error.to_string())),
            Ok(Ok(length)) => {
                self.reader.feed(&self.buffer[..length]);
                Ok(true)
            }
        }
    }

    async fn write(&mut self, text: &str, clearance: &Clearance) -> Result<(), Trouble> {
        let Some(left) = clearance.deadline.remaining() else {
            return Err(self.silence());
        };
        let written = async {
            self.stream.write_all(text.as_bytes()).await?;
            self.stream.flush().await
        };
        match timeout(left, written).await {
            Err(_) => Err(self.silence()),
            Ok(Err(error)) => Err(self.ended(&error.to_string())),
            Ok(Ok(())) => Ok(()),
        }
    }

    fn silence(&self) -> Trouble {
        Trouble::Silence {
            last: self.reader.last().unwrap_or_default(),
            echo: self.reader.awaits_echo(),
        }
    }

    fn ended(&self, why: &str) -> Trouble {
        let last = self.reader.last().unwrap_or_default();
        Trouble::Ended(match last.trim() {
            "" => why.to_owned(),
            last => format!("{why}; last was {}", quoted(last)),
        })
    }
}
