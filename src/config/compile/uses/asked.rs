//! `body.*`, `query.*` and `header.*` against the request's schemas.

use super::{Reason, Route, cut, may_be_absent, redundant, remedy, with_key, written_index};
use crate::config::compile::codes;
use crate::config::compile::presence::{self, Why};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::Node;
use crate::transform::Root;
use crate::transform::uses::{Absence, Fact, Landing, Use, Wants};

pub(super) fn check(route: &Route<'_>, found: &Use, diags: &mut Diagnostics) {
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
    check_words(schema, found, diags);
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

/// The words that the schema lets through and that the table of `map` does not have.
fn check_words(schema: &Node, found: &Use, diags: &mut Diagnostics) {
    let Some(table) = &found.table else { return };
    // Where a condition looks at the value itself, some words never come here.
    let narrowed = found.facts.iter().any(|fact| match fact {
        Fact::Is(place, _) | Fact::IsNot(place, _) => *place == found.place,
        Fact::Present(_) | Fact::Absent(_) => false,
    });
    let Some(values) = presence::values_of(schema, &found.place.keys).filter(|_| !narrowed) else {
        return;
    };
    let lost: Vec<&Node> = values
        .iter()
        .filter(|value| !table.map.has_word(&value.to_json()))
        .collect();
    let Some(first) = lost.first() else { return };
    let shown: Vec<String> = lost
        .iter()
        .map(|value| format!("`{}`", text_of(&value.to_json())))
        .collect();
    let words = table.map.entries.iter().map(|(word, _)| text_of(word));
    let words: Vec<String> = words.collect();
    let nearest = suggest::nearest(&text_of(&first.to_json()), words.iter().map(String::as_str));
    let mut said = Diagnostic::warning(
        codes::UNMAPPED_WORD,
        found.span,
        format!(
            "the request's schema admits {} for `{}`, and the map `{}` has no such word",
            shown.join(", "),
            found.text,
            table.name
        ),
    )
    .related(first.span, "it is admitted here")
    .help(format!(
        "a request with it is refused as 422 `unsafe_value`: add it to the map, or take it out of the schema; words of the map: {}",
        words.join(", ")
    ));
    if let Some(near) = nearest {
        said = said.label(format!("the nearest word of the map is `{near}`"));
    }
    diags.push(said);
}

fn text_of(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
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

fn what(root: Root) -> &'static str {
    match root {
        Root::Query => "a query parameter that this route declares",
        Root::Header => "a header that this route declares",
        _ => "a field of this route's request body",
    }
}
