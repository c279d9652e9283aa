//! The report as JUnit XML, the dialect that CI servers read: a suite per file, a case per example.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use super::text::at;
use super::{Played, Report};
use crate::diagnostics::{Sources, place};
use crate::document::FileId;

/// The whole document.
pub fn render(report: &Report, files: &impl Sources) -> String {
    let mut by_file: BTreeMap<FileId, Vec<&Played>> = BTreeMap::new();
    for one in &report.played {
        by_file.entry(one.span.file).or_default().push(one);
    }
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"cmp-relay\" tests=\"{}\" failures=\"{}\" errors=\"0\" time=\"{}\">",
        report.played.len(),
        report.failed(),
        seconds(report.took)
    );
    for (file, played) in by_file {
        let failed = played.iter().filter(|one| one.failed());
        let took = played.iter().map(|one| one.took).sum();
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"0\" time=\"{}\">",
            escaped(files.path(file)),
            played.len(),
            failed.count(),
            seconds(took)
        );
        for one in played {
            case(one, files, &mut out);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn case(one: &Played, files: &impl Sources, out: &mut String) {
    let line = place::point(files.text(one.span.file), one.span.start as usize).line;
    let _ = write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{line}\" time=\"{}\"",
        escaped(&one.route),
        escaped(&one.example),
        escaped(files.path(one.span.file)),
        seconds(one.took)
    );
    let Some(first) = one.differences.first() else {
        out.push_str("/>\n");
        return;
    };
    let _ = write!(
        out,
        ">\n      <failure message=\"{}\" type=\"example-failed\">",
        escaped(&first.line())
    );
    for difference in &one.differences {
        let text = format!("{}: {}\n", at(difference.span, files), difference.line());
        out.push_str(&escaped(&text));
    }
    out.push_str("</failure>\n    </testcase>\n");
}

fn seconds(took: Duration) -> String {
    format!("{:.6}", took.as_secs_f64())
}

/// Text that can stand in an attribute and in an element. What XML 1.0 cannot hold at all is replaced
/// (section 2.2, `Char`).
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
