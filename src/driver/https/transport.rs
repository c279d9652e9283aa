//! The way to one host: a small pool of HTTP/1.1 connections over which a request goes exactly once.
//!
//! There is no redirect, no retry, no proxy and no second protocol in here, so that one call stays
//! one call. A connection is owned by the request that uses it and driven by that request's own
//! task: a dropped request closes it, and no half-used connection ever returns to the pool.

use std::fmt;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use tokio::time::{Instant, sleep_until};

use super::body;
use super::stream::{Opened, Stream, open};
use super::tls::{self, TlsClient};
use crate::clock::Boottime;
use crate::driver::{Answer, Clearance, Found, Phase, Refusal, SendOutcome};
use crate::plan::{BackendLimits, BackendTls, BaseUrl};

/// How long a connection may idle at all. Appliances close theirs after 10 to 30 seconds, and a
/// connection that both sides have forgotten costs a call.
const MAX_IDLE: Duration = Duration::from_secs(15);

/// Where requests go and what they may cost.
pub(super) struct Transport {
    url: BaseUrl,
    tls: Option<TlsClient>,
    limits: BackendLimits,
    pool: Arc<Pool>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// Why there is no answer to one sending of a request.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) phase: Phase,
    /// `Unauthorized` where TLS refused our certificate only after the request was on its way.
    pub(super) outcome: SendOutcome,
    /// The backend may have heard the request.
    pub(super) sent: bool,
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn refused(refusal: Refusal) -> Self {
        let detail = match refusal {
            Refusal::Gate => "this node is not the active one",
            Refusal::Deadline => "the deadline had passed before anything was sent",
        };
        Self {
            phase: Phase::Send,
            outcome: SendOutcome::Refused(refusal),
            sent: false,
            detail: detail.to_owned(),
        }
    }
}

impl Transport {
    pub(super) fn new(
        url: &BaseUrl,
        tls: &BackendTls,
        limits: &BackendLimits,
    ) -> Result<Self, String> {
        let tls = if url.https {
            Some(TlsClient::new(tls, &url.host)?)
        } else {
            None
        };
        Ok(Self {
            url: url.clone(),
            tls,
            limits: limits.clone(),
            pool: Arc::new(Pool::new(limits.concurrency)),
        })
    }

    pub(super) fn url(&self) -> &BaseUrl {
        &self.url
    }

    pub(super) fn limits(&self) -> &BackendLimits {
        &self.limits
    }

    /// Sends `request` once and reads its answer.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        clearance: &Clearance,
    ) -> Result<Answer, Failure> {
        let left = clearance.check().map_err(Failure::refused)?;
        let deadline = Instant::now() + left;
        let pooled = self.pool.take(clearance.mutating, self.limits.idle_reuse);
        let mut conn = match pooled {
            Some(conn) => conn,
            None => {
                let conn = self.connect(deadline).await?;
                // Connecting took its time: leave to send is asked again, right before the bytes.
                clearance.check().map_err(Failure::refused)?;
                conn
            }
        };
        let (mut answer, clean) = self.exchange(&mut conn, request, deadline).await?;
        if clean && conn.settle().await {
            self.pool.put(conn);
        }
        body::decode(&mut answer, self.limits.response_body);
        Ok(answer)
    }

    /// Forgets the idle connections; those in use close when their request ends.
    pub(super) fn close(&self) {
        self.pool.close();
    }

    /// Makes a connection, says what it found, and lets it go.
    pub(super) async fn probe(&self, clearance: &Clearance) -> Result<Vec<Found>, Failure> {
        let left = clearance.check().map_err(Failure::refused)?;
        let opened = self.open(Instant::now() + left).await?;
        let mut found = Vec::new();
        if let Ok(peer) = opened.probe.peer_addr() {
            let phase = Phase::Connect;
            let what = format!("{peer} takes connections");
            found.push(Found { phase, what });
        }
        if let Some(what) = opened.stream.tls().map(tls::describe) {
            let phase = Phase::Tls;
            found.push(Found { phase, what });
        }
        Ok(found)
    }

    async fn connect(&self, deadline: Instant) -> Result<Conn, Failure> {
        let opened = self.open(deadline).await?;
        Conn::new(opened)
            .await
            .map_err(|error| unopened(Phase::Connect, error.to_string()))
    }

    async fn open(&self, deadline: Instant) -> Result<Opened, Failure> {
        let by = deadline.min(Instant::now() + self.limits.connect_timeout);
        open(&self.url, self.tls.as_ref(), by)
            .await
            .map_err(|error| unopened(error.phase, error.detail))
    }

    /// One request and its answer over `conn`; the flag says that the answer was read to its end.
    async fn exchange(
        &self,
        conn: &mut Conn,
        request: Request<Full<Bytes>>,
        deadline: Instant,
    ) -> Result<(Answer, bool), Failure> {
        conn.sent.store(false, Ordering::Relaxed);
        let first_byte = deadline.min(Instant::now() + self.limits.first_byte_timeout);
        let mut timer = pin!(sleep_until(first_byte));
        let response = {
            let mut response = pin!(conn.send.send_request(request));
            let driver = &mut conn.driver;
            poll_fn(|cx| {
                driver.advance(cx);
                if let Poll::Ready(answered) = response.as_mut().poll(cx) {
                    return Poll::Ready(Some(answered));
                }
                timer.as_mut().poll(cx).map(|()| None)
            })
            .await
        };
        let sent = conn.sent.load(Ordering::Relaxed);
        let response: Response<Incoming> = match response {
            Some(Ok(response)) => response,
            Some(Err(error)) => return Err(broken(&error, sent)),
            None => return Err(silence(sent, first_byte < deadline)),
        };
        timer.as_mut().reset(deadline);
        let (head, incoming) = response.into_parts();
        let read = body::read(
            incoming,
            &mut conn.driver,
            self.limits.response_body,
            timer.as_mut(),
        )
        .await;
        let clean = read.error.is_none();
        let answer = Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: read.bytes,
            body_error: read.error,
            sends: 1,
        };
        Ok((answer, clean))
    }
}

/// A connection that was not made.
fn unopened(phase: Phase, detail: String) -> Failure {
    Failure {
        phase,
        outcome: SendOutcome::NotSent,
        sent: false,
        detail,
    }
}

/// What a connection that broke before the head of an answer means.
fn broken(error: &hyper::Error, sent: bool) -> Failure {
    let causes = causes(error);
    let outcome = if sent {
        SendOutcome::Unknown
    } else {
        SendOutcome::NotSent
    };
    // In TLS 1.3 a server looks at our certificate when we may already be sending: it ran nothing.
    if tls::refuses_certificate(&causes) {
        return Failure {
            phase: Phase::Tls,
            outcome: if sent {
                SendOutcome::Unauthorized
            } else {
                outcome
            },
            sent,
            detail: format!(
                "the backend wants another client certificate, see `tls.client_cert` ({causes})"
            ),
        };
    }
    let (phase, what) = if !sent {
        (Phase::Send, "the connection was lost before the first byte")
    } else if error.is_parse() {
        (Phase::Read, "the answer cannot be read as HTTP/1.1")
    } else {
        (Phase::Wait, "the connection was lost before an answer came")
    };
    Failure {
        phase,
        outcome,
        sent,
        detail: format!("{what} ({causes})"),
    }
}

/// An error and what it came from.
fn causes(error: &hyper::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn silence(sent: bool, first_byte: bool) -> Failure {
    if !sent {
        return Failure {
            phase: Phase::Send,
            outcome: SendOutcome::NotSent,
            sent: false,
            detail: "the socket took no byte in time".to_owned(),
        };
    }
    let detail = if first_byte {
        "no answer began within `first_byte_timeout`"
    } else {
        "no answer came before the deadline"
    };
    Failure {
        phase: Phase::Wait,
        outcome: SendOutcome::Unknown,
        sent: true,
        detail: detail.to_owned(),
    }
}

/// The half of a connection that reads and writes; polled by the request that owns it.
pub(super) struct ConnDriver {
    connection: Connection<Stream, Full<Bytes>>,
    ended: bool,
}

impl ConnDriver {
    /// Lets the connection do what it can do now.
    pub(super) fn advance(&mut self, cx: &mut Context<'_>) {
        if !self.ended {
            self.ended = Pin::new(&mut self.connection).poll(cx).is_ready();
        }
    }
}

/// A connection: hyper's two halves and our two handles.
struct Conn {
    send: SendRequest<Full<Bytes>>,
    driver: ConnDriver,
    sent: Arc<AtomicBool>,
    probe: std::net::TcpStream,
}

impl Conn {
    async fn new(opened: Opened) -> hyper::Result<Self> {
        // Some appliances write headers that no RFC allows; what can be read of them is read.
        let (send, connection) = Builder::new()
            .allow_spaces_after_header_name_in_responses(true)
            .allow_obsolete_multiline_headers_in_responses(true)
            .ignore_invalid_headers_in_responses(true)
            .handshake(opened.stream)
            .await?;
        Ok(Self {
            send,
            driver: ConnDriver {
                connection,
                ended: false,
            },
            sent: opened.sent,
            probe: opened.probe,
        })
    }

    /// Lets the connection come to rest after an answer; whether it can carry another request.
    async fn settle(&mut self) -> bool {
        poll_fn(|cx| {
            self.driver.advance(cx);
            Poll::Ready(())
        })
        .await;
        !self.driver.ended && self.send.is_ready()
    }

    /// Whether the socket is silent: no end of stream, no error, and nothing that nobody asked for.
    fn is_silent(&self) -> bool {
        matches!(
            self.probe.peek(&mut [0]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock
        )
    }
}

/// Idle connections, the last used on top.
struct Pool {
    idle: Mutex<Vec<Idle>>,
    capacity: usize,
    closed: AtomicBool,
    sweeping: AtomicBool,
}

struct Idle {
    conn: Conn,
    /// By a clock that goes on while the machine sleeps: so do the backend's timeouts.
    since: Boottime,
}

impl Pool {
    fn new(capacity: usize) -> Self {
        Self {
            idle: Mutex::new(Vec::new()),
            capacity,
            closed: AtomicBool::new(false),
            sweeping: AtomicBool::new(false),
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last, if it may carry this request. A mutating call wants one that has
    /// idled for less than `idle_reuse`, since a backend may be about to close an older one.
    fn take(&self, mutating: bool, idle_reuse: Duration) -> Option<Conn> {
        let longest = if mutating {
            idle_reuse.min(MAX_IDLE)
        } else {
            MAX_IDLE
        };
        loop {
            let idle = {
                let mut all = self.idle();
                // The rest has idled for longer still.
                if all.last()?.since.elapsed() >= longest {
                    return None;
                }
                all.pop()?
            };
            if idle.conn.is_silent() {
                return Some(idle.conn);
            }
        }
    }

    fn put(self: &Arc<Self>, conn: Conn) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        {
            let mut all = self.idle();
            if all.len() >= self.capacity {
                all.remove(0);
            }
            all.push(Idle {
                conn,
                since: Boottime::now(),
            });
        }
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.idle().clear();
    }
}

/// Closes what has idled too long, until nothing idles: a backend that is never called again does
/// not keep half-closed sockets.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(MAX_IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        let mut all = pool.idle();
        all.retain(|idle| idle.since.elapsed() < MAX_IDLE);
        if all.is_empty() {
            pool.sweeping.store(false, Ordering::Release);
            return;
        }
    }
}
