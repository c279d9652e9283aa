//! What is wrong with a configuration: where, what, and what to type now.
//!
//! Passes push [`Diagnostic`]s and go on; nobody stops at the first. Renderings are beside this
//! file: `text` (excerpt and caret), `json` and `sarif`; `pages` explains each code at length.

pub mod json;
pub mod pages;
pub mod place;
pub mod sarif;
pub mod suggest;
pub mod text;

use crate::document::{FileId, Span};

/// The files that spans point into.
pub trait Sources {
    /// As printed: below the configuration folder.
    fn path(&self, file: FileId) -> &str;
    fn text(&self, file: FileId) -> &str;
    /// How many files were read.
    fn count(&self) -> usize;
}

/// How bad it is. An error keeps a configuration from being served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Warning,
    Error,
}

/// One problem at one place.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// Stable, kebab-case, one of [`codes`].
    pub code: &'static str,
    pub message: String,
    /// `None` only for what has no place, such as a missing folder.
    pub span: Option<Span>,
    /// What stands beside the caret, such as ``did you mean `body.name`?``
    pub label: Option<String>,
    /// The nearest right name, where the place is a wrong one.
    pub suggestion: Option<String>,
    /// What to type now.
    pub help: Option<String>,
    /// Other places that matter, such as the first of two equal keys.
    pub related: Vec<(Span, String)>,
}

impl Diagnostic {
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span: Some(span),
            label: None,
            suggestion: None,
            help: None,
            related: Vec::new(),
        }
    }

    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, span, message)
        }
    }

    /// What stands beside the caret.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// ``did you mean `x`?`` beside the caret, when a near name is known.
    pub fn did_you_mean(mut self, nearest: Option<&str>) -> Self {
        if let Some(name) = nearest {
            self.label = Some(format!("did you mean `{name}`?"));
            self.suggestion = Some(name.to_owned());
        }
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn related(mut self, span: Span, message: impl Into<String>) -> Self {
        self.related.push((span, message.into()));
        self
    }
}

/// All problems of one load, in the order found.
#[derive(Clone, Debug, Default)]
pub struct Diagnostics {
    items: Vec<Diagnostic>,
    masked: Vec<Span>,
}

impl Diagnostics {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        self.items.push(diagnostic);
    }

    /// Goes on with all that is in another.
    pub fn append(&mut self, mut other: Self) {
        self.items.append(&mut other.items);
        self.masked.append(&mut other.masked);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        self.items.iter()
    }

    /// Leaves out what is not wanted.
    pub fn retain(&mut self, wanted: impl FnMut(&Diagnostic) -> bool) {
        self.items.retain(wanted);
    }

    /// By file, then by place; what has no place comes first, and equal places stay in order.
    pub fn sorted(&self) -> Vec<&Diagnostic> {
        let mut sorted: Vec<_> = self.items.iter().collect();
        sorted.sort_by_key(|item| item.span);
        sorted
    }

    /// Hides a place from every excerpt: a secret in the clear stands there.
    pub fn mask(&mut self, span: Span) {
        self.masked.push(span);
    }

    /// The places that no excerpt may show.
    pub fn masked(&self) -> &[Span] {
        &self.masked
    }

    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    pub fn no_errors(&self) -> bool {
        self.errors() == 0
    }

    fn count(&self, severity: Severity) -> usize {
        self.items
            .iter()
            .filter(|item| item.severity == severity)
            .count()
    }
}

/// The stable codes. `help-code` explains each; a code never changes its meaning.
pub mod codes {
    // Templates and expressions (transform).
    pub const BAD_TEMPLATE: &str = "bad-template";
    pub const RAW_OUTPUT: &str = "raw-output";
    pub const UNKNOWN_VARIABLE: &str = "unknown-variable";
    pub const UNKNOWN_HELPER: &str = "unknown-helper";
    pub const BAD_ARGUMENT: &str = "bad-argument";
    pub const UNKNOWN_MAP: &str = "unknown-map";
    pub const UNKNOWN_RESOURCE: &str = "unknown-resource";
    pub const UNKNOWN_TEMPLATE: &str = "unknown-template";
    pub const UNBRACED_EXPRESSION: &str = "unbraced-expression";
    pub const MISPLACED_EXPRESSION: &str = "misplaced-expression";
    pub const UNNAMED_FORMAT: &str = "unnamed-format";
    pub const BAD_JSONPATH: &str = "bad-jsonpath";
    pub const BAD_REGEX: &str = "bad-regex";
    pub const BAD_PATH: &str = "bad-path";
    pub const UNKNOWN_DIRECTIVE: &str = "unknown-directive";
    pub const BAD_TREE: &str = "bad-tree";
    pub const BAD_CONDITION: &str = "bad-condition";
    pub const BAD_SOURCE: &str = "bad-source";
}
