//! Operations as JSON, and what a client may do with its own: look them up, and settle an unknown
//! one (SEMANTICS 16, 27). The CMP listener and the admin listener share what is here.
//!
//! ```json
//! { "id": "0199…", "state": "unknown", "route": "create_network", "client": "cmp", "attempt": 1,
//!   "object": { "resource": "network", "cmp_id": "n1", "scope": "" }, "backend": "os-1",
//!   "effects": [{ "verb": "create", "resource": "network", "cmp_id": "n1", "scope": "" }],
//!   "idempotency_key": "k1", "side_effect": "unknown", "safe_to_retry": false,
//!   "error": { "code": "outcome_unknown", "detail": "…" }, "backend_status": null, "sends": 1,
//!   "reply_status": 504, "note": null, "node": "a", "epoch": 0,
//!   "created_at": "…", "deadline": "…", "finished_at": "…" }
//! ```

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::{Value, json};

use super::problem;
use crate::clock::rfc3339;
use crate::plan::Role;
use crate::relay::settle::{Assertion, Overrides, may_see};
use crate::relay::{Caller, Failure, Inbound, Relay, RelayError, Reply, acknowledge};
use crate::store::{ObjectKey, Operation, OperationFilter, OperationId, Settled, State};

const PREFIX: &str = "/relay/v1/operations";

/// Whether a path of the CMP listener is answered here and not by a route.
pub fn is_operations_path(path: &str) -> bool {
    path.strip_prefix(PREFIX)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Everything that the CMP listener answers after its layers: operations here, routes in the relay.
pub async fn handle(relay: &Arc<Relay>, inbound: Inbound) -> Result<Reply, Failure> {
    if !is_operations_path(&inbound.path) {
        return relay.handle(inbound).await;
    }
    let method = inbound.method.clone();
    // Boxed, so that a route's future does not have its size.
    Box::pin(answer(relay, inbound))
        .await
        .map_err(|error| problem::refused(error, &method))
}

async fn answer(relay: &Relay, inbound: Inbound) -> Result<Reply, RelayError> {
    let rest = &inbound.path[PREFIX.len()..];
    let segments: Vec<&str> = rest.split('/').skip(1).collect();
    let reads = matches!(inbound.method, Method::GET | Method::HEAD);
    match segments.as_slice() {
        [] if reads => by_key(relay, &inbound).await,
        [id] if reads => {
            let operation = visible(relay, &inbound.caller, id).await?;
            let mut reply = json_reply(StatusCode::OK, &to_json(&operation));
            relay.tell_replicated(&mut reply).await;
            Ok(reply)
        }
        [id, "resolve"] if inbound.method == Method::POST => {
            require_json(&inbound.headers)?;
            let operation = visible(relay, &inbound.caller, id).await?;
            let order = Resolve::parse(&inbound.body)?;
            resolve(relay, operation.id, &inbound.caller, order).await
        }
        [] | [_] => Err(RelayError::MethodNotAllowed {
            allow: vec![Method::GET],
        }),
        [_, "resolve"] => Err(RelayError::MethodNotAllowed {
            allow: vec![Method::POST],
        }),
        _ => Err(RelayError::RouteNotFound {
            nearest: Some(format!("{PREFIX}/{{id}}")),
        }),
    }
}

/// `GET /relay/v1/operations?key=K`: `{ "items": [...] }`, one at most for a client of its own.
async fn by_key(relay: &Relay, inbound: &Inbound) -> Result<Reply, RelayError> {
    let only_key = || RelayError::MalformedRequest("Ask with `?key=` and the key's value.".into());
    let query = inbound.query.as_deref().ok_or_else(only_key)?;
    let [(name, key)] = &*form_pairs(query)? else {
        return Err(only_key());
    };
    if name != "key" {
        return Err(only_key());
    }
    let filter = OperationFilter {
        client: (!inbound.caller.roles.contains(&Role::Operator))
            .then(|| inbound.caller.name.to_string()),
        idempotency_key: Some(key.clone()),
        limit: 100,
        ..OperationFilter::default()
    };
    let found = relay.journal().store().list_operations(&filter).await?;
    let items: Vec<Value> = found.iter().map(to_json).collect();
    Ok(json_reply(StatusCode::OK, &json!({ "items": items })))
}

/// The operation, if this caller may see it; 404 whether it is missing or somebody else's.
pub async fn visible(relay: &Relay, caller: &Caller, id: &str) -> Result<Operation, RelayError> {
    let found = any(relay, id).await?;
    match may_see(caller, &found) {
        true => Ok(found),
        false => Err(missing(id)),
    }
}

/// The operation, whosever it is.
pub async fn any(relay: &Relay, id: &str) -> Result<Operation, RelayError> {
    let parsed: OperationId = id.parse().map_err(|_| missing(id))?;
    let found = relay.journal().store().operation(parsed).await?;
    found.ok_or_else(|| missing(id))
}

fn missing(id: &str) -> RelayError {
    RelayError::NoSuchOperation(id.chars().take(64).collect())
}

/// The body of `POST /relay/v1/operations/{id}/resolve`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolve {
    /// `succeeded` or `failed`.
    verdict: Verdict,
    /// What the backend calls the object; a create that succeeded needs it.
    backend_id: Option<String>,
    /// What a replay gives; `{ "id": ... }` when it is left out.
    reply: Option<Value>,
    /// Settle an operation whose deadline has not passed.
    #[serde(default)]
    force: bool,
    /// Remove the mapping that is in the way.
    #[serde(default)]
    replace: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Succeeded,
    Failed,
}

impl Resolve {
    pub fn parse(body: &[u8]) -> Result<(Assertion, Overrides), RelayError> {
        let order: Self = serde_json::from_slice(body)
            .map_err(|error| RelayError::MalformedRequest(format!("The body: {error}.")))?;
        let verdict = match order.verdict {
            Verdict::Succeeded => Assertion::Succeeded {
                backend_id: order.backend_id,
                reply: order.reply,
            },
            Verdict::Failed if order.backend_id.is_none() && order.reply.is_none() => {
                Assertion::Failed
            }
            Verdict::Failed => {
                return Err(RelayError::MalformedRequest(
                    "`failed` says that nothing exists; `backend_id` and `reply` go with `succeeded`."
                        .into(),
                ));
            }
        };
        let overrides = Overrides {
            force: order.force,
            replace: order.replace,
        };
        Ok((verdict, overrides))
    }
}

/// Settles an operation and answers with it as it is then.
pub async fn resolve(
    relay: &Relay,
    id: OperationId,
    caller: &Caller,
    (assertion, overrides): (Assertion, Overrides),
) -> Result<Reply, RelayError> {
    let (settled, replicated) = relay.settle(caller, id, assertion, overrides).await?;
    settled_or_refused(settled, &format!("operation {id}"))?;
    let row = relay.journal().store().operation(id).await?;
    let row = row.as_ref().map_or(Value::Null, to_json);
    let mut reply = json_reply(StatusCode::OK, &row);
    acknowledge(&mut reply, replicated);
    Ok(reply)
}

/// An administrative write that did not apply, as the failure that says why.
pub fn settled_or_refused(settled: Settled, what: &str) -> Result<(), RelayError> {
    match settled {
        Settled::Done => Ok(()),
        Settled::NotFound => Err(RelayError::NoSuchOperation(what.to_owned())),
        Settled::Refused(words) => Err(RelayError::Refused(words)),
        Settled::Conflict(theirs) => Err(RelayError::MappingConflict {
            ours: what.to_owned(),
            theirs: key_words(&theirs.key),
        }),
        Settled::ClaimHeld(holder) => Err(match holder.state {
            State::Pending => RelayError::OperationInProgress(holder.id),
            _ => RelayError::EarlierOutcomeUnknown(holder.id),
        }),
    }
}

/// A key in a message: ``network `n1` ``.
pub fn key_words(key: &ObjectKey) -> String {
    match key.scope.as_str() {
        "" => format!("{} `{}`", key.resource, key.cmp_id),
        scope => format!("{} `{}` on {scope}", key.resource, key.cmp_id),
    }
}

/// An operation as JSON; neither fingerprint nor stored reply leave the relay here.
pub fn to_json(operation: &Operation) -> Value {
    let object = |key: &ObjectKey| json!({ "resource": key.resource, "cmp_id": key.cmp_id, "scope": key.scope });
    let effects: Vec<Value> = operation
        .effects
        .iter()
        .map(|effect| {
            let key = &effect.key;
            json!({ "verb": effect.verb, "resource": key.resource, "cmp_id": key.cmp_id, "scope": key.scope })
        })
        .collect();
    let error = operation
        .error
        .as_ref()
        .map(|(code, detail)| json!({ "code": code, "detail": detail }));
    json!({
        "id": operation.id.to_string(),
        "state": operation.state.name(),
        "route": operation.route,
        "client": operation.client,
        "attempt": operation.attempt,
        "object": object(&operation.object),
        "backend": operation.backend,
        "effects": effects,
        "idempotency_key": operation.idempotency_key,
        "side_effect": operation.side_effect,
        "safe_to_retry": operation.safe_to_retry,
        "error": error,
        "backend_status": operation.backend_status,
        "sends": operation.sends,
        "reply_status": operation.reply_status,
        "note": operation.note,
        "node": operation.node,
        "epoch": operation.epoch,
        "created_at": rfc3339(operation.created_at),
        "deadline": rfc3339(operation.deadline),
        "finished_at": operation.finished_at.map(rfc3339),
    })
}

/// Writes must say that they are JSON: a form of a foreign web page cannot (SEMANTICS 28).
pub fn require_json(headers: &HeaderMap) -> Result<(), RelayError> {
    let given = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(RelayError::UnsupportedMediaType(
        "Send `Content-Type: application/json`.".into(),
    ))
}

/// A JSON reply of the relay's own.
pub fn json_reply(status: StatusCode, body: &Value) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Reply {
        status,
        headers,
        body: body.to_string().into(),
    }
}

/// Pairs of a query, percent-decoded, `+` as a blank.
fn form_pairs(query: &str) -> Result<Vec<(String, String)>, RelayError> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

fn decode(text: &str) -> Result<String, RelayError> {
    let bad = || RelayError::MalformedRequest("The query is not percent-encoded UTF-8.".into());
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let (high, low) = (digit().ok_or_else(bad)?, digit().ok_or_else(bad)?);
                u8::try_from(high << 4 | low).map_err(|_| bad())?
            }
            plain => plain,
        });
    }
    String::from_utf8(bytes).map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_segments_belong_to_operations() {
        assert!(is_operations_path("/relay/v1/operations"));
        assert!(is_operations_path("/relay/v1/operations/x/resolve"));
        assert!(!is_operations_path("/relay/v1/operations2"));
    }

    #[test]
    fn a_failed_verdict_takes_no_backend_id() {
        assert!(Resolve::parse(br#"{"verdict":"failed"}"#).is_ok());
        assert!(Resolve::parse(br#"{"verdict":"succeeded","backend_id":"7"}"#).is_ok());
        for bad in [
            r#"{"verdict":"failed","backend_id":"7"}"#,
            r#"{"verdict":"maybe"}"#,
            r#"{"verdict":"failed","froce":true}"#,
            "",
        ] {
            assert!(Resolve::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn query_pairs_are_decoded_once() {
        assert_eq!(
            form_pairs("key=a%2Bb+c%2525").unwrap(),
            [("key".to_owned(), "a+b c%25".to_owned())]
        );
        assert!(form_pairs("key=%f").is_err());
        assert!(form_pairs("key=%ff").is_err());
    }
}
