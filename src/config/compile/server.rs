//! relay.yaml -> the server, every default filled in.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::backend::positive;
use super::name::{self, Shape};
use super::{database, pair, tls};
use crate::config::codes;
use crate::config::env::World;
use crate::config::source::SourceFiles;
use crate::config::spec::decode::{At, Decode, Size};
use crate::config::spec::part::{Part, Written, right};
use crate::config::spec::server::{
    ClientSpec, ConfirmSpec, DatabaseSpec, HaSpec, KeyRuleSpec, ListenerTlsSpec, LogFormatSpec,
    LogSpec, OperationsSpec, ReplicationSpec, RoleSpec, ServerLimitsSpec, ServerSpec,
};
use crate::diagnostics::{Diagnostic, Diagnostics, suggest};
use crate::plan::{
    Client, Confirm, Database, Limits, ListenerTls, Log, LogFormat, Operations, Replication, Role,
    Server,
};

/// Compiles relay.yaml; what is absent or wrong there has its default.
pub fn compile(files: &SourceFiles, world: World<'_>, diags: &mut Diagnostics) -> Server {
    let spec = files
        .relay()
        .and_then(|(_, file)| file.node.as_ref())
        .and_then(|node| ServerSpec::decode(node, diags));
    let Some(spec) = spec else {
        return defaults(world);
    };
    name::check_version(spec.version.as_ref(), diags);
    let default = defaults(world);
    let database = right(&spec.database).and_then(|spec| database::compile(spec, world, diags));
    let database = database.unwrap_or(default.database);
    let server = Server {
        listen: address(&spec.listen, default.listen, diags),
        admin_listen: address(&spec.admin_listen, default.admin_listen, diags),
        replication: replication(
            right(&spec.replication),
            &database,
            &spec.database,
            world,
            diags,
        ),
        database,
        tls: right(&spec.tls).map(|tls| listener_tls(tls, world, diags)),
        clients: clients(right(&spec.clients), diags),
        limits: limits(right(&spec.limits), default.limits, diags),
        operations: operations(right(&spec.operations), default.operations, diags),
        node: node(right(&spec.ha), default.node, diags),
        pair: right(&spec.ha).and_then(|ha| pair::compile(ha, &spec, world, diags)),
        log: log(right(&spec.log), default.log, diags),
    };
    open_listeners(&spec, &server, diags);
    server
}

/// The server of a configuration without relay.yaml.
fn defaults(world: World<'_>) -> Server {
    Server {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        admin_listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8081)),
        database: database::default(world),
        tls: None,
        clients: Vec::new(),
        limits: Limits {
            request_body: 1 << 20,
            response_body: 8 << 20,
            stored_reply: 64 << 10,
            in_flight: 4096,
            connections: 8192,
            cached_mappings: 100_000,
        },
        operations: Operations {
            retain: Duration::from_secs(30 * 24 * 60 * 60),
            key_required: false,
        },
        replication: Replication {
            standby: None,
            confirm: Confirm::Preferred,
            timeout: Duration::from_millis(500),
        },
        node: world.env.node_name().into(),
        pair: None,
        log: Log {
            format: LogFormat::Text,
            level: "info".into(),
        },
    }
}

fn address(
    part: &Option<Part<Written>>,
    default: SocketAddr,
    diags: &mut Diagnostics,
) -> SocketAddr {
    let Some(written) = right(part) else {
        return default;
    };
    let text = written.text();
    let text = match text.strip_prefix("localhost:") {
        Some(port) => &format!("127.0.0.1:{port}"),
        None => text,
    };
    text.parse().unwrap_or_else(|_| {
        diags.push(
            Diagnostic::error(
                codes::BAD_VALUE,
                written.span(),
                "this is not an address and a port",
            )
            .help("write both, such as `127.0.0.1:8080`, `[::1]:8080` or `0.0.0.0:8080`"),
        );
        default
    })
}

/// Who can reach the relay over a network must be known, and must not be overheard.
fn open_listeners(spec: &ServerSpec, server: &Server, diags: &mut Diagnostics) {
    // A part that is wrong may hold what is missed here.
    let mut missing = Vec::new();
    if server.clients.is_empty() && !matches!(spec.clients, Some(Part(None))) {
        missing.push("`clients`");
    }
    if spec.tls.is_none() {
        missing.push("`tls`");
    }
    let listeners = [
        (&spec.listen, server.listen),
        (&spec.admin_listen, server.admin_listen),
    ];
    for (part, address) in listeners {
        let Some(written) = right(part) else {
            continue;
        };
        if !address.ip().is_loopback() && !missing.is_empty() {
            diags.push(
                Diagnostic::error(
                    codes::OPEN_LISTENER,
                    written.span(),
                    format!(
                        "others than this machine reach this address; it needs {}",
                        missing.join(" and ")
                    ),
                )
                .help("add them, or listen on 127.0.0.1 behind something that has them"),
            );
        }
    }
}

fn listener_tls(spec: &ListenerTlsSpec, world: World<'_>, diags: &mut Diagnostics) -> ListenerTls {
    let mut file = |written: &Written| world.file(written.text(), written.span(), diags);
    ListenerTls {
        cert_file: file(&spec.cert_file),
        key_file: file(&spec.key_file),
        client_ca_file: spec.client_ca_file.as_ref().map(file),
    }
}

fn clients(specs: Option<&Vec<Part<ClientSpec>>>, diags: &mut Diagnostics) -> Vec<Client> {
    let mut clients: Vec<Client> = Vec::new();
    let mut names: Vec<&Written> = Vec::new();
    for spec in specs
        .into_iter()
        .flatten()
        .filter_map(|part| part.0.as_ref())
    {
        let name = name::check(&spec.name, "a client", Shape::Instance, diags);
        match names.iter().find(|known| known.text() == spec.name.text()) {
            Some(first) => diags.push(
                Diagnostic::error(
                    codes::DUPLICATE_CLIENT,
                    spec.name.span(),
                    format!("another client is named `{}`", spec.name.text()),
                )
                .label("the second")
                .related(first.span(), "the first"),
            ),
            None => names.push(&spec.name),
        }
        let tokens = token_hashes(spec, &clients, diags);
        if let Some(name) = name {
            clients.push(Client {
                name: name.into(),
                token_sha256: tokens,
                roles: roles(spec.roles.as_deref()),
            });
        }
    }
    clients
}

fn token_hashes(spec: &ClientSpec, others: &[Client], diags: &mut Diagnostics) -> Vec<[u8; 32]> {
    if spec.token_sha256.is_empty() {
        diags.push(
            Diagnostic::error(
                codes::BAD_VALUE,
                spec.name.span(),
                "this client has no token: nothing could be it",
            )
            .help("`cmp-relay token new NAME` makes a token and its hash"),
        );
    }
    let mut hashes = Vec::new();
    for written in &spec.token_sha256 {
        let Some(hash) = tls::hex_digest(written.text()) else {
            // It may be the token itself.
            diags.mask(written.span());
            diags.push(
                Diagnostic::error(
                    codes::BAD_VALUE,
                    written.span(),
                    "this is not a SHA-256 in hex (64 digits)",
                )
                .help("`cmp-relay token new NAME` makes a token and its hash"),
            );
            continue;
        };
        if let Some(other) = others.iter().find(|o| o.token_sha256.contains(&hash)) {
            let message = format!("the client `{}` has the same token", other.name);
            diags.push(Diagnostic::error(
                codes::DUPLICATE_CLIENT,
                written.span(),
                message,
            ));
        }
        hashes.push(hash);
    }
    hashes
}

fn roles(specs: Option<&[RoleSpec]>) -> Vec<Role> {
    let Some(specs) = specs else {
        return vec![Role::Cmp];
    };
    let role = |spec: &RoleSpec| match spec {
        RoleSpec::Cmp => Role::Cmp,
        RoleSpec::Reader => Role::Reader,
        RoleSpec::Operator => Role::Operator,
    };
    specs.iter().map(role).collect()
}

fn limits(spec: Option<&ServerLimitsSpec>, default: Limits, diags: &mut Diagnostics) -> Limits {
    let Some(spec) = spec else {
        return default;
    };
    let mut size = |part: &Option<Part<At<Size>>>, default: usize| match right(part) {
        Some(at) if positive(at.value.0 as u128, at.span, diags) => at.value.0,
        _ => default,
    };
    let request_body = size(&spec.request_body, default.request_body);
    let response_body = size(&spec.response_body, default.response_body);
    let mut count = |part: &Option<Part<At<u32>>>, default: usize| match right(part) {
        Some(at) if positive(at.value.into(), at.span, diags) => at.value as usize,
        _ => default,
    };
    Limits {
        request_body,
        response_body,
        // Zero is a choice: nothing is kept.
        stored_reply: right(&spec.stored_reply).map_or(default.stored_reply, |at| at.value.0),
        in_flight: count(&spec.in_flight, default.in_flight),
        connections: count(&spec.connections, default.connections),
        cached_mappings: count(&spec.cached_mappings, default.cached_mappings),
    }
}

fn operations(
    spec: Option<&OperationsSpec>,
    default: Operations,
    diags: &mut Diagnostics,
) -> Operations {
    let Some(spec) = spec else {
        return default;
    };
    let retain = right(&spec.retain)
        .filter(|at| positive(at.value.0.as_millis(), at.span, diags))
        .map_or(default.retain, |at| at.value.0);
    Operations {
        retain,
        key_required: right(&spec.idempotency_key) == Some(&KeyRuleSpec::Required),
    }
}

fn replication(
    spec: Option<&ReplicationSpec>,
    database: &Database,
    written: &Option<Part<DatabaseSpec>>,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Replication {
    let default = defaults(world).replication;
    let Some(spec) = spec else {
        return default;
    };
    let confirm = match right(&spec.confirm).map(|at| at.value) {
        Some(ConfirmSpec::None) => Confirm::None,
        Some(ConfirmSpec::Preferred) | None => Confirm::Preferred,
        Some(ConfirmSpec::Required) => Confirm::Required,
    };
    if let Some(standby) = right(&spec.standby)
        && matches!(database, Database::Sqlite(_))
        && !matches!(written, Some(Part(None)))
    {
        diags.push(Diagnostic::error(
            codes::NO_EFFECT,
            standby.url.span(),
            "an SQLite file is not replicated: a standby needs `database: mysql://...`",
        ));
    }
    if let (None, Some(at)) = (&spec.standby, right(&spec.confirm))
        && confirm == Confirm::Required
    {
        diags.push(
            Diagnostic::error(
                codes::MISSING_STANDBY,
                at.span,
                "without a `standby` nothing could ever be confirmed",
            )
            .help("name the standby's database, or write `confirm: preferred`"),
        );
    }
    let timeout = right(&spec.timeout)
        .filter(|at| positive(at.value.0.as_millis(), at.span, diags))
        .map_or(default.timeout, |at| at.value.0);
    Replication {
        standby: right(&spec.standby).and_then(|url| database::mariadb(url, world, diags)),
        confirm,
        timeout,
    }
}

fn node(spec: Option<&HaSpec>, default: Box<str>, diags: &mut Diagnostics) -> Box<str> {
    spec.and_then(|spec| right(&spec.node))
        .and_then(|written| name::check(written, "a node", Shape::Instance, diags))
        .map_or(default, Into::into)
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn log(spec: Option<&LogSpec>, default: Log, diags: &mut Diagnostics) -> Log {
    let Some(spec) = spec else {
        return default;
    };
    let level = right(&spec.level).filter(|written| level_fits(written, diags));
    Log {
        format: match right(&spec.format) {
            Some(LogFormatSpec::Json) => LogFormat::Json,
            _ => default.format,
        },
        level: level.map_or(default.level, |written| written.text().into()),
    }
}

/// A word without `=` would silently name a module, and log all of it.
fn level_fits(written: &Written, diags: &mut Diagnostics) -> bool {
    let wrong = written.text().split(',').find(|directive| {
        let (module, level) = directive.split_once('=').unwrap_or(("relay", directive));
        let level = level.trim().to_ascii_lowercase();
        module.trim().is_empty() || !LEVELS.contains(&level.as_str())
    });
    let Some(wrong) = wrong else {
        return true;
    };
    let level = wrong.rsplit('=').next().unwrap_or(wrong).trim();
    diags.push(
        Diagnostic::error(
            codes::BAD_VALUE,
            written.span(),
            format!("`{level}` is not a level of the log"),
        )
        .did_you_mean(suggest::nearest(level, LEVELS))
        .help(format!(
            "one of: {}; or `module=level`, with commas",
            LEVELS.join(", ")
        )),
    );
    false
}
