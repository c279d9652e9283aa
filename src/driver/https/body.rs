//! The body of an answer: bounded, decompressed, and as text.
//!
//! A body that is cut, too large or undecodable is an error of the body alone: the status that
//! came with it stays (SEMANTICS 12).

use std::borrow::Cow;
use std::future::poll_fn;
use std::io::Read as _;
use std::pin::Pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use flate2::read::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::body::{Body, Incoming};
use tokio::time::Sleep;

use super::pool::ConnDriver;
use crate::driver::Answer;

/// What could be read of a body.
pub(super) struct ReadBody {
    pub(super) bytes: Bytes,
    /// Why it is not the whole.
    pub(super) error: Option<String>,
}

/// Reads at most `limit` bytes before `timer` fires, driving the connection meanwhile.
pub(super) async fn read(
    mut incoming: Incoming,
    driver: &mut ConnDriver,
    limit: usize,
    mut timer: Pin<&mut Sleep>,
) -> ReadBody {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    let mut length = 0;
    let error = loop {
        if incoming.is_end_stream() {
            break None;
        }
        let frame = poll_fn(|cx| {
            // Asking for a frame tells hyper to read one, so the connection moves after the question.
            let mut frame = Pin::new(&mut incoming).poll_frame(cx);
            if frame.is_pending() {
                driver.advance(cx);
                frame = Pin::new(&mut incoming).poll_frame(cx);
            }
            match frame {
                Poll::Ready(frame) => Poll::Ready(Some(frame)),
                Poll::Pending => timer.as_mut().poll(cx).map(|()| None),
            }
        })
        .await;
        match frame {
            None => {
                break Some(format!(
                    "the deadline passed after {length} bytes of the body"
                ));
            }
            Some(None) => break None,
            Some(Some(Err(error))) => {
                break Some(format!("the body was cut after {length} bytes ({error})"));
            }
            Some(Some(Ok(frame))) => {
                // Trailers are not part of what a route can name.
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                length += data.len();
                if length > limit {
                    break Some(too_large(limit));
                }
                // Most bodies are one frame: it is kept as it came.
                if first.is_empty() {
                    first = data;
                } else {
                    if rest.is_empty() {
                        rest.extend_from_slice(&first);
                    }
                    rest.extend_from_slice(&data);
                }
            }
        }
    };
    let bytes = if rest.is_empty() {
        first
    } else {
        rest.freeze()
    };
    ReadBody { bytes, error }
}

fn too_large(limit: usize) -> String {
    format!("the body is larger than `limits.response_body` ({limit} bytes)")
}

/// Undoes `Content-Encoding`, which the relay never asks for but some backends use anyway.
pub(super) fn decode(answer: &mut Answer, limit: usize) {
    let Some(encodings) = answer.headers.get(CONTENT_ENCODING) else {
        return;
    };
    if answer.body.is_empty() || answer.body_error.is_some() {
        return;
    }
    let encodings = String::from_utf8_lossy(encodings.as_bytes()).to_ascii_lowercase();
    // The last encoding named was applied last.
    for encoding in encodings.rsplit(',').map(str::trim) {
        let decoded = match encoding {
            "" | "identity" => continue,
            "gzip" | "x-gzip" => bounded(MultiGzDecoder::new(&answer.body[..]), limit),
            // Sent both with and without the zlib wrapper that RFC 9110 (8.4.1.2) asks for.
            "deflate" => match bounded(ZlibDecoder::new(&answer.body[..]), limit) {
                Err(Undecoded::Broken(_)) => bounded(DeflateDecoder::new(&answer.body[..]), limit),
                other => other,
            },
            other => Err(Undecoded::Broken(format!(
                "content-encoding `{other}` is not understood"
            ))),
        };
        match decoded {
            Ok(bytes) => answer.body = bytes.into(),
            Err(Undecoded::TooLarge) => {
                answer.body_error = Some(too_large(limit));
                return;
            }
            Err(Undecoded::Broken(why)) => {
                answer.body_error = Some(format!("the body could not be decompressed: {why}"));
                return;
            }
        }
    }
    answer.headers.remove(CONTENT_ENCODING);
    answer.headers.remove(CONTENT_LENGTH);
}

enum Undecoded {
    TooLarge,
    Broken(String),
}

fn bounded(decoder: impl std::io::Read, limit: usize) -> Result<Vec<u8>, Undecoded> {
    let mut out = Vec::new();
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder
        .take(one_more)
        .read_to_end(&mut out)
        .map_err(|error| Undecoded::Broken(error.to_string()))?;
    if out.len() > limit {
        return Err(Undecoded::TooLarge);
    }
    Ok(out)
}

/// The body as text: by its declared charset where that is UTF-8 or Latin-1, else as UTF-8, and as
/// Latin-1 where it is not UTF-8 and says nothing. A byte order mark is dropped.
pub fn text_of(answer: &Answer) -> Cow<'_, str> {
    let body = answer
        .body
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(&answer.body);
    match charset(answer).as_deref() {
        Some("iso-8859-1" | "latin1" | "latin-1" | "iso8859-1" | "windows-1252") => latin1(body),
        Some(_) => String::from_utf8_lossy(body),
        None => match std::str::from_utf8(body) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => latin1(body),
        },
    }
}

fn latin1(body: &[u8]) -> Cow<'_, str> {
    Cow::Owned(body.iter().copied().map(char::from).collect())
}

fn charset(answer: &Answer) -> Option<String> {
    let content_type = answer.headers.get(CONTENT_TYPE)?.to_str().ok()?;
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches('"').to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue};
    use std::io::Write as _;

    fn answer(headers: &[(http::HeaderName, &'static str)], body: &[u8]) -> Answer {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_static(value));
        }
        Answer {
            status: 200,
            headers: map,
            body: Bytes::copy_from_slice(body),
            body_error: None,
            sends: 1,
            ..Answer::default()
        }
    }

    #[test]
    fn text_follows_the_declared_charset_and_falls_back_to_latin1() {
        let declared = answer(
            &[(CONTENT_TYPE, "text/plain; charset=\"ISO-8859-1\"")],
            b"caf\xe9",
        );
        assert_eq!(text_of(&declared), "café");
        assert_eq!(text_of(&answer(&[], b"caf\xe9")), "café");
        assert_eq!(text_of(&answer(&[], "café".as_bytes())), "café");
        assert_eq!(text_of(&answer(&[], b"\xEF\xBB\xBF{}")), "{}");
        let lossy = answer(&[(CONTENT_TYPE, "text/plain; charset=utf-8")], b"caf\xe9");
        assert_eq!(text_of(&lossy), "caf\u{fffd}");
    }

    #[test]
    fn deflate_is_understood_with_and_without_its_wrapper() {
        let level = flate2::Compression::fast();
        let mut wrapped = flate2::write::ZlibEncoder::new(Vec::new(), level);
        wrapped.write_all(b"hello").unwrap();
        let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), level);
        raw.write_all(b"hello").unwrap();
        for body in [wrapped.finish().unwrap(), raw.finish().unwrap()] {
            let mut answer = answer(&[(CONTENT_ENCODING, "deflate")], &body);
            decode(&mut answer, 100);
            assert_eq!(answer.body_error, None);
            assert_eq!(&answer.body[..], b"hello");
            assert!(!answer.headers.contains_key(CONTENT_ENCODING));
        }
    }

    #[test]
    fn a_small_body_that_unpacks_beyond_the_limit_is_refused() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&vec![b'a'; 100_000]).unwrap();
        let mut answer = answer(&[(CONTENT_ENCODING, "gzip")], &packed.finish().unwrap());
        decode(&mut answer, 1_000);
        assert_eq!(
            answer.body_error.as_deref(),
            Some("the body is larger than `limits.response_body` (1000 bytes)")
        );
        assert_eq!(answer.status, 200);
    }

    #[test]
    fn an_unknown_encoding_is_named() {
        let mut answer = answer(&[(CONTENT_ENCODING, "br")], b"???");
        decode(&mut answer, 1_000);
        assert!(answer.body_error.unwrap().contains("`br`"));
    }
}
