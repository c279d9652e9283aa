//! What is said of a session: bounded, on one line, without the driver's own secrets.

use std::borrow::Cow;

use super::Shell;
use crate::driver::Refusal;

/// Characters of a line that was sent.
const LINE: usize = 160;
/// Characters of what the device said.
const HEARD: usize = 300;

impl<S> Shell<S> {
    /// The text without the `enable` secret, which some devices echo.
    pub(super) fn scrubbed<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.enable.as_ref().map(|secret| secret.expose()) {
            Some(secret) if !secret.is_empty() && text.contains(secret) => {
                text.replace(secret, "***").into()
            }
            _ => text.into(),
        }
    }
}

/// A line that was sent, for a message.
pub fn quoted(line: &str) -> String {
    format!("`{}`", bounded(line, LINE))
}

/// What a device said, for a message: its lines, blank ones left out.
pub fn excerpt(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut said = String::new();
    for line in lines {
        if !said.is_empty() {
            said.push_str(" / ");
        }
        said.push_str(line);
        if said.len() > 4 * HEARD {
            break;
        }
    }
    bounded(&said, HEARD)
}

/// Why leave to send was refused.
pub fn refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Gate => "this node is not active",
        Refusal::Deadline => "the time of the call is over",
    }
}

/// Cut between words: the half of a secret is one that nobody who masks secrets would find.
fn bounded(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => {
            let end = text[..end].rfind(char::is_whitespace).unwrap_or(0);
            format!("{}...", &text[..end])
        }
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_is_cut_between_words() {
        assert_eq!(quoted("vlan 10"), "`vlan 10`");
        for before in LINE - 10..LINE {
            let line = format!("{} hunter2 more", "x".repeat(before));
            let said = quoted(&line);
            let whole = said.contains(" hunter2...");
            assert!(whole || said.ends_with("x...`"), "{said}");
        }
        let long = "y".repeat(HEARD + 1);
        assert_eq!(excerpt(&long), "...");
        assert_eq!(excerpt("% no\n\n  such vlan"), "% no / such vlan");
    }
}
