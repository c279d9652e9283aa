//! Simulated devices behind SSH: a switch with a command line, and one that speaks NETCONF.

use std::io;
use std::sync::Arc;

use super::ssh::{self, Device};
pub use super::ssh::{SshEndpoint, USER};
use super::{Stage, netconf, onyx};

/// What the devices are called, and with what one logs in.
#[derive(Clone, Debug)]
pub struct Options {
    /// The host name in the prompts.
    pub name: String,
    /// The password of the user [`USER`], and what `enable` asks for.
    pub password: String,
}

/// What stands on the stage: each device is behind an SSH server of its own, with a host key of this run.
#[derive(Debug)]
pub struct Devices {
    pub switch: SshEndpoint,
    pub netconf: SshEndpoint,
    switch_heard: Arc<onyx::Switch>,
    netconf_heard: Arc<netconf::Server>,
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
}

/// Starts both devices.
pub fn start(stage: &mut Stage, options: Options) -> io::Result<Devices> {
    let Options { name, password } = options;
    let file = stage.file(&format!("{name}-onyx.json"));
    let switch = Arc::new(onyx::Switch::open(&name, &password, file)?);
    let file = stage.file(&format!("{name}-netconf.json"));
    let server = Arc::new(netconf::Server::open(file)?);
    Ok(Devices {
        switch: ssh::listen(stage, Device::Switch(Arc::clone(&switch)), password.clone())?,
        netconf: ssh::listen(stage, Device::Netconf(Arc::clone(&server)), password)?,
        switch_heard: switch,
        netconf_heard: server,
    })
}
