//! A reload: compile, see what it would strand, then let the relay and the listeners take the new plan
//! over, or change nothing.
//!
//! `POST /relay/v1/reload`, SIGHUP and [`watch`] all come here, one at a time. What came of the last
//! one is kept for whoever looks ([`last`]): in `status`, on the console, in metrics and in the log.

mod last;
mod settings;
pub mod watch;

use std::sync::Arc;

use arc_swap::ArcSwap;
use serde_json::{Value, json};
use tokio::sync::Mutex;

pub use last::LastReload;
pub use settings::{check_exposure, restart_needed, tls_slot};

use super::layers::Edge;
use super::listener::TlsSlot;
use super::tls;
use crate::clock::unix_micros;
use crate::plan::Plan;
use crate::relay::Relay;
use crate::relay::orphans::{self, Footing, Orphans};
use crate::store::Write;

/// Why a configuration cannot take over.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// As `validate-config --format json` gives them.
    pub diagnostics: Value,
    /// As `validate-config` prints them.
    pub text: String,
}

/// Compiles the configuration folder anew.
pub type Recompile = Arc<dyn Fn() -> Result<Plan, Rejected> + Send + Sync>;

/// All that takes a new plan over.
pub struct Reloader {
    recompile: Recompile,
    relay: Arc<Relay>,
    edge: Arc<Edge>,
    tls: Option<TlsSlot>,
    /// What the process started with: some settings are read only then.
    at_start: Arc<Plan>,
    last: ArcSwap<LastReload>,
    one_at_a_time: Mutex<()>,
}

/// Who wants a reload, and how much.
pub struct Order<'a> {
    /// For the log and the audit: a client, `SIGHUP`, `watch`.
    pub by: &'a str,
    /// Strand mappings, if it comes to that.
    pub force: bool,
    /// Whether the files are still what they were; asked once they are compiled.
    pub settled: &'a (dyn Fn() -> bool + Send + Sync),
}

impl<'a> Order<'a> {
    pub fn new(by: &'a str, force: bool) -> Self {
        Self {
            by,
            force,
            settled: &|| true,
        }
    }
}

/// Why a reload changed nothing.
#[derive(Debug)]
pub enum ReloadError {
    /// The files do not compile.
    Rejected(Rejected),
    /// They do, and would leave mappings without a route or a backend.
    Refused(Vec<Orphans>),
    /// They do, but what they name cannot be opened (a certificate), what depends on them cannot be
    /// counted, or the relay cannot take them.
    Failed(anyhow::Error),
    /// They changed while they were read: nothing is said of them yet.
    Unsettled,
}

/// What to type where a reload is refused.
pub const FORCE_HINT: &str = "bring the routes and backends back, or move the objects elsewhere; \
    `cmp-relay reload --force` does it nevertheless";

impl Reloader {
    pub fn new(
        recompile: Recompile,
        relay: Arc<Relay>,
        edge: Arc<Edge>,
        tls: Option<TlsSlot>,
    ) -> Self {
        let at_start = relay.plan();
        let last = LastReload::start(&at_start);
        last.publish();
        Self {
            recompile,
            relay,
            edge,
            tls,
            at_start,
            last: ArcSwap::from_pointee(last),
            one_at_a_time: Mutex::new(()),
        }
    }

    /// Reloads; says what changed:
    ///
    /// ```json
    /// { "digest": "…", "routes": { "added": ["create_port"], "removed": [], "changed": [] },
    ///   "backends": { "added": [], "removed": [], "changed": [] }, "restart_needed": ["listen"],
    ///   "orphans": [], "moved": [] }
    /// ```
    ///
    /// `orphans` is what was stranded because the order said so; `moved` counts what lies on backends
    /// whose address changed.
    pub async fn reload(&self, order: Order<'_>) -> Result<Value, ReloadError> {
        let _turn = self.one_at_a_time.lock().await;
        let done = self.attempt(&order).await;
        if let Some(last) = LastReload::of(order.by, &done, &self.relay.plan()) {
            self.keep(last);
        }
        if let Ok(report) = &done {
            self.audit(order.by, report).await;
        }
        done
    }

    /// What came of the last reload.
    pub fn last(&self) -> Arc<LastReload> {
        self.last.load_full()
    }

    /// Notes that the folder says again what serves already.
    fn unchanged(&self, by: &str) {
        self.keep(LastReload::unchanged(by, &self.relay.plan()));
    }

    /// Whoever reads the line finds status and metrics saying the same.
    fn keep(&self, last: LastReload) {
        let last = Arc::new(last);
        self.last.store(last.clone());
        last.publish();
        last.log();
    }

    async fn attempt(&self, order: &Order<'_>) -> Result<Value, ReloadError> {
        let recompile = self.recompile.clone();
        // Reading and compiling some hundred files would hold up a worker.
        let compiled = tokio::task::spawn_blocking(move || recompile())
            .await
            .map_err(|error| ReloadError::Failed(error.into()))?;
        if !(order.settled)() {
            return Err(ReloadError::Unsettled);
        }
        let plan = compiled.map_err(ReloadError::Rejected)?;
        let certificates = match (&self.tls, &plan.server.tls) {
            (Some(_), Some(files)) => Some(tls::server_config(files).map_err(ReloadError::Failed)?),
            _ => None,
        };
        check_exposure(&plan.server).map_err(ReloadError::Failed)?;
        let (orphans, moved) = self.stranded(&plan, order.force).await?;
        let restart_needed = restart_needed(&self.at_start.server, &plan.server);
        let report = self.relay.reload(plan).map_err(ReloadError::Failed)?;
        self.edge.renew(self.relay.plan());
        if let (Some(slot), Some(config)) = (&self.tls, certificates) {
            slot.store(config);
        }
        let as_json = |found: Vec<Orphans>| found.iter().map(Orphans::to_json).collect::<Value>();
        Ok(json!({
            "digest": report.digest.1,
            "routes": report.routes.to_json(),
            "backends": report.backends.to_json(),
            "restart_needed": restart_needed,
            "orphans": as_json(orphans),
            "moved": as_json(moved),
        }))
    }

    /// What the plan would strand, and what it would find elsewhere; refused unless forced.
    async fn stranded(
        &self,
        plan: &Plan,
        force: bool,
    ) -> Result<(Vec<Orphans>, Vec<Orphans>), ReloadError> {
        let before = self.relay.plan();
        // An unmounted folder is empty, and so compiles.
        if plan.routes.is_empty() && !before.routes.is_empty() && !force {
            return Err(ReloadError::Failed(anyhow::anyhow!(
                "the folder holds no route at all any more: is it mounted? If that is meant, \
                 `cmp-relay reload --force`"
            )));
        }
        let risks = Footing::of(&before).risks(&Footing::of(plan));
        let (refusing, moving): (Vec<_>, Vec<_>) =
            risks.into_iter().partition(|risk| risk.refuses());
        let store = self.relay.journal().store();
        // What is only said may stay unsaid while the database is away.
        let moved = orphans::find(&**store, &moving).await;
        let moved = moved.unwrap_or_default();
        let orphans = match orphans::find(&**store, &refusing).await {
            Ok(orphans) => orphans,
            // Whoever forces does not ask how many.
            Err(_) if force => Vec::new(),
            Err(error) => {
                return Err(ReloadError::Failed(anyhow::anyhow!(
                    "what depends on the routes and backends that go cannot be counted: {error}"
                )));
            }
        };
        if !force && !orphans.is_empty() {
            return Err(ReloadError::Refused(orphans));
        }
        Ok((orphans, moved))
    }

    /// The plan serves already: an audit row that cannot be written is said, not undone.
    async fn audit(&self, by: &str, report: &Value) {
        let row = Write::Audit {
            by: by.to_owned(),
            action: "reload".into(),
            detail: report.to_string(),
            at: unix_micros(),
        };
        if let Err(error) = self.relay.journal().write(row).await {
            tracing::error!(by, %error, "the reload has no audit row");
        }
    }
}
