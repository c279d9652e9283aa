//! A login: the request that gives tokens, where they are, and how calls carry them.

use std::collections::{BTreeMap, BTreeSet};

use http::{HeaderName, Method};

use super::auth::needed;
use super::header;
use super::secret_tree::tree;
use crate::config::env::World;
use crate::config::spec::auth::{
    ExpiresSpec, LoginSpec, SendSpec, TokenPlaceSpec, TokenSpec, UnauthorizedSpec,
};
use crate::config::spec::decode::At;
use crate::config::spec::part::{Written, right};
use crate::config::spec::secret;
use crate::config::{codes, secrets};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{Kind, Node, Span};
use crate::plan::{Expiry, Login, LoginBody, TokenCarrier, TokenSource};
use crate::transform::{Condition, Env, JsonPath, Position, Root, Text};

/// Compiles a login; `at` is where it stands.
pub fn compile(
    spec: &LoginSpec,
    at: Span,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<Login> {
    let request = needed(&spec.http, "http", at, diags).and_then(|http| request(http, diags));
    let headers = right(&spec.headers).map(|headers| header::literals(headers, diags));
    let body = body(spec, at, world, diags);
    let tokens = tokens(spec, at, diags);
    let send = send(spec, &tokens, at, diags);
    let expired_when = right(&spec.expired_when).map_or(&[][..], |nodes| &nodes.0);
    let login = Login {
        success_when: right(&spec.success_when).and_then(|node| Condition::compile(node, diags)),
        expired_when: expired_when
            .iter()
            .filter_map(|node| Condition::compile(node, diags))
            .collect(),
        follow_redirects: redirects(spec, diags),
        expires: right(&spec.expires).and_then(|expires| expiry(expires, diags)),
        logout: right(&spec.logout).and_then(|logout| self::request(logout, diags)),
        resend: right(&spec.on_unauthorized) != Some(&UnauthorizedSpec::Fail),
        headers: headers.unwrap_or_default(),
        tokens: tokens.compiled,
        send,
        // Reported last, so that everything else has been.
        body: body?,
        method: request.as_ref()?.0.clone(),
        path: request?.1,
    };
    Some(login)
}

/// The most redirects of a login that anybody was seen to need is two.
const MOST_REDIRECTS: u8 = 5;

fn redirects(spec: &LoginSpec, diags: &mut Diagnostics) -> u8 {
    let Some(at) = right(&spec.follow_redirects) else {
        return 0;
    };
    match u8::try_from(at.value) {
        Ok(count) if count <= MOST_REDIRECTS => count,
        _ => {
            let message = format!("a login follows at most {MOST_REDIRECTS} redirects");
            diags.push(Diagnostic::error(codes::BAD_VALUE, at.span, message));
            0
        }
    }
}

/// `POST /login`: a method and a literal path below the backend's base path.
fn request(written: &Written, diags: &mut Diagnostics) -> Option<(Method, Box<str>)> {
    let text = written.literal("a login", diags)?;
    if let Some(query) = text.find('?')
        && text[query..]
            .split(['?', '&'])
            .any(|pair| secrets::smells(pair.split('=').next().unwrap_or("")))
    {
        let span = written.snippet().part_span(query, text.len());
        diags.push(secret::in_clear(
            span,
            "send it in `form` or `body`, as `{ $env: NAME }`",
        ));
        diags.mask(span);
        return None;
    }
    let parsed = text.split_once(' ').and_then(|(method, path)| {
        let known = ["GET", "POST", "PUT", "DELETE", "PATCH"].contains(&method);
        let path = path.trim_start();
        let literal = path.starts_with('/') && !path.contains('#');
        let uri = path.parse::<http::uri::PathAndQuery>().is_ok();
        let method = Method::from_bytes(method.as_bytes()).ok()?;
        (known && literal && uri).then(|| (method, path.into()))
    });
    if parsed.is_none() {
        diags.push(
            Diagnostic::error(
                codes::BAD_VALUE,
                written.span(),
                "this is not a method and a path",
            )
            .help("write both, such as `POST /login`"),
        );
    }
    parsed
}

fn body(
    spec: &LoginSpec,
    at: Span,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<LoginBody> {
    if spec.body.is_some() && spec.form.is_some() {
        let message = "a login has a `body` or a `form`, not both";
        diags.push(Diagnostic::error(codes::BAD_VALUE, at, message));
    }
    if let Some(form) = right(&spec.form) {
        let fields: Vec<_> = form
            .0
            .iter()
            .map(|(key, node)| {
                if matches!(node.kind, Kind::List(_)) || is_plain_map(node) {
                    let message = "a form field holds one value";
                    diags.push(Diagnostic::error(codes::WRONG_TYPE, node.span, message));
                    return None;
                }
                let tree = tree(Some(&key.value), node, world, diags)?;
                Some((key.value.as_str().into(), tree))
            })
            .collect();
        return fields
            .into_iter()
            .collect::<Option<_>>()
            .map(LoginBody::Form);
    }
    match right(&spec.body) {
        Some(node) => tree(None, node, world, diags).map(LoginBody::Json),
        None => Some(LoginBody::None),
    }
}

fn is_plain_map(node: &Node) -> bool {
    match &node.kind {
        Kind::Map(entries) => !entries.iter().any(|entry| entry.key.starts_with('$')),
        _ => false,
    }
}

/// The tokens of a login: all their names, and those that compiled.
struct Tokens {
    names: Vec<(Box<str>, Span)>,
    compiled: Vec<(Box<str>, TokenSource)>,
}

fn tokens(spec: &LoginSpec, at: Span, diags: &mut Diagnostics) -> Tokens {
    let mut tokens = Tokens {
        names: Vec::new(),
        compiled: Vec::new(),
    };
    let Some(entries) = needed(&spec.tokens, "tokens", at, diags) else {
        return tokens;
    };
    if entries.0.is_empty() {
        let message = "a login without tokens gives calls nothing to carry";
        diags.push(Diagnostic::error(codes::BAD_VALUE, at, message));
    }
    for (key, part) in &entries.0 {
        token_name(key, diags);
        let name: Box<str> = key.value.as_str().into();
        tokens.names.push((name.clone(), key.span));
        let source = match &part.0 {
            Some(TokenSpec::Body(path)) => {
                JsonPath::compile(path.snippet(), diags).map(TokenSource::Json)
            }
            Some(TokenSpec::Elsewhere(TokenPlaceSpec::Cookie(cookie))) => {
                cookie_name(cookie, diags).map(TokenSource::Cookie)
            }
            Some(TokenSpec::Elsewhere(TokenPlaceSpec::Header(header))) => {
                header_name(header, diags).map(TokenSource::Header)
            }
            None => None,
        };
        tokens.compiled.extend(source.map(|source| (name, source)));
    }
    tokens
}

fn token_name(key: &At<String>, diags: &mut Diagnostics) {
    if super::name::Shape::Word.fits(&key.value) {
        return;
    }
    let message = format!("`{}` cannot name a token", key.value);
    diags.push(
        Diagnostic::error(codes::BAD_NAME, key.span, message)
            .help("begin with a small letter, go on with small letters, digits and `_`"),
    );
}

fn header_name(written: &Written, diags: &mut Diagnostics) -> Option<HeaderName> {
    let text = written.literal("a header's name", diags)?;
    header::name(text, written.span(), diags)
}

/// A cookie's name is an RFC 9110 token, as a header's is (RFC 6265, 4.1.1).
fn cookie_name(written: &Written, diags: &mut Diagnostics) -> Option<Box<str>> {
    let text = written.literal("a cookie's name", diags)?;
    let fits = text.parse::<HeaderName>().is_ok();
    if !fits {
        let message = format!("`{text}` is not a cookie's name");
        diags.push(Diagnostic::error(codes::BAD_VALUE, written.span(), message));
    }
    fits.then(|| text.into())
}

fn send(spec: &LoginSpec, tokens: &Tokens, at: Span, diags: &mut Diagnostics) -> Vec<TokenCarrier> {
    let Some(items) = needed(&spec.send, "send", at, diags) else {
        return Vec::new();
    };
    let items: Vec<&SendSpec> = items.iter().filter_map(|part| part.0.as_ref()).collect();
    for (name, span) in &tokens.names {
        let variable = format!("tokens.{name}");
        if !items
            .iter()
            .any(|item| names_variable(item.value.text(), &variable))
        {
            diags.push(
                Diagnostic::warning(
                    codes::UNUSED_TOKEN,
                    *span,
                    format!("no entry of `send` carries the token `{name}`"),
                )
                .help(format!(
                    "name it there as `{{{{ {variable} }}}}`, or drop it"
                )),
            );
        }
    }
    items
        .into_iter()
        .filter_map(|item| carrier(item, tokens, diags))
        .collect()
}

/// Whether a template names this variable, and not a longer one.
fn names_variable(text: &str, variable: &str) -> bool {
    text.match_indices(variable).any(|(at, _)| {
        let next = text[at + variable.len()..].chars().next();
        !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

fn carrier(item: &SendSpec, tokens: &Tokens, diags: &mut Diagnostics) -> Option<TokenCarrier> {
    let value = value(&item.value, tokens, diags);
    match (&item.cookie, &item.header) {
        (Some(cookie), None) => {
            let name = cookie_name(cookie, diags)?;
            value.map(|value| TokenCarrier::Cookie { name, value })
        }
        (None, Some(header)) => {
            let name = header_name(header, diags)?;
            value.map(|value| TokenCarrier::Header { name, value })
        }
        _ => {
            diags.push(Diagnostic::error(
                codes::BAD_VALUE,
                item.value.span(),
                "a token is carried by a `cookie` or a `header`, exactly one of them",
            ));
            None
        }
    }
}

fn value(written: &Written, tokens: &Tokens, diags: &mut Diagnostics) -> Option<Text> {
    if !written.text().contains("{{") {
        // What stands here instead may be a token in the clear.
        diags.mask(written.span());
        diags.push(
            Diagnostic::error(codes::BAD_VALUE, written.span(), "this carries no token").help(
                "name one, such as `{{ tokens.session }}`; a fixed header belongs under `headers`",
            ),
        );
        return None;
    }
    let names: Vec<Box<str>> = tokens.names.iter().map(|(name, _)| name.clone()).collect();
    let env = Env {
        roots: &[Root::Tokens],
        path: &[],
        parents: &[],
        lets: &[],
        extracted: &[],
        tokens: &names,
        maps: &BTreeMap::new(),
        resources: &BTreeSet::new(),
        templates: &BTreeMap::new(),
        uses: None,
    };
    let field = "driver.https.auth.login.send";
    Text::compile(written.snippet(), Position::Header, field, &env, diags)
}

fn expiry(spec: &ExpiresSpec, diags: &mut Diagnostics) -> Option<Expiry> {
    match spec {
        ExpiresSpec::After(span) => Some(Expiry::After(span.0)),
        ExpiresSpec::At(path) => JsonPath::compile(path.snippet(), diags).map(Expiry::At),
        ExpiresSpec::In(path) => JsonPath::compile(path.snippet(), diags).map(Expiry::In),
    }
}
