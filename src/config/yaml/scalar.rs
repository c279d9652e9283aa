//! What a scalar means, by the YAML 1.2 core schema less its traps, and where its text stands.

use serde_json::Number;
use serde_yaml::granit_parser::ScalarStyle;

use crate::document::{Kind, Span};

/// What a plain scalar means by the core schema; `None`: text.
pub(super) fn resolve(text: &str) -> Option<Kind> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Some(Kind::Null),
        "true" | "True" | "TRUE" => return Some(Kind::Bool(true)),
        "false" | "False" | "FALSE" => return Some(Kind::Bool(false)),
        _ => {}
    }
    if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.')) {
        return None;
    }
    // JSON's grammar is the core schema's but for `+5`, `.5` and `5.`.
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let lead = if digits.starts_with('.') { "0" } else { "" };
    let tail = if digits.ends_with('.') { "0" } else { "" };
    let json = format!("{sign}{lead}{digits}{tail}");
    serde_json::from_str::<Number>(&json).ok().map(Kind::Number)
}

/// What to write instead of a plain text that YAML 1.1 and its readers take for a boolean or a
/// number.
pub(super) fn trap(text: &str) -> Option<&'static str> {
    let is_one_of = |words: [&str; 2]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["yes", "on"]) {
        return Some("quote it, or write `true`");
    }
    if is_one_of(["no", "off"]) {
        return Some("quote it, or write `false`");
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let number = digits.starts_with(|c: char| c.is_ascii_digit())
        && (digits.chars().all(|c| c.is_ascii_digit() || c == '_')
            || is_radix(digits, "0x", 16)
            || is_radix(digits, "0o", 8));
    let special = [".inf", ".nan"]
        .iter()
        .any(|word| digits.eq_ignore_ascii_case(word));
    (number || special || is_sexagesimal(digits)).then_some("quote it")
}

fn is_radix(text: &str, prefix: &str, radix: u32) -> bool {
    text.strip_prefix(prefix)
        .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_digit(radix)))
}

/// `22:30`, which YAML 1.1 reads as 1350, and so `52:54:00:12:34:56`.
fn is_sexagesimal(text: &str) -> bool {
    let mut parts = text.split(':');
    let digits = |part: &str| part.chars().all(|c| c.is_ascii_digit());
    let first = parts.next().is_some_and(|first| {
        digits(first) && first.starts_with(|c: char| ('1'..='9').contains(&c))
    });
    let mut rest = parts.peekable();
    first
        && rest.peek().is_some()
        && rest.all(|part| {
            digits(part)
                && part.parse::<u8>().is_ok_and(|sixtieths| sixtieths < 60)
                && part.len() < 3
        })
}

/// Where `text` stands byte for byte inside the scalar that was written at `span`.
pub(super) fn verbatim_at(source: &str, span: Span, text: &str, style: ScalarStyle) -> Option<u32> {
    let start = span.start as usize;
    let at = match style {
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => start + 1,
        ScalarStyle::Plain => start,
        // A block scalar's place begins behind its header line; the indentation of a second line
        // keeps it from standing there byte for byte.
        ScalarStyle::Literal | ScalarStyle::Folded => start,
    };
    source[at..].starts_with(text).then(|| {
        // Sources are bounded far below 4 GiB (`source::MAX_FILE`).
        u32::try_from(at).unwrap_or(u32::MAX)
    })
}
