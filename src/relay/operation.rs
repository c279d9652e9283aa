//! One journalled request: intent, call, outcome. It runs in a task of its own, so that a CMP that
//! disconnects cancels nothing (SEMANTICS 7).

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Map, Value};
use tracing::{error, warn};

use super::answer::{self, ReadAnswer};
use super::keeper::Kept;
use super::outcome::{Judged, Verdict, call_acts, judge, judge_silence};
use super::owned::InHand;
use super::reply::{self, Rendered};
use super::resource::BACKEND_ID_LIMIT;
use super::route::Request;
use super::{Failure, Prepared, Relay, RelayError, Reply, call};
use crate::clock;
use crate::driver::{Answer, Clearance};
use crate::plan::{BackendIdSource, MappingOp, SideEffect, Verb};
use crate::store::{
    Begun, Effect, Finished, Intent, Mapping, MappingChange, ObjectKey, Operation, OperationId,
    Outcome, State, StoreError,
};
use crate::transform::{ExtractError, Root};

/// A request that is ready to be written down and sent.
#[derive(Debug)]
pub struct Ready {
    pub request: Request,
    pub prepared: Prepared,
    /// The row of an earlier attempt that this one replaces.
    pub previous: Option<Operation>,
    pub id: OperationId,
    /// The table itself has been asked whether a create's object is mapped.
    pub asked: bool,
}

/// How a run ended, for the caller.
#[derive(Debug)]
pub enum Ended {
    Reply(Reply),
    Failure(Box<Failure>),
    /// What the request was settled from has changed since; nothing was written or sent.
    Stale,
}

/// Runs a ready request to its end.
pub async fn run(relay: Arc<Relay>, mut ready: Ready) -> Ended {
    let intent = intent(&relay, &ready);
    let operation = intent.operation.clone();
    let in_hand = relay.owned().take(super::owned::Attempt {
        id: operation.id,
        attempt: operation.attempt,
        epoch: operation.epoch,
    });
    // In hand first, then asked: a drain that does not see the one is seen by the other.
    if relay.is_draining() {
        in_hand.settled();
        let route = ready.request.route();
        let failure = Failure::of_route(route, RelayError::ShuttingDown);
        return Ended::Failure(Box::new(failure));
    }
    match relay.journal().begin(intent).await {
        Ok(Begun::Started) => {}
        Ok(refused) => {
            in_hand.settled();
            return refused_intent(&ready, refused);
        }
        Err(error) => return unwritten_intent(&relay, &ready, &operation, error, in_hand),
    }

    let gate = relay.gate().clone();
    let epoch = operation.epoch;
    let clearance = Clearance {
        deadline: ready.prepared.deadline,
        mutating: true,
        gate: Arc::new(move || gate.holds(epoch)),
    };
    let backends = ready.request.snapshot.backends.clone();
    let sent = backends
        .send(&ready.prepared.place, &ready.prepared.call, &clearance)
        .await;
    let conclusion = match sent {
        Ok(answer) => conclude(&relay, &mut ready, answer).await,
        Err(error) => Conclusion {
            sends: error.sends,
            backend_status: error.backend_status,
            ..Conclusion::failure(judge_silence(call_acts(ready.request.route()), &error))
        },
    };
    settle(&relay, &ready, &operation, conclusion, in_hand).await
}

/// What is to be written down, and what the CMP is told.
#[derive(Debug)]
struct Conclusion {
    judged: Option<Judged>,
    rendered: Option<Rendered>,
    changes: Vec<MappingChange>,
    backend_status: Option<u16>,
    sends: u32,
    absent: bool,
    backend_id: Option<String>,
}

impl Conclusion {
    fn failure(judged: Judged) -> Self {
        Self {
            judged: Some(judged),
            rendered: None,
            changes: Vec::new(),
            backend_status: None,
            sends: 0,
            absent: false,
            backend_id: None,
        }
    }
}

fn intent(relay: &Relay, ready: &Ready) -> Intent {
    let request = &ready.request;
    let plan = &request.snapshot.plan;
    let route = request.route();
    let now = clock::unix_micros();
    let effects = route
        .mapping
        .iter()
        .zip(&ready.prepared.target.keys)
        .map(|(change, key)| Effect {
            verb: verb_name(change).to_owned(),
            key: key.clone(),
            kind: plan.resource(change.resource).kind.to_string(),
        })
        .collect();
    let named = ready.prepared.target.claim.clone();
    let object = named
        .clone()
        .or_else(|| ready.prepared.target.keys.first().cloned())
        .unwrap_or_else(|| ObjectKey {
            resource: plan.resource(route.resource).name.to_string(),
            cmp_id: String::new(),
            scope: String::new(),
        });
    let left = ready.prepared.deadline.remaining().unwrap_or_default();
    let previous = ready.previous.as_ref();
    Intent {
        expects: ready.prepared.target.expects.clone(),
        replaces: previous.map(|row| (row.attempt, row.state)),
        operation: Operation {
            id: ready.id,
            route: route.name.to_string(),
            client: request.inbound.caller.name.to_string(),
            idempotency_key: request.idempotency_key.clone(),
            fingerprint: request.fingerprint.clone(),
            attempt: previous.map_or(1, |row| row.attempt + 1),
            claim: named.as_ref().map(ObjectKey::claim),
            object,
            backend: plan.backend(ready.prepared.target.backend).name.to_string(),
            effects,
            state: State::Pending,
            idempotent: route.idempotent,
            call_hash: call::hash(&ready.prepared.call),
            backend_status: None,
            sends: 0,
            reply_status: None,
            reply_headers: Vec::new(),
            reply_body: None,
            error: None,
            side_effect: "unknown".to_owned(),
            safe_to_retry: false,
            note: None,
            deadline: now.saturating_add(i64::try_from(left.as_micros()).unwrap_or(i64::MAX)),
            node: relay.node().to_owned(),
            epoch: relay.gate().epoch(),
            created_at: previous.map_or(now, |row| row.created_at),
            finished_at: None,
        },
    }
}

/// As `resolve` needs it: an object whose id comes later is settled without one.
fn verb_name(change: &MappingOp) -> &'static str {
    let pending = matches!(change.backend_id, Some(BackendIdSource::Pending));
    match change.verb {
        Verb::Create if pending => "create_pending",
        Verb::Create => "create",
        Verb::Put if pending => "put_pending",
        Verb::Put => "put",
        Verb::Update => "update",
        Verb::Delete => "delete",
    }
}

/// An intent that was not taken: everything but a held claim is looked at again from the start.
fn refused_intent(ready: &Ready, refused: Begun) -> Ended {
    match refused {
        // What is mapped already is told before who else is at it.
        Begun::ClaimHeld(_) if !ready.asked => Ended::Stale,
        Begun::ClaimHeld(holder) => {
            let error = match holder.state {
                State::Pending => RelayError::OperationInProgress(holder.id),
                _ => RelayError::EarlierOutcomeUnknown(holder.id),
            };
            Ended::Failure(Box::new(Failure::of_route(ready.request.route(), error)))
        }
        _ => Ended::Stale,
    }
}

/// Nothing was sent. Where the row may exist after all, it is made `failed` as soon as the database
/// answers, and until then the CMP must not count on it (SEMANTICS 9).
fn unwritten_intent(
    relay: &Relay,
    ready: &Ready,
    operation: &Operation,
    error: StoreError,
    in_hand: InHand,
) -> Ended {
    warn!(%error, operation = %operation.id, "an intent could not be written");
    let unavailable = RelayError::DatabaseUnavailable(error.to_string());
    let mut failure = Failure::of_route(ready.request.route(), unavailable);
    match error {
        StoreError::CommitUnknown(_) => {
            failure.error = RelayError::OutcomeUnknown(
                "the database did not confirm the intent; nothing was sent".into(),
            );
            failure.operation = Some(operation.id);
            failure.safe_to_retry = false;
            let mut judged = Judged::failed(failure.error.clone(), true);
            doubt_stays(ready, &mut judged);
            let kept = Kept {
                outcome: unsent_outcome(relay, operation, &judged),
                backend: operation.backend.clone(),
                backend_id: None,
            };
            relay.keep(kept, in_hand);
        }
        // Nothing was committed.
        _ => in_hand.settled(),
    }
    Ended::Failure(Box::new(failure))
}

fn unsent_outcome(relay: &Relay, operation: &Operation, judged: &Judged) -> Outcome {
    let failure = Failure {
        error: judged.error.clone(),
        side_effect: judged.side_effect,
        safe_to_retry: true,
        mutating: true,
        operation: Some(operation.id),
        route: Some(operation.route.as_str().into()),
        backend: Some(operation.backend.as_str().into()),
        backend_status: None,
        retry_after: None,
    };
    let (status, body) = relay.render_problem(&failure);
    Outcome {
        id: operation.id,
        attempt: operation.attempt,
        epoch: operation.epoch,
        state: judged.state,
        keep_claim: judged.state == State::Unknown && operation.claim.is_some(),
        changes: Vec::new(),
        backend_status: None,
        sends: 0,
        reply_status: status.as_u16(),
        reply_headers: Vec::new(),
        reply_body: Some(body),
        error: Some((failure.error.code().to_owned(), failure.error.detail())),
        side_effect: super::side_effect_name(judged.side_effect),
        safe_to_retry: true,
        note: None,
        finished_at: clock::unix_micros(),
    }
}

async fn conclude(relay: &Relay, ready: &mut Ready, answer: Answer) -> Conclusion {
    let (status, sends) = (answer.status, answer.sends);
    let snapshot = ready.request.snapshot.clone();
    let route = snapshot.plan.route(ready.request.route);
    let mut read = answer::read(answer, &route.response);
    read.publish(&mut ready.request.scope, route.reads.response_head);
    let cleaner = cleaner(ready);
    let verdict = judge(
        route,
        &read,
        &ready.request.scope,
        ready.prepared.target.object.as_deref(),
        &cleaner,
    );
    let mut conclusion = match verdict {
        Verdict::Failure(judged) => Conclusion::failure(judged),
        Verdict::Success | Verdict::Absent => {
            let absent = matches!(verdict, Verdict::Absent);
            succeeded(relay, ready, &read, absent).await
        }
    };
    conclusion.backend_status = Some(status);
    conclusion.sends = sends;
    conclusion
}

async fn succeeded(
    relay: &Relay,
    ready: &mut Ready,
    read: &ReadAnswer,
    absent: bool,
) -> Conclusion {
    let extracted = match absent {
        // A delete that found nothing has nothing to extract from; its mapping goes all the same.
        true => Ok((deletions(ready), None)),
        false => extract(ready, read),
    };
    let (changes, backend_id) = match extracted {
        Ok(extracted) => extracted,
        Err(why) => {
            return Conclusion::failure(match &read.unreadable {
                Some(unreadable) => unreadable_success(ready, read, unreadable),
                None if call_acts(ready.request.route()) => {
                    Judged::unknown(RelayError::ExtractionFailed(why))
                }
                None => Judged::failed(RelayError::ExtractionFailed(why), true),
            });
        }
    };
    let rendered = reply::render(relay, &ready.request, ready.prepared.target.backend, read).await;
    let (judged, rendered) = match rendered {
        Ok(rendered) => (None, Some(rendered)),
        // Nothing says that it was done but a status whose body cannot be believed (SEMANTICS 12).
        Err(_) if backend_id.is_none() && read.unreadable.is_some() && !absent => {
            let why = read.unreadable.as_deref().unwrap_or_default();
            return Conclusion::failure(unreadable_success(ready, read, why));
        }
        // It was done, and its mapping is committed whatever else fails.
        Err(error) => (Some(Judged::done(error, State::Succeeded)), None),
    };
    Conclusion {
        judged,
        rendered,
        changes,
        backend_status: None,
        sends: 0,
        absent,
        backend_id,
    }
}

/// A success whose body is cut, too large or not what it says: `unknown`, where the route needs it.
fn unreadable_success(ready: &Ready, read: &ReadAnswer, why: &str) -> Judged {
    let words = format!("the backend answered {}, and {why}", read.status);
    let error = RelayError::OutcomeUnknown(words);
    match call_acts(ready.request.route()) {
        true => Judged::unknown(error),
        false => Judged::failed(error, true),
    }
}

/// What takes the relay's credentials and the request's `writeOnly` values out of a backend's words.
fn cleaner(ready: &Ready) -> impl Fn(&str) -> String + Send + Sync + use<> {
    let backends = ready.request.snapshot.backends.clone();
    let (backend, masks) = (ready.prepared.target.backend, ready.request.masks.clone());
    move |text| reply::mask(&backends.scrub(backend, text), &masks)
}

fn deletions(ready: &Ready) -> Vec<MappingChange> {
    let route = ready.request.route();
    route
        .mapping
        .iter()
        .zip(&ready.prepared.target.keys)
        .filter(|(change, _)| change.verb == Verb::Delete)
        .map(|(_, key)| MappingChange::Delete { key: key.clone() })
        .collect()
}

/// Fills `extracted.*` in; the words say what was not there.
pub fn extract_values(request: &mut Request, read: &ReadAnswer) -> Result<(), String> {
    let snapshot = request.snapshot.clone();
    for (name, source) in &snapshot.plan.route(request.route).extract {
        let value = source
            .extract(&read.view(&request.scope), &request.scope)
            .map_err(|error| format!("extract.{name}: {error}"))?;
        if let Some(value) = value {
            request.scope.insert(Root::Extracted, name, value);
        }
    }
    Ok(())
}

/// Everything the route records, taken from the answer; the words say what was not there.
fn extract(
    ready: &mut Ready,
    read: &ReadAnswer,
) -> Result<(Vec<MappingChange>, Option<String>), String> {
    let snapshot = ready.request.snapshot.clone();
    let plan = &snapshot.plan;
    let route = plan.route(ready.request.route);
    let words = |error: ExtractError| error.to_string();

    extract_values(&mut ready.request, read)?;
    let scope = &ready.request.scope;
    let view = read.view(scope);
    let backend = plan.backend(ready.prepared.target.backend);
    let now = clock::unix_micros();
    let mut first_id = None;
    let mut changes = Vec::with_capacity(route.mapping.len());
    for (change, key) in route.mapping.iter().zip(&ready.prepared.target.keys) {
        if change
            .when
            .as_ref()
            .is_some_and(|condition| !condition.holds(&view))
        {
            continue;
        }
        let backend_id = match &change.backend_id {
            None => None,
            Some(BackendIdSource::Pending) => Some(None),
            Some(BackendIdSource::Extract(source)) => source
                .extract_id(&view, scope, BACKEND_ID_LIMIT)
                .map_err(words)?
                .map(Some),
        };
        let mut attributes = Map::new();
        for (name, source) in &change.attributes {
            match source.extract(&view, scope) {
                Ok(Some(value)) => drop(attributes.insert(name.to_string(), value)),
                Ok(None) => {}
                Err(error) => warn!(
                    operation = %ready.id,
                    route = %route.name,
                    attribute = %name,
                    %error,
                    "an attribute is not in the answer and stays absent"
                ),
            }
        }
        let row = |backend_id: Option<String>, attributes: Map<String, Value>| Mapping {
            key: key.clone(),
            backend: backend.name.to_string(),
            kind: backend.kind.to_string(),
            backend_id,
            attributes,
            created_operation: Some(ready.id),
            updated_operation: Some(ready.id),
            created_at: now,
            updated_at: now,
        };
        if first_id.is_none() {
            first_id = backend_id.clone().flatten();
        }
        changes.push(match change.verb {
            Verb::Create | Verb::Put => {
                let Some(backend_id) = backend_id else {
                    return Err(format!(
                        "the id of {} `{}` is absent",
                        key.resource, key.cmp_id
                    ));
                };
                let row = row(backend_id, attributes);
                match change.verb {
                    Verb::Put => MappingChange::Put(row),
                    _ => MappingChange::Create(row),
                }
            }
            Verb::Update => MappingChange::Update {
                key: key.clone(),
                backend_id,
                attributes,
            },
            Verb::Delete => MappingChange::Delete { key: key.clone() },
        });
    }
    Ok((changes, first_id))
}

/// That a further attempt was not done says nothing of the one before it, whose outcome is not known.
fn doubt_stays(ready: &Ready, judged: &mut Judged) {
    let in_doubt = ready
        .previous
        .as_ref()
        .is_some_and(|row| row.state == State::Unknown);
    if in_doubt && judged.state == State::Failed {
        judged.state = State::Unknown;
        judged.side_effect = SideEffect::Unknown;
    }
}

/// Writes the outcome down, and only then tells the CMP.
async fn settle(
    relay: &Arc<Relay>,
    ready: &Ready,
    operation: &Operation,
    mut conclusion: Conclusion,
    in_hand: InHand,
) -> Ended {
    let request = &ready.request;
    let route = request.route();
    let limit = request.snapshot.plan.server.limits.stored_reply;
    if let Some(judged) = &mut conclusion.judged {
        doubt_stays(ready, judged);
    }
    let state = conclusion
        .judged
        .as_ref()
        .map_or(State::Succeeded, |judged| judged.state);
    let clean = cleaner(ready);
    let failure = conclusion.judged.as_ref().map(|judged| Failure {
        error: judged.error.clone().cleaned(&clean),
        side_effect: judged.side_effect,
        safe_to_retry: judged.safe_to_retry,
        mutating: true,
        operation: Some(ready.id),
        route: Some(route.name.clone()),
        backend: Some(operation.backend.as_str().into()),
        backend_status: conclusion.backend_status,
        retry_after: None,
    });
    let (status, headers, body) = match (&failure, &conclusion.rendered) {
        (None, Some(rendered)) => (
            rendered.status,
            rendered.headers.clone(),
            rendered.body.clone(),
        ),
        (Some(failure), _) => {
            let (status, body) = relay.render_problem(failure);
            let mut headers = HeaderMap::new();
            headers.insert(http::header::CONTENT_TYPE, super::PROBLEM_TYPE);
            (status, headers, Bytes::from(body))
        }
        (None, None) => (http::StatusCode::OK, HeaderMap::new(), Bytes::new()),
    };
    let stored =
        (route.store_reply && body.len() <= limit).then(|| mask_bytes(&body, &request.masks));
    let creates_or_deletes = route
        .mapping
        .iter()
        .any(|change| matches!(change.verb, Verb::Create | Verb::Put | Verb::Delete));
    let side_effect = conclusion
        .judged
        .as_ref()
        .map_or(SideEffect::Done, |judged| judged.side_effect);
    let outcome = Outcome {
        id: operation.id,
        attempt: operation.attempt,
        epoch: operation.epoch,
        state,
        keep_claim: state == State::Unknown && creates_or_deletes,
        changes: conclusion.changes,
        backend_status: conclusion.backend_status,
        sends: conclusion.sends,
        reply_status: status.as_u16(),
        reply_headers: match route.store_reply {
            true => stored_headers(&headers, &request.masks),
            false => Vec::new(),
        },
        reply_body: stored,
        error: failure.as_ref().map(|failure| {
            let error = &failure.error;
            let shown = route.store_reply || !error.quotes_the_backend();
            let detail = if shown { error.detail() } else { String::new() };
            (error.code().to_owned(), detail)
        }),
        side_effect: super::side_effect_name(side_effect),
        safe_to_retry: failure
            .as_ref()
            .is_some_and(|failure| failure.safe_to_retry),
        note: conclusion.absent.then(|| "absent".to_owned()),
        finished_at: clock::unix_micros(),
    };
    match relay.journal().finish(outcome.clone()).await {
        Ok(Finished::Done) => {
            in_hand.settled();
            match failure {
                Some(failure) => Ended::Failure(Box::new(failure)),
                None => {
                    let mut reply = Reply {
                        status,
                        headers,
                        body,
                    };
                    super::replay::stamp(&mut reply, operation.id, &operation.backend);
                    if conclusion.absent {
                        reply
                            .headers
                            .insert("relay-note", http::HeaderValue::from_static("absent"));
                    }
                    Ended::Reply(reply)
                }
            }
        }
        Ok(Finished::Conflict(theirs)) => {
            in_hand.settled();
            let error = RelayError::MappingConflict {
                ours: operation.object.cmp_id.clone(),
                theirs: theirs.key.cmp_id,
            };
            Ended::Failure(Box::new(after_the_call(
                request,
                operation,
                error,
                SideEffect::Done,
            )))
        }
        Ok(Finished::Lost(row)) => {
            in_hand.settled();
            error!(
                operation = %operation.id,
                backend = %operation.backend,
                backend_id = conclusion.backend_id.as_deref().unwrap_or("-"),
                state = ?row.map(|row| row.state),
                "an outcome came too late for its row, and was not recorded"
            );
            let error = RelayError::OutcomeUnknown(
                "the operation was settled by somebody else meanwhile".into(),
            );
            Ended::Failure(Box::new(after_the_call(
                request,
                operation,
                error,
                side_effect,
            )))
        }
        // What the table cannot hold will not be held later: the operation is named, and in doubt.
        Err(StoreError::Invalid(words)) if !outcome.changes.is_empty() => {
            error!(
                operation = %operation.id,
                backend = %operation.backend,
                backend_id = conclusion.backend_id.as_deref().unwrap_or("-"),
                error = %words,
                "an outcome cannot be stored"
            );
            let judged = Judged::unknown(RelayError::ExtractionFailed(words));
            let unknown = Conclusion {
                backend_status: conclusion.backend_status,
                sends: conclusion.sends,
                ..Conclusion::failure(judged)
            };
            Box::pin(settle(relay, ready, operation, unknown, in_hand)).await
        }
        Err(store_error) => {
            error!(
                operation = %operation.id,
                backend = %operation.backend,
                backend_id = conclusion.backend_id.as_deref().unwrap_or("-"),
                error = %store_error,
                "an outcome could not be written; it is kept in memory until the database returns"
            );
            let kept = Kept {
                outcome,
                backend: operation.backend.clone(),
                backend_id: conclusion.backend_id,
            };
            relay.keep(kept, in_hand);
            let error = RelayError::OutcomeUnknown("the outcome could not be recorded yet".into());
            Ended::Failure(Box::new(after_the_call(
                request,
                operation,
                error,
                side_effect,
            )))
        }
    }
}

fn after_the_call(
    request: &Request,
    operation: &Operation,
    error: RelayError,
    side_effect: SideEffect,
) -> Failure {
    Failure {
        error,
        side_effect,
        safe_to_retry: false,
        mutating: true,
        operation: Some(operation.id),
        route: Some(request.route().name.clone()),
        backend: Some(operation.backend.as_str().into()),
        backend_status: None,
        retry_after: None,
    }
}

fn mask_bytes(body: &Bytes, masks: &[String]) -> Vec<u8> {
    if masks.is_empty() {
        return body.to_vec();
    }
    reply::mask(&String::from_utf8_lossy(body), masks).into_bytes()
}

fn stored_headers(headers: &HeaderMap, masks: &[String]) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes());
            (name.to_string(), reply::mask(&value, masks))
        })
        .collect()
}
