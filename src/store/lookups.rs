//! Idempotency keys, looked up together: nearly each create asks for one.
//!
//! An idle store is asked at once. Who asks while as many questions as may be are on their way waits for one of
//! them to come back, and is then asked for with all others that waited.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{ClientKey, Operation, Store, StoreError};
use crate::clock::Boottime;

/// Questions on their way at once: one for those who wait, one for who comes meanwhile.
const AT_ONCE: usize = 2;

type Answer = Result<Option<Operation>, StoreError>;
/// A key, and who is told of it.
type Asked = (ClientKey, oneshot::Sender<Answer>);

/// Those who wait, and what answers them. Cheap to clone.
#[derive(Clone)]
pub(super) struct Lookups(Arc<Shared>);

struct Shared {
    store: Arc<dyn Store>,
    desk: Mutex<Desk>,
    /// When a key was found, in milliseconds since the system started; 0: never.
    found: AtomicU64,
}

/// For so long a key that was found makes others likely: a client that lost its answers repeats them.
const LATELY: Duration = Duration::from_secs(10);

#[derive(Default)]
struct Desk {
    waiting: Vec<Asked>,
    on_their_way: usize,
}

impl Lookups {
    pub(super) fn of(store: Arc<dyn Store>) -> Self {
        Self(Arc::new(Shared {
            store,
            desk: Mutex::default(),
            found: AtomicU64::new(0),
        }))
    }

    pub(super) async fn operation_by_key(&self, client: &str, key: &str) -> Answer {
        let (answer, answered) = oneshot::channel();
        if self.0.wait((client.to_owned(), key.to_owned()), answer) {
            // In a task of its own: who asked first may go away, and the others may not with it.
            tokio::spawn(Turn(Some(self.0.clone())).take());
        }
        let unanswered = |_| {
            let words = "a look-up of a key was not answered";
            Err(StoreError::Unavailable(words.to_owned()))
        };
        let answer = answered.await.unwrap_or_else(unanswered);
        if let Ok(Some(_)) = answer {
            self.0.found.store(now(), Ordering::Relaxed);
        }
        answer
    }

    pub(super) fn found_lately(&self) -> bool {
        let found = self.0.found.load(Ordering::Relaxed);
        found != 0 && now() < found + LATELY.as_millis() as u64
    }
}

fn now() -> u64 {
    Boottime::now().since_boot().as_millis() as u64
}

impl Shared {
    /// Says whether one more question may be on its way.
    fn wait(&self, key: ClientKey, answer: oneshot::Sender<Answer>) -> bool {
        let mut desk = self.desk();
        desk.waiting.push((key, answer));
        let free = desk.on_their_way < AT_ONCE;
        desk.on_their_way += usize::from(free);
        free
    }

    // Nothing panics while it holds the lock.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One question after the other until nobody waits; given back however its task ends.
struct Turn(Option<Arc<Shared>>);

impl Turn {
    async fn take(mut self) {
        while let Some((shared, asked)) = self.next() {
            let asked = asked.into_iter().filter(|(_, answer)| !answer.is_closed());
            let (keys, answers): (Vec<_>, Vec<_>) = asked.unzip();
            match shared.store.operations_by_key(&keys).await {
                Ok(found) => {
                    for (answer, row) in answers.into_iter().zip(found) {
                        let _ = answer.send(Ok(row));
                    }
                }
                Err(error) => {
                    for answer in answers {
                        let _ = answer.send(Err(error.clone()));
                    }
                }
            }
        }
    }

    fn next(&mut self) -> Option<(Arc<Shared>, Vec<Asked>)> {
        let shared = self.0.clone()?;
        let mut desk = shared.desk();
        let waiting = std::mem::take(&mut desk.waiting);
        if waiting.is_empty() {
            // Under the same lock that whoever comes next asks under.
            desk.on_their_way -= 1;
            self.0 = None;
            return None;
        }
        drop(desk);
        Some((shared, waiting))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take() {
            shared.desk().on_their_way -= 1;
        }
    }
}
