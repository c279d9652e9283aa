//! `ha doctor`: whether a node, and the pair that it is of, are as the promises of the pair need them.
//!
//! Each line is here because its lack lost rows, or time, in a trial. Everything is looked at and nothing is
//! changed; each finding names the file and what to do. What the other machine's files say is for the doctor there.

mod accounts;
mod facts;
mod files;
mod host;
mod relay;
mod replication;
mod report;
mod settings;
mod storage;

use self::facts::{Server, meet};
pub use self::files::Files;
use self::report::Report;
pub use self::report::{Finding, State};
use crate::plan::{Digests, MariaDb, Pair};

/// Everything that is looked at.
#[derive(Clone, Debug)]
pub struct Doctor<'p> {
    pub pair: &'p Pair,
    /// The other node's server, `replication.standby`.
    pub standby: &'p MariaDb,
    /// Of what this node's folder holds.
    pub digests: &'p Digests,
    pub files: Files,
    /// The least part of a disk that must be free, in percent.
    pub least_free: f64,
}

/// What is asked of both servers.
const OF_BOTH: [&str; 7] = [
    "peer-settings",
    "pair",
    "clocks",
    "epochs",
    "replication",
    "errant",
    "rows",
];

impl Doctor<'_> {
    /// Looks at every line; none keeps another from being looked at.
    pub async fn look(&self) -> Vec<Finding> {
        let mut report = Report::default();
        let (own, peer) = tokio::join!(meet(&self.pair.control), meet(self.standby));
        let here = "mariadbd runs here? `ha.control` in relay.yaml";
        let mut own = report.server("server", own, here);
        let there = "mariadbd runs there, and listens? `replication.standby` in relay.yaml";
        let peer = report.server("peer-server", peer, there);
        if let Some(own) = &mut own {
            self.server(own, &mut report).await;
        }
        match (own, peer) {
            (Some(own), Some(peer)) => self.servers(own, peer, &mut report).await,
            _ => {
                for line in OF_BOTH {
                    report.unseen(line, "both servers must answer");
                }
            }
        }
        self.machine(&mut report);
        relay::ask(&self.pair.peer, self.digests, &mut report).await;
        report.0
    }

    /// This node's server by itself.
    async fn server(&self, own: &mut Server, report: &mut Report) {
        let facts = &own.facts;
        report.line(
            "settings",
            "what a pair's server must be set to",
            settings::settings(facts),
        );
        report.line(
            "version",
            "a crashed server keeps the end of its log",
            settings::version(facts),
        );
        report.line(
            "timeouts",
            "a silent peer is noticed in seconds",
            settings::timeouts(facts),
        );
        report.line(
            "tables",
            "every table is InnoDB with a primary key",
            storage::tables(facts),
        );
        report.line(
            "disk",
            "room on the disk, and logs kept for two days",
            storage::disk(facts, &self.pair.state, self.least_free),
        );
        report.line(
            "accounts",
            "nobody else may write to a fenced server",
            accounts::accounts(own, &self.pair.control).await,
        );
    }

    /// Both servers beside each other.
    async fn servers(&self, mut own: Server, mut peer: Server, report: &mut Report) {
        let (facts, theirs) = (&own.facts, &peer.facts);
        report.line(
            "peer-settings",
            "the same on the other node",
            settings::settings(theirs),
        );
        report.line(
            "pair",
            "two servers of one pair",
            settings::together(facts, theirs),
        );
        report.line(
            "clocks",
            "the clocks agree",
            settings::clocks(facts, theirs),
        );
        report.line(
            "epochs",
            "both know the same promotion",
            replication::epochs(facts, theirs),
        );
        let faults = replication::replication(facts, theirs);
        let follows = faults.is_empty();
        report.line("replication", "one server follows the other", faults);
        match replication::errant(facts, theirs) {
            Some(faults) => report.line("errant", "the standby has nothing of its own", faults),
            None => report.unseen("errant", "neither server is the standby of the other"),
        }
        if !follows {
            return report.unseen("rows", "rows are compared where one follows the other");
        }
        let (active, standby) = match facts.following.is_some() {
            true => (&mut peer, &mut own),
            false => (&mut own, &mut peer),
        };
        let faults = replication::rows(active, standby, &self.pair.control.database).await;
        report.line("rows", "the rows of both nodes are equal", faults);
    }

    /// What lies on this machine's disk.
    fn machine(&self, report: &mut Report) {
        let vip = self.pair.vip;
        report.line(
            "files",
            "a restart is fenced, whoever made it",
            host::option_file(&self.files),
        );
        report.line(
            "keepalived",
            "the address follows the relay",
            host::address(&self.files, vip),
        );
        match &self.files.peer_keepalived {
            Some(path) => report.line(
                "peer-keepalived",
                "both nodes mean the same address",
                host::same_address(&self.files, path, vip),
            ),
            None => report.unseen(
                "peer-keepalived",
                "give a copy of the other node's file: --peer-keepalived FILE",
            ),
        }
        report.line(
            "nonlocal-bind",
            "an address is where it can be bound",
            host::nonlocal_bind(&self.files.proc_sys, vip),
        );
    }
}
