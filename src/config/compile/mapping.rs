//! `mapping`: what is recorded when the call succeeds.

use super::codes;
use super::names::{Names, Stage, Surroundings, check_names};
use super::request;
use crate::config::spec::mapping::{MappingOpSpec, MappingSpec, VerbSpec};
use crate::config::spec::part::Written;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Node;
use crate::plan::{BackendIdSource, CmpIdSource, MappingOp, ResourceId, Verb};
use crate::transform::Source;

/// Whether a route with this mapping creates, and so knows `mapping.cmp_id` before the call.
pub(super) fn creates(spec: &MappingSpec) -> bool {
    spec.0
        .iter()
        .any(|op| matches!(op.verb, Verb::Create | Verb::Put))
}

/// Compiles every change; `resource` is the file's.
pub(super) fn compile(
    spec: &MappingSpec,
    resource: Option<ResourceId>,
    names: &Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<Vec<MappingOp>> {
    let compiled: Vec<_> = spec
        .0
        .iter()
        .map(|op| change(op, resource, names, around, diags))
        .collect();
    compiled.into_iter().collect()
}

fn change(
    spec: &VerbSpec,
    file_resource: Option<ResourceId>,
    names: &Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<MappingOp> {
    let op = spec.op.as_ref()?;
    let word = word(spec.verb);
    let resource = match &op.resource {
        Some(written) => request::resource(written, around, diags),
        None => file_resource,
    };
    if let (Some(written), Some(resource)) = (&op.resource, resource) {
        check_kind(written, resource, file_resource, around, diags);
    }
    let is_own = op.resource.is_none() || resource.is_some() && resource == file_resource;
    let cmp_id = cmp_id(spec, op, is_own, names, around, diags);
    let when = match &op.when {
        Some(node) => super::response::condition(node, diags).map(Some),
        None => Some(None),
    };
    let backend_id = backend_id(spec, op, names, around, diags);
    let roots = names.roots(Stage::Answer);
    let env = names.env(around, Stage::Answer, &roots);
    let entries = op
        .attributes
        .as_ref()
        .map(|a| a.0.as_slice())
        .unwrap_or_default();
    check_names(entries.iter().map(|(name, _)| name), "an attribute", diags);
    let attributes: Vec<_> = entries
        .iter()
        .map(|(name, node)| {
            let field = format!("mapping.{word}.attributes.{}", name.value);
            let source = Source::compile(node, &field, &env, diags)?;
            Some((name.value.as_str().into(), source))
        })
        .collect();
    if let (Verb::Delete, Some((name, _))) = (spec.verb, entries.first()) {
        diags.push(Diagnostic::error(
            codes::CONFLICTING_KEYS,
            name.span,
            "a mapping that is deleted keeps no attributes",
        ));
        return None;
    }
    Some(MappingOp {
        verb: spec.verb,
        resource: resource?,
        cmp_id: cmp_id?,
        when: when?,
        backend_id: backend_id?,
        attributes: attributes.into_iter().collect::<Option<_>>()?,
    })
}

/// The row will say the instance that was called, so the resource must live on that kind.
fn check_kind(
    written: &Written,
    resource: ResourceId,
    file_resource: Option<ResourceId>,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) {
    let kind = |id: ResourceId| &*around.resources[usize::from(id.0)].kind;
    if let Some(own) = file_resource
        && kind(own) != kind(resource)
    {
        diags.push(
            Diagnostic::error(
                codes::WRONG_KIND,
                written.span(),
                format!(
                    "`{}` lives on backends of kind `{}`, this route calls kind `{}`",
                    written.text(),
                    kind(resource),
                    kind(own)
                ),
            )
            .help("a route records what is on the backend that it calls"),
        );
    }
}

fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Put => "put",
        Verb::Delete => "delete",
    }
}

fn cmp_id(
    spec: &VerbSpec,
    op: &MappingOpSpec,
    is_own: bool,
    names: &Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<CmpIdSource> {
    let word = word(spec.verb);
    if let Some(id) = &op.cmp_id {
        let field = format!("mapping.{word}.cmp_id");
        return request::id(id, spec.span, &field, Stage::Identity, names, around, diags)
            .map(CmpIdSource::Given);
    }
    if spec.verb == Verb::Create {
        if !around.server.operations.key_required {
            diags.push(
                Diagnostic::warning(
                    codes::UNKEYED_CREATE,
                    spec.span,
                    "a retry of this create without `Idempotency-Key` makes a second object",
                )
                .label("the relay makes the CMP id")
                .help("name the object with `cmp_id:`, or set `operations.idempotency_key: required` in relay.yaml"),
            );
        }
        return Some(CmpIdSource::RelayMade);
    }
    if names.object && is_own {
        return Some(CmpIdSource::Object);
    }
    let message = match is_own {
        true => format!("`{word}` does not say what it is about: the route has no `object`"),
        false => format!("`{word}` of another resource does not say which object it is about"),
    };
    diags.push(
        Diagnostic::error(codes::NO_OBJECT, spec.span, message)
            .help("add `object:` to the route, or `cmp_id:` here"),
    );
    None
}

fn backend_id(
    spec: &VerbSpec,
    op: &MappingOpSpec,
    names: &Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<Option<BackendIdSource>> {
    let word = word(spec.verb);
    let Some(node) = &op.backend_id else {
        if matches!(spec.verb, Verb::Create | Verb::Put) {
            diags.push(
                Diagnostic::error(
                    codes::MISSING_KEY,
                    spec.span,
                    format!("`{word}` does not say where the backend's id is: `backend_id` is missing"),
                )
                .help("such as `backend_id: $.id`, or `backend_id: pending` for an id that comes later"),
            );
            return None;
        }
        return Some(None);
    };
    if spec.verb == Verb::Delete {
        diags.push(Diagnostic::error(
            codes::CONFLICTING_KEYS,
            node.span,
            "a mapping that is deleted gets no backend id",
        ));
        return None;
    }
    if is_pending(node) {
        return Some(Some(BackendIdSource::Pending));
    }
    let roots = names.roots(Stage::Answer);
    let env = names.env(around, Stage::Answer, &roots);
    let field = format!("mapping.{word}.backend_id");
    Source::compile(node, &field, &env, diags)
        .map(BackendIdSource::Extract)
        .map(Some)
}

fn is_pending(node: &Node) -> bool {
    node.as_text() == Some("pending")
}
