//! `docs/explain.md` is so: what its commands print, and the steps of a request.
//! `UPDATE_EXPECTED=1` writes what they print.

use std::path::Path;

use cmp_relay::relay::witness::Step;

use crate::support::program::{run, told};

const PAGE: &str = "docs/explain.md";

/// The words of a command line; single quotes hold a word together.
fn words(line: &str) -> Vec<String> {
    line.split('\'')
        .enumerate()
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

/// The page with what its commands print now.
fn printed(page: &str) -> (String, usize) {
    let mut out = String::new();
    let (mut commands, mut inside) = (0, false);
    for line in page.lines() {
        match line.strip_prefix("$ cmp-relay ") {
            Some(command) if inside => {
                let words = words(command);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let (_, said, wrong) = told(&run(&words));
                assert_eq!(wrong, "", "{line}");
                out += &format!("{line}\n{}\n", said.trim_end());
                commands += 1;
            }
            _ if inside && line != "```" => {}
            _ => {
                inside = line == "```console";
                out += &format!("{line}\n");
            }
        }
    }
    (out, commands)
}

#[test]
fn the_page_shows_what_is_printed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let (now, commands) = printed(&page);
    assert!(commands > 3, "found only {commands} commands");
    if crate::support::told("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, now).unwrap();
        return;
    }
    assert_eq!(page, now, "{PAGE} is stale: UPDATE_EXPECTED=1 writes it");
}

#[test]
fn every_step_is_on_the_page() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    for step in Step::ALL {
        let line = format!(
            "| {} | `{}` | {} |\n",
            step.number(),
            step.name(),
            step.words()
        );
        assert!(page.contains(&line), "not on the page: {line}");
    }
}
