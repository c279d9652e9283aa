//! Diagnostics for editors and CI: an array of objects whose keys never change their meaning.

use serde_json::{Value, json};

use super::{Diagnostics, Severity, Sources, place};
use crate::document::Span;

/// Every diagnostic by file and place. Lines and columns count from 1, columns in characters; the
/// end is exclusive. What has no place has `null` for its file and places.
pub fn render_json(diags: &Diagnostics, sources: &dyn Sources) -> String {
    // Strings and numbers under string keys: there is nothing that cannot be written.
    let mut out = serde_json::to_string_pretty(&to_value(diags, sources)).unwrap_or_default();
    out.push('\n');
    out
}

/// The same as a value, for an answer of the admin API.
pub fn to_value(diags: &Diagnostics, sources: &dyn Sources) -> Value {
    diags
        .sorted()
        .into_iter()
        .map(|item| {
            let mut value = json!({
                "severity": match item.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                },
                "code": item.code,
                "message": item.message,
            });
            let related: Vec<Value> = item
                .related
                .iter()
                .map(|(span, message)| {
                    let mut value = json!({ "message": message });
                    add_place(&mut value, Some(*span), sources);
                    value
                })
                .collect();
            add_place(&mut value, item.span, sources);
            value["label"] = json!(item.label);
            value["help"] = json!(item.help);
            value["related"] = Value::Array(related);
            value
        })
        .collect()
}

fn add_place(value: &mut Value, span: Option<Span>, sources: &dyn Sources) {
    let file = span.map(|span| sources.path(span.file));
    let points = span.map(|span| {
        let text = sources.text(span.file);
        (
            place::point(text, span.start as usize),
            place::point(text, span.end as usize),
        )
    });
    value["file"] = json!(file);
    value["line"] = json!(points.map(|(start, _)| start.line));
    value["column"] = json!(points.map(|(start, _)| start.column));
    value["end_line"] = json!(points.map(|(_, end)| end.line));
    value["end_column"] = json!(points.map(|(_, end)| end.column));
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::{Files, span};
    use super::*;
    use crate::diagnostics::Diagnostic;

    #[test]
    fn every_key_is_always_there() {
        let files = Files(vec![("relay.yaml", "é: 1\nlisten: x\nlisten: y\n")]);
        let mut diags = Diagnostics::default();
        diags.push(
            Diagnostic::error("duplicate-key", span(&files, 0, "listen: y"), "twice")
                .related(span(&files, 0, "listen: x"), "the first"),
        );
        let mut nowhere = Diagnostic::warning("ignored-file", Span::default(), "not read");
        nowhere.span = None;
        diags.push(nowhere.help("rename it"));
        insta::assert_snapshot!(render_json(&diags, &files), @r#"
        [
          {
            "severity": "warning",
            "code": "ignored-file",
            "message": "not read",
            "file": null,
            "line": null,
            "column": null,
            "end_line": null,
            "end_column": null,
            "label": null,
            "help": "rename it",
            "related": []
          },
          {
            "severity": "error",
            "code": "duplicate-key",
            "message": "twice",
            "file": "relay.yaml",
            "line": 3,
            "column": 1,
            "end_line": 3,
            "end_column": 10,
            "label": null,
            "help": null,
            "related": [
              {
                "message": "the first",
                "file": "relay.yaml",
                "line": 2,
                "column": 1,
                "end_line": 2,
                "end_column": 10
              }
            ]
          }
        ]
        "#);
    }
}
