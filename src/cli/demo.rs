//! Stand-in for the `demo` subcommand, which comes with the simulated backends.

use std::process::ExitCode;

use anyhow::Result;

use super::Vars;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _vars: &Vars) -> Result<ExitCode> {
    anyhow::bail!("this build has no demo")
}
