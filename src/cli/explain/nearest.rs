//! The routes that a request nearly is for, and what of it differs: another method, a segment that is
//! written in another way, one more, one less, or a parameter that took what was meant as a word.

use http::Method;

use crate::plan::{Match, Plan, Route, RouteId};

/// At most so many are told.
const TOLD: usize = 3;
/// What is further away than the nearest one by more than this was not meant.
const MARGIN: usize = 1;
/// What is further away than this was not meant at all.
const FURTHEST: usize = 9;

/// A route that the request is not for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Miss {
    pub route: RouteId,
    /// In the order of the path; the method first.
    pub differs: Vec<Difference>,
}

/// One thing that keeps a request from a route. Segments count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The path fits; the method is another one.
    Method { takes: Method },
    /// A word of the route's path is written in another way.
    Segment {
        at: usize,
        asked: String,
        wanted: String,
        /// The parameter of the matched path that took it instead.
        taken_by: Option<String>,
    },
    /// The route has a segment more.
    Missing { at: usize, wanted: String },
    /// The route has a segment less.
    Surplus { at: usize, asked: String },
    /// Method and path fit, and a path with a word where this one has a parameter stands before it.
    Shadowed { by: String },
}

impl Difference {
    /// In words, after "this route ...".
    pub fn words(&self) -> String {
        match self {
            Self::Method { takes } => format!("takes {takes}"),
            Self::Segment {
                at, asked, wanted, ..
            } if asked.is_empty() => {
                format!("has `{wanted}` as segment {at}, and there is nothing")
            }
            Self::Segment {
                at,
                asked,
                wanted,
                taken_by,
            } => {
                let taken = taken_by.as_deref().map_or_else(String::new, |parameter| {
                    format!("; `{{{parameter}}}` of another path took it")
                });
                format!("has `{wanted}` as segment {at}, not `{asked}`{taken}")
            }
            Self::Missing { at, wanted } => {
                format!("has one segment more: `{wanted}` as segment {at}")
            }
            Self::Surplus { asked, .. } if asked.is_empty() => {
                "has no `/` at the end, or two in a row".to_owned()
            }
            Self::Surplus { at, asked } => {
                format!("has one segment less: no `{asked}` as segment {at}")
            }
            Self::Shadowed { by } => {
                format!("fits too, and `{by}` goes first: a word stands before a parameter")
            }
        }
    }

    /// A stable name, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Method { .. } => "method",
            Self::Segment { .. } => "segment",
            Self::Missing { .. } => "segment_missing",
            Self::Surplus { .. } => "segment_surplus",
            Self::Shadowed { .. } => "shadowed",
        }
    }
}

/// What the table has found for a request, before it is asked what else may have been meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    /// No path fits.
    Nothing,
    /// This path fits, and takes other methods.
    Path(&'a str),
    /// A route of this path.
    Route(&'a str),
}

impl<'a> Found<'a> {
    /// Asks the table that serves.
    pub fn of(plan: &'a Plan, method: &Method, path: &str) -> Self {
        let route = |id: RouteId| &*plan.route(id).path;
        match plan.table.find(method, path) {
            Match::Route { route: id, .. } => Found::Route(route(id)),
            Match::NotFound => Found::Nothing,
            Match::MethodNotAllowed(methods) => methods
                .first()
                .and_then(|method| plan.table.route_of(method, path))
                .map_or(Found::Nothing, |id| Found::Path(route(id))),
        }
    }

    fn path(self) -> Option<&'a str> {
        match self {
            Found::Nothing => None,
            Found::Path(path) | Found::Route(path) => Some(path),
        }
    }
}

/// What a request is nearly for, the nearest first. Where a route is found, only what may have been
/// meant in its place is told.
pub fn misses(plan: &Plan, method: &Method, path: &str, found: Found<'_>) -> Vec<Miss> {
    let asked: Vec<&str> = path.split('/').skip(1).collect();
    let mut near: Vec<(usize, Miss)> = plan
        .routes
        .iter()
        .filter_map(|route| miss(route, method, &asked, found))
        .collect();
    // A path that is nearly right is told with the method that came, where some route takes it.
    let takes_it = |miss: &Miss| !matches!(miss.differs.first(), Some(Difference::Method { .. }));
    if found == Found::Nothing && near.iter().any(|(_, miss)| takes_it(miss)) {
        near.retain(|(_, miss)| takes_it(miss));
    }
    near.sort_by_key(|(distance, _)| *distance);
    let furthest = near
        .first()
        .map_or(0, |(nearest, _)| (nearest + MARGIN).min(FURTHEST));
    near.into_iter()
        .filter(|(distance, _)| *distance <= furthest)
        .take(TOLD)
        .map(|(_, miss)| miss)
        .collect()
}

fn answers(route: &Route, method: &Method) -> bool {
    route.method == *method || (*method == Method::HEAD && route.method == Method::GET)
}

fn miss(route: &Route, method: &Method, asked: &[&str], found: Found<'_>) -> Option<(usize, Miss)> {
    let pattern: Vec<&str> = route.path.split('/').skip(1).collect();
    let (mut distance, mut differs) = compare(asked, &pattern)?;
    let answers = answers(route, method);
    if matches!(found, Found::Route(_)) && !answers {
        return None;
    }
    if let Some(found) = found.path() {
        taken_by(&mut differs, found);
        // A path that fits was meant, unless a parameter of it took what is nearly a word.
        let slip = |difference: &Difference| {
            matches!(difference, Difference::Segment { asked, wanted, taken_by: Some(_), .. }
                if is_slip(asked, wanted))
        };
        if !differs.iter().all(slip) {
            return None;
        }
        if differs.is_empty() && *route.path != *found && answers {
            differs.push(Difference::Shadowed { by: found.into() });
        }
    }
    if !answers {
        let takes = route.method.clone();
        differs.insert(0, Difference::Method { takes });
        distance += 1;
    }
    let route = route.id;
    (!differs.is_empty()).then_some((distance, Miss { route, differs }))
}

/// Notes which parameters of the matched path stand where a word is wanted.
fn taken_by(differs: &mut [Difference], found: &str) {
    let found: Vec<&str> = found.split('/').skip(1).collect();
    for difference in differs {
        if let Difference::Segment { at, taken_by, .. } = difference {
            *taken_by = found
                .get(*at - 1)
                .and_then(|segment| parameter(segment))
                .map(str::to_owned);
        }
    }
}

/// How far a path is from a pattern and what differs; `None`: more than one segment more or less.
fn compare(asked: &[&str], pattern: &[&str]) -> Option<(usize, Vec<Difference>)> {
    /// One segment more or less weighs as much as a word written quite differently.
    const SEGMENT: usize = 3;
    if asked.len() == pattern.len() {
        return Some(abreast(asked, pattern, |index| index));
    }
    let without = |segments: &[&str], index: usize| -> Vec<String> {
        let mut rest: Vec<String> = segments.iter().map(|text| (*text).to_owned()).collect();
        rest.remove(index);
        rest
    };
    let mut best: Option<(usize, Vec<Difference>)> = None;
    let mut consider = |(distance, mut differs): (usize, Vec<Difference>), other| {
        // The last place that fits is where a segment is usually forgotten.
        if best.as_ref().is_none_or(|(least, _)| distance <= *least) {
            differs.push(other);
            best = Some((distance, differs));
        }
    };
    if pattern.len() == asked.len() + 1 {
        for (index, wanted) in pattern.iter().enumerate() {
            let rest = without(pattern, index);
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            let missing = Difference::Missing {
                at: index + 1,
                wanted: (*wanted).to_owned(),
            };
            consider(abreast(asked, &rest, |at| at), missing);
        }
    } else if asked.len() == pattern.len() + 1 {
        for (index, surplus) in asked.iter().enumerate() {
            let rest = without(asked, index);
            let rest: Vec<&str> = rest.iter().map(String::as_str).collect();
            let surplus = Difference::Surplus {
                at: index + 1,
                asked: (*surplus).to_owned(),
            };
            let place = |at: usize| if at < index { at } else { at + 1 };
            consider(abreast(&rest, pattern, place), surplus);
        }
    }
    best.map(|(distance, differs)| (distance + SEGMENT, differs))
}

/// Segment by segment; `place` gives the index in the request.
fn abreast(
    asked: &[&str],
    pattern: &[&str],
    place: impl Fn(usize) -> usize,
) -> (usize, Vec<Difference>) {
    /// A word that is no slip of the pen.
    const ANOTHER_WORD: usize = 6;
    let mut distance = 0;
    let mut differs = Vec::new();
    for (index, (asked, wanted)) in asked.iter().zip(pattern).enumerate() {
        let fits = match parameter(wanted) {
            Some(_) => !asked.is_empty(),
            None => asked == wanted,
        };
        if fits {
            continue;
        }
        distance += match is_slip(asked, wanted) {
            true => strsim::damerau_levenshtein(asked, wanted).min(ANOTHER_WORD),
            false => ANOTHER_WORD,
        };
        differs.push(Difference::Segment {
            at: place(index) + 1,
            asked: (*asked).to_owned(),
            wanted: (*wanted).to_owned(),
            taken_by: None,
        });
    }
    (distance, differs)
}

/// Whether one word was probably meant as the other: `netwroks`, `Networks`, `network`.
fn is_slip(asked: &str, wanted: &str) -> bool {
    let length = wanted.chars().count();
    let distance = strsim::damerau_levenshtein(&asked.to_lowercase(), &wanted.to_lowercase());
    !asked.is_empty() && distance <= (length / 3).clamp(1, 3)
}

/// The name of a `{parameter}`.
fn parameter(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}
