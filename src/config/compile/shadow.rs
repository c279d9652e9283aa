//! Paths that one pattern takes from another: where a literal segment and a parameter would both match,
//! the literal wins, whatever the methods (SEMANTICS 22). So `/v1/networks/summary` takes from
//! `/v1/networks/{id}` the object that is called `summary`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::codes;
use super::conflict::Declared;
use super::names::Surroundings;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::plan::{CmpIdSource, IdTemplate, ResourceId, Route, Verb};

/// Reports each pair of patterns of which one takes paths of the other.
pub(super) fn check(
    declared: &[Declared],
    routes: &[Route],
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) {
    // By pattern; those of one length alone can match one path.
    let mut patterns: BTreeMap<&str, Vec<&Declared>> = BTreeMap::new();
    for route in declared {
        if let Some(matched) = &route.matched {
            patterns.entry(&matched.path).or_default().push(route);
        }
    }
    let mut by_length: BTreeMap<usize, Vec<Vec<&str>>> = BTreeMap::new();
    for path in patterns.keys() {
        let segments: Vec<&str> = path.split('/').collect();
        by_length.entry(segments.len()).or_default().push(segments);
    }
    let by_name: BTreeMap<&str, &Route> = routes.iter().map(|r| (&*r.name, r)).collect();
    let mut said = BTreeSet::new();
    for group in by_length.values() {
        let mut tree = Tree::default();
        for (index, one) in group.iter().enumerate() {
            tree.insert(one, index);
        }
        for (index, one) in group.iter().enumerate() {
            let mut alike = Vec::new();
            tree.alike(one, index, &mut alike);
            alike.sort_unstable();
            for other in alike.into_iter().map(|other| &group[other]) {
                let Some((taker, loser, at)) = overlap(one, other) else {
                    continue;
                };
                let (taker_path, loser_path) = (taker.join("/"), loser.join("/"));
                let losers = &patterns[loser_path.as_str()];
                let loses = |route: &&&Declared| {
                    let route = by_name.get(route.name.value.as_str());
                    route.is_none_or(|route| may_name(route, &loser, &taker, routes))
                };
                let lost: Vec<&&Declared> = losers.iter().filter(loses).collect();
                if let Some(first) = lost.first()
                    && said.insert((taker_path.clone(), loser_path.clone()))
                {
                    let taking = patterns[taker_path.as_str()][0];
                    report(taking, first, &lost, (loser[at], taker[at]), around, diags);
                }
            }
        }
    }
}

type Segments<'a> = Vec<&'a str>;

/// Patterns of one length by their segments: the few that a path can have in common are found without a
/// look at all the others.
#[derive(Default)]
struct Tree<'a> {
    /// The place of the pattern that ends here.
    end: Option<usize>,
    next: BTreeMap<&'a str, Tree<'a>>,
}

impl<'a> Tree<'a> {
    fn insert(&mut self, segments: &[&'a str], place: usize) {
        match segments {
            [] => self.end = Some(place),
            [first, rest @ ..] => self.next.entry(first).or_default().insert(rest, place),
        }
    }

    /// The places, behind this one, of the patterns that have a path in common with the segments.
    fn alike(&self, segments: &[&str], behind: usize, found: &mut Vec<usize>) {
        let [first, rest @ ..] = segments else {
            found.extend(self.end.filter(|place| *place > behind));
            return;
        };
        if is_param(first) {
            let each = self.next.values();
            return each.for_each(|next| next.alike(rest, behind, found));
        }
        let params = self.next.range("{".."|").map(|(_, next)| next);
        for next in self.next.get(first).into_iter().chain(params) {
            next.alike(rest, behind, found);
        }
    }
}

/// Which of two patterns of one length takes paths of the other, and at which segment that is settled.
fn overlap<'a>(
    one: &Segments<'a>,
    other: &Segments<'a>,
) -> Option<(Segments<'a>, Segments<'a>, usize)> {
    let mut settled = None;
    for (at, (a, b)) in one.iter().zip(other).enumerate() {
        match (is_param(a), is_param(b)) {
            (false, false) if a != b => return None,
            (false, true) => settled = settled.or(Some((true, at))),
            (true, false) => settled = settled.or(Some((false, at))),
            _ => {}
        }
    }
    let (one_takes, at) = settled?;
    Some(match one_takes {
        true => (one.clone(), other.clone(), at),
        false => (other.clone(), one.clone(), at),
    })
}

fn is_param(segment: &str) -> bool {
    segment.starts_with('{')
}

fn report(
    taking: &Declared,
    loser: &Declared,
    lost: &[&&Declared],
    (param, literal): (&str, &str),
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) {
    let (Some(taker), Some(other)) = (&taking.matched, &loser.matched) else {
        return;
    };
    let parent = taker.path.rsplit_once('/').map_or("", |(before, _)| before);
    let elsewhere = format!("{parent}-{literal}");
    let mut problem = Diagnostic::warning(
        codes::SHADOWED_ROUTE,
        taking.match_span,
        format!(
            "`{}` takes a path of `{}`: with `{literal}` for `{param}`, that route is never reached",
            taker.path, other.path
        ),
    )
    .help(match around.resources.is_empty() {
        true => "give one of the two another path".to_owned(),
        false => format!(
            "give one of the two another path, such as `{elsewhere}`, or let the create's schema refuse \
             `{literal}` as an id (`format: uuid`, a `pattern`)"
        ),
    });
    for route in lost {
        problem = problem.related(route.match_span, format!("route `{}`", route.name.value));
    }
    diags.push(problem);
}

/// Whether an object of the losing route may bear the names that the taking pattern has in the place of
/// its parameters. One that the creates' schemas refuse is never missed.
fn may_name(route: &Route, loser: &[&str], taker: &[&str], routes: &[Route]) -> bool {
    loser
        .iter()
        .zip(taker)
        .filter(|(param, literal)| is_param(param) && !is_param(literal))
        .all(|(param, literal)| {
            let variable = format!("path.{}", param.trim_matches(['{', '}']));
            let is_named = |id: &IdTemplate| matches!(id.parts.as_slice(), [part] if part.variables() == [variable.as_str()]);
            let object = route.object.iter().filter(|object| is_named(&object.id));
            let parents = route.parents.iter().filter(|parent| is_named(&parent.id));
            let mut resources = object
                .map(|object| object.resource)
                .chain(parents.map(|parent| parent.resource))
                .peekable();
            // A parameter that names no object takes any word.
            resources.peek().is_none() || resources.all(|resource| may_be_called(resource, literal, routes))
        })
}

/// Whether a create lets an object of the resource be called so.
fn may_be_called(resource: ResourceId, id: &str, routes: &[Route]) -> bool {
    let mut creates = routes
        .iter()
        .flat_map(|route| route.changes().map(move |op| (route, op)))
        .filter(|(_, op)| op.resource == resource && matches!(op.verb, Verb::Create | Verb::Put))
        .peekable();
    creates.peek().is_none()
        || creates.any(|(route, op)| match &op.cmp_id {
            CmpIdSource::RelayMade => uuid_like(id),
            CmpIdSource::Object => true,
            CmpIdSource::Given(template) => match template.parts.as_slice() {
                [part] => match part.variables().as_slice() {
                    [name] => !is_refused(route, name, id),
                    _ => true,
                },
                _ => true,
            },
        })
}

fn uuid_like(id: &str) -> bool {
    id.len() == 36 && id.chars().all(|c| c == '-' || c.is_ascii_hexdigit())
}

/// Whether the schema of a body's field refuses the word. What cannot be told is not refused.
fn is_refused(route: &Route, variable: &str, word: &str) -> bool {
    let (Some(path), Some(schema)) = (variable.strip_prefix("body."), &route.request.body) else {
        return false;
    };
    let mut at: &Value = &schema.document;
    for name in path.split('.') {
        match at.get("properties").and_then(|known| known.get(name)) {
            Some(next) => at = next,
            None => return false,
        }
    }
    let mut alone = json!({ "allOf": [at] });
    for key in ["$defs", "definitions"] {
        if let Some(defs) = schema.document.get(key) {
            alone[key] = defs.clone();
        }
    }
    json_schema::compile(&alone).is_ok_and(|validator| !validator.is_valid(&Value::from(word)))
}
