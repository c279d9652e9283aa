//! What a route answers when all went well: statuses, headers, and the form of its body as far as it is
//! known before any request.

use http::Method;
use serde_json::{Map, Value, json};

use super::operation::Request;
use super::schema::reference;
use super::{examples, headers};
use crate::plan::{Plan, PublishedExample, ReplyBody, Route, Way};
use crate::transform::outline::{MadeKind, Member};
use crate::transform::{Expected, Outline, Test};

/// How deep `let` may refer to `let` before the document stops asking.
const DEPTH: usize = 16;

/// The form of a reply's body; `None`: it has none.
pub fn schema(route: &Route, request: &Request<'_>) -> Option<Value> {
    if route.method == Method::HEAD {
        return None;
    }
    let mut schemas: Vec<Value> = Vec::new();
    for way in &route.ways {
        let schema = match &way.reply.body {
            ReplyBody::None => continue,
            ReplyBody::PassThrough => json!({
                "description": "The backend's answer, as it came: its JSON, or its text as `{\"text\": ...}`.",
            }),
            ReplyBody::Tree(tree) => {
                let forms = Forms {
                    route,
                    way,
                    request,
                };
                forms.of(&tree.outline(), DEPTH)
            }
        };
        if !schemas.contains(&schema) {
            schemas.push(schema);
        }
    }
    match schemas.len() {
        0 | 1 => schemas.pop(),
        _ => Some(json!({ "anyOf": schemas })),
    }
}

/// The answer of a success, but for its body.
#[derive(Debug)]
pub struct Success {
    statuses: Vec<String>,
    headers: Map<String, Value>,
    examples: Option<Value>,
    /// A replay may have the id alone.
    abridged: bool,
    /// No body comes where its tree is absent as a whole.
    may_be_empty: bool,
}

impl Success {
    pub fn of(
        plan: &Plan,
        route: &Route,
        reply: Option<&Value>,
        shown: &[PublishedExample],
    ) -> Self {
        let mut headers = headers::named(["X-Request-Id", "Relay-Backend"]);
        if route.mutating {
            let journalled = [
                "Relay-Operation",
                "Relay-Replicated",
                "Idempotency-Replayed",
                "Relay-Reply",
                "Relay-Settled",
            ];
            headers.extend(headers::named(journalled));
        } else if plan.server.replication.standby.is_some() {
            headers.extend(headers::optional(["Relay-Replicated"]));
        }
        if route.ways.iter().any(Way::deletes) {
            headers.extend(headers::named(["Relay-Note"]));
        }
        for (name, text) in route.ways.iter().flat_map(|way| &way.reply.headers) {
            let everywhere = route
                .ways
                .iter()
                .all(|way| way.reply.headers.iter().any(|(n, _)| n == name));
            let header = json!({
                // A stored reply may be given without its headers.
                "required": everywhere && !text.may_be_absent() && !route.mutating,
                "schema": { "type": "string" },
            });
            headers.insert(name.as_str().to_owned(), header);
        }
        let bodiless = |way: &Way| matches!(way.reply.body, ReplyBody::None);
        let some_have_none = route.ways.iter().any(bodiless) && !route.ways.iter().all(bodiless);
        let may_be_empty = some_have_none
            || route.ways.iter().any(|way| match &way.reply.body {
                ReplyBody::Tree(tree) => tree.may_be_absent(),
                ReplyBody::PassThrough => true,
                ReplyBody::None => false,
            });
        Self {
            statuses: statuses(route),
            headers,
            examples: reply.and_then(|schema| examples::of_replies(shown, schema)),
            abridged: route.mutating && route.ways.iter().any(|way| !way.store_reply),
            may_be_empty,
        }
    }

    /// The answers, by status.
    pub fn responses(self, body: Option<Value>) -> Map<String, Value> {
        let description = match (&body, self.may_be_empty) {
            (Some(_), true) => "Done. Without a body where there is nothing to say.",
            _ => "Done.",
        };
        let mut answer = json!({ "description": description, "headers": self.headers });
        if let Some(schema) = body {
            let schema = match self.abridged {
                true => json!({ "anyOf": [schema, reference("Abridged")] }),
                false => schema,
            };
            let mut media = json!({ "schema": schema });
            if let Some(examples) = self.examples {
                media["examples"] = examples;
            }
            answer["content"] = json!({ "application/json": media });
        }
        self.statuses
            .into_iter()
            .map(|status| (status, answer.clone()))
            .collect()
    }
}

/// The statuses of a success: the reply's own, or those that the backend's answer may have.
fn statuses(route: &Route) -> Vec<String> {
    let mut statuses: Vec<String> = route.ways.iter().flat_map(statuses_of).collect();
    statuses.sort();
    statuses.dedup();
    statuses
}

fn statuses_of(way: &Way) -> Vec<String> {
    if let Some(status) = way.reply.status {
        return vec![status.as_u16().to_string()];
    }
    let rules = &way.response;
    let asked = rules.success_when.iter().flat_map(|when| when.tests());
    let by_condition: Vec<u16> = asked
        .filter_map(|test| match test {
            Test::Status(Expected::AnyOf(values)) => Some(values),
            _ => None,
        })
        .flatten()
        .filter_map(|value| u16::try_from(value.as_u64()?).ok())
        .collect();
    let listed = match rules.success.as_slice() {
        [] => by_condition,
        listed => listed.to_vec(),
    };
    let statuses: Vec<String> = listed
        .into_iter()
        .map(|status| match (status, &way.reply.body) {
            // A body makes 200 of what may have none.
            (204 | 205, ReplyBody::Tree(_)) => "200".to_owned(),
            (status, _) => status.to_string(),
        })
        .collect();
    match statuses.as_slice() {
        [] => vec!["2XX".into()],
        _ => statuses,
    }
}

/// Forms as schemas, with what is known of a route's variables.
struct Forms<'a> {
    route: &'a Route,
    way: &'a Way,
    request: &'a Request<'a>,
}

impl Forms<'_> {
    fn of(&self, form: &Outline<'_>, depth: usize) -> Value {
        match form {
            Outline::Literal(value) => json!({ "const": value }),
            Outline::Variable(name) => self.variable(name, depth),
            Outline::Kind(kind) => made(*kind),
            Outline::OneOf(forms) => self.one_of(forms, depth),
            Outline::List(items) if items.is_empty() => json!({ "type": "array", "maxItems": 0 }),
            Outline::List(items) => match self.one_of(items, depth) {
                Value::Object(items) if items.is_empty() => json!({ "type": "array" }),
                items => json!({ "type": "array", "items": items }),
            },
            Outline::Map(members) => self.map(members, depth),
            Outline::Unknown => json!({}),
        }
    }

    fn map(&self, members: &[Member<'_>], depth: usize) -> Value {
        let properties: Map<String, Value> = members
            .iter()
            .map(|member| (member.name.to_owned(), self.of(&member.form, depth)))
            .collect();
        let required: Vec<&str> = members
            .iter()
            .filter(|member| member.certain)
            .map(|member| member.name)
            .collect();
        let mut schema = json!({ "type": "object" });
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        schema["properties"] = Value::Object(properties);
        schema["additionalProperties"] = false.into();
        schema
    }

    fn one_of(&self, forms: &[Outline<'_>], depth: usize) -> Value {
        let literals: Option<Vec<&Value>> = forms
            .iter()
            .map(|form| match form {
                Outline::Literal(value) => Some(*value),
                _ => None,
            })
            .collect();
        if let Some(mut values) = literals.filter(|values| values.len() > 1) {
            let mut seen: Vec<&Value> = Vec::new();
            values.retain(|value| {
                let new = !seen.contains(value);
                seen.push(value);
                new
            });
            return json!({ "enum": values });
        }
        let mut schemas: Vec<Value> = Vec::new();
        for form in forms {
            let schema = self.of(form, depth);
            if schema.as_object().is_some_and(Map::is_empty) {
                return schema;
            }
            if !schemas.contains(&schema) {
                schemas.push(schema);
            }
        }
        match schemas.len() {
            1 => schemas.remove(0),
            _ => json!({ "anyOf": schemas }),
        }
    }

    /// What is certain of a variable; `{}` of what a backend says.
    fn variable(&self, name: &str, depth: usize) -> Value {
        let mut steps = name.split('.');
        let root = steps.next().unwrap_or_default();
        let text = || json!({ "type": "string" });
        let known = match root {
            "body" => self.request.body.as_ref().and_then(|body| {
                let whole = steps.clone().next().is_none();
                whole.then(|| body.reference()).or_else(|| body.at(steps))
            }),
            "query" => self
                .request
                .query
                .as_ref()
                .and_then(|query| query.at(steps)),
            "header" => self.request.headers.as_ref().and_then(|all| all.at(steps)),
            "path" | "request" => Some(text()),
            "object" | "mapping" => id_or_attribute(steps.next()),
            "parents" => id_or_attribute(steps.nth(1)),
            "backend" => match steps.next() {
                Some("name" | "kind") => Some(text()),
                Some("labels") if steps.next().is_some() => Some(text()),
                _ => None,
            },
            "response" => match steps.next() {
                Some("status") => Some(json!({ "type": "integer" })),
                Some("text" | "stderr") => Some(text()),
                _ => None,
            },
            "let" => {
                let named = steps.next().and_then(|name| {
                    let mut lets = self.route.lets.iter();
                    lets.find(|(known, _)| **known == *name)
                });
                match (named, steps.next(), depth.checked_sub(1)) {
                    (Some((_, tree)), None, Some(depth)) => Some(self.of(&tree.outline(), depth)),
                    _ => None,
                }
            }
            "extracted" => {
                let named = steps.next().and_then(|name| {
                    let mut sources = self.way.extract.iter();
                    sources.find(|(known, _)| **known == *name)
                });
                match (named, steps.next(), depth.checked_sub(1)) {
                    (Some((_, source)), None, Some(depth)) => {
                        Some(self.of(&source.outline(), depth))
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        known.unwrap_or_else(|| json!({}))
    }
}

/// The parts of a mapping that are texts; attributes are what a backend said.
fn id_or_attribute(part: Option<&str>) -> Option<Value> {
    matches!(part, Some("cmp_id" | "backend_id" | "backend")).then(|| json!({ "type": "string" }))
}

fn made(kind: MadeKind) -> Value {
    match kind {
        MadeKind::Text => json!({ "type": "string" }),
        MadeKind::Integer => json!({ "type": "integer" }),
        MadeKind::Boolean => json!({ "type": "boolean" }),
        MadeKind::TextList => json!({ "type": "array", "items": { "type": "string" } }),
    }
}
