//! `explain`: what one CMP request would do, without a byte sent.

use std::process::ExitCode;

use anyhow::Result;

use super::Vars;

/// Say what a request would match, choose, call and record; nothing is sent.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, _vars: &Vars) -> Result<ExitCode> {
    anyhow::bail!("`explain` is not built yet")
}
