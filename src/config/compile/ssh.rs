//! `driver: ssh` and `driver: netconf`: who is reached, as whom, and which host key it must show.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use super::auth::needed;
use super::backend::positive;
use super::codes;
use super::profile::Profiles;
use super::tls::hex_digest;
use crate::config::env::World;
use crate::config::spec::decode::At;
use crate::config::spec::part::{Part, Written, right, wrong};
use crate::config::spec::secret::SecretRef;
use crate::config::spec::ssh::{
    AccessSpec, AlgorithmListsSpec, AlgorithmSetSpec, AlgorithmsSpec, FramingSpec, HostKeySpec,
    NetconfSpec, PrivateKeySpec, SshAuthSpec, SshSpec,
};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::document::Span;
use crate::plan::{
    AlgorithmKind, Algorithms, CliProfile, HostKey, NetconfDriver, SshAccess, SshAuth, SshDriver,
};

/// RFC 4253.
const SSH_PORT: u16 = 22;
/// RFC 6242, section 6.
const NETCONF_PORT: u16 = 830;
/// Below the 10 of OpenSSH's `MaxSessions`, so that a person may log in beside the relay.
const CHANNELS: usize = 8;

/// Compiles `driver: ssh`.
pub(super) fn ssh(
    spec: &SshSpec,
    at: Span,
    profiles: &Profiles,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<SshDriver> {
    let access = access(spec.access(), SSH_PORT, at, world, diags);
    let enable = right(&spec.enable).map(|secret| world.resolve(secret, diags));
    let profile = right(&spec.profile).map(|written| profile(written, spec, profiles, diags));
    if wrong(&spec.profile) || wrong(&spec.enable) {
        return None;
    }
    Some(SshDriver {
        access: Arc::new(access?),
        profile: match profile {
            Some(profile) => Some(profile?),
            None => None,
        },
        enable: match enable {
            Some(enable) => Some(enable?),
            None => None,
        },
        parallel_config: right(&spec.parallel_config).copied().unwrap_or_default(),
    })
}

/// The profile of a name; where a mode of it asks for a secret, the backend must have one.
fn profile(
    written: &Written,
    spec: &SshSpec,
    profiles: &Profiles,
    diags: &mut Diagnostics,
) -> Option<Arc<CliProfile>> {
    let profile = profiles.named(written, diags)?;
    let asking = profile.modes.iter().find(|mode| mode.asks_secret);
    if let Some(mode) = asking.filter(|_| spec.enable.is_none()) {
        let message = format!(
            "the mode `{}` of `{}` may ask for a password, and there is no `enable`",
            mode.name, profile.name
        );
        diags.push(
            Diagnostic::warning(codes::MISSING_KEY, written.span(), message)
                .help("write `enable: { env: NAME }`; a login that ends in that mode needs none"),
        );
    }
    Some(profile)
}

/// Compiles `driver: netconf`.
pub(super) fn netconf(
    spec: &NetconfSpec,
    at: Span,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<NetconfDriver> {
    let access = access(spec.access(), NETCONF_PORT, at, world, diags);
    Some(NetconfDriver {
        access: Arc::new(access?),
        framing_1_0: right(&spec.framing) == Some(&FramingSpec::EndOfMessage),
        writable_running: right(&spec.writable_running).copied().unwrap_or_default(),
    })
}

fn access(
    spec: AccessSpec<'_>,
    default_port: u16,
    at: Span,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<SshAccess> {
    let host = needed(spec.host, "host", at, diags).and_then(|host| self::host(host, diags));
    let port = match right(spec.port) {
        Some(port) => self::port(port, diags),
        None => Some(default_port),
    };
    let user = needed(spec.user, "user", at, diags).and_then(|user| self::user(user, diags));
    let auth = needed(spec.auth, "auth", at, diags).and_then(|auth| {
        if auth.value.is_empty() {
            let message = "without a way to authenticate nobody is let in";
            diags.push(Diagnostic::error(codes::BAD_VALUE, auth.span, message));
        }
        let ways = auth.value.iter();
        let ways: Vec<_> = ways.map(|way| self::way(way, world, diags)).collect();
        ways.into_iter().collect::<Option<Vec<_>>>()
    });
    let host_key = needed(spec.host_key, "host_key", at, diags);
    let host_key = host_key.and_then(|rule| self::host_key(rule, world, diags));
    let algorithms = match right(spec.algorithms) {
        Some(AlgorithmsSpec::Set(AlgorithmSetSpec::Legacy)) => Some(Algorithms::legacy()),
        Some(AlgorithmsSpec::Lists(lists)) => self::lists(lists, diags),
        Some(AlgorithmsSpec::Set(AlgorithmSetSpec::Modern)) | None => Some(Algorithms::modern()),
    };
    let channels = right(spec.channels);
    let channels = channels.filter(|at| positive(at.value.into(), at.span, diags));
    Some(SshAccess {
        host: host?,
        port: port?,
        user: user?,
        auth: auth?,
        host_key: host_key?,
        algorithms: algorithms?,
        channels: channels.map_or(CHANNELS, |at| at.value as usize),
    })
}

fn host(written: &Written, diags: &mut Diagnostics) -> Option<Box<str>> {
    let text = written.literal("`host`", diags)?;
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let stray = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '[' | ']');
    let one_colon = bare.matches(':').count() == 1;
    if bare.is_empty() || bare.contains(stray) || one_colon {
        diags.push(
            Diagnostic::error(
                codes::BAD_VALUE,
                written.span(),
                "`host` is a name or an address alone",
            )
            .help("the port is `port:`, the user `user:`"),
        );
        return None;
    }
    Some(bare.into())
}

fn port(at: &At<u32>, diags: &mut Diagnostics) -> Option<u16> {
    let port = u16::try_from(at.value).ok().filter(|port| *port > 0);
    if port.is_none() {
        let message = "a port is a number from 1 to 65535";
        diags.push(Diagnostic::error(codes::BAD_VALUE, at.span, message));
    }
    port
}

fn user(written: &Written, diags: &mut Diagnostics) -> Option<Box<str>> {
    let user = written.literal("`user`", diags)?;
    if user.is_empty() || user.contains(char::is_control) {
        let message = "a user's name is not empty and holds no control character";
        diags.push(Diagnostic::error(codes::BAD_VALUE, written.span(), message));
        return None;
    }
    Some(user.into())
}

fn way(spec: &SshAuthSpec, world: World<'_>, diags: &mut Diagnostics) -> Option<SshAuth> {
    match spec {
        SshAuthSpec::Password(secret) => world.resolve(secret, diags).map(SshAuth::Password),
        SshAuthSpec::KeyboardInteractive(secret) => world
            .resolve(secret, diags)
            .map(SshAuth::KeyboardInteractive),
        SshAuthSpec::PrivateKey(key) => private_key(&key.value, key.span, world, diags),
    }
}

fn private_key(
    spec: &PrivateKeySpec,
    at: Span,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<SshAuth> {
    let reference = match (&spec.file, &spec.env) {
        (Some(file), None) => SecretRef::File(file.clone()),
        (None, Some(name)) => SecretRef::Env(name.clone()),
        (Some(_), Some(second)) => {
            let message = "a private key is in a file or in a variable, not in both";
            diags.push(Diagnostic::error(
                codes::CONFLICTING_KEYS,
                second.span,
                message,
            ));
            return None;
        }
        (None, None) => {
            diags.push(
                Diagnostic::error(
                    codes::MISSING_KEY,
                    at,
                    "`private_key` does not say where the key is",
                )
                .help("write `private_key: { file: keys/relay }`"),
            );
            return None;
        }
    };
    let key = world.resolve(&reference, diags);
    let passphrase = match &spec.passphrase {
        Some(secret) => Some(world.resolve(secret, diags)?),
        None => None,
    };
    Some(SshAuth::PrivateKey {
        key: key?,
        passphrase,
    })
}

fn host_key(spec: &HostKeySpec, world: World<'_>, diags: &mut Diagnostics) -> Option<HostKey> {
    match spec {
        HostKeySpec::Tofu(_) => Some(HostKey::Tofu),
        HostKeySpec::KnownHosts(file) => Some(HostKey::KnownHosts(world.file(
            file.text(),
            file.span(),
            diags,
        ))),
        HostKeySpec::Sha256(pins) => {
            let pins: Vec<_> = pins.0.iter().map(|pin| self::pin(pin, diags)).collect();
            pins.into_iter().collect::<Option<_>>().map(HostKey::Pinned)
        }
    }
}

/// As OpenSSH shows it (`SHA256:` and base64 without padding), or in hex.
fn pin(written: &Written, diags: &mut Diagnostics) -> Option<[u8; 32]> {
    let text = written.text();
    let bare = text.strip_prefix("SHA256:").unwrap_or(text);
    let digest = hex_digest(&bare.replace(':', "")).or_else(|| {
        let bytes = STANDARD_NO_PAD.decode(bare.trim_end_matches('=')).ok()?;
        bytes.try_into().ok()
    });
    if digest.is_none() {
        diags.push(
            Diagnostic::error(
                codes::BAD_VALUE,
                written.span(),
                "a host key is pinned by its SHA-256, in base64 or hex",
            )
            .help("`cmp-relay probe BACKEND` shows it, and so does `ssh-keygen -lf` on the device"),
        );
    }
    digest
}

fn lists(spec: &AlgorithmListsSpec, diags: &mut Diagnostics) -> Option<Algorithms> {
    let mut one = |written: &Option<Part<Vec<Written>>>, kind: AlgorithmKind| {
        let Some(names) = right(written) else {
            return Some(Algorithms::modern().take(kind));
        };
        let names: Vec<_> = names
            .iter()
            .map(|name| algorithm(name, kind, diags))
            .collect();
        names.into_iter().collect::<Option<Vec<_>>>()
    };
    let kex = one(&spec.kex, AlgorithmKind::Kex);
    let host_key = one(&spec.host_key, AlgorithmKind::HostKey);
    let cipher = one(&spec.cipher, AlgorithmKind::Cipher);
    let mac = one(&spec.mac, AlgorithmKind::Mac);
    Some(Algorithms {
        kex: kex?,
        host_key: host_key?,
        cipher: cipher?,
        mac: mac?,
    })
}

fn algorithm(written: &Written, kind: AlgorithmKind, diags: &mut Diagnostics) -> Option<Box<str>> {
    let name = written.text();
    let known = Algorithms::known(kind);
    if known.contains(&name) {
        return Some(name.into());
    }
    diags.push(
        Diagnostic::error(
            codes::BAD_VALUE,
            written.span(),
            format!("`{name}` is not {} that this relay has", kind.words()),
        )
        .did_you_mean(suggest::nearest(name, known.iter().copied()))
        .help(format!("one of: {}", known.join(", "))),
    );
    None
}
