//! What examples say of a device: its calls and its answers.

use super::bad;
use crate::config::compile::codes;
use crate::config::example::ExpectedDevice;
use crate::config::spec::decode::At;
use crate::config::spec::example::{ExampleResponseSpec, ExpectedCallSpec};
use crate::config::spec::part::Written;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Span;
use crate::driver::Protocol;
use crate::driver::netconf::{self, Severity};

/// The key of the calls of a protocol.
fn key(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Http => "http",
        Protocol::Cli => "cli",
        Protocol::Exec => "exec",
        Protocol::Netconf => "netconf",
    }
}

/// The keys of an expected call that are about another sort of call than the route's.
pub(super) fn check_keys(spec: &ExpectedCallSpec, protocol: Protocol, diags: &mut Diagnostics) {
    let text = |written: &Option<Written>| written.as_ref().map(Written::span);
    let list = |list: &Option<At<Vec<Written>>>| list.as_ref().map(|at| at.span);
    let keys = [
        ("http", Protocol::Http, text(&spec.http)),
        ("query", Protocol::Http, first_key(&spec.query)),
        ("headers", Protocol::Http, first_key(&spec.headers)),
        (
            "body",
            Protocol::Http,
            spec.body.as_ref().map(|body| body.span),
        ),
        ("cli", Protocol::Cli, list(&spec.cli)),
        ("mode", Protocol::Cli, text(&spec.mode)),
        ("save", Protocol::Cli, spec.save.as_ref().map(|at| at.span)),
        ("exec", Protocol::Exec, list(&spec.exec)),
        ("stdin", Protocol::Exec, text(&spec.stdin)),
        (
            "netconf",
            Protocol::Netconf,
            spec.netconf.as_ref().map(|at| at.span),
        ),
        (
            "target",
            Protocol::Netconf,
            spec.target.as_ref().map(|at| at.span),
        ),
        ("xml", Protocol::Netconf, text(&spec.xml)),
    ];
    for (name, of, span) in keys {
        let Some(span) = span.filter(|_| of != protocol) else {
            continue;
        };
        let message = format!(
            "the route's call is `{}`, which has no `{name}`",
            key(protocol)
        );
        diags.push(bad(span, message).help(match protocol {
            Protocol::Http => "keys here: http, query, headers, body",
            Protocol::Cli => "keys here: cli, mode, save",
            Protocol::Exec => "keys here: exec, stdin",
            Protocol::Netconf => "keys here: netconf, target, xml",
        }));
    }
}

fn first_key<T>(entries: &Option<crate::config::spec::decode::Entries<T>>) -> Option<Span> {
    let (key, _) = entries.as_ref()?.0.first()?;
    Some(key.span)
}

/// What of an answer no device of this protocol gives.
pub(super) fn check_answer(
    spec: &ExampleResponseSpec,
    protocol: Protocol,
    diags: &mut Diagnostics,
) {
    if let (Some(stderr), true) = (&spec.stderr, protocol != Protocol::Exec) {
        diags.push(bad(stderr.span(), "only a program writes `stderr`").help("write `text`"));
    }
    if let (Some(span), true) = (first_key(&spec.headers), protocol != Protocol::Http) {
        diags.push(bad(span, "only HTTP has headers").help("remove them"));
    }
    if protocol != Protocol::Netconf {
        return;
    }
    if let Some(body) = &spec.body {
        let message = "a NETCONF answer is an `<rpc-reply>`";
        diags.push(bad(body.span, message).help("write it as `text`"));
    }
    if let Some(text) = &spec.text
        && let Err(error) = roxmltree::Document::parse(text.text())
    {
        let message = format!("this is not XML: {error}");
        diags.push(Diagnostic::error(codes::BAD_EXAMPLE, text.span(), message));
    }
}

/// 1 where a reply has an `<rpc-error>` of severity error, as the driver says it.
pub(super) fn netconf_status(reply: &[u8]) -> u16 {
    let errors = netconf::rpc_errors(&String::from_utf8_lossy(reply));
    u16::from(errors.iter().any(|error| error.severity == Severity::Error))
}

/// What is said of a device's call.
pub(super) fn expected(spec: &ExpectedCallSpec, protocol: Protocol) -> Option<ExpectedDevice> {
    let placed = |written: &Written| (Box::from(written.text()), written.span());
    let listed = |at: &At<Vec<Written>>| {
        let texts = at.value.iter().map(|written| written.text().into());
        (texts.collect(), at.span)
    };
    Some(match protocol {
        Protocol::Http => return None,
        Protocol::Cli => ExpectedDevice::Cli {
            lines: spec.cli.as_ref().map(listed),
            mode: spec.mode.as_ref().map(placed),
            save: spec.save.as_ref().map(|at| (at.value, at.span)),
        },
        Protocol::Exec => ExpectedDevice::Exec {
            words: spec.exec.as_ref().map(listed),
            stdin: spec.stdin.as_ref().map(placed),
        },
        Protocol::Netconf => ExpectedDevice::Netconf {
            operation: spec
                .netconf
                .as_ref()
                .map(|at| (at.value.operation(), at.span)),
            target: spec
                .target
                .as_ref()
                .map(|at| (at.value.datastore(), at.span)),
            xml: spec.xml.as_ref().map(placed),
        },
    })
}
