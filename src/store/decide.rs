//! One write, decided in a ledger: which rule it is for.

use super::ledger::Ledger;
use super::{Write, Written, limits, rules, settle};

/// Decides one write that names its rows; the ledger holds them, and what becomes of them.
pub(super) fn one(ledger: &mut Ledger, write: &Write) -> Written {
    match write {
        Write::Begin(intent) => match limits::intent(intent) {
            Ok(()) => Written::Begun(rules::begin(ledger, intent)),
            Err(words) => Written::Invalid(words),
        },
        Write::Finish(outcome) => match limits::outcome(outcome) {
            Ok(()) => Written::Finished(rules::finish(ledger, outcome)),
            Err(words) => Written::Invalid(words),
        },
        Write::Settle(settlement) => Written::Settled(settle::settle(ledger, settlement)),
        Write::Adopt { mapping, by } => Written::Settled(settle::adopt(ledger, mapping, by)),
        Write::Forget { key, by, at } => Written::Settled(settle::forget(ledger, key, by, *at)),
        Write::Audit {
            by,
            action,
            detail,
            at,
        } => {
            ledger.audit(by, action, detail.clone(), *at);
            Written::Count(1)
        }
        Write::ExpirePending { .. }
        | Write::RecoverPending { .. }
        | Write::Prune { .. }
        | Write::RecordHostKey(_)
        | Write::ForgetHostKey { .. } => {
            unreachable!("a sweep is never decided in a ledger")
        }
    }
}
