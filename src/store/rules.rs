//! What becomes of an intent and of an outcome (SEMANTICS 1, 2, 6, 15): the rules, without a database.
//!
//! Each function reads and changes the [`Ledger`] of its batch, whose rows are locked, so that a
//! comparison here and the write that follows are one compare-and-set.

use std::sync::Arc;

use super::ledger::Ledger;
use super::{
    Begun, Effect, Expect, Finished, Intent, Mapping, MappingChange, ObjectKey, Operation,
    OperationId, Outcome, State,
};

/// Starts an operation, or says what stands in its way.
pub(super) fn begin(ledger: &mut Ledger, intent: &Intent) -> Begun {
    let wanted = &intent.operation;
    if intent.replaces.is_none()
        && let Some(row) = ledger.operation(wanted.id)
        && is_same_intent(row, wanted)
    {
        // The commit before the one that is re-run has happened after all.
        return Begun::Started;
    }
    if let Some(key) = &wanted.idempotency_key
        && let Some(row) = ledger.operation_by_key(&wanted.client, key)
        && !(row.id == wanted.id && intent.replaces.is_some())
    {
        return Begun::KeyTaken(Box::new(row.clone()));
    }
    let replaced = ledger.operation(wanted.id);
    let expected = intent.replaces;
    if replaced.map(|row| (row.attempt, row.state)) != expected {
        return Begun::Superseded(replaced.cloned().map(Box::new));
    }
    if let Some(claim) = &wanted.claim
        && let Some(row) = ledger.holder(claim)
        && row.id != wanted.id
    {
        return Begun::ClaimHeld(Box::new(row.clone()));
    }
    if let Some(refusal) = refuted(ledger, &intent.expects) {
        return refusal;
    }

    let mut row = Box::new(wanted.clone());
    row.state = State::Pending;
    if let Some(replaced) = replaced {
        // A next attempt of the same operation: its name, owner, key and age stay.
        row.client.clone_from(&replaced.client);
        row.idempotency_key.clone_from(&replaced.idempotency_key);
        row.created_at = replaced.created_at;
    }
    ledger.put_operation(row);
    Begun::Started
}

/// Whether a row is what this very intent wrote.
pub(super) fn is_same_intent(row: &Operation, wanted: &Operation) -> bool {
    row.id == wanted.id
        && row.attempt == wanted.attempt
        && row.state == State::Pending
        && row.deadline == wanted.deadline
        && row.call_hash == wanted.call_hash
        && row.epoch == wanted.epoch
        && row.node == wanted.node
}

/// The first expectation that does not hold; a mapping in the way of a create is told first.
fn refuted(ledger: &Ledger, expects: &[Expect]) -> Option<Begun> {
    let mapped = expects.iter().find_map(|expect| match expect {
        Expect::Unmapped { key } => ledger.mapping(key),
        Expect::Mapped { .. } => None,
    });
    if let Some(row) = mapped {
        return Some(Begun::AlreadyMapped(Box::new(row.clone())));
    }
    expects.iter().enumerate().find_map(|(index, expect)| {
        let Expect::Mapped {
            key,
            backend,
            backend_id,
        } = expect
        else {
            return None;
        };
        let row = ledger.mapping(key);
        let holds = row.is_some_and(|row| row.backend == *backend && row.backend_id == *backend_id);
        (!holds).then(|| Begun::Changed(index, row.cloned().map(Box::new)))
    })
}

/// Records an outcome and its mapping changes, all or nothing.
pub(super) fn finish(ledger: &mut Ledger, outcome: &Outcome) -> Finished {
    let Some(row) = ledger.operation(outcome.id) else {
        return Finished::Lost(None);
    };
    if is_same_outcome(row, outcome) {
        // As for an intent: the commit that is re-run has happened after all.
        return Finished::Done;
    }
    let ours =
        row.attempt == outcome.attempt && row.epoch == outcome.epoch && row.state == State::Pending;
    if !ours {
        return Finished::Lost(Some(Box::new(row.clone())));
    }
    let mut row = ledger
        .take_operation(outcome.id)
        .expect("it was found above");
    row.backend_status = outcome.backend_status;
    row.sends = outcome.sends;
    row.finished_at = Some(outcome.finished_at);
    row.note.clone_from(&outcome.note);

    match apply(ledger, &row, &outcome.changes, outcome.finished_at) {
        Ok(()) => {
            row.state = outcome.state;
            if !outcome.keep_claim {
                row.claim = None;
            }
            row.reply_status = Some(outcome.reply_status);
            row.reply_headers.clone_from(&outcome.reply_headers);
            row.reply_body.clone_from(&outcome.reply_body);
            row.error.clone_from(&outcome.error);
            outcome.side_effect.clone_into(&mut row.side_effect);
            row.safe_to_retry = outcome.safe_to_retry;
            ledger.settle_operation(row);
            Finished::Done
        }
        Err(rival) => {
            row.state = State::Unknown;
            row.error = Some(("mapping_conflict".into(), conflict_words(&row, &rival)));
            row.side_effect = "done".into();
            row.safe_to_retry = false;
            ledger.settle_operation(row);
            Finished::Conflict(rival)
        }
    }
}

/// Whether a row is what this very outcome wrote.
pub(super) fn is_same_outcome(row: &Operation, outcome: &Outcome) -> bool {
    row.id == outcome.id
        && row.attempt == outcome.attempt
        && row.epoch == outcome.epoch
        && row.state == outcome.state
        && row.state != State::Pending
        && row.finished_at == Some(outcome.finished_at)
        && row.reply_status == Some(outcome.reply_status)
}

fn conflict_words(row: &Operation, rival: &Mapping) -> String {
    format!(
        "{} `{}` got {} `{}` on {}, which {} `{}` has already",
        row.object.resource,
        row.object.cmp_id,
        rival.kind,
        rival.backend_id.as_deref().unwrap_or("(pending)"),
        rival.backend,
        rival.key.resource,
        rival.key.cmp_id,
    )
}

/// Applies the changes one after the other; on a conflict none of them stays.
fn apply(
    ledger: &mut Ledger,
    operation: &Operation,
    changes: &[MappingChange],
    at: i64,
) -> Result<(), Box<Mapping>> {
    let mut undo = Vec::new();
    for change in changes {
        let key = key_of(change);
        let before = ledger.shared_mapping(key);
        let after = match result_of(change, before.as_deref(), operation, at) {
            Ok(after) => after,
            Err(rival) => return Err(roll_back(ledger, undo, rival)),
        };
        if let Some(rival) = after.as_ref().and_then(|row| ledger.rival(row)) {
            let rival = Box::new(rival.clone());
            return Err(roll_back(ledger, undo, rival));
        }
        undo.push((key.clone(), before));
        match after {
            Some(row) => ledger.put_mapping(row),
            None => {
                ledger.remove_mapping(key);
            }
        }
    }
    Ok(())
}

fn roll_back(
    ledger: &mut Ledger,
    undo: Vec<(ObjectKey, Option<Arc<Mapping>>)>,
    rival: Box<Mapping>,
) -> Box<Mapping> {
    for (key, before) in undo.into_iter().rev() {
        match before {
            Some(row) => ledger.put_mapping(row),
            None => {
                ledger.remove_mapping(&key);
            }
        }
    }
    rival
}

/// The object that a change is about.
pub(super) fn key_of(change: &MappingChange) -> &ObjectKey {
    match change {
        MappingChange::Create(row) | MappingChange::Put(row) => &row.key,
        MappingChange::Update { key, .. } | MappingChange::Delete { key } => key,
    }
}

/// The row after a change (`None`: no row), or the row of another operation in the way.
///
/// An update of an object that is not mapped any more changes nothing: the object was forgotten or
/// deleted since, and there is no row that could be wrong.
fn result_of(
    change: &MappingChange,
    before: Option<&Mapping>,
    operation: &Operation,
    at: i64,
) -> Result<Option<Arc<Mapping>>, Box<Mapping>> {
    let by = Some(operation.id);
    match change {
        MappingChange::Create(row) => match before {
            Some(other) if other.created_operation != by => Err(Box::new(other.clone())),
            _ => Ok(Some(made_by(row, operation.id))),
        },
        MappingChange::Put(row) => Ok(Some(Arc::new(Mapping {
            created_operation: before.map_or(by, |before| before.created_operation),
            created_at: before.map_or(row.created_at, |before| before.created_at),
            updated_operation: by,
            ..Mapping::clone(row)
        }))),
        MappingChange::Update {
            backend_id,
            attributes,
            ..
        } => Ok(before.cloned().map(|mut row| {
            if let Some(id) = backend_id {
                row.backend_id.clone_from(id);
            }
            row.attributes.extend(attributes.clone());
            row.updated_operation = by;
            row.updated_at = at;
            Arc::new(row)
        })),
        MappingChange::Delete { .. } => Ok(None),
    }
}

/// The row that a create of this operation leaves; the very same, where its maker named the operation already.
pub(super) fn made_by(row: &Arc<Mapping>, operation: OperationId) -> Arc<Mapping> {
    let mut row = row.clone();
    let by = Some(operation);
    if (row.created_operation, row.updated_operation) != (by, by) {
        let row = Arc::make_mut(&mut row);
        (row.created_operation, row.updated_operation) = (by, by);
    }
    row
}

/// What a pending row becomes when nobody will finish it (SEMANTICS 7, 16).
pub(super) fn abandon(mut row: Operation, now: i64, why: &str) -> Operation {
    row.state = State::Unknown;
    row.side_effect = "unknown".into();
    row.safe_to_retry = row.idempotent;
    row.error = Some(("outcome_unknown".into(), why.into()));
    row.finished_at = Some(now);
    if !row.effects.iter().any(Effect::keeps_claim) {
        row.claim = None;
    }
    row
}
