//! `import`: a draft of a route file from a backend's own API description.

use std::process::ExitCode;

use anyhow::Result;

use super::Vars;

/// Draft a route file from a backend's own API description.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, _vars: &Vars) -> Result<ExitCode> {
    anyhow::bail!("`import` is not built yet")
}
