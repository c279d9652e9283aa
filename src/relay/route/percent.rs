//! Percent-decoding of a CMP's path segments and query, once and strictly (RFC 3986).

use crate::relay::RelayError;

/// Decodes one segment, name or value; `plus` reads `+` as a blank.
pub fn decode(raw: &str, plus: bool) -> Result<String, RelayError> {
    if !raw.contains(['%', '+']) {
        return Ok(raw.to_owned());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'%' => {
                let hex = rest.get(..2).and_then(|pair| {
                    let high = char::from(pair[0]).to_digit(16)?;
                    let low = char::from(pair[1]).to_digit(16)?;
                    u8::try_from(high * 16 + low).ok()
                });
                let Some(decoded) = hex else {
                    return Err(malformed(raw, "a `%` without two hex digits"));
                };
                bytes.push(decoded);
                rest = &rest[2..];
            }
            b'+' if plus => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).map_err(|_| malformed(raw, "bytes that are not UTF-8"))
}

fn malformed(raw: &str, what: &str) -> RelayError {
    RelayError::MalformedRequest(format!("`{raw}` in the URL holds {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_decoded_once() {
        assert_eq!(decode("a%2Fb%252F", false).unwrap(), "a/b%2F");
        assert_eq!(decode("a+b", false).unwrap(), "a+b");
        assert_eq!(decode("a+b%2B", true).unwrap(), "a b+");
        assert_eq!(decode("%F0%9F%98%80", false).unwrap(), "\u{1f600}");
    }

    #[test]
    fn what_cannot_be_decoded_is_refused() {
        for raw in ["%", "%2", "%zz", "%FF", "%C3%28"] {
            assert!(decode(raw, false).is_err(), "{raw}");
        }
    }
}
