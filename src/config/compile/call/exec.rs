//! An `exec` call: a program with arguments, and what it reads.

use super::cli::template;
use crate::config::compile::codes;
use crate::config::spec::call::{CallSpec, StdinSpec};
use crate::config::spec::decode::At;
use crate::config::spec::part::{Part, Written, right, wrong};
use crate::diagnostics::{Diagnostic, Diagnostics, codes as expression_codes};
use crate::plan::{ExecCall, ExecInput};
use crate::transform::{Env, Format, Position, Text};

pub(super) fn compile(spec: &CallSpec, env: &Env<'_>, diags: &mut Diagnostics) -> Option<ExecCall> {
    let words = words(right(&spec.exec)?, env, diags);
    let stdin = match right(&spec.stdin) {
        None => Some(None),
        Some(StdinSpec::Text(written)) => {
            let snippet = written.snippet();
            Text::compile(snippet, Position::Lines, "call.stdin", env, diags)
                .map(|text| Some(ExecInput::Text(text)))
        }
        Some(StdinSpec::Template(spec)) => {
            let wanted = Format::of(spec.template.text()).unwrap_or(Format::Text);
            template(&spec.template, wanted, "call.stdin", env, diags)
                .map(|template| Some(ExecInput::Template(template)))
        }
    };
    if wrong(&spec.stdin) {
        return None;
    }
    Some(ExecCall {
        words: words?,
        stdin: stdin?,
    })
}

fn words(
    written: &At<Vec<Part<Written>>>,
    env: &Env<'_>,
    diags: &mut Diagnostics,
) -> Option<Vec<Text>> {
    let compiled: Vec<_> = (0usize..)
        .zip(&written.value)
        .map(|(index, word)| {
            let snippet = word.0.as_ref()?.snippet();
            let field = format!("call.exec[{index}]");
            Text::compile(snippet, Position::Word, &field, env, diags)
        })
        .collect();
    match (written.value.first(), compiled.first()) {
        (None, _) => {
            diags.push(
                Diagnostic::error(codes::BAD_VALUE, written.span, "a call without a program")
                    .help("write the program first, such as `exec: [ip, -json, link]`"),
            );
            return None;
        }
        (Some(Part(Some(program))), Some(Some(text))) => {
            let (code, wrong) = match text.as_literal() {
                Some("") => (expression_codes::BAD_TEMPLATE, "a program has a name"),
                Some(name) if name.contains(char::is_whitespace) => (
                    expression_codes::BAD_TEMPLATE,
                    "a program is one word; each argument is an item of its own",
                ),
                Some(_) => ("", ""),
                None => (
                    expression_codes::MISPLACED_EXPRESSION,
                    "the program is written out: no value is a command",
                ),
            };
            if !wrong.is_empty() {
                diags.push(
                    Diagnostic::error(code, program.span(), wrong)
                        .help("such as `exec: [ovs-vsctl, add-port, br0, \"{{ body.port }}\"]`"),
                );
                return None;
            }
        }
        // What is wrong with it has been reported.
        _ => {}
    }
    compiled.into_iter().collect()
}
