//! What simulated backends stand on: the ports that they listen at, over TLS or plain, the folder that they keep
//! their objects in, and the passwords that they want.
//!
//! One stage may carry any number of them; it ends them all.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, to_bytes};
use http_body_util::Full;
use tokio::task::JoinHandle;
use tower::ServiceExt;
use uuid::Uuid;

use super::Authority;
use crate::http::listener::{self, Bounds, TlsSlot};
use crate::shutdown::{self, Shutdown, Trigger};
use crate::workers::Workers;

/// Simulated backends that run; they end when this is dropped.
#[derive(Debug)]
pub struct Stage {
    data: Option<PathBuf>,
    tls: Option<TlsSlot>,
    secrets: BTreeMap<String, String>,
    calls: Arc<AtomicU64>,
    trigger: Trigger,
    shutdown: Shutdown,
    servers: Vec<JoinHandle<()>>,
}

/// A port that is taken, and not served yet.
#[derive(Debug)]
pub struct Port {
    listener: TcpListener,
    url: String,
}

impl Port {
    /// `https://127.0.0.1:40001`, or with `http`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Stage {
    /// An empty one. Without `data` objects are kept in memory only, without an authority HTTP is plain.
    pub fn new(data: Option<PathBuf>, authority: Option<&Authority>) -> Self {
        let (trigger, shutdown) = shutdown::channel();
        Self {
            data,
            tls: authority.map(|authority| Arc::new(ArcSwap::new(authority.server()))),
            secrets: BTreeMap::new(),
            calls: Arc::default(),
            trigger,
            shutdown,
            servers: Vec::new(),
        }
    }

    /// Where a backend keeps its objects: `name` is a file name, such as `RegionOne.json`.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.data.as_ref().map(|folder| folder.join(name))
    }

    /// The secret of this environment variable: another one at each start, unless it was set.
    pub fn secret(&mut self, variable: &str) -> String {
        self.secrets
            .entry(variable.to_owned())
            .or_insert_with(|| Uuid::new_v4().to_string())
            .clone()
    }

    /// Sets a secret that the backends to come ask for.
    pub fn set_secret(&mut self, variable: &str, value: &str) {
        self.secrets.insert(variable.to_owned(), value.to_owned());
    }

    /// Every secret so far, by its environment variable.
    pub fn secrets(&self) -> &BTreeMap<String, String> {
        &self.secrets
    }

    /// How many requests came over HTTP to all backends together, logins and refused ones included.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Takes a free loopback port, for a backend that must know its URL before it can answer.
    pub fn bind(&self) -> io::Result<Port> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr()?);
        Ok(Port { listener, url })
    }

    /// Serves at a port that [`Self::bind`] gave, until the end.
    pub fn serve_at(&mut self, port: Port, router: Router) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(port.listener)?;
        let calls = Arc::clone(&self.calls);
        let serving = listener::serve(
            listener,
            self.tls.clone(),
            Bounds::default(),
            self.shutdown.clone(),
            Workers::default(),
            move |request: http::Request<hyper::body::Incoming>, _| {
                calls.fetch_add(1, Ordering::Relaxed);
                let router = router.clone();
                async move {
                    let Ok(answer) = router.oneshot(request.map(Body::new)).await;
                    let (parts, body) = answer.into_parts();
                    let body = to_bytes(body, usize::MAX).await;
                    let body = body.expect("a simulated backend's answers are in memory");
                    http::Response::from_parts(parts, Full::new(body))
                }
            },
        );
        self.servers.push(tokio::spawn(serving));
        Ok(())
    }

    /// Serves at a free loopback port; gives the URL.
    pub fn serve(&mut self, router: Router) -> io::Result<String> {
        let port = self.bind()?;
        let url = port.url.clone();
        self.serve_at(port, router)?;
        Ok(url)
    }

    /// What a server of another protocol ends by.
    pub(super) fn shutdown(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// A server of another protocol, which ends by [`Self::shutdown`].
    pub(super) fn add(&mut self, server: JoinHandle<()>) {
        self.servers.push(server);
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
