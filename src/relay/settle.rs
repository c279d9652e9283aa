//! The way out of `unknown`: a person, or the CMP for its own operations, says what happened
//! (SEMANTICS 16). The relay never asks the backend.

use http::StatusCode;

use super::confirm::{self, Replicated, Unconfirmed};
use super::{Caller, Relay, RelayError, reply};
use crate::clock;
use crate::plan::{Confirm, Role};
use crate::store::{
    Operation, OperationId, Settled, Settlement, State, StoreError, Verdict, Write,
};

/// What the caller asserts.
#[derive(Clone, Debug)]
pub enum Assertion {
    /// Nothing exists at the backend: the retry runs.
    Failed,
    /// It was done; a create needs the id of the backend's object. `reply`: the body of a replay.
    Succeeded {
        backend_id: Option<String>,
        reply: Option<serde_json::Value>,
    },
}

/// Leave to override what protects a settlement.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// Settle before the deadline has passed.
    pub force: bool,
    /// Remove a mapping that is in the way, in the same transaction.
    pub replace: bool,
}

/// Whether `caller` may see the operation: its own client and operators; to others it does not exist.
pub fn may_see(caller: &Caller, operation: &Operation) -> bool {
    *operation.client == *caller.name || caller.roles.contains(&Role::Operator)
}

impl Relay {
    /// An operation as `caller` may see it.
    pub async fn visible_operation(
        &self,
        caller: &Caller,
        id: OperationId,
    ) -> Result<Option<Operation>, StoreError> {
        let operation = self.journal().store().operation(id).await?;
        Ok(operation.filter(|operation| may_see(caller, operation)))
    }

    /// Settles, adopts or forgets. What was done is told once the standby has it, as `rule` says; what was not
    /// left nothing to confirm.
    pub async fn administer(
        &self,
        write: Write,
        rule: Confirm,
    ) -> Result<(Settled, Replicated), RelayError> {
        let epoch = self.gate().epoch();
        let (settled, position) = match self.journal().administer(write).await {
            Err(StoreError::Invalid(words)) => return Err(RelayError::MalformedRequest(words)),
            written => written?,
        };
        if settled != Settled::Done {
            return Ok((settled, Replicated::No));
        }
        match self.replicated(rule, position, epoch).await {
            Ok(replicated) => Ok((settled, replicated)),
            Err(Unconfirmed) => Err(RelayError::OrderUnconfirmed),
        }
    }

    /// Settles an operation of the caller's, by the rule of its route.
    pub async fn settle(
        &self,
        caller: &Caller,
        id: OperationId,
        assertion: Assertion,
        overrides: Overrides,
    ) -> Result<(Settled, Replicated), RelayError> {
        let refused = |words| Ok((Settled::Refused(words), Replicated::No));
        let Some(operation) = self.visible_operation(caller, id).await? else {
            return Ok((Settled::NotFound, Replicated::No));
        };
        if !matches!(operation.state, State::Unknown | State::Pending) {
            let state = operation.state.name();
            return refused(format!("operation {id} is settled: it has {state}"));
        }
        if self.owned().holds(id) && !overrides.force {
            return refused(format!(
                "operation {id} is still in hand here: its answer is awaited, or its outcome is about to be written; wait, or force it"
            ));
        }
        let verdict = match assertion {
            Assertion::Failed => Verdict::Failed,
            Assertion::Succeeded { backend_id, reply } => Verdict::Succeeded {
                backend_id,
                reply_status: self.status_of_replay(&operation).as_u16(),
                reply_body: Some(match reply {
                    Some(body) => body.to_string().into_bytes(),
                    None => {
                        let status = self.status_of_replay(&operation);
                        reply::id_only(status, &operation.object.cmp_id).to_vec()
                    }
                }),
            },
        };
        let settlement = Settlement {
            id,
            attempt: operation.attempt,
            verdict,
            force: overrides.force,
            replace: overrides.replace,
            by: caller.name.to_string(),
            at: clock::unix_micros(),
        };
        let plan = self.plan();
        let route = plan.route_named(&operation.route).map(|id| plan.route(id));
        let rule = confirm::rule(&plan, route);
        self.administer(Write::Settle(settlement), rule).await
    }

    /// `reply.status` of the operation's route, where it still has one.
    fn status_of_replay(&self, operation: &Operation) -> StatusCode {
        let plan = self.plan();
        let backend = plan.backend_named(&operation.backend);
        let route = plan.route_named(&operation.route).map(|id| plan.route(id));
        let declared = route.zip(backend).and_then(|(route, backend)| {
            let way = &route.ways[route.way_to(backend)?];
            way.reply.status
        });
        declared.unwrap_or(StatusCode::OK)
    }
}
