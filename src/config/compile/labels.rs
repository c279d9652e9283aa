//! What a choice names of the instances: their names and labels, and whether those leave one.

use std::collections::BTreeSet;

use super::codes;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::Span;
use crate::plan::{Backend, BackendId};
use crate::transform::Text;

pub(super) fn check_instance(
    name: &str,
    span: Span,
    kind: &str,
    candidates: &[(BackendId, &Backend)],
    diags: &mut Diagnostics,
) {
    if candidates.is_empty() || candidates.iter().any(|(_, backend)| *backend.name == *name) {
        return;
    }
    let nearest = suggest::nearest(name, candidates.iter().map(|(_, backend)| &*backend.name));
    diags.push(
        Diagnostic::error(
            codes::UNKNOWN_BACKEND,
            span,
            format!("`{name}` is not a backend of kind `{kind}`"),
        )
        .did_you_mean(nearest),
    );
}

pub(super) fn check_label(
    label: &str,
    span: Span,
    kind: &str,
    candidates: &[(BackendId, &Backend)],
    diags: &mut Diagnostics,
) {
    let known: BTreeSet<&str> = candidates
        .iter()
        .flat_map(|(_, backend)| backend.labels.iter().map(|(name, _)| &**name))
        .collect();
    if candidates.is_empty() || known.contains(label) {
        return;
    }
    diags.push(
        Diagnostic::error(
            codes::UNKNOWN_LABEL,
            span,
            format!("no backend of kind `{kind}` has the label `{label}`"),
        )
        .did_you_mean(suggest::nearest(label, known.iter().copied())),
    );
}

pub(super) fn check_label_value(
    label: &str,
    text: &Text,
    span: Span,
    kind: &str,
    candidates: &[(BackendId, &Backend)],
    diags: &mut Diagnostics,
) {
    let Some(value) = text.as_literal() else {
        return;
    };
    let values: BTreeSet<&str> = candidates
        .iter()
        .filter_map(|(_, backend)| label_of(backend, label))
        .collect();
    if values.is_empty() || values.contains(value) {
        return;
    }
    diags.push(
        Diagnostic::error(
            codes::NO_MATCHING_BACKEND,
            span,
            format!("no backend of kind `{kind}` has the label `{label}: {value}`"),
        )
        .did_you_mean(suggest::nearest(value, values.iter().copied())),
    );
}

pub(super) fn label_of<'b>(backend: &'b Backend, label: &str) -> Option<&'b str> {
    backend
        .labels
        .iter()
        .find(|(name, _)| **name == *label)
        .map(|(_, value)| &**value)
}

/// Whether two instances carry the same values of all these labels.
pub(super) fn may_be_several(
    labels: &[(Box<str>, Text)],
    candidates: &[(BackendId, &Backend)],
) -> bool {
    let mut seen = BTreeSet::new();
    candidates
        .iter()
        .filter_map(|(_, backend)| {
            labels
                .iter()
                .map(|(label, text)| {
                    let value = label_of(backend, label)?;
                    let possible = text.as_literal().is_none_or(|wanted| wanted == value);
                    possible.then_some(value)
                })
                .collect::<Option<Vec<_>>>()
        })
        .any(|values| !seen.insert(values))
}
