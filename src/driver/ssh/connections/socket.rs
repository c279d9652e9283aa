//! The socket under a connection: it notes how the server introduces itself, and can be cut from outside.

use std::fmt;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::observer::Sight;

/// RFC 4253, section 4.2: lines before the version are allowed, and nobody needs many.
const LONGEST_INTRODUCTION: usize = 8 * 1024;

/// A socket whose first bytes are read along.
pub(super) struct Socket {
    stream: TcpStream,
    sight: Sight,
    /// What came so far; `None` once the version is known.
    heard: Option<Vec<u8>>,
}

/// A second hand on the socket, which ends it whatever the protocol is doing. Dropping it ends it too.
pub(super) struct Cut(std::net::TcpStream);

impl fmt::Debug for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cut")
    }
}

impl Cut {
    pub(super) fn now(&self) {
        // An error means that it has ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Cut {
    /// Whether the socket is silent: no end of stream, no error, and nothing that was not read yet.
    pub(super) fn is_silent(&self) -> bool {
        // The handle shares its mode with the socket that tokio made, which does not block.
        matches!(
            self.0.peek(&mut [0]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock
        )
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        self.now();
    }
}

impl Socket {
    pub(super) fn new(stream: TcpStream, sight: &Sight) -> io::Result<(Self, Cut)> {
        stream.set_nodelay(true)?;
        let stream = stream.into_std()?;
        let cut = Cut(stream.try_clone()?);
        let socket = Self {
            stream: TcpStream::from_std(stream)?,
            sight: sight.clone(),
            heard: Some(Vec::new()),
        };
        Ok((socket, cut))
    }

    fn listen(&mut self, bytes: &[u8]) {
        let Some(heard) = &mut self.heard else { return };
        heard.extend_from_slice(bytes);
        let mut lines = heard.split_inclusive(|byte| *byte == b'\n');
        let version = lines.find(|line| line.starts_with(b"SSH-") && line.ends_with(b"\n"));
        if let Some(version) = version {
            let version = String::from_utf8_lossy(version);
            let visible = |c: char| if c.is_control() { '?' } else { c };
            let version: String = version.trim_end().chars().map(visible).collect();
            self.sight.introduced(&version);
            self.heard = None;
        } else if heard.len() > LONGEST_INTRODUCTION {
            self.heard = None;
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buf);
        if self.heard.is_some() {
            let new = buf.filled()[before..].to_vec();
            self.listen(&new);
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
