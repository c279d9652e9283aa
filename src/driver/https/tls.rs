//! TLS towards a backend, as its file asks for it: OpenSSL, one context per backend.
//!
//! The profiles: *modern* is TLS 1.2 and 1.3 with forward secrecy and authenticated encryption;
//! *legacy* adds what old appliances still speak (TLS 1.0 and 1.1, CBC, RSA key exchange, SHA-1,
//! short keys, unpatched renegotiation). A pin replaces the chain of trust; nothing else does.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use hyper_openssl::SslStream;
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::ssl::{
    self, Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslOptions, SslRef,
    SslVerifyMode, SslVersion,
};
use openssl::x509::verify::{X509CheckFlags, X509VerifyFlags};
use openssl::x509::{X509NameRef, X509Ref, X509StoreContextRef};

use super::stream::{Counted, bare_host};
use crate::plan::{BackendTls, TlsVersion};

/// TLS 1.2 suites with forward secrecy and authenticated encryption.
const MODERN: &str = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20:!aNULL";
/// Everything that encrypts and authenticates, whatever its strength.
const LEGACY: &str = "ALL:!aNULL:!eNULL:@SECLEVEL=0";
/// `SSL_OP_LEGACY_SERVER_CONNECT` (openssl/ssl.h): servers without RFC 5746.
const LEGACY_SERVER_CONNECT: u32 = 0x4;
/// Where the distributions keep their roots; the vendored OpenSSL knows none of these.
const SYSTEM_ROOTS: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/share/certs/ca-root-nss.crt",
];

/// Whether TLS can be spoken as the file asks: builds it all and throws it away. For
/// `validate-config`; the message names the key that is wrong.
pub fn check(tls: &BackendTls) -> Result<(), String> {
    context(tls).map(drop)
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
        let (context, versions) = context(tls)?;
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
            return Err(objection.unwrap_or_else(|| self.explain(&error)));
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
                    .get_or_insert_with(|| object(chain, &name));
            }
            fine
        });
        Ok(ssl)
    }

    /// A failed handshake in an operator's words.
    fn explain(&self, error: &ssl::Error) -> String {
        let Some(stack) = error.ssl_error() else {
            return match error.io_error() {
                Some(io) if io.kind() != std::io::ErrorKind::UnexpectedEof => format!(
                    "the connection was lost during the TLS handshake ({io}); offered {}",
                    self.versions
                ),
                _ => format!(
                    "the backend closed the connection during the TLS handshake; offered {}",
                    self.versions
                ),
            };
        };
        let reason = stack
            .errors()
            .iter()
            .find_map(openssl::error::Error::reason)
            .unwrap_or("no reason given");
        format!(
            "the TLS handshake failed ({reason}){}; offered {}",
            hint(reason),
            self.versions
        )
    }
}

/// What an operator can do about a reason of OpenSSL's (`ssl/ssl_err.c`; the alerts have had several
/// prefixes over the releases, so parts are looked for).
fn hint(reason: &str) -> &'static str {
    const HINTS: [(&[&str], &str); 5] = [
        (
            &["wrong version number", "http request"],
            ": this port does not speak TLS",
        ),
        (
            &["unsupported protocol", "alert protocol version"],
            ": the backend speaks other versions, see `tls.min_version`, `max_version` and `profile: legacy`",
        ),
        (
            &["alert handshake failure", "alert insufficient security"],
            ": no cipher in common, or a client certificate is wanted; see `tls.ciphers`, `profile: legacy` and `client_cert`",
        ),
        (
            &[
                "legacy sigalg",
                "wrong signature type",
                "key too small",
                "md too weak",
                "unsafe legacy renegotiation",
            ],
            ": the backend is too old for the modern profile, see `profile: legacy`",
        ),
        (
            &["alert certificate required", "alert bad certificate"],
            ": the backend wants another client certificate, see `tls.client_cert`",
        ),
    ];
    HINTS
        .iter()
        .find(|(parts, _)| parts.iter().any(|part| reason.contains(part)))
        .map_or("", |(_, hint)| hint)
}

/// Whether an alert says that our certificate, or its absence, is refused (RFC 8446, 6.2).
pub(super) fn refuses_certificate(error: &str) -> bool {
    const ALERTS: [&str; 7] = [
        "alert certificate required",
        "alert bad certificate",
        "alert unsupported certificate",
        "alert certificate revoked",
        "alert certificate expired",
        "alert certificate unknown",
        "alert unknown ca",
    ];
    ALERTS.iter().any(|alert| error.contains(alert))
}

/// Why OpenSSL's verification stopped, with what the certificate says.
fn object(chain: &mut X509StoreContextRef, wanted: &str) -> String {
    // X509_V_ERR_* of openssl/x509_vfy.h.
    let code = chain.error().as_raw();
    let text = chain.error().error_string();
    let Some(certificate) = chain.current_cert() else {
        return format!("the backend's certificate was refused: {text}");
    };
    let subject = name_text(certificate.subject_name());
    let issuer = name_text(certificate.issuer_name());
    match code {
        10 => format!(
            "the backend's certificate has expired: `{subject}` was valid until {}",
            certificate.not_after()
        ),
        9 => format!(
            "the backend's certificate is not valid yet: `{subject}` begins at {}",
            certificate.not_before()
        ),
        62 | 64 => format!(
            "the backend's certificate is for another name: wanted `{wanted}`, found {}; see `tls.server_name`",
            names(certificate)
        ),
        7 | 18 | 19 | 20 | 21 | 27 => format!(
            "the backend's certificate is of an unknown CA: `{subject}`, issued by `{issuer}`, {}; see `tls.ca_file` and `pin_sha256`",
            fingerprint(certificate)
        ),
        _ => format!("the backend's certificate `{subject}` was refused: {text}"),
    }
}

fn name_text(name: &X509NameRef) -> String {
    let parts: Vec<_> = name
        .entries()
        .filter_map(|entry| {
            let key = entry.object().nid().short_name().ok()?;
            Some(format!("{key}={}", entry.data().to_string().ok()?))
        })
        .collect();
    parts.join(", ")
}

/// The names that a certificate is for: its alternative names, else its common name.
fn names(certificate: &X509Ref) -> String {
    let mut found: Vec<String> = Vec::new();
    for name in certificate.subject_alt_names().iter().flatten() {
        if let Some(dns) = name.dnsname() {
            found.push(dns.to_owned());
        } else if let Some(octets) = name.ipaddress() {
            let address = <[u8; 4]>::try_from(octets)
                .map(IpAddr::from)
                .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
            found.extend(address.map(|address| address.to_string()));
        }
    }
    if found.is_empty() {
        let common = certificate.subject_name().entries_by_nid(Nid::COMMONNAME);
        found.extend(common.filter_map(|entry| Some(entry.data().to_string().ok()?.to_string())));
    }
    if found.is_empty() {
        return "no name at all".to_owned();
    }
    format!("`{}`", found.join("`, `"))
}

/// What was negotiated, and the certificate that was shown, for an operator.
pub(super) fn describe(ssl: &SslRef) -> String {
    let spoken = format!(
        "{} with {}",
        ssl.version_str(),
        ssl.current_cipher()
            .map_or("no cipher", |cipher| cipher.name())
    );
    match ssl.peer_certificate() {
        None => format!("{spoken}; no certificate was shown"),
        Some(leaf) => format!(
            "{spoken}; the certificate `{}` is for {}, valid until {}, {}",
            name_text(leaf.subject_name()),
            names(&leaf),
            leaf.not_after(),
            fingerprint(&leaf)
        ),
    }
}

fn fingerprint(certificate: &X509Ref) -> String {
    match certificate.digest(MessageDigest::sha256()) {
        Ok(digest) => format!("SHA-256 {}", hex(&digest)),
        Err(_) => "no SHA-256".to_owned(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
        hex(&digest)
    ))
}

/// The OpenSSL context, and the versions it offers in words.
fn context(tls: &BackendTls) -> Result<(SslContext, String), String> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).map_err(plain)?;
    builder.set_options(SslOptions::NO_COMPRESSION);
    if tls.legacy {
        builder.set_security_level(0);
        builder.set_options(
            SslOptions::ALLOW_UNSAFE_LEGACY_RENEGOTIATION
                // Old servers end a body, and the connection, without TLS's own farewell.
                | SslOptions::IGNORE_UNEXPECTED_EOF
                | SslOptions::from_bits_retain(LEGACY_SERVER_CONNECT.into()),
        );
    }
    let suites = Suites::of(&tls.ciphers)?;
    let (min, max) = versions(tls, &suites)?;
    builder
        .set_min_proto_version(Some(openssl_version(min)))
        .map_err(|error| format!("`tls.min_version`: {error}"))?;
    builder
        .set_max_proto_version(Some(openssl_version(max)))
        .map_err(|error| format!("`tls.max_version`: {error}"))?;
    suites.apply(&mut builder, tls.legacy)?;
    if tls.pin_sha256.is_empty() && tls.unverified.is_none() {
        roots(&mut builder, tls.ca_file.as_deref())?;
    }
    if let Some(client) = &tls.client_cert {
        let told = |file: &Path, error: ErrorStack| {
            format!(
                "`tls.client_cert`: {} cannot be used: {error}",
                file.display()
            )
        };
        builder
            .set_certificate_chain_file(&client.cert_file)
            .map_err(|error| told(&client.cert_file, error))?;
        builder
            .set_private_key_file(&client.key_file, SslFiletype::PEM)
            .map_err(|error| told(&client.key_file, error))?;
        builder.check_private_key().map_err(|_| {
            format!(
                "`tls.client_cert`: the key {} is not that of the certificate {}",
                client.key_file.display(),
                client.cert_file.display()
            )
        })?;
    }
    let offered = if min == max {
        version_name(min).to_owned()
    } else {
        format!("{} to {}", version_name(min), version_name(max))
    };
    Ok((builder.build(), offered))
}

fn plain(error: ErrorStack) -> String {
    format!("TLS cannot be set up: {error}")
}

/// The roots of a CA file, or those of the system.
fn roots(builder: &mut SslContextBuilder, ca_file: Option<&Path>) -> Result<(), String> {
    match ca_file {
        Some(file) => {
            builder
                .set_ca_file(file)
                .map_err(|error| match std::fs::metadata(file) {
                    Err(io) => format!("`tls.ca_file`: {}: {io}", file.display()),
                    Ok(_) => format!(
                        "`tls.ca_file`: {} holds no PEM certificate ({error})",
                        file.display()
                    ),
                })?;
            // What the operator put into the file is trusted as it is: an intermediate, or the
            // appliance's own certificate.
            builder
                .verify_param_mut()
                .set_flags(X509VerifyFlags::PARTIAL_CHAIN)
                .map_err(plain)
        }
        None => match SYSTEM_ROOTS.iter().find(|path| Path::new(path).is_file()) {
            Some(path) => builder
                .set_ca_file(path)
                .map_err(|error| format!("the system's roots in {path}: {error}")),
            None => Err(
                "this system has no CA bundle in a known place; name one with `tls.ca_file`"
                    .to_owned(),
            ),
        },
    }
}

/// `ciphers`, split as OpenSSL wants them.
#[derive(Debug, Default)]
struct Suites {
    tls13: Vec<String>,
    older: Vec<String>,
}

impl Suites {
    fn of(names: &[Box<str>]) -> Result<Self, String> {
        let mut suites = Self::default();
        for name in names {
            if name.starts_with("TLS_") && !name.contains("_WITH_") {
                suites.tls13.push(name.to_string());
                continue;
            }
            let known = if name.starts_with("TLS_") {
                ssl::cipher_name(name)
            } else {
                name
            };
            suites.older.push(known.to_owned());
        }
        // OpenSSL refuses a list only when it knows none of it, so each name is tried alone.
        let mut trial = SslContextBuilder::new(SslMethod::tls_client()).map_err(plain)?;
        for (name, written) in suites.older.iter().zip(older_as_written(names)) {
            let is_name = name.starts_with(|first: char| first.is_ascii_alphanumeric());
            if name == "(NONE)" || (is_name && trial.set_cipher_list(name).is_err()) {
                return Err(format!(
                    "`tls.ciphers`: OpenSSL knows no cipher `{written}`"
                ));
            }
        }
        for name in &suites.tls13 {
            if trial.set_ciphersuites(name).is_err() {
                return Err(format!("`tls.ciphers`: OpenSSL knows no suite `{name}`"));
            }
        }
        Ok(suites)
    }

    fn apply(&self, builder: &mut SslContextBuilder, legacy: bool) -> Result<(), String> {
        let named = |error: ErrorStack| format!("`tls.ciphers`: {error}");
        if !self.tls13.is_empty() {
            builder
                .set_ciphersuites(&self.tls13.join(":"))
                .map_err(named)?;
        }
        let older = match (self.older.is_empty(), legacy) {
            (true, true) => LEGACY.to_owned(),
            (true, false) => MODERN.to_owned(),
            (false, true) => format!("{}:@SECLEVEL=0", self.older.join(":")),
            (false, false) => self.older.join(":"),
        };
        builder.set_cipher_list(&older).map_err(named)
    }
}

fn older_as_written(names: &[Box<str>]) -> impl Iterator<Item = &str> {
    names
        .iter()
        .map(|name| &**name)
        .filter(|name| !name.starts_with("TLS_") || name.contains("_WITH_"))
}

/// The versions to offer. A cipher list is the whole list: where it names suites of TLS 1.3 only,
/// nothing older is offered, and the other way round.
fn versions(tls: &BackendTls, suites: &Suites) -> Result<(TlsVersion, TlsVersion), String> {
    let only_13 = !suites.tls13.is_empty() && suites.older.is_empty();
    let only_older = suites.tls13.is_empty() && !suites.older.is_empty();
    let lowest = if only_13 {
        TlsVersion::Tls13
    } else if tls.legacy {
        TlsVersion::Tls10
    } else {
        TlsVersion::Tls12
    };
    let highest = if only_older {
        TlsVersion::Tls12
    } else {
        TlsVersion::Tls13
    };
    let min = tls.min_version.unwrap_or(lowest);
    let max = tls.max_version.unwrap_or(highest);
    if min < TlsVersion::Tls12 && !tls.legacy {
        return Err(format!(
            "`tls.min_version`: {} needs `profile: legacy`",
            version_name(min)
        ));
    }
    let (min, max) = (
        min.max(if only_13 { lowest } else { min }),
        max.min(highest),
    );
    if min > max {
        return Err(format!(
            "`tls`: no version is left: `min_version`, `max_version` and `ciphers` leave {} to {}",
            version_name(min),
            version_name(max)
        ));
    }
    Ok((min, max))
}

fn openssl_version(version: TlsVersion) -> SslVersion {
    match version {
        TlsVersion::Tls10 => SslVersion::TLS1,
        TlsVersion::Tls11 => SslVersion::TLS1_1,
        TlsVersion::Tls12 => SslVersion::TLS1_2,
        TlsVersion::Tls13 => SslVersion::TLS1_3,
    }
}

fn version_name(version: TlsVersion) -> &'static str {
    match version {
        TlsVersion::Tls10 => "TLS 1.0",
        TlsVersion::Tls11 => "TLS 1.1",
        TlsVersion::Tls12 => "TLS 1.2",
        TlsVersion::Tls13 => "TLS 1.3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_ciphers(ciphers: &[&str]) -> BackendTls {
        BackendTls {
            ciphers: ciphers.iter().map(|name| (*name).into()).collect(),
            unverified: Some("a test".into()),
            ..BackendTls::default()
        }
    }

    #[test]
    fn each_cipher_must_be_known() {
        assert_eq!(
            check(&with_ciphers(&["ECDHE-RSA-AES128-GCM-SHA256", "AES-BOGUS"])),
            Err("`tls.ciphers`: OpenSSL knows no cipher `AES-BOGUS`".to_owned())
        );
        assert_eq!(
            check(&with_ciphers(&["TLS_AES_256_BOGUS"])),
            Err("`tls.ciphers`: OpenSSL knows no suite `TLS_AES_256_BOGUS`".to_owned())
        );
        assert_eq!(
            check(&with_ciphers(&[
                "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
                "TLS_AES_128_GCM_SHA256"
            ])),
            Ok(())
        );
    }

    #[test]
    fn a_cipher_list_bounds_the_versions() {
        let only_13 = with_ciphers(&["TLS_AES_256_GCM_SHA384"]);
        assert_eq!(context(&only_13).unwrap().1, "TLS 1.3");
        let only_12 = with_ciphers(&["ECDHE-RSA-AES128-GCM-SHA256"]);
        assert_eq!(context(&only_12).unwrap().1, "TLS 1.2");
        let conflict = BackendTls {
            min_version: Some(TlsVersion::Tls13),
            ..only_12
        };
        assert!(check(&conflict).unwrap_err().contains("no version is left"));
    }

    #[test]
    fn an_old_version_needs_the_legacy_profile() {
        let mut tls = BackendTls {
            min_version: Some(TlsVersion::Tls10),
            unverified: Some("a test".into()),
            ..BackendTls::default()
        };
        assert_eq!(
            check(&tls),
            Err("`tls.min_version`: TLS 1.0 needs `profile: legacy`".to_owned())
        );
        tls.legacy = true;
        assert_eq!(context(&tls).unwrap().1, "TLS 1.0 to TLS 1.3");
    }

    #[test]
    fn a_missing_ca_file_is_named() {
        let tls = BackendTls {
            ca_file: Some("/nonexistent/ca.pem".into()),
            ..BackendTls::default()
        };
        let message = check(&tls).unwrap_err();
        assert!(
            message.contains("`tls.ca_file`: /nonexistent/ca.pem"),
            "{message}"
        );
    }
}
