//! A reload: compile, then let the relay and the listeners take the new plan over, or change nothing.
//!
//! `POST /relay/v1/reload` and SIGHUP both come here, one at a time.

use std::sync::Arc;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::layers::Edge;
use super::listener::TlsSlot;
use super::tls;
use crate::clock::unix_micros;
use crate::plan::{Database, Plan, Server};
use crate::relay::Relay;
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
    pub recompile: Recompile,
    pub relay: Arc<Relay>,
    pub edge: Arc<Edge>,
    pub tls: Option<TlsSlot>,
    pub one_at_a_time: Mutex<()>,
}

/// Why a reload changed nothing.
#[derive(Debug)]
pub enum ReloadError {
    /// The files do not compile.
    Rejected(Rejected),
    /// They do, but what they name cannot be opened (a certificate), or the relay cannot take them.
    Failed(anyhow::Error),
}

impl Reloader {
    /// Reloads; says what changed:
    ///
    /// ```json
    /// { "digest": "…", "routes": { "added": ["create_port"], "removed": [] },
    ///   "backends": { "added": [], "removed": [] }, "restart_needed": ["listen"] }
    /// ```
    pub async fn reload(&self, by: &str) -> Result<Value, ReloadError> {
        let _turn = self.one_at_a_time.lock().await;
        let recompile = self.recompile.clone();
        // Reading and compiling some hundred files would hold up a worker.
        let plan = tokio::task::spawn_blocking(move || recompile())
            .await
            .map_err(|error| ReloadError::Failed(error.into()))?
            .map_err(ReloadError::Rejected)?;
        let certificates = match (&self.tls, &plan.server.tls) {
            (Some(_), Some(files)) => Some(tls::server_config(files).map_err(ReloadError::Failed)?),
            _ => None,
        };
        check_exposure(&plan.server).map_err(ReloadError::Failed)?;
        let restart_needed = restart_needed(&self.relay.plan().server, &plan.server);
        let digest = plan.digest.clone();
        let report = self.relay.reload(plan).map_err(ReloadError::Failed)?;
        self.edge.renew(self.relay.plan());
        if let (Some(slot), Some(config)) = (&self.tls, certificates) {
            slot.store(config);
        }
        let report = json!({
            "digest": digest,
            "routes": { "added": report.routes_added, "removed": report.routes_removed },
            "backends": { "added": report.backends_added, "removed": report.backends_removed },
            "restart_needed": restart_needed,
        });
        self.audit(by, &report).await;
        tracing::info!(by, %digest, %report, "configuration reloaded");
        Ok(report)
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

/// A listener that others can reach needs clients, and TLS to keep their tokens to itself.
pub fn check_exposure(server: &Server) -> anyhow::Result<()> {
    for (key, address) in [
        ("listen", server.listen),
        ("admin_listen", server.admin_listen),
    ] {
        if address.ip().is_loopback() {
            continue;
        }
        anyhow::ensure!(
            !server.clients.is_empty(),
            "`{key}: {address}` is not a loopback address, and no `clients` are configured: \
             anybody could call; configure clients or listen on 127.0.0.1"
        );
        anyhow::ensure!(
            server.tls.is_some(),
            "`{key}: {address}` is not a loopback address, and no `tls` is configured: \
             tokens would travel in the clear; configure `tls` or listen on 127.0.0.1"
        );
    }
    Ok(())
}

/// The settings that differ and are only read at the start.
fn restart_needed(old: &Server, new: &Server) -> Vec<&'static str> {
    let database = |server: &Server| match &server.database {
        Database::Sqlite(path) => path.display().to_string(),
        Database::MariaDb(db) => format!("{}@{}:{}/{}", db.user, db.host, db.port, db.database),
    };
    [
        ("listen", old.listen != new.listen),
        ("admin_listen", old.admin_listen != new.admin_listen),
        ("database", database(old) != database(new)),
        ("tls", old.tls.is_some() != new.tls.is_some()),
        (
            "limits.connections",
            old.limits.connections != new.limits.connections,
        ),
        ("node", old.node != new.node),
        ("log", old.log != new.log),
    ]
    .into_iter()
    .filter_map(|(key, differs)| differs.then_some(key))
    .collect()
}

/// The TLS slot of the listeners, when the plan has certificates.
pub fn tls_slot(server: &Server) -> anyhow::Result<Option<TlsSlot>> {
    server
        .tls
        .as_ref()
        .map(|files| {
            let config = tls::server_config(files).context("`tls` of relay.yaml")?;
            Ok(Arc::new(arc_swap::ArcSwap::new(config)))
        })
        .transpose()
}
