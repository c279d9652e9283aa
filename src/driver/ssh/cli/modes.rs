//! From one mode to another: up by the lines that leave, down by the lines that enter, and the prompt alone
//! says what was reached.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use super::Shell;
use super::exchange::Trouble;
use super::report::{excerpt, quoted};
use crate::driver::Clearance;
use crate::plan::{CliProfile, Mode};

/// Steps from one mode to another: more than any command line has modes inside each other.
const STEPS: usize = 16;

/// The modes of a profile by the indexes of their prompts.
#[derive(Clone, Debug)]
pub struct Modes {
    profile: Arc<CliProfile>,
}

impl Modes {
    pub fn of(profile: &Arc<CliProfile>) -> Self {
        Self {
            profile: Arc::clone(profile),
        }
    }

    /// The prompt of a mode.
    pub fn index(&self, name: &str) -> Option<usize> {
        let mut prompts = self.profile.prompts.iter();
        prompts.position(|prompt| *prompt.name == *name)
    }

    /// How a mode is entered and left; `None` for the one that all others are entered from.
    pub fn mode(&self, prompt: usize) -> Option<&Mode> {
        let name = &self.profile.prompts[prompt].name;
        self.profile.modes.iter().find(|mode| mode.name == *name)
    }

    /// A mode and those it is entered from, itself first.
    fn way_up(&self, prompt: usize) -> Vec<usize> {
        let mut way = vec![prompt];
        while let Some(mode) = self.mode(way[way.len() - 1])
            && let Some(from) = self.index(&mode.from)
            && way.len() <= STEPS
        {
            way.push(from);
        }
        way
    }

    /// The next step on the way: the mode to enter, or `None` for leaving the one it stands in.
    fn next(&self, at: usize, target: usize) -> Option<usize> {
        let way = self.way_up(target);
        let below = way.iter().position(|prompt| *prompt == at)?;
        below.checked_sub(1).map(|next| way[next])
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Shell<S> {
    /// Goes to the mode of a prompt.
    pub(super) async fn go(&mut self, target: usize, clearance: &Clearance) -> Result<(), Trouble> {
        for _ in 0..STEPS {
            let Some(at) = self.at else {
                return Err(Trouble::Elsewhere("the session is in doubt".into()));
            };
            if at == target {
                return Ok(());
            }
            match self.modes.next(at, target) {
                Some(next) => self.enter(next, clearance).await?,
                None => self.leave(at, clearance).await?,
            }
        }
        let name = &self.profile.prompts[target].name;
        Err(Trouble::Elsewhere(format!(
            "the prompt of `{name}` did not come"
        )))
    }

    /// Goes back to the prompt that the login ended in, where that can be done: [`Shell::is_clean`] tells.
    pub(super) async fn go_home(&mut self, clearance: &Clearance) {
        if self.at.is_some() && self.go(self.home, clearance).await.is_err() {
            self.at = None;
        }
    }

    async fn enter(&mut self, prompt: usize, clearance: &Clearance) -> Result<(), Trouble> {
        let Some(mode) = self.modes.mode(prompt).cloned() else {
            return Err(Trouble::Elsewhere("no lines enter it".into()));
        };
        let mut heard = String::new();
        for line in &mode.enter {
            clearance.check().map_err(Trouble::Refused)?;
            let said = match mode.asks_secret {
                true => self.say_with_secret(line, clearance).await?,
                false => self.say(line, clearance).await?,
            };
            heard = match said.text.trim() {
                "" => format!("{} was answered with another prompt", quoted(line)),
                text => format!("{} was answered with: {}", quoted(line), excerpt(text)),
            };
            if said.failure.is_some() {
                break;
            }
        }
        match (self.at == Some(prompt), mode.asks_secret) {
            (true, _) => Ok(()),
            (false, true) => Err(Trouble::Unauthorized(heard)),
            (false, false) => Err(Trouble::Elsewhere(heard)),
        }
    }

    /// Leaves the mode, or the innermost of the modes that share its prompt.
    async fn leave(&mut self, prompt: usize, clearance: &Clearance) -> Result<(), Trouble> {
        let Some(mode) = self.modes.mode(prompt).cloned() else {
            return Err(Trouble::Elsewhere("no lines leave it".into()));
        };
        for line in &mode.leave {
            self.say(line, clearance).await?;
        }
        Ok(())
    }
}
