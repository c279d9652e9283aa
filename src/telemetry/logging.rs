//! Log lines: `tracing`, as text for people or as JSON for machines, to standard error.
//!
//! Colours only where standard error is a terminal. Values that came from outside are fields, which
//! the formatter escapes; no line ever carries a body, a token or a secret.
//!
//! A request never waits for the log: lines are gathered in memory, and one thread writes what has come
//! together, a moment later. No line is dropped. A warning or an error is written at once, with all
//! that came before it; so are all lines when more waits than is sensible to hold, and at the end.

use std::io::{self, IsTerminal, Write};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::TryInitError;

use super::lines::Look;
use crate::plan::{Log, LogFormat};

/// Starts logging for the process; a second call changes nothing.
pub fn start(log: &Log) -> Result<()> {
    use tracing_subscriber::util::SubscriberInitExt;
    let filter = EnvFilter::builder()
        .parse(&log.level)
        .with_context(|| format!("`log.level` is `{}`, which is not a filter", log.level))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(ToLines);
    let started: Result<(), TryInitError> = match log.format {
        // The general formatter knows colours.
        LogFormat::Text if io::stderr().is_terminal() => {
            builder.with_ansi(true).finish().try_init()
        }
        LogFormat::Text => builder.event_format(Look::Text).finish().try_init(),
        LogFormat::Json => builder.event_format(Look::Json).finish().try_init(),
    };
    // Whoever was first (a test, an embedder) keeps its subscriber.
    if started.is_ok() {
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(write_as_they_come)
            .context("the thread that writes the log cannot start")?;
    }
    Ok(())
}

/// Writes what waits: before the process ends.
pub fn flush() {
    LINES.write_to(&mut io::stderr().lock());
}

/// How long lines gather: one write for a burst, and still soon enough for who watches.
const GATHER: Duration = Duration::from_millis(10);
/// Bytes that are kept for the lines to come.
const KEPT: usize = 256 << 10;
/// Bytes that may wait; whoever brings more writes them out.
const MOST: usize = 1 << 20;

static LINES: Lines = Lines::new();

fn write_as_they_come() {
    loop {
        LINES.wait();
        std::thread::sleep(GATHER);
        flush();
    }
}

/// Lines that wait to be written.
struct Lines {
    waiting: Mutex<Vec<u8>>,
    come: Condvar,
    /// The memory of those written before, for those to come: who brings a line should not have to find some.
    spare: Mutex<Vec<u8>>,
}

impl Lines {
    const fn new() -> Self {
        Self {
            waiting: Mutex::new(Vec::new()),
            come: Condvar::new(),
            spare: Mutex::new(Vec::new()),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<u8>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line; says whether too much waits.
    fn add(&self, line: &[u8]) -> bool {
        let mut waiting = self.waiting();
        if waiting.is_empty() {
            self.come.notify_one();
        }
        waiting.extend_from_slice(line);
        waiting.len() > MOST
    }

    /// Returns once a line waits.
    fn wait(&self) {
        let came = self
            .come
            .wait_while(self.waiting(), |waiting| waiting.is_empty());
        drop(came);
    }

    /// Whoever holds `out` takes the lines, so no two writers change their order; nobody who brings a
    /// line waits meanwhile. A log that cannot be written is no reason to stop.
    fn write_to(&self, out: &mut impl Write) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut *self.waiting(), &mut *spare);
        let _ = out.write_all(&spare);
        spare.clear();
        spare.shrink_to(KEPT);
    }
}

/// Makes the formatter's writer for each line.
struct ToLines;

/// Takes one line, which the formatter hands over whole.
struct Line {
    at_once: bool,
}

impl MakeWriter<'_> for ToLines {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line { at_once: true }
    }

    fn make_writer_for(&self, line: &Metadata<'_>) -> Line {
        Line {
            at_once: *line.level() <= Level::WARN,
        }
    }
}

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let too_much = LINES.add(line);
        if self.at_once || too_much {
            flush();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_written_once_and_in_order() {
        let (lines, mut out) = (Lines::new(), Vec::new());
        assert!(!lines.add(b"one\n"));
        assert!(!lines.add(b"two\n"));
        lines.write_to(&mut out);
        assert!(!lines.add(b"three\n"));
        lines.write_to(&mut out);
        lines.write_to(&mut out);
        assert_eq!(out, b"one\ntwo\nthree\n");
    }

    #[test]
    fn no_more_than_a_bound_waits() {
        assert!(Lines::new().add(&vec![b'x'; MOST + 1]));
    }
}
