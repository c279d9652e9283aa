//! What one schema says for itself, keyword by keyword.

use regex::Regex;

use crate::config::compile::close::branches;
use crate::document::{Kind, Node, pairs};

/// The types that a schema states for itself.
pub(super) fn types(node: &Node) -> Option<Vec<String>> {
    if let Some(stated) = node.get("type") {
        return Some(match &stated.kind {
            Kind::Text(word) => vec![word.text.clone()],
            Kind::List(_) => words(Some(stated)).map(str::to_owned).collect(),
            _ => return None,
        });
    }
    let values = match (node.get("const"), node.get("enum").map(|node| &node.kind)) {
        (Some(value), _) => std::slice::from_ref(value),
        (None, Some(Kind::List(values))) => values.as_slice(),
        _ => return None,
    };
    let mut found: Vec<String> = Vec::new();
    for value in values {
        let word = match &value.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "boolean",
            Kind::Number(_) => "number",
            Kind::Text(_) => "string",
            Kind::List(_) => "array",
            Kind::Map(_) => "object",
        };
        if !found.iter().any(|known| known == word) {
            found.push(word.to_owned());
        }
    }
    Some(found)
}

/// What a schema says of the property `name`; of an undeclared one, what it says of all others.
pub(super) fn named<'n>(node: &'n Node, name: &str) -> Vec<&'n Node> {
    let declared = properties(node)
        .filter(|(known, _)| *known == name)
        .map(|(_, schema)| schema);
    let patterns = pairs(node.get("patternProperties"))
        .filter(|(pattern, _)| Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(name)))
        .map(|(_, schema)| schema);
    let found: Vec<_> = declared.chain(patterns).collect();
    if !found.is_empty() {
        return found;
    }
    ["additionalProperties", "unevaluatedProperties"]
        .into_iter()
        .filter_map(|rest| node.get(rest))
        .filter(|rest| matches!(rest.kind, Kind::Map(_)))
        .collect()
}

pub(super) fn indexed<'n>(node: &'n Node, index: &str) -> Option<&'n Node> {
    let index: usize = index.parse().ok()?;
    let first = match node.get("prefixItems").map(|node| &node.kind) {
        Some(Kind::List(schemas)) => schemas.get(index),
        _ => None,
    };
    first.or_else(|| node.get("items"))
}

/// The schemas of a list's items.
pub(super) fn items(node: &Node) -> Vec<&Node> {
    let first = match node.get("prefixItems").map(|node| &node.kind) {
        Some(Kind::List(schemas)) => schemas.as_slice(),
        _ => &[],
    };
    first.iter().chain(node.get("items")).collect()
}

pub(super) fn properties(node: &Node) -> impl Iterator<Item = (&str, &Node)> + Clone {
    pairs(node.get("properties"))
}

pub(super) fn words(list: Option<&Node>) -> impl Iterator<Item = &str> {
    let items = match list.map(|node| &node.kind) {
        Some(Kind::List(items)) => items.as_slice(),
        _ => &[],
    };
    items.iter().filter_map(Node::as_text)
}

pub(super) fn subschemas<'n>(node: &'n Node, keyword: &str) -> Vec<&'n Node> {
    node.get(keyword)
        .map(|value| branches(keyword, value))
        .unwrap_or_default()
}

pub(super) fn is_index(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit())
}
