//! Host keys: judged before anything secret is sent, recorded once under `tofu`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cmp_relay::driver::ssh::connections::{Connections, HostKeys};
use cmp_relay::driver::{Async, DriverError, ExecCommand, Phase, SendOutcome};
use cmp_relay::plan::{HostKey, SshAccess};
use cmp_relay::telemetry::metrics;

use crate::support::sshd::{Sshd, leave, limits, pin};

const LONG: Duration = Duration::from_secs(30);

/// A table of host keys in memory.
#[derive(Debug, Default)]
struct Table(Mutex<HashMap<String, String>>);

impl HostKeys for Table {
    fn recorded<'a>(&'a self, backend: &'a str) -> Async<'a, Result<Option<String>, String>> {
        let found = self.0.lock().unwrap().get(backend).cloned();
        Box::pin(async { Ok(found) })
    }

    fn record<'a>(&'a self, backend: &'a str, key: &'a str) -> Async<'a, Result<String, String>> {
        let mut table = self.0.lock().unwrap();
        let now = table
            .entry(backend.to_owned())
            .or_insert(key.to_owned())
            .clone();
        Box::pin(async { Ok(now) })
    }
}

fn connections(sshd: &Sshd, host_key: HostKey) -> Connections {
    let access = SshAccess {
        host_key,
        ..sshd.access()
    };
    Connections::new(&Arc::new(access), &limits()).unwrap()
}

fn tofu(sshd: &Sshd, backend: &str, table: &Arc<Table>) -> Connections {
    let mut connections = connections(sshd, HostKey::Tofu);
    connections.record_host_keys(backend, Some(Arc::clone(table) as Arc<dyn HostKeys>));
    connections
}

async fn call(connections: &Connections) -> Result<(), DriverError> {
    let command = ExecCommand {
        command: "true".into(),
        stdin: None,
    };
    connections.exec(&command, &leave(LONG)).await.map(drop)
}

/// Refused at the host key, with nothing sent and nobody logged in.
fn assert_refused(sshd: &Sshd, error: &DriverError) {
    assert_eq!(error.phase, Phase::HostKey);
    assert_eq!((error.outcome, error.sends), (SendOutcome::NotSent, 0));
    let log = sshd.log();
    for words in ["Failed password", "Accepted password", "userauth-request"] {
        assert!(!log.contains(words), "{words} in {log}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_the_pinned_one_gets_no_password() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let mut connections = connections(&sshd, HostKey::Pinned(vec![[7; 32]]));
    connections.record_host_keys("pinned-fw", None);
    let error = call(&connections).await.unwrap_err();
    assert_refused(&sshd, &error);
    let shown = format!("ssh-ed25519 {}", sshd.fingerprint("ed25519"));
    assert!(error.detail.contains(&shown), "{}", error.detail);
    let pinned = "SHA256:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc is pinned";
    assert!(error.detail.contains(pinned), "{}", error.detail);
    let page = metrics::page();
    let line = r#"cmp_relay_host_key_mismatches_total{backend="pinned-fw"} 1"#;
    assert!(page.contains(line), "{page}");
}

#[tokio::test]
async fn one_of_several_pinned_keys_is_enough() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let right = pin(&sshd.fingerprint("ed25519"));
    call(&connections(&sshd, HostKey::Pinned(vec![[7; 32], right])))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_first_key_is_recorded_and_another_one_refused() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let table = Arc::new(Table::default());

    // A look changes nothing.
    let look = tofu(&sshd, "sw-1", &table).probe(&leave(LONG)).await;
    assert!(look.failed.is_none(), "{:?}", look.failed);
    let told = format!(
        "the host key is ssh-ed25519 {}, which nobody has recorded yet",
        sshd.fingerprint("ed25519")
    );
    assert!(
        look.found.iter().any(|found| found.what.starts_with(&told)),
        "{:?}",
        look.found
    );
    assert!(table.0.lock().unwrap().is_empty());

    call(&tofu(&sshd, "sw-1", &table)).await.unwrap();
    let first = format!("ssh-ed25519 {}", sshd.fingerprint("ed25519"));
    assert_eq!(table.0.lock().unwrap()["sw-1"], first);
    call(&tofu(&sshd, "sw-1", &table)).await.unwrap();

    assert_eq!(sshd.order("rekey"), "done");
    let error = call(&tofu(&sshd, "sw-1", &table)).await.unwrap_err();
    assert_refused(&sshd, &error);
    let second = format!("ssh-ed25519 {}", sshd.fingerprint("ed25519"));
    assert_ne!(first, second);
    for words in [&first, &second, "cmp-relay host-keys forget sw-1"] {
        assert!(
            error.detail.contains(words),
            "{words} is not in {}",
            error.detail
        );
    }
    // The record stays what it was, and another backend's is its own.
    assert_eq!(table.0.lock().unwrap()["sw-1"], first);
    call(&tofu(&sshd, "sw-2", &table)).await.unwrap();
}

/// A table in which another connection records its key between the look and the record.
#[derive(Debug)]
struct Overtaken(String);

impl HostKeys for Overtaken {
    fn recorded<'a>(&'a self, _: &'a str) -> Async<'a, Result<Option<String>, String>> {
        Box::pin(async { Ok(None) })
    }

    fn record<'a>(&'a self, _: &'a str, _: &'a str) -> Async<'a, Result<String, String>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

#[tokio::test]
async fn of_two_first_keys_the_recorded_one_counts() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let overtaken = |key: String| {
        let mut connections = connections(&sshd, HostKey::Tofu);
        connections.record_host_keys("sw-1", Some(Arc::new(Overtaken(key))));
        connections
    };
    let other = overtaken("ssh-ed25519 SHA256:another".into());
    let error = call(&other).await.unwrap_err();
    assert_refused(&sshd, &error);
    let same = format!("ssh-ed25519 {}", sshd.fingerprint("ed25519"));
    call(&overtaken(same)).await.unwrap();
}

#[tokio::test]
async fn the_kind_of_key_that_is_recorded_is_asked_for_first() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let table = Arc::new(Table::default());
    let rsa = format!("ssh-rsa {}", sshd.fingerprint("rsa"));
    table.0.lock().unwrap().insert("sw-1".into(), rsa);
    call(&tofu(&sshd, "sw-1", &table)).await.unwrap();
}

#[tokio::test]
async fn without_a_place_to_record_tofu_takes_nothing() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let error = call(&connections(&sshd, HostKey::Tofu)).await.unwrap_err();
    assert_refused(&sshd, &error);
}

#[tokio::test]
async fn known_hosts_is_read_as_openssh_reads_it() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let file = sshd.dir.join("known_hosts");
    let name = format!("[127.0.0.1]:{}", sshd.port);
    let (ed25519, rsa) = (sshd.host_key("ed25519"), sshd.host_key("rsa"));
    let connections = || connections(&sshd, HostKey::KnownHosts(file.clone()));

    let error = call(&connections()).await.unwrap_err();
    assert_refused(&sshd, &error);
    assert!(error.detail.contains("cannot be read"), "{}", error.detail);

    // Another host, and this one with another port.
    std::fs::write(&file, format!("127.0.0.1,[127.0.0.1]:1 {ed25519}\n")).unwrap();
    let error = call(&connections()).await.unwrap_err();
    assert_refused(&sshd, &error);
    assert!(error.detail.contains("has none for it"), "{}", error.detail);

    std::fs::write(&file, format!("{name} {ed25519}\n@revoked * {ed25519}\n")).unwrap();
    let error = call(&connections()).await.unwrap_err();
    assert_refused(&sshd, &error);
    assert!(error.detail.contains("line 2 of"), "{}", error.detail);
    assert!(error.detail.contains("revokes"), "{}", error.detail);

    // The other one of the server's keys, under this one's kind.
    let stranger =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";
    std::fs::write(&file, format!("{name} {stranger}\n")).unwrap();
    let error = call(&connections()).await.unwrap_err();
    assert_refused(&sshd, &error);
    assert!(
        error.detail.contains(&sshd.fingerprint("ed25519")),
        "{}",
        error.detail
    );
    assert!(error.detail.contains("(line 1)"), "{}", error.detail);

    // Only its RSA key is known: it is asked for that one.
    std::fs::write(&file, format!("{name} {rsa}\n")).unwrap();
    call(&connections()).await.unwrap();

    // As OpenSSH itself hashes names.
    std::fs::write(&file, format!("{name} {ed25519}\n")).unwrap();
    let hashed = std::process::Command::new("ssh-keygen")
        .arg("-H")
        .arg("-f")
        .arg(&file)
        .output();
    assert!(hashed.unwrap().status.success());
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("|1|"));
    call(&connections()).await.unwrap();
}
