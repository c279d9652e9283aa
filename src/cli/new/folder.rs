//! What is in the folder already: what names are taken, how backends of a kind are told apart, and
//! whether new files fit.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Misuse, NewFile, misuse};
use crate::cli::Vars;
use crate::cli::configuration::environment;
use crate::config::compile::codes::{AMBIGUOUS_BACKEND, UNUSED_BACKEND};
use crate::config::{self, Loaded, SourceFiles};
use crate::diagnostics::{Diagnostic, Diagnostics, text};
use crate::document::{Kind, Node};

/// A configuration folder, as far as a new file must know it.
pub(super) struct Folder {
    path: PathBuf,
    files: SourceFiles,
    backends: Vec<Backend>,
    /// Resource, kind and file.
    resources: Vec<(String, String, String)>,
}

struct Backend {
    name: String,
    kind: String,
    labels: Vec<(String, String)>,
    file: String,
}

/// How a route gets at one of the backends of its kind.
pub(super) struct Choice {
    /// One of them.
    pub backend: String,
    /// There are others.
    pub several: bool,
    /// A label that all have, each with a value of its own; and that backend's value.
    pub label: Option<(String, String)>,
}

impl Folder {
    pub(super) fn read(path: &Path) -> Result<Self> {
        if !path.is_dir() {
            let words = format!("there is no folder {0}: `mkdir {0}` first", path.display());
            return Err(Misuse(words).into());
        }
        // What is wrong in it already is for `validate-config` to say.
        let files = SourceFiles::read(path, &mut Diagnostics::default());
        let text =
            |node: &Node, key: &str| node.get(key).and_then(Node::as_text).map(str::to_owned);
        let backends = files.backends().filter_map(|(_, file)| {
            let node = file.node.as_ref()?;
            let labels = match node.get("labels").map(|labels| &labels.kind) {
                Some(Kind::Map(entries)) => entries
                    .iter()
                    .filter_map(|entry| Some((entry.key.clone(), entry.value.as_text()?.into())))
                    .collect(),
                _ => Vec::new(),
            };
            Some(Backend {
                name: text(node, "name")?,
                kind: text(node, "kind")?,
                labels,
                file: file.path.to_string(),
            })
        });
        let backends = backends.collect();
        let resources = files.routes().filter_map(|(_, file)| {
            let node = file.node.as_ref()?;
            let kind = text(node, "kind").unwrap_or_default();
            Some((text(node, "resource")?, kind, file.path.to_string()))
        });
        Ok(Self {
            path: path.to_owned(),
            backends,
            resources: resources.collect(),
            files,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn refuse_resource(&self, name: &str) -> Result<()> {
        match self.resources.iter().find(|(known, ..)| known == name) {
            Some((_, _, file)) => misuse(format!(
                "the resource `{name}` has a file already: {}",
                self.path.join(file).display()
            )),
            None => Ok(()),
        }
    }

    pub(super) fn refuse_backend(&self, name: &str) -> Result<()> {
        match self.backends.iter().find(|known| known.name == name) {
            Some(known) => misuse(format!(
                "the backend `{name}` has a file already: {}",
                self.path.join(&known.file).display()
            )),
            None => Ok(()),
        }
    }

    pub(super) fn has_kind(&self, kind: &str) -> bool {
        self.of_kind(kind).next().is_some()
    }

    pub(super) fn has_routes_of(&self, kind: &str) -> bool {
        self.resources.iter().any(|(_, known, _)| known == kind)
    }

    /// The kind of all backends, where there is one.
    pub(super) fn only_kind(&self) -> Result<String> {
        let mut kinds: Vec<&str> = self.backends.iter().map(|one| &*one.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        match kinds.as_slice() {
            [only] => Ok((*only).to_owned()),
            [] => misuse("say what kind of backend serves it: `--kind fw`".into()),
            several => misuse(format!(
                "say what kind of backend serves it: `--kind` {}",
                several.join(", ")
            )),
        }
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Backend> {
        self.backends.iter().filter(move |one| one.kind == kind)
    }

    /// `fw-1`, or the first number that is free.
    pub(super) fn free_backend(&self, kind: &str) -> String {
        let kind = kind.replace('_', "-");
        let taken = |name: &str| self.backends.iter().any(|one| one.name == name);
        (1u32..)
            .map(|number| format!("{kind}-{number}"))
            .find(|name| !taken(name))
            .expect("a folder has fewer files than there are numbers")
    }

    /// The labels that every backend of a kind has.
    pub(super) fn labels_of(&self, kind: &str) -> Vec<String> {
        let mut all = self.of_kind(kind);
        let Some(first) = all.next() else {
            return Vec::new();
        };
        let mut labels: Vec<String> = first.labels.iter().map(|(name, _)| name.clone()).collect();
        for other in all {
            labels.retain(|label| other.labels.iter().any(|(name, _)| name == label));
        }
        labels
    }

    pub(super) fn choice(&self, kind: &str) -> Choice {
        let mut all: Vec<&Backend> = self.of_kind(kind).collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let [first, others @ ..] = all.as_slice() else {
            return Choice {
                backend: self.free_backend(kind),
                several: false,
                label: None,
            };
        };
        let value = |backend: &Backend, label: &str| {
            let found = backend.labels.iter().find(|(name, _)| name == label);
            found.map(|(_, value)| value.clone())
        };
        let distinct = |label: &String| {
            let mut values: Vec<_> = all.iter().filter_map(|one| value(one, label)).collect();
            values.sort_unstable();
            values.dedup();
            // It becomes a field of the request, beside those that the skeleton has.
            let plain = label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            values.len() == all.len()
                && plain
                && !matches!(&**label, "id" | "name" | "limit" | "description")
        };
        let label = match others.is_empty() {
            true => None,
            false => self.labels_of(kind).into_iter().find(distinct),
        };
        Choice {
            backend: first.name.clone(),
            several: !others.is_empty(),
            label: label.and_then(|label| {
                let value = value(first, &label)?;
                Some((label, value))
            }),
        }
    }

    /// Compiles what is there with and without the new files: what is said only then is theirs.
    pub(super) fn refuse_misfits(&self, files: &[NewFile], vars: &Vars) -> Result<()> {
        let there: Vec<(&str, &str)> = self
            .files
            .iter()
            .map(|(_, file)| (&*file.path, &*file.text))
            .collect();
        let mut with = there.clone();
        with.extend(files.iter().map(|(path, text)| (&**path, &**text)));
        let env = environment(vars).ignoring_secrets();
        let before = config::load_from_memory(&there, &env);
        let after = config::load_from_memory(&with, &env);
        let misfits = new_ones(&before, &after);
        if misfits.iter().next().is_none() {
            return Ok(());
        }
        let ambiguous = misfits.iter().any(|one| one.code == AMBIGUOUS_BACKEND);
        anyhow::bail!(
            "the skeleton does not fit in here, and nothing was written:\n{}{}",
            text::render_text(&misfits, &after.files, false).trim_end(),
            match ambiguous {
                true => {
                    "\n\nthese routes must say which of several backends they mean before there are \
                     several: add their `select` first, then run this again"
                }
                false => "",
            }
        )
    }
}

fn new_ones(before: &Loaded, after: &Loaded) -> Diagnostics {
    let said = |diagnostic: &Diagnostic| {
        before
            .diagnostics
            .iter()
            .any(|known| known.code == diagnostic.code && known.message == diagnostic.message)
    };
    let mut found = Diagnostics::default();
    for span in after.diagnostics.masked() {
        found.mask(*span);
    }
    // A backend may come before its routes: that is said in other words.
    let new = |diagnostic: &&Diagnostic| !said(diagnostic) && diagnostic.code != UNUSED_BACKEND;
    for diagnostic in after.diagnostics.iter().filter(new) {
        found.push(diagnostic.clone());
    }
    found
}
