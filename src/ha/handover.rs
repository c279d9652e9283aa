//! Giving the peer leave to take over: what an active node does before it gives its word, and what the word is.

use std::time::Duration;

use tracing::{info, warn};

use super::decide;
use super::machine::Machine;
use super::memory::{Memory, Was};
use super::peer::{Ask, Granted};
use super::status::Role;
use crate::clock::Boottime;

/// For so long a node that gave its leave waits for the peer's take-over.
const PATIENCE: Duration = Duration::from_secs(10);

impl Machine {
    /// Gives the peer leave to take over, and what it must have for it.
    pub(super) async fn yield_to(&mut self, ask: &Ask) -> Result<Granted, String> {
        // A server that hung a moment ago is not waited for again: the peer waits for this answer.
        if self.server.is_some() {
            self.look().await;
        }
        let server_answers = self.server.is_some();
        let was_active = self.role == Role::Active;
        if was_active {
            let serves = self.here_since.is_some() && server_answers;
            if serves && !ask.ordered {
                return Err(format!(
                    "{} is active in epoch {} and has the address",
                    self.parts.node, self.memory.epoch
                ));
            }
            if ask.epoch < self.memory.epoch {
                return Err(format!(
                    "{} knows nothing of epoch {}",
                    ask.node, self.memory.epoch
                ));
            }
            self.step_down(ask).await?;
        } else if !ask.ordered && decide::takes_over_itself(&self.seen()) {
            return Err(format!("{} takes over itself", self.parts.node));
        }
        self.granted_until = Some(Boottime::now() + PATIENCE);
        self.hand_over_what_is_here();
        let known = self.server.as_ref();
        let orderly = matches!(self.memory.was, Was::Yielded { .. } | Was::Standby);
        Ok(Granted {
            was_active,
            follows: server_answers && (orderly || self.role == Role::Standby),
            epoch: known
                .and_then(|server| server.epoch.as_ref())
                .map_or(self.memory.epoch, |row| row.epoch.max(self.memory.epoch)),
            position: match was_active {
                true => match self.memory.was {
                    Was::Yielded { at } => at,
                    _ => None,
                },
                // What is being replaced is nobody's to wait for.
                false if self.memory.was == Was::New => None,
                false => known.and_then(|server| server.position),
            },
        })
    }

    /// A fenced node that was active has written nothing since its server was made read-only: with this leave the peer waits for
    /// its newest commit, and nothing of it is unknown any more.
    fn hand_over_what_is_here(&mut self) {
        let position = self.server.as_ref().filter(|server| server.read_only);
        let position = position.and_then(|server| server.position);
        if self.role == Role::Fenced && self.memory.was == Was::Active && position.is_some() {
            let memory = Memory {
                was: Was::Yielded { at: position },
                ..self.memory.clone()
            };
            self.remember(memory);
        }
    }

    /// Shuts the gate, lets what is in hand end, makes the server read-only, and remembers the last commit.
    async fn step_down(&mut self, ask: &Ask) -> Result<(), String> {
        info!(to = ask.node, ordered = ask.ordered, "handing over");
        self.role = Role::Demoting;
        self.gate.close();
        self.say("waiting for what is in hand");
        // Without a server nothing in hand can be written down.
        let patience = match (ask.ordered, self.server.is_some()) {
            (true, _) => 10,
            (false, true) => 1,
            (false, false) => 0,
        };
        let deadline = Boottime::now() + Duration::from_secs(patience);
        while self.parts.relay.in_hand().0 > 0 && deadline.remaining().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            self.publish();
        }
        if ask.ordered && self.parts.relay.in_hand().0 > 0 {
            return Err(self.go_on("a call in hand did not end within 10 s"));
        }
        self.say("making the server read-only");
        let fenced = match self.server.is_some() {
            true => self.control.fence().await,
            false => Ok(()),
        };
        if let Err(error) = fenced {
            let words = format!("the server cannot be made read-only: {error:#}");
            return Err(self.go_on(&words));
        }
        let at = match self.server.is_some() {
            true => self.control.binlog_position().await.ok().flatten(),
            false => None,
        };
        let memory = Memory {
            was: match at {
                Some(at) => Was::Yielded { at: Some(at) },
                // What it holds and nobody was told must be looked for before it follows.
                None => Was::Active,
            },
            ..self.memory.clone()
        };
        let remembered = self.remember(memory);
        self.step = None;
        self.become_fenced(&format!("handed over to {}", ask.node));
        match remembered {
            true => Ok(()),
            false => Err("the state file cannot be written".to_owned()),
        }
    }

    /// A hand-over that was not ended: active as before.
    fn go_on(&mut self, why: &str) -> String {
        warn!(reason = why, "not handed over");
        self.role = Role::Active;
        self.step = None;
        why.to_owned()
    }
}
