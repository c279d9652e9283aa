//! A backend file as written: one instance of a kind, how it is reached and what it can bear.

use super::auth::AuthSpec;
use super::decode::{At, Entries, Size, TimeSpan};
use super::part::{INSTANCE, NAME, Part, Written};
use super::ssh::{NetconfSpec, SshSpec};
use crate::document::Node;

crate::spec! {
    /// A file of `backends.d/`: one backend.
    BackendSpec as "a backend" {
        /// The version of the language: 1.
        #[schemars(extend("const" = 1))]
        version: Option<Part<Node>>,
        /// Its name, such as `fw-tpe-1`, unique over all files: in mappings, logs and metrics. A mapping holds it, so it
        /// never changes.
        #[schemars(required, extend("pattern" = INSTANCE))]
        name: Option<Part<Written>>,
        /// What it is, such as `neutron`: the routes of this kind reach it.
        #[schemars(required, extend("pattern" = NAME))]
        kind: Option<Part<Written>>,
        /// Words that `select.labels` chooses by and templates see as `backend.labels`.
        labels: Option<Part<Entries<Written>>>,
        /// Values that templates see as `backend.vars`. Never a secret.
        vars: Option<Part<Entries<Node>>>,
        /// `active`, or `drain`: nothing new, what is mapped on it is still served. Default: `active`.
        state: Option<Part<StateSpec>>,
        /// What it can bear.
        limits: Option<Part<BackendLimitsSpec>>,
        /// When to leave it alone.
        breaker: Option<Part<BreakerSpec>>,
        /// How it is reached.
        #[schemars(required)]
        driver: Option<Part<DriverSpec>>,
    }
}

crate::words! {
    /// Whether a backend takes new objects.
    StateSpec as "a backend's state" {
        Active = "active",
        Drain = "drain",
    }
}

crate::spec! {
    /// What a backend can bear.
    BackendLimitsSpec as "limits" {
        /// Calls at once. Default: 8.
        #[schemars(range(min = 1))]
        concurrency: Option<Part<At<u32>>>,
        /// Requests that may wait for a place; one more is 503 `backend_busy`. Default: 64.
        queue: Option<Part<At<u32>>>,
        /// For TCP and TLS together. Default: `3s`, and never more than `timeout`.
        connect_timeout: Option<Part<At<TimeSpan>>>,
        /// From the last byte sent to the first byte of the answer. Default: that of `timeout`.
        first_byte_timeout: Option<Part<At<TimeSpan>>>,
        /// Of a call as a whole, waiting for a place included; a route's `call.timeout` replaces it.
        /// Default: `15s`.
        timeout: Option<Part<At<TimeSpan>>>,
        /// A connection idle for longer is not used for a call that changes something. Default: `4s`.
        idle_reuse: Option<Part<At<TimeSpan>>>,
        /// The largest body of an answer, decompressed. Default: relay.yaml's `limits.response_body`.
        response_body: Option<Part<At<Size>>>,
    }
}

crate::spec! {
    /// When to leave a backend alone.
    BreakerSpec as "a breaker" {
        /// It opens after so many failures in a row. Default: 5.
        #[schemars(range(min = 1))]
        failures: Option<Part<At<u32>>>,
        /// For so long it answers 503 `breaker_open`; then one call tries. Default: `10s`.
        open_for: Option<Part<At<TimeSpan>>>,
    }
}

crate::choice! {
    /// How a backend is reached: exactly one driver.
    DriverSpec as "a driver" {
        /// REST, XML or text over HTTPS.
        Https = "https" (Box<At<HttpsSpec>>),
        /// Command lines and programs over SSH.
        Ssh = "ssh" (At<SshSpec>),
        /// NETCONF over SSH.
        Netconf = "netconf" (At<NetconfSpec>),
    }
}

crate::spec! {
    /// REST, XML or text over HTTPS.
    HttpsSpec as "an https driver" {
        /// Where calls go, such as `https://fw.example.net/api`; the base path stands before every call's.
        #[schemars(required, extend("pattern" = "^https?://"))]
        url: Option<Part<Written>>,
        /// Headers of every call. Not for credentials: those are `auth`.
        headers: Option<Part<Entries<Written>>>,
        /// Query parameters of every call. Not for credentials: those are `auth`.
        query: Option<Part<Entries<Written>>>,
        /// How calls authenticate. Default: `none`.
        auth: Option<Part<At<AuthSpec>>>,
        /// Further ways by name, for a route's `call.auth`.
        auths: Option<Part<Entries<Part<AuthSpec>>>>,
        /// TLS towards this backend. Default: TLS 1.2 or 1.3, verified by the system's CAs.
        tls: Option<Part<At<TlsSpec>>>,
        /// The command line that `$cli` in a body writes lines of: a built-in profile, or one of `backends.d/profiles/`.
        profile: Option<Part<Written>>,
    }
}

crate::spec! {
    /// TLS towards a backend. Files are PEM, relative to the configuration folder.
    TlsSpec as "tls" {
        /// The CAs that are trusted, instead of the system's.
        ca_file: Option<Part<Written>>,
        /// The name in the certificate and in SNI. Default: the URL's host.
        server_name: Option<Part<Written>>,
        /// The certificate that the relay presents.
        client_cert: Option<Part<ClientCertSpec>>,
        /// The lowest version: `"1.0"`, `"1.1"`, `"1.2"` or `"1.3"`. Default: `"1.2"`.
        min_version: Option<Part<At<TlsVersionSpec>>>,
        /// The highest version. Default: `"1.3"`.
        max_version: Option<Part<At<TlsVersionSpec>>>,
        /// TLS 1.3 suites and OpenSSL names of older ones. Default: the profile's.
        ciphers: Option<Part<Vec<Written>>>,
        /// SHA-256 of the server's certificate (DER), in hex or base64; when set, it alone decides.
        pin_sha256: Option<Part<Vec<Written>>>,
        /// `legacy`: TLS 1.0 and 1.1, CBC and RSA key exchange, for old appliances. Default: `modern`.
        profile: Option<Part<TlsProfileSpec>>,
        /// `false`: the certificate is not verified at all; needs `accept_risk`. Default: true.
        verify: Option<Part<At<bool>>>,
        /// Why `verify: false` is acceptable here.
        accept_risk: Option<Part<Written>>,
    }
}

crate::spec! {
    /// A certificate and its key.
    ClientCertSpec as "a client certificate" {
        /// The certificate, then its chain.
        cert_file: Written,
        /// Its private key.
        key_file: Written,
    }
}

crate::words! {
    /// A version of TLS.
    TlsVersionSpec as "a version of TLS" {
        Tls10 = "1.0",
        Tls11 = "1.1",
        Tls12 = "1.2",
        Tls13 = "1.3",
    }
}

crate::words! {
    /// What is negotiated where `ciphers` says nothing.
    TlsProfileSpec as "a TLS profile" {
        Modern = "modern",
        Legacy = "legacy",
    }
}
