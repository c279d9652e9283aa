//! A channel that is ours: what is asked of the server on it, and what happens when it is let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use russh::client::Msg;
use russh::{Channel, ChannelId, ChannelMsg};

use super::connect::{Claimed, Connection};
use super::pool::Place;
use crate::driver::{DriverError, Phase};

/// How long a server may take to close a channel that we closed. Then the connection ends with it.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);

/// A place with a channel on it. The place is free again when the server has closed the channel too.
#[derive(Debug)]
pub(super) struct Lease {
    place: Option<Place>,
    id: ChannelId,
}

impl Lease {
    /// Ends the connection as soon as nobody else has a channel on it.
    pub(super) fn retire(&self) {
        if let Some(place) = &self.place {
            place.retire();
        }
    }

    pub(super) fn life(&self, read: &Arc<AtomicU64>) -> Life {
        let place = self.place.as_ref().expect("only drop takes it");
        Life {
            connection: Arc::clone(&place.connection),
            id: self.id,
            read: Arc::clone(read),
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(place), Ok(runtime)) = (self.place.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let id = self.id;
        runtime.spawn(async move {
            let closed = place.connection.sight.closed(id);
            if tokio::time::timeout(CLOSE_WITHIN, closed).await.is_err() {
                place.retire();
            }
        });
    }
}

/// How a channel is doing, for whoever does not read it now.
#[derive(Debug)]
pub struct Life {
    connection: Arc<Connection>,
    id: ChannelId,
    /// Bytes that were read of it.
    read: Arc<AtomicU64>,
}

impl Life {
    /// Whether it can be used again: the server has not closed it, and nothing came that nobody read.
    pub fn is_still(&self) -> bool {
        let connection = &self.connection;
        if connection.is_over() || connection.is_retired() || !connection.is_silent() {
            return false;
        }
        let received = self.connection.sight.received(self.id);
        received.is_some_and(|received| received <= self.read.load(Ordering::Acquire))
    }

    /// Whether the server answers; a connection that does not is ended.
    pub async fn answers(&self, within: Duration) -> bool {
        let answers = self.connection.answers(within).await;
        if !answers {
            self.connection.cut();
        }
        answers && self.is_still()
    }
}

/// A channel on which nothing runs yet.
pub(super) struct Session {
    channel: Claimed,
    lease: Lease,
}

impl Session {
    pub(super) fn new(channel: Claimed, place: Place) -> Self {
        let id = channel.id();
        let lease = Lease {
            place: Some(place),
            id,
        };
        Self { channel, lease }
    }

    pub(super) fn channel(&mut self) -> &mut Channel<Msg> {
        self.channel.get()
    }

    pub(super) fn split(self) -> (Channel<Msg>, Lease) {
        (self.channel.take(), self.lease)
    }

    /// Whether the server granted what was just asked.
    pub(super) async fn granted(
        &mut self,
        asked: Result<(), russh::Error>,
        what: &str,
    ) -> Result<(), DriverError> {
        let failed = |detail| Err(DriverError::not_sent(Phase::Open, detail));
        let lost = || {
            failed(format!(
                "the channel was closed before the server granted {what}"
            ))
        };
        if asked.is_err() {
            return lost();
        }
        loop {
            match self.channel().wait().await {
                Some(ChannelMsg::Success) => return Ok(()),
                Some(ChannelMsg::Failure) => {
                    return failed(format!("the server refused {what}"));
                }
                Some(ChannelMsg::Close) | None => return lost(),
                Some(_) => {}
            }
        }
    }
}
