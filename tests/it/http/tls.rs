//! TLS of the listeners: a server certificate, and clients that must show one of theirs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use cmp_relay::http::listener::Bounds;
use cmp_relay::http::tls::server_config;
use cmp_relay::plan::ListenerTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::client::Connection;
use super::serving::{echo, plan, serve};

/// A CA and what it signed, as PEM files.
struct Pki {
    folder: tempfile::TempDir,
    ca: CertifiedIssuer<'static, KeyPair>,
}

impl Pki {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), ca.pem()).unwrap();
        Self { folder, ca }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `<name>.pem` and `<name>.key`, for `localhost`.
    fn sign(&self, name: &str) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.ca).unwrap();
        std::fs::write(self.file(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(self.file(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    fn listener(&self, client_ca: bool) -> ListenerTls {
        ListenerTls {
            cert_file: self.file("server.pem"),
            key_file: self.file("server.key"),
            client_ca_file: client_ca.then(|| self.file("ca.pem")),
        }
    }
}

fn connector(ca: &Path, identity: Option<(&Path, &Path)>) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(ca).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(certificate).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap(),
    };
    TlsConnector::from(Arc::new(config))
}

#[tokio::test]
async fn a_listener_with_a_client_ca_serves_only_its_clients() {
    let pki = Pki::new();
    pki.sign("server");
    pki.sign("client");
    let config = server_config(&pki.listener(true)).unwrap();
    let slot = Arc::new(ArcSwap::new(config));
    let serving = serve(plan(""), Bounds::default(), Some(slot), echo).await;
    let name = ServerName::try_from("localhost").unwrap();

    let (certificate, key) = (pki.file("client.pem"), pki.file("client.key"));
    let known = connector(&pki.file("ca.pem"), Some((&certificate, &key)));
    let stream = TcpStream::connect(serving.address).await.unwrap();
    let stream = known.connect(name.clone(), stream).await.unwrap();
    let mut connection = Connection::over(stream);
    assert_eq!(connection.get("/v1/x").await.status, 200);

    // In TLS 1.3 the client's handshake ends before the server has looked: the refusal is read.
    let stranger = connector(&pki.file("ca.pem"), None);
    let stream = TcpStream::connect(serving.address).await.unwrap();
    match stranger.connect(name, stream).await {
        Err(_) => {}
        Ok(stream) => assert!(Connection::over(stream).is_closed().await),
    }
}

#[tokio::test]
async fn a_swapped_certificate_serves_the_next_connection() {
    let (old, new) = (Pki::new(), Pki::new());
    old.sign("server");
    new.sign("server");
    let slot = Arc::new(ArcSwap::new(server_config(&old.listener(false)).unwrap()));
    let serving = serve(plan(""), Bounds::default(), Some(slot.clone()), echo).await;
    let name = ServerName::try_from("localhost").unwrap();
    let trusts_new = connector(&new.file("ca.pem"), None);

    let stream = TcpStream::connect(serving.address).await.unwrap();
    assert!(trusts_new.connect(name.clone(), stream).await.is_err());
    slot.store(server_config(&new.listener(false)).unwrap());
    let stream = TcpStream::connect(serving.address).await.unwrap();
    let stream = trusts_new.connect(name, stream).await.unwrap();
    assert_eq!(Connection::over(stream).get("/v1/x").await.status, 200);
}

#[test]
fn a_key_that_does_not_fit_is_told_by_its_files() {
    let pki = Pki::new();
    pki.sign("server");
    pki.sign("other");
    let mut files = pki.listener(false);
    files.key_file = pki.file("other.key");
    let error = format!("{:#}", server_config(&files).unwrap_err());
    assert!(
        error.contains("server.pem") && error.contains("other.key"),
        "{error}"
    );
}
