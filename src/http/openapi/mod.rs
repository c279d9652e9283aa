//! The CMP API as OpenAPI 3.1, built from the plan: what is published is what is served.
//!
//! The document promises what is certain before any request and no more: a reply's members and the
//! types that its sources have, every status and code that a route can give. [`operation`] writes a
//! route, `replies` what it answers, `problems` what can go wrong on it, `own` the relay's own paths;
//! `schema` moves request schemas into the document and `shared` gives what recurs a name.

mod examples;
mod headers;
mod operation;
mod own;
mod problems;
mod published;
mod replies;
mod schema;
mod shared;

use serde_json::{Map, Value, json};

use crate::plan::Plan;
use schema::Components;

pub use published::Published;

/// The tag of the relay's own paths.
const OWN_TAG: &str = "relay";

/// The whole document.
pub fn document(plan: &Plan) -> Value {
    let mut components = Components::default();
    let mut operations: Vec<_> = plan
        .routes
        .iter()
        .map(|route| operation::of(plan, route, &mut components))
        .collect();
    shared::name_what_recurs(plan, &mut operations, &mut components);

    let mut paths: Map<String, Value> = Map::new();
    for (route, operation) in plan.routes.iter().zip(operations) {
        let item = paths.entry(&*route.path).or_insert_with(|| json!({}));
        item[route.method.as_str().to_ascii_lowercase()] = operation.finish();
    }
    for (path, item) in own::paths(plan) {
        paths.insert(path.to_owned(), item);
    }
    let mut written = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "CMP API",
            "summary": "What this relay serves, by its configuration.",
            "description": INTRODUCTION,
            "version": plan.digest.get(..12).unwrap_or(&plan.digest),
        },
        "tags": tags(plan),
        "paths": paths,
        "components": {
            "schemas": components.into_schemas(),
            "headers": headers::components(),
            "responses": problems::components(),
        },
    });
    secure(plan, &mut written);
    written
}

const INTRODUCTION: &str = "Every request is relayed to exactly one backend call. Failures are \
    `application/problem+json` (RFC 9457) with a stable `code`; on a request that changes something they \
    also say what is known of the backend (`side_effect`) and whether the same request may just be sent \
    again (`safe_to_retry`). An `Idempotency-Key` makes a retry safe: it is answered with the first \
    request's outcome, under `Idempotency-Replayed: true`, and makes no second call. A replay gives what \
    was stored when it happened, whatever this document says by then.";

fn tags(plan: &Plan) -> Vec<Value> {
    let served = |name: &str| {
        plan.routes
            .iter()
            .any(|route| *plan.resource(route.resource).name == *name)
    };
    let mut tags: Vec<Value> = plan
        .resources
        .iter()
        .filter(|resource| served(&resource.name))
        .map(|resource| match &resource.summary {
            Some(summary) => json!({ "name": resource.name, "description": summary }),
            None => json!({ "name": resource.name }),
        })
        .collect();
    tags.push(json!({
        "name": OWN_TAG,
        "description": "The relay's own: operations, and this description",
    }));
    tags
}

/// Callers show a token where clients are configured, and a certificate where listeners ask for one.
fn secure(plan: &Plan, document: &mut Value) {
    let mut schemes = Map::new();
    let mut needed = Map::new();
    if !plan.server.clients.is_empty() {
        let scheme = json!({ "type": "http", "scheme": "bearer" });
        schemes.insert("token".into(), scheme);
        needed.insert("token".into(), json!([]));
    }
    let tls = plan.server.tls.as_ref();
    if tls.is_some_and(|tls| tls.client_ca_file.is_some()) {
        schemes.insert("certificate".into(), json!({ "type": "mutualTLS" }));
        needed.insert("certificate".into(), json!([]));
    }
    if !schemes.is_empty() {
        document["components"]["securitySchemes"] = Value::Object(schemes);
        document["security"] = json!([needed]);
    }
}

#[cfg(test)]
mod tests;
