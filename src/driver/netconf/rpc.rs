//! Operations and their replies (RFC 6241, sections 4 and 7): what is written inside `<rpc>`, and what
//! an `<rpc-reply>` says.

use roxmltree::Document;

use super::error::{self, RpcError, Severity};
use super::hello::{BASE, Hello};
use crate::plan::Datastore;

/// An operation in its envelope.
pub(super) fn envelope(id: u64, operation: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <rpc message-id=\"{id}\" xmlns=\"{BASE}\">{operation}</rpc>"
    )
}

/// `get`, whole or by a subtree filter (section 6).
pub(super) fn get(filter: Option<&str>) -> String {
    format!("<get>{}</get>", subtree(filter))
}

/// `get-config` of a datastore.
pub(super) fn get_config(source: Datastore, filter: Option<&str>) -> String {
    let (source, filter) = (source.name(), subtree(filter));
    format!("<get-config><source><{source}/></source>{filter}</get-config>")
}

fn subtree(filter: Option<&str>) -> String {
    filter.map_or_else(String::new, |filter| {
        format!("<filter type=\"subtree\">{filter}</filter>")
    })
}

/// `edit-config`, with the options that the device knows: test first, and take back what fails.
pub(super) fn edit_config(target: Datastore, config: &str, hello: &Hello) -> String {
    let target = target.name();
    let test = match hello.can("validate") {
        true => "<test-option>test-then-set</test-option>",
        false => "",
    };
    let on_error = match hello.can("rollback-on-error") {
        true => "<error-option>rollback-on-error</error-option>",
        false => "",
    };
    format!(
        "<edit-config><target><{target}/></target>{test}{on_error}<config>{config}</config></edit-config>"
    )
}

/// `lock` and `unlock`.
pub(super) fn lock(target: Datastore) -> String {
    format!("<lock><target><{}/></target></lock>", target.name())
}

pub(super) fn unlock(target: Datastore) -> String {
    format!("<unlock><target><{}/></target></unlock>", target.name())
}

pub(super) const DISCARD_CHANGES: &str = "<discard-changes/>";
pub(super) const COMMIT: &str = "<commit/>";
pub(super) const RUNNING_TO_STARTUP: &str =
    "<copy-config><target><startup/></target><source><running/></source></copy-config>";
pub(super) const CLOSE_SESSION: &str = "<close-session/>";

/// Whether text may stand inside an element of ours: it is whole, and closes nothing that it did not
/// open. The error says where it is not; `alone` asks for one element and nothing beside it.
pub(super) fn check_content(content: &str, alone: bool) -> Result<(), String> {
    // With the namespaces that it will stand in. A content that closed the element would leave two roots.
    let opening = format!("<content xmlns=\"{BASE}\">");
    let whole = format!("{opening}{content}</content>");
    let document = Document::parse(&whole)
        .map_err(|error| format!("the content is not well-formed XML: {error}"))?;
    let inside = document.root_element().children();
    let elements = inside.clone().filter(|node| node.is_element()).count();
    let words = inside
        .filter(|node| node.is_text())
        .any(|node| node.text().is_some_and(|text| !text.trim().is_empty()));
    match (alone, elements, words) {
        (_, _, true) => Err("the content has text beside its elements".to_owned()),
        (true, 1, _) | (false, _, _) => Ok(()),
        (true, ..) => Err(format!(
            "an `rpc` is one element, and the content has {elements}"
        )),
    }
}

/// What a message from the device is.
#[derive(Debug)]
pub(super) enum Message {
    Reply(Reply),
    /// Nothing that a call waits for.
    Notification,
}

/// An `<rpc-reply>`.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    /// Of the `<rpc>` that it answers. A device that could not read that far leaves it out.
    pub(super) id: Option<String>,
    /// The whole element.
    pub(super) xml: String,
    pub(super) errors: Vec<RpcError>,
}

impl Reply {
    /// The first error that is more than a warning.
    pub(super) fn failure(&self) -> Option<&RpcError> {
        self.errors
            .iter()
            .find(|error| error.severity == Severity::Error)
    }
}

/// Reads a message; the error says why it is neither reply nor notification.
pub(super) fn read(message: String) -> Result<Message, String> {
    let xml = message.trim_start_matches('\u{feff}').trim();
    let document = Document::parse(xml)
        .map_err(|error| format!("the device's message is not well-formed XML: {error}"))?;
    let root = document.root_element();
    match root.tag_name().name() {
        "notification" => Ok(Message::Notification),
        "rpc-reply" => Ok(Message::Reply(Reply {
            // Unprefixed, as RFC 6241 has it, or in whatever namespace.
            id: root
                .attributes()
                .find(|attribute| attribute.name() == "message-id")
                .map(|attribute| attribute.value().to_owned()),
            errors: error::errors(&document),
            // What stands before the element is no part of it.
            xml: xml[root.range()].to_owned(),
        })),
        name => Err(format!("the device sent a `{name}`, which answers nothing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_stays_inside_its_element() {
        for content in [
            "",
            "<a/><b>1</b>",
            "<!-- nothing --><a x=\"]]>]]>\"><![CDATA[<]]></a>",
            "<x:a xmlns:x=\"urn:x\"/>",
        ] {
            assert_eq!(check_content(content, false), Ok(()), "{content}");
        }
        for content in [
            "</content><content>",
            "</config></edit-config><commit/><edit-config><config>",
            "<a>",
            "</a>",
            "<!--",
            "<![CDATA[",
            "<a b=\"",
            "&undeclared;",
            "<x:a/>",
            "<?xml version=\"1.0\"?><a/>",
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a/>",
            "text",
            "a ]]> b",
            "<a>\u{1}</a>",
        ] {
            assert!(check_content(content, false).is_err(), "{content}");
        }
        assert_eq!(check_content(" <!-- one --> <commit/>\n", true), Ok(()));
        for content in ["", "<lock/><commit/>", "<lock/>commit"] {
            assert!(check_content(content, true).is_err(), "{content}");
        }
    }

    #[test]
    fn an_edit_asks_for_what_the_device_can() {
        let edit = |capabilities: &[&str]| {
            let list: String = capabilities
                .iter()
                .map(|one| {
                    format!("<capability>urn:ietf:params:netconf:capability:{one}</capability>")
                })
                .collect();
            let hello = format!("<hello>{list}<session-id>1</session-id></hello>");
            edit_config(Datastore::Running, "<a/>", &Hello::read(&hello).unwrap())
        };
        let target = "<edit-config><target><running/></target>";
        let config = "<config><a/></config></edit-config>";
        let test = "<test-option>test-then-set</test-option>";
        let back = "<error-option>rollback-on-error</error-option>";
        assert_eq!(edit(&[]), format!("{target}{config}"));
        assert_eq!(edit(&["validate:1.0"]), format!("{target}{test}{config}"));
        assert_eq!(
            edit(&["rollback-on-error:1.0", "validate:1.1"]),
            format!("{target}{test}{back}{config}")
        );
    }

    #[test]
    fn a_reply_is_its_element_alone() {
        let message = format!(
            "\n<?xml version=\"1.0\"?>\n<!-- said --><rpc-reply xmlns=\"{BASE}\" message-id=\"7\"><ok/></rpc-reply>\n"
        );
        let Ok(Message::Reply(reply)) = read(message) else {
            panic!("it is a reply");
        };
        assert_eq!(reply.id.as_deref(), Some("7"));
        assert!(reply.xml.starts_with("<rpc-reply") && reply.xml.ends_with("</rpc-reply>"));
        assert!(reply.failure().is_none());
        assert!(matches!(
            read("<notification/>".to_owned()),
            Ok(Message::Notification)
        ));
        for message in ["<rpc/>", "", "<rpc-reply>", "<!DOCTYPE x><rpc-reply/>"] {
            assert!(read(message.to_owned()).is_err(), "{message}");
        }
    }

    #[test]
    fn a_warning_is_no_failure() {
        let error = |severity: &str| {
            format!(
                "<rpc-error><error-tag>x</error-tag><error-severity>{severity}</error-severity></rpc-error>"
            )
        };
        let reply = |inside: String| match read(format!("<rpc-reply>{inside}</rpc-reply>")) {
            Ok(Message::Reply(reply)) => reply,
            other => panic!("{other:?}"),
        };
        assert!(reply(error("warning")).failure().is_none());
        assert!(
            reply(error("warning") + &error("error"))
                .failure()
                .is_some()
        );
    }

    /// A device must not end the process by nesting.
    #[test]
    fn deep_nesting_is_an_error_or_a_reply() {
        let deep = format!(
            "<rpc-reply>{}{}</rpc-reply>",
            "<a>".repeat(200_000),
            "</a>".repeat(200_000)
        );
        let _ = read(deep);
    }
}
