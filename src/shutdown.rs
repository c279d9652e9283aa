//! One signal that everything listens to: stop taking new work, finish what is in hand.
//!
//! `serve` holds the [`Trigger`]; listeners and background tasks hold a [`Shutdown`] each.

use tokio::sync::watch;

/// The end that says stop.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// The end that hears it; cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

/// A connected pair.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Says stop to every listener, now and for good.
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Shutdown {
    /// Whether stop was said.
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }

    /// Whether something was said that [`Self::stopping`] has not heard: a look that, unlike waiting, writes
    /// nothing that other threads read.
    pub fn has_news(&self) -> bool {
        !matches!(self.0.has_changed(), Ok(false))
    }

    /// Returns once stop is said; a dropped [`Trigger`] counts as stop.
    pub async fn stopping(&mut self) {
        // An error means that the trigger is gone, and with it whoever could run on.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}
