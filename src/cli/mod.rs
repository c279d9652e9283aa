//! The command line: one file a subcommand. `serve` is the composition root.
//!
//! Exit status: 0 fine, 1 the thing checked is wrong or the command failed, 2 the command was used
//! wrongly.

pub mod api;
pub mod configuration;
pub mod demo;
pub mod diff;
pub mod explain;
pub mod ha;
pub mod help_code;
pub mod host_keys;
pub mod housekeeping;
pub mod import;
pub mod mappings;
pub mod migrate;
pub mod new;
pub mod openapi;
pub mod operations;
pub mod probe;
pub mod reload;
pub mod schema;
pub mod serve;
pub mod table;
pub mod test;
pub mod token;
pub mod validate;
pub mod views;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The environment as a map: collected once, by `main`.
pub type Vars = BTreeMap<String, String>;

/// A declarative API relay: one CMP request, one backend call, one recorded mapping.
#[derive(Debug, Parser)]
#[command(
    name = "cmp-relay",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    after_help = "Exit status: 0 fine, 1 the thing checked is wrong, 2 the command was used wrongly.\n\n\
                  Try it: `cmp-relay demo`. Then write YAML, and check it with `cmp-relay validate-config`."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the relay over simulated backends, with lines to try; what is made is kept for the next run
    Demo(demo::Args),
    /// Serve the configured routes
    #[command(
        after_help = "Examples:\n  cmp-relay serve\n  cmp-relay serve --config /etc/cmp-relay --watch\n\n\
        SIGHUP reloads the configuration, and so does `cmp-relay reload`; --watch does it by itself. One that\n\
        does not compile, or would leave mappings without a route or a backend, changes nothing.\n\
        SIGTERM and SIGINT finish what is in hand, then exit; a second one exits at once."
    )]
    Serve(serve::Args),
    /// Check a configuration folder: every problem at once, each with its place
    #[command(
        after_help = "Examples:\n  cmp-relay validate-config --config /etc/cmp-relay\n  cmp-relay validate-config --format json --deny-warnings"
    )]
    ValidateConfig(validate::ValidateArgs),
    /// Run every route's examples offline, through the real pipeline with nothing real behind it
    Test(test::Args),
    /// Say what a request would match, choose, call and record; nothing is sent
    Explain(explain::Args),
    /// Explain a code of a diagnostic or a problem, with a wrong and a right example
    HelpCode(help_code::Args),
    /// Write a commented skeleton that validates: a route, a backend, a pack
    #[command(subcommand)]
    New(new::Command),
    /// Draft a route file from a backend's own API description
    Import(import::Args),
    /// Print the CMP API as an OpenAPI 3.1 document
    Openapi(openapi::Args),
    /// Say what a reload of a folder would add, remove and change
    #[command(
        after_help = "Examples:\n  cmp-relay diff /srv/next --config /etc/cmp-relay\n  cmp-relay diff . --live\n\n\
        Exit status: 0 nothing differs or nothing is in the way; 1 the folder does not compile, or a reload of it\n\
        would be refused, or could be (only --live knows which mappings there are)."
    )]
    Diff(diff::Args),
    /// Connect to a backend, negotiate and log in, and say which step failed; nothing is changed
    Probe(probe::Args),
    /// Print the JSON Schema of a configuration file, for editors with a YAML language server
    Schema(schema::Args),
    /// Create or upgrade the tables of the configured database
    #[command(
        after_help = "Examples:\n  cmp-relay migrate --config /etc/cmp-relay\n\n\
        `serve` migrates an SQLite file by itself; a MariaDB server it only checks."
    )]
    Migrate(migrate::Args),
    /// The pair: status, promote, switchover, rejoin, and what keepalived calls
    #[command(subcommand, after_help = api::HELP)]
    Ha(ha::Command),
    /// Client tokens
    #[command(subcommand)]
    Token(token::Command),
    /// Operations: list, show, resolve (through the admin API of a running relay)
    #[command(subcommand, after_help = api::HELP)]
    Operations(operations::Command),
    /// Mappings: list, show, adopt, forget, export (through the admin API of a running relay)
    #[command(subcommand, after_help = api::HELP)]
    Mappings(mappings::Command),
    /// SSH host keys that were recorded when they were first seen: list, forget (through the admin API)
    #[command(subcommand, after_help = api::HELP)]
    HostKeys(host_keys::Command),
    /// Let a running relay take its folder anew, as SIGHUP does, and say what changed
    #[command(after_help = api::HELP)]
    Reload(reload::Args),
    /// The routes that a running relay serves
    #[command(after_help = api::HELP)]
    Routes(views::Args),
    /// The backends that a running relay reaches
    #[command(after_help = api::HELP)]
    Backends(views::Args),
}

/// Runs a command; an error is printed with its causes.
pub fn run(cli: Cli, vars: &Vars) -> ExitCode {
    // rustls has no default provider here, and reqwest panics without one; a second call is harmless.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let done = match cli.command {
        Command::Demo(args) => demo::run(args, vars),
        Command::Serve(args) => serve::run(&args, vars),
        Command::ValidateConfig(args) => validate(&args, vars),
        Command::Test(args) => test::run(&args, vars),
        Command::Explain(args) => explain::run(&args, vars),
        Command::HelpCode(args) => help_code::run(&args, vars),
        Command::New(command) => new::run(command, vars),
        Command::Import(args) => import::run(&args, vars),
        Command::Openapi(args) => openapi::run(&args, vars),
        Command::Diff(args) => diff::run(&args, vars),
        Command::Probe(args) => probe::run(&args, vars),
        Command::Schema(args) => schema::run(&args),
        Command::Migrate(args) => migrate::run(&args, vars),
        Command::Token(command) => token::run(&command),
        Command::Operations(command) => operations::run(command, vars),
        Command::Mappings(command) => mappings::run(command, vars),
        Command::Ha(command) => ha::run(command, vars),
        Command::HostKeys(command) => host_keys::run(command, vars),
        Command::Reload(args) => reload::run(&args, vars),
        Command::Routes(args) => views::routes(&args, vars),
        Command::Backends(args) => views::backends(&args, vars),
    };
    crate::telemetry::logging::flush();
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        match error.is::<Misuse>() {
            true => ExitCode::from(2),
            false => ExitCode::FAILURE,
        }
    })
}

/// A command that was used wrongly in a way that the parser of its arguments cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misuse(pub String);

fn validate(args: &validate::ValidateArgs, vars: &Vars) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let color = std::io::IsTerminal::is_terminal(&out);
    let env = configuration::environment(vars);
    Ok(validate::run(args, &env, color, &mut out)?.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_tree_is_sound_and_every_command_says_what_it_does() {
        Cli::command().debug_assert();
        fn every(command: &clap::Command) {
            for sub in command.get_subcommands() {
                assert!(sub.get_about().is_some(), "{} has no help", sub.get_name());
                every(sub);
            }
        }
        every(&Cli::command());
    }

    #[test]
    fn wrong_use_is_status_two() {
        for wrong in [
            &["cmp-relay", "sreve"][..],
            &["cmp-relay", "operations", "resolve", "x"],
            &[
                "cmp-relay",
                "operations",
                "resolve",
                "x",
                "--failed",
                "--backend-id",
                "7",
            ],
            &[
                "cmp-relay",
                "operations",
                "resolve",
                "x",
                "--failed",
                "--succeeded",
            ],
        ] {
            let error = Cli::try_parse_from(wrong).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{wrong:?}");
        }
    }
}
