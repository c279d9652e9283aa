//! The configuration folder of a command: `--config DIR`, compiled or told why not.

use std::hint::black_box;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{Misuse, Vars};
use crate::config;
use crate::config::parallel::STACK;
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
    let env = environment(vars);
    let to_serve = env.clone().to_serve();
    let mut loaded = on_its_own_thread(|| config::load(dir, &to_serve));
    if loaded.plan.is_none() {
        // All that can be said of what is wrong, as `validate-config` does.
        loaded = config::load(dir, &env);
    }
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

/// Runs what leaves much behind on a thread that ends, so that no part of it stays with a thread that lives on.
fn on_its_own_thread<T: Send>(act: impl Fn() -> T + Sync) -> T {
    let result = thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("relay-compile".into())
            .stack_size(STACK);
        match thread.spawn_scoped(scope, &act) {
            Ok(thread) => thread.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(_) => act(),
        }
    });
    give_back_later();
    result
}

/// The allocator returns pages to the system once they have been free for a second, and looks for such ones only when
/// more are freed (mimalloc's `purge_delay`): so some are, after that second.
fn give_back_later() {
    let tidy = || {
        thread::sleep(Duration::from_millis(1500));
        drop(black_box(Vec::<u8>::with_capacity(1 << 20)));
    };
    // Without it they are returned with the first requests.
    let _ = thread::Builder::new().name("relay-tidy".into()).spawn(tidy);
}

/// The variables, and this host's name for a node that has none (proc(5)).
pub fn environment(vars: &Vars) -> config::Env {
    let env = config::Env::new(vars.clone());
    match std::fs::read_to_string("/proc/sys/kernel/hostname") {
        Ok(name) if !name.trim().is_empty() => env.node(name.trim()),
        _ => env,
    }
}
