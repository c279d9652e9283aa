//! Places where a debug build ends itself, as if it had been killed there: `CMP_RELAY_FAILPOINT=after_call`.
//!
//! `tests/pair/` kills a node between each two steps that must be survived. A release build has none of this.

/// The process ends here if it was told to.
#[cfg(debug_assertions)]
pub fn reached(place: &str) {
    use std::sync::LazyLock;

    #[allow(
        clippy::disallowed_methods,
        reason = "no command passes it on, and no release reads it"
    )]
    static WANTED: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("CMP_RELAY_FAILPOINT").ok());
    if WANTED.as_deref() == Some(place) {
        std::process::abort();
    }
}

#[cfg(not(debug_assertions))]
pub fn reached(_place: &str) {}
