//! An `http` call: method, path, query, headers and one body, sent by the https driver.

use std::collections::BTreeSet;

use http::{HeaderName, Method};

use super::{Ground, Sort};
use crate::config::compile::codes;
use crate::config::compile::header::RESERVED;
use crate::config::compile::matching::method_and_path;
use crate::config::spec::call::CallSpec;
use crate::config::spec::decode::{At, Entries};
use crate::config::spec::part::{Written, misplaced, right, wrong};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::{Node, Span};
use crate::plan::{Auth, Backend, DriverSpec, HttpBody, HttpCall, TokenCarrier};
use crate::transform::{Env, PathTemplate, Position, Template, Text, Tree};

const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Beside [`RESERVED`], what the driver does for itself.
const DRIVERS_OWN: [&str; 2] = ["expect", "proxy-authorization"];

/// Compiles the parts of the call that are about HTTP; each whatever became of the others.
pub(super) fn compile(
    spec: &CallSpec,
    ground: &Ground<'_>,
    env: &Env<'_>,
    diags: &mut Diagnostics,
) -> Option<HttpCall> {
    let target = right(&spec.http).and_then(|http| self::target(http, env, diags));
    let query = fields(right(&spec.query), "call.query", env, diags);
    let auth = match right(&spec.auth) {
        Some(auth) => self::auth(auth, ground.kind, &ground.backends, diags).map(Some),
        None => Some(None),
    };
    let taken = auth_headers(&ground.backends, auth.as_ref().and_then(Option::as_deref));
    let headers = headers(right(&spec.headers), "call.headers", &taken, env, diags);
    let body = body(spec, env, diags);
    if body.as_ref().is_some_and(HttpBody::holds_cli) {
        let at = ["body", "form"]
            .iter()
            .find_map(|key| super::place(spec, key));
        ground.needed_profiles(
            Sort::Http,
            ("$cli", at),
            "add `profile: NAME` to the driver: it says what a value of a line may not hold",
            diags,
        );
    }
    let broken = wrong(&spec.http)
        || wrong(&spec.query)
        || wrong(&spec.headers)
        || wrong(&spec.form)
        || wrong(&spec.template)
        || wrong(&spec.auth);
    if broken {
        return None;
    }
    let (method, path) = target?;
    Some(HttpCall {
        method,
        path,
        query: query?,
        headers: headers?,
        body: body?,
        auth: auth?,
    })
}

fn target(
    http: &Written,
    env: &Env<'_>,
    diags: &mut Diagnostics,
) -> Option<(Method, PathTemplate)> {
    let (method, path) = method_and_path(http.snippet(), "http", &METHODS, diags)?;
    let path = PathTemplate::compile(path, "call.http", env, diags)?;
    Some((method, path))
}

/// Query parameters or form fields.
fn fields(
    specs: Option<&Entries<Node>>,
    field: &str,
    env: &Env<'_>,
    diags: &mut Diagnostics,
) -> Option<Vec<(Box<str>, Tree)>> {
    let compiled: Vec<_> = specs
        .map(|specs| specs.0.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|(key, node)| {
            let key = literal_key(key, diags)?;
            let tree = Tree::compile(node, &format!("{field}.{key}"), env, diags)?;
            Some((key.into(), tree))
        })
        .collect();
    compiled.into_iter().collect()
}

fn literal_key<'k>(key: &'k At<String>, diags: &mut Diagnostics) -> Option<&'k str> {
    if key.value.contains("{{") {
        diags.push(misplaced(
            key.span,
            "a key takes no expression: no value can add a key",
        ));
        return None;
    }
    Some(&key.value)
}

/// Headers of a call or a reply; `taken` are the ones that somebody else writes, with who that is.
pub(in crate::config::compile) fn headers(
    specs: Option<&Entries<Written>>,
    field: &str,
    taken: &[(HeaderName, String)],
    env: &Env<'_>,
    diags: &mut Diagnostics,
) -> Option<Vec<(HeaderName, Text)>> {
    let mut seen = BTreeSet::new();
    let compiled: Vec<_> = specs
        .map(|specs| specs.0.as_slice())
        .unwrap_or_default()
        .iter()
        .map(|(key, value)| {
            let name = header_name(key, taken, diags);
            if let Some(name) = &name
                && !seen.insert(name.as_str().to_owned())
            {
                diags.push(Diagnostic::error(
                    codes::DUPLICATE_KEY,
                    key.span,
                    format!("`{name}` is written twice; header names know no case"),
                ));
            }
            let field = format!("{field}.{}", key.value);
            let text = Text::compile(value.snippet(), Position::Header, &field, env, diags);
            Some((name?, text?))
        })
        .collect();
    compiled.into_iter().collect()
}

fn header_name(
    key: &At<String>,
    taken: &[(HeaderName, String)],
    diags: &mut Diagnostics,
) -> Option<HeaderName> {
    let key_text = literal_key(key, diags)?;
    let Ok(name) = HeaderName::from_bytes(key_text.as_bytes()) else {
        diags.push(
            Diagnostic::error(
                codes::BAD_HEADER,
                key.span,
                format!("`{key_text}` is not a header name"),
            )
            .help("such as `X-Tenant`"),
        );
        return None;
    };
    let owner = match RESERVED.contains(&name.as_str()) || DRIVERS_OWN.contains(&name.as_str()) {
        true => Some("the driver"),
        false => taken
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, owner)| owner.as_str()),
    };
    if let Some(owner) = owner {
        diags.push(
            Diagnostic::error(
                codes::FORBIDDEN_HEADER,
                key.span,
                format!("`{name}` is written by {owner}"),
            )
            .help("remove it"),
        );
        return None;
    }
    Some(name)
}

fn body(spec: &CallSpec, env: &Env<'_>, diags: &mut Diagnostics) -> Option<HttpBody> {
    let body = spec
        .body
        .as_ref()
        .map(|node| Tree::compile(node, "call.body", env, diags).map(HttpBody::Json));
    let form = right(&spec.form)
        .map(|form| fields(Some(form), "call.form", env, diags).map(HttpBody::Form));
    let template = right(&spec.template).map(|written| {
        let name = written.literal("`template`", diags)?;
        Template::compile(name, written.span(), "call.template", env, diags).map(HttpBody::Template)
    });
    let spans: Vec<(&str, Span)> = [
        ("body", spec.body.as_ref().map(|node| node.span)),
        (
            "form",
            right(&spec.form).and_then(|form| form.0.first().map(|(key, _)| key.span)),
        ),
        ("template", right(&spec.template).map(Written::span)),
    ]
    .into_iter()
    .filter_map(|(key, span)| span.map(|span| (key, span)))
    .collect();
    if let [(first, first_span), rest @ ..] = spans.as_slice()
        && let Some((second, span)) = rest.first()
    {
        diags.push(
            Diagnostic::error(
                codes::CONFLICTING_KEYS,
                *span,
                format!("a call has one body: `{second}` or `{first}`"),
            )
            .related(*first_span, format!("`{first}` is here")),
        );
        return None;
    }
    // The first that is written; wrong ones have been reported.
    [body, form, template]
        .into_iter()
        .flatten()
        .next()
        .unwrap_or(Some(HttpBody::None))
}

/// `auth` must be a name that every instance of the kind has.
fn auth(
    written: &Written,
    kind: &str,
    backends: &[&Backend],
    diags: &mut Diagnostics,
) -> Option<Box<str>> {
    let name = written.literal("`auth`", diags)?;
    let named = |backend: &Backend| -> Vec<String> {
        let DriverSpec::Https(driver) = &backend.driver else {
            return Vec::new();
        };
        driver
            .auths
            .iter()
            .skip(1)
            .map(|(name, _)| name.to_string())
            .collect()
    };
    let lacking: Vec<_> = backends
        .iter()
        .filter(|backend| !named(backend).iter().any(|known| known == name))
        .collect();
    if lacking.is_empty() {
        return Some(name.into());
    }
    let known: Vec<String> = lacking.iter().flat_map(|backend| named(backend)).collect();
    let listed: Vec<_> = lacking.iter().map(|b| format!("`{}`", b.name)).collect();
    diags.push(
        Diagnostic::error(
            codes::UNKNOWN_AUTH,
            written.span(),
            format!(
                "`{name}` is not one of the `auths` of {}",
                listed.join(", ")
            ),
        )
        .did_you_mean(suggest::nearest(name, known.iter().map(String::as_str)))
        .help(format!("every backend of kind `{kind}` must have it")),
    );
    None
}

/// The headers that the authentication of these backends writes, and whose they are.
fn auth_headers(backends: &[&Backend], name: Option<&str>) -> Vec<(HeaderName, String)> {
    let mut found = Vec::new();
    for backend in backends {
        let DriverSpec::Https(driver) = &backend.driver else {
            continue;
        };
        let auth = match name {
            None => driver.auths.first(),
            Some(name) => driver
                .auths
                .iter()
                .skip(1)
                .find(|(known, _)| **known == *name),
        };
        let headers = auth.map(|(_, auth)| headers_of(auth)).unwrap_or_default();
        let owner = format!("the authentication of `{}`", backend.name);
        found.extend(headers.into_iter().map(|header| (header, owner.clone())));
    }
    found
}

fn headers_of(auth: &Auth) -> Vec<HeaderName> {
    match auth {
        Auth::None | Auth::Query(_) | Auth::ClientCertificate => Vec::new(),
        Auth::Basic { .. } | Auth::Bearer(_) => vec![http::header::AUTHORIZATION],
        Auth::Headers(headers) => headers.iter().map(|(name, _)| name.clone()).collect(),
        Auth::Keystone(_) => vec![HeaderName::from_static("x-auth-token")],
        Auth::Login(login) => login
            .send
            .iter()
            .map(|carrier| match carrier {
                TokenCarrier::Cookie { .. } => http::header::COOKIE,
                TokenCarrier::Header { name, .. } => name.clone(),
            })
            .collect(),
    }
}
