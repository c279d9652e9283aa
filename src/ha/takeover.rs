//! The one way to become active (docs/decisions/0019).

use std::pin::pin;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use tracing::{error, info};

use super::decide::Cause;
use super::machine::Machine;
use super::memory::{Failover, Memory, Was};
use super::peer::{Answer, Ask, Granted, settled_position};
use super::status::{EpochRow, Role, ServerView};
use crate::clock::{Boottime, unix_micros};
use crate::failpoint;
use crate::store::Position;
use crate::store::{Write, Written};
use crate::telemetry::metrics;

/// How long the peer may take to hand over what it has in hand, where a person ordered it.
const HAND_OVER: Duration = Duration::from_secs(20);
/// How long it may take where it lost the address.
const YIELD: Duration = Duration::from_secs(5);
/// How long a peer that was silent may take to say something.
const LAST_WORD: Duration = Duration::from_secs(1);
/// What the peer said, or that it was silent, is acted on for so long: well below the time for which a peer that gave its
/// leave waits.
const FRESH: Duration = Duration::from_secs(5);
/// How long the fence command may take.
const FENCE: Duration = Duration::from_secs(30);
/// Asking again finds nothing new for ever only where something is wrong.
const ROUNDS: usize = 5;

/// Why a node takes over, and what it may rest upon.
#[derive(Clone, Debug)]
pub struct Why {
    cause: Option<Cause>,
    by: String,
    /// A person accepts what the peer may have alone.
    force: bool,
}

impl From<Cause> for Why {
    fn from(cause: Cause) -> Self {
        let by = match cause {
            Cause::Address => "failover",
            Cause::Return => "return",
            Cause::Standalone => "standalone",
        };
        Self {
            cause: Some(cause),
            by: by.to_owned(),
            force: cause == Cause::Standalone,
        }
    }
}

/// What the peer's leave, or its silence, came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// It gave its word, and follows at once.
    Given,
    /// It gave its word, and cannot follow: its server is away, or a person has to look at it first.
    Crippled,
    /// It says nothing.
    Silent,
}

impl Machine {
    /// By order of a person, or of the peer's operator.
    pub(super) async fn ordered_take_over(
        &mut self,
        force: bool,
        by: &str,
    ) -> Result<String, String> {
        if self.role == Role::Active {
            return Ok(format!(
                "{} is active already, in epoch {}",
                self.parts.node, self.memory.epoch
            ));
        }
        let why = Why {
            cause: None,
            by: by.to_owned(),
            force,
        };
        let epoch = self.take_over(why).await?;
        Ok(format!("{} is active, in epoch {epoch}", self.parts.node))
    }

    /// Every step; gives the new epoch.
    pub(super) async fn take_over(&mut self, why: Why) -> Result<i64, String> {
        let before = self.role;
        self.role = Role::Promoting;
        self.asking.store(true, Ordering::SeqCst);
        self.publish();
        let taken = self.steps(&why).await;
        self.asking.store(false, Ordering::SeqCst);
        self.end_steps();
        match taken {
            Ok(epoch) => {
                self.role = Role::Active;
                self.reasons.clear();
                info!(epoch, by = why.by, "active");
                Ok(epoch)
            }
            Err(error) => {
                // A standby that was not touched stays one; whatever was is found out from the beginning.
                let untouched = before == Role::Standby
                    && matches!(self.control.replication().await, Ok(Some(found)) if found.sql);
                self.role = if untouched {
                    Role::Standby
                } else {
                    Role::Fenced
                };
                let _ = self.remember(Memory {
                    step: None,
                    ..self.memory.clone()
                });
                Err(format!("{error:#}"))
            }
        }
    }

    async fn steps(&mut self, why: &Why) -> Result<i64> {
        for _ in 0..ROUNDS {
            self.permitted(why)?;
            self.say("asking the peer");
            let asked = Boottime::now();
            let ask = Ask {
                node: self.parts.node.clone(),
                epoch: self.memory.epoch,
                ordered: why.cause.is_none(),
            };
            let within = match self.peer_now() {
                None => LAST_WORD,
                Some(_) if ask.ordered => HAND_OVER,
                Some(_) => YIELD,
            };
            failpoint::reached("asking_peer");
            let (answer, position) = self.ask(&ask, within).await;
            let leave = match answer {
                Answer::Refused(words) => bail!("the peer refuses: {words}"),
                Answer::Granted(granted) => {
                    failpoint::reached("yielded");
                    self.with_leave(&granted, why).await?
                }
                Answer::Silent(words) => {
                    self.without_leave(&words, position, why).await?;
                    Leave::Silent
                }
            };
            failpoint::reached("drained");
            // What was waited for may have taken its time: the peer is asked again, and has nothing new then.
            if asked.elapsed() < FRESH {
                return self.promote(leave, asked, why).await;
            }
        }
        bail!("the peer goes on writing, or its server is too slow; try again")
    }

    /// This node's own data permit it.
    fn permitted(&self, why: &Why) -> Result<()> {
        if self.memory.was == Was::New && !why.force {
            bail!(
                "this node has no rows, or some that were not compared with an active node's; `--force` makes it active \
                 with what it has"
            );
        }
        let server = self
            .server
            .as_ref()
            .context("this node's server does not answer")?;
        if let Some(error) = server
            .replication
            .as_ref()
            .and_then(|it| it.sql_error.as_ref())
        {
            bail!("replication stopped on an error, and what follows it is missing here: {error}");
        }
        Ok(())
    }

    /// The peer yielded: what it has must be here.
    async fn with_leave(&mut self, granted: &Granted, why: &Why) -> Result<Leave> {
        let own = self.newest_epoch();
        if granted.epoch > own.max(self.memory.epoch) && !why.force {
            bail!(
                "the peer holds epoch {}, and this node {own}: promote the peer",
                granted.epoch
            );
        }
        let Some(position) = granted.position else {
            // The data of the node that was active last are the newest there are: the peer has not been since.
            if granted.was_active || !self.was_active_last() {
                self.failover_permitted(why)?;
                self.drain().await?;
                self.cut_off(why).await?;
            }
            return Ok(Leave::Crippled);
        };
        if let Err(error) = self.catch_up(position).await {
            match why.force {
                true => error!(%error, "forced: what the peer has beyond this is given up"),
                false => return Err(error),
            }
        }
        Ok(match granted.follows {
            true => Leave::Given,
            false => Leave::Crippled,
        })
    }

    /// The peer's relay is asked, and its server at the same time: where the relay is silent, the server may know what
    /// its newest commit is.
    async fn ask(&self, ask: &Ask, within: Duration) -> (Answer, Option<Position>) {
        let server = async {
            match self.standby() {
                Some(standby) => settled_position(&standby).await,
                None => None,
            }
        };
        let mut server = pin!(server);
        let mut relay = pin!(self.peer.ask(ask, within));
        tokio::select! {
            answer = &mut relay => match answer {
                Answer::Silent(_) => (answer, server.await),
                said => (said, None),
            },
            position = &mut server => (relay.await, position),
        }
    }

    /// The peer's relay is silent; `position` is the newest commit of its server, where that answers.
    async fn without_leave(
        &mut self,
        words: &str,
        position: Option<Position>,
        why: &Why,
    ) -> Result<()> {
        info!(peer = words, "the peer's relay is silent");
        if why.cause == Some(Cause::Return) {
            bail!("the peer is silent ({words}), and a node that returns needs its leave");
        }
        self.failover_permitted(why)?;
        match position {
            Some(position) if !why.force => self.catch_up(position).await?,
            _ => self.drain().await?,
        }
        self.cut_off(why).await
    }

    /// Nobody speaks for the peer's data.
    fn failover_permitted(&self, why: &Why) -> Result<()> {
        if why.force || self.in_sync {
            return Ok(());
        }
        bail!(
            "the peer cannot say what it has, and this node did not have all of it when it last could; bring the \
             peer back, or accept the loss with --force"
        )
    }

    fn newest_epoch(&self) -> i64 {
        self.server.as_ref().map_or(0, ServerView::newest_epoch)
    }

    fn was_active_last(&self) -> bool {
        let newest = self
            .server
            .as_ref()
            .and_then(|server| server.epoch.as_ref());
        newest.is_some_and(|row| row.node == self.parts.node)
    }

    /// Waits until `position` is here.
    async fn catch_up(&mut self, position: Position) -> Result<()> {
        let drain = self.parts.pair.drain;
        let deadline = Boottime::now() + drain;
        loop {
            let server = self.control.look().await?;
            let here = server.position.map_or(0, |at| at.sequence);
            let replicates = server.replication.is_some();
            self.server = Some(server);
            if here >= position.sequence {
                return Ok(());
            }
            if !replicates {
                bail!(
                    "the peer has commits up to {position}, and this node up to {here}: promote the peer"
                );
            }
            if deadline.remaining().is_none() {
                bail!(
                    "{position} was not applied here within {} s (`ha.drain`)",
                    drain.as_secs()
                );
            }
            self.say(&format!("waiting for {position}, at {here}"));
            self.control
                .applied(position, Duration::from_millis(500))
                .await?;
        }
    }

    /// Waits until everything that was received is applied, and nothing more comes. Neither thread is stopped: a start
    /// of either would throw away what was received and is not applied.
    async fn drain(&mut self) -> Result<()> {
        let deadline = Boottime::now() + self.parts.pair.drain;
        let mut last = None;
        loop {
            let server = self.control.look().await?;
            let replication = server.replication.clone();
            self.server = Some(server);
            let Some(replication) = replication else {
                return Ok(());
            };
            if let Some(error) = &replication.sql_error {
                bail!("what was received cannot be applied: {error}");
            }
            let Some(received) = replication.received else {
                return Ok(());
            };
            self.say(&format!("applying what was received, up to {received}"));
            let applied = self
                .control
                .applied(received, Duration::from_millis(500))
                .await?;
            if applied && last == Some(received) {
                return Ok(());
            }
            if deadline.remaining().is_none() {
                bail!("what was received is not applied within `ha.drain`");
            }
            last = Some(received);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The fence command, whose failure forbids a failover.
    async fn cut_off(&mut self, why: &Why) -> Result<()> {
        let fence = self.parts.pair.fence.clone();
        let Some((program, arguments)) = fence.split_first() else {
            return Ok(());
        };
        self.say("cutting the peer off (`ha.fence`)");
        let done = ended(program, arguments).await;
        match done {
            Ok(status) if status.success() => Ok(()),
            _ if why.force => Ok(()),
            Ok(status) => bail!("`{program}` (`ha.fence`) ended with {status}: no failover"),
            Err(error) => Err(error).context(format!("`{program}` (`ha.fence`): no failover")),
        }
    }

    /// From here on it cannot be taken back.
    async fn promote(&mut self, leave: Leave, asked: Boottime, why: &Why) -> Result<i64> {
        let epoch = self.newest_epoch().max(self.memory.epoch) + 1;
        self.say(&format!("promoting this node's server in epoch {epoch}"));
        let memory = Memory {
            step: Some(format!("promote {epoch}")),
            ..self.memory.clone()
        };
        if !self.remember(memory) {
            bail!("the state file cannot be written");
        }
        // A process that was frozen since it asked knows nothing of what the peer did meanwhile.
        let fresh = || match asked.elapsed() > FRESH {
            true => Err(anyhow!(
                "it is too long ago that the peer was asked; it is tried again"
            )),
            false => Ok(()),
        };
        self.gate.enter(epoch);
        let node = self.parts.node.clone();
        let row = self.control.promote(epoch, &node, &why.by, fresh).await?;
        failpoint::reached("epoch_written");
        self.open(row, leave, why).await
    }

    /// What was pending belongs to nobody any more; then the gate may open.
    async fn open(&mut self, row: EpochRow, leave: Leave, why: &Why) -> Result<i64> {
        let unasked = why.cause == Some(Cause::Address) && leave != Leave::Given;
        let memory = Memory {
            epoch: row.epoch,
            was: Was::Active,
            step: None,
            standalone: why.cause == Some(Cause::Standalone),
            failover: match unasked {
                true => Some(Failover::now(row.epoch)),
                false => self.memory.failover.clone(),
            },
            ..self.memory.clone()
        };
        if !self.remember(memory) {
            bail!("the state file cannot be written");
        }
        let journal = self.parts.relay.journal();
        journal.forget_cached();
        // A node that was active before has outcomes in hand that it can still write down.
        let abandoned = Write::RecoverPending {
            now: unix_micros(),
            owned: self.parts.relay.owned_operations(),
        };
        let recovered = journal.write(abandoned).await?;
        if let Written::Count(count @ 1..) = recovered {
            tracing::warn!(
                count,
                "operations of the node that was active before were pending; their outcome is unknown: \
                 see `cmp-relay operations list --state unknown`"
            );
        }
        metrics::take_over(if leave == Leave::Silent {
            "silent"
        } else {
            "given"
        });
        self.in_sync = false;
        self.alone_since = Some(Boottime::now());
        if let Some(server) = &mut self.server {
            server.read_only = false;
            server.replication = None;
            server.epoch = Some(row.clone());
        }
        // The lease is the next look's: open, and shut until then.
        self.gate.renew(Boottime::now(), Duration::ZERO);
        self.gate.open_in(row.epoch, leave != Leave::Given);
        Ok(row.epoch)
    }
}

/// Runs a program to its end; one that does not end in time is killed.
async fn ended(program: &str, arguments: &[Box<str>]) -> Result<ExitStatus> {
    let mut child = Command::new(program)
        .args(arguments.iter().map(|word| &**word))
        .stdin(Stdio::null())
        .spawn()?;
    let deadline = Boottime::now() + FENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if deadline.remaining().is_none() {
            child.kill()?;
            child.wait()?;
            bail!("it did not end within {} s", FENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
