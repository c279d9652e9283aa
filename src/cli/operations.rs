//! `operations`: list, show, resolve.

use std::process::ExitCode;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::api::{self, AdminArgs, Api};
use super::{Misuse, Vars, table};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List operations, newest first
    #[command(
        after_help = "Examples:\n  cmp-relay operations list --state unknown\n  \
        cmp-relay operations list --resource network --cmp-id n1"
    )]
    List {
        #[arg(long, help = "In this state", value_parser = ["pending", "succeeded", "failed", "unknown"])]
        state: Option<String>,
        #[arg(long, help = "Of this client")]
        client: Option<String>,
        #[arg(long, help = "With this Idempotency-Key")]
        key: Option<String>,
        #[arg(long, help = "On objects of this resource")]
        resource: Option<String>,
        #[arg(long, help = "On this CMP object")]
        cmp_id: Option<String>,
        #[arg(long, help = "By this route")]
        route: Option<String>,
        #[arg(long, help = "On this backend")]
        backend: Option<String>,
        #[arg(long, default_value_t = 50, help = "At most so many")]
        limit: u32,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show one operation
    Show {
        /// The operation's id, as in `Relay-Operation`
        id: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Say what became of an unknown operation, once you have looked at the backend
    #[command(
        after_help = "Examples:\n  cmp-relay operations resolve 0199… --failed\n  \
        cmp-relay operations resolve 0199… --succeeded --backend-id 4f2a\n\n\
        --failed: nothing exists at the backend; the CMP's retry then runs.\n\
        --succeeded: it was done; the mapping is applied, and a retry gets the reply."
    )]
    #[command(group = clap::ArgGroup::new("verdict").required(true).args(["succeeded", "failed"]))]
    Resolve {
        /// The operation's id
        id: String,
        /// It was done
        #[arg(long)]
        succeeded: bool,
        /// It was not done, and nothing exists at the backend
        #[arg(long)]
        failed: bool,
        /// What the backend calls the object; needed for a create that succeeded
        #[arg(long, value_name = "ID", conflicts_with = "failed")]
        backend_id: Option<String>,
        /// The reply that a retry gets: JSON, or @FILE
        #[arg(long, value_name = "JSON", conflicts_with = "failed")]
        reply: Option<String>,
        /// Settle it though its deadline has not passed
        #[arg(long)]
        force: bool,
        /// Remove the mapping that is in the way
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

pub fn run(command: Command, vars: &Vars) -> Result<ExitCode> {
    match command {
        Command::List {
            state,
            client,
            key,
            resource,
            cmp_id,
            route,
            backend,
            limit,
            admin,
        } => {
            let mut query = api::query([
                ("state", &state),
                ("client", &client),
                ("key", &key),
                ("resource", &resource),
                ("cmp_id", &cmp_id),
                ("route", &route),
                ("backend", &backend),
            ]);
            query.push(("limit", limit.to_string()));
            api::run(&admin, vars, |api| list(api, query))
        }
        Command::Show { id, admin } => api::run(&admin, vars, |api| async move {
            let operation = api.get(&["operations", &id], &[]).await?;
            match api.as_json {
                true => api::print_json(&operation),
                false => print!("{}", table::fields(&operation)),
            }
            Ok(())
        }),
        Command::Resolve {
            id,
            succeeded,
            backend_id,
            reply,
            force,
            replace,
            admin,
            ..
        } => {
            let mut order = json!({
                "verdict": if succeeded { "succeeded" } else { "failed" },
                "force": force,
                "replace": replace,
            });
            if let Some(backend_id) = backend_id {
                order["backend_id"] = backend_id.into();
            }
            if let Some(reply) = reply {
                order["reply"] = json_or_file(&reply)?;
            }
            api::run(&admin, vars, |api| async move {
                let settled = api.post(&["operations", &id, "resolve"], &order).await?;
                match api.as_json {
                    true => api::print_json(&settled),
                    false => println!("operation {id}: {}", table::cell(&settled["state"])),
                }
                Ok(())
            })
        }
    }
}

async fn list(api: Api, query: Vec<(&'static str, String)>) -> Result<()> {
    let page = api.get(&["operations"], &query).await?;
    if api.as_json {
        api::print_json(&page);
        return Ok(());
    }
    let items = page["items"].as_array().cloned().unwrap_or_default();
    let rows: Vec<Vec<String>> = items.iter().map(row).collect();
    print!(
        "{}",
        table::render(
            &[
                "ID", "STATE", "ROUTE", "OBJECT", "BACKEND", "CLIENT", "CREATED", "ERROR"
            ],
            &rows
        )
    );
    if !page["next"].is_null() {
        eprintln!("there are more; --limit shows more of them");
    }
    Ok(())
}

fn row(operation: &Value) -> Vec<String> {
    let object = format!(
        "{} {}",
        table::cell(&operation["object"]["resource"]),
        table::cell(&operation["object"]["cmp_id"])
    );
    let cell = |key: &str| table::cell(&operation[key]);
    vec![
        cell("id"),
        cell("state"),
        cell("route"),
        object,
        cell("backend"),
        cell("client"),
        cell("created_at"),
        table::cell(&operation["error"]["code"]),
    ]
}

/// JSON in the argument, or in the file that `@` names.
fn json_or_file(argument: &str) -> Result<Value> {
    let text = match argument.strip_prefix('@') {
        Some(file) => {
            std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?
        }
        None => argument.to_owned(),
    };
    serde_json::from_str(&text)
        .map_err(|error| Misuse(format!("--reply is not JSON: {error}")).into())
}
