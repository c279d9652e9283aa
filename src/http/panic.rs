//! A panic in a handler becomes an answer: the connection lives on, and the CMP is told.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

/// Runs a future; a panic in it comes back as its words.
///
/// Unwind safety is asserted, not proven: what the future owned is dropped and never looked at again,
/// and what it shared is the relay's own state, whose locks are never held across a panic's way out.
pub async fn catch<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, String> {
    poll_fn(
        |cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(panic) => Poll::Ready(Err(words(&*panic))),
        },
    )
    .await
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".into())
}
