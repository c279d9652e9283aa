//! How each position encodes a value, and what it refuses.
