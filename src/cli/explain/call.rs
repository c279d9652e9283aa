//! The call as the backend would hear it: by driver, secrets as `***`.

use super::account::CallAccount;
use super::mask::Mask;
use crate::driver::{DriverManager, Preview, RenderedCall};
use crate::plan::{Action, Auth, Backend, Call, DriverSpec, HttpBody, Route};

/// The call, or why the driver could not send it.
pub fn of(
    route: &Route,
    backend: &Backend,
    call: &RenderedCall,
    mask: &Mask,
) -> Result<CallAccount, String> {
    let timeout = route.call.timeout.unwrap_or(backend.limits.timeout);
    let Preview::Https(wire) = DriverManager::preview(backend, call)?;
    let headers = wire
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), mask.text(value)));
    let has_body = match call {
        RenderedCall::Http(call) => call.body.is_some(),
    };
    Ok(CallAccount::Https {
        method: wire.method,
        url: mask.text(&wire.url),
        headers: headers.collect(),
        body: has_body.then(|| mask.text(&String::from_utf8_lossy(&wire.body))),
        login: login(backend, call),
        timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
    })
}

/// Every variable that the call reads, those of `let` left out.
pub fn variables(call: &Call) -> Vec<&str> {
    let Action::Http(call) = &call.action;
    let mut names = call.path.variables();
    names.extend(call.query.iter().flat_map(|(_, tree)| tree.variables()));
    names.extend(call.headers.iter().flat_map(|(_, text)| text.variables()));
    match &call.body {
        HttpBody::None => {}
        HttpBody::Json(tree) => names.extend(tree.variables()),
        HttpBody::Form(fields) => {
            names.extend(fields.iter().flat_map(|(_, tree)| tree.variables()));
        }
        HttpBody::Template(template) => names.extend(template.variables()),
    }
    names
}

/// Where the token of the call comes from.
fn login(backend: &Backend, call: &RenderedCall) -> Option<String> {
    let DriverSpec::Https(driver) = &backend.driver;
    let RenderedCall::Http(call) = call;
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
