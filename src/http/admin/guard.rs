//! What stands before the admin API: the Host header, the token, the role, the media type of writes.

use std::net::IpAddr;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{Method, header};

use super::{Admin, Problem};
use crate::http::auth::require;
use crate::http::operations::require_json;
use crate::plan::Role;
use crate::relay::RelayError;

/// Refuses a Host header that does not name this listener: a web page whose own name was made to
/// resolve to this address (DNS rebinding) sends its own name.
pub(super) async fn host(State(admin): State<Admin>, request: Request, next: Next) -> Response {
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|value| value.to_str().ok())
        .or_else(|| {
            request
                .uri()
                .authority()
                .map(|authority| authority.as_str())
        })
        .unwrap_or_default();
    if names_listener(host, &admin) {
        return next.run(request).await;
    }
    let words = format!(
        "The Host header does not name this listener; use http://{}.",
        admin.address
    );
    Problem(RelayError::Forbidden(words)).into_response()
}

fn names_listener(host: &str, admin: &Admin) -> bool {
    let (name, port) = split_port(host);
    if port.is_some_and(|port| port.parse() != Ok(admin.address.port())) {
        return false;
    }
    let listening = admin.address.ip();
    match name.parse::<IpAddr>() {
        // An address cannot be rebound. On all interfaces, any of them is this listener.
        Ok(ip) => ip == listening || listening.is_unspecified() || ip.is_loopback(),
        Err(_) if name.eq_ignore_ascii_case("localhost") => true,
        // Beyond loopback every request carries a token, which no rebound page has.
        Err(_) => {
            !name.is_empty()
                && !listening.is_loopback()
                && !admin.edge.front().authenticator.is_open()
        }
    }
}

/// `name:port`, `[v6]:port` or either alone.
fn split_port(host: &str) -> (&str, Option<&str>) {
    if let Some(rest) = host.strip_prefix('[')
        && let Some((address, after)) = rest.split_once(']')
    {
        return (address, after.strip_prefix(':'));
    }
    match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    }
}

/// Checks token and role, and that writes are JSON; leaves the caller in the request's extensions.
pub(super) async fn authorize(
    State(admin): State<Admin>,
    mut request: Request<Body>,
    next: Next,
) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let checked = admin
        .edge
        .front()
        .authenticator
        .check(request.headers())
        .and_then(|caller| {
            let roles: &[Role] = match reads {
                true => &[Role::Reader, Role::Operator],
                false => &[Role::Operator],
            };
            require(&caller, roles)?;
            if !reads {
                require_json(request.headers())?;
            }
            Ok(caller)
        });
    match checked {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(error) => Problem(error).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_split_at_their_port() {
        assert_eq!(split_port("localhost:8081"), ("localhost", Some("8081")));
        assert_eq!(split_port("localhost"), ("localhost", None));
        assert_eq!(split_port("[::1]:8081"), ("::1", Some("8081")));
        assert_eq!(split_port("[::1]"), ("::1", None));
    }
}
