//! What the servers of a pair are set to, each by itself and beside the other.

use super::facts::Facts;
use super::report::{Fault, warning, wrong};

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

pub fn settings(facts: &Facts) -> Vec<Fault> {
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

pub fn together(own: &Facts, peer: &Facts) -> Vec<Fault> {
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

pub fn version(facts: &Facts) -> Vec<Fault> {
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

pub fn timeouts(facts: &Facts) -> Vec<Fault> {
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
    if facts.following.is_some() {
        within(
            "the heartbeat of replication",
            Some(facts.heartbeat),
            0.001,
            1.0,
            "STOP SLAVE; CHANGE MASTER TO MASTER_HEARTBEAT_PERIOD = 1; START SLAVE",
        );
    }
    faults
}

pub fn clocks(own: &Facts, peer: &Facts) -> Vec<Fault> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ha::doctor::State;
    use crate::ha::status::Replication;

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
            following: Some(Replication::default()),
            heartbeat,
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
}
