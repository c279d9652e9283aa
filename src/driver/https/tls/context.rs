//! What is offered to a backend: versions, ciphers, roots and our own certificate.
//!
//! The profiles: *modern* is TLS 1.2 and 1.3 with forward secrecy and authenticated encryption;
//! *legacy* adds what old appliances still speak (TLS 1.0 and 1.1, CBC, RSA key exchange, SHA-1,
//! short keys, unpatched renegotiation). RC4 and 3DES are not compiled in at all.

use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use openssl::error::ErrorStack;
use openssl::ssl::{
    self, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslOptions, SslVersion,
};
use openssl::x509::X509;
use openssl::x509::verify::X509VerifyFlags;

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

/// The OpenSSL context, and the versions it offers in words.
pub(super) fn build(tls: &BackendTls) -> Result<(SslContext, String), String> {
    let mut builder = SslContextBuilder::new(SslMethod::tls_client()).map_err(plain)?;
    builder.set_options(SslOptions::NO_COMPRESSION);
    // One read for all that has come, instead of one for a record's head and another one for the rest.
    builder.set_read_ahead(true);
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
        None => {
            let Some(path) = SYSTEM_ROOTS.iter().find(|path| Path::new(path).is_file()) else {
                return Err(
                    "this system has no CA bundle in a known place; name one with `tls.ca_file`"
                        .to_owned(),
                );
            };
            let told = |error: &dyn Display| format!("the system's roots in {path}: {error}");
            let pem = std::fs::read(path).map_err(|error| told(&error))?;
            let roots = parsed(&pem).map_err(|error| told(&error))?;
            if roots.is_empty() {
                return Err(told(&"there is no certificate in it"));
            }
            for root in roots.iter() {
                let store = builder.cert_store_mut();
                store.add_cert(root.clone()).map_err(plain)?;
            }
            Ok(())
        }
    }
}

/// The certificates of a bundle; the last one is remembered, for most backends trust the same roots, and
/// parsing them takes longer than all else that a backend needs.
fn parsed(pem: &[u8]) -> Result<Arc<[X509]>, ErrorStack> {
    static LAST: Mutex<Option<Bundle>> = Mutex::new(None);
    let digest = openssl::sha::sha256(pem);
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*last
        && known.digest == digest
    {
        return Ok(Arc::clone(&known.roots));
    }
    let roots: Arc<[X509]> = X509::stack_from_pem(pem)?.into();
    *last = Some(Bundle {
        digest,
        roots: Arc::clone(&roots),
    });
    Ok(roots)
}

/// Certificates, and the SHA-256 of the text that they were read from.
struct Bundle {
    digest: [u8; 32],
    roots: Arc<[X509]>,
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

    fn check(tls: &BackendTls) -> Result<(), String> {
        build(tls).map(drop)
    }

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
        assert_eq!(build(&only_13).unwrap().1, "TLS 1.3");
        let only_12 = with_ciphers(&["ECDHE-RSA-AES128-GCM-SHA256"]);
        assert_eq!(build(&only_12).unwrap().1, "TLS 1.2");
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
        assert_eq!(build(&tls).unwrap().1, "TLS 1.0 to TLS 1.3");
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
