//! `select`: how an instance is chosen where no mapping says it, and whether that can only be one.

use super::codes;
use super::labels::{check_instance, check_label, check_label_value, may_be_several};
use super::names::{Names, Stage, Surroundings};
use crate::config::spec::part::{Part, Written, right, wrong};
use crate::config::spec::route::{PreferWord, SelectSpec};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::Span;
use crate::plan::{Backend, BackendId, Parent, Prefer, Select};
use crate::transform::{Position, Text};

/// What a choice is made for.
pub(super) struct Wanted<'a> {
    /// Where the route is named.
    pub route: Span,
    pub kind: &'a str,
    pub per_backend: bool,
    pub object: bool,
    pub parents: &'a [Parent],
    pub own: Option<&'a SelectSpec>,
    pub own_span: Option<Span>,
    pub inherited: Option<&'a SelectSpec>,
}

/// Compiles the choice of one route.
pub(super) fn compile(
    wanted: &Wanted<'_>,
    names: &Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<Select> {
    let candidates = around.of_kind(wanted.kind);
    let ids = candidates.iter().map(|(id, _)| *id).collect();
    if wanted.object && !wanted.per_backend {
        if let Some(span) = wanted.own_span {
            diags.push(
                Diagnostic::warning(
                    codes::UNUSED_SELECT,
                    span,
                    "`select` is not read: the mapping of `object` says which instance it is",
                )
                .help("remove it"),
            );
        }
        return Some(unconditional(ids));
    }
    let errors = diags.errors();
    let default_parent = default_parent(wanted, around);
    let is_optional = |index: usize| {
        let id = &wanted.parents[index].id;
        id.parts.iter().any(Text::may_be_absent)
    };
    // The parent's instance stands in for a file's `select`, unless the parent may be absent.
    let spec = match (wanted.own, default_parent) {
        (Some(own), _) => Some(own),
        (None, Some(parent)) if !is_optional(parent) => None,
        (None, _) => wanted.inherited,
    };
    if wanted.per_backend && wanted.object && spec.is_none() && default_parent.is_none() {
        diags.push(
            Diagnostic::error(
                codes::SELECT_REQUIRED,
                wanted.route,
                "the object may be mapped on several backends, and nothing says which is meant",
            )
            .help("add `select:` with `instance`, `labels` or `same_as` to the route or the file"),
        );
        return None;
    }
    let compiled = parts(
        spec,
        default_parent,
        wanted,
        &candidates,
        names,
        around,
        diags,
    );
    if diags.errors() > errors {
        return None;
    }
    let compiled = compiled?;
    let certain = compiled.same_as.is_some_and(|parent| !is_optional(parent))
        || compiled.instance.is_some()
        || spec.is_some_and(|spec| spec.prefer.is_some());
    if !certain && may_be_several(&compiled.labels, &candidates) {
        let span = wanted.own_span.unwrap_or(wanted.route);
        let known: Vec<_> = candidates
            .iter()
            .map(|(_, b)| format!("`{}`", b.name))
            .collect();
        diags.push(
            Diagnostic::error(
                codes::AMBIGUOUS_BACKEND,
                span,
                format!(
                    "this route could reach several instances of kind `{}`: {}",
                    wanted.kind,
                    known.join(", ")
                ),
            )
            .help("add `select:` with `same_as`, `instance` or `labels` that leave one, or `prefer:` among them"),
        );
        return None;
    }
    Some(compiled)
}

fn unconditional(candidates: Vec<BackendId>) -> Select {
    Select {
        candidates,
        same_as: None,
        instance: None,
        labels: Vec::new(),
        prefer: Prefer::First,
    }
}

/// The only parent of the same kind whose instance is known before the choice.
fn default_parent(wanted: &Wanted<'_>, around: &Surroundings<'_>) -> Option<usize> {
    let says = |spec: &SelectSpec| {
        spec.instance.is_some() || spec.labels.is_some() || spec.prefer.is_some()
    };
    if wanted.own.is_some_and(says) {
        return None;
    }
    let mut same = (0..wanted.parents.len()).filter(|index| {
        let resource = &around.resources[usize::from(wanted.parents[*index].resource.0)];
        *resource.kind == *wanted.kind && !resource.per_backend
    });
    let first = same.next()?;
    same.next().is_none().then_some(first)
}

fn parts(
    spec: Option<&SelectSpec>,
    default_parent: Option<usize>,
    wanted: &Wanted<'_>,
    candidates: &[(BackendId, &Backend)],
    names: &Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<Select> {
    let mut select = unconditional(candidates.iter().map(|(id, _)| *id).collect());
    select.same_as = default_parent;
    let Some(spec) = spec else {
        return Some(select);
    };
    let stage = Stage::Select {
        per_backend: wanted.per_backend,
    };
    // A backend that did not compile may be the one that is meant here.
    let checked = match around.backends.all_known() {
        true => candidates,
        false => &[],
    };
    let roots = names.roots(stage);
    let env = names.env(around, stage, &roots);
    let text = |written: &Written, field: &str, diags: &mut Diagnostics| {
        Text::compile(written.snippet(), Position::Plain, field, &env, diags)
    };
    if let Some(same_as) = right(&spec.same_as) {
        select.same_as = same_as_parent(same_as, wanted, around, diags);
    }
    if let (Some(same_as), Some(_)) = (right(&spec.same_as), &spec.instance) {
        diags.push(Diagnostic::error(
            codes::CONFLICTING_KEYS,
            same_as.span(),
            "`same_as` and `instance` each name the one instance; write one of them",
        ));
    }
    if let Some(instance) = right(&spec.instance) {
        select.instance = text(instance, "select.instance", diags);
        if let Some(name) = select.instance.as_ref().and_then(Text::as_literal) {
            check_instance(name, instance.span(), wanted.kind, checked, diags);
        }
    }
    for (label, value) in right(&spec.labels)
        .map(|l| l.0.as_slice())
        .unwrap_or_default()
    {
        check_label(&label.value, label.span, wanted.kind, checked, diags);
        let field = format!("select.labels.{}", label.value);
        if let Some(text) = text(value, &field, diags) {
            check_label_value(
                &label.value,
                &text,
                value.span(),
                wanted.kind,
                checked,
                diags,
            );
            select.labels.push((label.value.as_str().into(), text));
        }
    }
    let hash_on = right(&spec.hash_on).and_then(|on| text(on, "select.hash_on", diags));
    select.prefer = match (right(&spec.prefer), &spec.hash_on) {
        (Some(prefer), None) if prefer.value == PreferWord::Hash => {
            diags.push(
                Diagnostic::error(
                    codes::MISSING_KEY,
                    prefer.span,
                    "`prefer: hash` needs `hash_on`",
                )
                .help("such as `hash_on: \"{{ body.id }}\"`"),
            );
            return None;
        }
        (Some(prefer), Some(Part(Some(on)))) if prefer.value != PreferWord::Hash => {
            diags.push(Diagnostic::error(
                codes::CONFLICTING_KEYS,
                on.span(),
                "`hash_on` is read only with `prefer: hash`",
            ));
            return None;
        }
        (None, Some(Part(Some(on)))) => {
            diags.push(Diagnostic::error(
                codes::CONFLICTING_KEYS,
                on.span(),
                "`hash_on` is read only with `prefer: hash`",
            ));
            return None;
        }
        (prefer, _) => match prefer.map_or(PreferWord::First, |prefer| prefer.value) {
            PreferWord::First => Prefer::First,
            PreferWord::RoundRobin => Prefer::RoundRobin,
            PreferWord::LeastObjects => Prefer::LeastObjects,
            PreferWord::Hash => Prefer::Hash(hash_on?),
        },
    };
    let broken = wrong(&spec.same_as)
        || wrong(&spec.instance)
        || wrong(&spec.labels)
        || wrong(&spec.prefer)
        || wrong(&spec.hash_on);
    (!broken).then_some(select)
}

fn same_as_parent(
    written: &Written,
    wanted: &Wanted<'_>,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<usize> {
    let alias = written.literal("`same_as`", diags)?;
    let Some(index) = wanted
        .parents
        .iter()
        .position(|parent| *parent.alias == *alias)
    else {
        let nearest = suggest::nearest(alias, wanted.parents.iter().map(|parent| &*parent.alias));
        diags.push(
            Diagnostic::error(
                codes::UNKNOWN_PARENT,
                written.span(),
                format!("`{alias}` is not one of this route's parents"),
            )
            .did_you_mean(nearest)
            .help("`same_as` takes the alias of an entry of `parents`"),
        );
        return None;
    };
    let resource = &around.resources[usize::from(wanted.parents[index].resource.0)];
    let problem = if *resource.kind != *wanted.kind {
        Some(format!(
            "`{alias}` lives on backends of kind `{}`, this route calls kind `{}`",
            resource.kind, wanted.kind
        ))
    } else if resource.per_backend {
        Some(format!(
            "`{alias}` may be mapped on several backends, so it cannot say which is meant"
        ))
    } else {
        None
    };
    match problem {
        Some(problem) => {
            diags.push(Diagnostic::error(
                codes::WRONG_KIND,
                written.span(),
                problem,
            ));
            None
        }
        None => Some(index),
    }
}
