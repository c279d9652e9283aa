//! From a request on the wire to one that the relay may look at: its head within bounds, its body
//! read whole, its id known.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use http_body::Body;
use http_body_util::BodyExt;
use uuid::Uuid;

use super::listener::Bounds;
use crate::relay::RelayError;

/// Names a request in answers and logs.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id that the client gave, when it is 1 to 128 visible ASCII characters, else a UUIDv7.
pub fn request_id(headers: &HeaderMap) -> Box<str> {
    headers
        .get(X_REQUEST_ID)
        .map(|value| value.as_bytes())
        .filter(|id| (1..=128).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic))
        .and_then(|id| std::str::from_utf8(id).ok())
        .map_or_else(
            || {
                let mut text = Uuid::encode_buffer();
                (&*Uuid::now_v7().hyphenated().encode_lower(&mut text)).into()
            },
            Into::into,
        )
}

/// Refuses a head that is too long, or that other software may read in another way.
pub fn check_head(parts: &Parts, bounds: &Bounds) -> Result<(), RelayError> {
    let target = parts.uri.path().len() + parts.uri.query().map_or(0, |query| query.len() + 1);
    if target > bounds.uri {
        return Err(RelayError::UriTooLong { limit: bounds.uri });
    }
    let bytes: usize = parts
        .headers
        .iter()
        // A colon, a blank and the end of the line.
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if parts.headers.len() > bounds.headers || bytes > bounds.header_bytes {
        return Err(RelayError::HeadersTooLarge);
    }
    // CGI and its descendants read `x_a` and `x-a` as one name (SEMANTICS 33).
    if let Some(name) = parts
        .headers
        .keys()
        .find(|name| name.as_str().contains('_'))
    {
        return Err(RelayError::MalformedRequest(format!(
            "The header name `{name}` has a `_`; write `-`."
        )));
    }
    Ok(())
}

/// Reads the body, at most `limit` bytes and for at most `within`.
pub async fn read_body<B>(
    body: B,
    headers: &HeaderMap,
    limit: usize,
    within: Duration,
) -> Result<Bytes, RelayError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let too_large = || RelayError::BodyTooLarge { limit };
    let declared = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.parse::<u64>().ok());
    // Before the first byte is read: no `100 Continue` for what will be refused.
    if declared.is_some_and(|length| length > limit as u64) {
        return Err(too_large());
    }
    tokio::time::timeout(within, collect(body, limit))
        .await
        .map_err(|_| RelayError::RequestTimeout)?
}

async fn collect<B>(mut body: B, limit: usize) -> Result<Bytes, RelayError>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            RelayError::MalformedRequest(format!("The body cannot be read: {error}."))
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + joined.len() + data.len() > limit {
            return Err(RelayError::BodyTooLarge { limit });
        }
        // Most bodies come in one piece, which is then not copied.
        if first.is_empty() && joined.is_empty() {
            first = data;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut first));
            joined.extend_from_slice(&data);
        }
    }
    Ok(if joined.is_empty() {
        first
    } else {
        joined.freeze()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use http_body_util::Full;

    fn head(uri: &str, headers: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_request_id_of_the_client_is_kept_only_if_it_is_short_and_visible() {
        let given = |value: &str| {
            let parts = head("/", &[("x-request-id", value)]);
            request_id(&parts.headers)
        };
        assert_eq!(&*given("abc-1"), "abc-1");
        assert_eq!(given(&"x".repeat(128)).len(), 128);
        for bad in ["", "a b", "caf\u{e9}", &"x".repeat(129)] {
            assert_eq!(Uuid::parse_str(&given(bad)).unwrap().get_version_num(), 7);
        }
    }

    #[test]
    fn heads_beyond_the_bounds_are_refused() {
        let bounds = Bounds {
            uri: 8,
            header_bytes: 20,
            headers: 2,
            ..Bounds::default()
        };
        assert_eq!(check_head(&head("/12345?7", &[]), &bounds), Ok(()));
        assert_eq!(
            check_head(&head("/12345?78", &[]), &bounds),
            Err(RelayError::UriTooLong { limit: 8 })
        );
        let large = head("/", &[("a", "0123456789012345")]);
        assert_eq!(
            check_head(&large, &bounds),
            Err(RelayError::HeadersTooLarge)
        );
        let many = head("/", &[("a", ""), ("b", ""), ("c", "")]);
        assert_eq!(check_head(&many, &bounds), Err(RelayError::HeadersTooLarge));
        assert!(matches!(
            check_head(&head("/", &[("x_a", "1")]), &bounds),
            Err(RelayError::MalformedRequest(words)) if words.contains("x_a")
        ));
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_its_limit() {
        let headers = HeaderMap::new();
        let read = |bytes: &'static [u8]| {
            read_body(
                Full::new(Bytes::from_static(bytes)),
                &headers,
                4,
                Duration::from_secs(1),
            )
        };
        assert_eq!(read(b"1234").await, Ok(Bytes::from_static(b"1234")));
        assert_eq!(
            read(b"12345").await,
            Err(RelayError::BodyTooLarge { limit: 4 })
        );
    }
}
