//! What a NETCONF server refuses with: the tags of RFC 6241, appendix A.

use super::escaped;

/// One `<rpc-error>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RpcError {
    /// `rpc`, `protocol` or `application`.
    kind: &'static str,
    pub(super) tag: &'static str,
    message: String,
    /// What is wrong, as an XPath into the data.
    path: Option<String>,
    /// An element of `<error-info>`, and its text.
    info: Option<(&'static str, String)>,
}

impl RpcError {
    fn new(kind: &'static str, tag: &'static str, message: impl Into<String>) -> Self {
        Self {
            kind,
            tag,
            message: message.into(),
            path: None,
            info: None,
        }
    }

    pub(super) fn malformed() -> Self {
        Self::new("rpc", "malformed-message", "the message is not XML")
    }

    pub(super) fn missing_attribute(name: &str, element: &str) -> Self {
        let message = format!("`{element}` needs the attribute `{name}`");
        let mut error = Self::new("rpc", "missing-attribute", message);
        error.info = Some(("bad-attribute", name.to_owned()));
        error
    }

    pub(super) fn unsupported(operation: &str) -> Self {
        let message = format!("`{operation}` is not supported");
        Self::new("protocol", "operation-not-supported", message)
    }

    pub(super) fn missing_element(name: &str) -> Self {
        let message = format!("`{name}` is missing");
        let mut error = Self::new("protocol", "missing-element", message);
        error.info = Some(("bad-element", name.to_owned()));
        error
    }

    pub(super) fn unknown_element(name: &str) -> Self {
        let message = format!("`{name}` is not known here");
        let mut error = Self::new("application", "unknown-element", message);
        error.info = Some(("bad-element", name.to_owned()));
        error
    }

    pub(super) fn unknown_namespace(element: &str, namespace: &str) -> Self {
        let message = format!("`{element}` is of a namespace that is not known here: {namespace}");
        let mut error = Self::new("application", "unknown-namespace", message);
        error.info = Some(("bad-namespace", namespace.to_owned()));
        error
    }

    pub(super) fn bad_attribute(name: &str, value: &str) -> Self {
        let message = format!("`{name}` cannot be `{value}`");
        let mut error = Self::new("protocol", "bad-attribute", message);
        error.info = Some(("bad-attribute", name.to_owned()));
        error
    }

    pub(super) fn invalid_value(path: String, message: String) -> Self {
        Self::new("application", "invalid-value", message).at(path)
    }

    pub(super) fn data_missing(path: String) -> Self {
        Self::new("application", "data-missing", "it does not exist").at(path)
    }

    pub(super) fn data_exists(path: String) -> Self {
        Self::new("application", "data-exists", "it exists already").at(path)
    }

    /// `holder` is the session that has it; 0 where none has.
    pub(super) fn lock_denied(holder: u32, message: &str) -> Self {
        let mut error = Self::new("protocol", "lock-denied", message);
        error.info = Some(("session-id", holder.to_string()));
        error
    }

    pub(super) fn in_use(holder: u32) -> Self {
        let message = format!("session {holder} has locked it");
        Self::new("protocol", "in-use", message)
    }

    pub(super) fn failed(message: &str) -> Self {
        Self::new("protocol", "operation-failed", message)
    }

    fn at(mut self, path: String) -> Self {
        self.path = Some(path);
        self
    }

    pub(super) fn to_xml(&self) -> String {
        let element = |name: &str, text: &str| format!("<{name}>{}</{name}>", escaped(text));
        let mut inside = element("error-type", self.kind);
        inside += &element("error-tag", self.tag);
        inside += &element("error-severity", "error");
        if let Some(path) = &self.path {
            inside += &element("error-path", path);
        }
        inside += &element("error-message", &self.message);
        if let Some((name, text)) = &self.info {
            inside += &format!("<error-info>{}</error-info>", element(name, text));
        }
        format!("<rpc-error>{inside}</rpc-error>")
    }
}
