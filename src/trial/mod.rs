//! A relay with nothing real behind it: a plan, rows in memory, and backends that answer as they are
//! told. `test`, `explain` and `validate-config` run CMP requests through it.
//!
//! The path of the request is the real one, `relay::Relay::handle`; only the store and the drivers
//! are others. Nothing here opens a socket or a file. One [`Trial`] serves any number of scenes, one
//! after the other; none sees anything of the one before.

mod compare;
mod coverage;
mod example;
mod examples;
pub mod junit;
mod stage;
pub mod text;
mod witnessed;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::{Map, Value};

use crate::backend::BackendManager;
use crate::clock;
use crate::http::problem;
use crate::plan::{BackendId, Plan, Role};
use crate::relay::{Caller, Failure, Gate, Inbound, Relay, Reply};
use crate::store::{Journal, Mapping, MemoryStore, ObjectKey, Operation, Store};

pub use crate::store::memory::Asked;
pub use compare::Difference;
pub use coverage::{Coverage, Unmet};
pub use examples::{Played, Report, check, play};
use stage::Stage;
pub use stage::{Act, Sent};

/// A relay that nothing real stands behind.
///
/// It has a runtime of its own: it must not be used on a thread of another one.
#[derive(Debug)]
pub struct Trial {
    runtime: tokio::runtime::Runtime,
    relay: Arc<Relay>,
    store: Arc<MemoryStore>,
    stage: Arc<Stage>,
}

/// One request, and the world that it meets.
#[derive(Clone, Debug)]
pub struct Scene {
    pub inbound: Inbound,
    /// What is mapped before.
    pub rows: Vec<Mapping>,
    /// The instance that a preference among several takes, if it is one of them.
    pub prefer: Option<BackendId>,
    /// What the backend does when it is called.
    pub act: Act,
}

/// What came of a scene.
#[derive(Debug)]
pub struct Run {
    /// Every call, as its driver got it: none or one.
    pub calls: Vec<Sent>,
    /// What the request asked of the mapping table, in order, and what was found.
    pub asked: Vec<Asked>,
    /// The operation as its intent wrote it, with the effects that it will have; `None`: no intent,
    /// for the request only reads, or was refused before.
    pub intent: Option<Operation>,
    /// What the CMP is told.
    pub reply: Result<Reply, Failure>,
    /// What is mapped after, in the order of the keys.
    pub rows: Vec<Mapping>,
    /// The operation with its outcome.
    pub operation: Option<Operation>,
}

impl Trial {
    /// A relay over `plan`. Its secrets and certificates need not be on this machine.
    pub fn new(plan: Arc<Plan>) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let store = Arc::new(MemoryStore::default());
        let stage = Arc::new(Stage::default());
        let backends = BackendManager::with_drivers(&plan, |id, _| stage.driver(id));
        let journal: Arc<dyn Store> = store.clone();
        let relay = runtime.block_on(async {
            let journal = Journal::start(journal);
            Relay::start_with(plan, backends, journal, Gate::open(), problem::render).await
        })?;
        Ok(Self {
            runtime,
            relay,
            store,
            stage,
        })
    }

    pub fn plan(&self) -> Arc<Plan> {
        self.relay.plan()
    }

    /// Plays a scene, from nothing.
    pub fn run(&mut self, scene: Scene) -> Run {
        self.store.hold(scene.rows);
        self.relay.journal().forget_cached();
        self.relay.prefer(scene.prefer);
        self.stage.set(scene.act);
        let reply = self.runtime.block_on(self.relay.handle(scene.inbound));
        let intent = self.store.intent();
        Run {
            calls: self.stage.take(),
            asked: self.store.asked(),
            reply,
            rows: self.store.rows(),
            operation: intent.as_ref().and_then(|row| self.store.row(row.id)),
            intent,
        }
    }
}

/// A request as a listener would hand it on, of the client of this name.
pub fn inbound(
    client: &str,
    method: Method,
    path_and_query: &str,
    headers: HeaderMap,
    body: Bytes,
) -> Inbound {
    let (path, query) = match path_and_query.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (path_and_query, None),
    };
    Inbound {
        request_id: "trial".into(),
        caller: Caller {
            name: client.into(),
            roles: [Role::Cmp].into(),
        },
        method,
        path: path.to_owned(),
        query,
        headers,
        body,
    }
}

/// A row of the mapping table as people write it: which CMP object is which object of a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub resource: String,
    pub cmp_id: String,
    pub backend: String,
    /// `None`: it is not known yet.
    pub backend_id: Option<String>,
    pub attributes: Map<String, Value>,
}

impl Row {
    /// The row as the table would hold it: its kind, and its scope where the resource has one.
    pub fn mapping(self, plan: &Plan) -> Mapping {
        let resource = plan.resource_named(&self.resource);
        let resource = resource.map(|id| plan.resource(id));
        let backend = plan.backend_named(&self.backend);
        let kind = backend.map_or("", |id| &*plan.backend(id).kind);
        let now = clock::unix_micros();
        Mapping {
            kind: kind.to_owned(),
            key: ObjectKey {
                resource: self.resource,
                cmp_id: self.cmp_id,
                scope: match resource {
                    Some(resource) if resource.per_backend => self.backend.clone(),
                    _ => String::new(),
                },
            },
            backend: self.backend,
            backend_id: self.backend_id,
            attributes: self.attributes,
            created_operation: None,
            updated_operation: None,
            created_at: now,
            updated_at: now,
        }
    }
}
