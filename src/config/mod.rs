//! From files to a [`crate::plan::Plan`] and its diagnostics.
//!
//! `source` reads the files, `yaml` parses them into nodes with places, `spec` says what the YAML may
//! say, one to one, and `compile` checks and resolves it, pass by pass.

use std::path::Path;

use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Span;
use crate::plan::Plan;
use crate::transform::shared::while_compiling;

pub mod codes;
pub mod compile;
pub mod env;
pub mod example;
pub mod handbook;
pub mod parallel;
pub mod secrets;
pub mod source;
pub mod spec;
mod undecided;
pub mod yaml;

pub use env::Env;
pub use example::RouteExamples;
pub use source::SourceFiles;

/// One load of a configuration.
#[derive(Debug)]
pub struct Loaded {
    /// `None` when there are errors: what does not compile is never served.
    pub plan: Option<Plan>,
    /// The examples of every route, in the order of the files; they mean something only with a plan.
    pub examples: Vec<RouteExamples>,
    pub diagnostics: Diagnostics,
    /// What the diagnostics point into.
    pub files: SourceFiles,
}

/// Loads the configuration in a folder.
pub fn load(dir: &Path, env: &Env) -> Loaded {
    let mut diagnostics = Diagnostics::default();
    let files = SourceFiles::read(dir, &mut diagnostics);
    if files.is_empty() && diagnostics.no_errors() {
        diagnostics.push(Diagnostic {
            span: None,
            ..Diagnostic::warning(
                codes::EMPTY_FOLDER,
                Span::default(),
                format!("`{}` holds no configuration", dir.display()),
            )
            .help("name the folder with `--config DIR`; in it: relay.yaml, backends.d/, routes.d/")
        });
    }
    compiled(files, env, diagnostics)
}

/// Loads a configuration that is in memory: path and text of each file.
pub fn load_from_memory(sources: &[(&str, &str)], env: &Env) -> Loaded {
    let mut diagnostics = Diagnostics::default();
    let files = SourceFiles::from_memory(sources, &mut diagnostics);
    compiled(files, env, diagnostics)
}

fn compiled(files: SourceFiles, env: &Env, mut diagnostics: Diagnostics) -> Loaded {
    let mut said = Diagnostics::default();
    let (plan, examples) = while_compiling(|| compile::compile(&files, env, &mut said));
    undecided::check(&files, said, &mut diagnostics);
    compile::echo::silence(&files, &mut diagnostics);
    // A mark in a place that nobody reads keeps the configuration from being served all the same.
    let plan = plan.filter(|_| diagnostics.no_errors());
    Loaded {
        plan,
        examples,
        diagnostics,
        files,
    }
}
