//! One route as an operation of the document.

use http::Method;
use serde_json::{Map, Value, json};

use super::schema::{Components, Placed};
use super::{examples, problems, replies};
use crate::plan::{CmpIdSource, Plan, PublishedExample, Route, Schema, Verb};

/// A route's operation; its reply is kept apart until what recurs has been named.
#[derive(Debug)]
pub struct Operation {
    body: Value,
    /// The schema of the reply's body, where it has one.
    pub reply: Option<Value>,
    pub success: replies::Success,
    problems: Map<String, Value>,
}

impl Operation {
    /// The operation as it stands in the document.
    pub fn finish(mut self) -> Value {
        let mut responses = self.success.responses(self.reply);
        responses.append(&mut self.problems);
        self.body["responses"] = Value::Object(responses);
        self.body
    }
}

/// What a route's request may be, placed in the document.
#[derive(Debug, Default)]
pub struct Request<'p> {
    pub body: Option<Placed<'p>>,
    pub query: Option<Placed<'p>>,
    pub headers: Option<Placed<'p>>,
}

pub fn of(plan: &Plan, route: &Route, components: &mut Components) -> Operation {
    let request = placed(route, components);
    let examples = route.examples.read();
    let mut body = json!({
        "operationId": route.name,
        "tags": [plan.resource(route.resource).name],
    });
    if let Some(summary) = &route.summary {
        body["summary"] = (**summary).into();
    }
    body["description"] = description(plan, route).into();
    let parameters = parameters(plan, route, &request, &examples);
    for (variable, words) in selecting(plan, route) {
        if let Some(field) = variable.strip_prefix("body.") {
            components.narrow(&format!("{}_request", route.name), field, &words);
        }
    }
    if !parameters.is_empty() {
        body["parameters"] = parameters.into();
    }
    if let Some(schema) = &request.body {
        let mut media = json!({ "schema": schema.reference() });
        examples::of_request(&examples, &mut media);
        body["requestBody"] = json!({
            "required": true,
            "content": { "application/json": media },
        });
    }
    let reply = replies::schema(route, &request);
    let success = replies::Success::of(plan, route, reply.as_ref(), &examples);
    Operation {
        body,
        reply,
        success,
        problems: problems::of(plan, route, &examples),
    }
}

fn placed<'p>(route: &'p Route, components: &mut Components) -> Request<'p> {
    let name = |part: &str| format!("{}_{part}", route.name);
    let mut scalars = |schema: &'p Option<Schema>, part: &str| {
        let document = &schema.as_ref()?.document;
        Some(Placed::scalars(name(part), document, components))
    };
    let query = scalars(&route.request.query, "query");
    let headers = scalars(&route.request.headers, "headers");
    let body = route
        .request
        .body
        .as_ref()
        .map(|schema| Placed::new(name("request"), &schema.document, components));
    Request {
        body,
        query,
        headers,
    }
}

/// What the route does, beyond its summary.
fn description(plan: &Plan, route: &Route) -> String {
    let kind = &plan.resource(route.resource).kind;
    let mut words = vec![format!(
        "One call to a backend of kind `{kind}`{}.",
        match route.mutating {
            true => ", journalled as an operation",
            false => "; nothing is recorded",
        }
    )];
    for change in route.changes() {
        let name = &plan.resource(change.resource).name;
        let said = match (change.verb, &change.cmp_id) {
            (Verb::Create, CmpIdSource::RelayMade) => {
                format!("It maps a new {name}, whose id the relay makes.")
            }
            (Verb::Create, _) => {
                format!("It maps a new {name} under the id that the request gives.")
            }
            (Verb::Update, _) => format!("It updates the mapping of a {name}."),
            (Verb::Put, _) => format!("It maps a {name}, or updates its mapping."),
            (Verb::Delete, _) => format!(
                "It removes the mapping of a {name}; what the backend does not have any more counts as deleted."
            ),
        };
        if !words.contains(&said) {
            words.push(said);
        }
    }
    if route.mutating {
        words.push(match route.idempotent {
            true => {
                "A retry after an unknown outcome may run, once the first request's time is over."
                    .into()
            }
            false => {
                "A retry after an unknown outcome does not run: the operation is resolved first."
                    .into()
            }
        });
    }
    if let Some(clients) = &route.clients {
        words.push(format!("Open to: {}.", clients.join(", ")));
    }
    words.join(" ")
}

fn parameters(
    plan: &Plan,
    route: &Route,
    request: &Request<'_>,
    examples: &[PublishedExample],
) -> Vec<Value> {
    let mut found: Vec<Value> = route
        .path_params
        .iter()
        .map(|name| {
            let mut parameter = json!({
                "name": name,
                "in": "path",
                "required": true,
                "schema": { "type": "string", "minLength": 1 },
            });
            examples::of_parameter(examples, "path", name, &mut parameter);
            parameter
        })
        .collect();
    let selecting = selecting(plan, route);
    for (placed, place) in [(&request.query, "query"), (&request.headers, "header")] {
        let Some(placed) = placed else { continue };
        let document = placed.document();
        let required = |name: &str| {
            document["required"]
                .as_array()
                .is_some_and(|names| names.iter().any(|required| required == name))
        };
        for (name, schema) in document["properties"].as_object().into_iter().flatten() {
            let shown = match place {
                "header" => name.replace('_', "-"),
                _ => name.clone(),
            };
            // The document says these another way (OpenAPI 3.1, "Parameter Object").
            if place == "header" && ["accept", "authorization", "content-type"].contains(&&*shown) {
                continue;
            }
            let mut schema = placed.moved(schema);
            let variable = format!("{place}.{name}");
            if let Some((_, words)) = selecting.iter().find(|(known, _)| *known == variable) {
                narrow(&mut schema, words);
            }
            let description = match &mut schema {
                Value::Object(map) => map.remove("description"),
                _ => None,
            };
            let mut parameter = json!({
                "name": shown,
                "in": place,
                "required": required(name),
                "schema": schema,
            });
            if let Some(description) = description {
                parameter["description"] = description;
            }
            examples::of_parameter(examples, place, name, &mut parameter);
            found.push(parameter);
        }
    }
    if route.mutating {
        found.push(idempotency_key(plan.server.operations.key_required));
    }
    found
}

/// The header that makes a retry safe.
fn idempotency_key(required: bool) -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": required,
        "description": "A retry with the same key gets the first request's outcome and makes no second call.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" },
    })
}

/// The request's fields that are a label as they stand, with the words that instances have there: no
/// other word leads anywhere.
fn selecting<'p>(plan: &'p Plan, route: &'p Route) -> Vec<(&'p str, Vec<&'p str>)> {
    let candidates = &route.select.candidates;
    route
        .select
        .labels
        .iter()
        .filter_map(|(label, text)| {
            let mut words: Vec<&str> = candidates
                .iter()
                .flat_map(|id| &plan.backend(*id).labels)
                .filter(|(name, _)| name == label)
                .map(|(_, word)| &**word)
                .collect();
            words.sort_unstable();
            words.dedup();
            Some((text.as_variable()?, words))
        })
        .filter(|(_, words)| !words.is_empty())
        .collect()
}

/// Adds the words that a text may be, where the schema says nothing of the kind itself.
pub fn narrow(schema: &mut Value, words: &[&str]) {
    let plain = schema["type"] == "string" && schema.get("enum").is_none();
    if let (true, Value::Object(map)) = (plain, schema) {
        map.insert("enum".into(), json!(words));
    }
}

/// Whether requests of this method say that they change something, before any route is known.
pub fn acts(method: &Method) -> bool {
    method != Method::GET && method != Method::HEAD
}
