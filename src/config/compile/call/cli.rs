//! A `cli` call: lines for a command line, in a mode of the profile that every instance has.

use super::{Ground, Sort, listed};
use crate::config::compile::codes;
use crate::config::spec::call::{CallSpec, CliLinesSpec};
use crate::config::spec::decode::At;
use crate::config::spec::part::{Part, Written, right, wrong};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::plan::{Backend, CliCall, CliLines, CliProfile};
use crate::transform::{Env, Format, Position, Template, Text};

pub(super) fn compile(
    spec: &CallSpec,
    ground: &Ground<'_>,
    env: &Env<'_>,
    diags: &mut Diagnostics,
) -> Option<CliCall> {
    let lines = match right(&spec.cli)? {
        CliLinesSpec::Lines(written) => lines(written, env, diags).map(CliLines::Lines),
        CliLinesSpec::Template(spec) => {
            template(&spec.template, Format::Cli, "call.cli", env, diags).map(CliLines::Template)
        }
    };
    let profiles = ground.needed_profiles(
        Sort::Cli,
        ("cli", super::place(spec, "cli")),
        "add `profile: NAME` to the driver, or write `exec: [program, argument]`",
        diags,
    );
    let mode = match right(&spec.mode) {
        None => Some(None),
        Some(written) => mode(written, &profiles, ground, diags).map(Some),
    };
    let save = right(&spec.save).is_some_and(|at| at.value);
    if let Some(at) = right(&spec.save).filter(|at| at.value) {
        without_save(at, &profiles, diags);
    }
    if wrong(&spec.mode) || wrong(&spec.save) {
        return None;
    }
    Some(CliCall {
        mode: mode?,
        lines: lines?,
        save,
    })
}

fn lines(
    written: &At<Vec<Part<Written>>>,
    env: &Env<'_>,
    diags: &mut Diagnostics,
) -> Option<Vec<Text>> {
    if written.value.is_empty() {
        diags.push(
            Diagnostic::error(codes::BAD_VALUE, written.span, "a call without a line")
                .help("write at least one line"),
        );
        return None;
    }
    let compiled: Vec<_> = (0usize..)
        .zip(&written.value)
        .map(|(index, line)| {
            let snippet = line.0.as_ref()?.snippet();
            let field = format!("call.cli[{index}]");
            Text::compile(snippet, Position::CliLine, &field, env, diags)
        })
        .collect();
    compiled.into_iter().collect()
}

/// A template by its name, which must say that it writes what is wanted here.
pub(super) fn template(
    written: &Written,
    wanted: Format,
    field: &str,
    env: &Env<'_>,
    diags: &mut Diagnostics,
) -> Option<Template> {
    let name = written.literal("`template`", diags)?;
    let end = match wanted {
        Format::Cli => ".cli.hbs",
        Format::Xml => ".xml.hbs",
        Format::Json => ".json.hbs",
        Format::Text => ".txt.hbs",
    };
    if Format::of(name).is_some_and(|format| format != wanted) {
        diags.push(
            Diagnostic::error(
                codes::BAD_VALUE,
                written.span(),
                format!("a template here ends in `{end}`, and so says how values are encoded"),
            )
            .help(format!("name a template that ends in `{end}`")),
        );
        return None;
    }
    Template::compile(name, written.span(), field, env, diags)
}

/// `mode` must be one of every backend's profile.
fn mode(
    written: &Written,
    profiles: &[(&Backend, &CliProfile)],
    ground: &Ground<'_>,
    diags: &mut Diagnostics,
) -> Option<Box<str>> {
    let name = written.literal("`mode`", diags)?;
    let lacking: Vec<_> = profiles
        .iter()
        .filter(|(_, profile)| !profile.has_mode(name))
        .collect();
    let Some((_, profile)) = lacking.first() else {
        return Some(name.into());
    };
    let known: Vec<&str> = profile.prompts.iter().map(|prompt| &*prompt.name).collect();
    let backends: Vec<&Backend> = lacking.iter().map(|(backend, _)| *backend).collect();
    let problem = Diagnostic::error(
        codes::BAD_VALUE,
        written.span(),
        format!(
            "`{name}` is not a mode of the profile `{}`, which {}",
            profile.name,
            listed(&backends, "has", "have")
        ),
    )
    .did_you_mean(suggest::nearest(name, known.iter().copied()))
    .help(format!("modes of `{}`: {}", profile.name, known.join(", ")));
    diags.push(ground.with_places(problem, &backends));
    None
}

/// `save: true` where a profile needs no such command.
fn without_save(at: &At<bool>, profiles: &[(&Backend, &CliProfile)], diags: &mut Diagnostics) {
    let idle: Vec<_> = profiles
        .iter()
        .filter(|(_, profile)| profile.save.is_empty())
        .collect();
    let Some((_, profile)) = idle.first() else {
        return;
    };
    let backends: Vec<&Backend> = idle.iter().map(|(backend, _)| *backend).collect();
    diags.push(
        Diagnostic::warning(
            codes::NO_EFFECT,
            at.span,
            format!(
                "the profile `{}`, which {}, needs no save command",
                profile.name,
                listed(&backends, "has", "have")
            ),
        )
        .help("remove `save`"),
    );
}
