//! `ha doctor`: the lines of `ha/doctor`, for people or for programs.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::json;

use crate::cli::api::Format;
use crate::cli::configuration::ConfigArgs;
use crate::cli::{Vars, serve};
use crate::ha::doctor::{Doctor, Files, Finding, State};

/// Check this node and the pair.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  cmp-relay ha doctor --config /etc/cmp-relay\n  \
    cmp-relay ha doctor --config /etc/cmp-relay --peer-keepalived peer.conf --format json\n\n\
    Run it on both nodes, as root: each sees its own files. Nothing is changed.\n\n\
    Exit status: 0 nothing is wrong (there may be warnings), 1 something is, 2 the command was used wrongly."
)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// This node's keepalived.conf
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/keepalived/keepalived.conf"
    )]
    keepalived: PathBuf,
    /// A copy of the other node's, to compare
    #[arg(long, value_name = "FILE")]
    peer_keepalived: Option<PathBuf>,
    /// The option file that the MariaDB server begins with
    #[arg(long, value_name = "FILE", default_value = "/etc/mysql/my.cnf")]
    my_cnf: PathBuf,
    /// The folder of systemd's units and drop-ins
    #[arg(long, value_name = "DIR", default_value = "/etc/systemd/system")]
    systemd: PathBuf,
    /// The folder of the kernel's settings
    #[arg(long, value_name = "DIR", default_value = "/proc/sys")]
    proc_sys: PathBuf,
    /// Who must own the scripts of keepalived, by number
    #[arg(long, value_name = "UID", default_value_t = 0)]
    owner: u32,
    /// The least part of each disk that must be free
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    least_free: f64,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

pub fn run(args: &Args, vars: &Vars) -> Result<ExitCode> {
    let plan = args.config.plan(vars)?;
    let (Some(pair), Some(standby)) = (&plan.server.pair, &plan.server.replication.standby) else {
        bail!(
            "relay.yaml has no `ha.vip`: this node is none of a pair; `cmp-relay ha init` writes the files of both"
        );
    };
    let doctor = Doctor {
        pair,
        standby,
        digests: &plan.digests,
        files: Files {
            keepalived: args.keepalived.clone(),
            peer_keepalived: args.peer_keepalived.clone(),
            my_cnf: args.my_cnf.clone(),
            systemd: args.systemd.clone(),
            proc_sys: args.proc_sys.clone(),
            owner: args.owner,
        },
        least_free: args.least_free,
    };
    let found = serve::runtime()?.block_on(doctor.look());
    match args.format {
        Format::Text => print!("{}", words(&found)),
        Format::Json => println!("{:#}", json!({ "findings": found })),
    }
    Ok(
        match found.iter().any(|finding| finding.state == State::Wrong) {
            true => ExitCode::FAILURE,
            false => ExitCode::SUCCESS,
        },
    )
}

/// A line each, and below what is not well where it is and what to do; at the end how many.
fn words(found: &[Finding]) -> String {
    let mut text = String::new();
    for finding in found {
        let state = match finding.state {
            State::Ok => "ok",
            State::Warning => "warning",
            State::Wrong => "WRONG",
            State::Unseen => "not seen",
        };
        text += &format!("{state:<8}  {:<15}  {}\n", finding.line, finding.what);
        for (mark, detail) in [("in", &finding.place), ("do", &finding.remedy)] {
            if !detail.is_empty() {
                text += &format!("{:27}{mark}: {detail}\n", "");
            }
        }
    }
    let count = |state| {
        found
            .iter()
            .filter(|finding| finding.state == state)
            .count()
    };
    text += &format!(
        "{} wrong, {} warnings\n",
        count(State::Wrong),
        count(State::Warning)
    );
    text
}
