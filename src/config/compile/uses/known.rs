//! What the relay knows by itself: parents, the attributes that routes record, `let`, `extract`.

use super::{Reason, Route, is_granted, is_present, may_be_absent, name_at, redundant, with_key};
use crate::config::compile::codes;
use crate::config::compile::recorded::Attribute;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::transform::uses::Use;

pub(super) fn parent(route: &Route<'_>, uses: &[Use], found: &Use, diags: &mut Diagnostics) {
    let Some(alias) = name_at(found, 0) else {
        return;
    };
    let optional = route
        .names
        .absent_parents
        .iter()
        .any(|known| **known == *alias);
    if optional {
        let field = format!("parents.{alias}.id");
        if found.is_bare() && !is_granted(found, uses, &field, 1) {
            let reason = Reason {
                why: format!("the `id` of `parents.{alias}` is `optional`"),
                otherwise: format!(
                    "or drop `optional` from `parents.{alias}.id`: a request that does not name it is refused then"
                ),
            };
            diags.push(may_be_absent(found, reason, None));
            return;
        }
    } else if matches!(name_at(found, 1), Some("cmp_id" | "backend_id" | "backend")) {
        redundant(
            route,
            found,
            "a request whose parent is not mapped is refused before",
            diags,
        );
    }
    let resource = route
        .parents
        .iter()
        .find(|(known, _)| *known == alias)
        .map(|(_, resource)| *resource);
    if let Some(resource) = resource {
        attribute(route, resource, 1, found, diags);
    }
}

/// `attributes.NAME` of an object, behind so many keys.
pub(super) fn attribute(
    route: &Route<'_>,
    resource: &str,
    before: usize,
    found: &Use,
    diags: &mut Diagnostics,
) {
    let (Some("attributes"), Some(name)) = (name_at(found, before), name_at(found, before + 1))
    else {
        return;
    };
    match route.around.recorded.attribute(resource, name) {
        Attribute::Always => {}
        Attribute::Unknown(known) => {
            let nearest = suggest::nearest(name, known.iter().copied());
            let help = match known.is_empty() {
                true => format!(
                    "write it below `attributes` of the `mapping` that creates a `{resource}`"
                ),
                false => format!("recorded of a `{resource}`: {}", known.join(", ")),
            };
            diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_ATTRIBUTE,
                    found.span,
                    format!("no route records an attribute `{name}` of a `{resource}`"),
                )
                .did_you_mean(
                    nearest
                        .map(|near| with_key(found, before + 1, near))
                        .as_deref(),
                )
                .help(help),
            );
        }
        Attribute::Sometimes(why) => {
            if found.is_bare() && !is_present(found, before + 2) {
                let reason = Reason {
                    why,
                    otherwise: "or record it wherever the object is created, without `optional`"
                        .to_owned(),
                };
                diags.push(may_be_absent(found, reason, None));
            }
        }
    }
}

pub(super) fn of_let(route: &Route<'_>, uses: &[Use], found: &Use, diags: &mut Diagnostics) {
    let Some(name) = name_at(found, 0) else {
        return;
    };
    let optional = route.names.absent_lets.iter().any(|known| **known == *name);
    let field = format!("let.{name}");
    if optional && found.is_bare() && !is_granted(found, uses, &field, 1) {
        let reason = Reason {
            why: format!("what `let.{name}` is made of may be absent"),
            otherwise: format!("or give `let.{name}` a `default` where it is made"),
        };
        diags.push(may_be_absent(found, reason, None));
    }
}

pub(super) fn extracted(route: &Route<'_>, found: &Use, diags: &mut Diagnostics) {
    let Some(name) = name_at(found, 0) else {
        return;
    };
    if !found.is_bare() || is_present(found, 1) {
        return;
    }
    let optional = route
        .names
        .absent_extracted
        .iter()
        .any(|known| **known == *name);
    let (why, otherwise) = if optional {
        (
            format!("its source `extract.{name}` is `optional: true`"),
            format!(
                "or drop `optional` from `extract.{name}`: an answer without it is 502 `extraction_failed` then"
            ),
        )
    } else if route.deletes && found.field.starts_with("reply") {
        (
            "a delete of what is gone already is done, and nothing is extracted then".to_owned(),
            "or leave it out".to_owned(),
        )
    } else {
        return;
    };
    diags.push(may_be_absent(found, Reason { why, otherwise }, None));
}
