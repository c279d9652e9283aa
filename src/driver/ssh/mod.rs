//! The `ssh` driver: command lines and programs of one backend, over its own connections.
//!
//! Reading order: [`connections`] (who is reached and how, and the channels on it), [`cli`] above it.

pub mod cli;
pub mod connections;

use std::borrow::Cow;
use std::sync::Arc;

use super::{Answer, Async, AuthState, Clearance, Driver, DriverError, Phase, Probe, RenderedCall};
use crate::plan::{self, BackendLimits};
use connections::Connections;

/// The driver of one backend.
#[derive(Debug)]
pub struct SshDriver {
    connections: Connections,
    spec: Arc<plan::SshDriver>,
}

impl SshDriver {
    /// Builds everything that can be built before the first call; the error names what cannot.
    pub fn new(spec: &Arc<plan::SshDriver>, limits: &BackendLimits) -> Result<Self, String> {
        Ok(Self {
            connections: Connections::new(&spec.access, limits)?,
            spec: Arc::clone(spec),
        })
    }

    async fn call(
        &self,
        call: &RenderedCall,
        clearance: &Clearance,
    ) -> Result<Answer, DriverError> {
        match call {
            RenderedCall::Exec(command) => self.connections.exec(command, clearance).await,
            RenderedCall::Cli(script) => {
                let Some(profile) = &self.spec.profile else {
                    return Err(DriverError::not_sent(
                        Phase::Open,
                        "this backend has no `profile`, so it takes no `cli` calls",
                    ));
                };
                let stream = self.connections.shell(clearance).await?;
                let enable = self.spec.enable.as_ref();
                let mut shell = cli::Shell::open(stream, profile, enable, clearance).await?;
                shell.run(script, clearance).await
            }
            RenderedCall::Http(_) | RenderedCall::Netconf(_) => Err(DriverError::not_sent(
                Phase::Send,
                "the ssh driver sends `cli` and `exec` calls",
            )),
        }
    }
}

impl Driver for SshDriver {
    fn send<'a>(
        &'a self,
        call: &'a RenderedCall,
        clearance: &'a Clearance,
    ) -> Async<'a, Result<Answer, DriverError>> {
        Box::pin(self.call(call, clearance))
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
