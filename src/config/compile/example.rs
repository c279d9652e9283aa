//! `examples`: checked for their shape; `cmp-relay test` runs them.

use super::codes;
use super::names::Surroundings;
use crate::config::spec::decode::{At, Entries};
use crate::config::spec::example::ExampleSpec;
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::Node;
use crate::plan::Example;

/// Checks the examples of a route whose path has these parameters.
pub(super) fn check(
    examples: &[ExampleSpec],
    params: &[Box<str>],
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) {
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
        check_path(example, params, diags);
        for mapping in example.mappings.iter().flatten() {
            super::request::resource(&mapping.resource, around, diags);
        }
        let statuses = [
            example.response.as_ref().and_then(|r| r.status.as_ref()),
            example
                .expect_reply
                .as_ref()
                .and_then(|r| r.status.as_ref()),
        ];
        for status in statuses.into_iter().flatten() {
            check_status(status, diags);
        }
        if let Some(response) = &example.response
            && let (Some(_), Some(text)) = (&response.body, &response.text)
        {
            diags.push(Diagnostic::error(
                codes::CONFLICTING_KEYS,
                text.span(),
                "an answer has one body: `body` or `text`",
            ));
        }
    }
}

/// What is published of the examples: the requests, and the replies as far as they are written.
pub(super) fn published(examples: &[ExampleSpec]) -> Vec<Example> {
    examples.iter().map(publish).collect()
}

fn publish(example: &ExampleSpec) -> Example {
    let request = example.request.as_ref();
    let values = |entries: Option<&Entries<Node>>| {
        entries
            .into_iter()
            .flat_map(|entries| &entries.0)
            .map(|(name, value)| (name.value.clone(), value.to_json()))
            .collect()
    };
    let reply = example.expect_reply.as_ref();
    Example {
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
                Diagnostic::error(
                    codes::BAD_EXAMPLE,
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
                Diagnostic::error(
                    codes::BAD_EXAMPLE,
                    example.name.span(),
                    format!("this example does not say what `{{{param}}}` of the path is"),
                )
                .help(format!("add `{param}:` to its `request.path`")),
            );
        }
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
