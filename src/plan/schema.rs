//! A JSON Schema 2020-12, compiled: what a CMP request must be (SEMANTICS 33).

use std::sync::Arc;

use json_schema::Validator;
use serde_json::Value;

/// A compiled request schema; equal ones of several routes share what is large.
#[derive(Clone, Debug)]
pub struct Schema {
    pub validator: Arc<Validator>,
    /// Resolved (no remote `$ref`) and closed; what OpenAPI publishes.
    pub document: Arc<Value>,
    /// JSON pointers of the fields marked `writeOnly`; `*` stands for any item of a list.
    pub write_only: Vec<Box<str>>,
    /// For a query or headers schema: each property and the type that its text is converted to.
    pub scalars: Vec<(Box<str>, ScalarType)>,
}

/// What the text of a query parameter or header becomes before it is validated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarType {
    Text,
    Integer,
    Number,
    Boolean,
    /// A repeated query parameter, each item of this simple type being text.
    TextList,
}

/// One violation of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// JSON pointer into the validated value (RFC 6901).
    pub pointer: String,
    pub detail: String,
}

impl Schema {
    /// Every violation of `value`, none when it is valid; values of `writeOnly` fields are masked.
    pub fn check(&self, value: &Value) -> Vec<Violation> {
        if self.validator.is_valid(value) {
            return Vec::new();
        }
        self.validator
            .iter_errors(value)
            .map(|error| {
                let pointer = error.instance_path().to_string();
                let masked = self.is_write_only(&pointer);
                Violation {
                    detail: if masked {
                        error.masked().to_string()
                    } else {
                        error.to_string()
                    },
                    pointer,
                }
            })
            .collect()
    }

    fn is_write_only(&self, pointer: &str) -> bool {
        self.write_only
            .iter()
            .any(|pattern| pointer_matches(pattern, pointer))
    }
}

/// Whether `pointer` lies at or below `pattern`, or above it (a message may quote what is below).
fn pointer_matches(pattern: &str, pointer: &str) -> bool {
    pattern
        .split('/')
        .zip(pointer.split('/'))
        .all(|(wanted, found)| wanted == "*" || wanted == found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_covers_what_is_above_and_below_it() {
        assert!(pointer_matches("/user/password", "/user/password"));
        assert!(pointer_matches("/user/password", "/user"));
        assert!(pointer_matches("/users/*/password", "/users/3/password/x"));
        assert!(!pointer_matches("/user/password", "/user/name"));
    }
}
