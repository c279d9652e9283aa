//! Diagnostics for people: message, place, excerpt with a caret, and what to type now.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::{Diagnostic, Diagnostics, Severity, Sources, place};
use crate::document::{FileId, Span};

/// Wide enough that no line of a configuration is cut in an excerpt.
const WIDTH: usize = 240;
/// The most codes that the last line names: it stays one line.
const NAMED: usize = 6;

/// Every diagnostic by file and place, and a last line that counts them; empty when there is none.
pub fn render_text(diags: &Diagnostics, sources: &dyn Sources, color: bool) -> String {
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(WIDTH);
    let mut out = String::new();
    for diagnostic in diags.sorted() {
        let excerpts = Excerpts { diags, sources };
        out += &renderer.render(&[excerpts.group(diagnostic)]);
        out += "\n\n";
    }
    if !out.is_empty() {
        out += &summary(diags, sources.count());
        out.push('\n');
    }
    out
}

/// `2 errors, 1 warning in 14 files`.
pub fn summary(diags: &Diagnostics, files: usize) -> String {
    let counts = [(diags.errors(), "error"), (diags.warnings(), "warning")];
    let counts: Vec<_> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, noun)| counted(count, noun))
        .collect();
    format!("{} in {}", counts.join(", "), counted(files, "file"))
}

/// The last line for people: how to learn more of what was said; empty when nothing was.
pub fn learn_more(diags: &Diagnostics) -> String {
    let mut codes: Vec<&str> = Vec::new();
    for diagnostic in diags.sorted() {
        if !codes.contains(&diagnostic.code) {
            codes.push(diagnostic.code);
        }
    }
    match codes.as_slice() {
        [] => String::new(),
        [code] => format!("`cmp-relay help-code {code}` explains it, with a right example\n"),
        _ => {
            let more = if codes.len() > NAMED { ", ..." } else { "" };
            let codes = codes[..codes.len().min(NAMED)].join(", ");
            format!("`cmp-relay help-code CODE` explains each: {codes}{more}\n")
        }
    }
}

/// `1 file`, `2 files`.
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

struct Excerpts<'a> {
    diags: &'a Diagnostics,
    sources: &'a dyn Sources,
}

impl<'a> Excerpts<'a> {
    fn group(&self, diagnostic: &'a Diagnostic) -> Group<'a> {
        let level = match diagnostic.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level
            .primary_title(diagnostic.message.as_str())
            .id(diagnostic.code);
        let mut group = Group::with_title(title);
        if let Some(primary) = diagnostic.span {
            let mut here = self.snippet(primary.file).annotation(
                AnnotationKind::Primary
                    .span(self.range(primary))
                    .label(diagnostic.label.as_deref().map(visible)),
            );
            let mut elsewhere = Vec::new();
            for (span, label) in &diagnostic.related {
                let annotation = AnnotationKind::Context
                    .span(self.range(*span))
                    .label(visible(label));
                if span.file == primary.file {
                    here = here.annotation(annotation);
                } else {
                    elsewhere.push(self.snippet(span.file).annotation(annotation));
                }
            }
            group = group.element(here).elements(elsewhere);
        }
        if let Some(help) = &diagnostic.help {
            group = group.element(Level::HELP.message(visible(help)));
        }
        group
    }

    fn snippet<A: Clone>(&self, file: FileId) -> Snippet<'a, A> {
        Snippet::source(masked(self.sources.text(file), file, self.diags.masked()))
            .path(self.sources.path(file))
    }

    fn range(&self, span: Span) -> std::ops::Range<usize> {
        place::first_line(self.sources.text(span.file), span)
    }
}

/// The text without what would steer a terminal; titles and excerpts are seen to by the renderer.
fn visible(text: &str) -> String {
    let steers = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.replace(steers, "\u{fffd}")
}

/// The text with every masked place starred out; each character keeps its width in bytes, so that
/// every other place stays where it is.
fn masked(text: &str, file: FileId, masked: &[Span]) -> String {
    let mut out = text.to_owned();
    for span in masked.iter().filter(|span| span.file == file) {
        let range = span.start as usize..(span.end as usize).min(text.len());
        let Some(secret) = out.get(range.clone()) else {
            continue;
        };
        let stars: String = secret
            .chars()
            .map(|c| match (c, c.len_utf8()) {
                ('\n' | '\r', _) => c,
                (_, 1) => '*',
                (_, 2) => '×',
                (_, 3) => '•',
                _ => '🞄',
            })
            .collect();
        out.replace_range(range, &stars);
    }
    out
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) struct Files(pub(crate) Vec<(&'static str, &'static str)>);

    impl Sources for Files {
        fn path(&self, file: FileId) -> &str {
            self.0[file.0 as usize].0
        }
        fn text(&self, file: FileId) -> &str {
            self.0[file.0 as usize].1
        }
        fn count(&self) -> usize {
            self.0.len()
        }
    }

    pub(crate) fn span(files: &Files, file: u32, part: &str) -> Span {
        let start = files.0[file as usize].1.find(part).unwrap();
        Span::new(FileId(file), start, start + part.len())
    }

    #[test]
    fn a_diagnostic_says_where_what_and_what_to_type() {
        let files = Files(vec![
            ("backends.d/a.yaml", "name: fw-1\n"),
            (
                "backends.d/b.yaml",
                "# é\nname: fw-1 # ö\nkimd: fw\nlast:\n  block: 1\n  more: 2\n",
            ),
        ]);
        let mut diags = Diagnostics::default();
        diags.push(Diagnostic::warning(
            "a-block",
            span(&files, 1, "block: 1\n  more: 2"),
            "a block is shown by its first line",
        ));
        diags.push(
            Diagnostic::error(
                "unknown-key",
                span(&files, 1, "kimd"),
                "`kimd` is not a key here",
            )
            .did_you_mean(Some("kind"))
            .help("keys here: name, kind"),
        );
        diags.push(
            Diagnostic::error(
                "duplicate-backend",
                span(&files, 1, "fw-1"),
                "`fw-1` exists twice",
            )
            .label("the second")
            .related(span(&files, 0, "fw-1"), "the first"),
        );
        insta::assert_snapshot!(render_text(&diags, &files, false), @r#"
        error[duplicate-backend]: `fw-1` exists twice
         --> backends.d/b.yaml:2:7
          |
        2 | name: fw-1 # ö
          |       ^^^^ the second
          |
         ::: backends.d/a.yaml:1:7
          |
        1 | name: fw-1
          |       ---- the first

        error[unknown-key]: `kimd` is not a key here
         --> backends.d/b.yaml:3:1
          |
        3 | kimd: fw
          | ^^^^ did you mean `kind`?
          |
          = help: keys here: name, kind

        warning[a-block]: a block is shown by its first line
         --> backends.d/b.yaml:5:3
          |
        5 |   block: 1
          |   ^^^^^^^^

        2 errors, 1 warning in 2 files
        "#);
    }

    #[test]
    fn nothing_wrong_renders_nothing() {
        let files = Files(vec![]);
        assert_eq!(render_text(&Diagnostics::default(), &files, false), "");
    }

    #[test]
    fn a_masked_place_is_in_no_excerpt_and_moves_nothing() {
        let files = Files(vec![("a.yaml", "{ password: höllisch🦀€, usr: x }\n")]);
        let mut diags = Diagnostics::default();
        diags.mask(span(&files, 0, "höllisch🦀€"));
        diags.push(Diagnostic::error(
            "unknown-key",
            span(&files, 0, "usr"),
            "`usr` is not a key",
        ));
        insta::assert_snapshot!(render_text(&diags, &files, false), @r#"
        error[unknown-key]: `usr` is not a key
         --> a.yaml:1:25
          |
        1 | { password: *×******🞄•, usr: x }
          |                         ^^^

        1 error in 1 file
        "#);
    }

    #[test]
    fn control_characters_of_a_file_do_not_reach_the_terminal() {
        let files = Files(vec![("a.yaml", "\"x\u{1b}[31m\": 1\n\u{202e}")]);
        let mut diags = Diagnostics::default();
        diags.push(
            Diagnostic::error(
                "unknown-key",
                Span::new(FileId(0), 0, 8),
                "`x\u{1b}[31m` is not a key",
            )
            .label("\u{1b}[0m")
            .help("\u{1b}]0;title\u{7}"),
        );
        let text = render_text(&diags, &files, false);
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    }

    #[test]
    fn a_place_in_an_empty_file_and_no_place_at_all_can_be_shown() {
        let files = Files(vec![("relay.yaml", "")]);
        let mut diags = Diagnostics::default();
        diags.push(Diagnostic::error(
            "not-utf8",
            Span::new(FileId(0), 0, 0),
            "this file is not UTF-8",
        ));
        let mut nowhere = Diagnostic::error("unreadable", Span::default(), "there is no folder");
        nowhere.span = None;
        diags.push(nowhere.help("name it with `--config DIR`"));
        insta::assert_snapshot!(render_text(&diags, &files, false), @r#"
        error[unreadable]: there is no folder
         |
         = help: name it with `--config DIR`

        error[not-utf8]: this file is not UTF-8
         --> relay.yaml:1:1
          |
        1 |
          | ^

        2 errors in 1 file
        "#);
    }
}
