//! How each position encodes a value, and what it refuses.
//!
//! A [`Slot`] is decided when a template is compiled: by the kind of text, and inside XML, XPath and
//! JSON by a scanner (`scan`). At render time a value passes exactly one encoder, so that nothing it
//! holds can end the place it was put into (invariant 3).

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use super::command;

/// The place of one value inside a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// As it is: ids, labels, and whatever a later writer encodes as a whole.
    Plain,
    /// A part of one path segment.
    Segment,
    /// A part of a header value.
    Header,
    /// A part of a cookie's value.
    Cookie,
    /// XML character data.
    XmlText,
    /// Inside a quoted XML attribute value.
    XmlAttribute,
    /// Inside an XPath literal with this quote.
    XPath(char),
    /// Inside a JSON string.
    JsonString,
    /// Where a JSON value stands.
    JsonValue,
    /// A part of one word of a CLI line.
    Cli,
    /// A part of a CLI line that may hold blanks: between double quotes, or what `words` gives.
    CliWords,
    /// A part of one word of a program's command; the writer quotes the whole.
    Word,
    /// A part of a line of plain text.
    Line,
}

/// Appends `value` to `out` as its slot encodes it; the error says what about it cannot stand there.
pub(super) fn write(slot: Slot, value: &Value, out: &mut String) -> Result<(), Cow<'static, str>> {
    if slot == Slot::JsonValue {
        // `Display` of a value is its compact JSON, numbers with their own digits.
        let _ = write!(out, "{value}");
        return Ok(());
    }
    let text = text_of(value)?;
    match slot {
        Slot::Plain | Slot::JsonValue => out.push_str(&text),
        Slot::Segment => percent(&text, out),
        Slot::Header => header(&text, out)?,
        Slot::Cookie => cookie(&text, out)?,
        Slot::XmlText => xml(&text, false, out)?,
        Slot::XmlAttribute => xml(&text, true, out)?,
        Slot::XPath(quote) => xpath(&text, quote, out)?,
        Slot::JsonString => json_string(&text, out),
        Slot::Cli | Slot::CliWords => {
            command::value(&text, slot == Slot::CliWords)?;
            out.push_str(&text);
        }
        Slot::Word => {
            command::word(&text)?;
            out.push_str(&text);
        }
        Slot::Line => line(&text, out)?,
    }
    Ok(())
}

/// The text form of a scalar; `null`, lists and objects have none.
pub fn text_of(value: &Value) -> Result<Cow<'_, str>, &'static str> {
    match value {
        Value::String(text) => Ok(Cow::Borrowed(text)),
        Value::Number(number) => Ok(Cow::Borrowed(number.as_str())),
        Value::Bool(true) => Ok(Cow::Borrowed("true")),
        Value::Bool(false) => Ok(Cow::Borrowed("false")),
        Value::Null => Err("it is null, which has no text form"),
        Value::Array(_) => Err("it is a list, which has no text form"),
        Value::Object(_) => Err("it is an object, which has no text form"),
    }
}

/// Percent-encodes all but the unreserved characters of RFC 3986, section 2.3.
pub fn percent(text: &str, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Text of which parts may be percent-encoded (RFC 3986, section 2.1), such as a fragment; what is no
/// escape stays, and what is no UTF-8 becomes U+FFFD.
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let escape = (byte == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match escape {
            Some(decoded) => {
                bytes.push(decoded);
                rest = &tail[2..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// RFC 9110, section 5.5: visible ASCII with spaces and tabs; blanks at the ends are judged over the
/// whole value by [`blank_ends`].
fn header(text: &str, out: &mut String) -> Result<(), &'static str> {
    header_chars(text)?;
    out.push_str(text);
    Ok(())
}

/// What a header value may hold at all, for values and for literals.
pub(super) fn header_chars(text: &str) -> Result<(), &'static str> {
    match text
        .chars()
        .find(|c| !matches!(c, '\t' | ' '..='~'))
        .map(|c| c.is_ascii())
    {
        None => Ok(()),
        Some(true) => Err("a header cannot hold a control character"),
        Some(false) => Err("a header holds ASCII only"),
    }
}

/// RFC 6265, section 4.1.1: what may stand in a cookie's value without ending it.
pub(super) fn cookie_chars(text: &str) -> Result<(), &'static str> {
    let fits = |byte| matches!(byte, 0x21 | 0x23..=0x2B | 0x2D..=0x3A | 0x3C..=0x5B | 0x5D..=0x7E);
    match text.bytes().all(fits) {
        true => Ok(()),
        false => Err("it holds a character that would end a cookie's value"),
    }
}

fn cookie(text: &str, out: &mut String) -> Result<(), &'static str> {
    cookie_chars(text)?;
    out.push_str(text);
    Ok(())
}

/// Whether a blank stands at an end, where header parsers drop it.
pub(super) fn blank_ends(text: &str) -> bool {
    text.starts_with([' ', '\t']) || text.ends_with([' ', '\t'])
}

/// XML 1.0, section 2.2 says what a document may hold. White space that a parser would normalise
/// (sections 2.11 and 3.3.3) goes as a character reference, so that it arrives as it was.
fn xml(text: &str, attribute: bool, out: &mut String) -> Result<(), &'static str> {
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\r' => out.push_str("&#13;"),
            '\n' if attribute => out.push_str("&#10;"),
            '\t' if attribute => out.push_str("&#9;"),
            '\t' | '\n' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'.. => out.push(c),
            _ => return Err("XML cannot hold one of its characters"),
        }
    }
    Ok(())
}

/// An XPath 1.0 literal has no escapes: what holds its quote cannot be written.
fn xpath(text: &str, quote: char, out: &mut String) -> Result<(), &'static str> {
    if text.contains(quote) {
        return Err("it holds the quote that ends the XPath literal");
    }
    line(text, out)
}

/// The contents of a JSON string, escaped.
fn json_string(text: &str, out: &mut String) {
    let quoted = Value::from(text).to_string();
    out.push_str(&quoted[1..quoted.len() - 1]);
}

fn line(text: &str, out: &mut String) -> Result<(), &'static str> {
    if text.chars().any(char::is_control) {
        return Err("it holds a control character");
    }
    out.push_str(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn encoded(slot: Slot, value: Value) -> Result<String, Cow<'static, str>> {
        let mut out = String::new();
        write(slot, &value, &mut out).map(|()| out)
    }

    #[test]
    fn a_path_value_keeps_only_unreserved_characters() {
        let value = json!("a/../b?c#d%2F é~-._\0");
        assert_eq!(
            encoded(Slot::Segment, value).unwrap(),
            "a%2F..%2Fb%3Fc%23d%252F%20%C3%A9~-._%00"
        );
    }

    #[test]
    fn a_header_value_refuses_line_ends_controls_and_non_ascii() {
        for hostile in ["a\r\nX: y", "a\nb", "a\0b", "\u{7f}", "é", "😀"] {
            assert!(
                encoded(Slot::Header, json!(hostile)).is_err(),
                "{hostile:?}"
            );
        }
        assert_eq!(encoded(Slot::Header, json!("a b\tc")).unwrap(), "a b\tc");
    }

    #[test]
    fn a_cookie_value_refuses_what_would_end_it() {
        for hostile in ["a; b=c", "a,b", "a b", "\"a\"", "a\\", "a\r\n", "é"] {
            assert!(
                encoded(Slot::Cookie, json!(hostile)).is_err(),
                "{hostile:?}"
            );
        }
        assert_eq!(
            encoded(Slot::Cookie, json!("a=b%20_~")).unwrap(),
            "a=b%20_~"
        );
    }

    #[test]
    fn xml_escapes_markup_and_refuses_what_xml_cannot_hold() {
        assert_eq!(
            encoded(Slot::XmlText, json!("<a b='c'>\"&\r\n")).unwrap(),
            "&lt;a b=&apos;c&apos;&gt;&quot;&amp;&#13;\n"
        );
        assert_eq!(
            encoded(Slot::XmlAttribute, json!("a\n\tb")).unwrap(),
            "a&#10;&#9;b"
        );
        for hostile in ["\0", "\u{b}", "\u{fffe}", "\u{ffff}"] {
            assert!(
                encoded(Slot::XmlText, json!(hostile)).is_err(),
                "{hostile:?}"
            );
        }
    }

    #[test]
    fn an_xpath_literal_refuses_its_own_quote_only() {
        assert!(encoded(Slot::XPath('\''), json!("a'b")).is_err());
        assert_eq!(encoded(Slot::XPath('"'), json!("a'b")).unwrap(), "a'b");
        assert!(encoded(Slot::XPath('"'), json!("a\nb")).is_err());
    }

    #[test]
    fn a_cli_value_refuses_help_completion_and_line_ends() {
        for hostile in [
            "a?", "a\tb", "a\nb", "a\rb", "\u{1b}[A", "\u{85}", "a\"", "a\\", "", " ", "\u{a0}a",
        ] {
            assert!(encoded(Slot::Cli, json!(hostile)).is_err(), "{hostile:?}");
            let wide = encoded(Slot::CliWords, json!(hostile));
            assert!(wide.is_err(), "{hostile:?}");
        }
        assert!(encoded(Slot::Cli, json!("a b")).is_err());
        assert_eq!(encoded(Slot::CliWords, json!("a b;c")).unwrap(), "a b;c");
        assert_eq!(encoded(Slot::Cli, json!("a;c")).unwrap(), "a;c");
    }

    #[test]
    fn numbers_keep_their_digits_and_null_has_no_text() {
        let number: Value = serde_json::from_str("12345678901234567890.10").unwrap();
        assert_eq!(
            encoded(Slot::Plain, number).unwrap(),
            "12345678901234567890.10"
        );
        for value in [json!(null), json!([]), json!({})] {
            assert!(encoded(Slot::Plain, value).is_err());
        }
        assert_eq!(encoded(Slot::JsonValue, json!(null)).unwrap(), "null");
    }
}
