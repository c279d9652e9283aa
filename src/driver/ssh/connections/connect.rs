//! One connection, from the name of the host to a login.

use std::fmt;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use russh::client::{self, AuthResult, Handle};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::Instant;

use super::observer::{Observer, Sight};
use super::{bounded, refused};
use crate::driver::{Clearance, DriverError, Phase, SendOutcome};
use crate::plan::{BackendLimits, SshAccess, SshAuth};

/// A connection that is logged in. Dropping it ends it.
pub(super) struct Connection {
    pub(super) handle: Handle<Observer>,
    _cut: Cut,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// A second hand on the socket, which ends it whatever the protocol is doing.
struct Cut(std::net::TcpStream);

impl Drop for Cut {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

/// Resolves, connects, negotiates, checks the host key and logs in.
pub(super) async fn connect(
    access: &Arc<SshAccess>,
    limits: &BackendLimits,
    clearance: &Clearance,
) -> Result<Connection, DriverError> {
    let left = |phase| clearance.check().map_err(|refusal| refused(refusal, phase));
    let by = Instant::now() + limits.connect_timeout.min(left(Phase::Resolve)?);
    let rest = |by: Instant| by.saturating_duration_since(Instant::now());
    let addresses = bounded(rest(by), Phase::Resolve, resolve(access)).await?;
    let stream = bounded(rest(by), Phase::Connect, dial(&addresses)).await?;
    let (stream, cut) = second_hand(stream)
        .map_err(|error| DriverError::not_sent(Phase::Connect, error.to_string()))?;
    let sight = Sight::default();
    let mut handle = bounded(
        rest(by),
        Phase::Negotiate,
        negotiate(access, stream, &sight),
    )
    .await?;
    let span = left(Phase::Authenticate)?;
    bounded(span, Phase::Authenticate, log_in(&mut handle, access)).await?;
    Ok(Connection { handle, _cut: cut })
}

async fn resolve(access: &SshAccess) -> Result<Vec<SocketAddr>, DriverError> {
    let failed = |detail: String| DriverError::not_sent(Phase::Resolve, detail);
    let found = lookup_host((&*access.host, access.port)).await;
    let found: Vec<_> = found.map_err(|error| failed(error.to_string()))?.collect();
    if found.is_empty() {
        return Err(failed(format!("`{}` has no address", access.host)));
    }
    Ok(found)
}

async fn dial(addresses: &[SocketAddr]) -> Result<TcpStream, DriverError> {
    let mut failures = Vec::new();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failures.push(format!("{address}: {error}")),
        }
    }
    Err(DriverError::not_sent(Phase::Connect, failures.join("; ")))
}

fn second_hand(stream: TcpStream) -> std::io::Result<(TcpStream, Cut)> {
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    let cut = Cut(stream.try_clone()?);
    Ok((TcpStream::from_std(stream)?, cut))
}

async fn negotiate(
    access: &Arc<SshAccess>,
    stream: TcpStream,
    sight: &Sight,
) -> Result<Handle<Observer>, DriverError> {
    let observer = Observer {
        access: Arc::clone(access),
        sight: sight.clone(),
    };
    let config = Arc::new(client::Config::default());
    client::connect_stream(config, stream, observer)
        .await
        .map_err(|error| {
            let refusal = sight.seen().refusal.take();
            refusal.unwrap_or_else(|| DriverError::not_sent(Phase::Negotiate, error.to_string()))
        })
}

async fn log_in(handle: &mut Handle<Observer>, access: &SshAccess) -> Result<(), DriverError> {
    for auth in &access.auth {
        let SshAuth::Password(password) = auth else {
            continue;
        };
        let answered = handle.authenticate_password(&*access.user, password.expose());
        let answered = answered.await;
        match answered {
            Ok(AuthResult::Success) => return Ok(()),
            Ok(AuthResult::Failure { .. }) => {}
            Err(error) => return Err(not_let_in(error.to_string())),
        }
    }
    Err(not_let_in(format!(
        "the server let `{}` in by none of the ways of `auth`",
        access.user
    )))
}

fn not_let_in(detail: String) -> DriverError {
    DriverError {
        outcome: SendOutcome::Unauthorized,
        ..DriverError::not_sent(Phase::Authenticate, detail)
    }
}
