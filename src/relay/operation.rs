//! One journalled request: intent, call, outcome. It runs in a task of its own, so that a CMP that
//! disconnects cancels nothing (SEMANTICS 7).

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use tracing::error;

use super::answer::{self, ReadAnswer};
use super::confirm::{self, Replicated, Unconfirmed};
use super::keeper::Kept;
use super::outcome::{Judged, Verdict, call_acts, judge, judge_silence};
use super::owned::InHand;
use super::reply::{self, Rendered};
use super::route::Request;
use super::witness::Step;
use super::{Failure, Prepared, Relay, RelayError, Reply, intent, record, resource};
use crate::backend::{Place, Turn};
use crate::clock::{self, Boottime};
use crate::driver::{Answer, Clearance};
use crate::failpoint;
use crate::plan::SideEffect;
use crate::store::{
    Begun, Effect, Finished, MappingChange, Operation, OperationId, Outcome, State, StoreError,
};

/// A request that is ready to be written down and sent.
#[derive(Debug)]
pub struct Ready {
    pub request: Box<Request>,
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

/// Runs a ready request to its end; its place is its backend's again as soon as the call has ended.
pub async fn run(relay: Arc<Relay>, mut ready: Ready, turn: Turn) -> Ended {
    relay.reaches(Step::Intended);
    let intent = Arc::new(intent::of(&relay, &ready));
    let operation = &intent.operation;
    relay.note(|seen| seen.intent = Some(operation.clone()));
    let in_hand = relay.owned().take(super::owned::Attempt {
        id: operation.id,
        attempt: operation.attempt,
        epoch: operation.epoch,
    });
    // In hand first, then asked: who stops or hands over while this one is on its way sees it in hand, or it is refused here.
    if let Some(error) = refusal(&relay, operation.epoch) {
        in_hand.settled();
        let failure = Failure::of_route(ready.request.route(), error);
        return Ended::Failure(Box::new(failure));
    }
    let position = match relay.journal().begin(intent.clone()).await {
        Ok((Begun::Started, position)) => position,
        Ok((refused, _)) => {
            in_hand.settled();
            return intent::refused(&ready, refused);
        }
        Err(error) => return intent::unwritten(&relay, &ready, operation, error, in_hand),
    };
    failpoint::reached("after_intent");
    let rule = confirm::rule_of(&ready.request);
    let asked = Boottime::now();
    let confirmed = relay.replicated(rule, position, operation.epoch).await;
    // What was waited for the standby is not taken from the call's time.
    let waited = asked.elapsed().min(relay.patience(&ready.request));
    ready.prepared.deadline = ready.prepared.deadline + waited;
    let conclusion = match placed(turn, confirmed, ready.prepared.deadline).await {
        Ok(place) => {
            failpoint::reached("intent_confirmed");
            let conclusion = send(&relay, &mut ready, place, operation.epoch).await;
            failpoint::reached("after_call");
            conclusion
        }
        Err(refused) => Conclusion::failure(Judged::failed(refused, true)),
    };
    settle(&relay, &ready, operation, conclusion, in_hand).await
}

/// Why nothing new is begun here.
fn refusal(relay: &Relay, epoch: i64) -> Option<RelayError> {
    if relay.is_draining() {
        return Some(RelayError::ShuttingDown);
    }
    (!relay.gate().holds(epoch)).then_some(RelayError::Standby)
}

/// The place for the call, once the intent is where the rule wants it.
async fn placed(
    turn: Turn,
    confirmed: Result<Replicated, Unconfirmed>,
    deadline: Boottime,
) -> Result<Place, RelayError> {
    confirmed.map_err(|Unconfirmed| RelayError::StandbyUnconfirmed)?;
    Ok(turn.place(deadline).await?)
}

/// The one call, if the gate is still open in `epoch`, and what its answer means.
async fn send(relay: &Relay, ready: &mut Ready, place: Place, epoch: i64) -> Conclusion {
    relay.reaches(Step::Sent);
    let gate = relay.gate().clone();
    let clearance = Clearance {
        deadline: ready.prepared.deadline,
        mutating: true,
        gate: Arc::new(move || gate.holds(epoch)),
    };
    let backends = ready.request.snapshot.backends.clone();
    let sent = backends
        .send(&place, &ready.prepared.call, &clearance)
        .await;
    drop(place);
    match sent {
        Ok(answer) => conclude(relay, ready, answer).await,
        Err(error) => Conclusion {
            sends: error.sends,
            backend_status: error.backend_status,
            ..Conclusion::failure(judge_silence(
                call_acts(ready.request.route(), ready.request.way()),
                &error,
            ))
        },
    }
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

async fn conclude(relay: &Relay, ready: &mut Ready, answer: Answer) -> Conclusion {
    let (status, sends) = (answer.status, answer.sends);
    let snapshot = ready.request.snapshot.clone();
    let route = snapshot.plan.route(ready.request.route);
    let way = &route.ways[ready.request.way];
    let mut read = answer::read(answer, &way.response, &way.reads.response_body);
    read.publish(&mut ready.request.scope, way.reads.response_head);
    let clean = reply::cleaner(&ready.request, ready.prepared.target.backend);
    let verdict = judge(
        way,
        call_acts(route, way),
        &read,
        &ready.request.scope,
        ready.prepared.target.object.as_deref(),
        &clean,
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
        true => Ok((record::deletions(ready), None)),
        false => record::changes(ready, read),
    };
    let (changes, backend_id) = match extracted {
        Ok(extracted) => extracted,
        Err(why) => {
            return Conclusion::failure(match &read.unreadable {
                Some(unreadable) => unreadable_success(ready, read, unreadable),
                None if call_acts(ready.request.route(), ready.request.way()) => {
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
    match call_acts(ready.request.route(), ready.request.way()) {
        true => Judged::unknown(error),
        false => Judged::failed(error, true),
    }
}

/// That a further attempt was not done says nothing of the one before it, whose outcome is not known.
pub fn doubt_stays(ready: &Ready, judged: &mut Judged) {
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
    let rule = confirm::rule_of(request);
    let limit = request.snapshot.plan.server.limits.stored_reply;
    if let Some(judged) = &mut conclusion.judged {
        doubt_stays(ready, judged);
    }
    let state = conclusion
        .judged
        .as_ref()
        .map_or(State::Succeeded, |judged| judged.state);
    let clean = reply::cleaner(request, ready.prepared.target.backend);
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
        replicated: None,
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
    let kept = request.way().store_reply;
    let stored = (kept && body.len() <= limit).then(|| mask_bytes(&body, &request.masks));
    let side_effect = conclusion
        .judged
        .as_ref()
        .map_or(SideEffect::Done, |judged| judged.side_effect);
    let outcome = Arc::new(Outcome {
        id: operation.id,
        attempt: operation.attempt,
        epoch: operation.epoch,
        state,
        keep_claim: state == State::Unknown && operation.effects.iter().any(Effect::keeps_claim),
        changes: conclusion.changes,
        backend_status: conclusion.backend_status,
        sends: conclusion.sends,
        reply_status: status.as_u16(),
        reply_headers: match kept {
            true => stored_headers(&headers, &request.masks),
            false => Vec::new(),
        },
        reply_body: stored,
        error: failure.as_ref().map(|failure| {
            let error = &failure.error;
            let shown = kept || !error.quotes_the_backend();
            let detail = if shown { error.detail() } else { String::new() };
            (error.code().to_owned(), detail)
        }),
        side_effect: super::side_effect_name(side_effect),
        safe_to_retry: failure
            .as_ref()
            .is_some_and(|failure| failure.safe_to_retry),
        note: conclusion.absent.then(|| "absent".to_owned()),
        finished_at: clock::unix_micros(),
    });
    match relay.journal().finish(outcome.clone()).await {
        Ok((Finished::Done, position)) => {
            failpoint::reached("after_outcome");
            let confirmed = match &failure {
                // What nobody confirmed just now is not waited for again.
                Some(failure) if failure.error == RelayError::StandbyUnconfirmed => {
                    Ok(Replicated::No)
                }
                _ => relay.replicated(rule, position, operation.epoch).await,
            };
            failpoint::reached("outcome_confirmed");
            // Until here in hand: who stops or hands over lets it be confirmed.
            in_hand.settled();
            // A success that may be lost is not acknowledged; a failure is told as it is.
            if confirmed.is_err() && state == State::Succeeded {
                return Ended::Failure(Box::new(unconfirmed(ready, operation)));
            }
            let replicated = confirmed.unwrap_or(Replicated::No);
            match failure {
                Some(failure) => Ended::Failure(Box::new(Failure {
                    replicated: Some(replicated),
                    ..failure
                })),
                None => {
                    let mut reply = Reply {
                        status,
                        headers,
                        body,
                    };
                    super::replay::stamp(&mut reply, operation.id, &operation.backend, replicated);
                    if conclusion.absent {
                        reply
                            .headers
                            .insert("relay-note", http::HeaderValue::from_static("absent"));
                    }
                    Ended::Reply(reply)
                }
            }
        }
        Ok((Finished::Conflict(theirs), position)) => {
            let confirmed = relay.replicated(rule, position, operation.epoch).await;
            in_hand.settled();
            let error = RelayError::MappingConflict {
                ours: operation.object.cmp_id.clone(),
                theirs: theirs.key.cmp_id,
            };
            Ended::Failure(Box::new(Failure {
                replicated: Some(confirmed.unwrap_or(Replicated::No)),
                ..after_the_call(request, operation, error, SideEffect::Done)
            }))
        }
        Ok((Finished::Lost(row), _)) => {
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

/// Done, and written down here alone. A retry waits for the confirmation where it is known again: by its key, by
/// the object that it creates, or because running it once more changes nothing.
fn unconfirmed(ready: &Ready, operation: &Operation) -> Failure {
    let request = &ready.request;
    let mut created = resource::created_keys(request.way(), &ready.prepared.target.keys);
    let known_again =
        request.idempotency_key.is_some() || request.route().idempotent || created.next().is_some();
    let error = RelayError::OutcomeUnconfirmed;
    Failure {
        safe_to_retry: known_again,
        retry_after: error.retry_after(),
        replicated: Some(Replicated::No),
        ..after_the_call(request, operation, error, SideEffect::Done)
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
        replicated: None,
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
