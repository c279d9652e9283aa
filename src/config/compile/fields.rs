//! The fields that a schema describes: the ones marked `writeOnly`, and the ones that a variable may
//! name.

use super::close::{BRANCHES, branches, local_target};
use super::reference::escape;
use crate::document::{Kind, Node};

/// The JSON pointers of what is marked `writeOnly`, into a value; `*` is any item or any other name.
pub(super) fn collect_write_only<'n>(
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

/// What is wrong with a path of names into a value of this schema: which name is the first that a
/// closed object does not have, and the names that it has.
pub(super) fn unknown_step(root: &Node, path: &str) -> Option<(usize, Vec<String>)> {
    let mut at = vec![root];
    let names = path.split('.').filter(|name| !name.is_empty());
    for (depth, name) in names.enumerate() {
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
            return (closed && !known.is_empty()).then_some((depth, known));
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
