//! relay.yaml, compiled: the server itself.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use crate::secret::Secret;

/// The server's own settings, every default filled in.
#[derive(Debug)]
pub struct Server {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub database: Database,
    pub tls: Option<ListenerTls>,
    /// None at all: loopback listeners only, every caller may do everything.
    pub clients: Vec<Client>,
    pub limits: Limits,
    pub operations: Operations,
    pub replication: Replication,
    /// Names this node in operations and epochs; default: the host name.
    pub node: Box<str>,
    /// What makes it one of two; without it, this node is always active.
    pub pair: Option<Pair>,
    pub log: Log,
}

/// What one node of a pair knows of itself and of the other.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The address that keepalived moves.
    pub vip: IpAddr,
    pub peer: Peer,
    /// The account that controls this node's server; `database` is that of the tables.
    pub control: MariaDb,
    /// The account by which this node's server replicates from the peer's.
    pub source: MariaDb,
    /// The folder of the state file, the scripts' socket and the archives.
    pub state: PathBuf,
    /// A standby takes over by itself when the active node falls silent.
    pub automatic: bool,
    /// After a failover none happens by itself for so long, unless it is acknowledged.
    pub block: Duration,
    /// How long a take-over waits for what was received to be applied.
    pub drain: Duration,
    /// A program and its arguments that cuts the peer off before a failover; may be empty.
    pub fence: Vec<Box<str>>,
}

/// The other node's admin listener.
#[derive(Clone, Debug)]
pub struct Peer {
    pub url: Uri,
    pub token: Secret,
    /// The CA of its certificate (PEM), or the system's.
    pub ca_file: Option<PathBuf>,
}

#[derive(Debug)]
pub enum Database {
    /// The file; its directory is made when it is missing.
    Sqlite(PathBuf),
    MariaDb(MariaDb),
}

/// A MariaDB server over TCP.
#[derive(Clone, Debug)]
pub struct MariaDb {
    pub host: Box<str>,
    pub port: u16,
    pub user: Box<str>,
    pub password: Option<Secret>,
    pub database: Box<str>,
}

/// Certificates of the listeners; PEM files, read at start and at reload.
#[derive(Clone, Debug)]
pub struct ListenerTls {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
    /// Clients must present a certificate of this CA.
    pub client_ca_file: Option<PathBuf>,
}

/// A caller of the CMP or admin listener.
#[derive(Clone, Debug)]
pub struct Client {
    pub name: Box<str>,
    /// SHA-256 of each of its tokens.
    pub token_sha256: Vec<[u8; 32]>,
    pub roles: Vec<Role>,
}

/// SEMANTICS 27.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Cmp,
    Reader,
    Operator,
}

/// Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    pub request_body: usize,
    pub response_body: usize,
    pub stored_reply: usize,
    pub in_flight: usize,
    pub connections: usize,
    /// Mappings kept in memory.
    pub cached_mappings: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operations {
    /// Settled operations older than this are pruned.
    pub retain: Duration,
    pub key_required: bool,
}

#[derive(Debug)]
pub struct Replication {
    pub standby: Option<MariaDb>,
    pub confirm: Confirm,
    pub timeout: Duration,
}

/// `replication.confirm` (DESIGN section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    None,
    Preferred,
    Required,
}

impl Confirm {
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Preferred => "preferred",
            Self::Required => "required",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    pub format: LogFormat,
    /// A `tracing` filter: `info`, `cmp_relay=debug`.
    pub level: Box<str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}
