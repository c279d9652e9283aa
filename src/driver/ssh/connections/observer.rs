//! What a connection saw while it was made: russh calls it, [`super::connect`] reads it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use russh::Names;
use russh::client::{DisconnectReason, Handler, Session};
use russh::keys::{HashAlg, PublicKeyOrCertificate};

use crate::driver::{DriverError, Phase};
use crate::plan::{HostKey, SshAccess};

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Why the host key was refused.
    pub(super) refusal: Option<DriverError>,
    /// What the server said as it ended the connection.
    pub(super) farewell: Option<String>,
}

/// Shared with the connection, which outlives the handshake.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight(Arc<Mutex<Seen>>);

impl Sight {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handler of one connection.
#[derive(Debug)]
pub(super) struct Observer {
    pub(super) access: Arc<SshAccess>,
    pub(super) sight: Sight,
}

impl Handler for Observer {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        key: &PublicKeyOrCertificate,
    ) -> Result<bool, Self::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = key else {
            return Ok(false);
        };
        let shown = key.fingerprint(HashAlg::Sha256);
        let HostKey::Pinned(pins) = &self.access.host_key else {
            return Ok(false);
        };
        if pins.iter().any(|pin| Some(pin) == shown.sha256().as_ref()) {
            return Ok(true);
        }
        self.sight.seen().refusal = Some(DriverError::not_sent(
            Phase::HostKey,
            format!("the server shows the host key {shown}, which is not a pinned one"),
        ));
        Ok(false)
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        _: &Names,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        Ok(())
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<Self::Error>,
    ) -> Result<(), Self::Error> {
        if let DisconnectReason::ReceivedDisconnect(info) = reason {
            self.sight.seen().farewell = Some(info.message);
        }
        Ok(())
    }
}
