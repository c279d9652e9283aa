//! `/docs`: the OpenAPI document as a page for people, and the table of problems. Both are plain
//! HTML, whole in themselves: no script, nothing loaded.
//!
//! [`page`] goes by resource; `section` writes one operation, `fields` what a body may hold, `curl` a line
//! to try it with.

mod curl;
mod fields;
mod section;

use std::fmt::Write as _;

use serde_json::Value;

use super::problem;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:#1a1f24;background:#fff}\
h1{font-size:1.6rem}h2{font-size:1.3rem;margin-top:3rem;border-top:2px solid #aab2ba;padding-top:1rem}\
h3{font-size:1.05rem;margin-top:2.2rem;border-top:1px solid #d5dae0;padding-top:1rem}h4{font-size:1rem;margin:1.2rem 0 .3rem}\
code,pre{font:14px/1.45 ui-monospace,monospace}pre{background:#f4f6f8;padding:.8rem;overflow-x:auto}\
table{border-collapse:collapse;width:100%}caption{text-align:left;font-weight:600;padding:.6rem 0 .2rem}\
th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #e6e9ed}\
.method{display:inline-block;min-width:4.5rem;font-weight:600}.quiet{color:#5b6570}a{color:#0b57a4}\
summary{cursor:pointer}.skip{position:absolute;left:-99rem}.skip:focus{left:1rem}\
@media(prefers-color-scheme:dark){body{color:#e2e6ea;background:#14181c}pre{background:#1d2329}h2,h3,th,td{border-color:#333b43}.quiet{color:#98a2ad}a{color:#7db8f0}}";

/// An operation of the document and where it stands there.
#[derive(Clone, Copy, Debug)]
struct Operation<'d> {
    path: &'d str,
    method: &'d str,
    value: &'d Value,
}

/// The page of an OpenAPI document made by `openapi`; `base` is where the listener is, for lines to try.
pub fn page(document: &Value, base: &str) -> String {
    let operations = operations(document);
    let mut body = format!(
        "<h1>{}</h1><p class=quiet>Version {}. For programs: <a href=/openapi.json>/openapi.json</a>. \
         Problem codes: <a href=/docs/problems>/docs/problems</a>.</p>",
        text(&document["info"]["title"]),
        text(&document["info"]["version"]),
    );
    let _ = write!(
        body,
        "<p>{}</p>",
        prose(document["info"]["description"].as_str())
    );
    body.push_str(&curl::preface(document, base));
    let tags = document["tags"].as_array();
    for tag in tags.into_iter().flatten() {
        index(&mut body, tag, &operations);
    }
    for tag in tags.into_iter().flatten() {
        let name = text(&tag["name"]);
        let _ = write!(
            body,
            "<section aria-labelledby=\"tag-{name}\"><h2 id=\"tag-{name}\">{name}</h2>"
        );
        if let Some(description) = tag["description"].as_str() {
            let _ = write!(body, "<p>{}</p>", prose(Some(description)));
        }
        for operation in of_tag(tag, &operations) {
            section::write(&mut body, document, operation);
        }
        body.push_str("</section>");
    }
    html("CMP API", &body)
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object();
    paths
        .into_iter()
        .flatten()
        .flat_map(|(path, item)| {
            let methods = item.as_object().into_iter().flatten();
            methods.map(move |(method, value)| Operation {
                path,
                method,
                value,
            })
        })
        .collect()
}

fn of_tag<'o, 'd>(
    tag: &'o Value,
    operations: &'o [Operation<'d>],
) -> impl Iterator<Item = &'o Operation<'d>> {
    operations
        .iter()
        .filter(move |operation| operation.value["tags"][0] == tag["name"])
}

/// The operations of a resource, to choose from.
fn index(body: &mut String, tag: &Value, operations: &[Operation<'_>]) {
    let name = text(&tag["name"]);
    let _ = write!(
        body,
        "<table><caption><a href=\"#tag-{name}\">{name}</a></caption>"
    );
    for operation in of_tag(tag, operations) {
        let _ = write!(
            body,
            "<tr><td><a href=\"#{}\"><code><span class=method>{}</span>{}</code></a><td>{}",
            text(&operation.value["operationId"]),
            escape(&operation.method.to_uppercase()),
            escape(operation.path),
            text(&operation.value["summary"]),
        );
    }
    body.push_str("</table>");
}

/// Every code of the relay, with its status.
pub fn problems() -> String {
    let mut body = String::from(
        "<h1>Problems</h1><p>Errors are <code>application/problem+json</code> (RFC 9457). \
         For a request that changes something, <code>side_effect</code> says what is known of the \
         backend, and <code>safe_to_retry</code> whether the same request may just be sent again. \
         The API itself: <a href=/docs>/docs</a>.</p>\
         <table><tr><th scope=col>Code<th scope=col>Status<th scope=col>Meaning",
    );
    for (status, code, title) in problem::TABLE {
        let _ = write!(
            body,
            "<tr id=\"{code}\"><td><code>{code}</code><td>{}<td>{}",
            status.as_u16(),
            escape(title)
        );
    }
    body.push_str("</table>");
    html("Problems", &body)
}

/// A whole page around `body`, which is HTML already.
pub(super) fn html(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{}</title><style>{STYLE}</style><body><a class=skip href=#main>To the content</a>\
         <main id=main>{body}</main></html>\n",
        escape(title)
    )
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// A description: what stands in backticks is code, and a code of the relay's leads to its line.
fn prose(words: Option<&str>) -> String {
    let mut html = String::new();
    for (index, piece) in words.unwrap_or_default().split('`').enumerate() {
        let piece_html = escape(piece);
        let known = || problem::TABLE.iter().any(|(_, code, _)| *code == piece);
        if index % 2 == 0 {
            html.push_str(&piece_html);
        } else if known() {
            let _ = write!(
                html,
                "<a href=\"/docs/problems#{piece_html}\"><code>{piece_html}</code></a>"
            );
        } else {
            let _ = write!(html, "<code>{piece_html}</code>");
        }
    }
    html
}

/// What a value refers to in the document, or the value itself.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    let target = value["$ref"].as_str().and_then(|to| to.strip_prefix('#'));
    target
        .and_then(|pointer| document.pointer(pointer))
        .unwrap_or(value)
}

/// Text as HTML, in an element or a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            plain => escaped.push(plain),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_configuration_says_is_text_on_the_page() {
        let evil = "<script>alert(1)</script>";
        let document = json!({
            "info": { "title": "CMP API", "version": "1", "description": "Of `unsafe_value` and `x`." },
            "tags": [{ "name": "x", "description": evil }],
            "paths": { "/v1/x": { "post": {
                "operationId": "make_x",
                "tags": ["x"],
                "summary": evil,
                "description": evil,
                "parameters": [{ "name": "q", "in": "query", "required": true, "example": evil, "description": evil }],
                "requestBody": { "content": { "application/json": {
                    "schema": { "$ref": "#/components/schemas/x" },
                    "examples": { "a": { "summary": evil, "value": { "id": "it's </pre>" } } },
                } } },
                "responses": { "200": { "description": evil } },
            } } },
            "components": { "schemas": { "x": { "type": "object", "properties": { evil: { "description": evil } } } } },
        });
        let page = page(&document, "http://127.0.0.1:8080");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(!page.contains("<script>"));
        assert!(page.contains("<h3 id=\"make_x\"><code>POST /v1/x</code>"));
        assert!(page.contains("<a href=\"/docs/problems#unsafe_value\">"));
        // A quote ends no argument of the line to try, and no element of the page.
        assert!(
            page.contains("{&quot;id&quot;:&quot;it&#39;\\&#39;&#39;s &lt;/pre&gt;&quot;}"),
            "{page}"
        );
    }

    #[test]
    fn every_code_has_an_anchor() {
        let page = problems();
        for (_, code, _) in problem::TABLE {
            assert!(page.contains(&format!("id=\"{code}\"")), "{code}");
        }
    }
}
