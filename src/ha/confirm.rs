//! Whether the standby has what was committed here (SEMANTICS 18, 19; docs/decisions/0019-the-role-machine.md).
//!
//! One task asks the standby's server, on a connection of its own: `MASTER_GTID_WAIT` for the newest commit that
//! anybody waits for, which answers for all the others, and then for its newest epoch. The wait alone compares
//! numbers: a server that was promoted says yes to any smaller one. So the epoch is read after it, and a newer one shuts the
//! gate. A standby that does not confirm is asked again and again, and nobody but `required` waits for it meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::clock::Boottime;
use crate::plan::MariaDb;
use crate::relay::{Confirm, Gate};
use crate::store::{Async, Position, Store, mariadb};
use crate::telemetry::metrics;

/// How often a standby is asked for the newest commit where nobody waits for one.
const PROBE: Duration = Duration::from_millis(500);
/// Between two questions to a standby that does not confirm.
const PAUSE: Duration = Duration::from_millis(100);
/// What an answer may take beyond the wait that was asked for, a new connection included.
const GRACE: Duration = Duration::from_millis(500);

/// What is known of the standby: for the role machine and for people.
#[derive(Clone, Copy, Debug)]
pub struct Status {
    pub standing: Standing,
    /// The newest commit that was confirmed.
    pub confirmed: Option<Confirmed>,
    /// The standby's epoch where it is newer than that of a commit which it was asked for: it was promoted, and
    /// this node's gate is shut.
    pub newer_epoch: Option<i64>,
}

/// Since when the standby confirms what it is asked for, or does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Answering(Boottime),
    Silent(Boottime),
}

/// A confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmed {
    /// The epoch of the commit, and of the standby.
    pub epoch: i64,
    /// `None`: the epoch alone.
    pub position: Option<Position>,
    pub at: Boottime,
}

impl Status {
    pub fn is_answering(&self) -> bool {
        matches!(self.standing, Standing::Answering(_))
    }

    /// Whether the standby has the commit at `position`, made in `epoch`.
    pub fn has(&self, position: Position, epoch: i64) -> bool {
        let confirmed = self.confirmed.filter(|confirmed| confirmed.epoch == epoch);
        let newest = confirmed.and_then(|confirmed| confirmed.position);
        newest.is_some_and(|newest| newest.covers(position))
    }

    fn is_superseded(&self, epoch: i64) -> bool {
        self.newer_epoch.is_some_and(|newer| newer > epoch)
    }

    fn answers(&mut self) {
        if !self.is_answering() {
            tracing::info!("the standby confirms");
            self.standing = Standing::Answering(Boottime::now());
        }
    }

    fn is_silent(&mut self, why: &str) {
        if self.is_answering() {
            tracing::warn!(why, "the standby does not confirm");
            self.standing = Standing::Silent(Boottime::now());
        }
    }
}

/// Asks the standby for as long as it lives.
#[derive(Debug)]
pub struct Confirmer {
    shared: Arc<Shared>,
    within: Duration,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    /// The newest commit that somebody waits for.
    wanted: Mutex<Option<Wanted>>,
    wake: Notify,
    status: watch::Sender<Status>,
}

/// A commit to be confirmed.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    epoch: i64,
    position: Position,
}

impl Confirmer {
    /// Asks `standby` for the commits of `store`; each is waited for so long.
    pub fn start(
        standby: &MariaDb,
        within: Duration,
        store: Arc<dyn Store>,
        gate: Gate,
    ) -> Arc<Self> {
        let status = Status {
            standing: Standing::Answering(Boottime::now()),
            confirmed: None,
            newer_epoch: None,
        };
        let shared = Arc::new(Shared {
            wanted: Mutex::default(),
            wake: Notify::new(),
            status: watch::Sender::new(status),
        });
        let asker = Asker {
            options: mariadb::options(standby),
            connection: None,
            within,
            store,
            gate,
            shared: shared.clone(),
            started: Boottime::now(),
        };
        Arc::new(Self {
            shared,
            within,
            task: tokio::spawn(asker.run()),
        })
    }

    /// What is known, and each change of it.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.shared.status.subscribe()
    }
}

impl Drop for Confirmer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Confirm for Confirmer {
    fn answers(&self) -> bool {
        self.shared.status.borrow().is_answering()
    }

    fn applied(&self, position: Position, epoch: i64) -> Async<'_, bool> {
        Box::pin(async move {
            let began = Boottime::now();
            self.shared.want(Wanted { epoch, position });
            let mut status = self.shared.status.subscribe();
            let decided =
                status.wait_for(|now| now.has(position, epoch) || now.is_superseded(epoch));
            let Ok(decided) = timeout(self.within, decided).await else {
                // The question may still be open: the next request must not wait as long for the same.
                self.shared.status.send_if_modified(|now| {
                    let overdue = now.confirmed.is_none_or(|last| last.at < began);
                    if overdue && now.is_answering() {
                        now.is_silent("it does not answer in time");
                    }
                    overdue
                });
                return false;
            };
            let applied = decided.is_ok_and(|now| now.has(position, epoch));
            if applied {
                metrics::confirmed(began.elapsed());
            }
            applied
        })
    }
}

impl Shared {
    fn want(&self, wanted: Wanted) {
        let mut newest = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let known = newest.is_some_and(|newest| match newest.epoch == wanted.epoch {
            true => newest.position.covers(wanted.position),
            false => newest.epoch > wanted.epoch,
        });
        if !known {
            *newest = Some(wanted);
        }
        self.wake.notify_one();
    }

    /// The newest commit that somebody waits for, or did, and that is not confirmed; of `epoch` alone.
    fn unmet(&self, epoch: i64) -> Option<Wanted> {
        let wanted = *self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.status.borrow();
        wanted.filter(|wanted| {
            let open = !now.has(wanted.position, epoch) && !now.is_superseded(epoch);
            wanted.epoch == epoch && open
        })
    }
}

/// What asks.
struct Asker {
    options: MySqlConnectOptions,
    /// Taken for the time of a question: one that is given up takes its connection with it.
    connection: Option<MySqlConnection>,
    within: Duration,
    store: Arc<dyn Store>,
    gate: Gate,
    shared: Arc<Shared>,
    started: Boottime,
}

/// What the standby said.
#[derive(Clone, Copy, Debug)]
struct Said {
    applied: bool,
    /// Its newest epoch; 0 before any promotion.
    epoch: i64,
}

impl Asker {
    async fn run(mut self) {
        loop {
            let epoch = self.gate.epoch();
            let well = match self.shared.unmet(epoch) {
                Some(wanted) => self.ask(epoch, Some(wanted.position)).await,
                None => self.probe(epoch).await,
            };
            if self.gate.is_open() {
                let last = self.shared.status.borrow().confirmed;
                metrics::confirm_age(last.map_or(self.started, |last| last.at).elapsed());
            }
            if !well {
                sleep(PAUSE).await;
            } else if self.shared.unmet(epoch).is_none() {
                // What is wanted meanwhile wakes it, and so does what was wanted since the look.
                let _ = timeout(PROBE, self.shared.wake.notified()).await;
            }
        }
    }

    /// Nobody waits: whether the standby has the newest commit of all. A node that is not active asks nothing.
    async fn probe(&mut self, epoch: i64) -> bool {
        if !self.gate.is_open() {
            return true;
        }
        match timeout(self.within, self.store.position()).await {
            Ok(Ok(newest)) => self.ask(epoch, newest).await,
            // A database of our own that is away has no newest commit.
            Ok(Err(_)) | Err(_) => true,
        }
    }

    /// One question, its answer made known; whether it was a yes.
    async fn ask(&mut self, epoch: i64, position: Option<Position>) -> bool {
        let said = match timeout(self.within + GRACE, self.question(position)).await {
            Ok(said) => said.map_err(|error| error.to_string()),
            Err(_) => Err("it does not answer".to_owned()),
        };
        let status = &self.shared.status;
        let silent = |why: &str| status.send_modify(|now| now.is_silent(why));
        match said {
            Ok(said) if said.epoch > epoch => {
                self.superseded(epoch, said.epoch);
                false
            }
            Ok(said) if said.epoch < epoch => {
                silent("it has not seen the present epoch begin");
                false
            }
            Ok(Said { applied: false, .. }) => {
                silent("it does not apply what was committed");
                false
            }
            Ok(_) => {
                status.send_modify(|now| {
                    now.answers();
                    now.confirmed = Some(Confirmed {
                        epoch,
                        position,
                        at: Boottime::now(),
                    });
                });
                true
            }
            Err(why) => {
                silent(&why);
                false
            }
        }
    }

    /// The standby was promoted: this node stops at once, and the role machine is told.
    fn superseded(&self, epoch: i64, newer: i64) {
        self.gate.close_in(epoch);
        tracing::error!(
            epoch,
            newer,
            "the standby has a newer epoch: this node is not the active one any more"
        );
        self.shared.status.send_modify(|now| {
            now.newer_epoch = Some(newer);
            now.is_silent("it was promoted");
        });
    }

    /// On the connection that is there, or on a new one where that has ended.
    async fn question(&mut self, position: Option<Position>) -> Result<Said, sqlx::Error> {
        if let Some(mut connection) = self.connection.take()
            && let Ok(said) = say(&mut connection, position, self.within).await
        {
            self.connection = Some(connection);
            return Ok(said);
        }
        let mut connection = self.options.connect().await?;
        let said = say(&mut connection, position, self.within).await?;
        self.connection = Some(connection);
        Ok(said)
    }
}

/// Two statements of one message, which are carried out in their order: the epoch is that after the wait.
async fn say(
    connection: &mut MySqlConnection,
    position: Option<Position>,
    within: Duration,
) -> Result<Said, sqlx::Error> {
    let wait = match position {
        Some(position) => format!(
            "MASTER_GTID_WAIT('{position}', {:.3})",
            within.as_secs_f64()
        ),
        None => "0".to_owned(),
    };
    // Safe: three numbers and a span.
    let both = AssertSqlSafe(format!(
        "SELECT {wait}; SELECT epoch FROM ha_epoch ORDER BY epoch DESC LIMIT 1"
    ));
    let rows = sqlx::raw_sql(both).fetch_all(connection).await?;
    let mut answers = rows.iter().map(|row| row.try_get::<Option<i64>, _>(0));
    let waited = answers.next().transpose()?.flatten();
    let epoch = answers.next().transpose()?.flatten();
    Ok(Said {
        applied: waited == Some(0),
        epoch: epoch.unwrap_or(0),
    })
}
