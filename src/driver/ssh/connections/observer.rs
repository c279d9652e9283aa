//! What is seen of a connection: russh calls [`Observer`], everybody else reads [`Sight`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::client::{DisconnectReason, Handler, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelId, Names};
use tokio::sync::Notify;

use super::host_key::{self, Book, Expected};
use crate::driver::DriverError;

/// What is known of a connection.
#[derive(Debug, Default)]
struct Seen {
    /// The server's version, as it introduced itself.
    version: Option<String>,
    /// How the host key was judged.
    host_key: Option<host_key::Verdict>,
    negotiated: Option<String>,
    /// What the server said as it ended the connection.
    farewell: Option<String>,
    over: bool,
    channels: HashMap<ChannelId, ChannelSeen>,
}

#[derive(Debug, Default)]
struct ChannelSeen {
    /// Bytes that came.
    received: u64,
    /// The server sends no more.
    ended: bool,
    closed: bool,
}

/// Shared with the connection, which outlives the handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    seen: Arc<Mutex<Seen>>,
    changed: Arc<Notify>,
}

impl Sight {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn channel(&self, id: ChannelId, note: impl FnOnce(&mut ChannelSeen)) {
        if let Some(channel) = self.seen().channels.get_mut(&id) {
            note(channel);
        }
    }

    pub(super) fn introduced(&self, version: &str) {
        self.seen().version = Some(version.to_owned());
    }

    pub(super) fn version(&self) -> Option<String> {
        self.seen().version.clone()
    }

    pub(super) fn negotiated(&self) -> Option<String> {
        self.seen().negotiated.clone()
    }

    pub(super) fn host_key(&self) -> Option<host_key::Verdict> {
        self.seen().host_key.clone()
    }

    pub(super) fn refusal(&self) -> Option<DriverError> {
        self.host_key().and_then(Result::err)
    }

    pub(super) fn farewell(&self) -> Option<String> {
        self.seen().farewell.clone()
    }

    /// Bytes that came on a channel; `None` once the server sends no more on it.
    pub(super) fn received(&self, id: ChannelId) -> Option<u64> {
        let seen = self.seen();
        let channel = seen.channels.get(&id)?;
        (!seen.over && !channel.ended && !channel.closed).then_some(channel.received)
    }

    /// Waits until both sides have closed a channel, and forgets it.
    pub(super) async fn closed(&self, id: ChannelId) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            {
                let mut seen = self.seen();
                let closed = seen.channels.get(&id).is_none_or(|channel| channel.closed);
                if closed || seen.over {
                    seen.channels.remove(&id);
                    return;
                }
            }
            changed.await;
        }
    }
}

/// The handler of one connection.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) expected: Expected,
    pub(super) book: Book,
    pub(super) sight: Sight,
}

impl Handler for Observer {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        // No certificate was asked for, so none is believed.
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        let verdict = host_key::judge(&self.expected, key, &self.book).await;
        let right = verdict.is_ok();
        self.sight.seen().host_key = Some(verdict);
        Ok(right)
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let cipher = names.cipher.as_ref();
        // These ciphers authenticate by themselves.
        let mac = if cipher.contains("gcm") || cipher.contains("poly1305") {
            "its own MAC".to_owned()
        } else {
            format!("MAC {}", names.server_mac.as_ref())
        };
        self.sight.seen().negotiated = Some(format!(
            "key exchange {}, host key algorithm {}, cipher {cipher}, {mac}",
            names.kex.as_ref(),
            names.key.as_str()
        ));
        Ok(())
    }

    async fn channel_open_confirmation(
        &mut self,
        id: ChannelId,
        _: u32,
        _: u32,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.sight.seen().channels.entry(id).or_default();
        Ok(())
    }

    async fn data(
        &mut self,
        id: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let count = data.len() as u64;
        self.sight.channel(id, |channel| channel.received += count);
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.sight.channel(id, |channel| channel.ended = true);
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.sight.channel(id, |channel| channel.closed = true);
        self.sight.changed.notify_waiters();
        Ok(())
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        {
            let mut seen = self.sight.seen();
            seen.over = true;
            if let DisconnectReason::ReceivedDisconnect(info) = reason {
                seen.farewell = Some(info.message);
            }
        }
        self.sight.changed.notify_waiters();
        Ok(())
    }
}
