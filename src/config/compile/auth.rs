//! How calls authenticate: secrets resolved, and each put where it can stand.

use super::{complete, header, login, secret_tree, tls, url};
use crate::config::codes;
use crate::config::env::World;
use crate::config::spec::auth::{AuthSpec, KeystoneSpec};
use crate::config::spec::decode::Entries;
use crate::config::spec::part::{Part, Written, right};
use crate::config::spec::secret::{SecretRef, SecretValue};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Span;
use crate::plan::{Auth, BackendTls, Keystone, KeystoneCredentials, SecretTree};
use crate::secret::Secret;

/// Compiles one way to authenticate; `at` is where it stands, `backend_tls` what Keystone may share.
pub fn compile(
    spec: &AuthSpec,
    at: Span,
    backend_tls: &BackendTls,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<Auth> {
    match spec {
        AuthSpec::None(_) => Some(Auth::None),
        AuthSpec::Basic(basic) => {
            let user = basic.user.literal("a user's name", diags);
            let password = world.resolve(&basic.password, diags);
            let user = user.filter(|user| user_fits_basic(user, basic.user.span(), diags));
            Some(Auth::Basic {
                user: user?.into(),
                password: password?,
            })
        }
        AuthSpec::Bearer(secret) => resolve_for_header(secret, world, diags).map(Auth::Bearer),
        AuthSpec::Headers(entries) => {
            some_entry(entries, at, diags);
            let headers = entries.0.iter().map(|(key, secret)| {
                let name = header::name(&key.value, key.span, diags);
                let value = match secret.0.as_ref() {
                    Some(SecretValue::Reference(secret)) => {
                        resolve_for_header(secret, world, diags).map(SecretTree::Secret)
                    }
                    Some(SecretValue::Built(node)) => secret_tree::built(node, world, diags),
                    None => None,
                };
                Some((name?, value?))
            });
            complete(headers).map(Auth::Headers)
        }
        AuthSpec::Query(entries) => {
            some_entry(entries, at, diags);
            let query = entries.0.iter().map(|(key, secret)| {
                let secret = world.resolve(secret.0.as_ref()?, diags)?;
                Some((key.value.as_str().into(), secret))
            });
            complete(query).map(Auth::Query)
        }
        AuthSpec::ClientCertificate(_) => {
            if backend_tls.client_cert.is_none() {
                diags.push(
                    Diagnostic::error(
                        codes::MISSING_KEY,
                        at,
                        "`client_certificate` needs `tls.client_cert`",
                    )
                    .help("name the certificate and its key there"),
                );
            }
            Some(Auth::ClientCertificate)
        }
        AuthSpec::Keystone(spec) => keystone(spec, at, backend_tls, world, diags)
            .map(|keystone| Auth::Keystone(Box::new(keystone))),
        AuthSpec::Login(spec) => login::compile(spec, at, world, diags)
            .map(|login| Auth::Login(std::sync::Arc::new(login))),
    }
}

/// RFC 7617: the first colon ends the user's name.
fn user_fits_basic(user: &str, span: Span, diags: &mut Diagnostics) -> bool {
    let fits = !user.contains(|c: char| c == ':' || c.is_control());
    if !fits {
        let message = "a colon or a control character cannot stand in a user's name";
        diags.push(Diagnostic::error(codes::BAD_VALUE, span, message));
    }
    fits
}

fn some_entry<T>(entries: &Entries<T>, at: Span, diags: &mut Diagnostics) {
    if entries.0.is_empty() {
        let message = "this authenticates nothing: it names no secret";
        diags.push(Diagnostic::error(codes::BAD_VALUE, at, message));
    }
}

fn resolve_for_header(
    secret: &SecretRef,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<Secret> {
    let resolved = world.resolve(secret, diags)?;
    header::check_secret(&resolved, secret.span(), diags).then_some(resolved)
}

fn keystone(
    spec: &KeystoneSpec,
    at: Span,
    backend_tls: &BackendTls,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<Keystone> {
    let url = needed(&spec.url, "url", at, diags).and_then(|url| url::compile(url, diags));
    let credentials = if spec.application_credential.is_some() {
        application_credential(spec, at, world, diags)
    } else {
        password(spec, at, world, diags)
    };
    let tls = match right(&spec.tls) {
        Some(own) => tls::compile(own, world, diags),
        // What belongs to the backend's own certificate does not fit another server.
        None => BackendTls {
            server_name: None,
            pin_sha256: Vec::new(),
            unverified: None,
            ..backend_tls.clone()
        },
    };
    Some(Keystone {
        url: url?,
        credentials: credentials?,
        tls,
    })
}

fn password(
    spec: &KeystoneSpec,
    at: Span,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<KeystoneCredentials> {
    let user = needed(&spec.user, "user", at, diags);
    let project = needed(&spec.project, "project", at, diags);
    let password = needed(&spec.password, "password", at, diags)
        .and_then(|password| world.resolve(password, diags));
    let domain =
        |written: &Option<Part<Written>>| right(written).map_or("Default", Written::text).into();
    Some(KeystoneCredentials::Password {
        user: user?.text().into(),
        user_domain: domain(&spec.user_domain),
        password: password?,
        project: project?.text().into(),
        project_domain: domain(&spec.project_domain),
    })
}

fn application_credential(
    spec: &KeystoneSpec,
    at: Span,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<KeystoneCredentials> {
    let written = [
        &spec.user,
        &spec.user_domain,
        &spec.project,
        &spec.project_domain,
    ];
    if spec.password.is_some() || written.iter().any(|part| part.is_some()) {
        diags.push(
            Diagnostic::error(
                codes::BAD_VALUE,
                at,
                "an application credential stands for user, password and project",
            )
            .help("drop `user`, `password`, `project` and the domains, or the credential"),
        );
    }
    let credential = right(&spec.application_credential)?;
    Some(KeystoneCredentials::ApplicationCredential {
        id: credential.id.text().into(),
        secret: world.resolve(&credential.secret, diags)?,
    })
}

/// A part that must be there; one that is wrong has been reported.
pub fn needed<'s, T>(
    part: &'s Option<Part<T>>,
    key: &str,
    at: Span,
    diags: &mut Diagnostics,
) -> Option<&'s T> {
    if part.is_none() {
        let message = format!("`{key}` is missing");
        diags.push(Diagnostic::error(codes::MISSING_KEY, at, message));
    }
    right(part)
}
