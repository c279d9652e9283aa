//! When a commit is safe: at once, or when whoever flushes it says so.

use std::fmt;

use tokio::sync::oneshot;

use super::StoreError;

/// Called once it is known.
pub type Told = Box<dyn FnOnce(Result<(), StoreError>) + Send>;
type Tell = Box<dyn FnOnce(Told) + Send>;

/// A commit that nobody may be told of before it is durable.
#[must_use = "a commit is acknowledged once it is durable"]
pub struct Durable(Option<Tell>);

impl fmt::Debug for Durable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Durable").field(&self.0.is_none()).finish()
    }
}

impl Durable {
    /// It is so already.
    pub fn already() -> Self {
        Self(None)
    }

    /// `tell` takes what is to be called, and calls it from wherever it is found out.
    pub fn later(tell: impl FnOnce(Told) + Send + 'static) -> Self {
        Self(Some(Box::new(tell)))
    }

    /// Calls `told` as soon as it is known: from here, or from the thread that flushes.
    pub fn then(self, told: impl FnOnce(Result<(), StoreError>) + Send + 'static) {
        match self.0 {
            None => told(Ok(())),
            Some(tell) => tell(Box::new(told)),
        }
    }

    pub async fn wait(self) -> Result<(), StoreError> {
        if self.0.is_none() {
            return Ok(());
        }
        let (answer, answered) = oneshot::channel();
        self.then(move |result| drop(answer.send(result)));
        let unanswered =
            |_| StoreError::CommitUnknown("nobody said whether it is on the disk".to_owned());
        answered.await.map_err(unanswered)?
    }
}
