//! A real OpenSSH server (`tests/peers/sshd.sh`), and what a backend's file would say of it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cmp_relay::clock::Boottime;
use cmp_relay::driver::Clearance;
use cmp_relay::plan::{Algorithms, BackendLimits, HostKey, SshAccess, SshAuth};
use cmp_relay::secret::Secret;

pub(crate) const USER: &str = "relay-ssh";
pub(crate) const PASSWORD: &str = "pass word'\"1";
pub(crate) const PASSPHRASE: &str = "pass phrase";

/// A server of a test's own.
pub(crate) struct Sshd {
    pub(crate) port: u16,
    pub(crate) dir: PathBuf,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _script: Child,
}

impl Sshd {
    /// Starts it with these lines of `sshd_config` before the usual ones; `None`: skipped, and said so.
    pub(crate) async fn start(lines: &[&str]) -> Option<Self> {
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        let launched = tokio::task::spawn_blocking(move || launch(&lines));
        super::mariadb::peer_or_skip("OpenSSH's sshd", launched.await.unwrap())
    }

    /// Gives an order, and the line that answers it.
    pub(crate) fn order(&self, order: &str) -> String {
        let mut talk = self.talk.lock().unwrap();
        writeln!(talk.0, "{order}").unwrap();
        let mut line = String::new();
        talk.1.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// How many processes its connections have now.
    pub(crate) fn processes(&self) -> usize {
        self.order("processes").parse().unwrap()
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap()
    }

    /// The fingerprint of a host key, as `ssh-keygen -lf` shows it.
    pub(crate) fn fingerprint(&self, kind: &str) -> String {
        let file = self.dir.join(format!("hostkey_{kind}.pub"));
        let shown = Command::new("ssh-keygen").arg("-lf").arg(file).output();
        let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
        shown.split(' ').nth(1).unwrap().to_owned()
    }

    /// The public half of a host key, `ssh-ed25519 AAAA...`.
    pub(crate) fn host_key(&self, kind: &str) -> String {
        let file = self.dir.join(format!("hostkey_{kind}.pub"));
        let line = std::fs::read_to_string(file).unwrap();
        let words: Vec<_> = line.split(' ').take(2).collect();
        words.join(" ")
    }

    /// A private key of the user.
    pub(crate) fn key(&self, name: &str) -> Secret {
        let text = std::fs::read_to_string(self.dir.join(name)).unwrap();
        Secret::new(text, format!("file {name}"))
    }

    /// A backend's file: the password, and the ed25519 key pinned.
    pub(crate) fn access(&self) -> SshAccess {
        SshAccess {
            host: "127.0.0.1".into(),
            port: self.port,
            user: USER.into(),
            auth: vec![SshAuth::Password(password())],
            host_key: HostKey::Pinned(vec![pin(&self.fingerprint("ed25519"))]),
            algorithms: Algorithms::modern(),
            channels: 8,
        }
    }
}

pub(crate) fn password() -> Secret {
    Secret::new(PASSWORD.into(), "env SSH_PASSWORD")
}

/// The digest of a fingerprint `SHA256:...`.
pub(crate) fn pin(fingerprint: &str) -> [u8; 32] {
    use base64::Engine as _;
    let text = fingerprint.strip_prefix("SHA256:").unwrap();
    let digest = base64::engine::general_purpose::STANDARD_NO_PAD.decode(text);
    digest.unwrap().try_into().unwrap()
}

pub(crate) fn limits() -> BackendLimits {
    BackendLimits {
        concurrency: 4,
        queue: 16,
        connect_timeout: Duration::from_secs(10),
        first_byte_timeout: Duration::from_secs(20),
        timeout: Duration::from_secs(20),
        idle_reuse: Duration::from_secs(4),
        response_body: 1 << 20,
    }
}

/// Leave to send for so long.
pub(crate) fn leave(span: Duration) -> Clearance {
    Clearance {
        deadline: Boottime::now() + span,
        mutating: false,
        gate: Arc::new(|| true),
    }
}

fn launch(lines: &[String]) -> Option<Sshd> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/sshd.sh");
    let mut child = Command::new("sh")
        .arg(script)
        .args(lines)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    answers.read_line(&mut line).unwrap();
    let Some((port, dir)) = line.trim().split_once(" dir=") else {
        let status = child.wait().unwrap();
        assert_eq!(status.code(), Some(3), "tests/peers/sshd.sh failed");
        return None;
    };
    Some(Sshd {
        port: port.strip_prefix("port=").unwrap().parse().unwrap(),
        dir: dir.into(),
        talk: Mutex::new((child.stdin.take().unwrap(), answers)),
        _script: child,
    })
}
