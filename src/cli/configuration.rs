//! The configuration folder of a command: `--config DIR`, compiled or told why not.

use std::path::{Path, PathBuf};

use super::{Misuse, Vars};
use crate::config;
use crate::diagnostics::{json, text};
use crate::http::reload::Rejected;
use crate::plan::Plan;

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigArgs {
    /// The folder that holds relay.yaml, backends.d/, routes.d/ and templates/
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub config: PathBuf,
}

impl ConfigArgs {
    /// The plan; an error is the whole list of diagnostics.
    pub fn plan(&self, vars: &Vars) -> anyhow::Result<Plan> {
        if !self.config.is_dir() {
            let words = format!("there is no folder {}", self.config.display());
            return Err(Misuse(words).into());
        }
        compile(&self.config, vars).map_err(|rejected| {
            anyhow::anyhow!(
                "the configuration in {} does not compile:\n{}",
                self.config.display(),
                rejected.text
            )
        })
    }
}

/// Compiles a folder. Warnings of a plan that serves are log lines.
pub fn compile(dir: &Path, vars: &Vars) -> Result<Plan, Rejected> {
    let loaded = config::load(dir, &environment(vars));
    if let Some(plan) = loaded.plan {
        if loaded.diagnostics.warnings() > 0 {
            tracing::warn!(
                warnings = loaded.diagnostics.warnings(),
                "the configuration has warnings; `cmp-relay validate-config` shows them"
            );
        }
        return Ok(plan);
    }
    let json = json::render_json(&loaded.diagnostics, &loaded.files);
    Err(Rejected {
        diagnostics: serde_json::from_str(&json).unwrap_or_default(),
        text: text::render_text(&loaded.diagnostics, &loaded.files, false),
    })
}

/// The variables, and this host's name for a node that has none (proc(5)).
pub fn environment(vars: &Vars) -> config::Env {
    let env = config::Env::new(vars.clone());
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) if !name.trim().is_empty() => env.node(name.trim()),
        _ => env,
    }
}
