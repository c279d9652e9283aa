//! The first message of each side (RFC 6241, section 8.1): who can do what, and the session's number.

use roxmltree::Document;

use super::framing::Framing;

/// The namespace of NETCONF's own elements, 1.0 and 1.1 alike.
pub(super) const BASE: &str = "urn:ietf:params:xml:ns:netconf:base:1.0";

/// What capabilities begin with; the second is what some devices write instead.
const CAPABILITIES: [&str; 2] = [
    "urn:ietf:params:netconf:capability:",
    "urn:ietf:params:xml:ns:netconf:capability:",
];
const BASES: [&str; 2] = [
    "urn:ietf:params:netconf:base:",
    "urn:ietf:params:xml:ns:netconf:base:",
];

/// A device's hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// The session's number on the device, as other sessions see it in `lock-denied`.
    pub(super) session_id: u32,
    capabilities: Vec<Box<str>>,
}

impl Hello {
    /// Reads a device's hello; the error says what is wrong with it.
    pub(super) fn read(message: &str) -> Result<Self, String> {
        let document = Document::parse(message)
            .map_err(|error| format!("the device's first message is not XML: {error}"))?;
        let root = document.root_element();
        if root.tag_name().name() != "hello" {
            let name = root.tag_name().name();
            return Err(format!(
                "the device's first message is a `{name}`, not a `hello`"
            ));
        }
        let text_of = |name: &str| {
            let nodes = root.descendants().filter(|node| node.is_element());
            let named = nodes.filter(|node| node.tag_name().name() == name);
            named
                .filter_map(|node| node.text())
                .map(str::trim)
                .map(Box::from)
                .collect::<Vec<Box<str>>>()
        };
        let session_id = match text_of("session-id").as_slice() {
            [id] => id
                .parse()
                .map_err(|_| format!("the device's hello has `{id}` for a session-id"))?,
            _ => return Err("the device's hello has no session-id".to_owned()),
        };
        Ok(Self {
            session_id,
            capabilities: text_of("capability"),
        })
    }

    /// Whether a capability of RFC 6241, section 8, was announced, whatever its version: `candidate`.
    pub(super) fn can(&self, name: &str) -> bool {
        self.named(&CAPABILITIES)
            .any(|known| known.split([':', '?']).next() == Some(name))
    }

    fn speaks(&self, version: &str) -> bool {
        self.named(&BASES)
            .any(|known| known.split('?').next() == Some(version))
    }

    /// The capabilities with one of these beginnings, without it.
    fn named<'a>(&'a self, prefixes: &'a [&str]) -> impl Iterator<Item = &'a str> {
        let known = self.capabilities.iter();
        known.filter_map(|known| {
            prefixes
                .iter()
                .find_map(|prefix| known.strip_prefix(prefix))
        })
    }

    /// The framing of what follows the hellos; the error says which versions each side speaks.
    pub(super) fn framing(&self, only_1_0: bool) -> Result<Framing, String> {
        match (self.speaks("1.0"), self.speaks("1.1")) {
            (_, true) if !only_1_0 => Ok(Framing::Chunked),
            (true, _) => Ok(Framing::EndOfMessage),
            (false, true) => Err(
                "the device speaks NETCONF 1.1 alone, and `framing: \"1.0\"` leaves it out"
                    .to_owned(),
            ),
            (false, false) => {
                Err("the device's hello names neither NETCONF 1.0 nor 1.1".to_owned())
            }
        }
    }

    /// The versions and what of the capabilities matters here, for an operator.
    pub(super) fn words(&self) -> String {
        let versions = ["1.0", "1.1"].into_iter().filter(|one| self.speaks(one));
        let versions: Vec<_> = versions.collect();
        let matters = [
            "candidate",
            "writable-running",
            "validate",
            "rollback-on-error",
            "startup",
            "confirmed-commit",
        ];
        let able: Vec<_> = matters.into_iter().filter(|name| self.can(name)).collect();
        let able = match able.is_empty() {
            true => "none of the capabilities that a change needs".to_owned(),
            false => able.join(", "),
        };
        format!(
            "session {}, NETCONF {}: {able}; {} capabilities in all",
            self.session_id,
            versions.join(" and "),
            self.capabilities.len()
        )
    }
}

/// Our own hello.
pub(super) fn ours(only_1_0: bool) -> String {
    let versions: &[&str] = if only_1_0 { &["1.0"] } else { &["1.0", "1.1"] };
    let mut hello = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<hello xmlns=\"{BASE}\"><capabilities>"
    );
    for version in versions {
        hello.push_str("<capability>");
        hello.push_str(BASES[0]);
        hello.push_str(version);
        hello.push_str("</capability>");
    }
    hello.push_str("</capabilities></hello>");
    hello
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(capabilities: &[&str]) -> Hello {
        let list: String = capabilities
            .iter()
            .map(|one| format!("<capability>\n  {one}\n</capability>"))
            .collect();
        let message = format!(
            "<nc:hello xmlns:nc=\"{BASE}\"><nc:session-id>4</nc:session-id><x>{list}</x></nc:hello>"
        );
        Hello::read(&message).unwrap()
    }

    #[test]
    fn chunks_only_where_both_sides_know_them() {
        let old = hello(&["urn:ietf:params:netconf:base:1.0"]);
        let new = hello(&["urn:ietf:params:netconf:base:1.1"]);
        let both = hello(&[
            "urn:ietf:params:xml:ns:netconf:base:1.0",
            "urn:ietf:params:netconf:base:1.1",
        ]);
        assert_eq!(old.framing(false), Ok(Framing::EndOfMessage));
        assert_eq!(new.framing(false), Ok(Framing::Chunked));
        assert_eq!(both.framing(false), Ok(Framing::Chunked));
        assert_eq!(both.framing(true), Ok(Framing::EndOfMessage));
        assert!(new.framing(true).unwrap_err().contains("1.1 alone"));
        assert!(hello(&[]).framing(false).is_err());
        assert!(!ours(true).contains("base:1.1"));
        assert!(ours(false).contains("base:1.1"));
    }

    #[test]
    fn capabilities_are_known_by_name_whatever_their_version() {
        let device = hello(&[
            "urn:ietf:params:netconf:capability:candidate:1.0",
            "urn:ietf:params:xml:ns:netconf:capability:validate:1.1",
            "urn:ietf:params:netconf:capability:url:1.0?scheme=file",
            "urn:example:capability:startup:1.0",
        ]);
        for (name, can) in [
            ("candidate", true),
            ("validate", true),
            ("url", true),
            ("startup", false),
            ("cand", false),
        ] {
            assert_eq!(device.can(name), can, "{name}");
        }
        assert_eq!(
            device.words(),
            "session 4, NETCONF : candidate, validate; 4 capabilities in all"
        );
    }

    #[test]
    fn what_is_no_hello_says_so() {
        for (message, says) in [
            ("Permission denied", "not XML"),
            ("<rpc-reply/>", "`rpc-reply`"),
            ("<hello/>", "no session-id"),
            ("<hello><session-id>x</session-id></hello>", "`x`"),
        ] {
            let error = Hello::read(message).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
    }
}
