//! `ha`: the pair, as an operator sees it.

pub mod doctor;
pub mod init;

use std::process::ExitCode;

use anyhow::Result;

use super::Vars;

/// The pair of nodes.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write what goes onto both nodes of a pair: keepalived, MariaDB, systemd, accounts, relay.yaml
    Init(init::Args),
    /// Check this node and the pair: servers, files, accounts, rows; nothing is changed
    Doctor(doctor::Args),
}

pub fn run(command: &Command, vars: &Vars) -> Result<ExitCode> {
    match command {
        Command::Init(args) => init::run(args),
        Command::Doctor(args) => doctor::run(args, vars),
    }
}
