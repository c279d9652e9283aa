//! What lies on this machine's disk: MariaDB's option files, keepalived's file and unit, the kernel's settings.

use std::net::IpAddr;
use std::path::Path;

use super::files::{self, Files};
use super::report::{Fault, wrong};
use crate::ha::keepalived;

/// Whoever starts the server, it begins fenced.
pub fn option_file(files: &Files) -> Vec<Fault> {
    let place = files.my_cnf.display().to_string();
    let options = match files::options(&files.my_cnf) {
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

/// The address stays where it is well, and goes where it is not.
pub fn address(files: &Files, vip: IpAddr) -> Vec<Fault> {
    let place = files.keepalived.display().to_string();
    let file = match read(&files.keepalived) {
        Ok(file) => file,
        Err(fault) => return vec![fault],
    };
    let found = keepalived::lint(&file, vip, files.owner);
    let remedy = "as `cmp-relay ha init` writes it; then `systemctl reload keepalived`";
    let mut faults: Vec<Fault> = found
        .into_iter()
        .map(|what| wrong(&place, what, remedy))
        .collect();
    let unit = "keepalived.service";
    if files::unit_value(&files.systemd, unit, "Restart").as_deref() != Some("always") {
        let folder = files.systemd.join(format!("{unit}.d"));
        faults.push(wrong(
            &folder.display().to_string(),
            "keepalived is not started again: killed, it leaves the address on both nodes",
            "[Service] Restart=always, RestartSec=1; then `systemctl daemon-reload`",
        ));
    }
    faults
}

/// `path` is a copy of the other node's file.
pub fn same_address(files: &Files, path: &Path, vip: IpAddr) -> Vec<Fault> {
    match (read(&files.keepalived), read(path)) {
        (Ok(own), Ok(theirs)) => {
            let place = path.display().to_string();
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
    }
}

/// An address can be bound only where it is.
pub fn nonlocal_bind(proc_sys: &Path, vip: IpAddr) -> Vec<Fault> {
    let family = if vip.is_ipv4() { "ipv4" } else { "ipv6" };
    let name = format!("net.{family}.ip_nonlocal_bind");
    let path = proc_sys.join(format!("net/{family}/ip_nonlocal_bind"));
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
