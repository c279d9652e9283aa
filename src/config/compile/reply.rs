//! `reply`: what the CMP is told on success.

use http::{HeaderName, StatusCode};

use super::call::headers;
use super::codes;
use super::names::{Names, Stage, Surroundings};
use crate::config::spec::part::{right, wrong};
use crate::config::spec::route::ReplySpec;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::plan::{Reply, ReplyBody};
use crate::transform::Tree;

/// The headers that the relay writes into every reply.
const OWN_HEADERS: [&str; 6] = [
    "x-request-id",
    "relay-operation",
    "relay-backend",
    "relay-replicated",
    "idempotency-replayed",
    "date",
];

/// Compiles a reply; `None` as a spec means: the backend's answer as it came.
pub(super) fn compile(
    spec: Option<&ReplySpec>,
    names: &Names,
    around: &Surroundings<'_>,
    diags: &mut Diagnostics,
) -> Option<Reply> {
    let Some(spec) = spec else {
        return Some(Reply {
            status: None,
            headers: Vec::new(),
            body: ReplyBody::PassThrough,
        });
    };
    let roots = names.roots(Stage::Answer);
    let env = names.env(around, Stage::Answer, &roots);
    let status = match right(&spec.status) {
        None => Some(None),
        Some(at) => {
            let status = StatusCode::from_u16(at.value)
                .ok()
                .filter(StatusCode::is_success);
            if status.is_none() {
                diags.push(
                    Diagnostic::error(
                        codes::BAD_STATUS,
                        at.span,
                        format!("a reply on success cannot have the status {}", at.value),
                    )
                    .help("write a 2xx; failures are told by `response.errors`"),
                );
            }
            status.map(Some)
        }
    };
    let own: Vec<_> = OWN_HEADERS
        .into_iter()
        .map(|name| (HeaderName::from_static(name), "the relay".to_owned()))
        .collect();
    let headers = headers(right(&spec.headers), "reply.headers", &own, &env, diags);
    let body = match &spec.body {
        None => Some(ReplyBody::None),
        Some(node) => {
            if let Some(at) = right(&spec.status).filter(|at| matches!(at.value, 204 | 205)) {
                diags.push(
                    Diagnostic::error(
                        codes::CONFLICTING_KEYS,
                        node.span,
                        format!("a reply with the status {} has no body", at.value),
                    )
                    .related(at.span, "the status is here"),
                );
            }
            Tree::compile(node, "reply.body", &env, diags).map(ReplyBody::Tree)
        }
    };
    if wrong(&spec.status) || wrong(&spec.headers) {
        return None;
    }
    Some(Reply {
        status: status?,
        headers: headers?,
        body: body?,
    })
}
