//! Whether the one server follows the other: of one promotion, with nothing of its own, and with the same rows.

use std::time::Duration;

use anyhow::Result;

use super::facts::{Facts, Server};
use super::report::{Fault, warning, wrong};
use crate::ha::status::EpochRow;
use crate::ha::{class, rebuild};

/// Commits in between make a comparison worthless; a busy pair has a quiet moment among so many.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(200);
const APPLIED_WITHIN: Duration = Duration::from_secs(10);

/// The newest promotion is the same on both.
pub fn epochs(own: &Facts, peer: &Facts) -> Vec<Fault> {
    match (own.promotions.last(), peer.promotions.last()) {
        (None, None) => vec![warning(
            &own.place,
            "no promotion is recorded: no node was ever active",
            "`cmp-relay ha promote` on the node that is to be active",
        )],
        (own_epoch, theirs) if own_epoch == theirs => Vec::new(),
        (own_epoch, theirs) => {
            let words = |row: Option<&EpochRow>| match row {
                Some(row) => format!("{} ({})", row.epoch, row.node),
                None => "none".to_owned(),
            };
            let what = format!(
                "the newest epoch is {} here and {} there",
                words(own_epoch),
                words(theirs)
            );
            vec![wrong(
                &peer.place,
                what,
                "`cmp-relay ha status` says who is active; `cmp-relay ha rejoin` on the other one",
            )]
        }
    }
}

/// One follows, the other is followed.
pub fn replication(own: &Facts, peer: &Facts) -> Vec<Fault> {
    let rejoin = "`cmp-relay ha rejoin` on the node that is to be the standby";
    let mut faults = Vec::new();
    let (standby, active) = match (&own.following, &peer.following) {
        (Some(_), Some(_)) => {
            return vec![wrong(
                &own.place,
                "each server follows the other: none of them is the active one's",
                rejoin,
            )];
        }
        (None, None) => {
            return vec![wrong(
                &own.place,
                "no server follows the other: there is no standby",
                rejoin,
            )];
        }
        (Some(_), None) => (own, peer),
        (None, Some(_)) => (peer, own),
    };
    if let Some(following) = standby
        .following
        .as_ref()
        .filter(|following| !following.runs())
    {
        let error = following.error().unwrap_or("it was stopped");
        let what = format!("replication does not run: {error}");
        faults.push(wrong(&standby.place, what, rejoin));
    }
    if standby.variable("read_only") != "ON" {
        faults.push(wrong(
            &standby.place,
            "the standby is writable",
            "SET GLOBAL read_only = 1; then `cmp-relay ha rejoin`",
        ));
    }
    if active.variable("read_only") == "ON" {
        faults.push(wrong(
            &active.place,
            "the server that the standby follows is read-only: no node is active",
            "`cmp-relay ha status` says why",
        ));
    }
    faults
}

/// What the standby's own server wrote that the other does not have; `None` where neither is the other's standby.
pub fn errant(own: &Facts, peer: &Facts) -> Option<Vec<Fault>> {
    fn role(node: &Facts) -> (bool, &str) {
        (node.following.is_some(), node.variable("read_only"))
    }
    let (standby, active) = match (role(own), role(peer)) {
        ((true, _), (false, _)) | ((false, "ON"), (false, "OFF")) => (own, peer),
        ((false, _), (true, _)) | ((false, "OFF"), (false, "ON")) => (peer, own),
        _ => return None,
    };
    let errant = class::errant(
        &standby.log,
        standby.promotions.last(),
        &active.log,
        &active.promotions,
    );
    let fault = errant.map(|errant| {
        wrong(
            &standby.place,
            format!("it wrote {errant} itself, and the active one does not have it: rows that only it has"),
            "find out who wrote there; then `cmp-relay ha rejoin --rebuild` on that node",
        )
    });
    Some(fault.into_iter().collect())
}

/// Compares the rows of a standby with those of the active server, without stopping anything.
pub async fn rows(active: &mut Server, standby: &mut Server, database: &str) -> Vec<Fault> {
    match at_one_commit(active, standby, database).await {
        Ok(Some(differ)) if differ.is_empty() => Vec::new(),
        Ok(Some(differ)) => vec![wrong(
            &standby.facts.place,
            format!("the rows of {} differ", differ.join(", ")),
            "`cmp-relay ha rejoin --rebuild` on the standby",
        )],
        Ok(None) => vec![warning(
            &active.facts.place,
            "rows change too fast to be compared, or the standby does not catch up",
            "run it again at a quiet time",
        )],
        Err(error) => vec![wrong(
            &standby.facts.place,
            format!("the rows cannot be compared: {error:#}"),
            "`ha.control` and `replication.standby` may read the relay's tables",
        )],
    }
}

/// The tables that differ; `None`: there was no moment to compare at.
async fn at_one_commit(
    active: &mut Server,
    standby: &mut Server,
    database: &str,
) -> Result<Option<Vec<String>>> {
    let (tables, active, standby) = (
        &active.facts.tables,
        &mut active.control,
        &mut standby.control,
    );
    if tables.is_empty() {
        return Ok(Some(Vec::new()));
    }
    for _ in 0..TRIES {
        if let Some(wanted) = active.binlog_position().await?
            && !standby.applied(wanted, APPLIED_WITHIN).await?
        {
            return Ok(None);
        }
        let differing = rebuild::differing(standby, active, database, tables).await?;
        if differing.is_some() {
            return Ok(differing);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ha::class::Log;
    use crate::ha::status::Replication;
    use crate::store::Position;

    /// Whichever node the doctor runs on.
    #[test]
    fn what_the_standby_wrote_itself_is_looked_for_on_both_nodes() {
        let position = |text: &str| Position::parse(text).unwrap();
        let node = |server: u32, read_only: &str, newest: &[&str]| Facts {
            variables: [("read_only".to_owned(), read_only.to_owned())].into(),
            log: Log {
                server,
                end: Some(position("0-1-162")),
                newest: newest.iter().copied().map(position).collect(),
            },
            promotions: vec![EpochRow {
                epoch: 1,
                node: "a".into(),
                fork: None,
            }],
            ..Facts::default()
        };
        let active = node(1, "OFF", &["0-1-162"]);
        let well = node(2, "ON", &["0-1-162"]);
        let ill = node(2, "ON", &["0-2-161", "0-1-162"]);
        let follows = |node: Facts| Facts {
            following: Some(Replication::default()),
            ..node
        };
        let follower = follows(node(2, "ON", &["0-2-161", "0-1-162"]));
        for (own, peer, faults) in [
            (&active, &well, Some(0)),
            (&well, &active, Some(0)),
            (&active, &ill, Some(1)),
            (&ill, &active, Some(1)),
            (&active, &follower, Some(1)),
            (&follower, &active, Some(1)),
            (&well, &ill, None),
            (&active, &active, None),
            (&follower, &follower, None),
        ] {
            assert_eq!(errant(own, peer).map(|found| found.len()), faults);
        }
    }
}
