//! What a device says went wrong: `<rpc-error>` (RFC 6241, section 4.3), and what its tag is in HTTP.

use http::StatusCode;
use roxmltree::{Document, Node};

/// One `<rpc-error>`. What the device left out is empty or `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// `error-tag`: `data-exists`, `invalid-value`; the table of RFC 6241, appendix A.
    pub tag: String,
    /// `error-type`: `transport`, `rpc`, `protocol` or `application`.
    pub kind: String,
    pub severity: Severity,
    /// `error-app-tag`: the device's own, or the data model's.
    pub app_tag: Option<String>,
    /// `error-path`: an XPath to what it is about.
    pub path: Option<String>,
    pub message: Option<String>,
    /// `error-info`: the elements that hold text, by their local names: `bad-element`, `session-id`.
    pub info: Vec<(String, String)>,
}

/// Whether the operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Error,
    /// The operation was done.
    Warning,
}

impl Severity {
    /// As RFC 6241 writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl RpcError {
    fn of(element: Node<'_, '_>) -> Self {
        let text = |name: &str| {
            child(element, name)
                .map(text_of)
                .filter(|text| !text.is_empty())
        };
        let info = child(element, "error-info").map_or_else(Vec::new, |info| {
            info.descendants()
                .filter(|node| node.is_element() && *node != info)
                .filter(|node| !node.children().any(|inner| inner.is_element()))
                .map(|node| (node.tag_name().name().to_owned(), text_of(node)))
                .collect()
        });
        Self {
            tag: text("error-tag").unwrap_or_default(),
            kind: text("error-type").unwrap_or_default(),
            // What does not say that it is a warning is taken for an error.
            severity: match text("error-severity").as_deref() {
                Some("warning") => Severity::Warning,
                _ => Severity::Error,
            },
            app_tag: text("error-app-tag"),
            path: text("error-path"),
            message: text("error-message"),
            info,
        }
    }

    /// The session that holds the lock or the resource, where the device names one. `0` is somebody who
    /// does not use NETCONF.
    pub fn owner(&self) -> Option<&str> {
        let holds = matches!(self.tag.as_str(), "lock-denied" | "in-use");
        let owner = self.info.iter().find(|(name, _)| name == "session-id");
        owner.filter(|_| holds).map(|(_, id)| id.as_str())
    }

    /// What the error is in HTTP: for a tag that says why the operation was refused, the status that says
    /// the same; 502 for one that says that the device failed.
    ///
    /// | tag | status |
    /// |---|---|
    /// | `in-use`, `lock-denied`, `resource-denied` | 503: it may pass, and can be asked again |
    /// | `data-exists` | 409 |
    /// | `data-missing` | 404 |
    /// | `access-denied` | 403 |
    /// | `invalid-value`, `missing-*`, `bad-*`, `unknown-*` | 422 |
    /// | `operation-not-supported` | 501 |
    /// | all others | 502 |
    ///
    /// RFC 8040, section 7, has such a table for RESTCONF. 503, 404 and 422 are finer than its 409 and 400.
    pub fn status(&self) -> StatusCode {
        match self.tag.as_str() {
            "in-use" | "lock-denied" | "resource-denied" => StatusCode::SERVICE_UNAVAILABLE,
            "data-exists" => StatusCode::CONFLICT,
            "data-missing" => StatusCode::NOT_FOUND,
            "access-denied" => StatusCode::FORBIDDEN,
            "invalid-value" | "missing-attribute" | "missing-element" | "bad-attribute"
            | "bad-element" | "unknown-attribute" | "unknown-element" | "unknown-namespace" => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            "operation-not-supported" => StatusCode::NOT_IMPLEMENTED,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether the tag says that the device has gone part of the way and did not come back.
    pub fn leaves_half_done(&self) -> bool {
        matches!(self.tag.as_str(), "rollback-failed" | "partial-operation")
    }
}

/// In one line, for an operator: `data-exists: the interface is there (at /if:interfaces)`.
impl std::fmt::Display for RpcError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.tag.is_empty() {
            true => f.write_str("an error without a tag")?,
            false => f.write_str(&self.tag)?,
        }
        if let Some(message) = &self.message {
            write!(f, ": {message}")?;
        }
        if let Some(path) = &self.path {
            write!(f, " (at {path})")?;
        }
        match self.owner() {
            Some("0") => f.write_str(", held by somebody outside NETCONF"),
            Some(owner) => write!(f, ", held by session {owner}"),
            None => Ok(()),
        }
    }
}

/// The errors and warnings of an `<rpc-reply>`; none of what is no reply.
pub fn rpc_errors(reply_xml: &str) -> Vec<RpcError> {
    Document::parse(reply_xml).map_or_else(|_| Vec::new(), |reply| errors(&reply))
}

/// As [`rpc_errors`], of a reply that is parsed already.
pub fn errors(reply: &Document<'_>) -> Vec<RpcError> {
    let root = reply.root_element();
    // Of the reply itself: what stands deeper, or in another namespace, is data.
    let namespace = root.tag_name().namespace();
    root.children()
        .filter(|node| node.is_element() && node.tag_name().name() == "rpc-error")
        .filter(|node| node.tag_name().namespace() == namespace)
        .map(RpcError::of)
        .collect()
}

fn child<'a, 'i>(element: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    element
        .children()
        .find(|node| node.is_element() && node.tag_name().name() == name)
}

/// The text of an element and of what it holds, without the blanks around it.
fn text_of(element: Node<'_, '_>) -> String {
    let texts: String = element
        .descendants()
        .filter(Node::is_text)
        .filter_map(|node| node.text())
        .collect();
    texts.trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENIED: &str = r#"<rpc-reply message-id="4" xmlns="urn:ietf:params:xml:ns:netconf:base:1.0">
      <rpc-error>
        <error-type>protocol</error-type>
        <error-tag>lock-denied</error-tag>
        <error-severity>error</error-severity>
        <error-app-tag>no-access</error-app-tag>
        <error-path xmlns:if="urn:ietf:params:xml:ns:yang:ietf-interfaces">/if:interfaces</error-path>
        <error-message xml:lang="en"> lock denied </error-message>
        <error-info><session-id>7</session-id></error-info>
      </rpc-error>
    </rpc-reply>"#;

    fn error(tag: &str) -> RpcError {
        let xml =
            format!("<rpc-reply><rpc-error><error-tag>{tag}</error-tag></rpc-error></rpc-reply>");
        rpc_errors(&xml).remove(0)
    }

    #[test]
    fn every_field_is_read() {
        let errors = rpc_errors(DENIED);
        assert_eq!(
            errors,
            [RpcError {
                tag: "lock-denied".into(),
                kind: "protocol".into(),
                severity: Severity::Error,
                app_tag: Some("no-access".into()),
                path: Some("/if:interfaces".into()),
                message: Some("lock denied".into()),
                info: vec![("session-id".into(), "7".into())],
            }]
        );
        let line = errors[0].to_string();
        assert_eq!(
            line,
            "lock-denied: lock denied (at /if:interfaces), held by session 7"
        );
    }

    #[test]
    fn prefixes_are_of_no_account_and_other_namespaces_are_data() {
        let reply = r#"<nc:rpc-reply xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0" nc:message-id="1">
          <nc:rpc-error><nc:error-tag>in-use</nc:error-tag><nc:error-severity>warning</nc:error-severity></nc:rpc-error>
          <rpc-error xmlns="urn:example:log"><error-tag>data-exists</error-tag></rpc-error>
          <nc:data><nc:rpc-error><nc:error-tag>bad-element</nc:error-tag></nc:rpc-error></nc:data>
        </nc:rpc-reply>"#;
        let found = rpc_errors(reply);
        assert_eq!(found.len(), 1);
        assert_eq!(
            (found[0].tag.as_str(), found[0].severity),
            ("in-use", Severity::Warning)
        );
    }

    #[test]
    fn what_is_no_reply_has_no_errors() {
        assert_eq!(rpc_errors("<rpc-reply>"), []);
        assert_eq!(rpc_errors("<rpc-reply><ok/></rpc-reply>"), []);
    }

    /// RFC 6241, appendix A, whole; and a tag that is not of it.
    #[test]
    fn every_tag_has_a_status() {
        for (tag, status) in [
            ("in-use", 503),
            ("invalid-value", 422),
            ("too-big", 502),
            ("missing-attribute", 422),
            ("bad-attribute", 422),
            ("unknown-attribute", 422),
            ("missing-element", 422),
            ("bad-element", 422),
            ("unknown-element", 422),
            ("unknown-namespace", 422),
            ("access-denied", 403),
            ("lock-denied", 503),
            ("resource-denied", 503),
            ("rollback-failed", 502),
            ("data-exists", 409),
            ("data-missing", 404),
            ("operation-not-supported", 501),
            ("operation-failed", 502),
            ("partial-operation", 502),
            ("malformed-message", 502),
            ("of-its-own", 502),
        ] {
            assert_eq!(error(tag).status().as_u16(), status, "{tag}");
        }
    }
}
