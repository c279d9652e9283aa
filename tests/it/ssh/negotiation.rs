//! Algorithms: what both sides have in common, and what is said when they have nothing.

use std::sync::Arc;
use std::time::Duration;

use cmp_relay::driver::ssh::connections::Connections;
use cmp_relay::driver::{ExecCommand, Phase, SendOutcome};
use cmp_relay::plan::{Algorithms, HostKey, SshAccess};

use crate::support::sshd::{Sshd, leave, limits, pin};

const LONG: Duration = Duration::from_secs(30);

/// What a switch of the year 2008 has.
const LEGACY: [&str; 4] = [
    "KexAlgorithms diffie-hellman-group14-sha1,diffie-hellman-group1-sha1",
    "HostKeyAlgorithms ssh-rsa",
    "Ciphers aes128-cbc,3des-cbc",
    "MACs hmac-sha1",
];

fn connections(access: SshAccess) -> Connections {
    Connections::new(&Arc::new(access), &limits()).unwrap()
}

fn legacy(sshd: &Sshd) -> SshAccess {
    SshAccess {
        algorithms: Algorithms::legacy(),
        host_key: HostKey::Pinned(vec![pin(&sshd.fingerprint("rsa"))]),
        ..sshd.access()
    }
}

async fn works(connections: &Connections) {
    let command = ExecCommand {
        command: "echo hello".into(),
        stdin: None,
    };
    let answer = connections.exec(&command, &leave(LONG)).await.unwrap();
    assert_eq!(answer.body, "hello\n");
}

#[tokio::test]
async fn an_old_server_is_spoken_to_in_its_own_way() {
    let Some(sshd) = Sshd::start(&LEGACY).await else {
        return;
    };
    works(&connections(legacy(&sshd))).await;
    let probe = connections(legacy(&sshd)).probe(&leave(LONG)).await;
    let negotiated = probe
        .found
        .iter()
        .find(|found| found.what.starts_with("key exchange"));
    assert_eq!(
        negotiated.unwrap().what,
        "key exchange diffie-hellman-group14-sha1, host key algorithm ssh-rsa, cipher aes128-cbc, MAC \
         hmac-sha1"
    );
}

#[tokio::test]
async fn the_oldest_of_each_kind_works() {
    let lines = [
        "KexAlgorithms diffie-hellman-group1-sha1",
        "HostKeyAlgorithms ssh-rsa",
        "Ciphers 3des-cbc",
        "MACs hmac-sha1",
    ];
    let Some(sshd) = Sshd::start(&lines).await else {
        return;
    };
    works(&connections(legacy(&sshd))).await;
}

#[tokio::test]
async fn groups_are_exchanged_with_a_server_that_has_only_those() {
    let Some(sshd) = Sshd::start(&["KexAlgorithms diffie-hellman-group-exchange-sha1"]).await
    else {
        return;
    };
    works(&connections(legacy_host_key(&sshd))).await;
}

fn legacy_host_key(sshd: &Sshd) -> SshAccess {
    SshAccess {
        algorithms: Algorithms::legacy(),
        ..sshd.access()
    }
}

#[tokio::test]
async fn a_disagreement_names_both_lists_and_sends_nothing() {
    let Some(sshd) = Sshd::start(&LEGACY).await else {
        return;
    };
    let modern = connections(sshd.access());
    let command = ExecCommand {
        command: "true".into(),
        stdin: None,
    };
    let error = modern.exec(&command, &leave(LONG)).await.unwrap_err();
    assert_eq!(error.outcome, SendOutcome::NotSent);
    assert_eq!(error.phase, Phase::Negotiate);
    for words in [
        "no key exchange in common: we offer mlkem768x25519-sha256, curve25519-sha256",
        "the server offers diffie-hellman-group14-sha1, diffie-hellman-group1-sha1",
        "`algorithms: legacy`, or a list with diffie-hellman-group14-sha1",
        "(SSH-2.0-OpenSSH_",
    ] {
        assert!(
            error.detail.contains(words),
            "{words} is not in {}",
            error.detail
        );
    }
    assert!(!error.detail.contains("kex-strict"), "{}", error.detail);
}

#[tokio::test]
async fn a_list_of_ones_own_is_offered_alone() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let access = SshAccess {
        algorithms: Algorithms {
            kex: vec!["ecdh-sha2-nistp384".into()],
            host_key: vec!["rsa-sha2-256".into()],
            cipher: vec!["aes192-ctr".into()],
            mac: vec!["hmac-sha2-512".into()],
        },
        host_key: HostKey::Pinned(vec![pin(&sshd.fingerprint("rsa"))]),
        ..sshd.access()
    };
    let connections = connections(access);
    let probe = connections.probe(&leave(LONG)).await;
    assert!(probe.failed.is_none(), "{:?}", probe.failed);
    let negotiated = "key exchange ecdh-sha2-nistp384, host key algorithm rsa-sha2-256, cipher \
                      aes192-ctr, MAC hmac-sha2-512";
    assert!(
        probe.found.iter().any(|found| found.what == negotiated),
        "{:?}",
        probe.found
    );
    works(&connections).await;
}

#[tokio::test]
async fn what_does_not_speak_ssh_is_told_by_its_phase() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let (mut stream, _) = listener.accept().await.unwrap();
        stream
            .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    });
    let access = |port: u16| SshAccess {
        host: "127.0.0.1".into(),
        port,
        user: "nobody".into(),
        auth: vec![cmp_relay::plan::SshAuth::Password(
            crate::support::sshd::password(),
        )],
        host_key: HostKey::Pinned(vec![[0; 32]]),
        algorithms: Algorithms::modern(),
        channels: 8,
    };
    let probe = connections(access(port)).probe(&leave(LONG)).await;
    server.await.unwrap();
    let failed = probe.failed.unwrap();
    assert_eq!(
        (failed.phase, failed.outcome),
        (Phase::Negotiate, SendOutcome::NotSent)
    );
    assert_eq!(probe.found.len(), 2, "{:?}", probe.found);

    // Nobody listens there now.
    let failed = connections(access(port))
        .probe(&leave(LONG))
        .await
        .failed
        .unwrap();
    assert_eq!(
        (failed.phase, failed.outcome),
        (Phase::Connect, SendOutcome::NotSent)
    );
    assert!(
        failed.detail.contains(&format!("127.0.0.1:{port}: ")),
        "{}",
        failed.detail
    );
}
