//! What a node that was away is to the one that is active now: whether what it has is a part of what the other one has.
//!
//! Two things say it, and either suffices for *diverged*. The recorded fork, which is the first promotion that the
//! node did not see and the last commit before it; and the node's own binary log, where what it wrote itself ends.
//! A row that was written by a dump or by somebody with privileges is behind no fork, and is found in the log alone.

use std::fmt;

use anyhow::{Context, Result};

use super::control::Control;
use super::status::EpochRow;
use crate::store::Position;

/// What a node is to the active one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It ends where the other began.
    Clean,
    /// It lacks commits from before the fork.
    Behind,
    /// It has commits that the other has not.
    Diverged,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clean => "clean",
            Self::Behind => "behind",
            Self::Diverged => "diverged",
        })
    }
}

/// A class and what it rests upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    pub class: Class,
    /// The node's newest promotion; 0 where it knows of none.
    pub epoch: i64,
    /// The last commit before the first promotion that it did not see, where that is recorded.
    pub fork: Option<Position>,
    /// The newest commit that the active node does not have, or the newest at all.
    pub newest: Option<Position>,
}

/// Asks both servers what the node of the one is to that of the other.
pub async fn judge(here: &mut Control, active: &mut Control) -> Result<Judgement> {
    let own = here.look().await?;
    let log = here.log().await?;
    let promotions = active.epochs().await.context("the active node's server")?;
    let theirs = active.log().await.context("the active node's server")?;
    let epoch = own.newest_epoch();
    let (class, fork) = classify(own.position, epoch, &promotions);
    let errant = errant(&log, own.epoch.as_ref(), &theirs, &promotions);
    Ok(Judgement {
        class: errant.map_or(class, |_| Class::Diverged),
        epoch,
        fork,
        newest: errant.or(own.position),
    })
}

/// By the node's newest commit, its newest epoch, and the other's promotions, oldest first.
fn classify(
    position: Option<Position>,
    epoch: i64,
    promotions: &[EpochRow],
) -> (Class, Option<Position>) {
    let fork = promotions.iter().find(|row| row.epoch > epoch);
    let Some(fork) = fork else {
        return (Class::Clean, None);
    };
    let class = match (position, fork.fork) {
        (None, _) => Class::Behind,
        (Some(at), Some(fork)) if at == fork => Class::Clean,
        (Some(at), Some(fork)) if at.sequence < fork.sequence => Class::Behind,
        _ => Class::Diverged,
    };
    (class, fork.fork)
}

/// What a server's binary log says of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub server: u32,
    /// The last commit in it, whoever wrote it (`@@gtid_binlog_pos`).
    pub end: Option<Position>,
    /// The newest commit of each server whose commits it has (`@@gtid_binlog_state`).
    pub newest: Vec<Position>,
}

impl Log {
    fn newest_of(&self, server: u32) -> Option<Position> {
        newest_of(server, self.newest.iter().copied())
    }
}

fn newest_of(server: u32, commits: impl Iterator<Item = Position>) -> Option<Position> {
    commits
        .filter(|commit| commit.server == server)
        .max_by_key(|commit| commit.sequence)
}

/// The newest commit that the node wrote itself, if the active one does not have it.
///
/// Of other servers' commits nothing is concluded: a log begins anew with a rebuild, and lacks what was before. The
/// active one's may lack the node's for that reason, too, but each time that the node was active ended with a promotion of
/// the other, and its row names the node's last commit.
///
/// Numbers begin anew as well where somebody said `RESET MASTER`, and are then small enough to pass for old ones. But a node
/// that has the row of the other's promotion from replication has that after its own commits; one that was rebuilt
/// has no log; and one whose log ends with a commit of its own wrote it after the row.
pub fn errant(
    own: &Log,
    epoch: Option<&EpochRow>,
    active: &Log,
    promotions: &[EpochRow],
) -> Option<Position> {
    let wrote = own.newest_of(own.server)?;
    let forks = promotions.iter().filter_map(|row| row.fork);
    let known = newest_of(own.server, forks.chain(active.newest.iter().copied()));
    let last = promotions.last().zip(epoch);
    let after_the_others =
        own.end == Some(wrote) && last.is_some_and(|(theirs, known)| theirs.node == known.node);
    let is_known = known.is_some_and(|known| wrote.sequence <= known.sequence);
    (!is_known || after_the_others).then_some(wrote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row((epoch, node, fork): (i64, &str, &str)) -> EpochRow {
        EpochRow {
            epoch,
            node: node.into(),
            fork: Position::parse(fork),
        }
    }

    /// `a` has server 1 and `b` server 2; `a` is active.
    fn promotions() -> Vec<EpochRow> {
        [(1, "a", ""), (2, "b", "0-1-100"), (3, "a", "0-2-140")]
            .map(row)
            .into()
    }

    fn log(server: u32, end: &str, newest: &str) -> Log {
        Log {
            server,
            end: Position::parse(end),
            newest: newest.split(' ').filter_map(Position::parse).collect(),
        }
    }

    #[test]
    fn a_node_is_what_its_newest_commit_is_to_the_first_fork_that_it_missed() {
        for (position, epoch, class) in [
            ("0-1-100", 1, Class::Clean),
            ("0-1-99", 1, Class::Behind),
            ("0-1-101", 1, Class::Diverged),
            // The same number by another server is another commit.
            ("0-2-100", 1, Class::Diverged),
            ("0-2-140", 2, Class::Clean),
            ("0-2-150", 2, Class::Diverged),
            ("0-1-900", 3, Class::Clean),
        ] {
            let found = classify(Position::parse(position), epoch, &promotions());
            assert_eq!(found.0, class, "{position} in epoch {epoch}");
        }
        assert_eq!(classify(None, 0, &promotions()[1..]).0, Class::Behind);
    }

    #[test]
    fn an_unrecorded_fork_is_never_clean() {
        let mut promotions = promotions();
        promotions[1].fork = None;
        let found = classify(Position::parse("0-1-1"), 1, &promotions);
        assert_eq!(found.0, Class::Diverged);
    }

    /// What the log of `b` ends with and holds, the newest epoch that it knows, what the log of `a` holds, how many promotions
    /// there were; what is errant.
    const ERRANT: &str = "
        rebuilt, nothing applied since    | -       | -               | 3 | 0-1-160         | 3 | -
        rebuilt, and follows              | 0-1-160 | 0-1-160         | 3 | 0-1-160         | 3 | -
        ahead of the look at the other    | 0-1-170 | 0-1-170         | 3 | 0-1-160         | 3 | -
        follows the one that followed it  | 0-1-160 | 0-2-140 0-1-160 | 3 | 0-2-140 0-1-160 | 3 | -
        it ended at the fork              | 0-2-140 | 0-1-100 0-2-140 | 2 | 0-1-160 0-2-140 | 3 | -
        cut off before the fork           | 0-2-139 | 0-1-100 0-2-139 | 2 | 0-1-160 0-2-140 | 3 | -
        the other was rebuilt from it     | 0-1-160 | 0-2-140 0-1-160 | 3 | 0-1-160         | 3 | -
        the other's log began anew        | 0-2-140 | 0-2-140         | 2 | -               | 3 | -
        beyond the fork                   | 0-2-141 | 0-2-141         | 2 | 0-2-140 0-1-160 | 3 | 0-2-141
        beyond it, though it follows      | 0-1-160 | 0-2-150 0-1-160 | 3 | 0-1-160         | 3 | 0-2-150
        a standby that was written to     | 0-2-161 | 0-1-160 0-2-161 | 3 | 0-1-160 0-2-140 | 3 | 0-2-161
        and more was applied since        | 0-1-162 | 0-2-161 0-1-162 | 3 | 0-1-162 0-2-140 | 3 | 0-2-161
        before its first promotion        | 0-2-61  | 0-1-60 0-2-61   | 1 | 0-1-60          | 1 | 0-2-61
        a dump, never active              | 0-2-132 | 0-2-132         | 1 | 0-1-500         | 1 | 0-2-132
        a dump, active before             | 0-2-132 | 0-2-132         | 3 | 0-2-140 0-1-500 | 3 | 0-2-132
        a dump, and the other was rebuilt | 0-2-132 | 0-2-132         | 3 | 0-1-500         | 3 | 0-2-132
        an old dump                       | 0-2-132 | 0-2-132         | 1 | 0-2-140 0-1-500 | 3 | 0-2-132
        nothing but a log                 | 0-2-7   | 0-2-7           | 0 | 0-1-160         | 1 | 0-2-7";

    #[test]
    fn what_a_node_wrote_itself_and_the_active_one_lacks_is_errant() {
        for line in ERRANT.lines().skip(1) {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let [_, end, own, epoch, active, promoted, errant] = cells[..] else {
                panic!("{line}");
            };
            let promotions = &promotions()[..promoted.parse().unwrap()];
            let known = promotions.iter().find(|row| row.epoch.to_string() == epoch);
            let found = super::errant(&log(2, end, own), known, &log(1, "-", active), promotions);
            assert_eq!(found, Position::parse(errant), "{line}");
        }
    }

    /// Both were made active by force, each without the other.
    #[test]
    fn two_promotions_of_one_number_are_told_apart() {
        let both = [(4, "a", "0-1-160"), (4, "b", "0-1-160")].map(row);
        let own = log(2, "0-2-165", "0-1-160 0-2-165");
        let active = log(1, "0-1-170", "0-2-140 0-1-170");
        let errant = errant(&own, Some(&both[1]), &active, &both[..1]);
        assert_eq!(errant, Position::parse("0-2-165"));
    }
}
