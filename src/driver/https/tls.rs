//! TLS towards a backend, as its file asks for it: OpenSSL, one context per backend.
//!
//! [`context`] builds what is offered, this file speaks the handshake and settles trust, `words` tells
//! an operator what went wrong. A pin replaces the chain of trust; nothing else does.

mod context;
mod words;

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_openssl::SslStream;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::ssl::{Ssl, SslContext, SslRef, SslVerifyMode};
use openssl::x509::verify::X509CheckFlags;

pub(super) use self::words::{describe, refuses_certificate};
use super::stream::{Counted, bare_host};
use crate::plan::BackendTls;

/// Whether TLS can be spoken as the file asks: builds it all and throws it away. For
/// `validate-config`; the message names the key that is wrong.
pub fn check(tls: &BackendTls) -> Result<(), String> {
    context::build(tls).map(drop)
}

/// A backend's TLS: the context and what its certificate must be.
pub(super) struct TlsClient {
    context: SslContext,
    trust: Trust,
    /// Verified, and sent as SNI where it is a name.
    name: Box<str>,
    versions: String,
}

/// What makes a certificate acceptable.
enum Trust {
    /// A chain to a root, and the name.
    Chain,
    /// The leaf is one of these.
    Pins(Vec<[u8; 32]>),
    /// `verify: false`.
    Anything,
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("name", &self.name)
            .field("versions", &self.versions)
            .finish_non_exhaustive()
    }
}

impl TlsClient {
    /// `host` is that of the URL; `server_name` stands in for it.
    pub(super) fn new(tls: &BackendTls, host: &str) -> Result<Self, String> {
        let (context, versions) = context::build(tls)?;
        let trust = if !tls.pin_sha256.is_empty() {
            Trust::Pins(tls.pin_sha256.clone())
        } else if tls.unverified.is_some() {
            Trust::Anything
        } else {
            Trust::Chain
        };
        Ok(Self {
            context,
            trust,
            name: tls
                .server_name
                .as_deref()
                .unwrap_or_else(|| bare_host(host))
                .into(),
            versions,
        })
    }

    /// Speaks the handshake over `tcp` and settles trust before a byte of a request is written.
    pub(super) async fn connect(&self, tcp: Counted) -> Result<SslStream<Counted>, String> {
        let objection = Arc::new(Mutex::new(None));
        let ssl = self
            .prepare(&objection)
            .map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let mut stream =
            SslStream::new(ssl, tcp).map_err(|error| format!("TLS cannot be set up: {error}"))?;
        if let Err(error) = Pin::new(&mut stream).connect().await {
            let objection = objection
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            return Err(objection.unwrap_or_else(|| words::explain(&error, &self.versions)));
        }
        if let Trust::Pins(pins) = &self.trust {
            check_pin(pins, stream.ssl())?;
        }
        tracing::debug!(
            server = %self.name,
            version = stream.ssl().version_str(),
            cipher = stream.ssl().current_cipher().map_or("none", |cipher| cipher.name()),
            "TLS is spoken with the backend"
        );
        Ok(stream)
    }

    fn prepare(&self, objection: &Arc<Mutex<Option<String>>>) -> Result<Ssl, ErrorStack> {
        let mut ssl = Ssl::new(&self.context)?;
        let address = self.name.parse::<IpAddr>().ok();
        if address.is_none() {
            ssl.set_hostname(&self.name)?;
        }
        if !matches!(self.trust, Trust::Chain) {
            ssl.set_verify(SslVerifyMode::NONE);
            return Ok(ssl);
        }
        let param = ssl.param_mut();
        match address {
            Some(address) => param.set_ip(address)?,
            None => {
                param.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
                param.set_host(&self.name)?;
            }
        }
        let name = self.name.clone();
        let objection = Arc::clone(objection);
        ssl.set_verify_callback(SslVerifyMode::PEER, move |fine, chain| {
            if !fine {
                objection
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .get_or_insert_with(|| words::object(chain, &name));
            }
            fine
        });
        Ok(ssl)
    }
}

fn check_pin(pins: &[[u8; 32]], ssl: &SslRef) -> Result<(), String> {
    let digest = ssl
        .peer_certificate()
        .and_then(|leaf| leaf.digest(MessageDigest::sha256()).ok())
        .ok_or("the backend showed no certificate, so `tls.pin_sha256` cannot hold")?;
    if pins.iter().any(|pin| pin[..] == digest[..]) {
        return Ok(());
    }
    Err(format!(
        "the backend's certificate is not the pinned one: its SHA-256 is {}",
        words::hex(&digest)
    ))
}
