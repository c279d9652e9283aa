//! The command line of a real router: FRR's vtysh, the login shell behind OpenSSH.
//!
//! `tests/peers/frr.sh` starts it, once for each test that changes what it has. OpenSSH's own client brings the bytes, so
//! that what is tested is how a command line is driven and nothing else; the tests of `ssh` bring them by the driver.

mod relayed;

use std::io::{BufRead, BufReader};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cmp_relay::clock::Boottime;
use cmp_relay::config::{self, Env};
use cmp_relay::driver::ssh::SshDriver;
use cmp_relay::driver::ssh::cli::Shell;
use cmp_relay::driver::{Clearance, CliScript, Driver, RenderedCall, Ruling, SendOutcome};
use cmp_relay::plan::{self, CliProfile, DriverSpec};
use tokio::net::UnixStream;

use crate::support::mariadb::peer_or_skip;
use crate::support::sshd::limits;

/// The router; it ends when this is dropped, because the script's standard input ends then.
struct Router {
    port: u16,
    legacy: u16,
    keyboard: u16,
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
                legacy: said("legacy=")?.parse().ok()?,
                keyboard: said("keyboard=")?.parse().ok()?,
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

    /// A host key, as a backend's file pins it.
    fn pin(&self, kind: &str) -> String {
        let file = self.dir.join(format!("hostkey_{kind}.pub"));
        let shown = Command::new("ssh-keygen").arg("-lf").arg(file).output();
        let shown = String::from_utf8(shown.unwrap().stdout).unwrap();
        format!("{{ sha256: \"{}\" }}", shown.split(' ').nth(1).unwrap())
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

/// The driver of a backend as a configuration has it: the built-in profile, or another text of its name.
fn spec(port: u16, host_key: &str, further: &str, own: Option<&str>) -> Arc<plan::SshDriver> {
    let backend = format!(
        "\
name: sw1
kind: switch
driver:
  ssh:
    host: 127.0.0.1
    port: {port}
    user: relay-vty
    host_key: {host_key}
    profile: frr
{further}"
    );
    let mut sources = vec![("backends.d/sw1.yaml", &*backend)];
    sources.extend(own.map(|text| ("backends.d/profiles/frr.yaml", text)));
    let env = Env::new([("PW".to_owned(), "pass-of-a-test".to_owned())]);
    let loaded = config::load_from_memory(&sources, &env);
    let said: Vec<_> = loaded.diagnostics.iter().map(|it| &it.message).collect();
    let plan = loaded.plan.unwrap_or_else(|| panic!("{said:?}"));
    match &plan.backends[0].driver {
        DriverSpec::Ssh(driver) => Arc::clone(driver),
        other => panic!("{other:?}"),
    }
}

const PASSWORD: &str = "    auth:\n      - password: { env: PW }\n";

fn profile(own: Option<&str>) -> Arc<CliProfile> {
    let spec = spec(22, "tofu", PASSWORD, own);
    Arc::clone(spec.profile.as_ref().unwrap())
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
    // This pager fills its last page with blank lines of its own.
    let lines = |body: &[u8]| {
        let text = std::str::from_utf8(body).unwrap();
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(lines(&answer.body), lines(&expected.body));
    assert!(lines(&answer.body).len() > 40);
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

/// The driver's own connections: a modern server, one of old algorithms alone, one that only asks and gives one session.
#[tokio::test]
async fn each_call_of_the_driver_is_one_configuration_of_the_router() {
    let Some(router) = Router::start() else {
        return;
    };
    let asked = "    auth:\n      - keyboard_interactive: { env: PW }\n    channels: 1\n";
    let legacy = format!("{PASSWORD}    algorithms: legacy\n");
    let mut expected = Vec::new();
    for (number, port, key, further) in [
        (1, router.port, "ed25519", PASSWORD),
        (2, router.legacy, "rsa", &*legacy),
        (3, router.keyboard, "ed25519", asked),
    ] {
        let spec = spec(port, &router.pin(key), further, None);
        let driver = SshDriver::new(&spec, &limits()).unwrap();
        for call in 0..3 {
            let line = format!("ip route 10.{number}.{call}.0/24 Null0");
            expected.push(line.clone());
            let call = RenderedCall::Cli(script(Some("config"), &[&line]));
            let answer = driver.send(&call, &in_time()).await;
            let answer = answer.unwrap_or_else(|error| panic!("{port}: {error}"));
            assert_eq!(answer.ruling, Ruling::ByStatus);
        }
        driver.close().await;
    }
    // One entry into the configuration, its line, and the way back: for each call, and nothing else.
    let log = router.log();
    let configuring: Vec<_> = log
        .iter()
        .filter(|line| *line != "> enable" && *line != "# exit")
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .flat_map(|line| {
            let line = format!("(config)# {line}");
            [
                "# configure terminal".to_owned(),
                line,
                "(config)# end".to_owned(),
            ]
        })
        .collect();
    assert_eq!(configuring, expected.iter().collect::<Vec<_>>());
}
