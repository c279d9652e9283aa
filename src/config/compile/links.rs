//! What routes say about each other's objects: whether anything creates what a route looks up, whether
//! anything deletes what a route creates, and whether a create could be found again at the backend.
//!
//! None of it is an error. Objects may be adopted by an operator, some are never deleted, and some
//! backends keep no word of ours; but each of these is far more often forgotten than meant.

use std::collections::{BTreeMap, BTreeSet};

use super::codes;
use super::endpoint::Endpoint;
use super::names::Surroundings;
use super::request;
use crate::config::spec::part::right;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::Span;
use crate::plan::{Action, CmpIdSource, HttpBody, IdTemplate, MappingOp, ResourceId, Route, Verb};

/// What every route looks up, records and deletes.
#[derive(Default)]
pub(super) struct Links {
    lookups: Vec<Lookup>,
    creates: BTreeMap<ResourceId, Span>,
    created: BTreeSet<ResourceId>,
    deleted: BTreeSet<ResourceId>,
}

/// A resource whose objects must be mapped before a route can be used.
struct Lookup {
    resource: ResourceId,
    span: Span,
    /// It is named in the route, so it may be a typing error.
    named: bool,
}

impl Links {
    /// Adds what one route says.
    pub(super) fn note(&mut self, endpoint: &Endpoint<'_>) {
        let (spec, around) = (endpoint.spec, endpoint.around);
        let own = endpoint.sheet.resource;
        // What is unknown has been reported where it stands.
        let silent = &mut Diagnostics::default();
        if let (Some(_), Some(resource)) = (right(&spec.object), own) {
            let node = endpoint.node.get("object");
            self.lookups.push(Lookup {
                resource,
                span: node.map_or(endpoint.name.span, |node| node.span),
                named: false,
            });
        }
        for (_, parent) in right(&spec.parents).iter().flat_map(|parents| &parents.0) {
            if let Some(resource) = request::resource(&parent.resource, around, silent) {
                self.lookups.push(Lookup {
                    resource,
                    span: parent.resource.span(),
                    named: true,
                });
            }
        }
        for change in right(&spec.mapping).iter().flat_map(|mapping| &mapping.0) {
            let Some(op) = &change.op else { continue };
            let resource = match &op.resource {
                Some(written) => request::resource(written, around, silent),
                None => own,
            };
            let Some(resource) = resource else { continue };
            match change.verb {
                Verb::Create | Verb::Put => {
                    self.created.insert(resource);
                    self.creates.entry(resource).or_insert(change.span);
                }
                Verb::Delete => {
                    self.deleted.insert(resource);
                }
                Verb::Update => {}
            }
        }
    }

    /// Reports what no route creates, and what none deletes; every route has been read right.
    pub(super) fn check(&self, around: &Surroundings<'_>, diags: &mut Diagnostics) {
        let name = |id: ResourceId| &*around.resources[usize::from(id.0)].name;
        let mut said = BTreeSet::new();
        for lookup in &self.lookups {
            let missing = !self.created.contains(&lookup.resource);
            if !missing || !said.insert(lookup.resource) {
                continue;
            }
            let resource = name(lookup.resource);
            let near = lookup.named.then(|| {
                suggest::nearest(resource, self.created.iter().map(|created| name(*created)))
            });
            diags.push(
                Diagnostic::warning(
                    codes::NO_ROUTE_CREATES,
                    lookup.span,
                    format!("no route creates a `{resource}`, so none is ever found here"),
                )
                .did_you_mean(near.flatten())
                .help(format!(
                    "add a route with `mapping: create` for it; objects that were made elsewhere are mapped by hand: \
                     `cmp-relay mappings adopt {resource} CMP_ID --backend NAME --backend-id ID`"
                )),
            );
        }
        for (resource, span) in &self.creates {
            if self.deleted.contains(resource) {
                continue;
            }
            let resource = name(*resource);
            diags.push(
                Diagnostic::warning(
                    codes::CREATE_WITHOUT_DELETE,
                    *span,
                    format!("no route deletes a `{resource}`, so its mappings are never removed"),
                )
                .help("add a route that matches DELETE, with `object:` and `mapping: delete`"),
            );
        }
    }
}

/// A create (or one variant of it) whose call says nothing of the CMP id: if its outcome stays unknown, nobody can tell which
/// object of the backend it made, or whether it made one (SEMANTICS 16: a person settles it).
pub(super) fn check_mark(route: &Route, endpoint: &Endpoint<'_>, diags: &mut Diagnostics) {
    // A PUT names what it makes; what changes nothing makes nothing.
    if let Action::Http(http) = &route.ways[0].call.action
        && http.method.is_idempotent()
    {
        return;
    }
    let sent = sent(route);
    let marks = |op: &MappingOp| {
        let wanted = named_by(route, op);
        wanted.is_empty() || wanted.iter().all(|name| is_sent(&sent, name))
    };
    let creates = || route.changes().filter(|op| op.verb == Verb::Create);
    if creates().any(marks) {
        return;
    }
    let span = right(&endpoint.spec.mapping)
        .iter()
        .flat_map(|mapping| &mapping.0)
        .find(|change| change.verb == Verb::Create)
        .map(|change| change.span);
    let (Some(span), Some(create)) = (span, creates().next()) else {
        return;
    };
    let expression = match named_by(route, create).as_slice() {
        [one] => one.clone(),
        _ => "mapping.cmp_id".to_owned(),
    };
    let place = match &route.ways[0].call.action {
        Action::Http(http) if matches!(http.body, HttpBody::Form(_)) => "call.form",
        Action::Http(_) => "call.body",
        Action::Cli(_) => "call.cli",
        Action::Exec(_) => "call.exec",
        Action::Netconf(_) => "call.template",
    };
    diags.push(
        Diagnostic::warning(
            codes::UNMARKED_CREATE,
            span,
            "nothing in the call says which CMP object is created",
        )
        .label("an unknown outcome of this create could not be found at the backend")
        .help(format!(
            "send the CMP id in a name, a tag or a description, such as `description: \"cmp:{{{{ {expression} }}}}\"` in `{place}`"
        )),
    );
}

/// The variables that the CMP id of a create is made of; none where it is a literal.
fn named_by(route: &Route, op: &MappingOp) -> Vec<String> {
    match &op.cmp_id {
        CmpIdSource::Given(id) => plain(route, id_variables(id)),
        CmpIdSource::RelayMade => vec!["mapping.cmp_id".to_owned()],
        CmpIdSource::Object => match &route.object {
            Some(object) => plain(route, id_variables(&object.id)),
            None => Vec::new(),
        },
    }
}

fn id_variables(id: &IdTemplate) -> Vec<&str> {
    id.parts.iter().flat_map(|part| part.variables()).collect()
}

/// Everything that the call carries, down to the request's own fields.
fn sent(route: &Route) -> Vec<String> {
    plain(route, route.ways[0].call.action.variables())
}

/// Names with what stands behind them: a `let`, the id of a parent or of the object, the CMP id. A
/// parent's backend id says as much as the CMP id by which it was found.
fn plain(route: &Route, names: Vec<&str>) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut open: Vec<String> = names.into_iter().map(str::to_owned).collect();
    while let Some(name) = open.pop() {
        if all.contains(&name) {
            continue;
        }
        let mut steps = name.split('.');
        let behind: Vec<&str> = match (steps.next(), steps.next()) {
            (Some("let"), Some(alias)) => route
                .lets
                .iter()
                .filter(|(known, _)| **known == *alias)
                .flat_map(|(_, tree)| tree.variables())
                .collect(),
            (Some("parents"), Some(alias)) => route
                .parents
                .iter()
                .filter(|parent| *parent.alias == *alias)
                .flat_map(|parent| id_variables(&parent.id))
                .collect(),
            (Some("object"), _) => route
                .object
                .iter()
                .flat_map(|object| id_variables(&object.id))
                .collect(),
            (Some("mapping"), _) => route
                .changes()
                .filter_map(|op| match &op.cmp_id {
                    CmpIdSource::Given(id) => Some(id_variables(id)),
                    _ => None,
                })
                .flatten()
                .collect(),
            _ => Vec::new(),
        };
        // A name that stands for others is none of the request's own.
        if behind.is_empty() {
            all.push(name);
        } else {
            open.extend(behind.into_iter().map(str::to_owned));
        }
    }
    all
}

/// Whether this very field is sent, or a part of the request that holds it.
fn is_sent(sent: &[String], name: &str) -> bool {
    sent.iter().any(|known| {
        name.strip_prefix(known.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}
