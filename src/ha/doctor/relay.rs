//! The other node's relay: whether it knows our token, and serves what this node's folder says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;

use super::report::{Fault, Report, wrong};
use crate::plan::{Digests, Peer};

/// Asks its admin listener, with the token that the role machine uses. What it serves is compared part by part: what
/// relay.yaml says of a node is no part, and differs rightly.
pub async fn ask(peer: &Peer, own: &Digests, report: &mut Report) {
    let place = peer.url.to_string();
    let place = place.trim_end_matches('/');
    let theirs = async {
        let routes = digests_of(peer, place, "routes").await?;
        Ok((routes, digests_of(peer, place, "backends").await?))
    };
    let fault = match theirs.await {
        Ok((routes, backends)) => {
            report.line("peer", "the other node's relay answers", Vec::new());
            let mut faults = differing("route", &own.routes, &routes, place);
            faults.extend(differing("backend", &own.backends, &backends, place));
            return report.line("plan", "the same routes and backends on both nodes", faults);
        }
        Err(Unheard::Status(status)) => wrong(
            place,
            format!("it answers {status}"),
            "`ha.peer.token` here is the token of a client there that has the role operator",
        ),
        Err(Unheard::Silent(why)) => {
            wrong(place, why, "the relay runs there? `ha.peer` in relay.yaml")
        }
    };
    report.line("peer", "", vec![fault]);
    report.unseen("plan", "the other node's relay must answer");
}

/// The digests of a list of its, by name.
async fn digests_of(peer: &Peer, place: &str, list: &str) -> Result<Parts, Unheard> {
    let silent = |error: anyhow::Error| Unheard::Silent(format!("{error:#}"));
    let asked = async {
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(5));
        if let Some(file) = &peer.ca_file {
            let pem = std::fs::read(file)?;
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem)?);
        }
        let request = builder.build()?.get(format!("{place}/relay/v1/{list}"));
        let token = peer.token.expose();
        anyhow::Ok(request.bearer_auth(token).send().await?)
    };
    let answer = asked.await.map_err(silent)?;
    if !answer.status().is_success() {
        return Err(Unheard::Status(answer.status()));
    }
    let body = answer.json().await;
    let body: serde_json::Value = body.map_err(|error| silent(error.into()))?;
    let items = body["items"].as_array().into_iter().flatten();
    let part = |item: &serde_json::Value| {
        Some((
            item["name"].as_str()?.into(),
            item["digest"].as_str()?.into(),
        ))
    };
    Ok(items.filter_map(part).collect())
}

/// Digests by name, as in `plan::Digests`.
type Parts = BTreeMap<Box<str>, Box<str>>;

/// What came instead of a list.
enum Unheard {
    Status(reqwest::StatusCode),
    Silent(String),
}

fn differing(kind: &str, own: &Parts, theirs: &Parts, place: &str) -> Vec<Fault> {
    let names: BTreeSet<&str> = own
        .keys()
        .chain(theirs.keys())
        .map(|name| &**name)
        .collect();
    let differ = names
        .into_iter()
        .filter(|name| own.get(*name) != theirs.get(*name));
    differ
        .map(|name| {
            let what = format!("{kind} `{name}` is another there, or is on one node alone");
            wrong(
                place,
                what,
                "the same files on both nodes, and `cmp-relay reload`",
            )
        })
        .collect()
}
