//! The intent: what is written down before the backend hears anything, and what becomes of a request
//! whose intent is not taken.

use std::sync::Arc;

use tracing::warn;

use super::keeper::Kept;
use super::operation::{Ended, Ready, doubt_stays};
use super::outcome::Judged;
use super::owned::InHand;
use super::{Failure, Relay, RelayError, call};
use crate::clock;
use crate::plan::{BackendIdSource, MappingOp, Verb};
use crate::store::{Begun, Effect, Intent, ObjectKey, Operation, Outcome, State, StoreError};

pub fn of(relay: &Relay, ready: &Ready) -> Intent {
    let request = &ready.request;
    let plan = &request.snapshot.plan;
    let route = request.route();
    let now = clock::unix_micros();
    let effects = request
        .way()
        .mapping
        .iter()
        .zip(&ready.prepared.target.keys)
        .filter_map(|(change, key)| {
            Some(Effect {
                verb: verb_name(change).to_owned(),
                key: key.clone()?,
                kind: plan.resource(change.resource).kind.to_string(),
            })
        })
        .collect();
    let named = ready.prepared.target.claim.clone();
    let object = named
        .clone()
        .or_else(|| ready.prepared.target.keys.iter().flatten().next().cloned())
        .unwrap_or_else(|| ObjectKey {
            resource: plan.resource(route.resource).name.to_string(),
            cmp_id: String::new(),
            scope: String::new(),
        });
    let left = ready.prepared.deadline.remaining().unwrap_or_default() + relay.patience(request);
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
pub fn refused(ready: &Ready, begun: Begun) -> Ended {
    match begun {
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
pub fn unwritten(
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
                outcome: Arc::new(unsent_outcome(relay, operation, &judged)),
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
        replicated: None,
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
