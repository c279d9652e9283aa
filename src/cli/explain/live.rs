//! `--live`: the rows of a running relay, through its admin API. Nothing else of it is touched, and
//! nothing is written.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use crate::cli::Vars;
use crate::cli::api::{AdminArgs, Api};
use crate::cli::serve::runtime;
use crate::plan::{BackendId, Plan};
use crate::relay::RelayError;
use crate::relay::witness::{Purpose, RowRead, Sought};
use crate::store::{Mapping, ObjectKey, OperationId};

/// A running relay, asked as the request's rows are needed.
pub struct Live {
    api: Api,
    runtime: tokio::runtime::Runtime,
    asked: BTreeSet<String>,
    backends: Vec<Value>,
    status: Value,
}

impl std::fmt::Debug for Live {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Live").finish_non_exhaustive()
    }
}

impl Live {
    /// Asks the relay how it is; the error says why it does not answer.
    pub fn connect(args: &AdminArgs, vars: &Vars) -> Result<Self> {
        let api = Api::new(args, vars)?;
        let runtime = runtime()?;
        let status = runtime.block_on(api.get(&["status"], &[]))?;
        let backends = runtime.block_on(api.get(&["backends"], &[]))?;
        Ok(Self {
            api,
            runtime,
            asked: BTreeSet::new(),
            backends: backends["items"].as_array().cloned().unwrap_or_default(),
            status,
        })
    }

    /// The rows that were looked for in vain, as the relay has them; each is asked for once.
    pub fn fetch(&mut self, rows: &[RowRead]) -> Result<Vec<Mapping>> {
        let mut found = Vec::new();
        for row in rows.iter().filter(|row| row.found.is_none()) {
            let query: Vec<(&str, String)> = match &row.key {
                Sought::Object(key) => vec![
                    ("resource", key.resource.clone()),
                    ("cmp_id", key.cmp_id.clone()),
                ],
                Sought::BackendId {
                    resource,
                    backend,
                    backend_id,
                } => vec![
                    ("resource", resource.clone()),
                    ("backend", backend.clone()),
                    ("backend_id", backend_id.clone()),
                ],
            };
            if !self.asked.insert(format!("{query:?}")) {
                continue;
            }
            let page = self.runtime.block_on(self.api.get(&["mappings"], &query))?;
            for item in page["items"].as_array().into_iter().flatten() {
                found.push(mapping(item)?);
            }
        }
        Ok(found)
    }

    /// The instance with the fewest mapped objects of those that match, as the relay counts them.
    pub fn least_objects(&self, plan: &Plan, matching: &[BackendId]) -> Option<(BackendId, u64)> {
        let objects =
            |id: &BackendId| self.of_backend(&plan.backend(*id).name)?["objects"].as_u64();
        matching
            .iter()
            .filter_map(|id| Some((*id, objects(id)?)))
            .min_by_key(|(_, count)| *count)
    }

    fn of_backend(&self, name: &str) -> Option<&Value> {
        self.backends.iter().find(|one| one["name"] == *name)
    }

    /// An operation that is not settled, and so keeps this request from its object: what the CMP gets
    /// for it.
    pub fn in_the_way(
        &self,
        rows: &[RowRead],
        claim: Option<&ObjectKey>,
    ) -> Result<Option<RelayError>> {
        for row in rows.iter().filter(|row| row.found.is_none()) {
            let Sought::Object(key) = &row.key else {
                continue;
            };
            if row.purpose == Purpose::Create || row.purpose == Purpose::Put {
                continue;
            }
            if let Some((id, _)) = self.unsettled(key, true)? {
                return Ok(Some(RelayError::EarlierOutcomeUnknown(id)));
            }
        }
        let holder = claim.map(|key| self.unsettled(key, false)).transpose()?;
        Ok(holder.flatten().map(|(id, pending)| match pending {
            true => RelayError::OperationInProgress(id),
            false => RelayError::EarlierOutcomeUnknown(id),
        }))
    }

    /// The operation that holds the claim of an object, and whether it is still running.
    fn unsettled(&self, key: &ObjectKey, creating: bool) -> Result<Option<(OperationId, bool)>> {
        for state in ["pending", "unknown"] {
            let query = [
                ("state", state.to_owned()),
                ("resource", key.resource.clone()),
                ("cmp_id", key.cmp_id.clone()),
            ];
            let page = self
                .runtime
                .block_on(self.api.get(&["operations"], &query))?;
            let holder = page["items"].as_array().into_iter().flatten().find(|item| {
                let mut verbs = item["effects"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|effect| effect["verb"].as_str());
                let creates = |verb: &str| verb.starts_with("create") || verb.starts_with("put");
                let holds = match creating {
                    true => verbs.any(creates),
                    // An unknown update has let go of its claim.
                    false => state == "pending" || verbs.any(|verb| verb != "update"),
                };
                item["object"]["scope"] == *key.scope && holds
            });
            if let Some(id) = holder.and_then(|item| item["id"].as_str()) {
                let id = id
                    .parse()
                    .ok()
                    .context("the relay named an operation oddly")?;
                return Ok(Some((id, state == "pending")));
            }
        }
        Ok(None)
    }

    /// What else the relay says that bears on the request.
    pub fn notes(
        &self,
        plan: &Plan,
        client: &str,
        key: Option<&str>,
        backend: Option<&str>,
    ) -> Result<Vec<String>> {
        let mut notes = Vec::new();
        if self.status["plan"].as_str() != Some(&plan.digest) {
            notes.push(
                "the running relay serves another configuration than this folder; `cmp-relay diff` \
                 says what a reload would change"
                    .to_owned(),
            );
        }
        if self.status["role"].as_str() == Some("standby") {
            notes.push(
                "the relay that was asked is on standby: it answers 503 standby itself".into(),
            );
        }
        let breaker = backend.and_then(|name| self.of_backend(name)?["breaker"].as_str());
        if let (Some(name), Some("open")) = (backend, breaker) {
            notes.push(format!(
                "the breaker of {name} is open: until it closes, the CMP gets 503 breaker_open"
            ));
        }
        if let Some(key) = key {
            let query = [("client", client.to_owned()), ("key", key.to_owned())];
            let page = self
                .runtime
                .block_on(self.api.get(&["operations"], &query))?;
            if let Some(item) = page["items"].as_array().and_then(|items| items.first()) {
                let (id, state) = (item["id"].as_str(), item["state"].as_str());
                notes.push(format!(
                    "operation {}, which is {}, has this key of {client}: the same request is answered \
                     from it without a call, another one with 422 idempotency_key_reused",
                    id.unwrap_or_default(),
                    state.unwrap_or_default()
                ));
            }
        }
        Ok(notes)
    }
}

/// A row as the admin API gives it.
fn mapping(item: &Value) -> Result<Mapping> {
    let text = |name: &str| {
        item[name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("the relay gave a mapping without its `{name}`"))
    };
    Ok(Mapping {
        key: ObjectKey {
            resource: text("resource")?,
            cmp_id: text("cmp_id")?,
            scope: text("scope")?,
        },
        backend: text("backend")?,
        kind: text("kind")?,
        backend_id: item["backend_id"].as_str().map(str::to_owned),
        attributes: item["attributes"]
            .as_object()
            .cloned()
            .unwrap_or_else(Map::new),
        created_operation: None,
        updated_operation: None,
        created_at: 0,
        updated_at: 0,
    })
}
