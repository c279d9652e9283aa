//! What a simulated switch holds: VLANs, ports, static routes and prefix lists, and what it refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

/// Ports of the switch: `1/1` to `1/32`.
pub(super) const PORTS: u8 = 32;

/// The VLAN that is always there, and that every port is in at first.
pub(super) const DEFAULT_VLAN: u16 = 1;

/// Characters of a VLAN's name and of a description.
const LONGEST_VLAN_NAME: usize = 40;
const LONGEST_DESCRIPTION: usize = 128;

/// Why a command did nothing: what stands behind `% `.
pub(super) type Refusal = String;

/// The running configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Config {
    /// Their names; an empty one is none.
    pub(super) vlans: BTreeMap<u16, String>,
    pub(super) ports: BTreeMap<PortName, Port>,
    pub(super) routes: BTreeSet<Route>,
    /// Their entries, by name and sequence number.
    pub(super) prefix_lists: BTreeMap<String, BTreeMap<u32, PrefixRule>>,
}

/// `1/7`: slot and port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct PortName(u8);

/// What is set on a port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Port {
    pub(super) description: String,
    pub(super) mode: PortMode,
    /// Untagged, but on a trunk.
    pub(super) access: Option<u16>,
    /// Tagged, on a trunk or a hybrid port.
    pub(super) allowed: BTreeSet<u16>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum PortMode {
    #[default]
    Access,
    Trunk,
    Hybrid,
}

/// A static route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Route {
    pub(super) prefix: Prefix,
    pub(super) next_hop: Ipv4Addr,
}

/// An entry of a prefix list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PrefixRule {
    pub(super) permit: bool,
    pub(super) prefix: Prefix,
    pub(super) ge: Option<u8>,
    pub(super) le: Option<u8>,
}

/// A network, without host bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Prefix(Ipv4Net);

impl Default for Config {
    fn default() -> Self {
        Self {
            // One is somebody's, as on any switch that a relay comes to.
            vlans: BTreeMap::from([
                (DEFAULT_VLAN, "default".to_owned()),
                (900, "storage".to_owned()),
            ]),
            ports: (1..=PORTS)
                .map(|port| (PortName(port), Port::default()))
                .collect(),
            routes: BTreeSet::new(),
            prefix_lists: BTreeMap::new(),
        }
    }
}

impl Config {
    /// A VLAN's number, as it is typed.
    pub(super) fn vlan_number(word: &str) -> Result<u16, Refusal> {
        match word.parse() {
            Ok(number @ 1..=4094) => Ok(number),
            _ => Err(format!("VLAN {word} is out of range")),
        }
    }

    /// The number of a VLAN that is there.
    pub(super) fn known_vlan(&self, word: &str) -> Result<u16, Refusal> {
        let number = Self::vlan_number(word)?;
        match self.vlans.contains_key(&number) {
            true => Ok(number),
            false => Err(format!("VLAN {number} does not exist")),
        }
    }

    pub(super) fn name_vlan(&mut self, number: u16, name: &str) -> Result<(), Refusal> {
        if name.len() > LONGEST_VLAN_NAME {
            return Err(format!(
                "Invalid name: it has more than {LONGEST_VLAN_NAME} characters"
            ));
        }
        let mut others = self.vlans.iter().filter(|(other, _)| **other != number);
        if let Some((other, _)) = others.find(|(_, held)| *held == name) {
            return Err(format!("Name is used by VLAN {other}"));
        }
        self.vlans.insert(number, name.to_owned());
        Ok(())
    }

    /// Removes a VLAN, and it from every port.
    pub(super) fn remove_vlan(&mut self, word: &str) -> Result<(), Refusal> {
        let number = self.known_vlan(word)?;
        if number == DEFAULT_VLAN {
            return Err("Invalid VLAN: the default VLAN cannot be removed".to_owned());
        }
        self.vlans.remove(&number);
        for port in self.ports.values_mut() {
            port.allowed.remove(&number);
            port.access = port.access.filter(|access| *access != number);
        }
        Ok(())
    }

    /// The ports that carry a VLAN, tagged or not.
    pub(super) fn members(&self, number: u16) -> impl Iterator<Item = PortName> {
        self.ports
            .iter()
            .filter(move |(_, port)| port.carries(number))
            .map(|(name, _)| *name)
    }

    pub(super) fn port(&mut self, word: &str) -> Result<(PortName, &mut Port), Refusal> {
        let name: PortName = word.parse()?;
        Ok((name, self.ports.entry(name).or_default()))
    }

    pub(super) fn describe(&mut self, name: PortName, text: &str) -> Result<(), Refusal> {
        if text.len() > LONGEST_DESCRIPTION {
            return Err(format!(
                "Invalid description: it has more than {LONGEST_DESCRIPTION} characters"
            ));
        }
        self.ports.entry(name).or_default().description = text.to_owned();
        Ok(())
    }

    pub(super) fn remove_route(
        &mut self,
        prefix: Prefix,
        next_hop: Option<Ipv4Addr>,
    ) -> Result<(), Refusal> {
        let before = self.routes.len();
        self.routes.retain(|route| {
            route.prefix != prefix || next_hop.is_some_and(|next_hop| next_hop != route.next_hop)
        });
        match self.routes.len() == before {
            true => Err(format!("Route {prefix} does not exist")),
            false => Ok(()),
        }
    }

    /// Adds a rule; without a number, behind the others, in steps of ten.
    pub(super) fn add_rule(
        &mut self,
        list: &str,
        number: Option<u32>,
        rule: PrefixRule,
    ) -> Result<(), Refusal> {
        let length = rule.prefix.0.prefix_len();
        let within = |bound: Option<u8>| bound.is_none_or(|bound| bound >= length && bound <= 32);
        let ordered = match (rule.ge, rule.le) {
            (Some(ge), Some(le)) => ge <= le,
            _ => true,
        };
        if !within(rule.ge) || !within(rule.le) || !ordered {
            return Err("Invalid prefix length range".to_owned());
        }
        let rules = self.prefix_lists.entry(list.to_owned()).or_default();
        let last = rules.keys().next_back().copied().unwrap_or_default();
        rules.insert(number.unwrap_or((last / 10 + 1) * 10), rule);
        Ok(())
    }

    /// Removes a rule, or the whole list; a list without rules is none.
    pub(super) fn remove_rules(&mut self, list: &str, number: Option<u32>) -> Result<(), Refusal> {
        let Some(rules) = self.prefix_lists.get_mut(list) else {
            return Err(format!("Prefix list {list} does not exist"));
        };
        match number {
            Some(number) if rules.remove(&number).is_none() => {
                return Err(format!(
                    "Sequence {number} of prefix list {list} does not exist"
                ));
            }
            Some(_) => {}
            None => rules.clear(),
        }
        if rules.is_empty() {
            self.prefix_lists.remove(list);
        }
        Ok(())
    }
}

impl Port {
    /// The VLAN of what comes untagged.
    pub(super) fn untagged(&self) -> Option<u16> {
        match self.mode {
            PortMode::Trunk => None,
            PortMode::Access | PortMode::Hybrid => Some(self.access.unwrap_or(DEFAULT_VLAN)),
        }
    }

    /// The VLANs of what comes tagged.
    pub(super) fn tagged(&self) -> impl Iterator<Item = u16> {
        let none = self.mode == PortMode::Access;
        self.allowed.iter().copied().filter(move |_| !none)
    }

    fn carries(&self, number: u16) -> bool {
        self.untagged() == Some(number) || self.tagged().any(|tagged| tagged == number)
    }
}

impl PortMode {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Trunk => "trunk",
            Self::Hybrid => "hybrid",
        }
    }
}

impl FromStr for PortMode {
    type Err = Refusal;

    fn from_str(word: &str) -> Result<Self, Refusal> {
        [Self::Access, Self::Trunk, Self::Hybrid]
            .into_iter()
            .find(|mode| mode.name() == word)
            .ok_or_else(|| format!("Invalid switchport mode {word}"))
    }
}

impl FromStr for PortName {
    type Err = Refusal;

    fn from_str(word: &str) -> Result<Self, Refusal> {
        word.strip_prefix("1/")
            .filter(|port| port.chars().all(|c| c.is_ascii_digit()))
            .and_then(|port| port.parse().ok())
            .filter(|port| (1..=PORTS).contains(port))
            .map(Self)
            .ok_or_else(|| format!("Invalid interface {word}"))
    }
}

impl fmt::Display for PortName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1/{}", self.0)
    }
}

impl From<PortName> for String {
    fn from(name: PortName) -> Self {
        name.to_string()
    }
}

impl TryFrom<String> for PortName {
    type Error = Refusal;

    fn try_from(word: String) -> Result<Self, Refusal> {
        word.parse()
    }
}

impl Prefix {
    pub(super) fn new(network: Ipv4Net) -> Self {
        Self(network.trunc())
    }
}

impl FromStr for Prefix {
    type Err = Refusal;

    fn from_str(word: &str) -> Result<Self, Refusal> {
        let network = word.parse().map_err(|_| format!("Invalid prefix {word}"))?;
        Ok(Self::new(network))
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<Prefix> for String {
    fn from(prefix: Prefix) -> Self {
        prefix.to_string()
    }
}

impl TryFrom<String> for Prefix {
    type Error = Refusal;

    fn try_from(word: String) -> Result<Self, Refusal> {
        word.parse()
    }
}
