//! A backend's places: so many calls at once, so many requests that wait, first come first served.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::clock::Boottime;

/// The places of one backend.
#[derive(Debug)]
pub struct Limits {
    concurrency: usize,
    queue: usize,
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Leave to stand aside: to wait for something else than a place.
    aside: Arc<Semaphore>,
}

/// There is no place: the queue is full, or the deadline passed in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Counts a waiting request for as long as it waits.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Limits {
    pub fn new(concurrency: usize, queue: usize) -> Self {
        let concurrency = concurrency.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            concurrency,
            queue,
            places: Arc::new(Semaphore::new(concurrency)),
            waiting: AtomicUsize::new(0),
            aside: Arc::new(Semaphore::new(
                concurrency
                    .saturating_add(queue)
                    .min(Semaphore::MAX_PERMITS),
            )),
        }
    }

    /// Whether these are the numbers of that file.
    pub fn is(&self, concurrency: usize, queue: usize) -> bool {
        (self.concurrency, self.queue) == (concurrency, queue)
    }

    /// A place, at once or after those who came before. The place is free again when the permit is
    /// dropped; a waiting request that is dropped gives up its turn.
    pub async fn enter(&self, deadline: Boottime) -> Result<OwnedSemaphorePermit, Full> {
        self.enter_behind(self.queue, deadline).await
    }

    /// As [`Limits::enter`], for a request that stood aside: no queue is too long for it.
    pub async fn enter_again(&self, deadline: Boottime) -> Result<OwnedSemaphorePermit, Full> {
        self.enter_behind(usize::MAX, deadline).await
    }

    /// Leave to stand aside, for as many as could hold a place or wait for one.
    pub fn stand_aside(&self) -> Result<OwnedSemaphorePermit, Full> {
        Arc::clone(&self.aside)
            .try_acquire_owned()
            .map_err(|_| Full)
    }

    async fn enter_behind(
        &self,
        queue: usize,
        deadline: Boottime,
    ) -> Result<OwnedSemaphorePermit, Full> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(permit);
        }
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&self.waiting);
        if before >= queue {
            return Err(Full);
        }
        let left = deadline.remaining().ok_or(Full)?;
        tokio::time::timeout(left, Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| Full)?
            .map_err(|_| Full)
    }

    /// Calls that hold a place.
    pub fn in_flight(&self) -> usize {
        self.concurrency
            .saturating_sub(self.places.available_permits())
    }

    /// Requests that wait for one.
    pub fn queued(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }
}

/// The calls that a driver has under way: a driver is closed when they have ended. (Its places may
/// be another driver's by then, for a reload carries them over.)
#[derive(Debug, Default)]
pub struct Calls {
    under_way: AtomicUsize,
    ended: Notify,
}

/// One call under way.
#[derive(Debug)]
pub struct UnderWay(Arc<Calls>);

impl Calls {
    pub fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        UnderWay(Arc::clone(self))
    }

    /// Returns once no call is under way.
    pub async fn ended(&self) {
        loop {
            let mut ended = pin!(self.ended.notified());
            // Listens before it looks, so that no end is missed in between.
            ended.as_mut().enable();
            if self.under_way.load(Ordering::Acquire) == 0 {
                return;
            }
            ended.await;
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn soon() -> Boottime {
        Boottime::now() + Duration::from_secs(30)
    }

    #[tokio::test]
    async fn places_are_given_in_the_order_of_coming() {
        let limits = Arc::new(Limits::new(1, 8));
        let held = limits.enter(soon()).await.unwrap();
        let (said, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..3 {
            let (places, said) = (Arc::clone(&limits), said.clone());
            tokio::spawn(async move {
                let permit = places.enter(soon()).await.unwrap();
                said.send(number).unwrap();
                drop(permit);
            });
            while limits.queued() <= number {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!((limits.in_flight(), limits.queued()), (1, 3));
        drop(held);
        for expected in 0..3 {
            assert_eq!(heard.recv().await, Some(expected));
        }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_and_a_cancelled_wait_frees_its_turn() {
        let limits = Arc::new(Limits::new(1, 1));
        let held = limits.enter(soon()).await.unwrap();
        let waiting = tokio::spawn({
            let limits = Arc::clone(&limits);
            async move { limits.enter(soon()).await.map(drop) }
        });
        while limits.queued() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(limits.enter(soon()).await.unwrap_err(), Full);
        waiting.abort();
        assert!(waiting.await.unwrap_err().is_cancelled());
        assert_eq!(limits.queued(), 0);
        drop(held);
        assert!(limits.enter(soon()).await.is_ok());
    }

    #[tokio::test]
    async fn a_driver_is_idle_when_its_last_call_has_ended() {
        let calls = Arc::new(Calls::default());
        calls.ended().await;
        let (first, second) = (calls.begin(), calls.begin());
        drop(first);
        let waiting = tokio::spawn({
            let calls = Arc::clone(&calls);
            async move { calls.ended().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_deadline_passes_in_the_queue() {
        let limits = Limits::new(1, 1);
        let _held = limits.enter(soon()).await.unwrap();
        let shortly = Boottime::now() + Duration::from_millis(5);
        assert_eq!(limits.enter(shortly).await.unwrap_err(), Full);
        assert_eq!(limits.queued(), 0);
    }
}
