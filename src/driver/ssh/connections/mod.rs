//! The SSH connections of one backend, and the channels on them (RFC 4251 to 4254).
//!
//! Reading order: [`connect`] (one connection, with `socket` and `observer` below it, [`algorithms`],
//! [`host_key`] and [`auth`] beside it), [`pool`] (places on connections), [`session`] (a channel that is
//! ours), [`stream`] (its bytes) and [`exec`] (a program to its end).

mod algorithms;
mod auth;
mod connect;
mod exec;
mod host_key;
mod known_hosts;
mod observer;
mod pool;
mod session;
mod socket;
mod stream;

use std::sync::Arc;

use self::connect::Maker;
use self::host_key::Book;
pub use self::host_key::HostKeys;
use self::pool::Pool;
pub use self::session::Life;
use self::session::Session;
pub use self::stream::Stream;
use crate::driver::https::scrub::Scrubber;
use crate::driver::{
    Answer, AuthState, Clearance, DriverError, ExecCommand, Phase, Probe, Refusal,
};
use crate::plan::{BackendLimits, SshAccess, SshAuth};

/// Wide and high enough that few devices wrap or page.
const COLUMNS: u32 = 511;
const ROWS: u32 = 1000;

/// The connections of one backend.
#[derive(Debug)]
pub struct Connections {
    pool: Arc<Pool>,
}

impl Connections {
    /// The error names what of the backend's file cannot be used.
    pub fn new(access: &Arc<SshAccess>, limits: &BackendLimits) -> Result<Self, String> {
        let maker = Maker {
            access: Arc::clone(access),
            limits: limits.clone(),
            preferred: algorithms::preferred(&access.algorithms)?,
            ways: auth::ways(access)?,
            book: Book {
                backend: access.address("ssh").into(),
                keys: None,
            },
        };
        Ok(Self {
            pool: Arc::new(Pool::new(maker)),
        })
    }

    /// Records host keys from now on, under the backend's name: what `tofu` needs. Only before the first
    /// connection.
    pub fn record_host_keys(&mut self, backend: &str, keys: Option<Arc<dyn HostKeys>>) {
        let pool = Arc::get_mut(&mut self.pool).expect("nothing was connected yet");
        pool.maker.book = Book {
            backend: backend.into(),
            keys,
        };
    }

    /// A shell with a terminal, on a connection that has room for a channel.
    pub async fn shell(&self, clearance: &Clearance) -> Result<Stream, DriverError> {
        within(clearance, async {
            let mut session = self.session(clearance).await?;
            let terminal = session
                .channel()
                .request_pty(true, "vt100", COLUMNS, ROWS, 0, 0, &[])
                .await;
            session.granted(terminal, "a terminal").await?;
            let shell = session.channel().request_shell(true).await;
            session.granted(shell, "a shell").await?;
            Ok(Stream::new(session))
        })
        .await
    }

    /// A subsystem such as `netconf`, without a terminal.
    pub async fn subsystem(
        &self,
        name: &str,
        clearance: &Clearance,
    ) -> Result<Stream, DriverError> {
        within(clearance, async {
            let mut session = self.session(clearance).await?;
            let asked = session.channel().request_subsystem(true, name).await;
            let what = format!("the subsystem `{name}`");
            session.granted(asked, &what).await?;
            Ok(Stream::new(session))
        })
        .await
    }

    /// Runs a program to its end.
    pub async fn exec(
        &self,
        command: &ExecCommand,
        clearance: &Clearance,
    ) -> Result<Answer, DriverError> {
        let session = within(clearance, self.session(clearance)).await?;
        exec::run(session, command, clearance, &self.pool.maker.limits).await
    }

    /// Resolves, connects, negotiates and logs in, on a connection of its own.
    pub async fn probe(&self, clearance: &Clearance) -> Probe {
        let mut found = Vec::new();
        let connected = self.pool.maker.connect(clearance, true, &mut found).await;
        let failed = match connected {
            Ok(connection) => {
                connection.leave().await;
                None
            }
            Err(error) => Some(error),
        };
        Probe { found, failed }
    }

    /// Closes every connection, those in use as soon as their last channel closes.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether a channel can be opened without waiting for somebody to close one.
    pub fn has_room(&self) -> bool {
        self.pool.has_room()
    }

    /// How it stands with the logins.
    pub fn auth_state(&self) -> AuthState {
        self.pool.auth_state()
    }

    /// Adds what must not be read in a message.
    pub(in crate::driver) fn conceal(&self, scrubber: &mut Scrubber) {
        for auth in &self.pool.maker.access.auth {
            match auth {
                SshAuth::Password(secret) | SshAuth::KeyboardInteractive(secret) => {
                    scrubber.add(secret.expose());
                }
                SshAuth::PrivateKey { passphrase, .. } => {
                    if let Some(passphrase) = passphrase {
                        scrubber.add(passphrase.expose());
                    }
                }
            }
        }
    }

    async fn session(&self, clearance: &Clearance) -> Result<Session, DriverError> {
        let (channel, place) = self.pool.open(clearance).await?;
        Ok(Session::new(channel, place))
    }
}

/// Bounds what has no effect yet by the clearance's deadline.
async fn within<T>(
    clearance: &Clearance,
    step: impl Future<Output = Result<T, DriverError>>,
) -> Result<T, DriverError> {
    let late = |refusal| refused(refusal, Phase::Open);
    let left = clearance.check().map_err(late)?;
    match tokio::time::timeout(left, step).await {
        Ok(result) => result,
        Err(_) => Err(late(Refusal::Deadline)),
    }
}

/// The call was refused before anything of it was sent.
fn refused(refusal: Refusal, phase: Phase) -> DriverError {
    let detail = match refusal {
        Refusal::Gate => "this node is not the active one",
        Refusal::Deadline => "the deadline had passed before anything was sent",
    };
    DriverError::refused(refusal, phase, detail)
}
