//! The store: one set of tests, run on SQLite, on MariaDB and in memory, and the committer and cache on top.

mod admin;
mod begin;
mod begun;
mod data;
mod finish;
mod journal;
mod lost;
mod place;
mod sweep;

use std::sync::Arc;

use cmp_relay::plan::MariaDb;
use cmp_relay::store::{
    Applied, Begun, CountOf, Effect, Exclusive, Expect, Finished, Intent, Mapping, MappingChange,
    MariaDbStore, MemoryStore, ObjectKey, Operation, OperationId, Outcome, SqliteStore, State,
    Store, StoreError, Write, Written,
};
use serde_json::Map;
use uuid::Uuid;

/// A store with its tables, and where it lies.
pub(crate) struct Db {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) place: Place,
}

pub(crate) enum Place {
    Memory(Arc<MemoryStore>),
    Sqlite(tempfile::TempDir),
    MariaDb(MariaDb),
}

impl Place {
    /// Opens the database, for itself.
    pub(crate) async fn open(&self) -> Result<Arc<dyn Store>, StoreError> {
        Ok(match self {
            Place::Memory(store) => store.clone(),
            Place::Sqlite(folder) => {
                Arc::new(SqliteStore::open(&folder.path().join("data/relay.db")).await?)
            }
            Place::MariaDb(server) => {
                Arc::new(MariaDbStore::connect(server, Exclusive::Yes).await?)
            }
        })
    }

    pub(crate) fn memory() -> Self {
        Place::Memory(Arc::default())
    }

    pub(crate) async fn sqlite() -> Option<Self> {
        Some(Place::Sqlite(tempfile::tempdir().unwrap()))
    }

    pub(crate) async fn mariadb() -> Option<Self> {
        crate::support::mariadb::database()
            .await
            .map(Place::MariaDb)
    }

    pub(crate) async fn migrated(self) -> Db {
        let store = self.open().await.unwrap();
        store.migrate().await.unwrap();
        Db { store, place: self }
    }
}

/// Makes of each async function over a [`Db`] a test on SQLite, one on MariaDB and one in memory.
macro_rules! on_all {
    ($($name:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(crate::store::Place::memory().migrated().await).await;
            })*
        }
        crate::store::on_both!($($name),*);
    };
}
pub(crate) use on_all;

/// The same on the two databases alone: what is about a file or a server.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                let place = crate::store::Place::sqlite().await.unwrap();
                super::$name(place.migrated().await).await;
            })*
        }
        mod mariadb {
            $(#[tokio::test]
            async fn $name() {
                let Some(place) = crate::store::Place::mariadb().await else { return };
                super::$name(place.migrated().await).await;
            })*
        }
    };
}
pub(crate) use on_both;

pub(crate) fn key(cmp_id: &str) -> ObjectKey {
    ObjectKey {
        resource: "network".into(),
        cmp_id: cmp_id.into(),
        scope: String::new(),
    }
}

pub(crate) fn mapping(cmp_id: &str, backend_id: &str) -> Mapping {
    Mapping {
        key: key(cmp_id),
        backend: "neutron-1".into(),
        kind: "neutron".into(),
        backend_id: Some(backend_id.into()),
        attributes: Map::new(),
        created_operation: None,
        updated_operation: None,
        created_at: 1_000,
        updated_at: 1_000,
    }
}

/// A create of `cmp_id`, without an explicit key.
pub(crate) fn create(cmp_id: &str) -> Intent {
    let operation = Operation {
        id: Uuid::now_v7(),
        route: "create_network".into(),
        client: "cmp".into(),
        idempotency_key: None,
        fingerprint: vec![7; 32],
        attempt: 1,
        object: key(cmp_id),
        backend: "neutron-1".into(),
        effects: vec![effect("create", cmp_id)],
        state: State::Pending,
        idempotent: false,
        claim: Some(key(cmp_id).claim()),
        call_hash: vec![9; 32],
        backend_status: None,
        sends: 0,
        reply_status: None,
        reply_headers: Vec::new(),
        reply_body: None,
        error: None,
        side_effect: "unknown".into(),
        safe_to_retry: false,
        note: None,
        deadline: 10_000,
        node: "a".into(),
        epoch: 3,
        created_at: 1_000,
        finished_at: None,
    };
    Intent {
        operation,
        expects: vec![Expect::Unmapped { key: key(cmp_id) }],
        replaces: None,
    }
}

pub(crate) fn effect(verb: &str, cmp_id: &str) -> Effect {
    Effect {
        verb: verb.into(),
        key: key(cmp_id),
        kind: "neutron".into(),
    }
}

pub(crate) fn with_key(mut intent: Intent, idempotency_key: &str) -> Intent {
    intent.operation.idempotency_key = Some(idempotency_key.into());
    intent
}

/// The success of an intent, with these changes.
pub(crate) fn success(intent: &Intent, changes: Vec<MappingChange>) -> Outcome {
    Outcome {
        id: intent.operation.id,
        attempt: intent.operation.attempt,
        epoch: intent.operation.epoch,
        state: State::Succeeded,
        keep_claim: false,
        changes,
        backend_status: Some(201),
        sends: 1,
        reply_status: 201,
        reply_headers: vec![("content-type".into(), "application/json".into())],
        reply_body: Some(b"{}".to_vec()),
        error: None,
        side_effect: "done",
        safe_to_retry: true,
        note: None,
        finished_at: 2_000,
    }
}

/// The same, as another outcome of that state.
pub(crate) fn outcome(intent: &Intent, state: State) -> Outcome {
    Outcome {
        state,
        keep_claim: state == State::Unknown,
        error: Some(("backend_error".into(), "no".into())),
        safe_to_retry: state == State::Failed,
        side_effect: if state == State::Failed {
            "none"
        } else {
            "unknown"
        },
        ..success(intent, Vec::new())
    }
}

impl Db {
    pub(crate) async fn apply(&self, batch: &[Write]) -> Vec<Written> {
        self.store.apply(batch).await.unwrap().written
    }

    pub(crate) async fn one(&self, write: Write) -> Written {
        self.apply(&[write]).await.remove(0)
    }

    pub(crate) async fn begin(&self, intent: &Intent) -> Begun {
        match self.one(Write::Begin(Arc::new(intent.clone()))).await {
            Written::Begun(begun) => begun,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn finish(&self, outcome: &Outcome) -> Finished {
        match self.one(Write::Finish(Arc::new(outcome.clone()))).await {
            Written::Finished(finished) => finished,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn operation(&self, id: OperationId) -> Operation {
        self.store.operation(id).await.unwrap().unwrap()
    }

    pub(crate) async fn mapped(&self, cmp_id: &str) -> Option<Mapping> {
        self.store.mappings(&[key(cmp_id)]).await.unwrap().remove(0)
    }

    /// Creates the object through an operation.
    pub(crate) async fn created(&self, cmp_id: &str, backend_id: &str) -> Intent {
        let intent = create(cmp_id);
        assert_eq!(self.begin(&intent).await, Begun::Started);
        let create = MappingChange::Create(mapping(cmp_id, backend_id).into());
        let finished = self.finish(&success(&intent, vec![create])).await;
        assert_eq!(finished, Finished::Done);
        intent
    }
}
