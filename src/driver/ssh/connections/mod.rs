//! The SSH connections of one backend, and the channels on them (RFC 4251 to 4254).
//!
//! Reading order: [`connect`] (one connection: address, algorithms, host key, login), `stream` (the
//! bytes of a channel), `exec` (a program to its end).

mod connect;
mod exec;
mod observer;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelMsg};

use self::connect::Connection;
pub use self::stream::Stream;
use crate::driver::{Answer, Clearance, DriverError, ExecCommand, Phase, Probe, Refusal};
use crate::plan::{BackendLimits, SshAccess};

/// Wide and high enough that few devices wrap or page.
const COLUMNS: u32 = 511;
const ROWS: u32 = 1000;

/// The connections of one backend.
#[derive(Debug)]
pub struct Connections {
    access: Arc<SshAccess>,
    limits: BackendLimits,
}

impl Connections {
    /// The error names what of the backend's file cannot be used.
    pub fn new(access: &Arc<SshAccess>, limits: &BackendLimits) -> Result<Self, String> {
        Ok(Self {
            access: Arc::clone(access),
            limits: limits.clone(),
        })
    }

    /// A shell with a terminal, on a connection that has room for a channel.
    pub async fn shell(&self, clearance: &Clearance) -> Result<Stream, DriverError> {
        within(clearance, Phase::Open, async {
            let (connection, mut channel) = self.channel(clearance).await?;
            let asked = channel.request_pty(true, "vt100", COLUMNS, ROWS, 0, 0, &[]);
            granted(asked.await, &mut channel, "a terminal").await?;
            let asked = channel.request_shell(true);
            granted(asked.await, &mut channel, "a shell").await?;
            Ok(Stream::new(connection, channel))
        })
        .await
    }

    /// A subsystem such as `netconf`, without a terminal.
    pub async fn subsystem(
        &self,
        name: &str,
        clearance: &Clearance,
    ) -> Result<Stream, DriverError> {
        within(clearance, Phase::Open, async {
            let (connection, mut channel) = self.channel(clearance).await?;
            let asked = channel.request_subsystem(true, name);
            let what = format!("the subsystem `{name}`");
            granted(asked.await, &mut channel, &what).await?;
            Ok(Stream::new(connection, channel))
        })
        .await
    }

    /// Runs a program to its end.
    pub async fn exec(
        &self,
        command: &ExecCommand,
        clearance: &Clearance,
    ) -> Result<Answer, DriverError> {
        let (connection, channel) = within(clearance, Phase::Open, self.channel(clearance)).await?;
        let answer = exec::run(channel, command, clearance, &self.limits).await;
        drop(connection);
        answer
    }

    /// Resolves, connects, negotiates and logs in.
    pub async fn probe(&self, clearance: &Clearance) -> Probe {
        Probe {
            found: Vec::new(),
            failed: self.connect(clearance).await.err(),
        }
    }

    /// Closes every channel and connection.
    pub async fn close(&self) {}

    async fn connect(&self, clearance: &Clearance) -> Result<Arc<Connection>, DriverError> {
        let connection = connect::connect(&self.access, &self.limits, clearance).await?;
        Ok(Arc::new(connection))
    }

    async fn channel(
        &self,
        clearance: &Clearance,
    ) -> Result<(Arc<Connection>, Channel<Msg>), DriverError> {
        let connection = self.connect(clearance).await?;
        let channel = connection.handle.channel_open_session().await;
        let channel = channel.map_err(|error| {
            DriverError::not_sent(Phase::Open, format!("no channel could be opened: {error}"))
        })?;
        Ok((connection, channel))
    }
}

/// Whether the server granted what was asked of it on a channel.
async fn granted(
    asked: Result<(), russh::Error>,
    channel: &mut Channel<Msg>,
    what: &str,
) -> Result<(), DriverError> {
    let lost = |_| lost_before(what);
    asked.map_err(lost)?;
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Success) => return Ok(()),
            Some(ChannelMsg::Failure) => {
                return Err(DriverError::not_sent(
                    Phase::Open,
                    format!("the server refused {what}"),
                ));
            }
            Some(ChannelMsg::Close) | None => return Err(lost_before(what)),
            Some(_) => {}
        }
    }
}

fn lost_before(what: &str) -> DriverError {
    DriverError::not_sent(
        Phase::Open,
        format!("the channel was closed before the server granted {what}"),
    )
}

/// Bounds what has no effect yet by the clearance's deadline.
async fn within<T>(
    clearance: &Clearance,
    phase: Phase,
    step: impl Future<Output = Result<T, DriverError>>,
) -> Result<T, DriverError> {
    let left = clearance
        .check()
        .map_err(|refusal| refused(refusal, phase))?;
    match tokio::time::timeout(left, step).await {
        Ok(result) => result,
        Err(_) => Err(refused(Refusal::Deadline, phase)),
    }
}

/// The call was refused before anything of it was sent.
fn refused(refusal: Refusal, phase: Phase) -> DriverError {
    let detail = match refusal {
        Refusal::Gate => "this node is not the active one",
        Refusal::Deadline => "the deadline had passed before anything was sent",
    };
    DriverError::refused(refusal, phase, detail)
}

/// Bounds one step of connecting; the error says which took too long.
async fn bounded<T>(
    span: Duration,
    phase: Phase,
    step: impl Future<Output = Result<T, DriverError>>,
) -> Result<T, DriverError> {
    tokio::time::timeout(span, step).await.unwrap_or_else(|_| {
        Err(DriverError::not_sent(
            phase,
            format!("it took longer than {} ms", span.as_millis()),
        ))
    })
}
