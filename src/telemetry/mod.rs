//! What an operator sees of a running relay: log lines and metrics.

mod lines;
pub mod logging;
pub mod metrics;
