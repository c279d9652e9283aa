//! The diagnostic codes of reading and compiling a configuration; `transform` has its own.
//!
//! A code never changes its meaning, and `help-code` explains each.

// Files.
pub const UNREADABLE: &str = "unreadable";
pub const NOT_UTF8: &str = "not-utf8";
pub const FILE_TOO_BIG: &str = "file-too-big";
pub const EMPTY_FOLDER: &str = "empty-folder";
pub const IGNORED_FILE: &str = "ignored-file";

// YAML.
pub const YAML_SYNTAX: &str = "yaml-syntax";
pub const YAML_TAB: &str = "yaml-tab";
pub const YAML_TRAP: &str = "yaml-trap";
pub const YAML_INVISIBLE: &str = "yaml-invisible";
pub const YAML_TAG: &str = "yaml-tag";
pub const YAML_MERGE: &str = "yaml-merge";
pub const YAML_KEY: &str = "yaml-key";
pub const YAML_DOCUMENTS: &str = "yaml-documents";
pub const YAML_BUDGET: &str = "yaml-budget";
pub const UNQUOTED_TEMPLATE: &str = "unquoted-template";
pub const DUPLICATE_KEY: &str = "duplicate-key";

// What a map may hold.
pub const UNKNOWN_KEY: &str = "unknown-key";
pub const MISSING_KEY: &str = "missing-key";
pub const WRONG_TYPE: &str = "wrong-type";
pub const BAD_VALUE: &str = "bad-value";

// Examples, played.
pub const EXAMPLE_FAILED: &str = "example-failed";

// Drafts.
pub const UNDECIDED: &str = "undecided";

// Secrets.
pub const SECRET_IN_CLEAR: &str = "secret-in-clear";
pub const UNRESOLVED_SECRET: &str = "unresolved-secret";

// The server and the backends.
pub const BAD_NAME: &str = "bad-name";
pub const BAD_URL: &str = "bad-url";
pub const NO_EFFECT: &str = "no-effect";
pub const OPEN_LISTENER: &str = "open-listener";
pub const DUPLICATE_CLIENT: &str = "duplicate-client";
pub const MISSING_STANDBY: &str = "missing-standby";
pub const INCOMPLETE_PAIR: &str = "incomplete-pair";
pub const DUPLICATE_BACKEND: &str = "duplicate-backend";
pub const PLAINTEXT_BACKEND: &str = "plaintext-backend";
pub const UNVERIFIED_TLS: &str = "unverified-tls";
pub const BAD_TLS: &str = "bad-tls";
pub const MISSING_FILE: &str = "missing-file";
pub const UNUSED_TOKEN: &str = "unused-token";
