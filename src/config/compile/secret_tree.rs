//! Literal trees with secrets in them: the body of a login, a header that is built.

use super::complete;
use crate::config::env::World;
use crate::config::spec::decode::Decode;
use crate::config::spec::part::misplaced;
use crate::config::spec::secret::{self, SecretRef};
use crate::config::{codes, secrets};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{Entry, Kind, Node};
use crate::plan::SecretTree;

/// A literal tree with secrets at `{ $env: NAME }` and `{ $file: PATH }`, and with texts that `$json` and
/// `$base64` make of what is below them. `key` is what the tree stands at.
pub(super) fn tree(
    key: Option<&str>,
    node: &Node,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<SecretTree> {
    match &node.kind {
        Kind::Map(entries) if entries.iter().any(is_directive) => {
            directive(key, entries, node, world, diags)
        }
        Kind::Map(entries) => {
            let fields = entries.iter().map(|entry| {
                // `$$filter` is the key `$filter`.
                let key = entry.key.strip_prefix('$').unwrap_or(&entry.key);
                let tree = tree(Some(key), &entry.value, world, diags)?;
                Some((key.into(), tree))
            });
            complete(fields).map(SecretTree::Map)
        }
        Kind::List(items) => {
            complete(items.iter().map(|item| tree(key, item, world, diags))).map(SecretTree::List)
        }
        Kind::Text(_) | Kind::Number(_) if key.is_some_and(secrets::smells) => {
            let help = "write `{ $env: NAME }` or `{ $file: PATH }`";
            diags.push(secret::in_clear(node.span, help));
            diags.mask(node.span);
            None
        }
        Kind::Text(scalar) if scalar.text.contains("{{") => {
            diags.push(misplaced(
                node.span,
                "what carries a secret takes no expression",
            ));
            None
        }
        _ => Some(SecretTree::Literal(node.to_json())),
    }
}

/// The tree of a header's value: a text, and one that has a secret in it.
pub(super) fn built(node: &Node, world: World<'_>, diags: &mut Diagnostics) -> Option<SecretTree> {
    if !has_reference(node) {
        let help = "take what is secret in it from `{ $env: NAME }` or `{ $file: PATH }`";
        diags.push(secret::in_clear(node.span, help));
        diags.mask(node.span);
        return None;
    }
    tree(None, node, world, diags)
}

fn has_reference(node: &Node) -> bool {
    match &node.kind {
        Kind::Map(entries) => entries
            .iter()
            .any(|entry| matches!(&*entry.key, "$env" | "$file") || has_reference(&entry.value)),
        Kind::List(items) => items.iter().any(has_reference),
        _ => false,
    }
}

fn is_directive(entry: &Entry) -> bool {
    entry.key.starts_with('$') && !entry.key.starts_with("$$")
}

fn directive(
    key: Option<&str>,
    entries: &[Entry],
    node: &Node,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<SecretTree> {
    let [entry] = entries else {
        return plain_reference(entries, node, world, diags);
    };
    match entry.key.as_str() {
        "$json" => {
            let below = tree(key, &entry.value, world, diags)?;
            Some(SecretTree::Json(Box::new(below)))
        }
        "$base64" => {
            let below = tree(key, &entry.value, world, diags)?;
            if matches!(
                below,
                SecretTree::Map(_)
                    | SecretTree::List(_)
                    | SecretTree::Literal(serde_json::Value::Null)
            ) {
                diags.push(
                    Diagnostic::error(
                        codes::WRONG_TYPE,
                        entry.value.span,
                        format!("expected a text, found {}", entry.value.describe()),
                    )
                    .help("write `$json` above it, which makes one"),
                );
                return None;
            }
            Some(SecretTree::Base64(Box::new(below)))
        }
        unknown if !matches!(unknown, "$env" | "$file") => {
            let keys = ["$env", "$file", "$json", "$base64"];
            diags.push(
                Diagnostic::error(
                    codes::UNKNOWN_KEY,
                    entry.key_span,
                    format!("`{unknown}` is not a key here"),
                )
                .did_you_mean(crate::diagnostics::suggest::nearest(unknown, keys))
                .help(format!("keys here: {}", keys.join(", "))),
            );
            None
        }
        _ => plain_reference(entries, node, world, diags),
    }
}

/// Reads `{ $env: NAME }` as a [`SecretRef`], which is written without the dollar elsewhere.
fn plain_reference(
    entries: &[Entry],
    node: &Node,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<SecretTree> {
    let entries = entries
        .iter()
        .map(|entry| Entry {
            key: match entry.key.as_str() {
                "$env" => "env".into(),
                "$file" => "file".into(),
                other => other.into(),
            },
            ..entry.clone()
        })
        .collect();
    let plain = Node {
        span: node.span,
        kind: Kind::Map(entries),
    };
    let secret = SecretRef::decode(&plain, diags)?;
    world.resolve(&secret, diags).map(SecretTree::Secret)
}
