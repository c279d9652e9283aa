//! What a row may hold (SEMANTICS 21), checked before the database is asked.
//!
//! Lengths are in bytes and the same on both databases, so that what one node stores the other can.

use super::{Intent, Mapping, MappingChange, ObjectKey, Outcome};

const RESOURCE: usize = 64;
const KIND: usize = 64;
const BACKEND: usize = 128;
const CMP_ID: usize = 255;
const BACKEND_ID: usize = 512;
/// Route ids, clients, idempotency keys, nodes, error codes and notes.
const NAME: usize = 255;
/// Fingerprints and call hashes.
const HASH: usize = 64;

/// What of an intent cannot be stored.
pub(super) fn intent(intent: &Intent) -> Result<(), String> {
    let operation = &intent.operation;
    name("resource", &operation.object.resource, RESOURCE)?;
    text("cmp_id", &operation.object.cmp_id, CMP_ID)?;
    text("scope", &operation.object.scope, BACKEND)?;
    text("backend", &operation.backend, BACKEND)?;
    name("route", &operation.route, NAME)?;
    name("client", &operation.client, NAME)?;
    text("node", &operation.node, NAME)?;
    if let Some(key) = &operation.idempotency_key {
        name("idempotency_key", key, NAME)?;
    }
    for (what, hash) in [
        ("fingerprint", &operation.fingerprint),
        ("call_hash", &operation.call_hash),
    ] {
        if hash.len() > HASH {
            return Err(format!("{what} is longer than {HASH} bytes"));
        }
    }
    operation.effects.iter().try_for_each(|effect| {
        name("kind", &effect.kind, KIND)?;
        object(&effect.key)
    })
}

/// What of an outcome cannot be stored.
pub(super) fn outcome(outcome: &Outcome) -> Result<(), String> {
    if let Some((code, _)) = &outcome.error {
        text("error code", code, NAME)?;
    }
    text("note", outcome.note.as_deref().unwrap_or_default(), NAME)?;
    outcome.changes.iter().try_for_each(|change| match change {
        MappingChange::Create(row) | MappingChange::Put(row) => mapping(row),
        MappingChange::Update {
            backend_id: Some(Some(id)),
            ..
        } => backend_id(id),
        MappingChange::Update { .. } | MappingChange::Delete { .. } => Ok(()),
    })
}

/// What of a mapping cannot be stored.
pub(super) fn mapping(row: &Mapping) -> Result<(), String> {
    object(&row.key)?;
    name("backend", &row.backend, BACKEND)?;
    name("kind", &row.kind, KIND)?;
    row.backend_id.as_deref().map_or(Ok(()), backend_id)
}

/// Whether this can be the id of a backend object.
pub(super) fn backend_id(id: &str) -> Result<(), String> {
    name("backend_id", id, BACKEND_ID)
}

fn object(key: &ObjectKey) -> Result<(), String> {
    name("resource", &key.resource, RESOURCE)?;
    name("cmp_id", &key.cmp_id, CMP_ID)?;
    text("scope", &key.scope, BACKEND)
}

fn name(what: &str, value: &str, limit: usize) -> Result<(), String> {
    if value.is_empty() {
        return Err(format!("{what} is empty"));
    }
    text(what, value, limit)
}

fn text(what: &str, value: &str, limit: usize) -> Result<(), String> {
    if value.len() > limit {
        return Err(format!(
            "{what} has {} bytes, at most {limit} can be stored",
            value.len()
        ));
    }
    if value.chars().any(char::is_control) {
        return Err(format!("{what} holds a control character"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_bytes_and_refuse_control_characters() {
        assert_eq!(backend_id(&"é".repeat(256)), Ok(()));
        assert!(backend_id(&"é".repeat(257)).unwrap_err().contains("514"));
        assert!(backend_id("a\u{7f}").unwrap_err().contains("control"));
        assert!(backend_id("").unwrap_err().contains("empty"));
    }
}
