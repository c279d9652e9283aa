//! Retries that have been answered before: by explicit key, or by the object that a create made
//! (SEMANTICS 1, 5).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::route::Request;
use super::{Failure, Relay, RelayError, Reply, reply};
use crate::clock;
use crate::store::{Operation, OperationId, State, StoreError};

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
            .store()
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
            State::Succeeded => Ok(Earlier::Replay(replay(&operation))),
            State::Failed if operation.safe_to_retry => Ok(Earlier::RunAgain(Box::new(operation))),
            State::Failed => Ok(Earlier::Replay(replay(&operation))),
            State::Pending => refuse(RelayError::OperationInProgress(operation.id)),
            State::Unknown if operation.idempotent && overdue => {
                Ok(Earlier::RunAgain(Box::new(operation)))
            }
            State::Unknown => refuse(RelayError::EarlierOutcomeUnknown(operation.id)),
        }
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
            Ok(Some(operation)) => Ok(replay(&operation)),
            Ok(None) => {
                let error = RelayError::AlreadyMapped { resource, cmp_id };
                Err(Failure::of_route(request.route(), error))
            }
            Err(error) => Err(Failure::of_route(request.route(), error.into())),
        }
    }
}

/// The stored reply of a finished operation.
pub fn replay(operation: &Operation) -> Reply {
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
    stamp(&mut reply, operation.id, &operation.backend);
    reply
}

/// The headers of every answer to a journalled request.
pub fn stamp(reply: &mut Reply, operation: OperationId, backend: &str) {
    insert_text(
        &mut reply.headers,
        "relay-operation",
        &operation.to_string(),
    );
    insert_text(&mut reply.headers, "relay-backend", backend);
    reply
        .headers
        .insert("relay-replicated", HeaderValue::from_static("off"));
}

pub fn insert_text(headers: &mut HeaderMap, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
