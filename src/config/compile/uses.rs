//! Each variable of a route against what is known of it: the request's schemas, the parents, what is
//! recorded, the backends.
//!
//! A variable that cannot exist is an error with the nearest that does. One that may be absent where nothing
//! provides for that is an error too, with the ways out: the request would fail, and only some requests would.

mod asked;
mod instance;
mod known;
mod remedy;

use std::rc::Rc;

use super::codes;
use super::names::{Names, Surroundings};
use super::request::RequestSchemas;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Span;
use crate::plan::Backend;
use crate::transform::Root;
use crate::transform::uses::{Absence, Fact, Key, Place, Use};

/// What the variables of one route are held against.
pub(super) struct Route<'a> {
    pub names: &'a Names,
    pub schemas: &'a RequestSchemas,
    pub around: &'a Surroundings<'a>,
    pub kind: &'a str,
    /// The instances that may be called.
    pub backends: &'a [&'a Backend],
    /// The resource of the file: that of `object`.
    pub resource: &'a str,
    /// The resource of each parent.
    pub parents: &'a [(&'a str, &'a str)],
    /// The route's own text; what stands elsewhere is shared with other routes.
    pub own: Span,
    /// Whether the route deletes, and so may end without an answer to take anything from.
    pub deletes: bool,
}

/// An instance is selected only where the parent that would say it is absent, and so is what its id is
/// made of.
pub(super) fn only_without(parent: &str, uses: &mut [Use]) {
    let field = format!("parents.{parent}.id");
    let mut behind = uses
        .iter()
        .filter(|found| *found.field == *field && found.absence == Absence::Optional);
    let (Some(only), None) = (behind.next(), behind.next()) else {
        return;
    };
    let absent = Fact::Absent(only.place.clone());
    for found in uses
        .iter_mut()
        .filter(|found| found.field.starts_with("select."))
    {
        Rc::make_mut(&mut found.facts).push(absent.clone());
    }
}

/// Checks every use that the route's compilation noted.
pub(super) fn check(route: &Route<'_>, uses: &[Use], diags: &mut Diagnostics) {
    for found in uses {
        let is_of_item = found.written < found.place.keys.len();
        match found.place.root {
            Root::Parents | Root::Object | Root::Let | Root::Extracted | Root::Backend
                if is_of_item =>
            {
                // The list of a loop is judged where the loop names it.
            }
            Root::Body | Root::Query | Root::Header => asked::check(route, found, diags),
            Root::Path => {
                if !found.place.keys.is_empty() {
                    redundant(
                        route,
                        found,
                        "the path of a request has all of its parameters",
                        diags,
                    );
                }
            }
            Root::Parents => known::parent(route, uses, found, diags),
            Root::Object => known::attribute(route, route.resource, 0, found, diags),
            Root::Let => known::of_let(route, uses, found, diags),
            Root::Extracted => known::extracted(route, found, diags),
            Root::Backend => instance::check(route, found, diags),
            Root::Request | Root::Mapping | Root::Response | Root::Tokens => {}
        }
    }
}

/// What of a variable is written where it is used: the index among the keys of its text.
pub(super) fn written_index(found: &Use, depth: usize) -> Option<usize> {
    depth.checked_sub(found.place.keys.len() - found.written)
}

/// The written text up to a key, and that key.
fn cut(found: &Use, written: usize) -> (String, String) {
    let keys = written_keys(found);
    let mut owner = remedy::start(&found.text).to_owned();
    for key in &keys[..written] {
        owner.push('.');
        owner.push_str(&remedy::key(key));
    }
    (owner, keys[written].to_owned())
}

/// The written text with another key at this place.
pub(super) fn with_key(found: &Use, written: usize, key: &str) -> String {
    let (mut text, _) = cut(found, written);
    let after = &written_keys(found)[written + 1..];
    for key in std::iter::once(&key).chain(after) {
        text.push('.');
        text.push_str(&remedy::key(key));
    }
    text
}

fn written_keys(found: &Use) -> Vec<&str> {
    let keys = &found.place.keys;
    keys[keys.len() - found.written..]
        .iter()
        .map(|key| match key {
            Key::Name(name) => &**name,
            Key::Item(_) => "*",
        })
        .collect()
}

/// Why a variable may be absent, in words that end a sentence, and how to make it always there.
struct Reason {
    why: String,
    otherwise: String,
}

fn may_be_absent(found: &Use, reason: Reason, example: Option<&str>) -> Diagnostic {
    Diagnostic::error(
        codes::OPTIONAL_FIELD,
        found.span,
        format!("`{}` may be absent: {}", found.text, reason.why),
    )
    .help(remedy::of_absence(found, example, &reason.otherwise))
}

/// A guard against what cannot happen. A shared piece may need it for another route.
fn redundant(route: &Route<'_>, found: &Use, why: &str, diags: &mut Diagnostics) {
    let own = route.own;
    if found.span.file != own.file || found.span.start < own.start || found.span.end > own.end {
        return;
    }
    let text = &found.text;
    let (word, help) = match found.absence {
        Absence::Optional => (
            "optional",
            format!("drop the `optional`: `{text}` alone does the same"),
        ),
        Absence::Default => (
            "default",
            format!("drop the `default`: `{text}` alone does the same"),
        ),
        Absence::Has => ("has", "it always holds: drop the condition".to_owned()),
        Absence::Fault | Absence::Around => return,
    };
    diags.push(
        Diagnostic::warning(
            codes::ALWAYS_PRESENT,
            found.span,
            format!("`{text}` is always there, and `{word}` asks for nothing: {why}"),
        )
        .help(help),
    );
}

fn name_at(found: &Use, index: usize) -> Option<&str> {
    match found.place.keys.get(index)? {
        Key::Name(name) => Some(name),
        Key::Item(_) => None,
    }
}

/// Whether the facts of its place say that the first keys of a variable are there.
fn is_present(found: &Use, keys: usize) -> bool {
    are_facts(found, &found.place, &found.place.keys[..keys])
}

/// The same; or that everything is there that the text which makes it, compiled as `field`, asks for or has
/// as `optional`.
fn is_granted(found: &Use, uses: &[Use], field: &str, keys: usize) -> bool {
    let mut behind = uses
        .iter()
        .filter(|other| *other.field == *field)
        .filter(|other| !matches!(other.absence, Absence::Fault | Absence::Default))
        .peekable();
    is_present(found, keys)
        || behind.peek().is_some()
            && behind.all(|other| {
                matches!(other.absence, Absence::Optional | Absence::Has)
                    && are_facts(found, &other.place, &other.place.keys)
            })
}

fn are_facts(found: &Use, place: &Place, keys: &[Key]) -> bool {
    found.facts.iter().any(|fact| match fact {
        Fact::Present(known) | Fact::Is(known, _) | Fact::IsNot(known, _) => {
            known.is_within(place.root, keys)
        }
        Fact::Absent(_) => false,
    })
}
