//! What to type where a variable may be absent: the ways out that the position allows, each with what
//! becomes of the request.

use crate::transform::uses::{Landing, Use, Wants};

/// Every way out, on one line.
pub(super) fn of_absence(found: &Use, example: Option<&str>, otherwise: &str) -> String {
    let (text, whole) = (&*found.text, &*found.expression);
    let value = example.unwrap_or(match found.wants {
        Wants::List => "[]",
        Wants::Boolean => "false",
        Wants::Text | Wants::Anything => "''",
    });
    let inside = with_default(whole, text, value);
    let optional = match whole == text {
        true => format!("optional {text}"),
        false => format!("optional ({whole})"),
    };
    // Without the id of what it is about, a request is about nothing.
    let is_id = &*found.field == "object" || found.field.ends_with(".cmp_id");
    let mut ways = match found.landing {
        _ if is_id => vec![format!("`{{{{ {inside} }}}}` puts a value in its place")],
        Landing::Path => vec![format!("`{{{{ {inside} }}}}` puts a value in its place")],
        Landing::Markup => vec![
            format!("`{{{{#if (has {text})}}}} ... {{{{/if}}}}` around it leaves that part out"),
            format!("`{{{{ {inside} }}}}` puts a value in its place"),
        ],
        Landing::Condition => vec![
            format!("`and (has {text}) ...` is false without it"),
            format!("`{inside}` puts a value in its place"),
        ],
        Landing::List => vec![
            format!("`{optional}` leaves the whole list out"),
            format!("`{inside}` makes an empty one"),
        ],
        Landing::Leaf | Landing::Text | Landing::Header | Landing::Line => vec![
            format!("`{{{{ {optional} }}}}` leaves {} out", holder(found)),
            format!("`{{{{ {inside} }}}}` puts a value in its place"),
        ],
    };
    if !otherwise.is_empty() {
        ways.push(otherwise.to_owned());
    }
    ways.join("; ")
}

/// The expression with a default for its variable.
fn with_default(whole: &str, text: &str, value: &str) -> String {
    if whole == text {
        return format!("default {text} {value}");
    }
    let word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '[' | ']' | '@' | '-');
    let at = whole.match_indices(text).find(|(at, _)| {
        !whole[..*at].ends_with(word) && !whole[at + text.len()..].starts_with(word)
    });
    match at {
        Some((at, _)) => format!(
            "{}(default {text} {value}){}",
            &whole[..at],
            &whole[at + text.len()..]
        ),
        None => format!("default ({whole}) {value}"),
    }
}

/// What vanishes with an absent value.
fn holder(found: &Use) -> &'static str {
    let field = &*found.field;
    let at = |prefix: &str| field.starts_with(prefix);
    match found.landing {
        Landing::Line => "the line",
        Landing::Header => "the header",
        _ if at("call.query.") => "the parameter",
        _ if at("call.form.") => "the form field",
        _ if at("parents.") => "the parent",
        _ if at("let.") => "the `let`",
        _ if at("select.labels.") => "the label",
        _ if at("response.errors") => "the detail",
        _ if at("call.body") || at("reply.body") => match ends_with_index(field) {
            true => "the item",
            false => "the key",
        },
        _ => "what holds it",
    }
}

fn ends_with_index(field: &str) -> bool {
    field.rsplit('.').next().is_some_and(is_index)
}

pub(super) fn is_index(key: &str) -> bool {
    !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit())
}

/// The first word of a variable: a namespace, or what a loop calls its item.
pub(super) fn start(text: &str) -> &str {
    text.split('.').next().unwrap_or(text)
}

/// A key as it is written in a variable.
pub(super) fn key(key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@' | '$');
    match !key.is_empty() && key.chars().all(plain) {
        true => key.to_owned(),
        false => format!("[{key}]"),
    }
}
