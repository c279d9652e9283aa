//! The SSH connections of one backend, and the channels on them.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::driver::{Answer, Clearance, DriverError, ExecCommand, Phase, Probe};
use crate::plan::{BackendLimits, SshAccess};

/// The connections of one backend.
#[derive(Debug)]
pub struct Connections {
    access: Arc<SshAccess>,
}

impl Connections {
    /// The error names what of the backend's file cannot be used.
    pub fn new(access: &Arc<SshAccess>, _: &BackendLimits) -> Result<Self, String> {
        Ok(Self {
            access: Arc::clone(access),
        })
    }

    /// A shell with a terminal, on a connection that has room for a channel.
    pub async fn shell(&self, _: &Clearance) -> Result<Stream, DriverError> {
        Err(self.unreachable())
    }

    /// A subsystem such as `netconf`, without a terminal.
    pub async fn subsystem(&self, _: &str, _: &Clearance) -> Result<Stream, DriverError> {
        Err(self.unreachable())
    }

    /// Runs a program to its end.
    pub async fn exec(&self, _: &ExecCommand, _: &Clearance) -> Result<Answer, DriverError> {
        Err(self.unreachable())
    }

    /// Resolves, connects, negotiates and logs in.
    pub async fn probe(&self, _: &Clearance) -> Probe {
        Probe {
            found: Vec::new(),
            failed: Some(self.unreachable()),
        }
    }

    /// Closes every channel and connection.
    pub async fn close(&self) {}

    fn unreachable(&self) -> DriverError {
        DriverError::not_sent(Phase::Connect, self.access.address("ssh"))
    }
}

/// The bytes of one channel. Dropping it closes the channel on the server.
#[derive(Debug)]
pub struct Stream {}

impl Stream {
    /// Ends the connection with the channel: nobody knows in what state it is.
    pub fn poison(self) {}
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
