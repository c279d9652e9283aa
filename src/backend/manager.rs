//! The backends of one plan, each with its own limits, breaker and driver: a sick one harms nobody
//! else (invariant 8).

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use arc_swap::ArcSwapOption;
use tokio::sync::OwnedSemaphorePermit;

use super::breaker::{Breaker, BreakerState, Health, Leave};
use super::fingerprint::fingerprint;
use super::limits::{Calls, Full, Limits, UnderWay};
use crate::clock::Boottime;
use crate::driver::ssh::connections::HostKeys;
use crate::driver::{
    Answer, AuthState, Clearance, Driver, DriverError, DriverManager, Probe, Protocol,
    RenderedCall, Ruling, SendOutcome,
};
use crate::plan::{self, Backend, BackendId, BackendState, Plan};
use crate::telemetry::metrics::{BackendMetrics, CallOutcome};

/// Every backend of a plan.
#[derive(Debug)]
pub struct BackendManager {
    /// By [`BackendId`].
    instances: Vec<Arc<Instance>>,
}

/// One backend: what of it outlives a reload is shared with the manager before and after.
struct Instance {
    name: Box<str>,
    kind: Box<str>,
    state: BackendState,
    limits: Arc<Limits>,
    breaker: Arc<Breaker>,
    driver: Arc<dyn Driver>,
    /// The driver's, wherever it is carried to.
    calls: Arc<Calls>,
    /// Of all that the driver was made from, secrets and certificate files included.
    fingerprint: [u8; 32],
    last_error: Arc<ArcSwapOption<String>>,
    metrics: BackendMetrics,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("name", &self.name)
            .field("limits", &self.limits)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

/// Leave to make one call to one backend; dropped, it frees its place.
#[derive(Debug)]
pub struct Place {
    instance: Arc<Instance>,
    leave: Leave,
    _under_way: UnderWay,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.instance.breaker.give_back(&self.leave);
    }
}

/// A request that was admitted: it has its place, or waits for something else than its backend, holds up
/// nobody there meanwhile, and comes back for one.
#[derive(Debug)]
pub enum Turn {
    In(Place),
    Aside(Aside),
}

/// See [`Turn`]; its backend is not closed before it.
#[derive(Debug)]
pub struct Aside {
    instance: Arc<Instance>,
    _under_way: UnderWay,
    _permit: OwnedSemaphorePermit,
}

impl Place {
    /// Gives place and leave to others until [`Turn::place`]. As many can stand aside as could hold a place
    /// or wait for one.
    pub fn step_aside(self) -> Result<Turn, AdmitError> {
        let permit = self.instance.limits.stand_aside();
        Ok(Turn::Aside(Aside {
            instance: Arc::clone(&self.instance),
            _under_way: self.instance.calls.begin(),
            _permit: permit.map_err(|Full| AdmitError::Busy)?,
        }))
    }
}

impl Turn {
    /// The place; who stepped aside waits for it, at most until the deadline.
    pub async fn place(self, deadline: Boottime) -> Result<Place, AdmitError> {
        match self {
            Turn::In(place) => Ok(place),
            Turn::Aside(Aside { ref instance, .. }) => {
                instance.admit(instance.limits.enter_again(deadline)).await
            }
        }
    }
}

/// Why a backend takes no call now. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmitError {
    /// Its places and its queue are full, or as many stand aside; or the deadline passed in the queue.
    Busy,
    BreakerOpen {
        retry_after: Duration,
    },
}

/// One backend as operators see it: `/relay/v1/backends` and the metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendHealth {
    pub name: Box<str>,
    pub kind: Box<str>,
    pub state: BackendState,
    pub in_flight: usize,
    pub queued: usize,
    pub breaker: BreakerState,
    /// Of the last call, if it had no answer.
    pub last_error: Option<String>,
    pub auth: AuthState,
}

impl BackendManager {
    /// Makes the drivers; limits, breakers, logins and connections are carried over by name where
    /// the previous manager's backend has the same configuration (SEMANTICS 32).
    pub fn new(plan: &Plan, previous: Option<&BackendManager>) -> anyhow::Result<Self> {
        Self::recording(plan, previous, None)
    }

    /// As [`BackendManager::new`], with a place where SSH host keys are recorded when they are first seen.
    pub fn recording(
        plan: &Plan,
        previous: Option<&BackendManager>,
        host_keys: Option<&Arc<dyn HostKeys>>,
    ) -> anyhow::Result<Self> {
        let before: HashMap<&str, &Arc<Instance>> = previous
            .iter()
            .flat_map(|manager| &manager.instances)
            .map(|instance| (&*instance.name, instance))
            .collect();
        let instances = plan
            .backends
            .iter()
            .map(|backend| {
                Instance::new(backend, before.get(&*backend.name).copied(), host_keys)
                    .map(Arc::new)
                    .map_err(|why| anyhow!("backend `{}`: {why}", backend.name))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { instances })
    }

    /// The backends of a plan behind drivers that were made elsewhere: nothing of the plan's secrets or
    /// certificates is read, nothing is carried over, and no breaker ever opens.
    pub fn with_drivers(
        plan: &Plan,
        driver_of: impl Fn(BackendId, &Backend) -> Arc<dyn Driver>,
    ) -> Self {
        let instances = (0..)
            .zip(&plan.backends)
            .map(|(id, backend)| {
                Arc::new(Instance::behind(backend, driver_of(BackendId(id), backend)))
            })
            .collect();
        Self { instances }
    }

    /// Checks the breaker, then waits for a place, at most until the deadline.
    pub async fn admit(&self, backend: BackendId, deadline: Boottime) -> Result<Place, AdmitError> {
        let instance = self.instance(backend);
        instance.admit(instance.limits.enter(deadline)).await
    }

    /// Sends through the backend's driver and tells its breaker what came of it.
    pub async fn send(
        &self,
        place: &Place,
        call: &RenderedCall,
        clearance: &Clearance,
    ) -> Result<Answer, DriverError> {
        let instance = &place.instance;
        let started = Instant::now();
        let result = instance.driver.send(call, clearance).await;
        let ended = Instant::now();
        instance.metrics.record(
            outcome_of(&result),
            ended.saturating_duration_since(started),
        );
        let health = Health::of(&result);
        instance.breaker.note(health, ended);
        if let Err(error) = &result {
            instance.last_error.store(Some(Arc::new(error.to_string())));
        } else if health == Health::Well && instance.last_error.load().is_some() {
            instance.last_error.store(None);
        }
        result
    }

    /// Connects, negotiates and logs in, and changes nothing; takes no place and asks no breaker.
    pub async fn probe(&self, backend: BackendId, clearance: &Clearance) -> Probe {
        self.instance(backend).driver.probe(clearance).await
    }

    /// Takes a backend's credentials out of text that came from it.
    pub fn scrub<'t>(&self, backend: BackendId, text: &'t str) -> Cow<'t, str> {
        self.instance(backend).driver.scrub(text)
    }

    /// How every backend does, in the order of their names.
    pub fn snapshot(&self) -> Vec<BackendHealth> {
        let now = Instant::now();
        self.instances
            .iter()
            .map(|instance| BackendHealth {
                name: instance.name.clone(),
                kind: instance.kind.clone(),
                state: instance.state,
                in_flight: instance.limits.in_flight(),
                queued: instance.limits.queued(),
                breaker: instance.breaker.state(now),
                last_error: instance.last_error.load().as_deref().cloned(),
                auth: instance.driver.auth_state(),
            })
            .collect()
    }

    /// Logs out and closes what `next` does not carry on; all of it when there is no next. Calls
    /// that are under way end first; what outlasts `deadline` is not waited for.
    pub async fn close(&self, next: Option<&BackendManager>, deadline: Boottime) {
        let carried = |instance: &Instance| {
            next.iter()
                .flat_map(|manager| &manager.instances)
                .any(|other| Arc::ptr_eq(&other.driver, &instance.driver))
        };
        let mut closing = tokio::task::JoinSet::new();
        for instance in self.instances.iter().filter(|one| !carried(one)) {
            let instance = Arc::clone(instance);
            closing.spawn(async move {
                let left = deadline.remaining().unwrap_or_default();
                let _ = tokio::time::timeout(left, instance.calls.ended()).await;
                instance.driver.close().await;
            });
        }
        while closing.join_next().await.is_some() {}
    }

    fn instance(&self, backend: BackendId) -> &Arc<Instance> {
        &self.instances[usize::from(backend.0)]
    }
}

/// What became of a call, as its backend's metrics say it.
fn outcome_of(result: &Result<Answer, DriverError>) -> CallOutcome {
    match result {
        Ok(answer) if succeeded(answer) => CallOutcome::Success,
        Ok(_) => CallOutcome::Rejected,
        Err(error) => match error.outcome {
            SendOutcome::NotSent => CallOutcome::Unreachable,
            SendOutcome::Refused(_) => CallOutcome::Refused,
            SendOutcome::Unauthorized => CallOutcome::Unauthorized,
            SendOutcome::Unknown => CallOutcome::Unknown,
        },
    }
}

/// By the status alone: what a route's rules make of it is not known here.
fn succeeded(answer: &Answer) -> bool {
    match answer.protocol {
        Protocol::Http => (200..300).contains(&answer.status),
        _ => answer.status == 0 && answer.ruling == Ruling::ByStatus,
    }
}

impl Instance {
    async fn admit(
        self: &Arc<Self>,
        entering: impl Future<Output = Result<OwnedSemaphorePermit, Full>>,
    ) -> Result<Place, AdmitError> {
        let open = |retry_after| AdmitError::BreakerOpen { retry_after };
        self.breaker.check(Instant::now()).map_err(open)?;
        let permit = entering.await.map_err(|Full| AdmitError::Busy)?;
        // It may have opened while this request waited.
        let leave = self.breaker.admit(Instant::now()).map_err(open)?;
        Ok(Place {
            instance: Arc::clone(self),
            leave,
            _under_way: self.calls.begin(),
            _permit: permit,
        })
    }

    fn behind(backend: &Backend, driver: Arc<dyn Driver>) -> Self {
        // Zero failures in a row would be always open: it means "no breaker".
        let none = plan::Breaker {
            failures: 0,
            ..backend.breaker.clone()
        };
        Self {
            name: backend.name.clone(),
            kind: backend.kind.clone(),
            state: backend.state,
            limits: Arc::new(Limits::new(
                backend.limits.concurrency,
                backend.limits.queue,
            )),
            breaker: Arc::new(Breaker::new(none)),
            driver,
            calls: Arc::default(),
            fingerprint: [0; 32],
            last_error: Arc::default(),
            metrics: BackendMetrics::new(&backend.name),
        }
    }

    fn new(
        backend: &Backend,
        before: Option<&Arc<Instance>>,
        host_keys: Option<&Arc<dyn HostKeys>>,
    ) -> Result<Self, String> {
        let fingerprint = fingerprint(backend);
        let limits = &backend.limits;
        let carried_limits =
            before.filter(|before| before.limits.is(limits.concurrency, limits.queue));
        let carried_breaker = before.filter(|before| *before.breaker.settings() == backend.breaker);
        let carried_driver = before.filter(|before| before.fingerprint == fingerprint);
        Ok(Self {
            name: backend.name.clone(),
            kind: backend.kind.clone(),
            state: backend.state,
            limits: carried_limits.map_or_else(
                || Arc::new(Limits::new(limits.concurrency, limits.queue)),
                |before| Arc::clone(&before.limits),
            ),
            breaker: carried_breaker.map_or_else(
                || Arc::new(Breaker::new(backend.breaker.clone())),
                |before| Arc::clone(&before.breaker),
            ),
            calls: carried_driver.map_or_else(Arc::default, |before| Arc::clone(&before.calls)),
            driver: match carried_driver {
                Some(before) => Arc::clone(&before.driver),
                None => DriverManager::make(backend, host_keys)?,
            },
            fingerprint,
            last_error: before.map_or_else(Arc::default, |before| Arc::clone(&before.last_error)),
            metrics: BackendMetrics::new(&backend.name),
        })
    }
}
