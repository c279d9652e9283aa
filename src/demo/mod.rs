//! `cmp-relay demo`: simulated backends, the shipped packs over them, and curl lines to try.
//!
//! Everything is below one folder: what the simulated backends hold, the relay's database and its configuration,
//! so that a second run goes on where the first one ended. The relay itself is started by the caller's `serve`:
//! this module knows no store, and no vendor. What a pack is, is said in one file of [`packs`].

pub mod packs;
mod script;
pub mod simulate;
pub mod story;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};

use packs::{Backend, Pack};
use simulate::{Authority, Stage};
use story::{Part, Scene};

use crate::shutdown::{self, Shutdown};

/// How many ports above the wanted one are tried when it is in use.
const PORTS_TRIED: u16 = 50;

/// What the demo is started with.
#[derive(Clone, Debug)]
pub struct Options {
    /// Everything that the demo keeps.
    pub data: PathBuf,
    /// The CMP listener's port; where it is in use, the next free one.
    pub port: u16,
    /// The admin listener's port, likewise.
    pub admin_port: u16,
    /// Whether the steps are sent instead of printed.
    pub script: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data/demo"),
            port: 8080,
            admin_port: 8081,
            script: false,
        }
    }
}

/// A configuration that is ready to be served.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The configuration folder.
    pub config: PathBuf,
    /// The environment that its secrets are taken from: the demo's passwords are made at each start and
    /// stand in no file.
    pub env: BTreeMap<String, String>,
    /// `http://127.0.0.1:8080`
    pub relay: String,
    pub admin: String,
}

/// Runs the demo until Ctrl-C (or SIGTERM), or until its script has ended.
///
/// `serve` starts the relay: its future is ready once the listeners are, and gives another one that
/// ends when the relay has, after the [`Shutdown`] says stop.
pub async fn run<Serve, Starting, Running>(
    options: Options,
    out: &mut impl Write,
    serve: Serve,
) -> anyhow::Result<()>
where
    Serve: FnOnce(Prepared, Shutdown) -> Starting,
    Starting: Future<Output = anyhow::Result<Running>>,
    Running: Future<Output = anyhow::Result<()>>,
{
    // Heard from here on: who reads the last line may interrupt at once.
    let mut interrupt = signal(SignalKind::interrupt()).context("Ctrl-C cannot be waited for")?;
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM cannot be waited for")?;

    let (backends, prepared) = prepare(&options)?;
    let (trigger, shutdown) = shutdown::channel();
    let running = serve(prepared.clone(), shutdown).await?;
    let story = backends.story(&prepared);
    print(out, &options, &prepared, &backends, &story).context("the demo cannot write")?;

    let mut running = std::pin::pin!(running);
    let told = async {
        match options.script {
            true => script::run(&story, &backends.ca_pem, out).await,
            false => std::future::pending().await,
        }
    };
    let (told, ended) = tokio::select! {
        ended = &mut running => (Ok(()), Some(ended)),
        told = told => (told, None),
        _ = interrupt.recv() => (Ok(()), None),
        _ = terminate.recv() => (Ok(()), None),
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            trigger.stop();
            running.await
        }
    };
    backends.stage.stop().await;
    // Whoever read this may be gone by now, with the terminal; that is no failure.
    let _ = writeln!(
        out,
        "\nStopped. The next run goes on from {}.",
        options.data.display()
    );
    told.and(ended)
}

/// All that is simulated; it ends when this is dropped.
#[derive(Debug)]
pub struct Backends {
    pub stage: Stage,
    /// The CA of their certificates.
    pub ca_pem: Vec<u8>,
    /// Every pack and what it speaks to.
    pub packs: Vec<(&'static Pack, Vec<Backend>)>,
}

impl Backends {
    /// The whole story, in its order.
    pub fn story(&self, prepared: &Prepared) -> Vec<Part> {
        let ca_file = prepared.config.join(packs::CA_FILE);
        let mut scene = Scene {
            relay: &prepared.relay,
            admin: &prepared.admin,
            backends: &[],
            ca_file: &ca_file,
        };
        let mut parts = Vec::new();
        for (pack, backends) in &self.packs {
            scene.backends = backends;
            let steps = (pack.steps)(&scene);
            let title = pack.title;
            parts.push(Part { title, steps });
        }
        parts.push(story::ending(&scene));
        parts
    }
}

/// Starts the simulated backends and writes the configuration that speaks to them.
pub fn prepare(options: &Options) -> anyhow::Result<(Backends, Prepared)> {
    let data = absolute(&options.data)?;
    let authority = Authority::new().context("no certificates can be made for the demo")?;
    let mut stage = Stage::new(Some(data.join("simulated")), Some(&authority));
    let started = packs::PACKS.iter().map(|pack| {
        let backends = (pack.start)(&mut stage)?;
        Ok((*pack, backends))
    });
    let packs: Vec<_> = started.collect::<io::Result<_>>().with_context(|| {
        format!(
            "the simulated backends cannot start from {}",
            data.display()
        )
    })?;

    let port = free_port(options.port, None)?;
    let admin_port = free_port(options.admin_port, Some(port))?;
    let config = data.join("config");
    packs::write(&config, &packs, Some(authority.ca_pem()))
        .and_then(|()| {
            let relay = relay_yaml(&data, port, admin_port, options.script);
            std::fs::write(config.join("relay.yaml"), relay)
        })
        .with_context(|| {
            format!(
                "the demo cannot write its configuration to {}",
                config.display()
            )
        })?;
    let prepared = Prepared {
        config,
        env: stage.secrets().clone(),
        relay: format!("http://127.0.0.1:{port}"),
        admin: format!("http://127.0.0.1:{admin_port}"),
    };
    let ca_pem = authority.ca_pem().to_owned();
    Ok((
        Backends {
            stage,
            ca_pem,
            packs,
        },
        prepared,
    ))
}

/// The folder, made and absolute: the configuration in it names the database by its whole path.
fn absolute(data: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(data)
        .and_then(|()| data.canonicalize())
        .with_context(|| format!("the demo cannot keep its data in {}", data.display()))
}

/// A script's own lines are what its reader wants: the log of each request would stand between them.
fn relay_yaml(data: &Path, port: u16, admin_port: u16, script: bool) -> String {
    let level = if script { "error" } else { "info" };
    let database = format!("sqlite://{}", data.join("relay.db").display());
    // A JSON string is a YAML one, whatever the path has in it.
    let database = serde_json::Value::from(database);
    format!(
        "# Written by the demo at each start; edit the route files beside it, not this.\n\
         version: 1\n\
         listen: 127.0.0.1:{port}\n\
         admin_listen: 127.0.0.1:{admin_port}\n\
         database: {database}\n\
         log: {{ level: {level} }}\n"
    )
}

/// The wanted port of the loopback address, or the next one that nobody listens on.
fn free_port(wanted: u16, taken: Option<u16>) -> anyhow::Result<u16> {
    (wanted..=wanted.saturating_add(PORTS_TRIED))
        .filter(|port| Some(*port) != taken)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .with_context(|| {
            format!(
                "the ports {wanted} to {} of 127.0.0.1 are all in use: name another one",
                wanted.saturating_add(PORTS_TRIED)
            )
        })
}

fn print(
    out: &mut impl Write,
    options: &Options,
    prepared: &Prepared,
    backends: &Backends,
    story: &[Part],
) -> io::Result<()> {
    writeln!(out, "The relay            {}", prepared.relay)?;
    writeln!(out, "its admin side       {}/console", prepared.admin)?;
    writeln!(
        out,
        "its routes           {}",
        prepared.config.join("routes.d").display()
    )?;
    for backend in backends.packs.iter().flat_map(|(_, backends)| backends) {
        writeln!(out, "{:<20} {} (simulated)", backend.name, backend.url)?;
    }
    let moved = [
        (options.port, &prepared.relay),
        (options.admin_port, &prepared.admin),
    ];
    for (wanted, url) in moved {
        if !url.ends_with(&format!(":{wanted}")) {
            writeln!(out, "Port {wanted} is in use: {url} is taken instead.")?;
        }
    }
    if options.script {
        return Ok(());
    }
    writeln!(out, "\nTry these in another terminal, in order:")?;
    let mut number = 0;
    for Part { title, steps } in story {
        writeln!(out, "\n--- {title} ---")?;
        for step in steps {
            number += 1;
            writeln!(out, "\n{number}. {} ({})", step.title, step.expect_status)?;
            writeln!(out, "   {}", step.command())?;
        }
    }
    writeln!(
        out,
        "\nCtrl-C ends the demo; what was made stays. Delete {} to begin anew.",
        options.data.display()
    )
}
