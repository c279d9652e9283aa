//! What the examples' answers say of a route's JSONPaths, regular expressions and conditions: one that
//! finds nothing in any of them is misspelt, or nobody has seen it work.
//!
//! An answer is read and judged as the relay does it (`relay::answer`, `relay::outcome`): there is no
//! second reading. What is written once for many routes needs one example among all of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::codes;
use super::endpoint::Endpoint;
use crate::config::example::Example;
use crate::config::spec::part::right;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Kind, Node, Span};
use crate::plan::{BackendIdSource, Verb, Way};
use crate::relay::answer::{self, ReadAnswer};
use crate::relay::outcome::{self, Verdict};
use crate::transform::{AnswerView, Condition, JsonPath, Parts, Root, Scope, link, shared};

/// What has been looked for so far, by where it is written.
#[derive(Default)]
pub(super) struct Evidence {
    sources: BTreeMap<Span, Looked>,
    rules: BTreeMap<Span, Tried>,
    root_filters: BTreeMap<Span, Span>,
}

/// A part of an answer that a route takes.
struct Looked {
    what: String,
    found: bool,
    /// An answer in which it was not found.
    missed: Option<Span>,
    nearest: Option<String>,
}

/// A condition that some answer should meet.
struct Tried {
    what: &'static str,
    met: bool,
}

/// One example's answer, read and judged.
struct Seen {
    span: Span,
    read: ReadAnswer,
    scope: Scope,
    success: bool,
    /// What was to be deleted is gone already: its mapping goes, whatever a `when` says.
    absent: bool,
}

impl Seen {
    fn view(&self) -> AnswerView<'_> {
        self.read.view(&self.scope)
    }

    fn body(&self) -> Option<&Value> {
        self.scope.get(Root::Response)?.get("body")
    }
}

impl Evidence {
    /// Tries what one route says on the answers of its examples.
    pub(super) fn note(&mut self, way: &Way, examples: &[Example], endpoint: &Endpoint<'_>) {
        let seen: Vec<Seen> = examples
            .iter()
            .filter_map(|example| {
                let read = answer::read(example.answer()?, &way.response, &Parts::Whole);
                Some(judged(read, example.span, way))
            })
            .collect();
        if seen.is_empty() {
            return;
        }
        self.rules(way, endpoint, &seen);
        self.sources(way, endpoint, &seen);
    }

    fn rules(&mut self, way: &Way, endpoint: &Endpoint<'_>, seen: &[Seen]) {
        let specs = || {
            let (own, file) = (&endpoint.spec.response, &endpoint.sheet.spec.response);
            [right(own), right(file)].into_iter().flatten()
        };
        let fail_when = specs().find_map(|spec| right(&spec.fail_when));
        let nodes = fail_when.map_or(&[][..], |nodes| nodes.0.as_slice());
        for (node, condition) in nodes.iter().zip(&way.response.fail_when) {
            let met = seen.iter().any(|seen| condition.holds(&seen.view()));
            self.tried(node, "this `fail_when`", met, seen);
        }
        let errors = specs()
            .filter_map(|spec| right(&spec.errors))
            .flatten()
            .filter_map(|rule| rule.0.as_ref());
        let first: Vec<usize> = seen
            .iter()
            .filter(|seen| !seen.success)
            .filter_map(|seen| {
                let rules = &way.response.errors;
                rules.iter().position(|rule| rule.when.holds(&seen.view()))
            })
            .collect();
        for (index, rule) in errors.enumerate() {
            self.tried(&rule.when, "this error rule", first.contains(&index), seen);
        }
        if let (Some(node), Some(condition)) = (
            specs().find_map(|spec| spec.success_when.as_ref()),
            &way.response.success_when,
        ) {
            let met = seen.iter().any(|seen| condition.holds(&seen.view()));
            self.tried(node, "this `success_when`", met, seen);
        }
    }

    /// Notes whether a condition was met; the JSONPaths that ask the members of an object beside it.
    fn tried(&mut self, node: &Node, what: &'static str, met: bool, seen: &[Seen]) {
        let tried = self
            .rules
            .entry(node.span)
            .or_insert(Tried { what, met: false });
        tried.met |= met;
        if let Kind::Map(entries) = &node.kind {
            for entry in entries.iter().filter(|entry| entry.key.starts_with('$')) {
                self.root_filter(&entry.key, entry.key_span, node.span, seen);
            }
        }
    }

    fn root_filter(&mut self, path: &str, place: Span, whole: Span, seen: &[Seen]) -> bool {
        let begins = path
            .strip_prefix('$')
            .and_then(|rest| rest.trim_start().strip_prefix('['))
            .is_some_and(|rest| rest.trim_start().starts_with('?'));
        let object = || {
            seen.iter()
                .any(|seen| seen.body().is_some_and(Value::is_object))
        };
        let wrong = begins && object();
        if wrong {
            self.root_filters.insert(place, whole);
        }
        wrong
    }

    fn sources(&mut self, way: &Way, endpoint: &Endpoint<'_>, seen: &[Seen]) {
        let done: Vec<&Seen> = seen.iter().filter(|seen| seen.success).collect();
        for (_, node) in right(&endpoint.spec.extract).iter().flat_map(|e| &e.0) {
            self.source(node, &done, seen);
        }
        let changes = right(&endpoint.spec.mapping).into_iter().flat_map(|m| &m.0);
        for (change, op) in changes.zip(&way.mapping) {
            let Some(spec) = &change.op else { continue };
            let holds = |when: &Condition, seen: &Seen| when.holds(&seen.view());
            if let (Some(node), Some(when)) = (&spec.when, &op.when)
                && !done.is_empty()
            {
                let gone = op.verb == Verb::Delete && seen.iter().any(|seen| seen.absent);
                let met = gone || done.iter().any(|seen| holds(when, seen));
                self.tried(node, "the `when` of this change", met, seen);
            }
            let applied: Vec<&Seen> = done
                .iter()
                .copied()
                .filter(|seen| op.when.as_ref().is_none_or(|when| holds(when, seen)))
                .collect();
            if let (Some(node), Some(BackendIdSource::Extract(_))) =
                (&spec.backend_id, &op.backend_id)
            {
                self.source(node, &applied, seen);
            }
            for (_, node) in spec.attributes.iter().flat_map(|entries| &entries.0) {
                self.source(node, &applied, seen);
            }
        }
    }

    /// Looks for one source, or each of a `first`, in the answers of successes.
    fn source(&mut self, node: &Node, done: &[&Seen], seen: &[Seen]) {
        if done.is_empty() {
            return;
        }
        let (path, regex) = match &node.kind {
            Kind::Text(_) => (Some(node), None),
            _ => (node.get("path"), node.get("regex")),
        };
        if let Some(Kind::List(each)) = node.get("first").map(|first| &first.kind) {
            each.iter().for_each(|one| self.source(one, done, seen));
        }
        let silent = &mut Diagnostics::default();
        if let Some(place) = path
            && let Some(snippet) = place.snippet()
            && let Some(compiled) = JsonPath::compile(snippet, silent)
            && !self.root_filter(snippet.text, place.span, place.span, seen)
        {
            let texts = self.look(place.span, format!("`{}`", snippet.text), done, |seen| {
                let found = compiled.select(seen.body()?);
                Some(found.into_iter().map(text_of).collect())
            });
            self.nearest(place.span, snippet.text, done);
            let texts = self.taken(node, texts, done);
            self.matched(regex, &texts, done);
        } else if let Some(place) = node.get("link") {
            let relation = place.as_text().unwrap_or_default().to_owned();
            let texts = self.look(place.span, format!("the link `{relation}`"), done, |seen| {
                let target = link::target(&seen.read.headers, &relation);
                Some(target.into_iter().collect())
            });
            let texts = self.taken(node, texts, done);
            self.matched(regex, &texts, done);
        } else if let Some(place) = node.get("header") {
            let name = place.as_text().unwrap_or_default().to_owned();
            let texts = self.look(place.span, format!("the header `{name}`"), done, |seen| {
                let values = seen.read.headers.get_all(name.as_str()).iter();
                Some(
                    values
                        .filter_map(|v| Some(v.to_str().ok()?.to_owned()))
                        .collect(),
                )
            });
            let texts = self.taken(node, texts, done);
            self.matched(regex, &texts, done);
        } else if node.get("text").is_some() {
            let texts: Vec<String> = done.iter().map(|seen| seen.read.text.clone()).collect();
            self.matched(regex, &texts, done);
        }
    }

    /// Of URLs that a source found, the parameter that it takes, where it takes one.
    fn taken(&mut self, node: &Node, texts: Vec<String>, done: &[&Seen]) -> Vec<String> {
        let Some((place, name)) = node
            .get("param")
            .and_then(|place| Some((place, place.as_text()?)))
        else {
            return texts;
        };
        let found: Vec<String> = texts
            .iter()
            .filter_map(|url| link::parameter(url, name))
            .collect();
        // Where there is no URL, it is the URL that is missed.
        if !texts.is_empty() {
            let what = format!("the parameter `{name}`");
            self.look(place.span, what, done, |_| Some(found.clone()));
        }
        found
    }

    /// What a source finds, and a note whether that is anything.
    fn look(
        &mut self,
        place: Span,
        what: String,
        done: &[&Seen],
        find: impl Fn(&Seen) -> Option<Vec<String>>,
    ) -> Vec<String> {
        let looked = self.sources.entry(place).or_insert(Looked {
            what,
            found: false,
            missed: None,
            nearest: None,
        });
        let mut all = Vec::new();
        for seen in done {
            let found = find(seen).unwrap_or_default();
            looked.found |= !found.is_empty();
            if found.is_empty() && looked.missed.is_none() {
                looked.missed = Some(seen.span);
            }
            all.extend(found);
        }
        all
    }

    /// A regular expression that matches nothing of what was found.
    fn matched(&mut self, regex: Option<&Node>, texts: &[String], done: &[&Seen]) {
        let Some((node, text)) = regex.and_then(|node| Some((node, node.as_text()?))) else {
            return;
        };
        if texts.is_empty() {
            return;
        }
        if let Ok(compiled) = shared::regex(text) {
            let what = "this regular expression".to_owned();
            self.look(node.span, what, done, |_| {
                let matching = texts.iter().filter(|text| compiled.is_match(text));
                Some(matching.cloned().collect())
            });
        }
    }

    fn nearest(&mut self, place: Span, written: &str, done: &[&Seen]) {
        if let Some(looked) = self.sources.get_mut(&place)
            && !looked.found
            && looked.nearest.is_none()
        {
            let bodies = done.iter().filter_map(|seen| seen.body());
            looked.nearest = nearest(written, bodies);
        }
    }

    /// Reports what found nothing.
    pub(super) fn check(&self, diags: &mut Diagnostics) {
        for place in self.root_filters.keys() {
            diags.push(
                Diagnostic::warning(
                    codes::ROOT_FILTER,
                    *place,
                    "this filter asks the members of the answer, not the answer itself, which is an object",
                )
                .help("name the list that is filtered, such as `$.items[?@.id == 7]`; ask the answer itself with a path, such as `$.error`"),
            );
        }
        for (place, looked) in self.sources.iter().filter(|(_, looked)| !looked.found) {
            let mut problem = Diagnostic::warning(
                codes::FINDS_NOTHING,
                *place,
                format!("{} finds nothing in any example's answer", looked.what),
            )
            .did_you_mean(looked.nearest.as_deref())
            .help("correct it, or add an example in whose `response` it finds something");
            if let Some(missed) = looked.missed {
                problem = problem.related(missed, "not in the answer of this example");
            }
            diags.push(problem);
        }
        for (place, tried) in &self.rules {
            if tried.met || self.root_filters.values().any(|whole| whole == place) {
                continue;
            }
            diags.push(
                Diagnostic::warning(
                    codes::UNTRIED_RULE,
                    *place,
                    format!("no example's answer meets {}", tried.what),
                )
                .help("add an example whose `response` meets it, copied from the backend's manual or from the backend itself"),
            );
        }
    }
}

fn judged(mut read: ReadAnswer, span: Span, way: &Way) -> Seen {
    let mut scope = Scope::new();
    read.publish(&mut scope, true);
    let verdict = outcome::judge(way, false, &read, &scope, None, &|text: &str| {
        text.to_owned()
    });
    Seen {
        span,
        success: matches!(verdict, Verdict::Success),
        absent: matches!(verdict, Verdict::Absent),
        read,
        scope,
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// As many paths of an answer as are looked at for a suggestion.
const PATHS: usize = 2_000;

/// The path in an answer that was probably meant: one that ends in the same name, or one written alike.
fn nearest<'v>(written: &str, bodies: impl Iterator<Item = &'v Value>) -> Option<String> {
    let mut paths = Vec::new();
    for body in bodies {
        collect("$", body, &mut paths);
    }
    if written.contains(['*', '?']) || written.contains("..") {
        return None;
    }
    let last = written.rsplit(['.', '[']).next().unwrap_or_default();
    let same_end = paths
        .iter()
        .filter(|path| path.rsplit(['.', '[']).next() == Some(last))
        .min_by_key(|path| path.matches(['.', '[']).count());
    same_end
        .cloned()
        .or_else(|| suggest::nearest(written, paths.iter().map(String::as_str)).map(str::to_owned))
}

/// The singular paths of everything in a value (RFC 9535, section 2.3.5).
fn collect(at: &str, value: &Value, paths: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (format!("{at}{}", step(name)), value))
            .collect(),
        Value::Array(items) => items
            .iter()
            .take(1)
            .map(|value| (format!("{at}[0]"), value))
            .collect(),
        _ => return,
    };
    for (path, value) in below {
        if paths.len() == PATHS {
            return;
        }
        paths.push(path.clone());
        collect(&path, value, paths);
    }
}

fn step(name: &str) -> String {
    let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty();
    match word {
        true => format!(".{name}"),
        false => format!("['{}']", name.replace('\\', "\\\\").replace('\'', "\\'")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_nearest_path_ends_in_the_same_name_or_is_written_alike() {
        let body = json!({"network": {"id": 1, "router:external": true}, "links": [{"href": "x"}]});
        let near = |written| nearest(written, [&body].into_iter());
        assert_eq!(near("$.id").as_deref(), Some("$.network.id"));
        assert_eq!(near("$.netwrok.id").as_deref(), Some("$.network.id"));
        assert_eq!(near("$.href").as_deref(), Some("$.links[0].href"));
        assert_eq!(
            near("$.network['router:externl']").as_deref(),
            Some("$.network['router:external']")
        );
        assert_eq!(near("$.zzzzzzzz"), None);
        assert_eq!(near("$.links[*].hrf"), None);
    }
}
