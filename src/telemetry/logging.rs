//! Log lines: `tracing`, as text for people or as JSON for machines, to standard error.
//!
//! Colours only where standard error is a terminal. Values that came from outside are fields, which
//! the formatter escapes; no line ever carries a body, a token or a secret.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::TryInitError;

use crate::plan::{Log, LogFormat};

/// Starts logging for the process; a second call changes nothing.
pub fn start(log: &Log) -> Result<()> {
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = EnvFilter::builder()
        .parse(&log.level)
        .with_context(|| format!("`log.level` is `{}`, which is not a filter", log.level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let started: Result<(), TryInitError> = match log.format {
        LogFormat::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .finish()
            .try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    // Whoever was first (a test, an embedder) keeps its subscriber.
    drop(started);
    Ok(())
}
