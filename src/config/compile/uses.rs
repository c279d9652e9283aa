//! Each variable of a route against what is known of it: the request's schemas, the parents, what is
//! recorded, the backends.
//!
//! A variable that cannot exist is an error with the nearest that does. One that may be absent where nothing
//! provides for that is an error too, with the ways out: the request would fail, and only some requests would.

mod remedy;

use super::codes;
use super::names::{Names, Surroundings};
use super::presence::{self, Why};
use super::recorded::Attribute;
use super::request::RequestSchemas;
use crate::diagnostics::codes::UNKNOWN_VARIABLE;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Node, Span};
use crate::plan::Backend;
use crate::transform::Root;
use crate::transform::uses::{Absence, Fact, Key, Landing, Place, Use, Wants};

/// What the variables of one route are held against.
pub(super) struct Route<'a> {
    pub names: &'a Names,
    pub schemas: &'a RequestSchemas,
    pub around: &'a Surroundings<'a>,
    pub kind: &'a str,
    /// The resource of the file: that of `object`.
    pub resource: &'a str,
    /// The resource of each parent.
    pub parents: &'a [(&'a str, &'a str)],
    /// The route's own text; what stands elsewhere is shared with other routes.
    pub own: Span,
    /// Whether the route deletes, and so may end without an answer to take anything from.
    pub deletes: bool,
}

/// Checks every use that the route's compilation noted.
pub(super) fn check(route: &Route<'_>, uses: &[Use], diags: &mut Diagnostics) {
    for found in uses {
        match found.place.root {
            Root::Body | Root::Query | Root::Header => check_request(route, found, diags),
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
            Root::Parents => check_parent(route, uses, found, diags),
            Root::Object => check_attribute(route, route.resource, 0, found, diags),
            Root::Let => check_let(route, uses, found, diags),
            Root::Extracted => check_extracted(route, found, diags),
            Root::Backend => check_backend(route, found, diags),
            Root::Request | Root::Mapping | Root::Response | Root::Tokens => {}
        }
    }
}

fn check_request(route: &Route<'_>, found: &Use, diags: &mut Diagnostics) {
    let Some(compiled) = route.schemas.of_root(found.place.root) else {
        return;
    };
    let schema = &compiled.closed;
    let keys = &found.place.keys;
    if let Some(wrong) = presence::no_such(schema, keys) {
        // What is wrong in the list of a loop is told where the loop names it.
        if let Some(written) = written_index(found, wrong.depth) {
            diags.push(no_such(found, written, &wrong.why));
        }
        return;
    }
    if check_type(schema, found, diags) {
        return;
    }
    match found.absence {
        Absence::Fault => {
            let absent = presence::may_be_absent(schema, found);
            let Some((absent, _)) = absent
                .and_then(|absent| Some((written_index(found, absent.depth)?, absent)))
                .map(|(written, absent)| (describe_absent(found, written, &absent), absent))
            else {
                return;
            };
            let example = presence::example_of(schema, keys);
            diags.push(may_be_absent(found, absent, example.as_deref()));
        }
        Absence::Optional | Absence::Default | Absence::Has => {
            if presence::is_always_there(schema, found) {
                redundant(route, found, "the schema requires it", diags);
            }
            check_fallback(schema, found, diags);
        }
        Absence::Around => {}
    }
}

/// What of a variable is written where it is used: the index among the keys of its text.
pub(super) fn written_index(found: &Use, depth: usize) -> Option<usize> {
    depth.checked_sub(found.place.keys.len() - found.written)
}

fn what(root: Root) -> &'static str {
    match root {
        Root::Query => "a query parameter that this route declares",
        Root::Header => "a header that this route declares",
        _ => "a field of this route's request body",
    }
}

fn no_such(found: &Use, written: usize, why: &Why) -> Diagnostic {
    let text = &found.text;
    let (owner, wrong) = cut(found, written);
    match why {
        Why::Unknown(known) => {
            let nearest = suggest::nearest(&wrong, known.iter().map(String::as_str));
            Diagnostic::error(
                codes::UNKNOWN_FIELD,
                found.span,
                format!("`{text}` is not {}", what(found.place.root)),
            )
            .did_you_mean(nearest.map(|near| with_key(found, written, near)).as_deref())
            .help(format!("declared here: {}", known.join(", ")))
        }
        Why::OfList => Diagnostic::error(
            codes::UNKNOWN_FIELD,
            found.span,
            format!("`{text}` is not {}: `{owner}` is a list", what(found.place.root)),
        )
        .help(format!(
            "walk its items: `$for: {owner}` with `$item`, in which `item.{wrong}` is a field of one; or take one by its number, `{owner}.0.{wrong}`"
        )),
        Why::OfScalar(word) => Diagnostic::error(
            codes::UNKNOWN_FIELD,
            found.span,
            format!(
                "`{text}` is not {}: `{owner}` is {}, which has no parts",
                what(found.place.root),
                type_word(word)
            ),
        ),
    }
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

fn type_word(word: &str) -> &'static str {
    match word {
        "string" => "text",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "an object",
        "null" => "null",
        _ => "a number",
    }
}

/// Reports a value that its position can never take.
fn check_type(schema: &Node, found: &Use, diags: &mut Diagnostics) -> bool {
    let field = &*found.field;
    let in_parameter = found.landing == Landing::Leaf
        && (field.starts_with("call.query.") || field.starts_with("call.form."));
    if found.wants == Wants::Anything && !in_parameter || found.absence == Absence::Has {
        return false;
    }
    let types = presence::types_of(schema, &found.place.keys);
    let Some(first) = types.first() else {
        return false;
    };
    let all = |words: &[&str]| types.iter().all(|word| words.contains(&word.as_str()));
    let none = |words: &[&str]| !types.iter().any(|word| words.contains(&word.as_str()));
    let text = &found.text;
    let is = type_word(first);
    let problem = match found.wants {
        Wants::Text if all(&["array", "object"]) => {
            let help = match first.as_str() {
                "array" => format!(
                    "make it text: `{{{{ join {text} ',' }}}}`, `{{{{ json {text} }}}}`; or name one item, `{text}.0`"
                ),
                _ => format!("name a field of it, or make it text: `{{{{ json {text} }}}}`"),
            };
            Diagnostic::error(
                codes::NOT_TEXT,
                found.span,
                format!("`{text}` is {is}, which has no text form"),
            )
            .help(help)
        }
        Wants::Anything if all(&["object"]) => Diagnostic::error(
            codes::NOT_TEXT,
            found.span,
            format!("`{text}` is {is}, which has no text form"),
        )
        .help(format!(
            "name a field of it, or make it text: `{{{{ json {text} }}}}`"
        )),
        Wants::List if none(&["array"]) => {
            let help = match first.as_str() {
                "string" => format!("a text of several parts becomes a list: `split {text} ','`"),
                _ => "name a field that the schema declares as `type: array`".to_owned(),
            };
            Diagnostic::error(
                codes::NOT_A_LIST,
                found.span,
                format!("`{text}` is {is}, not a list"),
            )
            .help(help)
        }
        Wants::Boolean if none(&["boolean"]) => Diagnostic::error(
            codes::NOT_A_CONDITION,
            found.span,
            format!("`{text}` is {is}, and a condition is true or false"),
        )
        .help(format!(
            "ask for its presence, `has {text}`, or compare it, such as `eq {text} {}`",
            match first.as_str() {
                "string" => "'a'",
                "array" => "[]",
                _ => "1",
            }
        )),
        _ => return false,
    };
    diags.push(problem);
    true
}

/// A `default` of another type than the field: a backend that gets either would get both.
fn check_fallback(schema: &Node, found: &Use, diags: &mut Diagnostics) {
    let (Absence::Default, Some(fallback), Landing::Leaf) =
        (found.absence, &found.fallback, found.landing)
    else {
        return;
    };
    if found.wants != Wants::Anything {
        return;
    }
    let is: &[&str] = match fallback {
        serde_json::Value::Null => return,
        serde_json::Value::Bool(_) => &["boolean"],
        serde_json::Value::Number(_) => &["number", "integer"],
        serde_json::Value::String(_) => &["string"],
        serde_json::Value::Array(_) => &["array"],
        serde_json::Value::Object(_) => &["object"],
    };
    let types = presence::types_of(schema, &found.place.keys);
    let Some(first) = types.first() else {
        return;
    };
    if types.iter().any(|word| is.contains(&word.as_str())) {
        return;
    }
    diags.push(
        Diagnostic::warning(
            codes::DEFAULT_OF_ANOTHER_TYPE,
            found.span,
            format!(
                "`{}` is {}, and its `default` is {}",
                found.text,
                type_word(first),
                type_word(is[0])
            ),
        )
        .help("the backend gets the one or the other; write a default of the field's own type"),
    );
}

/// Why a variable may be absent, in words that end a sentence, and how to make it always there.
struct Reason {
    why: String,
    otherwise: String,
}

fn describe_absent(found: &Use, written: usize, absent: &presence::Absent) -> Reason {
    let (owner, key) = cut(found, written);
    let schema = match found.place.root {
        Root::Query => "`request.query`",
        Root::Header => "`request.headers`",
        _ => "the request's schema",
    };
    if absent.null {
        return Reason {
            why: format!("the schema lets `{owner}` be null"),
            otherwise: format!(
                "or take `null` out of the type of `{owner}`: a request with it is refused then"
            ),
        };
    }
    if remedy::is_index(&key) {
        return Reason {
            why: format!("the schema lets `{owner}` be shorter"),
            otherwise: format!("or give `{owner}` a `minItems`: a shorter one is refused then"),
        };
    }
    let field = match owner.as_str() {
        "body" | "query" | "header" => format!("`{key}`"),
        _ => format!("`{owner}.{key}`"),
    };
    Reason {
        why: format!("{schema} does not require {field}"),
        otherwise: format!("or add `{key}` to `required`: a request without it is refused then"),
    }
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

fn check_parent(route: &Route<'_>, uses: &[Use], found: &Use, diags: &mut Diagnostics) {
    let Some(alias) = name_at(found, 0) else {
        return;
    };
    let optional = route
        .names
        .absent_parents
        .iter()
        .any(|known| **known == *alias);
    if optional {
        let field = format!("parents.{alias}.id");
        if found.is_bare() && !is_granted(found, uses, &field, 1) {
            let reason = Reason {
                why: format!("the `id` of `parents.{alias}` is `optional`"),
                otherwise: format!(
                    "or drop `optional` from `parents.{alias}.id`: a request that does not name it is refused then"
                ),
            };
            diags.push(may_be_absent(found, reason, None));
            return;
        }
    } else if matches!(name_at(found, 1), Some("cmp_id" | "backend_id" | "backend")) {
        redundant(
            route,
            found,
            "a request whose parent is not mapped is refused before",
            diags,
        );
    }
    let resource = route
        .parents
        .iter()
        .find(|(known, _)| *known == alias)
        .map(|(_, resource)| *resource);
    if let Some(resource) = resource {
        check_attribute(route, resource, 1, found, diags);
    }
}

/// Whether the facts of a place say that the first keys of a variable are there; or that everything is
/// there that its own text, compiled as `field`, has as `optional`.
fn is_granted(found: &Use, uses: &[Use], field: &str, keys: usize) -> bool {
    let present = |place: &Place, keys: &[Key]| {
        found.facts.iter().any(|fact| match fact {
            Fact::Present(known) | Fact::Is(known, _) | Fact::IsNot(known, _) => {
                known.is_within(place.root, keys)
            }
            Fact::Absent(_) => false,
        })
    };
    if present(&found.place, &found.place.keys[..keys]) {
        return true;
    }
    let mut behind = uses
        .iter()
        .filter(|other| *other.field == *field && other.absence != Absence::Fault)
        .peekable();
    behind.peek().is_some()
        && behind.all(|other| {
            other.absence == Absence::Optional && present(&other.place, &other.place.keys)
        })
}

/// `attributes.NAME` of an object, behind so many keys.
fn check_attribute(
    route: &Route<'_>,
    resource: &str,
    before: usize,
    found: &Use,
    diags: &mut Diagnostics,
) {
    let (Some("attributes"), Some(name)) = (name_at(found, before), name_at(found, before + 1))
    else {
        return;
    };
    match route.around.recorded.attribute(resource, name) {
        Attribute::Always => {}
        Attribute::Unknown(known) => {
            let nearest = suggest::nearest(name, known.iter().copied());
            let help = match known.is_empty() {
                true => format!(
                    "write it below `attributes` of the `mapping` that creates a `{resource}`"
                ),
                false => format!("recorded of a `{resource}`: {}", known.join(", ")),
            };
            diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_ATTRIBUTE,
                    found.span,
                    format!("no route records an attribute `{name}` of a `{resource}`"),
                )
                .did_you_mean(
                    nearest
                        .map(|near| with_key(found, before + 1, near))
                        .as_deref(),
                )
                .help(help),
            );
        }
        Attribute::Sometimes(why) => {
            let granted = found.facts.iter().any(|fact| match fact {
                Fact::Present(known) | Fact::Is(known, _) | Fact::IsNot(known, _) => {
                    known.is_within(found.place.root, &found.place.keys[..before + 2])
                }
                Fact::Absent(_) => false,
            });
            if found.is_bare() && !granted {
                let reason = Reason {
                    why,
                    otherwise: "or record it wherever the object is created, without `optional`"
                        .to_owned(),
                };
                diags.push(may_be_absent(found, reason, None));
            }
        }
    }
}

fn check_let(route: &Route<'_>, uses: &[Use], found: &Use, diags: &mut Diagnostics) {
    let Some(name) = name_at(found, 0) else {
        return;
    };
    let optional = route.names.absent_lets.iter().any(|known| **known == *name);
    let field = format!("let.{name}");
    if optional && found.is_bare() && !is_granted(found, uses, &field, 1) {
        let reason = Reason {
            why: format!("`let.{name}` is absent where its `optional` is"),
            otherwise: format!("or give `let.{name}` a `default` where it is made"),
        };
        diags.push(may_be_absent(found, reason, None));
    }
}

fn check_extracted(route: &Route<'_>, found: &Use, diags: &mut Diagnostics) {
    let Some(name) = name_at(found, 0) else {
        return;
    };
    if found.field.starts_with("response.errors") {
        diags.push(
            Diagnostic::error(
                UNKNOWN_VARIABLE,
                found.span,
                format!(
                    "`{}` does not exist here: values are extracted from a success",
                    found.text
                ),
            )
            .help("take it from the answer itself, such as `{{ response.body.message }}`"),
        );
        return;
    }
    let granted = found.facts.iter().any(|fact| {
        matches!(fact, Fact::Present(known) if known.is_within(Root::Extracted, &found.place.keys[..1]))
    });
    if !found.is_bare() || granted {
        return;
    }
    let optional = route
        .names
        .absent_extracted
        .iter()
        .any(|known| **known == *name);
    let (why, otherwise) = if optional {
        (
            format!("its source `extract.{name}` is `optional: true`"),
            format!(
                "or drop `optional` from `extract.{name}`: an answer without it is 502 `extraction_failed` then"
            ),
        )
    } else if route.deletes && found.field.starts_with("reply") {
        (
            "a delete of what is gone already is done, and nothing is extracted then".to_owned(),
            "or leave it out".to_owned(),
        )
    } else {
        return;
    };
    diags.push(may_be_absent(found, Reason { why, otherwise }, None));
}

fn check_backend(route: &Route<'_>, found: &Use, diags: &mut Diagnostics) {
    let (Some(of @ ("vars" | "labels")), Some(name)) = (name_at(found, 0), name_at(found, 1))
    else {
        return;
    };
    let backends = route.around.of_kind(route.kind);
    let has = |backend: &Backend, name: &str| {
        let mut names = names_of(backend, of);
        names.any(|known| known == name)
    };
    let lacking: Vec<&str> = backends
        .iter()
        .filter(|(_, backend)| !has(backend, name))
        .map(|(_, backend)| &*backend.name)
        .collect();
    if lacking.is_empty() {
        return;
    }
    let one = match of {
        "vars" => "var",
        _ => "label",
    };
    if lacking.len() == backends.len() {
        let mut known: Vec<&str> = backends
            .iter()
            .flat_map(|(_, backend)| names_of(backend, of))
            .collect();
        known.sort_unstable();
        known.dedup();
        let nearest = suggest::nearest(name, known.iter().copied());
        let code = match of {
            "vars" => codes::UNKNOWN_VAR,
            _ => codes::UNKNOWN_LABEL,
        };
        let help = match known.is_empty() {
            true => format!(
                "add it below `{of}` of each backend of kind `{}`",
                route.kind
            ),
            false => format!("{of} of kind `{}`: {}", route.kind, known.join(", ")),
        };
        diags.push(
            Diagnostic::error(
                code,
                found.span,
                format!("no backend of kind `{}` has a {one} `{name}`", route.kind),
            )
            .did_you_mean(nearest.map(|near| with_key(found, 1, near)).as_deref())
            .help(help),
        );
    } else if found.is_bare() && !is_granted(found, &[], "", 2) {
        let listed: Vec<_> = lacking.iter().map(|name| format!("`{name}`")).collect();
        diags.push(
            Diagnostic::warning(
                codes::NOT_ON_EVERY_BACKEND,
                found.span,
                format!(
                    "{} of kind `{}` has no {one} `{name}`",
                    listed.join(", "),
                    route.kind
                ),
            )
            .label("a request that is sent there fails")
            .help(format!(
                "add it there, or write what is to become of it: {}",
                remedy::of_absence(found, None, "")
            )),
        );
    }
}

fn names_of<'b>(backend: &'b Backend, of: &str) -> impl Iterator<Item = &'b str> {
    let names = backend.scope[of].as_object();
    names.into_iter().flatten().map(|(name, _)| name.as_str())
}
