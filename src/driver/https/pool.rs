//! The connections of one backend: each owned by the request that uses it, idle ones kept for the
//! next, the last used first.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};

use super::stream::{Opened, Stream};
use crate::clock::Boottime;
use crate::workers;

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
    /// The thread whose runtime watches the socket.
    home: usize,
    _open: Open,
}

/// One more connection is open; dropped, one less.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Conn {
    /// Speaks HTTP/1.1 over a connection that counts among those of `pool`; boxed, for it moves often.
    pub(super) async fn new(opened: Opened, pool: &Pool) -> hyper::Result<Box<Self>> {
        pool.open.fetch_add(1, Ordering::AcqRel);
        let open = Open(Arc::clone(&pool.open));
        let (send, connection) = protocol().handshake(opened.stream).await?;
        Ok(Box::new(Self {
            home: workers::here(),
            _open: open,
            send,
            driver: ConnDriver {
                connection,
                ended: false,
            },
            sent: opened.sent,
            probe: opened.probe,
        }))
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

/// Idle connections, the last used on top; each thread has a shelf for those that it opened.
pub(super) struct Pool {
    shelves: Box<[Mutex<Vec<Idle>>]>,
    /// Connections that exist, idle or in use.
    open: Arc<AtomicUsize>,
    capacity: usize,
    closed: AtomicBool,
    sweeping: AtomicBool,
}

struct Idle {
    conn: Box<Conn>,
    /// By a clock that goes on while the machine sleeps: so do the backend's timeouts.
    since: Boottime,
}

impl Pool {
    pub(super) fn new(capacity: usize) -> Self {
        let shelves = std::iter::repeat_with(Mutex::default).take(workers::places());
        Self {
            shelves: shelves.collect(),
            open: Arc::default(),
            capacity,
            closed: AtomicBool::new(false),
            sweeping: AtomicBool::new(false),
        }
    }

    fn shelf(&self, place: usize) -> MutexGuard<'_, Vec<Idle>> {
        let place = place % self.shelves.len();
        self.shelves[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection used last, if it may carry this request. A mutating call wants one that has
    /// idled for less than `idle_reuse`, since a backend may be about to close an older one.
    ///
    /// Another thread's connection is taken only where one more would be more than the backend's limit.
    pub(super) fn take(&self, mutating: bool, idle_reuse: Duration) -> Option<Box<Conn>> {
        let longest = if mutating {
            idle_reuse.min(MAX_IDLE)
        } else {
            MAX_IDLE
        };
        let here = workers::here();
        if let Some(conn) = self.take_from(here, longest) {
            return Some(conn);
        }
        if self.open.load(Ordering::Acquire) < self.capacity {
            return None;
        }
        (1..self.shelves.len()).find_map(|step| self.take_from(here + step, longest))
    }

    fn take_from(&self, place: usize, longest: Duration) -> Option<Box<Conn>> {
        loop {
            let idle = {
                let mut all = self.shelf(place);
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

    pub(super) fn put(self: &Arc<Self>, conn: Box<Conn>) {
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        {
            let mut all = self.shelf(conn.home);
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
        (0..self.shelves.len()).for_each(|place| self.shelf(place).clear());
    }

    /// Closes what has idled too long; whether nothing idles any more.
    fn sweep(&self) -> bool {
        let mut empty = true;
        for place in 0..self.shelves.len() {
            let mut all = self.shelf(place);
            all.retain(|idle| idle.since.elapsed() < MAX_IDLE);
            empty &= all.is_empty();
        }
        empty
    }
}

/// Closes what has idled too long, until nothing idles: a backend that is never called again does
/// not keep half-closed sockets.
async fn sweep(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(MAX_IDLE).await;
        let Some(pool) = pool.upgrade() else { return };
        // Said before it is looked: who puts one back after the look begins a sweep of its own.
        pool.sweeping.store(false, Ordering::Release);
        if pool.sweep() || pool.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::super::stream::open;
    use super::*;
    use crate::plan::BaseUrl;
    use crate::workers::Workers;

    /// A pool with one idle connection, opened here, to a backend that takes connections and says nothing.
    async fn with_one_idle(capacity: usize) -> Arc<Pool> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = BaseUrl {
            https: false,
            host: "127.0.0.1".into(),
            port: listener.local_addr().unwrap().port(),
            path: "".into(),
        };
        tokio::spawn(async move {
            let _open = listener.accept().await;
            pending::<()>().await;
        });
        let pool = Arc::new(Pool::new(capacity));
        let opened = open(&url, None, Instant::now() + Duration::from_secs(10));
        let conn = Conn::new(opened.await.unwrap(), &pool).await.unwrap();
        pool.put(conn);
        pool
    }

    async fn taken_elsewhere(pool: &Arc<Pool>) -> Option<Box<Conn>> {
        let workers = Workers::start().unwrap();
        let (told, taken) = tokio::sync::oneshot::channel();
        let pool = Arc::clone(pool);
        workers.spawn(async move {
            assert_ne!(workers::here(), 0);
            let _ = told.send(pool.take(false, Duration::from_secs(1)));
        });
        taken.await.unwrap()
    }

    #[tokio::test]
    async fn another_threads_connection_is_taken_only_where_one_more_would_be_too_many() {
        let pool = with_one_idle(2).await;
        assert!(taken_elsewhere(&pool).await.is_none());
        assert!(pool.take(false, Duration::from_secs(1)).is_some());

        let pool = with_one_idle(1).await;
        let conn = taken_elsewhere(&pool).await;
        assert!(conn.is_some());
        assert_eq!(pool.open.load(Ordering::Acquire), 1);
        // It goes back to the thread that watches its socket.
        conn.into_iter().for_each(|conn| pool.put(conn));
        assert_eq!(pool.shelf(0).len(), 1);
        pool.close();
        assert_eq!(pool.open.load(Ordering::Acquire), 0);
    }
}
