//! `cmp-relay demo`: simulated backends, the shipped packs over them, and curl lines to try.
//!
//! Everything is below one folder: the simulated regions' objects, the simulated devices'
//! configurations, the relay's database and its configuration, so that a second run goes on where the first one ended. The relay itself is
//! started by the caller's `serve`: this module knows no listener and no store.

pub mod pack;
pub mod simulate;
mod steps;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use simulate::devices::{self, Devices, SimulatedDevice};

pub use steps::{Step, steps};

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
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data: PathBuf::from("data/demo"),
            port: 8080,
            admin_port: 8081,
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

/// Runs the demo until Ctrl-C (or SIGTERM).
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

    let (backends, prepared) = prepare(&options).await?;
    let (trigger, shutdown) = shutdown::channel();
    let running = serve(prepared.clone(), shutdown).await?;
    let steps = steps(&prepared.relay, &prepared.admin, &backends.regions.keystone);
    print(out, &options, &prepared, &backends, &steps).context("the demo cannot write")?;

    let mut running = std::pin::pin!(running);
    let ended = tokio::select! {
        ended = &mut running => Some(ended),
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            trigger.stop();
            running.await
        }
    };
    backends.stop().await;
    // Whoever read this may be gone by now, with the terminal; that is no failure.
    let _ = writeln!(
        out,
        "\nStopped. The next run goes on from {}.",
        options.data.display()
    );
    ended
}

/// All that is simulated; it ends when this is dropped.
#[derive(Debug)]
pub struct Backends {
    pub regions: simulate::Simulated,
    pub devices: Devices,
}

impl Backends {
    async fn stop(self) {
        self.devices.stop().await;
        self.regions.stop().await;
    }
}

/// Starts the simulated backends and writes the configuration that speaks to them.
pub async fn prepare(options: &Options) -> anyhow::Result<(Backends, Prepared)> {
    let data = absolute(&options.data)?;
    let password = Uuid::new_v4().to_string();
    let switch_password = Uuid::new_v4().to_string();
    let cannot_start = || {
        format!(
            "the simulated backends cannot start from {}",
            data.display()
        )
    };
    let regions = simulate::start(simulate::Options {
        regions: pack::REGIONS.map(str::to_owned).to_vec(),
        data: Some(data.join("simulated")),
        password: password.clone(),
        token_ttl: Duration::from_secs(3600),
    })
    .await
    .with_context(cannot_start)?;
    let devices = devices::start(devices::Options {
        name: pack::SWITCH.to_owned(),
        data: Some(data.join("simulated")),
        password: switch_password.clone(),
    })
    .await
    .with_context(cannot_start)?;

    let port = free_port(options.port, None)?;
    let admin_port = free_port(options.admin_port, Some(port))?;
    let config = data.join("config");
    pack::write(
        &config,
        &pack::Endpoints {
            keystone: regions.keystone.clone(),
            neutrons: [
                regions.regions[0].url.clone(),
                regions.regions[1].url.clone(),
            ],
        },
    )
    .and_then(|()| {
        let switches = pack::Switches {
            switch: endpoint(&devices.switch),
            netconf: endpoint(&devices.netconf),
        };
        pack::write_switches(&config, &switches)
    })
    .and_then(|()| {
        std::fs::write(
            config.join("relay.yaml"),
            relay_yaml(&data, port, admin_port),
        )
    })
    .with_context(|| {
        format!(
            "the demo cannot write its configuration to {}",
            config.display()
        )
    })?;

    Ok((
        Backends { regions, devices },
        Prepared {
            config,
            env: BTreeMap::from([
                (pack::PASSWORD_ENV.to_owned(), password),
                (pack::SWITCH_PASSWORD_ENV.to_owned(), switch_password),
            ]),
            relay: format!("http://127.0.0.1:{port}"),
            admin: format!("http://127.0.0.1:{admin_port}"),
        },
    ))
}

fn endpoint(device: &SimulatedDevice) -> pack::SshEndpoint {
    pack::SshEndpoint {
        address: device.address,
        host_key: device.host_key.clone(),
    }
}

/// The folder, made and absolute: the configuration in it names the database by its whole path.
fn absolute(data: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(data)
        .and_then(|()| data.canonicalize())
        .with_context(|| format!("the demo cannot keep its data in {}", data.display()))
}

fn relay_yaml(data: &Path, port: u16, admin_port: u16) -> String {
    let database = format!("sqlite://{}", data.join("relay.db").display());
    // A JSON string is a YAML one, whatever the path has in it.
    let database = serde_json::Value::from(database);
    format!(
        "# Written by the demo at each start; edit the route files beside it, not this.\n\
         version: 1\n\
         listen: 127.0.0.1:{port}\n\
         admin_listen: 127.0.0.1:{admin_port}\n\
         database: {database}\n"
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
    steps: &[Step],
) -> std::io::Result<()> {
    writeln!(out, "The relay      {}", prepared.relay)?;
    writeln!(out, "its admin side {}/console", prepared.admin)?;
    writeln!(
        out,
        "its routes     {}",
        prepared.config.join("routes.d").display()
    )?;
    writeln!(
        out,
        "Keystone       {} (simulated)",
        backends.regions.keystone
    )?;
    for region in &backends.regions.regions {
        writeln!(
            out,
            "Neutron        {} (simulated, {})",
            region.url, region.name
        )?;
    }
    let devices = &backends.devices;
    for (sort, device) in [("Switch ", &devices.switch), ("NETCONF", &devices.netconf)] {
        writeln!(out, "{sort}        ssh://{} (simulated)", device.address)?;
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
    writeln!(out, "\nTry these in another terminal, in order:")?;
    for (at, step) in steps.iter().enumerate() {
        writeln!(out, "\n{}. {} ({})", at + 1, step.title, step.expect_status)?;
        writeln!(out, "   {}", step.command)?;
    }
    writeln!(
        out,
        "\nCtrl-C ends the demo; what was made stays. Delete {} to begin anew.",
        options.data.display()
    )
}
