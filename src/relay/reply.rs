//! What the CMP is told on success.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use super::answer::ReadAnswer;
use super::outcome::reply_status;
use super::route::Request;
use super::rows::with_rows;
use super::{Relay, RelayError};
use crate::driver::Protocol;
use crate::plan::{BackendId, ReplyBody};

/// A rendered reply, before the `Relay-*` headers.
#[derive(Clone, Debug)]
pub struct Rendered {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Renders the route's reply; a template that cannot be rendered is [`RelayError::ReplyFailed`].
pub async fn render(
    relay: &Relay,
    request: &Request,
    backend: BackendId,
    answer: &ReadAnswer,
) -> Result<Rendered, RelayError> {
    let reply = &request.way().reply;
    let failed = |error: RelayError| RelayError::ReplyFailed(error.cause());

    let mut headers = HeaderMap::new();
    for (name, text) in &reply.headers {
        let value = with_rows(relay, request, backend, |scope| text.render(scope))
            .await
            .map_err(failed)?;
        let Some(value) = value else { continue };
        let value = HeaderValue::from_str(&value).map_err(|_| {
            RelayError::ReplyFailed(format!("header `{name}` cannot hold its value"))
        })?;
        headers.insert(name.clone(), value);
    }
    let body = match &reply.body {
        ReplyBody::None => Bytes::new(),
        ReplyBody::PassThrough => pass_through(request, answer)?,
        ReplyBody::Tree(tree) => {
            let rendered = with_rows(relay, request, backend, |scope| {
                let mut out = Vec::with_capacity(512);
                tree.write_json(scope, &mut out).map(|_| out)
            });
            Bytes::from(rendered.await.map_err(failed)?)
        }
    };
    if !body.is_empty() {
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
    }
    let backend_status = match answer.protocol {
        Protocol::Http => answer.status,
        // What a program ends with is no status of HTTP.
        _ => StatusCode::OK.as_u16(),
    };
    Ok(Rendered {
        status: reply_status(reply.status, backend_status, !body.is_empty()),
        headers,
        body,
    })
}

/// The backend's JSON as it came, what was read of another format, or its text as `{"text": ...}`.
fn pass_through(request: &Request, answer: &ReadAnswer) -> Result<Bytes, RelayError> {
    if let Some(why) = &answer.unreadable {
        return Err(RelayError::ReplyFailed(format!(
            "the backend's body cannot be passed on: {why}"
        )));
    }
    if let Some(json) = &answer.json {
        return Ok(json.clone());
    }
    if let Some(body) = answer.view(&request.scope).body {
        let bytes = serde_json::to_vec(body);
        return bytes
            .map(Bytes::from)
            .map_err(|error| RelayError::ReplyFailed(error.to_string()));
    }
    if answer.text.is_empty() {
        return Ok(Bytes::new());
    }
    let mut text = Map::new();
    text.insert("text".into(), answer.text.as_str().into());
    Ok(Bytes::from(Value::Object(text).to_string()))
}

/// `{"id": ...}`: what a replay has when the reply itself was not stored (SEMANTICS 23).
pub fn id_only(status: StatusCode, cmp_id: &str) -> Bytes {
    let bodiless = matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    );
    if bodiless || cmp_id.is_empty() {
        return Bytes::new();
    }
    let mut map = Map::new();
    map.insert("id".into(), cmp_id.into());
    Bytes::from(Value::Object(map).to_string())
}

/// Replaces the values of `writeOnly` fields, wherever they stand (SEMANTICS 25).
pub fn mask(text: &str, masks: &[String]) -> String {
    masks.iter().fold(text.to_owned(), |text, secret| {
        text.replace(secret.as_str(), "***")
    })
}

/// What takes the relay's credentials and the request's `writeOnly` values out of a backend's words.
pub fn cleaner(
    request: &Request,
    backend: BackendId,
) -> impl Fn(&str) -> String + Send + Sync + use<> {
    let backends = request.snapshot.backends.clone();
    let masks = request.masks.clone();
    move |text| mask(&backends.scrub(backend, text), &masks)
}
