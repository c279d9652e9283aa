//! What a node that was lost is to the one that is active now, and its way back.
//!
//! It is classified by the recorded fork: the first promotion that this node did not see, and the last commit
//! before it. What it has beyond the fork nobody else has: those operations are listed and archived before anything is
//! removed, and nothing is removed unless a person says so.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tracing::info;

use super::control::{Control, name, text};
use super::machine::Machine;
use super::memory::{Memory, Was};
use super::rebuild;
use super::status::{EpochRow, Role};
use crate::clock::{Boottime, rfc3339, unix_micros};
use crate::store::Position;

/// How long a node may take to catch up before it is left to go on by itself.
const CATCH_UP: Duration = Duration::from_secs(60);
/// Clocks of two nodes differ by less; operations are kept for longer.
const CLOCKS: i64 = 24 * 60 * 60 * 1_000_000;
/// What a question about rows may take.
const ROWS: Duration = Duration::from_secs(120);

/// What a node is to the active one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It ends where the other began.
    Clean,
    /// It lacks commits from before the fork.
    Behind,
    /// It has commits that the other has not.
    Diverged,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clean => "clean",
            Self::Behind => "behind",
            Self::Diverged => "diverged",
        })
    }
}

/// By the node's newest commit, its newest epoch, and the other's promotions, oldest first.
pub fn classify(
    position: Option<Position>,
    epoch: i64,
    promotions: &[EpochRow],
) -> (Class, Option<Position>) {
    let fork = promotions.iter().find(|row| row.epoch > epoch);
    let Some(fork) = fork else {
        return (Class::Clean, None);
    };
    let class = match (position, fork.fork) {
        (None, _) => Class::Behind,
        (Some(at), Some(fork)) if at == fork => Class::Clean,
        (Some(at), Some(fork)) if at.sequence < fork.sequence => Class::Behind,
        _ => Class::Diverged,
    };
    (class, fork.fork)
}

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
        let promotions = active.epochs().await.context("the active node's server")?;
        let own = server.epoch.as_ref().map_or(0, |row| row.epoch);
        let (class, fork) = classify(server.position, own, &promotions);
        info!(class = %class, fork = fork.map(String::from), "rejoining");
        let mut archived = None;
        if rebuild || class == Class::Diverged {
            self.say("listing what only this node has");
            let file = self.archive(&mut active, own, fork).await?;
            if !rebuild {
                bail!(
                    "diverged: this node has commits up to {} that the active one has not (the fork is {}). What is lost \
                     by it is listed in {}. `cmp-relay ha rejoin --rebuild` replaces this node's rows by the active one's",
                    server.position.map_or_else(String::new, String::from),
                    fork.map_or_else(|| "not recorded".to_owned(), String::from),
                    file.display()
                );
            }
            archived = Some(file);
        }
        // A node that is interrupted from here on is nothing until its rows have been compared.
        let unfinished = Memory {
            was: Was::New,
            standalone: false,
            alone: false,
            ..self.memory.clone()
        };
        if !self.remember(unfinished) {
            bail!("the state file cannot be written");
        }
        self.role = Role::Fenced;
        let source = self.parts.pair.source.clone();
        let mut how = class.to_string();
        if rebuild {
            self.say("copying the active node's rows");
            rebuild::copy(&mut self.control, &mut active, &source).await?;
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
            if let Some(error) = replication
                .sql_error
                .as_ref()
                .or(replication.io_error.as_ref())
            {
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

    /// Writes down what only this node has: `lost-EPOCH-TIME.json` in the state folder.
    async fn archive(
        &mut self,
        active: &mut Control,
        epoch: i64,
        fork: Option<Position>,
    ) -> Result<PathBuf> {
        let database = self.parts.pair.control.database.clone();
        let lost = lost(&mut self.control, active, &database, epoch).await?;
        let list = json!({
            "node": self.parts.node,
            "epoch": epoch,
            "fork": fork,
            "position": self.server.as_ref().and_then(|server| server.position),
            "listed_at": rfc3339(unix_micros()),
            "operations": lost,
        });
        let file = self
            .parts
            .pair
            .state
            .join(format!("lost-{epoch}-{}.json", unix_micros() / 1_000_000));
        std::fs::write(&file, serde_json::to_vec_pretty(&list)?)
            .with_context(|| format!("{} cannot be written", file.display()))?;
        Ok(file)
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
    let since = there
        .rows(
            &format!(
                "SELECT MIN(at) AS at FROM {}.ha_epoch WHERE epoch > {epoch}",
                name(database)
            ),
            ROWS,
        )
        .await?
        .first()
        .and_then(|row| text(row, "at"))
        .and_then(|at| at.parse::<i64>().ok())
        .unwrap_or(0)
        - CLOCKS;
    let sql = format!(
        "SELECT HEX(id) AS id, attempt, state, client, idempotency_key, route, resource, cmp_id, scope, backend, \
         reply_status FROM {}.operation WHERE epoch >= {epoch} OR created_at > {since} ORDER BY id",
        name(database)
    );
    let made = format!(
        "SELECT HEX(updated_operation) AS id, backend_id FROM {}.mapping WHERE updated_operation IS NOT NULL",
        name(database)
    );
    let made: HashMap<String, Option<String>> = here
        .rows(&made, ROWS)
        .await?
        .iter()
        .filter_map(|row| Some((text(row, "id")?, text(row, "backend_id"))))
        .collect();
    let mut lost = Vec::new();
    let known = |rows: Vec<sqlx::mysql::MySqlRow>| -> HashMap<String, (String, String)> {
        rows.iter()
            .filter_map(|row| {
                Some((
                    text(row, "id")?,
                    (text(row, "attempt")?, text(row, "state")?),
                ))
            })
            .collect()
    };
    let theirs = known(there.rows(&sql, ROWS).await?);
    for row in here.rows(&sql, ROWS).await? {
        let of = |column: &str| text(&row, column);
        let (Some(id), Some(attempt), Some(state)) = (of("id"), of("attempt"), of("state")) else {
            continue;
        };
        let there = theirs.get(&id);
        let missed = match there {
            None => true,
            Some((theirs, doubt)) => {
                *theirs == attempt
                    && matches!(state.as_str(), "succeeded" | "failed")
                    && matches!(doubt.as_str(), "pending" | "unknown")
            }
        };
        if missed {
            lost.push(json!({
                "operation": uuid(&id),
                "state": state,
                "state_there": there.map(|(_, state)| state),
                "client": of("client"),
                "idempotency_key": of("idempotency_key"),
                "route": of("route"),
                "resource": of("resource"),
                "cmp_id": of("cmp_id"),
                "scope": of("scope"),
                "backend": of("backend"),
                "backend_id": made.get(&id),
                "reply_status": of("reply_status").and_then(|status| status.parse::<u16>().ok()),
            }));
        }
    }
    Ok(lost)
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

    fn promotions() -> Vec<EpochRow> {
        [
            (1, "a", None),
            (2, "b", Some("0-1-100")),
            (3, "a", Some("0-2-140")),
        ]
        .into_iter()
        .map(|(epoch, node, fork): (i64, &str, Option<&str>)| EpochRow {
            epoch,
            node: node.into(),
            fork: fork.and_then(Position::parse),
        })
        .collect()
    }

    #[test]
    fn a_node_is_what_its_newest_commit_is_to_the_first_fork_that_it_missed() {
        for (position, epoch, class) in [
            ("0-1-100", 1, Class::Clean),
            ("0-1-99", 1, Class::Behind),
            ("0-1-101", 1, Class::Diverged),
            // The same number by another server is another commit.
            ("0-2-100", 1, Class::Diverged),
            ("0-2-140", 2, Class::Clean),
            ("0-2-150", 2, Class::Diverged),
            ("0-1-900", 3, Class::Clean),
        ] {
            let found = classify(Position::parse(position), epoch, &promotions());
            assert_eq!(found.0, class, "{position} in epoch {epoch}");
        }
        assert_eq!(classify(None, 0, &promotions()[1..]).0, Class::Behind);
    }

    #[test]
    fn an_unrecorded_fork_is_never_clean() {
        let mut promotions = promotions();
        promotions[1].fork = None;
        let found = classify(Position::parse("0-1-1"), 1, &promotions);
        assert_eq!(found.0, Class::Diverged);
    }
}
