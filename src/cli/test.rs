//! `test`: every route's `examples`, run offline through the real pipeline.

use std::process::ExitCode;

use anyhow::Result;

use super::Vars;

/// Run every route's examples offline, through the real pipeline with nothing real behind it.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, _vars: &Vars) -> Result<ExitCode> {
    anyhow::bail!("`test` is not built yet")
}
