//! `ha doctor`: whether a node, and the pair that it is of, are as the promises of the pair need them.
//!
//! Each line is here because its lack lost rows, or time, in a trial. Everything is looked at and nothing is
//! changed; each finding names the file and what to do. What the other machine's files say is for the doctor there.

mod files;
mod rows;
mod server;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

pub use self::files::Files;
use self::server::{Facts, Server};
use super::keepalived;
use crate::plan::{Digests, MariaDb, Pair};

/// How it stands with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Ok,
    /// No promise is broken by it.
    Warning,
    Wrong,
    /// Something else that is wrong kept it from being looked at, or it was not given.
    Unseen,
}

/// What was found at one of the lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub line: &'static str,
    pub state: State,
    pub what: String,
    /// The file or the server that it is about.
    pub place: String,
    /// What to do; empty where nothing is to be done.
    pub remedy: String,
}

/// Something that is not as it should be, before it is given its line.
struct Fault {
    state: State,
    what: String,
    place: String,
    remedy: String,
}

fn wrong(place: &str, what: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault {
        state: State::Wrong,
        what: what.into(),
        place: place.into(),
        remedy: remedy.into(),
    }
}

fn warning(place: &str, what: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault {
        state: State::Warning,
        ..wrong(place, what, remedy)
    }
}

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

impl Doctor<'_> {
    /// Looks at every line; none keeps another from being looked at.
    pub async fn look(&self) -> Vec<Finding> {
        let mut report = Report(Vec::new());
        let (own, peer) = tokio::join!(meet(&self.pair.control), meet(self.standby));
        let mut own = report.server(
            "server",
            own,
            "mariadbd runs here? `ha.control` in relay.yaml",
        );
        let mut peer = report.server(
            "peer-server",
            peer,
            "mariadbd runs there, and listens? `replication.standby` in relay.yaml",
        );
        if let Some((_, facts)) = &own {
            report.line(
                "settings",
                "what a pair's server must be set to",
                settings(facts),
            );
            report.line(
                "version",
                "a crashed server keeps the end of its log",
                version(facts),
            );
            report.line(
                "timeouts",
                "a silent peer is noticed in seconds",
                timeouts(facts),
            );
            report.line(
                "tables",
                "every table is InnoDB with a primary key",
                tables(facts),
            );
            report.line(
                "disk",
                "room on the disk, and logs kept for two days",
                self.disk(facts),
            );
        }
        if let Some((server, _)) = &mut own {
            let found = server.powerful().await;
            let faults = match found {
                Ok(found) => accounts(&server.place, &found, &self.pair.control),
                Err(error) => vec![wrong(
                    &server.place,
                    format!("the accounts cannot be read: {error:#}"),
                    format!(
                        "GRANT SELECT ON mysql.* TO {}@'127.0.0.1'",
                        self.pair.control.user
                    ),
                )],
            };
            report.line(
                "accounts",
                "nobody else may write to a fenced server",
                faults,
            );
        }
        match (&mut own, &mut peer) {
            (Some((own, facts)), Some((peer, theirs))) => {
                report.line(
                    "peer-settings",
                    "the same on the other node",
                    settings(theirs),
                );
                report.line("pair", "two servers of one pair", together(facts, theirs));
                report.line("clocks", "the clocks agree", clocks(facts, theirs));
                report.line(
                    "epochs",
                    "both know the same promotion",
                    epochs(facts, theirs),
                );
                let faults = replication(facts, theirs);
                let follows = faults.is_empty();
                report.line("replication", "one server follows the other", faults);
                let faults = errant(facts, theirs);
                report.line("errant", "the standby has nothing of its own", faults);
                match follows {
                    true => {
                        let (active, standby) = match facts.following.is_some() {
                            true => (peer, own),
                            false => (own, peer),
                        };
                        let faults = rows::compare(active, standby, &facts.tables).await;
                        report.line("rows", "the rows of both nodes are equal", faults);
                    }
                    false => report.unseen("rows", "rows are compared where one follows the other"),
                }
            }
            _ => {
                for line in [
                    "peer-settings",
                    "pair",
                    "clocks",
                    "epochs",
                    "replication",
                    "errant",
                    "rows",
                ] {
                    report.unseen(line, "both servers must answer");
                }
            }
        }
        report.line(
            "files",
            "a restart is fenced, whoever made it",
            self.option_file(),
        );
        report.line(
            "keepalived",
            "the address follows the relay",
            self.keepalived(),
        );
        self.peer_keepalived(&mut report);
        report.line(
            "nonlocal-bind",
            "an address is where it can be bound",
            self.nonlocal_bind(),
        );
        self.peer(&mut report).await;
        report.0
    }

    fn option_file(&self) -> Vec<Fault> {
        let place = self.files.my_cnf.display().to_string();
        let options = match files::options(&self.files.my_cnf) {
            Ok(options) => options,
            Err(error) => {
                let what = format!("it cannot be read: {error}");
                return vec![wrong(&place, what, "--my-cnf FILE names it")];
            }
        };
        let lacks = ["read-only", "skip-slave-start"];
        let lacks = lacks.iter().filter(|name| !files::is_on(&options, name));
        lacks
            .map(|name| {
                let file = options
                    .get(*name)
                    .map_or(place.clone(), |(_, file)| file.display().to_string());
                let what =
                    format!("`{name}` is not on in the file: the next start would not be fenced");
                wrong(&file, what, format!("{name} = ON below [mysqld]"))
            })
            .collect()
    }

    fn keepalived(&self) -> Vec<Fault> {
        let place = self.files.keepalived.display().to_string();
        let file = match read(&self.files.keepalived) {
            Ok(file) => file,
            Err(fault) => return vec![fault],
        };
        let found = keepalived::lint(&file, self.pair.vip, self.files.owner);
        let remedy = "as `cmp-relay ha init` writes it; then `systemctl reload keepalived`";
        let mut faults: Vec<Fault> = found
            .into_iter()
            .map(|what| wrong(&place, what, remedy))
            .collect();
        let unit = "keepalived.service";
        if files::unit_value(&self.files.systemd, unit, "Restart").as_deref() != Some("always") {
            let folder = self.files.systemd.join(format!("{unit}.d"));
            faults.push(wrong(
                &folder.display().to_string(),
                "keepalived is not started again: killed, it leaves the address on both nodes",
                "[Service] Restart=always, RestartSec=1; then `systemctl daemon-reload`",
            ));
        }
        faults
    }

    fn peer_keepalived(&self, report: &mut Report) {
        const LINE: &str = "peer-keepalived";
        let Some(path) = &self.files.peer_keepalived else {
            report.unseen(
                LINE,
                "give a copy of the other node's file: --peer-keepalived FILE",
            );
            return;
        };
        let faults = match (read(&self.files.keepalived), read(path)) {
            (Ok(own), Ok(theirs)) => {
                let place = path.display().to_string();
                let vip = self.pair.vip;
                // The scripts that it names lie on the other machine.
                let mut faults: Vec<Fault> = keepalived::lint_instance(&theirs, vip)
                    .into_iter()
                    .map(|what| {
                        wrong(
                            &place,
                            what,
                            "as `cmp-relay ha init` writes it, on the other node",
                        )
                    })
                    .collect();
                if keepalived::identity(&own, vip) != keepalived::identity(&theirs, vip) {
                    faults.push(wrong(
                        &place,
                        "virtual_router_id or virtual_ipaddress is another than here: each node takes the address",
                        "the same in both files",
                    ));
                }
                faults
            }
            (own, theirs) => [own.err(), theirs.err()].into_iter().flatten().collect(),
        };
        report.line(LINE, "both nodes mean the same address", faults);
    }

    fn nonlocal_bind(&self) -> Vec<Fault> {
        let family = if self.pair.vip.is_ipv4() {
            "ipv4"
        } else {
            "ipv6"
        };
        let name = format!("net.{family}.ip_nonlocal_bind");
        let path = self
            .files
            .proc_sys
            .join(format!("net/{family}/ip_nonlocal_bind"));
        let place = path.display().to_string();
        match std::fs::read_to_string(&path).as_deref().map(str::trim) {
            Ok("0") => Vec::new(),
            Ok(_) => {
                let what = format!(
                    "{name} is on: this node would take the address for its own wherever it is"
                );
                vec![wrong(
                    &place,
                    what,
                    format!("{name} = 0 in /etc/sysctl.d; then `sysctl --system`"),
                )]
            }
            Err(error) => vec![wrong(
                &place,
                error.to_string(),
                "--proc-sys DIR names the folder",
            )],
        }
    }

    fn disk(&self, facts: &Facts) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut state = self.pair.state.as_path();
        while !state.exists() {
            state = match state.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            };
        }
        for folder in [Path::new(facts.variable("datadir")), state] {
            let place = folder.display().to_string();
            match rustix::fs::statvfs(folder) {
                Ok(disk) => {
                    let free = disk.f_bavail as f64 * 100.0 / (disk.f_blocks.max(1)) as f64;
                    if free < self.least_free {
                        let what = format!(
                            "{free:.0} % of the disk are free, fewer than {} %",
                            self.least_free
                        );
                        faults.push(wrong(&place, what, "make room: a full disk ends a node"));
                    }
                }
                Err(error) => faults.push(warning(
                    &place,
                    format!("its disk cannot be seen: {error}"),
                    "run as root",
                )),
            }
        }
        let seconds = facts
            .number("binlog_expire_logs_seconds")
            .or_else(|| facts.number("expire_logs_days").map(|days| days * 86400.0));
        if let Some(seconds) = seconds.filter(|seconds| *seconds > 0.0 && *seconds < 172_800.0) {
            faults.push(wrong(
                &facts.place,
                format!("binary logs are kept for {:.0} h: a node that is away for longer must be rebuilt", seconds / 3600.0),
                "expire-logs-days = 7",
            ));
        }
        faults
    }

    /// The other relay's admin listener, with the token that the role machine uses.
    async fn peer(&self, report: &mut Report) {
        let place = self.pair.peer.url.to_string();
        let place = place.trim_end_matches('/');
        let theirs = async {
            let routes = self.digests_of(place, "routes").await?;
            Ok((routes, self.digests_of(place, "backends").await?))
        };
        let fault = match theirs.await {
            Ok((routes, backends)) => {
                report.line("peer", "the other node's relay answers", Vec::new());
                let mut faults = differing("route", &self.digests.routes, &routes, place);
                faults.extend(differing(
                    "backend",
                    &self.digests.backends,
                    &backends,
                    place,
                ));
                return report.line("plan", "the same routes and backends on both nodes", faults);
            }
            Err(Unheard::Status(status)) => wrong(
                place,
                format!("it answers {status}"),
                "`ha.peer.token` here is the token of a client there that has the role operator",
            ),
            Err(Unheard::Silent(why)) => {
                wrong(place, why, "the relay runs there? `ha.peer` in relay.yaml")
            }
        };
        report.line("peer", "", vec![fault]);
        report.unseen("plan", "the other node's relay must answer");
    }

    /// The digests of a list of its, by name.
    async fn digests_of(&self, place: &str, list: &str) -> Result<Parts, Unheard> {
        let silent = |error: anyhow::Error| Unheard::Silent(format!("{error:#}"));
        let asked = async {
            let mut builder = reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .timeout(Duration::from_secs(5));
            if let Some(file) = &self.pair.peer.ca_file {
                let pem = std::fs::read(file)?;
                builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
            }
            let request = builder.build()?.get(format!("{place}/relay/v1/{list}"));
            let token = self.pair.peer.token.expose();
            anyhow::Ok(request.bearer_auth(token).send().await?)
        };
        let answer = asked.await.map_err(silent)?;
        if !answer.status().is_success() {
            return Err(Unheard::Status(answer.status()));
        }
        let body = answer.json().await;
        let body: serde_json::Value = body.map_err(|error| silent(error.into()))?;
        let items = body["items"].as_array().into_iter().flatten();
        let part = |item: &serde_json::Value| {
            Some((
                item["name"].as_str()?.into(),
                item["digest"].as_str()?.into(),
            ))
        };
        Ok(items.filter_map(part).collect())
    }
}

/// Digests by name, as in `plan::Digests`.
type Parts = BTreeMap<Box<str>, Box<str>>;

/// What came instead of a list.
enum Unheard {
    Status(reqwest::StatusCode),
    Silent(String),
}

fn differing(kind: &str, own: &Parts, theirs: &Parts, place: &str) -> Vec<Fault> {
    let names: BTreeSet<&str> = own
        .keys()
        .chain(theirs.keys())
        .map(|name| &**name)
        .collect();
    let differ = names
        .into_iter()
        .filter(|name| own.get(*name) != theirs.get(*name));
    differ
        .map(|name| {
            let what = format!("{kind} `{name}` is another there, or is on one node alone");
            wrong(
                place,
                what,
                "the same files on both nodes, and `cmp-relay reload`",
            )
        })
        .collect()
}

fn read(path: &Path) -> Result<keepalived::Statement, Fault> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(keepalived::parse(&text)),
        Err(error) => Err(wrong(
            &path.display().to_string(),
            format!("it cannot be read: {error}"),
            "--keepalived FILE names it",
        )),
    }
}

async fn meet(server: &MariaDb) -> anyhow::Result<(Server, Facts)> {
    let mut server = Server::connect(server).await?;
    let facts = server.facts().await?;
    Ok((server, facts))
}

struct Report(Vec<Finding>);

impl Report {
    fn line(&mut self, line: &'static str, fine: &str, faults: Vec<Fault>) {
        if faults.is_empty() {
            self.push(line, State::Ok, fine.into(), String::new(), String::new());
        }
        for fault in faults {
            self.push(line, fault.state, fault.what, fault.place, fault.remedy);
        }
    }

    fn unseen(&mut self, line: &'static str, why: &str) {
        self.push(
            line,
            State::Unseen,
            why.into(),
            String::new(),
            String::new(),
        );
    }

    fn server<T>(&mut self, line: &'static str, met: anyhow::Result<T>, remedy: &str) -> Option<T> {
        match met {
            Ok(met) => {
                self.line(line, "it answers", Vec::new());
                Some(met)
            }
            Err(error) => {
                self.push(
                    line,
                    State::Wrong,
                    format!("{error:#}"),
                    String::new(),
                    remedy.into(),
                );
                None
            }
        }
    }

    fn push(
        &mut self,
        line: &'static str,
        state: State,
        what: String,
        place: String,
        remedy: String,
    ) {
        self.0.push(Finding {
            line,
            state,
            what,
            place,
            remedy,
        });
    }
}

// --- what is judged of the facts ------------------------------------------------------------------

const SETTINGS: [(&str, &str, &str); 7] = [
    ("gtid_strict_mode", "ON", "two writers would mix in silence"),
    (
        "log_slave_updates",
        "ON",
        "a promoted node would lack what it did not write itself",
    ),
    (
        "binlog_format",
        "ROW",
        "statements may do something else on the other node",
    ),
    (
        "binlog_row_image",
        "FULL",
        "what was lost could not be listed",
    ),
    (
        "rpl_semi_sync_master_wait_point",
        "AFTER_SYNC",
        "rows would be seen that the standby never gets",
    ),
    ("sync_binlog", "1", "a power cut loses commits"),
    (
        "innodb_flush_log_at_trx_commit",
        "1",
        "a power cut loses commits",
    ),
];

fn settings(facts: &Facts) -> Vec<Fault> {
    let differ = SETTINGS
        .iter()
        .filter(|(name, right, _)| facts.variable(name) != *right);
    differ
        .map(|(name, right, why)| {
            let said = facts.variable(name);
            let what = format!(
                "{name} is {}: {why}",
                if said.is_empty() { "not there" } else { said }
            );
            wrong(
                &facts.place,
                what,
                format!(
                    "{} = {right} below [mysqld], and a restart",
                    name.replace('_', "-")
                ),
            )
        })
        .collect()
}

fn together(own: &Facts, peer: &Facts) -> Vec<Fault> {
    let mut faults = Vec::new();
    if own.variable("server_id") == peer.variable("server_id") {
        let what = format!(
            "both servers have server_id {}: neither applies what the other wrote",
            own.variable("server_id")
        );
        faults.push(wrong(&peer.place, what, "server-id = 1 and 2"));
    }
    if own.variable("gtid_domain_id") != peer.variable("gtid_domain_id") {
        faults.push(wrong(
            &peer.place,
            "gtid_domain_id differs: nothing orders what the two wrote",
            "gtid-domain-id = 0 on both",
        ));
    }
    faults
}

/// Since MDEV-21117 a server that can follow cuts off the end of its log when it starts after a crash; in these
/// releases, and those that follow them, it does where `--init-rpl-role` says so (MDEV-33465).
const CUTS_OFF: [u32; 3] = [10, 6, 2];
const IS_TOLD: [[u32; 3]; 4] = [[10, 6, 19], [10, 11, 9], [11, 4, 3], [11, 5, 0]];

fn version(facts: &Facts) -> Vec<Fault> {
    let said = facts.variable("version");
    let mut numbers = said
        .split(['.', '-'])
        .map_while(|part| part.parse::<u32>().ok());
    let mut next = || numbers.next().unwrap_or(0);
    let version = [next(), next(), next()];
    let same = IS_TOLD.iter().find(|one| one[..2] == version[..2]);
    let fits = version < CUTS_OFF
        || match same {
            Some(first) => version >= *first,
            // Between the long-lived ones it came with the next release line.
            None => version > IS_TOLD[2],
        };
    match fits {
        true => Vec::new(),
        false => vec![warning(
            &facts.place,
            format!(
                "MariaDB {said} cuts off the end of its log after a crash: a crash of both nodes loses what both had"
            ),
            "10.6.19, 10.11.9, 11.4.3 or later",
        )],
    }
}

fn timeouts(facts: &Facts) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut within = |name: &str, value: Option<f64>, least: f64, most: f64, remedy: &str| {
        if !value.is_some_and(|value| (least..=most).contains(&value)) {
            let said = value.map_or("not there".to_owned(), |value| value.to_string());
            let what = format!("{name} is {said}: it must be from {least} to {most} s");
            faults.push(wrong(&facts.place, what, remedy));
        }
    };
    let kill = "rpl_semi_sync_slave_kill_conn_timeout";
    within(
        kill,
        facts.number(kill),
        1.0,
        2.0,
        "rpl-semi-sync-slave-kill-conn-timeout = 1",
    );
    let net = "slave_net_timeout";
    within(net, facts.number(net), 1.0, 5.0, "slave-net-timeout = 4");
    if let Some(following) = &facts.following {
        within(
            "the heartbeat of replication",
            Some(following.heartbeat),
            0.001,
            1.0,
            "STOP SLAVE; CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD = 1; START SLAVE",
        );
    }
    faults
}

fn tables(facts: &Facts) -> Vec<Fault> {
    let odd = facts.odd_tables.iter();
    let mut faults: Vec<Fault> = odd
        .map(|what| {
            wrong(
                &facts.place,
                what,
                "replication in rows needs both: convert it, or drop it if it is not the relay's",
            )
        })
        .collect();
    if facts.tables.is_empty() {
        faults.push(wrong(
            &facts.place,
            "there are no tables",
            "`cmp-relay migrate` on the active node, `cmp-relay ha bootstrap` on the other",
        ));
    }
    faults
}

/// Accounts of the system that MariaDB and Debian make, for local sockets alone.
const SYSTEM: [&str; 3] = [
    "'root'@'localhost'",
    "'mysql'@'localhost'",
    "'mariadb.sys'@'localhost'",
];

fn accounts(place: &str, found: &[String], control: &MariaDb) -> Vec<Fault> {
    let own = ["127.0.0.1", "localhost", "::1"].map(|host| format!("'{}'@'{host}'", control.user));
    let expected = |name: &String| SYSTEM.contains(&name.as_str()) || own.contains(name);
    let others = found.iter().filter(|name| !expected(name));
    others
        .map(|name| {
            let what = format!("{name} has SUPER or READ_ONLY ADMIN, as part of ALL perhaps: it writes to a fenced server");
            wrong(place, what, "REVOKE it and grant what the account needs, or DROP USER")
        })
        .collect()
}

fn clocks(own: &Facts, peer: &Facts) -> Vec<Fault> {
    let apart = (own.ahead - peer.ahead).abs();
    match apart > 2.0 {
        false => Vec::new(),
        true => vec![warning(
            &peer.place,
            format!(
                "the clocks are {apart:.0} s apart; no decision uses them, people reading logs do"
            ),
            "an NTP client on both",
        )],
    }
}

fn epochs(own: &Facts, peer: &Facts) -> Vec<Fault> {
    match (&own.epoch, &peer.epoch) {
        (None, None) => vec![warning(
            &own.place,
            "no promotion is recorded: no node was ever active",
            "`cmp-relay ha promote` on the node that is to be active",
        )],
        (own_epoch, theirs) if own_epoch == theirs => Vec::new(),
        (own_epoch, theirs) => {
            let words = |epoch: &Option<(i64, String, String)>| match epoch {
                Some((epoch, node, _)) => format!("{epoch} ({node})"),
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

fn replication(own: &Facts, peer: &Facts) -> Vec<Fault> {
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
        .filter(|following| !following.runs)
    {
        let what = format!("replication does not run: {}", following.error);
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

/// What the standby's own server wrote that the other does not have, since the newest promotion.
fn errant(own: &Facts, peer: &Facts) -> Vec<Fault> {
    let (standby, active) = match own.following.is_some() {
        true => (own, peer),
        false => (peer, own),
    };
    let number = |gtid: &str| {
        gtid.rsplit('-')
            .next()
            .and_then(|number| number.parse::<u64>().ok())
    };
    let newest = |state: &str| {
        let id = standby.variable("server_id");
        let its = state
            .split(',')
            .filter(|gtid| gtid.trim().split('-').nth(1) == Some(id));
        its.filter_map(|gtid| number(gtid.trim()))
            .max()
            .unwrap_or(0)
    };
    let wrote = newest(standby.variable("gtid_binlog_state"));
    let known = newest(active.variable("gtid_binlog_state"));
    let fork = active
        .epoch
        .as_ref()
        .and_then(|(_, _, fork)| number(fork))
        .unwrap_or(0);
    match wrote > known.max(fork) {
        false => Vec::new(),
        true => vec![wrong(
            &standby.place,
            format!(
                "it wrote up to number {wrote} itself, and the active one knows of {}: rows that only it has",
                known.max(fork)
            ),
            "find out who wrote there; then `cmp-relay ha rejoin --rebuild` on that node",
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(variables: &[(&str, &str)]) -> Facts {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Facts {
            variables: variables.collect(),
            ..Facts::default()
        }
    }

    #[test]
    fn a_version_that_keeps_its_log_is_told_from_one_that_does_not() {
        for (said, fits) in [
            ("10.11.19-MariaDB-0+deb12u1-log", true),
            ("10.11.8-MariaDB", false),
            ("10.6.19-MariaDB", true),
            ("10.2.44-MariaDB", true),
            ("10.6.18-MariaDB", false),
            ("10.10.7-MariaDB", false),
            ("11.4.2-MariaDB", false),
            ("11.8.3-MariaDB", true),
        ] {
            assert_eq!(
                version(&facts(&[("version", said)])).is_empty(),
                fits,
                "{said}"
            );
        }
    }

    #[test]
    fn a_rare_heartbeat_and_a_log_without_what_was_received_are_wrong() {
        let well = [
            ("rpl_semi_sync_slave_kill_conn_timeout", "1"),
            ("slave_net_timeout", "4"),
        ];
        let heartbeat = |heartbeat| Facts {
            following: Some(server::Following {
                heartbeat,
                ..server::Following::default()
            }),
            ..facts(&well)
        };
        assert!(timeouts(&facts(&well)).is_empty() && timeouts(&heartbeat(1.0)).is_empty());
        assert_eq!(timeouts(&heartbeat(30.0)).len(), 1);
        assert_eq!(timeouts(&heartbeat(0.0)).len(), 1, "none at all");
        let mut right: Vec<_> = SETTINGS.map(|(name, right, _)| (name, right)).into();
        assert!(settings(&facts(&right)).is_empty());
        right[1] = ("log_slave_updates", "OFF");
        assert_eq!(settings(&facts(&right)).len(), 1);
    }

    #[test]
    fn clocks_that_differ_are_a_warning() {
        let (mut own, peer) = (Facts::default(), Facts::default());
        assert!(clocks(&own, &peer).is_empty());
        own.ahead = -3600.0;
        assert_eq!(clocks(&own, &peer)[0].state, State::Warning);
    }

    #[test]
    fn what_was_written_before_the_fork_is_not_errant() {
        let standby = |state: &str| Facts {
            following: Some(server::Following::default()),
            ..facts(&[("server_id", "2"), ("gtid_binlog_state", state)])
        };
        let active = Facts {
            epoch: Some((3, "a".into(), "0-2-140".into())),
            ..facts(&[("server_id", "1"), ("gtid_binlog_state", "0-1-160")])
        };
        assert!(errant(&standby("0-2-140,0-1-160"), &active).is_empty());
        assert_eq!(errant(&standby("0-1-160,0-2-161"), &active).len(), 1);
        assert_eq!(errant(&active, &standby("0-2-161")).len(), 1);
    }
}
