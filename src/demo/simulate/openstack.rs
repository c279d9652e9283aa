//! A Keystone and any number of Neutrons, one a region.
//!
//! Written beside keystone 30, neutron 29, networking-sfc 23 and the OpenStack API reference; quotas, RBAC and
//! agents are not here.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::{Stage, keystone, neutron, region};

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Options {
    /// The regions' names; each is a Neutron of its own, at a free port.
    pub regions: Vec<String>,
    /// The password of the user `relay` in the project `admin`.
    pub password: String,
    /// The life of a token.
    pub token_ttl: Duration,
}

/// What stands on the stage.
#[derive(Debug)]
pub struct Simulated {
    /// With `/v3`.
    pub keystone: String,
    pub regions: Vec<SimulatedRegion>,
    pub counters: Arc<Counters>,
    tokens: Arc<keystone::Tokens>,
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
    pub(super) logins: AtomicU64,
    pub(super) calls: AtomicU64,
    pub(super) unauthorized: AtomicU64,
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

    pub(super) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

impl Simulated {
    /// Makes every token invalid, as if its time were over: the next call gets a 401.
    pub fn expire_tokens(&self) {
        self.tokens.expire_all();
    }
}

/// Starts a Keystone and the regions' Neutrons.
pub fn start(stage: &mut Stage, options: Options) -> io::Result<Simulated> {
    let counters = Arc::new(Counters::default());
    let mut ports = Vec::new();
    let mut regions = Vec::new();
    for name in options.regions {
        let port = stage.bind()?;
        regions.push(SimulatedRegion {
            name,
            url: port.url().to_owned(),
        });
        ports.push(port);
    }
    let port = stage.bind()?;
    let root = port.url().to_owned();
    let tokens = Arc::new(keystone::Tokens::new(
        options.password,
        options.token_ttl,
        root.clone(),
        regions.clone(),
    ));
    let router = keystone::router(Arc::clone(&tokens), Arc::clone(&counters));
    stage.serve_at(port, router)?;

    for (region, port) in regions.iter().zip(ports) {
        let router = neutron::router(
            region::Region::open(stage.file(&format!("{}.json", region.name)))?,
            region.url.clone(),
            Arc::clone(&tokens),
            Arc::clone(&counters),
        );
        stage.serve_at(port, router)?;
    }
    Ok(Simulated {
        keystone: format!("{root}/v3"),
        regions,
        counters,
        tokens,
    })
}
