//! `mappings`: list, show, adopt, forget.
//!
//! ```json
//! { "resource": "network", "cmp_id": "n1", "scope": "", "backend": "os-1", "kind": "neutron",
//!   "backend_id": "…" | null, "attributes": {}, "created_operation": "…", "updated_operation": null,
//!   "created_at": "…", "updated_at": "…" }
//! ```

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::operations::{PAGE, read};
use super::{Admin, Problem, body_of, respond};
use crate::clock::{rfc3339, unix_micros};
use crate::http::operations::{json_reply, key_words, settled_or_refused};
use crate::relay::{Caller, RelayError, Replicated, Reply, acknowledge, confirm};
use crate::store::{Mapping, MappingFilter, ObjectKey, Settled, Write};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Filter {
    resource: Option<String>,
    cmp_id: Option<String>,
    backend: Option<String>,
    backend_id: Option<String>,
    after: Option<String>,
    limit: Option<u32>,
}

/// `GET /relay/v1/mappings?resource=&cmp_id=&backend=&backend_id=&after=&limit=`:
/// `{ "items": [mapping], "next": "<cursor for after>" | null }`, in the order of their keys.
pub(super) async fn list(
    State(admin): State<Admin>,
    filter: Result<Query<Filter>, QueryRejection>,
) -> Result<Response, Problem> {
    let filter = read(filter)?;
    let after = filter
        .after
        .map(|cursor| {
            key_of_cursor(&cursor)
                .ok_or_else(|| RelayError::MalformedRequest("`after` is no cursor of ours.".into()))
        })
        .transpose()?;
    let limit = filter.limit.unwrap_or(PAGE.1).clamp(1, PAGE.0);
    let wanted = MappingFilter {
        resource: filter.resource,
        cmp_id: filter.cmp_id,
        backend: filter.backend,
        backend_id: filter.backend_id,
        after,
        limit,
    };
    let store = admin.relay.journal().store();
    let found = store.list_mappings(&wanted).await?;
    let full = found.len() == limit as usize;
    let next = found.last().filter(|_| full).map(|row| cursor_of(&row.key));
    let items: Vec<Value> = found.iter().map(to_json).collect();
    let page = json!({ "items": items, "next": next });
    Ok(respond(json_reply(StatusCode::OK, &page)))
}

/// `GET /relay/v1/mappings/{resource}/{cmp_id}`: `{ "items": [mapping] }`, one for each backend;
/// 404 `not_mapped` when there is none.
pub(super) async fn show(
    State(admin): State<Admin>,
    Path((resource, cmp_id)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let found = of_object(&admin, &resource, &cmp_id).await?;
    let items: Vec<Value> = found.iter().map(to_json).collect();
    let page = json!({ "items": items });
    Ok(respond(json_reply(StatusCode::OK, &page)))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Adopt {
    resource: String,
    cmp_id: String,
    backend: String,
    backend_id: String,
    #[serde(default)]
    attributes: Map<String, Value>,
}

/// `POST /relay/v1/mappings` with `{ "resource", "cmp_id", "backend", "backend_id", "attributes" }`:
/// records an object that the backend has already; 201 with the mapping.
pub(super) async fn adopt(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    body: Body,
) -> Result<Response, Problem> {
    let adopt: Adopt = serde_json::from_slice(&body_of(body).await?)
        .map_err(|error| RelayError::MalformedRequest(format!("The body: {error}.")))?;
    let mapping = mapping_of(&admin, adopt)?;
    let shown = to_json(&mapping);
    let what = key_words(&mapping.key);
    let write = Write::Adopt {
        mapping,
        by: caller.name.to_string(),
    };
    let (settled, replicated) = written(&admin, write).await?;
    settled_or_refused(settled, &what)?;
    let mut reply = json_reply(StatusCode::CREATED, &shown);
    acknowledge(&mut reply, replicated);
    Ok(respond(reply))
}

fn mapping_of(admin: &Admin, adopt: Adopt) -> Result<Mapping, RelayError> {
    let plan = admin.relay.plan();
    let bad = |words: String| Err(RelayError::MalformedRequest(words));
    for (name, value, limit) in [
        ("cmp_id", &adopt.cmp_id, 255),
        ("backend_id", &adopt.backend_id, 512),
    ] {
        if value.is_empty() || value.len() > limit || value.chars().any(char::is_control) {
            return bad(format!(
                "`{name}` is 1 to {limit} bytes without control characters."
            ));
        }
    }
    let Some(resource) = plan.resource_named(&adopt.resource) else {
        return bad(format!("No resource is called `{}`.", adopt.resource));
    };
    let Some(backend) = plan.backend_named(&adopt.backend) else {
        return Err(RelayError::NoSuchBackend(adopt.backend));
    };
    let (resource, backend) = (plan.resource(resource), plan.backend(backend));
    if resource.kind != backend.kind {
        return bad(format!(
            "`{}` is of kind `{}`, and {} objects are on backends of kind `{}`.",
            backend.name, backend.kind, resource.name, resource.kind
        ));
    }
    let now = unix_micros();
    Ok(Mapping {
        key: ObjectKey {
            resource: adopt.resource,
            cmp_id: adopt.cmp_id,
            scope: match resource.per_backend {
                true => adopt.backend.clone(),
                false => String::new(),
            },
        },
        backend: adopt.backend,
        kind: backend.kind.to_string(),
        backend_id: Some(adopt.backend_id),
        attributes: adopt.attributes,
        created_operation: None,
        updated_operation: None,
        created_at: now,
        updated_at: now,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    backend: Option<String>,
}

/// `DELETE /relay/v1/mappings/{resource}/{cmp_id}?backend=`: removes the mapping without a call; 204.
/// `backend` is needed where the object is mapped on several.
pub(super) async fn forget(
    State(admin): State<Admin>,
    Extension(caller): Extension<Caller>,
    Path((resource, cmp_id)): Path<(String, String)>,
    which: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Problem> {
    let which = read(which)?;
    let mut found = of_object(&admin, &resource, &cmp_id).await?;
    if let Some(backend) = &which.backend {
        found.retain(|row| row.backend == *backend);
    }
    let key = match found.as_slice() {
        [only] => only.key.clone(),
        [] => {
            return Err(Problem(RelayError::NotMapped {
                resource,
                id: cmp_id,
            }));
        }
        several => {
            let names: Vec<&str> = several.iter().map(|row| row.backend.as_str()).collect();
            let words = format!(
                "It is mapped on {}; say which with `?backend=`.",
                names.join(", ")
            );
            return Err(Problem(RelayError::Refused(words)));
        }
    };
    let what = key_words(&key);
    let write = Write::Forget {
        key,
        by: caller.name.to_string(),
        at: unix_micros(),
    };
    let (settled, replicated) = written(&admin, write).await?;
    match settled {
        Settled::NotFound => {
            return Err(Problem(RelayError::NotMapped {
                resource,
                id: cmp_id,
            }));
        }
        settled => settled_or_refused(settled, &what)?,
    }
    let mut reply = Reply {
        status: StatusCode::NO_CONTENT,
        headers: HeaderMap::new(),
        body: Bytes::new(),
    };
    acknowledge(&mut reply, replicated);
    Ok(respond(reply))
}

async fn of_object(
    admin: &Admin,
    resource: &str,
    cmp_id: &str,
) -> Result<Vec<Mapping>, RelayError> {
    let store = admin.relay.journal().store();
    let found = store.mappings_of_object(resource, cmp_id).await?;
    if found.is_empty() {
        return Err(RelayError::NotMapped {
            resource: resource.to_owned(),
            id: cmp_id.to_owned(),
        });
    }
    Ok(found)
}

/// By the server's rule: a mapping is of no route.
async fn written(admin: &Admin, write: Write) -> Result<(Settled, Replicated), RelayError> {
    let rule = confirm::rule(&admin.relay.plan(), None);
    admin.relay.administer(write, rule).await
}

/// A mapping as JSON.
pub(super) fn to_json(mapping: &Mapping) -> Value {
    json!({
        "resource": mapping.key.resource,
        "cmp_id": mapping.key.cmp_id,
        "scope": mapping.key.scope,
        "backend": mapping.backend,
        "kind": mapping.kind,
        "backend_id": mapping.backend_id,
        "attributes": mapping.attributes,
        "created_operation": mapping.created_operation.map(|id| id.to_string()),
        "updated_operation": mapping.updated_operation.map(|id| id.to_string()),
        "created_at": rfc3339(mapping.created_at),
        "updated_at": rfc3339(mapping.updated_at),
    })
}

/// A key as an opaque word for a query; ids may hold anything but control characters.
fn cursor_of(key: &ObjectKey) -> String {
    let parts = json!([key.resource, key.cmp_id, key.scope]);
    URL_SAFE_NO_PAD.encode(parts.to_string())
}

fn key_of_cursor(cursor: &str) -> Option<ObjectKey> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (resource, cmp_id, scope) = serde_json::from_slice(&bytes).ok()?;
    Some(ObjectKey {
        resource,
        cmp_id,
        scope,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_gives_its_key_back() {
        let key = ObjectKey {
            resource: "network".into(),
            cmp_id: "a/b \"c\"".into(),
            scope: String::new(),
        };
        assert_eq!(key_of_cursor(&cursor_of(&key)), Some(key));
        assert_eq!(key_of_cursor("!"), None);
    }
}
