//! `serve --watch`: the folder is looked at every so often, and reloaded once it has changed and come
//! to rest.
//!
//! It asks the file system for times and sizes instead of being told (docs/decisions): that works on
//! network file systems and on what a container mounts, where notices do not arrive. Only when the same
//! is seen twice in a row is a change looked into, so that a copy under way is waited for; what does not
//! compile changes nothing and is tried again when the files change again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{Order, ReloadError, Reloader};
use crate::config::source::{SourceFiles, Stamp, stamps};
use crate::diagnostics::Diagnostics;
use crate::shutdown::Shutdown;

/// What to watch.
#[derive(Clone, Debug)]
pub struct Watch {
    /// The configuration folder.
    pub folder: PathBuf,
    /// How often it is looked at; a change is taken up after two to three times as long.
    pub every: Duration,
}

impl Watch {
    /// Watches until told to stop.
    pub async fn run(self, reloader: Arc<Reloader>, mut stop: Shutdown) {
        let mut clock = tokio::time::interval(self.every);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut seen = Vec::new();
        // What was looked into last; nothing yet, for the files may have changed during the start.
        let mut tried: Option<Vec<Stamp>> = None;
        loop {
            tokio::select! {
                () = stop.stopping() => return,
                _ = clock.tick() => {}
            }
            let now = self.stamps().await;
            if now != seen {
                seen = now;
                continue;
            }
            if tried.as_ref() == Some(&seen) {
                continue;
            }
            tried = match self.look(&reloader, &seen).await {
                true => Some(seen.clone()),
                false => None,
            };
        }
    }

    /// Reloads if the folder does not say what serves; whether it held still meanwhile.
    async fn look(&self, reloader: &Reloader, seen: &[Stamp]) -> bool {
        let folder = self.folder.clone();
        let read = tokio::task::spawn_blocking(move || {
            SourceFiles::read(&folder, &mut Diagnostics::default()).digest()
        });
        let Ok(digest) = read.await else { return false };
        if digest == reloader.relay.plan().digest {
            if !reloader.last().came.is_well() {
                reloader.unchanged("watch");
            }
            return true;
        }
        let order = Order {
            settled: &|| stamps(&self.folder) == seen,
            ..Order::new("watch", false)
        };
        match reloader.reload(order).await {
            Err(ReloadError::Rejected(rejected)) => eprintln!("{}", rejected.text),
            Err(ReloadError::Unsettled) => return false,
            Ok(_) | Err(ReloadError::Refused(_) | ReloadError::Failed(_)) => {}
        }
        true
    }

    async fn stamps(&self) -> Vec<Stamp> {
        let folder = self.folder.clone();
        // A network file system may take its time.
        let asked = tokio::task::spawn_blocking(move || stamps(&folder));
        asked.await.unwrap_or_default()
    }
}
