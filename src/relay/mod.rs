//! The life of a request, from a parsed CMP request to its reply.

pub mod error;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::plan::Role;

pub use error::{Failure, RelayError};

/// Who calls, once the token has been checked.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The client's name; `anonymous` when no client is configured.
    pub name: Box<str>,
    pub roles: Vec<Role>,
}

/// A CMP request as it came in: bounded, its caller known, nothing else decided.
#[derive(Clone, Debug)]
pub struct Inbound {
    /// Of `X-Request-Id`, or made by the listener.
    pub request_id: Box<str>,
    pub caller: Caller,
    pub method: Method,
    /// Raw, still percent-encoded, without the query.
    pub path: String,
    /// Raw, without the `?`.
    pub query: Option<String>,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// What the CMP is told when there is no failure (or a stored one is replayed).
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: StatusCode,
    /// `Content-Type`, the route's own, and the `Relay-*` ones.
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Writes a failure as the CMP will see it: given to the relay by `http::problem`, which alone knows
/// error statuses, so that a failed operation can be journalled with the reply that it was given.
pub type RenderProblem = fn(&Failure) -> (StatusCode, Vec<u8>);

// STUB for the http branch alone: the architect's `Relay` replaces everything below at the merge.

/// How a person or the CMP settles an operation (SEMANTICS 16).
#[derive(Clone, Debug, PartialEq)]
pub struct Settle {
    pub verdict: Judgement,
    /// Settle a pending or not yet overdue row too.
    pub force: bool,
    /// Remove the mapping that conflicts, in the same transaction (SEMANTICS 15).
    pub replace: bool,
}

/// What is said of the operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// Nothing exists at the backend: the retry runs.
    Failed,
    /// The effects are applied; a create needs the backend id. `reply`: what a replay gives.
    Succeeded {
        backend_id: Option<String>,
        reply: Option<serde_json::Value>,
    },
}

/// What a reload changed, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadReport {
    pub routes: Changes,
    pub backends: Changes,
}

/// Names that a reload added, removed and changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
}

/// The request path.
pub struct Relay {
    plan: arc_swap::ArcSwap<crate::plan::Plan>,
    journal: crate::store::Journal,
}

impl Relay {
    pub fn new(plan: crate::plan::Plan, journal: crate::store::Journal) -> anyhow::Result<Self> {
        Ok(Self {
            plan: arc_swap::ArcSwap::from_pointee(plan),
            journal,
        })
    }

    pub async fn handle(&self, inbound: Inbound) -> Result<Reply, Failure> {
        Err(crate::http::problem::refused(
            RelayError::RouteNotFound { nearest: None },
            &inbound.method,
        ))
    }

    pub fn plan(&self) -> std::sync::Arc<crate::plan::Plan> {
        self.plan.load_full()
    }

    pub fn journal(&self) -> &crate::store::Journal {
        &self.journal
    }

    pub fn is_active(&self) -> bool {
        true
    }

    pub async fn reload(&self, plan: crate::plan::Plan) -> anyhow::Result<ReloadReport> {
        self.plan.store(std::sync::Arc::new(plan));
        Ok(ReloadReport::default())
    }

    pub async fn settle(
        &self,
        id: crate::store::OperationId,
        by: &str,
        settle: Settle,
    ) -> Result<crate::store::Settled, crate::store::StoreError> {
        use crate::store::{Settled, Settlement, Verdict, Write, Written};
        let Some(operation) = self.journal.store().operation(id).await? else {
            return Ok(Settled::NotFound);
        };
        let verdict = match settle.verdict {
            Judgement::Failed => Verdict::Failed,
            Judgement::Succeeded { backend_id, reply } => Verdict::Succeeded {
                backend_id,
                reply_body: reply.map(|reply| reply.to_string().into_bytes()),
                reply_status: 200,
            },
        };
        let settlement = Settlement {
            id,
            attempt: operation.attempt,
            verdict,
            force: settle.force,
            replace: settle.replace,
            by: by.to_owned(),
            at: crate::clock::unix_micros(),
        };
        match self.journal.write(Write::Settle(settlement)).await? {
            Written::Settled(settled) => Ok(settled),
            other => Ok(Settled::Refused(format!("the store answered {other:?}"))),
        }
    }

    pub async fn drain(&self, _deadline: std::time::Duration) {}
}
