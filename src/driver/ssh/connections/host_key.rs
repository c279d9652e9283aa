//! Which host key a backend must show, and what is said when it shows another.
//!
//! A key is judged before any credential is sent. `tofu` takes the first key that is seen and records it
//! with [`HostKeys`]; no later connection takes another.

use std::fmt;
use std::sync::Arc;

use russh::keys::{Algorithm, HashAlg, PublicKey};

use super::known_hosts::{self, Listed};
use crate::driver::{Async, DriverError, Phase};
use crate::plan::{HostKey, SshAccess};
use crate::telemetry::metrics;

/// The host keys that were seen first, by backend. A key is told as its kind and its fingerprint:
/// `ssh-ed25519 SHA256:...`.
pub trait HostKeys: fmt::Debug + Send + Sync + 'static {
    /// What is recorded for a backend. The error says why that is not known.
    fn recorded<'a>(&'a self, backend: &'a str) -> Async<'a, Result<Option<String>, String>>;

    /// Records the key of a backend that has none, and gives what is recorded now.
    fn record<'a>(&'a self, backend: &'a str, key: &'a str) -> Async<'a, Result<String, String>>;
}

/// Where one backend's key is recorded, and by which name.
#[derive(Clone, Debug)]
pub(super) struct Book {
    pub(super) backend: Box<str>,
    /// `None`: nothing is recorded here, as in a trial.
    pub(super) keys: Option<Arc<dyn HostKeys>>,
}

/// What is expected of the key of one connection.
#[derive(Debug)]
pub(super) enum Expected {
    Pinned(Vec<[u8; 32]>),
    Listed {
        file: String,
        keys: Vec<Listed>,
    },
    Recorded(String),
    /// Whatever is shown is recorded, or at a probe only told.
    Anything {
        record: bool,
    },
}

/// How a key was found to be right, in words.
pub(super) type Verdict = Result<String, DriverError>;

/// A key as it is recorded and shown.
pub(super) fn shown(key: &PublicKey) -> String {
    format!(
        "{} {}",
        key.algorithm().as_str(),
        key.fingerprint(HashAlg::Sha256)
    )
}

/// Reads what is expected. `look`: a probe, which changes nothing.
pub(super) async fn expected(
    access: &SshAccess,
    book: &Book,
    look: bool,
) -> Result<Expected, DriverError> {
    match &access.host_key {
        HostKey::Pinned(pins) => Ok(Expected::Pinned(pins.clone())),
        HostKey::KnownHosts(path) => {
            let file = path.display().to_string();
            let text = tokio::fs::read_to_string(path)
                .await
                .map_err(|error| refusal(format!("`{file}` cannot be read: {error}")))?;
            let keys = known_hosts::listed(&text, &access.host, access.port);
            Ok(Expected::Listed { file, keys })
        }
        HostKey::Tofu => match &book.keys {
            None if look => Ok(Expected::Anything { record: false }),
            None => Err(refusal(
                "`tofu` needs a place where the key is recorded, and here is none".to_owned(),
            )),
            Some(keys) => {
                let recorded = keys.recorded(&book.backend).await.map_err(|error| {
                    refusal(format!("the recorded host key cannot be read: {error}"))
                })?;
                Ok(recorded.map_or(Expected::Anything { record: !look }, Expected::Recorded))
            }
        },
    }
}

/// Kinds of keys to ask for first: a server that has several shows the one that is known.
pub(super) fn kinds(expected: &Expected, offered: &[Algorithm]) -> Vec<Algorithm> {
    let is_known = |kind: &Algorithm| match expected {
        Expected::Listed { keys, .. } => keys
            .iter()
            .any(|listed| !listed.revoked && is_kind(kind, listed.key.algorithm().as_str())),
        Expected::Recorded(recorded) => is_kind(kind, kind_of(recorded)),
        Expected::Pinned(_) | Expected::Anything { .. } => false,
    };
    let (mut known, other): (Vec<_>, Vec<_>) = offered.iter().cloned().partition(is_known);
    known.extend(other);
    known
}

/// RSA keys are of one kind, however they sign.
fn is_kind(kind: &Algorithm, name: &str) -> bool {
    match kind {
        Algorithm::Rsa { .. } => name == "ssh-rsa",
        kind => kind.as_str() == name,
    }
}

fn kind_of(recorded: &str) -> &str {
    recorded.split(' ').next().unwrap_or_default()
}

/// Judges the key that a server shows.
pub(super) async fn judge(expected: &Expected, key: &PublicKey, book: &Book) -> Verdict {
    let shown = shown(key);
    match expected {
        Expected::Pinned(pins) => {
            let digest = key.fingerprint(HashAlg::Sha256).sha256();
            if pins.iter().any(|pin| Some(*pin) == digest) {
                return Ok(format!("{shown}, as pinned"));
            }
            let pinned: Vec<_> = pins.iter().map(fingerprint).collect();
            Err(changed(
                book,
                &format!(
                    "the server shows the host key {shown}, and {} is pinned: if the device was given a new \
                 key, compare this fingerprint on the device itself and pin it (`host_key: {{ sha256: \
                 ... }}`)",
                    pinned.join(" or ")
                ),
            ))
        }
        Expected::Listed { file, keys } => listed(file, keys, key, &shown, book),
        Expected::Recorded(recorded) => same(recorded, &shown, book),
        Expected::Anything { record: false } => Ok(format!(
            "{shown}, which nobody has recorded yet: the first call will, or pin it"
        )),
        Expected::Anything { record: true } => {
            let Some(keys) = &book.keys else {
                return Err(refusal("the host key can be recorded nowhere".to_owned()));
            };
            let recorded = keys.record(&book.backend, &shown).await.map_err(|error| {
                refusal(format!("the host key {shown} cannot be recorded: {error}"))
            })?;
            // Another connection may have been first.
            let words = same(&recorded, &shown, book)?;
            tracing::warn!(
                backend = &*book.backend,
                host_key = shown,
                "the host key of a backend was seen for the first time and is recorded; compare it on \
                 the device itself, and pin it"
            );
            Ok(words)
        }
    }
}

fn same(recorded: &str, shown: &str, book: &Book) -> Verdict {
    if recorded == shown {
        return Ok(format!("{shown}, as recorded"));
    }
    Err(changed(
        book,
        &format!(
            "the server shows the host key {shown}, and {recorded} was recorded when it was first seen: if \
         the device was given a new key, compare this fingerprint on the device itself, and pin it or \
         run `cmp-relay host-keys forget {}`",
            book.backend
        ),
    ))
}

fn listed(file: &str, keys: &[Listed], key: &PublicKey, shown: &str, book: &Book) -> Verdict {
    let is_it = |listed: &&Listed| listed.key.key_data() == key.key_data();
    if let Some(revoked) = keys.iter().filter(is_it).find(|listed| listed.revoked) {
        return Err(changed(
            book,
            &format!(
                "the server shows the host key {shown}, which line {} of `{file}` revokes",
                revoked.line
            ),
        ));
    }
    if let Some(right) = keys.iter().find(is_it) {
        return Ok(format!(
            "{shown}, as line {} of `{file}` has it",
            right.line
        ));
    }
    let others: Vec<_> = keys
        .iter()
        .filter(|listed| !listed.revoked)
        .map(|listed| format!("{} (line {})", self::shown(&listed.key), listed.line))
        .collect();
    if others.is_empty() {
        return Err(refusal(format!(
            "the server shows the host key {shown}, and `{file}` has none for it: compare this \
             fingerprint on the device itself, and add the key"
        )));
    }
    Err(changed(
        book,
        &format!(
            "the server shows the host key {shown}, and `{file}` has {}: if the device was given a new key, \
         compare this fingerprint on the device itself, and replace the line",
            others.join(", ")
        ),
    ))
}

/// As `ssh-keygen -lf` shows it.
fn fingerprint(digest: &[u8; 32]) -> String {
    russh::keys::ssh_key::Fingerprint::Sha256(*digest).to_string()
}

/// Another key than the known one: somebody may be in between.
fn changed(book: &Book, detail: &str) -> DriverError {
    tracing::error!(
        backend = &*book.backend,
        detail,
        "a host key is not the known one"
    );
    metrics::host_key_mismatch(&book.backend);
    refusal(detail.to_owned())
}

fn refusal(detail: String) -> DriverError {
    DriverError::not_sent(Phase::HostKey, detail)
}
