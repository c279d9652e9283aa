//! The call as the backend would hear it: by driver, secrets as `***`.

use super::account::CallAccount;
use super::mask::Mask;
use crate::driver::{DriverManager, HttpRequest, Preview, RenderedCall};
use crate::plan::{Auth, Backend, DriverSpec, Way};

/// The call, or why the driver could not send it.
pub fn of(
    way: &Way,
    backend: &Backend,
    call: &RenderedCall,
    mask: &Mask,
) -> Result<CallAccount, String> {
    let timeout = way.call.timeout.unwrap_or(backend.limits.timeout);
    let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
    let address = backend.driver.address();
    let lines = |text: &str| text.lines().map(|line| mask.text(line)).collect();
    Ok(match DriverManager::preview(backend, call)? {
        Preview::Https(wire) => {
            let RenderedCall::Http(http) = call else {
                return Err("this call cannot be shown".to_owned());
            };
            let headers = wire
                .headers
                .iter()
                .map(|(name, value)| (name.clone(), mask.text(value)));
            CallAccount::Https {
                method: wire.method,
                url: mask.text(&wire.url),
                headers: headers.collect(),
                body: http
                    .body
                    .is_some()
                    .then(|| mask.text(&String::from_utf8_lossy(&wire.body))),
                login: login(backend, http),
                timeout_ms,
            }
        }
        Preview::Cli(script) => CallAccount::Cli {
            address,
            profile: profile(backend),
            mode: script.mode.map(String::from),
            lines: script.lines.iter().map(|line| mask.text(line)).collect(),
            save: script.save,
            timeout_ms,
        },
        Preview::Exec(program) => CallAccount::Exec {
            address,
            command: mask.text(&program.command),
            stdin: program
                .stdin
                .map(|bytes| mask.text(&String::from_utf8_lossy(&bytes))),
            timeout_ms,
        },
        Preview::Netconf(request) => CallAccount::Netconf {
            address,
            operation: request.operation.name(),
            target: request.target.map(|target| target.name()),
            xml: request.content.as_deref().map_or_else(Vec::new, lines),
            timeout_ms,
        },
    })
}

/// The CLI profile of a backend that has one.
fn profile(backend: &Backend) -> Option<String> {
    match &backend.driver {
        DriverSpec::Ssh(ssh) => Some(ssh.profile.as_ref()?.name.to_string()),
        _ => None,
    }
}

/// Where the token of the call comes from.
fn login(backend: &Backend, call: &HttpRequest) -> Option<String> {
    let DriverSpec::Https(driver) = &backend.driver else {
        return None;
    };
    let (_, auth) = match call.auth.as_deref() {
        None => driver.auths.first()?,
        Some(name) => driver.auths.iter().find(|(known, _)| **known == *name)?,
    };
    let (whom, url) = match auth {
        Auth::Keystone(keystone) => {
            let url = &keystone.url;
            (
                "Keystone's",
                format!("{}{}/auth/tokens", url.origin(), url.path),
            )
        }
        Auth::Login(login) => {
            let url = &driver.url;
            (
                "the backend's",
                format!("{}{}{}", url.origin(), url.path, login.path),
            )
        }
        _ => return None,
    };
    Some(format!(
        "{whom} token, of one login at {url} that all calls share"
    ))
}
