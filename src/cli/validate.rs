//! `validate-config`: every problem of a configuration folder at once, and nothing is served.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;

use crate::config::{self, Env, Loaded};
use crate::diagnostics::{json, sarif, text};
use crate::plan::Plan;
use crate::trial;

/// Check a configuration folder and print every problem, each with its place.
#[derive(Clone, Debug, clap::Args)]
pub struct ValidateArgs {
    /// The configuration folder.
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub config: PathBuf,
    /// For people, or for editors and CI.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
    /// Warnings count as errors.
    #[arg(long)]
    pub deny_warnings: bool,
    /// Say nothing of secrets and certificates that are not on this machine.
    #[arg(long)]
    pub no_secrets: bool,
    /// Do not run the examples of the routes.
    #[arg(long)]
    pub no_examples: bool,
}

/// How problems are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Excerpts with a caret.
    Text,
    /// An array of objects.
    Json,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Fine,
    /// The configuration is wrong.
    Wrong,
    /// There is no such folder.
    Misused,
}

impl Verdict {
    /// The exit status of the command.
    pub fn status(self) -> u8 {
        match self {
            Verdict::Fine => 0,
            Verdict::Wrong => 1,
            Verdict::Misused => 2,
        }
    }
}

impl From<Verdict> for ExitCode {
    fn from(verdict: Verdict) -> Self {
        ExitCode::from(verdict.status())
    }
}

/// Checks the folder and prints what is to be said. A secret or a certificate that is not here is a
/// warning: `serve` alone needs it.
pub fn run(
    args: &ValidateArgs,
    env: &Env,
    color: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Verdict> {
    let env = match args.no_secrets {
        true => env.clone().ignoring_secrets(),
        false => env.clone().without_secrets(),
    };
    let mut loaded = config::load(&args.config, &env);
    let plan = match args.no_examples {
        true => loaded.plan.take().map(Arc::new),
        false => trial::check(&mut loaded)?,
    };
    let rendered = match args.format {
        Format::Text => as_text(&loaded, plan.as_deref(), color),
        Format::Json => json::render_json(&loaded.diagnostics, &loaded.files),
        Format::Sarif => sarif::render_sarif(&loaded.diagnostics, &loaded.files),
    };
    out.write_all(rendered.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot print the result")?;
    let denied = args.deny_warnings && loaded.diagnostics.warnings() > 0;
    Ok(if !args.config.is_dir() {
        Verdict::Misused
    } else if loaded.diagnostics.no_errors() && !denied {
        Verdict::Fine
    } else {
        Verdict::Wrong
    })
}

fn as_text(loaded: &Loaded, plan: Option<&Plan>, color: bool) -> String {
    let rendered = text::render_text(&loaded.diagnostics, &loaded.files, color);
    match plan {
        Some(plan) if rendered.is_empty() => format!(
            "configuration is fine: {}, {}, {}\n",
            text::counted(plan.routes.len(), "route"),
            text::counted(plan.backends.len(), "backend"),
            text::counted(loaded.files.templates().count(), "template"),
        ),
        _ => rendered + &text::learn_more(&loaded.diagnostics),
    }
}
