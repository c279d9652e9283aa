//! Whether both servers have the same rows, without stopping anything: a sum over each table, at one commit.

use std::time::Duration;

use anyhow::Result;

use super::server::Server;
use super::{Fault, warning, wrong};

/// Commits in between make a comparison worthless; a busy pair has a quiet moment among so many.
const TRIES: u32 = 8;
const PAUSE: Duration = Duration::from_millis(200);
const APPLIED_WITHIN: u32 = 10;

/// Compares the rows of a standby with those of the active server.
pub async fn compare(active: &mut Server, standby: &mut Server, tables: &[String]) -> Vec<Fault> {
    match at_one_commit(active, standby, tables).await {
        Ok(Some(differ)) if differ.is_empty() => Vec::new(),
        Ok(Some(differ)) => vec![wrong(
            &standby.place,
            format!("the rows of {} differ", differ.join(", ")),
            "`cmp-relay ha rejoin --rebuild` on the standby",
        )],
        Ok(None) => vec![warning(
            &active.place,
            "rows change too fast to be compared, or the standby does not catch up",
            "run it again at a quiet time",
        )],
        Err(error) => vec![wrong(
            &standby.place,
            format!("the rows cannot be compared: {error:#}"),
            "`ha.control` and `replication.standby` may read the relay's tables",
        )],
    }
}

/// The tables that differ; `None`: there was no moment to compare at.
async fn at_one_commit(
    active: &mut Server,
    standby: &mut Server,
    tables: &[String],
) -> Result<Option<Vec<String>>> {
    if tables.is_empty() {
        return Ok(Some(Vec::new()));
    }
    for _ in 0..TRIES {
        let before = active.position().await?;
        let here = active.checksums(tables).await?;
        if !standby.applied(&before, APPLIED_WITHIN).await? {
            return Ok(None);
        }
        let there = standby.checksums(tables).await?;
        if active.position().await? == before {
            let pairs = tables.iter().zip(here.iter().zip(&there));
            let differ = pairs.filter(|(_, (here, there))| here != there);
            return Ok(Some(
                differ.map(|(table, _)| format!("`{table}`")).collect(),
            ));
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(None)
}
