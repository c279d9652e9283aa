//! `examples`: what they say must exist. `trial` plays them.

mod device;

use std::borrow::Cow;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Map;

use super::codes;
use super::matching::{self, Match};
use super::names::Surroundings;
use super::recorded::Attribute;
use super::reference::at_pointer;
use super::request::RequestSchemas;
use super::response;
use crate::config::example::{
    Asked, Example, ExampleAct, ExampleRow, Expected, ExpectedCall, ExpectedReply, ExpectedRow,
    RulePlaces,
};
use crate::config::spec::decode::{At, Entries, wrong_type};
use crate::config::spec::example::{
    ExampleActSpec, ExampleMappingSpec, ExampleRequestSpec, ExampleResponseSpec, ExampleSilence,
    ExampleSpec, ExpectedCallSpec, ExpectedMappingSpec, ExpectedReplySpec,
};
use crate::config::spec::mapping::MappingSpec;
use crate::config::spec::part::{Written, right};
use crate::config::spec::response::ResponseSpec;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Kind, Node, Span};
use crate::driver::Protocol;
use crate::plan::{BodyFormat, PublishedExample, PublishedExamples};
use crate::transform::encode::{percent, text_of};

/// The route that examples are of.
pub(super) struct Of<'a> {
    pub matched: Option<&'a Match>,
    /// The parameters of its path, those of a broken one too.
    pub params: &'a [Box<str>],
    pub schemas: &'a RequestSchemas,
    /// Of its file.
    pub resource: &'a str,
    pub kind: &'a str,
    /// What its call speaks.
    pub protocol: Protocol,
    /// How its answers are read, where it says so.
    pub format: Option<BodyFormat>,
    pub around: &'a Surroundings<'a>,
}

impl Of<'_> {
    fn has_a_body(&self) -> bool {
        let method = self.matched.map(|matched| &matched.method);
        method.is_some_and(|method| ![Method::GET, Method::HEAD].contains(method))
    }
}

/// Checks the examples of a route; what comes out means something only without errors.
pub(super) fn compile(
    examples: &[ExampleSpec],
    of: &Of<'_>,
    diags: &mut Diagnostics,
) -> Vec<Example> {
    for (index, example) in examples.iter().enumerate() {
        let name = example.name.text();
        if let Some(first) = examples[..index].iter().find(|e| e.name.text() == name) {
            diags.push(
                Diagnostic::error(
                    codes::BAD_EXAMPLE,
                    example.name.span(),
                    format!("another example of this route is called `{name}`"),
                )
                .related(first.name.span(), "the other one is here"),
            );
        }
    }
    let compiled = examples.iter().map(|example| one(example, of, diags));
    compiled.collect()
}

/// Where the rules of a route stand: those that `response::compile` and `mapping::compile` make.
pub(super) fn places(
    own: Option<&ResponseSpec>,
    inherited: Option<&ResponseSpec>,
    mapping: Option<&MappingSpec>,
) -> RulePlaces {
    let specs = || [own, inherited].into_iter().flatten();
    let fail_when = specs().find_map(|spec| right(&spec.fail_when));
    let errors = specs().filter_map(|spec| right(&spec.errors)).flatten();
    RulePlaces {
        success_when: specs().find_map(|spec| spec.success_when.as_ref().map(|node| node.span)),
        fail_when: fail_when
            .map(|nodes| nodes.0.iter().map(|node| node.span).collect())
            .unwrap_or_default(),
        errors: errors
            .filter_map(|rule| rule.0.as_ref())
            .map(|rule| rule.when.span)
            .collect(),
        changes: mapping
            .map(|mapping| {
                let when = |op: &crate::config::spec::mapping::VerbSpec| {
                    Some(op.op.as_ref()?.when.as_ref()?.span)
                };
                mapping.0.iter().map(when).collect()
            })
            .unwrap_or_default(),
    }
}

fn bad(span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(codes::BAD_EXAMPLE, span, message)
}

fn one(spec: &ExampleSpec, of: &Of<'_>, diags: &mut Diagnostics) -> Example {
    check_path(spec, of.params, diags);
    check_request(spec, of, diags);
    check_whole(spec, diags);
    let rows = rows(spec, of, diags);
    let backend = spec.backend.as_ref().map(|written| {
        backend(written, of.kind, of.around, diags);
        (written.text().into(), written.span())
    });
    let call = match &spec.expect_call {
        None => Expected::NotSaid,
        Some(at) => match &at.value.0 {
            None => Expected::None(at.span),
            Some(call) => Expected::Some(expected_call(call, at.span, of.protocol, diags)),
        },
    };
    let mapping = match &spec.expect_mapping {
        None => Expected::NotSaid,
        Some(at) => match &at.value.0 {
            None => Expected::None(at.span),
            Some(rows) if rows.0.is_empty() => Expected::None(at.span),
            Some(rows) => {
                let rows = rows.0.iter().map(|row| expected_row(row, of, diags));
                Expected::Some(rows.collect())
            }
        },
    };
    Example {
        name: spec.name.text().into(),
        span: spec.name.span(),
        request: asked(spec.request.as_ref(), of, diags),
        rows,
        backend,
        call,
        act: spec
            .response
            .as_ref()
            .map(|at| (act(&at.value, of, diags), at.span)),
        reply: spec
            .expect_reply
            .as_ref()
            .map(|at| expected_reply(&at.value, at.span, diags)),
        mapping,
    }
}

/// What is published of the examples: the requests, and the replies as far as they are written.
pub(super) fn published(examples: &[ExampleSpec]) -> PublishedExamples {
    let examples: Vec<_> = examples.iter().map(publish).collect();
    PublishedExamples::of(&examples)
}

fn publish(example: &ExampleSpec) -> PublishedExample {
    let request = example.request.as_ref();
    let values = |entries: Option<&Entries<Node>>| {
        entries
            .into_iter()
            .flat_map(|entries| &entries.0)
            .map(|(name, value)| (name.value.clone(), value.to_json()))
            .collect()
    };
    let reply = example.expect_reply.as_ref().map(|reply| &reply.value);
    PublishedExample {
        name: example.name.text().into(),
        path: values(request.and_then(|request| request.path.as_ref())),
        query: values(request.and_then(|request| request.query.as_ref())),
        headers: values(request.and_then(|request| request.headers.as_ref())),
        body: request
            .and_then(|request| request.body.as_ref())
            .map(Node::to_json),
        status: reply
            .and_then(|reply| reply.status.as_ref())
            .map(|status| status.value),
        reply: reply
            .and_then(|reply| reply.body.as_ref())
            .map(Node::to_json),
    }
}

fn check_path(example: &ExampleSpec, params: &[Box<str>], diags: &mut Diagnostics) {
    let given: &[(At<String>, _)] = example
        .request
        .as_ref()
        .and_then(|request| request.path.as_ref())
        .map(|path| path.0.as_slice())
        .unwrap_or_default();
    for (key, _) in given {
        if !params.iter().any(|param| **param == *key.value) {
            diags.push(
                bad(
                    key.span,
                    format!("`{}` is not a parameter of the route's path", key.value),
                )
                .did_you_mean(suggest::nearest(&key.value, params.iter().map(|p| &**p))),
            );
        }
    }
    for param in params {
        if !given.iter().any(|(key, _)| key.value == **param) {
            diags.push(
                bad(
                    example.name.span(),
                    format!("this example does not say what `{{{param}}}` of the path is"),
                )
                .help(format!("add `{param}:` to its `request.path`")),
            );
        }
    }
}

/// What the route's schemas refuse, unless that is what the example shows.
fn check_request(example: &ExampleSpec, of: &Of<'_>, diags: &mut Diagnostics) {
    let schemas = of.schemas;
    if example.expects_refusal() {
        return;
    }
    let request = example.request.as_ref();
    let help =
        "if it is meant to be refused, say so in `expect_reply` with a status from 400 to 499";
    match (&schemas.body, request.and_then(|r| r.body.as_ref())) {
        (Some(schema), Some(body)) => {
            for violation in schema.schema.check(&body.to_json()) {
                let at = at_pointer(body, &violation.pointer).unwrap_or(body);
                let message = format!("the route refuses this request: {}", violation.detail);
                diags.push(bad(at.span, message).help(help));
            }
        }
        // That a GET declares one is an error of the route.
        (Some(_), None) if of.has_a_body() => diags.push(
            bad(
                example.name.span(),
                "this example has no `request.body`, and the route needs one",
            )
            .help(help),
        ),
        (_, None) | (None, _) => {}
    }
    let query = request.and_then(|r| r.query.as_ref());
    for (key, _) in query.map(|query| query.0.as_slice()).unwrap_or_default() {
        let Some(schema) = &schemas.query else {
            continue;
        };
        let known = || schema.schema.scalars.iter().map(|(name, _)| &**name);
        if !known().any(|name| name == key.value) {
            diags.push(
                bad(
                    key.span,
                    format!("the route takes no query parameter `{}`", key.value),
                )
                .did_you_mean(suggest::nearest(&key.value, known()))
                .help(help),
            );
        }
    }
}

/// What the parts of an example say about each other.
fn check_whole(example: &ExampleSpec, diags: &mut Diagnostics) {
    let call = example.expect_call.as_ref();
    if let (Some(call), Some(response)) = (call, &example.response)
        && call.value.0.is_none()
    {
        let message = "a backend that is not called answers nothing";
        diags.push(bad(response.span, message).related(call.span, "no call is expected here"));
    }
    let about_the_call = call.is_some_and(|call| call.value.0.is_some());
    if about_the_call && example.response.is_none() {
        let after = [
            example.expect_reply.as_ref().map(|at| at.span),
            example.expect_mapping.as_ref().map(|at| at.span),
        ];
        for span in after.into_iter().flatten() {
            diags.push(
                bad(span, "nothing comes of a call that is not answered")
                    .help("add `response:` with what the backend answers, or `response: timeout`"),
            );
        }
    }
    let says_something = call.is_some()
        || example.response.is_some()
        || example.expect_reply.is_some()
        || example.expect_mapping.is_some();
    if !says_something {
        diags.push(
            bad(example.name.span(), "this example expects nothing")
                .help("add `expect_call:`, or `response:` and `expect_reply:`"),
        );
    }
}

fn check_status(status: &At<u16>, diags: &mut Diagnostics) {
    if !(100..600).contains(&status.value) {
        diags.push(Diagnostic::error(
            codes::BAD_STATUS,
            status.span,
            format!("{} is not an HTTP status", status.value),
        ));
    }
}

/// A backend that an example names, of the kind that is called there.
fn backend(written: &Written, kind: &str, around: &Surroundings<'_>, diags: &mut Diagnostics) {
    let name = written.text();
    let known = || around.backends.iter().map(|backend| &*backend.name);
    match around
        .backends
        .iter()
        .find(|backend| *backend.name == *name)
    {
        Some(found) if *found.kind != *kind => {
            let right = around.of_kind(kind);
            let names: Vec<_> = right.iter().map(|(_, backend)| &*backend.name).collect();
            diags.push(
                Diagnostic::error(
                    codes::WRONG_KIND,
                    written.span(),
                    format!("`{name}` is of kind `{}`, not `{kind}`", found.kind),
                )
                .help(format!("backends of kind `{kind}`: {}", names.join(", "))),
            );
        }
        Some(_) => {}
        None if !around.backends.all_known() => {}
        None => diags.push(
            Diagnostic::error(
                codes::UNKNOWN_BACKEND,
                written.span(),
                format!("no backend is called `{name}`"),
            )
            .did_you_mean(suggest::nearest(name, known()))
            .help(format!(
                "backends here: {}",
                known().collect::<Vec<_>>().join(", ")
            )),
        ),
    }
}

fn rows(spec: &ExampleSpec, of: &Of<'_>, diags: &mut Diagnostics) -> Vec<ExampleRow> {
    let written = spec.mappings.as_deref().unwrap_or_default();
    let mut first_of: Vec<(&ExampleMappingSpec, Span)> = Vec::new();
    let mut rows = Vec::new();
    for at in written {
        let row = &at.value;
        let resource = super::request::resource(&row.resource, of.around, diags);
        if let Some(id) = resource {
            let resource = &of.around.resources[usize::from(id.0)];
            backend(&row.backend, &resource.kind, of.around, diags);
            for (name, _) in entries(row.attributes.as_ref()) {
                attribute(row.resource.text(), name, of.around, diags);
            }
            let same = |other: &ExampleMappingSpec| {
                other.resource.text() == row.resource.text()
                    && other.cmp_id.text() == row.cmp_id.text()
                    && (!resource.per_backend || other.backend.text() == row.backend.text())
            };
            if let Some((_, first)) = first_of.iter().find(|(other, _)| same(other)) {
                diags.push(
                    bad(row.cmp_id.span(), "this object is mapped already").related(*first, "here"),
                );
            }
        }
        first_of.push((row, row.cmp_id.span()));
        rows.push(ExampleRow {
            resource: row.resource.text().into(),
            cmp_id: row.cmp_id.text().into(),
            backend: row.backend.text().into(),
            backend_id: row
                .backend_id
                .as_ref()
                .map(Written::text)
                .filter(|id| *id != "pending")
                .map(Into::into),
            attributes: entries(row.attributes.as_ref())
                .map(|(name, node)| (name.value.clone(), node.to_json()))
                .collect::<Map<_, _>>(),
        });
    }
    rows
}

/// An attribute of a row that an example supposes, which no route would have written.
fn attribute(
    resource: &str,
    name: &At<String>,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) {
    let Attribute::Unknown(known) = around.recorded.attribute(resource, &name.value) else {
        return;
    };
    diags.push(
        Diagnostic::error(
            codes::UNKNOWN_ATTRIBUTE,
            name.span,
            format!(
                "no route records an attribute `{}` of a `{resource}`",
                name.value
            ),
        )
        .did_you_mean(suggest::nearest(&name.value, known.iter().copied()))
        .help(match known.is_empty() {
            true => "a row of it has none".to_owned(),
            false => format!("recorded of a `{resource}`: {}", known.join(", ")),
        }),
    );
}

fn entries<T>(entries: Option<&Entries<T>>) -> impl Iterator<Item = &(At<String>, T)> {
    entries.into_iter().flat_map(|entries| &entries.0)
}

/// A scalar as text; what is none is reported.
fn scalar(node: &Node, diags: &mut Diagnostics) -> String {
    match text_of(&node.to_json()) {
        Ok(text) => text.into_owned(),
        Err(_) => {
            wrong_type(node, "text, a number, true or false", diags);
            String::new()
        }
    }
}

fn asked(spec: Option<&ExampleRequestSpec>, of: &Of<'_>, diags: &mut Diagnostics) -> Asked {
    let mut path: String = of.matched.map_or("", |matched| &*matched.path).to_owned();
    for (name, node) in entries(spec.and_then(|spec| spec.path.as_ref())) {
        let mut encoded = String::new();
        percent(&scalar(node, diags), &mut encoded);
        path = path.replace(&format!("{{{}}}", name.value), &encoded);
    }
    let mut query = String::new();
    for (name, node) in entries(spec.and_then(|spec| spec.query.as_ref())) {
        let values: &[Node] = match &node.kind {
            Kind::List(items) => items,
            _ => std::slice::from_ref(node),
        };
        for value in values {
            if !query.is_empty() {
                query.push('&');
            }
            percent(&name.value, &mut query);
            query.push('=');
            percent(&scalar(value, diags), &mut query);
        }
    }
    let headers = entries(spec.and_then(|spec| spec.headers.as_ref()));
    let headers = headers.map(|(name, node)| (name, Cow::Owned(scalar(node, diags)), node.span));
    let headers: Vec<_> = headers.collect();
    let mut headers = header_map(headers, diags);
    let body = spec.and_then(|spec| spec.body.as_ref());
    if body.is_some() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    Asked {
        method: of
            .matched
            .map_or(Method::GET, |matched| matched.method.clone()),
        path,
        query: Some(query).filter(|query| !query.is_empty()),
        headers,
        body: body.map_or_else(Bytes::new, |body| Bytes::from(body.to_json().to_string())),
    }
}

fn header_map<'t>(
    entries: Vec<(&At<String>, Cow<'t, str>, Span)>,
    diags: &mut Diagnostics,
) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (key, text, span) in entries {
        let Some(name) = header_name(key, diags) else {
            continue;
        };
        match HeaderValue::from_bytes(text.as_bytes()) {
            Ok(value) => drop(headers.append(name, value)),
            Err(_) => diags.push(Diagnostic::error(
                codes::BAD_VALUE,
                span,
                "a header's value holds no line end and no control character",
            )),
        }
    }
    headers
}

fn header_name(key: &At<String>, diags: &mut Diagnostics) -> Option<HeaderName> {
    let name = key.value.parse();
    if name.is_err() {
        let message = format!("`{}` is not a header's name", key.value);
        diags.push(Diagnostic::error(codes::BAD_VALUE, key.span, message));
    }
    name.ok()
}

fn act(spec: &ExampleActSpec, of: &Of<'_>, diags: &mut Diagnostics) -> ExampleAct {
    match spec {
        ExampleActSpec::Silence(ExampleSilence::Unreachable) => ExampleAct::Unreachable,
        ExampleActSpec::Silence(ExampleSilence::Timeout) => ExampleAct::Timeout,
        ExampleActSpec::Answer(answer) => self::answer(answer, of, diags),
    }
}

fn answer(spec: &ExampleResponseSpec, of: &Of<'_>, diags: &mut Diagnostics) -> ExampleAct {
    let protocol = of.protocol;
    let is_http = protocol == Protocol::Http;
    match &spec.status {
        // The number of a line has no such bound.
        Some(status) if protocol != Protocol::Cli => {
            response::status(status, is_http, diags);
        }
        _ => {}
    }
    device::check_answer(spec, protocol, diags);
    if let (Some(_), Some(text)) = (&spec.body, &spec.text) {
        diags.push(Diagnostic::error(
            codes::CONFLICTING_KEYS,
            text.span(),
            "an answer has one body: `body` or `text`",
        ));
    }
    let headers = entries(spec.headers.as_ref());
    let headers = headers.map(|(name, text)| (name, Cow::Borrowed(text.text()), text.span()));
    let mut headers = header_map(headers.collect(), diags);
    let text_kind = match of.format {
        Some(BodyFormat::Xml) => "application/xml",
        _ => "text/plain",
    };
    let (kind, body) = match (&spec.body, &spec.text) {
        (Some(body), _) => ("application/json", Bytes::from(body.to_json().to_string())),
        (None, Some(text)) => (text_kind, Bytes::from(text.text().to_owned())),
        (None, None) => ("", Bytes::new()),
    };
    if is_http && !kind.is_empty() && !headers.contains_key(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let said = spec.status.as_ref().map(|status| status.value);
    let usual = match protocol {
        Protocol::Http => 200,
        Protocol::Netconf => device::netconf_status(&body),
        Protocol::Cli | Protocol::Exec => 0,
    };
    let stderr = spec.stderr.as_ref().map_or("", Written::text);
    ExampleAct::Answer {
        status: said.unwrap_or(usual),
        headers,
        body,
        stderr: Bytes::from(stderr.to_owned()),
        protocol,
    }
}

fn expected_headers(
    spec: Option<&Entries<Node>>,
    diags: &mut Diagnostics,
) -> Vec<(Box<str>, Node)> {
    entries(spec)
        .filter_map(|(key, node)| {
            scalar(node, diags);
            Some((header_name(key, diags)?.as_str().into(), node.clone()))
        })
        .collect()
}

fn expected_call(
    spec: &ExpectedCallSpec,
    span: Span,
    protocol: Protocol,
    diags: &mut Diagnostics,
) -> ExpectedCall {
    device::check_keys(spec, protocol, diags);
    let http = spec.http.as_ref().and_then(|written| {
        let snippet = written.snippet();
        let (method, path) =
            matching::method_and_path(snippet, "expect_call.http", &matching::METHODS, diags)?;
        let method_span = snippet.part_span(0, method.as_str().len());
        Some((method, method_span, Box::from(path.text), path.span()))
    });
    let (method, path) = match http {
        Some((method, at, path, path_at)) => (Some((method, at)), Some((path, path_at))),
        None => (None, None),
    };
    for (_, node) in entries(spec.query.as_ref()) {
        match &node.kind {
            Kind::List(items) => items.iter().for_each(|item| drop(scalar(item, diags))),
            _ => drop(scalar(node, diags)),
        }
    }
    ExpectedCall {
        span,
        method,
        path,
        query: spec.query.as_ref().map(|query| as_node(query, span)),
        headers: expected_headers(spec.headers.as_ref(), diags),
        body: spec.body.clone(),
        device: device::expected(spec, protocol),
    }
}

fn as_node(entries: &Entries<Node>, span: Span) -> Node {
    let entries = entries.0.iter().map(|(key, value)| crate::document::Entry {
        key: key.value.clone(),
        key_span: key.span,
        value: value.clone(),
    });
    Node {
        span,
        kind: Kind::Map(entries.collect()),
    }
}

fn expected_reply(spec: &ExpectedReplySpec, span: Span, diags: &mut Diagnostics) -> ExpectedReply {
    if let Some(status) = &spec.status {
        check_status(status, diags);
    }
    ExpectedReply {
        span,
        status: spec.status.as_ref().map(|at| (at.value, at.span)),
        headers: expected_headers(spec.headers.as_ref(), diags),
        body: spec.body.clone(),
    }
}

fn expected_row(at: &At<ExpectedMappingSpec>, of: &Of<'_>, diags: &mut Diagnostics) -> ExpectedRow {
    let spec = &at.value;
    let mut kind = of.kind;
    if let Some(written) = &spec.resource
        && let Some(id) = super::request::resource(written, of.around, diags)
    {
        kind = &of.around.resources[usize::from(id.0)].kind;
    }
    if let Some(written) = spec.backend.as_ref().filter(|name| name.text() != "*") {
        backend(written, kind, of.around, diags);
    }
    let placed = |written: &Written| (Box::from(written.text()), written.span());
    ExpectedRow {
        span: at.span,
        resource: spec
            .resource
            .as_ref()
            .map_or(of.resource, Written::text)
            .into(),
        cmp_id: placed(&spec.cmp_id),
        backend: spec.backend.as_ref().map(placed),
        backend_id: spec.backend_id.as_ref().map(placed),
        attributes: entries(spec.attributes.as_ref())
            .map(|(name, node)| (name.value.as_str().into(), node.clone()))
            .collect(),
    }
}
