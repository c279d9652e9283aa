//! One connection to a backend: resolved, connected, TLS spoken, and its written bytes counted.
//!
//! [`Stream`] knows whether a byte of the current request has been handed to the socket: that, and
//! nothing else, is what "sent" means (SEMANTICS 8). Bytes that TLS writes for itself (a handshake,
//! an alert, a key update) are not the request's.

use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_openssl::SslStream;
use hyper_util::rt::TokioIo;
use openssl::ssl::SslRef;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::tls::TlsClient;
use crate::driver::Phase;
use crate::plan::BaseUrl;

/// A TCP stream that counts what it was given to write.
#[derive(Debug)]
pub(super) struct Counted {
    tcp: TokioIo<TcpStream>,
    written: u64,
}

impl Counted {
    fn count(&mut self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(written)) = &result {
            self.written += u64::try_from(*written).unwrap_or(u64::MAX);
        }
        result
    }
}

impl Read for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_read(cx, buf)
    }
}

impl Write for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.count(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.count(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}

/// A connection with or without TLS, as hyper reads and writes it.
#[derive(Debug)]
pub(super) struct Stream {
    inner: Inner,
    sent: Arc<AtomicBool>,
}

#[derive(Debug)]
enum Inner {
    Plain(Counted),
    Tls(SslStream<Counted>),
}

impl Inner {
    fn written(&self) -> u64 {
        match self {
            Inner::Plain(tcp) => tcp.written,
            Inner::Tls(tls) => tls.get_ref().written,
        }
    }
}

impl Stream {
    /// The TLS session, where there is one.
    pub(super) fn tls(&self) -> Option<&SslRef> {
        match &self.inner {
            Inner::Plain(_) => None,
            Inner::Tls(tls) => Some(tls.ssl()),
        }
    }

    /// Runs one write of request bytes and notes whether any of them reached the socket. A TLS
    /// record may reach it in part even though the write as a whole has to wait.
    fn note(
        &mut self,
        write: impl FnOnce(&mut Inner) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let before = self.inner.written();
        let result = write(&mut self.inner);
        if self.inner.written() != before {
            self.sent.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Inner::Tls(tls) => Pin::new(tls).poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.note(|inner| match inner {
            Inner::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Inner::Tls(tls) => Pin::new(tls).poll_write(cx, buf),
        })
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.note(|inner| match inner {
            Inner::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Inner::Tls(tls) => Pin::new(tls).poll_write_vectored(cx, bufs),
        })
    }

    fn is_write_vectored(&self) -> bool {
        match &self.inner {
            Inner::Plain(tcp) => tcp.is_write_vectored(),
            Inner::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Inner::Tls(tls) => Pin::new(tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.inner {
            Inner::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Inner::Tls(tls) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// A new connection, and two handles on it that hyper does not take.
pub(super) struct Opened {
    pub(super) stream: Stream,
    /// Whether a byte of the current request was handed to the socket.
    pub(super) sent: Arc<AtomicBool>,
    /// The same socket: asked, before a reuse, whether it shows an end of stream.
    pub(super) probe: std::net::TcpStream,
}

/// Why no connection was made.
#[derive(Debug)]
pub(super) struct ConnectError {
    pub(super) phase: Phase,
    pub(super) detail: String,
}

impl ConnectError {
    fn new(phase: Phase, detail: impl Display) -> Self {
        Self {
            phase,
            detail: detail.to_string(),
        }
    }
}

/// Resolves, connects and speaks TLS, all before `by`.
pub(super) async fn open(
    url: &BaseUrl,
    tls: Option<&TlsClient>,
    by: Instant,
) -> Result<Opened, ConnectError> {
    let addresses = resolve(url, by).await?;
    let tcp = connect(url, &addresses, by).await?;
    let connect_error = |error: io::Error| ConnectError::new(Phase::Connect, error);
    tcp.set_nodelay(true).map_err(connect_error)?;
    let probe = duplicate(&tcp).map_err(connect_error)?;
    let counted = Counted {
        tcp: TokioIo::new(tcp),
        written: 0,
    };
    let inner = match tls {
        None => Inner::Plain(counted),
        Some(tls) => {
            let spoken = timeout_at(by, tls.connect(counted)).await;
            match spoken {
                Ok(Ok(stream)) => Inner::Tls(stream),
                Ok(Err(detail)) => return Err(ConnectError::new(Phase::Tls, detail)),
                Err(_) => {
                    let detail = format!(
                        "{}:{} did not finish the TLS handshake in time",
                        url.host, url.port
                    );
                    return Err(ConnectError::new(Phase::Tls, detail));
                }
            }
        }
    };
    let sent = Arc::new(AtomicBool::new(false));
    Ok(Opened {
        stream: Stream {
            inner,
            sent: Arc::clone(&sent),
        },
        sent,
        probe,
    })
}

/// A second descriptor of the same socket; it stays non-blocking, for the flag belongs to both.
fn duplicate(tcp: &TcpStream) -> io::Result<std::net::TcpStream> {
    use std::os::fd::AsFd;
    tcp.as_fd()
        .try_clone_to_owned()
        .map(std::net::TcpStream::from)
}

async fn resolve(url: &BaseUrl, by: Instant) -> Result<Vec<SocketAddr>, ConnectError> {
    let host = bare_host(&url.host);
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, url.port)]);
    }
    let failed = |why: &dyn Display| {
        ConnectError::new(Phase::Resolve, format!("`{host}` was not resolved: {why}"))
    };
    let found = timeout_at(by, tokio::net::lookup_host((host, url.port)))
        .await
        .map_err(|_| failed(&"the name server did not answer in time"))?
        .map_err(|error| failed(&error))?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() {
        return Err(failed(&"the name has no address"));
    }
    Ok(addresses)
}

/// Tries the addresses in turn; each but the last gets its share of the time that is left.
async fn connect(
    url: &BaseUrl,
    addresses: &[SocketAddr],
    by: Instant,
) -> Result<TcpStream, ConnectError> {
    let mut failures = Vec::new();
    for (index, address) in addresses.iter().enumerate() {
        let now = Instant::now();
        let share = by.saturating_duration_since(now)
            / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        match timeout_at(now + share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => failures.push(format!("{address}: {error}")),
            Err(_) => failures.push(format!("{address}: no answer in time")),
        }
    }
    Err(ConnectError::new(
        Phase::Connect,
        format!(
            "no connection to {}:{} ({})",
            url.host,
            url.port,
            failures.join("; ")
        ),
    ))
}

/// A host as the resolver and TLS want it: IPv6 without its brackets.
pub(super) fn bare_host(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(host)
}
