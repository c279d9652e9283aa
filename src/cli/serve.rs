//! `serve`: the composition root. Read top down, it is the life of the process.

use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::configuration::{ConfigArgs, compile};
use super::{Vars, housekeeping};
use crate::clock::{Boottime, unix_micros};
use crate::ha::confirm::Confirmer;
use crate::ha::{self, Ha, Parts};
use crate::http::admin::{self, Admin};
use crate::http::layers::Edge;
use crate::http::listener::{Bounds, bind};
use crate::http::reload::watch::Watch;
use crate::http::reload::{Order, Recompile, ReloadError, Reloader, check_exposure, tls_slot};
use crate::http::{problem, serve_cmp};
use crate::plan::{Database, Plan, Server};
use crate::relay::{Gate, Relay, longest_call};
use crate::shutdown::{self, Shutdown};
use crate::store::{self, Journal, Options, Store, Write, Written};
use crate::telemetry;
use crate::workers::Workers;

/// Serve the configured routes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// Reload when the folder has changed, looking at it so often (`--watch=5s`); by default every second
    #[arg(
        long,
        value_name = "EVERY",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1s",
        value_parser = pace
    )]
    pub watch: Option<Duration>,
}

/// `500ms`, `5s`: a pace that is no burden and no joke.
fn pace(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1000),
    };
    let ms = number.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
    ms.filter(|ms| (10..=3_600_000).contains(ms))
        .map(Duration::from_millis)
        .ok_or_else(|| "write a whole number with `ms` or `s`, such as `1s`".to_owned())
}

pub fn run(args: &Args, vars: &Vars) -> Result<ExitCode> {
    let plan = args.config.plan(vars)?;
    telemetry::logging::start(&plan.server.log)?;
    telemetry::metrics::install();
    let (dir, vars) = (args.config.config.clone(), vars.clone());
    let recompile: Recompile = Arc::new(move || compile(&dir, &vars));
    let watch = args.watch.map(|every| Watch {
        folder: args.config.config.clone(),
        every,
    });
    runtime()?.block_on(serve(plan, recompile, watch))?;
    Ok(ExitCode::SUCCESS)
}

/// The runtime of a command that talks to the network; requests of the CMP have [`Workers`].
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the runtime cannot start")
}

async fn serve(plan: Plan, recompile: Recompile, watch: Option<Watch>) -> Result<()> {
    let mut signals = Signals::new()?;
    check_exposure(&plan.server)?;

    // Bound first: an address that is taken must not cost a migration or a lock.
    let cmp = bind(plan.server.listen).await?;
    let admin = bind(plan.server.admin_listen).await?;

    let starting = async {
        let options = Options::of(&plan.server.limits);
        let journal = Journal::start_with(open_store(&plan.server).await?, options);
        // A node of a pair may not write before its role machine says so.
        let gate = match plan.server.pair {
            Some(_) => Gate::shut(),
            None => {
                recover_pending(&journal).await?;
                Gate::open()
            }
        };
        Relay::start(plan, journal, gate, problem::render).await
    };
    let relay = tokio::select! {
        started = starting => started?,
        // A database that hangs must not keep the process from being told to end.
        () = signals.stop() => return Ok(()),
    };

    let running = Running::start(relay, cmp, admin, recompile)?;
    if let Some(watch) = watch {
        running.watch(watch);
    }
    running.until_stopped(&mut signals).await;
    running.stop(&mut signals).await;
    Ok(())
}

/// Opens the database for this process alone, its tables being what this version needs: an SQLite
/// file is migrated, a MariaDB server, which may have a standby, only by `cmp-relay migrate`.
pub async fn open_store(server: &Server) -> Result<Arc<dyn Store>> {
    let store = match server.replication.standby {
        Some(_) => store::open_replicated(&server.database).await?,
        None => store::open(&server.database).await?,
    };
    if matches!(server.database, Database::Sqlite(_)) {
        for migration in store
            .migrate()
            .await
            .context("the database cannot be migrated")?
        {
            tracing::info!(migration, "migrated");
        }
    }
    store
        .check_schema()
        .await
        .context("run `cmp-relay migrate`")?;
    Ok(store)
}

/// Lets the standby's server confirm what is written down, where there is one.
pub fn ask_standby(relay: &Relay) -> Option<Arc<Confirmer>> {
    let plan = relay.plan();
    let replication = &plan.server.replication;
    let standby = replication.standby.as_ref()?;
    let store = relay.journal().store().clone();
    let confirmer = Confirmer::start(standby, replication.timeout, store, relay.gate().clone());
    relay.confirmed_by(confirmer.clone());
    Some(confirmer)
}

/// What the process before this one left pending is unknown now: nobody waits for it any more.
pub async fn recover_pending(journal: &Journal) -> Result<()> {
    let write = Write::RecoverPending {
        now: unix_micros(),
        owned: Vec::new(),
    };
    let written = journal
        .write(write)
        .await
        .context("pending operations cannot be recovered")?;
    if let Written::Count(count @ 1..) = written {
        tracing::warn!(
            count,
            "operations were pending when the relay last stopped; their outcome is unknown: \
             see `cmp-relay operations list --state unknown`"
        );
    }
    Ok(())
}

/// The role machine, where relay.yaml makes this node one of a pair.
fn pair(
    relay: &Arc<Relay>,
    confirmer: Option<Arc<Confirmer>>,
    stop: &Shutdown,
) -> Result<Option<Ha>> {
    let server = &relay.plan().server;
    let (Some(pair), Some(confirmer)) = (&server.pair, confirmer) else {
        return Ok(None);
    };
    let parts = Parts {
        pair: pair.clone(),
        node: server.node.to_string(),
        confirmer,
        relay: relay.clone(),
    };
    ha::start(parts, stop.clone()).map(Some)
}

/// What writing down and logging out may take once the last deadline has passed.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Everything that runs, and what stops it.
pub struct Running {
    relay: Arc<Relay>,
    reloader: Arc<Reloader>,
    trigger: shutdown::Trigger,
    stop: Shutdown,
    listeners: Vec<tokio::task::JoinHandle<()>>,
    /// Held to the end: what a request began goes on after its connection.
    _workers: Workers,
}

impl Running {
    /// Starts listeners and background tasks.
    pub fn start(
        relay: Arc<Relay>,
        cmp: TcpListener,
        admin: TcpListener,
        recompile: Recompile,
    ) -> Result<Self> {
        let plan = relay.plan();
        let (trigger, stop) = shutdown::channel();
        let tls = tls_slot(&plan.server)?;
        let bounds = Bounds {
            connections: plan.server.limits.connections,
            ..Bounds::default()
        };
        let edge = Arc::new(Edge::new(plan.clone(), bounds.clone()));
        let reloader = Arc::new(Reloader::new(
            recompile,
            relay.clone(),
            edge.clone(),
            tls.clone(),
        ));
        let (cmp_address, admin_address) = (cmp.local_addr()?, admin.local_addr()?);
        let desk = Admin {
            ha: pair(&relay, ask_standby(&relay), &stop)?,
            relay: relay.clone(),
            edge: edge.clone(),
            reloader: reloader.clone(),
            address: admin_address,
            started_at: unix_micros(),
        };
        let workers = Workers::start()?;
        let listeners = vec![
            tokio::spawn(serve_cmp(
                cmp,
                tls.clone(),
                edge,
                relay.clone(),
                stop.clone(),
                workers.clone(),
            )),
            tokio::spawn(admin::serve(admin, tls, bounds, desk, stop.clone())),
        ];
        housekeeping::start(&relay, &stop);
        tracing::info!(
            listen = %cmp_address,
            admin = %admin_address,
            routes = plan.routes.len(),
            backends = plan.backends.len(),
            plan = &*plan.digest,
            "serving"
        );
        Ok(Self {
            relay,
            reloader,
            trigger,
            stop,
            listeners,
            _workers: workers,
        })
    }

    /// Reloads from now on whenever the folder has changed.
    pub fn watch(&self, watch: Watch) {
        tracing::info!(folder = %watch.folder.display(), "watching the configuration");
        tokio::spawn(watch.run(self.reloader.clone(), self.stop.clone()));
    }

    /// Reloads at each SIGHUP; returns at SIGTERM or SIGINT.
    async fn until_stopped(&self, signals: &mut Signals) {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => return,
                _ = signals.interrupt.recv() => return,
                _ = signals.reload.recv() => {
                    let order = Order::new("SIGHUP", false);
                    if let Err(ReloadError::Rejected(rejected)) = self.reloader.reload(order).await {
                        eprintln!("{}", rejected.text);
                    }
                }
            }
        }
    }

    async fn stop(self, signals: &mut Signals) {
        let bound = longest_call(&self.relay.plan());
        tracing::info!(
            at_most_s = bound.as_secs_f64(),
            "stopping: nothing new is taken, what is in hand is finished"
        );
        let hurry = async {
            signals.stop().await;
            tracing::warn!("told to stop again: what is in hand is left");
        };
        self.finish(bound, hurry).await;
        tracing::info!("stopped");
    }

    /// Stops accepting, finishes what is in hand within `bound` or until `hurry`, writes what is left
    /// down as unknown, logs out, closes the database (SEMANTICS 31).
    pub async fn finish(self, bound: Duration, hurry: impl Future<Output = ()>) {
        self.trigger.stop();
        let mut deadline = Boottime::now() + bound;
        let listeners = async {
            for listener in self.listeners {
                // A listener that panicked has nothing in hand.
                let _ = listener.await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(bound, listeners) => {}
            () = hurry => deadline = Boottime::now(),
        }
        // A backend that is still silent then is not waited for a second time.
        let left = deadline.remaining().unwrap_or_default() + bound.min(LAST_WORDS);
        if tokio::time::timeout(left, self.relay.drain(deadline))
            .await
            .is_err()
        {
            tracing::warn!("not every backend was logged out of in time");
        }
        // A database that is away would be waited for without end.
        let closed = tokio::time::timeout(LAST_WORDS, self.relay.journal().close()).await;
        if closed.is_err() {
            tracing::warn!(
                "the database did not close in time; what it was not told is unknown at the next start"
            );
        }
    }
}

/// What the process is told from outside.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    reload: Signal,
}

impl Signals {
    /// Listens from now on: a signal during the start is not lost.
    fn new() -> Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            reload: signal(SignalKind::hangup())?,
        })
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
