//! Whether the standby has what was committed, and what a request makes of it (SEMANTICS 18, 19).
//!
//! [`Confirm`] is whoever knows the standby (`ha/confirm.rs`). Without one, as on a single machine, nothing is
//! replicated and nothing is waited for.

use std::sync::Arc;
use std::time::Duration;

use super::replay::insert_text;
use super::route::Request;
use super::{Relay, Reply};
use crate::plan::{Confirm as Rule, Plan, Route};
use crate::store::{Async, Position};

/// What knows the standby.
pub trait Confirm: Send + Sync + 'static {
    /// Whether it confirmed when it was asked last; true until something else is known.
    fn answers(&self) -> bool;

    /// Whether it has applied the commit at `position`, made in `epoch`: waits for that, within its own bounds.
    fn applied(&self, position: Position, epoch: i64) -> Async<'_, bool>;
}

/// What the CMP is told of the standby: `Relay-Replicated`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replicated {
    Yes,
    /// Not known, or not waited for.
    No,
    /// There is no standby.
    Off,
}

impl Replicated {
    pub fn name(self) -> &'static str {
        match self {
            Replicated::Yes => "yes",
            Replicated::No => "no",
            Replicated::Off => "off",
        }
    }
}

/// Under `required`: the standby has not confirmed, and the request must not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unconfirmed;

/// `replication.confirm` of the route, or else of the server.
pub fn rule(plan: &Plan, route: Option<&Route>) -> Rule {
    let server = plan.server.replication.confirm;
    route.and_then(|route| route.confirm).unwrap_or(server)
}

/// That of a request.
pub fn rule_of(request: &Request) -> Rule {
    rule(&request.snapshot.plan, Some(request.route()))
}

impl Relay {
    /// Asks `standby` from now on; the first one stays. To be said before the first request.
    pub fn confirmed_by(&self, standby: Arc<dyn Confirm>) {
        let _ = self.standby.set(standby);
    }

    /// Whether what is read here may be missing on the standby, which then is told (SEMANTICS 20).
    pub fn reads_alone(&self) -> bool {
        let standby = self.standby.get();
        standby.is_some_and(|standby| self.gate.is_alone() || !standby.answers())
    }

    /// By how much a wait for the standby puts off the deadline of a call, at most.
    pub(super) fn patience(&self, request: &Request) -> Duration {
        match (rule_of(request), self.standby.get()) {
            (Rule::None, _) | (_, None) => Duration::ZERO,
            (Rule::Preferred | Rule::Required, Some(_)) => {
                request.snapshot.plan.server.replication.timeout
            }
        }
    }

    /// Whether a commit is waited for, as things are now.
    pub(super) fn waits(&self, rule: Rule) -> bool {
        let standby = self.standby.get();
        !self.gate.is_alone()
            && standby.is_some_and(|standby| match rule {
                Rule::None => false,
                Rule::Preferred => standby.answers(),
                Rule::Required => true,
            })
    }

    /// Whether the standby has the commit at `position`, made in `epoch`; waits for it as the rule says.
    pub(super) async fn replicated(
        &self,
        rule: Rule,
        position: Option<Position>,
        epoch: i64,
    ) -> Result<Replicated, Unconfirmed> {
        let Some(standby) = self.standby.get() else {
            return Ok(Replicated::Off);
        };
        if !self.waits(rule) {
            return Ok(Replicated::No);
        }
        // A commit whose place is not known cannot be asked for.
        let applied = match position {
            Some(position) => standby.applied(position, epoch).await,
            None => false,
        };
        match rule {
            _ if applied => Ok(Replicated::Yes),
            Rule::Required if !self.gate.is_alone() => Err(Unconfirmed),
            _ => Ok(Replicated::No),
        }
    }

    /// Puts beside a row that was read just now whether the standby has it. A node that is not active says
    /// nothing: it may be the standby.
    pub async fn tell_replicated(&self, reply: &mut Reply) {
        if self.gate.is_open()
            && let Ok(replicated) = self.row_replicated(Rule::Preferred).await
        {
            insert_text(&mut reply.headers, "relay-replicated", replicated.name());
        }
    }

    /// The same of a row that was read just now, in whatever epoch it was written: by the newest commit, which
    /// covers it.
    pub(super) async fn row_replicated(&self, rule: Rule) -> Result<Replicated, Unconfirmed> {
        let epoch = self.gate.epoch();
        let position = match rule {
            Rule::None => None,
            _ => self.journal.position().await,
        };
        self.replicated(rule, position, epoch).await
    }
}
