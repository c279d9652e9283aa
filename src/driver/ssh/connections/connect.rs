//! One connection, from the name of the host to a login; each step has its phase.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use russh::client::{self, Handle, Msg};
use russh::{Channel, ChannelId, Disconnect, Preferred, SshId};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::auth::{self, Way};
use super::host_key::{self, Book};
use super::observer::{Observer, Sight};
use super::socket::{Cut, Socket};
use super::{algorithms, refused};
use crate::driver::{Clearance, DriverError, Found, Phase};
use crate::plan::{BackendLimits, SshAccess};

/// A connection that says nothing for so long is asked whether it lives; russh asks only once it is
/// logged in, since old devices hang up on a question before (Comware 5).
const KEEPALIVE: Duration = Duration::from_secs(15);
/// So many unanswered questions end it.
const KEEPALIVES: usize = 3;
/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// What every connection of a backend is made from.
#[derive(Debug)]
pub(super) struct Maker {
    pub(super) access: Arc<SshAccess>,
    pub(super) limits: BackendLimits,
    pub(super) preferred: Preferred,
    pub(super) ways: Vec<Way>,
    pub(super) book: Book,
}

/// A connection that is logged in. Dropping it ends it.
pub(super) struct Connection {
    handle: Handle<Observer>,
    cut: Cut,
    pub(super) sight: Sight,
    /// Nothing new is opened on it.
    retired: AtomicBool,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("retired", &self.is_retired())
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn is_over(&self) -> bool {
        self.handle.is_closed()
    }

    /// Whether nothing has come on it that was not read yet, not even its end.
    pub(super) fn is_silent(&self) -> bool {
        self.cut.is_silent()
    }

    pub(super) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Ends it at once, whoever uses it.
    pub(super) fn cut(&self) {
        self.retire();
        self.cut.now();
    }

    /// Opens a session channel. A caller who gives up leaves none behind.
    pub(super) async fn open(self: &Arc<Self>) -> Result<Claimed, russh::Error> {
        let connection = Arc::clone(self);
        let (told, opened) = oneshot::channel();
        tokio::spawn(async move {
            let opened = connection.handle.channel_open_session().await;
            // Dropped unclaimed, it closes.
            let _ = told.send(opened.map(|channel| Claimed(Some(channel))));
        });
        opened.await.unwrap_or(Err(russh::Error::Disconnect))
    }

    /// Whether the server answers.
    pub(super) async fn answers(&self, within: Duration) -> bool {
        let ping = tokio::time::timeout(within, self.handle.send_ping()).await;
        matches!(ping, Ok(Ok(()))) && !self.is_over()
    }

    /// Says goodbye and ends it.
    pub(super) async fn leave(&self) {
        self.retire();
        let goodbye = self.handle.disconnect(Disconnect::ByApplication, "", "");
        if let Ok(Ok(())) = tokio::time::timeout(GOODBYE, goodbye).await {
            // The task of the connection writes it and ends.
            let over = async {
                while !self.is_over() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            };
            let _ = tokio::time::timeout(GOODBYE, over).await;
        }
        self.cut();
    }
}

/// A channel that closes on the server when it is dropped: russh's own does not.
pub(super) struct Claimed(Option<Channel<Msg>>);

impl Claimed {
    pub(super) fn id(&self) -> ChannelId {
        self.0.as_ref().expect("only `take` and drop take it").id()
    }

    pub(super) fn get(&mut self) -> &mut Channel<Msg> {
        self.0.as_mut().expect("only `take` and drop take it")
    }

    pub(super) fn take(mut self) -> Channel<Msg> {
        self.0.take().expect("only `take` and drop take it")
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        // russh closes what a dropped stream stood on.
        drop(self.0.take().map(Channel::into_stream));
    }
}

impl Maker {
    /// Resolves, connects, negotiates, checks the host key and logs in. Each step that went well is
    /// found; `look`: nothing is recorded.
    pub(super) async fn connect(
        &self,
        clearance: &Clearance,
        look: bool,
        found: &mut Vec<Found>,
    ) -> Result<Connection, DriverError> {
        let check = |phase| clearance.check().map_err(|refusal| refused(refusal, phase));
        let mut note = |phase, what: String| found.push(Found { phase, what });
        let by = Instant::now() + self.limits.connect_timeout.min(check(Phase::Resolve)?);
        let addresses = bounded(by, Phase::Resolve, resolve(&self.access)).await?;
        let listed: Vec<_> = addresses.iter().map(|at| at.ip().to_string()).collect();
        note(
            Phase::Resolve,
            format!("{} is {}", self.access.host, listed.join(", ")),
        );
        let (stream, address) = bounded(by, Phase::Connect, dial(&addresses)).await?;
        note(Phase::Connect, format!("{address} takes connections"));
        let sight = Sight::default();
        let (socket, cut) = Socket::new(stream, &sight)
            .map_err(|error| DriverError::not_sent(Phase::Connect, error.to_string()))?;
        let expected = bounded(
            by,
            Phase::HostKey,
            host_key::expected(&self.access, &self.book, look),
        )
        .await?;
        let kinds = host_key::kinds(&expected, &self.preferred.key);
        let observer = Observer {
            expected,
            book: self.book.clone(),
            sight: sight.clone(),
        };
        let config = Arc::new(self.config(kinds));
        let negotiated = bounded(by, Phase::Negotiate, async {
            let connected = client::connect_stream(config, socket, observer).await;
            connected.map_err(|error| not_agreed(&error, &sight))
        });
        let negotiated = negotiated.await;
        if let Some(version) = sight.version() {
            note(Phase::Negotiate, format!("the server is {version}"));
        }
        if let Some(Ok(key)) = sight.host_key() {
            note(Phase::HostKey, format!("the host key is {key}"));
        }
        if let Some(names) = sight.negotiated() {
            note(Phase::Negotiate, names);
        }
        let mut handle = negotiated?;
        let left = check(Phase::Authenticate)?.min(self.limits.first_byte_timeout);
        let login = bounded(
            Instant::now() + left,
            Phase::Authenticate,
            auth::log_in(&mut handle, &self.access, &self.ways, &sight),
        )
        .await?;
        if !login.offered.is_empty() {
            note(
                Phase::Authenticate,
                format!("the server takes {}", login.offered.join(", ")),
            );
        }
        note(
            Phase::Authenticate,
            format!(
                "`{}` was let in by {}",
                self.access.user,
                login.by.join(" and ")
            ),
        );
        Ok(Connection {
            handle,
            cut,
            sight,
            retired: AtomicBool::new(false),
        })
    }

    fn config(&self, kinds: Vec<russh::keys::Algorithm>) -> client::Config {
        client::Config {
            // RFC 4253, section 4.2: no minus sign and no blank in a version.
            client_id: SshId::Standard(
                concat!("SSH-2.0-cmp_relay_", env!("CARGO_PKG_VERSION")).into(),
            ),
            preferred: Preferred {
                key: kinds.into(),
                ..self.preferred.clone()
            },
            gex: algorithms::groups(&self.access.algorithms),
            keepalive_interval: Some(KEEPALIVE),
            keepalive_max: KEEPALIVES,
            ..client::Config::default()
        }
    }
}

async fn resolve(access: &SshAccess) -> Result<Vec<SocketAddr>, DriverError> {
    let failed = |detail: String| DriverError::not_sent(Phase::Resolve, detail);
    let found = lookup_host((&*access.host, access.port)).await;
    let found: Vec<_> = found
        .map_err(|error| failed(format!("{}: {error}", access.host)))?
        .collect();
    if found.is_empty() {
        return Err(failed(format!("`{}` has no address", access.host)));
    }
    Ok(found)
}

async fn dial(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), DriverError> {
    let mut failures = Vec::new();
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok((stream, *address)),
            Err(error) => failures.push(format!("{address}: {error}")),
        }
    }
    Err(DriverError::not_sent(Phase::Connect, failures.join("; ")))
}

/// Why there was no agreement: the host key, the algorithms, or a server that went away.
fn not_agreed(error: &russh::Error, sight: &Sight) -> DriverError {
    if let Some(refusal) = sight.refusal() {
        return refusal;
    }
    let detail = match error {
        russh::Error::NoCommonAlgo { kind, ours, theirs } => {
            algorithms::disagreement(kind, ours, theirs)
        }
        russh::Error::Version => "what answers there does not speak SSH 2".to_owned(),
        russh::Error::HUP | russh::Error::Disconnect => match sight.version() {
            Some(_) => "the server ended the connection while keys were exchanged".to_owned(),
            None => "the server ended the connection before it said its version".to_owned(),
        },
        other => other.to_string(),
    };
    let by = sight
        .version()
        .map_or(String::new(), |version| format!(" ({version})"));
    DriverError::not_sent(Phase::Negotiate, format!("{detail}{by}"))
}

/// Bounds one step of connecting; the error says which took too long.
async fn bounded<T>(
    by: Instant,
    phase: Phase,
    step: impl Future<Output = Result<T, DriverError>>,
) -> Result<T, DriverError> {
    tokio::time::timeout_at(by, step).await.unwrap_or_else(|_| {
        let bound = match phase {
            Phase::Authenticate => "`first_byte_timeout`",
            _ => "`connect_timeout`",
        };
        Err(DriverError::not_sent(
            phase,
            format!("it was not done within {bound}"),
        ))
    })
}
