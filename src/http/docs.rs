//! `/docs`: the OpenAPI document as a page for people, and the table of problems. Both are plain
//! HTML, whole in themselves: no script, nothing loaded.

use std::fmt::Write as _;

use serde_json::Value;

use super::problem;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1f24;background:#fff}\
h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.5rem;border-top:1px solid #d5dae0;padding-top:1rem}\
code,pre{font:14px/1.45 ui-monospace,monospace}pre{background:#f4f6f8;padding:.8rem;overflow-x:auto}\
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;border-bottom:1px solid #e6e9ed}\
.method{display:inline-block;min-width:4.5rem;font-weight:600}.quiet{color:#5b6570}a{color:#0b57a4}\
@media(prefers-color-scheme:dark){body{color:#e2e6ea;background:#14181c}pre{background:#1d2329}h2,th,td{border-color:#333b43}.quiet{color:#98a2ad}a{color:#7db8f0}}";

/// The page of an OpenAPI document made by `openapi`.
pub fn page(document: &Value) -> String {
    let mut body = format!(
        "<h1>{}</h1><p class=quiet>Version {}. Machine-readable: <a href=/openapi.json>/openapi.json</a>. \
         Errors: <a href=/docs/problems>/docs/problems</a>.</p><table>",
        text(&document["info"]["title"]),
        text(&document["info"]["version"]),
    );
    let operations: Vec<_> = document["paths"]
        .as_object()
        .into_iter()
        .flatten()
        .flat_map(|(path, item)| {
            item.as_object()
                .into_iter()
                .flatten()
                .map(move |(method, operation)| (path, method, operation))
        })
        .collect();
    for (path, method, operation) in &operations {
        let id = text(&operation["operationId"]);
        let _ = write!(
            body,
            "<tr><td><a href=\"#{id}\"><code><span class=method>{}</span>{}</code></a><td>{}",
            escape(&method.to_uppercase()),
            escape(path),
            text(&operation["summary"]),
        );
    }
    body.push_str("</table>");
    for (path, method, operation) in operations {
        section(&mut body, path, method, operation);
    }
    html("CMP API", &body)
}

fn section(body: &mut String, path: &str, method: &str, operation: &Value) {
    let id = text(&operation["operationId"]);
    let _ = write!(
        body,
        "<h2 id=\"{id}\"><code>{} {}</code></h2><p>{} <span class=quiet>{id}</span></p>",
        escape(&method.to_uppercase()),
        escape(path),
        text(&operation["summary"]),
    );
    let parameters = operation["parameters"].as_array();
    if let Some(parameters) = parameters {
        body.push_str("<table><tr><th>Parameter<th>In<th>Schema");
        for parameter in parameters {
            let needed = match parameter["required"].as_bool() {
                Some(true) => "",
                _ => " <span class=quiet>(optional)</span>",
            };
            let _ = write!(
                body,
                "<tr><td><code>{}</code>{needed}<td>{}<td><code>{}</code>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                escape(&parameter["schema"].to_string()),
            );
        }
        body.push_str("</table>");
    }
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    if !schema.is_null() {
        let _ = write!(body, "<p>Body:</p><pre>{}</pre>", escape(&pretty(schema)));
    }
    body.push_str("<p>Answers:</p><table>");
    for (status, answer) in operation["responses"].as_object().into_iter().flatten() {
        let _ = write!(
            body,
            "<tr><td><code>{}</code><td>{}",
            escape(status),
            text(&answer["description"])
        );
    }
    body.push_str("</table>");
}

/// Every code of the relay, with its status.
pub fn problems() -> String {
    let mut body = String::from(
        "<h1>Problems</h1><p>Errors are <code>application/problem+json</code> (RFC 9457). \
         For a request that changes something, <code>side_effect</code> says what is known of the \
         backend, and <code>safe_to_retry</code> whether the same request may just be sent again.</p>\
         <table><tr><th>Code<th>Status<th>Meaning",
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
         <title>{}</title><style>{STYLE}</style><body>{body}</html>\n",
        escape(title)
    )
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
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
        let page = page(&json!({
            "info": { "title": "CMP API", "version": "1" },
            "paths": { "/v1/x": { "get": {
                "operationId": "get_x",
                "summary": "<script>alert(1)</script>",
                "responses": { "200": { "description": "Done." } },
            } } },
        }));
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        assert!(!page.contains("<script>"));
        assert!(page.contains("<h2 id=\"get_x\"><code>GET /v1/x</code>"));
    }

    #[test]
    fn every_code_has_an_anchor() {
        let page = problems();
        for (_, code, _) in problem::TABLE {
            assert!(page.contains(&format!("id=\"{code}\"")), "{code}");
        }
    }
}
