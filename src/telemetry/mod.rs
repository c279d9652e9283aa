//! What an operator sees of a running relay: log lines and metrics.

pub mod logging;
pub mod metrics;
