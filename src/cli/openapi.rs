//! `openapi`: the CMP API as an OpenAPI document.

use std::process::ExitCode;

use anyhow::Result;

use super::Vars;

/// Print the CMP API as an OpenAPI 3.1 document.
#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_args: &Args, _vars: &Vars) -> Result<ExitCode> {
    anyhow::bail!("`openapi` is not built yet")
}
