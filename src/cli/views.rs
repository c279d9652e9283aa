//! `routes` and `backends`: tables of what a running relay serves and reaches.

use std::process::ExitCode;

use anyhow::Result;

use super::api::{self, AdminArgs};
use super::{Vars, table};

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    admin: AdminArgs,
}

pub fn routes(args: &Args, vars: &Vars) -> Result<ExitCode> {
    let columns = ["method", "path", "name", "resource", "kind", "summary"];
    show(args, vars, "routes", &columns)
}

pub fn backends(args: &Args, vars: &Vars) -> Result<ExitCode> {
    let columns = [
        "name",
        "kind",
        "driver",
        "address",
        "state",
        "breaker",
        "in_flight",
        "objects",
    ];
    show(args, vars, "backends", &columns)
}

fn show(args: &Args, vars: &Vars, what: &str, columns: &[&str]) -> Result<ExitCode> {
    api::run(&args.admin, vars, |api| async move {
        let page = api.get(&[what], &[]).await?;
        if api.as_json {
            api::print_json(&page);
            return Ok(());
        }
        let headings: Vec<String> = columns.iter().map(|name| name.to_uppercase()).collect();
        let headings: Vec<&str> = headings.iter().map(String::as_str).collect();
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let rows: Vec<Vec<String>> = items
            .iter()
            .map(|item| columns.iter().map(|key| table::cell(&item[*key])).collect())
            .collect();
        print!("{}", table::render(&headings, &rows));
        Ok(())
    })
}
