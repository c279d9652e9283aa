//! A backend, compiled: one instance of a kind, how it is reached and what it can bear.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::{CliProfile, NetconfDriver, SshDriver};
use crate::secret::Secret;
use crate::transform::{Condition, JsonPath, Text};

/// One file of `backends.d/`.
#[derive(Debug)]
pub struct Backend {
    pub name: Box<str>,
    pub kind: Box<str>,
    pub labels: Vec<(Box<str>, Box<str>)>,
    /// `backend` as templates see it: `name`, `kind`, `labels`, `vars`.
    pub scope: Arc<Value>,
    pub state: BackendState,
    pub limits: BackendLimits,
    pub breaker: Breaker,
    pub driver: DriverSpec,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackendState {
    Active,
    /// Gets nothing new; what is mapped on it is still served.
    Drain,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendLimits {
    /// Calls at once.
    pub concurrency: usize,
    /// Requests that may wait for a place.
    pub queue: usize,
    pub connect_timeout: Duration,
    /// To the first byte of the answer, once the request is sent.
    pub first_byte_timeout: Duration,
    /// Of a call as a whole, waiting for a place included.
    pub timeout: Duration,
    /// A connection idle for longer is not used for a mutating call (SEMANTICS 8).
    pub idle_reuse: Duration,
    /// Bytes of an answer's body, decompressed.
    pub response_body: usize,
}

/// Opens after `failures` in a row, for `open_for`; then one call tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breaker {
    pub failures: u32,
    pub open_for: Duration,
}

/// How a backend is reached.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "one for each backend, made once and never moved"
)]
pub enum DriverSpec {
    Https(HttpsDriver),
    Ssh(Arc<SshDriver>),
    Netconf(Arc<NetconfDriver>),
}

impl DriverSpec {
    /// The driver's name in YAML, metrics and views.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Https(_) => "https",
            Self::Ssh(_) => "ssh",
            Self::Netconf(_) => "netconf",
        }
    }

    /// How its command line behaves, where it has one.
    pub fn profile(&self) -> Option<&Arc<CliProfile>> {
        match self {
            Self::Https(driver) => driver.profile.as_ref(),
            Self::Ssh(driver) => driver.profile.as_ref(),
            Self::Netconf(_) => None,
        }
    }

    /// Where it leads, for people and for comparing: a URL.
    pub fn address(&self) -> String {
        match self {
            Self::Https(driver) => driver.url.to_string(),
            Self::Ssh(driver) => driver.access.address("ssh"),
            Self::Netconf(driver) => driver.access.address("netconf"),
        }
    }
}

#[derive(Debug)]
pub struct HttpsDriver {
    pub url: BaseUrl,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Joined to every call, already percent-encoded pairs left to the driver.
    pub query: Vec<(Box<str>, Box<str>)>,
    /// Index 0 is `auth`; the others are `auths`, by name.
    pub auths: Vec<(Box<str>, Auth)>,
    pub tls: BackendTls,
    /// The command line that `$cli` writes lines of.
    pub profile: Option<Arc<CliProfile>>,
}

/// Where calls go: `https://host:port/base`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl {
    pub https: bool,
    /// As in a `Host` header: IPv6 in brackets, no port.
    pub host: Box<str>,
    pub port: u16,
    /// Stands before every path; no trailing slash; may be empty.
    pub path: Box<str>,
}

impl BaseUrl {
    /// `host:port`, without the port that the scheme has anyway.
    pub fn authority(&self) -> String {
        let default_port = if self.https { 443 } else { 80 };
        match self.port == default_port {
            true => self.host.to_string(),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// `https://host:port`, where the base path begins.
    pub fn origin(&self) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://{}", self.authority())
    }
}

impl std::fmt::Display for BaseUrl {
    /// With its port, whether it was written or not.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}{}", self.host, self.port, self.path)
    }
}

/// How calls to a backend authenticate.
#[derive(Debug)]
pub enum Auth {
    None,
    Basic {
        user: Box<str>,
        password: Secret,
    },
    Bearer(Secret),
    Headers(Vec<(HeaderName, SecretTree)>),
    Query(Vec<(Box<str>, Secret)>),
    /// The certificate of `tls.client_cert` is all there is.
    ClientCertificate,
    Keystone(Box<Keystone>),
    /// Shared with the driver, which outlives the plan it was made from.
    Login(Arc<Login>),
}

/// Keystone v3 (OpenStack Identity API v3, "Password authentication with scoped authorization").
#[derive(Debug)]
pub struct Keystone {
    /// With `/v3`, without a trailing slash.
    pub url: BaseUrl,
    pub credentials: KeystoneCredentials,
    pub tls: BackendTls,
}

#[derive(Debug)]
pub enum KeystoneCredentials {
    Password {
        user: Box<str>,
        user_domain: Box<str>,
        password: Secret,
        project: Box<str>,
        project_domain: Box<str>,
    },
    ApplicationCredential {
        id: Box<str>,
        secret: Secret,
    },
}

/// A login that gives tokens, and how calls carry them.
#[derive(Debug)]
pub struct Login {
    pub method: Method,
    /// Below the backend's base URL; literal.
    pub path: Box<str>,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: LoginBody,
    /// `None`: any 2xx.
    pub success_when: Option<Condition>,
    pub tokens: Vec<(Box<str>, TokenSource)>,
    pub expires: Option<Expiry>,
    pub send: Vec<TokenCarrier>,
    /// So many redirects of the login are followed, to the backend itself alone.
    pub follow_redirects: u8,
    /// When an answer of a call means "log in again": any of these; none: status 401.
    pub expired_when: Vec<Condition>,
    pub logout: Option<(Method, Box<str>)>,
    /// `on_unauthorized: fail` turns the one re-send off.
    pub resend: bool,
}

#[derive(Debug)]
pub enum LoginBody {
    None,
    Form(Vec<(Box<str>, SecretTree)>),
    Json(SecretTree),
}

/// A literal tree with secrets at some leaves.
#[derive(Debug)]
pub enum SecretTree {
    Literal(Value),
    Secret(Secret),
    List(Vec<SecretTree>),
    Map(Vec<(Box<str>, SecretTree)>),
    /// What is below as JSON, a text.
    Json(Box<SecretTree>),
    /// The text below in base64 (RFC 4648, section 4).
    Base64(Box<SecretTree>),
}

#[derive(Debug)]
pub enum TokenSource {
    Json(JsonPath),
    Cookie(Box<str>),
    Header(HeaderName),
}

#[derive(Debug)]
pub enum Expiry {
    After(Duration),
    /// RFC 3339 or seconds since the epoch.
    At(JsonPath),
    /// Seconds from now.
    In(JsonPath),
}

#[derive(Debug)]
pub enum TokenCarrier {
    /// A cookie of this name; the text reads `tokens.*`.
    Cookie {
        name: Box<str>,
        value: Text,
    },
    Header {
        name: HeaderName,
        value: Text,
    },
}

/// TLS towards a backend.
#[derive(Clone, Debug, Default)]
pub struct BackendTls {
    /// `None`: the system's roots.
    pub ca_file: Option<PathBuf>,
    pub server_name: Option<Box<str>>,
    pub client_cert: Option<ClientCert>,
    pub min_version: Option<TlsVersion>,
    pub max_version: Option<TlsVersion>,
    /// TLS 1.3 suites and OpenSSL names of older ones, as written.
    pub ciphers: Vec<Box<str>>,
    /// SHA-256 of the leaf certificate (DER); when set, it alone decides.
    pub pin_sha256: Vec<[u8; 32]>,
    /// TLS 1.0/1.1, CBC and RSA key exchange, for old appliances.
    pub legacy: bool,
    /// `verify: false`, with the reason of `accept_risk`.
    pub unverified: Option<Box<str>>,
}

#[derive(Clone, Debug)]
pub struct ClientCert {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    Tls10,
    Tls11,
    Tls12,
    Tls13,
}
