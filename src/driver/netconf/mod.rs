//! The `netconf` driver (RFC 6241, RFC 6242): one operation, in a session of its own.

use std::borrow::Cow;
use std::sync::Arc;

use super::ssh::connections::Connections;
use super::{Answer, Async, AuthState, Clearance, Driver, DriverError, Phase, Probe, RenderedCall};
use crate::plan::{self, BackendLimits};

/// The driver of one backend.
#[derive(Debug)]
pub struct NetconfDriver {
    connections: Connections,
}

impl NetconfDriver {
    /// Builds everything that can be built before the first call; the error names what cannot.
    pub fn new(spec: &Arc<plan::NetconfDriver>, limits: &BackendLimits) -> Result<Self, String> {
        Ok(Self {
            connections: Connections::new(&spec.access, limits)?,
        })
    }
}

impl Driver for NetconfDriver {
    fn send<'a>(
        &'a self,
        _: &'a RenderedCall,
        clearance: &'a Clearance,
    ) -> Async<'a, Result<Answer, DriverError>> {
        Box::pin(async move {
            self.connections.subsystem("netconf", clearance).await?;
            Err(DriverError::not_sent(Phase::Open, "netconf"))
        })
    }

    fn close(&self) -> Async<'_, ()> {
        Box::pin(self.connections.close())
    }

    fn probe<'a>(&'a self, clearance: &'a Clearance) -> Async<'a, Probe> {
        Box::pin(self.connections.probe(clearance))
    }

    fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        Cow::Borrowed(text)
    }

    fn auth_state(&self) -> AuthState {
        AuthState::Fixed
    }
}
