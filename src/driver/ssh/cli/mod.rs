//! A command line, driven by its profile: lines go one by one, each echo and prompt awaited.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::driver::{Answer, Clearance, CliScript, DriverError, Phase};
use crate::plan::CliProfile;
use crate::secret::Secret;

/// A session at a prompt that is known.
#[derive(Debug)]
pub struct Shell<S> {
    stream: S,
    profile: Arc<CliProfile>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Shell<S> {
    /// Awaits the first prompt and sends the profile's `open` lines. `enable` is what a mode that asks
    /// for a password is given.
    pub async fn open(
        stream: S,
        profile: &Arc<CliProfile>,
        _enable: Option<&Secret>,
        _: &Clearance,
    ) -> Result<Self, DriverError> {
        Ok(Self {
            stream,
            profile: Arc::clone(profile),
        })
    }

    /// Runs the lines of a script. Whatever the outcome, [`Shell::is_clean`] says whether the session
    /// may be used again.
    pub async fn run(&mut self, _: &CliScript, _: &Clearance) -> Result<Answer, DriverError> {
        Err(DriverError::not_sent(Phase::Open, &*self.profile.name))
    }

    /// Whether it stands at the prompt that a login ends in, with nothing unread.
    pub fn is_clean(&self) -> bool {
        false
    }

    /// Gives the stream back.
    pub fn into_stream(self) -> S {
        self.stream
    }
}
