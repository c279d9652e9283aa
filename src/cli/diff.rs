//! `diff`: what a reload of a folder would change.

use std::process::ExitCode;

use anyhow::Result;

use super::Vars;

/// Say what a reload of a folder would add, remove and change.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, _vars: &Vars) -> Result<ExitCode> {
    anyhow::bail!("`diff` is not built yet")
}
