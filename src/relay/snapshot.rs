//! What one request sees from its beginning to its end, and how the next plan takes its place.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::Relay;
use super::host_keys::StoredHostKeys;
use crate::backend::BackendManager;
use crate::clock::Boottime;
use crate::plan::{BackendId, Plan};

/// What one request sees from its beginning to its end, whatever is reloaded meanwhile.
#[derive(Debug)]
pub struct Snapshot {
    pub plan: Arc<Plan>,
    pub backends: Arc<BackendManager>,
    /// Choices made so far, by route: for `round_robin`.
    pub turns: Vec<AtomicU64>,
    /// The instance that a preference takes if it is among those left: in a trial, which has no
    /// history that a preference could go by.
    pub preferred: Option<BackendId>,
}

/// What a reload changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReloadReport {
    pub routes: Changed,
    pub backends: Changed,
    /// The digests before and after.
    pub digest: (String, String),
}

/// Which parts of one sort differ, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    pub added: Vec<String>,
    pub removed: Vec<String>,
    pub changed: Vec<String>,
}

impl Relay {
    /// Forgets the choices made so far, and takes every preference for one of `preferred`.
    pub fn prefer(&self, preferred: Option<BackendId>) {
        let before = self.snapshot.load();
        let next = Snapshot::new(before.plan.clone(), before.backends.clone(), None);
        self.snapshot
            .store(Arc::new(Snapshot { preferred, ..next }));
    }

    /// Swaps the plan; limits, breakers, logins and round-robin state go on by name (SEMANTICS 32).
    /// Requests under way end on the plan that they began with; only then are the backends closed
    /// that the next plan does not carry on, and nobody waits for that.
    pub fn reload(&self, plan: Plan) -> anyhow::Result<ReloadReport> {
        let before = self.snapshot.load_full();
        let keys = StoredHostKeys::of(&self.journal);
        let backends = BackendManager::recording(&plan, Some(&before.backends), Some(&keys))?;
        let backends = Arc::new(backends);
        let next = Arc::new(Snapshot::new(Arc::new(plan), backends, Some(&before)));
        let report = ReloadReport::between(&before.plan, &next.plan);
        self.snapshot.store(next.clone());
        let deadline = Boottime::now() + longest_call(&before.plan);
        self.retire(async move {
            before.backends.close(Some(&next.backends), deadline).await;
        });
        Ok(report)
    }
}

impl Snapshot {
    pub fn new(
        plan: Arc<Plan>,
        backends: Arc<BackendManager>,
        previous: Option<&Snapshot>,
    ) -> Self {
        let before: HashMap<&str, u64> = previous
            .map(|snapshot| {
                let turns = snapshot
                    .turns
                    .iter()
                    .map(|turn| turn.load(Ordering::Relaxed));
                snapshot
                    .plan
                    .routes
                    .iter()
                    .map(|route| &*route.name)
                    .zip(turns)
                    .collect()
            })
            .unwrap_or_default();
        let turns = plan
            .routes
            .iter()
            .map(|route| AtomicU64::new(before.get(&*route.name).copied().unwrap_or(0)))
            .collect();
        Self {
            plan,
            backends,
            turns,
            preferred: None,
        }
    }
}

impl ReloadReport {
    fn between(before: &Plan, after: &Plan) -> Self {
        Self {
            routes: Changed::between(&before.digests.routes, &after.digests.routes),
            backends: Changed::between(&before.digests.backends, &after.digests.backends),
            digest: (before.digest.to_string(), after.digest.to_string()),
        }
    }
}

impl Changed {
    /// Compares the digests of parts, by their names.
    pub fn between(
        before: &BTreeMap<Box<str>, Box<str>>,
        after: &BTreeMap<Box<str>, Box<str>>,
    ) -> Self {
        fn names(
            of: &BTreeMap<Box<str>, Box<str>>,
            keep: impl Fn(&str, &str) -> bool,
        ) -> Vec<String> {
            of.iter()
                .filter(|(name, digest)| keep(name, digest))
                .map(|(name, _)| name.to_string())
                .collect()
        }
        Self {
            added: names(after, |name, _| !before.contains_key(name)),
            removed: names(before, |name, _| !after.contains_key(name)),
            changed: names(after, |name, digest| {
                before.get(name).is_some_and(|old| **old != *digest)
            }),
        }
    }

    pub fn to_json(&self) -> Value {
        json!({ "added": self.added, "removed": self.removed, "changed": self.changed })
    }
}

/// The longest that any call of a plan may take, with its waits for the standby: what bounds a shutdown.
pub fn longest_call(plan: &Plan) -> Duration {
    let routes = plan.routes.iter().flat_map(|route| &route.ways);
    let routes = routes.filter_map(|way| way.call.timeout);
    let backends = plan.backends.iter().map(|backend| backend.limits.timeout);
    let call = routes.chain(backends).max().unwrap_or_default();
    let replication = &plan.server.replication;
    // Before the call and after it.
    let waits = if replication.standby.is_some() { 2 } else { 0 };
    call + replication.timeout * waits
}
