//! Where an id or an attribute is taken from: a JSONPath, a header, a link, the text, a value; of a URL a
//! parameter, of a text what a regex takes.

use std::borrow::Cow;

use http::HeaderName;
use regex::Regex;
use serde_json::Value;

use super::condition::compile_regex;
use super::encode::text_of;
use super::number::is_integer;
use super::outline::MadeKind;
use super::select::Found;
use super::{AnswerView, Env, JsonPath, Outline, Parts, RenderError, Scope, Tree, Uses, link};
use crate::diagnostics::{Diagnostic, Diagnostics, codes, suggest};
use crate::document::{Entry, Kind, Node};

/// A compiled source.
#[derive(Debug)]
pub struct Source {
    from: From,
    /// The query parameter that is taken from the URL that was found.
    param: Option<Box<str>>,
    /// Its first group is taken from the text that was found.
    regex: Option<Regex>,
    optional: bool,
}

#[derive(Debug)]
enum From {
    Path(JsonPath),
    Header(HeaderName),
    /// The target of the `Link` with this relation.
    Link(Box<str>),
    Text,
    Value(Tree),
    First(Vec<Source>),
}

/// Why a source gave nothing usable.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ExtractError {
    /// Nothing is there, and the source is not `optional`.
    #[error("{source_text} is not in the answer")]
    Absent { source_text: String },
    /// Something is there that cannot be what is wanted.
    #[error("{source_text} {reason}")]
    Unusable { source_text: String, reason: String },
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// The origins first.
const KEYS: [&str; 9] = [
    "path", "header", "link", "text", "value", "first", "param", "regex", "optional",
];
const ORIGINS: usize = 6;

impl Source {
    pub fn compile(
        node: &Node,
        field: &str,
        env: &Env<'_>,
        diags: &mut Diagnostics,
    ) -> Option<Self> {
        match &node.kind {
            Kind::Text(_) => {
                let from = From::Path(json_path(node, diags)?);
                Some(Self {
                    from,
                    param: None,
                    regex: None,
                    optional: false,
                })
            }
            Kind::Map(entries) => from_map(node, entries, field, env, diags),
            _ => {
                diags.push(
                    Diagnostic::error(
                        codes::BAD_SOURCE,
                        node.span,
                        format!("a source is a JSONPath or a map, not {}", node.describe()),
                    )
                    .help(FORMS),
                );
                None
            }
        }
    }

    /// The value; `None` when it is `optional` and absent. Several nodes are unusable.
    pub fn extract(
        &self,
        answer: &AnswerView<'_>,
        scope: &Scope,
    ) -> Result<Option<Value>, ExtractError> {
        match self.look(answer, scope) {
            Err(ExtractError::Absent { .. }) if self.optional => Ok(None),
            found => found.map(Some),
        }
    }

    /// The value as an id: one non-empty string or exact integer (its decimal digits), at most
    /// `limit` bytes, no control characters (SEMANTICS 21, 22).
    pub fn extract_id(
        &self,
        answer: &AnswerView<'_>,
        scope: &Scope,
        limit: usize,
    ) -> Result<Option<String>, ExtractError> {
        let Some(value) = self.extract(answer, scope)? else {
            return Ok(None);
        };
        let id = match value {
            Value::String(text) => text,
            Value::Number(number) if is_integer(number.as_str()) => number.to_string(),
            Value::Number(_) => return Err(self.unusable("is a number that is no integer")),
            Value::Null => return Err(self.unusable("is null")),
            Value::Bool(_) => return Err(self.unusable("is a boolean, not an id")),
            Value::Array(_) => return Err(self.unusable("is a list, not an id")),
            Value::Object(_) => return Err(self.unusable("is an object, not an id")),
        };
        if id.is_empty() {
            return Err(self.unusable("is empty"));
        }
        if id.len() > limit {
            return Err(self.unusable(&format!("is longer than {limit} bytes")));
        }
        if id.chars().any(char::is_control) {
            return Err(self.unusable("holds a control character"));
        }
        Ok(Some(id))
    }

    /// Whether it reads the parsed body.
    pub fn reads_body(&self) -> bool {
        match &self.from {
            From::Path(_) => true,
            From::Header(_) | From::Link(_) | From::Text => false,
            From::Value(tree) => tree.variables().iter().any(|name| {
                *name == "response.body"
                    || name.starts_with("response.body.")
                    || *name == "response"
            }),
            From::First(sources) => sources.iter().any(Source::reads_body),
        }
    }

    /// Whether it may be absent without a fault.
    pub fn is_optional(&self) -> bool {
        self.optional
    }

    /// The form of its value.
    pub fn outline(&self) -> Outline<'_> {
        match &self.from {
            _ if self.regex.is_some() || self.param.is_some() => Outline::Kind(MadeKind::Text),
            From::Header(_) | From::Link(_) | From::Text => Outline::Kind(MadeKind::Text),
            From::Path(_) => Outline::Unknown,
            From::Value(tree) => tree.outline(),
            From::First(sources) => Outline::OneOf(sources.iter().map(Source::outline).collect()),
        }
    }

    /// The JSONPaths that it reads.
    pub fn paths(&self) -> Vec<&JsonPath> {
        match &self.from {
            From::Path(path) => vec![path],
            From::Header(_) | From::Link(_) | From::Text | From::Value(_) => Vec::new(),
            From::First(sources) => sources.iter().flat_map(Source::paths).collect(),
        }
    }

    /// The variables that its values read, such as `body.id`.
    pub fn variables(&self) -> Vec<&str> {
        match &self.from {
            From::Path(_) | From::Header(_) | From::Link(_) | From::Text => Vec::new(),
            From::Value(tree) => tree.variables(),
            From::First(sources) => sources.iter().flat_map(Source::variables).collect(),
        }
    }

    /// Notes what it reads of the answer's body.
    pub fn note_parts(&self, parts: &mut Parts) {
        match &self.from {
            From::Path(path) => parts.add_path(path),
            From::Header(_) | From::Link(_) | From::Text => {}
            From::Value(tree) => tree.note_parts(parts),
            From::First(sources) => sources.iter().for_each(|one| one.note_parts(parts)),
        }
    }

    fn look(&self, answer: &AnswerView<'_>, scope: &Scope) -> Result<Value, ExtractError> {
        let mut found = self.find(answer, scope)?;
        let text = |found: &Value| {
            let text = text_of(found).map(Cow::into_owned);
            text.map_err(|why| self.unusable(&format!("has no text: {why}")))
        };
        if let Some(param) = &self.param {
            let taken = link::parameter(&text(&found)?, param);
            found = taken.map(Value::from).ok_or_else(|| self.absent())?;
        }
        let Some(regex) = &self.regex else {
            return Ok(found);
        };
        let text = text(&found)?;
        regex
            .captures(&text)
            .and_then(|groups| groups.get(1))
            .map(|group| Value::from(group.as_str()))
            .ok_or_else(|| self.absent())
    }

    fn find(&self, answer: &AnswerView<'_>, scope: &Scope) -> Result<Value, ExtractError> {
        match &self.from {
            From::Path(path) => match answer.body.map_or(Found::Nothing, |body| path.find(body)) {
                Found::One(value) => Ok(value.clone()),
                Found::Nothing => Err(self.absent()),
                Found::Several => Err(self.unusable("selects several values")),
            },
            From::Header(name) => {
                let mut values = answer.headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (None, _) => Err(self.absent()),
                    (Some(_), Some(_)) => Err(self.unusable("is there several times")),
                    (Some(value), None) => match value.to_str() {
                        Ok(text) => Ok(Value::from(text)),
                        Err(_) => Err(self.unusable("is not ASCII text")),
                    },
                }
            }
            From::Link(relation) => link::target(answer.headers, relation)
                .map(Value::from)
                .ok_or_else(|| self.absent()),
            // Programs end their output with a line break that is no part of what they say.
            From::Text => match answer.text.trim_end_matches(['\r', '\n']) {
                "" => Err(self.absent()),
                text if self.regex.is_none() => Ok(Value::from(text)),
                _ => Ok(Value::from(answer.text)),
            },
            From::Value(tree) => match tree.to_value(scope) {
                Ok(Some(value)) => Ok(value),
                Ok(None) => Err(self.absent()),
                // Where absence has an answer of its own, a missing variable is absence.
                Err(RenderError::Missing { .. } | RenderError::NotMapped { .. })
                    if self.optional =>
                {
                    Err(self.absent())
                }
                Err(error) => Err(error.into()),
            },
            From::First(sources) => {
                for source in sources {
                    match source.look(answer, scope) {
                        Err(
                            ExtractError::Absent { .. }
                            | ExtractError::Render(
                                RenderError::Missing { .. } | RenderError::NotMapped { .. },
                            ),
                        ) => {}
                        found => return found,
                    }
                }
                Err(self.absent())
            }
        }
    }

    fn absent(&self) -> ExtractError {
        ExtractError::Absent {
            source_text: self.describe(),
        }
    }

    fn unusable(&self, reason: &str) -> ExtractError {
        ExtractError::Unusable {
            source_text: self.describe(),
            reason: reason.to_owned(),
        }
    }

    /// In words: "`$.network.id`", "header `location`".
    pub fn describe(&self) -> String {
        let from = match &self.from {
            From::Path(path) => format!("`{}`", path.as_str()),
            From::Header(name) => format!("header `{name}`"),
            From::Link(relation) => format!("link `{relation}`"),
            From::Text => "the text".to_owned(),
            From::Value(_) => "`value`".to_owned(),
            From::First(sources) => {
                let each: Vec<_> = sources.iter().map(Source::describe).collect();
                format!("the first of {}", each.join(", "))
            }
        };
        let from = match &self.param {
            Some(param) => format!("parameter `{param}` of {from}"),
            None => from,
        };
        match &self.regex {
            Some(regex) => format!("`{}` in {from}", regex.as_str()),
            None => from,
        }
    }
}

const FORMS: &str = "write `$.id`, or a map with one of `path`, `header`, `link`, `text: true`, `value`, `first`, and beside it `param`, `regex` or `optional: true`";

fn from_map(
    node: &Node,
    entries: &[Entry],
    field: &str,
    env: &Env<'_>,
    diags: &mut Diagnostics,
) -> Option<Source> {
    let errors = diags.errors();
    let mark = env.uses.map_or(0, Uses::mark);
    for entry in entries {
        if !KEYS.contains(&entry.key.as_str()) {
            diags.push(
                Diagnostic::error(
                    codes::BAD_SOURCE,
                    entry.key_span,
                    format!("`{}` is not a key of a source", entry.key),
                )
                .did_you_mean(suggest::nearest(&entry.key, KEYS))
                .help(FORMS),
            );
        }
    }
    let mut origins = entries
        .iter()
        .filter(|entry| KEYS[..ORIGINS].contains(&entry.key.as_str()));
    let from = match (origins.next(), origins.next()) {
        (Some(origin), None) => origin_of(origin, field, env, diags),
        (None, _) => {
            if diags.errors() == errors {
                diags.push(
                    Diagnostic::error(
                        codes::BAD_SOURCE,
                        node.span,
                        "this source does not say where from",
                    )
                    .help(FORMS),
                );
            }
            None
        }
        (Some(_), Some(second)) => {
            diags.push(
                Diagnostic::error(
                    codes::BAD_SOURCE,
                    second.key_span,
                    format!("a source has one origin; `{}` is a second one", second.key),
                )
                .help("for one after the other, write `first: [...]`"),
            );
            None
        }
    };
    let word = |key: &str, diags: &mut Diagnostics| {
        let word = node.get(key)?;
        let text = word.as_text().filter(|text| !text.is_empty());
        if text.is_none() {
            diags.push(Diagnostic::error(
                codes::BAD_SOURCE,
                word.span,
                format!("`{key}` takes text, not {}", word.describe()),
            ));
        }
        text.map(|text| (text, word))
    };
    let param = word("param", diags).map(|(name, _)| name.into());
    let regex = word("regex", diags).and_then(|(text, pattern)| {
        let regex = compile_regex(text, pattern, diags)?;
        if regex.captures_len() < 2 {
            diags.push(
                Diagnostic::error(
                    codes::BAD_REGEX,
                    pattern.span,
                    "the regular expression of a source needs a group: what it matches is taken",
                )
                .help("put parentheses around the part that is the value, such as `id=([0-9]+)`"),
            );
        }
        Some(regex)
    });
    let optional = match node.get("optional").map(|node| (&node.kind, node)) {
        None => false,
        Some((Kind::Bool(value), _)) => *value,
        Some((_, node)) => {
            diags.push(Diagnostic::error(
                codes::BAD_SOURCE,
                node.span,
                format!("`optional` is true or false, not {}", node.describe()),
            ));
            false
        }
    };
    if let Some(uses) = env.uses.filter(|_| optional) {
        uses.forgive(mark);
    }
    let from = from?;
    (diags.errors() == errors).then_some(Source {
        from,
        param,
        regex,
        optional,
    })
}

fn origin_of(origin: &Entry, field: &str, env: &Env<'_>, diags: &mut Diagnostics) -> Option<From> {
    let value = &origin.value;
    match (origin.key.as_str(), &value.kind) {
        ("path", Kind::Text(_)) => json_path(value, diags).map(From::Path),
        ("header", Kind::Text(scalar)) => match HeaderName::try_from(scalar.text.as_str()) {
            Ok(name) => Some(From::Header(name)),
            Err(_) => {
                diags.push(Diagnostic::error(
                    codes::BAD_SOURCE,
                    value.span,
                    format!("`{}` is not a header name", scalar.text),
                ));
                None
            }
        },
        ("link", Kind::Text(scalar)) if is_relation(&scalar.text) => {
            Some(From::Link(scalar.text.as_str().into()))
        }
        ("text", Kind::Bool(true)) => Some(From::Text),
        ("value", _) => Tree::compile(value, field, env, diags).map(From::Value),
        ("first", Kind::List(items)) if !items.is_empty() => {
            let mark = env.uses.map_or(0, Uses::mark);
            let sources: Vec<_> = items
                .iter()
                .map(|item| Source::compile(item, field, env, diags))
                .collect();
            if let Some(uses) = env.uses {
                uses.forgive(mark);
            }
            Some(From::First(sources.into_iter().collect::<Option<_>>()?))
        }
        (key, _) => {
            let wants = match key {
                "text" => "`true`",
                "first" => "a list of sources",
                "link" => "one relation, such as `next`",
                _ => "text",
            };
            diags.push(
                Diagnostic::error(
                    codes::BAD_SOURCE,
                    value.span,
                    format!("`{key}` takes {wants}, not {}", value.describe()),
                )
                .help(FORMS),
            );
            None
        }
    }
}

/// A relation type of a link, which is one word (RFC 8288, section 3.3).
fn is_relation(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn json_path(node: &Node, diags: &mut Diagnostics) -> Option<JsonPath> {
    let source = node.snippet()?;
    if !source.text.starts_with('$') {
        let text = source.text.trim();
        let expression = text
            .strip_prefix("{{")
            .and_then(|rest| rest.strip_suffix("}}"));
        let path = expression
            .map(str::trim)
            .map_or(Some(text), |inner| inner.strip_prefix("response.body."))
            .map(|path| path.strip_prefix("response.body.").unwrap_or(path))
            .filter(|path| !path.contains([' ', '{', '(']))
            .map(|path| format!("$.{path}"));
        diags.push(
            Diagnostic::error(codes::BAD_SOURCE, node.span, "a JSONPath begins with `$`")
                .did_you_mean(path.as_deref())
                .help("for a template, write `value: \"{{ ... }}\"`"),
        );
        return None;
    }
    JsonPath::compile(source, diags)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue};
    use serde_json::json;

    use super::super::Root;
    use super::super::fixture::{Names, compiled, node, scope};
    use super::*;

    fn compile(source: Value) -> Result<Source, Vec<Diagnostic>> {
        let names = Names::new();
        let roots = [Root::Body, Root::Response];
        compiled(|diags| {
            Source::compile(&node(&source), "mapping.id", &names.env_with(&roots), diags)
        })
    }

    fn with_answer<T>(body: &str, look: impl FnOnce(&AnswerView<'_>) -> T) -> T {
        let mut headers = HeaderMap::new();
        headers.append("location", HeaderValue::from_static("/networks/n-1"));
        for link in [
            "</networks>; rel=\"first\"; title=\"a, b\"",
            "</networks?page=3&marker=a%2Fb>; rel=next",
        ] {
            headers.append("link", HeaderValue::from_static(link));
        }
        headers.append("x-two", HeaderValue::from_static("1"));
        headers.append("x-two", HeaderValue::from_static("2"));
        let body: Value = serde_json::from_str(body).unwrap();
        look(&AnswerView {
            status: 200,
            headers: &headers,
            body: Some(&body),
            text: "created vlan 17\n",
            stderr: "",
        })
    }

    fn extract(source: Value, body: &str) -> Result<Option<Value>, ExtractError> {
        let source = compile(source).unwrap();
        with_answer(body, |answer| {
            source.extract(answer, &scope(json!({ "id": "b-1" })))
        })
    }

    fn id(source: Value, body: &str) -> Result<Option<String>, ExtractError> {
        let source = compile(source).unwrap();
        with_answer(body, |answer| {
            source.extract_id(answer, &scope(json!({ "id": "b-1" })), 16)
        })
    }

    #[test]
    fn each_form_takes_its_part_of_the_answer() {
        let body = r#"{"network":{"id":"n-1"}}"#;
        for (source, value) in [
            (json!("$.network.id"), json!("n-1")),
            (json!({ "path": "$.network" }), json!({ "id": "n-1" })),
            (json!({ "header": "Location" }), json!("/networks/n-1")),
            (
                json!({ "header": "location", "regex": "/([^/]+)$" }),
                json!("n-1"),
            ),
            (
                json!({ "link": "next" }),
                json!("/networks?page=3&marker=a%2Fb"),
            ),
            (json!({ "link": "next", "param": "marker" }), json!("a/b")),
            (
                json!({ "link": "next", "param": "page", "regex": "^([0-9]+)$" }),
                json!("3"),
            ),
            (
                json!({ "value": "/x?id={{ body.id }}", "param": "id" }),
                json!("b-1"),
            ),
            (json!({ "text": true }), json!("created vlan 17")),
            (json!({ "text": true, "regex": "vlan (\\d+)" }), json!("17")),
            (json!({ "value": "net-{{ body.id }}" }), json!("net-b-1")),
            (
                json!({ "first": ["$.job", { "header": "x-job" }, "$.network.id"] }),
                json!("n-1"),
            ),
            (
                json!({ "first": [{ "value": "{{ body.none }}" }, "$.network.id"] }),
                json!("n-1"),
            ),
        ] {
            assert_eq!(extract(source.clone(), body), Ok(Some(value)), "{source}");
        }
    }

    #[test]
    fn absence_is_an_error_unless_optional() {
        for source in [
            json!({ "path": "$.none" }),
            json!({ "header": "x-none" }),
            json!({ "link": "prev" }),
            json!({ "link": "next", "param": "none" }),
            json!({ "header": "location", "param": "none" }),
            json!({ "text": true, "regex": "vxlan (\\d+)" }),
            json!({ "value": "{{ optional body.none }}" }),
            json!({ "first": ["$.a", "$.b"] }),
        ] {
            assert!(
                matches!(
                    extract(source.clone(), "{}"),
                    Err(ExtractError::Absent { .. })
                ),
                "{source}"
            );
            let mut optional = source;
            optional["optional"] = json!(true);
            assert_eq!(extract(optional.clone(), "{}"), Ok(None), "{optional}");
            assert!(compile(optional).unwrap().is_optional());
        }
        assert_eq!(
            extract(json!("$.network.id"), "{}")
                .unwrap_err()
                .to_string(),
            "`$.network.id` is not in the answer"
        );
    }

    #[test]
    fn several_values_are_unusable() {
        for source in [json!("$[*]"), json!({ "header": "x-two" })] {
            assert!(
                matches!(
                    extract(source.clone(), "[1, 2]"),
                    Err(ExtractError::Unusable { .. })
                ),
                "{source}"
            );
        }
        assert_eq!(extract(json!("$[*]"), "[1]"), Ok(Some(json!(1))));
    }

    #[test]
    fn an_id_is_one_string_or_one_exact_integer() {
        for (body, wanted) in [
            (r#"{"id":"n-1"}"#, "n-1"),
            (r#"{"id":7}"#, "7"),
            (r#"{"id":9007199254740993}"#, "9007199254740993"),
            (r#"{"id":-1234567890123}"#, "-1234567890123"),
        ] {
            assert_eq!(id(json!("$.id"), body), Ok(Some(wanted.into())), "{body}");
        }
        for body in [
            r#"{"id":""}"#,
            r#"{"id":7.0}"#,
            r#"{"id":1e3}"#,
            r#"{"id":null}"#,
            r#"{"id":true}"#,
            r#"{"id":["a"]}"#,
            r#"{"id":{}}"#,
            r#"{"id":"a\nb"}"#,
            r#"{"id":"a\u0000"}"#,
            r#"{"id":"\u0085"}"#,
            r#"{"id":"12345678901234567"}"#,
            r#"{"id":"éééééééé1"}"#,
        ] {
            assert!(
                matches!(id(json!("$.id"), body), Err(ExtractError::Unusable { .. })),
                "{body}"
            );
        }
        assert_eq!(
            id(json!({ "path": "$.id", "optional": true }), "{}"),
            Ok(None)
        );
    }

    #[test]
    fn whether_it_reads_the_body_is_known() {
        for (source, reads) in [
            (json!("$.id"), true),
            (json!({ "header": "location" }), false),
            (json!({ "text": true }), false),
            (json!({ "value": "{{ body.id }}" }), false),
            (json!({ "value": "{{ response.body.id }}" }), true),
            (json!({ "value": "{{ response.text }}" }), false),
            (json!({ "first": [{ "text": true }, "$.id"] }), true),
        ] {
            assert_eq!(
                compile(source.clone()).unwrap().reads_body(),
                reads,
                "{source}"
            );
        }
    }

    #[test]
    fn wrong_sources_are_reported() {
        for (source, code) in [
            (json!("network.id"), codes::BAD_SOURCE),
            (json!("{{ body.id }}"), codes::BAD_SOURCE),
            (json!("$.a b"), codes::BAD_JSONPATH),
            (json!(7), codes::BAD_SOURCE),
            (json!({}), codes::BAD_SOURCE),
            (json!({ "paht": "$.a" }), codes::BAD_SOURCE),
            (json!({ "path": "$.a", "header": "b" }), codes::BAD_SOURCE),
            (json!({ "text": false }), codes::BAD_SOURCE),
            (json!({ "header": "a b" }), codes::BAD_SOURCE),
            (json!({ "first": [] }), codes::BAD_SOURCE),
            (json!({ "first": "$.a" }), codes::BAD_SOURCE),
            (json!({ "link": "" }), codes::BAD_SOURCE),
            (json!({ "link": "next prev" }), codes::BAD_SOURCE),
            (json!({ "link": 1 }), codes::BAD_SOURCE),
            (json!({ "link": "next", "header": "x" }), codes::BAD_SOURCE),
            (json!({ "link": "next", "param": "" }), codes::BAD_SOURCE),
            (json!({ "link": "next", "param": 7 }), codes::BAD_SOURCE),
            (json!({ "text": true, "regex": "(" }), codes::BAD_REGEX),
            (json!({ "text": true, "regex": "a" }), codes::BAD_REGEX),
            (
                json!({ "path": "$.a", "optional": "yes" }),
                codes::BAD_SOURCE,
            ),
            (json!({ "value": "{{ bdy.x }}" }), codes::UNKNOWN_VARIABLE),
        ] {
            let problems = compile(source.clone()).unwrap_err();
            assert_eq!(problems[0].code, code, "{source}");
        }
        let problems = compile(json!({ "paht": "$.a" })).unwrap_err();
        assert_eq!(problems[0].label.as_deref(), Some("did you mean `path`?"));
    }
}
