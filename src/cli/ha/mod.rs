//! `ha`: the pair, as an operator sees it.

pub mod init;

use std::process::ExitCode;

use anyhow::Result;

use super::Vars;

/// The pair of nodes.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Write what goes onto both nodes of a pair: keepalived, MariaDB, systemd, accounts, relay.yaml
    Init(init::Args),
}

pub fn run(command: &Command, _vars: &Vars) -> Result<ExitCode> {
    match command {
        Command::Init(args) => init::run(args),
    }
}
