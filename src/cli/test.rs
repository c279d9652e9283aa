//! `test`: every route's `examples`, run offline through the real pipeline.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::configuration::{ConfigArgs, environment};
use super::{Misuse, Vars};
use crate::config::{self, Loaded};
use crate::diagnostics::{suggest, text};
use crate::trial::{self, Report};

/// Run every route's examples offline, through the real pipeline with nothing real behind it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// For people, or for CI servers.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// These routes alone; with a line for each example
    #[arg(value_name = "ROUTE")]
    pub routes: Vec<String>,
}

/// How the report is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A line per file, what failed and how, and what no example tries.
    Text,
    /// JUnit XML.
    Junit,
}

pub fn run(args: &Args, vars: &Vars) -> Result<ExitCode> {
    let (report, loaded) = report(&args.config.config, &args.routes, vars)?;
    let rendered = match args.format {
        Format::Text => trial::text::render(&report, &loaded.files, !args.routes.is_empty()),
        Format::Junit => trial::junit::render(&report, &loaded.files),
    };
    let mut out = std::io::stdout().lock();
    out.write_all(rendered.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot print the result")?;
    Ok(match report.failed() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

fn report(folder: &Path, routes: &[String], vars: &Vars) -> Result<(Report, Loaded)> {
    if !folder.is_dir() {
        let words = format!("there is no folder {}", folder.display());
        return Err(Misuse(words).into());
    }
    // Nothing is sent, so no secret and no certificate is asked for.
    let mut loaded = config::load(folder, &environment(vars).ignoring_secrets());
    let Some(plan) = loaded.plan.take() else {
        anyhow::bail!(
            "the configuration in {} does not compile:\n{}",
            folder.display(),
            text::render_text(&loaded.diagnostics, &loaded.files, false)
        );
    };
    for name in routes {
        if plan.route_named(name).is_none() {
            let known = plan.routes.iter().map(|route| &*route.name);
            let near = suggest::nearest(name, known)
                .map(|near| format!("; did you mean `{near}`?"))
                .unwrap_or_default();
            return Err(Misuse(format!("no route is called `{name}`{near}")).into());
        }
    }
    let report = trial::play(&Arc::new(plan), &loaded.examples, routes)?;
    Ok((report, loaded))
}
