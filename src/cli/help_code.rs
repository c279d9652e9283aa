//! `help-code`: what a code means, with a wrong and a right example. Nothing is read but the pages
//! that are in the binary (`diagnostics::pages`).

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};

use super::{Misuse, Vars};
use crate::diagnostics::{pages, suggest};
use crate::http::problem;

/// Explain a code of a diagnostic or a problem, with a wrong and a right example.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// As `validate-config` prints it in `error[unknown-key]`, or as `code` of a problem; none: list them all
    pub code: Option<String>,
}

pub fn run(args: &Args, _vars: &Vars) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let styled = out.is_terminal();
    let text = match &args.code {
        None => list(styled),
        Some(code) => explain(code, styled)?,
    };
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot print the page")?;
    Ok(ExitCode::SUCCESS)
}

/// The page of a code, for a terminal.
pub fn explain(code: &str, styled: bool) -> Result<String, Misuse> {
    if let Some(page) = pages::page(code) {
        return Ok(for_a_terminal(page, styled));
    }
    if let Some(section) = pages::problem(code) {
        return Ok(for_a_terminal(&(facts(code) + section), styled));
    }
    let known = pages::codes().chain(problem::TABLE.iter().map(|(_, code, _)| *code));
    Err(Misuse(match suggest::nearest(code, known) {
        Some(near) => format!("`{code}` is not a code; did you mean `cmp-relay help-code {near}`?"),
        None => format!(
            "`{code}` is not a code of the relay (a route's `errors` may have codes of their own); \
             `cmp-relay help-code` lists them all"
        ),
    }))
}

/// Status and title of a problem: one code may have two.
fn facts(code: &str) -> String {
    let mut facts = String::new();
    for (status, _, title) in problem::TABLE.iter().filter(|(_, name, _)| *name == code) {
        let _ = writeln!(facts, "{}: {title}", status.as_u16());
    }
    facts
}

/// Every code with its one line, by group.
pub fn list(styled: bool) -> String {
    let mut out = String::new();
    for (group, codes) in pages::groups() {
        let _ = writeln!(out, "{}", bold(&group, styled));
        for code in codes {
            let summary = pages::page(code).map(pages::summary).unwrap_or_default();
            let _ = writeln!(out, "  {code:<22} {}", plain(&summary));
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{}", bold("Problems that the CMP is told", styled));
    for (status, code, title) in problem::TABLE {
        let _ = writeln!(out, "  {code:<26} {} {title}", status.as_u16());
    }
    out.push_str("\n`cmp-relay help-code CODE` explains one of them.\n");
    out
}

/// Markdown as a terminal shows it well: headings bold, an example below the file that it is.
fn for_a_terminal(page: &str, styled: bool) -> String {
    let mut out = String::new();
    let mut fenced = false;
    for line in page.lines() {
        if let Some(word) = line.strip_prefix("```") {
            fenced = !fenced;
            if let (true, Some((_, path))) = (fenced, word.split_once(' ')) {
                let _ = writeln!(out, "  {}", bold(path, styled));
            }
        } else if fenced {
            let _ = writeln!(out, "{}", format!("    {line}").trim_end());
        } else if line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().replace('`', "");
            let _ = writeln!(out, "{}", bold(&heading, styled));
        } else {
            let _ = writeln!(out, "{}", plain(line));
        }
    }
    out
}

/// A line without its links' targets.
fn plain(line: &str) -> String {
    let mut out = String::new();
    let mut rest = line;
    while let Some((before, link)) = rest.split_once("](") {
        let (text, after) = (before.rsplit_once('['), link.split_once(')'));
        let (Some((before, text)), Some((_, after))) = (text, after) else {
            break;
        };
        out.push_str(before);
        out.push_str(text);
        rest = after;
    }
    out + rest
}

fn bold(text: &str, styled: bool) -> String {
    match styled {
        true => format!("\u{1b}[1m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_shown_without_fences_and_links() {
        let page = "# a-code\n\nSee [the guide](../x.md) and `[y]`.\n\n## Wrong\n\n```yaml routes.d/a.yaml\nresource: a\n\nkind: b\n```\n";
        assert_eq!(
            for_a_terminal(page, false),
            "a-code\n\nSee the guide and `[y]`.\n\nWrong\n\n  routes.d/a.yaml\n    resource: a\n\n    kind: b\n"
        );
        assert!(for_a_terminal(page, true).starts_with("\u{1b}[1ma-code\u{1b}[0m\n"));
    }

    #[test]
    fn an_unknown_code_suggests_the_nearest() {
        let said = |code: &str| explain(code, false).unwrap_err().to_string();
        assert!(said("unknwn-key").contains("did you mean `cmp-relay help-code unknown-key`?"));
        assert!(said("not_maped").contains("help-code not_mapped`?"));
        assert!(said("zzzzzzzzzzzzz").contains("lists them all"));
    }

    #[test]
    fn the_list_has_every_code_once() {
        let list = list(false);
        for code in pages::codes().chain(problem::TABLE.iter().map(|(_, code, _)| *code)) {
            let lines = list
                .lines()
                .filter(|line| line.trim_start().split(' ').next() == Some(code));
            let twice = usize::from(matches!(code, "outcome_unknown" | "standby_unconfirmed"));
            assert_eq!(lines.count(), 1 + twice, "{code}");
        }
    }

    #[test]
    fn a_problem_says_its_status() {
        let said = explain("outcome_unknown", false).unwrap();
        assert!(
            said.starts_with("409: ") && said.contains("\n504: "),
            "{said}"
        );
    }
}
