//! What a choice can come to, whatever the request says: values that a schema admits and no instance
//! has, instances that no value chooses, and instances that take nothing new.
//!
//! `select` and `labels` check each word against the instances; this compares whole choices with what
//! the request's schema lets through.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use super::codes;
use super::endpoint::Endpoint;
use super::labels::label_of;
use crate::config::spec::part::{Written, right};
use crate::config::spec::route::SelectSpec;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Node, Span};
use crate::plan::{Backend, BackendId, BackendState, Route, Select};
use crate::transform::Text;

/// One variable of the request and nothing else, perhaps with what stands for its absence.
static BARE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r#"^\{\{\s*(?:default\s+)?(body|query|header)\.([A-Za-z0-9_.]+)(?:\s+(?:'([^']*)'|"([^"]*)"))?\s*\}\}$"#,
    )
    .expect("a literal pattern")
});

/// What the choosing routes of each kind can reach.
#[derive(Default)]
pub(super) struct Reach {
    kinds: BTreeMap<Box<str>, Reached>,
}

#[derive(Default)]
struct Reached {
    chosen: BTreeSet<BackendId>,
    /// Where a choice is written.
    place: Option<Span>,
}

impl Reach {
    /// Checks the choice of one route, and notes what it can come to.
    pub(super) fn note(&mut self, route: &Route, endpoint: &Endpoint<'_>, diags: &mut Diagnostics) {
        let sheet = endpoint.sheet;
        let follows = route.object.is_some() && !sheet.per_backend();
        if follows || !endpoint.around.backends.all_known() {
            return;
        }
        let candidates = endpoint.around.of_kind(sheet.kind());
        let reached = self.kinds.entry(sheet.kind().into()).or_default();
        let spec = right(&endpoint.spec.select).or(right(&sheet.spec.select));
        let select = &route.select;
        if select.same_as.is_some() {
            // Where the parent went, the children go.
            return;
        }
        reached.place = reached.place.or(Some(endpoint.name.span));
        let chosen = match (&select.instance, spec) {
            (Some(instance), Some(spec)) => {
                check_instance(route, instance, spec, &candidates, diags)
            }
            _ => check_labels(route, select, spec, endpoint, &candidates, diags),
        };
        reached.chosen.extend(chosen);
    }

    /// Reports the instances that no route of their kind can choose, and kinds of which all drain.
    pub(super) fn check(&self, endpoint_backends: &Instances<'_>, diags: &mut Diagnostics) {
        for (kind, reached) in &self.kinds {
            let Some(place) = reached.place else { continue };
            let of_kind: Vec<_> = endpoint_backends.of_kind(kind).collect();
            if !of_kind.is_empty()
                && of_kind
                    .iter()
                    .all(|(_, backend, _)| backend.state == BackendState::Drain)
                && let Some((_, _, node)) = of_kind.first()
            {
                let state = node.get("state").map_or(node.span, |state| state.span);
                diags.push(
                    Diagnostic::warning(
                        codes::ALL_DRAINING,
                        state,
                        format!("every backend of kind `{kind}` drains, so nothing new can be created on any"),
                    )
                    .related(place, "such as by this route")
                    .help("set `state: active` on one of them"),
                );
            }
            for (id, backend, node) in of_kind {
                if !reached.chosen.contains(&id) {
                    let name = node.get("name").map_or(node.span, |name| name.span);
                    diags.push(
                        Diagnostic::warning(
                            codes::UNREACHABLE_BACKEND,
                            name,
                            format!("no request can choose `{}`", backend.name),
                        )
                        .related(place, "such a choice is made here")
                        .help("give it the labels that the routes' `select` asks for, or remove the file"),
                    );
                }
            }
        }
    }
}

/// The compiled instances, with what they were compiled from.
pub(super) struct Instances<'a> {
    list: Vec<(BackendId, &'a Backend, &'a Node)>,
}

impl<'a> Instances<'a> {
    pub(super) fn of(around: &super::names::Surroundings<'a>) -> Self {
        let nodes = || {
            around
                .files
                .backends()
                .filter_map(|(_, file)| file.node.as_ref())
        };
        let list = (0u16..)
            .zip(around.backends.iter())
            .filter_map(|(id, backend)| {
                let node = nodes().find(|node| {
                    node.get("name").and_then(Node::as_text) == Some(&*backend.name)
                })?;
                Some((BackendId(id), backend, node))
            })
            .collect();
        Self { list }
    }

    fn of_kind(&self, kind: &str) -> impl Iterator<Item = (BackendId, &'a Backend, &'a Node)> {
        self.list
            .iter()
            .filter(move |(_, backend, _)| *backend.kind == *kind)
            .copied()
    }
}

type Candidates<'a, 'b> = &'a [(BackendId, &'b Backend)];

fn check_instance(
    route: &Route,
    instance: &Text,
    spec: &SelectSpec,
    candidates: Candidates<'_, '_>,
    diags: &mut Diagnostics,
) -> Vec<BackendId> {
    if let Some(name) = instance.as_literal() {
        let named = candidates
            .iter()
            .filter(|(_, backend)| *backend.name == *name);
        return named.map(|(id, _)| *id).collect();
    }
    let written = right(&spec.instance);
    let Some(values) = written.and_then(|written| values_of(route, written.text())) else {
        return candidates.iter().map(|(id, _)| *id).collect();
    };
    let names: Vec<&str> = candidates
        .iter()
        .map(|(_, backend)| &*backend.name)
        .collect();
    if let (Some(written), false) = (written, candidates.is_empty()) {
        unserved(
            &values,
            &names,
            written,
            |value| format!("named `{value}`"),
            route,
            diags,
        );
    }
    let chosen = candidates
        .iter()
        .filter(|(_, backend)| values.iter().any(|value| **value == *backend.name));
    chosen.map(|(id, _)| *id).collect()
}

fn check_labels(
    route: &Route,
    select: &Select,
    spec: Option<&SelectSpec>,
    endpoint: &Endpoint<'_>,
    candidates: Candidates<'_, '_>,
    diags: &mut Diagnostics,
) -> Vec<BackendId> {
    let written: Vec<_> = spec
        .and_then(|spec| right(&spec.labels))
        .map(|labels| labels.0.as_slice())
        .unwrap_or_default()
        .iter()
        .collect();
    let mut left: Vec<(BackendId, &Backend)> = candidates.to_vec();
    for (label, text) in &select.labels {
        let literal = text.as_literal();
        left.retain(|(_, backend)| {
            label_of(backend, label).is_some_and(|value| literal.is_none_or(|l| l == value))
        });
    }
    if left.is_empty() && !candidates.is_empty() {
        // Each word alone is somebody's, or that has been reported.
        let each_is_known = select.labels.iter().all(|(label, text)| {
            candidates.iter().any(|(_, backend)| {
                label_of(backend, label)
                    .is_some_and(|value| text.as_literal().is_none_or(|l| l == value))
            })
        });
        if let (true, Some((first, _))) = (each_is_known, written.first()) {
            diags.push(
                Diagnostic::error(
                    codes::NO_MATCHING_BACKEND,
                    first.span,
                    format!(
                        "no backend of kind `{}` has all of these labels at once",
                        endpoint.sheet.kind()
                    ),
                )
                .help(described(&select.labels, candidates)),
            );
        }
        return Vec::new();
    }
    for (label, text) in &select.labels {
        let place = written.iter().find(|(name, _)| *name.value == **label);
        let (None, Some((_, written))) = (text.as_literal(), place) else {
            continue;
        };
        let Some(values) = values_of(route, written.text()) else {
            continue;
        };
        let known: Vec<&str> = left
            .iter()
            .filter_map(|(_, b)| label_of(b, label))
            .collect();
        if !left.is_empty() {
            let shown = |value: &str| format!("with the label `{label}: {value}`");
            unserved(&values, &known, written, shown, route, diags);
        }
        left.retain(|(_, backend)| {
            label_of(backend, label).is_some_and(|known| values.iter().any(|v| **v == *known))
        });
    }
    left.into_iter().map(|(id, _)| id).collect()
}

/// What the instances have of these labels.
fn described(labels: &[(Box<str>, Text)], candidates: Candidates<'_, '_>) -> String {
    let each: Vec<_> = candidates
        .iter()
        .map(|(_, backend)| {
            let has: Vec<_> = labels
                .iter()
                .filter_map(|(label, _)| Some(format!("{label}: {}", label_of(backend, label)?)))
                .collect();
            format!(
                "`{}` has {}",
                backend.name,
                match has.is_empty() {
                    true => "none of them".to_owned(),
                    false => has.join(", "),
                }
            )
        })
        .collect();
    each.join("; ")
}

/// Reports the values that the request's schema lets through and that lead to no instance.
fn unserved(
    values: &[Box<str>],
    known: &[&str],
    written: &Written,
    shown: impl Fn(&str) -> String,
    route: &Route,
    diags: &mut Diagnostics,
) {
    let lost: Vec<&str> = values
        .iter()
        .map(|value| &**value)
        .filter(|value| !known.contains(value))
        .collect();
    let Some(first) = lost.first() else { return };
    let mut served: Vec<_> = known.iter().map(|known| format!("`{known}`")).collect();
    served.sort();
    served.dedup();
    let nearest = suggest::nearest(first, known.iter().copied());
    let mut problem = Diagnostic::warning(
        codes::UNSERVED_VALUE,
        written.span(),
        match lost.as_slice() {
            [one] => format!("the request's schema admits `{one}`, and there is no backend {}", shown(one)),
            _ => format!(
                "the request's schema admits {}, and there is no backend {}",
                lost.iter().map(|v| format!("`{v}`")).collect::<Vec<_>>().join(", "),
                shown(first)
            ),
        },
    )
    .help(format!(
        "a request with it is refused as 503 `no_backend`: take it out of the schema of `{}`, or add the backend; served are {}",
        route.name,
        served.join(", ")
    ));
    if let Some(near) = nearest {
        problem = problem.label(format!("the nearest to `{first}` is `{near}`"));
    }
    diags.push(problem);
}

/// The texts that an expression can render, where the request's schema names them one by one.
fn values_of(route: &Route, written: &str) -> Option<Vec<Box<str>>> {
    let found = BARE.captures(written.trim())?;
    let schema = match &found[1] {
        "body" => &route.request.body,
        "query" => &route.request.query,
        _ => &route.request.headers,
    };
    let document = &schema.as_ref()?.document;
    let mut at = resolved(document, document)?;
    for name in found[2].split('.') {
        at = resolved(document, at.get("properties")?.get(name)?)?;
    }
    let values = match (at.get("enum"), at.get("const")) {
        (Some(Value::Array(values)), _) => values.iter().collect(),
        (_, Some(value)) => vec![value],
        _ => return None,
    };
    let mut texts: Vec<Box<str>> = values
        .into_iter()
        .map(|value| match value {
            Value::String(text) => Some(text.as_str().into()),
            Value::Number(number) => Some(number.to_string().into()),
            _ => None,
        })
        .collect::<Option<_>>()?;
    if let Some(fallback) = found.get(3).or(found.get(4)) {
        texts.push(fallback.as_str().into());
    }
    Some(texts)
}

/// The schema itself, or the one that it refers to.
fn resolved<'v>(document: &'v Value, schema: &'v Value) -> Option<&'v Value> {
    // A chain of references is short, or it is a cycle.
    let mut at = schema;
    for _ in 0..16 {
        match at.get("$ref").and_then(Value::as_str) {
            None => return Some(at),
            Some(text) => at = document.pointer(text.strip_prefix('#')?)?,
        }
    }
    None
}
