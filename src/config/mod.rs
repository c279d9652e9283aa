//! From files to a [`crate::plan::Plan`] and its diagnostics.
//!
//! `source` reads the files, `yaml` parses them into nodes with places, `spec` says what the YAML may
//! say, one to one, and `compile` checks and resolves it, pass by pass.

pub mod codes;
pub mod compile;
pub mod secrets;
pub mod source;
pub mod spec;
pub mod yaml;
