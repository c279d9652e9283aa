//! Logging in: every way, in the order of the file, and what is said when none is right.

use std::sync::Arc;
use std::time::Duration;

use cmp_relay::driver::ssh::connections::Connections;
use cmp_relay::driver::{AuthState, DriverError, ExecCommand, Phase, Probe, SendOutcome};
use cmp_relay::plan::{SshAccess, SshAuth};
use cmp_relay::secret::Secret;

use crate::support::sshd::{PASSPHRASE, PASSWORD, Sshd, leave, limits, password};

const LONG: Duration = Duration::from_secs(30);

/// Only PAM asks, in rounds, one of them empty, and only one session at a time.
const PROMPTS: [&str; 4] = [
    "UsePAM yes",
    "PasswordAuthentication no",
    "KbdInteractiveAuthentication yes",
    "MaxSessions 1",
];

fn connections(sshd: &Sshd, auth: Vec<SshAuth>) -> Connections {
    let access = SshAccess {
        auth,
        ..sshd.access()
    };
    Connections::new(&Arc::new(access), &limits()).unwrap()
}

async fn whoami(connections: &Connections) -> Result<String, DriverError> {
    let command = ExecCommand {
        command: "id -un".into(),
        stdin: None,
    };
    let answer = connections.exec(&command, &leave(LONG)).await?;
    Ok(String::from_utf8(answer.body.to_vec()).unwrap())
}

fn key(sshd: &Sshd, name: &str) -> SshAuth {
    SshAuth::PrivateKey {
        key: sshd.key(&format!("keys/{name}")),
        passphrase: name
            .starts_with("locked")
            .then(|| Secret::new(PASSPHRASE.into(), "env PASSPHRASE")),
    }
}

fn wrong() -> Secret {
    Secret::new("hunter2".into(), "env WRONG")
}

fn steps(probe: &Probe) -> Vec<&str> {
    probe.found.iter().map(|found| &*found.what).collect()
}

#[tokio::test]
async fn keys_of_every_format_let_in() {
    let Some(sshd) = Sshd::start(&["PasswordAuthentication no"]).await else {
        return;
    };
    assert_eq!(sshd.order("keys"), "done");
    for name in [
        "ed25519",
        "locked_ed25519",
        "rsa",
        "locked_pem_rsa",
        "pem_ecdsa",
        "locked_pkcs8_rsa",
    ] {
        let connections = connections(&sshd, vec![key(&sshd, name)]);
        assert_eq!(whoami(&connections).await.unwrap(), "relay-ssh\n", "{name}");
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_read_is_told_by_its_reference() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    assert_eq!(sshd.order("keys"), "done");
    let make = |key: &str, passphrase: Option<&str>| {
        let access = SshAccess {
            auth: vec![SshAuth::PrivateKey {
                key: sshd.key(key),
                passphrase: passphrase.map(|text| Secret::new(text.into(), "env LOCK")),
            }],
            ..sshd.access()
        };
        Connections::new(&Arc::new(access), &limits()).unwrap_err()
    };
    assert_eq!(
        make("keys/locked_ed25519", None),
        "the private key (file keys/locked_ed25519) is locked, and there is no `passphrase`"
    );
    assert_eq!(
        make("keys/locked_pem_rsa", None),
        "the private key (file keys/locked_pem_rsa) is locked, and there is no `passphrase`"
    );
    for name in ["locked_ed25519", "locked_pem_rsa", "locked_pkcs8_rsa"] {
        let error = make(&format!("keys/{name}"), Some("hunter2"));
        let expected = format!(
            "the private key (file keys/{name}) cannot be unlocked with its passphrase (env LOCK)"
        );
        assert_eq!(error, expected);
    }
    assert_eq!(
        make("hostkey_rsa.pub", None),
        "the private key (file hostkey_rsa.pub) cannot be read: it is neither OpenSSH's format nor PEM"
    );
}

#[tokio::test]
async fn prompts_are_answered_round_by_round() {
    let Some(sshd) = Sshd::start(&PROMPTS).await else {
        return;
    };
    let connections = connections(&sshd, vec![SshAuth::KeyboardInteractive(password())]);
    assert_eq!(whoami(&connections).await.unwrap(), "relay-ssh\n");
}

#[tokio::test]
async fn ways_that_are_not_offered_are_passed_over() {
    let Some(sshd) = Sshd::start(&PROMPTS).await else {
        return;
    };
    let auth = vec![
        SshAuth::Password(wrong()),
        SshAuth::KeyboardInteractive(password()),
    ];
    let probe = connections(&sshd, auth).probe(&leave(LONG)).await;
    assert!(probe.failed.is_none(), "{:?}", probe.failed);
    let steps = steps(&probe);
    assert!(
        steps.contains(&"the server takes publickey, keyboard-interactive"),
        "{steps:?}"
    );
    assert!(
        steps.contains(&"`relay-ssh` was let in by keyboard-interactive"),
        "{steps:?}"
    );
}

#[tokio::test]
async fn the_order_of_the_file_counts_and_a_wrong_key_is_no_end() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    assert_eq!(sshd.order("keys"), "done");
    let auth = vec![key(&sshd, "stranger"), SshAuth::Password(password())];
    let probe = connections(&sshd, auth).probe(&leave(LONG)).await;
    assert!(probe.failed.is_none(), "{:?}", probe.failed);
    assert!(steps(&probe).contains(&"`relay-ssh` was let in by password"));
}

#[tokio::test]
async fn two_factors_are_given_one_after_the_other() {
    let Some(sshd) = Sshd::start(&["AuthenticationMethods publickey,password"]).await else {
        return;
    };
    assert_eq!(sshd.order("keys"), "done");
    // In the file the password stands first; the server wants it last.
    let auth = vec![SshAuth::Password(password()), key(&sshd, "ed25519")];
    let probe = connections(&sshd, auth).probe(&leave(LONG)).await;
    assert!(probe.failed.is_none(), "{:?}", probe.failed);
    assert!(steps(&probe).contains(&"`relay-ssh` was let in by publickey and password"));

    let half = connections(&sshd, vec![key(&sshd, "ed25519")]);
    let error = whoami(&half).await.unwrap_err();
    assert_eq!(
        error.detail,
        "the server did not let `relay-ssh` in; it takes publickey; publickey was right but not enough"
    );
}

#[tokio::test]
async fn a_wrong_password_is_sent_once_and_then_rested() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let connections = Arc::new(connections(&sshd, vec![SshAuth::Password(wrong())]));
    assert_eq!(connections.auth_state(), AuthState::LoggedOut);
    // Several calls at once share the one login.
    let calls: Vec<_> = (0..4)
        .map(|_| {
            let connections = Arc::clone(&connections);
            tokio::spawn(async move { whoami(&connections).await.unwrap_err() })
        })
        .collect();
    for call in calls {
        let error = call.await.unwrap();
        assert_eq!(error.outcome, SendOutcome::Unauthorized);
        assert_eq!((error.phase, error.sends), (Phase::Authenticate, 0));
        assert!(
            error.detail.starts_with(
                "the server did not let `relay-ssh` in; it takes publickey, password; password was \
                 refused"
            ),
            "{}",
            error.detail
        );
        assert!(!error.detail.contains("hunter2"));
    }
    let AuthState::BackingOff { detail, .. } = connections.auth_state() else {
        panic!("{:?}", connections.auth_state());
    };
    assert!(detail.contains("password was refused"));
    assert_eq!(sshd.log().matches("Failed password").count(), 1);
    assert!(!format!("{connections:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_wrong_answer_to_a_prompt_is_given_once() {
    let Some(sshd) = Sshd::start(&PROMPTS).await else {
        return;
    };
    let connections = connections(&sshd, vec![SshAuth::KeyboardInteractive(wrong())]);
    let error = whoami(&connections).await.unwrap_err();
    assert_eq!(error.outcome, SendOutcome::Unauthorized);
    assert!(
        error.detail.contains("keyboard-interactive"),
        "{}",
        error.detail
    );
    assert!(!error.detail.contains("hunter2"));
    let failures = sshd.log().matches("Failed keyboard-interactive").count();
    assert!(failures <= 1, "{}", sshd.log());
}

#[tokio::test]
async fn no_way_that_is_offered_is_told_with_what_is() {
    let Some(sshd) = Sshd::start(&["PasswordAuthentication no"]).await else {
        return;
    };
    let connections = connections(&sshd, vec![SshAuth::Password(password())]);
    let error = whoami(&connections).await.unwrap_err();
    assert_eq!(
        error.detail,
        "the server did not let `relay-ssh` in; it takes publickey; password is not offered"
    );
    assert!(!sshd.log().contains(PASSWORD));
}
