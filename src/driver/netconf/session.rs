//! One session: the hellos, then requests, one after the other, each matched with its reply.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout_at};

use super::framing::Framing;
use super::hello::{self, Hello};
use super::rpc::{self, Message, Reply};
use super::wire::{Broken, Wire};
use crate::driver::Phase;

/// What a hello may have: some devices name each of some hundred modules.
const LARGEST_HELLO: usize = 1024 * 1024;

/// What a session is bounded by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Of the hellos together.
    pub(super) hello: Duration,
    /// To the first byte of each reply.
    pub(super) first_byte: Duration,
    /// Bytes of a message.
    pub(super) message: usize,
    /// End-of-message framing though both sides could do chunks.
    pub(super) only_1_0: bool,
}

/// A session with a device, behind the hellos.
#[derive(Debug)]
pub(super) struct Session<S> {
    wire: Wire<S>,
    hello: Hello,
    bounds: Bounds,
    /// Of the last `<rpc>`.
    id: u64,
    /// Nothing more can be asked: half a message was written, or the device's bytes make no sense.
    broken: bool,
}

/// A request without a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Silence {
    pub(super) phase: Phase,
    /// Bytes of the request were handed over.
    pub(super) sent: bool,
    pub(super) detail: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Exchanges the hellos. The error says what went wrong, and gives the stream back.
    pub(super) async fn open(stream: S, bounds: Bounds, by: Instant) -> Result<Self, (String, S)> {
        let by = by.min(Instant::now() + bounds.hello);
        let mut wire = Wire::new(stream, LARGEST_HELLO);
        match timeout_at(by, greet(&mut wire, bounds.only_1_0)).await {
            Ok(Ok((hello, framing))) => {
                wire.switch(framing, bounds.message);
                Ok(Self {
                    wire,
                    hello,
                    bounds,
                    id: 0,
                    broken: false,
                })
            }
            Ok(Err(detail)) => Err((detail, wire.into_stream())),
            Err(_) => Err((
                "the device said no hello in time".to_owned(),
                wire.into_stream(),
            )),
        }
    }

    pub(super) fn hello(&self) -> &Hello {
        &self.hello
    }

    pub(super) fn framing(&self) -> Framing {
        self.wire.framing()
    }

    /// Whether more can be asked.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    pub(super) fn into_stream(self) -> S {
        self.wire.into_stream()
    }

    /// Asks for an operation and waits for its reply, at most until `by`.
    pub(super) async fn request(&mut self, operation: &str, by: Instant) -> Result<Reply, Silence> {
        let silence = |phase, sent, detail: String| Silence {
            phase,
            sent,
            detail,
        };
        if self.broken {
            let detail = "the session is over".to_owned();
            return Err(silence(Phase::Send, false, detail));
        }
        self.id += 1;
        let frame = self
            .wire
            .frame(&rpc::envelope(self.id, operation))
            .map_err(|error| silence(Phase::Send, false, error.to_string()))?;
        let before = self.wire.handed;
        let written = timeout_at(by, self.wire.write(&frame)).await;
        let sent = self.wire.handed > before;
        match written {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.broken = true;
                return Err(silence(Phase::Send, sent, error.to_string()));
            }
            Err(_) => {
                self.broken = sent;
                let detail = "the device did not take the request in time".to_owned();
                return Err(silence(Phase::Send, sent, detail));
            }
        }
        // A reply that comes after all is passed over by the next request.
        self.reply(by)
            .await
            .map_err(|(phase, detail)| silence(phase, true, detail))
    }

    /// The reply to the last request.
    async fn reply(&mut self, by: Instant) -> Result<Reply, (Phase, String)> {
        let first_byte = by.min(Instant::now() + self.bounds.first_byte);
        match timeout_at(first_byte, self.wire.first_byte()).await {
            Ok(Ok(())) => {}
            Ok(Err(broken)) => return Err(self.end(broken)),
            Err(_) => {
                let detail = match first_byte < by {
                    true => "no reply began within `first_byte_timeout`",
                    false => "no reply came before the deadline",
                };
                return Err((Phase::Wait, detail.to_owned()));
            }
        }
        loop {
            let message = match timeout_at(by, self.wire.message()).await {
                Ok(Ok(message)) => message,
                Ok(Err(broken)) => return Err(self.end(broken)),
                Err(_) => {
                    let detail = "no whole reply came before the deadline";
                    return Err((Phase::Read, detail.to_owned()));
                }
            };
            match rpc::read(message) {
                Ok(Message::Reply(reply)) if self.answers(&reply) => return Ok(reply),
                Ok(Message::Reply(_) | Message::Notification) => {}
                Err(detail) => {
                    self.broken = true;
                    return Err((Phase::Read, detail));
                }
            }
        }
    }

    /// Whether a reply is that of the last request; one to an earlier request, given up since, is not.
    fn answers(&self, reply: &Reply) -> bool {
        match &reply.id {
            Some(id) => id.trim().parse() == Ok(self.id),
            // It could not read our `<rpc>` so far: it can mean no other than what it has just got.
            None => reply.failure().is_some(),
        }
    }

    fn end(&mut self, broken: Broken) -> (Phase, String) {
        self.broken = true;
        let phase = match broken {
            Broken::Closed | Broken::Lost(_) => Phase::Wait,
            Broken::Framing(_) | Broken::NotUtf8 => Phase::Read,
        };
        (phase, broken.to_string())
    }
}

/// Both hellos. Ours goes out at once, whoever speaks first, and is never chunked, whatever theirs says.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    wire: &mut Wire<S>,
    only_1_0: bool,
) -> Result<(Hello, Framing), String> {
    let ours = wire
        .frame(&hello::ours(only_1_0))
        .expect("our own hello holds no delimiter");
    wire.write(&ours).await.map_err(|error| error.to_string())?;
    let theirs = wire.message().await.map_err(|error| error.to_string())?;
    let hello = Hello::read(theirs.trim_start_matches('\u{feff}').trim())?;
    let framing = hello.framing(only_1_0)?;
    Ok((hello, framing))
}
