//! The connections of one backend: each owned by the request that uses it, idle ones kept for the
//! next, the last used first.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};

use super::stream::{Opened, Stream};
use crate::clock::Boottime;

/// How long a connection may idle at all. Appliances close theirs after 10 to 30 seconds, and a
/// connection that both sides have forgotten costs a call.
const MAX_IDLE: Duration = Duration::from_secs(15);

/// HTTP/1.1 as it is spoken to backends. Some appliances write headers that no RFC allows; what can
/// be read of them is read.
pub(super) fn protocol() -> Builder {
    let mut protocol = Builder::new();
    protocol
        .allow_spaces_after_header_name_in_responses(true)
        .allow_obsolete_multiline_headers_in_responses(true)
        .ignore_invalid_headers_in_responses(true);
    protocol
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
pub(super) struct Conn {
    pub(super) send: SendRequest<Full<Bytes>>,
    pub(super) driver: ConnDriver,
    pub(super) sent: Arc<AtomicBool>,
    probe: std::net::TcpStream,
}

impl Conn {
    pub(super) async fn new(opened: Opened) -> hyper::Result<Self> {
        let (send, connection) = protocol().handshake(opened.stream).await?;
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
    pub(super) async fn settle(&mut self) -> bool {
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
pub(super) struct Pool {
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
    pub(super) fn new(capacity: usize) -> Self {
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
    pub(super) fn take(&self, mutating: bool, idle_reuse: Duration) -> Option<Conn> {
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

    pub(super) fn put(self: &Arc<Self>, conn: Conn) {
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

    pub(super) fn close(&self) {
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
