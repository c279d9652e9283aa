//! `$decide`: a mark in a draft, where a person must put something.
//!
//! A mark stands where its answer will stand, whatever belongs there, so it is no value of any kind: it is
//! reported here, and what other passes say of the same place is not repeated.

use super::codes;
use super::source::SourceFiles;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{Kind, Node, Span};

/// The key of a mark.
pub const MARK: &str = "$decide";

/// Reports every mark of every file, and keeps of the rest what is not about one.
pub fn check(files: &SourceFiles, said: Diagnostics, diags: &mut Diagnostics) {
    let mut marks = Vec::new();
    for (_, file) in files.iter() {
        if let Some(node) = &file.node {
            find(node, &mut marks, diags);
        }
    }
    for masked in said.masked() {
        diags.mask(*masked);
    }
    for diagnostic in said.iter() {
        let about = diagnostic
            .span
            .is_some_and(|span| marks.iter().any(|mark| within(span, *mark)));
        if !about {
            diags.push(diagnostic.clone());
        }
    }
}

fn within(span: Span, mark: Span) -> bool {
    span.file == mark.file && span.start >= mark.start && span.end <= mark.end
}

fn find(node: &Node, marks: &mut Vec<Span>, diags: &mut Diagnostics) {
    match &node.kind {
        Kind::List(items) => items.iter().for_each(|item| find(item, marks, diags)),
        Kind::Map(entries) => {
            let Some(mark) = entries.iter().find(|entry| entry.key == MARK) else {
                entries
                    .iter()
                    .for_each(|entry| find(&entry.value, marks, diags));
                return;
            };
            marks.push(node.span);
            let question = mark.value.as_text().unwrap_or("what belongs here?");
            let mut diagnostic = Diagnostic::error(
                codes::UNDECIDED,
                mark.key_span,
                format!("a person must decide: {question}"),
            );
            diagnostic = match node.get("candidates").map(|node| &node.kind) {
                Some(Kind::List(candidates)) if !candidates.is_empty() => {
                    let shown: Vec<String> = candidates.iter().map(shown).collect();
                    diagnostic.help(format!(
                        "put one of these in the place of the mark: {}",
                        shown.join(", or ")
                    ))
                }
                _ => diagnostic.help("put the answer in the place of the mark"),
            };
            diags.push(diagnostic);
        }
        _ => {}
    }
}

/// A candidate, as it is typed.
fn shown(candidate: &Node) -> String {
    match candidate.as_text() {
        Some(text) if text.contains("{{") => format!("`\"{text}\"`"),
        Some(text) => format!("`{text}`"),
        None => format!("`{}`", candidate.to_json()),
    }
}
