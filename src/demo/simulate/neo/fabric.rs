//! The objects of the domain, and the jobs that change them.
//!
//! A job is `Pending` when it is first read, `Running` the second time, and at its end the third: only then is
//! done what it is about. A network or port whose name begins with `fail` is not made (`Aborted`), one with
//! `partly` is made with errors (`Completed With Errors`); a VLAN or a switch port that is taken aborts a job too.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use super::super::kept::Kept;

/// How often a job is read until it has ended.
const READS: u32 = 3;

/// A kind of object, as the path names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Collection {
    Network,
    Port,
}

impl Collection {
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "Network" => Some(Self::Network),
            "Port" => Some(Self::Port),
            _ => None,
        }
    }
}

/// A refusal before any job: its status, and why.
#[derive(Debug)]
pub(super) struct Refused(pub(super) StatusCode, pub(super) String);

/// A job that was begun, as it is shown.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) job: u64,
    pub(super) shown: Value,
}

/// What a job is about.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Work {
    Put(Collection, Value),
    Delete(Collection, String),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Job {
    id: u64,
    reads: u32,
    /// `None`: it goes on, and the number of reads says how.
    end: Option<(String, String)>,
    description: String,
    created: String,
    work: Work,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Held {
    networks: BTreeMap<String, Value>,
    ports: BTreeMap<String, Value>,
    jobs: BTreeMap<u64, Job>,
    last_job: u64,
}

/// The objects and jobs of one NEO.
#[derive(Debug)]
pub(super) struct Fabric {
    held: Kept<Held>,
}

impl Fabric {
    pub(super) fn open(file: Option<PathBuf>) -> io::Result<Self> {
        Kept::open(file).map(|held| Self { held })
    }

    pub(super) fn save(&self) -> io::Result<()> {
        self.held.save()
    }

    pub(super) fn all(&self, collection: Collection) -> Value {
        self.held.of(collection).values().cloned().collect()
    }

    pub(super) fn one(&self, collection: Collection, id: &str) -> Result<Value, Refused> {
        let found = self.held.of(collection).get(id);
        found.cloned().ok_or_else(|| missing(id))
    }

    pub(super) fn create(
        &mut self,
        collection: Collection,
        object: Value,
    ) -> Result<Accepted, Refused> {
        let id = check(collection, &object)?.to_owned();
        let held = self.held.of(collection);
        let name = text(&object, "name");
        if held.contains_key(&id) || held.values().any(|other| text(other, "name") == name) {
            let why = format!("`{name}` exists");
            return Err(Refused(StatusCode::CONFLICT, why));
        }
        if collection == Collection::Port {
            self.one(Collection::Network, text(&object, "network_id"))?;
        }
        Ok(self.begin("Create", Work::Put(collection, object)))
    }

    pub(super) fn update(
        &mut self,
        collection: Collection,
        id: &str,
        object: Value,
    ) -> Result<Accepted, Refused> {
        self.one(collection, id)?;
        if check(collection, &object)? != id {
            return Err(Refused(StatusCode::BAD_REQUEST, "another id".to_owned()));
        }
        Ok(self.begin("Update", Work::Put(collection, object)))
    }

    pub(super) fn delete(&mut self, collection: Collection, id: &str) -> Result<Accepted, Refused> {
        self.one(collection, id)?;
        let mut ports = self.held.ports.values();
        if collection == Collection::Network && ports.any(|port| text(port, "network_id") == id) {
            let why = "there are ports in the network".to_owned();
            return Err(Refused(StatusCode::CONFLICT, why));
        }
        Ok(self.begin("Delete", Work::Delete(collection, id.to_owned())))
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.held.networks.remove(id);
        self.held.ports.remove(id);
    }

    pub(super) fn forget_jobs(&mut self) {
        self.held.jobs.clear();
    }

    fn begin(&mut self, verb: &str, work: Work) -> Accepted {
        self.held.last_job += 1;
        let collection = match &work {
            Work::Put(collection, _) | Work::Delete(collection, _) => collection,
        };
        let job = Job {
            id: self.held.last_job,
            reads: 0,
            end: None,
            description: format!("{verb} {collection:?}"),
            created: now(),
            work,
        };
        let accepted = Accepted {
            job: job.id,
            shown: job.shown(),
        };
        self.held.jobs.insert(job.id, job);
        accepted
    }

    /// Every job; none goes on for it.
    pub(super) fn jobs(&self) -> Value {
        self.held.jobs.values().map(Job::shown).collect()
    }

    /// The job, which goes on; of one that is not known an empty list.
    pub(super) fn read_job(&mut self, id: &str) -> Value {
        let known = id.parse().ok();
        let Some(mut job) = known.and_then(|id: u64| self.held.jobs.get(&id)).cloned() else {
            return json!([]);
        };
        job.reads = job.reads.saturating_add(1);
        if job.reads >= READS && job.end.is_none() {
            job.end = Some(self.held.carry_out(&job.work));
        }
        let shown = job.shown();
        self.held.jobs.insert(job.id, job);
        shown
    }
}

impl Held {
    fn of(&self, collection: Collection) -> &BTreeMap<String, Value> {
        match collection {
            Collection::Network => &self.networks,
            Collection::Port => &self.ports,
        }
    }

    fn of_mut(&mut self, collection: Collection) -> &mut BTreeMap<String, Value> {
        match collection {
            Collection::Network => &mut self.networks,
            Collection::Port => &mut self.ports,
        }
    }

    /// Does what a job is about; its last state, and what it says of it.
    fn carry_out(&mut self, work: &Work) -> (String, String) {
        let ended = |state: &str, summary: String| (state.to_owned(), summary);
        let (collection, object) = match work {
            Work::Put(collection, object) => (*collection, object),
            Work::Delete(collection, id) => {
                self.of_mut(*collection).remove(id);
                return ended(
                    "Completed",
                    format!("{collection:?} removed from 2 switches"),
                );
            }
        };
        let (id, name) = (text(object, "id"), text(object, "name"));
        let place = occupies(collection, object);
        let taken = self
            .of(collection)
            .values()
            .find(|other| text(other, "id") != id && occupies(collection, other) == place)
            .map(|other| text(other, "name"));
        if let Some(other) = taken {
            return ended("Aborted", format!("{place} is taken by `{other}`"));
        }
        if name.starts_with("fail") {
            return ended("Aborted", "switch 10.224.14.238 does not answer".to_owned());
        }
        let partly = name.starts_with("partly");
        self.of_mut(collection)
            .insert(id.to_owned(), object.clone());
        match partly {
            true => ended(
                "Completed With Errors",
                "done on 1 of 2 switches: 10.224.14.238 does not answer".to_owned(),
            ),
            false => ended("Completed", format!("{collection:?} set up on 2 switches")),
        }
    }
}

impl Job {
    fn shown(&self) -> Value {
        let (status, summary) = match &self.end {
            Some((status, summary)) => (status.as_str(), summary.as_str()),
            None if self.reads < 2 => ("Pending", ""),
            None => ("Running", ""),
        };
        let progress = match status {
            "Pending" => 0,
            "Running" | "Aborted" => 50,
            _ => 100,
        };
        json!({
            "ID": self.id.to_string(),
            "Status": status,
            "Progress": progress,
            "Summary": summary,
            "Description": self.description,
            "Operation": "Provisioning",
            "Created": self.created,
            "LastUpdated": now(),
            "CreatedBy": "relay",
            "Foreground": true,
            "RelatedObjects": ["10.224.14.238", "10.224.14.239"],
        })
    }
}

/// What two objects cannot both have: the VLAN of a network, the switch port of a port.
fn occupies(collection: Collection, object: &Value) -> String {
    match collection {
        Collection::Network => format!("VLAN {}", object["provider:segmentation_id"]),
        Collection::Port => {
            let link = &object["binding:profile"]["local_link_information"][0];
            format!(
                "port {} of {}",
                text(link, "port_id"),
                text(link, "switch_id")
            )
        }
    }
}

/// The id of an object that has all it must have.
fn check(collection: Collection, object: &Value) -> Result<&str, Refused> {
    let vlan = object["provider:segmentation_id"].as_u64();
    let is_whole = match collection {
        Collection::Network => vlan.is_some_and(|vlan| (1..=4000).contains(&vlan)),
        Collection::Port => !text(object, "network_id").is_empty(),
    };
    let id = text(object, "id");
    if id.is_empty() || text(object, "name").is_empty() || !is_whole {
        let why = format!("a {collection:?} has not what it must have");
        return Err(Refused(StatusCode::BAD_REQUEST, why));
    }
    Ok(id)
}

fn missing(id: &str) -> Refused {
    Refused(StatusCode::NOT_FOUND, format!("`{id}` is not known"))
}

/// A text attribute; empty where there is none.
fn text<'o>(object: &'o Value, name: &str) -> &'o str {
    object[name].as_str().unwrap_or_default()
}

/// As NEO writes times.
fn now() -> String {
    OffsetDateTime::now_utc()
        .format(format_description!(
            "[year]-[month]-[day] [hour]:[minute]:[second]"
        ))
        .expect("every component of the format exists in a UTC time")
}
