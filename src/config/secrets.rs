//! Secrets in a configuration: what smells of one, and what no excerpt may show.
//!
//! A secret is a reference (`env`, `file`); one that stands in the clear is reported, and because
//! the report shows the lines around, its place is masked in every excerpt of the load.

use crate::diagnostics::Diagnostics;
use crate::document::{FileId, Kind, Node, Span};

/// What the keys of secrets end in, without what separates words.
const WORDS: [&str; 12] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "secret",
    "token",
    "apikey",
    "accesskey",
    "secretkey",
    "privatekey",
    "credential",
    "credentials",
];

/// Whether the value of this key is probably a secret: `password`, `X-Auth-Token`, `api_key2`; and
/// not `password_policy` or `token_sha256`.
pub fn smells(key: &str) -> bool {
    let bare: String = key
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if bare.ends_with("sha256") {
        return false;
    }
    let word = bare.trim_end_matches(|c: char| c.is_ascii_digit());
    word == "pwd" || WORDS.iter().any(|end| word.ends_with(end))
}

/// Whether a value under a key that smells is a place to take one from, not the secret itself.
fn points_elsewhere(text: &str) -> bool {
    text.contains("{{") || text.starts_with("$.") || text.starts_with("$[")
}

/// Masks the value of a key that smells of a secret.
pub fn mask_value(key: &str, value: &Node, diags: &mut Diagnostics) {
    let literal = match &value.kind {
        Kind::Text(scalar) => !points_elsewhere(&scalar.text),
        Kind::Number(_) => true,
        _ => false,
    };
    if literal && smells(key) {
        diags.mask(value.span);
    }
}

/// Masks the same in a file that is not YAML, line by line.
pub fn mask_lines(file: FileId, text: &str, diags: &mut Diagnostics) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        for (colon, _) in line.match_indices(':') {
            let key = line[..colon].trim_end_matches(['"', '\'']);
            let key = key.rsplit([' ', '{', ',', '"', '\'']).next().unwrap_or(key);
            let value = line[colon + 1..].trim_start();
            let at = start + line.len() - value.len();
            let value = value.trim_end();
            let reference = value.starts_with('{') || points_elsewhere(value);
            if smells(key) && !value.is_empty() && !reference {
                diags.mask(Span::new(file, at, at + value.len()));
            }
        }
        start += line.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_key_tells_a_secret() {
        for key in [
            "password",
            "X-Auth-Token",
            "api_key",
            "apiKey2",
            "client_secret",
            "PWD",
        ] {
            assert!(smells(key), "{key}");
        }
        for key in [
            "password_policy",
            "token_sha256",
            "key",
            "tokens",
            "token_ttl",
            "name",
        ] {
            assert!(!smells(key), "{key}");
        }
    }
}
