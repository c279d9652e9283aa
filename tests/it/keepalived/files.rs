//! What `ha init` writes is what the programs take.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

use super::{Written, files};
use crate::support::mariadb::peer_or_skip;
use crate::support::program::{run, told};

const NODES: [&str; 2] = ["a", "b"];

/// `keepalived -t` on a node's file; the scripts are where they are here, and of a user that there is.
fn keepalived(written: &Written, node: &str, change: &[(&str, &str)]) -> Option<(bool, String)> {
    // It wants an interface that is there, and not the loopback.
    let interface = fs::read_dir("/sys/class/net")
        .ok()?
        .flatten()
        .find_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            (name != "lo").then_some(name)
        });
    let interface = peer_or_skip("a network interface", interface)?;
    let folder = written.path(&format!("{node}/usr/local/libexec/cmp-relay"));
    let user = Command::new("id").arg("-un").output().unwrap().stdout;
    let user = String::from_utf8(user).unwrap();
    let mut text = written
        .read(&format!("{node}/etc/keepalived/keepalived.conf"))
        .replace("/usr/local/libexec/cmp-relay", folder.to_str().unwrap())
        .replace(
            "script_user cmp-relay",
            &format!("script_user {}", user.trim()),
        )
        .replace("eth0", &interface);
    for (old, new) in change {
        assert!(text.contains(old), "{old}");
        text = text.replace(old, new);
    }
    let file = written.path("keepalived.conf");
    fs::write(&file, text).unwrap();
    let path = format!(
        "{}:/usr/sbin",
        crate::support::told("PATH").unwrap_or_default()
    );
    let ran = Command::new("keepalived")
        .env("PATH", path)
        .arg("-t")
        .arg("-f")
        .arg(&file)
        .output();
    let ran = peer_or_skip("keepalived", ran.ok())?;
    Some((
        ran.status.success(),
        String::from_utf8_lossy(&ran.stderr).into_owned(),
    ))
}

#[test]
fn keepalived_takes_its_file() {
    let six = [
        "--vip",
        "fd00::9/64",
        "--node",
        "a=fd00::1",
        "--node",
        "b=fd00::2",
    ];
    let (four, six) = (Written::new(&[]), {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("pair");
        let mut arguments = vec![
            "ha",
            "init",
            "--interface",
            "eth0",
            "--out",
            out.to_str().unwrap(),
        ];
        arguments.extend(six);
        let (status, out, said) = told(&run(&arguments));
        assert_eq!(status, 0, "{out}{said}");
        Written(folder)
    });
    for written in [
        &four,
        &six,
        &Written::new(&["--virtual-router-id", "7", "--target", "centos7"]),
    ] {
        for node in NODES {
            let Some((taken, said)) = keepalived(written, node, &[]) else {
                return;
            };
            assert!(taken && said.is_empty(), "{node}: {said}");
        }
    }
    // It is strict where it matters.
    for change in [("interval 1", "interval 0.5"), ("nopreempt", "nopremt")] {
        let (taken, said) = keepalived(&four, "a", &[change]).unwrap();
        assert!(!taken, "{change:?}: {said}");
    }
}

#[test]
fn the_configuration_is_clean_and_the_scripts_are_shell() {
    let written = Written::new(&[]);
    for node in NODES {
        for folder in ["cmp-relay", "cmp-relay-migrate"] {
            let folder = written.path(&format!("{node}/etc/{folder}"));
            let arguments = [
                "validate-config",
                "--deny-warnings",
                "--config",
                folder.to_str().unwrap(),
            ];
            let (status, out, said) = told(&run(&arguments));
            assert_eq!(status, 0, "{out}{said}");
        }
        for name in ["check", "notify"] {
            let script = written.path(&format!("{node}/usr/local/libexec/cmp-relay/{name}"));
            assert_eq!(
                fs::metadata(&script).unwrap().permissions().mode() & 0o777,
                0o755
            );
            let ran = Command::new("sh").arg("-n").arg(&script).status().unwrap();
            assert!(ran.success(), "{name}");
        }
    }
    assert!(
        files(&written.out())
            .iter()
            .all(|file| !fs::read_to_string(file).unwrap().contains("#{"))
    );
}

#[test]
fn systemd_takes_the_units() {
    let written = Written::new(&[]);
    let units = written.path("units");
    let own = written.path("a/etc/systemd/system");
    let said = |broken: Option<(&str, &str)>| {
        let _ = fs::remove_dir_all(&units);
        for file in files(&own) {
            let copy = units.join(file.strip_prefix(&own).unwrap());
            fs::create_dir_all(copy.parent().unwrap()).unwrap();
            // What they start is not on this machine.
            let mut text = fs::read_to_string(file).unwrap();
            text = text.replace("/usr/local/bin/cmp-relay", "/bin/true");
            if let Some((old, new)) = broken {
                text = text.replace(old, new);
            }
            fs::write(copy, text.replace("User=cmp-relay", "User=root")).unwrap();
        }
        for name in ["keepalived", "mariadb"] {
            let unit = format!("[Unit]\nDescription={name}\n[Service]\nExecStart=/bin/true\n");
            fs::write(units.join(format!("{name}.service")), unit).unwrap();
        }
        let ran = Command::new("systemd-analyze")
            .env("SYSTEMD_UNIT_PATH", format!("{}:", units.display()))
            .arg("verify")
            .args(
                ["cmp-relay", "keepalived", "mariadb"]
                    .map(|name| units.join(format!("{name}.service"))),
            )
            .output();
        let said = String::from_utf8_lossy(&ran.ok()?.stderr).into_owned();
        // It says something of the machine's own units, too.
        let ours = said
            .lines()
            .filter(|line| line.contains(units.to_str().unwrap()));
        Some(ours.map(str::to_owned).collect::<Vec<_>>())
    };
    let Some(found) = peer_or_skip("systemd-analyze", said(None)) else {
        return;
    };
    assert_eq!(found, Vec::<String>::new());
    assert_ne!(
        said(Some(("Restart=always", "Restart=alway"))).unwrap(),
        Vec::<String>::new()
    );
}

#[test]
fn no_secret_is_in_a_file_that_others_may_read() {
    let written = Written::new(&[]);
    let secrets: Vec<String> = files(&written.path("a/etc/cmp-relay/secrets"))
        .iter()
        .map(|file| fs::read_to_string(file).unwrap().trim().to_owned())
        .collect();
    assert_eq!(secrets.len(), 7);
    let (mut open, mut shut) = (0, 0);
    for file in files(&written.out()) {
        let text = fs::read_to_string(&file).unwrap();
        let secret = text.contains("PRIVATE KEY")
            || secrets.iter().any(|secret| text.contains(secret.as_str()));
        match fs::metadata(&file).unwrap().mode() & 0o077 {
            0 => shut += 1,
            _ => {
                open += 1;
                assert!(!secret, "{}", file.display());
            }
        }
    }
    assert!(open > 20 && shut == 2 * 9, "{open} {shut}");
    assert_eq!(fs::metadata(written.out()).unwrap().mode() & 0o077, 0);
    // Two runs share nothing.
    let other = Written::new(&[]).read("a/etc/cmp-relay/secrets/relayha");
    assert_ne!(other, written.read("a/etc/cmp-relay/secrets/relayha"));
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_overwritten() {
    let written = Written::new(&[]);
    let before = written.read("a/etc/cmp-relay/secrets/peer");
    let out = written.out();
    let fresh = written.path("fresh");
    let (here, fresh) = (out.to_str().unwrap(), fresh.to_str().unwrap());
    let cases: [(&[&str], &str); 8] = [
        (
            &[
                "--node",
                "a=10.0.0.1",
                "--node",
                "b=10.0.0.2",
                "--out",
                here,
            ],
            "nothing is overwritten",
        ),
        (
            &["--node", "a=10.0.0.1", "--out", fresh],
            "a pair has two nodes",
        ),
        (
            &[
                "--node",
                "a=10.0.0.1",
                "--node",
                "a=10.0.0.2",
                "--out",
                fresh,
            ],
            "one name",
        ),
        (
            &[
                "--node",
                "a=10.0.0.1",
                "--node",
                "b=10.0.0.1",
                "--out",
                fresh,
            ],
            "all different",
        ),
        (
            &[
                "--node",
                "a=10.0.0.9",
                "--node",
                "b=10.0.0.1",
                "--out",
                fresh,
            ],
            "all different",
        ),
        (
            &[
                "--node",
                "a=10.0.0.1",
                "--node",
                "b=fd00::1",
                "--out",
                fresh,
            ],
            "one family",
        ),
        (
            &[
                "--node",
                "a=10.0.0.1",
                "--node",
                "../b=10.0.0.2",
                "--out",
                fresh,
            ],
            "small letters",
        ),
        (
            &["--node", "a=10.0.0.1", "--node", "b", "--out", fresh],
            "NAME=ADDRESS",
        ),
    ];
    for (more, words) in cases {
        let mut arguments = vec!["ha", "init", "--vip", "10.0.0.9/24", "--interface", "eth0"];
        arguments.extend(more);
        let (status, out, said) = told(&run(&arguments));
        assert_eq!(status, 2, "{more:?}: {out}{said}");
        assert!(said.contains(words), "{more:?}: {said}");
    }
    assert_eq!(written.read("a/etc/cmp-relay/secrets/peer"), before);
    assert!(!written.path("fresh").exists());
}

#[test]
fn the_certificates_are_of_the_ca_and_for_the_nodes() {
    let written = Written::new(&[]);
    let tls = |node: &str, name: &str| written.path(&format!("{node}/etc/cmp-relay/tls/{name}"));
    for (node, address) in [("a", "127.0.0.1"), ("b", "127.0.0.2")] {
        for address in [address, "127.0.0.9", "127.0.0.1"] {
            let ran = Command::new("openssl")
                .args([
                    "verify",
                    "-verify_ip",
                    address,
                    "-purpose",
                    "sslserver",
                    "-CAfile",
                ])
                .arg(tls("b", "ca.pem"))
                .arg(tls(node, "node.pem"))
                .output()
                .unwrap();
            assert!(
                ran.status.success(),
                "{node} {address}: {}",
                String::from_utf8_lossy(&ran.stderr)
            );
        }
    }
}
