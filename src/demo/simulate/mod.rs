//! Simulated backends, in this process: a Keystone and any number of Neutron regions, and [`devices`]
//! behind SSH.
//!
//! The regions answer as the real ones do (shapes, statuses, errors, 401s, paging), keep their objects, and
//! check what a CMP runs into: addresses, overlaps, references, what is in use. They were written
//! beside keystone 30 and neutron 29 and the OpenStack API reference; what the relay never asks of
//! those (quotas, RBAC, agents) is not here. For the demo and for tests; loopback only.

mod address;
mod attributes;
pub mod devices;
mod error;
mod kept;
mod keystone;
mod list;
mod netconf;
mod neutron;
mod onyx;
mod region;
mod routing;
mod rules;
mod ssh;
pub mod waf;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::shutdown::{self, Shutdown, Trigger};

/// What is simulated, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The regions' names; each is a Neutron of its own, at a free port.
    pub regions: Vec<String>,
    /// Where the regions keep their objects; `None`: in memory only.
    pub data: Option<PathBuf>,
    /// The password of the user `relay` in the project `admin`.
    pub password: String,
    /// The life of a token.
    pub token_ttl: Duration,
}

/// Running simulated backends; they end when this is dropped.
#[derive(Debug)]
pub struct Simulated {
    /// With `/v3`.
    pub keystone: String,
    pub regions: Vec<SimulatedRegion>,
    pub counters: Arc<Counters>,
    tokens: Arc<keystone::Tokens>,
    trigger: Trigger,
    servers: Vec<JoinHandle<io::Result<()>>>,
}

/// One simulated Neutron.
#[derive(Clone, Debug)]
pub struct SimulatedRegion {
    pub name: String,
    /// Without `/v2.0`.
    pub url: String,
}

/// What the simulated backends were asked.
#[derive(Debug, Default)]
pub struct Counters {
    logins: AtomicU64,
    calls: AtomicU64,
    unauthorized: AtomicU64,
}

impl Counters {
    /// Tokens given out.
    pub fn logins(&self) -> u64 {
        self.logins.load(Ordering::Relaxed)
    }

    /// Calls to any Neutron, the refused ones included.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Calls and logins answered with 401.
    pub fn unauthorized(&self) -> u64 {
        self.unauthorized.load(Ordering::Relaxed)
    }

    fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Simulated {
    /// Makes every token invalid, as if its time were over: the next call gets a 401.
    pub fn expire_tokens(&self) {
        self.tokens.expire_all();
    }

    /// Stops listening and waits for the answers in hand.
    pub async fn stop(self) {
        self.trigger.stop();
        for server in self.servers {
            // A server ends only by the trigger; its task has nothing else to report.
            let _ = server.await;
        }
    }
}

/// Starts a Keystone and the regions' Neutrons on free loopback ports.
pub async fn start(options: Options) -> io::Result<Simulated> {
    let counters = Arc::new(Counters::default());
    let (trigger, shutdown) = shutdown::channel();
    let mut servers = Vec::new();

    let mut bound = Vec::new();
    for name in &options.regions {
        let (listener, url) = bind().await?;
        bound.push((
            SimulatedRegion {
                name: name.clone(),
                url,
            },
            listener,
        ));
    }
    let regions: Vec<SimulatedRegion> = bound.iter().map(|(region, _)| region.clone()).collect();

    let (listener, keystone_root) = bind().await?;
    let tokens = Arc::new(keystone::Tokens::new(
        options.password,
        options.token_ttl,
        keystone_root.clone(),
        regions.clone(),
    ));
    let router = keystone::router(Arc::clone(&tokens), Arc::clone(&counters));
    servers.push(serve(listener, router, shutdown.clone()));

    for (region, listener) in bound {
        let file = options
            .data
            .as_ref()
            .map(|folder| folder.join(format!("{}.json", region.name)));
        let state = region::Region::open(file)?;
        let router = neutron::router(
            state,
            region.url.clone(),
            Arc::clone(&tokens),
            Arc::clone(&counters),
        );
        servers.push(serve(listener, router, shutdown.clone()));
    }
    Ok(Simulated {
        keystone: format!("{keystone_root}/v3"),
        regions,
        counters,
        tokens,
        trigger,
        servers,
    })
}

async fn bind() -> io::Result<(TcpListener, String)> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    let url = format!("http://{}", listener.local_addr()?);
    Ok((listener, url))
}

fn serve(
    listener: TcpListener,
    router: Router,
    mut shutdown: Shutdown,
) -> JoinHandle<io::Result<()>> {
    tokio::spawn(async move {
        axum::serve(listener, router)
            .with_graceful_shutdown(async move { shutdown.stopping().await })
            .await
    })
}
