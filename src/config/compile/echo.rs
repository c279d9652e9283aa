//! Warnings that are only the echo of an error: a `let` whose one reader is misspelled is not unused, and
//! a value that is wrong is not also without effect. So are names that a file would declare which could not
//! be read. They would send the author to the wrong line.

use std::collections::BTreeSet;

use super::codes;
use crate::config::codes::{UNQUOTED_TEMPLATE, UNUSED_TOKEN, YAML_TRAP};
use crate::config::source::{FileRole, SourceFiles};
use crate::diagnostics::codes::{UNKNOWN_RESOURCE, UNKNOWN_TEMPLATE};
use crate::diagnostics::{Diagnostic, Diagnostics, Severity};
use crate::document::{FileId, Span};

/// What says that something is read nowhere.
const UNUSED: [&str; 5] = [
    codes::UNUSED_LET,
    codes::UNUSED_EXTRACT,
    codes::UNUSED_MAP,
    codes::UNUSED_TEMPLATE,
    UNUSED_TOKEN,
];

/// What says that a backend file does not have something.
const OF_BACKENDS: [&str; 5] = [
    codes::NO_BACKEND_OF_KIND,
    codes::UNKNOWN_LABEL,
    codes::NO_MATCHING_BACKEND,
    codes::UNKNOWN_BACKEND,
    codes::UNKNOWN_AUTH,
];
/// What says that no route uses something.
const OF_ROUTES: [&str; 5] = [
    codes::UNUSED_TEMPLATE,
    codes::UNUSED_FILE,
    codes::UNUSED_BACKEND,
    codes::UNUSED_AUTH,
    codes::UNUSED_VAR,
];
/// Errors that leave a part of a file out.
const LEAVE_OUT: [&str; 5] = [
    codes::DUPLICATE_KEY,
    codes::WRONG_TYPE,
    codes::MISSING_KEY,
    codes::UNKNOWN_KEY,
    codes::BAD_NAME,
];

/// Leaves out what an error elsewhere explains.
pub(in crate::config) fn silence(files: &SourceFiles, diags: &mut Diagnostics) {
    // A folder of which a file could not be read: what is not declared there may be declared in it.
    let partly_read = |role: FileRole| {
        files
            .iter()
            .any(|(_, file)| file.role == role && file.node.is_none())
    };
    let partly_compiled = |role: FileRole| {
        diags.iter().any(|said| {
            LEAVE_OUT.contains(&said.code)
                && said
                    .span
                    .is_some_and(|span| files.get(span.file).role == role)
        })
    };
    let backends = partly_read(FileRole::Backend) || partly_compiled(FileRole::Backend);
    let clients = partly_read(FileRole::Relay) || partly_compiled(FileRole::Relay);
    let resources = partly_read(FileRole::Route);
    let templates = resources || partly_compiled(FileRole::Route);
    diags.retain(|said| {
        !(backends && OF_BACKENDS.contains(&said.code)
            || clients && said.code == codes::UNKNOWN_CLIENT
            || resources && said.code == UNKNOWN_RESOURCE
            || templates && OF_ROUTES.contains(&said.code))
    });
    warnings(diags);
}

fn warnings(diags: &mut Diagnostics) {
    let errors = || diags.iter().filter(|it| it.severity == Severity::Error);
    let meant: BTreeSet<String> = errors().filter_map(meant).collect();
    let places: BTreeSet<_> = errors().filter_map(|error| error.span).collect();
    let unread: BTreeSet<FileId> = errors()
        .filter(|error| error.code == UNKNOWN_TEMPLATE)
        .filter_map(|error| error.span)
        .map(|span| span.file)
        .collect();
    let unquoted: Vec<Span> = errors()
        .filter(|error| error.code == UNQUOTED_TEMPLATE)
        .filter_map(|error| error.span)
        .collect();
    // A kind that is misspelled leaves the backends of the right one without routes.
    let misspelled_kind = diags
        .iter()
        .any(|said| said.code == codes::NO_BACKEND_OF_KIND && said.label.is_some());
    // A rule that cannot be reached cannot be tried either.
    let unreachable: Vec<Span> = diags
        .iter()
        .filter(|said| said.code == codes::UNREACHABLE_RULE)
        .filter_map(|said| said.span)
        .collect();
    let within = |said: &Diagnostic, wholes: &[Span]| {
        said.span
            .is_some_and(|span| wholes.iter().any(|whole| holds(*whole, span)))
    };
    let echo = |said: &Diagnostic| {
        if said.code == YAML_TRAP && within(said, &unquoted) {
            return true;
        }
        said.severity == Severity::Warning
            && (said.span.is_some_and(|span| places.contains(&span))
                || said.code == codes::UNTRIED_RULE && within(said, &unreachable)
                || misspelled_kind && OF_ROUTES.contains(&said.code)
                || UNUSED.contains(&said.code)
                    && (quoted(&said.message).any(|name| is_meant(&meant, name))
                        // What a template that is not found would have read is not known.
                        || said.span.is_some_and(|span| unread.contains(&span.file))))
    };
    diags.retain(|said| !echo(said));
}

/// The name that an error takes a typing error for.
fn meant(error: &Diagnostic) -> Option<String> {
    let label = error.label.as_deref()?;
    let name = label.strip_prefix("did you mean `")?.strip_suffix("`?")?;
    Some(name.to_owned())
}

fn holds(whole: Span, part: Span) -> bool {
    whole.file == part.file && whole.start <= part.start && part.end <= whole.end
}

/// Whether a name, or the variable that reads it, is what an error takes a typing error for.
fn is_meant(meant: &BTreeSet<String>, name: &str) -> bool {
    meant.contains(name) || meant.contains(&format!("tokens.{name}"))
}

/// What a message names.
fn quoted(message: &str) -> impl Iterator<Item = &str> {
    message.split('`').skip(1).step_by(2)
}
