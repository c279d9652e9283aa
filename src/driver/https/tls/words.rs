//! TLS in an operator's words: what was shown, what was refused, and what to change.

use std::net::IpAddr;

use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::ssl::{self, SslRef};
use openssl::x509::{X509NameRef, X509Ref, X509StoreContextRef};

/// A failed handshake in an operator's words.
pub(super) fn explain(error: &ssl::Error, offered: &str) -> String {
    let Some(stack) = error.ssl_error() else {
        return match error.io_error() {
            Some(io) if io.kind() != std::io::ErrorKind::UnexpectedEof => format!(
                "the connection was lost during the TLS handshake ({io}); offered {}",
                offered
            ),
            _ => format!(
                "the backend closed the connection during the TLS handshake; offered {}",
                offered
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
        offered
    )
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
pub(in crate::driver::https) fn refuses_certificate(error: &str) -> bool {
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
pub(super) fn object(chain: &mut X509StoreContextRef, wanted: &str) -> String {
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
pub(in crate::driver::https) fn describe(ssl: &SslRef) -> String {
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

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
