//! `mappings`: list, show, adopt, forget, export.

use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Value, json};

use super::api::{self, AdminArgs};
use super::{Vars, table};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List mappings, in the order of their keys
    #[command(after_help = "Example:\n  cmp-relay mappings list --resource network --backend os-1")]
    List {
        #[command(flatten)]
        filter: Filter,
        #[arg(long, default_value_t = 50, help = "At most so many")]
        limit: u32,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Show the mappings of one CMP object
    Show {
        /// The resource, as its file in routes.d names it
        resource: String,
        /// What the CMP calls the object
        cmp_id: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Record an object that the backend has already; nothing is sent to it
    #[command(
        after_help = "Example:\n  cmp-relay mappings adopt network n1 --backend os-1 --backend-id 4f2a"
    )]
    Adopt {
        /// The resource, as its file in routes.d names it
        resource: String,
        /// What the CMP calls the object
        cmp_id: String,
        /// The backend that has the object
        #[arg(long, value_name = "NAME")]
        backend: String,
        /// What that backend calls it
        #[arg(long, value_name = "ID")]
        backend_id: String,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Remove a mapping; the backend's object stays and nothing is sent
    #[command(after_help = "Example:\n  cmp-relay mappings forget network n1")]
    Forget {
        /// The resource, as its file in routes.d names it
        resource: String,
        /// What the CMP calls the object
        cmp_id: String,
        /// Where the object is mapped on several backends: this one
        #[arg(long, value_name = "NAME")]
        backend: Option<String>,
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Write every mapping to standard output, one JSON object a line
    #[command(after_help = "Example:\n  cmp-relay mappings export > mappings.jsonl")]
    Export {
        #[command(flatten)]
        filter: Filter,
        #[command(flatten)]
        admin: AdminArgs,
    },
}

/// Which mappings.
#[derive(Debug, clap::Args)]
pub struct Filter {
    #[arg(long, help = "Of this resource")]
    resource: Option<String>,
    #[arg(long, help = "Of this CMP object")]
    cmp_id: Option<String>,
    #[arg(long, help = "On this backend")]
    backend: Option<String>,
    #[arg(long, help = "With this backend id")]
    backend_id: Option<String>,
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        api::query([
            ("resource", &self.resource),
            ("cmp_id", &self.cmp_id),
            ("backend", &self.backend),
            ("backend_id", &self.backend_id),
        ])
    }
}

pub fn run(command: Command, vars: &Vars) -> Result<ExitCode> {
    match command {
        Command::List {
            filter,
            limit,
            admin,
        } => api::run(&admin, vars, |api| async move {
            let mut query = filter.query();
            query.push(("limit", limit.to_string()));
            let page = api.get(&["mappings"], &query).await?;
            print(&page, api.as_json);
            if !api.as_json && !page["next"].is_null() {
                eprintln!("there are more; --limit shows more of them, `export` all");
            }
            Ok(())
        }),
        Command::Show {
            resource,
            cmp_id,
            admin,
        } => api::run(&admin, vars, |api| async move {
            let found = api.get(&["mappings", &resource, &cmp_id], &[]).await?;
            if api.as_json {
                api::print_json(&found["items"]);
                return Ok(());
            }
            for (index, item) in found["items"].as_array().into_iter().flatten().enumerate() {
                if index > 0 {
                    println!();
                }
                print!("{}", table::fields(item));
            }
            Ok(())
        }),
        Command::Adopt {
            resource,
            cmp_id,
            backend,
            backend_id,
            admin,
        } => api::run(&admin, vars, |api| async move {
            let body = json!({
                "resource": resource,
                "cmp_id": cmp_id,
                "backend": backend,
                "backend_id": backend_id,
            });
            let adopted = api.post(&["mappings"], &body).await?;
            match api.as_json {
                true => api::print_json(&adopted),
                false => println!("{resource} {cmp_id} is {backend_id} on {backend}"),
            }
            Ok(())
        }),
        Command::Forget {
            resource,
            cmp_id,
            backend,
            admin,
        } => api::run(&admin, vars, |api| async move {
            let query = api::query([("backend", &backend)]);
            api.delete(&["mappings", &resource, &cmp_id], &query)
                .await?;
            println!("{resource} {cmp_id} is forgotten; the backend's object stays");
            Ok(())
        }),
        Command::Export { filter, admin } => api::run(&admin, vars, |api| async move {
            let mut query = filter.query();
            query.push(("limit", "1000".to_owned()));
            api.all(&["mappings"], &query, "after", |item| println!("{item}"))
                .await
        }),
    }
}

fn print(page: &Value, as_json: bool) {
    if as_json {
        return api::print_json(page);
    }
    let items = page["items"].as_array().cloned().unwrap_or_default();
    let keys = ["resource", "cmp_id", "backend", "backend_id", "created_at"];
    let rows: Vec<Vec<String>> = items
        .iter()
        .map(|item| keys.iter().map(|key| table::cell(&item[*key])).collect())
        .collect();
    print!(
        "{}",
        table::render(
            &["RESOURCE", "CMP ID", "BACKEND", "BACKEND ID", "CREATED"],
            &rows
        )
    );
}
