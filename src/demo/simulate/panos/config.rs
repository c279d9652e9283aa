//! The candidate configuration: entries in their order, what one may say in them, and who refers to whom.

use std::collections::BTreeMap;
use std::str::FromStr;

use axum::http::StatusCode;
use ipnet::IpNet;
use roxmltree::{Document, Node};
use serde::{Deserialize, Serialize};

use super::super::fortios::ports;
use super::success;

const ZONES: [&str; 3] = ["trust", "untrust", "dmz"];
const VSYS: &str =
    "/config/devices/entry[@name='localhost.localdomain']/vsys/entry[@name='vsys1']/";

const ADDRESSES: &str = "address";
const SERVICES: &str = "service";

/// What may stand below the vsys, with the elements that name an address and a service.
const SORTS: [(&str, &[&str]); 4] = [
    (ADDRESSES, &[]),
    (SERVICES, &[]),
    (
        "rulebase/security/rules",
        &["source", "destination", "service"],
    ),
    ("rulebase/nat/rules", &["source", "destination", "service"]),
];

/// What an xpath names: a sort, and of it one entry, all (`None`) or the place of new ones.
#[derive(Debug)]
pub(super) struct Place {
    sort: &'static str,
    name: Option<String>,
}

impl Place {
    pub(super) fn of(xpath: &str) -> Option<Self> {
        let path = xpath.strip_prefix(VSYS)?;
        SORTS.iter().find_map(|(sort, _)| {
            let rest = path.strip_prefix(sort)?;
            let name = match rest {
                "" | "/entry" => None,
                rest => {
                    let name = rest.strip_prefix("/entry[@name='")?.strip_suffix("']")?;
                    Some(name.to_owned())
                }
            };
            Some(Self { sort, name })
        })
    }
}

/// A refusal, by the code that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// A parameter is missing.
    Bad,
    Key,
    Xpath,
    Absent,
    NoJob(u32),
    InUse {
        name: String,
        by: String,
    },
    Reference {
        from: String,
        to: String,
    },
    Invalid(String),
    Full(&'static str),
    NoDestination,
    Command,
    Malformed,
    Internal,
}

impl Refused {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Bad => StatusCode::BAD_REQUEST,
            Self::Key => StatusCode::FORBIDDEN,
            _ => StatusCode::OK,
        }
    }

    pub(super) fn xml(&self) -> String {
        let (code, lines): (u16, Vec<String>) = match self {
            Self::Bad => (400, vec!["A required parameter is missing".into()]),
            Self::Key => {
                return "<response status=\"error\" code=\"403\"><result><msg>Invalid Credential</msg></result></response>"
                    .to_owned();
            }
            Self::Xpath => (6, vec!["the xpath is not valid".into()]),
            Self::Absent => (7, vec!["No such node".into()]),
            Self::NoJob(id) => (7, vec![format!("job {id} not found")]),
            Self::InUse { name, by } => (
                10,
                vec![
                    format!("{name} cannot be deleted because of references from:"),
                    format!("vsys -> vsys1 -> {by}"),
                ],
            ),
            Self::Reference { from, to } => {
                (12, vec![format!("{from} '{to}' is not a valid reference")])
            }
            Self::Invalid(what) => (12, vec![format!("{what} is invalid")]),
            Self::Full(sort) => (
                12,
                vec![format!("{sort} exceeds the capacity of the platform")],
            ),
            Self::NoDestination => (13, vec!["the rule to move to is not there".into()]),
            Self::Command => (17, vec!["the command or a parameter is not valid".into()]),
            Self::Malformed => (18, vec!["the XML cannot be read".into()]),
            Self::Internal => (21, vec!["the configuration cannot be kept".into()]),
        };
        let lines: String = lines
            .iter()
            .map(|line| format!("<line>{}</line>", escaped(line)))
            .collect();
        format!("<response status=\"error\" code=\"{code}\"><msg>{lines}</msg></response>")
    }
}

/// An element: text or children.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Element {
    name: String,
    text: String,
    children: Vec<Element>,
}

/// An entry, and the number of the change that is not committed yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    inner: Vec<Element>,
    dirty: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Candidate {
    entries: BTreeMap<String, Vec<Entry>>,
    changes: u64,
    /// Something was changed since the last commit: an entry that is gone has no mark.
    dirty: bool,
    #[serde(skip, default = "plenty")]
    most: usize,
}

fn plenty() -> usize {
    2500
}

impl Default for Candidate {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            changes: 0,
            dirty: false,
            most: plenty(),
        }
    }
}

impl Candidate {
    pub(super) fn hold_at_most(&mut self, most: usize) {
        self.most = most;
    }

    pub(super) fn forget(&mut self, sort: &str, name: &str) {
        if let Some(entries) = self.entries.get_mut(sort) {
            entries.retain(|entry| entry.name != name);
        }
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// What was changed is in force.
    pub(super) fn clean(&mut self) {
        self.dirty = false;
        for entry in self.entries.values_mut().flatten() {
            entry.dirty = None;
        }
    }

    fn changed(&mut self) -> Option<u64> {
        self.dirty = true;
        self.changes += 1;
        Some(self.changes)
    }

    fn all(&self, sort: &str) -> &[Entry] {
        self.entries.get(sort).map_or(&[], Vec::as_slice)
    }

    fn at(&self, place: &Place) -> Option<usize> {
        let name = place.name.as_deref()?;
        self.all(place.sort)
            .iter()
            .position(|entry| entry.name == name)
    }

    pub(super) fn get(&self, place: &Place) -> String {
        let wanted = |entry: &&Entry| place.name.as_ref().is_none_or(|name| *name == entry.name);
        let found: Vec<String> = self
            .all(place.sort)
            .iter()
            .filter(wanted)
            .map(shown)
            .collect();
        match found.len() {
            0 => success(7, "<result/>"),
            count => success(
                19,
                &format!(
                    "<result total-count=\"{count}\" count=\"{count}\">{}</result>",
                    found.concat()
                ),
            ),
        }
    }

    /// Joins what is there: texts are replaced, members are added.
    pub(super) fn set(&mut self, place: &Place, element: &str) -> Result<String, Refused> {
        let (name, inner) = entry(element)?;
        let there = self
            .all(place.sort)
            .iter()
            .position(|entry| entry.name == name);
        let joined = match there {
            Some(at) => join(&self.all(place.sort)[at].inner, inner),
            None => inner,
        };
        self.check(place.sort, &name, &joined)?;
        if there.is_none() && self.all(place.sort).len() >= self.most {
            return Err(Refused::Full(place.sort));
        }
        let entry = Entry {
            name,
            inner: joined,
            dirty: self.changed(),
        };
        let entries = self.entries.entry(place.sort.to_owned()).or_default();
        match there {
            Some(at) => entries[at] = entry,
            None => entries.push(entry),
        }
        Ok(done())
    }

    /// Replaces an entry whole.
    pub(super) fn edit(&mut self, place: &Place, element: &str) -> Result<String, Refused> {
        let (name, inner) = entry(element)?;
        let at = self.at(place).ok_or(Refused::Absent)?;
        if place.name.as_ref() != Some(&name) {
            return Err(Refused::Invalid(name));
        }
        self.check(place.sort, &name, &inner)?;
        let dirty = self.changed();
        if let Some(entries) = self.entries.get_mut(place.sort) {
            entries[at] = Entry { name, inner, dirty };
        }
        Ok(done())
    }

    pub(super) fn delete(&mut self, place: &Place) -> Result<String, Refused> {
        let Some(at) = self.at(place) else {
            return Ok(success(7, "<msg>Object doesn't exist</msg>"));
        };
        let name = &self.all(place.sort)[at].name;
        if let Some(by) = self.user(place.sort, name) {
            let name = name.clone();
            return Err(Refused::InUse { name, by });
        }
        self.changed();
        if let Some(entries) = self.entries.get_mut(place.sort) {
            entries.remove(at);
        }
        Ok(done())
    }

    pub(super) fn shift(
        &mut self,
        place: &Place,
        way: &str,
        beside: &str,
    ) -> Result<String, Refused> {
        let at = self.at(place).ok_or(Refused::Absent)?;
        let mut entries = self.all(place.sort).to_vec();
        let mut moved = entries.remove(at);
        let other = entries.iter().position(|entry| entry.name == beside);
        let other = other.ok_or(Refused::NoDestination)?;
        let to = match way {
            "before" => other,
            "after" => other + 1,
            _ => return Err(Refused::Command),
        };
        moved.dirty = self.changed();
        entries.insert(to, moved);
        self.entries.insert(place.sort.to_owned(), entries);
        Ok(done())
    }

    /// The path of an entry that names this one.
    fn user(&self, sort: &str, name: &str) -> Option<String> {
        SORTS.iter().find_map(|(rules, naming)| {
            self.all(rules).iter().find_map(|rule| {
                let by = rule.inner.iter().find(|element| {
                    let of = if element.name == "service" {
                        SERVICES
                    } else {
                        ADDRESSES
                    };
                    naming.contains(&&*element.name)
                        && of == sort
                        && texts(element).any(|t| t == name)
                })?;
                Some(format!(
                    "{} -> {} -> {}",
                    rules.replace('/', " -> "),
                    rule.name,
                    by.name
                ))
            })
        })
    }

    fn check(&self, sort: &str, name: &str, inner: &[Element]) -> Result<(), Refused> {
        let knows = |sort: &str, name: &str| self.all(sort).iter().any(|entry| entry.name == name);
        for element in inner {
            let invalid = || Refused::Invalid(element.name.clone());
            match element.name.as_str() {
                "ip-netmask" => IpNet::from_str(&element.text)
                    .map(drop)
                    .map_err(|_| invalid())?,
                "protocol" => {
                    let port = element.children.iter().flat_map(texts).next();
                    if !port.is_some_and(ports) {
                        return Err(invalid());
                    }
                }
                "from" | "to" | "source" | "destination" | "service"
                    if sort.starts_with("rulebase") =>
                {
                    for said in texts(element) {
                        let known = said == "any"
                            || match element.name.as_str() {
                                "from" | "to" => ZONES.contains(&said),
                                "service" => said == "application-default" || knows(SERVICES, said),
                                _ => knows(ADDRESSES, said) || IpNet::from_str(said).is_ok(),
                            };
                        if !known {
                            let from = format!("{name} -> {}", element.name);
                            return Err(Refused::Reference {
                                from,
                                to: said.to_owned(),
                            });
                        }
                    }
                }
                _ => {}
            }
        }
        let complete = |wanted: &[&str]| inner.iter().any(|e| wanted.contains(&&*e.name));
        let complete = match sort {
            ADDRESSES => complete(&["ip-netmask", "fqdn"]),
            SERVICES => complete(&["protocol"]),
            _ => complete(&["source"]) && complete(&["destination"]) && complete(&["service"]),
        };
        if complete {
            Ok(())
        } else {
            Err(Refused::Invalid(name.to_owned()))
        }
    }
}

fn done() -> String {
    success(20, "<msg>command succeeded</msg>")
}

/// The texts of an element and of what it holds.
fn texts(element: &Element) -> impl Iterator<Item = &str> {
    let own = (!element.text.is_empty()).then_some(element.text.as_str());
    let inner = element.children.iter().map(|child| child.text.as_str());
    own.into_iter().chain(inner)
}

/// `<entry name="...">`, whose name is of the characters that names have.
fn entry(element: &str) -> Result<(String, Vec<Element>), Refused> {
    let document = Document::parse(element).map_err(|_| Refused::Malformed)?;
    let root = document.root_element();
    let name = root.attribute("name").unwrap_or_default();
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-. ".contains(c);
    let named = (1..64).contains(&name.len()) && name.chars().all(plain);
    if !root.has_tag_name("entry") || !named {
        return Err(Refused::Invalid("entry".to_owned()));
    }
    Ok((name.to_owned(), children(root)))
}

fn children(node: Node<'_, '_>) -> Vec<Element> {
    let elements = node.children().filter(Node::is_element);
    let element = |child: Node<'_, '_>| {
        let children = children(child);
        let text = child
            .text()
            .filter(|_| children.is_empty())
            .unwrap_or_default();
        Element {
            name: child.tag_name().name().to_owned(),
            text: text.trim().to_owned(),
            children,
        }
    };
    elements.map(element).collect()
}

fn join(there: &[Element], said: Vec<Element>) -> Vec<Element> {
    let mut joined = there.to_vec();
    for element in said {
        let same = joined.iter().position(|known| known.name == element.name);
        match same.filter(|_| element.name != "member") {
            Some(at) if element.children.is_empty() => joined[at] = element,
            Some(at) => joined[at].children = join(&joined[at].children, element.children),
            None if joined.contains(&element) => {}
            None => joined.push(element),
        }
    }
    joined
}

fn shown(entry: &Entry) -> String {
    let marks = entry.dirty.map_or_else(String::new, |change| {
        format!(" admin=\"relay\" dirtyId=\"{change}\" time=\"2026/11/20 10:00:00\"")
    });
    let inner: String = entry
        .inner
        .iter()
        .map(|element| xml(element, &marks))
        .collect();
    format!("<entry name=\"{}\"{marks}>{inner}</entry>", entry.name)
}

fn xml(element: &Element, marks: &str) -> String {
    let name = &element.name;
    let inner: String = element
        .children
        .iter()
        .map(|child| xml(child, marks))
        .collect();
    format!("<{name}{marks}>{}{inner}</{name}>", escaped(&element.text))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
