//! Keys and fingerprints: what makes a CMP's retry the same request (SEMANTICS 1, 4, 5).

use http::HeaderMap;
use ring::hmac;
use serde_json::{Map, Value};

use super::RelayError;

/// The header of the IETF draft "The Idempotency-Key HTTP Header Field".
pub const HEADER: &str = "idempotency-key";

/// Reads the one `Idempotency-Key`: 1 to 255 visible ASCII characters, quotes stripped.
pub fn key(headers: &HeaderMap) -> Result<Option<String>, RelayError> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let invalid = |why: &str| RelayError::IdempotencyKeyInvalid(why.to_owned());
    if values.next().is_some() {
        return Err(invalid("the header came more than once"));
    }
    let text = value
        .to_str()
        .map_err(|_| invalid("it holds characters that are not visible ASCII"))?;
    let bare = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(text);
    if bare.is_empty() || bare.len() > 255 {
        return Err(invalid("it must have 1 to 255 characters"));
    }
    if !bare.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid("it holds characters that are not visible ASCII"));
    }
    Ok(Some(bare.to_owned()))
}

/// What a fingerprint covers: of the CMP's request, not of what the route makes of it.
#[derive(Debug)]
pub struct Fingerprinted<'a> {
    pub method: &'a str,
    /// Decoded.
    pub path: &'a [String],
    /// Decoded, in any order.
    pub query: &'a [(String, String)],
    pub body: Option<&'a Value>,
    /// The declared headers, as the route sees them.
    pub headers: &'a Map<String, Value>,
}

/// HMAC-SHA-256 over the request in a canonical form, each part behind its length.
pub fn fingerprint(key: &hmac::Key, request: &Fingerprinted<'_>) -> Vec<u8> {
    let mut canonical = Vec::with_capacity(512);
    part(&mut canonical, request.method.as_bytes());
    canonical.extend_from_slice(&(request.path.len() as u64).to_be_bytes());
    for segment in request.path {
        part(&mut canonical, segment.as_bytes());
    }
    let mut query: Vec<_> = request.query.iter().collect();
    query.sort();
    canonical.extend_from_slice(&(query.len() as u64).to_be_bytes());
    for (name, value) in query {
        part(&mut canonical, name.as_bytes());
        part(&mut canonical, value.as_bytes());
    }
    match request.body {
        Some(body) => {
            canonical.push(1);
            write_canonical(body, &mut canonical);
        }
        None => canonical.push(0),
    }
    canonical.push(1);
    write_object(request.headers, &mut canonical);
    hmac::sign(key, &canonical).as_ref().to_vec()
}

fn part(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
    out.extend_from_slice(bytes);
}

/// Keys sorted, no blanks, numbers as sent: equal bytes only for the same document.
fn write_canonical(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Object(map) => write_object(map, out),
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                write_canonical(item, out);
            }
            out.push(b']');
        }
        Value::String(text) => {
            out.push(b'"');
            part(out, text.as_bytes());
        }
        Value::Number(number) => {
            out.push(b'#');
            part(out, number.as_str().as_bytes());
        }
        Value::Bool(value) => out.push(if *value { b't' } else { b'f' }),
        Value::Null => out.push(b'n'),
    }
}

fn write_object(map: &Map<String, Value>, out: &mut Vec<u8>) {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    out.push(b'{');
    for (key, value) in entries {
        part(out, key.as_bytes());
        write_canonical(value, out);
    }
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use serde_json::json;

    fn of(body: &Value) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let request = Fingerprinted {
            method: "POST",
            path: &["v1".into()],
            query: &[],
            body: Some(body),
            headers: &Map::new(),
        };
        fingerprint(&key, &request)
    }

    #[test]
    fn the_order_of_keys_does_not_matter_and_every_value_does() {
        assert_eq!(of(&json!({"a": 1, "b": 2})), of(&json!({"b": 2, "a": 1})));
        assert_ne!(of(&json!({"a": 1})), of(&json!({"a": "1"})));
        assert_ne!(of(&json!({"a": "bc"})), of(&json!({"ab": "c"})));
        assert_ne!(of(&json!([1, [2]])), of(&json!([[1], 2])));
    }

    #[test]
    fn every_part_of_a_request_matters() {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &[7; 32]);
        let query = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        let site = |value: &str| Map::from_iter([("site".to_owned(), Value::from(value))]);
        let (none, header, other) = (Map::new(), site("a"), site("b"));
        let of = |method, path: &[&str], query: &[(String, String)], headers| {
            let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
            let request = Fingerprinted {
                method,
                path: &path,
                query,
                body: None,
                headers,
            };
            fingerprint(&key, &request)
        };
        let all = [
            of("POST", &["v1", "a"], &[], &none),
            of("PUT", &["v1", "a"], &[], &none),
            of("POST", &["v1", "b"], &[], &none),
            of("POST", &["v1a"], &[], &none),
            of("POST", &["v1", "a"], &query("x", "1"), &none),
            of("POST", &["v1", "a"], &query("x", "2"), &none),
            of("POST", &["v1", "a"], &query("x1", ""), &none),
            of("POST", &["v1", "a"], &[], &header),
            of("POST", &["v1", "a"], &[], &other),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[index + 1..].contains(one), "{index}");
        }
        let keyed = hmac::Key::new(hmac::HMAC_SHA256, &[8; 32]);
        let request = Fingerprinted {
            method: "POST",
            path: &["v1".into(), "a".into()],
            query: &[],
            body: None,
            headers: &none,
        };
        assert_ne!(fingerprint(&keyed, &request), all[0]);
    }

    #[test]
    fn a_key_is_one_header_of_visible_ascii() {
        let one = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.append(HEADER, HeaderValue::from_bytes(value).unwrap());
            key(&headers)
        };
        assert_eq!(one(b"abc"), Ok(Some("abc".into())));
        assert_eq!(one(b"\"abc\""), Ok(Some("abc".into())));
        assert_eq!(key(&HeaderMap::new()), Ok(None));
        for wrong in [
            &b""[..],
            b"\"\"",
            b"a b",
            "schl\u{fc}ssel".as_bytes(),
            &[b'x'; 256],
        ] {
            assert!(one(wrong).is_err(), "{wrong:?}");
        }
        let mut twice = HeaderMap::new();
        twice.append(HEADER, HeaderValue::from_static("a"));
        twice.append(HEADER, HeaderValue::from_static("a"));
        assert!(key(&twice).is_err());
    }
}
