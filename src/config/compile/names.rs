//! What a position of a route may name: the roots that exist when it is rendered, and their names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::backend::Backends;
use super::codes;
use super::name::Shape;
use super::recorded::Recorded;
use super::schema::Schemas;
use crate::config::source::SourceFiles;
use crate::config::spec::decode::At;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{FileId, Span};
use crate::plan::{Backend, BackendId, Resource, ResourceId, Server};
use crate::transform::{Env, Root, Uses, ValueMap};

/// What every route of the configuration is compiled against.
pub(super) struct Surroundings<'a> {
    pub files: &'a SourceFiles,
    pub backends: &'a Backends,
    pub server: &'a Server,
    pub resources: &'a [Resource],
    pub resource_names: BTreeSet<Box<str>>,
    pub templates: BTreeMap<Box<str>, (FileId, Arc<str>)>,
    /// The TextFSM templates of `templates/`, by their names there.
    pub textfsm: BTreeMap<Box<str>, (FileId, Arc<str>)>,
    /// What the routes of all files record.
    pub recorded: Recorded,
    /// The request schemas of the routes so far.
    pub schemas: Schemas,
    /// Whether what is read of answers is held against those of the examples.
    pub tries_examples: bool,
}

impl<'a> Surroundings<'a> {
    pub(super) fn resource(&self, name: &str) -> Option<(ResourceId, &'a Resource)> {
        (0u16..)
            .zip(self.resources)
            .find(|(_, resource)| *resource.name == *name)
            .map(|(id, resource)| (ResourceId(id), resource))
    }

    /// The instances of a kind, in the order of their names.
    pub(super) fn of_kind(&self, kind: &str) -> Vec<(BackendId, &'a Backend)> {
        let mut found: Vec<_> = (0u16..)
            .zip(self.backends.iter())
            .filter(|(_, backend)| *backend.kind == *kind)
            .map(|(id, backend)| (BackendId(id), backend))
            .collect();
        found.sort_by(|(_, a), (_, b)| a.name.cmp(&b.name));
        found
    }
}

/// When a position of a route is rendered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The request alone: `object`, the ids of parents.
    Request,
    /// The choice of an instance: parents are known. For a `per_backend` resource without `request`.
    Select { per_backend: bool },
    /// The CMP id that a mapping change names, before the call.
    Identity,
    /// `let` and `call`: everything before the call.
    Call,
    /// Everything.
    Answer,
}

/// The roots that a position may name where the route declares all there is, by the stage's word:
/// `x-stage` of a key in `spec`, which the reference page and the editors' schemas are written from.
pub(in crate::config) fn variables_at(stage: &str) -> Option<Vec<&'static str>> {
    let refusal = stage == "refusal";
    let stage = match stage {
        "request" => Stage::Request,
        "select" => Stage::Select { per_backend: false },
        "identity" => Stage::Identity,
        "call" => Stage::Call,
        "answer" | "refusal" => Stage::Answer,
        "tokens" => return Some(vec![Root::Tokens.name()]),
        _ => return None,
    };
    let everything = Names {
        declared: vec![Root::Query, Root::Header, Root::Body],
        object: true,
        parents: vec!["alias".into()],
        early_parents: vec!["alias".into()],
        creates: true,
        records: true,
        ..Names::default()
    };
    let mut roots = everything.roots(stage);
    // Of an answer that is no success nothing is extracted.
    roots.retain(|root| !(refusal && *root == Root::Extracted));
    Some(roots.into_iter().map(Root::name).collect())
}

/// The names that exist in one route.
#[derive(Default)]
pub(super) struct Names {
    pub path: Vec<Box<str>>,
    /// Which of `query`, `header` and `body` the route declares.
    pub declared: Vec<Root>,
    pub object: bool,
    pub parents: Vec<Box<str>>,
    /// Those whose id may be absent, and they with it.
    pub absent_parents: Vec<Box<str>>,
    /// The parents that are known before the choice: not those of `per_backend` resources.
    pub early_parents: Vec<Box<str>>,
    pub lets: Vec<Box<str>>,
    /// Those that may be absent.
    pub absent_lets: Vec<Box<str>>,
    pub extracted: Vec<Box<str>>,
    /// Those whose source is `optional`.
    pub absent_extracted: Vec<Box<str>>,
    /// Whether `mapping.cmp_id` is known before the call: the route creates.
    pub creates: bool,
    /// Whether the route changes the mapping table.
    pub records: bool,
    pub maps: BTreeMap<Box<str>, Arc<ValueMap>>,
    /// Each use of a variable, as its position was compiled.
    pub uses: Uses,
}

impl Names {
    /// The roots of a stage, in the order in which a request fills them.
    pub(super) fn roots(&self, stage: Stage) -> Vec<Root> {
        let mut roots = vec![Root::Path];
        roots.extend(&self.declared);
        if stage != (Stage::Select { per_backend: true }) {
            roots.push(Root::Request);
        }
        let parents = match stage {
            Stage::Request => false,
            Stage::Select { .. } => !self.early_parents.is_empty(),
            Stage::Identity | Stage::Call | Stage::Answer => !self.parents.is_empty(),
        };
        if parents {
            roots.push(Root::Parents);
        }
        let late = !matches!(stage, Stage::Request | Stage::Select { .. });
        if late && self.object {
            roots.push(Root::Object);
        }
        if matches!(stage, Stage::Call | Stage::Answer) {
            roots.push(Root::Backend);
            roots.push(Root::Let);
            if self.creates {
                roots.push(Root::Mapping);
            }
        }
        if stage == Stage::Answer {
            roots.extend([Root::Response, Root::Extracted]);
            if self.records && !self.creates {
                roots.push(Root::Mapping);
            }
        }
        roots
    }

    /// What `transform` is told of a position.
    pub(super) fn env<'e>(
        &'e self,
        around: &'e Surroundings<'_>,
        stage: Stage,
        roots: &'e [Root],
    ) -> Env<'e> {
        Env {
            roots,
            path: &self.path,
            parents: match stage {
                Stage::Select { .. } => &self.early_parents,
                _ => &self.parents,
            },
            lets: &self.lets,
            extracted: &self.extracted,
            tokens: &[],
            maps: &self.maps,
            resources: &around.resource_names,
            templates: &around.templates,
            uses: Some(&self.uses),
        }
    }
}

/// Whether a name follows the pattern of names, `[a-z][a-z0-9_]*`; one that does not is reported.
pub(super) fn check_name(name: &str, span: Span, what: &str, diags: &mut Diagnostics) -> bool {
    let fits = Shape::Word.fits(name);
    if !fits {
        let fixed: String = name
            .to_ascii_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
            .collect();
        let usable = Shape::Word.fits(&fixed);
        diags.push(
            Diagnostic::error(codes::BAD_NAME, span, format!("`{name}` cannot name {what}"))
                .did_you_mean(usable.then_some(fixed.as_str()))
                .help("names are lower-case letters, digits and `_`, begin with a letter, and have at most 64 characters"),
        );
    }
    fits
}

/// The keys of a map of names, each checked.
pub(super) fn check_names<'k>(
    keys: impl IntoIterator<Item = &'k At<String>>,
    what: &str,
    diags: &mut Diagnostics,
) {
    for key in keys {
        check_name(&key.value, key.span, what, diags);
    }
}
