//! JSON from the CMP, read strictly: what is ambiguous is refused (SEMANTICS 33).

use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::Value;

use super::RelayError;

/// The body of a request, if one came. Whether the route takes one is asked later: a finished retry
/// replays though the route has changed since (SEMANTICS 5).
pub fn request_body(headers: &HeaderMap, body: &Bytes) -> Result<Option<Value>, RelayError> {
    if body.is_empty() {
        return Ok(None);
    }
    check_media_type(headers)?;
    parse(body).map(Some)
}

/// Whether a body came exactly where the route takes one.
pub fn check_presence(came: bool, wanted: bool) -> Result<(), RelayError> {
    let why = match (came, wanted) {
        (false, true) => "this route needs a JSON body, and none came",
        (true, false) => "this route takes no body",
        _ => return Ok(()),
    };
    Err(RelayError::MalformedRequest(why.into()))
}

fn check_media_type(headers: &HeaderMap) -> Result<(), RelayError> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        return Err(RelayError::UnsupportedMediaType(
            "a body must come without Content-Encoding".into(),
        ));
    }
    let found = headers
        .get(header::CONTENT_TYPE)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
        .unwrap_or_default();
    let mut parts = found.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charset_fits = parts
        .filter_map(|parameter| parameter.strip_prefix("charset="))
        .all(|charset| matches!(charset.trim_matches('"'), "utf-8" | "utf8"));
    if (essence == "application/json" || essence.ends_with("+json")) && charset_fits {
        return Ok(());
    }
    Err(RelayError::UnsupportedMediaType(match found.as_str() {
        "" => "a body needs `Content-Type: application/json`".into(),
        other => format!("`{other}` is not `application/json` in UTF-8"),
    }))
}

/// Parses one JSON text (RFC 8259), at most 128 levels deep; a repeated key is refused.
pub fn parse(text: &[u8]) -> Result<Value, RelayError> {
    let value: Value = serde_json::from_slice(text)
        .map_err(|error| RelayError::MalformedRequest(format!("the body is not JSON: {error}")))?;
    // The parser keeps the last of two equal keys: fewer keys than colons means that one was lost.
    if count_colons(text) != count_keys(&value) {
        return Err(RelayError::MalformedRequest(
            "the body has an object with the same key twice".into(),
        ));
    }
    Ok(value)
}

/// Colons outside of strings: in a valid JSON text, one for each key.
fn count_colons(text: &[u8]) -> usize {
    let (mut colons, mut in_string) = (0, false);
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if in_string => {
                bytes.next();
            }
            b'"' => in_string = !in_string,
            b':' if !in_string => colons += 1,
            _ => {}
        }
    }
    colons
}

fn count_keys(value: &Value) -> usize {
    match value {
        Value::Object(map) => map.len() + map.values().map(count_keys).sum::<usize>(),
        Value::Array(items) => items.iter().map(count_keys).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_key_is_refused_at_any_depth() {
        assert!(parse(br#"{"a": ":\":", "b": [{"a": 1}]}"#).is_ok());
        assert!(parse(br#"{"a": 1, "a": 1}"#).is_err());
        assert!(parse(br#"{"a": 1, "\u0061": 2}"#).is_err());
        assert!(parse(br#"[{"b": {"c": 1, "c": 2}}]"#).is_err());
    }

    #[test]
    fn the_parsers_own_number_object_is_not_a_number() {
        assert!(parse(br#"{"n": {"$serde_json::private::Number": "1"}}"#).is_err());
    }

    #[test]
    fn numbers_keep_their_digits() {
        let text = br#"[1.10,1e+400,12345678901234567890123,-0.0]"#;
        let value = parse(text).unwrap();
        assert_eq!(serde_json::to_vec(&value).unwrap(), text);
    }

    #[test]
    fn a_thousand_levels_are_refused() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert!(parse(deep.as_bytes()).is_err());
    }
}
