//! The command line of a real router: FRR's vtysh, the login shell behind OpenSSH.
//!
//! `tests/peers/frr.sh` starts it, once for each test that changes what it has. OpenSSH's own client brings the bytes, so
//! that what is tested is how a command line is driven and nothing else; the tests of `ssh` bring them by the driver.

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cmp_relay::clock::Boottime;
use cmp_relay::config::{self, Env};
use cmp_relay::driver::ssh::cli::Shell;
use cmp_relay::driver::{Clearance, CliScript, Ruling, SendOutcome};
use cmp_relay::plan::{CliProfile, DriverSpec};
use tokio::net::UnixStream;

use crate::support::mariadb::peer_or_skip;

/// The router; it ends when this is dropped, because the script's standard input ends then.
struct Router {
    port: u16,
    dir: PathBuf,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    script: Child,
    /// OpenSSH's own, one a session.
    clients: Mutex<Vec<Child>>,
}

impl Router {
    /// `None` where there is none to be had: the test says so and is counted as skipped.
    fn start() -> Option<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/frr.sh");
        let mut script = Command::new(path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the script can be run");
        let mut answers = BufReader::new(script.stdout.take().unwrap());
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let said = |key: &str| {
            let word = line
                .split_whitespace()
                .find_map(|word| word.strip_prefix(key));
            word.map(str::to_owned)
        };
        let router = (|| {
            Some(Self {
                port: said("normal=")?.parse().ok()?,
                dir: said("dir=")?.into(),
                orders: script.stdin.take(),
                answers,
                script,
                clients: Mutex::default(),
            })
        })();
        peer_or_skip("FRRouting", router)
    }

    fn ask(&mut self, order: &str) -> String {
        use std::io::Write;
        let mut orders = self.orders.as_ref().unwrap();
        writeln!(orders, "{order}").unwrap();
        let mut answer = String::new();
        self.answers.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }

    /// The lines that the static daemon was given, in its own log.
    fn log(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.join("staticd.log")).unwrap();
        let lines = log.lines().filter_map(|line| line.split_once("]@"));
        lines.map(|(_, line)| line.to_owned()).collect()
    }

    /// The routes that it has.
    fn routes(&self) -> Vec<String> {
        let log = self.log();
        let given = log
            .iter()
            .filter_map(|line| line.strip_prefix("(config)# ip route "));
        given.map(str::to_owned).collect()
    }

    /// A terminal on the router.
    fn session(&self, user: &str) -> UnixStream {
        let askpass = self.dir.join("askpass");
        std::fs::write(&askpass, "#!/bin/sh\necho pass-of-a-test\n").unwrap();
        std::fs::set_permissions(&askpass, std::fs::Permissions::from_mode(0o755)).unwrap();
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let client = Command::new("ssh")
            .args(["-tt", "-F", "/dev/null", "-p", &self.port.to_string()])
            .args(["-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null"])
            .args(["-o", "PreferredAuthentications=password"])
            .args(["-o", "LogLevel=ERROR"])
            .arg(format!("{user}@127.0.0.1"))
            .env("SSH_ASKPASS", &askpass)
            .env("SSH_ASKPASS_REQUIRE", "force")
            .env("TERM", "dumb")
            .stdin(OwnedFd::from(theirs.try_clone().unwrap()))
            .stdout(OwnedFd::from(theirs))
            .spawn()
            .unwrap();
        self.clients.lock().unwrap().push(client);
        ours.set_nonblocking(true).unwrap();
        UnixStream::from_std(ours).unwrap()
    }

    async fn shell(&self, user: &str, profile: &Arc<CliProfile>) -> Shell<UnixStream> {
        let shell = Shell::open(self.session(user), profile, None, &in_time()).await;
        shell.unwrap_or_else(|error| panic!("{error}"))
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        for client in self.clients.get_mut().unwrap() {
            // One whose session was cut has ended.
            let _ = client.kill();
            client.wait().expect("it was killed");
        }
        drop(self.orders.take());
        self.script.wait().expect("the script ends with its input");
    }
}

fn in_time() -> Clearance {
    Clearance {
        deadline: Boottime::now() + Duration::from_secs(60),
        mutating: true,
        gate: Arc::new(|| true),
    }
}

/// A profile as a configuration has it: the built-in one, or another text of its name.
fn profile(own: Option<&str>) -> Arc<CliProfile> {
    let backend = "\
name: sw1
kind: switch
driver:
  ssh:
    host: 127.0.0.1
    user: relay
    auth:
      - password: { env: PW }
    host_key: tofu
    profile: frr
";
    let mut sources = vec![("backends.d/sw1.yaml", backend)];
    sources.extend(own.map(|text| ("backends.d/profiles/frr.yaml", text)));
    let env = Env::new([("PW".to_owned(), "x".to_owned())]);
    let loaded = config::load_from_memory(&sources, &env);
    let said: Vec<_> = loaded.diagnostics.iter().map(|it| &it.message).collect();
    let plan = loaded.plan.unwrap_or_else(|| panic!("{said:?}"));
    match &plan.backends[0].driver {
        DriverSpec::Ssh(driver) => Arc::clone(driver.profile.as_ref().unwrap()),
        other => panic!("{other:?}"),
    }
}

fn script(mode: Option<&str>, lines: &[&str]) -> CliScript {
    CliScript {
        mode: mode.map(Into::into),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        save: false,
    }
}

#[tokio::test]
async fn a_call_on_a_router_is_one_sessions_worth_of_lines() {
    let Some(mut router) = Router::start() else {
        return;
    };
    let mut shell = router.shell("relay-vty", &profile(None)).await;
    let call = script(
        Some("config"),
        &[
            "ip route 192.0.2.0/24 Null0",
            "ip route 198.51.100.0/24 Null0",
        ],
    );
    let answer = shell.run(&call, &in_time()).await.unwrap();
    assert_eq!(
        (answer.status, &answer.ruling),
        (0, &Ruling::ByStatus),
        "{answer:?}"
    );
    assert!(shell.is_clean());
    assert_eq!(
        router.log(),
        [
            "> enable",
            "# configure terminal",
            "(config)# ip route 192.0.2.0/24 Null0",
            "(config)# ip route 198.51.100.0/24 Null0",
            "(config)# end",
        ]
    );

    // What it shows is what it has, without echo, prompt and carriage returns.
    let answer = shell
        .run(&script(None, &["show running-config"]), &in_time())
        .await
        .unwrap();
    let body = std::str::from_utf8(&answer.body).unwrap();
    assert!(
        body.starts_with("Building configuration...\n\nCurrent configuration:\n!\n"),
        "{body}"
    );
    assert!(body.contains("\nip route 192.0.2.0/24 Null0\nip route 198.51.100.0/24 Null0\n"));
    assert!(
        body.ends_with("\n!\nend\n") && !body.contains('\r'),
        "{body:?}"
    );

    // It saves, and says so in its file.
    let save = CliScript {
        save: true,
        ..script(Some("config"), &["no ip route 192.0.2.0/24 Null0"])
    };
    let answer = shell.run(&save, &in_time()).await.unwrap();
    assert_eq!(answer.ruling, Ruling::ByStatus);
    let saved = std::fs::read_to_string(router.dir.join("saved/staticd.conf")).unwrap();
    assert!(
        saved.contains("198.51.100.0/24") && !saved.contains("192.0.2.0/24"),
        "{saved}"
    );
    assert_eq!(router.ask("sessions"), "1");
}

#[tokio::test]
async fn the_first_line_that_a_router_refuses_ends_the_call() {
    let Some(router) = Router::start() else {
        return;
    };
    let mut shell = router.shell("relay-vty", &profile(None)).await;
    let lines = [
        "ip route 192.0.2.0/24 Null0",
        "interface eth9",
        "nonsense here",
        "exit",
        "ip route 203.0.113.0/24 Null0",
    ];
    let answer = shell
        .run(&script(Some("config"), &lines), &in_time())
        .await
        .unwrap();
    let Ruling::Partly {
        applied,
        total,
        detail,
    } = &answer.ruling
    else {
        panic!("{answer:?}")
    };
    assert_eq!((answer.status, *applied, *total), (3, 2, 5));
    assert!(
        detail.contains("line 3 of 5, `nonsense here`, was refused: % Unknown command"),
        "{detail}"
    );
    assert_eq!(router.routes(), ["192.0.2.0/24 Null0"]);
    assert!(shell.is_clean(), "it left the interface's mode");

    let answer = shell
        .run(&script(None, &["shw"]), &in_time())
        .await
        .unwrap();
    assert!(
        matches!(answer.ruling, Ruling::NotDone { .. }),
        "{answer:?}"
    );
    let answer = shell
        .run(&script(None, &["show"]), &in_time())
        .await
        .unwrap();
    assert!(
        matches!(&answer.ruling, Ruling::NotDone { detail, .. } if detail.contains("Command incomplete")),
        "{answer:?}"
    );
    let answer = shell
        .run(&script(None, &["show version"]), &in_time())
        .await
        .unwrap();
    assert_eq!(answer.ruling, Ruling::ByStatus);
}

#[tokio::test]
async fn a_router_that_pages_even_its_greeting_is_read_whole() {
    let Some(router) = Router::start() else {
        return;
    };
    let built_in = std::fs::read_to_string("profiles/frr.yaml").unwrap();
    let paged = built_in.replace("open: [no terminal paginate]\n", "");
    assert_ne!(paged, built_in);
    let mut plain = router.shell("relay-vty", &profile(None)).await;
    let mut shell = router.shell("relay-more", &profile(Some(&paged))).await;
    for prefix in 0..30 {
        let line = format!("ip route 10.0.{prefix}.0/24 Null0");
        let answer = shell
            .run(&script(Some("config"), &[&line]), &in_time())
            .await
            .unwrap();
        assert_eq!(answer.ruling, Ruling::ByStatus, "{line}");
    }
    let show = script(None, &["show running-config"]);
    let answer = shell.run(&show, &in_time()).await.unwrap();
    let expected = plain.run(&show, &in_time()).await.unwrap();
    assert_eq!(answer.body, expected.body);
    assert!(shell.is_clean());
}

#[tokio::test]
async fn a_session_that_is_cut_is_unknown_and_not_used_again() {
    let Some(mut router) = Router::start() else {
        return;
    };
    let mut shell = router.shell("relay-vty", &profile(None)).await;
    shell
        .run(&script(None, &["show version"]), &in_time())
        .await
        .unwrap();
    assert_eq!(router.ask("cut"), "done");
    let error = shell
        .run(
            &script(Some("config"), &["ip route 192.0.2.0/24 Null0"]),
            &in_time(),
        )
        .await;
    // Entering the mode is no line of the call: nothing of it was sent.
    assert_eq!(error.unwrap_err().outcome, SendOutcome::NotSent);
    assert!(!shell.is_clean());
    assert_eq!(router.routes(), Vec::<String>::new());
    assert_eq!(router.ask("sessions"), "0");
    let mut next = router.shell("relay-vty", &profile(None)).await;
    let answer = next
        .run(
            &script(Some("config"), &["ip route 192.0.2.0/24 Null0"]),
            &in_time(),
        )
        .await;
    assert_eq!(answer.unwrap().ruling, Ruling::ByStatus);
}
