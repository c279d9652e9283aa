//! Trees with secrets in them, as they are sent, and what must not be read of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::driver::https::scrub::Scrubber;
use crate::plan::SecretTree;

/// The tree with its secrets in place.
pub(super) fn expose(tree: &SecretTree) -> Value {
    match tree {
        SecretTree::Literal(value) => value.clone(),
        SecretTree::Secret(secret) => Value::from(secret.expose()),
        SecretTree::List(items) => items.iter().map(expose).collect(),
        SecretTree::Map(entries) => entries
            .iter()
            .map(|(name, tree)| (name.to_string(), expose(tree)))
            .collect(),
        SecretTree::Json(tree) => Value::from(expose(tree).to_string()),
        SecretTree::Base64(tree) => Value::from(STANDARD.encode(plain(expose(tree)))),
    }
}

/// Adds the secrets, and the texts that are made of them: whoever reads one has the others.
pub(super) fn conceal(tree: &SecretTree, scrubber: &mut Scrubber) {
    match tree {
        SecretTree::Literal(_) => {}
        SecretTree::Secret(secret) => scrubber.add(secret.expose()),
        SecretTree::List(items) => items.iter().for_each(|item| conceal(item, scrubber)),
        SecretTree::Map(entries) => entries.iter().for_each(|(_, tree)| conceal(tree, scrubber)),
        SecretTree::Json(below) | SecretTree::Base64(below) => {
            conceal(below, scrubber);
            scrubber.add(&plain(expose(tree)));
        }
    }
}

/// A scalar as text.
pub(super) fn plain(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}
