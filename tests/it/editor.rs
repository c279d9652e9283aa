//! The schemas as an author meets them: the YAML language server that editors use, asked what is wrong in
//! a file and what may stand at a place.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::openapi::provided;
use crate::support::mariadb::peer_or_skip;

/// What the server says of one text.
#[derive(Debug)]
struct Said {
    /// Line, counted from 1, and message.
    problems: Vec<(u64, String)>,
    offers: Vec<String>,
    hover: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Asks about texts as if they stood in these files; `¦` in a text is the cursor. `None`: no server.
fn ask(texts: &[(String, String)]) -> Option<Vec<Said>> {
    let folder = peer_or_skip("the YAML language server (npm)", provided("editor"))?;
    let questions: Vec<Value> = texts
        .iter()
        .map(|(file, text)| {
            let cursor = text.split_once('¦').map(|(before, _)| {
                let line = before.matches('\n').count();
                let column = before.len() - before.rfind('\n').map_or(0, |at| at + 1);
                json!([line, column])
            });
            let file = root().join(file);
            json!({ "file": file, "text": text.replacen('¦', "", 1), "at": cursor })
        })
        .collect();
    let mut node = Command::new(folder.with_file_name("bin").join("node"))
        .arg(root().join("tests/peers/tools/editor/ask.mjs"))
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = Value::from(questions).to_string();
    // Dropped with the statement: the script reads to its end.
    node.stdin
        .take()
        .unwrap()
        .write_all(asked.as_bytes())
        .unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answers.len(), texts.len());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let said = answers.iter().map(|answer| Said {
        problems: answer["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| (problem["line"].as_u64().unwrap(), text(&problem["message"])))
            .collect(),
        offers: answer["offers"]
            .as_array()
            .unwrap()
            .iter()
            .map(text)
            .collect(),
        hover: text(&answer["hover"]),
    });
    Some(said.collect())
}

/// A text of a file in `folder`, of which there is one each: the server remembers files by their names.
fn question(index: usize, folder: &str, schema: &str, text: &str) -> (String, String) {
    let up = if folder == "." { "" } else { "../" };
    let header = format!("# yaml-language-server: $schema={up}schema/{schema}.schema.json\n");
    (format!("{folder}/new-{index}.yaml"), header + text)
}

#[test]
fn an_editor_underlines_each_fault_on_its_line() {
    let mut cases: Vec<(String, String)> = std::fs::read_dir(root().join("tests/editor"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "yaml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.to_str().unwrap().to_owned(), text)
        })
        .collect();
    cases.sort();
    assert!(cases.len() >= 20, "{}", cases.len());
    let Some(answers) = ask(&cases) else { return };
    for ((file, text), said) in cases.iter().zip(answers) {
        let marked = text.lines().position(|line| line.ends_with("# here"));
        let line = marked.unwrap_or_else(|| panic!("{file} marks no line")) + 1;
        let lines: Vec<u64> = said.problems.iter().map(|(line, _)| *line).collect();
        assert_eq!(
            lines,
            [u64::try_from(line).unwrap()],
            "{file}: {:?}",
            said.problems
        );
    }
}

#[test]
fn an_editor_says_nothing_of_the_shipped_files() {
    let mut files = vec!["relay.yaml".to_owned()];
    // What `routes.d/schemas/` names is no file of ours: an editor would fetch it.
    for folder in ["routes.d", "routes.d/shared", "backends.d"] {
        for entry in std::fs::read_dir(root().join(folder)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with(".yaml") {
                files.push(format!("{folder}/{name}"));
            }
        }
    }
    let texts: Vec<_> = files
        .into_iter()
        .map(|file| {
            // The cursor's sign would be taken for one.
            let text = std::fs::read_to_string(root().join(&file)).unwrap();
            assert!(!text.contains('¦'), "{file}");
            (file, text)
        })
        .collect();
    let Some(answers) = ask(&texts) else { return };
    for ((file, _), said) in texts.iter().zip(answers) {
        assert_eq!(said.problems, [], "{file}");
    }
}

#[test]
fn an_editor_offers_the_keys_that_may_stand_there() {
    const ROUTE: &str =
        "resource: thing\nkind: fw\nroutes:\n  create_thing:\n    match: POST /v1/things\n";
    let route = |rest: &str| format!("{ROUTE}{rest}");
    let backend = |auth: &str| {
        format!(
            "name: fw-1\nkind: fw\ndriver:\n  https:\n    url: https://fw.example.net\n    auth:\n{auth}"
        )
    };
    let cases: Vec<(&str, &str, String, Vec<&str>)> = vec![
        (
            ".",
            "relay",
            "limits:\n  ¦".into(),
            vec![
                "request_body",
                "response_body",
                "stored_reply",
                "in_flight",
                "connections",
                "cached_mappings",
            ],
        ),
        (
            ".",
            "relay",
            "log:\n  format: ¦".into(),
            vec!["text", "json"],
        ),
        (
            "backends.d",
            "backend",
            backend("      ¦"),
            vec!["basic", "bearer", "headers", "query", "keystone", "login"],
        ),
        (
            "backends.d",
            "backend",
            backend("      bearer:\n        ¦"),
            vec!["env", "file"],
        ),
        (
            "backends.d",
            "backend",
            "name: fw-1\nstate: ¦".into(),
            vec!["active", "drain"],
        ),
        (
            "routes.d",
            "routes",
            route("    call:\n      http: POST /x\n    mapping:\n      ¦"),
            vec!["create", "update", "put", "delete", "$ref"],
        ),
        (
            "routes.d",
            "routes",
            route("    call:\n      ¦"),
            vec![
                "http", "query", "headers", "body", "form", "template", "auth", "timeout", "cli",
                "mode", "save", "exec", "stdin", "netconf", "target", "variants", "$ref",
            ],
        ),
        (
            "routes.d",
            "routes",
            route("    mapping:\n      create:\n        ¦"),
            vec![
                "resource",
                "cmp_id",
                "when",
                "backend_id",
                "attributes",
                "$ref",
            ],
        ),
        (
            "routes.d",
            "routes",
            route("    response:\n      errors:\n        - ¦"),
            vec!["when", "reply", "code", "detail", "side_effect", "$ref"],
        ),
        (
            "routes.d",
            "routes",
            route("    select:\n      prefer: ¦"),
            vec!["first", "round_robin", "least_objects", "hash"],
        ),
    ];
    let texts: Vec<_> = cases
        .iter()
        .enumerate()
        .map(|(index, (folder, schema, text, _))| question(index, folder, schema, text))
        .collect();
    let Some(answers) = ask(&texts) else { return };
    for ((_, _, text, expected), said) in cases.iter().zip(answers) {
        assert_eq!(said.offers, *expected, "{text}");
    }
}

#[test]
fn an_editor_explains_a_key_where_it_stands() {
    let texts = [
        question(100, ".", "relay", "limits:\n  in_¦flight: 5\n"),
        question(
            101,
            "backends.d",
            "backend",
            "name: fw-1\nbreaker:\n  open¦_for: 5s\n",
        ),
        question(
            102,
            "routes.d",
            "routes",
            "resource: thing\nkind: fw\nroutes:\n  x:\n    idem¦potent: true\n",
        ),
    ];
    let Some(answers) = ask(&texts) else { return };
    for (said, words) in answers.iter().zip([
        "Requests at once",
        "one call tries",
        "A retry after an unknown outcome",
    ]) {
        assert!(said.hover.contains(words), "{}", said.hover);
    }
}
