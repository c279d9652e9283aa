//! The calls of devices beside what an example expects of them: line by line, word by word, element by
//! element.

use serde_json::Value;

use super::{ANY, Difference, compare_text, is, shown};
use crate::config::example::ExpectedDevice;
use crate::document::Span;
use crate::driver::{CliScript, ExecCommand, NetconfRequest, RenderedCall};
use crate::transform::command;

/// A call, as far as one line tells it.
pub(super) fn in_a_line(call: &RenderedCall) -> String {
    match call {
        RenderedCall::Http(call) => format!("{} {}", call.method, call.path_and_query),
        RenderedCall::Cli(script) => format!("cli `{}`", script.lines.join("`, `")),
        RenderedCall::Exec(call) => format!("exec `{}`", call.command),
        RenderedCall::Netconf(call) => format!("netconf {}", call.operation.name()),
    }
}

/// The most telling place of an expectation.
pub(super) fn place(expected: &ExpectedDevice) -> Option<Span> {
    match expected {
        ExpectedDevice::Cli { lines: said, .. } | ExpectedDevice::Exec { words: said, .. } => {
            said.as_ref().map(|(_, span)| *span)
        }
        ExpectedDevice::Netconf { operation, .. } => operation.as_ref().map(|(_, span)| *span),
    }
}

pub(super) fn compare(expected: &ExpectedDevice, call: &RenderedCall, found: &mut Vec<Difference>) {
    match (expected, call) {
        (ExpectedDevice::Cli { lines, mode, save }, RenderedCall::Cli(script)) => {
            compare_cli(lines.as_ref(), script, found);
            let got = script.mode.as_deref().unwrap_or("none");
            text(mode.as_ref(), got, "call.mode", found);
            if let Some((wanted, span)) = save
                && *wanted != script.save
            {
                let (wanted, got) = (wanted.to_string(), script.save.to_string());
                found.push(Difference::new(*span, "call.save", wanted, got));
            }
        }
        (ExpectedDevice::Exec { words, stdin }, RenderedCall::Exec(call)) => {
            compare_exec(words.as_ref(), call, found);
            let read = call.stdin.as_deref().map(String::from_utf8_lossy);
            match (stdin, read) {
                (Some((wanted, span)), Some(read)) => {
                    compare_text(wanted, &read, *span, "call.stdin", found);
                }
                (Some((wanted, span)), None) => {
                    let wanted = shown(&Value::from(&**wanted));
                    found.push(Difference::new(*span, "call.stdin", wanted, "nothing"));
                }
                (None, _) => {}
            }
        }
        (
            ExpectedDevice::Netconf {
                operation,
                target,
                xml,
            },
            RenderedCall::Netconf(call),
        ) => {
            if let Some((wanted, span)) = operation
                && *wanted != call.operation
            {
                let (wanted, got) = (wanted.name(), call.operation.name());
                found.push(Difference::new(*span, "call.netconf", wanted, got));
            }
            if let Some((wanted, span)) = target
                && Some(*wanted) != call.target
            {
                let got = call.target.map_or("none", |target| target.name());
                found.push(Difference::new(*span, "call.target", wanted.name(), got));
            }
            compare_xml(xml.as_ref(), call, found);
        }
        // The keys of an example are of the route's own sort of call.
        _ => {}
    }
}

fn text(wanted: Option<&(Box<str>, Span)>, got: &str, path: &str, found: &mut Vec<Difference>) {
    if let Some((wanted, span)) = wanted
        && !is(wanted, got)
    {
        found.push(Difference::new(*span, path, &**wanted, got));
    }
}

fn compare_cli(
    wanted: Option<&(Vec<Box<str>>, Span)>,
    script: &CliScript,
    found: &mut Vec<Difference>,
) {
    if let Some((wanted, span)) = wanted {
        items(wanted, &script.lines, *span, "call.cli", found);
    }
}

fn compare_exec(
    wanted: Option<&(Vec<Box<str>>, Span)>,
    call: &ExecCommand,
    found: &mut Vec<Difference>,
) {
    if let Some((wanted, span)) = wanted {
        items(
            wanted,
            &command::words(&call.command),
            *span,
            "call.exec",
            found,
        );
    }
}

/// Compares lists of texts, each difference with its index.
fn items(wanted: &[Box<str>], got: &[String], span: Span, path: &str, found: &mut Vec<Difference>) {
    let word = |text: Option<&str>| match text {
        Some(text) => shown(&Value::from(text)),
        None => "nothing".to_owned(),
    };
    for index in 0..wanted.len().max(got.len()) {
        let (wanted, got) = (
            wanted.get(index).map(|w| &**w),
            got.get(index).map(|g| &**g),
        );
        let equal = match (wanted, got) {
            (Some(wanted), Some(got)) => is(wanted, got),
            _ => false,
        };
        if !equal {
            let path = format!("{path}[{index}]");
            found.push(Difference::new(span, path, word(wanted), word(got)));
        }
    }
}

fn compare_xml(
    wanted: Option<&(Box<str>, Span)>,
    call: &NetconfRequest,
    found: &mut Vec<Difference>,
) {
    let Some((wanted, span)) = wanted.filter(|(wanted, _)| **wanted != *ANY) else {
        return;
    };
    let Some(content) = &call.content else {
        let wanted = shown(&Value::from(&**wanted));
        found.push(Difference::new(*span, "call.xml", wanted, "nothing"));
        return;
    };
    let outline =
        |text: &str| outline(text).unwrap_or_else(|error| format!("(no XML: {error})\n{text}"));
    compare_text(
        &outline(wanted),
        &outline(content),
        *span,
        "call.xml",
        found,
    );
}

/// XML with each element on a line of its own, prefixes and white space between elements left out, so
/// that two ways to write the same are the same.
fn outline(text: &str) -> Result<String, roxmltree::Error> {
    let whole = format!("<content>{text}</content>");
    let document = roxmltree::Document::parse(&whole)?;
    let mut out = String::new();
    for node in document.root_element().children() {
        element(node, 0, None, &mut out);
    }
    Ok(out)
}

fn element(node: roxmltree::Node<'_, '_>, depth: usize, space: Option<&str>, out: &mut String) {
    let indent = "  ".repeat(depth);
    if node.is_text() {
        let text = node.text().unwrap_or_default().trim();
        if !text.is_empty() {
            out.push_str(&format!("{indent}{text}\n"));
        }
        return;
    }
    if !node.is_element() {
        return;
    }
    let name = node.tag_name();
    out.push_str(&format!("{indent}<{}", name.name()));
    if name.namespace() != space {
        out.push_str(&format!(
            " xmlns={:?}",
            name.namespace().unwrap_or_default()
        ));
    }
    let mut attributes: Vec<String> = node
        .attributes()
        .map(|attribute| {
            let space = attribute.namespace().map(|space| format!("{{{space}}}"));
            let space = space.unwrap_or_default();
            format!(" {space}{}={:?}", attribute.name(), attribute.value())
        })
        .collect();
    attributes.sort();
    out.push_str(&attributes.concat());
    out.push('>');
    // An element that holds text alone is one line.
    let only_text = node.children().all(|child| child.is_text());
    if only_text {
        out.push_str(node.text().unwrap_or_default().trim());
        out.push('\n');
        return;
    }
    out.push('\n');
    for child in node.children() {
        element(child, depth + 1, name.namespace(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_xml_written_otherwise_is_the_same() {
        let one = "<a xmlns=\"urn:x\" z='1' b='2'>\n  <c>x</c>\n  <d/>\n</a>";
        let other = "<p:a xmlns:p='urn:x' b=\"2\" z=\"1\"><p:c> x </p:c><p:d></p:d></p:a>";
        assert_eq!(outline(one), outline(other));
        assert_eq!(
            outline(one).unwrap(),
            "<a xmlns=\"urn:x\" b=\"2\" z=\"1\">\n  <c>x\n  <d>\n"
        );
        assert_ne!(outline("<a><b/></a>"), outline("<a/><b/>"));
    }

    #[test]
    fn lines_differ_by_their_index() {
        let wanted = ["vlan 7".into(), "name *".into()];
        let got = ["vlan 7".to_owned(), "name a".to_owned(), "exit".to_owned()];
        let mut found = Vec::new();
        items(&wanted, &got, Span::default(), "call.cli", &mut found);
        let lines: Vec<_> = found.iter().map(Difference::line).collect();
        assert_eq!(
            lines,
            [
                "call.cli[1]: expected \"name *\", got \"name a\"",
                "call.cli[2]: expected nothing, got \"exit\"",
            ]
        );
    }
}
