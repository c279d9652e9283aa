//! Tables that can be replicated in rows, and room for them and for logs.

use std::path::Path;

use super::facts::Facts;
use super::report::{Fault, warning, wrong};

pub fn tables(facts: &Facts) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut odd = |what: String| {
        let remedy =
            "replication in rows needs both: convert it, or drop it if it is not the relay's";
        faults.push(wrong(&facts.place, what, remedy));
    };
    for table in &facts.tables {
        let name = &table.name;
        if table.engine != "InnoDB" {
            odd(format!("`{name}` is {}, not InnoDB", table.engine));
        }
        if table.key.is_empty() {
            odd(format!("`{name}` has no primary key"));
        }
    }
    if facts.tables.is_empty() {
        faults.push(wrong(
            &facts.place,
            "there are no tables",
            "`cmp-relay migrate` on the active node, `cmp-relay ha bootstrap` on the other",
        ));
    }
    faults
}

/// `state` is the folder of the role machine; `least` the least part of a disk that must be free, in percent.
pub fn disk(facts: &Facts, state: &Path, least: f64) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut state = state;
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
                if free < least {
                    let what = format!("{free:.0} % of the disk are free, fewer than {} %", least);
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
            format!(
                "binary logs are kept for {:.0} h: a node that is away for longer must be rebuilt",
                seconds / 3600.0
            ),
            "expire-logs-days = 7",
        ));
    }
    faults
}
