//! Backend files -> backends, by name.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::auth::needed;
use super::name::{self, Shape};
use super::profile::Profiles;
use super::{auth, header, ssh, tls, url};
use crate::config::env::World;
use crate::config::source::SourceFiles;
use crate::config::spec::backend::{
    BackendLimitsSpec, BackendSpec, BreakerSpec, DriverSpec as WrittenDriver, HttpsSpec, StateSpec,
};
use crate::config::spec::decode::{At, Decode, Entries, TimeSpan};
use crate::config::spec::part::{Part, Written, misplaced, right, wrong};
use crate::config::spec::secret;
use crate::config::{codes, secrets};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{Kind, Node, Span};
use crate::plan::{
    Auth, Backend, BackendLimits, BackendState, BackendTls, BaseUrl, Breaker, DriverSpec,
    HttpsDriver, Server,
};

/// The name of the first of a backend's authentications, which is not under `auths`.
pub const MAIN_AUTH: &str = "auth";

/// The backends that compiled, in the order of their names, and what is known of the others: a
/// broken backend is reported once, not again by every route that needs it.
#[derive(Debug, Default)]
pub struct Backends {
    list: Vec<Backend>,
    broken_kinds: Vec<Box<str>>,
    /// A broken backend's kind is not known.
    broken: bool,
}

impl Backends {
    /// Whether a backend of this kind was configured, compiled or not.
    pub fn may_have_kind(&self, kind: &str) -> bool {
        self.broken
            || self.list.iter().any(|backend| *backend.kind == *kind)
            || self.broken_kinds.iter().any(|broken| **broken == *kind)
    }

    /// Whether every backend compiled: what is missing then is really missing.
    pub fn all_known(&self) -> bool {
        !self.broken && self.broken_kinds.is_empty()
    }

    pub fn into_list(self) -> Vec<Backend> {
        self.list
    }
}

impl Deref for Backends {
    type Target = [Backend];

    fn deref(&self) -> &[Backend] {
        &self.list
    }
}

/// Whether OpenSSL takes these settings, files and all.
pub fn check_tls(settings: &BackendTls) -> Result<(), String> {
    use openssl::ssl::{SslContext, SslFiletype, SslMethod};
    let (new, old): (Vec<&str>, Vec<&str>) = settings
        .ciphers
        .iter()
        .map(|name| &**name)
        .partition(|name| name.starts_with("TLS_"));
    let build = || {
        let mut context = SslContext::builder(SslMethod::tls_client())?;
        if !new.is_empty() {
            context.set_ciphersuites(&new.join(":"))?;
        }
        if !old.is_empty() {
            context.set_cipher_list(&old.join(":"))?;
        }
        if let Some(file) = &settings.ca_file {
            context.set_ca_file(file)?;
        }
        if let Some(cert) = &settings.client_cert {
            context.set_certificate_chain_file(&cert.cert_file)?;
            context.set_private_key_file(&cert.key_file, SslFiletype::PEM)?;
            context.check_private_key()?;
        }
        Ok(())
    };
    build().map_err(|errors: openssl::error::ErrorStack| {
        let first = errors.errors().first();
        let reason = first.and_then(|error| error.reason());
        reason.unwrap_or("no reason is given").to_owned()
    })
}

/// Compiles every backend file.
pub fn compile(
    files: &SourceFiles,
    server: &Server,
    profiles: &Profiles,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Backends {
    let mut backends = Backends::default();
    let mut names: Vec<(String, Span)> = Vec::new();
    for (_, file) in files.backends() {
        let spec = file
            .node
            .as_ref()
            .and_then(|node| BackendSpec::decode(node, diags).map(|spec| (spec, node.span)));
        let Some((spec, at)) = spec else {
            backends.broken = true;
            continue;
        };
        if let Some(name) = right(&spec.name) {
            match names.iter().find(|(known, _)| known == name.text()) {
                Some((_, first)) => diags.push(
                    Diagnostic::error(
                        codes::DUPLICATE_BACKEND,
                        name.span(),
                        format!("another backend is named `{}`", name.text()),
                    )
                    .label("the second")
                    .related(*first, "the first"),
                ),
                None => names.push((name.text().to_owned(), name.span())),
            }
        }
        match backend(&spec, at, server, profiles, world, diags) {
            Some(backend) => backends.list.push(backend),
            None => match right(&spec.kind) {
                Some(kind) => backends.broken_kinds.push(kind.text().into()),
                None => backends.broken = true,
            },
        }
    }
    backends.list.sort_by(|a, b| a.name.cmp(&b.name));
    backends
}

fn backend(
    spec: &BackendSpec,
    at: Span,
    server: &Server,
    profiles: &Profiles,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<Backend> {
    name::check_version(spec.version.as_ref(), diags);
    let name = needed(&spec.name, "name", at, diags)
        .and_then(|name| name::check(name, "a backend", Shape::Instance, diags));
    let kind = needed(&spec.kind, "kind", at, diags)
        .and_then(|kind| name::check(kind, "a kind", Shape::Word, diags));
    let labels = labels(&spec.labels, diags);
    let vars = vars(&spec.vars, diags);
    let limits = limits(right(&spec.limits), server, diags);
    let breaker = breaker(right(&spec.breaker), diags);
    let driver = needed(&spec.driver, "driver", at, diags)
        .and_then(|driver| self::driver(driver, profiles, world, diags));
    let (name, kind) = (name?, kind?);
    let label_map: Map<String, Value> = labels
        .iter()
        .map(|(label, value)| (label.to_string(), Value::from(&**value)))
        .collect();
    Some(Backend {
        name: name.into(),
        kind: kind.into(),
        scope: Arc::new(json!({ "name": name, "kind": kind, "labels": label_map, "vars": vars })),
        labels,
        state: match right(&spec.state) {
            Some(StateSpec::Drain) => BackendState::Drain,
            _ => BackendState::Active,
        },
        limits,
        breaker,
        driver: driver?,
    })
}

fn labels(
    spec: &Option<Part<Entries<Written>>>,
    diags: &mut Diagnostics,
) -> Vec<(Box<str>, Box<str>)> {
    let entries = right(spec).map_or(&[][..], |entries| &entries.0);
    entries
        .iter()
        .filter_map(|(key, value)| {
            let value = value.literal("a label", diags)?;
            Some((key.value.as_str().into(), value.into()))
        })
        .collect()
}

fn vars(spec: &Option<Part<Entries<Node>>>, diags: &mut Diagnostics) -> Map<String, Value> {
    let entries = right(spec).map_or(&[][..], |entries| &entries.0);
    entries
        .iter()
        .map(|(key, value)| {
            check_var(&key.value, value, diags);
            (key.value.clone(), value.to_json())
        })
        .collect()
}

/// Variables are literal, and templates put them into calls, `explain` and logs.
fn check_var(key: &str, node: &Node, diags: &mut Diagnostics) {
    match &node.kind {
        Kind::Text(_) | Kind::Number(_) if secrets::smells(key) => {
            let help = "templates, logs and `explain` show variables; write it under `auth`, \
                        as `{ env: NAME }` or `{ file: PATH }`";
            diags.push(secret::in_clear(node.span, help));
            diags.mask(node.span);
        }
        Kind::Text(scalar) if scalar.text.contains("{{") => {
            diags.push(misplaced(
                node.span,
                "a backend's variable takes no expression",
            ));
        }
        Kind::Map(entries) => entries
            .iter()
            .for_each(|entry| check_var(&entry.key, &entry.value, diags)),
        Kind::List(items) => items.iter().for_each(|item| check_var(key, item, diags)),
        _ => {}
    }
}

fn limits(
    spec: Option<&BackendLimitsSpec>,
    server: &Server,
    diags: &mut Diagnostics,
) -> BackendLimits {
    let mut time = |part: fn(&BackendLimitsSpec) -> &Option<Part<At<TimeSpan>>>| {
        let at = spec.and_then(|spec| right(part(spec)))?;
        positive(at.value.0.as_millis(), at.span, diags).then_some((at.value.0, at.span))
    };
    let timeout = time(|spec| &spec.timeout).map_or(Duration::from_secs(15), |(time, _)| time);
    let connect = time(|spec| &spec.connect_timeout);
    let first_byte = time(|spec| &spec.first_byte_timeout);
    let idle = time(|spec| &spec.idle_reuse);
    for (key, part) in [
        ("connect_timeout", connect),
        ("first_byte_timeout", first_byte),
    ] {
        if let Some((_, span)) = part.filter(|(time, _)| *time > timeout) {
            let message =
                format!("`{key}` is longer than `timeout`, which ends the call before it");
            diags.push(Diagnostic::warning(codes::NO_EFFECT, span, message));
        }
    }
    let concurrency = spec.and_then(|spec| right(&spec.concurrency));
    let concurrency = concurrency.filter(|at| positive(at.value.into(), at.span, diags));
    let body = spec.and_then(|spec| right(&spec.response_body));
    let body = body.filter(|at| positive(at.value.0 as u128, at.span, diags));
    BackendLimits {
        concurrency: concurrency.map_or(8, |at| at.value as usize),
        queue: spec
            .and_then(|spec| right(&spec.queue))
            .map_or(64, |at| at.value as usize),
        connect_timeout: connect
            .map_or(Duration::from_secs(3), |(time, _)| time)
            .min(timeout),
        first_byte_timeout: first_byte.map_or(timeout, |(time, _)| time).min(timeout),
        timeout,
        idle_reuse: idle.map_or(Duration::from_secs(4), |(time, _)| time),
        response_body: body.map_or(server.limits.response_body, |at| at.value.0),
    }
}

fn breaker(spec: Option<&BreakerSpec>, diags: &mut Diagnostics) -> Breaker {
    let failures = spec.and_then(|spec| right(&spec.failures));
    let failures = failures.filter(|at| positive(at.value.into(), at.span, diags));
    let open_for = spec.and_then(|spec| right(&spec.open_for));
    let open_for = open_for.filter(|at| positive(at.value.0.as_millis(), at.span, diags));
    Breaker {
        failures: failures.map_or(5, |at| at.value),
        open_for: open_for.map_or(Duration::from_secs(10), |at| at.value.0),
    }
}

/// Reports a bound of zero, which nothing could keep.
pub fn positive(value: u128, span: Span, diags: &mut Diagnostics) -> bool {
    if value == 0 {
        diags.push(Diagnostic::error(
            codes::BAD_VALUE,
            span,
            "this must be more than 0",
        ));
    }
    value > 0
}

fn driver(
    spec: &WrittenDriver,
    profiles: &Profiles,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<DriverSpec> {
    match spec {
        WrittenDriver::Https(at) => {
            https(&at.value, at.span, profiles, world, diags).map(DriverSpec::Https)
        }
        WrittenDriver::Ssh(at) => ssh::ssh(&at.value, at.span, profiles, world, diags)
            .map(Arc::new)
            .map(DriverSpec::Ssh),
        WrittenDriver::Netconf(at) => ssh::netconf(&at.value, at.span, world, diags)
            .map(Arc::new)
            .map(DriverSpec::Netconf),
    }
}

fn https(
    spec: &HttpsSpec,
    at: Span,
    profiles: &Profiles,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<HttpsDriver> {
    let url =
        needed(&spec.url, "url", at, diags).and_then(|written| compile_url(written, spec, diags));
    let headers = right(&spec.headers).map(|headers| header::literals(headers, diags));
    let query = right(&spec.query).map(|query| header::literal_query(query, diags));
    let tls = right(&spec.tls).map(|spec| tls::compile(spec, world, diags));
    let tls = tls.unwrap_or_default();
    let auths = auths(spec, &tls, world, diags);
    let profile = right(&spec.profile).map(|written| profiles.named(written, diags));
    if wrong(&spec.profile) {
        return None;
    }
    Some(HttpsDriver {
        url: url?,
        headers: headers.unwrap_or_default(),
        query: query.unwrap_or_default(),
        auths: auths?,
        tls,
        profile: match profile {
            Some(profile) => Some(profile?),
            None => None,
        },
    })
}

fn compile_url(written: &Written, spec: &HttpsSpec, diags: &mut Diagnostics) -> Option<BaseUrl> {
    let url = url::compile(written, diags)?;
    if !url.https && !url::is_loopback(&url) {
        diags.push(
            Diagnostic::warning(
                codes::PLAINTEXT_BACKEND,
                written.span(),
                "calls to this backend, and its credentials, travel in the clear",
            )
            .label("write https:// if it speaks it"),
        );
    }
    if let (false, Some(tls)) = (url.https, right(&spec.tls)) {
        let message = "these settings have no effect: the URL says http://";
        diags.push(Diagnostic::warning(codes::NO_EFFECT, tls.span, message));
    }
    Some(url)
}

/// `auth` first, then `auths` in the order of the file.
fn auths(
    spec: &HttpsSpec,
    tls: &BackendTls,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<Vec<(Box<str>, Auth)>> {
    let main = match &spec.auth {
        Some(Part(Some(auth))) => auth::compile(&auth.value, auth.span, tls, world, diags),
        Some(Part(None)) => None,
        None => Some(Auth::None),
    };
    let mut compiled = vec![main.map(|auth| (MAIN_AUTH.into(), auth))];
    for (key, part) in right(&spec.auths).map_or(&[][..], |entries| &entries.0) {
        if !Shape::Word.fits(&key.value) || key.value == MAIN_AUTH {
            let message = format!("`{}` cannot name a further authentication", key.value);
            diags.push(
                Diagnostic::error(codes::BAD_NAME, key.span, message)
                    .help("small letters, digits and `_`; `auth` is the first one's name"),
            );
        }
        let auth = part.0.as_ref();
        let auth = auth.and_then(|auth| auth::compile(auth, key.span, tls, world, diags));
        compiled.push(auth.map(|auth| (key.value.as_str().into(), auth)));
    }
    compiled.into_iter().collect()
}
