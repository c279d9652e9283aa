//! What answers questions. SQLite blocks, and a runtime that serves requests must not: threads do it.
//!
//! They take questions from one bounded queue. A thread that is awake takes one after the other, so that
//! under load one wake answers several; it wakes the next thread when it begins and more are waiting, so
//! that a slow question holds up none.
//!
//! A question about a few rows by their keys is over sooner than a thread wakes, as long as the pages are
//! in memory. It is answered where it is asked (`here`), until one was slow: then the threads have them all
//! again for a while, so that a runtime waits for a disk for a small part of its time only.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::store::sql::Question;
use crate::store::sql::session::Fault;

const THREADS: usize = 2;
/// Connections for questions that are answered where they are asked: more runtimes than these rarely ask at once.
const HERE: usize = 4;
/// Longer than waking a thread takes.
const SLOW: Duration = Duration::from_micros(200);
/// For so many times what a slow question took, none is answered where it is asked.
const RESTS: u32 = 20;
/// Questions that may wait: more than requests can be in flight, but for those that were given up.
const QUEUE: usize = 16_384;

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

/// The threads of one file, and what answers without them.
#[derive(Debug)]
pub(super) struct Readers {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    here: Mutex<Here>,
}

/// Answers on the thread that asks.
#[derive(Debug)]
struct Here {
    free: Vec<Connection>,
    rests_until: Option<Instant>,
    closed: bool,
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
            here: Mutex::new(Here::start(&connect)?),
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
                let _ = answer.send(self::answer(question, connection));
            }
        }))?;
        let unanswered = |_| Err(Fault::Unavailable("a question was not answered".to_owned()));
        answered.await.unwrap_or_else(unanswered)
    }

    /// Asks about a few rows by their keys: at once, unless the disk is slow.
    pub(super) async fn ask_at_once<T: Send + 'static>(
        &self,
        question: Question<Connection, T>,
    ) -> Result<T, Fault> {
        let taken = Instant::now();
        let Some(mut connection) = hold(&self.here).take(taken) else {
            return self.ask(question).await;
        };
        let answer = answer(question, &mut connection);
        hold(&self.here).give_back(connection, taken, Instant::now());
        answer
    }

    pub(super) fn are_closed(&self) -> bool {
        hold(&self.shared.queue).closed
    }

    /// Answers what waits, takes no more, and ends the threads.
    pub(super) fn close(&self) {
        self.shared.close();
        hold(&self.here).close();
        for thread in hold(&self.threads).drain(..) {
            // No job panics.
            let _ = thread.join();
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Here {
    fn start(connect: impl Fn() -> rusqlite::Result<Connection>) -> rusqlite::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let free: Result<_, _> = (0..cores.min(HERE)).map(|_| connect()).collect();
        Ok(Self {
            free: free?,
            rests_until: None,
            closed: false,
        })
    }

    /// `None`: the threads are to answer.
    fn take(&mut self, now: Instant) -> Option<Connection> {
        if self.rests_until.is_some_and(|until| now < until) {
            return None;
        }
        self.free.pop()
    }

    fn give_back(&mut self, connection: Connection, taken: Instant, now: Instant) {
        let took = now.duration_since(taken);
        if took > SLOW {
            self.rests_until = Some(now + took * RESTS);
        }
        if !self.closed {
            self.free.push(connection);
        }
    }

    fn close(&mut self) {
        self.closed = true;
        self.free.clear();
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
            job(&mut connection);
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

/// What the file says; a panic ends neither the thread nor the connection.
fn answer<T>(question: Question<Connection, T>, connection: &mut Connection) -> Result<T, Fault> {
    let answered = catch_unwind(AssertUnwindSafe(|| at_once(question(connection))));
    answered.unwrap_or_else(|_| {
        tracing::error!("a question to the database panicked");
        Err(Fault::Unavailable("a question panicked".to_owned()))
    })
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

    #[test]
    fn after_a_slow_answer_the_threads_have_the_questions_for_a_while() {
        let mut here = Here::start(Connection::open_in_memory).unwrap();
        let began = Instant::now();
        let quick = here.take(began).unwrap();
        here.give_back(quick, began, began + SLOW);
        let slow = here.take(began).unwrap();
        let ended = began + SLOW * 2;
        here.give_back(slow, began, ended);
        let rest = SLOW * 2 * RESTS;
        assert!(here.take(ended + rest - SLOW).is_none());
        assert!(here.take(ended + rest).is_some());
    }

    #[tokio::test]
    async fn a_question_at_once_is_answered_where_it_is_asked_or_by_a_thread() {
        let readers = readers();
        let thread = || question(|| std::thread::current().id());
        let all: Vec<_> = std::mem::take(&mut hold(&readers.here).free);
        assert_ne!(
            readers.ask_at_once(thread()).await.unwrap(),
            std::thread::current().id()
        );
        hold(&readers.here).free = all;
        assert_eq!(
            readers.ask_at_once(thread()).await.unwrap(),
            std::thread::current().id()
        );

        let connections = hold(&readers.here).free.len();
        hold(&readers.here).rests_until = None;
        let panics: Result<(), _> = readers.ask_at_once(question(|| panic!("on purpose"))).await;
        assert_eq!(panics.unwrap_err().to_string(), "a question panicked");
        assert_eq!(hold(&readers.here).free.len(), connections);

        readers.close();
        assert!(readers.ask_at_once(thread()).await.is_err());
        assert!(hold(&readers.here).free.is_empty());
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
