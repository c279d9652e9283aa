//! The CMP API as OpenAPI 3.1, built from the plan: what is published is what is served.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::plan::{Plan, ReplyBody, Route, Schema};
use crate::relay::Reply;

/// The document's bytes, and the tag by which a client knows them again.
#[derive(Debug)]
pub struct Published {
    bytes: Bytes,
    etag: HeaderValue,
}

impl Published {
    pub fn new(document: &Value) -> Self {
        let bytes = Bytes::from(document.to_string());
        let hash = digest(&SHA256, &bytes);
        let hex: String = hash.as_ref()[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            bytes,
            etag: HeaderValue::try_from(format!("\"{hex}\"")).expect("hex in quotes is visible"),
        }
    }

    /// 200 with the document, or 304 for a client that has it.
    pub fn reply(&self, headers: &HeaderMap) -> Reply {
        let known = headers
            .get(IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|tags| {
                tags.split(',')
                    .map(|tag| tag.trim().trim_start_matches("W/"))
                    .any(|tag| tag == "*" || tag.as_bytes() == self.etag.as_bytes())
            });
        let mut reply = Reply {
            status: StatusCode::NOT_MODIFIED,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        reply.headers.insert(ETAG, self.etag.clone());
        reply
            .headers
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if !known {
            reply.status = StatusCode::OK;
            reply
                .headers
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            reply.body = self.bytes.clone();
        }
        reply
    }
}

/// The whole document.
pub fn document(plan: &Plan) -> Value {
    let mut paths = Map::new();
    for route in &plan.routes {
        // A matchit catch-all is `{*rest}`; OpenAPI knows plain names only.
        let path = route.path.replace("{*", "{");
        let item = paths.entry(path).or_insert_with(|| json!({}));
        item[route.method.as_str().to_ascii_lowercase()] = operation(plan, route);
    }
    let mut components = json!({ "schemas": { "Problem": problem_schema() } });
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "CMP API",
            "summary": "What this relay serves, by its configuration.",
            "version": &plan.digest.get(..12).unwrap_or(&plan.digest),
        },
        "paths": paths,
    });
    if !plan.server.clients.is_empty() {
        components["securitySchemes"] = json!({ "token": { "type": "http", "scheme": "bearer" } });
        document["security"] = json!([{ "token": [] }]);
    }
    document["components"] = components;
    document
}

fn operation(plan: &Plan, route: &Route) -> Value {
    let mut operation = json!({
        "operationId": route.name,
        "tags": [plan.resource(route.resource).name],
    });
    if let Some(summary) = &route.summary {
        operation["summary"] = (**summary).into();
    }
    let parameters = parameters(plan, route);
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = &route.request.body {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": embedded(schema, route, "body") } },
        });
    }
    operation["responses"] = responses(route);
    operation
}

fn parameters(plan: &Plan, route: &Route) -> Vec<Value> {
    let mut found: Vec<Value> = route
        .path_params
        .iter()
        .map(|name| {
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        })
        .collect();
    for (schema, place) in [
        (&route.request.query, "query"),
        (&route.request.headers, "header"),
    ] {
        let Some(document) = schema.as_ref().map(|schema| &schema.document) else {
            continue;
        };
        let required = |name: &str| {
            document["required"]
                .as_array()
                .is_some_and(|names| names.iter().any(|required| required == name))
        };
        let properties = document["properties"].as_object();
        for (name, schema) in properties.into_iter().flatten() {
            let shown = match place {
                "header" => name.replace('_', "-"),
                _ => name.clone(),
            };
            found.push(
                json!({ "name": shown, "in": place, "required": required(name), "schema": schema }),
            );
        }
    }
    if route.mutating {
        found.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "required": plan.server.operations.key_required,
            "description": "A retry with the same key gets the first request's outcome and makes no second call.",
            "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
        }));
    }
    found
}

/// A schema inside the document: with an `$id`, its own `#/...` references stay its own.
fn embedded(schema: &Schema, route: &Route, part: &str) -> Value {
    let mut document = schema.document.clone();
    if let Value::Object(map) = &mut document
        && !map.contains_key("$id")
        && (map.contains_key("$defs") || map.contains_key("definitions"))
    {
        map.insert(
            "$id".into(),
            format!("urn:cmp-relay:{}:{part}", route.name).into(),
        );
    }
    document
}

fn responses(route: &Route) -> Value {
    let status = route
        .reply
        .status
        .map_or("2XX".to_owned(), |status| status.as_u16().to_string());
    let mut success = json!({ "description": "Done." });
    if route.method != Method::HEAD && !matches!(route.reply.body, ReplyBody::None) {
        success["content"] = json!({ "application/json": {} });
    }
    let problem = |words: String| {
        json!({
            "description": words,
            "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
        })
    };
    let mut responses = Map::new();
    responses.insert(status, success);
    for rule in &route.response.errors {
        let code = rule.code.as_deref().unwrap_or("backend_error");
        responses
            .entry(rule.reply.as_u16().to_string())
            .or_insert_with(|| problem(format!("`{code}`.")));
    }
    responses.insert(
        "default".into(),
        problem("A problem; its `code` says which (see /docs/problems).".into()),
    );
    Value::Object(responses)
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "RFC 9457, with a stable `code` and what a retry needs.",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": { "type": "string" },
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "code": { "type": "string" },
            "detail": { "type": "string" },
            "instance": { "type": "string", "description": "The operation's path." },
            "operation": { "type": "string" },
            "route": { "type": "string" },
            "backend": { "type": "string" },
            "backend_status": { "type": "integer" },
            "nearest": { "type": "string" },
            "side_effect": { "enum": ["none", "unknown", "done"], "description": "What is known of the backend." },
            "safe_to_retry": { "type": "boolean", "description": "The same request can cause no second effect and may succeed." },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": { "pointer": { "type": "string" }, "detail": { "type": "string" } },
                },
            },
        },
    })
}
