//! Whether a commit has been applied on the standby (SEMANTICS 18, 19).
