//! A backend's answer, read: its body as JSON, whatever it came as (LANGUAGE "Conditions, response,
//! extraction").

mod parse;
mod xml;

use std::borrow::Cow;

use bytes::Bytes;
use http::{HeaderMap, header};
use serde_json::{Map, Value};

use super::outcome::Clean;
use crate::driver::{Answer, Protocol, Ruling};
use crate::plan::{BodyFormat, ResponseRules};
use crate::transform::{AnswerView, Parts, Root, Scope};

/// An answer with its body read.
#[derive(Debug)]
pub struct ReadAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    /// What the route reads of it; `None` when there is none, it is text that nobody parses, or the scope has it
    /// already.
    body: Option<Value>,
    pub text: String,
    /// The body as it came, where it came as JSON.
    pub json: Option<Bytes>,
    /// What a program wrote as its errors.
    pub stderr: String,
    /// What it is an answer of.
    pub protocol: Protocol,
    /// What the protocol itself says of it.
    pub ruling: Ruling,
    /// Why the body must not be believed: it was cut, too large, or is not what it says it is.
    pub unreadable: Option<String>,
    /// The body came in the format that the backend is declared to speak.
    pub in_declared_format: bool,
}

impl ReadAnswer {
    /// The answer as conditions and sources see it; its body is where [`Self::publish`] put it.
    pub fn view<'a>(&'a self, scope: &'a Scope) -> AnswerView<'a> {
        AnswerView {
            status: self.status,
            headers: &self.headers,
            body: scope
                .get(Root::Response)
                .and_then(|response| response.get("body")),
            text: &self.text,
            stderr: &self.stderr,
        }
    }

    /// Moves the body into the scope, as `response`, and the head beside it where it is read.
    pub fn publish(&mut self, scope: &mut Scope, with_head: bool) {
        let mut response = Map::new();
        if let Some(body) = self.body.take() {
            response.insert("body".into(), body);
        }
        if with_head {
            self.write_head(&mut response);
        }
        scope.set(Root::Response, Value::Object(response));
    }

    fn write_head(&self, response: &mut Map<String, Value>) {
        let mut headers = Map::new();
        for (name, value) in &self.headers {
            headers
                .entry(name.as_str().replace('-', "_"))
                .or_insert_with(|| String::from_utf8_lossy(value.as_bytes()).into());
        }
        response.insert("status".into(), self.status.into());
        response.insert("headers".into(), Value::Object(headers));
        response.insert("text".into(), self.text.as_str().into());
        response.insert("stderr".into(), self.stderr.as_str().into());
    }

    /// The first characters of the text, for an error: bounded, on one line. What a program wrote as its
    /// errors comes first.
    pub fn excerpt(&self, clean: Clean<'_>) -> String {
        const LIMIT: usize = 300;
        // Before it is cut: half a secret would not be known again.
        let text = match self.stderr.trim().is_empty() {
            true => clean(&self.text),
            false => clean(&format!("{} {}", self.stderr.trim(), self.text)),
        };
        let mut excerpt: String = text
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(LIMIT)
            .collect();
        if text.chars().nth(LIMIT).is_some() {
            excerpt.push('\u{2026}');
        }
        excerpt
    }
}

/// Reads an answer by the route's rules; of a JSON body only these parts are kept.
pub fn read(answer: Answer, rules: &ResponseRules, parts: &Parts) -> ReadAnswer {
    let by_type = match answer.protocol {
        Protocol::Http => format_of(&answer.headers),
        Protocol::Cli | Protocol::Exec | Protocol::Netconf => None,
    };
    let declared = rules.format.unwrap_or(match answer.protocol {
        Protocol::Http => BodyFormat::Json,
        Protocol::Cli | Protocol::Exec => BodyFormat::Text,
        Protocol::Netconf => BodyFormat::Xml,
    });
    let format = match answer.protocol {
        Protocol::Http => rules.format.or(by_type).unwrap_or(BodyFormat::Text),
        _ => declared,
    };
    // What a device says of a failure need not be in the form of its successes.
    let failed = answer.protocol != Protocol::Http && !rules.takes_status(answer.status);
    let text = decode(&answer.headers, &answer.body);
    let mut unreadable = answer.body_error;
    let mut body = None;
    // A device that lists nothing says nothing, and that is a list of none.
    let lists =
        answer.protocol != Protocol::Http && rules.parse.as_ref().is_some_and(parse::takes_nothing);
    if unreadable.is_none() && (lists || !text.trim().is_empty()) {
        let parsed = match format {
            BodyFormat::Json => parts
                .parse(&text)
                .map(Some)
                .map_err(|error| format!("the body is not JSON: {error}")),
            BodyFormat::Xml if answer.protocol == Protocol::Netconf => {
                xml::of_reply(&text, rules).map(Some)
            }
            BodyFormat::Xml => xml::to_json(&text, rules).map(Some),
            BodyFormat::Text => Ok(None),
        };
        let parsed = match (&rules.parse, parsed) {
            (Some(parse), Ok(None)) => parse::parse(parse, &text).map(Some),
            (_, parsed) => parsed,
        };
        match parsed {
            Ok(value) => body = value,
            Err(_) if failed => {}
            Err(why) => unreadable = Some(why),
        }
    }
    let json = (format == BodyFormat::Json && body.is_some()).then(|| match &text {
        Cow::Borrowed(text) => answer.body.slice_ref(text.as_bytes()),
        Cow::Owned(text) => Bytes::copy_from_slice(text.as_bytes()),
    });
    let in_declared_format = unreadable.is_none()
        && match by_type {
            Some(found) => found == declared,
            None => declared == BodyFormat::Text || body.is_some(),
        };
    ReadAnswer {
        status: answer.status,
        body,
        text: text.into_owned(),
        json,
        stderr: String::from_utf8_lossy(&answer.stderr).into_owned(),
        protocol: answer.protocol,
        ruling: answer.ruling,
        headers: answer.headers,
        unreadable,
        in_declared_format,
    }
}

fn format_of(headers: &HeaderMap) -> Option<BodyFormat> {
    let found = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = found.split(';').next()?.trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Some(BodyFormat::Json);
    }
    Some(match essence.to_ascii_lowercase().as_str() {
        "text/json" => BodyFormat::Json,
        "application/xml" | "text/xml" => BodyFormat::Xml,
        other if other.ends_with("+json") => BodyFormat::Json,
        other if other.ends_with("+xml") => BodyFormat::Xml,
        _ => BodyFormat::Text,
    })
}

/// UTF-8, without its byte order mark; ISO-8859-1 where the backend says so.
fn decode<'b>(headers: &HeaderMap, body: &'b [u8]) -> Cow<'b, str> {
    let latin1 = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            value.contains(';') && value.to_ascii_lowercase().contains("charset=iso-8859-1")
        });
    if latin1 {
        return body.iter().map(|byte| char::from(*byte)).collect();
    }
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    // By far the most are UTF-8, and that is found out faster than what to replace.
    std::str::from_utf8(body).map_or_else(|_| String::from_utf8_lossy(body), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use serde_json::json;

    fn answer(content_type: Option<&'static str>, body: &'static str) -> Answer {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        Answer {
            status: 200,
            headers,
            body: Bytes::from_static(body.as_bytes()),
            body_error: None,
            sends: 1,
            ..Answer::default()
        }
    }

    #[test]
    fn json_with_a_byte_order_mark_is_read() {
        let read = read(
            answer(
                Some("application/json"),
                "\u{feff}{\"id\": 12345678901234567890123}",
            ),
            &ResponseRules::default(),
            &Parts::Whole,
        );
        assert_eq!(
            read.body.unwrap()["id"].to_string(),
            "12345678901234567890123"
        );
        assert!(read.in_declared_format);
    }

    #[test]
    fn a_proxys_html_page_is_text_and_not_what_was_declared() {
        let read = read(
            answer(Some("text/html"), "<h1>Not Found</h1>"),
            &ResponseRules::default(),
            &Parts::Whole,
        );
        assert_eq!(read.body, None);
        assert!(!read.in_declared_format);
    }

    #[test]
    fn json_that_is_none_is_unreadable() {
        let read = read(
            answer(Some("application/json"), "{\"id\":"),
            &ResponseRules::default(),
            &Parts::Whole,
        );
        assert!(read.unreadable.is_some());
    }

    #[test]
    fn xml_follows_the_documented_rule() {
        let rules = ResponseRules {
            lists: vec!["entry".into()],
            ..ResponseRules::default()
        };
        let text = r#"<r:response xmlns:r="urn:x" status="success"><result><entry name="a">x</entry></result><n>1</n><n>2</n><e/></r:response>"#;
        let read = read(answer(Some("application/xml"), text), &rules, &Parts::Whole);
        assert_eq!(
            read.body,
            Some(json!({"response": {
                "@status": "success",
                "result": {"entry": [{"@name": "a", "#text": "x"}]},
                "n": ["1", "2"],
                "e": "",
            }}))
        );
    }
}
