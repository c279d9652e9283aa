//! What the relay publishes, held against tools that know nothing of it: an OpenAPI validator, a JSON
//! Schema validator, a generator of requests.
//!
//! `tests/peers/tools.sh` provides them. Each test also shows its tool something wrong, because a check that
//! cannot fail is none.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use cmp_relay::demo::packs;
use serde_json::{Value, json};

use crate::demo::{Demo, free_port};
use crate::support::mariadb::peer_or_skip;
use crate::support::program::run;

const TOOLS: &str = "independent validators (PyPI)";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// What a verb of the script prints; `None`: the tools cannot be had.
pub(crate) fn provided(verb: &str) -> Option<PathBuf> {
    let output = Command::new(root().join("tests/peers/tools.sh"))
        .arg(verb)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| said.trim_end().into())
}

/// The interpreter that has the tools.
pub(crate) fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    let python = PYTHON.get_or_init(|| provided("python"));
    peer_or_skip(TOOLS, python.as_deref())
}

pub(crate) fn tool(python: &Path, script: &str, files: &[PathBuf]) -> Output {
    Command::new(python)
        .arg(root().join("tests/peers/tools").join(script))
        .args(files)
        .output()
        .unwrap()
}

pub(crate) fn words(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The document of a configuration folder, as `cmp-relay openapi` prints it.
fn document(folder: &str) -> Value {
    let printed = Command::new(env!("CARGO_BIN_EXE_cmp-relay"))
        .args(["openapi", "--config"])
        .arg(root().join(folder))
        .envs(packs::secrets().map(|name| (name, "x")))
        .env("FW_TOKEN", "x")
        .output()
        .unwrap();
    assert!(printed.status.success(), "{}", words(&printed));
    serde_json::from_slice(&printed.stdout).unwrap()
}

/// Where a document has one fault, and the member that is then not there or wrong.
fn with(document: &Value, pointer: &str, fault: Value) -> Value {
    let mut wrong = document.clone();
    *wrong.pointer_mut(pointer).unwrap() = fault;
    wrong
}

#[test]
fn what_is_published_is_openapi_by_an_independent_validator() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, document: &Value| {
        let path = folder.path().join(name);
        std::fs::write(&path, document.to_string()).unwrap();
        path
    };
    let pack = document(".");
    let example = document("tests/config/language_example");
    let right = [write("pack.json", &pack), write("example.json", &example)];
    let said = tool(python, "openapi.py", &right);
    assert!(said.status.success(), "{}", words(&said));

    let get = "/paths/~1v1~1networks~1{id}/get";
    let wrong = [
        with(&pack, &format!("{get}/parameters"), json!([])),
        with(
            &pack,
            &format!("{get}/responses/404"),
            json!({ "$ref": "#/components/responses/none" }),
        ),
        with(&pack, &format!("{get}/operationId"), json!("list_networks")),
        with(&pack, "/components/schemas/network/type", json!("objekt")),
    ];
    for (index, document) in wrong.iter().enumerate() {
        let said = tool(python, "openapi.py", &[write("wrong.json", document)]);
        assert_eq!(said.status.code(), Some(1), "{index}: {}", words(&said));
    }
}

/// The YAML files below a folder.
fn yaml_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            yaml_below(&path, found);
        } else if path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml")
        {
            found.push(path);
        }
    }
}

/// `schemas.py` of these files: by file, what is wrong and where.
fn complaints(python: &Path, files: &[PathBuf]) -> Vec<(PathBuf, Vec<(String, String)>)> {
    let said = tool(python, "schemas.py", files);
    let found: Value = serde_json::from_slice(&said.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", words(&said)));
    let text = |complaint: &Value, member: &str| complaint[member].as_str().unwrap().to_owned();
    files
        .iter()
        .map(|file| {
            let complaints = found[file.to_str().unwrap()].as_array().unwrap();
            let complaints = complaints.iter();
            let pairs = complaints.map(|one| (text(one, "pointer"), text(one, "message")));
            (file.clone(), pairs.collect())
        })
        .collect()
}

#[test]
fn every_shipped_yaml_file_is_right_by_the_schema_that_its_first_line_names() {
    let Some(python) = python() else { return };
    let mut files = vec![root().join("relay.yaml")];
    for folder in ["routes.d", "backends.d", "docs/tutorial"] {
        yaml_below(&root().join(folder), &mut files);
    }
    assert!(files.len() > 43, "{files:?}");
    for (file, complaints) in complaints(python, &files) {
        assert_eq!(complaints, [], "{}", file.display());
    }
}

/// The files of tests/editor/: each says in its second line where it is wrong, `# wrong at: /pointer`.
#[test]
fn every_wrong_file_is_refused_at_its_place() {
    let Some(python) = python() else { return };
    let mut files = Vec::new();
    yaml_below(&root().join("tests/editor"), &mut files);
    files.sort();
    let wrong_at = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let line = text
            .lines()
            .nth(1)
            .and_then(|line| line.strip_prefix("# wrong at: "));
        line.map(str::to_owned)
    };
    files.retain(|file| wrong_at(file).is_some());
    assert!(files.len() >= 12, "{files:?}");
    for (file, complaints) in complaints(python, &files) {
        let pointer = wrong_at(&file).unwrap();
        let places: Vec<&str> = complaints.iter().map(|(place, _)| &**place).collect();
        assert_eq!(places, [pointer], "{}: {complaints:?}", file.display());
    }
}

/// schemathesis over these operations; whether all that it saw kept what the document promises.
fn conforms(python: &Path, document: &str, url: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    Command::new(python.with_file_name("schemathesis"))
        .args(["run", document, "--url", url])
        .args([
            "--seed",
            "1",
            "--suppress-health-check",
            "all",
            "--warnings",
            "off",
        ])
        .args(["--checks", CHECKS, "--continue-on-failure", "--no-color"])
        .args(more)
        .env("PYTHONPATH", root().join("tests/peers/tools"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SCHEMATHESIS_HOOKS", "conformance")
        // It keeps a database of examples where it runs.
        .current_dir(folder.path())
        .output()
        .unwrap()
}

/// What a line of shell prints, for a relay there.
fn shell(line: &str, relay: &str) -> String {
    let ran = Command::new("sh")
        .args(["-c", line])
        .env("RELAY", relay)
        .output()
        .unwrap();
    String::from_utf8(ran.stdout).unwrap()
}

const CHECKS: &str = "no_failure_of_the_relays_own,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method,\
                      allow_header_conformance,negative_data_rejection,missing_required_header";

#[test]
fn the_demo_keeps_what_its_document_promises() {
    let Some(python) = python() else { return };
    let data = tempfile::tempdir().unwrap();
    let demo = Demo::start(data.path(), free_port());
    let url = demo
        .preface
        .iter()
        .find_map(|line| line.strip_prefix("The relay"))
        .unwrap()
        .trim();
    // The lines to try on the page are ones that work.
    let page = shell(&format!("curl -s {url}/docs"), url);
    for id in [
        "list_networks",
        "create_network",
        "get_network",
        "delete_network",
    ] {
        let (_, section) = page.split_once(&format!("<h3 id=\"{id}\">")).unwrap();
        let (_, line) = section.split_once("<pre class=try><code>").unwrap();
        let (line, _) = line.split_once("</code>").unwrap();
        let line = [
            ("&quot;", "\""),
            ("&#39;", "'"),
            ("&lt;", "<"),
            ("&gt;", ">"),
            ("&amp;", "&"),
        ]
        .iter()
        .fold(line.to_owned(), |line, (escaped, plain)| {
            line.replace(escaped, plain)
        });
        let answer = shell(&line, url);
        assert!(answer.starts_with("HTTP/1.1 20"), "{line}\n{answer}");
    }

    let said = conforms(
        python,
        &format!("{url}/openapi.json"),
        url,
        &["--max-examples", "10"],
    );
    assert!(said.status.success(), "{}", words(&said));

    // A promise that is not kept is found: a status that is not listed, a member that never comes.
    let document = document(".");
    let reading = [
        "--include-operation-id",
        "get_network",
        "--phases",
        "coverage,fuzzing",
        "--max-examples",
        "25",
    ];
    let wrong = [
        with(
            &document,
            "/paths/~1v1~1networks~1{id}/get/responses",
            json!({ "200": { "description": "Done." } }),
        ),
        with(
            &document,
            "/components/schemas/Problem/required",
            json!(["typo"]),
        ),
    ];
    for wrong in wrong {
        let file = data.path().join("wrong.json");
        std::fs::write(&file, wrong.to_string()).unwrap();
        let said = conforms(python, file.to_str().unwrap(), url, &reading);
        assert_eq!(said.status.code(), Some(1), "{}", words(&said));
    }
    assert!(demo.interrupt());
}

#[test]
fn a_configuration_that_does_not_compile_has_no_document() {
    let folder = root().join("tests/config/route_call");
    let said = run(&["openapi", "--config", folder.to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(1));
    assert!(said.stdout.is_empty());
    assert!(
        words(&said).contains("does not compile"),
        "{}",
        words(&said)
    );
}
