//! The CMP request as the command line gives it: method, path, headers, body, and who asks.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::Args;
use crate::cli::Misuse;
use crate::diagnostics::suggest;
use crate::http::auth::Authenticator;
use crate::plan::{Plan, Role};
use crate::relay::{Caller, RelayError};

/// A request that nobody has looked at yet.
#[derive(Clone, Debug)]
pub struct Asked {
    pub method: Method,
    /// Without scheme and host, encoded.
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Who asks, and how that is known.
#[derive(Clone, Debug)]
pub struct Who {
    pub caller: Result<Caller, RelayError>,
    pub because: &'static str,
}

/// Reads the request from the arguments; a body's `@file` is read here.
pub fn read(args: &Args) -> anyhow::Result<Asked> {
    let method = Method::from_bytes(args.method.to_ascii_uppercase().as_bytes())
        .map_err(|_| Misuse(format!("`{}` is no HTTP method", args.method)))?;
    let mut headers = HeaderMap::new();
    for written in &args.header {
        let (name, value) = header(written)?;
        headers.append(name, value);
    }
    let body = match args.body.as_deref() {
        None => Bytes::new(),
        Some("@-") => std::io::read_to_string(std::io::stdin())
            .map_err(|error| Misuse(format!("standard input cannot be read: {error}")))?
            .into(),
        Some(text) => match text.strip_prefix('@') {
            Some(file) => std::fs::read(file)
                .map_err(|error| Misuse(format!("{file} cannot be read: {error}")))?
                .into(),
            None => Bytes::from(text.to_owned()),
        },
    };
    if !body.is_empty() {
        // What every client says of a JSON body, unless it was said otherwise.
        headers
            .entry(CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    Ok(Asked {
        method,
        uri: uri(&args.path)?,
        headers,
        body,
    })
}

/// A path with its query, or a whole URL of which the path counts.
fn uri(written: &str) -> Result<Uri, Misuse> {
    if written.contains('#') {
        let words = format!("`{written}`: a `#` in a path is written `%23`");
        return Err(Misuse(words));
    }
    if !written.starts_with('/') && !written.contains("://") {
        return Err(Misuse(format!("`{written}` must begin with `/`")));
    }
    let uri: Uri = written.parse().map_err(|error| {
        Misuse(format!(
            "`{written}` is no path ({error}); a blank is written `%20`"
        ))
    })?;
    match uri.path_and_query() {
        Some(path) if path.path().starts_with('/') => Ok(Uri::from(path.clone())),
        _ => Err(Misuse(format!("`{written}` must begin with `/`"))),
    }
}

fn header(written: &str) -> Result<(HeaderName, HeaderValue), Misuse> {
    let wrong = || {
        // The value may be a token.
        let name = written.split(':').next().unwrap_or_default();
        Misuse(format!("the header `{name}` must be `Name: value`"))
    };
    let (name, value) = written.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}

/// The client: the one that is named, the one whose token came, or the first that may use routes.
pub fn who(plan: &Plan, asked: &Asked, named: Option<&str>) -> Result<Who, Misuse> {
    let clients = &plan.server.clients;
    let authenticator = Authenticator::new(clients);
    if let Some(name) = named {
        let client = clients.iter().find(|client| *client.name == *name);
        let client = client.ok_or_else(|| no_client(plan, name))?;
        return Ok(Who {
            caller: Ok(Caller::from(client)),
            because: "named by --client",
        });
    }
    if authenticator.is_open() {
        return Ok(Who {
            caller: authenticator.check(&asked.headers),
            because: "relay.yaml has no clients, so everybody may",
        });
    }
    let first = clients
        .iter()
        .find(|client| client.roles.contains(&Role::Cmp));
    match first {
        Some(client) if !asked.headers.contains_key(AUTHORIZATION) => Ok(Who {
            caller: Ok(Caller::from(client)),
            because: "the first client with the role cmp; --client names another",
        }),
        _ => Ok(Who {
            caller: authenticator.check(&asked.headers),
            because: "by its token",
        }),
    }
}

fn no_client(plan: &Plan, name: &str) -> Misuse {
    let names: Vec<&str> = plan.server.clients.iter().map(|c| &*c.name).collect();
    if names.is_empty() {
        return Misuse(format!(
            "there is no client `{name}`: relay.yaml has none; leave --client out"
        ));
    }
    let help = match suggest::nearest(name, names.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("there are {}", names.join(", ")),
    };
    Misuse(format!("there is no client `{name}`; {help}"))
}
