//! Stand-in for the `validate-config` subcommand, which comes with the compiler.

use std::process::ExitCode;

use anyhow::Result;

use super::Vars;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: Args, _vars: &Vars) -> Result<ExitCode> {
    anyhow::bail!("this build has no compiler")
}
