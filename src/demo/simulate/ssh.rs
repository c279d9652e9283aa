//! The SSH side of a simulated device: a host key of its own, one user with a password, and a channel
//! that is a command line or NETCONF. What is said on the channel is not known here.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{HashAlg, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, run_stream};
use russh::{Channel, ChannelId, Disconnect, Pty};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::{Stage, netconf, onyx};
use crate::shutdown::Shutdown;

/// The one user of a simulated device.
pub const USER: &str = "relay";

/// What a device does with a channel.
#[derive(Clone)]
pub(super) enum Device {
    Switch(Arc<onyx::Switch>),
    Netconf(Arc<netconf::Server>),
}

/// Where a device listens.
#[derive(Clone, Debug)]
pub struct SshEndpoint {
    pub address: SocketAddr,
    /// `SHA256:...`, as `ssh-keygen -lf` shows it.
    pub host_key: String,
}

/// Listens on a free loopback port until the end of the stage.
pub(super) fn listen(
    stage: &mut Stage,
    device: Device,
    password: String,
) -> io::Result<SshEndpoint> {
    let key = host_key()?;
    let host_key = key.fingerprint(HashAlg::Sha256).to_string();
    let listener = std::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let mut shutdown = stage.shutdown();
    let config = Arc::new(Config {
        keys: vec![key],
        // The first try is every client's question for the methods.
        auth_rejection_time_initial: Some(Duration::ZERO),
        nodelay: true,
        ..Config::default()
    });
    stage.add(tokio::spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = shutdown.stopping() => break,
            };
            // A connection that was gone before it was taken is the client's affair.
            if let Ok((stream, _)) = accepted {
                let connection = Connection {
                    device: device.clone(),
                    password: password.clone(),
                    channels: HashMap::new(),
                };
                connections.spawn(serve(
                    stream,
                    Arc::clone(&config),
                    connection,
                    shutdown.clone(),
                ));
            }
            while connections.try_join_next().is_some() {}
        }
        while connections.join_next().await.is_some() {}
    }));
    Ok(SshEndpoint { address, host_key })
}

/// An Ed25519 key, of this run alone.
fn host_key() -> io::Result<PrivateKey> {
    let mut seed = [0; 32];
    SystemRandom::new()
        .fill(&mut seed)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
    PrivateKey::new(pair, "simulated").map_err(io::Error::other)
}

async fn serve(
    stream: TcpStream,
    config: Arc<Config>,
    connection: Connection,
    mut shutdown: Shutdown,
) {
    // Without it each echo waits for the acknowledgement of the one before.
    let _ = stream.set_nodelay(true);
    let Ok(mut running) = run_stream(config, stream, connection).await else {
        return;
    };
    let handle = running.handle();
    tokio::select! {
        // What ends a connection (a cut, a failed login) ends this connection alone.
        _ = &mut running => {}
        () = shutdown.stopping() => {
            let bye = "the device is switched off".to_owned();
            let _ = handle.disconnect(Disconnect::ByApplication, bye, String::new()).await;
            let _ = running.await;
        }
    }
}

struct Connection {
    device: Device,
    password: String,
    /// Open, and nothing asked of them yet.
    channels: HashMap<ChannelId, Channel<Msg>>,
}

impl Connection {
    /// Answers a request for a shell or a subsystem: yes with what runs there, or no.
    fn start(
        &mut self,
        id: ChannelId,
        wanted: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(channel) = self.channels.remove(&id) else {
            return session.channel_failure(id);
        };
        let handle = session.handle();
        match (&self.device, wanted) {
            (Device::Switch(switch), "shell") => {
                let switch = Arc::clone(switch);
                tokio::spawn(async move {
                    // A client that is gone needs no answer.
                    let _ = onyx::converse(channel.into_stream(), &switch).await;
                    let _ = handle.close(id).await;
                });
            }
            (Device::Netconf(server), "netconf") => {
                let server = Arc::clone(server);
                tokio::spawn(async move {
                    let _ = netconf::converse(channel.into_stream(), &server).await;
                    let _ = handle.close(id).await;
                });
            }
            _ => return session.channel_failure(id),
        }
        session.channel_success(id)
    }
}

impl Handler for Connection {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(match user == USER && password == self.password {
            true => Auth::Accept,
            false => Auth::reject(),
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.channels.insert(channel.id(), channel);
        reply.accept().await;
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        self.channels.remove(&id);
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match self.device {
            Device::Switch(_) => session.channel_success(id),
            Device::Netconf(_) => session.channel_failure(id),
        }
    }

    async fn shell_request(
        &mut self,
        id: ChannelId,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.start(id, "shell", session)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.start(id, name, session)
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Switch(_) => "a command line",
            Self::Netconf(_) => "NETCONF",
        })
    }
}
