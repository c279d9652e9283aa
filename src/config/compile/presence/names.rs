//! Whether there can be such a field at all, in whatever branch of a schema.

use super::keywords::{indexed, is_index, items, named, properties, subschemas, types};
use crate::config::compile::close::{BRANCHES, local_target};
use crate::document::{Kind, Node};
use crate::transform::uses::Key;

/// A field that cannot be.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::config::compile) struct NoSuch {
    /// Which key is the wrong one.
    pub depth: usize,
    pub why: Why,
}

#[derive(Debug, PartialEq, Eq)]
pub(in crate::config::compile) enum Why {
    /// A closed object has these instead.
    Unknown(Vec<String>),
    /// What the key is asked of is a list.
    OfList,
    /// What the key is asked of has no parts: it is of this type.
    OfScalar(String),
}

/// The first key of a variable that the schema cannot have.
pub(in crate::config::compile) fn no_such(root: &Node, keys: &[Key]) -> Option<NoSuch> {
    let mut at = vec![root];
    for (depth, key) in keys.iter().enumerate() {
        let mut all = Vec::new();
        for schema in &at {
            parts(root, schema, &mut all);
        }
        let Key::Name(name) = key else {
            at = all.iter().flat_map(|part| items(part)).collect();
            if at.is_empty() {
                return None;
            }
            continue;
        };
        if let Some(why) = has_no_keys(&all, name) {
            return Some(NoSuch { depth, why });
        }
        let mut next = Vec::new();
        let mut known = Vec::new();
        let mut closed = false;
        for part in &all {
            known.extend(properties(part).map(|(name, _)| name.to_owned()));
            next.extend(named(part, name));
            if is_index(name) {
                next.extend(indexed(part, name));
            }
            for rest in ["additionalProperties", "unevaluatedProperties"] {
                match part.get(rest).map(|node| &node.kind) {
                    Some(Kind::Bool(false)) => closed = true,
                    // Whatever its name, it may be there.
                    Some(_) if next.is_empty() => return None,
                    _ => {}
                }
            }
        }
        if next.is_empty() {
            known.sort_by_key(|name| known_order(&all, name));
            known.dedup();
            return (closed && !known.is_empty()).then_some(NoSuch {
                depth,
                why: Why::Unknown(known),
            });
        }
        at = next;
    }
    None
}

/// Names stay in the order of the schema.
fn known_order(all: &[&Node], name: &str) -> usize {
    all.iter()
        .flat_map(|part| properties(part))
        .position(|(known, _)| known == name)
        .unwrap_or(usize::MAX)
}

/// A list or a scalar has no keys, if that is all that it can be.
fn has_no_keys(all: &[&Node], name: &str) -> Option<Why> {
    let mut stated = all.iter().filter_map(|part| types(part));
    let mut found = stated.next()?;
    for more in stated {
        found.extend(more);
    }
    if found.iter().any(|word| word == "object") {
        return None;
    }
    // What says nothing of its type may be an object in some branch.
    let silent = |part: &&Node| types(part).is_none() && part.get("properties").is_some();
    if all.iter().any(silent) {
        return None;
    }
    match found.iter().any(|word| word == "array") {
        true if is_index(name) => None,
        true => Some(Why::OfList),
        false => found
            .into_iter()
            .find(|word| word != "null")
            .map(Why::OfScalar),
    }
}

/// The schema and everything that describes the same value, in whatever branch.
fn parts<'n>(root: &'n Node, node: &'n Node, all: &mut Vec<&'n Node>) {
    if all.iter().any(|known| std::ptr::eq(*known, node)) {
        return;
    }
    all.push(node);
    if let Some(target) = local_target(root, node) {
        parts(root, target, all);
    }
    for keyword in BRANCHES {
        for schema in subschemas(node, keyword) {
            parts(root, schema, all);
        }
    }
}
