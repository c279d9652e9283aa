//! Drivers by what a backend's file says: the one place that knows which there are.

use std::sync::Arc;

use super::https::{HttpsDriver, wire};
use super::netconf::NetconfDriver;
use super::ssh::SshDriver;
use super::ssh::connections::HostKeys;
use super::{CliScript, Driver, ExecCommand, NetconfRequest, RenderedCall};
use crate::plan::{Backend, DriverSpec};

/// Makes the drivers.
#[derive(Clone, Copy, Debug)]
pub struct DriverManager;

impl DriverManager {
    /// The driver of a backend; the error names what of its file cannot be used. `host_keys` is where
    /// SSH host keys are recorded when they are first seen.
    pub fn make(
        backend: &Backend,
        host_keys: Option<&Arc<dyn HostKeys>>,
    ) -> Result<Arc<dyn Driver>, String> {
        match &backend.driver {
            DriverSpec::Https(spec) => Ok(Arc::new(HttpsDriver::new(spec, &backend.limits)?)),
            DriverSpec::Ssh(spec) => {
                let mut driver = SshDriver::new(spec, &backend.limits)?;
                driver.record_host_keys(&backend.name, host_keys.cloned());
                Ok(Arc::new(driver))
            }
            DriverSpec::Netconf(spec) => {
                let mut driver = NetconfDriver::new(spec, &backend.limits)?;
                driver.record_host_keys(&backend.name, host_keys.cloned());
                Ok(Arc::new(driver))
            }
        }
    }

    /// What a backend would hear, with `***` for each secret; nothing is opened, read or sent. The
    /// error names what of the call cannot be sent.
    pub fn preview(backend: &Backend, call: &RenderedCall) -> Result<Preview, String> {
        match (&backend.driver, call) {
            (DriverSpec::Https(spec), RenderedCall::Http(call)) => {
                Ok(Preview::Https(wire::of(spec, call)?))
            }
            (DriverSpec::Ssh(_), RenderedCall::Cli(script)) => Ok(Preview::Cli(script.clone())),
            (DriverSpec::Ssh(_), RenderedCall::Exec(call)) => Ok(Preview::Exec(call.clone())),
            (DriverSpec::Netconf(_), RenderedCall::Netconf(call)) => {
                Ok(Preview::Netconf(call.clone()))
            }
            (driver, _) => Err(format!(
                "the {} driver cannot send this call",
                driver.name()
            )),
        }
    }
}

/// A call as a backend would hear it, by driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preview {
    Https(wire::Wire),
    Cli(CliScript),
    Exec(ExecCommand),
    Netconf(NetconfRequest),
}
