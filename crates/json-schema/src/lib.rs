//! The validators of JSON Schema 2020-12, compiled once.
//!
//! A crate of its own, because `jsonschema` is generic: used from a crate that is compiled for speed, all of it is
//! compiled a second time there, which is a megabyte. This one is compiled for size as `jsonschema` itself is, and has
//! nothing but what the relay asks of it.

pub use jsonschema::{ValidationError, Validator, draft202012};

use jsonschema::{Draft, PatternOptions};
use serde_json::Value;

/// A validator of a resolved schema: formats count, an unknown one is an error, and so is a pattern that takes more
/// than linear time.
pub fn compile(document: &Value) -> Result<Validator, ValidationError<'static>> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .should_ignore_unknown_formats(false)
        .with_pattern_options(PatternOptions::regex())
        .build(document)
}

/// Whether a value is valid to a schema as others write them: of any formats and patterns.
pub fn fits(document: &Value, value: &Value) -> bool {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .build(document)
        .is_ok_and(|validator| validator.is_valid(value))
}
