//! Which keys of two values differ, by their paths.

use serde_json::Value;

use crate::config::secrets;

/// One key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Difference {
    /// `call.body.network.mtu`, `response.errors[0].when.[$.error]`.
    pub path: String,
    /// As shown; `None` where there was nothing.
    pub from: Option<String>,
    /// As shown; `None` where there is nothing any more.
    pub to: Option<String>,
}

/// Characters of a value that are shown.
const SHOWN: usize = 60;

/// Every key that differs, in the order of the new value; then what is gone.
pub(super) fn differences(old: &Value, new: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk("", Some(old), Some(new), false, &mut found);
    found
}

/// `hidden`: values below may be secrets of an operator, such as a backend's `vars`.
fn walk(
    path: &str,
    old: Option<&Value>,
    new: Option<&Value>,
    hidden: bool,
    found: &mut Vec<Difference>,
) {
    if old == new {
        return;
    }
    match (old, new) {
        (Some(Value::Object(old)), Some(Value::Object(new))) => {
            let gone = old.keys().filter(|key| !new.contains_key(*key));
            for key in new.keys().chain(gone) {
                // A reference says where a secret is, not what.
                let secret = secrets::smells(key) && !is_reference(old.get(key), new.get(key));
                let hidden = hidden || secret || path.is_empty() && key == "vars";
                walk(&join(path, key), old.get(key), new.get(key), hidden, found);
            }
        }
        (Some(Value::Array(old)), Some(Value::Array(new)))
            if old.iter().chain(new).any(|item| item.is_object()) =>
        {
            for index in 0..old.len().max(new.len()) {
                let path = format!("{path}[{index}]");
                walk(&path, old.get(index), new.get(index), hidden, found);
            }
        }
        (old, new) => found.push(Difference {
            path: path.to_owned(),
            from: old.map(|value| show(value, hidden)),
            to: new.map(|value| show(value, hidden)),
        }),
    }
}

fn is_reference(old: Option<&Value>, new: Option<&Value>) -> bool {
    [old, new].into_iter().flatten().all(Value::is_object)
}

fn join(path: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let key = match key.chars().all(plain) && !key.is_empty() {
        true => key.to_owned(),
        false => format!("[{key}]"),
    };
    match path {
        "" => key,
        path => format!("{path}.{key}"),
    }
}

fn show(value: &Value, hidden: bool) -> String {
    if hidden {
        return "***".to_owned();
    }
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let line = text.split('\n').next().unwrap_or_default();
    let cut = line.chars().count() > SHOWN || line.len() < text.len();
    // A terminal would obey a control character.
    let shown = line.chars().take(SHOWN).map(|c| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    });
    let end = if cut { "..." } else { "" };
    shown.chain([end.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told(old: &Value, new: &Value) -> Vec<String> {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".into());
        differences(old, new)
            .iter()
            .map(|one| format!("{}: {} -> {}", one.path, shown(&one.from), shown(&one.to)))
            .collect()
    }

    #[test]
    fn keys_are_told_by_their_paths() {
        let old = json!({
            "match": "POST /v1/a",
            "call": { "timeout": "20s", "body": { "mtu": 1 } },
            "response": { "errors": [{ "when": { "$.error": -5 }, "reply": 409 }] },
        });
        let new = json!({
            "match": "POST /v1/a",
            "call": { "body": { "mtu": 1, "name": "{{ body.name }}" }, "timeout": "30s" },
            "response": { "errors": [{ "when": { "$.error": -3 }, "reply": 409 }, { "reply": 404 }] },
        });
        assert_eq!(
            told(&old, &new),
            [
                "call.body.name: nothing -> {{ body.name }}",
                "call.timeout: 20s -> 30s",
                "response.errors[0].when.[$.error]: -5 -> -3",
                "response.errors[1]: nothing -> {\"reply\":404}",
            ]
        );
        assert_eq!(told(&new, &new), Vec::<String>::new());
    }

    #[test]
    fn what_may_be_a_secret_is_not_shown_and_where_it_is_taken_from_is() {
        let old = json!({ "vars": { "pin": "1234" }, "password": { "env": "A" }, "token": "abc" });
        let new = json!({ "vars": { "pin": "5678" }, "password": { "env": "B" }, "token": "xyz" });
        assert_eq!(
            told(&old, &new),
            [
                "vars.pin: *** -> ***",
                "password.env: A -> B",
                "token: *** -> ***",
            ]
        );
    }

    #[test]
    fn long_values_and_texts_of_many_lines_are_cut() {
        let long = "x".repeat(100);
        let told = told(&json!({ "a": 1 }), &json!({ "a": long, "b": "one\ntwo" }));
        assert_eq!(told[0], format!("a: 1 -> {}...", "x".repeat(60)));
        assert_eq!(told[1], "b: nothing -> one...");
    }
}
