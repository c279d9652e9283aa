//! `help-code`: what a code means, with a wrong and a right example.

use std::process::ExitCode;

use anyhow::Result;

use super::Vars;

/// Explain a code of a diagnostic or a problem, with a wrong and a right example.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, _vars: &Vars) -> Result<ExitCode> {
    anyhow::bail!("`help-code` is not built yet")
}
