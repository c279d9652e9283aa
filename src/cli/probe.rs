//! `probe`: connects to one backend as the relay would, negotiates and logs in, and changes nothing.
//!
//! It is for the day a backend is set up and for the night it does not answer: each step that went well
//! is told with what was negotiated, a certificate or host key in the form that pins it, and the first
//! step that failed with why. It asks no running relay, and a standby may use it, too.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;

use super::api::Format;
use super::configuration::ConfigArgs;
use super::{Misuse, Vars};
use crate::clock::Boottime;
use crate::diagnostics::suggest;
use crate::driver::{Clearance, DriverManager, Probe};
use crate::plan::{Backend, Plan};

/// Connect to a backend, negotiate and log in; nothing is changed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cmp-relay probe neutron-1 --config /etc/cmp-relay\n  \
    cmp-relay probe sw-tpe-1 --format json\n\n\
    A login counts as one on the backend; where the file declares a logout, it is used.\n\n\
    Exit status: 0 every step went well, 1 one failed, 2 the command was used wrongly.")]
pub struct Args {
    /// The backend's name
    pub backend: String,
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Seconds for all of it; default: the backend's `limits.timeout`
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

pub fn run(args: &Args, vars: &Vars) -> Result<ExitCode> {
    let plan = args.config.plan(vars)?;
    let backend = find(&plan, &args.backend)?;
    let driver = DriverManager::make(backend, None)
        .map_err(|why| anyhow::anyhow!("backend `{}` cannot be used: {why}", backend.name))?;
    let timeout = args.timeout.map(Duration::from_secs);
    let clearance = Clearance {
        deadline: Boottime::now() + timeout.unwrap_or(backend.limits.timeout),
        mutating: false,
        // The operator asks, whichever node is active.
        gate: Arc::new(|| true),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")?;
    let probe = runtime.block_on(async {
        let probe = driver.probe(&clearance).await;
        driver.close().await;
        probe
    });
    match args.format {
        Format::Text => print!("{}", words(backend, &probe)),
        Format::Json => println!("{:#}", told(backend, &probe)),
    }
    Ok(match probe.failed {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    })
}

fn find<'p>(plan: &'p Plan, name: &str) -> Result<&'p Backend> {
    if let Some(id) = plan.backend_named(name) {
        return Ok(plan.backend(id));
    }
    let names: Vec<&str> = plan.backends.iter().map(|backend| &*backend.name).collect();
    let hint = match suggest::nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if names.is_empty() => "backends.d/ holds none".to_owned(),
        None => format!("there are: {}", names.join(", ")),
    };
    Err(Misuse(format!("there is no backend `{name}`; {hint}")).into())
}

/// One line a step.
fn words(backend: &Backend, probe: &Probe) -> String {
    let mut text = format!(
        "{} ({}), {}\n",
        backend.name,
        backend.kind,
        backend.driver.address()
    );
    for found in &probe.found {
        text += &format!("  ok      {}: {}\n", found.phase, found.what);
    }
    if let Some(failed) = &probe.failed {
        text += &format!("  failed  {}: {}\n", failed.phase, failed.detail);
    }
    text
}

/// ```json
/// { "backend": "sw-1", "driver": "ssh", "address": "ssh://sw-1:22",
///   "steps": [{ "step": "connecting", "what": "…" }], "failed": null }
/// ```
fn told(backend: &Backend, probe: &Probe) -> serde_json::Value {
    let steps = probe
        .found
        .iter()
        .map(|found| json!({ "step": found.phase.to_string(), "what": found.what }));
    json!({
        "backend": backend.name,
        "driver": backend.driver.name(),
        "address": backend.driver.address(),
        "steps": steps.collect::<Vec<_>>(),
        "failed": probe.failed.as_ref().map(|failed| {
            json!({ "step": failed.phase.to_string(), "what": failed.detail })
        }),
    })
}
