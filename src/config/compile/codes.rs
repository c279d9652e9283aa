//! The diagnostic codes of compiling routes. A code never changes its meaning, and `help-code`
//! explains each.

pub use crate::config::codes::{
    BAD_NAME, BAD_VALUE, DUPLICATE_KEY, MISSING_FILE, MISSING_KEY, NO_EFFECT, UNKNOWN_KEY,
    WRONG_TYPE,
};

// References.
pub const REMOTE_REFERENCE: &str = "remote-reference";
pub const BAD_REFERENCE: &str = "bad-reference";
pub const REFERENCE_CYCLE: &str = "reference-cycle";

// Names.
pub const DUPLICATE_RESOURCE: &str = "duplicate-resource";
pub const DUPLICATE_ROUTE: &str = "duplicate-route";
pub const UNKNOWN_PARENT: &str = "unknown-parent";
pub const UNKNOWN_CLIENT: &str = "unknown-client";
pub const UNKNOWN_BACKEND: &str = "unknown-backend";
pub const UNKNOWN_LABEL: &str = "unknown-label";
pub const UNKNOWN_AUTH: &str = "unknown-auth";
pub const UNKNOWN_FIELD: &str = "unknown-field";

// What is known of a variable.
pub const OPTIONAL_FIELD: &str = "optional-field";
pub const ALWAYS_PRESENT: &str = "always-present";
pub const NOT_TEXT: &str = "not-text";
pub const NOT_A_LIST: &str = "not-a-list";
pub const NOT_A_CONDITION: &str = "not-a-condition";
pub const DEFAULT_OF_ANOTHER_TYPE: &str = "default-of-another-type";
pub const UNKNOWN_ATTRIBUTE: &str = "unknown-attribute";
pub const UNKNOWN_VAR: &str = "unknown-var";
pub const NOT_ON_EVERY_BACKEND: &str = "not-on-every-backend";
pub const UNSEEN_IN_EXAMPLES: &str = "unseen-in-examples";

// `match` and the table of routes.
pub const BAD_MATCH: &str = "bad-match";
pub const RESERVED_PATH: &str = "reserved-path";
pub const ROUTE_COLLISION: &str = "route-collision";
pub const SHADOWED_ROUTE: &str = "shadowed-route";
pub const TOO_MANY: &str = "too-many";

// Request schemas.
pub const BAD_SCHEMA: &str = "bad-schema";
pub const UNMAPPED_WORD: &str = "unmapped-word";
pub const DEFAULT_NOT_APPLIED: &str = "default-not-applied";
pub const NOT_A_SCALAR: &str = "not-a-scalar";
pub const BODY_NOT_ALLOWED: &str = "body-not-allowed";

// The choice of an instance.
pub const NO_BACKEND_OF_KIND: &str = "no-backend-of-kind";
pub const AMBIGUOUS_BACKEND: &str = "ambiguous-backend";
pub const SELECT_REQUIRED: &str = "select-required";
pub const UNUSED_SELECT: &str = "unused-select";
pub const NO_MATCHING_BACKEND: &str = "no-matching-backend";
pub const UNSERVED_VALUE: &str = "unserved-value";
pub const UNREACHABLE_BACKEND: &str = "unreachable-backend";
pub const ALL_DRAINING: &str = "all-draining";

// CLI profiles.
pub const DUPLICATE_PROFILE: &str = "duplicate-profile";
pub const UNKNOWN_PROFILE: &str = "unknown-profile";
pub const BAD_MODE: &str = "bad-mode";
pub const BAD_SAMPLE: &str = "bad-sample";

// The call, the answer and the reply.
pub const NO_VARIANT: &str = "no-variant";
pub const UNSUPPORTED_KEY: &str = "unsupported-key";
pub const WRONG_DRIVER: &str = "wrong-driver";
pub const MISSING_PROFILE: &str = "missing-profile";
pub const CONFLICTING_KEYS: &str = "conflicting-keys";
pub const FORBIDDEN_HEADER: &str = "forbidden-header";
pub const BAD_HEADER: &str = "bad-header";
pub const BAD_TEXTFSM: &str = "bad-textfsm";
pub const BAD_STATUS: &str = "bad-status";
pub const UNREACHABLE_RULE: &str = "unreachable-rule";

// What is recorded.
pub const WRONG_KIND: &str = "wrong-kind";
pub const NO_OBJECT: &str = "no-object";
pub const UNKEYED_CREATE: &str = "unkeyed-create";
pub const UNMARKED_CREATE: &str = "unmarked-create";
pub const CREATE_WITHOUT_DELETE: &str = "create-without-delete";
pub const NO_ROUTE_CREATES: &str = "no-route-creates";
pub const WRITE_ONLY_STORED: &str = "write-only-stored";
pub const SAFE_WITH_MAPPING: &str = "safe-with-mapping";

// What is written and never used.
pub const UNUSED_TEMPLATE: &str = "unused-template";
pub const UNUSED_MAP: &str = "unused-map";
pub const UNUSED_LET: &str = "unused-let";
pub const UNUSED_EXTRACT: &str = "unused-extract";
pub const UNUSED_FILE: &str = "unused-file";
pub const UNUSED_BACKEND: &str = "unused-backend";
pub const UNUSED_VARIANT: &str = "unused-variant";
pub const UNUSED_AUTH: &str = "unused-auth";
pub const UNUSED_VAR: &str = "unused-var";
pub const UNUSED_PROFILE: &str = "unused-profile";

// Examples.
pub const BAD_EXAMPLE: &str = "bad-example";
pub const FINDS_NOTHING: &str = "finds-nothing";
pub const UNTRIED_RULE: &str = "untried-rule";
pub const ROOT_FILTER: &str = "root-filter";
