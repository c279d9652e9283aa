//! `new`: a commented skeleton that validates.

use std::process::ExitCode;

use anyhow::Result;

use super::Vars;

/// Write a commented skeleton that validates: a route, a backend, a pack.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, _vars: &Vars) -> Result<ExitCode> {
    anyhow::bail!("`new` is not built yet")
}
