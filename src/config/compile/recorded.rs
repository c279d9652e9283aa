//! What every route records: the attributes that the mapping of a resource has, always or sometimes.

use std::collections::BTreeMap;

use super::resource::Sheet;
use crate::config::spec::mapping::{MappingOpSpec, VerbSpec};
use crate::config::spec::part::{Written, right, wrong};
use crate::document::{Kind, Node};
use crate::plan::Verb;

/// The attributes of every resource, by who records them.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    resources: BTreeMap<String, Records>,
    /// Some change cannot be read, and has been reported: what it records is not known.
    incomplete: bool,
}

#[derive(Debug, Default)]
struct Records {
    /// Those that make an object and its id at once.
    creates: Vec<Change>,
    /// Those that make an object whose id comes later.
    begins: Vec<Change>,
    /// Those that change an object, and perhaps bring its id.
    updates: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    route: String,
    brings_id: bool,
    /// Each with whether its source is `optional`.
    attributes: Vec<(String, bool)>,
}

/// What is known of one attribute.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Attribute<'r> {
    /// Every object that a call can be about has it.
    Always,
    /// Some may lack it: why.
    Sometimes(String),
    /// Nobody records it; these are recorded.
    Unknown(Vec<&'r str>),
}

impl Recorded {
    /// What the routes of all files record.
    pub(super) fn of(sheets: &[Sheet]) -> Self {
        let mut this = Self::default();
        for sheet in sheets {
            let resource = right(&sheet.spec.resource).map_or("", Written::text);
            for (name, spec) in right(&sheet.spec.routes)
                .iter()
                .flat_map(|routes| &routes.0)
            {
                this.incomplete |= wrong(&spec.mapping);
                for change in right(&spec.mapping).iter().flat_map(|mapping| &mapping.0) {
                    this.add(&name.value, resource, change);
                }
            }
            // A route that cannot be read at all is left out of what was read.
            let written = match sheet.node.get("routes").map(|node| &node.kind) {
                Some(Kind::Map(routes)) => routes.len(),
                _ => 0,
            };
            let read = right(&sheet.spec.routes).map_or(0, |routes| routes.0.len());
            this.incomplete |= wrong(&sheet.spec.routes) || read < written;
        }
        this
    }

    fn add(&mut self, route: &str, own: &str, change: &VerbSpec) {
        let Some(op) = &change.op else {
            self.incomplete = true;
            return;
        };
        let resource = op.resource.as_ref().map_or(own, Written::text);
        let records = self.resources.entry(resource.to_owned()).or_default();
        let pending = op.backend_id.as_ref().and_then(Node::as_text) == Some("pending");
        let list = match change.verb {
            Verb::Create | Verb::Put if pending => &mut records.begins,
            Verb::Create | Verb::Put => &mut records.creates,
            Verb::Update => &mut records.updates,
            Verb::Delete => return,
        };
        list.push(Change {
            route: route.to_owned(),
            brings_id: op.backend_id.is_some(),
            attributes: attributes(op),
        });
    }

    /// What is known of an attribute of a resource. Of one that no route creates nothing is said: its
    /// mappings come from elsewhere.
    pub(super) fn attribute(&self, resource: &str, name: &str) -> Attribute<'_> {
        let Some(records) = self.resources.get(resource).filter(|_| !self.incomplete) else {
            return Attribute::Always;
        };
        if records.creates.is_empty() && records.begins.is_empty() {
            return Attribute::Always;
        }
        let all = || {
            let made = records.creates.iter().chain(&records.begins);
            made.chain(&records.updates)
        };
        if !all().any(|change| change.says(name).is_some()) {
            let mut known: Vec<&str> = all()
                .flat_map(|change| &change.attributes)
                .map(|(name, _)| name.as_str())
                .collect();
            known.sort_unstable();
            known.dedup();
            return Attribute::Unknown(known);
        }
        // A call on an object whose id has not come is refused, so what brings the id may bring the rest.
        let bringing = || records.updates.iter().filter(|change| change.brings_id);
        let brought =
            bringing().next().is_some() && bringing().all(|c| c.says(name) == Some(false));
        let makers = records.creates.iter();
        let makers = makers.chain(records.begins.iter().filter(|_| !brought));
        let mut lacking = makers.filter(|change| change.says(name) != Some(false));
        match lacking.next() {
            None => Attribute::Always,
            Some(change) => Attribute::Sometimes(match change.says(name) {
                Some(_) => format!(
                    "`{}` records it by a source that is `optional: true`",
                    change.route
                ),
                None => format!("`{}` creates a `{resource}` without it", change.route),
            }),
        }
    }
}

impl Change {
    /// Whether it records the attribute, and then whether by an `optional` source.
    fn says(&self, name: &str) -> Option<bool> {
        self.attributes
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, optional)| *optional)
    }
}

fn attributes(op: &MappingOpSpec) -> Vec<(String, bool)> {
    let entries = op.attributes.iter().flat_map(|entries| &entries.0);
    entries
        .map(|(name, source)| {
            let optional = source.get("optional").map(|node| &node.kind);
            (
                name.value.clone(),
                matches!(optional, Some(Kind::Bool(true))),
            )
        })
        .collect()
}
