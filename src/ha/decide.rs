//! What a node does next, from what it sees: a pure function, so that each row of the table is a test.

use super::memory::Was;
use super::status::{Role, ServerView, Status};

/// What the machine sees at one tick.
#[derive(Clone, Debug)]
pub struct Seen<'s> {
    pub me: &'s str,
    pub role: Role,
    pub epoch: i64,
    pub was: Was,
    pub paused: bool,
    pub standalone: bool,
    pub automatic: bool,
    /// A take-over from silence is blocked by one before it.
    pub blocked: bool,
    /// The address has been here without a break for so long.
    pub vip: Vip,
    /// `None`: this node's server does not answer.
    pub server: Option<&'s ServerView>,
    /// `None`: the peer's relay was silent for a while.
    pub peer: Option<&'s Status>,
    /// The last that was heard of the peer said that it was active in our epoch and that we confirmed.
    pub in_sync: bool,
    /// We promised the peer a moment ago that it may take over.
    pub granted: bool,
    /// The epoch of the peer's server, where it is newer than what was to be confirmed.
    pub confirmed_epoch: Option<i64>,
}

/// The address, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vip {
    Elsewhere,
    Here,
    /// Long enough not to be a moment's overlap.
    HereToStay,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing; the reasons say what is in the way of something better.
    Stay(Vec<String>),
    /// Stop being active, at once.
    Fence(String),
    /// Make the server follow the peer's; `demote` where it wrote by itself before.
    Follow {
        demote: bool,
    },
    /// Replication runs and has caught up.
    BecomeStandby,
    TakeOver(Cause),
}

/// Why a take-over is tried: it decides what it may rest upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The address came to a standby.
    Address,
    /// A node that was active and only restarted, by its peer's leave alone.
    Return,
    /// A node that a person told to go on without a standby.
    Standalone,
}

/// How many seconds a standby may lag and still count as one.
const LAG_S: u64 = 10;

pub fn next(seen: &Seen<'_>) -> Next {
    match seen.role {
        Role::Active => active(seen),
        Role::Standby => standby(seen),
        Role::Fenced => fenced(seen),
        // Only the steps themselves leave these.
        Role::Promoting | Role::Demoting => Next::Stay(Vec::new()),
    }
}

fn active(seen: &Seen<'_>) -> Next {
    if let Some(newer) = newer_epoch(seen) {
        return Next::Fence(newer);
    }
    let Some(server) = seen.server else {
        return stay("this node's server does not answer: no write is taken");
    };
    if server.read_only {
        return Next::Fence(
            "this node's server is read-only: it was restarted, or somebody made it so".into(),
        );
    }
    if seen.vip == Vip::Elsewhere {
        return stay("the address is not here: no write is taken until it is");
    }
    Next::Stay(Vec::new())
}

/// Somebody else has been promoted since.
fn newer_epoch(seen: &Seen<'_>) -> Option<String> {
    let row = seen.server.and_then(|server| server.epoch.as_ref());
    if let Some(row) = row.filter(|row| row.epoch > seen.epoch) {
        return Some(format!("{} was promoted in epoch {}", row.node, row.epoch));
    }
    if let Some(epoch) = seen.confirmed_epoch.filter(|epoch| *epoch > seen.epoch) {
        return Some(format!("the other node's server is in epoch {epoch}"));
    }
    let peer = seen.peer?;
    let busy = matches!(peer.role, Role::Active | Role::Promoting);
    (busy && peer.epoch > seen.epoch).then(|| {
        format!(
            "{} is {} in epoch {}",
            peer.node,
            peer.role.name(),
            peer.epoch
        )
    })
}

fn standby(seen: &Seen<'_>) -> Next {
    let Some(server) = seen.server else {
        return stay("this node's server does not answer");
    };
    let Some(replication) = &server.replication else {
        return Next::Fence("replication is not configured any more".into());
    };
    let mut reasons = Vec::new();
    if !server.read_only {
        return Next::Fence("this node's server is writable, and a standby's must not be".into());
    }
    if let Some(error) = &replication.sql_error {
        return Next::Fence(format!(
            "replication has stopped: {error}; `cmp-relay ha rejoin` says what this node is"
        ));
    }
    match seen.peer {
        Some(peer) if peer.role == Role::Active && peer.epoch >= seen.epoch => {
            // A peer that has the address will not yield; one that lost it will.
            if seen.vip == Vip::HereToStay && !peer.vip && !seen.paused {
                return take_over(seen);
            }
            match &replication.io_error {
                Some(error) => {
                    reasons.push(format!("replication cannot reach the active node: {error}"))
                }
                // A server that was restarted waits to be told.
                None if !replication.sql || replication.io == "No" => {
                    if !seen.paused {
                        return Next::Follow { demote: false };
                    }
                    reasons.push(
                        "replication was stopped, and nothing is started while paused".into(),
                    );
                }
                None if !replication.runs() => reasons.push("replication is connecting".into()),
                None => {}
            }
        }
        Some(peer) if matches!(peer.role, Role::Promoting | Role::Demoting) => {
            reasons.push(format!("{} is {}", peer.node, peer.role.name()));
        }
        Some(peer) => {
            if seen.vip != Vip::Elsewhere {
                return take_over(seen);
            }
            reasons.push(format!(
                "{} is {}, and the address is not here",
                peer.node,
                peer.role.name()
            ));
        }
        None => {
            if seen.vip != Vip::Elsewhere {
                return take_over(seen);
            }
            reasons.push("the peer is silent, and the address is not here".into());
        }
    }
    Next::Stay(reasons)
}

/// Whether the address makes this standby take over: by what is so now, or as soon as the peer that was active is known
/// to be so no more.
pub fn takes_over_itself(seen: &Seen<'_>) -> bool {
    let unheard = Seen {
        peer: None,
        ..seen.clone()
    };
    [seen, &unheard]
        .iter()
        .any(|seen| next(seen) == Next::TakeOver(Cause::Address))
}

/// What happens by itself is subject to what people said.
fn take_over(seen: &Seen<'_>) -> Next {
    if seen.paused {
        return stay("paused: nothing happens by itself; `cmp-relay ha resume`");
    }
    if !seen.automatic {
        return stay("`ha.failover: manual`: `cmp-relay ha promote` takes over");
    }
    if seen.granted {
        return stay("the peer was given leave to take over, and is awaited");
    }
    if seen.blocked {
        return stay(
            "a failover a short while ago blocks the next one; `cmp-relay ha acknowledge`, or `cmp-relay ha promote`",
        );
    }
    if seen.peer.is_none() && !seen.in_sync {
        return stay(
            "the peer is silent, and this node did not have all of it when it fell silent; \
             bring it back, or accept the loss: `cmp-relay ha promote --force`",
        );
    }
    Next::TakeOver(Cause::Address)
}

fn fenced(seen: &Seen<'_>) -> Next {
    let Some(server) = seen.server else {
        return stay("this node's server does not answer");
    };
    let Some(peer) = seen.peer else {
        if seen.standalone && seen.was == Was::Active && !seen.paused {
            return Next::TakeOver(Cause::Standalone);
        }
        return stay(&format!(
            "the peer is silent, and this node {}; bring the peer back, or accept what it may have alone: \
             `cmp-relay ha promote --force`",
            match seen.was {
                Was::New => "has no rows that it could answer for",
                Was::Active => "was active when it stopped",
                Was::Yielded { .. } => "has handed over",
                Was::Standby => "was a standby when it stopped",
            }
        ));
    };
    match peer.role {
        Role::Active if peer.epoch >= seen.epoch => behind(seen, server, peer),
        Role::Promoting | Role::Demoting => stay(&format!("{} is {}", peer.node, peer.role.name())),
        _ => both_idle(seen, server, peer),
    }
}

/// The peer is active: what keeps this node from following it?
fn behind(seen: &Seen<'_>, server: &ServerView, peer: &Status) -> Next {
    if seen.was == Was::New {
        return stay(
            "this node has no rows, or some that were not compared: `cmp-relay ha rejoin --rebuild` takes the active \
             one's (before the first start of a relay: `cmp-relay ha bootstrap`)",
        );
    }
    match &server.replication {
        Some(replication) => {
            if let Some(error) = replication.error() {
                return stay(&format!(
                    "replication does not run: {error}; `cmp-relay ha rejoin` says what this node is"
                ));
            }
            if replication.runs()
                && server.newest_epoch() == peer.epoch
                && replication.lag_s.is_some_and(|lag| lag <= LAG_S)
            {
                return Next::BecomeStandby;
            }
            match replication.sql && replication.io != "No" {
                true => stay("replication is catching up"),
                false => Next::Follow { demote: false },
            }
        }
        // What was handed over is all that this node had; the new active one began there.
        None => match seen.was {
            Was::Yielded { at }
                if at.map(|at| at.sequence) == server.position.map(|at| at.sequence) =>
            {
                Next::Follow { demote: true }
            }
            _ => stay(
                "this node was active when it was lost: `cmp-relay ha rejoin` says what it has that the other has not",
            ),
        },
    }
}

/// Neither is active: the one that was goes on, by the other's leave.
fn both_idle(seen: &Seen<'_>, server: &ServerView, peer: &Status) -> Next {
    let Some(row) = &server.epoch else {
        return stay(
            "no node has been active yet: `cmp-relay ha promote --force` on the one that has the data",
        );
    };
    if seen.was == Was::New {
        return stay(
            "this node's rows are not whole, and no node is active: `cmp-relay ha promote` on the other one",
        );
    }
    // What it was copying was ours.
    let theirs = peer.server.as_ref().filter(|_| peer.was != Was::New);
    let their_epoch = theirs.map_or(0, ServerView::newest_epoch);
    if their_epoch > row.epoch {
        return stay(&format!(
            "{} holds a newer epoch, and has to go first",
            peer.node
        ));
    }
    let commits = |server: Option<&ServerView>| {
        server
            .and_then(|server| server.position)
            .map_or(0, |at| at.sequence)
    };
    let (ours, others) = (commits(seen.server), commits(theirs));
    if row.node != seen.me && theirs.is_none() && peer.was != Was::New {
        return stay(&format!(
            "{} was active last, and its server does not answer: what it has is not known; if it cannot be brought \
             back: `cmp-relay ha promote --force`",
            row.node
        ));
    }
    if others > ours && their_epoch == row.epoch {
        return stay(&format!(
            "{} holds newer commits, and has to go first",
            peer.node
        ));
    }
    if row.node != seen.me && ours == others {
        return stay(&format!(
            "{} was active last, and goes first; if it cannot: `cmp-relay ha promote`",
            row.node
        ));
    }
    if peer.asking || seen.granted {
        return stay(&format!("{} is taking over", peer.node));
    }
    if seen.paused {
        return stay("paused: nothing happens by itself; `cmp-relay ha resume`");
    }
    Next::TakeOver(Cause::Return)
}

fn stay(reason: &str) -> Next {
    Next::Stay(vec![reason.to_owned()])
}

#[cfg(test)]
mod tests;
