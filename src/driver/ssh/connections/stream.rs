//! The bytes of one channel.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use russh::ChannelStream;
use russh::client::Msg;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::session::{Lease, Life, Session};

/// The bytes of one channel. Dropping it closes the channel on the server.
pub struct Stream {
    inner: ChannelStream<Msg>,
    lease: Lease,
    /// Bytes that were read.
    read: Arc<AtomicU64>,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(session: Session) -> Self {
        let (channel, lease) = session.split();
        Self {
            inner: channel.into_stream(),
            lease,
            read: Arc::default(),
        }
    }

    /// How it is doing, for whoever keeps it without reading it.
    pub fn life(&self) -> Life {
        self.lease.life(&self.read)
    }

    /// Ends the connection with the channel, as soon as nobody else has one on it: nobody knows in what
    /// state it is.
    pub fn poison(self) {
        self.lease.retire();
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let count = buf.filled().len() - before;
        self.read.fetch_add(count as u64, Ordering::AcqRel);
        polled
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
