//! What a person may write: `resolve`, `adopt` and `forget` (SEMANTICS 2, 15, 16), without a database.
//!
//! Each takes the object's claim into account and leaves an audit row when it changed something.

use std::sync::Arc;

use serde_json::Map;

use super::ledger::Ledger;
use super::{Effect, Mapping, ObjectKey, Operation, Settled, Settlement, State, Verdict, limits};
use crate::clock::rfc3339;

/// Settles an `unknown` operation.
pub(super) fn settle(ledger: &mut Ledger, settlement: &Settlement) -> Settled {
    let Some(row) = ledger.operation(settlement.id) else {
        return Settled::NotFound;
    };
    if let Some(words) = refusal(row, settlement) {
        return Settled::Refused(words);
    }
    let mut row = Box::new(row.clone());
    match &settlement.verdict {
        Verdict::Failed => {
            row.state = State::Failed;
            row.side_effect = "none".into();
            row.reply_status = None;
            row.reply_headers.clear();
            row.reply_body = None;
        }
        Verdict::Succeeded {
            backend_id,
            reply_body,
            reply_status,
        } => {
            if let Err(refused) = apply(ledger, &row, settlement, backend_id.as_deref()) {
                return refused;
            }
            row.state = State::Succeeded;
            row.side_effect = "done".into();
            row.error = None;
            row.reply_status = Some(*reply_status);
            row.reply_headers.clear();
            row.reply_body.clone_from(reply_body);
        }
    }
    row.safe_to_retry = true;
    row.claim = None;
    row.note = Some("operator".into());
    row.finished_at = Some(settlement.at);
    let detail = format!("operation {} as {}", row.id, row.state.name());
    ledger.settle_operation(row);
    ledger.audit(&settlement.by, "resolve", detail, settlement.at);
    Settled::Done
}

/// Why this operation cannot be settled so, now.
fn refusal(row: &Operation, settlement: &Settlement) -> Option<String> {
    if row.attempt != settlement.attempt {
        return Some(format!(
            "attempt {} is the current one, not {}; look at the operation again",
            row.attempt, settlement.attempt
        ));
    }
    let early = settlement.at < row.deadline && !settlement.force;
    match row.state {
        State::Succeeded | State::Failed => Some(format!(
            "the operation has {} already; there is nothing to settle",
            row.state.name()
        )),
        State::Pending if early => Some(format!(
            "the operation is still running; wait until its deadline {}, or force it",
            rfc3339(row.deadline)
        )),
        State::Unknown if early && settlement.verdict == Verdict::Failed => Some(format!(
            "the call may still reach the backend until {}; wait, or force it",
            rfc3339(row.deadline)
        )),
        State::Pending | State::Unknown => None,
    }
}

/// Applies the effects that were known at the intent: checks all of them before it changes any.
fn apply(
    ledger: &mut Ledger,
    row: &Operation,
    settlement: &Settlement,
    backend_id: Option<&str>,
) -> Result<(), Settled> {
    if let Some(id) = backend_id {
        limits::backend_id(id).map_err(Settled::Refused)?;
    }
    let holder = row
        .effects
        .iter()
        .filter_map(|effect| ledger.holder(&effect.key.claim()))
        .find(|holder| holder.id != row.id);
    if let Some(holder) = holder {
        return Err(Settled::ClaimHeld(Box::new(holder.clone())));
    }

    let mut recorded = Vec::new();
    for effect in &row.effects {
        if let Some(mapping) = mapping_of(ledger, effect, row, settlement.at, backend_id)? {
            let others = [ledger.mapping(&mapping.key), ledger.rival(&mapping)];
            let in_the_way: Vec<Mapping> = others
                .into_iter()
                .flatten()
                .filter(|other| !is_own(other, effect, row))
                .cloned()
                .collect();
            if let Some(other) = in_the_way.first()
                && !settlement.replace
            {
                return Err(Settled::Conflict(Box::new(other.clone())));
            }
            recorded.push((mapping, in_the_way));
        }
    }

    for (mapping, in_the_way) in recorded {
        for other in in_the_way {
            ledger.remove_mapping(&other.key);
        }
        ledger.put_mapping(Arc::new(mapping));
    }
    for effect in row.effects.iter().filter(|effect| effect.verb == "delete") {
        ledger.remove_mapping(&effect.key);
    }
    Ok(())
}

/// Whether `other` is a row that this effect may overwrite: its own, or what a `put` updates.
fn is_own(other: &Mapping, effect: &Effect, row: &Operation) -> bool {
    other.key == effect.key
        && (other.created_operation == Some(row.id) || !effect.verb.starts_with("create"))
}

/// The mapping that an effect leaves behind; `None` for a delete and for what is not mapped.
///
/// Where an operation records several objects, the backend id that was given is that of the object it
/// is about; the others must be ones whose id comes later.
fn mapping_of(
    ledger: &Ledger,
    effect: &Effect,
    row: &Operation,
    at: i64,
    backend_id: Option<&str>,
) -> Result<Option<Mapping>, Settled> {
    let before = ledger.mapping(&effect.key);
    let pending_is_fine = matches!(&*effect.verb, "create_pending" | "put_pending");
    match &*effect.verb {
        "create" | "put" | "create_pending" | "put_pending" => {}
        "update" => {
            return Ok(before.cloned().map(|mut mapping| {
                mapping.updated_operation = Some(row.id);
                mapping.updated_at = at;
                mapping
            }));
        }
        _ => return Ok(None),
    }
    let main = main_effect(row).is_some_and(|main| main == effect);
    let id = backend_id.filter(|_| main).map(str::to_owned);
    if id.is_none() && !pending_is_fine {
        return Err(Settled::Refused(format!(
            "the backend id of {} `{}` is needed to settle this operation as succeeded",
            effect.key.resource, effect.key.cmp_id
        )));
    }
    let kept = before.filter(|before| is_own(before, effect, row));
    Ok(Some(Mapping {
        key: effect.key.clone(),
        backend: row.backend.clone(),
        kind: effect.kind.clone(),
        backend_id: id,
        attributes: kept.map_or_else(Map::new, |kept| kept.attributes.clone()),
        created_operation: kept.map_or(Some(row.id), |kept| kept.created_operation),
        updated_operation: Some(row.id),
        created_at: kept.map_or(at, |kept| kept.created_at),
        updated_at: at,
    }))
}

/// The effect that a given backend id belongs to.
fn main_effect(row: &Operation) -> Option<&Effect> {
    let records = |effect: &&Effect| {
        matches!(
            &*effect.verb,
            "create" | "put" | "create_pending" | "put_pending"
        )
    };
    let of_object = row
        .effects
        .iter()
        .filter(records)
        .find(|effect| effect.key == row.object);
    of_object.or_else(|| row.effects.iter().find(records))
}

/// Records a mapping that exists at the backend already.
pub(super) fn adopt(ledger: &mut Ledger, mapping: &Mapping, by: &str) -> Settled {
    if let Err(words) = limits::mapping(mapping) {
        return Settled::Refused(words);
    }
    if let Some(holder) = ledger.holder(&mapping.key.claim()) {
        return Settled::ClaimHeld(Box::new(holder.clone()));
    }
    if let Some(row) = ledger.mapping(&mapping.key) {
        return Settled::Refused(format!(
            "{} `{}` is mapped already, to `{}` on {}; forget that mapping first",
            row.key.resource,
            row.key.cmp_id,
            row.backend_id.as_deref().unwrap_or("(pending)"),
            row.backend
        ));
    }
    if let Some(rival) = ledger.rival(mapping) {
        return Settled::Conflict(Box::new(rival.clone()));
    }
    ledger.put_mapping(Arc::new(mapping.clone()));
    let detail = format!(
        "{} as `{}` on {}",
        named(&mapping.key),
        mapping.backend_id.as_deref().unwrap_or("(pending)"),
        mapping.backend
    );
    ledger.audit(by, "adopt", detail, mapping.created_at);
    Settled::Done
}

/// Removes a mapping without a call.
pub(super) fn forget(ledger: &mut Ledger, key: &ObjectKey, by: &str, at: i64) -> Settled {
    if let Some(holder) = ledger.holder(&key.claim()) {
        return Settled::ClaimHeld(Box::new(holder.clone()));
    }
    let Some(row) = ledger.mapping(key) else {
        return Settled::NotFound;
    };
    let detail = format!(
        "{}, which was `{}` on {}",
        named(key),
        row.backend_id.as_deref().unwrap_or("(pending)"),
        row.backend
    );
    ledger.remove_mapping(key);
    ledger.audit(by, "forget", detail, at);
    Settled::Done
}

fn named(key: &ObjectKey) -> String {
    if key.scope.is_empty() {
        format!("{} `{}`", key.resource, key.cmp_id)
    } else {
        format!("{} `{}` of {}", key.resource, key.cmp_id, key.scope)
    }
}
