//! `import openapi`: route files drafted from a backend's own OpenAPI document.
//!
//! What the document says becomes routes; what it leaves open is marked `$decide`, which `validate-config`
//! reports at its place until a person has put an answer there. Nothing is fetched, and no file is
//! ever overwritten.

mod answer;
mod backend;
mod body;
mod document;
mod place;
mod resource;
mod route;
mod sample;
mod schema;
mod words;
mod yaml;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::schema::{FileKind, text as editor_schema};
use super::{Misuse, Vars};
use crate::config::SourceFiles;
use crate::config::source::FileRole;
use crate::diagnostics::Diagnostics;
use document::Document;
use place::Scene;
use resource::{Grouped, Resource, Skipped};

/// Draft route files from a backend's own API description.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// From an OpenAPI 3.0 or 3.1 document, JSON or YAML, in one local file
    #[command(
        after_help = "Examples:\n  cmp-relay import openapi petstore.yaml --kind petstore\n  \
        cmp-relay import openapi api.json --path /api/v2/policies --out /etc/cmp-relay\n\n\
        What a person must decide is marked `$decide`; `cmp-relay validate-config` points at each mark.\n\
        Files that are there already are never overwritten."
    )]
    Openapi(OpenapiArgs),
}

#[derive(Clone, Debug, clap::Args)]
pub struct OpenapiArgs {
    /// The document
    pub file: PathBuf,
    /// Only this resource, by the name that it gets, and the parents that it needs; repeatable
    #[arg(long, value_name = "NAME")]
    pub resource: Vec<String>,
    /// The kind of backend; default: from the document's title
    #[arg(long)]
    pub kind: Option<String>,
    /// Only operations whose path begins with this
    #[arg(long, value_name = "PREFIX")]
    pub path: Option<String>,
    /// Only operations with this tag; repeatable
    #[arg(long, value_name = "TAG")]
    pub tag: Vec<String>,
    /// The configuration folder that the files are written into
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub out: PathBuf,
}

/// What an import comes to, before anything is written.
#[derive(Debug, Default)]
pub struct Imported {
    /// Paths below the configuration folder, with their texts.
    pub files: Vec<(String, String)>,
    pub routes: usize,
    pub skipped: Vec<Skipped>,
    pub notes: Vec<String>,
}

pub fn run(args: &Args, _vars: &Vars) -> Result<ExitCode> {
    let Command::Openapi(args) = &args.command;
    let text = fs::read_to_string(&args.file)
        .with_context(|| format!("cannot read {}", args.file.display()))?;
    let imported = import(args, &text)
        .with_context(|| format!("{} cannot be imported", args.file.display()))?;
    write(&args.out, &imported.files)?;
    report(args, &imported, &mut std::io::stdout().lock())?;
    Ok(ExitCode::SUCCESS)
}

/// Drafts the files.
pub fn import(args: &OpenapiArgs, text: &str) -> Result<Imported> {
    let document = Document::parse(text)?;
    let kind = match &args.kind {
        Some(kind) if *kind == words::snake(kind) => kind.clone(),
        Some(kind) => {
            let words = format!(
                "`{kind}` cannot name a kind: write `{}`",
                words::snake(kind)
            );
            return Err(Misuse(words).into());
        }
        None => words::snake(document.title()),
    };
    let operations = document.operations().into_iter().filter(|operation| {
        let tagged = args.tag.is_empty() || args.tag.iter().any(|tag| operation.has_tag(tag));
        tagged
            && args
                .path
                .as_deref()
                .is_none_or(|prefix| operation.path.starts_with(prefix))
    });
    let Grouped { resources, skipped } = resource::group(operations.collect());
    let wanted = wanted(&resources, &args.resource)?;
    let known = backends_of(&args.out, &kind);
    let backend = known
        .first()
        .cloned()
        .unwrap_or_else(|| format!("{}-1", words::kebab(&kind)));
    let scene = Scene {
        document: &document,
        resources: &resources,
        kind: &kind,
        backend: &backend,
    };
    let mut imported = Imported {
        skipped,
        ..Imported::default()
    };
    if known.is_empty() {
        let text = backend::draft(&document, &kind, &backend);
        imported
            .files
            .push((format!("backends.d/{backend}.yaml"), text));
    }
    let mut taken = Vec::new();
    for at in wanted {
        let resource = &resources[at];
        let file = route::draft(&scene, resource, &mut taken);
        imported.skipped.extend(file.skipped);
        imported.notes.extend(file.notes);
        if file.routes == 0 {
            continue;
        }
        imported.routes += file.routes;
        imported
            .files
            .push((format!("routes.d/{}.yaml", resource.path_name), file.text));
        for (path, text) in file.schemas {
            let path = format!("routes.d/{path}");
            if !imported.files.iter().any(|(known, _)| *known == path) {
                imported.files.push((path, text));
            }
        }
    }
    if imported.routes == 0 {
        anyhow::bail!(
            "no operation of the document is left to draft a route from{}",
            why(&imported.skipped)
        );
    }
    Ok(imported)
}

/// The resources that are asked for, and the parents that these need.
fn wanted(resources: &[Resource], names: &[String]) -> Result<Vec<usize>> {
    if names.is_empty() {
        return Ok((0..resources.len()).collect());
    }
    let mut wanted: Vec<usize> = Vec::new();
    for name in names {
        let Some(at) = resources.iter().position(|resource| resource.name == *name) else {
            let known: Vec<&str> = resources
                .iter()
                .map(|resource| resource.name.as_str())
                .collect();
            let words = format!(
                "the document has no resource `{name}`; it has: {}",
                known.join(", ")
            );
            return Err(Misuse(words).into());
        };
        wanted.push(at);
    }
    let mut next = 0;
    while next < wanted.len() {
        for (_, collection) in resources[wanted[next]].outer() {
            let parent = resources
                .iter()
                .position(|r| resource::same(&r.collection, &collection) && r.is_made());
            if let Some(parent) = parent.filter(|parent| !wanted.contains(parent)) {
                wanted.push(parent);
            }
        }
        next += 1;
    }
    wanted.sort_unstable();
    wanted.dedup();
    Ok(wanted)
}

/// The backends of a kind that the folder has already.
fn backends_of(out: &Path, kind: &str) -> Vec<String> {
    if !out.is_dir() {
        return Vec::new();
    }
    let files = SourceFiles::read(out, &mut Diagnostics::default());
    let mut names: Vec<String> = files
        .iter()
        .filter(|(_, file)| file.role == FileRole::Backend)
        .filter_map(|(_, file)| {
            let node = file.node.as_ref()?;
            let own = node.get("kind")?.as_text()? == kind;
            own.then(|| node.get("name")?.as_text().map(str::to_owned))
                .flatten()
        })
        .collect();
    names.sort();
    names
}

fn why(skipped: &[Skipped]) -> String {
    let lines: Vec<String> = skipped
        .iter()
        .map(|skipped| format!("\n  {}: {}", skipped.what, skipped.why))
        .collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!(":{}", lines.concat()),
    }
}

/// Writes every file, or none where one is there already.
fn write(out: &Path, files: &[(String, String)]) -> Result<()> {
    let there: Vec<&str> = files
        .iter()
        .filter(|(path, _)| out.join(path).exists())
        .map(|(path, _)| path.as_str())
        .collect();
    if !there.is_empty() {
        anyhow::bail!(
            "{} is there already, and nothing is overwritten: move it away, or name another folder with `--out`",
            there.join(", ")
        );
    }
    let mut files = files.to_vec();
    // The headers of the files name these; what is there is the user's own.
    for (kind, name) in [
        (FileKind::Routes, "routes"),
        (FileKind::Backend, "backend"),
        (FileKind::Relay, "relay"),
    ] {
        let path = format!("schema/{name}.schema.json");
        if !out.join(&path).exists() {
            files.push((path, editor_schema(kind)?));
        }
    }
    for (path, text) in files {
        let path = out.join(path);
        let folder = path.parent().expect("a file below the folder");
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        // Whoever made the file since the look above keeps it.
        let mut file = fs::File::create_new(&path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        file.write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn report(args: &OpenapiArgs, imported: &Imported, out: &mut dyn Write) -> Result<()> {
    for (path, text) in &imported.files {
        let marks = text
            .lines()
            .filter(|line| {
                line.trim_start().starts_with("$decide:")
                    || line.trim_start().starts_with("- $decide:")
            })
            .count();
        match marks {
            0 => writeln!(out, "wrote {path}")?,
            1 => writeln!(out, "wrote {path}, with 1 mark to decide")?,
            _ => writeln!(out, "wrote {path}, with {marks} marks to decide")?,
        }
    }
    for skipped in &imported.skipped {
        writeln!(out, "not drafted: {}: {}", skipped.what, skipped.why)?;
    }
    for note in &imported.notes {
        writeln!(out, "note: {note}")?;
    }
    writeln!(
        out,
        "next: cmp-relay validate-config --config {}",
        args.out.display()
    )?;
    Ok(())
}
