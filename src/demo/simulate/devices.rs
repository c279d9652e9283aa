//! Simulated devices behind SSH: a switch with a command line, and one that speaks NETCONF.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use super::ssh::USER;
use super::ssh::{self, Device};
use super::{netconf, onyx};
use crate::shutdown::{self, Trigger};

/// What the devices are called, and with what one logs in.
#[derive(Clone, Debug)]
pub struct Options {
    /// The host name in the prompts.
    pub name: String,
    /// Where the devices keep their configuration; `None`: in memory only.
    pub data: Option<PathBuf>,
    /// The password of the user [`USER`], and what `enable` asks for.
    pub password: String,
}

/// Running simulated devices; they end when this is dropped.
#[derive(Debug)]
pub struct Devices {
    pub switch: SimulatedDevice,
    pub netconf: SimulatedDevice,
    switch_heard: Arc<onyx::Switch>,
    netconf_heard: Arc<netconf::Server>,
    trigger: Trigger,
}

/// One device, behind an SSH server of its own.
#[derive(Debug)]
pub struct SimulatedDevice {
    pub address: SocketAddr,
    /// `SHA256:...`, made at each start.
    pub host_key: String,
    server: tokio::task::JoinHandle<()>,
}

impl Devices {
    /// The lines that the switch was sent so far, of all sessions, in their order.
    pub fn heard(&self) -> Vec<String> {
        self.switch_heard.heard()
    }

    /// The messages that the NETCONF server was sent so far, of all sessions, hellos left out.
    pub fn messages(&self) -> Vec<String> {
        self.netconf_heard.heard()
    }

    /// Stops listening and ends every connection.
    pub async fn stop(self) {
        self.trigger.stop();
        for device in [self.switch, self.netconf] {
            // A server ends only by the trigger; its task has nothing else to report.
            let _ = device.server.await;
        }
    }
}

/// Starts both devices on free loopback ports.
pub async fn start(options: Options) -> io::Result<Devices> {
    let (trigger, shutdown) = shutdown::channel();
    let file = |sort: &str| {
        let folder = options.data.as_ref();
        folder.map(|folder| folder.join(format!("{}-{sort}.json", options.name)))
    };
    let switch = Arc::new(onyx::Switch::open(
        &options.name,
        &options.password,
        file("onyx"),
    )?);
    let server = Arc::new(netconf::Server::open(file("netconf"))?);
    let listen = |device| ssh::listen(device, options.password.clone(), shutdown.clone());
    let listening = [
        listen(Device::Switch(Arc::clone(&switch))).await?,
        listen(Device::Netconf(Arc::clone(&server))).await?,
    ];
    let [switch_at, netconf_at] = listening.map(|listening| SimulatedDevice {
        address: listening.address,
        host_key: listening.host_key,
        server: listening.server,
    });
    Ok(Devices {
        switch: switch_at,
        netconf: netconf_at,
        switch_heard: switch,
        netconf_heard: server,
        trigger,
    })
}
