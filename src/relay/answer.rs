//! A backend's answer, read: its body as JSON, whatever it came as (LANGUAGE "Conditions, response,
//! extraction").

use std::borrow::Cow;

use http::{HeaderMap, header};
use roxmltree::Document;
use serde_json::{Map, Value};

use super::outcome::Clean;
use crate::driver::Answer;
use crate::plan::{BodyFormat, CaptureType, Parse, ResponseRules};
use crate::transform::{AnswerView, Root, Scope};

/// An answer with its body read.
#[derive(Debug)]
pub struct ReadAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    /// `None` when there is none, it is text that nobody parses, or the scope has it already.
    body: Option<Value>,
    pub text: String,
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
            stderr: "",
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
        response.insert("stderr".into(), "".into());
    }

    /// The first characters of the text, for an error: bounded, on one line.
    pub fn excerpt(&self, clean: Clean<'_>) -> String {
        const LIMIT: usize = 300;
        // Before it is cut: half a secret would not be known again.
        let text = clean(&self.text);
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

/// Reads an answer by the route's rules.
pub fn read(answer: Answer, rules: &ResponseRules) -> ReadAnswer {
    let by_type = format_of(&answer.headers);
    let declared = rules.format.unwrap_or(BodyFormat::Json);
    let format = rules.format.or(by_type).unwrap_or(BodyFormat::Text);
    let text = decode(&answer.headers, &answer.body);
    let mut unreadable = answer.body_error;
    let mut body = None;
    if unreadable.is_none() && !text.trim().is_empty() {
        let parsed = match format {
            BodyFormat::Json => serde_json::from_str(&text)
                .map(Some)
                .map_err(|error| format!("the body is not JSON: {error}")),
            BodyFormat::Xml => xml_to_json(&text, &rules.lists).map(Some),
            BodyFormat::Text => Ok(None),
        };
        let parsed = match (&rules.parse, parsed) {
            (Some(parse), Ok(None)) => parse_text(parse, &text).map(Some),
            (_, parsed) => parsed,
        };
        match parsed {
            Ok(value) => body = value,
            Err(why) => unreadable = Some(why),
        }
    }
    let in_declared_format = unreadable.is_none()
        && match by_type {
            Some(found) => found == declared,
            None => declared == BodyFormat::Text || body.is_some(),
        };
    ReadAnswer {
        status: answer.status,
        headers: answer.headers,
        body,
        text: text.into_owned(),
        unreadable,
        in_declared_format,
    }
}

fn format_of(headers: &HeaderMap) -> Option<BodyFormat> {
    let found = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
    let essence = found.split(';').next()?.trim().to_ascii_lowercase();
    Some(match essence.as_str() {
        "application/json" | "text/json" => BodyFormat::Json,
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
        .is_some_and(|value| value.to_ascii_lowercase().contains("charset=iso-8859-1"));
    if latin1 {
        return body.iter().map(|byte| char::from(*byte)).collect();
    }
    String::from_utf8_lossy(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body))
}

/// Element = object, attribute = `@name`, text = `#text` (alone: the string), repeated = list; names
/// in `lists` are always lists; namespaces are dropped. The root element's name is the only key.
fn xml_to_json(text: &str, lists: &[Box<str>]) -> Result<Value, String> {
    let document =
        Document::parse(text).map_err(|error| format!("the body is not XML: {error}"))?;
    let root = document.root_element();
    let mut value = Map::new();
    value.insert(root.tag_name().name().to_owned(), element(root, lists));
    Ok(Value::Object(value))
}

fn element(node: roxmltree::Node<'_, '_>, lists: &[Box<str>]) -> Value {
    let mut map = Map::new();
    for attribute in node.attributes() {
        map.insert(format!("@{}", attribute.name()), attribute.value().into());
    }
    let mut text = String::new();
    for child in node.children() {
        if child.is_text() {
            text.push_str(child.text().unwrap_or_default());
        }
        if !child.is_element() {
            continue;
        }
        let name = child.tag_name().name();
        let value = element(child, lists);
        match map.get_mut(name) {
            Some(Value::Array(items)) => items.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None if lists.iter().any(|list| **list == *name) => {
                map.insert(name.to_owned(), Value::Array(vec![value]));
            }
            None => {
                map.insert(name.to_owned(), value);
            }
        }
    }
    let text = text.trim();
    if map.is_empty() {
        return text.into();
    }
    if !text.is_empty() {
        map.insert("#text".into(), text.into());
    }
    Value::Object(map)
}

fn parse_text(parse: &Parse, text: &str) -> Result<Value, String> {
    match parse {
        Parse::Json => {
            serde_json::from_str(text).map_err(|error| format!("the text is not JSON: {error}"))
        }
        Parse::Regex {
            regex,
            rows: true,
            types,
        } => Ok(text
            .lines()
            .filter_map(|line| captures(regex, types, line))
            .collect()),
        Parse::Regex {
            regex,
            rows: false,
            types,
        } => captures(regex, types, text).ok_or_else(|| "the text does not match `parse`".into()),
        Parse::Table => Ok(table(text)),
        Parse::KeyValue { separator } => Ok(text
            .lines()
            .filter_map(|line| line.split_once(&**separator))
            .map(|(key, value)| (key.trim().to_owned(), Value::from(value.trim())))
            .collect()),
    }
}

fn captures(regex: &regex::Regex, types: &[(Box<str>, CaptureType)], text: &str) -> Option<Value> {
    let found = regex.captures(text)?;
    let row = regex.capture_names().flatten().filter_map(|name| {
        let text = found.name(name)?.as_str();
        let kind = types
            .iter()
            .find(|(known, _)| **known == *name)
            .map_or(CaptureType::Text, |(_, kind)| *kind);
        let value = match kind {
            CaptureType::Text => text.into(),
            CaptureType::Int => text.parse::<i64>().map_or(Value::Null, Value::from),
            CaptureType::List => text
                .split([',', ' ', '\t'])
                .filter(|item| !item.is_empty())
                .collect(),
        };
        Some((name.to_owned(), value))
    });
    Some(row.collect())
}

/// The first line names the columns; a cell reaches from its column's start to the next one's.
fn table(text: &str) -> Value {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let Some(head) = lines.next() else {
        return Value::Array(Vec::new());
    };
    let head: Vec<char> = head.chars().collect();
    let starts: Vec<usize> = (0..head.len())
        .filter(|&at| !head[at].is_whitespace() && (at == 0 || head[at - 1].is_whitespace()))
        .collect();
    let cell = |line: &[char], column: usize| -> String {
        let from = starts[column].min(line.len());
        let to = starts
            .get(column + 1)
            .map_or(line.len(), |&end| end.min(line.len()));
        line[from..to].iter().collect::<String>().trim().to_owned()
    };
    lines
        .map(|line| {
            let line: Vec<char> = line.chars().collect();
            (0..starts.len())
                .map(|column| {
                    (
                        cell(&head, column).to_lowercase(),
                        Value::from(cell(&line, column)),
                    )
                })
                .collect::<Value>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
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
        );
        assert_eq!(read.body, None);
        assert!(!read.in_declared_format);
    }

    #[test]
    fn json_that_is_none_is_unreadable() {
        let read = read(
            answer(Some("application/json"), "{\"id\":"),
            &ResponseRules::default(),
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
        let read = read(answer(Some("application/xml"), text), &rules);
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

    #[test]
    fn text_is_parsed_by_rows_and_by_columns() {
        let regex = Parse::Regex {
            regex: regex::Regex::new(r"^(?<vid>\d+)\s+(?<ports>\S+)$").unwrap(),
            rows: true,
            types: vec![
                ("vid".into(), CaptureType::Int),
                ("ports".into(), CaptureType::List),
            ],
        };
        assert_eq!(
            parse_text(&regex, "VLAN Ports\n10 eth1,eth2\n20 eth3").unwrap(),
            json!([{"vid": 10, "ports": ["eth1", "eth2"]}, {"vid": 20, "ports": ["eth3"]}])
        );
        assert_eq!(
            parse_text(&Parse::Table, "VLAN  Name\n10    blue net\n").unwrap(),
            json!([{"vlan": "10", "name": "blue net"}])
        );
        let pairs = Parse::KeyValue {
            separator: ":".into(),
        };
        assert_eq!(
            parse_text(&pairs, "State: up\nMtu : 1500").unwrap(),
            json!({"State": "up", "Mtu": "1500"})
        );
    }
}
