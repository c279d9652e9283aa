//! Every example of a configuration, played one after the other through one relay.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::coverage::Tally;
use super::{Coverage, Difference, Trial, example};
use crate::config::{Loaded, RouteExamples, codes};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Span;
use crate::plan::Plan;

/// The differences of one example that are worth reading: the rest follows from them.
const TOLD: usize = 5;

/// What came of the examples.
#[derive(Debug)]
pub struct Report {
    /// In the order of the files.
    pub played: Vec<Played>,
    pub coverage: Coverage,
    pub took: Duration,
}

/// One example, played.
#[derive(Clone, Debug)]
pub struct Played {
    pub route: Box<str>,
    pub example: Box<str>,
    /// Of the example's name.
    pub span: Span,
    /// None: it is as it should be.
    pub differences: Vec<Difference>,
    pub took: Duration,
}

impl Report {
    pub fn failed(&self) -> usize {
        self.played.iter().filter(|one| one.failed()).count()
    }
}

impl Played {
    pub fn failed(&self) -> bool {
        !self.differences.is_empty()
    }
}

/// Plays the examples of these routes, of every one when none is named.
pub fn play(
    plan: &Arc<Plan>,
    examples: &[RouteExamples],
    only: &[String],
) -> anyhow::Result<Report> {
    let began = Instant::now();
    let mut trial = Trial::new(Arc::clone(plan))?;
    let mut tally = Tally::default();
    let mut played = Vec::new();
    for of_route in examples {
        let wanted = only.is_empty() || only.iter().any(|name| **name == *of_route.route);
        let Some(id) = plan.route_named(&of_route.route).filter(|_| wanted) else {
            continue;
        };
        let route = plan.route(id);
        tally.route(route, of_route);
        for one in &of_route.examples {
            let began = Instant::now();
            let (run, differences) = example::play(&mut trial, route, one);
            if let Some(answer) = one.answer().filter(|_| !run.calls.is_empty()) {
                tally.answer(route, of_route, answer);
            }
            played.push(Played {
                route: of_route.route.clone(),
                example: one.name.clone(),
                span: one.span,
                differences,
                took: began.elapsed(),
            });
        }
    }
    Ok(Report {
        played,
        coverage: tally.coverage(),
        took: began.elapsed(),
    })
}

/// Plays the examples of what compiled, and says what fails among the diagnostics of the load. Takes the
/// plan, and gives it back.
pub fn check(loaded: &mut Loaded) -> anyhow::Result<Option<Arc<Plan>>> {
    let Some(plan) = loaded.plan.take().map(Arc::new) else {
        return Ok(None);
    };
    let report = play(&plan, &loaded.examples, &[])?;
    diagnose(&report, &mut loaded.diagnostics);
    Ok(Some(plan))
}

/// Says of every example that fails what is different, at the place of the expectation.
fn diagnose(report: &Report, diags: &mut Diagnostics) {
    for one in &report.played {
        for difference in one.differences.iter().take(TOLD) {
            let message = format!(
                "example `{}` of `{}`: {} is not as expected",
                one.example, one.route, difference.path
            );
            let mut said = Diagnostic::error(codes::EXAMPLE_FAILED, difference.span, message)
                .label(format!("got {}", difference.got));
            if difference.expected == "nothing" || difference.span == one.span {
                said = said.help(format!("expected {}", difference.expected));
            }
            diags.push(said);
        }
    }
}
