//! How each position encodes a value, and what it refuses.

/// stub
pub fn percent(_: &str, _: &mut String) {
    unimplemented!()
}
