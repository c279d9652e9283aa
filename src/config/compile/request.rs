//! `request`, `object`, `parents` and `let`: what is known before an instance is chosen.

use http::Method;

use super::codes;
use super::complete;
use super::matching::Match;
use super::names::{Names, Stage, Surroundings, check_name, check_names};
use super::schema::{self, CompiledSchema, Purpose};
use crate::config::spec::decode::Entries;
use crate::config::spec::part::{OneOrMany, Written};
use crate::config::spec::route::{ParentSpec, RequestSpec};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Node, Span};
use crate::plan::{IdTemplate, Parent, RequestRules};
use crate::transform::{Position, Root, Text, Tree};

/// The schemas of a request, with the nodes that they came from.
#[derive(Debug, Default)]
pub(super) struct RequestSchemas {
    pub body: Option<CompiledSchema>,
    pub query: Option<CompiledSchema>,
    pub headers: Option<CompiledSchema>,
}

impl RequestSchemas {
    pub(super) fn into_rules(self) -> RequestRules {
        let schema = |compiled: Option<CompiledSchema>| compiled.map(|compiled| compiled.schema);
        RequestRules {
            body: schema(self.body),
            query: schema(self.query),
            headers: schema(self.headers),
        }
    }

    /// The closed schema behind a root.
    pub(super) fn of_root(&self, root: Root) -> Option<&CompiledSchema> {
        match root {
            Root::Body => self.body.as_ref(),
            Root::Query => self.query.as_ref(),
            Root::Header => self.headers.as_ref(),
            _ => None,
        }
    }
}

/// Which roots a request declares, whether its schemas compile or not.
pub(super) fn declared(spec: &RequestSpec) -> Vec<Root> {
    [
        (Root::Query, &spec.query),
        (Root::Header, &spec.headers),
        (Root::Body, &spec.body),
    ]
    .into_iter()
    .filter(|(_, node)| node.is_some())
    .map(|(root, _)| root)
    .collect()
}

/// Compiles the schemas of a request.
pub(super) fn compile(
    spec: &RequestSpec,
    matched: Option<&Match>,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> RequestSchemas {
    let bodiless = matched.filter(|m| [Method::GET, Method::HEAD].contains(&m.method));
    if let (Some(matched), Some(body)) = (bodiless, &spec.body) {
        diags.push(
            Diagnostic::error(
                codes::BODY_NOT_ALLOWED,
                body.span,
                format!("a {} has no body", matched.method),
            )
            .help("declare `request.query`, or match POST with `safe: true` for a search"),
        );
    }
    let mut compiled = |node: &Option<Node>, purpose| {
        node.as_ref()
            .and_then(|node| schema::compile(node, purpose, around.files, &around.schemas, diags))
    };
    RequestSchemas {
        body: compiled(&spec.body, Purpose::Body),
        query: compiled(&spec.query, Purpose::Query),
        headers: compiled(&spec.headers, Purpose::Headers),
    }
}

/// Compiles an id of one text or several.
pub(super) fn id(
    parts: &OneOrMany<Written>,
    place: Span,
    field: &str,
    stage: Stage,
    names: &Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<IdTemplate> {
    if parts.0.is_empty() {
        diags.push(
            Diagnostic::error(codes::BAD_VALUE, place, "an id cannot be made of nothing")
                .help("write a text, or a list of texts for a composite id"),
        );
        return None;
    }
    let roots = names.roots(stage);
    let env = names.env(around, stage, &roots);
    let parts = parts.0.iter();
    let parts =
        parts.map(|part| Text::compile(part.snippet(), Position::Plain, field, &env, diags));
    let parts = complete(parts)?;
    Some(IdTemplate { parts })
}

/// Compiles the parents; a wrong one is left out.
pub(super) fn parents(
    specs: &Entries<ParentSpec>,
    names: &Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<Vec<Parent>> {
    let compiled: Vec<_> = specs
        .0
        .iter()
        .map(|(alias, spec)| {
            check_name(&alias.value, alias.span, "a parent", diags);
            let field = format!("parents.{}.id", alias.value);
            let id = id(
                &spec.id,
                alias.span,
                &field,
                Stage::Request,
                names,
                around,
                diags,
            );
            let resource = resource(&spec.resource, around, diags);
            Some(Parent {
                alias: alias.value.as_str().into(),
                resource: resource?,
                id: id?,
            })
        })
        .collect();
    compiled.into_iter().collect()
}

/// The resource of this name; an unknown one is reported.
pub(super) fn resource(
    written: &Written,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<crate::plan::ResourceId> {
    let name = written.literal("`resource`", diags)?;
    if let Some((id, _)) = around.resource(name) {
        return Some(id);
    }
    let nearest = suggest::nearest(name, around.resource_names.iter().map(|name| &**name));
    diags.push(
        Diagnostic::error(
            crate::diagnostics::codes::UNKNOWN_RESOURCE,
            written.span(),
            format!("`{name}` is not a resource of any route file"),
        )
        .did_you_mean(nearest)
        .help(match around.resource_names.is_empty() {
            true => "no route file names a `resource`".to_owned(),
            false => {
                let names: Vec<&str> = around.resource_names.iter().map(|name| &**name).collect();
                format!("resources here: {}", names.join(", "))
            }
        }),
    );
    None
}

/// Compiles the `let`s in order; each sees the ones before it.
pub(super) fn lets(
    specs: &Entries<Node>,
    names: &mut Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<Vec<(Box<str>, Tree)>> {
    check_names(specs.0.iter().map(|(name, _)| name), "a `let`", diags);
    let mut compiled = Vec::new();
    for (name, node) in &specs.0 {
        let field = format!("let.{}", name.value);
        let roots = names.roots(Stage::Call);
        let env = names.env(around, Stage::Call, &roots);
        let tree = Tree::compile(node, &field, &env, diags);
        let name: Box<str> = name.value.as_str().into();
        names.lets.push(name.clone());
        if tree.as_ref().is_some_and(Tree::may_be_absent) {
            names.absent_lets.push(name.clone());
        }
        compiled.push(tree.map(|tree| (name, tree)));
    }
    compiled.into_iter().collect()
}
