//! `explain`: what one CMP request would do, without a byte sent.
//!
//! The request is the real one and goes the real way: a [`Trial`] runs it through `Relay::handle`
//! over rows in memory, and a witness sees what it comes to at each step. `request` and `rows` read
//! what is typed, `live` asks a running relay for rows, `tell` makes the [`account::Account`] (with
//! `nearest`, `lookups`, `choice` and `call`), `text` lays it out.

pub mod account;
mod call;
mod choice;
mod live;
mod lookups;
mod mask;
mod nearest;
pub mod request;
pub mod rows;
mod tell;
pub mod text;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use super::api::{AdminArgs, Format};
use super::configuration::environment;
use super::{Misuse, Vars};
use crate::backend::why::{Choice, Verdict};
use crate::config::{self, Loaded, SourceFiles};
use crate::diagnostics::place::point;
use crate::diagnostics::text::render_text;
use crate::driver::{DriverError, Phase, SendOutcome};
use crate::http::auth::require;
use crate::http::inbound::{check_head, request_id};
use crate::http::listener::Bounds;
use crate::http::operations::is_operations_path;
use crate::http::problem;
use crate::plan::{BackendId, Plan, Prefer, Role};
use crate::relay::witness::{Seen, Step, Witness};
use crate::relay::{Failure, Inbound, RelayError};
use crate::store::Mapping;
use crate::trial::{Act, Run, Scene, Trial};

use account::Account;
use live::Live;
use request::{Asked, Who};
use tell::{Known, tell};

/// Say what a request would match, choose, call and record; nothing is sent.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    cmp-relay explain POST /v1/networks --body '{\"id\":\"n1\",\"region\":\"RegionOne\",\"name\":\"front\"}'\n  \
    cmp-relay explain GET /v1/networks/n1 --mapping network/n1=neutron-1:7c1f\n  \
    cmp-relay explain DELETE /v1/networks/n1 --live --format json\n\n\
    A file of rows is a list as in `examples: mappings`, or what `cmp-relay mappings export` wrote.\n\n\
    Exit status: 0 a call would be made, 1 the CMP would get an error, 2 the command was used wrongly.")]
pub struct Args {
    /// GET, POST, ...
    pub method: String,
    /// The path with its query, encoded as it would be sent; a whole URL will do
    pub path: String,
    /// The folder that holds relay.yaml, backends.d/, routes.d/ and templates/
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub config: std::path::PathBuf,
    /// The body; @FILE reads it from a file, @- from standard input
    #[arg(long, value_name = "JSON|@FILE")]
    pub body: Option<String>,
    /// A header of the request, such as `Idempotency-Key: k1`; may be repeated
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// The client of relay.yaml that asks; without it, the one whose token came, or the first
    #[arg(long, value_name = "NAME")]
    pub client: Option<String>,
    /// Rows of the mapping table: a file of them, or `resource/cmp_id=backend:backend_id`; may be repeated
    #[arg(long, value_name = "FILE|ROW")]
    pub mapping: Vec<String>,
    /// Ask the running relay for rows that --mapping does not give
    #[arg(long)]
    pub live: bool,
    #[command(flatten)]
    pub admin: AdminArgs,
}

pub fn run(args: &Args, vars: &Vars) -> Result<ExitCode> {
    let (plan, files) = plan(&args.config, vars)?;
    let asked = request::read(args)?;
    let who = request::who(&plan, &asked, args.client.as_deref())?;
    let rows = rows::read(&args.mapping, &plan)?;
    let live = match args.live {
        true => Some(Live::connect(&args.admin, vars)?),
        false => None,
    };
    let mut account = explain(&plan, &asked, &who, rows, live)?;
    if let Some(route) = &mut account.route {
        route.place = place_of(&files, &route.name);
    }
    match args.admin.format {
        Format::Json => println!("{:#}", serde_json::to_value(&account)?),
        Format::Text => print!("{}", text::render(&account)),
    }
    Ok(match account.refused {
        None => ExitCode::SUCCESS,
        Some(_) => ExitCode::FAILURE,
    })
}

/// The plan of a folder; its secrets and certificates need not be on this machine.
fn plan(dir: &Path, vars: &Vars) -> Result<(Arc<Plan>, SourceFiles)> {
    if !dir.is_dir() {
        return Err(Misuse(format!("there is no folder {}", dir.display())).into());
    }
    let env = environment(vars).ignoring_secrets();
    let Loaded {
        plan,
        diagnostics,
        files,
        ..
    } = config::load(dir, &env);
    let plan = plan.ok_or_else(|| {
        anyhow::anyhow!(
            "the configuration in {} does not compile:\n{}",
            dir.display(),
            render_text(&diagnostics, &files, false)
        )
    })?;
    Ok((Arc::new(plan), files))
}

/// Where a route is written: `routes.d/networks.yaml:12`.
fn place_of(files: &SourceFiles, route: &str) -> Option<String> {
    files.routes().find_map(|(_, file)| {
        let crate::document::Kind::Map(routes) = &file.node.as_ref()?.get("routes")?.kind else {
            return None;
        };
        let entry = routes.iter().find(|entry| entry.key == route)?;
        let line = point(&file.text, entry.key_span.start as usize).line;
        Some(format!("{}:{line}", file.path))
    })
}

/// What the request would come to. It must not be called on a thread of a runtime.
pub fn explain(
    plan: &Arc<Plan>,
    asked: &Asked,
    who: &Who,
    mut rows: Vec<Mapping>,
    mut live: Option<Live>,
) -> Result<Account> {
    if let Some(own) = answered_by_the_relay(asked) {
        let mut account =
            told(plan, asked, who, &Seen::default(), None).map_err(anyhow::Error::msg)?;
        account.notes.push(own.to_owned());
        return Ok(account);
    }
    let inbound = match admitted(plan, asked, who) {
        Ok(inbound) => inbound,
        Err(error) => {
            let failure = problem::refused(error, &asked.method);
            let seen = Seen::default();
            return told(plan, asked, who, &seen, Some(&failure)).map_err(anyhow::Error::msg);
        }
    };
    let mut trial = Trial::new(Arc::clone(plan))?;
    let witness = Arc::new(Witness::default());
    trial.witnessed_by(Arc::clone(&witness));
    let mut scene = |rows: Vec<Mapping>, prefer, act| {
        let inbound = inbound.clone();
        trial.run(Scene {
            inbound,
            rows,
            prefer,
            act,
        })
    };
    let mut run = scene(rows.clone(), None, Act::unreachable());
    let mut counted = None;
    if let Some(live) = &mut live {
        // Each round asks for what the one before has missed; each row is asked for once.
        loop {
            let seen = witness.seen();
            let found = live.fetch(&seen.rows)?;
            let least = fewest(plan, &seen, live);
            if found.is_empty() && least == counted {
                break;
            }
            counted = least;
            add(&mut rows, found);
            let prefer = counted.map(|(backend, _)| backend);
            run = scene(rows.clone(), prefer, Act::unreachable());
        }
    }
    let mut failure = failure_of(&run);
    let mut seen = witness.seen();
    let mut notes = Vec::new();
    if let Some(live) = &live {
        let claim = seen.intent.as_ref().filter(|row| row.claim.is_some());
        let claim = claim.map(|row| row.object.clone());
        if let (Some(route), Some(error)) =
            (seen.route, live.in_the_way(&seen.rows, claim.as_ref())?)
        {
            seen.step = seen.step.min(Step::Intended);
            failure = Some(Failure::of_route(plan.route(route), error));
        }
        let backend = seen
            .call
            .as_ref()
            .map(|made| &*plan.backend(made.backend).name);
        notes = live.notes(
            plan,
            &inbound.caller.name,
            seen.idempotency_key.as_deref(),
            backend,
        )?;
    }
    let mut account = match told(plan, asked, who, &seen, failure.as_ref()) {
        Ok(account) => account,
        // The driver would refuse to send it: what the CMP gets then, the relay says itself.
        Err(detail) => {
            let act = Act::Fail(DriverError {
                phase: Phase::Send,
                outcome: SendOutcome::NotSent,
                detail,
                sends: 0,
                backend_status: None,
            });
            let run = scene(rows, counted.map(|(backend, _)| backend), act);
            let failure = run.reply.err();
            told(plan, asked, who, &witness.seen(), failure.as_ref()).map_err(anyhow::Error::msg)?
        }
    };
    account.notes.extend(notes);
    Ok(account)
}

/// What the listener answers itself, without a route and without a call.
fn answered_by_the_relay(asked: &Asked) -> Option<&'static str> {
    match asked.uri.path() {
        "/openapi.json" | "/docs" | "/docs/problems" => {
            Some("the relay answers this path itself, from its configuration")
        }
        path if is_operations_path(path) => {
            Some("the relay answers this path itself, from its operations")
        }
        _ => None,
    }
}

/// What a listener asks before the relay hears of a request, in its order.
fn admitted(plan: &Plan, asked: &Asked, who: &Who) -> Result<Inbound, RelayError> {
    let mut head = http::Request::new(());
    *head.method_mut() = asked.method.clone();
    *head.uri_mut() = asked.uri.clone();
    *head.headers_mut() = asked.headers.clone();
    let (parts, ()) = head.into_parts();
    check_head(&parts, &Bounds::default())?;
    let caller = who.caller.clone()?;
    require(&caller, &[Role::Cmp])?;
    let limit = plan.server.limits.request_body;
    if asked.body.len() > limit {
        return Err(RelayError::BodyTooLarge { limit });
    }
    Ok(Inbound {
        request_id: request_id(&parts.headers),
        caller,
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers,
        body: asked.body.clone(),
    })
}

fn told(
    plan: &Plan,
    asked: &Asked,
    who: &Who,
    seen: &Seen,
    failure: Option<&Failure>,
) -> Result<Account, String> {
    tell(Known {
        plan,
        asked,
        who,
        seen,
        failure,
    })
}

/// Why there was no call; what comes after one is not known here.
fn failure_of(run: &Run) -> Option<Failure> {
    match &run.reply {
        Err(failure) if run.calls.is_empty() => Some(failure.clone()),
        _ => None,
    }
}

/// The instance that `prefer: least_objects` takes by the relay's own count.
fn fewest(plan: &Plan, seen: &Seen, live: &Live) -> Option<(BackendId, u64)> {
    let route = plan.route(seen.route?);
    if !matches!(route.select.prefer, Prefer::LeastObjects) {
        return None;
    }
    let Some(Choice::Selected(considered)) = &seen.choice else {
        return None;
    };
    let matching: Vec<BackendId> = considered
        .iter()
        .filter(|one| matches!(one.verdict, Verdict::Matches | Verdict::Chosen(_)))
        .map(|one| one.backend)
        .collect();
    live.least_objects(plan, &matching)
}

/// Rows that are given win over those of the relay.
fn add(rows: &mut Vec<Mapping>, found: Vec<Mapping>) {
    for row in found {
        if !rows.iter().any(|known| known.key == row.key) {
            rows.push(row);
        }
    }
}
