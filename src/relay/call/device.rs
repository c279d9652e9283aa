//! Calls of devices, rendered: the lines of a command line, the words of a program, the XML of NETCONF.

use bytes::Bytes;

use crate::driver::{CliScript, ExecCommand, NetconfRequest};
use crate::plan::{Backend, CliCall, CliLines, ExecCall, ExecInput, ExecQuoting, NetconfCall};
use crate::transform::template::fragment;
use crate::transform::{LineRules, RenderError, Scope, Text, command};

/// What the command line of a backend refuses in values.
pub fn line_rules(backend: &Backend) -> LineRules {
    match backend.driver.profile() {
        Some(profile) => LineRules {
            refuse: profile.refuse.clone(),
            plain_words: profile.exec == ExecQuoting::Words,
        },
        None => LineRules::default(),
    }
}

pub(super) fn cli(call: &CliCall, scope: &Scope) -> Result<CliScript, RenderError> {
    let lines = match &call.lines {
        CliLines::Lines(texts) => all(texts, scope)?,
        CliLines::Template(template) => {
            let text = template.render(scope)?;
            let lines = text.lines().map(str::trim_end);
            let lines = lines.filter(|line| !line.trim_start().is_empty());
            lines.map(str::to_owned).collect()
        }
    };
    if lines.is_empty() {
        return Err(refused(
            "call.cli",
            "the lines",
            "every line vanished, and nothing is left to send",
        ));
    }
    Ok(CliScript {
        mode: call.mode.clone(),
        lines,
        save: call.save,
    })
}

pub(super) fn exec(
    call: &ExecCall,
    backend: &Backend,
    scope: &Scope,
) -> Result<ExecCommand, RenderError> {
    let as_it_is = line_rules(backend).plain_words;
    let mut waits = false;
    let mut command = String::new();
    for text in &call.words {
        let word = match text.render(scope) {
            Ok(Some(word)) => word,
            Ok(None) => continue,
            Err(RenderError::Lookups) => {
                waits = true;
                continue;
            }
            Err(error) => return Err(error),
        };
        if text.begins_with_a_value() && word.starts_with('-') {
            let variable = text.variables().first().copied().unwrap_or("the value");
            let reason = "a program would take what begins with a hyphen for an option";
            return Err(refused(text.field(), variable, reason));
        }
        if as_it_is && word.is_empty() {
            let reason = "this backend's command line has no empty words";
            return Err(refused(text.field(), "the argument", reason));
        }
        if !command.is_empty() {
            command.push(' ');
        }
        match as_it_is {
            // Values have been judged by [`LineRules`]; the rest is the route's own.
            true => command.push_str(&word),
            false => command.push_str(&command::quoted(&word)),
        }
    }
    let stdin = match &call.stdin {
        None => None,
        Some(ExecInput::Text(text)) => text.render(scope)?.map(Bytes::from),
        Some(ExecInput::Template(template)) => Some(Bytes::from(template.render(scope)?)),
    };
    match waits {
        true => Err(RenderError::Lookups),
        false => Ok(ExecCommand { command, stdin }),
    }
}

pub(super) fn netconf(call: &NetconfCall, scope: &Scope) -> Result<NetconfRequest, RenderError> {
    let content = match &call.content {
        None => None,
        Some(template) => {
            let text = template.render(scope)?;
            let found = fragment(&text)
                .and_then(|elements| call.operation.takes(elements).map_err(str::to_owned));
            found.map_err(|why| refused("call.template", template.name(), &why))?;
            Some(text)
        }
    };
    Ok(NetconfRequest {
        operation: call.operation,
        target: call.target,
        content,
    })
}

/// The texts that are there; every row that any of them wants is asked for at once.
fn all(texts: &[Text], scope: &Scope) -> Result<Vec<String>, RenderError> {
    let mut waits = false;
    let mut rendered = Vec::with_capacity(texts.len());
    for text in texts {
        match text.render(scope) {
            Ok(text) => rendered.extend(text),
            Err(RenderError::Lookups) => waits = true,
            Err(error) => return Err(error),
        }
    }
    match waits {
        true => Err(RenderError::Lookups),
        false => Ok(rendered),
    }
}

fn refused(field: &str, variable: &str, reason: &str) -> RenderError {
    RenderError::Unsafe {
        field: field.to_owned(),
        variable: variable.to_owned(),
        reason: reason.to_owned(),
    }
}
