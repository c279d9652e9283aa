//! A backend that does what a test tells it, over real sockets on 127.0.0.1, with or without TLS.
//!
//! It counts calls and connections, so that "exactly one call" can be asserted where it matters:
//! at the other end. A thread serves each connection, so it works under any runtime, a paused one
//! included, and nothing in it sleeps: what is slow waits until the test says [`FakeBackend::release`].
//!
//! ```ignore
//! let backend = FakeBackend::start();
//! backend.on("POST /v1/rules", Reply::json(201, &json!({ "id": 7 })));        // always
//! backend.once("POST /v1/rules", Reply::status(503));                          // first, then as above
//! backend.answer("GET /v1/slow", |call| Reply::text(200, &call.path).held());  // computed
//!
//! relay.send(...).await;
//! assert_eq!(backend.count("POST /v1/rules"), 1);
//! assert_eq!(backend.connections(), 1);
//! assert_eq!(backend.calls()[0].header("content-type"), Some("application/json"));
//! ```
//!
//! What has no rule is answered 404 with the body `no rule`. A rule is `METHOD /path`, where the path
//! is compared without the query, or `*` for everything.

#![allow(dead_code, reason = "a kit: not every subject uses every piece")]

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use openssl::ssl::SslAcceptor;
use serde_json::Value;

/// A scripted backend; it ends when it is dropped.
pub(crate) struct FakeBackend {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A call as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    /// Names in lower case, in the order of the wire.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Which connection it came on, counted from 1.
    pub(crate) connection: usize,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("the body is UTF-8")
    }
}

/// What a call is answered.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    manner: Manner,
    held: bool,
    chunked: bool,
    close: Close,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Manner {
    Answer,
    /// The head promises the whole body, and the connection ends after so many bytes of it.
    Cut(usize),
    /// The head and the first bytes at once, the rest when the test releases it.
    HoldBodyAfter(usize),
    Reset,
    ResetUnread,
    Hang,
    Raw(Vec<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Close {
    No,
    /// Says `Connection: close` and does so.
    Announced,
    /// Says nothing and closes: the next call finds an end of stream.
    Silent,
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
            manner: Manner::Answer,
            held: false,
            chunked: false,
            close: Close::No,
        }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, "application/json", body.to_string().as_bytes())
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::bytes(status, "text/plain", body.as_bytes())
    }

    pub(crate) fn bytes(status: u16, content_type: &str, body: &[u8]) -> Self {
        let mut reply = Self::status(status).header("Content-Type", content_type);
        reply.body = body.to_vec();
        reply
    }

    pub(crate) fn redirect(status: u16, location: &str) -> Self {
        Self::status(status).header("Location", location)
    }

    /// Resets the connection after the request has been read, before any byte of an answer.
    pub(crate) fn reset() -> Self {
        Self::status(0).in_manner(Manner::Reset)
    }

    /// Resets the connection with the request unread. It is counted as a call without its contents:
    /// the path is `?`. The rule that this is given to must be `*` or [`FakeBackend::once_unread`].
    fn reset_unread() -> Self {
        Self::status(0).in_manner(Manner::ResetUnread)
    }

    /// Reads the request and never answers; the connection stays until the client goes.
    pub(crate) fn silence() -> Self {
        Self::status(0).in_manner(Manner::Hang)
    }

    /// Writes these bytes instead of an HTTP answer, and closes.
    pub(crate) fn raw(bytes: &[u8]) -> Self {
        let mut reply = Self::status(0).in_manner(Manner::Raw(bytes.to_vec()));
        reply.close = Close::Silent;
        reply
    }

    /// One more header; a name may be repeated.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn cookie(self, cookie: &str) -> Self {
        self.header("Set-Cookie", cookie)
    }

    /// Compresses the body and says so.
    pub(crate) fn gzip(mut self) -> Self {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(&self.body).expect("memory takes it");
        self.body = packed.finish().expect("memory takes it");
        self.header("Content-Encoding", "gzip")
    }

    /// Sends the body in chunks instead of with a length.
    pub(crate) fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Promises the whole body and closes after `bytes` of it.
    pub(crate) fn cut_after(self, bytes: usize) -> Self {
        self.in_manner(Manner::Cut(bytes))
    }

    /// Waits with the first byte until [`FakeBackend::release`].
    pub(crate) fn held(mut self) -> Self {
        self.held = true;
        self
    }

    /// Sends the head and `bytes` of the body, and waits with the rest until [`FakeBackend::release`].
    pub(crate) fn hold_body_after(self, bytes: usize) -> Self {
        self.in_manner(Manner::HoldBodyAfter(bytes))
    }

    /// Says `Connection: close` and closes.
    pub(crate) fn then_close(mut self) -> Self {
        self.close = Close::Announced;
        self
    }

    /// Closes without having said so, as a keep-alive timeout does.
    pub(crate) fn then_close_silently(mut self) -> Self {
        self.close = Close::Silent;
        self
    }

    fn in_manner(mut self, manner: Manner) -> Self {
        self.manner = manner;
        self
    }
}

type Computed = Arc<dyn Fn(&Seen) -> Reply + Send + Sync>;

#[derive(Default)]
struct Script {
    once: HashMap<String, VecDeque<Reply>>,
    always: HashMap<String, Computed>,
    unread_resets: usize,
    close_after: Option<usize>,
}

#[derive(Default)]
struct State {
    calls: Vec<Seen>,
    connections: usize,
    open: usize,
    refused_handshakes: usize,
    released: bool,
    stopped: bool,
    sockets: Vec<TcpStream>,
}

struct Shared {
    script: Mutex<Script>,
    state: Mutex<State>,
    changed: Condvar,
    tls: Option<SslAcceptor>,
    /// Resetting needs a runtime's socket type.
    runtime: tokio::runtime::Handle,
}

impl FakeBackend {
    /// Speaks plain HTTP. Call it inside a runtime.
    pub(crate) fn start() -> Self {
        Self::spawn(None)
    }

    /// Speaks HTTPS as `acceptor` does. Call it inside a runtime.
    pub(crate) fn start_tls(acceptor: SslAcceptor) -> Self {
        Self::spawn(Some(acceptor))
    }

    fn spawn(tls: Option<SslAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let shared = Arc::new(Shared {
            script: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            tls,
            runtime: tokio::runtime::Handle::current(),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let number = {
                    let mut state = accepting.state();
                    if state.stopped {
                        return;
                    }
                    state.connections += 1;
                    state.open += 1;
                    state.sockets.extend(socket.try_clone());
                    state.connections
                };
                accepting.changed.notify_all();
                let serving = Arc::clone(&accepting);
                thread::spawn(move || {
                    // An error means that the client went away, which is the test's business.
                    let _ = serving.serve(socket, number);
                    serving.state().open -= 1;
                    serving.changed.notify_all();
                });
            }
        });
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// `http://127.0.0.1:port` or `https://...`.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.shared.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// Answers `rule` with this, always; a later `on` or `answer` replaces it.
    pub(crate) fn on(&self, rule: &str, reply: Reply) {
        self.answer(rule, move |_| reply.clone());
    }

    /// Answers `rule` with what `answer` says of each call.
    pub(crate) fn answer(
        &self,
        rule: &str,
        answer: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
    ) {
        let mut script = self.shared.script();
        script.always.insert(rule.to_owned(), Arc::new(answer));
    }

    /// Answers the next call of `rule` with this, before `on` and `answer`; several queue up.
    pub(crate) fn once(&self, rule: &str, reply: Reply) {
        let mut script = self.shared.script();
        script
            .once
            .entry(rule.to_owned())
            .or_default()
            .push_back(reply);
    }

    /// Resets the connection of the next call, whatever it is, without having read it.
    pub(crate) fn once_unread(&self) {
        self.shared.script().unread_resets += 1;
    }

    /// Closes each connection, without having said so, after so many answers on it.
    pub(crate) fn close_after(&self, answers: usize) {
        self.shared.script().close_after = Some(answers);
    }

    /// Lets every held answer go, and those that come later too.
    pub(crate) fn release(&self) {
        self.shared.state().released = true;
        self.shared.changed.notify_all();
    }

    /// Every call so far, logins included.
    pub(crate) fn calls(&self) -> Vec<Seen> {
        self.shared.state().calls.clone()
    }

    /// How many calls a rule has had.
    pub(crate) fn count(&self, rule: &str) -> usize {
        let state = self.shared.state();
        state
            .calls
            .iter()
            .filter(|call| matches(rule, call))
            .count()
    }

    /// Connections accepted so far, those included that said nothing.
    pub(crate) fn connections(&self) -> usize {
        self.shared.state().connections
    }

    /// TLS handshakes that failed.
    pub(crate) fn refused_handshakes(&self) -> usize {
        self.shared.state().refused_handshakes
    }

    /// Returns once `rule` has had `count` calls.
    pub(crate) async fn wait_for_calls(&self, rule: &str, count: usize) {
        let rule = rule.to_owned();
        self.wait(move |state| {
            state
                .calls
                .iter()
                .filter(|call| matches(&rule, call))
                .count()
                >= count
        })
        .await;
    }

    /// Returns once at most `count` connections are open.
    pub(crate) async fn wait_for_open(&self, count: usize) {
        self.wait(move |state| state.open <= count).await;
    }

    async fn wait(&self, done: impl Fn(&State) -> bool + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        let waited = tokio::task::spawn_blocking(move || {
            let state = shared.state();
            let (state, late) = shared
                .changed
                .wait_timeout_while(state, Duration::from_secs(20), |state| !done(state))
                .unwrap_or_else(PoisonError::into_inner);
            drop(state);
            !late.timed_out()
        });
        assert!(
            waited.await.expect("waiting does not panic"),
            "the backend waited in vain; it saw {:#?}",
            self.calls()
        );
    }

    /// Closes every connection now, as a restart does; it goes on accepting.
    pub(crate) fn drop_connections(&self) {
        for socket in self.shared.state().sockets.drain(..) {
            // It may have ended by itself.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for FakeBackend {
    fn drop(&mut self) {
        {
            let mut state = self.shared.state();
            state.stopped = true;
            state.released = true;
        }
        self.shared.changed.notify_all();
        self.drop_connections();
        // Wakes the accepting thread, which then ends.
        let _ = TcpStream::connect(self.address);
    }
}

/// A port on which nothing listens.
pub(crate) fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("it is bound").port()
}

fn matches(rule: &str, call: &Seen) -> bool {
    rule == "*" || rule.split_once(' ') == Some((&call.method, &call.path))
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, socket: TcpStream, number: usize) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let raw = socket.try_clone()?;
        match &self.tls {
            None => self.converse(socket, &raw, number),
            Some(acceptor) => match acceptor.accept(socket) {
                Ok(stream) => self.converse(stream, &raw, number),
                Err(_) => {
                    self.state().refused_handshakes += 1;
                    self.changed.notify_all();
                    Ok(())
                }
            },
        }
    }

    fn converse(
        &self,
        mut stream: impl Read + Write,
        raw: &TcpStream,
        number: usize,
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        for answered in 1.. {
            // Something has come, or the client has gone.
            if buffer.is_empty() && raw.peek(&mut [0])? == 0 {
                return Ok(());
            }
            if let Some(reply) = self.unread() {
                self.note(Seen {
                    method: "?".into(),
                    path: "?".into(),
                    query: None,
                    headers: Vec::new(),
                    body: Vec::new(),
                    connection: number,
                });
                self.reply(&mut stream, raw, &reply, false)?;
                return Ok(());
            }
            // What is no HTTP (a TLS greeting begins with 22) is told so, as web servers do.
            if buffer.is_empty() && fill(&mut stream, &mut buffer)? > 0 && buffer[0] == 22 {
                return stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
            let Some(call) = read_call(&mut stream, &mut buffer, number)? else {
                return Ok(());
            };
            let reply = self.choose(&call);
            let head_only = call.method == "HEAD";
            self.note(call);
            let goes_on = self.reply(&mut stream, raw, &reply, head_only)?;
            if !goes_on || self.script().close_after == Some(answered) {
                // A reply that ends the connection leaves nobody to read the rest.
                let _ = stream.flush();
                let _ = raw.shutdown(Shutdown::Both);
                return Ok(());
            }
        }
        Ok(())
    }

    fn unread(&self) -> Option<Reply> {
        let mut script = self.script();
        let left = script.unread_resets.checked_sub(1)?;
        script.unread_resets = left;
        Some(Reply::reset_unread())
    }

    fn note(&self, call: Seen) {
        self.state().calls.push(call);
        self.changed.notify_all();
    }

    fn choose(&self, call: &Seen) -> Reply {
        let computed = {
            let mut script = self.script();
            let rule = format!("{} {}", call.method, call.path);
            for rule in [rule.as_str(), "*"] {
                let queued = script.once.get_mut(rule).and_then(VecDeque::pop_front);
                if let Some(reply) = queued {
                    return reply;
                }
            }
            let always = script.always.get(&rule).or_else(|| script.always.get("*"));
            always.map(Arc::clone)
        };
        computed.map_or_else(|| Reply::text(404, "no rule"), |answer| answer(call))
    }

    /// Plays a reply; whether the connection goes on.
    fn reply(
        &self,
        stream: &mut impl Write,
        raw: &TcpStream,
        reply: &Reply,
        head_only: bool,
    ) -> io::Result<bool> {
        if reply.held {
            self.wait_for_release();
        }
        match &reply.manner {
            Manner::Reset | Manner::ResetUnread => {
                let _inside = self.runtime.enter();
                let socket = raw.try_clone()?;
                socket.set_nonblocking(true)?;
                // The last handle that closes sends the reset.
                tokio::net::TcpStream::from_std(socket)?.set_zero_linger()?;
                self.forget(raw);
                return Ok(false);
            }
            Manner::Hang => {
                self.wait_for_release();
                return Ok(false);
            }
            Manner::Raw(bytes) => {
                stream.write_all(bytes)?;
                stream.flush()?;
                return Ok(false);
            }
            Manner::Answer | Manner::Cut(_) | Manner::HoldBodyAfter(_) => {}
        }
        let mut head = format!("HTTP/1.1 {} Whatever\r\n", reply.status);
        for (name, value) in &reply.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if reply.close == Close::Announced {
            head.push_str("Connection: close\r\n");
        }
        if reply.chunked {
            head.push_str("Transfer-Encoding: chunked\r\n\r\n");
        } else {
            head.push_str(&format!("Content-Length: {}\r\n\r\n", reply.body.len()));
        }
        stream.write_all(head.as_bytes())?;
        stream.flush()?;
        let bodiless = head_only || matches!(reply.status, 204 | 304);
        if !bodiless {
            match reply.manner {
                Manner::Cut(bytes) => {
                    self.write_body(stream, &reply.body[..bytes], reply.chunked)?;
                    return Ok(false);
                }
                Manner::HoldBodyAfter(bytes) => {
                    let (now, later) = reply.body.split_at(bytes);
                    self.write_body(stream, now, reply.chunked)?;
                    self.wait_for_release();
                    self.write_body(stream, later, reply.chunked)?;
                }
                _ => self.write_body(stream, &reply.body, reply.chunked)?,
            }
            if reply.chunked {
                stream.write_all(b"0\r\n\r\n")?;
            }
        }
        stream.flush()?;
        Ok(reply.close == Close::No)
    }

    fn write_body(&self, stream: &mut impl Write, body: &[u8], chunked: bool) -> io::Result<()> {
        if !chunked {
            stream.write_all(body)?;
        }
        let pieces = if chunked {
            body.chunks(7)
        } else {
            [].chunks(1)
        };
        for piece in pieces {
            write!(stream, "{:x}\r\n", piece.len())?;
            stream.write_all(piece)?;
            stream.write_all(b"\r\n")?;
        }
        stream.flush()
    }

    fn wait_for_release(&self) {
        let state = self.state();
        drop(
            self.changed
                .wait_while(state, |state| !state.released)
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// Drops our spare handle of a socket: a reset is sent only when the last one closes.
    fn forget(&self, raw: &TcpStream) {
        let peer = raw.peer_addr().ok();
        self.state()
            .sockets
            .retain(|socket| socket.peer_addr().ok() != peer);
    }
}

/// Reads one request; `None` when the client closed between two.
fn read_call(
    stream: &mut impl Read,
    buffer: &mut Vec<u8>,
    connection: usize,
) -> io::Result<Option<Seen>> {
    let head_end = loop {
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if fill(stream, buffer)? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_end]).into_owned();
    buffer.drain(..head_end + 4);
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let method = first.next().unwrap_or_default().to_owned();
    let target = first.next().unwrap_or_default();
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers
        .iter()
        .find(|(name, _)| name == "content-length")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    while buffer.len() < length {
        if fill(stream, buffer)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(Some(Seen {
        method,
        path: path.to_owned(),
        query,
        headers,
        body: buffer.drain(..length).collect(),
        connection,
    }))
}

fn fill(stream: &mut impl Read, buffer: &mut Vec<u8>) -> io::Result<usize> {
    let mut piece = [0; 4096];
    let read = stream.read(&mut piece)?;
    buffer.extend_from_slice(&piece[..read]);
    Ok(read)
}
