//! A condition on a backend's answer: a map whose entries must all hold.

use http::{HeaderMap, HeaderName};
use regex::Regex;
use serde_json::Value;

use super::number::same_value;
use super::{JsonPath, Parts};
use crate::diagnostics::{Diagnostic, Diagnostics, codes, suggest};
use crate::document::{Entry, Kind, Node, Scalar};

/// An answer as conditions and sources see it.
#[derive(Clone, Copy, Debug)]
pub struct AnswerView<'a> {
    pub status: u16,
    pub headers: &'a HeaderMap,
    /// The body as JSON (parsed from XML or text where the route says so); `None` when it has none.
    pub body: Option<&'a Value>,
    pub text: &'a str,
    pub stderr: &'a str,
}

/// A compiled condition: `status`, JSONPaths, `text` (a regex), `header.<name>`; each against a
/// value, a list of values, or `present`.
#[derive(Debug)]
pub struct Condition {
    tests: Vec<Test>,
}

/// One entry of a condition.
#[derive(Debug)]
pub enum Test {
    Status(Expected),
    /// Holds when any selected node is what is expected.
    Json(JsonPath, Expected),
    /// Any of these matches the text or stderr; none at all asks for any text.
    Text(Vec<Regex>),
    Header(HeaderName, Expected),
}

/// What an entry wants.
#[derive(Debug)]
pub enum Expected {
    Present,
    AnyOf(Vec<Value>),
}

impl Condition {
    pub fn compile(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        let entries = match &node.kind {
            Kind::Map(entries) if !entries.is_empty() => entries,
            _ => {
                diags.push(
                    Diagnostic::error(
                        codes::BAD_CONDITION,
                        node.span,
                        format!("a condition is a map with entries, not {}", node.describe()),
                    )
                    .help("write what must hold, such as `status: 200` or `$.status: error`"),
                );
                return None;
            }
        };
        // Every entry is compiled, so that each is reported.
        let tests: Vec<_> = entries.iter().map(|entry| test(entry, diags)).collect();
        let tests = tests.into_iter().collect::<Option<_>>()?;
        Some(Self { tests })
    }

    pub fn holds(&self, answer: &AnswerView<'_>) -> bool {
        self.tests.iter().all(|test| test.holds(answer))
    }

    /// Whether it reads the parsed body.
    pub fn reads_body(&self) -> bool {
        self.paths().next().is_some()
    }

    /// What must all hold.
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// Notes what it reads of the answer's body.
    pub fn note_parts(&self, parts: &mut Parts) {
        self.paths().for_each(|path| parts.add_path(path));
    }

    /// The JSONPaths that it asks.
    pub fn paths(&self) -> impl Iterator<Item = &JsonPath> {
        self.tests.iter().filter_map(|test| match test {
            Test::Json(path, _) => Some(path),
            _ => None,
        })
    }
}

impl Test {
    fn holds(&self, answer: &AnswerView<'_>) -> bool {
        match self {
            Test::Status(expected) => expected.holds_of(&Value::from(answer.status)),
            Test::Json(path, expected) => answer
                .body
                .is_some_and(|body| path.any(body, |node| expected.holds_of(node))),
            Test::Text(regexes) if regexes.is_empty() => {
                !answer.text.is_empty() || !answer.stderr.is_empty()
            }
            Test::Text(regexes) => regexes
                .iter()
                .any(|regex| regex.is_match(answer.text) || regex.is_match(answer.stderr)),
            Test::Header(name, expected) => answer.headers.get_all(name).iter().any(|value| {
                match expected {
                    Expected::Present => true,
                    Expected::AnyOf(values) => values.iter().any(|wanted| match wanted {
                        Value::String(wanted) => wanted.as_bytes() == value.as_bytes(),
                        // A header is text: a number or boolean is compared as it is written.
                        other => other.to_string().as_bytes() == value.as_bytes(),
                    }),
                }
            }),
        }
    }
}

impl Expected {
    fn holds_of(&self, value: &Value) -> bool {
        match self {
            Expected::Present => true,
            Expected::AnyOf(values) => values.iter().any(|wanted| same_value(wanted, value)),
        }
    }
}

fn test(entry: &Entry, diags: &mut Diagnostics) -> Option<Test> {
    let key = entry.key.as_str();
    if key.starts_with('$') {
        let path = key_node(entry);
        let path = path
            .snippet()
            .and_then(|source| JsonPath::compile(source, diags));
        let expected = expected(&entry.value, diags);
        return Some(Test::Json(path?, expected?));
    }
    if let Some(name) = key.strip_prefix("header.") {
        let Ok(name) = HeaderName::try_from(name) else {
            diags.push(Diagnostic::error(
                codes::BAD_CONDITION,
                entry.key_span,
                format!("`{name}` is not a header name"),
            ));
            return None;
        };
        return Some(Test::Header(name, expected(&entry.value, diags)?));
    }
    match key {
        "status" => {
            let expected = expected(&entry.value, diags)?;
            if let Expected::AnyOf(values) = &expected
                && let Some(odd) = values.iter().find(|value| !value.is_number())
            {
                diags.push(Diagnostic::error(
                    codes::BAD_CONDITION,
                    entry.value.span,
                    format!("a status is a number, not `{odd}`"),
                ));
                return None;
            }
            Some(Test::Status(expected))
        }
        "text" => match expected(&entry.value, diags)? {
            Expected::Present => Some(Test::Text(Vec::new())),
            Expected::AnyOf(values) => {
                let regexes: Vec<_> = values
                    .iter()
                    .map(|value| regex_of(value, &entry.value, diags))
                    .collect();
                Some(Test::Text(regexes.into_iter().collect::<Option<_>>()?))
            }
        },
        _ => {
            let body = key.strip_prefix("response.").unwrap_or(key);
            let path = body.strip_prefix("body.").map(|rest| format!("$.{rest}"));
            let near = match &path {
                Some(path) => Some(path.as_str()),
                None => suggest::nearest(key, ["status", "text", "header."]),
            };
            diags.push(
                Diagnostic::error(
                    codes::BAD_CONDITION,
                    entry.key_span,
                    format!("`{key}` is nothing that a condition can ask"),
                )
                .did_you_mean(near)
                .help("a key is `status`, `text`, `header.<name>`, or a JSONPath that begins with `$`"),
            );
            None
        }
    }
}

/// The key as a node of its own, so that a problem inside of it has its place.
fn key_node(entry: &Entry) -> Node {
    let span = entry.key_span;
    let length = u32::try_from(entry.key.len()).unwrap_or(u32::MAX);
    // Byte for byte, bare or between quotes.
    let verbatim_at = match span.end.saturating_sub(span.start).checked_sub(length) {
        Some(0) => Some(span.start),
        Some(2) => Some(span.start + 1),
        _ => None,
    };
    Node {
        span,
        kind: Kind::Text(Scalar {
            text: entry.key.clone(),
            verbatim_at,
            plain: false,
        }),
    }
}

fn expected(node: &Node, diags: &mut Diagnostics) -> Option<Expected> {
    let values = match &node.kind {
        Kind::Text(scalar) if scalar.text == "present" => return Some(Expected::Present),
        Kind::List(items) => {
            let values: Vec<_> = items.iter().map(|item| literal(item, diags)).collect();
            values.into_iter().collect::<Option<Vec<_>>>()?
        }
        _ => vec![literal(node, diags)?],
    };
    if values.is_empty() {
        diags.push(Diagnostic::error(
            codes::BAD_CONDITION,
            node.span,
            "an empty list of values can never hold",
        ));
        return None;
    }
    Some(Expected::AnyOf(values))
}

fn literal(node: &Node, diags: &mut Diagnostics) -> Option<Value> {
    let why = match &node.kind {
        Kind::List(_) | Kind::Map(_) => {
            format!(
                "a condition compares with a value, not with {}",
                node.describe()
            )
        }
        Kind::Text(scalar) if scalar.text.contains("{{") => {
            "a condition compares with literal values only".to_owned()
        }
        _ => return Some(node.to_json()),
    };
    diags.push(Diagnostic::error(codes::BAD_CONDITION, node.span, why));
    None
}

fn regex_of(value: &Value, node: &Node, diags: &mut Diagnostics) -> Option<Regex> {
    let Value::String(pattern) = value else {
        diags.push(
            Diagnostic::error(
                codes::BAD_CONDITION,
                node.span,
                "`text` is compared with a regular expression",
            )
            .help("quote it"),
        );
        return None;
    };
    compile_regex(pattern, node, diags)
}

/// A regular expression of a linear engine; its problem is told in its author's words.
pub(super) fn compile_regex(pattern: &str, node: &Node, diags: &mut Diagnostics) -> Option<Regex> {
    match super::shared::regex(pattern) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let said = error.to_string();
            let said = said.lines().last().unwrap_or_default();
            let reason = said.trim_start_matches("error: ");
            diags.push(Diagnostic::error(
                codes::BAD_REGEX,
                node.span,
                format!("`{pattern}` is not a regular expression: {reason}"),
            ));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::json;

    use super::super::fixture::node;
    use super::*;

    fn compile(condition: Value) -> Result<Condition, Vec<Diagnostic>> {
        let mut diags = Diagnostics::default();
        Condition::compile(&node(&condition), &mut diags)
            .ok_or_else(|| diags.iter().cloned().collect())
    }

    fn holds(condition: Value, status: u16, body: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.append("x-state", HeaderValue::from_static("busy"));
        headers.append("x-state", HeaderValue::from_static("42"));
        let body: Value = serde_json::from_str(body).unwrap();
        compile(condition).unwrap().holds(&AnswerView {
            status,
            headers: &headers,
            body: Some(&body),
            text: "ok\n% Invalid input",
            stderr: "warning: x",
        })
    }

    #[test]
    fn all_entries_must_hold() {
        assert!(holds(json!({ "status": 200, "$.a": 1 }), 200, r#"{"a":1}"#));
        assert!(!holds(
            json!({ "status": 200, "$.a": 1 }),
            201,
            r#"{"a":1}"#
        ));
        assert!(!holds(
            json!({ "status": [200, 201], "$.a": 1 }),
            201,
            r#"{"a":2}"#
        ));
    }

    #[test]
    fn several_nodes_hold_if_one_is_a_listed_value() {
        let body = r#"{"errors":[{"tag":"a"},{"tag":"b"}]}"#;
        assert!(holds(json!({ "$.errors[*].tag": ["x", "b"] }), 200, body));
        assert!(!holds(json!({ "$.errors[*].tag": ["x", "y"] }), 200, body));
        assert!(holds(json!({ "$.errors[*]": "present" }), 200, body));
        assert!(!holds(json!({ "$.none[*]": "present" }), 200, body));
    }

    #[test]
    fn numbers_compare_by_value_and_null_is_a_value() {
        assert!(holds(json!({ "$.a": -5 }), 200, r#"{"a":-5.0}"#));
        let big = r#"{"a":123456789012345678901}"#;
        let other: Value = serde_json::from_str(r#"{"$.a":123456789012345678902}"#).unwrap();
        assert!(!holds(other, 200, big));
        assert!(holds(json!({ "$.a": null }), 200, r#"{"a":null}"#));
        assert!(!holds(json!({ "$.a": null }), 200, "{}"));
        assert!(!holds(json!({ "$.a": "1" }), 200, r#"{"a":1}"#));
    }

    #[test]
    fn text_is_a_regex_over_text_and_stderr() {
        assert!(holds(json!({ "text": "(?m)^% " }), 0, "null"));
        assert!(holds(json!({ "text": ["nothing", "^warning"] }), 0, "null"));
        assert!(!holds(json!({ "text": "^% " }), 0, "null"));
        assert!(holds(json!({ "text": "present" }), 0, "null"));
    }

    #[test]
    fn a_header_holds_if_one_of_its_values_is_listed() {
        assert!(holds(json!({ "header.X-State": "busy" }), 200, "null"));
        assert!(holds(json!({ "header.x-state": [1, 42] }), 200, "null"));
        assert!(!holds(json!({ "header.x-state": "bus" }), 200, "null"));
        assert!(!holds(json!({ "header.x-none": "present" }), 200, "null"));
    }

    #[test]
    fn without_a_body_no_path_holds() {
        let condition = compile(json!({ "$.a": "present" })).unwrap();
        assert!(condition.reads_body());
        assert!(!condition.holds(&AnswerView {
            status: 200,
            headers: &HeaderMap::new(),
            body: None,
            text: "",
            stderr: "",
        }));
    }

    #[test]
    fn every_wrong_entry_is_reported_with_the_nearest_name() {
        let problems = compile(json!({
            "stauts": 200,
            "$.a b": 1,
            "text": "(",
            "header.a b": "x",
            "$.c": [],
            "$.d": { "e": 1 },
            "$.f": "{{ body.x }}",
            "status": "200",
        }))
        .unwrap_err();
        let found: Vec<_> = problems.iter().map(|problem| problem.code).collect();
        assert_eq!(
            found,
            [
                codes::BAD_CONDITION,
                codes::BAD_JSONPATH,
                codes::BAD_REGEX,
                codes::BAD_CONDITION,
                codes::BAD_CONDITION,
                codes::BAD_CONDITION,
                codes::BAD_CONDITION,
                codes::BAD_CONDITION,
            ]
        );
        assert_eq!(problems[0].label.as_deref(), Some("did you mean `status`?"));
        assert!(compile(json!({})).is_err());
        assert!(compile(json!([])).is_err());
    }
}
