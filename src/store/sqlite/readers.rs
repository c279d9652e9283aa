//! The threads that answer questions: SQLite blocks, and a runtime that serves requests must not.
//!
//! They take questions from one bounded queue. A thread that is awake takes one after the other, so that
//! under load one wake answers several; it wakes the next thread when it begins and more are waiting, so
//! that a slow question holds up none.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::sql::Question;
use crate::store::sql::session::Fault;

const THREADS: usize = 4;
/// Questions that may wait: more than requests can be in flight, but for those that were given up.
const QUEUE: usize = 16_384;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The threads of one file.
#[derive(Debug)]
pub(super) struct Readers {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    work: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Threads that sleep and were not told to wake.
    asleep: usize,
    /// One was told to wake and has not begun.
    waking: bool,
    closed: bool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Readers {
    /// Starts them, each with a connection of its own.
    pub(super) fn start(
        connect: impl Fn() -> rusqlite::Result<Connection>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        // Ends the threads that were started if a later one cannot be.
        let readers = Self {
            shared: Arc::default(),
            threads: Mutex::default(),
        };
        for _ in 0..THREADS {
            let (shared, connection) = (readers.shared.clone(), connect()?);
            let thread = std::thread::Builder::new()
                .name("relay-reader".to_owned())
                .spawn(move || shared.answer(connection))?;
            hold(&readers.threads).push(thread);
        }
        Ok(readers)
    }

    /// Asks on whichever thread is free first. A question that was given up meanwhile is not asked.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        question: Question<Connection, T>,
    ) -> Result<T, Fault> {
        let (answer, answered) = oneshot::channel();
        self.shared.push(Box::new(move |connection| {
            if !answer.is_closed() {
                let _ = answer.send(at_once(question(connection)));
            }
        }))?;
        let unanswered = |_| Err(Fault::Unavailable("a question was not answered".to_owned()));
        answered.await.unwrap_or_else(unanswered)
    }

    pub(super) fn are_closed(&self) -> bool {
        hold(&self.shared.queue).closed
    }

    /// Answers what waits, takes no more, and ends the threads.
    pub(super) fn close(&self) {
        self.shared.close();
        for thread in hold(&self.threads).drain(..) {
            // A panic was caught where it happened.
            let _ = thread.join();
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn push(&self, job: Job) -> Result<(), Fault> {
        let mut queue = hold(&self.queue);
        if queue.closed {
            return Err(Fault::Unavailable("the store is closed".to_owned()));
        }
        if queue.jobs.len() >= QUEUE {
            let words = "too many questions wait for it";
            return Err(Fault::Unavailable(words.to_owned()));
        }
        queue.jobs.push_back(job);
        self.wake(queue);
        Ok(())
    }

    /// Wakes a thread for what waits, unless one is on its way.
    fn wake(&self, mut queue: MutexGuard<'_, Queue>) {
        if !queue.jobs.is_empty() && !queue.waking && queue.asleep > 0 {
            queue.asleep -= 1;
            queue.waking = true;
            drop(queue);
            self.work.notify_one();
        }
    }

    fn close(&self) {
        hold(&self.queue).closed = true;
        self.work.notify_all();
    }

    fn answer(&self, mut connection: Connection) {
        while let Some(job) = self.next() {
            let connection = &mut connection;
            if catch_unwind(AssertUnwindSafe(move || job(connection))).is_err() {
                tracing::error!("a question to the database panicked");
            }
        }
    }

    /// The next question; waits for it. `None`: all are answered, and no more will come.
    fn next(&self) -> Option<Job> {
        let mut queue = hold(&self.queue);
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                self.wake(queue);
                return Some(job);
            }
            if queue.closed {
                return None;
            }
            queue.asleep += 1;
            queue = self
                .work
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            // Whoever wakes first is the one that was told to; another has woken by itself.
            if queue.waking {
                queue.waking = false;
            } else {
                queue.asleep -= 1;
            }
        }
    }
}

// No code panics while it holds one of these locks.
fn hold<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The result of a future that never waits.
fn at_once<T>(mut future: Pin<Box<dyn Future<Output = T> + Send + '_>>) -> T {
    match future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()))
    {
        Poll::Ready(result) => result,
        Poll::Pending => unreachable!("a session of SQLite never waits"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn readers() -> Readers {
        Readers::start(Connection::open_in_memory).unwrap()
    }

    fn question<T: Send + 'static>(
        answer: impl FnOnce() -> T + Send + 'static,
    ) -> Question<Connection, T> {
        Box::new(move |_| Box::pin(async move { Ok(answer()) }))
    }

    /// A question that begins, and ends when it is let go.
    fn slow() -> (
        Question<Connection, ()>,
        oneshot::Receiver<()>,
        mpsc::Sender<()>,
    ) {
        let (began, beginning) = oneshot::channel();
        let (go, told) = mpsc::channel();
        let question = question(move || {
            began.send(()).unwrap();
            told.recv().unwrap();
        });
        (question, beginning, go)
    }

    #[tokio::test]
    async fn a_slow_question_holds_up_no_other() {
        let readers = readers();
        let (blocking, began, go) = slow();
        let quick = async {
            began.await.unwrap();
            for round in 0..50 {
                let burst = (0..20).map(|number| readers.ask(question(move || number)));
                let answers = futures_in_order(burst).await;
                assert_eq!(answers, (0..20).collect::<Vec<_>>(), "{round}");
            }
            go.send(()).unwrap();
        };
        let (blocked, ()) = tokio::join!(readers.ask(blocking), quick);
        blocked.unwrap();
    }

    /// All of them begun before the first is awaited.
    async fn futures_in_order<T>(
        asked: impl Iterator<Item = impl Future<Output = Result<T, Fault>>>,
    ) -> Vec<T> {
        let mut asked: Vec<_> = asked.map(Box::pin).collect();
        let mut answers: Vec<Option<T>> = asked.iter().map(|_| None).collect();
        std::future::poll_fn(|context| {
            for (question, answer) in asked.iter_mut().zip(&mut answers) {
                if answer.is_none()
                    && let Poll::Ready(told) = question.as_mut().poll(context)
                {
                    *answer = Some(told.unwrap());
                }
            }
            match answers.iter().all(Option::is_some) {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        answers.into_iter().flatten().collect()
    }

    #[tokio::test]
    async fn closing_answers_what_waits_but_asks_nothing_that_was_given_up() {
        let readers = readers();
        let mut blocked = Vec::new();
        for _ in 0..THREADS {
            let (question, began, go) = slow();
            let mut asked = Box::pin(readers.ask(question));
            tokio::select! {
                biased;
                _ = &mut asked => panic!("it is not let go"),
                told = began => told.unwrap(),
            }
            blocked.push((asked, go));
        }
        let asked = Arc::new(AtomicBool::new(false));
        let given_up = {
            let asked = asked.clone();
            readers.ask(question(move || asked.store(true, Ordering::SeqCst)))
        };
        let waiting = async {
            tokio::select! {
                biased;
                _ = given_up => panic!("every thread is busy"),
                () = std::future::ready(()) => {}
            }
            readers.ask(question(|| 7)).await
        };
        let closing = async {
            for (asked, go) in blocked {
                go.send(()).unwrap();
                asked.await.unwrap();
            }
            readers.close();
        };
        let (answer, ()) = tokio::join!(waiting, closing);
        assert_eq!(answer.unwrap(), 7);
        assert!(!asked.load(Ordering::SeqCst));
        assert!(readers.ask(question(|| 7)).await.is_err());
    }
}
