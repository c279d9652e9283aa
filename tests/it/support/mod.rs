//! What the tests share: fake backends, a relay on loopback ports, temporary folders.

pub(crate) mod mariadb;
