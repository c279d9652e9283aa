//! What is recorded: mappings, and the operations that made them.
//!
//! [`Store`] is the database (`sqlite` and `mariadb`; `memory` for what is only tried); [`Journal`] is what the
//! relay uses: one committer that groups waiting writes into one transaction, and a bounded cache
//! of mappings in front of the reads. Rows are readable without a plan: they hold names, not ids.
//!
//! A batch of writes is applied in three steps: `sql::tables` loads and locks every row it touches into a
//! `ledger::Ledger`, `rules` and `settle` decide each write there, one after the other and without
//! a database, and `sql::tables` writes back what changed. So the rules exist once, two writes of one
//! batch see each other, and a batch costs a few statements however many writes it has.

pub mod cache;
pub mod committer;
pub mod journal;
pub mod mariadb;
pub mod memory;
pub mod position;
pub mod retention;
pub mod sqlite;

mod decide;
mod durable;
mod ledger;
mod limits;
mod lost;
mod rules;
mod settle;
mod sql;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde_json::{Map, Value};
use uuid::Uuid;

pub use committer::Options;
pub use durable::Durable;
pub use journal::Journal;
pub use mariadb::{Exclusive, MariaDbStore};
pub use memory::MemoryStore;
pub use position::Position;
pub use sqlite::SqliteStore;

use crate::plan::Database;

/// Opens the database that the configuration names, for this process alone (SEMANTICS 20).
pub async fn open(database: &Database) -> Result<Arc<dyn Store>, StoreError> {
    Ok(match database {
        Database::Sqlite(path) => Arc::new(SqliteStore::open(path).await?),
        Database::MariaDb(server) => Arc::new(MariaDbStore::connect(server, Exclusive::Yes).await?),
    })
}

/// As [`open`], and each commit says where it stands: so that a standby can be asked for it.
pub async fn open_replicated(database: &Database) -> Result<Arc<dyn Store>, StoreError> {
    match database {
        Database::Sqlite(_) => open(database).await,
        Database::MariaDb(server) => {
            let store = MariaDbStore::connect(server, Exclusive::Yes).await?;
            Ok(Arc::new(store.with_positions()))
        }
    }
}

/// A boxed future: `Store` is used as a trait object.
pub type Async<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A UUIDv7.
pub type OperationId = Uuid;

/// SHA-256 of `(resource, cmp_id, scope)`: what at most one unsettled operation holds.
pub type Claim = [u8; 32];

/// Which CMP object: the primary key of `mapping`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    pub resource: String,
    pub cmp_id: String,
    /// The backend's name for a `per_backend` resource, else empty.
    pub scope: String,
}

impl ObjectKey {
    /// Length-prefixed, so that no two keys hash the same bytes.
    pub fn claim(&self) -> Claim {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        for part in [&self.resource, &self.cmp_id, &self.scope] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut claim = [0; 32];
        claim.copy_from_slice(context.finish().as_ref());
        claim
    }
}

/// A row of `mapping`: this CMP object is that object on that backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    pub key: ObjectKey,
    pub backend: String,
    pub kind: String,
    /// `None` while the id is pending.
    pub backend_id: Option<String>,
    pub attributes: Map<String, Value>,
    pub created_operation: Option<OperationId>,
    pub updated_operation: Option<OperationId>,
    /// Microseconds since 1970, as every stored time.
    pub created_at: i64,
    pub updated_at: i64,
}

/// The state of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Pending,
    Succeeded,
    Failed,
    Unknown,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Succeeded => "succeeded",
            State::Failed => "failed",
            State::Unknown => "unknown",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        [
            State::Pending,
            State::Succeeded,
            State::Failed,
            State::Unknown,
        ]
        .into_iter()
        .find(|state| state.name() == name)
    }
}

/// What an operation will do to the mapping table if it succeeds; known at the intent, so that
/// `resolve` needs no plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    /// `create`, `update`, `put`, `delete`; `create_pending` and `put_pending` where the backend id
    /// comes later, so that settling as succeeded needs none.
    pub verb: String,
    pub key: ObjectKey,
    pub kind: String,
}

impl Effect {
    /// Whether an unknown operation with this effect keeps its object's claim: it may have made or
    /// removed the object, a `put` too; an update has done neither (SEMANTICS 2).
    pub fn keeps_claim(&self) -> bool {
        self.verb != "update"
    }
}

/// A row of `operation`: one accepted mutating CMP request.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    pub id: OperationId,
    pub route: String,
    pub client: String,
    /// Unique per client.
    pub idempotency_key: Option<String>,
    pub fingerprint: Vec<u8>,
    pub attempt: u32,
    /// The object it is about: `(resource, cmp_id, scope)`; `cmp_id` is empty when it has none.
    pub object: ObjectKey,
    pub backend: String,
    pub effects: Vec<Effect>,
    pub state: State,
    /// A retry after `unknown` may run (SEMANTICS 16).
    pub idempotent: bool,
    /// NULL once settled; kept by an `unknown` create or delete.
    pub claim: Option<Claim>,
    pub call_hash: Vec<u8>,
    pub backend_status: Option<u16>,
    /// How often the call's bytes were sent: 0, 1, or 2 after a refused 401.
    pub sends: u32,
    pub reply_status: Option<u16>,
    /// Pairs of name and value.
    pub reply_headers: Vec<(String, String)>,
    /// `None`: not stored (too large, or the route says so).
    pub reply_body: Option<Vec<u8>>,
    /// The problem's code, and its detail.
    pub error: Option<(String, String)>,
    /// `none`, `unknown` or `done`.
    pub side_effect: String,
    pub safe_to_retry: bool,
    /// `operator` when a person settled it, `absent` when a delete found nothing.
    pub note: Option<String>,
    pub deadline: i64,
    pub node: String,
    pub epoch: i64,
    pub created_at: i64,
    pub finished_at: Option<i64>,
}

/// What the intent's transaction re-reads; a difference refuses the intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The mapping still is what the call was rendered from.
    Mapped {
        key: ObjectKey,
        backend: String,
        backend_id: Option<String>,
    },
    /// No mapping: for a create.
    Unmapped { key: ObjectKey },
}

/// An intent: written before the backend hears anything.
#[derive(Clone, Debug)]
pub struct Intent {
    /// `state` is `Pending`; `attempt` counts from 1.
    pub operation: Operation,
    pub expects: Vec<Expect>,
    /// For a next attempt: the state of the row that this one replaces, compared and set.
    pub replaces: Option<(u32, State)>,
}

/// What became of an intent.
#[derive(Clone, Debug, PartialEq)]
pub enum Begun {
    Started,
    /// The explicit key has an operation already (a race: the look-up before found none).
    KeyTaken(Box<Operation>),
    /// Another unsettled operation holds the object.
    ClaimHeld(Box<Operation>),
    /// For a create: the object is mapped.
    AlreadyMapped(Box<Mapping>),
    /// An `Expect::Mapped` no longer holds: the index into `expects`, and the row as it is now.
    Changed(usize, Option<Box<Mapping>>),
    /// The row to replace is not in the expected state any more.
    Superseded(Option<Box<Operation>>),
}

/// One change of the mapping table, in the transaction of an outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum MappingChange {
    /// Fails on an existing row and on a backend id that another object has.
    Create(Arc<Mapping>),
    /// `None` leaves the column alone; attributes are merged.
    Update {
        key: ObjectKey,
        backend_id: Option<Option<String>>,
        attributes: Map<String, Value>,
    },
    /// Create, or update all columns.
    Put(Arc<Mapping>),
    Delete {
        key: ObjectKey,
    },
}

/// An outcome: written before the CMP hears anything.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub id: OperationId,
    /// Compared, with `pending`: the row must still be this attempt of this epoch (SEMANTICS 6).
    pub attempt: u32,
    pub epoch: i64,
    pub state: State,
    /// Whether the row keeps its claim (an unknown create or delete).
    pub keep_claim: bool,
    pub changes: Vec<MappingChange>,
    pub backend_status: Option<u16>,
    pub sends: u32,
    pub reply_status: u16,
    pub reply_headers: Vec<(String, String)>,
    pub reply_body: Option<Vec<u8>>,
    pub error: Option<(String, String)>,
    pub side_effect: &'static str,
    pub safe_to_retry: bool,
    pub note: Option<String>,
    pub finished_at: i64,
}

/// What became of an outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum Finished {
    Done,
    /// A change hit a row of another CMP object; the operation was made `unknown` (claim kept) with
    /// the error `mapping_conflict`, and no mapping changed.
    Conflict(Box<Mapping>),
    /// The row is not this attempt's any more; nothing was written. The row as it is now.
    Lost(Option<Box<Operation>>),
}

/// How a person or the CMP settles an `unknown` operation (SEMANTICS 16).
#[derive(Clone, Debug, PartialEq)]
pub struct Settlement {
    pub id: OperationId,
    /// Compared and set.
    pub attempt: u32,
    pub verdict: Verdict,
    /// Settle a pending or not yet overdue row too.
    pub force: bool,
    /// Remove the mapping that conflicts, in the same transaction (SEMANTICS 15).
    pub replace: bool,
    /// Who, for the audit row.
    pub by: String,
    pub at: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Nothing exists at the backend: the retry runs.
    Failed,
    /// The effects are applied; a create needs the backend id.
    Succeeded {
        backend_id: Option<String>,
        reply_body: Option<Vec<u8>>,
        reply_status: u16,
    },
}

/// What became of an administrative write.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    Done,
    NotFound,
    /// Not in a state that this write applies to; the words say which and what to do.
    Refused(String),
    /// A row of another CMP object is in the way.
    Conflict(Box<Mapping>),
    /// An unsettled operation holds the object.
    ClaimHeld(Box<Operation>),
}

/// One write; a batch of them is one transaction in which a bad one fails alone.
#[derive(Clone, Debug)]
pub enum Write {
    Begin(Arc<Intent>),
    Finish(Arc<Outcome>),
    Settle(Settlement),
    /// Records a mapping that exists at the backend already.
    Adopt {
        mapping: Mapping,
        by: String,
    },
    /// Removes a mapping without a call.
    Forget {
        key: ObjectKey,
        by: String,
        at: i64,
    },
    /// Pending rows whose deadline has passed, other than `owned`, become `unknown`.
    ExpirePending {
        now: i64,
        owned: Vec<OperationId>,
    },
    /// Every pending row other than `owned` becomes `unknown`: at start, when nobody owns any, and at promotion, when a
    /// node that was active before may.
    RecoverPending {
        now: i64,
        owned: Vec<OperationId>,
    },
    /// Deletes up to `limit` settled operations that finished before `before`.
    Prune {
        before: i64,
        limit: u32,
    },
    /// Records the host key of a backend that has none; counts the rows that this made.
    RecordHostKey(HostKeyRow),
    /// Removes the recorded host key of a backend; counts the rows that this removed.
    ForgetHostKey {
        backend: String,
        by: String,
        at: i64,
    },
    /// An administrative act that is not one of the above, such as a reload.
    Audit {
        by: String,
        action: String,
        detail: String,
        at: i64,
    },
}

/// The answer to a [`Write`], in the same order.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    Begun(Begun),
    Finished(Finished),
    Settled(Settled),
    /// How many rows.
    Count(u64),
    /// This write cannot be stored, whatever the state of the tables: the words say why.
    Invalid(String),
}

/// A batch that was committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The answer to each write, in their order.
    pub written: Vec<Written>,
    /// Where the commit stands in the binary log, or one after it; `None` where that is not asked, or not known.
    pub position: Option<Position>,
}

/// The SSH host key that a backend showed when it was first seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeyRow {
    pub backend: String,
    /// Kind and fingerprint: `ssh-ed25519 SHA256:...`.
    pub host_key: String,
    pub first_seen: i64,
}

impl HostKeyRow {
    /// The act of [`Write::ForgetHostKey`], as it is recorded.
    const FORGET: &str = "forget_host_key";

    fn forgotten(&self) -> String {
        format!("{} {}", self.backend, self.host_key)
    }
}

/// An administrative act, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// A UUIDv7.
    pub id: Uuid,
    pub at: i64,
    pub by: String,
    pub action: String,
    pub detail: String,
}

/// Why the database did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was committed.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// A commit was sent and its answer was lost: it may or may not have happened.
    #[error("the result of a commit is not known: {0}")]
    CommitUnknown(String),
    /// The tables are not what this version needs; the words say what to run.
    #[error("{0}")]
    Schema(String),
    /// This write alone cannot be stored: an id over its limit, for one. Nothing was written.
    #[error("the write cannot be stored: {0}")]
    Invalid(String),
    /// Another process serves this database.
    #[error("{0}")]
    Locked(String),
}

/// Which mappings to list; absent fields do not restrict.
#[derive(Clone, Debug, Default)]
pub struct MappingFilter {
    pub resource: Option<String>,
    pub cmp_id: Option<String>,
    pub backend: Option<String>,
    pub backend_id: Option<String>,
    /// Rows after this key, in key order.
    pub after: Option<ObjectKey>,
    pub limit: u32,
}

/// Which mappings to count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CountOf {
    All,
    Resource(String),
    Backend(String),
}

/// How many rows a resource has on a backend; none is not listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCount {
    pub resource: String,
    pub backend: String,
    pub count: u64,
}

/// Which operations to list, newest first; absent fields do not restrict.
#[derive(Clone, Debug, Default)]
pub struct OperationFilter {
    pub state: Option<State>,
    pub client: Option<String>,
    pub idempotency_key: Option<String>,
    pub resource: Option<String>,
    pub cmp_id: Option<String>,
    pub route: Option<String>,
    pub backend: Option<String>,
    /// Rows older than this one.
    pub before: Option<OperationId>,
    pub limit: u32,
}

/// The database.
pub trait Store: Send + Sync + 'static {
    /// Applies the batch as one transaction; constraint errors fail alone (savepoints), a deadlock
    /// or a lost connection before the commit re-runs the whole batch (SEMANTICS 6).
    fn apply<'a>(&'a self, batch: &'a [Write]) -> Async<'a, Result<Applied, StoreError>>;

    /// As [`Self::apply`], but the answer may come before the batch is durable: nobody is told of it before.
    fn write<'a>(
        &'a self,
        batch: &'a [Write],
    ) -> Async<'a, Result<(Applied, Durable), StoreError>> {
        Box::pin(async move { Ok((self.apply(batch).await?, Durable::already())) })
    }

    /// Where the newest commit of all stands; whoever has applied that has every row that can be read now. `None`
    /// where positions are not asked.
    fn position(&self) -> Async<'_, Result<Option<Position>, StoreError>>;

    /// The mappings of these keys, in their order.
    fn mappings<'a>(
        &'a self,
        keys: &'a [ObjectKey],
    ) -> Async<'a, Result<Vec<Option<Mapping>>, StoreError>>;

    /// The mappings of one CMP object, on whatever backends.
    fn mappings_of_object<'a>(
        &'a self,
        resource: &'a str,
        cmp_id: &'a str,
    ) -> Async<'a, Result<Vec<Mapping>, StoreError>>;

    /// The mappings of these backend ids, in their order.
    fn mappings_by_backend_id<'a>(
        &'a self,
        resource: &'a str,
        backend: &'a str,
        backend_ids: &'a [String],
    ) -> Async<'a, Result<Vec<Option<Mapping>>, StoreError>>;

    fn list_mappings<'a>(
        &'a self,
        filter: &'a MappingFilter,
    ) -> Async<'a, Result<Vec<Mapping>, StoreError>>;

    /// How many objects each backend holds.
    fn count_by_backend(&self) -> Async<'_, Result<Vec<(String, u64)>, StoreError>>;

    /// How many mappings each resource has on each backend, in the order of their names.
    fn count_mappings<'a>(
        &'a self,
        of: &'a CountOf,
    ) -> Async<'a, Result<Vec<ObjectCount>, StoreError>>;

    /// How many operations are pending or unknown, by resource and backend, in the same order.
    fn count_unsettled(&self) -> Async<'_, Result<Vec<ObjectCount>, StoreError>>;

    fn operation(&self, id: OperationId) -> Async<'_, Result<Option<Operation>, StoreError>>;

    fn operation_by_key<'a>(
        &'a self,
        client: &'a str,
        key: &'a str,
    ) -> Async<'a, Result<Option<Operation>, StoreError>>;

    fn operation_by_claim(&self, claim: Claim) -> Async<'_, Result<Option<Operation>, StoreError>>;

    fn list_operations<'a>(
        &'a self,
        filter: &'a OperationFilter,
    ) -> Async<'a, Result<Vec<Operation>, StoreError>>;

    /// The recorded host keys, in the order of the backends' names.
    fn host_keys(&self) -> Async<'_, Result<Vec<HostKeyRow>, StoreError>>;

    /// The newest administrative acts, newest first.
    fn list_audit(&self, limit: u32) -> Async<'_, Result<Vec<Audit>, StoreError>>;

    /// How many operations are in each state.
    fn count_by_state(&self) -> Async<'_, Result<Vec<(State, u64)>, StoreError>>;

    /// The key of fingerprints: made once, kept in the database, the same on both nodes.
    fn fingerprint_key(&self) -> Async<'_, Result<[u8; 32], StoreError>>;

    /// Creates or upgrades the tables; says which migrations ran.
    fn migrate(&self) -> Async<'_, Result<Vec<String>, StoreError>>;

    /// Refuses a schema that differs from what this version needs (SEMANTICS 21).
    fn check_schema(&self) -> Async<'_, Result<(), StoreError>>;

    /// Whether a write would be accepted now, cheaply.
    fn is_writable(&self) -> Async<'_, Result<bool, StoreError>>;

    fn close(&self) -> Async<'_, ()>;
}
