//! JSONPath (RFC 9535), compiled at load: a singular query walks, the others go to jsonpath-rust.

use jsonpath_rust::parser::model::JpQuery;
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde_json::Value;

use super::node::member;
use crate::diagnostics::{Diagnostic, Diagnostics, codes};
use crate::document::Snippet;

/// A compiled JSONPath.
#[derive(Debug)]
pub struct JsonPath {
    text: Box<str>,
    query: Query,
}

#[derive(Debug)]
enum Query {
    /// Names and indexes only: at most one node.
    Singular(Vec<Step>),
    Any(JpQuery),
}

#[derive(Debug, PartialEq)]
enum Step {
    Name(Box<str>),
    /// Counted from the end where negative.
    Index(i64),
}

/// What a JSONPath found, where one node is wanted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Found<'v> {
    Nothing,
    One(&'v Value),
    Several,
}

impl JsonPath {
    pub fn compile(source: Snippet<'_>, diags: &mut Diagnostics) -> Option<Self> {
        let text = source.text;
        if !text.starts_with('$') {
            diags.push(
                Diagnostic::error(
                    codes::BAD_JSONPATH,
                    source.span(),
                    "a JSONPath begins with `$`",
                )
                .help("write the path from the root, such as `$.network.id`"),
            );
            return None;
        }
        let query = match singular(text) {
            Some(steps) => Query::Singular(steps),
            None => {
                if let Some(at) = broken_word(text) {
                    refuse(source, at, diags);
                    return None;
                }
                match parse_json_path(text) {
                    Ok(query) => Query::Any(query),
                    Err(error) => {
                        refuse(source, column(&error.to_string(), text), diags);
                        return None;
                    }
                }
            }
        };
        Some(Self {
            text: text.into(),
            query,
        })
    }

    /// The nodes it selects, in order.
    pub fn select<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match &self.query {
            Query::Singular(steps) => walk(steps, value).into_iter().collect(),
            // The query itself is sound; what a filter compares is at worst not equal.
            Query::Any(query) => js_path_process(query, value)
                .map(|found| found.into_iter().map(|node| node.val()).collect())
                .unwrap_or_default(),
        }
    }

    /// The one node it selects, if it is one.
    pub fn find<'v>(&self, value: &'v Value) -> Found<'v> {
        match &self.query {
            Query::Singular(steps) => walk(steps, value).map_or(Found::Nothing, Found::One),
            Query::Any(_) => match self.select(value).as_slice() {
                [] => Found::Nothing,
                [one] => Found::One(one),
                _ => Found::Several,
            },
        }
    }

    /// Whether any node that it selects is one of those meant.
    pub fn any(&self, value: &Value, mut is_meant: impl FnMut(&Value) -> bool) -> bool {
        match &self.query {
            Query::Singular(steps) => walk(steps, value).is_some_and(is_meant),
            Query::Any(_) => self.select(value).into_iter().any(&mut is_meant),
        }
    }

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names it walks by before anything else, from the root on.
    pub(super) fn leading_names(&self) -> impl Iterator<Item = &str> {
        let steps = match &self.query {
            Query::Singular(steps) => &**steps,
            Query::Any(_) => &[],
        };
        steps.iter().map_while(|step| match step {
            Step::Name(name) => Some(&**name),
            Step::Index(_) => None,
        })
    }

    /// Whether it can select one node at most.
    pub fn is_singular(&self) -> bool {
        matches!(self.query, Query::Singular(_))
    }

    /// Whether it begins `$[?`: on an object, such a filter asks the members, not the object.
    pub fn begins_with_root_filter(&self) -> bool {
        self.text[1..]
            .trim_start()
            .strip_prefix('[')
            .is_some_and(|rest| rest.trim_start().starts_with('?'))
    }
}

fn walk<'v>(steps: &[Step], value: &'v Value) -> Option<&'v Value> {
    steps.iter().try_fold(value, |value, step| match step {
        Step::Name(name) => member(value.as_object()?, name),
        Step::Index(index) => {
            let items = value.as_array()?;
            let index = match usize::try_from(*index) {
                Ok(index) => index,
                Err(_) => {
                    let back = usize::try_from(index.unsigned_abs()).ok()?;
                    items.len().checked_sub(back)?
                }
            };
            items.get(index)
        }
    })
}

/// The steps of a singular query (RFC 9535, section 2.3.5.1); `None` for every other text, which the
/// full parser judges. A quoted name with an escape is left to it as well.
fn singular(text: &str) -> Option<Vec<Step>> {
    let mut rest = text.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let trimmed = rest.trim_start_matches(is_blank);
        if let Some(name) = trimmed.strip_prefix('.') {
            let end = name.find(|c| !is_name_char(c)).unwrap_or(name.len());
            let (name, more) = name.split_at(end);
            if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
                return None;
            }
            steps.push(Step::Name(name.into()));
            rest = more;
        } else {
            let inside = trimmed.strip_prefix('[')?.trim_start_matches(is_blank);
            let (step, more) = match inside.chars().next()? {
                quote @ ('\'' | '"') => {
                    let (name, more) = inside[1..].split_once(quote)?;
                    if name.contains('\\') || name.contains(|c: char| c < ' ') {
                        return None;
                    }
                    (Step::Name(name.into()), more)
                }
                _ => {
                    let end = inside.find(|c: char| !(c == '-' || c.is_ascii_digit()))?;
                    let (digits, more) = inside.split_at(end);
                    let index: i64 = digits.parse().ok()?;
                    // No leading zero, no `-0`, and nothing beyond what the RFC calls exact.
                    if index.to_string() != digits || index.abs() > 9_007_199_254_740_991 {
                        return None;
                    }
                    (Step::Index(index), more)
                }
            };
            steps.push(step);
            rest = more.trim_start_matches(is_blank).strip_prefix(']')?;
        }
    }
    Some(steps)
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}

/// jsonpath-rust reads `$.a b` as one name, and takes blanks at the end: neither is RFC 9535. Outside
/// of quotes no two words stand side by side.
fn broken_word(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    let mut last = '$';
    let mut blank_since = None;
    for (at, c) in text.char_indices() {
        if let Some(open) = quote {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                c if c == open => quote = None,
                _ => {}
            }
            last = '"';
            continue;
        }
        if is_blank(c) {
            blank_since = blank_since.or(Some(at));
            continue;
        }
        if let Some(at) = blank_since.take()
            && is_name_char(last)
            && is_name_char(c)
        {
            return Some(at);
        }
        if matches!(c, '\'' | '"') {
            quote = Some(c);
        }
        last = c;
    }
    blank_since
}

/// The byte offset out of pest's message, which begins with ` --> line:column`.
fn column(message: &str, text: &str) -> usize {
    let column = message
        .split_once("--> ")
        .and_then(|(_, rest)| rest.split_once(':'))
        .and_then(|(line, rest)| {
            let digits = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            (line == "1").then(|| rest[..digits].parse::<usize>().ok())?
        })
        .unwrap_or(1);
    text.char_indices()
        .nth(column.saturating_sub(1))
        .map_or(text.len(), |(at, _)| at)
}

fn refuse(source: Snippet<'_>, at: usize, diags: &mut Diagnostics) {
    let span = match source.text[at..].chars().next() {
        Some(next) if at > 0 => source.part_span(at, at + next.len_utf8()),
        _ => source.span(),
    };
    let column = source.text[..at].chars().count() + 1;
    let index = source.text[at..].starts_with(|c: char| c.is_ascii_digit());
    let help = match index && source.text[..at].ends_with('.') {
        true => "an element of a list is written `$.things[0]`",
        false => {
            "see RFC 9535; a key with other characters than letters, digits and `_` is written `$['a key']`"
        }
    };
    diags.push(
        Diagnostic::error(
            codes::BAD_JSONPATH,
            span,
            format!(
                "`{}` is not a JSONPath: it cannot be read from column {column} on",
                source.text
            ),
        )
        .help(help),
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::text_node;
    use super::*;

    fn compile(text: &str) -> Result<JsonPath, Vec<Diagnostic>> {
        let mut diags = Diagnostics::default();
        let node = text_node(text);
        let path = JsonPath::compile(node.snippet().unwrap(), &mut diags);
        path.ok_or_else(|| diags.iter().cloned().collect())
    }

    #[test]
    fn a_singular_query_walks_names_and_indexes() {
        let value = json!({ "a": { "b": [1, { "c-d": 2 }], "é": 3, "": 4 } });
        for (path, wanted) in [
            ("$", &value),
            ("$.a.b[0]", &json!(1)),
            ("$['a'][\"b\"][1]['c-d']", &json!(2)),
            ("$ .a ['b'][ -1 ]['c-d']", &json!(2)),
            ("$.a.b[-2]", &json!(1)),
            ("$.a.é", &json!(3)),
            ("$.a['']", &json!(4)),
        ] {
            let path = compile(path).unwrap();
            assert!(path.is_singular(), "{path:?}");
            assert_eq!(path.find(&value), Found::One(wanted), "{path:?}");
        }
        for path in [
            "$.a.b[2]",
            "$.a.b[-3]",
            "$.a.b.c",
            "$.a[0]",
            "$.a.b[1].none",
        ] {
            assert_eq!(
                compile(path).unwrap().find(&value),
                Found::Nothing,
                "{path}"
            );
        }
    }

    #[test]
    fn the_others_select_several_nodes_in_order() {
        let value = json!({ "rules": [{ "id": 1, "on": true }, { "id": 2 }], "x\"y": 5 });
        let select = |path: &str| {
            let path = compile(path).unwrap();
            assert!(!path.is_singular());
            path.select(&value).into_iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(select("$.rules[*].id"), [json!(1), json!(2)]);
        assert_eq!(select("$..id"), [json!(1), json!(2)]);
        assert_eq!(select("$.rules[?@.on == true].id"), [json!(1)]);
        assert_eq!(select("$.rules[?(@.id == 2 && !@.on)].id"), [json!(2)]);
        assert_eq!(select(r#"$["x\"y"]"#), [json!(5)]);
        assert_eq!(compile("$.rules[*]").unwrap().find(&value), Found::Several);
    }

    #[test]
    fn what_follows_a_valid_prefix_is_refused_with_its_column() {
        for (path, column) in [
            ("$.a b", 4),
            ("$.a ", 4),
            ("$.a]", 4),
            ("$.a[", 5),
            ("$.", 3),
            ("$.a[01]", 5),
            ("$.a[*] b", 8),
            ("$.a[?@.b c == 1]", 9),
        ] {
            let problems = compile(path).unwrap_err();
            assert_eq!(problems[0].code, codes::BAD_JSONPATH, "{path}");
            assert!(
                problems[0].message.contains(&format!("column {column} ")),
                "{path}: {}",
                problems[0].message
            );
        }
    }

    #[test]
    fn a_path_that_does_not_begin_at_the_root_is_refused() {
        assert!(compile("network.id").is_err());
        assert!(compile("").is_err());
    }

    #[test]
    fn a_filter_at_the_root_is_told() {
        assert!(compile("$[?@.error]").unwrap().begins_with_root_filter());
        assert!(!compile("$.a[?@.error]").unwrap().begins_with_root_filter());
        assert!(!compile("$[0]").unwrap().begins_with_root_filter());
    }
}
