//! The pages of the diagnostic codes, in `docs/codes/`: every code has one, every page a code, and each example
//! is what it says: laid over `tests/broken/base/`, the wrong one gives the page's code and the right one nothing.

use std::collections::BTreeSet;
use std::fs;

use cmp_relay::diagnostics::{pages, text};
use cmp_relay::http::problem;
use regex::Regex;

use crate::broken::Bundle;

/// Codes of what no text on a page can show: what is wrong is the disk, the encoding, the size.
const NOT_SHOWN: [&str; 5] = [
    "unreadable",
    "not-utf8",
    "file-too-big",
    "empty-folder",
    "too-many",
];

/// Every page: its code and its text.
fn written() -> Vec<(String, String)> {
    let mut written: Vec<_> = fs::read_dir("docs/codes")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("README.md"))
        .map(|path| {
            let code = path.file_stem().unwrap().to_str().unwrap().to_owned();
            (code, fs::read_to_string(path).unwrap())
        })
        .collect();
    written.sort();
    written
}

/// The files of the examples below a heading: path and text of each.
fn examples(page: &str, heading: &str) -> Vec<(String, String)> {
    let Some((_, below)) = page.split_once(&format!("\n## {heading}\n")) else {
        return Vec::new();
    };
    let mut examples = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in below.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(word), None) => {
                let (_, path) = word.split_once(' ').unwrap_or_default();
                open = Some((path.to_owned(), String::new()));
            }
            (Some(_), Some(example)) => examples.push(example),
            (None, Some((path, text))) => open = Some((path, text + line + "\n")),
            (None, None) if line.starts_with("## ") => break,
            (None, None) => {}
        }
    }
    examples
}

/// What is said of the base with these files laid over it: codes, and the text.
fn said(examples: &[(String, String)]) -> (BTreeSet<&'static str>, String) {
    let bundle = Bundle::base();
    for (path, text) in examples {
        bundle.write(path, text.as_bytes());
    }
    let loaded = bundle.load();
    (
        loaded.diagnostics.iter().map(|said| said.code).collect(),
        text::render_text(&loaded.diagnostics, &loaded.files, false),
    )
}

#[test]
fn every_example_of_a_page_is_what_it_says() {
    let mut wrong = Vec::new();
    let mut seen = 0;
    let written = written();
    for (code, page) in &written {
        if !page.starts_with(&format!("# {code}\n\n")) {
            wrong.push(format!("{code}: the page does not begin with `# {code}`"));
        }
        if NOT_SHOWN.contains(&code.as_str()) {
            continue;
        }
        let (broken, right) = (examples(page, "Wrong"), examples(page, "Right"));
        if broken.is_empty() || right.is_empty() {
            wrong.push(format!("{code}: an example is missing"));
            continue;
        }
        for (path, _) in broken.iter().chain(&right) {
            if path.is_empty() {
                wrong.push(format!("{code}: a block does not say which file it is"));
            }
        }
        let (codes, text) = said(&broken);
        if codes != BTreeSet::from([code.as_str()]) {
            wrong.push(format!("{code}: Wrong says {codes:?}\n{text}"));
        }
        let (codes, text) = said(&right);
        if !codes.is_empty() {
            wrong.push(format!("{code}: Right says {codes:?}\n{text}"));
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(seen + NOT_SHOWN.len(), written.len());
}

/// Every code that the sources name. A code is a constant, and its files are these.
fn codes() -> BTreeSet<String> {
    let constant =
        Regex::new("const [A-Z0-9_]+: &str =\\s+\"([a-z0-9]+(?:-[a-z0-9]+)*)\";").unwrap();
    let mut codes = BTreeSet::new();
    for file in [
        "src/config/codes.rs",
        "src/config/compile/codes.rs",
        "src/diagnostics/mod.rs",
    ] {
        let text = fs::read_to_string(file).unwrap();
        codes.extend(constant.captures_iter(&text).map(|it| it[1].to_owned()));
    }
    assert!(codes.len() > 80, "found only {} codes", codes.len());
    codes
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let pages: BTreeSet<String> = written().into_iter().map(|(code, _)| code).collect();
    assert_eq!(pages, codes(), "left: docs/codes, right: the sources");
}

/// What is said anywhere in the cases has a page, a code beside its pass included.
#[test]
fn every_code_that_is_said_has_a_page() {
    let code = Regex::new(r"(?m)^(?:error|warning)\[([a-z0-9-]+)\]").unwrap();
    let mut seen = BTreeSet::new();
    for folder in ["tests/config", "tests/broken"] {
        for case in fs::read_dir(folder).unwrap() {
            let expected = case.unwrap().path().join("expected.txt");
            let said = fs::read_to_string(expected).unwrap_or_default();
            seen.extend(code.captures_iter(&said).map(|it| it[1].to_owned()));
        }
    }
    assert!(seen.len() > 80, "found only {seen:?}");
    let without: Vec<_> = seen
        .iter()
        .filter(|code| pages::page(code).is_none())
        .collect();
    assert!(without.is_empty(), "no page: {without:?}");
}

/// Every code is broken on purpose somewhere: a case of `tests/broken`, or else a test of its own.
#[test]
fn every_code_has_a_broken_bundle() {
    // By `a_file_that_cannot_be_read_is_said_alone`; 65,536 routes are nobody's folder.
    let elsewhere = ["unreadable", "file-too-big", "empty-folder", "too-many"];
    let first = Regex::new(r"(?m)^(?:error|warning)\[([a-z0-9-]+)\]").unwrap();
    let mut broken = BTreeSet::new();
    for case in fs::read_dir("tests/broken").unwrap() {
        let expected = case.unwrap().path().join("expected.txt");
        let said = fs::read_to_string(expected).unwrap_or_default();
        broken.extend(first.captures(&said).map(|it| it[1].to_owned()));
    }
    let unbroken: Vec<_> = codes()
        .into_iter()
        .filter(|code| !broken.contains(code) && !elsewhere.contains(&code.as_str()))
        .collect();
    assert!(unbroken.is_empty(), "no case of tests/broken: {unbroken:?}");
}

/// The index names every page once, with its first sentence; `UPDATE_EXPECTED=1` writes the sentences, and
/// puts a page that stands in no group below the last heading.
#[test]
fn the_index_has_every_page_with_its_first_sentence() {
    let path = "docs/codes/README.md";
    let index = fs::read_to_string(path).unwrap();
    let line =
        |code: &str, page: &str| format!("* [`{code}`]({code}.md): {}", pages::summary(page));
    let written = written();
    let mut lines: Vec<String> = Vec::new();
    for old in index.lines() {
        let code = old
            .strip_prefix("* [`")
            .and_then(|rest| rest.split_once('`'));
        match code {
            Some((code, _)) => lines.extend(
                written
                    .iter()
                    .filter(|(known, _)| known == code)
                    .map(|(code, page)| line(code, page)),
            ),
            None => lines.push(old.to_owned()),
        }
    }
    for (code, page) in &written {
        let line = line(code, page);
        match lines.iter().filter(|there| **there == line).count() {
            0 => lines.push(line),
            times => assert_eq!(times, 1, "{code} stands {times} times in {path}"),
        }
    }
    let current = lines.join("\n") + "\n";
    if crate::support::told("UPDATE_EXPECTED").is_some() {
        fs::write(path, &current).unwrap();
    } else {
        assert_eq!(
            index, current,
            "{path} is stale: UPDATE_EXPECTED=1 writes it"
        );
    }
}

/// Every problem is explained, and nothing else is.
#[test]
fn every_problem_has_a_section() {
    let problems: BTreeSet<&str> = problem::TABLE.iter().map(|(_, code, _)| *code).collect();
    let (_, sections) = pages::problems().split_once("\n## Each code\n").unwrap();
    let sections = sections.split("\n## ").next().unwrap();
    let heading = Regex::new("(?m)^### `([a-z_]+)`$").unwrap();
    let explained: Vec<&str> = heading
        .captures_iter(sections)
        .map(|it| it.get(1).unwrap().as_str())
        .collect();
    assert_eq!(
        explained.iter().copied().collect::<BTreeSet<_>>(),
        problems,
        "left: docs/problems.md, right: the table"
    );
    assert_eq!(explained.len(), problems.len(), "one stands twice");
    for code in problems {
        let section = pages::problem(code).unwrap();
        for part in ["Gets it: ", "Does not: "] {
            assert!(section.contains(part), "{code} does not say `{part}`");
        }
    }
}
