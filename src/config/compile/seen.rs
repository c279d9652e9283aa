//! What templates read of an answer, against the answers of the route's examples.
//!
//! A backend has no schema here, so nothing about its answers is certain. But a name that no answer of any
//! example has is a typing error more often than not, and where it is not, an example is missing.

use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::Value;

use super::codes;
use super::uses::{with_key, written_index};
use crate::config::spec::example::{ExampleResponseSpec, ExampleSpec};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Node, Span};
use crate::plan::{BodyFormat, ResponseRules};
use crate::transform::uses::{Key, Use};
use crate::transform::{AnswerView, Root};

/// How many names a message lists.
const LISTED: usize = 12;

/// Checks the uses of a route's compilation. `details` are the places of the error rules' details, in the order
/// of the rules.
pub(super) fn check(
    rules: &ResponseRules,
    details: &[Option<Span>],
    examples: &[ExampleSpec],
    uses: &[Use],
    diags: &mut Diagnostics,
) {
    let mut answers = None;
    for found in uses {
        let reads_body =
            matches!(found.place.keys.first(), Some(Key::Name(name)) if **name == *"body");
        if found.place.root != Root::Response || !reads_body || found.place.keys.len() < 2 {
            continue;
        }
        let Some(answers) = answers.get_or_insert_with(|| Answers::of(rules, examples)) else {
            return;
        };
        let (bodies, which) = match found.field.starts_with("response.errors") {
            false => (&answers.successes, "success"),
            true => {
                let rule = details
                    .iter()
                    .position(|detail| detail.is_some_and(|detail| holds(detail, found.span)));
                match rule.and_then(|rule| answers.by_rule.get(rule)) {
                    Some(bodies) => (bodies, "example that this rule takes"),
                    None => continue,
                }
            }
        };
        let Some((depth, known)) = unseen(bodies, &found.place.keys[1..]) else {
            continue;
        };
        // The list of a loop is told where the loop names it.
        let Some(written) = written_index(found, depth + 1) else {
            continue;
        };
        let Key::Name(name) = &found.place.keys[depth + 1] else {
            continue;
        };
        let nearest = suggest::nearest(name, known.iter().copied());
        let nearest = nearest.map(|near| with_key(found, written, near));
        let message = match which {
            "success" => format!("no example's answer has `{}`", found.text),
            _ => format!("no answer of an {which} has `{}`", found.text),
        };
        let there = match known.as_slice() {
            [] => "nothing stands there".to_owned(),
            few if few.len() <= LISTED => format!("there: {}", few.join(", ")),
            many => format!("there: {}, ...", many[..LISTED].join(", ")),
        };
        diags.push(
            Diagnostic::warning(codes::UNSEEN_IN_EXAMPLES, found.span, message)
                .did_you_mean(nearest.as_deref())
                .help(format!(
                    "{there}; if the backend does send it, add an example whose `response` has it"
                )),
        );
    }
}

fn holds(around: Span, inner: Span) -> bool {
    around.file == inner.file && around.start <= inner.start && inner.end <= around.end
}

/// The bodies of the examples' answers, by what becomes of them.
struct Answers {
    successes: Vec<Value>,
    /// Of the failures, by the error rule that takes them.
    by_rule: Vec<Vec<Value>>,
}

impl Answers {
    /// `None`: some body is not JSON as it stands in its example, so what it becomes is not known here.
    fn of(rules: &ResponseRules, examples: &[ExampleSpec]) -> Option<Self> {
        if rules.parse.is_some() || !matches!(rules.format, None | Some(BodyFormat::Json)) {
            return None;
        }
        let mut this = Self {
            successes: Vec::new(),
            by_rule: rules.errors.iter().map(|_| Vec::new()).collect(),
        };
        for response in examples.iter().filter_map(ExampleSpec::answer) {
            let headers = headers(response);
            let is_json = headers
                .get(header::CONTENT_TYPE)
                .is_none_or(|kind| kind.to_str().is_ok_and(|kind| kind.contains("json")));
            if response.text.is_some() || !is_json {
                return None;
            }
            let Some(body) = response.body.as_ref().map(Node::to_json) else {
                continue;
            };
            let view = AnswerView {
                status: response.status.as_ref().map_or(200, |status| status.value),
                headers: &headers,
                body: Some(&body),
                text: "",
                stderr: "",
            };
            let refused = rules.fail_when.iter().any(|when| when.holds(&view));
            if !refused && rules.accept(&view) {
                this.successes.push(body);
            } else if let Some(rule) = rules.errors.iter().position(|rule| rule.when.holds(&view)) {
                this.by_rule[rule].push(body);
            }
        }
        Some(this)
    }
}

fn headers(response: &ExampleResponseSpec) -> HeaderMap {
    let written = response.headers.iter().flat_map(|headers| &headers.0);
    written
        .filter_map(|(name, value)| {
            let name = HeaderName::try_from(name.value.as_str()).ok()?;
            Some((name, HeaderValue::from_str(value.text()).ok()?))
        })
        .collect()
}

/// The first key that none of the bodies has, and those that stand there instead. Where no body comes so far
/// (an empty list, a null), nothing was seen and nothing is said.
fn unseen<'v>(bodies: &'v [Value], keys: &[Key]) -> Option<(usize, Vec<&'v str>)> {
    let mut at: Vec<&Value> = bodies.iter().collect();
    for (depth, key) in keys.iter().enumerate() {
        at.retain(|value| !value.is_null());
        if at.is_empty() {
            return None;
        }
        let next: Vec<&Value> = match key {
            Key::Item(_) => at.iter().filter_map(|v| v.as_array()).flatten().collect(),
            Key::Name(name) => {
                let index = name.parse::<usize>().ok();
                at.iter()
                    .filter_map(|value| match value {
                        Value::Object(map) => map.get(&**name),
                        Value::Array(items) => items.get(index?),
                        _ => None,
                    })
                    .collect()
            }
        };
        if next.is_empty() && matches!(key, Key::Name(_)) {
            let mut known = Vec::new();
            for name in at
                .iter()
                .filter_map(|v| v.as_object())
                .flat_map(|map| map.keys())
            {
                if !known.contains(&name.as_str()) {
                    known.push(name.as_str());
                }
            }
            return Some((depth, known));
        }
        at = next;
    }
    None
}
