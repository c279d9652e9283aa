//! Certificates of every sort that appliances show: good ones, and the odd ones.

#![allow(dead_code, reason = "a kit: not every subject uses every piece")]

use std::path::PathBuf;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::rsa::Rsa;
use openssl::ssl::{SslAcceptor, SslAcceptorBuilder, SslMethod};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Name};
use tempfile::TempDir;

/// A certificate and its key.
pub(crate) struct Identity {
    pub(crate) certificate: X509,
    pub(crate) key: PKey<Private>,
}

/// What a certificate is to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) common_name: &'static str,
    pub(crate) dns: Vec<&'static str>,
    pub(crate) ip: Vec<&'static str>,
    /// Valid until so many days from now; negative: it has expired.
    pub(crate) days: i64,
    /// Says `CA:TRUE`.
    pub(crate) ca: bool,
    /// X.509 version 1: no extensions at all.
    pub(crate) v1: bool,
    /// RSA of so many bits instead of P-256.
    pub(crate) rsa: Option<u32>,
}

impl Default for Wanted {
    /// A good certificate for 127.0.0.1.
    fn default() -> Self {
        Self {
            common_name: "appliance",
            dns: Vec::new(),
            ip: vec!["127.0.0.1"],
            days: 30,
            ca: false,
            v1: false,
            rsa: None,
        }
    }
}

/// A CA.
pub(crate) fn authority() -> Identity {
    make(
        &Wanted {
            common_name: "test CA",
            ip: Vec::new(),
            ca: true,
            ..Wanted::default()
        },
        None,
    )
}

/// A certificate that signs itself.
pub(crate) fn self_signed(wanted: &Wanted) -> Identity {
    make(wanted, None)
}

impl Identity {
    /// A certificate signed by this one.
    pub(crate) fn issue(&self, wanted: &Wanted) -> Identity {
        make(wanted, Some(self))
    }

    /// The certificate as a PEM file.
    pub(crate) fn certificate_file(&self, folder: &TempDir, name: &str) -> PathBuf {
        let path = folder.path().join(name);
        let pem = self.certificate.to_pem().expect("it encodes");
        std::fs::write(&path, pem).expect("the folder is writable");
        path
    }

    /// The key as a PEM file.
    pub(crate) fn key_file(&self, folder: &TempDir, name: &str) -> PathBuf {
        let path = folder.path().join(name);
        let pem = self.key.private_key_to_pem_pkcs8().expect("it encodes");
        std::fs::write(&path, pem).expect("the folder is writable");
        path
    }

    pub(crate) fn sha256(&self) -> [u8; 32] {
        let digest = self.certificate.digest(MessageDigest::sha256());
        digest.expect("it digests")[..]
            .try_into()
            .expect("32 bytes")
    }

    /// A server with this identity and today's settings.
    pub(crate) fn acceptor(&self) -> SslAcceptor {
        self.acceptor_with(|_| {})
    }

    /// A server with this identity and settings of its own.
    pub(crate) fn acceptor_with(&self, set: impl FnOnce(&mut SslAcceptorBuilder)) -> SslAcceptor {
        let mut builder =
            SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).expect("OpenSSL works");
        // An appliance's weak certificate must be loadable; what it may use is set below.
        builder.set_security_level(0);
        builder.set_private_key(&self.key).expect("it fits");
        builder.set_certificate(&self.certificate).expect("it fits");
        set(&mut builder);
        builder.build()
    }
}

fn make(wanted: &Wanted, issuer: Option<&Identity>) -> Identity {
    let key = match wanted.rsa {
        Some(bits) => PKey::from_rsa(Rsa::generate(bits).expect("OpenSSL works")),
        None => {
            let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("P-256 is known");
            PKey::from_ec_key(EcKey::generate(&group).expect("OpenSSL works"))
        }
    }
    .expect("OpenSSL works");
    let certificate = build(wanted, &key, issuer).expect("the certificate is well-formed");
    Identity { certificate, key }
}

fn build(
    wanted: &Wanted,
    key: &PKey<Private>,
    issuer: Option<&Identity>,
) -> Result<X509, openssl::error::ErrorStack> {
    let mut name = X509Name::builder()?;
    name.append_entry_by_text("CN", wanted.common_name)?;
    let name = name.build();
    let mut builder = X509::builder()?;
    builder.set_version(if wanted.v1 { 0 } else { 2 })?;
    let mut serial = BigNum::new()?;
    serial.rand(127, openssl::bn::MsbOption::MAYBE_ZERO, false)?;
    let serial = Asn1Integer::from_bn(&serial)?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(issuer.map_or(&name, |one| one.certificate.subject_name()))?;
    builder.set_pubkey(key)?;
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let at = |days: i64| Asn1Time::from_unix(now + days * 86_400);
    let (begin, end) = (at(wanted.days.min(0) - 10)?, at(wanted.days)?);
    builder.set_not_before(&begin)?;
    builder.set_not_after(&end)?;
    if !wanted.v1 {
        let mut constraints = BasicConstraints::new();
        if wanted.ca {
            constraints.ca();
        }
        builder.append_extension(constraints.critical().build()?)?;
        if !wanted.dns.is_empty() || !wanted.ip.is_empty() {
            let mut names = SubjectAlternativeName::new();
            wanted.dns.iter().for_each(|dns| {
                names.dns(dns);
            });
            wanted.ip.iter().for_each(|ip| {
                names.ip(ip);
            });
            let names = names.build(&builder.x509v3_context(None, None))?;
            builder.append_extension(names)?;
        }
    }
    builder.sign(issuer.map_or(key, |one| &one.key), MessageDigest::sha256())?;
    Ok(builder.build())
}
