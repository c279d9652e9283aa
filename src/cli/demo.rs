//! `demo`: the simulated backends of [`crate::demo`], with a relay over them as `serve` runs it.

use std::io::stdout;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;

use super::Vars;
use super::configuration::{ConfigArgs, compile};
use super::serve::{Running, open_store, recover_pending, runtime};
use crate::demo::{self, Prepared};
use crate::http::listener::bind;
use crate::http::problem;
use crate::http::reload::Recompile;
use crate::relay::{Gate, Relay, longest_call};
use crate::shutdown::Shutdown;
use crate::store::{Journal, Options};
use crate::telemetry;

/// Run the relay over simulated backends.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the demo keeps what it makes: the next run goes on from there
    #[arg(long, value_name = "DIR", default_value = "data/demo")]
    pub data: PathBuf,
    /// The CMP listener's port; where it is in use, the next free one
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// The admin listener's port, likewise
    #[arg(long, default_value_t = 8081)]
    pub admin_port: u16,
    /// Send every step instead of printing it, and end; exit status 1 if one is answered differently
    #[arg(long)]
    pub script: bool,
}

pub fn run(args: Args, _vars: &Vars) -> Result<ExitCode> {
    let options = demo::Options {
        data: args.data,
        port: args.port,
        admin_port: args.admin_port,
        script: args.script,
    };
    runtime()?.block_on(demo::run(options, &mut stdout(), start))?;
    Ok(ExitCode::SUCCESS)
}

/// Starts a relay over the demo's configuration; the future that it gives ends when the relay has.
async fn start(
    prepared: Prepared,
    mut shutdown: Shutdown,
) -> Result<impl Future<Output = Result<()>>> {
    let config = ConfigArgs {
        config: prepared.config.clone(),
    };
    let plan = config.plan(&prepared.env)?;
    telemetry::logging::start(&plan.server.log)?;
    telemetry::metrics::install();

    let cmp = bind(plan.server.listen).await?;
    let admin = bind(plan.server.admin_listen).await?;
    let options = Options::of(&plan.server.limits);
    let journal = Journal::start_with(open_store(&plan.server).await?, options);
    recover_pending(&journal).await?;
    let relay = Relay::start(plan, journal, Gate::open(), problem::render).await?;
    let recompile: Recompile = Arc::new(move || compile(&prepared.config, &prepared.env));
    let running = Running::start(relay.clone(), cmp, admin, recompile)?;
    Ok(async move {
        shutdown.stopping().await;
        let bound = longest_call(&relay.plan());
        running.finish(bound, std::future::pending()).await;
        Ok(())
    })
}
