//! What the examples leave untried: routes without one, and rules that no answer of any meets.
//!
//! A rule is where it is written: a default of a file, or of a shared piece, is met when the example of
//! any route meets it.

use std::collections::BTreeMap;

use crate::config::RouteExamples;
use crate::document::Span;
use crate::driver::Answer;
use crate::plan::Route;
use crate::relay::met;

/// What is left untried.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    pub routes: usize,
    /// Routes without an example, and where they stand.
    pub without: Vec<(Box<str>, Span)>,
    pub rules: usize,
    /// In the order of their places.
    pub unmet: Vec<Unmet>,
}

/// A rule that no example meets.
#[derive(Clone, Debug)]
pub struct Unmet {
    pub span: Span,
    /// What the rule is: ``the error rule 409 `duplicate` ``.
    pub what: String,
    /// The routes that have it.
    pub routes: Vec<Box<str>>,
}

/// The rules of the routes under test, being met.
#[derive(Debug, Default)]
pub(super) struct Tally {
    rules: BTreeMap<Span, Rule>,
    without: Vec<(Box<str>, Span)>,
    routes: usize,
}

#[derive(Debug)]
struct Rule {
    what: String,
    routes: Vec<Box<str>>,
    met: bool,
}

impl Tally {
    /// Counts the rules of a route.
    pub(super) fn route(&mut self, route: &Route, examples: &RouteExamples) {
        let way = &route.ways[examples.way];
        self.routes += usize::from(examples.way == 0);
        if examples.examples.is_empty() {
            self.without.push((route.name.clone(), examples.span));
        }
        let places = &examples.rules;
        let mut rule = |span: Span, what: String| {
            let rule = self.rules.entry(span).or_insert_with(|| Rule {
                what,
                routes: Vec::new(),
                met: false,
            });
            rule.routes.push(route.name.clone());
        };
        if let Some(span) = places.success_when {
            rule(span, "`success_when`".into());
        }
        for span in &places.fail_when {
            rule(*span, "`fail_when`".into());
        }
        for (span, compiled) in places.errors.iter().zip(&way.response.errors) {
            let code = compiled.code.as_deref().unwrap_or("backend_error");
            rule(
                *span,
                format!("the error rule {} `{code}`", compiled.reply.as_u16()),
            );
        }
        for span in places.changes.iter().flatten() {
            rule(*span, "`when` of a mapping change".into());
        }
    }

    /// Counts what an example's answer meets.
    pub(super) fn answer(&mut self, route: &Route, examples: &RouteExamples, answer: Answer) {
        let met = met(&route.ways[examples.way], answer);
        let places = &examples.rules;
        let success = places.success_when.filter(|_| met.success_when);
        let failed = met
            .fail_when
            .iter()
            .filter_map(|at| places.fail_when.get(*at));
        let error = met.error.and_then(|at| places.errors.get(at));
        let changes = met
            .changes
            .iter()
            .filter_map(|at| *places.changes.get(*at)?);
        let spans = success
            .into_iter()
            .chain(failed.copied())
            .chain(error.copied());
        for span in spans.chain(changes) {
            if let Some(rule) = self.rules.get_mut(&span) {
                rule.met = true;
            }
        }
    }

    pub(super) fn coverage(self) -> Coverage {
        Coverage {
            routes: self.routes,
            without: self.without,
            rules: self.rules.len(),
            unmet: self
                .rules
                .into_iter()
                .filter(|(_, rule)| !rule.met)
                .map(|(span, rule)| Unmet {
                    span,
                    what: rule.what,
                    routes: rule.routes,
                })
                .collect(),
        }
    }
}
