//! The way back of a node that was lost: what it is to the active one (`class`), what only it has, and its rows.
//!
//! Operations that nobody else has are listed and archived before anything is removed, and nothing is removed unless a
//! person says so.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use sqlx::mysql::MySqlRow;
use tracing::info;

use super::class::{self, Class, Judgement};
use super::control::{Control, is_number, name, text};
use super::machine::Machine;
use super::memory::{self, Memory, Was};
use super::rebuild;
use super::status::Role;
use crate::clock::{Boottime, rfc3339, unix_micros};

/// How long a node may take to catch up before it is left to go on by itself.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Clocks of two nodes differ by less; operations are kept for longer.
const CLOCKS: i64 = 24 * 60 * 60 * 1_000_000;
/// What a question about rows may take.
const ROWS: Duration = Duration::from_secs(120);
/// Operations that are asked for by their ids at once.
const PAGE: usize = 500;

impl Machine {
    /// Says in words what was done, or why not.
    pub(super) async fn rejoin(&mut self, rebuild: bool) -> Result<String> {
        if matches!(self.role, Role::Active | Role::Promoting | Role::Demoting) {
            bail!(
                "this node is {}: it is the other one that rejoins",
                self.role.name()
            );
        }
        self.look().await;
        let peer = self
            .peer_now()
            .context("the peer is silent: there is nobody to rejoin")?;
        if peer.role != Role::Active {
            bail!(
                "{} is {}: a node rejoins an active one",
                peer.node,
                peer.role.name()
            );
        }
        let server = self
            .server
            .clone()
            .context("this node's server does not answer")?;
        let standby = self
            .standby()
            .context("relay.yaml names no `replication.standby`")?;
        let mut active = Control::new(&standby);
        let found = class::judge(&mut self.control, &mut active).await?;
        let class = found.class;
        info!(class = %class, fork = found.fork.map(String::from), "rejoining");
        let mut archived = None;
        if rebuild || class == Class::Diverged {
            self.say("listing what only this node has");
            let (file, lost) = self.archive(&mut active, found).await?;
            if !rebuild {
                bail!(
                    "diverged: this node has commits up to {} that the active one has not (the fork is {}). What is lost \
                     by it, {lost} operations, is listed in {}. `cmp-relay ha rejoin --rebuild` replaces this node's rows by \
                     the active one's",
                    found.newest.map_or_else(String::new, String::from),
                    found
                        .fork
                        .map_or_else(|| "not recorded".to_owned(), String::from),
                    file.display()
                );
            }
            archived = Some(file);
        }
        // A node that is interrupted from here on is nothing until its rows have been compared.
        let unfinished = Memory {
            was: Was::New,
            standalone: false,
            ..self.memory.clone()
        };
        if !self.remember(unfinished) {
            bail!("the state file cannot be written");
        }
        self.role = Role::Fenced;
        let source = self.parts.pair.source.clone();
        let mut how = class.to_string();
        if rebuild {
            // Apart meanwhile, so that the machine can say how far it is.
            let anew = Control::new(&self.parts.pair.control);
            let mut here = std::mem::replace(&mut self.control, anew);
            rebuild::copy(&mut here, &mut active, &source, &mut |step| self.say(step)).await?;
            self.control = here;
            how = format!("{class}, rebuilt");
        } else if server.replication.is_none() {
            self.control.follow(&source, true).await?;
        } else {
            self.control.start_replication().await?;
        }
        self.caught_up(&mut active).await?;
        self.say("comparing rows");
        rebuild::compare(
            &mut self.control,
            &mut active,
            &self.parts.pair.control.database,
        )
        .await?;
        active.close().await;
        // It may follow from now on; a look finds that it does.
        let memory = Memory {
            was: Was::Standby,
            ..self.memory.clone()
        };
        self.end_steps();
        if !self.remember(memory) {
            bail!("the state file cannot be written");
        }
        Ok(match archived {
            Some(file) => format!(
                "{how}: the rows of both nodes are equal; what was lost is listed in {}",
                file.display()
            ),
            None => format!("{how}: the rows of both nodes are equal"),
        })
    }

    async fn caught_up(&mut self, active: &mut Control) -> Result<()> {
        let deadline = Boottime::now() + CATCH_UP;
        let wanted = active.binlog_position().await?;
        loop {
            let server = self.control.look().await?;
            let replication = server
                .replication
                .clone()
                .context("replication was not set up")?;
            self.server = Some(server);
            if let Some(error) = replication
                .io_error
                .as_ref()
                .filter(|error| error.contains("purged"))
            {
                bail!(
                    "purged: the active node does not keep what this one lacks any more ({error}); `cmp-relay ha rejoin --rebuild`"
                );
            }
            if let Some(error) = replication.error() {
                bail!("replication stopped: {error}");
            }
            let Some(wanted) = wanted else { return Ok(()) };
            self.say(&format!("catching up with {wanted}"));
            if self
                .control
                .applied(wanted, Duration::from_millis(500))
                .await?
            {
                return Ok(());
            }
            if deadline.remaining().is_none() {
                bail!(
                    "it did not catch up within {} s; replication goes on, ask again",
                    CATCH_UP.as_secs()
                );
            }
        }
    }

    /// Writes down what only this node has: `lost-EPOCH-TIME.json` in the state folder, and how many operations.
    async fn archive(
        &mut self,
        active: &mut Control,
        found: Judgement,
    ) -> Result<(PathBuf, usize)> {
        let database = self.parts.pair.control.database.clone();
        let epoch = found.epoch;
        let lost = lost(&mut self.control, active, &database, epoch).await?;
        let list = json!({
            "node": self.parts.node,
            "epoch": epoch,
            "fork": found.fork,
            "position": found.newest,
            "listed_at": rfc3339(unix_micros()),
            "operations": lost,
        });
        let file = self
            .parts
            .pair
            .state
            .join(format!("lost-{epoch}-{}.json", unix_micros() / 1_000_000));
        memory::replace(&file, &serde_json::to_vec_pretty(&list)?)?;
        Ok((file, lost.len()))
    }
}

/// The operations of this node whose outcome the active one does not have: absent there, or settled here and in doubt
/// there. With what an operator needs to look them up at the backend.
async fn lost(
    here: &mut Control,
    there: &mut Control,
    database: &str,
    epoch: i64,
) -> Result<Vec<Value>> {
    let database = name(database);
    let since = there
        .rows(
            &format!("SELECT MIN(at) AS at FROM {database}.ha_epoch WHERE epoch > {epoch}"),
            ROWS,
        )
        .await?
        .first()
        .and_then(|row| text(row, "at"))
        .and_then(|at| at.parse::<i64>().ok())
        .unwrap_or(0)
        - CLOCKS;
    let sql = format!(
        "SELECT HEX(id) AS id, attempt, state FROM {database}.operation WHERE epoch >= {epoch} OR created_at > {since}"
    );
    let theirs: HashMap<String, Outcome> = outcomes(there.rows(&sql, ROWS).await?).collect();
    let ours = outcomes(left(here, &sql).await?);
    // In the order of their ids, which is that of time.
    let missed: BTreeMap<String, Option<Outcome>> = ours
        .filter_map(|(id, outcome)| match theirs.get(&id) {
            None => Some((id, None)),
            Some(there) if there.is_in_doubt_beside(&outcome) => Some((id, Some(there.clone()))),
            Some(_) => None,
        })
        .collect();
    let missed: Vec<(String, Option<Outcome>)> = missed.into_iter().collect();
    let mut lost = Vec::new();
    for page in missed.chunks(PAGE) {
        lost.extend(details(here, &database, page).await?);
    }
    Ok(lost)
}

/// How it stands with an operation.
#[derive(Clone, Debug)]
struct Outcome {
    attempt: String,
    state: String,
}

impl Outcome {
    fn is_in_doubt_beside(&self, settled: &Self) -> bool {
        self.attempt == settled.attempt
            && matches!(settled.state.as_str(), "succeeded" | "failed")
            && matches!(self.state.as_str(), "pending" | "unknown")
    }
}

/// Of each operation, by its id in hexadecimal digits.
fn outcomes(rows: Vec<MySqlRow>) -> impl Iterator<Item = (String, Outcome)> {
    rows.into_iter().filter_map(|row| {
        let (attempt, state) = (text(&row, "attempt")?, text(&row, "state")?);
        Some((text(&row, "id")?, Outcome { attempt, state }))
    })
}

/// The rows of a table of this node; none where a rebuild that was interrupted has removed the table.
async fn left(here: &mut Control, sql: &str) -> Result<Vec<MySqlRow>> {
    match here.rows(sql, ROWS).await {
        Err(error) if is_number(&error, 1146) || is_number(&error, 1049) => Ok(Vec::new()),
        rows => rows,
    }
}

/// What this node knows of these operations, each beside how it stands with it there.
async fn details(
    here: &mut Control,
    database: &str,
    missed: &[(String, Option<Outcome>)],
) -> Result<Vec<Value>> {
    let ids: Vec<String> = missed.iter().map(|(id, _)| format!("x'{id}'")).collect();
    let ids = ids.join(", ");
    let made = format!(
        "SELECT HEX(updated_operation) AS id, backend_id FROM {database}.mapping WHERE updated_operation IN ({ids})"
    );
    let made: HashMap<String, Option<String>> = left(here, &made)
        .await?
        .iter()
        .filter_map(|row| Some((text(row, "id")?, text(row, "backend_id"))))
        .collect();
    let there: HashMap<&str, &str> = missed
        .iter()
        .filter_map(|(id, there)| Some((id.as_str(), there.as_ref()?.state.as_str())))
        .collect();
    let sql = format!(
        "SELECT HEX(id) AS id, state, client, idempotency_key, route, resource, cmp_id, scope, backend, reply_status \
         FROM {database}.operation WHERE id IN ({ids}) ORDER BY id"
    );
    let rows = left(here, &sql).await?;
    Ok(rows
        .iter()
        .map(|row| {
            let of = |column: &str| text(row, column);
            let id = of("id").unwrap_or_default();
            json!({
                "operation": uuid(&id),
                "state": of("state"),
                "state_there": there.get(id.as_str()),
                "client": of("client"),
                "idempotency_key": of("idempotency_key"),
                "route": of("route"),
                "resource": of("resource"),
                "cmp_id": of("cmp_id"),
                "scope": of("scope"),
                "backend": of("backend"),
                "backend_id": made.get(&id),
                "reply_status": of("reply_status").and_then(|status| status.parse::<u16>().ok()),
            })
        })
        .collect())
}

/// Hexadecimal digits as a UUID is written.
fn uuid(hex: &str) -> String {
    u128::from_str_radix(hex, 16).map_or_else(
        |_| hex.to_owned(),
        |number| uuid::Uuid::from_u128(number).to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_that_only_one_node_has_is_in_doubt_on_the_other() {
        let outcome = |attempt: &str, state: &str| Outcome {
            attempt: attempt.into(),
            state: state.into(),
        };
        for (here, there, doubt) in [
            ("succeeded", "pending", true),
            ("failed", "unknown", true),
            ("succeeded", "succeeded", false),
            ("succeeded", "failed", false),
            ("unknown", "pending", false),
            ("pending", "unknown", false),
        ] {
            let (here, there) = (outcome("1", here), outcome("1", there));
            assert_eq!(there.is_in_doubt_beside(&here), doubt, "{here:?} {there:?}");
        }
        // It was tried again there, and that is another outcome.
        let (here, there) = (outcome("1", "failed"), outcome("2", "pending"));
        assert!(!there.is_in_doubt_beside(&here));
    }
}
