//! `migrate`: creates or upgrades the tables of the configured database.

use std::process::ExitCode;

use anyhow::{Context, Result};

use super::Vars;
use super::configuration::ConfigArgs;
use crate::plan::Database;
use crate::store;

/// Create or upgrade the tables.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub config: ConfigArgs,
}

pub fn run(args: &Args, vars: &Vars) -> Result<ExitCode> {
    let plan = args.config.plan(vars)?;
    super::serve::runtime()?.block_on(async {
        let store = match plan.server.pair {
            // A node of a pair is read-only when it starts; the account that controls it may write all the same.
            Some(pair) => store::open(&Database::MariaDb(pair.control)).await?,
            None => store::open(&plan.server.database).await?,
        };
        let ran = store
            .migrate()
            .await
            .context("the tables cannot be migrated")?;
        store.check_schema().await?;
        // Made here, for a node that serves may not write before it is active.
        store.fingerprint_key().await?;
        store.close().await;
        for migration in &ran {
            println!("ran {migration}");
        }
        if ran.is_empty() {
            println!("nothing to do: the tables are what this version needs");
        }
        Ok(ExitCode::SUCCESS)
    })
}
