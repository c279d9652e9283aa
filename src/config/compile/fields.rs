//! The fields of a schema that are marked `writeOnly`, wherever they stand in a value.

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
