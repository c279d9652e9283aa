//! `parse: { textfsm: ... }`: a TextFSM template, of `templates/` or written where it is used.

use super::codes;
use super::names::Surroundings;
use crate::config::spec::part::Written;
use crate::diagnostics::{Diagnostic, Diagnostics, codes as expression_codes, suggest};
use crate::document::Snippet;
use crate::transform::TextFsm;
use crate::transform::textfsm::Wrong;

/// Compiles the template that `written` names, or is.
pub(super) fn compile(
    written: &Written,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<TextFsm> {
    let text = written.text();
    if text.contains('\n') {
        let report = |wrong: &Wrong| problem(written.snippet(), wrong);
        return said(TextFsm::compile(text), report, diags);
    }
    let Some((file, text)) = around.textfsm.get(text) else {
        let names = around.textfsm.keys().map(|name| &**name);
        let near = suggest::nearest(text, names);
        let problem = match text.ends_with(".textfsm") {
            true => Diagnostic::error(
                expression_codes::UNKNOWN_TEMPLATE,
                written.span(),
                format!("`templates/` has no `{text}`"),
            )
            .did_you_mean(near),
            false => Diagnostic::error(
                codes::BAD_VALUE,
                written.span(),
                "a TextFSM template is a file of `templates/`, or written here in several lines",
            )
            .did_you_mean(near)
            .help(
                "name a file that ends in `.textfsm`, or begin with `|` and the template below it",
            ),
        };
        diags.push(problem);
        return None;
    };
    let source = Snippet::file(*file, text);
    let report =
        |wrong: &Wrong| problem(source, wrong).related(written.span(), "the template is used here");
    said(TextFsm::compile(text), report, diags)
}

fn said(
    compiled: Result<TextFsm, Vec<Wrong>>,
    report: impl Fn(&Wrong) -> Diagnostic,
    diags: &mut Diagnostics,
) -> Option<TextFsm> {
    match compiled {
        Ok(template) => Some(template),
        Err(wrong) => {
            wrong.iter().for_each(|wrong| diags.push(report(wrong)));
            None
        }
    }
}

fn problem(source: Snippet<'_>, wrong: &Wrong) -> Diagnostic {
    let span = source.part_span(wrong.at.start, wrong.at.end);
    let problem = Diagnostic::error(codes::BAD_TEXTFSM, span, wrong.message.as_str());
    match &wrong.help {
        Some(help) => problem.help(help.clone()),
        None => problem,
    }
}
