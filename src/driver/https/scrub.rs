//! Takes secrets out of text that came from a backend before anybody reads it.
//!
//! Backends quote what they were sent: a login page repeats the password, a proxy the header.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What secrets look like in text.
#[derive(Clone, Default)]
pub(in crate::driver) struct Scrubber {
    /// The longest first, so that no secret is cut by a shorter one inside it.
    forms: Vec<String>,
}

impl std::fmt::Debug for Scrubber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Scrubber of {} forms", self.forms.len())
    }
}

impl Scrubber {
    /// Adds a secret in the forms in which it travels: plain, percent-encoded, in a JSON string, in
    /// base64.
    pub(in crate::driver) fn add(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        let mut quoted = serde_json::Value::from(secret).to_string();
        quoted.pop();
        quoted.remove(0);
        let forms = [
            secret.to_owned(),
            super::request::percent_encode(secret),
            form_encode(secret),
            quoted,
            STANDARD.encode(secret),
        ];
        for form in forms {
            if !self.forms.contains(&form) {
                self.forms.push(form);
            }
        }
        self.forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// Adds all that another one knows.
    pub(super) fn join(&mut self, other: &Scrubber) {
        for form in &other.forms {
            if !self.forms.contains(form) {
                self.forms.push(form.clone());
            }
        }
        self.forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// The text with `***` for each secret in it.
    pub(in crate::driver) fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut cleaned = Cow::Borrowed(text);
        for form in &self.forms {
            if cleaned.contains(form.as_str()) {
                cleaned = Cow::Owned(cleaned.replace(form.as_str(), "***"));
            }
        }
        cleaned
    }
}

/// The beginning of a text, on one line and without control characters.
pub(in crate::driver) fn excerpt(text: &str) -> String {
    const LONGEST: usize = 200;
    let words: Vec<&str> = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() {
        return "(no text)".to_owned();
    }
    let line = words.join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", &line[..end]),
        None => line,
    }
}

/// Percent-encoding with `+` for a space, as browsers write forms.
fn form_encode(text: &str) -> String {
    super::request::percent_encode(text).replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_vanishes_in_every_form() {
        let mut scrubber = Scrubber::default();
        scrubber.add("pa\"ss w/rd");
        let text =
            r#"pa"ss w/rd pa%22ss%20w%2Frd pa%22ss+w%2Frd pa\"ss w/rd cGEic3Mgdy9yZA== rest"#;
        assert_eq!(scrubber.clean(text), "*** *** *** *** *** rest");
        assert_eq!(scrubber.clean("nothing here"), "nothing here");
        assert!(!format!("{scrubber:?}").contains("w/rd"));
    }

    #[test]
    fn the_longest_secret_goes_first() {
        let mut scrubber = Scrubber::default();
        scrubber.add("abc");
        scrubber.add("abcdef");
        assert_eq!(scrubber.clean("x abcdef y"), "x *** y");
    }
}
