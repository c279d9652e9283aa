//! `openapi`: the CMP API as an OpenAPI document, as `GET /openapi.json` serves it.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::Vars;
use super::configuration::ConfigArgs;
use crate::http::openapi;

/// Print the CMP API as an OpenAPI 3.1 document.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    config: ConfigArgs,
}

pub fn run(args: &Args, vars: &Vars) -> Result<ExitCode> {
    let document = openapi::document(&args.config.plan(vars)?);
    let mut text = serde_json::to_string_pretty(&document).context("the document is not JSON")?;
    text.push('\n');
    std::io::stdout()
        .write_all(text.as_bytes())
        .context("standard output cannot be written to")?;
    Ok(ExitCode::SUCCESS)
}
