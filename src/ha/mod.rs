//! The pair: which node may write, and whether the other one has what was written.
//!
//! The role machine decides (docs/decisions/0019); keepalived moves the address and MariaDB the rows, and
//! neither is asked for permission. [`start`] runs the machine; a [`Ha`] is its desk: what it published last, and
//! where orders are left.

pub mod class;
pub mod confirm;
mod control;
mod decide;
pub mod doctor;
mod handover;
pub mod keepalived;
mod machine;
mod memory;
mod peer;
mod rebuild;
mod rejoin;
pub mod socket;
pub mod status;
mod takeover;
mod vip;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::sync::{Notify, mpsc, oneshot, watch};

pub use control::Control;
pub use machine::{Parts, Setting};
pub use peer::{Ask, Granted};
pub use status::{Role, Status};

use crate::clock::Boottime;
use crate::plan::{MariaDb, Pair};
use crate::shutdown::Shutdown;
use machine::{Machine, Order};
use peer::PeerClient;

/// How long a switchover may take.
const SWITCHOVER: Duration = Duration::from_secs(60);

/// What the machine said last, and when.
#[derive(Clone, Debug)]
pub struct Published {
    status: Status,
    at: Boottime,
}

/// The desk of the role machine. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Ha {
    published: watch::Receiver<Published>,
    orders: mpsc::Sender<Order>,
    asking: Arc<AtomicBool>,
    wake: Arc<Notify>,
    peer: PeerClient,
}

/// Why an order was not carried out, in words.
pub type Refusal = String;

/// Starts the machine of a node; it runs until told to stop.
pub fn start(parts: Parts, stop: Shutdown) -> Result<Ha> {
    let asking = Arc::new(AtomicBool::new(false));
    let (said, published) = watch::channel(Published {
        status: Status {
            node: parts.node.clone(),
            ..Status::default()
        },
        at: Boottime::now(),
    });
    let (orders, queue) = mpsc::channel(16);
    let wake = Arc::new(Notify::new());
    let ha = Ha {
        published,
        orders,
        asking: asking.clone(),
        wake: wake.clone(),
        peer: PeerClient::new(&parts.pair.peer)?,
    };
    socket::serve(&parts.pair.state, ha.clone(), stop.clone())?;
    let machine = Machine::new(parts, asking, said)?;
    tokio::spawn(machine.run(queue, wake, stop));
    Ok(ha)
}

/// Seeds this node from the active one: its rows as they are at one moment, and what follows from there on. For a node whose
/// relay does not run yet; safe to run again. `say` is told each step.
pub async fn bootstrap(
    pair: &Pair,
    active: &MariaDb,
    say: &mut (dyn FnMut(&str) + Send),
) -> Result<String> {
    let file = memory::StateFile::in_folder(&pair.state)?;
    let mut here = Control::new(&pair.control);
    let mut there = Control::new(active);
    let theirs = there.look().await.context("the active node's server")?;
    ensure!(
        !theirs.read_only,
        "the other node's server is read-only: seed a standby from the active node, which \
         `cmp-relay ha promote --force` there makes"
    );
    let epoch = theirs
        .epoch
        .context("the other node has never been active: `cmp-relay ha promote --force` there")?;
    here.fence().await?;
    // Interrupted from here on, it is nothing.
    file.write(&memory::Memory::default())?;
    rebuild::copy(&mut here, &mut there, &pair.source, say).await?;
    say("comparing rows");
    rebuild::compare(&mut here, &mut there, &pair.control.database).await?;
    file.write(&memory::Memory {
        epoch: epoch.epoch,
        was: memory::Was::Standby,
        ..memory::Memory::default()
    })?;
    here.close().await;
    there.close().await;
    Ok(format!(
        "seeded from {}, in epoch {}; start the relay here",
        epoch.node, epoch.epoch
    ))
}

impl Ha {
    /// What the machine said last; `age_ms` says when. Never waits.
    pub fn status(&self) -> Status {
        let published = self.published.borrow();
        Status {
            age_ms: u64::try_from(published.at.elapsed().as_millis()).unwrap_or(u64::MAX),
            ..published.status.clone()
        }
    }

    /// Something happened: the machine looks now.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// The peer asks for this node's leave. A node that asks itself gives none.
    pub async fn yield_to(&self, ask: Ask) -> Result<Granted, Refusal> {
        if self.asking.load(Ordering::SeqCst) {
            return Err("this node is taking over itself".to_owned());
        }
        self.order(|answer| Order::Yield(ask, answer)).await
    }

    /// This node takes over.
    pub async fn take_over(&self, force: bool, by: String) -> Result<String, Refusal> {
        self.order(|answer| Order::TakeOver { force, by, answer })
            .await
    }

    /// The other node takes over from the active one, whichever was told.
    pub async fn switchover(&self, by: String) -> Result<String, Refusal> {
        let status = self.status();
        match status.role {
            Role::Standby => return self.take_over(false, by).await,
            Role::Active => {}
            other => {
                return Err(format!(
                    "this node is {}: a switchover needs an active node and a standby",
                    other.name()
                ));
            }
        }
        ready_to_hand_over(&status)?;
        let done = self.peer.take_over(SWITCHOVER).await;
        done.map_err(|error| format!("{error:#}"))
    }

    pub async fn set(&self, setting: Setting) -> Result<String, Refusal> {
        self.order(|answer| Order::Set(setting, answer)).await
    }

    /// This node becomes a standby of the active one, if it has nothing of its own, or is rebuilt from it.
    pub async fn rejoin(&self, rebuild: bool) -> Result<String, Refusal> {
        self.order(|answer| Order::Rejoin { rebuild, answer }).await
    }

    async fn order<T>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Order,
    ) -> Result<T, Refusal> {
        let (answer, answered) = oneshot::channel();
        let gone = || "the role machine has ended".to_owned();
        self.orders.send(order(answer)).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

/// Looked at before anything is touched.
fn ready_to_hand_over(status: &Status) -> Result<(), Refusal> {
    let peer = status.peer.as_ref().and_then(|peer| {
        let fresh = peer.age_ms.is_some_and(|age| age < 2_000);
        peer.status.as_ref().filter(|_| fresh)
    });
    let Some(peer) = peer else {
        return Err("the peer does not answer: there is nobody to hand over to".to_owned());
    };
    if peer.role != Role::Standby {
        return Err(format!(
            "{} is {} ({}): a switchover needs a standby",
            peer.node,
            peer.role.name(),
            peer.reasons.join("; ")
        ));
    }
    match peer.replication() {
        Some(replication) if !replication.runs() => Err(format!(
            "replication on {} does not run: {}",
            peer.node,
            replication.error().unwrap_or("it was stopped")
        )),
        Some(replication) if replication.lag_s.is_none_or(|lag| lag > 1) => Err(format!(
            "{} lags behind: a switchover would refuse writes for as long",
            peer.node
        )),
        Some(_) => Ok(()),
        None => Err(format!("{} does not replicate", peer.node)),
    }
}
