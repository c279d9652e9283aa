//! HTTP: the CMP listener and the admin listener.
//!
//! [`listener`] accepts and keeps the bounds of a connection; [`layers`] is what each CMP request
//! passes; [`operations`] and `relay` answer it; [`problem`] alone knows error statuses. [`admin`] is
//! the operator's side. Nothing here knows a backend's protocol.

pub mod admin;
pub mod auth;
pub mod docs;
pub mod inbound;
pub mod layers;
pub mod listener;
pub mod openapi;
pub mod operations;
pub mod panic;
pub mod problem;
pub mod reload;
pub mod tls;
mod watch;

use std::future::Future;
use std::sync::Arc;

use tokio::net::TcpListener;

use crate::relay::{Failure, Inbound, Relay, Reply};
use crate::shutdown::Shutdown;
use crate::workers::Workers;
use layers::Edge;
use listener::TlsSlot;

/// Serves the CMP API on `socket` until told to stop and the last request is answered.
pub async fn serve_cmp(
    socket: TcpListener,
    tls: Option<TlsSlot>,
    edge: Arc<Edge>,
    relay: Arc<Relay>,
    shutdown: Shutdown,
    workers: Workers,
) {
    let handler = move |inbound| {
        let relay = relay.clone();
        async move { operations::handle(&relay, inbound).await }
    };
    serve_with(socket, tls, edge, shutdown, workers, handler).await;
}

/// The CMP listener in front of any handler.
pub async fn serve_with<H, F>(
    socket: TcpListener,
    tls: Option<TlsSlot>,
    edge: Arc<Edge>,
    shutdown: Shutdown,
    workers: Workers,
    handler: H,
) where
    H: Fn(Inbound) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Failure>> + Send + 'static,
{
    let bounds = edge.bounds().clone();
    let answer = move |request, peer| layers::answer(edge.clone(), handler.clone(), request, peer);
    listener::serve(socket, tls, bounds, shutdown, workers, answer).await;
}
