//! The mistakes that end a file's reading, named for what they probably are: an expression without
//! quotes, a tab, a bracket that was never closed.

use serde_yaml::granit_parser::{ErrorKind, ScanError};

use super::MAX_DEPTH;
use crate::config::codes;
use crate::diagnostics::Diagnostic;
use crate::document::{FileId, Span};

/// `a: {{ x }}`.
pub(super) fn quote_template(span: Span) -> Diagnostic {
    Diagnostic::error(
        codes::UNQUOTED_TEMPLATE,
        span,
        "an expression that begins a value must be quoted: `{` begins a map in YAML",
    )
    .label("quote it")
    .help("write `\"{{ ... }}\"`, or '{{ ... }}' where the text itself has double quotes")
}

/// The one diagnostic of a file that is not YAML.
pub(super) fn syntax_error(file: FileId, text: &str, error: &ScanError) -> Diagnostic {
    let at = error.marker().byte_offset().unwrap_or(0).min(text.len());
    if let Some(found) = unquoted_template_near(text, at) {
        return quote_template(Span::new(file, found.start, found.end));
    }
    if let Some(known) = slip_near(file, text, at, &error.kind().to_string()) {
        return known;
    }
    match error.kind() {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInIndentation
        | ErrorKind::TabInPlainScalar => {
            // The parser's place may be the beginning of the line or of the text in which it stands.
            let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
            let tab = text[line..].find('\t').map(|tab| line + tab);
            Diagnostic::error(
                codes::YAML_TAB,
                tab.map_or(Span::new(file, at, at), |tab| Span::new(file, tab, tab + 1)),
                "a tab stands where YAML wants blanks",
            )
            .label("write blanks")
        }
        ErrorKind::RecursionLimitExceeded => Diagnostic::error(
            codes::YAML_BUDGET,
            Span::new(file, at, at),
            format!("maps and lists stand more than {MAX_DEPTH} deep in each other"),
        ),
        kind => {
            let end = text[at..].chars().next().map_or(at, |c| at + c.len_utf8());
            let end = if text[at..end].trim().is_empty() {
                at
            } else {
                end
            };
            let words = format!("this is not YAML: {kind}");
            let help = match text[at..].chars().next() {
                Some('@' | '`' | '%' | '&' | '*' | '!' | ',') => BEGINS_WITH_A_SIGN,
                _ => remedy(&words),
            };
            Diagnostic::error(codes::YAML_SYNTAX, Span::new(file, at, end), words).help(help)
        }
    }
}

const BEGINS_WITH_A_SIGN: &str =
    "a text that begins with @, `, %, &, *, !, a comma, | or > is quoted";

/// Mistakes whose place is not where the parser gave up.
fn slip_near(file: FileId, text: &str, at: usize, words: &str) -> Option<Diagnostic> {
    let span = |start: usize, end: usize| Span::new(file, start, end);
    if words.contains("unknown escape") {
        let bad = bad_escape(&text[at..])?;
        let problem = "in double quotes `\\` begins an escape, and this is none";
        let start = at + bad;
        let end = text[start + 1..]
            .chars()
            .next()
            .map_or(start + 1, |c| start + 1 + c.len_utf8());
        return Some(
            Diagnostic::error(codes::YAML_SYNTAX, span(start, end), problem)
                .label("write the text in single quotes, where `\\` is itself")
                .help("so stands a regular expression: '[0-9]+\\.[0-9]+'"),
        );
    }
    let line = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    if words.contains("simple key expected") {
        return not_a_key(file, text, line);
    }
    if !words.contains("mapping values are not allowed") {
        return None;
    }
    if let Some(first) = text[line..at].find(": ") {
        let value = line + first + 2;
        let end = text[value..]
            .find('\n')
            .map_or(text.len(), |end| value + end);
        let end = value + text[value..end].trim_end().len();
        return Some(
            Diagnostic::error(
                codes::YAML_SYNTAX,
                span(value, end),
                "a `: ` inside of a value makes it a map",
            )
            .label("quote it"),
        );
    }
    // The line above was no key, and so swallowed this one.
    let above = text[..line.checked_sub(1)?]
        .rfind('\n')
        .map_or(0, |newline| newline + 1);
    not_a_key(file, text, above)
}

/// A line that should begin with a key, and whose colon or whose blank behind it is missing.
fn not_a_key(file: FileId, text: &str, line: usize) -> Option<Diagnostic> {
    let span = |start: usize, end: usize| Span::new(file, start, end);
    let written = text[line..].lines().next()?;
    let key = written.trim_start().trim_start_matches("- ").trim_end();
    let start = line + written.find(key)?;
    let is_key = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
    };
    match key.split_once(':') {
        Some((name, value))
            if is_key(name) && !value.starts_with([' ', '\t', '/']) && !value.is_empty() =>
        {
            Some(
                Diagnostic::error(
                    codes::YAML_SYNTAX,
                    span(start + name.len(), start + name.len() + 1),
                    format!("`{name}:` wants a blank behind the colon: without one this is a text"),
                )
                .label("write a blank behind it"),
            )
        }
        None if is_key(key) => Some(
            Diagnostic::error(
                codes::YAML_SYNTAX,
                span(start, start + key.len()),
                format!("`{key}` has no colon, so it is no key"),
            )
            .label(format!("write `{key}:`")),
        ),
        _ => None,
    }
}

/// The first backslash of a text in double quotes that escapes nothing YAML knows (YAML 1.2, 5.7).
fn bad_escape(quoted: &str) -> Option<usize> {
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            let (_, next) = chars.next()?;
            if !"0abt\tnvfre \"/\\N_LPxuU\n\r".contains(next) {
                return Some(at);
            }
        }
    }
    None
}

/// What most probably helps; the parser's words say what it met, not what to type.
fn remedy(words: &str) -> &'static str {
    let has = |part: &str| words.contains(part);
    if has("mapping values are not allowed") {
        "a line's keys begin in one column, below a key that has no value of its own; a text with `: ` in it is quoted"
    } else if has("block collection") || has("'-' indicator") || has("block mapping") {
        "the entries of one map or list begin in one column, and a list's entries each with `- `; look at the lines above too"
    } else if has("unexpected character") {
        BEGINS_WITH_A_SIGN
    } else if has("block scalar") {
        "`|` and `>` announce a text on the lines below; a text that begins with one of them is quoted"
    } else if has("block sequence entries") {
        "the entries of a list begin on lines of their own; a text that begins with `- ` is quoted"
    } else if has("trailing content") {
        "a quote inside of a quoted text ends it: write the text in quotes of the other kind, or `''` for `'`"
    } else if has("flow") || has("quote") || has("unclosed") {
        "look for a bracket, a brace or a quote that is not closed, above this line too"
    } else {
        "look at the indentation and the quotes of this line and of the one above"
    }
}

/// An unquoted `{{` that begins a value on the line of an error or on one of the two before it.
fn unquoted_template_near(text: &str, at: usize) -> Option<std::ops::Range<usize>> {
    let mut end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    for _ in 0..3 {
        let start = text[..end].rfind('\n').map_or(0, |newline| newline + 1);
        let line = &text[start..end];
        for (open, _) in line.match_indices("{{") {
            let before = line[..open].trim_end_matches(' ');
            let begins_value = before.is_empty() || before.ends_with([':', '-', '[', ',']);
            if begins_value && !before.contains('#') {
                let close = line[open..].find("}}").map_or(line.len(), |c| open + c + 2);
                return Some(start + open..start + close);
            }
        }
        end = start.checked_sub(1)?;
    }
    None
}
