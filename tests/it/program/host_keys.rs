//! Host keys under `tofu`, from the first call to the day that a device is given another key: what the relay
//! records of a real OpenSSH server, and what `cmp-relay host-keys` shows and forgets.

use serde_json::{Value, json};

use crate::support::program::{Folder, Served};
use crate::support::sshd::{PASSWORD, Sshd, USER};

const BACKEND: &str = "\
name: sw-1
kind: host
driver:
  ssh:
    host: 127.0.0.1
    port: {PORT}
    user: {USER}
    auth: [{ password: { file: password } }]
    host_key: tofu
";

const ROUTE: &str = "\
resource: probe
kind: host
routes:
  probe:
    match: GET /v1/probe
    call:
      exec: [echo, here]
    reply:
      body: { said: \"{{ response.text }}\" }
";

fn folder(sshd: &Sshd) -> Folder {
    let folder = Folder::new("http://127.0.0.1:1");
    let backend = BACKEND
        .replace("{PORT}", &sshd.port.to_string())
        .replace("{USER}", USER);
    folder.write("backends.d/sw-1.yaml", &backend);
    folder.write("routes.d/probe.yaml", ROUTE);
    folder.write("password", &format!("{PASSWORD}\n"));
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorded_key_is_kept_until_a_person_forgets_it() {
    let Some(sshd) = Sshd::start(&[]).await else {
        return;
    };
    let folder = folder(&sshd);
    let served = Served::start(&folder);
    let fine = |arguments: &[&str]| {
        let (status, out, said) = served.command(arguments);
        assert_eq!((status, said.as_str()), (0, ""), "{arguments:?}: {out}");
        out
    };
    let listed = || -> Value {
        serde_json::from_str(&fine(&["host-keys", "list", "--format", "json"])).unwrap()
    };
    let shown = || format!("ssh-ed25519 {}", sshd.fingerprint("ed25519"));
    assert_eq!(listed(), json!({ "items": [] }));

    let answer = served.get("/v1/probe").await;
    assert_eq!(
        (answer.status, &answer.body["said"]),
        (200, &json!("here\n")),
        "{answer:?}"
    );
    let first = shown();
    assert_eq!(listed()["items"][0]["host_key"], *first);
    let table = fine(&["host-keys", "list"]);
    let mut lines = table.lines();
    let mut words = || {
        lines
            .next()
            .unwrap()
            .split("  ")
            .filter(|word| !word.is_empty())
    };
    assert!(
        words()
            .map(str::trim)
            .eq(["BACKEND", "HOST KEY", "FIRST SEEN"]),
        "{table}"
    );
    assert!(
        words().map(str::trim).take(2).eq(["sw-1", &*first]),
        "{table}"
    );

    // Another key, and then the device is as it was, or somebody is in between: no call is made, whoever asks.
    assert_eq!(sshd.order("rekey"), "done");
    let second = shown();
    assert_ne!(first, second);
    for _ in 0..2 {
        let refused = served.get("/v1/probe").await;
        assert_eq!(
            (refused.status, refused.code()),
            (502, "backend_unreachable"),
            "{refused:?}"
        );
        assert_eq!(listed()["items"][0]["host_key"], *first);
    }
    served.says("a host key is not the known one").await;
    assert!(!sshd.log().contains("Accepted "), "{}", sshd.log());

    let (status, _, said) = served.command(&["host-keys", "forget", "sw-2"]);
    assert_eq!(status, 1);
    assert!(said.starts_with("error: 409 refused: "), "{said}");
    assert!(
        said.contains("No host key is recorded for the backend `sw-2`."),
        "{said}"
    );
    let forgotten = fine(&["host-keys", "forget", "sw-1"]);
    assert_eq!(
        forgotten,
        "the host key of sw-1 is forgotten; the one that it shows next is recorded\n"
    );
    assert_eq!(listed(), json!({ "items": [] }));

    let answer = served.get("/v1/probe").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(listed()["items"][0]["host_key"], *second);
}
