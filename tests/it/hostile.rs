//! Invariant 3, from the outside: whatever a CMP sends, in whatever position of a call it lands, the
//! backend hears the same structure with that value in it, or nothing at all.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::support::relay::{CmpRequest, TestRelay};
use crate::support::scripted::{Act, Heard, Scripted};

const ROUTES: &str = r#"
version: 1
resource: thing
kind: box
routes:
  in_path:
    match: POST /v1/in-path/{raw}
    request: { body: { type: object, properties: { v: {} } } }
    call:
      http: POST /first/{{ body.v }}/a-{{ path.raw }}-b/last
    reply: { status: 200 }
  in_query:
    match: POST /v1/in-query
    request: { body: { type: object, properties: { v: {} } } }
    call:
      http: POST /q
      query:
        first: "1"
        value: "{{ body.v }}"
        last: "<x"
    reply: { status: 200 }
  in_header:
    match: POST /v1/in-header
    request: { body: { type: object, properties: { v: {} } } }
    call:
      http: POST /h
      headers:
        X-Value: "{{ body.v }}"
    reply: { status: 200 }
  in_json:
    match: POST /v1/in-json
    request: { body: { type: object, properties: { v: {} } } }
    call:
      http: POST /j
      body:
        typed: "{{ body.v }}"
        nested:
          $json:
            inner: "{{ body.v }}"
        list:
          $for: body.v
          $item: "{{ item }}"
    reply: { status: 200 }
  in_text:
    match: POST /v1/in-text
    request: { body: { type: object, properties: { v: {} } } }
    call:
      http: POST /t
      body:
        text: "a{{ body.v }}b"
        typed: "{{ body.v }}"
        xml:
          $xml: '<e name="{{ body.v }}">{{ body.v }}</e>'
    reply: { status: 200 }
  in_xpath:
    match: POST /v1/in-xpath
    request: { body: { type: object, properties: { v: {} } } }
    call:
      http: POST /x
      body:
        xpath:
          $xpath: "/c/e[@name='{{ body.v }}']/last"
    reply: { status: 200 }
  in_cli:
    match: POST /v1/in-cli
    request: { body: { type: object, properties: { v: {} } } }
    call:
      http: POST /c
      body:
        commands:
          $cli:
            - first {{ body.v }} last
            - 'first "{{ body.v }}" last'
    reply: { status: 200 }
  in_form:
    match: POST /v1/in-form
    request: { body: { type: object, properties: { v: {} } } }
    call:
      http: POST /f
      form:
        first: "1"
        value: "{{ body.v }}"
        last: "2"
    reply: { status: 200 }
  in_xml_template:
    match: POST /v1/in-xml-template
    request: { body: { type: object, properties: { v: {} } } }
    call:
      http: POST /xt
      template: t.xml.hbs
    reply: { status: 200 }
  in_json_template:
    match: POST /v1/in-json-template
    request: { body: { type: object, properties: { v: {} } } }
    call:
      http: POST /jt
      template: t.json.hbs
    reply: { status: 200 }
"#;

const BACKEND: &str = "version: 1\nname: one\nkind: box\ndriver:\n  https:\n    url: \"{BACKEND}\"\n    profile: onyx\n";
const XML_TEMPLATE: &str = "<r a=\"{{ body.v }}\"><e>{{ body.v }}</e><last/></r>";
const JSON_TEMPLATE: &str = "{\"text\": \"a{{ body.v }}b\", \"typed\": {{ body.v }}, \"last\": 1}";

struct World {
    runtime: Runtime,
    relay: TestRelay,
    backend: Scripted,
    /// Values that reached the backend: a relay that refuses everything would keep every structure.
    passed: Cell<u32>,
}

impl World {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let (relay, backend) = runtime.block_on(async {
            let backend = Scripted::start().await;
            // In block style, as the language asks for: a flow map would be bitten by braces.
            let routes = ROUTES.replace(
                "    request: { body: { type: object, properties: { v: {} } } }\n",
                "    request:\n      body:\n        type: object\n        required:\n          - v\n        properties:\n          v: true\n    select:\n      instance: one\n",
            );
            let files = [
                ("routes.d/thing.yaml".to_owned(), routes.replace("reply: { status: 200 }", "reply:\n      status: 200")),
                ("backends.d/one.yaml".to_owned(), BACKEND.replace("{BACKEND}", &backend.url())),
                ("templates/t.xml.hbs".to_owned(), XML_TEMPLATE.to_owned()),
                ("templates/t.json.hbs".to_owned(), JSON_TEMPLATE.to_owned()),
            ];
            (TestRelay::start(&files).await, backend)
        });
        Self {
            runtime,
            relay,
            backend,
            passed: Cell::new(0),
        }
    }

    /// The one call that `value` caused, or the refusal: 422 `unsafe_value`, and no call.
    fn send(&self, path: &str, value: &Value) -> Option<Heard> {
        self.backend.will(Act::Answer {
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body: "{}".into(),
        });
        let reply = self.runtime.block_on(self.relay.request(CmpRequest {
            method: "POST".into(),
            path_and_query: path.into(),
            headers: vec![("content-type".into(), "application/json".into())],
            body: json!({ "v": value }).to_string(),
            ..CmpRequest::default()
        }));
        let mut heard = self.backend.take_heard();
        let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        if reply.status == 422 {
            assert_eq!(body["code"], "unsafe_value", "{body}");
            assert!(heard.is_empty(), "a refused value was sent: {heard:?}");
            // The answer that nobody fetched.
            self.backend.forget();
            return None;
        }
        assert_eq!(reply.status, 200, "{path} {value}: {body}");
        assert_eq!(heard.len(), 1);
        self.passed.set(self.passed.get() + 1);
        heard.pop()
    }
}

/// Strings that have broken somebody's templates, and any others.
fn hostile() -> impl Strategy<Value = String> {
    let known = prop::sample::select(vec![
        "",
        ".",
        "..",
        "../..",
        "/",
        "a/b",
        "%2F",
        "%2e%2e",
        "a?b=c",
        "a#b",
        "a&b=c",
        "a;b",
        "\"",
        "'",
        "\\",
        "\"}, {\"x\": \"",
        "\\u0022",
        "\n",
        "\r\nX-Injected: 1",
        "\0",
        "\t",
        " ",
        " a ",
        "{{ body.v }}",
        "{{{",
        "}}",
        "$for",
        "$.x",
        "<a>",
        "</e><e>",
        "]]>",
        "<!--",
        "&amp;",
        "&#0;",
        "'] | //x['",
        "\" or \"",
        "\u{1f600}",
        "\u{fffe}",
        "\u{feff}",
        "\u{85}",
        "\u{2028}",
        "\u{7f}",
        "\u{202e}",
        "null",
        "true",
        "1e400",
    ]);
    prop_oneof![
        known.clone().prop_map(str::to_owned),
        any::<String>(),
        (known.clone(), any::<String>(), known).prop_map(|(a, b, c)| format!("{a}{b}{c}")),
    ]
}

fn check(property: impl Fn(&World, String)) {
    let world = World::new();
    let mut runner = TestRunner::new(Config {
        cases: 300,
        failure_persistence: None,
        ..Config::default()
    });
    runner
        .run(&hostile(), |value| {
            property(&world, value);
            Ok(())
        })
        .unwrap();
    let passed = world.passed.get();
    assert!(passed >= 30, "only {passed} values reached the backend");
}

fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] == b'%' {
            let hex = std::str::from_utf8(&bytes[at + 1..at + 3]).unwrap();
            decoded.push(u8::from_str_radix(hex, 16).unwrap());
            at += 3;
        } else {
            assert!(bytes[at].is_ascii_graphic(), "a raw byte in {text:?}");
            decoded.push(bytes[at]);
            at += 1;
        }
    }
    String::from_utf8(decoded).unwrap()
}

fn pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap();
            (percent_decoded(name), percent_decoded(value))
        })
        .collect()
}

fn json_of(heard: &Heard) -> Value {
    serde_json::from_slice(&heard.body).unwrap()
}

#[test]
fn a_value_stays_one_path_segment() {
    check(|world, value| {
        let encoded: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
        // The CMP's own path cannot name an empty segment.
        if value.is_empty() {
            return;
        }
        let Some(heard) = world.send(&format!("/v1/in-path/{encoded}"), &json!(value)) else {
            return;
        };
        let segments: Vec<_> = heard
            .path_and_query
            .split('/')
            .map(percent_decoded)
            .collect();
        let around = format!("a-{value}-b");
        assert_eq!(segments, ["", "first", &value, &around, "last"]);
    });
}

#[test]
fn a_value_stays_one_query_parameter() {
    check(|world, value| {
        let heard = world
            .send("/v1/in-query", &json!(value))
            .expect("any text fits a query");
        let (path, query) = heard.path_and_query.split_once('?').unwrap();
        assert_eq!(path, "/q");
        let wanted = [("first", "1"), ("value", &value), ("last", "<x")];
        assert_eq!(
            pairs(query),
            wanted.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    });
}

#[test]
fn a_value_stays_one_header() {
    check(|world, value| {
        let Some(heard) = world.send("/v1/in-header", &json!(value)) else {
            return;
        };
        assert_eq!(
            heard.headers.get("x-value").unwrap().to_str().unwrap(),
            value
        );
        assert!(heard.headers.get("x-injected").is_none());
    });
}

#[test]
fn a_value_stays_one_form_field() {
    check(|world, value| {
        let heard = world
            .send("/v1/in-form", &json!(value))
            .expect("any text fits a form");
        let wanted = [("first", "1"), ("value", &value), ("last", "2")];
        let body = String::from_utf8(heard.body.to_vec()).unwrap();
        assert_eq!(
            pairs(&body),
            wanted.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    });
}

#[test]
fn a_value_stays_inside_its_json_string() {
    check(|world, value| {
        let list = json!([value, 1, { "k\"ey": value }]);
        let heard = world
            .send("/v1/in-json", &list)
            .expect("any JSON fits JSON");
        let body = json_of(&heard);
        assert_eq!(body.as_object().unwrap().len(), 3);
        assert_eq!(body["typed"], list);
        assert_eq!(body["list"], list);
        let nested: Value = serde_json::from_str(body["nested"].as_str().unwrap()).unwrap();
        assert_eq!(nested, json!({ "inner": list }));

        let Some(heard) = world.send("/v1/in-json-template", &json!(value)) else {
            return;
        };
        assert_eq!(
            json_of(&heard),
            json!({ "text": format!("a{value}b"), "typed": value, "last": 1 })
        );
    });
}

#[test]
fn a_value_stays_inside_its_xml_node() {
    // XML 1.0 reads a literal CR as LF, and blanks in an attribute as spaces; an encoder writes them
    // as references, so that they come back as they were.
    check(|world, value| {
        if let Some(heard) = world.send("/v1/in-text", &json!(value)) {
            let body = json_of(&heard);
            assert_eq!(body["text"], format!("a{value}b"));
            let text = body["xml"].as_str().unwrap();
            let document = roxmltree::Document::parse(text).unwrap();
            let element = document.root_element();
            assert_eq!(element.attribute("name"), Some(&*value));
            assert_eq!(element.text().unwrap_or_default(), value);
            assert_eq!(
                document
                    .descendants()
                    .filter(roxmltree::Node::is_element)
                    .count(),
                1
            );
        }
        if let Some(heard) = world.send("/v1/in-xml-template", &json!(value)) {
            let text = String::from_utf8(heard.body.to_vec()).unwrap();
            let document = roxmltree::Document::parse(&text).unwrap();
            let names: Vec<_> = document
                .descendants()
                .filter(roxmltree::Node::is_element)
                .map(|node| node.tag_name().name().to_owned())
                .collect();
            assert_eq!(names, ["r", "e", "last"]);
            assert_eq!(document.root_element().attribute("a"), Some(&*value));
        }
    });
}

#[test]
fn a_value_stays_one_word_of_a_line_in_json() {
    check(|world, value| {
        let Some(heard) = world.send("/v1/in-cli", &json!(value)) else {
            return;
        };
        let ends = |c: char| c.is_control() || c.is_whitespace() || "?\"\\;|".contains(c);
        assert!(!value.is_empty() && !value.contains(ends), "{value:?}");
        let lines = [
            format!("first {value} last"),
            format!("first \"{value}\" last"),
        ];
        assert_eq!(json_of(&heard), json!({ "commands": lines }));
    });
}

#[test]
fn a_value_stays_inside_its_xpath_literal() {
    check(|world, value| {
        let Some(heard) = world.send("/v1/in-xpath", &json!(value)) else {
            return;
        };
        assert!(!value.contains('\''), "a quote would end the literal");
        assert_eq!(
            json_of(&heard)["xpath"],
            format!("/c/e[@name='{value}']/last")
        );
    });
}

#[test]
fn numbers_at_the_edge_keep_their_digits_everywhere() {
    let world = World::new();
    for digits in [
        "9007199254740993",
        "18446744073709551616",
        "-0.0",
        "1.10",
        "1e+400",
        "-1e-400",
        "0.1",
        "5e-324",
        "123456789012345678901234567890.123456789",
    ] {
        let number: Value = serde_json::from_str(digits).unwrap();
        let heard = world.send("/v1/in-text", &number).unwrap();
        assert!(
            String::from_utf8_lossy(&heard.body).contains(&format!("\"typed\":{digits}")),
            "{heard:?}"
        );
        assert_eq!(json_of(&heard)["text"], format!("a{digits}b"));
        let heard = world.send("/v1/in-query", &number).unwrap();
        assert!(
            percent_decoded(&heard.path_and_query).contains(&format!("value={digits}&")),
            "{heard:?}"
        );
    }
}

#[test]
fn a_thousand_levels_are_refused_and_a_hundred_pass() {
    let world = World::new();
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let heard = world.send(
        "/v1/in-json-template",
        &serde_json::from_str(&deep(100)).unwrap(),
    );
    // A list cannot stand inside the template's text: refused, and nothing breaks on the way.
    assert!(heard.is_none());
    let reply = world.runtime.block_on(world.relay.request(CmpRequest {
        method: "POST".into(),
        path_and_query: "/v1/in-json".into(),
        headers: vec![("content-type".into(), "application/json".into())],
        body: format!("{{\"v\": {}}}", deep(1000)),
        ..CmpRequest::default()
    }));
    assert_eq!(reply.status, 400);
    assert!(world.backend.take_heard().is_empty());
}
