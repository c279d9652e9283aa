//! What the tests share: fake backends, a relay on loopback ports, temporary folders.

pub(crate) mod certs;
pub(crate) mod fake_backend;
pub(crate) mod faulty_store;
pub(crate) mod mariadb;
pub(crate) mod relay;
pub(crate) mod scripted;
