//! The call as the backend would hear it: by driver, secrets as `***`.

use super::account::CallAccount;
use super::mask::Mask;
use crate::driver::{DriverManager, HttpRequest, Preview, RenderedCall};
use crate::plan::{Auth, Backend, DriverSpec, Route};

/// The call, or why the driver could not send it.
pub fn of(
    route: &Route,
    backend: &Backend,
    call: &RenderedCall,
    mask: &Mask,
) -> Result<CallAccount, String> {
    let timeout = route.call.timeout.unwrap_or(backend.limits.timeout);
    let (RenderedCall::Http(http), Preview::Https(wire)) =
        (call, DriverManager::preview(backend, call)?)
    else {
        return Err("this call cannot be shown".to_owned());
    };
    let headers = wire
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), mask.text(value)));
    Ok(CallAccount::Https {
        method: wire.method,
        url: mask.text(&wire.url),
        headers: headers.collect(),
        body: http
            .body
            .is_some()
            .then(|| mask.text(&String::from_utf8_lossy(&wire.body))),
        login: login(backend, http),
        timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
    })
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
