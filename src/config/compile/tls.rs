//! TLS towards a backend: versions in order, ciphers that exist, pins that are digests, and no
//! unverified peer without a reason.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::backend::check_tls;
use crate::config::codes;
use crate::config::env::World;
use crate::config::spec::backend::{TlsProfileSpec, TlsSpec, TlsVersionSpec};
use crate::config::spec::decode::At;
use crate::config::spec::part::{Part, Written, right};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::plan::{BackendTls, ClientCert, TlsVersion};

/// Compiles the `tls` of a backend or of its Keystone.
pub fn compile(spec: &At<TlsSpec>, world: World<'_>, diags: &mut Diagnostics) -> BackendTls {
    let errors_before = diags.errors();
    let tls = &spec.value;
    let (min, max) = versions(tls, diags);
    let mut compiled = BackendTls {
        ca_file: right(&tls.ca_file).map(|file| world.file(file.text(), file.span(), diags)),
        server_name: right(&tls.server_name).and_then(|name| server_name(name, diags)),
        client_cert: right(&tls.client_cert).map(|cert| ClientCert {
            cert_file: world.file(cert.cert_file.text(), cert.cert_file.span(), diags),
            key_file: world.file(cert.key_file.text(), cert.key_file.span(), diags),
        }),
        min_version: min,
        max_version: max,
        ciphers: Vec::new(),
        pin_sha256: pins(&tls.pin_sha256, diags),
        legacy: right(&tls.profile) == Some(&TlsProfileSpec::Legacy),
        unverified: unverified(tls, diags),
    };
    old_version(tls, &compiled, diags);
    compiled.ciphers = ciphers(tls, &compiled, diags);
    // OpenSSL has the last word, once everything it will be given is there.
    if diags.errors() == errors_before
        && files_are_here(&compiled)
        && let Err(why) = check_tls(&compiled)
    {
        let message = format!("OpenSSL does not take these settings: {why}");
        diags.push(Diagnostic::error(codes::BAD_TLS, spec.span, message));
    }
    compiled
}

/// A configuration may be checked where its certificates are not.
fn files_are_here(tls: &BackendTls) -> bool {
    let cert = tls.client_cert.iter();
    let mut files = cert
        .flat_map(|cert| [&cert.cert_file, &cert.key_file])
        .chain(&tls.ca_file);
    files.all(|file| file.is_file())
}

fn versions(tls: &TlsSpec, diags: &mut Diagnostics) -> (Option<TlsVersion>, Option<TlsVersion>) {
    let min = right(&tls.min_version);
    let max = right(&tls.max_version);
    let (min_version, max_version) = (min.map(version), max.map(version));
    if let (Some(min), Some(max)) = (min, max)
        && min_version > max_version
    {
        diags.push(
            Diagnostic::error(
                codes::BAD_TLS,
                min.span,
                "`min_version` is above `max_version`",
            )
            .related(max.span, "the highest version"),
        );
    }
    (min_version, max_version)
}

fn version(spec: &At<TlsVersionSpec>) -> TlsVersion {
    match spec.value {
        TlsVersionSpec::Tls10 => TlsVersion::Tls10,
        TlsVersionSpec::Tls11 => TlsVersion::Tls11,
        TlsVersionSpec::Tls12 => TlsVersion::Tls12,
        TlsVersionSpec::Tls13 => TlsVersion::Tls13,
    }
}

/// OpenSSL 3 refuses the signatures of TLS 1.0 and 1.1 at every level but the lowest.
fn old_version(tls: &TlsSpec, compiled: &BackendTls, diags: &mut Diagnostics) {
    let old = [right(&tls.min_version), right(&tls.max_version)];
    let old = old
        .into_iter()
        .flatten()
        .find(|at| version(at) < TlsVersion::Tls12);
    if let Some(old) = old
        && !compiled.legacy
    {
        diags.push(
            Diagnostic::warning(
                codes::BAD_TLS,
                old.span,
                "TLS 1.0 and 1.1 are negotiated with `profile: legacy` only",
            )
            .help("add `profile: legacy`, for this backend alone"),
        );
    }
}

fn server_name(written: &Written, diags: &mut Diagnostics) -> Option<Box<str>> {
    let name = written.literal("`server_name`", diags)?;
    let fits = !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '/');
    if !fits {
        let message = "`server_name` is a host's name, without a scheme or a path";
        diags.push(Diagnostic::error(codes::BAD_VALUE, written.span(), message));
    }
    fits.then(|| name.into())
}

fn pins(pins: &Option<Part<Vec<Written>>>, diags: &mut Diagnostics) -> Vec<[u8; 32]> {
    let mut compiled = Vec::new();
    for written in right(pins).into_iter().flatten() {
        match digest(written.text()) {
            Some(pin) => compiled.push(pin),
            None => diags.push(
                Diagnostic::error(
                    codes::BAD_VALUE,
                    written.span(),
                    "a pin is the SHA-256 of the certificate, in hex or base64",
                )
                .help("`openssl x509 -in cert.pem -noout -fingerprint -sha256` prints it"),
            ),
        }
    }
    compiled
}

/// 32 bytes in hex (with or without colons) or base64.
pub fn digest(text: &str) -> Option<[u8; 32]> {
    hex_digest(&text.replace(':', "")).or_else(|| STANDARD.decode(text).ok()?.try_into().ok())
}

/// 32 bytes in hex.
pub fn hex_digest(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

fn unverified(tls: &TlsSpec, diags: &mut Diagnostics) -> Option<Box<str>> {
    let verify = right(&tls.verify);
    let reason = right(&tls.accept_risk);
    match (verify.filter(|verify| !verify.value), reason) {
        (None, None) => None,
        (None, Some(reason)) => {
            let message = "`accept_risk` says nothing where the certificate is verified";
            diags.push(Diagnostic::warning(
                codes::NO_EFFECT,
                reason.span(),
                message,
            ));
            None
        }
        (Some(_), Some(reason)) if !reason.text().trim().is_empty() => {
            diags.push(
                Diagnostic::warning(
                    codes::UNVERIFIED_TLS,
                    verify.map_or(reason.span(), |verify| verify.span),
                    "this backend's certificate is not verified: anyone in between can be it",
                )
                .help("pin it with `pin_sha256`, or name its CA with `ca_file`"),
            );
            Some(reason.text().into())
        }
        (Some(verify), _) => {
            diags.push(
                Diagnostic::error(
                    codes::UNVERIFIED_TLS,
                    verify.span,
                    "`verify: false` needs `accept_risk` with the reason",
                )
                .help(
                    "better: pin the certificate with `pin_sha256`, or name its CA with `ca_file`",
                ),
            );
            None
        }
    }
}

/// Ciphers that appliances are told to use: what a misspelled one most likely was to be.
const COMMON_CIPHERS: [&str; 13] = [
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "DHE-RSA-AES128-GCM-SHA256",
    "DHE-RSA-AES256-GCM-SHA384",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
];

/// The ciphers that OpenSSL knows; each other one is reported by name.
fn ciphers(tls: &TlsSpec, compiled: &BackendTls, diags: &mut Diagnostics) -> Vec<Box<str>> {
    let mut known = Vec::new();
    for written in right(&tls.ciphers).into_iter().flatten() {
        let name = written.text();
        // OpenSSL's own language (`ALL`, `!aNULL`, `@SECLEVEL=0`) is not let through.
        let plain = name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
        let alone = BackendTls {
            ciphers: vec![name.into()],
            legacy: compiled.legacy,
            ..BackendTls::default()
        };
        if plain && !name.is_empty() && check_tls(&alone).is_ok() {
            known.push(name.into());
        } else {
            diags.push(
                Diagnostic::error(
                    codes::BAD_TLS,
                    written.span(),
                    format!("OpenSSL knows no cipher `{name}`"),
                )
                .did_you_mean(suggest::nearest(name, COMMON_CIPHERS))
                .help("`openssl ciphers -s -v` lists them; write one name an item"),
            );
        }
    }
    known
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_in_hex_with_or_without_colons_and_in_base64() {
        let bytes: [u8; 32] = std::array::from_fn(|i| u8::try_from(i * 7).unwrap_or(9));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        let colons: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digest(&hex), Some(bytes));
        assert_eq!(digest(&colons.join(":")), Some(bytes));
        assert_eq!(digest(&STANDARD.encode(bytes)), Some(bytes));
        for bad in ["", "abcd", &hex[..63], &format!("{}g", &hex[..63]), "é"] {
            assert_eq!(digest(bad), None, "{bad}");
        }
    }
}
