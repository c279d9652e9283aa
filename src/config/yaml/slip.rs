//! What YAML reads without a word and hardly anybody means: a comment inside of a value, a comma that
//! ends one, quotes of a word processor, blanks that are none, an anchor that nothing repeats.
//!
//! Where YAML then reads nothing at all, it is an error, and the text that was meant is read on; the
//! rest are warnings.

use serde_yaml::granit_parser::ScalarStyle;

use crate::config::codes;
use crate::diagnostics::Diagnostic;
use crate::document::{FileId, Span};

/// Quotes that a word processor or a web page puts where `"` or `'` was typed.
const CURLY: [char; 10] = [
    '\u{201c}', '\u{201d}', '\u{201e}', '\u{201f}', '\u{2018}', '\u{2019}', '\u{201a}', '\u{ab}',
    '\u{bb}', '\u{ff02}',
];

/// Characters that look like a blank or like nothing, with their names.
const INVISIBLE: [(char, &str); 10] = [
    ('\u{a0}', "a no-break space"),
    ('\u{ad}', "a soft hyphen"),
    ('\u{2007}', "a figure space"),
    ('\u{200b}', "a zero-width space"),
    ('\u{200c}', "a zero-width non-joiner"),
    ('\u{200d}', "a zero-width joiner"),
    ('\u{202f}', "a narrow no-break space"),
    ('\u{2060}', "a word joiner"),
    ('\u{3000}', "an ideographic space"),
    ('\u{feff}', "a byte order mark"),
];

/// A text without quotes that begins with a quote which YAML does not know.
pub(super) fn curly_quote(text: &str, span: Span) -> Option<Diagnostic> {
    let first = text.chars().next().filter(|c| CURLY.contains(c))?;
    Some(
        Diagnostic::warning(
            codes::YAML_TRAP,
            span,
            format!("`{first}` is no quote to YAML: it becomes a part of the text"),
        )
        .label("write \" or '"),
    )
}

/// The first invisible character of a plain text or key that stands at `start`.
pub(super) fn invisible(text: &str, span: Span, is_key: bool) -> Option<Diagnostic> {
    let (at, c, name) = text.char_indices().find_map(|(at, c)| {
        let (_, name) = INVISIBLE.iter().find(|(known, _)| *known == c)?;
        // Between the words of a text it is how some languages are written.
        let inside = c == '\u{3000}' && !is_key && !text.starts_with(c) && !text.ends_with(c);
        (!inside).then_some((at, c, name))
    })?;
    let start = span.start as usize + at;
    let place = match span.end as usize >= start + c.len_utf8() {
        true => Span::new(span.file, start, start + c.len_utf8()),
        false => span,
    };
    let message = format!(
        "an invisible character stands here: {name}, U+{:04X}",
        u32::from(c)
    );
    let diagnostic = match is_key {
        true => Diagnostic::error(codes::YAML_INVISIBLE, place, message),
        false => Diagnostic::warning(codes::YAML_INVISIBLE, place, message),
    };
    Some(
        diagnostic.help(
            "type the line anew, with ordinary blanks; quote a text that needs the character",
        ),
    )
}

/// The text with ordinary blanks, or none, for what is invisible.
pub(super) fn visible(text: &str) -> String {
    let shown: String = text
        .chars()
        .map(|c| match INVISIBLE.iter().any(|(known, _)| *known == c) {
            true => ' ',
            false => c,
        })
        .collect();
    shown.trim().to_owned()
}

/// A comment right behind a plain value, without a blank behind its `#`: `color: #fff`, `name: a #1`.
/// `at` is where the value ends.
pub(super) fn comment_behind(file: FileId, source: &str, at: usize) -> Option<Span> {
    let rest = source.get(at..)?;
    let line = &rest[..rest.find('\n').unwrap_or(rest.len())];
    let comment = line.trim_start_matches([' ', '\t']);
    let blank = comment.len() < line.len();
    let behind = comment.strip_prefix('#')?;
    let is_meant = behind.is_empty() || behind.starts_with([' ', '\t', '#', '!', '-', '=', '\r']);
    (blank && !is_meant).then(|| {
        let start = at + line.len() - comment.len();
        Span::new(file, start, start + comment.trim_end().len())
    })
}

/// What to say of such a comment; `instead`: it stands where the value belongs.
pub(super) fn swallowed(comment: Span, instead: bool) -> Diagnostic {
    let label = "quote the whole value; a comment has a blank behind its `#`";
    let diagnostic = match instead {
        true => Diagnostic::error(
            codes::YAML_TRAP,
            comment,
            "this is a comment to YAML, so there is no value",
        ),
        false => Diagnostic::warning(
            codes::YAML_TRAP,
            comment,
            "this is a comment to YAML, and no part of the value before it",
        ),
    };
    diagnostic.label(label)
}

/// A key between braces that has no value: `{ ports: 80, 443 }`, `{a:1}`.
pub(super) fn lone_key(
    key: &str,
    style: ScalarStyle,
    span: Span,
    source: &str,
) -> Option<Diagnostic> {
    let next = source.get(span.end as usize..)?.trim_start().chars().next();
    if style != ScalarStyle::Plain || !matches!(next, Some(',' | '}')) {
        return None;
    }
    // An expression without quotes is a map in a map, and is reported as what it is.
    if source[..span.start as usize].trim_end().ends_with("{{") {
        return None;
    }
    let colon = key.find(':').filter(|at| *at > 0);
    Some(
        Diagnostic::error(
            codes::YAML_TRAP,
            span,
            format!("`{key}` is a key without a value here"),
        )
        .label(match colon {
            Some(_) => "a blank belongs behind the colon",
            None => "a comma ends a value between braces: quote a text that holds one",
        }),
    )
}

/// A number whose last digit is a zero behind the point: as a number it has none.
pub(super) fn loses_its_zero(text: &str) -> bool {
    let Some((whole, digits)) = text.split_once('.') else {
        return false;
    };
    whole.starts_with(|c: char| ('1'..='9').contains(&c))
        && whole.chars().all(|c| c.is_ascii_digit())
        && digits.len() > 1
        && digits.ends_with('0')
        && digits.chars().all(|c| c.is_ascii_digit())
}

/// Where an anchor is written, given where the value behind it begins.
pub(super) fn anchor_before(file: FileId, source: &str, start: usize) -> Option<Span> {
    let mut end = (start + 1).min(source.len());
    while !source.is_char_boundary(end) {
        end += 1;
    }
    let at = source[..end].rfind('&')?;
    let name = &source[at..];
    let length = name
        .find(|c: char| c.is_whitespace() || matches!(c, ',' | '[' | ']' | '{' | '}'))
        .unwrap_or(name.len());
    Some(Span::new(file, at, at + length))
}

/// An anchor that no alias repeats: most often a text that begins with `&`.
pub(super) fn idle_anchor(span: Span, source: &str) -> Diagnostic {
    let name = &source[span.start as usize..span.end as usize];
    Diagnostic::warning(
        codes::YAML_TRAP,
        span,
        format!("`{name}` is an anchor to YAML, and no part of the value; nothing repeats it"),
    )
    .label("quote a text that begins with `&`, or remove this")
}

/// An anchor with nothing behind it.
pub(super) fn empty_anchor(span: Span, source: &str) -> Diagnostic {
    let name = &source[span.start as usize..span.end as usize];
    Diagnostic::error(
        codes::YAML_TRAP,
        span,
        format!("`{name}` is an anchor to YAML, so there is no value"),
    )
    .label("quote a text that begins with `&`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(source: &str, part: &str) -> Span {
        let at = source.find(part).unwrap();
        Span::new(FileId(0), at, at + part.len())
    }

    #[test]
    fn a_comment_is_meant_where_a_blank_or_another_sign_follows() {
        let found = |source: &str, value: &str| {
            let end = place(source, value).end as usize;
            comment_behind(FileId(0), source, end)
                .map(|span| source[span.start as usize..span.end as usize].to_owned())
        };
        assert_eq!(found("a: b #1 c \nd: e", "b"), Some("#1 c".to_owned()));
        assert_eq!(found("a: b\t#c\r\n", "b"), Some("#c".to_owned()));
        for source in [
            "a: b # c\n",
            "a: b #\n",
            "a: b ## c",
            "a: b #! c",
            "a: b #-- c",
            "a: b\n#c\n",
        ] {
            assert_eq!(found(source, "b"), None, "{source}");
        }
        // Without a blank before it, `#` is a part of the value, and no comment at all.
        assert_eq!(found("a: b#c\n", "b#c"), None);
    }

    #[test]
    fn a_key_between_braces_needs_a_value() {
        let source = "{ ports: 80, 443, a:1, b: , c: 1 }";
        let lone = |key: &str| lone_key(key, ScalarStyle::Plain, place(source, key), source);
        assert!(lone("443").is_some());
        let label = lone("a:1").unwrap().label.unwrap();
        assert!(label.contains("colon"), "{label}");
        assert!(lone("ports").is_none() && lone("b").is_none() && lone("c").is_none());
        assert!(
            lone_key(
                "443",
                ScalarStyle::SingleQuoted,
                place(source, "443"),
                source
            )
            .is_none()
        );
        let template = "{{ body.x }}";
        let key = place(template, "body.x");
        assert!(lone_key("body.x", ScalarStyle::Plain, key, template).is_none());
    }

    #[test]
    fn versions_lose_a_zero_and_other_numbers_do_not() {
        for text in ["1.10", "2.300", "10.0000"] {
            assert!(loses_its_zero(text), "{text}");
        }
        for text in [
            "1.0", "0.10", "1.1", "10", "-1.10", "1.10e3", "1.2.10", "1_0.10",
        ] {
            assert!(!loses_its_zero(text), "{text}");
        }
    }

    #[test]
    fn an_invisible_character_is_pointed_at_and_taken_out() {
        let source = "x: a\u{a0}b";
        let found = invisible("a\u{a0}b", place(source, "a\u{a0}b"), false).unwrap();
        assert_eq!(found.span, Some(place(source, "\u{a0}")));
        assert!(found.message.contains("a no-break space, U+00A0"));
        assert_eq!(visible("\u{a0}\u{a0}site"), "site");
        let span = Span::default();
        assert!(invisible("一\u{3000}二", span, false).is_none());
        assert!(invisible("一\u{3000}", span, false).is_some());
        assert!(invisible("一\u{3000}二", span, true).is_some());
    }
}
