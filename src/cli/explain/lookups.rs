//! The rows of the mapping table that a request looks for, and what to type for one that is missing.

use serde_json::Map;

use super::account::RowAccount;
use super::tell::Known;
use crate::plan::{BackendState, Plan};
use crate::relay::RelayError;
use crate::relay::witness::{Purpose, RowRead, Sought};
use crate::store::ObjectKey;

/// Every row, in the order in which they were looked for.
pub fn of(known: &Known<'_>) -> Vec<RowAccount> {
    known.seen.rows.iter().map(|row| one(known, row)).collect()
}

fn one(known: &Known<'_>, row: &RowRead) -> RowAccount {
    let found = row.found.as_deref();
    let (resource, cmp_id, scope) = match (&row.key, found) {
        (Sought::Object(key), _) => (&key.resource, Some(key.cmp_id.clone()), key.scope.clone()),
        (Sought::BackendId { resource, .. }, Some(found)) => {
            let key = &found.key;
            (resource, Some(key.cmp_id.clone()), key.scope.clone())
        }
        (Sought::BackendId { resource, .. }, None) => (resource, None, String::new()),
    };
    let (backend, backend_id) = match (&row.key, found) {
        (_, Some(found)) => (Some(found.backend.clone()), found.backend_id.clone()),
        (
            Sought::BackendId {
                backend,
                backend_id,
                ..
            },
            None,
        ) => (Some(backend.clone()), Some(backend_id.clone())),
        (Sought::Object(_), None) => (None, None),
    };
    RowAccount {
        purpose: match &row.purpose {
            Purpose::Object => "object".to_owned(),
            Purpose::Parent(alias) => format!("parents.{alias}"),
            Purpose::Helper => "helper".to_owned(),
            Purpose::Put => "put".to_owned(),
            Purpose::Create => "create".to_owned(),
        },
        resource: resource.clone(),
        cmp_id,
        scope,
        found: found.is_some(),
        backend,
        backend_id,
        attributes: found.map_or_else(Map::new, |found| found.attributes.clone()),
        remedy: match &row.key {
            Sought::Object(key) if is_missed(known, key) => Some(remedy(known.plan, key)),
            _ => None,
        },
    }
}

/// Whether the request ends because this row, or its backend id, is not there.
fn is_missed(known: &Known<'_>, key: &ObjectKey) -> bool {
    match known.failure.map(|failure| &failure.error) {
        Some(
            RelayError::NotMapped { resource, id } | RelayError::PendingObject { resource, id },
        ) => *resource == key.resource && *id == key.cmp_id,
        _ => false,
    }
}

/// The words that give the row: any active instance of its kind, and an id to fill in.
fn remedy(plan: &Plan, key: &ObjectKey) -> String {
    let kind = plan
        .resource_named(&key.resource)
        .map(|id| &plan.resource(id).kind);
    let of_kind = || plan.backends.iter().filter(|one| Some(&one.kind) == kind);
    let backend = match key.scope.as_str() {
        "" => of_kind()
            .find(|one| one.state == BackendState::Active)
            .or(of_kind().next())
            .map_or("BACKEND", |one| &*one.name),
        scope => scope,
    };
    let row = format!("{}/{}={backend}:ID", key.resource, key.cmp_id);
    format!("to try it with one: --mapping {}", quoted(&row))
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/=:._-".contains(c);
    match word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}
