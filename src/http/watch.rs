//! What a connection is doing: told by its bytes and its handler, read by its clocks.
//!
//! [`Watched`] sits between hyper and the socket. It sees the first byte of a request, and it keeps
//! hyper's empty answers to unreadable requests from the wire, so that the listener can send a
//! problem instead. All of it happens in the connection's one task; the atomics only make it `Send`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Accepted; not one byte has come.
    New = 0,
    /// A request has begun and its headers have not ended.
    Head = 1,
    /// The handler has the request.
    Busy = 2,
    /// The answer was given; the next request has not begun.
    Idle = 3,
}

#[derive(Debug, Default)]
pub(super) struct Watch {
    phase: AtomicU8,
    changes: AtomicU32,
    refused_with: AtomicU16,
    linger: AtomicBool,
}

impl Watch {
    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Relaxed) {
            0 => Phase::New,
            1 => Phase::Head,
            2 => Phase::Busy,
            _ => Phase::Idle,
        }
    }

    /// Grows with every change of phase.
    pub(super) fn changes(&self) -> u32 {
        self.changes.load(Relaxed)
    }

    pub(super) fn begin_request(&self) {
        self.enter(Phase::Busy);
    }

    /// `linger`: the client may still be sending a body that nobody reads.
    pub(super) fn end_request(&self, linger: bool) {
        self.linger.store(linger, Relaxed);
        self.enter(Phase::Idle);
    }

    /// The status of hyper's own answer to what it could not parse.
    pub(super) fn refused_with(&self) -> Option<u16> {
        Some(self.refused_with.load(Relaxed)).filter(|status| *status != 0)
    }

    pub(super) fn must_linger(&self) -> bool {
        self.linger.load(Relaxed)
    }

    fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Relaxed);
        self.changes.fetch_add(1, Relaxed);
    }

    fn saw_bytes(&self) {
        if matches!(self.phase(), Phase::New | Phase::Idle) {
            self.enter(Phase::Head);
        }
    }

    /// Whether `bytes` begin an answer that no handler gave.
    fn is_hypers_own(&self, bytes: &[u8]) -> bool {
        if self.refused_with().is_some() {
            return true;
        }
        if self.phase() != Phase::Head || !bytes.starts_with(b"HTTP/1.") {
            return false;
        }
        let status = bytes
            .get(9..12)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| digits.parse().ok())
            .filter(|status| (400..500).contains(status));
        self.refused_with.store(status.unwrap_or(0), Relaxed);
        status.is_some()
    }
}

/// A socket that tells its [`Watch`].
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    watch: Arc<Watch>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, watch: Arc<Watch>) -> Self {
        Self { stream, watch }
    }

    pub(super) fn into_inner(self) -> S {
        self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.saw_bytes();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.watch.is_hypers_own(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let first = slices.iter().find(|slice| !slice.is_empty());
        if first.is_some_and(|slice| self.watch.is_hypers_own(slice)) {
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Does nothing: the listener ends the stream, once it has said its own last word.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
