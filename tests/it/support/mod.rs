//! What the tests share: fake backends, a relay on loopback ports, temporary folders.

pub(crate) mod certs;
pub(crate) mod fake_backend;
pub(crate) mod faulty_store;
pub(crate) mod mariadb;
pub(crate) mod netconfd;
pub(crate) mod pack;
pub(crate) mod program;
pub(crate) mod relay;
pub(crate) mod scripted;
pub(crate) mod sshd;

/// What a test run is told from outside: `CI`, `STORY`, `UPDATE_EXPECTED`, and what a test tells its child.
#[expect(
    clippy::disallowed_methods,
    reason = "a test run has no other way of being told"
)]
pub(crate) fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
