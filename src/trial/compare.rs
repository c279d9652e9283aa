//! What is expected, laid beside what came: every difference with its place, its path and both values.
//!
//! Numbers are compared by value with all their digits, as everywhere; `"*"` stands for any value.

use serde_json::Value;

use crate::document::{Entry, Kind, Node, Span};
use crate::transform::same_value;

/// Stands for any value.
pub(super) const ANY: &str = "*";

/// A value that is longer is shown by its beginning.
const SHOWN: usize = 300;

/// One thing that is not as an example says.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Of the expectation: the very leaf.
    pub span: Span,
    /// Which part of the run, as a path: `call.body.network.name`.
    pub path: String,
    pub expected: String,
    pub got: String,
}

impl Difference {
    pub(super) fn new(
        span: Span,
        path: impl Into<String>,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self {
            span,
            path: path.into(),
            expected: expected.into(),
            got: got.into(),
        }
    }

    /// In one line: ``call.body.name: expected "a", got "b"``.
    pub fn line(&self) -> String {
        format!(
            "{}: expected {}, got {}",
            self.path, self.expected, self.got
        )
    }
}

/// Whether nothing but what is said may be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// A key that is not said is a difference.
    Refused,
    Ignored,
}

/// Compares a value with what is written of it.
pub(super) fn compare(
    expected: &Node,
    got: Option<&Value>,
    rest: Rest,
    path: &str,
    found: &mut Vec<Difference>,
) {
    let Some(got) = got else {
        let wanted = shown(&expected.to_json());
        found.push(Difference::new(expected.span, path, wanted, "nothing"));
        return;
    };
    match (&expected.kind, got) {
        (Kind::Text(scalar), _) if scalar.text == ANY => {}
        (Kind::Map(entries), Value::Object(members)) => {
            for entry in entries {
                let path = step(path, &entry.key);
                match members.get(&entry.key) {
                    Some(got) => compare(&entry.value, Some(got), rest, &path, found),
                    None => found.push(absent(entry, path)),
                }
            }
            let said = |key: &String| entries.iter().any(|entry| entry.key == *key);
            if rest == Rest::Refused {
                for (key, value) in members.iter().filter(|(key, _)| !said(key)) {
                    let path = step(path, key);
                    found.push(Difference::new(
                        expected.span,
                        path,
                        "nothing",
                        shown(value),
                    ));
                }
            }
        }
        (Kind::List(wanted), Value::Array(items)) => {
            for (index, node) in wanted.iter().enumerate() {
                compare(
                    node,
                    items.get(index),
                    rest,
                    &format!("{path}[{index}]"),
                    found,
                );
            }
            for (index, value) in items.iter().enumerate().skip(wanted.len()) {
                let path = format!("{path}[{index}]");
                found.push(Difference::new(
                    expected.span,
                    path,
                    "nothing",
                    shown(value),
                ));
            }
        }
        _ => {
            let wanted = expected.to_json();
            if !same_value(&wanted, got) {
                found.push(Difference::new(
                    expected.span,
                    path,
                    shown(&wanted),
                    shown(got),
                ));
            }
        }
    }
}

/// A key that is expected and not there: the place is the key's own.
fn absent(entry: &Entry, path: String) -> Difference {
    let wanted = shown(&entry.value.to_json());
    Difference::new(entry.key_span, path, wanted, "nothing")
}

/// Compares texts that are not JSON, line by line.
pub(super) fn compare_text(
    expected: &str,
    got: &str,
    span: Span,
    path: &str,
    found: &mut Vec<Difference>,
) {
    // A block scalar of YAML and a file both end with a line end; it says nothing.
    let (expected, got) = (expected.trim_end_matches('\n'), got.trim_end_matches('\n'));
    if expected == ANY || expected == got {
        return;
    }
    let differs = expected.lines().zip(got.lines()).position(|(a, b)| a != b);
    let first = differs.unwrap_or_else(|| expected.lines().count().min(got.lines().count()));
    let line = |text: &str| match text.lines().nth(first) {
        Some(line) => shown(&Value::from(line)),
        None => "nothing".to_owned(),
    };
    let path = match expected.lines().count().max(got.lines().count()) {
        1 => path.to_owned(),
        _ => format!("{path} line {}", first + 1),
    };
    found.push(Difference::new(span, path, line(expected), line(got)));
}

/// Whether a text is the one expected.
pub(super) fn is(expected: &str, got: &str) -> bool {
    expected == ANY || expected == got
}

/// One step into a value; a name that is none of a variable's is quoted.
fn step(path: &str, key: &str) -> String {
    let plain = !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_alphanumeric() || "_-$@".contains(c));
    match plain {
        true => format!("{path}.{key}"),
        false => format!("{path}[{}]", Value::from(key)),
    }
}

/// A value on one line.
pub(super) fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}\u{2026}", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::yaml;
    use crate::diagnostics::Diagnostics;
    use crate::document::FileId;
    use serde_json::json;

    fn differences(expected: &str, got: &Value, rest: Rest) -> Vec<String> {
        let mut diags = Diagnostics::default();
        let node = yaml::parse(FileId(0), expected, &mut diags).unwrap();
        assert_eq!(diags.errors(), 0);
        let mut found = Vec::new();
        compare(&node, Some(got), rest, "body", &mut found);
        found.iter().map(Difference::line).collect()
    }

    #[test]
    fn equal_values_have_no_difference() {
        let got = json!({ "a": 1.0, "b": [null, "x"], "id": "any" });
        let expected = "{ a: 1, b: [null, x], id: \"*\" }";
        assert_eq!(differences(expected, &got, Rest::Refused), [""; 0]);
    }

    #[test]
    fn each_difference_is_a_leaf() {
        let got = json!({ "net": { "name": "b", "tags": [1, 2] }, "more": true });
        let expected = "{ net: { name: a, tags: [1], mtu: 9 }, gone: \"*\" }";
        assert_eq!(
            differences(expected, &got, Rest::Refused),
            [
                "body.net.name: expected \"a\", got \"b\"",
                "body.net.tags[1]: expected nothing, got 2",
                "body.net.mtu: expected 9, got nothing",
                "body.gone: expected \"*\", got nothing",
                "body.more: expected nothing, got true",
            ]
        );
        assert_eq!(differences("{ more: true }", &got, Rest::Ignored), [""; 0]);
    }

    #[test]
    fn a_number_is_no_text_and_null_is_a_value() {
        let got = json!({ "port": "443", "note": null });
        assert_eq!(
            differences("{ port: 443, note: null }", &got, Rest::Refused),
            ["body.port: expected 443, got \"443\""]
        );
    }

    #[test]
    fn texts_differ_by_line() {
        let mut found = Vec::new();
        compare_text("a\nb\n", "a\nc", Span::default(), "body", &mut found);
        assert_eq!(found[0].line(), "body line 2: expected \"b\", got \"c\"");
        found.clear();
        compare_text("a\n", "a", Span::default(), "body", &mut found);
        assert_eq!(found, []);
    }
}
