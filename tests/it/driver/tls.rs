//! TLS of every age, and certificates of every sort.

use cmp_relay::driver::https::tls::check;
use cmp_relay::driver::{Phase, SendOutcome};
use cmp_relay::plan::{ClientCert, TlsVersion};
use openssl::ssl::{SslAcceptorBuilder, SslOptions, SslVerifyMode, SslVersion};
use openssl::x509::store::X509StoreBuilder;
use tempfile::TempDir;

use super::*;
use crate::support::certs::{Identity, Wanted, authority, self_signed};
use crate::support::fake_backend::Reply;

/// A backend with this identity, and a folder for the files that the driver reads.
struct Site {
    backend: FakeBackend,
    folder: TempDir,
}

impl Site {
    fn new(identity: &Identity) -> Self {
        Self::with(identity, |_| {})
    }

    fn with(identity: &Identity, set: impl FnOnce(&mut SslAcceptorBuilder)) -> Self {
        let backend = FakeBackend::start_tls(identity.acceptor_with(set));
        backend.on("POST /v1/rules", Reply::text(201, "made"));
        Self {
            backend,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn trusting(&self, ca: &Identity) -> BackendTls {
        BackendTls {
            ca_file: Some(ca.certificate_file(&self.folder, "ca.pem")),
            ..BackendTls::default()
        }
    }

    async fn call(&self, tls: BackendTls) -> Result<Answer, DriverError> {
        let mut spec = spec(&self.backend, Auth::None);
        spec.tls = tls;
        let driver = HttpsDriver::new(&spec, &limits()).expect("the driver can be made");
        post(&driver, "/v1/rules").await
    }

    async fn succeeds(&self, tls: BackendTls) {
        let answer = self.call(tls).await.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (201, &b"made"[..]));
    }

    /// It fails before anything is sent, and says each of these.
    async fn fails(&self, tls: BackendTls, words: &[&str]) {
        let error = self.call(tls).await.unwrap_err();
        assert_eq!(
            (error.outcome, error.phase),
            (SendOutcome::NotSent, Phase::Tls)
        );
        assert_eq!((error.sends, self.backend.count("*")), (0, 0));
        for word in words {
            assert!(
                error.detail.contains(word),
                "no `{word}` in: {}",
                error.detail
            );
        }
    }
}

#[tokio::test]
async fn a_certificate_of_the_named_ca_is_accepted() {
    let ca = authority();
    let site = Site::new(&ca.issue(&Wanted::default()));
    site.succeeds(site.trusting(&ca)).await;
}

#[tokio::test]
async fn a_certificate_of_another_ca_is_refused() {
    let (ca, other) = (authority(), authority());
    let site = Site::new(&ca.issue(&Wanted::default()));
    site.fails(
        site.trusting(&other),
        &["CA", "CN=appliance", "tls.ca_file"],
    )
    .await;
    site.fails(BackendTls::default(), &["unknown CA"]).await;
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused_with_the_names_found() {
    let ca = authority();
    let site = Site::new(&ca.issue(&Wanted {
        dns: vec!["fw-1.example.net", "fw-1"],
        ip: vec!["192.0.2.1"],
        ..Wanted::default()
    }));
    let words = [
        "`127.0.0.1`",
        "`fw-1.example.net`",
        "`fw-1`",
        "`192.0.2.1`",
        "tls.server_name",
    ];
    site.fails(site.trusting(&ca), &words).await;
    let named = BackendTls {
        server_name: Some("fw-1.example.net".into()),
        ..site.trusting(&ca)
    };
    site.succeeds(named).await;
}

#[tokio::test]
async fn the_server_name_is_sent_and_an_address_is_not() {
    for (server_name, sent) in [
        (Some("fw-1.example.net"), Some("fw-1.example.net")),
        (None, None),
    ] {
        let ca = authority();
        let (tell, told) = std::sync::mpsc::channel();
        let wanted = Wanted {
            dns: vec!["fw-1.example.net"],
            ..Wanted::default()
        };
        let tell = std::sync::Mutex::new(tell);
        let site = Site::with(&ca.issue(&wanted), |builder| {
            builder.set_servername_callback(move |ssl, _| {
                let name = ssl.servername(openssl::ssl::NameType::HOST_NAME);
                tell.lock().unwrap().send(name.map(str::to_owned)).unwrap();
                Ok(())
            });
        });
        let tls = BackendTls {
            server_name: server_name.map(Into::into),
            ..site.trusting(&ca)
        };
        site.succeeds(tls).await;
        assert_eq!(told.recv().unwrap().as_deref(), sent);
    }
}

#[tokio::test]
async fn a_common_name_alone_still_counts() {
    let ca = authority();
    let site = Site::new(&ca.issue(&Wanted {
        common_name: "old.example.net",
        ip: Vec::new(),
        ..Wanted::default()
    }));
    let tls = BackendTls {
        server_name: Some("old.example.net".into()),
        ..site.trusting(&ca)
    };
    site.succeeds(tls).await;
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let ca = authority();
    let site = Site::new(&ca.issue(&Wanted {
        days: -1,
        ..Wanted::default()
    }));
    site.fails(site.trusting(&ca), &["has expired", "CN=appliance"])
        .await;
}

#[tokio::test]
async fn a_pin_decides_alone() {
    // Expired, for another name, of nobody's CA: the pin is what the operator vouches for.
    let leaf = self_signed(&Wanted {
        days: -1,
        ip: Vec::new(),
        ..Wanted::default()
    });
    let site = Site::new(&leaf);
    let pinned = |pin| BackendTls {
        pin_sha256: vec![[0; 32], pin],
        ..BackendTls::default()
    };
    site.succeeds(pinned(leaf.sha256())).await;
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_refused_though_its_ca_is_known() {
    let ca = authority();
    let leaf = ca.issue(&Wanted::default());
    let site = Site::new(&leaf);
    let tls = BackendTls {
        pin_sha256: vec![[7; 32]],
        ..site.trusting(&ca)
    };
    let found: String = leaf
        .sha256()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    site.fails(tls, &["not the pinned one", &found]).await;
}

#[tokio::test]
async fn verification_can_be_turned_off_for_a_reason() {
    let site = Site::new(&self_signed(&Wanted {
        days: -1,
        ip: Vec::new(),
        ..Wanted::default()
    }));
    let tls = BackendTls {
        unverified: Some("a laboratory".into()),
        ..BackendTls::default()
    };
    site.succeeds(tls).await;
}

#[tokio::test]
async fn a_self_signed_certificate_that_says_ca_is_accepted_when_it_is_trusted() {
    let leaf = self_signed(&Wanted {
        ca: true,
        ..Wanted::default()
    });
    let site = Site::new(&leaf);
    site.succeeds(site.trusting(&leaf)).await;
    site.succeeds(BackendTls {
        legacy: true,
        ..site.trusting(&leaf)
    })
    .await;
}

#[tokio::test]
async fn a_version_1_certificate_is_accepted_when_it_is_trusted_or_pinned() {
    let leaf = self_signed(&Wanted {
        common_name: "old.example.net",
        v1: true,
        rsa: Some(2048),
        ..Wanted::default()
    });
    let site = Site::new(&leaf);
    site.succeeds(BackendTls {
        server_name: Some("old.example.net".into()),
        ..site.trusting(&leaf)
    })
    .await;
    site.succeeds(BackendTls {
        pin_sha256: vec![leaf.sha256()],
        ..BackendTls::default()
    })
    .await;
}

/// A backend that wants a certificate of `ca`, up to this version of TLS.
fn wanting_a_certificate(ca: &Identity, version: SslVersion) -> Site {
    Site::with(&ca.issue(&Wanted::default()), |builder| {
        let mut store = X509StoreBuilder::new().unwrap();
        store.add_cert(ca.certificate.clone()).unwrap();
        builder.set_verify_cert_store(store.build()).unwrap();
        builder.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        builder.set_max_proto_version(Some(version)).unwrap();
    })
}

#[tokio::test]
async fn a_client_certificate_is_shown_when_there_is_one() {
    let ca = authority();
    let ours = ca.issue(&Wanted {
        common_name: "relay",
        ..Wanted::default()
    });
    for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
        let site = wanting_a_certificate(&ca, version);
        let tls = BackendTls {
            client_cert: Some(ClientCert {
                cert_file: ours.certificate_file(&site.folder, "relay.pem"),
                key_file: ours.key_file(&site.folder, "relay.key"),
            }),
            ..site.trusting(&ca)
        };
        site.succeeds(tls).await;
    }
}

#[tokio::test]
async fn a_missing_client_certificate_is_told_and_the_call_did_not_run() {
    let ca = authority();
    let site = wanting_a_certificate(&ca, SslVersion::TLS1_2);
    site.fails(site.trusting(&ca), &["handshake", "client_cert"])
        .await;
    // In TLS 1.3 the refusal comes just before or just after the request is on its way.
    let site = wanting_a_certificate(&ca, SslVersion::TLS1_3);
    let error = site.call(site.trusting(&ca)).await.unwrap_err();
    assert_eq!(error.phase, Phase::Tls, "{error}");
    match error.sends {
        0 => assert_eq!(error.outcome, SendOutcome::NotSent),
        _ => assert_eq!(error.outcome, SendOutcome::Unauthorized),
    }
    assert!(error.detail.contains("tls.client_cert"), "{}", error.detail);
    assert_eq!(site.backend.count("*"), 0);
}

#[tokio::test]
async fn a_key_of_another_certificate_is_found_before_the_first_call() {
    let ca = authority();
    let folder = tempfile::tempdir().unwrap();
    let tls = BackendTls {
        ca_file: Some(ca.certificate_file(&folder, "ca.pem")),
        client_cert: Some(ClientCert {
            cert_file: ca.certificate_file(&folder, "relay.pem"),
            key_file: authority().key_file(&folder, "relay.key"),
        }),
        ..BackendTls::default()
    };
    let message = check(&tls).unwrap_err();
    assert!(message.contains("tls.client_cert"), "{message}");
    assert!(message.contains("relay.key"), "{message}");
}

#[tokio::test]
async fn a_backend_below_the_minimum_version_is_refused() {
    let ca = authority();
    let site = Site::with(&ca.issue(&Wanted::default()), |builder| {
        builder
            .set_max_proto_version(Some(SslVersion::TLS1_2))
            .unwrap();
    });
    let tls = BackendTls {
        min_version: Some(TlsVersion::Tls13),
        ..site.trusting(&ca)
    };
    site.fails(tls, &["handshake failed", "offered TLS 1.3"])
        .await;
    site.succeeds(site.trusting(&ca)).await;
}

/// A server that speaks TLS 1.0 and nothing else.
fn tls10(builder: &mut SslAcceptorBuilder) {
    builder.clear_options(SslOptions::NO_TLSV1);
    builder
        .set_min_proto_version(Some(SslVersion::TLS1))
        .unwrap();
    builder
        .set_max_proto_version(Some(SslVersion::TLS1))
        .unwrap();
    builder.set_cipher_list("ALL:@SECLEVEL=0").unwrap();
}

#[tokio::test]
async fn tls_1_0_is_spoken_by_the_legacy_profile_alone_and_verified_all_the_same() {
    let ca = authority();
    let site = Site::with(
        &ca.issue(&Wanted {
            rsa: Some(1024),
            ..Wanted::default()
        }),
        tls10,
    );
    site.fails(
        site.trusting(&ca),
        &["profile: legacy", "offered TLS 1.2 to TLS 1.3"],
    )
    .await;
    let legacy = |ca| BackendTls {
        legacy: true,
        ..site.trusting(ca)
    };
    site.succeeds(legacy(&ca)).await;
}

#[tokio::test]
async fn a_wrong_ca_is_refused_in_the_legacy_profile_too() {
    let site = Site::with(
        &authority().issue(&Wanted {
            rsa: Some(2048),
            ..Wanted::default()
        }),
        tls10,
    );
    let tls = BackendTls {
        legacy: true,
        ..site.trusting(&authority())
    };
    site.fails(tls, &["CA"]).await;
}

#[tokio::test]
async fn rsa_key_exchange_with_cbc_is_spoken_where_it_is_asked_for() {
    let ca = authority();
    let wanted = Wanted {
        rsa: Some(2048),
        ..Wanted::default()
    };
    let site = Site::with(&ca.issue(&wanted), |builder| {
        builder
            .set_max_proto_version(Some(SslVersion::TLS1_2))
            .unwrap();
        builder.set_cipher_list("AES128-SHA").unwrap();
    });
    site.fails(site.trusting(&ca), &["no cipher in common"])
        .await;
    let named = BackendTls {
        ciphers: vec!["AES128-SHA".into()],
        ..site.trusting(&ca)
    };
    site.succeeds(named).await;
    let legacy = BackendTls {
        legacy: true,
        ..site.trusting(&ca)
    };
    site.succeeds(legacy).await;
}

#[tokio::test]
async fn a_port_that_speaks_no_tls_is_told_apart() {
    let backend = FakeBackend::start();
    backend.on("*", Reply::status(200));
    let mut spec = spec(&backend, Auth::None);
    spec.url.https = true;
    spec.tls.unverified = Some("a test".into());
    let driver = HttpsDriver::new(&spec, &limits()).unwrap();
    let error = post(&driver, "/v1/rules").await.unwrap_err();
    assert_eq!(
        (error.outcome, error.phase),
        (SendOutcome::NotSent, Phase::Tls)
    );
    assert!(
        error.detail.contains("does not speak TLS"),
        "{}",
        error.detail
    );
}

#[tokio::test]
async fn connections_over_tls_are_reused_and_their_end_is_seen() {
    let ca = authority();
    let site = Site::new(&ca.issue(&Wanted::default()));
    let mut spec = spec(&site.backend, Auth::None);
    spec.tls = site.trusting(&ca);
    let driver = HttpsDriver::new(&spec, &limits()).unwrap();
    for _ in 0..3 {
        post(&driver, "/v1/rules").await.unwrap();
    }
    assert_eq!(site.backend.connections(), 1);
    site.backend.drop_connections();
    site.backend.wait_for_open(0).await;
    post(&driver, "/v1/rules").await.unwrap();
    assert_eq!(site.backend.connections(), 2);
    assert_eq!(site.backend.count("*"), 4);
}

#[tokio::test]
async fn a_reset_over_tls_is_unknown() {
    let ca = authority();
    let site = Site::new(&ca.issue(&Wanted::default()));
    site.backend.once("POST /v1/rules", Reply::reset());
    let error = site.call(site.trusting(&ca)).await.unwrap_err();
    assert_eq!((error.outcome, error.sends), (SendOutcome::Unknown, 1));
    assert_eq!(site.backend.count("*"), 1);
}

#[tokio::test]
async fn a_probe_says_what_was_negotiated_and_sends_no_call() {
    let ca = authority();
    let leaf = ca.issue(&Wanted::default());
    let site = Site::new(&leaf);
    let mut spec = spec(&site.backend, Auth::None);
    spec.tls = site.trusting(&ca);
    let driver = HttpsDriver::new(&spec, &limits()).unwrap();
    let probe = driver.probe(&clearance(false)).await;
    assert!(probe.failed.is_none(), "{probe:?}");
    let phases: Vec<_> = probe.found.iter().map(|found| found.phase).collect();
    assert_eq!(phases, [Phase::Connect, Phase::Tls, Phase::Authenticate]);
    let tls = &probe.found[1].what;
    let pin: String = leaf
        .sha256()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for word in ["TLSv1.3 with TLS_", "`CN=appliance`", "`127.0.0.1`", &pin] {
        assert!(tls.contains(word), "no `{word}` in: {tls}");
    }
    assert_eq!(site.backend.count("*"), 0);
}

#[tokio::test]
async fn a_probe_names_the_first_step_that_fails() {
    let site = Site::new(&authority().issue(&Wanted::default()));
    let mut spec = spec(&site.backend, Auth::None);
    spec.tls = site.trusting(&authority());
    let driver = HttpsDriver::new(&spec, &limits()).unwrap();
    let failed = driver.probe(&clearance(false)).await.failed.unwrap();
    assert_eq!((failed.phase, failed.sends), (Phase::Tls, 0));
}
