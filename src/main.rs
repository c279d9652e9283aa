//! The binary: collects the environment once, parses the command line, runs the command, and turns
//! its outcome into an exit status.

use std::process::ExitCode;

use clap::Parser;
use cmp_relay::cli;

/// A request is many short-lived allocations: with glibc's `malloc` they were a quarter of a read's instructions.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    cli::run(cli, &environment())
}

/// Every variable that is text. All else takes this map, so that tests need no variables of their own.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the one place where the process's environment is read"
)]
fn environment() -> cli::Vars {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
