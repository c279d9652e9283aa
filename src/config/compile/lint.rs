//! What JSON Schema lets pass and an author would want to know: words that are no keywords, references
//! that lead nowhere, patterns that the linear engine does not take, defaults that nobody applies.

use super::close::{BRANCHES, branches};
use super::codes;
use super::reference::at_pointer;
use crate::config::spec::part::misplaced;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Entry, Kind, Node};
use crate::transform::encode::percent_decoded;

/// One subschema (or a map or list of them) behind each of these keywords.
const NESTED: [&str; 10] = [
    "items",
    "prefixItems",
    "contains",
    "additionalProperties",
    "unevaluatedProperties",
    "unevaluatedItems",
    "propertyNames",
    "not",
    "if",
    "contentSchema",
];
const NAMED: [&str; 4] = ["properties", "patternProperties", "$defs", "definitions"];
const OTHERS: [&str; 36] = [
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "format",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
    "contentEncoding",
    "contentMediaType",
    "$schema",
    "$comment",
    "$ref",
    "$id",
    "$anchor",
    "$dynamicRef",
];
const TYPES: [&str; 7] = [
    "string", "integer", "number", "boolean", "object", "array", "null",
];
/// JSON Schema 2020-12 Validation, section 7.3.
const FORMATS: [&str; 19] = [
    "date",
    "date-time",
    "duration",
    "email",
    "hostname",
    "idn-email",
    "idn-hostname",
    "ipv4",
    "ipv6",
    "iri",
    "iri-reference",
    "json-pointer",
    "regex",
    "relative-json-pointer",
    "time",
    "uri",
    "uri-reference",
    "uri-template",
    "uuid",
];
/// Ways to name a schema that would compete with files and pointers.
const NAMING: [&str; 3] = ["$id", "$anchor", "$dynamicRef"];
/// What people read; an expression may be quoted there.
const PROSE: [&str; 5] = ["title", "description", "$comment", "examples", "pattern"];

fn keywords() -> impl Iterator<Item = &'static str> {
    NESTED
        .iter()
        .chain(&NAMED)
        .chain(&BRANCHES)
        .chain(&OTHERS)
        .copied()
}

/// What JSON Schema lets pass and an author would want to know.
pub(super) fn lint(root: &Node, node: &Node, is_root: bool, diags: &mut Diagnostics) {
    let Kind::Map(entries) = &node.kind else {
        if !matches!(node.kind, Kind::Bool(_)) || is_root {
            diags.push(Diagnostic::error(
                codes::WRONG_TYPE,
                node.span,
                format!("expected a JSON Schema (a map), found {}", node.describe()),
            ));
        }
        return;
    };
    for entry in entries {
        let key = entry.key.as_str();
        if BRANCHES.contains(&key) || NESTED.contains(&key) {
            for schema in branches(key, &entry.value) {
                lint(root, schema, false, diags);
            }
        } else if NAMED.contains(&key) {
            if let Kind::Map(named) = &entry.value.kind {
                named
                    .iter()
                    .for_each(|named| lint(root, &named.value, false, diags));
            }
        } else {
            lint_keyword(root, entry, diags);
        }
    }
    lint_required(root, node, diags);
}

fn lint_keyword(root: &Node, entry: &Entry, diags: &mut Diagnostics) {
    let key = entry.key.as_str();
    if NAMING.contains(&key) {
        diags.push(
            Diagnostic::error(
                codes::UNSUPPORTED_KEY,
                entry.key_span,
                format!("`{key}` is not used here"),
            )
            .help("schemas are named by their file and a `#/pointer`"),
        );
        return;
    }
    if !OTHERS.contains(&key) {
        if !key.starts_with("x-") {
            diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_KEY,
                    entry.key_span,
                    format!("`{key}` is not a keyword of JSON Schema 2020-12"),
                )
                .did_you_mean(suggest::nearest(key, keywords()))
                .help("a keyword of your own begins with `x-`"),
            );
        }
        return;
    }
    match key {
        "default" => diags.push(
            Diagnostic::warning(
                codes::DEFAULT_NOT_APPLIED,
                entry.key_span,
                "`default` is documentation: it is not put into a request",
            )
            .help("write `{{ default body.x 5 }}` where the value is used"),
        ),
        "$ref" => lint_reference(root, &entry.value, diags),
        "pattern" => lint_pattern(&entry.value, diags),
        "type" => match &entry.value.kind {
            Kind::List(types) => types
                .iter()
                .for_each(|word| lint_word(word, "a type", &TYPES, diags)),
            _ => lint_word(&entry.value, "a type", &TYPES, diags),
        },
        "format" => lint_word(&entry.value, "a format", &FORMATS, diags),
        _ => {}
    }
    if !PROSE.contains(&key) {
        lint_braces(&entry.value, diags);
    }
}

fn lint_reference(root: &Node, value: &Node, diags: &mut Diagnostics) {
    let Some(text) = value.as_text() else {
        return; // The meta-schema says so.
    };
    let found = text
        .strip_prefix('#')
        .is_some_and(|pointer| at_pointer(root, &percent_decoded(pointer)).is_some());
    if !found {
        let mut known = Vec::new();
        if let Some(Kind::Map(entries)) = root.get("$defs").map(|defs| &defs.kind) {
            known.extend(entries.iter().map(|entry| format!("#/$defs/{}", entry.key)));
        }
        diags.push(
            Diagnostic::error(
                codes::BAD_REFERENCE,
                value.span,
                format!("`{text}` is not in this schema"),
            )
            .did_you_mean(suggest::nearest(text, known.iter().map(String::as_str))),
        );
    }
}

/// Reports a word that is none of the closed set.
fn lint_word(value: &Node, what: &str, known: &[&str], diags: &mut Diagnostics) {
    // What is no text at all, the meta-schema says.
    let Some(text) = value.as_text().filter(|text| !known.contains(text)) else {
        return;
    };
    diags.push(
        Diagnostic::error(
            codes::BAD_SCHEMA,
            value.span,
            format!("`{text}` is not {what} of JSON Schema 2020-12"),
        )
        .did_you_mean(suggest::nearest(text, known.iter().copied()))
        .help(format!("write one of: {}", known.join(", "))),
    );
}

/// Look-around and back-references need a backtracking engine, which a request could stall.
fn lint_pattern(value: &Node, diags: &mut Diagnostics) {
    let Some(text) = value.as_text() else {
        return; // The meta-schema says so.
    };
    let linear = ["(?=", "(?!", "(?<=", "(?<!"]
        .iter()
        .all(|group| !text.contains(group));
    if !linear {
        diags.push(
            Diagnostic::error(
                codes::BAD_SCHEMA,
                value.span,
                "this pattern looks around, which the linear engine does not",
            )
            .help("write what must match, or several patterns in an `allOf`"),
        );
    }
}

fn lint_braces(value: &Node, diags: &mut Diagnostics) {
    match &value.kind {
        Kind::Text(scalar) if scalar.text.contains("{{") => {
            diags.push(misplaced(value.span, "a schema takes no expression"));
        }
        Kind::List(items) => items.iter().for_each(|item| lint_braces(item, diags)),
        _ => {}
    }
}

/// A property of a closed object that it does not have can never be given: neither one that is required, nor one
/// that requires others.
fn lint_required(root: &Node, node: &Node, diags: &mut Diagnostics) {
    let Some(Kind::Map(properties)) = node.get("properties").map(|n| &n.kind) else {
        return;
    };
    let required = match node.get("required").map(|n| &n.kind) {
        Some(Kind::List(required)) => required.as_slice(),
        _ => &[],
    };
    let open = [
        "additionalProperties",
        "unevaluatedProperties",
        "patternProperties",
        "$ref",
    ]
    .iter()
    .chain(&BRANCHES)
    .any(|key| node.get(key).is_some());
    if open || is_branch(root, node) {
        return;
    }
    for name in required {
        let Some(text) = name.as_text() else { continue };
        if !properties.iter().any(|entry| entry.key == text) {
            let nearest = suggest::nearest(text, properties.iter().map(|e| e.key.as_str()));
            diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_FIELD,
                    name.span,
                    format!("`{text}` is required, but is not one of the `properties`"),
                )
                .did_you_mean(nearest)
                .help("the object is closed, so no request could be right"),
            );
        }
    }
    for entry in node.get("dependentRequired").map_or(&[][..], Node::entries) {
        let names = || properties.iter().map(|known| known.key.as_str());
        if !names().any(|known| known == entry.key) {
            diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_FIELD,
                    entry.key_span,
                    format!(
                        "`{}` requires others, but is not one of the `properties`",
                        entry.key
                    ),
                )
                .did_you_mean(suggest::nearest(&entry.key, names()))
                .help("the object is closed, so it never comes, and never requires anything"),
            );
        }
    }
}

/// Whether the node stands somewhere below a branch or a definition, and so may be only a part.
fn is_branch(root: &Node, node: &Node) -> bool {
    fn below(at: &Node, node: &Node, part: bool) -> bool {
        if std::ptr::eq(at, node) {
            return part;
        }
        match &at.kind {
            Kind::List(items) => items.iter().any(|item| below(item, node, part)),
            Kind::Map(entries) => entries.iter().any(|entry| {
                let key = entry.key.as_str();
                let part = part
                    || BRANCHES.contains(&key)
                    || ["if", "not", "contains", "$defs", "definitions"].contains(&key);
                below(&entry.value, node, part)
            }),
            _ => false,
        }
    }
    below(root, node, false)
}
