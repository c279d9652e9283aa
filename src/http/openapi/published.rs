//! The document as it is served: its bytes, and the tag by which a client knows them again.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use ring::digest::{SHA256, digest};
use serde_json::Value;

use crate::relay::Reply;

/// The document's bytes, and the tag by which a client knows them again.
#[derive(Debug)]
pub struct Published {
    bytes: Bytes,
    etag: HeaderValue,
}

impl Published {
    pub fn new(document: &Value) -> Self {
        let bytes = Bytes::from(document.to_string());
        let hash = digest(&SHA256, &bytes);
        let hex: String = hash.as_ref()[..16]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            bytes,
            etag: HeaderValue::try_from(format!("\"{hex}\"")).expect("hex in quotes is visible"),
        }
    }

    /// 200 with the document, or 304 for a client that has it.
    pub fn reply(&self, headers: &HeaderMap) -> Reply {
        let known = headers
            .get(IF_NONE_MATCH)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|tags| {
                tags.split(',')
                    .map(|tag| tag.trim().trim_start_matches("W/"))
                    .any(|tag| tag == "*" || tag.as_bytes() == self.etag.as_bytes())
            });
        let mut reply = Reply {
            status: StatusCode::NOT_MODIFIED,
            headers: HeaderMap::new(),
            body: Bytes::new(),
        };
        reply.headers.insert(ETAG, self.etag.clone());
        reply
            .headers
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        if !known {
            reply.status = StatusCode::OK;
            reply
                .headers
                .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            reply.body = self.bytes.clone();
        }
        reply
    }
}
