//! A `netconf` call: one operation of RFC 6241, with what stands inside of it.

use super::cli::template;
use crate::config::compile::codes;
use crate::config::spec::call::{CallSpec, DatastoreWord};
use crate::config::spec::part::{Written, right, wrong};
use crate::diagnostics::{Diagnostic, Diagnostics, codes as expression_codes};
use crate::document::Snippet;
use crate::plan::{NetconfCall, NetconfOperation};
use crate::transform::template::fragment;
use crate::transform::{Env, Format, Template};

pub(super) fn compile(
    spec: &CallSpec,
    env: &Env<'_>,
    diags: &mut Diagnostics,
) -> Option<NetconfCall> {
    let at = right(&spec.netconf)?;
    let operation = at.value.operation();
    let name = operation.name();
    let content = match right(&spec.template) {
        None => Some(None),
        Some(written) => content(written, operation, env, diags).map(Some),
    };
    let needs = matches!(
        operation,
        NetconfOperation::EditConfig | NetconfOperation::Rpc
    );
    if needs && spec.template.is_none() {
        diags.push(
            Diagnostic::error(
                codes::MISSING_KEY,
                at.span,
                format!("`{name}` needs `template`: what it says to the device"),
            )
            .help("add `template: NAME.xml.hbs`, a file of `templates/`"),
        );
    }
    if let Some(target) = right(&spec.target) {
        let without = match operation {
            NetconfOperation::Get => Some("`get` reads the running state, whatever the `target`"),
            NetconfOperation::Rpc => Some("`rpc` says in its template what it is about"),
            NetconfOperation::GetConfig | NetconfOperation::EditConfig => None,
        };
        if let Some(message) = without {
            diags.push(
                Diagnostic::error(codes::CONFLICTING_KEYS, target.span, message)
                    .related(at.span, format!("`{name}` is here"))
                    .help("remove it"),
            );
        }
        if operation == NetconfOperation::EditConfig && target.value == DatastoreWord::Startup {
            diags.push(
                Diagnostic::error(
                    codes::BAD_VALUE,
                    target.span,
                    "`edit-config` writes `running` or `candidate` (RFC 6241, section 7.2)",
                )
                .help("a device with a startup datastore is written there after `running`"),
            );
        }
    }
    if wrong(&spec.template) || wrong(&spec.target) {
        return None;
    }
    Some(NetconfCall {
        operation,
        content: content?,
        target: right(&spec.target).map(|at| at.value.datastore()),
    })
}

/// The template, checked to be what it will be put into, whichever ways its blocks take.
fn content(
    written: &Written,
    operation: NetconfOperation,
    env: &Env<'_>,
    diags: &mut Diagnostics,
) -> Option<Template> {
    let template = template(written, Format::Xml, "call.template", env, diags)?;
    let mut fits = Err("no element stands here");
    let mut wrong = None;
    for (at, text) in template.ways() {
        match fragment(&text) {
            // How many elements a block leaves may be for the request to say: one way that fits will do.
            Ok(elements) => fits = fits.or(operation.takes(elements)),
            Err(why) => wrong = wrong.or(Some((at, why))),
        }
    }
    let (at, why) = match (wrong, fits) {
        (Some(wrong), _) => wrong,
        (None, Err(why)) => (None, why.to_owned()),
        (None, Ok(())) => return Some(template),
    };
    let file = env.templates.get(template.name());
    let span = at.unwrap_or(file.map_or(written.span(), |(file, text)| {
        Snippet::file(*file, text).span()
    }));
    diags.push(
        Diagnostic::error(expression_codes::BAD_TEMPLATE, span, why)
            .related(written.span(), "the template is used here"),
    );
    None
}
