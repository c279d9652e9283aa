//! `import openapi`: a backend's document, drafted; the draft's marks, answered as a person would; and what
//! comes of it, checked and run.
//!
//! Each document of `tests/openapi/` has a folder of its name with the draft, file by file:
//! `UPDATE_EXPECTED=1` writes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cmp_relay::config::{self, Env};
use cmp_relay::diagnostics::{Severity, text};

use regex::Regex;

use crate::support::program::{run, told};

fn documents() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("tests/openapi")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    assert!(found.len() >= 2, "{found:?}");
    found
}

/// The files below a folder, by their paths in it; the editors' schemas aside.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(inner) = open.pop() {
        let Ok(entries) = fs::read_dir(&inner) else {
            continue;
        };
        for entry in entries {
            let path = entry.unwrap().path();
            let below = path
                .strip_prefix(folder)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            if below == "schema" {
                continue;
            }
            match path.is_dir() {
                true => open.push(path),
                false => drop(found.insert(below, fs::read_to_string(&path).unwrap())),
            }
        }
    }
    found
}

fn import(document: &Path, out: &Path, more: &[&str]) -> (i32, String, String) {
    let mut arguments = vec!["import", "openapi", document.to_str().unwrap()];
    arguments.extend(["--out", out.to_str().unwrap()]);
    arguments.extend(more);
    told(&run(&arguments))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Puts the picked candidate in the place of each mark; gives how many there were.
fn answered(draft: &str, pick: impl Fn(usize) -> usize) -> (String, usize) {
    let mut out: Vec<String> = Vec::new();
    let mut marks = 0;
    let mut lines = draft.lines().peekable();
    while let Some(line) = lines.next() {
        if !line.trim_start().starts_with("$decide: ") {
            out.push(line.to_owned());
            continue;
        }
        marks += 1;
        let depth = indent(line);
        assert_eq!(lines.next().map(str::trim), Some("candidates:"), "{line}");
        let mut candidates: Vec<Vec<String>> = Vec::new();
        while lines.peek().is_some_and(|line| indent(line) > depth) {
            let line = lines.next().unwrap();
            // An item begins with its dash; what goes on below it stands deeper.
            match line[depth..].strip_prefix("  - ") {
                Some(first) => candidates.push(vec![first.to_owned()]),
                None => candidates
                    .last_mut()
                    .unwrap()
                    .push(line[depth + 4..].to_owned()),
            }
        }
        let chosen = candidates.swap_remove(pick(candidates.len()));
        let key = out.last_mut().unwrap();
        assert!(key.ends_with(':'), "{key}");
        let is_map = chosen.len() > 1 || chosen[0].ends_with(':') || {
            let (word, rest) = chosen[0].split_once(": ").unwrap_or_default();
            !rest.is_empty()
                && word
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "_-$".contains(c))
        };
        match is_map {
            true => out.extend(
                chosen
                    .iter()
                    .map(|line| format!("{}{line}", " ".repeat(depth))),
            ),
            false => key.push_str(&format!(" {}", chosen[0])),
        }
    }
    (out.join("\n") + "\n", marks)
}

/// What compiling a folder says: the codes of its errors, and all of it as text.
fn compiled(folder: &Path) -> (Vec<&'static str>, String) {
    let loaded = config::load(folder, &Env::new([]).ignoring_secrets());
    let said = text::render_text(&loaded.diagnostics, &loaded.files, false);
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|said| said.severity == Severity::Error);
    (errors.map(|said| said.code).collect(), said)
}

#[test]
fn a_draft_is_what_is_expected() {
    let update = crate::support::told("UPDATE_EXPECTED").is_some();
    for document in documents() {
        let out = tempfile::tempdir().unwrap();
        let (status, said, error) = import(&document, out.path(), &[]);
        assert_eq!(status, 0, "{document:?}: {error}");
        let expected = document.with_extension("");
        let mut drafted = files(out.path());
        let place = out.path().to_str().unwrap();
        drafted.insert("said.txt".to_owned(), said.replace(place, "DIR"));
        if update {
            let _ = fs::remove_dir_all(&expected);
            for (path, text) in &drafted {
                let path = expected.join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
        }
        let known = files(&expected);
        let names = |files: &BTreeMap<String, String>| files.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&known), names(&drafted), "{document:?}");
        for (path, text) in drafted {
            assert_eq!(known[&path], text, "{document:?}: {path}");
        }
    }
}

/// Every mark is pointed at and nothing else is wrong; with the first candidates in their place the whole
/// is fine and its examples pass; with the last ones it compiles.
#[test]
fn a_draft_with_its_marks_answered_is_right() {
    let warned = Regex::new(r"(?m)^warning\[([a-z-]+)\]").unwrap();
    for document in documents() {
        let out = tempfile::tempdir().unwrap();
        let (status, _, error) = import(&document, out.path(), &[]);
        assert_eq!(status, 0, "{document:?}: {error}");
        let drafted = files(out.path());
        let mut marks = 0;
        let mut answer = |pick: &dyn Fn(usize) -> usize| {
            marks = 0;
            for (path, text) in &drafted {
                let (text, found) = answered(text, pick);
                marks += found;
                fs::write(out.path().join(path), text).unwrap();
            }
            marks
        };
        let (errors, said) = compiled(out.path());
        let count = answer(&|_| 0);
        assert!(count >= 3, "{document:?} has {count} marks");
        assert_eq!(errors, vec!["undecided"; count], "{document:?}\n{said}");

        // What the document does not offer is said still, and is no error: a field for the CMP's id, a
        // delete, an example with every field.
        let (errors, said) = compiled(out.path());
        assert!(errors.is_empty(), "{document:?}\n{said}");
        for code in warned.captures_iter(&said) {
            let open = [
                "unmarked-create",
                "create-without-delete",
                "unseen-in-examples",
            ];
            assert!(open.contains(&&code[1]), "{document:?}\n{said}");
        }
        let folder = out.path().to_str().unwrap();
        let checks: [&[&str]; 2] = [
            &["validate-config", "--no-secrets", "--config", folder],
            &["test", "--config", folder],
        ];
        for check in checks {
            let (status, said, error) = told(&run(check));
            assert_eq!(status, 0, "{document:?}: {check:?}\n{said}{error}");
            assert!(!said.contains("has no example"), "{document:?}\n{said}");
        }
        // Another answer may need another example, and nothing else.
        answer(&|count| count - 1);
        let (errors, said) = compiled(out.path());
        let of_examples = ["bad-example", "example-failed"];
        assert!(
            errors.iter().all(|code| of_examples.contains(code)),
            "{document:?}\n{said}"
        );
    }
}

#[test]
fn a_file_that_is_there_is_never_overwritten() {
    let out = tempfile::tempdir().unwrap();
    let document = Path::new("tests/openapi/dns.yaml");
    fs::create_dir_all(out.path().join("routes.d")).unwrap();
    fs::write(out.path().join("routes.d/zones.yaml"), "mine\n").unwrap();
    let (status, _, error) = import(document, out.path(), &[]);
    assert_eq!(status, 1);
    assert!(
        error.contains("routes.d/zones.yaml is there already"),
        "{error}"
    );
    let after = files(out.path());
    assert_eq!(after.len(), 1, "nothing is written: {after:?}");
    assert_eq!(after["routes.d/zones.yaml"], "mine\n");
}

#[test]
fn a_part_of_a_document_brings_the_parents_that_it_needs() {
    let document = Path::new("tests/openapi/dns.yaml");
    for (more, expected) in [
        (
            &["--resource", "record", "--kind", "dns"][..],
            &["records", "zones"][..],
        ),
        (&["--path", "/views", "--kind", "dns"], &["views"]),
        (&["--tag", "zones", "--kind", "dns"], &["zones"]),
    ] {
        let out = tempfile::tempdir().unwrap();
        let (status, _, error) = import(document, out.path(), more);
        assert_eq!(status, 0, "{more:?}: {error}");
        let written = files(out.path());
        assert!(written.contains_key("backends.d/dns-1.yaml"), "{written:?}");
        let routes: Vec<&str> = written
            .keys()
            .filter_map(|path| path.strip_prefix("routes.d/")?.strip_suffix(".yaml"))
            .collect();
        assert_eq!(routes, expected, "{more:?}");
    }
}

/// A kind that has its backend gets no second one.
#[test]
fn a_backend_that_is_there_is_used() {
    let out = tempfile::tempdir().unwrap();
    fs::create_dir_all(out.path().join("backends.d")).unwrap();
    let mine = "name: ns-7\nkind: dns\ndriver: { https: { url: 'https://ns-7.example' } }\n";
    fs::write(out.path().join("backends.d/mine.yaml"), mine).unwrap();
    let document = Path::new("tests/openapi/dns.yaml");
    let (status, _, error) = import(document, out.path(), &["--kind", "dns", "--tag", "zones"]);
    assert_eq!(status, 0, "{error}");
    let written = files(out.path());
    assert!(!written.contains_key("backends.d/dns-1.yaml"));
    assert!(written["routes.d/zones.yaml"].contains("backend: ns-7"));
}

#[test]
fn what_cannot_be_imported_says_why() {
    let folder = tempfile::tempdir().unwrap();
    for (text, status, words) in [
        ("swagger: '2.0'\n", 2, "convert it to OpenAPI 3 first"),
        ("openapi: 2.9.9\n", 2, "`openapi` is `2.9.9`"),
        (
            "openapi: 3.0.0\ninfo: {}\npaths: {}\n",
            1,
            "no operation of the document is left",
        ),
        (
            "openapi: 3.1.0\npaths: { /a: { $ref: 'other.yaml#/a' } }\n",
            1,
            "nothing is fetched",
        ),
        (
            "openapi: 3.1.0\npaths: { /a: { $ref: '#/components/pathItems/b' } }\n",
            1,
            "leads nowhere",
        ),
        ("- [", 1, "neither JSON nor YAML"),
    ] {
        let document = folder.path().join("document.yaml");
        fs::write(&document, text).unwrap();
        let (got, _, error) = import(&document, &folder.path().join("out"), &[]);
        assert!(
            got == status && error.contains(words),
            "{text}: {got} {error}"
        );
        assert!(!folder.path().join("out").exists());
    }
    let document = Path::new("tests/openapi/dns.yaml");
    let (status, _, error) = import(document, folder.path(), &["--resource", "zoen"]);
    assert!(status == 2 && error.contains("it has: zone, "), "{error}");
}
