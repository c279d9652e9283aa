//! The pair of relay.yaml: `ha` with a `vip`, and what stands beside it.

use std::net::IpAddr;
use std::time::Duration;

use super::backend::positive;
use super::database;
use crate::config::codes;
use crate::config::env::World;
use crate::config::spec::decode::{At, TimeSpan};
use crate::config::spec::part::{Part, Written, right};
use crate::config::spec::server::{DatabaseSpec, FailoverSpec, HaSpec, PeerSpec, ServerSpec};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::plan::{Pair, Peer};

const BLOCK: Duration = Duration::from_secs(600);
const DRAIN: Duration = Duration::from_secs(30);

/// Compiles `ha`; `None` where it names no address, or where something that a pair needs is missing or wrong.
pub fn compile(
    spec: &HaSpec,
    server: &ServerSpec,
    world: World<'_>,
    diags: &mut Diagnostics,
) -> Option<Pair> {
    let peer = right(&spec.peer).and_then(|peer| peer_of(peer, world, diags));
    let mut account = |part: &Option<Part<DatabaseSpec>>| {
        right(part).and_then(|url| database::mariadb(url, world, diags))
    };
    let (control, source) = (account(&spec.control), account(&spec.source));
    let Some(Part(vip)) = &spec.vip else {
        let first = right(&spec.peer).map(|peer| peer.url.span());
        if let Some(span) = first {
            let message = "without `vip` this node is none of a pair, and `peer` has no effect";
            diags.push(Diagnostic::warning(codes::NO_EFFECT, span, message));
        }
        return None;
    };
    let vip = vip.as_ref()?;
    let (block, drain) = (
        time(&spec.block, BLOCK, diags),
        time(&spec.drain, DRAIN, diags),
    );
    complete(spec, server, vip, diags);
    Some(Pair {
        vip: address(vip, diags)?,
        peer: peer?,
        control: control?,
        source: source?,
        state: world
            .dir
            .join(right(&spec.state).map_or("data/ha", Written::text)),
        automatic: right(&spec.failover) != Some(&FailoverSpec::Manual),
        block,
        drain,
        fence: right(&spec.fence)
            .into_iter()
            .flatten()
            .filter_map(|word| word.0.as_ref())
            .map(|word| word.text().into())
            .collect(),
    })
}

fn time(part: &Option<Part<At<TimeSpan>>>, default: Duration, diags: &mut Diagnostics) -> Duration {
    right(part)
        .filter(|at| positive(at.value.0.as_millis(), at.span, diags))
        .map_or(default, |at| at.value.0)
}

/// One message names all that is missing.
fn complete(spec: &HaSpec, server: &ServerSpec, vip: &Written, diags: &mut Diagnostics) {
    let standby = match &server.replication {
        None => false,
        // What is wrong has been told.
        Some(Part(None)) => true,
        Some(Part(Some(replication))) => replication.standby.is_some(),
    };
    let mysql = match &server.database {
        None => false,
        Some(Part(None)) => true,
        Some(Part(Some(database))) => !database.url.text().starts_with("sqlite://"),
    };
    let missing: Vec<&str> = [
        (mysql, "`database: mysql://...`"),
        (standby, "`replication: { standby: ... }`"),
        (spec.peer.is_some(), "`ha.peer`"),
        (spec.control.is_some(), "`ha.control`"),
        (spec.source.is_some(), "`ha.source`"),
    ]
    .into_iter()
    .filter(|(there, _)| !there)
    .map(|(_, what)| what)
    .collect();
    if !missing.is_empty() {
        diags.push(
            Diagnostic::error(
                codes::INCOMPLETE_PAIR,
                vip.span(),
                format!("a node of a pair also needs {}", missing.join(", ")),
            )
            .help("`cmp-relay ha init` writes relay.yaml for both nodes; without `vip` this node is always active"),
        );
    }
}

fn address(vip: &Written, diags: &mut Diagnostics) -> Option<IpAddr> {
    let parsed = vip.text().parse();
    if parsed.is_err() {
        diags.push(
            Diagnostic::error(codes::BAD_VALUE, vip.span(), "this is not an IP address")
                .help("write the address alone, such as `10.0.0.100`; keepalived.conf has its prefix and interface"),
        );
    }
    parsed.ok()
}

fn peer_of(spec: &PeerSpec, world: World<'_>, diags: &mut Diagnostics) -> Option<Peer> {
    let token = world.resolve(&spec.token, diags);
    let file = |written: &Written| world.file(written.text(), written.span(), diags);
    let ca_file = spec.ca_file.as_ref().map(file);
    let url = spec.url.text().parse::<http::Uri>().ok().filter(|url| {
        matches!(url.scheme_str(), Some("http" | "https"))
            && url.host().is_some()
            && url.path_and_query().is_none_or(|rest| rest.as_str() == "/")
    });
    let Some(url) = url else {
        diags.push(
            Diagnostic::error(
                codes::BAD_URL,
                spec.url.span(),
                "this is not the URL of an admin listener",
            )
            .help("write `https://HOST:PORT`, without a path"),
        );
        return None;
    };
    Some(Peer {
        url,
        token: token?,
        ca_file,
    })
}
