//! A certification authority of one run: it signs what the simulated backends show, and the relay over them
//! is told to trust it and nothing else. The keys are in memory alone.

use std::io;
use std::sync::Arc;

use openssl::asn1::{Asn1Integer, Asn1Time};
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use openssl::x509::{X509, X509Builder, X509Name};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivatePkcs8KeyDer;

/// Days that a certificate is good for: a demo is started anew before.
const DAYS: u32 = 365;

/// A CA, and a certificate of it for the loopback address.
#[derive(Debug)]
pub struct Authority {
    ca: Vec<u8>,
    server: Arc<ServerConfig>,
}

impl Authority {
    /// Makes the keys and the certificates.
    ///
    /// # Errors
    ///
    /// Where OpenSSL has no random bytes or no P-256.
    pub fn new() -> io::Result<Self> {
        let signed = sign()?;
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|builder| {
                let key = PrivatePkcs8KeyDer::from(signed.key);
                let chain = vec![signed.certificate.into()];
                builder
                    .with_no_client_auth()
                    .with_single_cert(chain, key.into())
            })
            .map_err(io::Error::other)?;
        Ok(Self {
            ca: signed.ca,
            server: Arc::new(server),
        })
    }

    /// The CA's certificate, in PEM: what `tls.ca_file` names.
    pub fn ca_pem(&self) -> &[u8] {
        &self.ca
    }

    pub(super) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }
}

struct Signed {
    /// PEM.
    ca: Vec<u8>,
    /// DER.
    certificate: Vec<u8>,
    /// PKCS #8.
    key: Vec<u8>,
}

fn sign() -> Result<Signed, ErrorStack> {
    let ca = Ca::new("Simulated backends", DAYS)?;
    let (certificate, key) = ca.sign("A simulated backend", &["127.0.0.1"], &["localhost"])?;
    Ok(Signed {
        ca: ca.certificate.to_pem()?,
        certificate: certificate.to_der()?,
        key: key.private_key_to_pkcs8()?,
    })
}

/// A CA's certificate, and its key in memory.
#[derive(Debug)]
pub struct Ca {
    pub certificate: X509,
    key: PKey<Private>,
    days: u32,
}

impl Ca {
    /// A CA of this name; it and all that it signs are good for so many days.
    ///
    /// # Errors
    ///
    /// Where OpenSSL has no random bytes or no P-256.
    pub fn new(name: &str, days: u32) -> Result<Self, ErrorStack> {
        let key = key()?;
        let mut ca = begin(name, None, &key, days)?;
        let constraints = BasicConstraints::new().critical().ca().build()?;
        ca.append_extension(constraints)?;
        let usage = KeyUsage::new().critical().key_cert_sign().build()?;
        ca.append_extension(usage)?;
        let identifier = SubjectKeyIdentifier::new().build(&ca.x509v3_context(None, None))?;
        ca.append_extension(identifier)?;
        ca.sign(&key, MessageDigest::sha256())?;
        Ok(Self {
            certificate: ca.build(),
            key,
            days,
        })
    }

    /// A server's certificate for these addresses and names, and its key.
    ///
    /// # Errors
    ///
    /// As [`Ca::new`]; and where an address is none.
    pub fn sign(
        &self,
        name: &str,
        addresses: &[&str],
        names: &[&str],
    ) -> Result<(X509, PKey<Private>), ErrorStack> {
        let (ca, key) = (&self.certificate, key()?);
        let mut server = begin(name, Some(ca), &key, self.days)?;
        let mut all = SubjectAlternativeName::new();
        for address in addresses {
            all.ip(address);
        }
        for name in names {
            all.dns(name);
        }
        let all = all.build(&server.x509v3_context(Some(ca), None))?;
        server.append_extension(all)?;
        let identifier = AuthorityKeyIdentifier::new()
            .keyid(true)
            .build(&server.x509v3_context(Some(ca), None))?;
        server.append_extension(identifier)?;
        server.append_extension(ExtendedKeyUsage::new().server_auth().build()?)?;
        server.sign(&self.key, MessageDigest::sha256())?;
        Ok((server.build(), key))
    }
}

fn key() -> Result<PKey<Private>, ErrorStack> {
    PKey::from_ec_key(EcKey::generate(&*EcGroup::from_curve_name(
        Nid::X9_62_PRIME256V1,
    )?)?)
}

/// A certificate of this key without extensions and signature; without an issuer, its own.
fn begin(
    name: &str,
    issuer: Option<&X509>,
    key: &PKey<Private>,
    days: u32,
) -> Result<X509Builder, ErrorStack> {
    let mut subject = X509Name::builder()?;
    subject.append_entry_by_nid(Nid::COMMONNAME, name)?;
    let subject = subject.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;

    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    certificate.set_serial_number(&*Asn1Integer::from_bn(&serial)?)?;
    certificate.set_subject_name(&subject)?;
    certificate.set_issuer_name(issuer.map_or(&*subject, |issuer| issuer.subject_name()))?;
    certificate.set_pubkey(key)?;
    certificate.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    certificate.set_not_after(&*Asn1Time::days_from_now(days)?)?;
    Ok(certificate)
}
