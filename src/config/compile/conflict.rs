//! The table of routes: two routes never match the same request, and no id is used twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::codes;
use super::matching::Match;
use crate::config::spec::decode::At;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Span;
use crate::plan::{RouteId, RouteTable, TableError};

/// A route as the table sees it, whether the rest of it compiles or not.
#[derive(Debug)]
pub(super) struct Declared {
    pub name: At<String>,
    pub matched: Option<Match>,
    pub match_span: Span,
}

/// Builds the table; a [`RouteId`] is an index into `declared`.
pub(super) fn table(declared: &[Declared], diags: &mut Diagnostics) -> RouteTable {
    let mut table = RouteTable::default();
    let mut ids: HashMap<&str, &Declared> = HashMap::with_capacity(declared.len());
    for (index, route) in declared.iter().enumerate() {
        match ids.entry(route.name.value.as_str()) {
            Entry::Occupied(first) => taken(first.get(), route, diags),
            Entry::Vacant(free) => {
                free.insert(route);
            }
        }
        let (Some(matched), Ok(id)) = (&route.matched, u16::try_from(index)) else {
            continue;
        };
        let error =
            |message: String| Diagnostic::error(codes::ROUTE_COLLISION, route.match_span, message);
        match table.insert(&matched.method, &matched.path, RouteId(id)) {
            Ok(()) => {}
            Err(TableError::Taken(other)) => {
                let other = &declared[usize::from(other.0)];
                diags.push(
                    error(format!(
                        "`{} {}` is what route `{}` matches already",
                        matched.method, matched.path, other.name.value
                    ))
                    .related(other.match_span, format!("`{}` is here", other.name.value)),
                );
            }
            Err(TableError::Collides(with)) => {
                let other = declared[..index]
                    .iter()
                    .find(|other| other.matched.as_ref().is_some_and(|m| *m.path == *with));
                let mut problem = error(format!(
                    "`{}` and `{with}` match the same paths",
                    matched.path
                ))
                .help(match other {
                    // Under one name they would still be one route twice.
                    Some(other)
                        if other
                            .matched
                            .as_ref()
                            .is_some_and(|m| m.method == matched.method) =>
                    {
                        "both take the same method: remove one, or change a literal segment"
                    }
                    _ => "give the parameters the same names, or change a literal segment",
                });
                if let Some(other) = other {
                    problem = problem.related(
                        other.match_span,
                        format!("route `{}` is here", other.name.value),
                    );
                }
                diags.push(problem);
            }
            Err(TableError::BadPath(why)) => diags.push(error(why)),
        }
    }
    if let Some(one_too_many) = declared.get(usize::from(u16::MAX) + 1) {
        diags.push(Diagnostic::error(
            codes::TOO_MANY,
            one_too_many.name.span,
            "there are more than 65536 routes",
        ));
    }
    table
}

fn taken(first: &Declared, route: &Declared, diags: &mut Diagnostics) {
    diags.push(
        Diagnostic::error(
            codes::DUPLICATE_ROUTE,
            route.name.span,
            format!("another route is called `{}` already", route.name.value),
        )
        .related(first.name.span, "the other one is here")
        .help("a route id is unique over all files"),
    );
}
