//! Names: what is written into mappings, logs and metrics keeps to a small alphabet.

use crate::config::codes;
use crate::config::spec::part::{Part, Written};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{Kind, Node};

/// Which names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Resources, routes, kinds: `[a-z][a-z0-9_]*`.
    Word,
    /// Backends, clients, nodes: also `-` and `.`.
    Instance,
}

impl Shape {
    fn allows(self, c: char) -> bool {
        let more = self == Shape::Instance && matches!(c, '-' | '.');
        c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || more
    }

    /// SEMANTICS 21.
    fn limit(self) -> usize {
        match self {
            Shape::Word => 64,
            Shape::Instance => 128,
        }
    }

    fn alphabet(self) -> &'static str {
        match self {
            Shape::Word => "small letters, digits and `_`",
            Shape::Instance => "small letters, digits, `_`, `-` and `.`",
        }
    }

    /// Whether `name` is one of these.
    pub fn fits(self, name: &str) -> bool {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.chars().all(|c| self.allows(c))
            && name.len() <= self.limit()
    }
}

/// The name, when it is one; `what` is what it names.
pub fn check<'w>(
    written: &'w Written,
    what: &str,
    shape: Shape,
    diags: &mut Diagnostics,
) -> Option<&'w str> {
    let name = written.text();
    if shape.fits(name) {
        return Some(name);
    }
    diags.push(
        Diagnostic::error(
            codes::BAD_NAME,
            written.span(),
            format!("`{name}` cannot name {what}"),
        )
        .help(format!(
            "begin with a small letter, go on with {}; at most {} characters",
            shape.alphabet(),
            shape.limit()
        )),
    );
    None
}

/// The version of the language that a file says it is written in: 1, or nothing.
pub fn check_version(version: Option<&Part<Node>>, diags: &mut Diagnostics) {
    let Some(Part(Some(node))) = version else {
        return;
    };
    let is_one = matches!(&node.kind, Kind::Number(number) if number.as_u64() == Some(1));
    if !is_one {
        diags.push(
            Diagnostic::error(
                codes::BAD_VALUE,
                node.span,
                "this version of the relay reads version 1 of the language",
            )
            .label("write 1"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabet_and_length() {
        for good in ["fw", "firewall_rule", "a1"] {
            assert!(Shape::Word.fits(good) && Shape::Instance.fits(good));
        }
        assert!(Shape::Instance.fits("fw-tpe-1.lab") && !Shape::Word.fits("fw-tpe-1.lab"));
        for bad in ["", "1a", "_a", "Fw", "a b", "ä", "a/b"] {
            assert!(
                !Shape::Word.fits(bad) && !Shape::Instance.fits(bad),
                "{bad}"
            );
        }
        assert!(Shape::Word.fits(&"a".repeat(64)) && !Shape::Word.fits(&"a".repeat(65)));
    }
}
