//! Simulated devices: a switch with a command line behind SSH, one that speaks NETCONF, and a switch like the first
//! behind its JSON API.

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
    /// The switch behind its JSON API, and the password of [`USER`] there.
    pub web_name: String,
    pub web_password: String,
}

/// What stands on the stage: each device is behind an SSH server of its own, with a host key of this run.
#[derive(Debug)]
pub struct Devices {
    pub switch: SshEndpoint,
    pub netconf: SshEndpoint,
    /// The URL of the JSON API.
    pub web: String,
    switch_heard: Arc<onyx::Switch>,
    netconf_heard: Arc<netconf::Server>,
    web_heard: Arc<onyx::Switch>,
}

impl Devices {
    /// The lines that the switch was sent so far, of all sessions, in their order.
    pub fn heard(&self) -> Vec<String> {
        self.switch_heard.heard()
    }

    /// The commands that the switch behind the JSON API was sent so far.
    pub fn heard_over_https(&self) -> Vec<String> {
        self.web_heard.heard()
    }

    /// Enters a line in configuration mode at both switches, behind everybody's back.
    pub fn enter(&self, line: &str) {
        self.switch_heard.enter(line);
        self.web_heard.enter(line);
    }

    /// Ends every session at the JSON API. From now on who has none is told so, or is shown the way to the login page.
    pub fn end_sessions(&self, shows_the_way: bool) {
        self.web_heard.end_sessions(shows_the_way);
    }

    /// Sessions at the JSON API: given out so far, and open now.
    pub fn logins(&self) -> (u64, usize) {
        self.web_heard.logins()
    }

    /// The messages that the NETCONF server was sent so far, of all sessions, hellos left out.
    pub fn messages(&self) -> Vec<String> {
        self.netconf_heard.heard()
    }
}

/// Starts all of them.
pub fn start(stage: &mut Stage, options: Options) -> io::Result<Devices> {
    let Options {
        name,
        password,
        web_name,
        web_password,
    } = options;
    let file = stage.file(&format!("{name}-onyx.json"));
    let switch = Arc::new(onyx::Switch::open(&name, &password, file)?);
    let file = stage.file(&format!("{name}-netconf.json"));
    let server = Arc::new(netconf::Server::open(file)?);
    let file = stage.file(&format!("{web_name}-onyx.json"));
    let web = Arc::new(onyx::Switch::open(&web_name, &web_password, file)?);
    Ok(Devices {
        web: stage.serve(web.router())?,
        web_heard: web,
        switch: ssh::listen(stage, Device::Switch(Arc::clone(&switch)), password.clone())?,
        netconf: ssh::listen(stage, Device::Netconf(Arc::clone(&server)), password)?,
        switch_heard: switch,
        netconf_heard: server,
    })
}
