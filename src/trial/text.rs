//! The report for people: a line per file, what failed and how, and what is left untried.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Coverage, Played, Report};
use crate::diagnostics::text::counted;
use crate::diagnostics::{Sources, place};
use crate::document::{FileId, Span};

/// Routes that have a rule are named up to this many.
const NAMED: usize = 3;

/// The report; `each` has a line for every example.
pub fn render(report: &Report, files: &impl Sources, each: bool) -> String {
    let mut out = String::new();
    let mut by_file: BTreeMap<FileId, Vec<&Played>> = BTreeMap::new();
    for one in &report.played {
        by_file.entry(one.span.file).or_default().push(one);
    }
    for (file, played) in &by_file {
        let failed = played.iter().filter(|one| one.failed()).count();
        let word = match failed {
            0 => "ok  ",
            _ => "FAIL",
        };
        let _ = write!(
            out,
            "{word} {}: {}",
            files.path(*file),
            counted(played.len(), "example")
        );
        out.push_str(&match failed {
            0 => "\n".to_owned(),
            _ => format!(", {failed} failed\n"),
        });
        for one in played.iter().filter(|_| each) {
            let word = if one.failed() { "FAIL" } else { "ok  " };
            let _ = writeln!(out, "  {word} {}: {}", one.route, one.example);
        }
    }
    for one in report.played.iter().filter(|one| one.failed()) {
        failure(one, files, &mut out);
    }
    coverage(&report.coverage, files, &mut out);
    let failed = report.failed();
    let _ = writeln!(
        out,
        "\n{}: {} passed, {failed} failed, in {:.2} s",
        counted(report.played.len(), "example"),
        report.played.len() - failed,
        report.took.as_secs_f64(),
    );
    out
}

/// What is different, line under line.
fn failure(one: &Played, files: &impl Sources, out: &mut String) {
    let _ = writeln!(
        out,
        "\n{}: {}: example `{}`",
        at(one.span, files),
        one.route,
        one.example
    );
    for difference in &one.differences {
        let _ = writeln!(
            out,
            "  {}  ({})",
            difference.path,
            at(difference.span, files)
        );
        let _ = writeln!(out, "    expected {}", difference.expected);
        let _ = writeln!(out, "    got      {}", difference.got);
    }
}

fn coverage(coverage: &Coverage, files: &impl Sources, out: &mut String) {
    let _ = writeln!(
        out,
        "\ncoverage: {} of {} have examples, which meet {} of {}",
        coverage.routes - coverage.without.len(),
        counted(coverage.routes, "route"),
        coverage.rules - coverage.unmet.len(),
        counted(coverage.rules, "rule"),
    );
    for (route, span) in &coverage.without {
        let _ = writeln!(out, "  {}: `{route}` has no example", at(*span, files));
    }
    for rule in &coverage.unmet {
        let mut routes: Vec<_> = rule.routes.iter().take(NAMED).map(|name| &**name).collect();
        let more = format!("{} more", rule.routes.len().saturating_sub(NAMED));
        if rule.routes.len() > NAMED {
            routes.push(&more);
        }
        let _ = writeln!(
            out,
            "  {}: no example meets {} ({})",
            at(rule.span, files),
            rule.what,
            routes.join(", "),
        );
    }
}

/// `file:line:column`.
pub(super) fn at(span: Span, files: &impl Sources) -> String {
    let point = place::point(files.text(span.file), span.start as usize);
    format!("{}:{}:{}", files.path(span.file), point.line, point.column)
}
