//! The write-ahead log's way to the disk: a thread that flushes what was committed, while the next transaction is run.
//!
//! SQLite's own `synchronous=FULL` flushes within each COMMIT, and nothing else is written meanwhile. Here a COMMIT ends with its
//! frames in the file, and nobody is told of it before an fdatasync of that file which began afterwards has ended: who waits for
//! the commit, and who read what it wrote. What SQLite flushes besides (the log's header, the file at a checkpoint), it
//! flushes with `synchronous=NORMAL` as with FULL (sqlite.org/pragma.html#pragma_synchronous).

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::store::StoreError;
use crate::store::durable::{Durable, Told};

/// The log of one database. Commits are counted; one writer at a time makes them.
#[derive(Debug)]
pub(super) struct Log {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    /// COMMITs that were begun: what a reader may see at most.
    begun: u64,
    /// COMMITs that have ended: what a flush that begins now makes durable.
    ended: u64,
    flushed: u64,
    /// Who is told once so many are flushed, in the order of these counts.
    waiting: VecDeque<(u64, Told)>,
    /// Why nothing counts as durable any more.
    failed: Option<String>,
    closed: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// Flushes the log beside `database`.
pub(super) fn flush_of(database: &Path) -> impl FnMut() -> io::Result<()> + Send + 'static {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    let path = PathBuf::from(path);
    let mut file = None;
    move || {
        // SQLite makes it with the first commit at the latest, and keeps it for as long as a connection is open.
        let file = match &file {
            Some(file) => file,
            None => file.insert(File::options().write(true).open(&path)?),
        };
        File::sync_data(file)
    }
}

impl Log {
    /// Starts the thread that calls `flush`.
    pub(super) fn start(
        flush: impl FnMut() -> io::Result<()> + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            work: Condvar::new(),
        });
        let thread = std::thread::Builder::new().name("relay-flusher".to_owned());
        let thread = thread.spawn({
            let shared = shared.clone();
            move || shared.run(flush)
        })?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Before a COMMIT, whose rows others may see from here on.
    pub(super) fn begins(&self) {
        self.shared.hold().begun += 1;
    }

    /// After a COMMIT, however it ended. Says when it is durable.
    pub(super) fn ended(&self) -> Durable {
        let mut state = self.shared.hold();
        state.ended = state.begun;
        let count = state.ended;
        if !state.waiting.is_empty() {
            self.shared.work.notify_one();
        }
        self.durable(count)
    }

    /// When all that was committed so far is durable, which is more than was read so far.
    pub(super) fn all(&self) -> Durable {
        let state = self.shared.hold();
        let count = state.begun;
        if state.flushed == count && state.failed.is_none() {
            return Durable::already();
        }
        self.durable(count)
    }

    /// When so many COMMITs are.
    fn durable(&self, count: u64) -> Durable {
        let shared = self.shared.clone();
        Durable::later(move |told| shared.once_flushed(count, told))
    }

    /// Why nothing is durable any more.
    pub(super) fn failure(&self) -> Option<String> {
        self.shared.hold().failed.clone()
    }

    /// Flushes what was committed, tells who waits, and ends the thread. No COMMIT is under way.
    pub(super) fn close(&self) {
        self.shared.close();
        let thread = hold(&self.thread).take();
        if let Some(thread) = thread {
            // A panic was caught where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn once_flushed(&self, count: u64, told: Told) {
        let mut state = self.hold();
        if let Some(words) = &state.failed {
            let error = StoreError::CommitUnknown(words.clone());
            drop(state);
            return told(Err(error));
        }
        if state.flushed >= count {
            drop(state);
            return told(Ok(()));
        }
        state.waiting.push_back((count, told));
        // Else the end of the COMMIT that it waits for says so.
        if state.ended >= count {
            self.work.notify_one();
        }
    }

    fn close(&self) {
        self.hold().closed = true;
        self.work.notify_one();
    }

    fn run(&self, mut flush: impl FnMut() -> io::Result<()>) {
        while let Some(ended) = self.next() {
            let result = flush();
            let (told, result) = self.flushed(ended, result);
            for told in told {
                if catch_unwind(AssertUnwindSafe(|| told(result.clone()))).is_err() {
                    tracing::error!("who was told of a commit panicked");
                }
            }
        }
    }

    /// How many COMMITs the next flush is about; waits until somebody waits for one. `None`: nobody will any more.
    fn next(&self) -> Option<u64> {
        let mut state = self.hold();
        loop {
            if let Some((count, _)) = state.waiting.front()
                && *count <= state.ended
            {
                return Some(state.ended);
            }
            if state.closed {
                return None;
            }
            state = self
                .work
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// After a flush: who is to be told, and what.
    fn flushed(&self, ended: u64, result: io::Result<()>) -> (Vec<Told>, Result<(), StoreError>) {
        let mut state = self.hold();
        // A flush that failed once may succeed the next time without having written what it lost
        // (wiki.postgresql.org/wiki/Fsync_Errors).
        let result = result.map_err(|error| {
            let words = format!(
                "the disk did not take the database's log: {error}; nothing more is read or written here: see to the disk, then \
                 restart cmp-relay"
            );
            tracing::error!("{words}");
            state.failed = Some(words.clone());
            StoreError::CommitUnknown(words)
        });
        let told = match result {
            Ok(()) => {
                state.flushed = ended;
                let done = state
                    .waiting
                    .iter()
                    .take_while(|(count, _)| *count <= ended);
                let done = done.count();
                state.waiting.drain(..done).map(|(_, told)| told).collect()
            }
            Err(_) => state.waiting.drain(..).map(|(_, told)| told).collect(),
        };
        (told, result)
    }

    fn hold(&self) -> MutexGuard<'_, State> {
        hold(&self.state)
    }
}

// No code panics while it holds one of these locks.
fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A log whose flushes end when they are told how.
    fn by_hand() -> (Log, mpsc::Receiver<()>, mpsc::Sender<io::Result<()>>) {
        let (began, beginning) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let log = Log::start(move || {
            let _ = began.send(());
            told.recv().unwrap_or(Ok(()))
        });
        (log.unwrap(), beginning, tell)
    }

    /// What is known of a commit so far.
    fn watch(durable: Durable) -> mpsc::Receiver<Result<(), StoreError>> {
        let (tell, told) = mpsc::channel();
        durable.then(move |result| drop(tell.send(result)));
        told
    }

    #[test]
    fn nobody_is_told_before_the_flush_that_began_after_the_commit() {
        let (log, beginning, tell) = by_hand();
        log.begins();
        let first = watch(log.ended());
        beginning.recv().unwrap();
        // Committed while the first flush is under way, which may have missed it.
        log.begins();
        let reader = watch(log.all());
        let second = watch(log.ended());
        assert!(first.try_recv().is_err());
        tell.send(Ok(())).unwrap();
        assert_eq!(first.recv().unwrap(), Ok(()));
        beginning.recv().unwrap();
        assert!(second.try_recv().is_err() && reader.try_recv().is_err());
        tell.send(Ok(())).unwrap();
        assert_eq!(second.recv().unwrap(), Ok(()));
        assert_eq!(reader.recv().unwrap(), Ok(()));
        assert!(beginning.try_recv().is_err(), "one flush for both");
        assert_eq!(watch(log.all()).try_recv(), Ok(Ok(())), "nothing is new");
    }

    #[test]
    fn a_reader_waits_for_a_commit_that_is_under_way() {
        let (log, beginning, tell) = by_hand();
        log.begins();
        let reader = watch(log.all());
        assert!(beginning.try_recv().is_err(), "its frames may not be there");
        drop(log.ended());
        beginning.recv().unwrap();
        tell.send(Ok(())).unwrap();
        assert_eq!(reader.recv().unwrap(), Ok(()));
    }

    #[test]
    fn after_a_flush_that_failed_nothing_is_durable() {
        let (log, beginning, tell) = by_hand();
        log.begins();
        let first = watch(log.ended());
        beginning.recv().unwrap();
        tell.send(Err(io::Error::from_raw_os_error(5))).unwrap();
        let Err(StoreError::CommitUnknown(words)) = first.recv().unwrap() else {
            panic!("it is not known");
        };
        assert!(words.contains("restart cmp-relay"), "{words}");
        log.begins();
        for durable in [log.ended(), log.all()] {
            assert!(watch(durable).recv().unwrap().is_err());
        }
        assert!(beginning.try_recv().is_err(), "it is not tried again");
        assert_eq!(log.failure(), Some(words));
    }

    #[test]
    fn closing_flushes_what_was_committed() {
        let (log, _beginning, tell) = by_hand();
        log.begins();
        let last = watch(log.ended());
        tell.send(Ok(())).unwrap();
        log.close();
        assert_eq!(last.try_recv(), Ok(Ok(())));
    }
}
