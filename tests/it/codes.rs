//! The pages of the diagnostic codes, in `docs/codes/`: every code has one, every page a code, and each example
//! is what it says: laid over `tests/broken/base/`, the wrong one gives the page's code and the right one nothing.

use std::collections::BTreeSet;
use std::fs;

use cmp_relay::diagnostics::{pages, text};
use regex::Regex;

use crate::broken::Bundle;

/// Codes of what no text on a page can show, with what shows them instead.
const NOT_SHOWN: [&str; 0] = [];

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
    for (code, page) in pages::PAGES {
        if !page.starts_with(&format!("# {code}\n\n")) {
            wrong.push(format!("{code}: the page does not begin with `# {code}`"));
        }
        if NOT_SHOWN.contains(code) {
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
        if codes != BTreeSet::from([*code]) {
            wrong.push(format!("{code}: Wrong says {codes:?}\n{text}"));
        }
        let (codes, text) = said(&right);
        if !codes.is_empty() {
            wrong.push(format!("{code}: Right says {codes:?}\n{text}"));
        }
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert_eq!(seen + NOT_SHOWN.len(), pages::PAGES.len());
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
fn every_page_has_a_code() {
    let codes = codes();
    for (page, _) in pages::PAGES {
        assert!(
            codes.contains(*page),
            "docs/codes/{page}.md explains no code"
        );
    }
}
