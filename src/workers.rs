//! The threads that serve requests: one for each core, each with a runtime of its own.
//!
//! A connection of the CMP, its requests and their calls stay on one thread: nothing of them is stolen by
//! another core or wakes one, which costs less than one runtime that shares its tasks out. What else the
//! process does (the journal, the role machine, the admin listener) is driven elsewhere, so that a thread
//! full of requests does not hold it up.

use std::cell::Cell;
use std::future::Future;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

thread_local! {
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// Which thread this is: 1 for the first worker, and 0 for every thread that is none.
pub fn here() -> usize {
    HERE.get()
}

/// How many different answers [`here`] has at most.
pub fn places() -> usize {
    cores() + 1
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The threads; when the last clone is gone they end, and what still runs on them with them.
#[derive(Clone, Debug, Default)]
pub struct Workers(Arc<[Worker]>);

#[derive(Debug)]
struct Worker {
    runtime: Handle,
    /// One clone for each connection.
    held: Arc<()>,
    /// Dropped, it ends the thread.
    _end: oneshot::Sender<()>,
}

impl Workers {
    /// One for each core that the process may use.
    pub fn start() -> Result<Self> {
        (1..=cores())
            .map(Worker::start)
            .collect::<Result<_>>()
            .map(Self)
    }

    /// Runs a connection on the thread that has the fewest; without any, on the runtime of the caller.
    pub fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let least = self
            .0
            .iter()
            .min_by_key(|worker| Arc::strong_count(&worker.held));
        let Some(least) = least else {
            tokio::spawn(connection);
            return;
        };
        let held = Arc::clone(&least.held);
        least.runtime.spawn(async move {
            connection.await;
            drop(held);
        });
    }
}

impl Worker {
    fn start(place: usize) -> Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .context("a runtime cannot start")?;
        let handle = runtime.handle().clone();
        let (end, ended) = oneshot::channel::<()>();
        thread::Builder::new()
            .name(format!("requests-{place}"))
            .spawn(move || {
                HERE.set(place);
                // The sender says nothing: it is dropped.
                let _ = runtime.block_on(ended);
            })
            .context("a thread cannot start")?;
        Ok(Self {
            runtime: handle,
            held: Arc::default(),
            _end: end,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn connections_are_spread_over_threads_and_stay_on_theirs() {
        let workers = Workers((1..=3).map(|place| Worker::start(place).unwrap()).collect());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for _ in 0..6 {
            let (seen, said) = (Arc::clone(&seen), said.clone());
            workers.spawn(async move {
                let first = here();
                tokio::task::yield_now().await;
                assert_eq!(here(), first);
                seen.lock().unwrap().push(first);
                said.send(()).unwrap();
                pending::<()>().await;
            });
        }
        for _ in 0..6 {
            heard.recv().await.unwrap();
        }
        let mut seen = seen.lock().unwrap().clone();
        seen.sort_unstable();
        assert_eq!(seen, [1, 1, 2, 2, 3, 3]);
        assert_eq!(here(), 0);
        drop(workers);
        // The connections end with their threads.
        drop(said);
        assert_eq!(heard.recv().await, None);
    }
}
