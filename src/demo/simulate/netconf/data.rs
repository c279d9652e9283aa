//! The configuration of a NETCONF server: the interfaces of RFC 8343, and the edits of RFC 6241,
//! section 7.2, in them.

use std::collections::BTreeMap;

use roxmltree::Node;
use serde::{Deserialize, Serialize};

use super::error::RpcError;
use super::{BASE, escaped};

/// The module `ietf-interfaces`.
pub(super) const IETF_INTERFACES: &str = "urn:ietf:params:xml:ns:yang:ietf-interfaces";

/// The module `iana-if-type`, whose identities an interface's `type` is one of.
pub(super) const IANA_IF_TYPE: &str = "urn:ietf:params:xml:ns:yang:iana-if-type";

/// Those that this server can have.
const TYPES: [&str; 5] = [
    "ethernetCsmacd",
    "softwareLoopback",
    "l2vlan",
    "l3ipvlan",
    "ieee8023adLag",
];

/// The leaves of an interface that can be set, without its key, in the order of the module.
const LEAVES: [&str; 4] = ["description", "type", "enabled", "link-up-down-trap-enable"];

/// A datastore: the leaves that were set, by interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Interfaces(BTreeMap<String, BTreeMap<String, String>>);

impl Default for Interfaces {
    fn default() -> Self {
        let leaves = [("description", "management"), ("type", "ethernetCsmacd")];
        let leaves = leaves.map(|(leaf, value)| (leaf.to_owned(), value.to_owned()));
        Self(BTreeMap::from([("mgmt0".to_owned(), leaves.into())]))
    }
}

/// `nc:operation` of an element, or what stands for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Merge,
    Replace,
    Create,
    Delete,
    Remove,
    /// Nothing here; a default only.
    None,
}

impl Operation {
    /// An element's own, or the one around it.
    fn of(node: Node<'_, '_>, around: Self) -> Result<Self, RpcError> {
        match node.attribute((BASE, "operation")) {
            None => Ok(around),
            Some("merge") => Ok(Self::Merge),
            Some("replace") => Ok(Self::Replace),
            Some("create") => Ok(Self::Create),
            Some("delete") => Ok(Self::Delete),
            Some("remove") => Ok(Self::Remove),
            Some(other) => Err(RpcError::bad_attribute("operation", other)),
        }
    }

    pub(super) fn default_of(word: &str) -> Option<Self> {
        match word {
            "merge" => Some(Self::Merge),
            "replace" => Some(Self::Replace),
            "none" => Some(Self::None),
            _ => None,
        }
    }
}

impl Interfaces {
    /// Each interface's name and leaves.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Leaves<'_>)> {
        self.0
            .iter()
            .map(|(name, leaves)| (name.as_str(), Leaves { name, leaves }))
    }

    /// Applies a `<config>`. On an error this is half changed: the caller throws it away.
    pub(super) fn edit(
        &mut self,
        config: Node<'_, '_>,
        default: Operation,
    ) -> Result<(), RpcError> {
        for container in config.children().filter(Node::is_element) {
            known(container, &["interfaces"])?;
            let operation = Operation::of(container, default)?;
            match operation {
                Operation::Delete if self.0.is_empty() => {
                    return Err(RpcError::data_missing("/if:interfaces".to_owned()));
                }
                Operation::Create if !self.0.is_empty() => {
                    return Err(RpcError::data_exists("/if:interfaces".to_owned()));
                }
                Operation::Delete | Operation::Remove => {
                    self.0.clear();
                    continue;
                }
                Operation::Replace => self.0.clear(),
                Operation::Merge | Operation::Create | Operation::None => {}
            }
            for interface in container.children().filter(Node::is_element) {
                known(interface, &["interface"])?;
                self.edit_interface(interface, Operation::of(interface, operation)?)?;
            }
        }
        Ok(())
    }

    fn edit_interface(&mut self, node: Node<'_, '_>, operation: Operation) -> Result<(), RpcError> {
        let elements = || node.children().filter(Node::is_element);
        let name = elements()
            .find(|leaf| leaf.has_tag_name((IETF_INTERFACES, "name")))
            .map(text_of)
            .filter(|name| !name.is_empty())
            .ok_or_else(|| RpcError::missing_element("name"))?;
        let path = path_of(&name);
        let there = self.0.contains_key(&name);
        match operation {
            Operation::Delete if !there => return Err(RpcError::data_missing(path)),
            Operation::Create if there => return Err(RpcError::data_exists(path)),
            Operation::None if !there => return Err(RpcError::data_missing(path)),
            Operation::Delete | Operation::Remove => {
                self.0.remove(&name);
                return Ok(());
            }
            Operation::Replace => {
                self.0.remove(&name);
            }
            Operation::Merge | Operation::Create | Operation::None => {}
        }
        let held = self.0.entry(name).or_default();
        for leaf in elements() {
            let around = match operation {
                Operation::Create | Operation::Replace => Operation::Merge,
                around => around,
            };
            edit_leaf(held, leaf, Operation::of(leaf, around)?, &path)?;
        }
        Ok(())
    }

    /// Whether this may be running: each interface has a type (RFC 8343, section 5).
    pub(super) fn check(&self) -> Result<(), RpcError> {
        match self
            .0
            .iter()
            .find(|(_, leaves)| !leaves.contains_key("type"))
        {
            Some((name, _)) => Err(RpcError::data_missing(format!("{}/if:type", path_of(name)))),
            None => Ok(()),
        }
    }
}

fn edit_leaf(
    held: &mut BTreeMap<String, String>,
    node: Node<'_, '_>,
    operation: Operation,
    interface: &str,
) -> Result<(), RpcError> {
    let name = known(node, &["name", LEAVES[0], LEAVES[1], LEAVES[2], LEAVES[3]])?;
    if name == "name" {
        return Ok(());
    }
    let path = format!("{interface}/if:{name}");
    let there = held.contains_key(name);
    match operation {
        Operation::Create if there => Err(RpcError::data_exists(path)),
        Operation::Delete if !there => Err(RpcError::data_missing(path)),
        Operation::Delete | Operation::Remove => {
            held.remove(name);
            Ok(())
        }
        Operation::None => Ok(()),
        Operation::Merge | Operation::Replace | Operation::Create => {
            held.insert(name.to_owned(), value_of(node, name, path)?);
            Ok(())
        }
    }
}

/// A leaf's value, as its type has it.
fn value_of(node: Node<'_, '_>, name: &str, path: String) -> Result<String, RpcError> {
    let text = text_of(node);
    let refused = |message: String| Err(RpcError::invalid_value(path, message));
    match (name, text.as_str()) {
        ("enabled", "true" | "false") => Ok(text),
        ("link-up-down-trap-enable", "enabled" | "disabled") => Ok(text),
        ("enabled" | "link-up-down-trap-enable", _) => {
            refused(format!("`{name}` cannot be `{text}`"))
        }
        ("type", _) => {
            // An identity: its prefix says the module by the namespaces in scope.
            let (prefix, identity) = text.split_once(':').unwrap_or(("", &text));
            let prefix = (!prefix.is_empty()).then_some(prefix);
            let known = node.lookup_namespace_uri(prefix) == Some(IANA_IF_TYPE);
            match known && TYPES.contains(&identity) {
                true => Ok(identity.to_owned()),
                false => refused(format!(
                    "`{text}` is no type of {IANA_IF_TYPE} that this server has"
                )),
            }
        }
        _ => Ok(text),
    }
}

/// An element's name, if it is one of these of the module.
pub(super) fn known<'n>(node: Node<'n, '_>, names: &[&str]) -> Result<&'n str, RpcError> {
    let name = node.tag_name().name();
    match node.tag_name().namespace() {
        Some(IETF_INTERFACES) if names.contains(&name) => Ok(name),
        Some(IETF_INTERFACES) => Err(RpcError::unknown_element(name)),
        other => Err(RpcError::unknown_namespace(name, other.unwrap_or_default())),
    }
}

/// An element's text, without the blanks around it.
pub(super) fn text_of(node: Node<'_, '_>) -> String {
    let texts = node.children().filter_map(|child| child.text());
    texts.collect::<String>().trim().to_owned()
}

fn path_of(name: &str) -> String {
    let quote = if name.contains('\'') { '"' } else { '\'' };
    format!("/if:interfaces/if:interface[if:name={quote}{name}{quote}]")
}

/// The leaves of one interface, as a reader sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Leaves<'d> {
    name: &'d str,
    leaves: &'d BTreeMap<String, String>,
}

impl<'d> Leaves<'d> {
    /// Each leaf that has a value, in the order of the module; with `state`, those of the device too.
    pub(super) fn all(self, state: bool) -> Vec<(&'static str, &'d str)> {
        let mut all = vec![("name", self.name)];
        let set = LEAVES.map(|leaf| Some((leaf, self.leaves.get(leaf)?.as_str())));
        all.extend(set.into_iter().flatten());
        if state {
            let disabled = self.leaves.get("enabled").is_some_and(|on| on == "false");
            let status = if disabled { "down" } else { "up" };
            all.extend([("admin-status", status), ("oper-status", status)]);
        }
        all
    }
}

/// A leaf as it is sent.
pub(super) fn leaf_xml(name: &str, value: &str) -> String {
    match name {
        "type" => format!("<type xmlns:ianaift=\"{IANA_IF_TYPE}\">ianaift:{value}</type>"),
        _ => format!("<{name}>{}</{name}>", escaped(value)),
    }
}
