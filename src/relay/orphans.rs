//! What a reload would leave without a route or without a backend: mappings that no request could
//! reach any more, and unsettled operations that no retry could finish.
//!
//! The comparison is pure and usually finds nothing; only for what it finds are rows counted, by an
//! index. Rows of in-flight requests count too, as pending operations.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::plan::Plan;
use crate::store::{
    CountOf, MappingFilter, ObjectCount, OperationFilter, State, Store, StoreError,
};

/// What of a plan mappings depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Footing {
    pub resources: BTreeMap<String, ResourceFooting>,
    pub backends: BTreeMap<String, BackendFooting>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceFooting {
    pub kind: String,
    pub per_backend: bool,
    /// Some route has an object of it as its `object`.
    pub reached: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendFooting {
    pub kind: String,
    /// Where calls go.
    pub address: String,
}

/// A change that may pull the ground from under mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    pub subject: Subject,
    pub change: Change,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    Resource(String),
    Backend(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    Removed,
    /// Resource or backend: from and to.
    Kind(String, String),
    /// A resource's `per_backend`: its value after the reload.
    PerBackend(bool),
    /// No route has such an object as its `object` any more.
    Unreached,
    /// A backend's address, from and to: said, and not refused, for a device that moved is the same.
    Moved(String, String),
}

/// Rows that a risk concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphans {
    pub risk: Risk,
    pub resource: String,
    pub backend: String,
    pub mappings: u64,
    /// Pending and unknown operations.
    pub unsettled: u64,
    /// The first CMP ids; of operations where there is no mapping.
    pub first: Vec<String>,
}

/// Ids that are told of each.
const FIRST: u32 = 5;

impl Footing {
    pub fn of(plan: &Plan) -> Self {
        let resources = plan.resources.iter().enumerate().map(|(index, resource)| {
            let reached = plan.routes.iter().any(|route| {
                let object = route.object.as_ref();
                object.is_some_and(|object| usize::from(object.resource.0) == index)
            });
            let footing = ResourceFooting {
                kind: resource.kind.to_string(),
                per_backend: resource.per_backend,
                reached,
            };
            (resource.name.to_string(), footing)
        });
        let backends = plan.backends.iter().map(|backend| {
            let footing = BackendFooting {
                kind: backend.kind.to_string(),
                address: backend.driver.address(),
            };
            (backend.name.to_string(), footing)
        });
        Self {
            resources: resources.collect(),
            backends: backends.collect(),
        }
    }

    /// What a change from this to `after` puts at risk, resources first, in the order of their names.
    pub fn risks(&self, after: &Footing) -> Vec<Risk> {
        let mut risks = Vec::new();
        for (name, old) in &self.resources {
            let mut found = |change| {
                let subject = Subject::Resource(name.clone());
                risks.push(Risk { subject, change });
            };
            let Some(new) = after.resources.get(name) else {
                found(Change::Removed);
                continue;
            };
            if old.kind != new.kind {
                found(Change::Kind(old.kind.clone(), new.kind.clone()));
            }
            if old.per_backend != new.per_backend {
                found(Change::PerBackend(new.per_backend));
            }
            if old.reached && !new.reached {
                found(Change::Unreached);
            }
        }
        for (name, old) in &self.backends {
            let mut found = |change| {
                let subject = Subject::Backend(name.clone());
                risks.push(Risk { subject, change });
            };
            let Some(new) = after.backends.get(name) else {
                found(Change::Removed);
                continue;
            };
            if old.kind != new.kind {
                found(Change::Kind(old.kind.clone(), new.kind.clone()));
            }
            if old.address != new.address {
                found(Change::Moved(old.address.clone(), new.address.clone()));
            }
        }
        risks
    }
}

impl Risk {
    /// Whether a reload is refused for it where rows depend on it.
    pub fn refuses(&self) -> bool {
        !matches!(self.change, Change::Moved(..))
    }

    /// Whether a row of this resource on this backend depends on it.
    pub fn concerns(&self, resource: &str, backend: &str) -> bool {
        match &self.subject {
            Subject::Resource(name) => name == resource,
            Subject::Backend(name) => name == backend,
        }
    }

    /// What happens, for people: `backend fw-1 is removed`.
    pub fn words(&self) -> String {
        let (what, name) = match &self.subject {
            Subject::Resource(name) => ("resource", name),
            Subject::Backend(name) => ("backend", name),
        };
        match &self.change {
            Change::Removed if what == "resource" => {
                format!("resource {name} has no route any more")
            }
            Change::Removed => format!("backend {name} is removed"),
            Change::Kind(from, to) => {
                format!("the kind of {what} {name} changes from {from} to {to}")
            }
            Change::PerBackend(now) => format!("resource {name} becomes per_backend: {now}"),
            Change::Unreached => format!("no route reads or changes a {name} any more"),
            Change::Moved(from, to) => format!("backend {name} moves from {from} to {to}"),
        }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match (&self.subject, &self.change) {
            (Subject::Resource(_), Change::Removed) => "resource_removed",
            (Subject::Backend(_), Change::Removed) => "backend_removed",
            (Subject::Resource(_), Change::Kind(..)) => "resource_kind",
            (Subject::Backend(_), Change::Kind(..)) => "backend_kind",
            (_, Change::PerBackend(_)) => "per_backend",
            (_, Change::Unreached) => "unreached",
            (_, Change::Moved(..)) => "backend_moved",
        }
    }
}

impl Orphans {
    pub fn to_json(&self) -> Value {
        json!({
            "change": self.risk.code(),
            "words": self.risk.words(),
            "resource": self.resource,
            "backend": self.backend,
            "mappings": self.mappings,
            "unsettled": self.unsettled,
            "first": self.first,
        })
    }

    /// `backend fw-1 is removed: 12 mappings of rule on fw-1 (r1, r2, ...)`.
    pub fn words(&self) -> String {
        let Self {
            resource, backend, ..
        } = self;
        let mut counts = Vec::new();
        if self.mappings > 0 {
            counts.push(counted(self.mappings, "mapping"));
        }
        if self.unsettled > 0 {
            counts.push(counted(self.unsettled, "unsettled operation"));
        }
        let more = match self.mappings.max(self.unsettled) > self.first.len() as u64 {
            true => ", ...",
            false => "",
        };
        format!(
            "{}: {} of {resource} on {backend} ({}{more})",
            self.risk.words(),
            counts.join(" and "),
            self.first.join(", "),
        )
    }
}

fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// The rows that depend on what is at risk; a database that is away is an error, and then nothing is
/// known. Without a risk, nothing is asked.
pub async fn find(store: &dyn Store, risks: &[Risk]) -> Result<Vec<Orphans>, StoreError> {
    let mut found = Vec::new();
    if risks.is_empty() {
        return Ok(found);
    }
    let unsettled = store.count_unsettled().await?;
    for risk in risks {
        let of = match &risk.subject {
            Subject::Resource(name) => CountOf::Resource(name.clone()),
            Subject::Backend(name) => CountOf::Backend(name.clone()),
        };
        let mappings = store.count_mappings(&of).await?;
        for mut orphans in join(risk, &mappings, &unsettled) {
            orphans.first = first(store, &orphans).await?;
            found.push(orphans);
        }
    }
    Ok(found)
}

/// One entry for each resource and backend with rows; `first` is empty.
pub fn join(risk: &Risk, mappings: &[ObjectCount], unsettled: &[ObjectCount]) -> Vec<Orphans> {
    let mut counts: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for row in mappings {
        counts.entry((&row.resource, &row.backend)).or_default().0 += row.count;
    }
    for row in unsettled {
        counts.entry((&row.resource, &row.backend)).or_default().1 += row.count;
    }
    counts
        .into_iter()
        .filter(|((resource, backend), _)| risk.concerns(resource, backend))
        .map(|((resource, backend), (mappings, unsettled))| Orphans {
            risk: risk.clone(),
            resource: resource.to_owned(),
            backend: backend.to_owned(),
            mappings,
            unsettled,
            first: Vec::new(),
        })
        .collect()
}

async fn first(store: &dyn Store, orphans: &Orphans) -> Result<Vec<String>, StoreError> {
    let (resource, backend) = (&orphans.resource, &orphans.backend);
    if orphans.mappings > 0 {
        let filter = MappingFilter {
            resource: Some(resource.clone()),
            backend: Some(backend.clone()),
            limit: FIRST,
            ..MappingFilter::default()
        };
        let rows = store.list_mappings(&filter).await?;
        return Ok(rows.into_iter().map(|row| row.key.cmp_id).collect());
    }
    let mut ids = Vec::new();
    for state in [State::Unknown, State::Pending] {
        let filter = OperationFilter {
            state: Some(state),
            resource: Some(resource.clone()),
            backend: Some(backend.clone()),
            limit: FIRST,
            ..OperationFilter::default()
        };
        let rows = store.list_operations(&filter).await?;
        ids.extend(rows.into_iter().map(|row| row.object.cmp_id));
    }
    ids.truncate(FIRST as usize);
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn footing() -> Footing {
        let resource = ResourceFooting {
            kind: "fw".into(),
            per_backend: false,
            reached: true,
        };
        let backend = BackendFooting {
            kind: "fw".into(),
            address: "https://fw-1".into(),
        };
        Footing {
            resources: [("rule".into(), resource)].into(),
            backends: [("fw-1".into(), backend)].into(),
        }
    }

    fn words(after: &Footing) -> Vec<(&'static str, bool)> {
        let risks = footing().risks(after);
        risks
            .iter()
            .map(|risk| (risk.code(), risk.refuses()))
            .collect()
    }

    #[test]
    fn what_takes_the_ground_away_is_a_risk_and_what_adds_to_it_is_none() {
        let mut more = footing();
        let another = more.backends["fw-1"].clone();
        more.backends.insert("fw-2".into(), another);
        assert_eq!(words(&more), []);
        assert_eq!(
            words(&Footing::default()),
            [("resource_removed", true), ("backend_removed", true)]
        );
        let mut changed = footing();
        let rule = changed.resources.get_mut("rule").unwrap();
        rule.kind = "waf".into();
        rule.per_backend = true;
        rule.reached = false;
        let fw = changed.backends.get_mut("fw-1").unwrap();
        fw.kind = "waf".into();
        fw.address = "https://fw-9".into();
        assert_eq!(
            words(&changed),
            [
                ("resource_kind", true),
                ("per_backend", true),
                ("unreached", true),
                ("backend_kind", true),
                ("backend_moved", false),
            ]
        );
    }

    #[test]
    fn rows_are_joined_and_told_in_words() {
        let risks = footing().risks(&Footing::default());
        let count = |resource: &str, backend: &str, count| ObjectCount {
            resource: resource.into(),
            backend: backend.into(),
            count,
        };
        let mappings = [count("rule", "fw-1", 12), count("zone", "fw-1", 1)];
        let unsettled = [count("rule", "fw-1", 1), count("rule", "fw-2", 3)];
        let told = |risk: &Risk| -> Vec<String> {
            let found = join(risk, &mappings, &unsettled).into_iter();
            found
                .map(|mut orphans| {
                    orphans.first = vec!["r1".into()];
                    orphans.words()
                })
                .collect()
        };
        assert_eq!(
            told(&risks[0]),
            [
                "resource rule has no route any more: 12 mappings and 1 unsettled operation of rule on fw-1 (r1, ...)",
                "resource rule has no route any more: 3 unsettled operations of rule on fw-2 (r1, ...)",
            ]
        );
        assert_eq!(
            told(&risks[1])[1],
            "backend fw-1 is removed: 1 mapping of zone on fw-1 (r1)"
        );
    }
}
