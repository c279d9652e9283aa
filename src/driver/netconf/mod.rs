//! The `netconf` driver (RFC 6241, RFC 6242): one operation, in a session of its own.
//!
//! Reading order: `transaction` (what a call is, and what it leaves behind when it fails), `session` and
//! `wire` below it, `hello` and `rpc` beside it; [`framing`] and [`error`] know nothing of the others.
//! All of it runs over any stream; this file takes one from the backend's SSH connections.

pub mod error;
pub mod framing;
mod hello;
mod rpc;
mod session;
mod transaction;
mod wire;

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use self::session::{Bounds, Session};
use super::https::scrub::Scrubber;
use super::ssh::connections::{Connections, HostKeys, Stream};
use super::{
    Answer, Async, AuthState, Clearance, Driver, DriverError, Found, NetconfRequest, Phase, Probe,
    RenderedCall,
};
use crate::plan::{self, BackendLimits, NetconfOperation};

pub use error::{RpcError, Severity, errors, rpc_errors};

/// The driver of one backend.
#[derive(Debug)]
pub struct NetconfDriver {
    connections: Connections,
    spec: Arc<plan::NetconfDriver>,
    bounds: Bounds,
    scrubber: Scrubber,
}

impl NetconfDriver {
    /// Builds everything that can be built before the first call; the error names what cannot.
    pub fn new(spec: &Arc<plan::NetconfDriver>, limits: &BackendLimits) -> Result<Self, String> {
        let connections = Connections::new(&spec.access, limits)?;
        let mut scrubber = Scrubber::default();
        connections.conceal(&mut scrubber);
        Ok(Self {
            connections,
            scrubber,
            spec: Arc::clone(spec),
            bounds: Bounds {
                hello: limits.connect_timeout,
                first_byte: limits.first_byte_timeout,
                message: limits.response_body,
                only_1_0: spec.framing_1_0,
            },
        })
    }

    /// Records host keys from now on, under the backend's name: what `tofu` needs.
    pub fn record_host_keys(&mut self, backend: &str, keys: Option<Arc<dyn HostKeys>>) {
        self.connections.record_host_keys(backend, keys);
    }

    async fn call(
        &self,
        request: &NetconfRequest,
        clearance: &Clearance,
    ) -> Result<Answer, DriverError> {
        let content = request.content.as_deref().unwrap_or_default();
        rpc::check_content(content, request.operation == NetconfOperation::Rpc)
            .map_err(|detail| DriverError::not_sent(Phase::Send, detail))?;
        let mut session = self.open(clearance).await?;
        let writable_running = self.spec.writable_running;
        let ended = transaction::run(&mut session, request, writable_running, clearance).await;
        let broken = session.is_broken();
        end(session.into_stream(), broken);
        ended
    }

    /// A session, behind the hellos.
    async fn open(&self, clearance: &Clearance) -> Result<Session<Stream>, DriverError> {
        let stream = self.connections.subsystem("netconf", clearance).await?;
        let refused = |refusal| DriverError::refused(refusal, Phase::Open, "held before the hello");
        let by = Instant::now() + clearance.check().map_err(refused)?;
        match Session::open(stream, self.bounds, by).await {
            Ok(session) => Ok(session),
            Err((detail, stream)) => {
                end(stream, true);
                Err(DriverError::not_sent(Phase::Open, detail))
            }
        }
    }

    async fn probe_into(
        &self,
        probe: &mut Probe,
        clearance: &Clearance,
    ) -> Result<(), DriverError> {
        let mut session = self.open(clearance).await?;
        probe.found.push(Found {
            phase: Phase::Open,
            what: format!("{}; {}", session.hello().words(), session.framing().name()),
        });
        transaction::close(&mut session, Instant::now() + transaction::TIDYING).await;
        let broken = session.is_broken();
        end(session.into_stream(), broken);
        Ok(())
    }
}

/// Gives the channel up; with the whole connection where nobody knows in what state it is. Either way the
/// device ends the session, and with it its locks.
fn end(stream: Stream, broken: bool) {
    match broken {
        true => stream.poison(),
        false => drop(stream),
    }
}

impl Driver for NetconfDriver {
    fn send<'a>(
        &'a self,
        call: &'a RenderedCall,
        clearance: &'a Clearance,
    ) -> Async<'a, Result<Answer, DriverError>> {
        Box::pin(async move {
            let RenderedCall::Netconf(request) = call else {
                return Err(DriverError::not_sent(
                    Phase::Send,
                    "the netconf driver sends `netconf` calls",
                ));
            };
            let answer = self.call(request, clearance).await;
            answer.map_err(|error| error.scrubbed(self))
        })
    }

    fn close(&self) -> Async<'_, ()> {
        Box::pin(self.connections.close())
    }

    fn probe<'a>(&'a self, clearance: &'a Clearance) -> Async<'a, Probe> {
        Box::pin(async move {
            let mut probe = self.connections.probe(clearance).await;
            if probe.failed.is_none()
                && let Err(error) = self.probe_into(&mut probe, clearance).await
            {
                probe.failed = Some(error);
            }
            probe.scrubbed(self)
        })
    }

    fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.scrubber.clean(text)
    }

    fn auth_state(&self) -> AuthState {
        self.connections.auth_state()
    }
}
