//! One operation on the page: what it takes, a line to try, what it answers.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Operation, curl, escape, fields, pretty, prose, resolved, text};

pub(super) fn write(body: &mut String, document: &Value, operation: &Operation<'_>) {
    let value = operation.value;
    let _ = write!(
        body,
        "<h3 id=\"{id}\"><code>{} {}</code></h3><p>{} <span class=quiet>{id}</span></p>",
        escape(&operation.method.to_uppercase()),
        escape(operation.path),
        text(&value["summary"]),
        id = text(&value["operationId"]),
    );
    if let Some(description) = value["description"].as_str() {
        let _ = write!(body, "<p class=quiet>{}</p>", prose(Some(description)));
    }
    parameters(body, document, &value["parameters"]);
    let media = &value["requestBody"]["content"]["application/json"];
    if media.is_object() {
        let schema = resolved(document, &media["schema"]);
        fields::table(body, document, schema, "Body (JSON)");
        details(body, "Schema of the body", schema);
    }
    let line = escape(&curl::line(document, operation));
    let _ = write!(
        body,
        "<h4>Try it</h4><pre class=try><code>{line}</code></pre>"
    );
    answers(body, document, &value["responses"]);
}

fn parameters(body: &mut String, document: &Value, parameters: &Value) {
    let Some(parameters) = parameters.as_array() else {
        return;
    };
    body.push_str(
        "<table><caption>Parameters</caption><tr><th scope=col>Name<th scope=col>In<th scope=col>Type<th scope=col>Meaning",
    );
    for parameter in parameters {
        let needed = match parameter["required"].as_bool() {
            Some(true) => "",
            _ => " <span class=quiet>(optional)</span>",
        };
        let _ = write!(
            body,
            "<tr><td><code>{}</code>{needed}<td>{}<td>{}<td>{}",
            text(&parameter["name"]),
            text(&parameter["in"]),
            fields::words(document, &parameter["schema"]),
            prose(parameter["description"].as_str()),
        );
    }
    body.push_str("</table>");
}

fn answers(body: &mut String, document: &Value, responses: &Value) {
    body.push_str("<table><caption>Answers</caption><tr><th scope=col>Status<th scope=col>Meaning");
    let mut bodies = Vec::new();
    for (status, answer) in responses.as_object().into_iter().flatten() {
        let answer = resolved(document, answer);
        let _ = write!(
            body,
            "<tr><td><code>{}</code><td>{}",
            escape(status),
            prose(answer["description"].as_str())
        );
        let media = &answer["content"]["application/json"];
        if status.starts_with('2') && media.is_object() {
            bodies.push((status, media));
        }
    }
    body.push_str("</table>");
    for (status, media) in bodies {
        let schema = resolved(document, &media["schema"]);
        fields::table(body, document, schema, &format!("Body of {status}"));
        let examples = media["examples"].as_object();
        for example in examples.into_iter().flat_map(|all| all.values()) {
            let name = example["summary"].as_str().unwrap_or("an example");
            details(body, &format!("Example: {name}"), &example["value"]);
        }
    }
}

fn details(body: &mut String, title: &str, value: &Value) {
    let _ = write!(
        body,
        "<details><summary>{}</summary><pre>{}</pre></details>",
        escape(title),
        escape(&pretty(value))
    );
}
