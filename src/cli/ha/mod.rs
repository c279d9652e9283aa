//! `ha`: the pair, through the admin API of this node's relay; what keepalived's scripts call.

pub mod doctor;
pub mod init;
mod status;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::json;

use super::Vars;
use super::api::{self, AdminArgs};
use super::configuration::ConfigArgs;
use crate::ha::socket;
use crate::plan::Pair;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Both nodes in one table: role, epoch, address, commits, lag, confirmation, and what is in the way
    Status(Order),
    /// Make this node active; the other one is asked for its leave
    #[command(
        after_help = "Examples:\n  cmp-relay ha promote\n  cmp-relay ha promote --force\n\n\
        --force: though the other node is silent and may have what this one has not. What it had alone is listed when it\n\
        rejoins."
    )]
    Promote {
        /// Though the other node may have what this one has not
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        order: Order,
    },
    /// Hand over to the standby, without losing anything
    Switchover(Order),
    /// Make this node a standby again: says what it is to the active one, and compares the rows of both
    #[command(
        after_help = "Examples:\n  cmp-relay ha rejoin\n  cmp-relay ha rejoin --rebuild\n\n\
        Where this node has what the active one has not, that is listed in a file first, and nothing is removed without\n\
        --rebuild."
    )]
    Rejoin {
        /// Replace this node's rows by the active node's
        #[arg(long)]
        rebuild: bool,
        #[command(flatten)]
        order: Order,
    },
    /// Let the active node go on without a standby, until one has been rejoined
    Standalone(Order),
    /// Nothing happens by itself any more
    Pause(Order),
    /// A standby takes over by itself again
    Resume(Order),
    /// The last failover has been looked into: the next one may happen by itself
    Acknowledge(Order),
    /// Write what goes onto both nodes of a pair: keepalived, MariaDB, systemd, accounts, relay.yaml
    Init(init::Args),
    /// Check this node and the pair: servers, files, accounts, rows; nothing is changed
    Doctor(doctor::Args),
    /// Seed this node from the active one, before its relay is first started
    Bootstrap(ConfigArgs),
    /// For keepalived: exit status 0 where the address may be here
    Check(State),
    /// For keepalived: something changed
    Notify {
        #[command(flatten)]
        state: State,
        /// What keepalived says, such as `INSTANCE RELAY MASTER 101`
        #[arg(trailing_var_arg = true)]
        words: Vec<String>,
    },
}

/// Where the order goes.
#[derive(Debug, clap::Args)]
pub struct Order {
    #[command(flatten)]
    admin: AdminArgs,
}

/// Where the relay of this host is asked: no configuration is compiled for it, twice a second.
#[derive(Debug, clap::Args)]
pub struct State {
    /// The folder that relay.yaml names as `ha.state`
    #[arg(long, value_name = "DIR", default_value = "data/ha")]
    state: PathBuf,
}

pub fn run(command: Command, vars: &Vars) -> Result<ExitCode> {
    let none = json!({});
    match command {
        Command::Status(order) => status::run(&order.admin, vars),
        Command::Promote { force, order } => {
            send(&order, vars, "promote", &json!({ "force": force }))
        }
        Command::Switchover(order) => send(&order, vars, "switchover", &none),
        Command::Rejoin { rebuild, order } => {
            send(&order, vars, "rejoin", &json!({ "rebuild": rebuild }))
        }
        Command::Standalone(order) => send(&order, vars, "standalone", &none),
        Command::Pause(order) => send(&order, vars, "pause", &none),
        Command::Resume(order) => send(&order, vars, "resume", &none),
        Command::Acknowledge(order) => send(&order, vars, "acknowledge", &none),
        Command::Init(args) => init::run(&args),
        Command::Doctor(args) => doctor::run(&args, vars),
        Command::Bootstrap(config) => bootstrap(&config, vars),
        Command::Check(State { state }) => tell(&state, "check"),
        Command::Notify { state, words } => {
            tell(&state.state, &format!("notify {}", words.join(" ")))
        }
    }
}

/// Sends an order, and prints what came of it; the steps of a long one are printed as they pass.
fn send(
    order: &Order,
    vars: &Vars,
    verb: &'static str,
    body: &serde_json::Value,
) -> Result<ExitCode> {
    let body = body.clone();
    api::run(&order.admin, vars, |api| async move {
        let path = ["ha", verb];
        let answer = status::with_steps(&api, api.post(&path, &body)).await?;
        match api.as_json {
            true => api::print_json(&answer),
            false => println!("{}", answer["detail"].as_str().unwrap_or_default()),
        }
        Ok(())
    })
}

/// The pair of a configuration.
fn pair_of(config: &ConfigArgs, vars: &Vars) -> Result<(Pair, crate::plan::MariaDb)> {
    let plan = config.plan(vars)?;
    match (plan.server.pair, plan.server.replication.standby) {
        (Some(pair), Some(standby)) => Ok((pair, standby)),
        _ => anyhow::bail!(
            "relay.yaml has no `ha.vip`: this node is none of a pair; `cmp-relay ha init` writes both nodes' files"
        ),
    }
}

fn tell(state: &Path, line: &str) -> Result<ExitCode> {
    super::serve::runtime()?.block_on(async {
        let answer = socket::ask(state, line).await?;
        println!("{answer}");
        Ok(match answer == "ok" {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        })
    })
}

fn bootstrap(config: &ConfigArgs, vars: &Vars) -> Result<ExitCode> {
    let (pair, standby) = pair_of(config, vars)?;
    super::serve::runtime()?.block_on(async {
        println!(
            "{}",
            crate::ha::bootstrap(&pair, &standby, &mut |step| eprintln!("{step}")).await?
        );
        Ok(ExitCode::SUCCESS)
    })
}
