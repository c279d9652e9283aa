//! `host-keys`: list, forget.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::Value;

use super::api::{self, AdminArgs};
use super::{Vars, table};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the host keys that were recorded, by backend
    List {
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Forget the host key of a backend: the one that it shows next is recorded
    #[command(after_help = "Example:\n  cmp-relay host-keys forget sw-1")]
    Forget {
        /// The backend, as its file in backends.d names it
        backend: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

pub fn run(command: Command, vars: &Vars) -> Result<ExitCode> {
    match command {
        Command::List { admin } => api::run(&admin, vars, |api| async move {
            let found = api.get(&["host-keys"], &[]).await?;
            print(&found, api.as_json);
            Ok(())
        }),
        Command::Forget { backend, admin } => api::run(&admin, vars, |api| async move {
            api.delete(&["host-keys", &backend], &[]).await?;
            println!(
                "the host key of {backend} is forgotten; the one that it shows next is recorded"
            );
            Ok(())
        }),
    }
}

fn print(found: &Value, as_json: bool) {
    if as_json {
        return api::print_json(found);
    }
    let items = found["items"].as_array().cloned().unwrap_or_default();
    let keys = ["backend", "host_key", "first_seen"];
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| keys.iter().map(|key| table::cell(&item[*key])).collect())
        .collect();
    print!(
        "{}",
        table::render(&["BACKEND", "HOST KEY", "FIRST SEEN"], &rows)
    );
}
