//! `explain`: what it shows is what is sent, what it refuses is what the CMP gets, and what it says of
//! routes, rows and backends is so.

mod live;
mod page;
mod refused;
mod sent;
mod why;

use std::sync::Arc;

use clap::Parser;
use cmp_relay::cli::explain::account::{Account, CallAccount};
use cmp_relay::cli::explain::{Args, explain, request, rows};
use cmp_relay::cli::{Cli, Command};
use cmp_relay::config::{self, Env};
use cmp_relay::plan::Plan;

/// The plan of these files, on a machine that has none of their secrets.
fn plan(files: &[(String, String)]) -> Arc<Plan> {
    let borrowed: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let loaded = config::load_from_memory(&borrowed, &Env::new([]).ignoring_secrets());
    let shown =
        cmp_relay::diagnostics::text::render_text(&loaded.diagnostics, &loaded.files, false);
    Arc::new(loaded.plan.unwrap_or_else(|| panic!("{shown}")))
}

/// The stories' base, with other files in the place of its own.
fn base(changed: &[(&str, &str)]) -> Vec<(String, String)> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/relay/base");
    let mut files = crate::support::relay::files_below(&folder);
    for (path, text) in changed {
        files.retain(|(known, _)| known != path);
        files.push(((*path).to_owned(), (*text).to_owned()));
    }
    for (_, text) in &mut files {
        *text = text.replace("{BACKEND}", "http://box.example.net:8080");
    }
    files
}

/// The arguments of `cmp-relay explain ...`.
fn args(typed: &[&str]) -> Args {
    let all = ["cmp-relay", "explain"].iter().chain(typed);
    match Cli::try_parse_from(all).unwrap().command {
        Command::Explain(args) => args,
        other => panic!("{other:?}"),
    }
}

/// What `cmp-relay explain ...` tells, over this plan.
fn told(plan: &Arc<Plan>, typed: &[&str]) -> Account {
    let args = args(typed);
    let asked = request::read(&args).unwrap();
    let who = request::who(plan, &asked, args.client.as_deref()).unwrap();
    let rows = rows::read(&args.mapping, plan).unwrap();
    explain(plan, &asked, &who, rows, None).unwrap()
}

/// The call as bytes, put together from what is shown.
fn bytes(call: &CallAccount) -> String {
    let CallAccount::Https {
        method,
        url,
        headers,
        body,
        ..
    } = call
    else {
        panic!("not a call of HTTP: {call:?}");
    };
    let (_, rest) = url.split_once("://").unwrap();
    let target = &rest[rest.find('/').unwrap()..];
    let mut all = format!("{method} {target} HTTP/1.1\r\n");
    for (name, value) in headers {
        all += &format!("{name}: {value}\r\n");
    }
    all + "\r\n" + body.as_deref().unwrap_or_default()
}
