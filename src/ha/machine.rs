//! The role machine: one task, one queue. At each tick it looks at what is so, decides (`decide`), and acts;
//! an order or an event only makes it look at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tracing::{error, info, warn};

use super::confirm::Confirmer;
use super::control::Control;
use super::decide::{self, Next, Seen, Vip};
use super::memory::{Memory, StateFile, Was};
use super::peer::{Ask, Granted, PeerClient};
use super::status::{ConfirmView, PeerView, Role, STALE, ServerView, Status};
use super::{Published, vip};
use crate::clock::Boottime;
use crate::failpoint;
use crate::plan::{MariaDb, Pair};
use crate::relay::{Gate, Relay};
use crate::shutdown::Shutdown;
use crate::telemetry::metrics;

/// How often it looks without being woken.
const TICK: Duration = Duration::from_millis(200);
/// A peer that has not answered for so long is silent.
const SILENCE: Duration = Duration::from_millis(800);
/// The address is here to stay after so long.
const SETTLED: Duration = Duration::from_millis(300);

/// What people and the peer ask for; each is answered with words, or with the words of a refusal.
#[derive(Debug)]
pub enum Order {
    Yield(Ask, oneshot::Sender<Result<Granted, String>>),
    TakeOver {
        force: bool,
        by: String,
        answer: Told,
    },
    Set(Setting, Told),
    Rejoin {
        rebuild: bool,
        answer: Told,
    },
}

pub type Told = oneshot::Sender<Result<String, String>>;

/// What a person sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    Pause,
    Resume,
    Standalone,
    Acknowledge,
}

/// What the machine works with.
#[derive(Debug)]
pub struct Parts {
    pub pair: Pair,
    pub node: String,
    /// Whether the peer's server has what is committed here.
    pub confirmer: Arc<Confirmer>,
    pub relay: Arc<Relay>,
}

/// The machine's own state; its task alone touches it.
#[derive(Debug)]
pub struct Machine {
    pub(super) parts: Parts,
    pub(super) gate: Gate,
    pub(super) file: StateFile,
    pub(super) memory: Memory,
    pub(super) role: Role,
    pub(super) control: Control,
    pub(super) peer: PeerClient,
    pub(super) server: Option<ServerView>,
    server_error: Option<String>,
    heard: Option<(Status, Boottime)>,
    peer_error: Option<String>,
    pub(super) here_since: Option<Boottime>,
    pub(super) in_sync: bool,
    pub(super) granted_until: Option<Boottime>,
    /// Since when this node acknowledges without a standby.
    pub(super) alone_since: Option<Boottime>,
    pub(super) step: Option<String>,
    pub(super) reasons: Vec<String>,
    pub(super) asking: Arc<AtomicBool>,
    /// What keepalived was told last: whether the address may be here.
    flag: Option<bool>,
    published: watch::Sender<Published>,
}

impl Machine {
    pub(super) fn new(
        parts: Parts,
        asking: Arc<AtomicBool>,
        published: watch::Sender<Published>,
    ) -> Result<Self> {
        let file = StateFile::in_folder(&parts.pair.state)?;
        let memory = file.read()?;
        Ok(Self {
            gate: parts.relay.gate().clone(),
            control: Control::new(&parts.pair.control),
            peer: PeerClient::new(&parts.pair.peer)?,
            file,
            memory,
            role: Role::Fenced,
            server: None,
            server_error: None,
            heard: None,
            peer_error: None,
            here_since: None,
            in_sync: false,
            granted_until: None,
            alone_since: None,
            step: None,
            reasons: vec!["this node has just started".into()],
            asking,
            flag: None,
            published,
            parts,
        })
    }

    /// Runs until told to stop; then the gate is shut, and the server left as a start would make it.
    pub(super) async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        wake: Arc<Notify>,
        mut stop: Shutdown,
    ) {
        loop {
            self.tick().await;
            tokio::select! {
                () = stop.stopping() => break,
                Some(order) = orders.recv() => self.obey(order).await,
                () = wake.notified() => {}
                () = tokio::time::sleep(TICK) => {}
            }
        }
        self.role = Role::Fenced;
        self.publish();
        self.control.close().await;
    }

    async fn tick(&mut self) {
        let began = Boottime::now();
        self.look().await;
        let next = decide::next(&self.seen());
        if let Next::Stay(reasons) = &next {
            if *reasons != self.reasons && !reasons.is_empty() {
                info!(
                    role = self.role.name(),
                    reasons = reasons.join("; "),
                    "the pair"
                );
            }
            self.reasons.clone_from(reasons);
        }
        self.open_gate(began);
        self.publish();
        self.act(next).await;
        self.publish();
    }

    /// Server, peer and address, all at once.
    pub(super) async fn look(&mut self) {
        let (server, peer) = tokio::join!(self.control.look(), self.peer.look());
        match server {
            Ok(server) => {
                self.server = Some(server);
                self.server_error = None;
            }
            Err(error) => {
                let words = format!("{error:#}");
                if self.server_error.as_ref() != Some(&words) {
                    warn!(error = words, "this node's server does not answer");
                }
                self.server_error = Some(words);
                self.server = None;
            }
        }
        match peer {
            Ok(status) => {
                // It took over: what it was given leave for is done.
                if status.role == Role::Active && status.epoch > self.memory.epoch {
                    self.granted_until = None;
                }
                self.peer_error = None;
                self.heard = Some((status, Boottime::now()));
            }
            Err(error) => self.peer_error = Some(format!("{error:#}")),
        }
        if let Some((peer, _)) = self.heard.as_mut() {
            peer.peer = None;
        }
        self.here_since = match vip::is_here(self.parts.pair.vip) {
            true => self.here_since.or(Some(Boottime::now())),
            false => None,
        };
        self.follow_epoch();
        self.weigh();
    }

    /// A standby is one of the epoch that was replicated to it.
    fn follow_epoch(&mut self) {
        let row = self
            .server
            .as_ref()
            .and_then(|server| server.epoch.as_ref());
        if let Some(row) = row
            && self.role == Role::Standby
            && row.epoch > self.memory.epoch
        {
            let memory = Memory {
                epoch: row.epoch,
                ..self.memory.clone()
            };
            self.remember(memory);
        }
    }

    /// Whether this node has all that the active one has acknowledged. What an active node that is well says counts;
    /// once it is not well, what it said last.
    fn weigh(&mut self) {
        if self.peer_error.is_some() {
            return;
        }
        let Some((peer, _)) = &self.heard else { return };
        let well = peer.role == Role::Active && peer.gate && peer.server.is_some();
        let Some(server) = self.server.as_ref().filter(|_| well) else {
            return;
        };
        let replication = server.replication.as_ref();
        let follows = replication.is_some_and(|replication| replication.runs());
        // What confirms is this node's server: a moment without replication takes nothing away.
        let confirm = peer.confirm.clone().unwrap_or_default();
        self.in_sync = replication.is_some()
            && peer.epoch == self.memory.epoch
            && !peer.alone
            && (confirm.answering || confirm.mode == "none" && follows);
    }

    pub(super) fn peer_now(&self) -> Option<&Status> {
        let (status, at) = self.heard.as_ref()?;
        (at.elapsed() < SILENCE).then_some(status)
    }

    pub(super) fn seen(&self) -> Seen<'_> {
        let failover = self.memory.failover.as_ref();
        Seen {
            me: &self.parts.node,
            role: self.role,
            epoch: self.memory.epoch,
            was: self.memory.was,
            paused: self.memory.paused,
            standalone: self.memory.standalone,
            automatic: self.parts.pair.automatic,
            blocked: failover
                .and_then(|failover| failover.blocks_for(self.parts.pair.block))
                .is_some(),
            vip: match self.here_since {
                None => Vip::Elsewhere,
                Some(since) if since.elapsed() < SETTLED => Vip::Here,
                Some(_) => Vip::HereToStay,
            },
            server: self.server.as_ref(),
            peer: self.peer_now(),
            in_sync: self.in_sync,
            granted: self.granted(),
            confirmed_epoch: self.parts.confirmer.status().borrow().newer_epoch,
        }
    }

    fn granted(&self) -> bool {
        self.granted_until
            .is_some_and(|until| until.remaining().is_some())
    }

    /// The gate is open while this node is active, its server takes writes, the address is here, and the look that
    /// says so is fresh.
    fn open_gate(&mut self, looked: Boottime) {
        let well = self.role == Role::Active
            && self.here_since.is_some()
            && self.server.as_ref().is_some_and(|server| {
                !server.read_only
                    && server
                        .epoch
                        .as_ref()
                        .is_some_and(|row| row.epoch == self.memory.epoch)
            });
        if !well {
            self.gate.close();
            return;
        }
        // What was confirmed before this node was alone says nothing of a standby now.
        let confirmed = self.parts.confirmer.status().borrow().confirmed;
        let confirming = confirmed.is_some_and(|last| {
            last.epoch == self.memory.epoch && self.alone_since.is_none_or(|since| last.at > since)
        });
        let followed = self
            .peer_now()
            .is_some_and(|peer| peer.role == Role::Standby && peer.epoch == self.memory.epoch);
        let alone = self.gate.is_alone() && !(confirming && followed);
        self.gate.renew(looked, STALE);
        if !self.gate.is_open() || self.gate.epoch() != self.memory.epoch {
            self.gate.open_in(self.memory.epoch, alone);
        }
        self.gate.set_alone(alone);
    }

    async fn act(&mut self, next: Next) {
        match next {
            Next::Stay(_) => self.keep_fenced().await,
            Next::Fence(reason) => {
                self.become_fenced(&reason);
                self.keep_fenced().await;
            }
            Next::Follow { demote } => {
                let source = self.parts.pair.source.clone();
                let done = match demote {
                    true => self.control.follow(&source, true).await,
                    false => self.control.start_replication().await,
                };
                match done {
                    Ok(()) => info!(source = %source.host, "replication was started"),
                    Err(error) => {
                        self.reasons = vec![format!("replication cannot be started: {error:#}")]
                    }
                }
            }
            Next::BecomeStandby => self.become_standby(),
            Next::TakeOver(cause) => {
                if let Err(words) = self.take_over(cause.into()).await {
                    warn!(reason = words, "this node does not take over");
                    self.reasons = vec![words];
                }
            }
        }
    }

    pub(super) fn become_fenced(&mut self, reason: &str) {
        self.gate.close();
        warn!(
            was = self.role.name(),
            epoch = self.memory.epoch,
            reason,
            "fenced"
        );
        self.role = Role::Fenced;
        self.reasons = vec![reason.to_owned()];
        self.parts.relay.journal().forget_cached();
    }

    fn become_standby(&mut self) {
        let epoch = self
            .server
            .as_ref()
            .and_then(|server| server.epoch.as_ref());
        let memory = Memory {
            epoch: epoch.map_or(self.memory.epoch, |row| row.epoch),
            was: Was::Standby,
            standalone: false,
            step: None,
            ..self.memory.clone()
        };
        if self.remember(memory) {
            info!(epoch = self.memory.epoch, "standby");
            self.role = Role::Standby;
            self.reasons.clear();
        }
    }

    /// A fenced node's server takes no writes: asserted until it is so.
    async fn keep_fenced(&mut self) {
        let fenced = matches!(self.role, Role::Fenced);
        let writable = self.server.as_ref().is_some_and(|server| !server.read_only);
        if fenced
            && writable
            && let Err(error) = self.control.fence().await
        {
            warn!(%error, "the server cannot be made read-only; it is tried again");
        }
    }

    /// Writes the memory down; a node that cannot does nothing that rests upon it.
    pub(super) fn remember(&mut self, memory: Memory) -> bool {
        if memory == self.memory {
            return true;
        }
        match self.file.write(&memory) {
            Ok(()) => {
                self.memory = memory;
                true
            }
            Err(error) => {
                error!(%error, "the state file cannot be written");
                self.reasons = vec![format!("{error:#}")];
                false
            }
        }
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Yield(ask, answer) => {
                failpoint::reached("yield_asked");
                let granted = self.yield_to(&ask).await;
                failpoint::reached("yield_promised");
                // Who asked may have gone; the promise holds for its time all the same.
                let _ = answer.send(granted);
            }
            Order::TakeOver { force, by, answer } => {
                let done = self.ordered_take_over(force, &by).await;
                let _ = answer.send(done);
            }
            Order::Set(setting, answer) => {
                let done = self.set(setting);
                let _ = answer.send(done);
            }
            Order::Rejoin { rebuild, answer } => {
                let done = self.rejoin(rebuild).await;
                let _ = answer.send(done.map_err(|error| format!("{error:#}")));
            }
        }
        self.publish();
    }

    fn set(&mut self, setting: Setting) -> Result<String, String> {
        let mut memory = self.memory.clone();
        let words = match setting {
            Setting::Pause => {
                memory.paused = true;
                "paused: nothing happens by itself until `cmp-relay ha resume`"
            }
            Setting::Resume => {
                memory.paused = false;
                "resumed: a standby takes over by itself again"
            }
            Setting::Acknowledge => match &mut memory.failover {
                Some(failover) => {
                    failover.acknowledged = true;
                    "acknowledged: the next failover may happen by itself"
                }
                None => "there was no failover to acknowledge",
            },
            Setting::Standalone if self.role != Role::Active => {
                return Err(format!(
                    "this node is {}: only the active one can go on alone; `cmp-relay ha promote --force` makes it active",
                    self.role.name()
                ));
            }
            Setting::Standalone => {
                memory.standalone = true;
                "standalone: this node acknowledges without a standby, until one has been rejoined"
            }
        };
        if !self.remember(memory) {
            return Err(self.reasons.join("; "));
        }
        if setting == Setting::Standalone {
            self.gate.set_alone(true);
            self.alone_since = Some(Boottime::now());
        }
        info!(?setting, "set");
        Ok(words.to_owned())
    }

    /// What a long step is at.
    pub(super) fn say(&mut self, step: &str) {
        info!(role = self.role.name(), step, "the pair");
        self.step = Some(step.to_owned());
        self.publish();
    }

    pub(super) fn end_steps(&mut self) {
        self.step = None;
    }

    pub(super) fn publish(&mut self) {
        let status = self.status();
        let may = status.may_have_the_address().is_ok();
        if self.flag != Some(may) {
            match vip::tell(&self.parts.pair.state, may) {
                Ok(()) => self.flag = Some(may),
                // keepalived asks by its script, too.
                Err(error) => warn!(%error, "keepalived cannot be told at once"),
            }
        }
        metrics::role(status.role.name(), Role::ALL.map(Role::name), status.epoch);
        metrics::lag(
            status
                .replication()
                .and_then(|replication| replication.lag_s),
        );
        self.published.send_replace(Published {
            status,
            at: Boottime::now(),
        });
    }

    fn status(&self) -> Status {
        let failover = self.memory.failover.as_ref();
        let replication = self
            .server
            .as_ref()
            .and_then(|server| server.replication.as_ref());
        let sql_fine = replication.is_some_and(|replication| replication.sql_error.is_none());
        Status {
            node: self.parts.node.clone(),
            role: self.role,
            epoch: self.memory.epoch,
            was: self.memory.was,
            alone: self.gate.is_alone(),
            vip: self.here_since.is_some(),
            gate: self.gate.is_open(),
            asking: self.asking.load(Ordering::SeqCst),
            promotable: self.role == Role::Standby
                && self.in_sync
                && sql_fine
                && self.may_fail_over(),
            step: self.step.clone(),
            server: self.server.clone(),
            confirm: Some(self.confirm()),
            peer: Some(Box::new(PeerView {
                status: self.heard.as_ref().map(|(status, _)| status.clone()),
                age_ms: self
                    .heard
                    .as_ref()
                    .and_then(|(_, at)| u64::try_from(at.elapsed().as_millis()).ok()),
                error: self.peer_error.clone(),
            })),
            paused: self.memory.paused,
            standalone: self.memory.standalone,
            blocked_s: failover
                .and_then(|failover| failover.blocks_for(self.parts.pair.block))
                .map(|left| left.as_secs()),
            reasons: self.reasons(),
            age_ms: 0,
        }
    }

    /// A standby that people or the block keep from taking over must not have the address either.
    fn may_fail_over(&self) -> bool {
        let seen = self.seen();
        seen.automatic && !seen.paused && !seen.blocked
    }

    fn confirm(&self) -> ConfirmView {
        let now = *self.parts.confirmer.status().borrow();
        let rule = self.parts.relay.plan().server.replication.confirm;
        ConfirmView {
            mode: rule.name().to_owned(),
            answering: now.is_answering(),
            age_ms: now
                .confirmed
                .and_then(|last| u64::try_from(last.at.elapsed().as_millis()).ok()),
            newer_epoch: now.newer_epoch,
        }
    }

    /// The peer's server: where commits are confirmed, and rows are compared.
    pub(super) fn standby(&self) -> Option<MariaDb> {
        self.parts.relay.plan().server.replication.standby.clone()
    }

    fn reasons(&self) -> Vec<String> {
        let mut reasons = self.reasons.clone();
        reasons.extend(self.server_error.clone());
        reasons
    }
}
