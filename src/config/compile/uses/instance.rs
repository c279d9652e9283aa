//! `backend.vars.*` and `backend.labels.*` against every backend that the route may reach.

use super::{Route, is_present, name_at, remedy, with_key};
use crate::config::compile::codes;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::plan::Backend;
use crate::transform::uses::Use;

pub(super) fn check(route: &Route<'_>, found: &Use, diags: &mut Diagnostics) {
    let (Some(of @ ("vars" | "labels")), Some(name)) = (name_at(found, 0), name_at(found, 1))
    else {
        return;
    };
    let backends = route.backends;
    let has = |backend: &Backend, name: &str| {
        let mut names = names_of(backend, of);
        names.any(|known| known == name)
    };
    let lacking: Vec<&str> = backends
        .iter()
        .filter(|backend| !has(backend, name))
        .map(|backend| &*backend.name)
        .collect();
    if lacking.is_empty() {
        return;
    }
    let one = match of {
        "vars" => "var",
        _ => "label",
    };
    if lacking.len() == backends.len() {
        let mut known: Vec<&str> = backends
            .iter()
            .flat_map(|backend| names_of(backend, of))
            .collect();
        known.sort_unstable();
        known.dedup();
        let nearest = suggest::nearest(name, known.iter().copied());
        let code = match of {
            "vars" => codes::UNKNOWN_VAR,
            _ => codes::UNKNOWN_LABEL,
        };
        let help = match known.is_empty() {
            true => format!(
                "add it below `{of}` of each backend of kind `{}`",
                route.kind
            ),
            false => format!("{of} of kind `{}`: {}", route.kind, known.join(", ")),
        };
        diags.push(
            Diagnostic::error(
                code,
                found.span,
                format!("no backend of kind `{}` has a {one} `{name}`", route.kind),
            )
            .did_you_mean(nearest.map(|near| with_key(found, 1, near)).as_deref())
            .help(help),
        );
    } else if found.is_bare() && !is_present(found, 2) {
        let listed: Vec<_> = lacking.iter().map(|name| format!("`{name}`")).collect();
        diags.push(
            Diagnostic::warning(
                codes::NOT_ON_EVERY_BACKEND,
                found.span,
                format!(
                    "{} of kind `{}` has no {one} `{name}`",
                    listed.join(", "),
                    route.kind
                ),
            )
            .label("a request that is sent there fails")
            .help(format!(
                "add it there, or write what is to become of it: {}",
                remedy::of_absence(found, None, "")
            )),
        );
    }
}

fn names_of<'b>(backend: &'b Backend, of: &str) -> impl Iterator<Item = &'b str> {
    let names = backend.scope[of].as_object();
    names.into_iter().flatten().map(|(name, _)| name.as_str())
}
