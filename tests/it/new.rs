//! `new`: what it writes compiles with what is there, in an empty folder and in the shipped pack.

use std::fs;
use std::path::Path;

use cmp_relay::demo::packs::openstack;

use crate::support::program::{run, told};

/// Runs `new` in a folder.
fn new(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut all = vec!["new"];
    all.extend(arguments);
    all.extend(["--config", folder.to_str().unwrap()]);
    told(&run(&all))
}

fn made(folder: &Path, arguments: &[&str]) -> String {
    let (status, out, err) = new(folder, arguments);
    assert_eq!(status, 0, "{arguments:?}\n{out}{err}");
    out
}

/// Warnings count; secrets are not here.
fn is_valid(folder: &Path) {
    let (status, out, err) = told(&run(&[
        "validate-config",
        "--deny-warnings",
        "--no-secrets",
        "--config",
        folder.to_str().unwrap(),
    ]));
    assert_eq!(status, 0, "{out}{err}");
}

/// Every example holds, and the skeletons leave no route and no rule of theirs untried.
fn passes_its_examples(folder: &Path, resources: &[&str]) {
    let (status, out, err) = told(&run(&["test", "--config", folder.to_str().unwrap()]));
    assert_eq!(status, 0, "{out}{err}");
    for resource in resources {
        let line = format!("ok   routes.d/{resource}.yaml: ");
        assert!(out.contains(&line), "{resource}:\n{out}");
    }
    let all =
        regex::Regex::new(r"coverage: (\d+) of (\d+) routes .* meet (\d+) of (\d+) rules").unwrap();
    let found = all.captures(&out).unwrap_or_else(|| panic!("{out}"));
    assert_eq!((&found[1], &found[3]), (&found[2], &found[4]), "{out}");
}

fn shipped() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in openstack::PACK.whole() {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn read(folder: &Path, path: &str) -> String {
    fs::read_to_string(folder.join(path)).unwrap()
}

#[test]
fn a_pack_in_an_empty_folder_validates() {
    let folder = tempfile::tempdir().unwrap();
    let out = made(folder.path(), &["pack", "fw"]);
    for file in [
        "backends.d/fw-1.yaml",
        "routes.d/fw_group.yaml",
        "routes.d/fw_member.yaml",
        "routes.d/shared/fw-response.yaml",
    ] {
        assert!(out.contains(&format!("wrote {}", folder.path().join(file).display())));
        assert!(
            !read(folder.path(), file).contains('@'),
            "{file} is filled in"
        );
    }
    assert!(out.contains("cmp-relay validate-config --config"), "{out}");
    is_valid(folder.path());
    passes_its_examples(folder.path(), &["fw_group", "fw_member"]);
    // Another one beside it.
    made(
        folder.path(),
        &["pack", "waf", "--resources", "waf_policy,waf_rule"],
    );
    assert!(
        read(folder.path(), "routes.d/waf_rule.yaml")
            .contains("/v1/waf-policies/{waf_policy_id}/waf-rules")
    );
    is_valid(folder.path());
}

#[test]
fn a_route_in_an_empty_folder_brings_its_backend() {
    let folder = tempfile::tempdir().unwrap();
    let (status, _, err) = new(folder.path(), &["route", "firewall_rule"]);
    assert_eq!(status, 2, "which kind, nobody knows");
    assert!(err.contains("--kind"), "{err}");
    made(folder.path(), &["route", "firewall_rule", "--kind", "fw"]);
    is_valid(folder.path());
    passes_its_examples(folder.path(), &["firewall_rule"]);
    // The next one finds the only kind that there is.
    let out = made(folder.path(), &["route", "address"]);
    assert!(!out.contains("backends.d"), "{out}");
    assert!(read(folder.path(), "routes.d/address.yaml").contains("kind: fw\n"));
    is_valid(folder.path());
}

#[test]
fn a_route_in_the_shipped_pack_chooses_as_its_routes_do() {
    let folder = shipped();
    made(folder.path(), &["route", "trunk"]);
    let text = read(folder.path(), "routes.d/trunk.yaml");
    assert!(text.contains("region: \"{{ body.region }}\""), "{text}");
    assert!(text.contains("region: RegionOne"), "{text}");
    is_valid(folder.path());
    passes_its_examples(folder.path(), &["trunk"]);
    made(folder.path(), &["pack", "fw"]);
    is_valid(folder.path());
    // Its routes name no backend, for there is one: a second one would leave them open.
    let (status, _, err) = new(folder.path(), &["backend", "fw-2"]);
    assert_eq!(
        (status, err.contains("add their `select` first")),
        (1, true),
        "{err}"
    );
}

#[test]
fn backends_without_labels_are_told_apart_by_name() {
    let folder = tempfile::tempdir().unwrap();
    made(folder.path(), &["backend", "fw-1"]);
    made(folder.path(), &["backend", "fw-2"]);
    made(folder.path(), &["route", "zone"]);
    let text = read(folder.path(), "routes.d/zone.yaml");
    assert!(text.contains("instance: \"{{ body.backend }}\""), "{text}");
    is_valid(folder.path());
    passes_its_examples(folder.path(), &["zone"]);
}

#[test]
fn a_backend_has_the_labels_of_its_kind() {
    let folder = shipped();
    made(folder.path(), &["backend", "neutron-3"]);
    let text = read(folder.path(), "backends.d/neutron-3.yaml");
    assert!(text.contains("kind: neutron\n") && text.contains("  region: neutron-3\n"));
    is_valid(folder.path());
}

#[test]
fn a_backend_has_any_way_to_authenticate() {
    let folder = tempfile::tempdir().unwrap();
    let url = "https://10.0.0.1:9696";
    for auth in [
        "basic",
        "bearer",
        "headers",
        "query",
        "client_certificate",
        "keystone",
        "login",
    ] {
        let name = format!("fw-{}", auth.replace('_', "-"));
        made(
            folder.path(),
            &[
                "backend", &name, "--kind", "fw", "--auth", auth, "--url", url,
            ],
        );
        let text = read(folder.path(), &format!("backends.d/{name}.yaml"));
        assert!(
            text.contains(&format!("url: {url}\n")) && !text.contains('@'),
            "{text}"
        );
    }
    made(folder.path(), &["route", "zone", "--kind", "fw"]);
    is_valid(folder.path());
    let out = made(folder.path(), &["backend", "switch-1"]);
    assert!(
        out.contains("cmp-relay new route RESOURCE --kind switch"),
        "{out}"
    );
}

#[test]
fn what_is_there_is_never_touched() {
    let folder = shipped();
    let refused = |arguments: &[&str], status: i32, words: &str| {
        let before = fs::read_dir(folder.path().join("routes.d"))
            .unwrap()
            .count();
        let (found, out, err) = new(folder.path(), arguments);
        assert_eq!(found, status, "{out}{err}");
        assert!(err.contains(words), "{arguments:?}: {err}");
        assert!(!out.contains("wrote"), "{out}");
        let after = fs::read_dir(folder.path().join("routes.d"))
            .unwrap()
            .count();
        assert_eq!(before, after);
    };
    refused(&["route", "network"], 2, "routes.d/networks.yaml");
    refused(&["backend", "neutron-1"], 2, "backends.d/neutron-1.yaml");
    refused(&["route", "Network"], 2, "lower-case letters");
    refused(&["backend", "../x"], 2, "is no name for a backend");
    refused(
        &["pack", "neutron"],
        2,
        "there are backends of kind neutron already",
    );
    let taken = folder.path().join("routes.d/trunk.yaml");
    fs::write(&taken, "# mine\n").unwrap();
    refused(&["route", "trunk"], 2, "nothing is overwritten");
    assert_eq!(fs::read_to_string(&taken).unwrap(), "# mine\n");
    fs::remove_file(&taken).unwrap();
    // The path is another resource's: it would not compile, so it is not written.
    let networks = read(folder.path(), "routes.d/networks.yaml");
    let moved = networks.replace("/v1/networks", "/v1/trunks");
    fs::write(folder.path().join("routes.d/networks.yaml"), moved).unwrap();
    refused(&["route", "trunk"], 1, "error[route-collision]");
    let (status, _, err) = new(Path::new("/nowhere/at/all"), &["route", "a"]);
    assert_eq!((status, err.contains("mkdir")), (2, true), "{err}");
}
