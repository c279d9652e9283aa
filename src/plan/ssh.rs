//! A backend that is reached over SSH, compiled: where it is, who asks, which host key it must show.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Algorithms, CliProfile};
use crate::secret::Secret;

/// Host, credentials and host key: what the `ssh` and the `netconf` driver share.
#[derive(Debug)]
pub struct SshAccess {
    /// A name or an address; IPv6 without brackets.
    pub host: Box<str>,
    /// Default: 22, and 830 for NETCONF (RFC 6242, section 6).
    pub port: u16,
    pub user: Box<str>,
    /// Tried in this order; never empty.
    pub auth: Vec<SshAuth>,
    pub host_key: HostKey,
    pub algorithms: Algorithms,
    /// Channels at once on one connection: what the server's `MaxSessions` allows.
    pub channels: usize,
}

impl SshAccess {
    /// `ssh://host:22`, IPv6 in brackets.
    pub fn address(&self, scheme: &str) -> String {
        match self.host.contains(':') {
            true => format!("{scheme}://[{}]:{}", self.host, self.port),
            false => format!("{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// One way to authenticate (RFC 4252, RFC 4256).
#[derive(Debug)]
pub enum SshAuth {
    PrivateKey {
        /// OpenSSH or PEM.
        key: Secret,
        passphrase: Option<Secret>,
    },
    Password(Secret),
    /// Answers every prompt that does not echo; a round without prompts gets an empty answer.
    KeyboardInteractive(Secret),
}

/// Which host key is taken.
#[derive(Debug)]
pub enum HostKey {
    /// SHA-256 of the key's wire form, as `ssh-keygen -lf` shows it.
    Pinned(Vec<[u8; 32]>),
    /// An OpenSSH `known_hosts` file.
    KnownHosts(PathBuf),
    /// The first key that is seen is recorded; another one later is refused.
    Tofu,
}

/// The `ssh` driver of a backend: command lines and programs.
#[derive(Debug)]
pub struct SshDriver {
    pub access: Arc<SshAccess>,
    /// How its command line behaves; `None`: it takes `exec` calls only.
    pub profile: Option<Arc<CliProfile>>,
    /// What a mode of the profile that asks for a password is given.
    pub enable: Option<Secret>,
    /// Several sessions may configure it at once.
    pub parallel_config: bool,
}

/// The `netconf` driver of a backend (RFC 6241, RFC 6242).
#[derive(Debug)]
pub struct NetconfDriver {
    pub access: Arc<SshAccess>,
    /// End-of-message framing though both sides could do chunks.
    pub framing_1_0: bool,
    /// Write `running` though the device has a candidate.
    pub writable_running: bool,
}
