//! Two real NETCONF devices (`tests/peers/netconfd.sh`), once for the whole test run, and what a backend's
//! file would say of them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use cmp_relay::plan::{Algorithms, HostKey, SshAccess, SshAuth};
use cmp_relay::secret::Secret;

/// Both devices. They end when this process does, because the script's standard input ends then.
pub(crate) struct Netconfd {
    said: BTreeMap<String, String>,
    key: String,
    talk: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
    _script: Child,
}

static DEVICES: OnceLock<Option<Netconfd>> = OnceLock::new();

/// The devices, or nothing where they cannot be had; that is said.
pub(crate) async fn devices() -> Option<&'static Netconfd> {
    let devices = tokio::task::spawn_blocking(|| DEVICES.get_or_init(launch))
        .await
        .unwrap();
    super::mariadb::peer_or_skip("netconfd", devices.as_ref())
}

impl Netconfd {
    /// A backend's file: `candidate` or `running`.
    pub(crate) fn access(&self, device: &str) -> Arc<SshAccess> {
        let pin = STANDARD_NO_PAD.decode(&self.said["host_key"]).unwrap();
        Arc::new(SshAccess {
            host: "127.0.0.1".into(),
            port: self.said[device].parse().unwrap(),
            user: self.said["user"].as_str().into(),
            auth: vec![SshAuth::PrivateKey {
                key: Secret::new(self.key.clone(), "file key"),
                passphrase: None,
            }],
            host_key: HostKey::Pinned(vec![pin.try_into().unwrap()]),
            algorithms: Algorithms::modern(),
            channels: 4,
        })
    }

    /// The file of a backend of the shipped routes: the device that writes through a candidate.
    pub(crate) fn backend(&self, name: &str) -> String {
        let said = |what: &str| &self.said[what];
        format!(
            "version: 1\nname: {name}\nkind: netconf_switch\nlimits: {{ connect_timeout: 20s, first_byte_timeout: 20s, timeout: 30s }}\ndriver:\n  netconf:\n    host: 127.0.0.1\n    port: {}\n    \
             user: {}\n    auth: [{{ private_key: {{ file: {} }} }}]\n    host_key: {{ sha256: \"SHA256:{}\" }}\n",
            said("candidate"),
            said("user"),
            said("key"),
            said("host_key"),
        )
    }

    /// Ends every connection to a device at once, and returns when they are gone.
    pub(crate) fn cut(&self, device: &str) {
        let mut talk = self.talk.lock().unwrap();
        writeln!(talk.0, "cut {device}").unwrap();
        let mut line = String::new();
        talk.1.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "done");
    }
}

fn launch() -> Option<Netconfd> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/netconfd.sh");
    let mut child = Command::new("sh")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = BTreeMap::new();
    loop {
        let mut line = String::new();
        if stdout.read_line(&mut line).unwrap() == 0 {
            let status = child.wait().unwrap();
            assert_eq!(status.code(), Some(3), "tests/peers/netconfd.sh failed");
            return None;
        }
        match line.trim().split_once('=') {
            Some((name, value)) => said.insert(name.to_owned(), value.to_owned()),
            None => break,
        };
    }
    Some(Netconfd {
        key: std::fs::read_to_string(&said["key"]).unwrap(),
        said,
        talk: Mutex::new((stdin, stdout)),
        _script: child,
    })
}
