//! From what a trial saw of a request to its [`Account`].

use http::Method;
use serde_json::Value;

use super::account::{
    Account, ClientAccount, ConfirmAccount, DifferenceAccount, EffectAccount, KeyAccount,
    NearAccount, ObjectAccount, RecordAccount, RefusedAccount, RequestAccount, RouteAccount,
};
use super::mask::Mask;
use super::nearest::{Found, misses};
use super::request::{Asked, Who};
use super::{call, choice, lookups};
use crate::http::problem;
use crate::plan::{BackendIdSource, CmpIdSource, Confirm, MappingOp, Plan, Route, Verb};
use crate::relay::Failure;
use crate::relay::confirm::rule;
use crate::relay::witness::{Seen, Step};
use crate::store::{ObjectKey, Operation};
use crate::transform::Source;

/// All that is known of a request.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub plan: &'a Plan,
    pub asked: &'a Asked,
    pub who: &'a Who,
    pub seen: &'a Seen,
    /// Why there is no call.
    pub failure: Option<&'a Failure>,
}

impl<'a> Known<'a> {
    pub fn route(&self) -> Option<&'a Route> {
        self.seen.route.map(|id| self.plan.route(id))
    }
}

/// The account; the error says why a call that was rendered cannot be sent.
pub fn tell(known: Known<'_>) -> Result<Account, String> {
    let mask = Mask::of(&known.seen.masks);
    let route = known.route();
    let made = match (&known.seen.call, route, known.failure) {
        (Some(made), Some(route), None) => {
            let backend = known.plan.backend(made.backend);
            Some(call::of(
                &route.ways[known.seen.way],
                backend,
                &made.call,
                &mask,
            )?)
        }
        _ => None,
    };
    let mutating = route.filter(|route| route.mutating);
    let recorded = made.as_ref().and(known.seen.intent.as_ref());
    Ok(Account {
        request: RequestAccount {
            method: known.asked.method.to_string(),
            target: known.asked.uri.to_string(),
        },
        route: route.map(|route| route_of(&known, route)),
        near: near(&known),
        client: client(&known),
        rows: lookups::of(&known),
        backend: choice::of(&known),
        call: made,
        record: recorded
            .zip(mutating)
            .map(|(operation, route)| record(&known, route, operation)),
        idempotency: mutating.and_then(|route| key(&known, route)),
        refused: known.failure.map(|failure| refused(&known, failure, &mask)),
        notes: notes(&known),
    })
}

fn route_of(known: &Known<'_>, route: &Route) -> RouteAccount {
    let resource = known.plan.resource(route.resource);
    let params = known.seen.params.iter().map(|(name, raw)| {
        // What does not decode is refused, and shown as it came.
        let decoded = percent_encoding(raw).unwrap_or_else(|| raw.clone());
        (name.clone(), Value::from(decoded))
    });
    RouteAccount {
        name: route.name.to_string(),
        method: route.method.to_string(),
        path: route.path.to_string(),
        place: None,
        summary: route.summary.as_deref().map(str::to_owned),
        resource: resource.name.to_string(),
        kind: resource.kind.to_string(),
        params: params.collect(),
    }
}

/// The text of a path segment, where it decodes.
fn percent_encoding(raw: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let pair = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&pair).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

fn near(known: &Known<'_>) -> Vec<NearAccount> {
    if known.seen.step < Step::Matched {
        return Vec::new();
    }
    let (method, path): (&Method, &str) = (&known.asked.method, known.asked.uri.path());
    let found = Found::of(known.plan, method, path);
    let missed = misses(known.plan, method, path, found);
    let told = missed.iter().map(|miss| {
        let route = known.plan.route(miss.route);
        let differs = miss.differs.iter().map(|difference| DifferenceAccount {
            what: difference.name(),
            words: difference.words(),
        });
        NearAccount {
            route: route.name.to_string(),
            method: route.method.to_string(),
            path: route.path.to_string(),
            differs: differs.collect(),
        }
    });
    told.collect()
}

fn client(known: &Known<'_>) -> ClientAccount {
    let because = known.who.because.to_owned();
    let Ok(caller) = &known.who.caller else {
        return ClientAccount {
            name: None,
            because,
            allowed: None,
            words: "no configured client has its token".to_owned(),
        };
    };
    let may = match known.failure {
        Some(failure) if failure.error.code() == "forbidden" => Some(false),
        _ if known.seen.step <= Step::Allowed => None,
        _ => Some(true),
    };
    let right = match (may, known.route().map(|route| &route.clients)) {
        (Some(true), Some(Some(_))) => "may use the route, which names it; ",
        (Some(true), _) => "may use the route; ",
        (Some(false), _) => "may not; ",
        (None, _) => "",
    };
    ClientAccount {
        name: Some(caller.name.to_string()),
        words: format!("{right}{because}"),
        because,
        allowed: may,
    }
}

fn record(known: &Known<'_>, route: &Route, operation: &Operation) -> RecordAccount {
    let way = &route.ways[known.seen.way];
    let effects = way.mapping.iter().zip(&operation.effects);
    RecordAccount {
        route: operation.route.clone(),
        client: operation.client.clone(),
        backend: operation.backend.clone(),
        confirm: confirm(known.plan, route),
        claim: operation.claim.map(|_| object(&operation.object)),
        effects: effects
            .map(|(change, effect)| effect_of(change, &effect.key))
            .collect(),
    }
}

fn confirm(plan: &Plan, route: &Route) -> Option<ConfirmAccount> {
    let replication = &plan.server.replication;
    let rule = rule(plan, Some(route));
    let waits = replication.standby.is_some() && rule != Confirm::None;
    waits.then(|| ConfirmAccount {
        rule: rule.name(),
        timeout_ms: u64::try_from(replication.timeout.as_millis()).unwrap_or(u64::MAX),
    })
}

fn effect_of(change: &MappingOp, key: &ObjectKey) -> EffectAccount {
    let attributes = change
        .attributes
        .iter()
        .map(|(name, source)| (name.to_string(), Value::from(from(source))));
    EffectAccount {
        verb: match change.verb {
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Put => "put",
            Verb::Delete => "delete",
        },
        object: object(key),
        backend_id_from: change.backend_id.as_ref().map(|id| match id {
            BackendIdSource::Extract(source) => from(source),
            BackendIdSource::Pending => "pending".to_owned(),
        }),
        attributes_from: attributes.collect(),
        conditional: change.when.is_some(),
    }
}

fn from(source: &Source) -> String {
    let optional = if source.is_optional() {
        ", if it is there"
    } else {
        ""
    };
    match source.variables().as_slice() {
        [] => format!("from {} of the answer{optional}", source.describe()),
        names => format!("from {}{optional}", names.join(", ")),
    }
}

fn object(key: &ObjectKey) -> ObjectAccount {
    ObjectAccount {
        resource: key.resource.clone(),
        cmp_id: key.cmp_id.clone(),
        scope: key.scope.clone(),
    }
}

/// What makes a retry of this request the same request (SEMANTICS 1).
fn key(known: &Known<'_>, route: &Route) -> Option<KeyAccount> {
    // Before that nobody has looked for one.
    if known.seen.step <= Step::Parsed {
        return None;
    }
    let caller = known.who.caller.as_ref().ok()?;
    if let Some(key) = &known.seen.idempotency_key {
        return Some(KeyAccount {
            by: "header",
            key: Some(key.clone()),
            words: format!(
                "of its Idempotency-Key; a retry by {} with it gets the first one's reply",
                caller.name
            ),
        });
    }
    let created = route.ways[known.seen.way]
        .mapping
        .iter()
        .zip(&known.seen.keys)
        .filter(|(change, _)| {
            change.verb == Verb::Create && matches!(change.cmp_id, CmpIdSource::Given(_))
        })
        .find_map(|(_, key)| key.as_ref());
    if let Some(created) = created {
        let on = match created.scope.as_str() {
            "" => String::new(),
            scope => format!(" on {scope}"),
        };
        return Some(KeyAccount {
            by: "object",
            key: Some(format!("{} {}{on}", created.resource, created.cmp_id)),
            words: format!(
                "itself, for no Idempotency-Key came; while it is mapped, the same request of {} gets \
                 the first one's reply",
                caller.name
            ),
        });
    }
    if known.seen.step < Step::Rendered {
        return None;
    }
    let words = match route.idempotent {
        true => "no Idempotency-Key came; a retry is another call, and the route is idempotent",
        false => "no Idempotency-Key came; a retry is another call",
    };
    Some(KeyAccount {
        by: "none",
        key: None,
        words: words.to_owned(),
    })
}

fn refused(known: &Known<'_>, failure: &Failure, mask: &Mask) -> RefusedAccount {
    let (status, body) = problem::render(failure);
    let problem = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let step = known.seen.step;
    let headers = problem::headers(failure);
    RefusedAccount {
        step: step.number(),
        at: step.name(),
        words: step.words(),
        status: status.as_u16(),
        headers: headers
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes());
                (name.to_string(), mask.text(&value))
            })
            .collect(),
        problem: mask.value(problem),
    }
}

/// What is made anew for each request, and so is another in the next one.
fn notes(known: &Known<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let (Some(route), Some(_)) = (known.route(), &known.seen.call) else {
        return notes;
    };
    if known.asked.method == Method::HEAD && route.method == Method::GET {
        notes.push("HEAD is answered by the route's GET, without its body".to_owned());
    }
    let way = &route.ways[known.seen.way];
    let made = |change: &&MappingOp| matches!(change.cmp_id, CmpIdSource::RelayMade);
    if let Some(change) = way.mapping.iter().find(made) {
        notes.push(format!(
            "the id of the {} is made by the relay: the one shown is of this trial",
            known.plan.resource(change.resource).name
        ));
    }
    let variables = way.call.action.variables();
    let made: Vec<&str> = ["request.id", "request.operation", "request.time"]
        .into_iter()
        .filter(|name| variables.contains(name))
        .collect();
    if !made.is_empty() {
        notes.push(format!(
            "made anew for each request, and shown as this trial had it: {}",
            made.join(", ")
        ));
    }
    notes
}
