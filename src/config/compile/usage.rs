//! What the parts of a route say about each other: secrets on their way into a row, and what is
//! written and never used.

use std::collections::BTreeSet;

use super::codes;
use super::names::Surroundings;
use super::reads::Reads;
use super::request::RequestSchemas;
use crate::config::spec::decode::At;
use crate::config::spec::mapping::MappingSpec;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{Kind, Node, Snippet, Span, pairs};

/// Everything that the expressions of a route read, its templates included.
pub(super) fn of_route(node: &Node, around: &Surroundings<'_>) -> Reads {
    let mut reads = Reads::default();
    if let Kind::Map(entries) = &node.kind {
        for entry in entries {
            if entry.key != "request" && entry.key != "examples" {
                reads.node(&entry.value);
            }
        }
    }
    with_templates(reads, around)
}

/// What a subtree reads, its templates included.
pub(super) fn of_node(node: &Node, around: &Surroundings<'_>) -> Reads {
    with_templates(Reads::of(node), around)
}

fn with_templates(mut reads: Reads, around: &Surroundings<'_>) -> Reads {
    for name in reads.templates.clone() {
        if let Some((file, text)) = around.templates.get(name.as_str()) {
            reads.text(Snippet::file(*file, text));
        }
    }
    reads
}

/// Which values of a route hold a field that is marked `writeOnly`, directly or through a `let`.
pub(super) struct WriteOnly<'a> {
    patterns: Vec<&'a str>,
    lets: BTreeSet<String>,
    extracted: BTreeSet<String>,
}

impl<'a> WriteOnly<'a> {
    pub(super) fn of(
        schemas: &'a RequestSchemas,
        lets: Option<&Node>,
        extract: Option<&Node>,
        around: &Surroundings<'_>,
    ) -> Self {
        let mut this = Self {
            patterns: schemas
                .body
                .iter()
                .flat_map(|body| body.schema.write_only.iter().map(|pointer| &**pointer))
                .collect(),
            lets: BTreeSet::new(),
            extracted: BTreeSet::new(),
        };
        if this.patterns.is_empty() {
            return this;
        }
        for (name, value) in pairs(lets) {
            if this.touches(&of_node(value, around)).is_some() {
                this.lets.insert(name.to_owned());
            }
        }
        for (name, value) in pairs(extract) {
            if this.touches(&of_node(value, around)).is_some() {
                this.extracted.insert(name.to_owned());
            }
        }
        this
    }

    /// The first variable that holds such a field.
    pub(super) fn touches(&self, reads: &Reads) -> Option<Span> {
        let body = reads
            .of_root("body")
            .find(|(path, _)| self.patterns.iter().any(|pattern| covers(pattern, path)));
        let named = |root, names: &BTreeSet<String>| {
            reads.of_root(root).find(|(path, _)| {
                let first = path.split('.').next().unwrap_or_default();
                names.contains(first) || path.is_empty() && !names.is_empty()
            })
        };
        body.or_else(|| named("let", &self.lets))
            .or_else(|| named("extracted", &self.extracted))
            .map(|(_, span)| span)
    }
}

/// Whether the variable `path` lies at, below or above the field at `pattern`.
fn covers(pattern: &str, path: &str) -> bool {
    pattern
        .split('/')
        .skip(1)
        .zip(path.split('.').filter(|name| !name.is_empty()))
        .all(|(wanted, found)| {
            wanted == "*" || wanted.replace("~1", "/").replace("~0", "~") == found
        })
}

/// What a mapping change keeps in its row must not hold a `writeOnly` field.
pub(super) fn check_stored(
    mapping: &MappingSpec,
    write_only: &WriteOnly<'_>,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) {
    let mut check = |reads: Reads| {
        if let Some(span) = write_only.touches(&reads) {
            diags.push(
                Diagnostic::error(
                    codes::WRITE_ONLY_STORED,
                    span,
                    "this would store a field that is marked `writeOnly`",
                )
                .help("a `writeOnly` field may be sent to the backend, and kept nowhere"),
            );
        }
    };
    for op in mapping.0.iter().filter_map(|op| op.op.as_ref()) {
        for part in op.cmp_id.iter().flat_map(|id| &id.0) {
            let mut reads = Reads::default();
            reads.text(part.snippet());
            check(reads);
        }
        if let Some(node) = &op.backend_id {
            check(of_node(node, around));
        }
        for (_, node) in op.attributes.iter().flat_map(|attributes| &attributes.0) {
            check(of_node(node, around));
        }
    }
}

/// Names of `let` and `extract` that nothing reads.
pub(super) fn check_unused_names<'k>(
    lets: impl IntoIterator<Item = &'k At<String>>,
    extracted: impl IntoIterator<Item = &'k At<String>>,
    reads: &Reads,
    diags: &mut Diagnostics,
) {
    for key in lets {
        if !is_read(reads, "let", &key.value) {
            diags.push(
                Diagnostic::warning(
                    codes::UNUSED_LET,
                    key.span,
                    format!("`let.{}` is read nowhere", key.value),
                )
                .help("remove it, or use it"),
            );
        }
    }
    for key in extracted {
        if !is_read(reads, "extracted", &key.value) {
            diags.push(
                Diagnostic::warning(
                    codes::UNUSED_EXTRACT,
                    key.span,
                    format!("`extracted.{}` is read nowhere", key.value),
                )
                .help("remove it, or use it"),
            );
        }
    }
}

fn is_read(reads: &Reads, root: &str, name: &str) -> bool {
    reads
        .of_root(root)
        .any(|(path, _)| path.is_empty() || path.split('.').next() == Some(name))
}

/// Tables of a file that none of its routes reads.
pub(super) fn check_unused_maps<'k>(
    maps: impl IntoIterator<Item = &'k At<String>>,
    reads: &Reads,
    diags: &mut Diagnostics,
) {
    for key in maps {
        if !reads.maps.contains(&key.value) {
            diags.push(
                Diagnostic::warning(
                    codes::UNUSED_MAP,
                    key.span,
                    format!("the map `{}` is used nowhere", key.value),
                )
                .help(format!(
                    "remove it, or write `{{{{ map '{}' ... }}}}`",
                    key.value
                )),
            );
        }
    }
}

/// Templates that no route uses.
pub(super) fn check_unused_templates(
    around: &Surroundings<'_>,
    used: &BTreeSet<String>,
    diags: &mut Diagnostics,
) {
    for (name, (file, _)) in around.templates.iter().chain(&around.textfsm) {
        if !used.contains(&**name) {
            diags.push(
                Diagnostic::warning(
                    codes::UNUSED_TEMPLATE,
                    Span::new(*file, 0, 0),
                    format!("no route uses the template `{name}`"),
                )
                .help("remove the file, or name it in a route"),
            );
        }
    }
}

/// The keys of a map, as boxed names.
pub(super) fn keys(map: Option<&Node>) -> Vec<Box<str>> {
    pairs(map).map(|(name, _)| name.into()).collect()
}
