//! The page of each code: what it means, why it is refused, a wrong and a right example.
//!
//! Diagnostics have a file each in `docs/codes`, and docs/codes/README.md groups them; the relay's
//! problems have a row and a section each in docs/problems.md. All of it is embedded, so that the
//! program explains itself where there is no network. `help-code` prints it.

use crate::embedded;

const FOLDER: &str = "docs/codes/";

/// Every diagnostic's code.
pub fn codes() -> impl Iterator<Item = &'static str> {
    let code = |(path, _): (&'static str, _)| path.strip_prefix(FOLDER)?.strip_suffix(".md");
    embedded::below(FOLDER)
        .filter_map(code)
        .filter(|code| *code != "README")
}

/// The page of all problems.
pub fn problems() -> &'static str {
    embedded::text("docs/problems.md")
}

/// Where docs/problems.md begins to explain each problem.
const PROBLEM_SECTIONS: &str = "\n## Each code\n";

/// The page of a diagnostic's code.
pub fn page(code: &str) -> Option<&'static str> {
    codes().find(|name| *name == code)?;
    embedded::find(&format!("{FOLDER}{code}.md"))
}

/// The section of a problem's code, its heading included.
pub fn problem(code: &str) -> Option<&'static str> {
    let (_, sections) = problems().split_once(PROBLEM_SECTIONS)?;
    let sections = sections
        .split_once("\n## ")
        .map_or(sections, |(own, _)| own);
    let begin = sections.find(&format!("### `{code}`\n"))?;
    let section = &sections[begin..];
    let end = section.find("\n### ").map_or(section.len(), |end| end + 1);
    Some(&section[..end])
}

/// The first sentence below the heading: what the code means, on one line.
pub fn summary(page: &str) -> String {
    let below = page.split_once('\n').map_or("", |(_, below)| below);
    let paragraph = below.trim_start().split("\n\n").next().unwrap_or_default();
    let paragraph = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
    let end = paragraph
        .find(". ")
        .unwrap_or_else(|| paragraph.trim_end_matches('.').len());
    paragraph[..end].to_owned()
}

/// Every group of the index with its codes, in the order written; what has a page and stands in no
/// group comes last.
pub fn groups() -> Vec<(String, Vec<&'static str>)> {
    let mut groups: Vec<(String, Vec<&'static str>)> = Vec::new();
    // A heading for each group, and below it a line for each code.
    for line in embedded::text("docs/codes/README.md").lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            groups.push((heading.to_owned(), Vec::new()));
        } else if let Some((code, _)) = line.strip_prefix("* [`").and_then(|l| l.split_once('`'))
            && let Some((_, codes)) = groups.last_mut()
        {
            codes.push(code);
        }
    }
    let listed = |code: &str| groups.iter().any(|(_, codes)| codes.contains(&code));
    let others: Vec<&str> = codes().filter(|code| !listed(code)).collect();
    if !others.is_empty() {
        groups.push(("Others".to_owned(), others));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_the_first_sentence() {
        let page = "# a-code\n\nOne thing,\nover two lines. And more.\n\nAnother.\n";
        assert_eq!(summary(page), "One thing, over two lines");
        assert_eq!(summary("# a-code\n\nOnly `a.b` one.\n"), "Only `a.b` one");
    }

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let section = problem("not_mapped").unwrap();
        assert!(section.starts_with("### `not_mapped`\n"));
        assert_eq!(section.matches("###").count(), 1);
        assert_eq!(problem("nonsense"), None);
    }
}
