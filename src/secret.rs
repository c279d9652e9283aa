//! A secret is a reference in the configuration and a value only in memory.
//!
//! It prints `***`, does not serialize, and its reference (`env FW_TOKEN`, `file keys/relay`) is
//! what messages may quote. What reads one calls [`Secret::expose`], so that `grep expose` finds
//! every place where the value leaves this type.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

/// A resolved secret: its value, and the reference it came from.
#[derive(Clone)]
pub struct Secret {
    value: SecretString,
    reference: Box<str>,
}

impl Secret {
    /// `reference` is what messages quote: `env NAME` or `file PATH`.
    pub fn new(value: String, reference: impl Into<Box<str>>) -> Self {
        Self {
            value: SecretString::from(value),
            reference: reference.into(),
        }
    }

    /// The value itself: for the byte sequence that needs it, never for a message.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// Where the value came from: `env NAME` or `file PATH`.
    pub fn reference(&self) -> &str {
        &self.reference
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "*** ({})", self.reference)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_prints_its_reference_and_never_its_value() {
        let secret = Secret::new("hunter2".into(), "env FW_TOKEN");
        assert_eq!(format!("{secret} {secret:?}"), "*** *** (env FW_TOKEN)");
        assert_eq!(secret.expose(), "hunter2");
    }
}
