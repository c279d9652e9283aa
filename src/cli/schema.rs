//! `schema`: the JSON Schemas of the configuration's files, for editors.

use std::process::ExitCode;

use anyhow::Result;

use crate::config::spec::editor;

/// Which file's schema.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum FileKind {
    /// A file of routes.d/
    Routes,
    /// What a file of routes.d/shared/ holds, where `response` refers to it
    Response,
    /// What a file of routes.d/shared/ holds, where a source refers to it
    Source,
    /// A file of backends.d/
    Backend,
    /// A file of backends.d/profiles/
    Profile,
    /// relay.yaml
    Relay,
}

/// Print a JSON Schema.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_enum)]
    pub file: FileKind,
}

pub fn run(args: &Args) -> Result<ExitCode> {
    print!("{}", text(args.file)?);
    Ok(ExitCode::SUCCESS)
}

/// The schema as it is committed under `schema/`.
pub fn text(file: FileKind) -> Result<String> {
    let schema = match file {
        FileKind::Routes => editor::route_schema(),
        FileKind::Response => editor::response_schema(),
        FileKind::Source => editor::source_schema(),
        FileKind::Backend => editor::backend_schema(),
        FileKind::Profile => editor::profile_schema(),
        FileKind::Relay => editor::server_schema(),
    };
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}
