//! The `ssh` driver: command lines and programs of one backend, over its own connections.
//!
//! Reading order: [`connections`] (who is reached and how, and the channels on it), [`cli`] (a command
//! line in a shell) above it, `shells` beside it. This file joins them: it lets at most one call at a time
//! change the backend's configuration, reuses shells that stand where a login ends, and lets every other
//! one go.

pub mod cli;
pub mod connections;
mod shells;

use std::borrow::Cow;
use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};

use self::cli::Shell;
use self::connections::{Connections, HostKeys, Life, Stream};
use self::shells::Shells;
use super::https::scrub::Scrubber;
use super::{
    Answer, Async, AuthState, Clearance, CliScript, Driver, DriverError, ExecCommand, Phase, Probe,
    Refusal, RenderedCall,
};
use crate::plan::{self, BackendLimits, CliProfile};

/// The driver of one backend.
#[derive(Debug)]
pub struct SshDriver {
    connections: Connections,
    shells: Arc<Shells>,
    /// Held by the call that may change the configuration.
    configuring: Mutex<()>,
    spec: Arc<plan::SshDriver>,
    limits: BackendLimits,
    scrubber: Scrubber,
}

impl SshDriver {
    /// Builds everything that can be built before the first call; the error names what cannot.
    pub fn new(spec: &Arc<plan::SshDriver>, limits: &BackendLimits) -> Result<Self, String> {
        let connections = Connections::new(&spec.access, limits)?;
        let mut scrubber = Scrubber::default();
        connections.conceal(&mut scrubber);
        if let Some(enable) = &spec.enable {
            scrubber.add(enable.expose());
        }
        Ok(Self {
            connections,
            shells: Arc::default(),
            configuring: Mutex::new(()),
            spec: Arc::clone(spec),
            limits: limits.clone(),
            scrubber,
        })
    }

    /// Records host keys from now on, under the backend's name: what `tofu` needs.
    pub fn record_host_keys(&mut self, backend: &str, keys: Option<Arc<dyn HostKeys>>) {
        self.connections.record_host_keys(backend, keys);
    }

    async fn call(
        &self,
        call: &RenderedCall,
        clearance: &Clearance,
    ) -> Result<Answer, DriverError> {
        match call {
            RenderedCall::Exec(command) => self.exec(command, clearance).await,
            RenderedCall::Cli(script) => match &self.spec.profile {
                Some(profile) => self.cli(script, profile, clearance).await,
                None => Err(DriverError::not_sent(
                    Phase::Open,
                    "this backend has no `profile`, so it takes no `cli` calls",
                )),
            },
            RenderedCall::Http(_) | RenderedCall::Netconf(_) => Err(DriverError::not_sent(
                Phase::Send,
                "the ssh driver sends `cli` and `exec` calls",
            )),
        }
    }

    async fn exec(
        &self,
        command: &ExecCommand,
        clearance: &Clearance,
    ) -> Result<Answer, DriverError> {
        let _alone = self.alone(clearance).await?;
        // A shell that waits for nobody must not keep a program waiting.
        while !self.connections.has_room() && self.shells.give_up_one() {}
        self.connections.exec(command, clearance).await
    }

    async fn cli(
        &self,
        script: &CliScript,
        profile: &Arc<CliProfile>,
        clearance: &Clearance,
    ) -> Result<Answer, DriverError> {
        let _alone = self.alone(clearance).await?;
        let (mut shell, life) = self.shell(profile, clearance).await?;
        let ran = shell.run(script, clearance).await;
        match &ran {
            Ok(_) if shell.is_clean() => self.shells.put(shell, life),
            // It is known how it stands, but it is not where the next call begins.
            Ok(_) => drop(shell),
            Err(_) if shell.is_clean() => drop(shell),
            Err(_) => shell.into_stream().poison(),
        }
        ran
    }

    /// A shell at the prompt that a login ends in: an idle one, or a new one.
    async fn shell(
        &self,
        profile: &Arc<CliProfile>,
        clearance: &Clearance,
    ) -> Result<(Shell<Stream>, Life), DriverError> {
        let left = clearance
            .check()
            .map_err(|refusal| unsent(refusal, "before a line was sent"))?;
        let patience = left.min(self.limits.connect_timeout);
        let idle = self.shells.take(self.limits.idle_reuse, patience);
        if let Some(idle) = idle.await {
            return Ok(idle);
        }
        let stream = self.connections.shell(clearance).await?;
        let life = stream.life();
        let enable = self.spec.enable.as_ref();
        let limit = self.limits.response_body;
        let shell = Shell::open_within(stream, profile, enable, limit, clearance).await?;
        Ok((shell, life))
    }

    /// Waits until no other call may change the configuration, if this one may.
    async fn alone(
        &self,
        clearance: &Clearance,
    ) -> Result<Option<MutexGuard<'_, ()>>, DriverError> {
        if !clearance.mutating || self.spec.parallel_config {
            return Ok(None);
        }
        let words = "while another call could change this backend's configuration (`parallel_config: \
                     true` lets several)";
        let left = clearance
            .check()
            .map_err(|refusal| unsent(refusal, words))?;
        match tokio::time::timeout(left, self.configuring.lock()).await {
            Ok(alone) => Ok(Some(alone)),
            Err(_) => Err(unsent(Refusal::Deadline, words)),
        }
    }
}

/// The call was refused before anything of it was sent.
fn unsent(refusal: Refusal, when: &str) -> DriverError {
    let what = match refusal {
        Refusal::Gate => "this node is not the active one",
        Refusal::Deadline => "the deadline passed",
    };
    DriverError::refused(refusal, Phase::Open, format!("{what} {when}"))
}

impl Driver for SshDriver {
    fn send<'a>(
        &'a self,
        call: &'a RenderedCall,
        clearance: &'a Clearance,
    ) -> Async<'a, Result<Answer, DriverError>> {
        Box::pin(async move {
            let answer = self.call(call, clearance).await;
            answer.map_err(|error| error.scrubbed(self))
        })
    }

    fn close(&self) -> Async<'_, ()> {
        Box::pin(async move {
            self.shells.close();
            self.connections.close().await;
        })
    }

    fn probe<'a>(&'a self, clearance: &'a Clearance) -> Async<'a, Probe> {
        Box::pin(async move { self.connections.probe(clearance).await.scrubbed(self) })
    }

    fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.scrubber.clean(text)
    }

    fn auth_state(&self) -> AuthState {
        self.connections.auth_state()
    }
}
