//! A listener: accepts, negotiates TLS, and drives HTTP/1.1 connections within their bounds.
//!
//! It knows no route and no client: a handler answers each request. Both listeners (CMP and admin)
//! are this one. hyper parses; what hyper does not do is here: the clocks of a connection, problems
//! instead of empty answers to what cannot be parsed, and a close that lets the last answer arrive.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::problem;
use super::watch::{Phase, Watch, Watched};
use crate::relay::{Failure, RelayError};
use crate::shutdown::Shutdown;
use crate::workers::Workers;

/// What a connection may cost (SEMANTICS 29).
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Bytes of a request's target.
    pub uri: usize,
    /// Bytes of all headers together, and their number.
    pub header_bytes: usize,
    pub headers: usize,
    /// From the first byte of a request to the end of its headers; a TLS handshake, too.
    pub header_read: Duration,
    /// From the end of the headers to the end of the body.
    pub body_read: Duration,
    /// Between requests.
    pub idle: Duration,
    /// Connections at once.
    pub connections: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            uri: 8 << 10,
            header_bytes: 32 << 10,
            headers: 100,
            header_read: Duration::from_secs(10),
            body_read: Duration::from_secs(30),
            idle: Duration::from_secs(75),
            connections: 4096,
        }
    }
}

/// The certificates of a listener; a reload swaps them for the connections to come.
pub type TlsSlot = Arc<ArcSwap<ServerConfig>>;

/// An answer: always whole, so that its length is known.
pub type Answer = Response<Full<Bytes>>;

/// The other end of a connection, as the log has it: its address and port.
pub type Peer = Arc<str>;

/// Bytes that hyper may buffer of one head: above our own limits, so that ours give the answer.
const HEAD_BUFFER: usize = 64 << 10;
/// How long, and for how many bytes, a closing connection hears out a client that still sends.
const LINGER: (Duration, u64) = (Duration::from_secs(2), 16 << 20);
/// Connections above the cap that are told so at one time; the others are just closed.
const REFUSALS: usize = 64;

/// Accepts until told to stop, then returns when the last connection has ended; `workers` drive them.
pub async fn serve<H, F>(
    socket: TcpListener,
    tls: Option<TlsSlot>,
    bounds: Bounds,
    mut shutdown: Shutdown,
    workers: Workers,
    handler: H,
) where
    H: Fn(Request<Incoming>, Peer) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let cap = bounds.connections.clamp(1, Semaphore::MAX_PERMITS);
    let places = Arc::new(Semaphore::new(cap));
    let refusals = Arc::new(Semaphore::new(REFUSALS));
    let bounds = Arc::new(bounds);
    loop {
        let accepted = tokio::select! {
            () = shutdown.stopping() => break,
            accepted = socket.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a connection that ended while it waited (accept(2)).
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        // Answers are written whole: waiting for more of them only adds delay.
        let _ = stream.set_nodelay(true);
        let Ok(place) = places.clone().try_acquire_owned() else {
            if let (None, Ok(place)) = (&tls, refusals.clone().try_acquire_owned()) {
                tokio::spawn(async move {
                    refuse(stream, RelayError::RelayBusy).await;
                    drop(place);
                });
            }
            continue;
        };
        let acceptor = tls.as_ref().map(|slot| TlsAcceptor::from(slot.load_full()));
        let (bounds, shutdown, handler) = (bounds.clone(), shutdown.clone(), handler.clone());
        // The runtime that accepted it lets go of it: another one may drive it.
        let Ok(stream) = stream.into_std() else {
            continue;
        };
        workers.spawn(async move {
            let Ok(stream) = TcpStream::from_std(stream) else {
                return;
            };
            let peer = Peer::from(peer.to_string());
            match acceptor {
                None => drive(stream, peer, &bounds, shutdown, handler).await,
                Some(acceptor) => {
                    match timeout(bounds.header_read, acceptor.accept(stream)).await {
                        Ok(Ok(stream)) => drive(stream, peer, &bounds, shutdown, handler).await,
                        Ok(Err(error)) => tracing::debug!(%peer, %error, "TLS handshake failed"),
                        Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                    }
                }
            }
            drop(place);
        });
    }
    drop(socket);
    let all = u32::try_from(cap).unwrap_or(u32::MAX);
    // The semaphore is never closed: what comes back is every place, free again.
    let _ = places.acquire_many(all).await;
}

/// Serves one connection to its end.
async fn drive<S, H, F>(stream: S, peer: Peer, bounds: &Bounds, mut shutdown: Shutdown, handler: H)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>, Peer) -> F,
    F: Future<Output = Answer>,
{
    let watch = Arc::new(Watch::default());
    let service = service_fn(|request: Request<Incoming>| {
        watch.begin_request();
        let has_body = !request.body().is_end_stream();
        let (handler, watch, peer) = (&handler, &watch, Arc::clone(&peer));
        async move {
            let answer = handler(request, peer).await;
            let failed = answer.status().is_client_error() || answer.status().is_server_error();
            watch.end_request(has_body && failed);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut connection = http1::Builder::new()
        // The clocks are below: hyper's own would end a connection without a word.
        .header_read_timeout(None)
        .max_buf_size(HEAD_BUFFER)
        .serve_connection(TokioIo::new(Watched::new(stream, watch.clone())), service);
    let said = shutdown.clone();
    // Not in turns with the connection's reads: asked once, it must be listening.
    let mut stop = pin!(unconstrained(async move { shutdown.stopping().await }));
    let (mut listening, mut told) = (false, false);
    let mut clock = pin!(sleep(bounds.header_read));
    let mut seen = watch.changes();
    let timed_out = poll_fn(|cx| {
        // Who listens is woken; to listen again at each wake would take a lock that all connections share.
        if !told && (!listening || said.has_news()) {
            listening = true;
            if stop.as_mut().poll(cx).is_ready() {
                told = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        if watch.changes() != seen {
            seen = watch.changes();
            let allowed = match watch.phase() {
                Phase::Idle => bounds.idle,
                Phase::New | Phase::Head => bounds.header_read,
                // The layers and the call's deadline bound it.
                Phase::Busy => return Poll::Pending,
            };
            clock.as_mut().reset(Instant::now() + allowed);
        }
        if watch.phase() == Phase::Busy {
            return Poll::Pending;
        }
        clock.as_mut().poll(cx).map(|()| true)
    })
    .await;
    let refusal = match (timed_out, watch.phase()) {
        (true, Phase::Head) => Some(RelayError::RequestTimeout),
        (true, _) => None,
        (false, _) => watch.refused_with().map(|status| match status {
            431 => RelayError::HeadersTooLarge,
            414 => RelayError::UriTooLong { limit: bounds.uri },
            _ => RelayError::MalformedRequest(
                "The request is not what HTTP/1.1 (RFC 9112) says it must be.".into(),
            ),
        }),
    };
    let stream = connection.into_parts().io.into_inner().into_inner();
    match refusal {
        Some(error) => refuse(stream, error).await,
        None => close(stream, watch.must_linger()).await,
    }
}

/// Writes the last answer of a connection that has no request to answer, and closes it.
async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, error: RelayError) {
    let failure = problem::refused(error, &Method::GET);
    let written = timeout(LINGER.0, stream.write_all(&last_answer(&failure))).await;
    if matches!(written, Ok(Ok(()))) {
        close(stream, true).await;
    }
}

/// Ends the writing side; lingering, it also reads what the client still sends, because a socket
/// closed over unread bytes resets the connection and takes the answer with it (RFC 9112, 9.6).
async fn close<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, linger: bool) {
    let _ = timeout(LINGER.0, async {
        if stream.shutdown().await.is_ok() && linger {
            let mut rest = stream.take(LINGER.1);
            let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        }
    })
    .await;
}

/// A whole HTTP/1.1 answer, by hand: there is no connection of hyper's left to write it.
fn last_answer(failure: &Failure) -> Vec<u8> {
    let (status, body) = problem::render(failure);
    let mut answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n").into_bytes();
    answer.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    for (name, value) in &problem::headers(failure) {
        answer.extend_from_slice(name.as_str().as_bytes());
        answer.extend_from_slice(b": ");
        answer.extend_from_slice(value.as_bytes());
        answer.extend_from_slice(b"\r\n");
    }
    answer.extend_from_slice(b"\r\n");
    answer.extend_from_slice(&body);
    answer
}

/// Binds an address; the words of an error name it.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    use anyhow::Context as _;
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}"))
}
