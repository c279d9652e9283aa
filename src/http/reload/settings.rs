//! The server's own settings at a reload: which may not be served, and which need a restart.

use std::sync::Arc;

use anyhow::Context;

use crate::http::listener::TlsSlot;
use crate::http::tls;
use crate::plan::{Database, MariaDb, Server};

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
pub fn restart_needed(old: &Server, new: &Server) -> Vec<&'static str> {
    let at = |db: &MariaDb| format!("{}@{}:{}/{}", db.user, db.host, db.port, db.database);
    let database = |server: &Server| match &server.database {
        Database::Sqlite(path) => path.display().to_string(),
        Database::MariaDb(db) => at(db),
    };
    let standby = |server: &Server| server.replication.standby.as_ref().map(at);
    [
        ("listen", old.listen != new.listen),
        ("admin_listen", old.admin_listen != new.admin_listen),
        ("database", database(old) != database(new)),
        ("tls", old.tls.is_some() != new.tls.is_some()),
        (
            "limits.connections",
            old.limits.connections != new.limits.connections,
        ),
        (
            "limits.cached_mappings",
            old.limits.cached_mappings != new.limits.cached_mappings,
        ),
        ("replication.standby", standby(old) != standby(new)),
        (
            "replication.timeout",
            old.replication.timeout != new.replication.timeout,
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
