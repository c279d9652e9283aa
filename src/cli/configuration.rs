//! The configuration folder of a command: `--config DIR`, compiled or told why not.

use std::path::{Path, PathBuf};

use super::Vars;
use crate::config::{self, Env};
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
        compile(&self.config, vars).map_err(|rejected| {
            anyhow::anyhow!(
                "the configuration in {} does not compile:\n{}",
                self.config.display(),
                rejected.text
            )
        })
    }
}

/// Compiles a folder for serving; warnings are left to `validate-config`.
pub fn compile(dir: &Path, vars: &Vars) -> Result<Plan, Rejected> {
    let loaded = config::load(dir, &environment(vars));
    loaded.plan.ok_or_else(|| Rejected {
        diagnostics: json::to_value(&loaded.diagnostics, &loaded.files),
        text: text::render_text(&loaded.diagnostics, &loaded.files, false),
    })
}

/// What a configuration takes from outside: the variables, and the machine's name.
pub fn environment(vars: &Vars) -> Env {
    let env = Env::new(vars.clone());
    // `uname(2)` gives the node's name without a variable that somebody may have set.
    match rustix::system::uname().nodename().to_str() {
        Ok(node) if !node.is_empty() => env.node(node),
        _ => env,
    }
}
