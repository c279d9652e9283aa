//! Request schemas (SEMANTICS 33): JSON Schema 2020-12, closed, formats asserted, patterns linear, and
//! every mistake at its place.

use jsonschema::{Draft, PatternOptions};

use super::close::{BRANCHES, branches, close, local_target, percent_decoded};
use super::codes;
use super::reference::{at_pointer, escape, expand_schema};
use crate::config::source::SourceFiles;
use crate::config::spec::part::misplaced;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Entry, Kind, Node};
use crate::plan::{ScalarType, Schema};

/// A schema, compiled, and the closed nodes that it came from.
#[derive(Debug)]
pub(super) struct CompiledSchema {
    pub schema: Schema,
    pub closed: Node,
}

/// What a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Body,
    Query,
    Headers,
}

/// Compiles a schema; `None`: it is wrong, and that has been reported.
pub(super) fn compile(
    node: &Node,
    purpose: Purpose,
    files: &SourceFiles,
    diags: &mut Diagnostics,
) -> Option<CompiledSchema> {
    let errors = diags.errors();
    let expanded = expand_schema(node, files, diags);
    lint(&expanded, &expanded, true, diags);
    if diags.errors() > errors {
        return None;
    }
    check_meta(&expanded, diags);
    if diags.errors() > errors {
        return None;
    }
    let scalars = match purpose {
        Purpose::Body => Vec::new(),
        Purpose::Query | Purpose::Headers => scalars(&expanded, purpose, diags)?,
    };
    let closed = close(&expanded);
    let document = closed.to_json();
    let validator = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_pattern_options(PatternOptions::regex())
        .build(&document);
    let validator = match validator {
        Ok(validator) => validator,
        Err(error) => {
            report(&closed, &error, diags);
            return None;
        }
    };
    let mut write_only = Vec::new();
    collect_write_only(&closed, &closed, "", &mut Vec::new(), &mut write_only);
    if diags.errors() > errors {
        return None;
    }
    Some(CompiledSchema {
        schema: Schema {
            validator,
            document,
            write_only,
            scalars,
        },
        closed,
    })
}

/// Holds the schema against the meta-schema of 2020-12.
fn check_meta(node: &Node, diags: &mut Diagnostics) {
    let document = node.to_json();
    let meta = jsonschema::draft202012::meta::validator();
    for error in meta.iter_errors(&document) {
        report(node, &error, diags);
    }
}

fn report(root: &Node, error: &jsonschema::ValidationError<'_>, diags: &mut Diagnostics) {
    let pointer = error.instance_path().to_string();
    let place = at_pointer(root, &pointer).unwrap_or(root);
    diags.push(
        Diagnostic::error(
            codes::BAD_SCHEMA,
            place.span,
            format!("this is not JSON Schema: {error}"),
        )
        .help("schemas here are JSON Schema 2020-12"),
    );
}

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
fn lint(root: &Node, node: &Node, is_root: bool, diags: &mut Diagnostics) {
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

/// A required property of a closed object that it does not have can never be given.
fn lint_required(root: &Node, node: &Node, diags: &mut Diagnostics) {
    let (Some(Kind::List(required)), Some(Kind::Map(properties))) = (
        node.get("required").map(|n| &n.kind),
        node.get("properties").map(|n| &n.kind),
    ) else {
        return;
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

/// The properties of a query or headers schema, each a scalar.
fn scalars(
    root: &Node,
    purpose: Purpose,
    diags: &mut Diagnostics,
) -> Option<Vec<(Box<str>, ScalarType)>> {
    let what = match purpose {
        Purpose::Headers => "headers",
        _ => "query parameters",
    };
    let schema = local_target(root, root).unwrap_or(root);
    let Some(Kind::Map(properties)) = schema.get("properties").map(|node| &node.kind) else {
        diags.push(
            Diagnostic::error(
                codes::BAD_SCHEMA,
                root.span,
                format!("the schema of the {what} names none"),
            )
            .help("write `properties:` with the names that may come"),
        );
        return None;
    };
    let mut found = Vec::new();
    let mut fine = true;
    for entry in properties {
        if purpose == Purpose::Headers {
            fine &= check_header_name(entry, diags);
        }
        match scalar(root, &entry.value) {
            Some(scalar) => found.push((entry.key.as_str().into(), scalar)),
            None => {
                fine = false;
                diags.push(
                    Diagnostic::error(
                        codes::NOT_A_SCALAR,
                        entry.value.span,
                        format!("`{}` is not a scalar", entry.key),
                    )
                    .help(
                        "write `type:` with string, integer, number, boolean, or array of strings",
                    ),
                );
            }
        }
    }
    fine.then_some(found)
}

fn check_header_name(entry: &Entry, diags: &mut Diagnostics) -> bool {
    let wanted = entry.key.to_ascii_lowercase().replace('-', "_");
    if wanted == entry.key {
        return true;
    }
    diags.push(
        Diagnostic::error(
            codes::BAD_NAME,
            entry.key_span,
            format!("`{}` cannot be read as a variable", entry.key),
        )
        .did_you_mean(Some(&wanted))
        .help("headers are in lower case, with `_` for `-`"),
    );
    false
}

fn scalar(root: &Node, schema: &Node) -> Option<ScalarType> {
    let schema = local_target(root, schema).unwrap_or(schema);
    let Kind::Map(_) = &schema.kind else {
        return None;
    };
    match schema.get("type") {
        None => match schema.get("properties").or(schema.get("items")) {
            None => Some(by_values(schema)),
            Some(_) => None,
        },
        Some(kind) => match kind.as_text()? {
            "string" => Some(ScalarType::Text),
            "integer" => Some(ScalarType::Integer),
            "number" => Some(ScalarType::Number),
            "boolean" => Some(ScalarType::Boolean),
            "array" => match schema.get("items") {
                None => Some(ScalarType::TextList),
                Some(items) => {
                    (scalar(root, items)? == ScalarType::Text).then_some(ScalarType::TextList)
                }
            },
            _ => None,
        },
    }
}

/// Without a `type`, the values of an `enum` say it.
fn by_values(schema: &Node) -> ScalarType {
    let values = match (
        schema.get("enum").map(|node| &node.kind),
        schema.get("const"),
    ) {
        (Some(Kind::List(items)), _) => items.iter().collect(),
        (_, Some(value)) => vec![value],
        _ => Vec::new(),
    };
    let all = |test: fn(&Kind) -> bool| {
        !values.is_empty() && values.iter().all(|value| test(&value.kind))
    };
    if all(|kind| matches!(kind, Kind::Number(number) if number.is_i64() || number.is_u64())) {
        ScalarType::Integer
    } else if all(|kind| matches!(kind, Kind::Number(_))) {
        ScalarType::Number
    } else if all(|kind| matches!(kind, Kind::Bool(_))) {
        ScalarType::Boolean
    } else {
        ScalarType::Text
    }
}

/// The JSON pointers of what is marked `writeOnly`, into a value; `*` is any item or any other name.
fn collect_write_only<'n>(
    root: &'n Node,
    node: &'n Node,
    pointer: &str,
    open: &mut Vec<&'n Node>,
    found: &mut Vec<Box<str>>,
) {
    // A schema that contains itself repeats what it has said.
    if open.iter().any(|known| std::ptr::eq(*known, node)) {
        return;
    }
    let Kind::Map(entries) = &node.kind else {
        return;
    };
    if matches!(
        node.get("writeOnly").map(|n| &n.kind),
        Some(Kind::Bool(true))
    ) && !found.iter().any(|known| **known == *pointer)
    {
        found.push(pointer.into());
    }
    open.push(node);
    if let Some(target) = local_target(root, node) {
        collect_write_only(root, target, pointer, open, found);
    }
    for entry in entries {
        match (entry.key.as_str(), &entry.value.kind) {
            ("properties", Kind::Map(properties)) => {
                for property in properties {
                    let below = format!("{pointer}/{}", escape(&property.key));
                    collect_write_only(root, &property.value, &below, open, found);
                }
            }
            ("patternProperties", Kind::Map(properties)) => {
                for property in properties {
                    let below = format!("{pointer}/*");
                    collect_write_only(root, &property.value, &below, open, found);
                }
            }
            ("items" | "prefixItems" | "additionalProperties" | "unevaluatedProperties", _) => {
                for schema in branches(&entry.key, &entry.value) {
                    collect_write_only(root, schema, &format!("{pointer}/*"), open, found);
                }
            }
            (keyword, _) if BRANCHES.contains(&keyword) => {
                for schema in branches(keyword, &entry.value) {
                    collect_write_only(root, schema, pointer, open, found);
                }
            }
            _ => {}
        }
    }
    open.pop();
}

/// What is wrong with a path of names into a value of this schema: the first name that a closed
/// object does not have, with the names that it has.
pub(super) fn unknown_step(root: &Node, path: &str) -> Option<(String, Vec<String>)> {
    let mut at = vec![root];
    for name in path.split('.').filter(|name| !name.is_empty()) {
        let mut all = Vec::new();
        for schema in &at {
            parts(root, schema, &mut all);
        }
        let mut next = Vec::new();
        let mut known = Vec::new();
        let mut closed = false;
        for part in &all {
            if let Some(Kind::Map(properties)) = part.get("properties").map(|n| &n.kind) {
                known.extend(properties.iter().map(|entry| entry.key.clone()));
                next.extend(
                    properties
                        .iter()
                        .filter(|e| e.key == name)
                        .map(|e| &e.value),
                );
            }
            closed |= ["additionalProperties", "unevaluatedProperties"]
                .iter()
                .any(|key| matches!(part.get(key).map(|n| &n.kind), Some(Kind::Bool(false))));
            let open = ["additionalProperties", "unevaluatedProperties"]
                .iter()
                .any(|key| {
                    part.get(key)
                        .is_some_and(|n| !matches!(n.kind, Kind::Bool(false)))
                });
            if open || part.get("patternProperties").is_some() {
                return None;
            }
        }
        if next.is_empty() {
            return (closed && !known.is_empty()).then(|| (name.to_owned(), known));
        }
        at = next;
    }
    None
}

/// The schema and everything that describes the same value.
fn parts<'n>(root: &'n Node, node: &'n Node, all: &mut Vec<&'n Node>) {
    if all.iter().any(|known| std::ptr::eq(*known, node)) {
        return;
    }
    all.push(node);
    if let Some(target) = local_target(root, node) {
        parts(root, target, all);
    }
    for keyword in BRANCHES {
        for schema in node
            .get(keyword)
            .map(|v| branches(keyword, v))
            .unwrap_or_default()
        {
            parts(root, schema, all);
        }
    }
}
