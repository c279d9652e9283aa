//! Database URLs: `sqlite://PATH` and `mysql://USER@HOST:PORT/NAME`.

use std::path::PathBuf;

use http::Uri;

use crate::config::codes;
use crate::config::env::World;
use crate::config::spec::part::Written;
use crate::config::spec::secret;
use crate::config::spec::server::DatabaseSpec;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::plan::{Database, MariaDb};

const HELP: &str = "write `sqlite://PATH` or `mysql://USER@HOST:PORT/NAME`";

/// Where the tables are when relay.yaml does not say it.
pub fn default(world: World<'_>) -> Database {
    Database::Sqlite(world.dir.join("data/relay.db"))
}

/// Compiles the `database` of relay.yaml.
pub fn compile(spec: &DatabaseSpec, world: World<'_>, diags: &mut Diagnostics) -> Option<Database> {
    let text = spec.url.literal("a database's URL", diags)?;
    if let Some(path) = text.strip_prefix("sqlite://") {
        if let Some(password) = &spec.password {
            let message = "an SQLite file has no password";
            diags.push(Diagnostic::error(
                codes::NO_EFFECT,
                password.span(),
                message,
            ));
        }
        return sqlite(path, spec, world, diags).map(Database::Sqlite);
    }
    mariadb(spec, world, diags).map(Database::MariaDb)
}

fn sqlite(
    path: &str,
    spec: &DatabaseSpec,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<PathBuf> {
    if path.is_empty() || path.contains('?') || path.ends_with('/') {
        let message = "this URL names no file";
        diags.push(Diagnostic::error(codes::BAD_URL, spec.url.span(), message).help(HELP));
        return None;
    }
    Some(world.dir.join(path))
}

/// Compiles a URL that must be of a MariaDB server, such as the standby's.
pub fn mariadb(spec: &DatabaseSpec, world: World<'_>, diags: &mut Diagnostics) -> Option<MariaDb> {
    let password = match &spec.password {
        Some(password) => Some(world.resolve(password, diags)?),
        None => None,
    };
    let server = parse(&spec.url, diags)?;
    Some(MariaDb { password, ..server })
}

fn parse(written: &Written, diags: &mut Diagnostics) -> Option<MariaDb> {
    let text = written.text();
    let mut bad = |message: &str| {
        diags.push(Diagnostic::error(codes::BAD_URL, written.span(), message).help(HELP));
    };
    let Some(rest) = text.strip_prefix("mysql://") else {
        bad("this is not the URL of a database that the relay keeps its tables in");
        return None;
    };
    let (user, server) = match rest.rsplit_once('@') {
        Some((user, server)) if !user.is_empty() => (user, server),
        _ => {
            bad("this URL names no user");
            return None;
        }
    };
    if let Some((name, password)) = user.split_once(':') {
        let start = "mysql://".len() + name.len() + 1;
        let span = written.snippet().part_span(start, start + password.len());
        diags.push(secret::in_clear(
            span,
            "write `url: mysql://USER@HOST/NAME` and beside it `password: { env: NAME }`",
        ));
        diags.mask(span);
        return None;
    }
    let uri = format!("mysql://{server}").parse::<Uri>();
    let Some(uri) = uri.ok().filter(|uri| uri.query().is_none()) else {
        bad("this is not a database's URL");
        return None;
    };
    let (host, name) = (uri.host().unwrap_or(""), uri.path().trim_matches('/'));
    if host.is_empty() || name.is_empty() || name.contains('/') || user.contains(['%', '/']) {
        bad("this URL names no database of a server");
        return None;
    }
    Some(MariaDb {
        host: host.trim_matches(['[', ']']).into(),
        port: uri.port_u16().unwrap_or(3306),
        user: user.into(),
        password: None,
        database: name.into(),
    })
}
