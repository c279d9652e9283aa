//! A PAN-OS firewall's XML API: addresses, services, security and NAT rules of one vsys, the candidate
//! configuration that is changed, and the jobs that commit it.
//!
//! Written from the PAN-OS and Panorama API Usage Guide (request types, actions, codes of errors, asynchronous jobs)
//! and from what its clients tell: `set` joins what is there, reading and deleting what is not there are successes with
//! code 7, and what was changed carries `admin`, `dirtyId` and `time` until it is committed. How jobs go
//! follows from how often they are read. Zones are `trust`, `untrust` and `dmz`.

mod config;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use roxmltree::Document;
use serde::{Deserialize, Serialize};

use super::kept::Kept;
use super::neo;
use config::{Candidate, Place, Refused};

/// How often a job is read until it has ended.
const READS: u32 = 2;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Job {
    reads: u32,
    failed: bool,
}

/// What the file keeps.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Held {
    candidate: Candidate,
    /// By number, from 1.
    jobs: BTreeMap<u32, Job>,
    last_job: u32,
}

/// One simulated firewall.
#[derive(Debug)]
pub struct Panos {
    key: String,
    held: Mutex<Kept<Held>>,
    fails_commits: AtomicBool,
}

impl Panos {
    /// A firewall with what its file holds; it takes calls with this key.
    pub fn open(key: String, file: Option<PathBuf>) -> io::Result<Self> {
        Ok(Self {
            key,
            held: Mutex::new(Kept::open(file)?),
            fails_commits: AtomicBool::new(false),
        })
    }

    /// Everything that it answers: `/api/`.
    pub fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(handle).with_state(Arc::clone(self))
    }

    /// Whether commits end with `FAIL` from now on, as where an interface lacks its zone.
    pub fn fail_commits(&self, fail: bool) {
        self.fails_commits.store(fail, Ordering::Relaxed);
    }

    /// How many objects of a sort it takes from now on.
    pub fn hold_at_most(&self, most: usize) {
        self.held().candidate.hold_at_most(most);
    }

    /// Removes an object behind everybody's back, whoever refers to it: `address` and its name.
    pub fn remove(&self, sort: &str, name: &str) {
        self.held().candidate.forget(sort, name);
    }

    /// Forgets every job, as after a reboot.
    pub fn forget_jobs(&self) {
        self.held().jobs.clear();
    }

    fn held(&self) -> MutexGuard<'_, Kept<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self, form: &BTreeMap<String, String>) -> Result<String, Refused> {
        let said = |name: &str| form.get(name).map(String::as_str).ok_or(Refused::Bad);
        let mut held = self.held();
        match said("type")? {
            "config" => held.config(said("action")?, said("xpath")?, form),
            "commit" => {
                Document::parse(said("cmd")?).map_err(|_| Refused::Malformed)?;
                Ok(held.commit(self.fails_commits.load(Ordering::Relaxed)))
            }
            "op" => {
                let command = Document::parse(said("cmd")?).map_err(|_| Refused::Malformed)?;
                held.operate(&command)
            }
            _ => Err(Refused::Command),
        }
    }
}

impl Held {
    fn config(
        &mut self,
        action: &str,
        xpath: &str,
        form: &BTreeMap<String, String>,
    ) -> Result<String, Refused> {
        let place = Place::of(xpath).ok_or(Refused::Xpath)?;
        let element = || form.get("element").map(String::as_str).ok_or(Refused::Bad);
        let candidate = &mut self.candidate;
        match action {
            "get" => Ok(candidate.get(&place)),
            "set" => candidate.set(&place, element()?),
            "edit" => candidate.edit(&place, element()?),
            "delete" => candidate.delete(&place),
            "move" => {
                let said = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
                candidate.shift(&place, said("where"), said("dst"))
            }
            _ => Err(Refused::Command),
        }
    }

    /// Commits what was changed: a job that is under way until it was read often enough.
    fn commit(&mut self, failed: bool) -> String {
        if !self.candidate.is_dirty() {
            return success(19, "<msg>There are no changes to commit.</msg>");
        }
        if !failed {
            self.candidate.clean();
        }
        self.last_job += 1;
        let job = self.last_job;
        self.jobs.insert(job, Job { reads: 0, failed });
        let line = format!("Commit job enqueued with jobid {job}");
        success(
            19,
            &format!("<result><msg><line>{line}</line></msg><job>{job}</job></result>"),
        )
    }

    /// `<show><jobs><id>..` and `<clear><job><id>..`
    fn operate(&mut self, command: &Document<'_>) -> Result<String, Refused> {
        let id = command.descendants().find(|node| node.has_tag_name("id"));
        let id: u32 = id
            .and_then(|node| node.text()?.parse().ok())
            .ok_or(Refused::Command)?;
        match command.root_element().tag_name().name() {
            "show" => {
                let job = self.jobs.get_mut(&id).ok_or(Refused::NoJob(id))?;
                job.reads += 1;
                let (status, result, progress) = match (job.reads < READS, job.failed) {
                    (true, _) => ("ACT", "PEND", "55"),
                    (false, true) => ("FIN", "FAIL", "100"),
                    // At the end of a job its progress is when that was.
                    (false, false) => ("FIN", "OK", "2026/11/20 10:00:42"),
                };
                Ok(format!(
                    "<response status=\"success\"><result><job><id>{id}</id><type>Commit</type><status>{status}</status>\
                     <result>{result}</result><progress>{progress}</progress></job></result></response>"
                ))
            }
            "clear" => {
                self.jobs.remove(&id).ok_or(Refused::NoJob(id))?;
                Ok("<response status=\"success\"><result>cleared</result></response>".to_owned())
            }
            _ => Err(Refused::Command),
        }
    }
}

async fn handle(State(firewall): State<Arc<Panos>>, headers: HeaderMap, body: Bytes) -> Response {
    let key = headers.get("x-pan-key");
    let answer = if key.is_none_or(|key| *key != *firewall.key) {
        Err(Refused::Key)
    } else {
        let form = neo::form(&body).into_iter().collect();
        firewall.answer(&form)
    };
    let answer = answer.and_then(|answer| match firewall.held().save() {
        Ok(()) => Ok(answer),
        Err(_) => Err(Refused::Internal),
    });
    let (status, said) = match answer {
        Ok(said) => (StatusCode::OK, said),
        Err(refused) => (refused.status(), refused.xml()),
    };
    let kind = [(header::CONTENT_TYPE, "application/xml; charset=UTF-8")];
    (status, kind, said).into_response()
}

fn success(code: u16, inner: &str) -> String {
    format!("<response status=\"success\" code=\"{code}\">{inner}</response>")
}
