//! A route's call, rendered whole before the intent: what cannot be rendered has cost nothing.

mod device;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use ring::digest;
use serde_json::Value;

use crate::driver::{HttpRequest, RenderedCall};
use crate::plan::{Action, Backend, Call, HttpBody, HttpCall};
use crate::transform::{Presence, RenderError, Scope, Tree, encode, template::Format};

pub use device::line_rules;

/// Renders the call for a backend from what is in the scope, [`line_rules`] included.
pub fn render(call: &Call, backend: &Backend, scope: &Scope) -> Result<RenderedCall, RenderError> {
    match &call.action {
        Action::Http(http) => render_http(http, scope).map(RenderedCall::Http),
        Action::Cli(cli) => device::cli(cli, scope).map(RenderedCall::Cli),
        Action::Exec(exec) => device::exec(exec, backend, scope).map(RenderedCall::Exec),
        Action::Netconf(netconf) => device::netconf(netconf, scope).map(RenderedCall::Netconf),
    }
}

fn render_http(call: &HttpCall, scope: &Scope) -> Result<HttpRequest, RenderError> {
    let mut path_and_query = String::with_capacity(128);
    call.path.write(scope, &mut path_and_query)?;
    let pairs = render_pairs(&call.query, "call.query", scope)?;
    if !pairs.is_empty() {
        path_and_query.push('?');
        path_and_query.push_str(&pairs);
    }

    let mut headers = Vec::with_capacity(call.headers.len());
    let mut content_type = None;
    for (name, text) in &call.headers {
        let Some(value) = text.render(scope)? else {
            continue;
        };
        let value = HeaderValue::from_str(&value).map_err(|_| RenderError::Unsafe {
            field: format!("call.headers.{name}"),
            variable: name.to_string(),
            reason: "it holds what a header cannot".into(),
        })?;
        match *name {
            header::CONTENT_TYPE => content_type = Some(value),
            _ => headers.push((name.clone(), value)),
        }
    }

    let body = render_body(&call.body, scope)?.map(|(default_type, bytes)| {
        let default_type = HeaderValue::from_static(default_type);
        (content_type.unwrap_or(default_type), bytes)
    });
    Ok(HttpRequest {
        method: call.method.clone(),
        path_and_query,
        headers,
        body,
        auth: call.auth.clone(),
    })
}

fn render_body(
    body: &HttpBody,
    scope: &Scope,
) -> Result<Option<(&'static str, Bytes)>, RenderError> {
    Ok(match body {
        HttpBody::None => None,
        HttpBody::Json(tree) => {
            let mut out = Vec::with_capacity(512);
            match tree.write_json(scope, &mut out)? {
                Presence::Present => Some(("application/json", Bytes::from(out))),
                Presence::Absent => None,
            }
        }
        HttpBody::Form(fields) => {
            let form = render_pairs(fields, "call.form", scope)?;
            Some(("application/x-www-form-urlencoded", Bytes::from(form)))
        }
        HttpBody::Template(template) => {
            let content_type = match template.format() {
                Format::Json => "application/json",
                Format::Xml => "application/xml",
                Format::Text | Format::Cli => "text/plain; charset=utf-8",
            };
            Some((content_type, Bytes::from(template.render(scope)?)))
        }
    })
}

/// `name=value&...`, percent-encoded; a list repeats its name, what is absent leaves no pair.
fn render_pairs(
    pairs: &[(Box<str>, Tree)],
    field: &str,
    scope: &Scope,
) -> Result<String, RenderError> {
    let mut out = String::new();
    for (name, tree) in pairs {
        let values = match tree.to_value(scope)? {
            None => continue,
            Some(Value::Array(items)) => items,
            Some(value) => vec![value],
        };
        for value in values {
            if !out.is_empty() {
                out.push('&');
            }
            encode::percent(name, &mut out);
            out.push('=');
            encode::percent(&scalar(&value, field, name)?, &mut out);
        }
    }
    Ok(out)
}

fn scalar(value: &Value, field: &str, name: &str) -> Result<String, RenderError> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(value) => Ok(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => Err(RenderError::Unsafe {
            field: format!("{field}.{name}"),
            variable: name.to_owned(),
            reason: "only text, a number or a boolean has a form here".into(),
        }),
    }
}

/// SHA-256 over all that the backend will hear, but for its credentials.
pub fn hash(call: &RenderedCall) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut part = |bytes: &[u8]| {
        context.update(&(bytes.len() as u64).to_be_bytes());
        context.update(bytes);
    };
    match call {
        RenderedCall::Http(request) => hash_http(request, &mut part),
        RenderedCall::Cli(script) => {
            part(script.mode.as_deref().unwrap_or_default().as_bytes());
            script.lines.iter().for_each(|line| part(line.as_bytes()));
            part(&[u8::from(script.save)]);
        }
        RenderedCall::Exec(command) => {
            part(command.command.as_bytes());
            part(command.stdin.as_deref().unwrap_or_default());
        }
        RenderedCall::Netconf(request) => {
            part(request.operation.name().as_bytes());
            part(request.target.map_or("", |target| target.name()).as_bytes());
            part(request.content.as_deref().unwrap_or_default().as_bytes());
        }
    }
    context.finish().as_ref().to_vec()
}

fn hash_http(request: &HttpRequest, part: &mut impl FnMut(&[u8])) {
    part(request.method.as_str().as_bytes());
    part(request.path_and_query.as_bytes());
    for (name, value) in &request.headers {
        part(HeaderName::as_str(name).as_bytes());
        part(value.as_bytes());
    }
    if let Some((content_type, body)) = &request.body {
        part(content_type.as_bytes());
        part(body);
    }
}
