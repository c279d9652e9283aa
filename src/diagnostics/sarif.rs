//! Diagnostics for code scanning: SARIF 2.1.0 (OASIS Standard, with Errata 01).
//!
//! Every code that is said is a rule with its whole page, every problem a result at its region, every
//! other place a related location, and every nearest name a fix. Columns count characters from 1, which
//! `columnKind` says; paths are below the configuration folder, or below `prefix`.

use serde_json::{Map, Value, json};

use super::{Diagnostic, Diagnostics, Severity, Sources, pages, place};
use crate::document::Span;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The whole log, with a last line break.
pub fn render_sarif(diags: &Diagnostics, sources: &dyn Sources) -> String {
    // Strings and numbers under string keys: there is nothing that cannot be written.
    let mut out = serde_json::to_string_pretty(&log(diags, sources)).unwrap_or_default();
    out.push('\n');
    out
}

fn log(diags: &Diagnostics, sources: &dyn Sources) -> Value {
    let sorted = diags.sorted();
    let mut codes: Vec<&str> = sorted.iter().map(|item| item.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes.iter().map(|code| rule(code)).collect();
    let results: Vec<Value> = sorted
        .iter()
        .map(|item| {
            // The rules are the codes of these very results.
            let index = codes.binary_search(&item.code).unwrap_or_default();
            result(item, index, sources)
        })
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {
                "driver": {
                    "name": "cmp-relay",
                    "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": rules,
                },
            },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

/// A code, with what `help-code` prints.
fn rule(code: &str) -> Value {
    let mut rule = json!({ "id": code });
    if let Some(page) = pages::page(code) {
        rule["shortDescription"] = json!({ "text": pages::summary(page) });
        rule["help"] = json!({
            "text": format!("cmp-relay help-code {code}"),
            "markdown": page,
        });
    }
    rule
}

fn result(item: &Diagnostic, rule: usize, sources: &dyn Sources) -> Value {
    let mut text = item.message.clone();
    for more in item.label.iter().chain(&item.help) {
        text.push('\n');
        text.push_str(more);
    }
    let mut result = json!({
        "ruleId": item.code,
        "ruleIndex": rule,
        "level": match item.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        "message": { "text": text },
        "locations": item.span.iter().map(|span| location(*span, sources)).collect::<Vec<_>>(),
    });
    if !item.related.is_empty() {
        let related = (1..).zip(&item.related).map(|(id, (span, message))| {
            let mut related = location(*span, sources);
            related["id"] = json!(id);
            related["message"] = json!({ "text": message });
            related
        });
        result["relatedLocations"] = related.collect();
    }
    if let Some(fix) = fix(item, sources) {
        result["fixes"] = json!([fix]);
    }
    result
}

fn location(span: Span, sources: &dyn Sources) -> Value {
    json!({
        "physicalLocation": {
            "artifactLocation": artifact(span, sources),
            "region": region(span, sources),
        },
    })
}

/// A relative reference (RFC 3986): what may not stand in a path is percent-encoded.
fn artifact(span: Span, sources: &dyn Sources) -> Value {
    let mut uri = String::new();
    for byte in sources.path(span.file).bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                uri.push(char::from(byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    json!({ "uri": uri })
}

/// Lines and columns from 1; the end column is the one behind the last character.
fn region(span: Span, sources: &dyn Sources) -> Value {
    let text = sources.text(span.file);
    let start = place::point(text, span.start as usize);
    let end = place::point(text, span.end as usize);
    let mut region = Map::new();
    region.insert("startLine".into(), json!(start.line));
    region.insert("startColumn".into(), json!(start.column));
    region.insert("endLine".into(), json!(end.line));
    region.insert("endColumn".into(), json!(end.column));
    Value::Object(region)
}

/// The nearest name in the place of the wrong one, where the place is one word and nothing more.
fn fix(item: &Diagnostic, sources: &dyn Sources) -> Option<Value> {
    let name = item.suggestion.as_deref()?;
    let mut span = item.span?;
    let written = sources
        .text(span.file)
        .get(span.start as usize..span.end as usize)?;
    let bare = ['"', '\'']
        .iter()
        .find_map(|quote| written.strip_prefix(*quote)?.strip_suffix(*quote));
    if bare.is_some() {
        span.start += 1;
        span.end -= 1;
    }
    let one_word = |text: &str| {
        !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "{}\"'".contains(c))
    };
    if !one_word(bare.unwrap_or(written)) || !one_word(name) {
        return None;
    }
    Some(json!({
        "description": { "text": format!("write `{name}`") },
        "artifactChanges": [{
            "artifactLocation": artifact(span, sources),
            "replacements": [{
                "deletedRegion": region(span, sources),
                "insertedContent": { "text": name },
            }],
        }],
    }))
}

#[cfg(test)]
mod tests {
    use super::super::text::tests::{Files, span};
    use super::*;

    fn sample() -> (Files, Diagnostics) {
        let files = Files(vec![(
            "routes.d/a b.yaml",
            "é: 1\nsummary: ü\nmtach: \"GTE /x\"\nmatch: y\n",
        )]);
        let mut diags = Diagnostics::default();
        diags.push(
            Diagnostic::error("unknown-key", span(&files, 0, "mtach"), "no such key")
                .did_you_mean(Some("match"))
                .help("keys here: match")
                .related(span(&files, 0, "match: y"), "it stands here"),
        );
        diags.push(
            Diagnostic::error("bad-match", span(&files, 0, "\"GTE /x\""), "no method")
                .did_you_mean(Some("GET")),
        );
        diags.push(
            Diagnostic::warning("unknown-key", span(&files, 0, "ü"), "another")
                .did_you_mean(Some("u")),
        );
        let mut nowhere = Diagnostic::warning("ignored-file", Span::default(), "not read");
        nowhere.span = None;
        diags.push(nowhere);
        (files, diags)
    }

    #[test]
    fn a_result_names_its_rule_its_region_and_its_fix() {
        let (files, diags) = sample();
        let log: Value = serde_json::from_str(&render_sarif(&diags, &files)).unwrap();
        assert_eq!(log["version"], "2.1.0");
        let run = &log["runs"][0];
        assert_eq!(run["columnKind"], "unicodeCodePoints");
        let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
        let results = run["results"].as_array().unwrap();
        for result in results {
            let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
            assert_eq!(rules[index]["id"], result["ruleId"]);
        }
        let levels: Vec<_> = results
            .iter()
            .map(|r| r["level"].as_str().unwrap())
            .collect();
        assert_eq!(levels, ["warning", "warning", "error", "error"]);
        assert_eq!(results[0]["locations"], json!([]));
        let unknown = &results[2];
        assert_eq!(
            unknown["locations"][0]["physicalLocation"],
            json!({
                "artifactLocation": { "uri": "routes.d/a%20b.yaml" },
                "region": { "startLine": 3, "startColumn": 1, "endLine": 3, "endColumn": 6 },
            })
        );
        assert_eq!(
            unknown["message"]["text"],
            "no such key\ndid you mean `match`?\nkeys here: match"
        );
        assert_eq!(
            unknown["relatedLocations"][0]["physicalLocation"]["region"]["startLine"],
            4
        );
        assert_eq!(
            unknown["fixes"][0]["artifactChanges"][0]["replacements"][0]["insertedContent"]["text"],
            "match"
        );
        let page = &rules[usize::try_from(unknown["ruleIndex"].as_u64().unwrap()).unwrap()];
        assert!(
            page["help"]["markdown"]
                .as_str()
                .unwrap()
                .starts_with("# unknown-key\n")
        );
    }

    #[test]
    fn columns_count_characters_and_a_fix_leaves_quotes_alone() {
        let (files, diags) = sample();
        let log: Value = serde_json::from_str(&render_sarif(&diags, &files)).unwrap();
        let results = &log["runs"][0]["results"];
        let umlaut = &results[1]["fixes"][0]["artifactChanges"][0]["replacements"][0];
        assert_eq!(
            umlaut["deletedRegion"],
            json!({ "startLine": 2, "startColumn": 10, "endLine": 2, "endColumn": 11 })
        );
        // `GTE /x` is more than the word that is meant.
        assert_eq!(results[3].get("fixes"), None);
    }
}
