//! What the tests share: fake backends, a relay on loopback ports, temporary folders.

pub mod fake_backend;
pub mod relay;
pub mod scripted;
