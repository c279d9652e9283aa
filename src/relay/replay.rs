//! Retries that have been answered before: by explicit key, or by the object that a create made
//! (SEMANTICS 1, 5).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::confirm::{self, Replicated};
use super::route::Request;
use super::{Failure, Relay, RelayError, Reply, reply};
use crate::clock;
use crate::plan::SideEffect;
use crate::store::{Operation, OperationId, State, StoreError};
use crate::telemetry::metrics;

/// What an earlier request with the same key means for this one.
#[derive(Debug)]
pub enum Earlier {
    None,
    Replay(Reply),
    RunAgain(Box<Operation>),
}

impl Relay {
    /// What the operation of an explicit key, if there is one, means for this request.
    pub(super) async fn earlier(&self, request: &Request) -> Result<Earlier, Failure> {
        let refuse = |error| Err(Failure::of_route(request.route(), error));
        let Some(key) = &request.idempotency_key else {
            return Ok(Earlier::None);
        };
        let found = self
            .journal()
            .operation_by_key(&request.inbound.caller.name, key)
            .await;
        let operation = match found {
            Ok(Some(operation)) => operation,
            Ok(None) => return Ok(Earlier::None),
            Err(error) => return refuse(error.into()),
        };
        if operation.fingerprint != request.fingerprint {
            return refuse(RelayError::IdempotencyKeyReused);
        }
        let overdue = operation.deadline <= clock::unix_micros();
        match operation.state {
            State::Succeeded => self
                .replayed(request, &operation)
                .await
                .map(Earlier::Replay),
            State::Failed if operation.safe_to_retry => Ok(Earlier::RunAgain(Box::new(operation))),
            State::Failed => self
                .replayed(request, &operation)
                .await
                .map(Earlier::Replay),
            State::Pending => refuse(RelayError::OperationInProgress(operation.id)),
            State::Unknown if operation.idempotent && overdue => {
                Ok(Earlier::RunAgain(Box::new(operation)))
            }
            State::Unknown => refuse(RelayError::EarlierOutcomeUnknown(operation.id)),
        }
    }

    /// The reply of a finished operation, once the standby has its row (SEMANTICS 19).
    async fn replayed(&self, request: &Request, operation: &Operation) -> Result<Reply, Failure> {
        let confirmed = self.row_replicated(confirm::rule_of(request)).await;
        if confirmed.is_err() && operation.state == State::Succeeded {
            let error = RelayError::OutcomeUnconfirmed;
            return Err(Failure {
                side_effect: SideEffect::Done,
                safe_to_retry: true,
                operation: Some(operation.id),
                backend: Some(operation.backend.as_str().into()),
                replicated: Some(Replicated::No),
                ..Failure::of_route(request.route(), error)
            });
        }
        Ok(replay(operation, confirmed.unwrap_or(Replicated::No)))
    }

    /// A create of an object that is mapped: the same request of the same client replays, any other
    /// is `already_mapped` (SEMANTICS 1).
    pub(super) async fn natural_replay(
        &self,
        request: &Request,
        resource: String,
        cmp_id: String,
    ) -> Result<Reply, Failure> {
        let creator = async {
            let mappings = self
                .journal
                .store()
                .mappings_of_object(&resource, &cmp_id)
                .await?;
            for id in mappings
                .iter()
                .filter_map(|mapping| mapping.created_operation)
            {
                if let Some(operation) = self.journal.store().operation(id).await?
                    && operation.client == *request.inbound.caller.name
                    && operation.fingerprint == request.fingerprint
                    && operation.state == State::Succeeded
                {
                    return Ok::<_, StoreError>(Some(operation));
                }
            }
            Ok(None)
        };
        match creator.await {
            Ok(Some(operation)) => self.replayed(request, &operation).await,
            Ok(None) => {
                let error = RelayError::AlreadyMapped { resource, cmp_id };
                Err(Failure::of_route(request.route(), error))
            }
            Err(error) => Err(Failure::of_route(request.route(), error.into())),
        }
    }
}

/// The stored reply of a finished operation.
pub fn replay(operation: &Operation, replicated: Replicated) -> Reply {
    let mut headers = HeaderMap::new();
    for (name, value) in &operation.reply_headers {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            headers.insert(name, value);
        }
    }
    let status = operation
        .reply_status
        .and_then(|status| StatusCode::from_u16(status).ok())
        .unwrap_or(StatusCode::OK);
    let body = match &operation.reply_body {
        Some(body) => Bytes::from(body.clone()),
        None => {
            headers.insert("relay-reply", HeaderValue::from_static("omitted"));
            headers.remove(header::CONTENT_TYPE);
            reply::id_only(status, &operation.object.cmp_id)
        }
    };
    if !body.is_empty() {
        // Of what an operator settled, and of what was not stored, only the body is known.
        headers
            .entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers
            .entry(header::RETRY_AFTER)
            .or_insert(HeaderValue::from_static("1"));
    }
    if operation.note.as_deref() == Some("operator") {
        headers.insert("relay-settled", HeaderValue::from_static("operator"));
    }
    headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
    let mut reply = Reply {
        status,
        headers,
        body,
    };
    stamp(&mut reply, operation.id, &operation.backend, replicated);
    reply
}

/// The headers of every answer to a journalled request.
pub fn stamp(reply: &mut Reply, operation: OperationId, backend: &str, replicated: Replicated) {
    insert_text(
        &mut reply.headers,
        "relay-operation",
        &operation.to_string(),
    );
    insert_text(&mut reply.headers, "relay-backend", backend);
    acknowledge(reply, replicated);
}

/// Says beside what was written just now whether the standby has it.
pub fn acknowledge(reply: &mut Reply, replicated: Replicated) {
    insert_text(&mut reply.headers, "relay-replicated", replicated.name());
    if replicated == Replicated::No && reply.status.is_success() {
        metrics::unconfirmed_acknowledgement();
    }
}

pub fn insert_text(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
