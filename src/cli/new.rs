//! `new`: a commented skeleton that validates.
//!
//! The skeletons are YAML files beside this one; what stands between `@` signs is filled in. What is
//! about to be written is compiled together with what is there first: a skeleton that would not fit is
//! not written. No file is ever overwritten.

mod folder;
pub(super) mod skeleton;

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};

use self::folder::Folder;
use self::skeleton::{Fill, words};
use super::{Misuse, Vars};

/// Write a commented skeleton that validates: a route, a backend, a pack.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// A CMP object type: routes to create, list, read, change and delete it, with examples
    #[command(
        after_help = "Examples:\n  cmp-relay new route firewall_rule --kind fw\n  cmp-relay new route vlan --config /etc/cmp-relay"
    )]
    Route {
        /// The resource, such as `firewall_rule`
        name: String,
        /// The kind of backend that serves it; without it, the only one that there is
        #[arg(long)]
        kind: Option<String>,
        #[command(flatten)]
        place: Place,
    },
    /// One instance of a kind: how it is reached, with every setting explained
    #[command(
        after_help = "Examples:\n  cmp-relay new backend fw-1 --kind fw --auth bearer\n  cmp-relay new backend neo-1 --auth login --url https://neo.example.net"
    )]
    Backend {
        /// Its name, such as `fw-1`
        name: String,
        /// What it is; without it, the name without its number
        #[arg(long)]
        kind: Option<String>,
        /// Where calls go
        #[arg(long, value_name = "URL")]
        url: Option<String>,
        /// How calls authenticate
        #[arg(long, value_enum, default_value_t = Auth::None)]
        auth: Auth,
        #[command(flatten)]
        place: Place,
    },
    /// A kind whole: a backend, two resources of which one lives in the other, shared error rules
    #[command(
        after_help = "Examples:\n  cmp-relay new pack fw\n  cmp-relay new pack waf --resources waf_policy,waf_rule"
    )]
    Pack {
        /// The kind, such as `fw`
        name: String,
        /// The two resources: the one that stands alone, and the one that lives in it
        #[arg(long, value_name = "PARENT,CHILD", value_delimiter = ',', num_args = 1)]
        resources: Vec<String>,
        /// How calls authenticate
        #[arg(long, value_enum, default_value_t = Auth::None)]
        auth: Auth,
        #[command(flatten)]
        place: Place,
    },
}

/// Where the files go.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The configuration folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    config: PathBuf,
}

/// How calls to a new backend authenticate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Auth {
    /// They do not
    None,
    /// A user and a password
    Basic,
    /// A fixed token
    Bearer,
    /// Headers with secrets
    Headers,
    /// Query parameters with secrets
    Query,
    /// A certificate of the relay's
    ClientCertificate,
    /// OpenStack Identity v3
    Keystone,
    /// A request that gives a token
    Login,
}

/// A file to write: its path in the folder, and its text.
type NewFile = (String, String);

pub fn run(command: Command, vars: &Vars) -> Result<ExitCode> {
    match command {
        Command::Route { name, kind, place } => {
            let folder = Folder::read(&place.config)?;
            check_word("a resource", &name)?;
            folder.refuse_resource(&name)?;
            let kind = match kind {
                Some(kind) => kind,
                None => folder.only_kind()?,
            };
            check_word("a kind", &kind)?;
            let mut files = Vec::new();
            // Routes of a kind that has no backend reach nothing: it comes with them.
            if !folder.has_kind(&kind) {
                let name = folder.free_backend(&kind);
                files.push(backend(&folder, &name, &kind, None, Auth::None));
            }
            files.push(route(&folder, &name, &kind, None));
            write(&folder, &files, vars)?;
            println!("{}", next(&place.config, &files));
        }
        Command::Backend {
            name,
            kind,
            url,
            auth,
            place,
        } => {
            let folder = Folder::read(&place.config)?;
            check_backend(&name)?;
            folder.refuse_backend(&name)?;
            let kind = kind.unwrap_or_else(|| kind_of(&name));
            check_word("a kind", &kind)?;
            let files = [backend(&folder, &name, &kind, url.as_deref(), auth)];
            write(&folder, &files, vars)?;
            println!("{}", next(&place.config, &files));
            if !folder.has_routes_of(&kind) {
                println!(
                    "no route is of kind {kind} yet, and validate-config warns of it: \
                     cmp-relay new route RESOURCE --kind {kind}{}",
                    option(&place.config)
                );
            }
        }
        Command::Pack {
            name,
            resources,
            auth,
            place,
        } => {
            let folder = Folder::read(&place.config)?;
            check_word("a kind", &name)?;
            let (parent, child) = match resources.as_slice() {
                [] => (format!("{name}_group"), format!("{name}_member")),
                [parent, child] if parent != child => (parent.clone(), child.clone()),
                _ => return misuse("--resources takes two names: PARENT,CHILD".into()),
            };
            for resource in [&parent, &child] {
                check_word("a resource", resource)?;
                folder.refuse_resource(resource)?;
            }
            if folder.has_kind(&name) {
                return misuse(format!(
                    "there are backends of kind {name} already: `cmp-relay new route RESOURCE --kind {name}` \
                     adds routes for them"
                ));
            }
            let instance = folder.free_backend(&name);
            let shared = format!("{name}-response");
            let files = [
                backend(&folder, &instance, &name, None, auth),
                (
                    format!("routes.d/shared/{shared}.yaml"),
                    Fill::new().put("kind", &name).shared(),
                ),
                route(&folder, &parent, &name, Some(&shared)),
                within(&instance, &parent, &child, &name, &shared),
            ];
            write(&folder, &files, vars)?;
            println!("{}", next(&place.config, &files));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn backend(folder: &Folder, name: &str, kind: &str, url: Option<&str>, auth: Auth) -> NewFile {
    let own = format!("https://{name}.example.net");
    let labels = folder.labels_of(kind);
    let fill = Fill::new()
        .put("backend", name)
        .put("kind", kind)
        .put("url", url.unwrap_or(&own))
        .put("ENV", &variable(name));
    // Where the others of its kind are told apart by labels, so is this one.
    let lines: Vec<String> = labels
        .iter()
        .map(|label| format!("  {label}: {name}"))
        .collect();
    let fill = match lines.is_empty() {
        true => fill.case("plain"),
        false => fill.case("labels").put("labels", &lines.join("\n")),
    };
    let fill = match auth {
        Auth::ClientCertificate => fill.case("certificate"),
        _ => fill.case("no-certificate"),
    };
    (format!("backends.d/{name}.yaml"), fill.backend(auth))
}

fn route(folder: &Folder, resource: &str, kind: &str, shared: Option<&str>) -> NewFile {
    let choice = folder.choice(kind);
    let fill = named(resource, kind).put("backend", &choice.backend).case(
        match (&choice.label, choice.several) {
            (Some(_), _) => "label",
            (None, true) => "instance",
            (None, false) => "single",
        },
    );
    let fill = match &choice.label {
        Some((label, value)) => fill.put("label", label).put("value", value),
        None => fill,
    };
    let fill = match shared {
        Some(shared) => fill.case("shared").put("shared", shared),
        None => fill.case("inline"),
    };
    (format!("routes.d/{resource}.yaml"), fill.route())
}

fn within(backend: &str, parent: &str, child: &str, kind: &str, shared: &str) -> NewFile {
    let fill = named(child, kind)
        .put("backend", backend)
        .put("shared", shared)
        .put("parent", parent)
        .put("parent_words", &words(parent))
        .put("parent_path", &skeleton::path(parent));
    (format!("routes.d/{child}.yaml"), fill.child())
}

/// What a resource is called in its own file.
fn named(resource: &str, kind: &str) -> Fill {
    let plural = skeleton::plural(resource);
    let many = words(&plural);
    let mut title = many.clone();
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Fill::new()
        .put("resource", resource)
        .put("kind", kind)
        .put("plural", &plural)
        .put("path", &skeleton::path(resource))
        .put("words", &words(resource))
        .put("words_many", &many)
        .put("Title", &title)
}

/// Checks that the files fit, then writes them; none is overwritten.
fn write(folder: &Folder, files: &[NewFile], vars: &Vars) -> Result<()> {
    for (path, _) in files {
        let there = folder.path().join(path);
        if there.exists() {
            return misuse(format!(
                "{} is there already, and nothing is overwritten: move it away, or take another name",
                there.display()
            ));
        }
    }
    folder.refuse_misfits(files, vars)?;
    for (path, text) in files {
        let path = folder.path().join(path);
        write_new(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("wrote {}", path.display());
    }
    Ok(())
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::create_new(path)?.write_all(text.as_bytes())
}

/// What to type next.
fn next(config: &Path, files: &[NewFile]) -> String {
    let option = option(config);
    let secrets = files
        .iter()
        .any(|(_, text)| text.lines().any(names_a_secret));
    let mut lines = vec![
        String::new(),
        "next: put in what the backend's manual says, then".to_owned(),
        format!("  cmp-relay validate-config{option}"),
    ];
    if secrets {
        lines.push("    (--no-secrets where the secrets are not)".to_owned());
    }
    if files.iter().any(|(_, text)| text.contains("    examples:")) {
        lines.push(format!("  cmp-relay test{option}"));
    }
    lines.push(format!("  cmp-relay serve{option} --watch"));
    lines.join("\n")
}

fn names_a_secret(line: &str) -> bool {
    let line = line.trim_start();
    ["env:", "$env:", "cert_file:"]
        .iter()
        .any(|key| line.starts_with(key))
}

fn option(config: &Path) -> String {
    match config.to_str() {
        Some(".") => String::new(),
        _ => format!(" --config {}", config.display()),
    }
}

/// `fw-tpe-1` is of kind `fw_tpe`, `neutron-1` of kind `neutron`.
fn kind_of(backend: &str) -> String {
    let bare = backend.trim_end_matches(|c: char| c.is_ascii_digit());
    let bare = bare.trim_end_matches(['-', '.', '_']);
    match bare {
        "" => backend.replace(['-', '.'], "_"),
        bare => bare.replace(['-', '.'], "_"),
    }
}

/// `fw-1` takes its secrets from `FW_1_TOKEN` and the like.
fn variable(name: &str) -> String {
    name.replace(['-', '.'], "_").to_ascii_uppercase()
}

fn check_word(what: &str, name: &str) -> Result<()> {
    let fine = name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    match fine && name.len() <= 64 {
        true => Ok(()),
        false => misuse(format!(
            "`{name}` is no name for {what}: lower-case letters, digits and `_`, a letter first, at most 64"
        )),
    }
}

fn check_backend(name: &str) -> Result<()> {
    let legal =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    let fine = name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(legal);
    match fine && name.len() <= 128 {
        true => Ok(()),
        false => misuse(format!(
            "`{name}` is no name for a backend: lower-case letters, digits, `_`, `-` and `.`, a letter first, \
             at most 128"
        )),
    }
}

fn misuse<T>(words: String) -> Result<T> {
    Err(Misuse(words).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_backend_is_its_name_without_the_number() {
        assert_eq!(kind_of("neutron-1"), "neutron");
        assert_eq!(kind_of("fw-tpe-12"), "fw_tpe");
        assert_eq!(kind_of("switch"), "switch");
    }

    #[test]
    fn names_are_checked() {
        assert!(check_word("a kind", "fw_2").is_ok());
        for wrong in ["", "Fw", "2fw", "fw-1", "f w", "fẅ"] {
            assert!(check_word("a kind", wrong).is_err(), "{wrong}");
        }
        assert!(check_backend("fw-tpe.1").is_ok());
        for wrong in ["", "FW-1", "-fw", "fw/1", "../fw"] {
            assert!(check_backend(wrong).is_err(), "{wrong}");
        }
    }
}
