//! A relay in this process: a configuration from memory, SQLite in a temporary folder, no listener.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cmp_relay::config::{self, Env, SourceFiles};
use cmp_relay::diagnostics::Diagnostics;
use cmp_relay::http::problem;
use cmp_relay::plan::{Database, Plan, Role};
use cmp_relay::relay::{Caller, Gate, Inbound, Relay, Reply};
use cmp_relay::store::{self, Journal, Store, StoreError, Write};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// A relay and the folder of its database.
pub struct TestRelay {
    pub relay: Arc<Relay>,
    pub folder: PathBuf,
    _temporary: Option<tempfile::TempDir>,
}

/// A CMP request, as a test writes it.
#[derive(Clone, Debug, Default)]
pub struct CmpRequest {
    pub method: String,
    pub path_and_query: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Who asks; empty: `cmp`.
    pub client: String,
}

impl TestRelay {
    /// Starts over a new database.
    pub async fn start(files: &[(String, String)]) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let mut started = Self::start_in(temporary.path(), files).await;
        started._temporary = Some(temporary);
        started
    }

    /// Starts over the database of `folder`, as after a restart.
    pub async fn start_in(folder: &Path, files: &[(String, String)]) -> Self {
        let store = open(folder).await;
        Self::start_over(store, folder, files).await
    }

    /// Starts over a store that the test has in its hands.
    pub async fn start_over(
        store: Arc<dyn Store>,
        folder: &Path,
        files: &[(String, String)],
    ) -> Self {
        let journal = Journal::start(store);
        let now = cmp_relay::clock::unix_micros();
        journal
            .write(Write::RecoverPending {
                now,
                owned: Vec::new(),
            })
            .await
            .unwrap();
        let relay = Relay::start(compile(files), journal, Gate::open(), problem::render)
            .await
            .unwrap();
        Self::over(relay, folder)
    }

    /// A relay that the test has started.
    pub fn over(relay: Arc<Relay>, folder: &Path) -> Self {
        Self {
            relay,
            folder: folder.to_owned(),
            _temporary: None,
        }
    }

    /// One request, answered as the listener would.
    pub async fn request(&self, request: CmpRequest) -> Reply {
        request_of(&self.relay, request).await
    }
}

/// One request to any relay; a failure is rendered as the listener would.
pub async fn request_of(relay: &Arc<Relay>, request: CmpRequest) -> Reply {
    let (path, query) = match request.path_and_query.split_once('?') {
        Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
        None => (request.path_and_query.clone(), None),
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(
            HeaderName::from_bytes(name.as_bytes()).unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
    }
    let inbound = Inbound {
        request_id: "test".into(),
        caller: Caller {
            name: match request.client.as_str() {
                "" => "cmp".into(),
                name => name.into(),
            },
            roles: match request.client.as_str() {
                "" => [Role::Cmp, Role::Operator].into(),
                _ => [Role::Cmp].into(),
            },
        },
        method: Method::from_bytes(request.method.as_bytes()).unwrap(),
        path,
        query,
        headers,
        body: Bytes::from(request.body),
    };
    match relay.handle(inbound).await {
        Ok(reply) => reply,
        Err(failure) => {
            let (status, body) = problem::render(&failure);
            let headers = problem::headers(&failure);
            Reply {
                status,
                headers,
                body: Bytes::from(body),
            }
        }
    }
}

/// Opens and migrates the SQLite store of `folder`, once a relay that was dropped has let go of it.
pub async fn open(folder: &Path) -> Arc<dyn Store> {
    let database = Database::Sqlite(folder.join("relay.db"));
    let store = loop {
        match store::open(&database).await {
            Err(StoreError::Locked(_)) => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    store.migrate().await.unwrap();
    store
}

/// What `{ env: BACKEND_TOKEN }` stands for in the configuration of a test.
pub const BACKEND_TOKEN: &str = "t0ken-of-the-backend";

/// Compiles files from memory; what is wrong with them fails the test in its own words.
pub fn compile(files: &[(String, String)]) -> Plan {
    let mut diagnostics = Diagnostics::default();
    let borrowed: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let sources = SourceFiles::from_memory(&borrowed, &mut diagnostics);
    let (plan, _) = config::compile::compile(&sources, &environment(), &mut diagnostics);
    let rendered = cmp_relay::diagnostics::text::render_text(&diagnostics, &sources, false);
    assert!(diagnostics.no_errors(), "{rendered}");
    plan.expect("a configuration without errors compiles")
}

/// What configurations of tests may refer to.
fn environment() -> Env {
    Env::new([
        ("BOX_TOKEN".to_owned(), "a-token-of-the-relay".to_owned()),
        ("BACKEND_TOKEN".to_owned(), BACKEND_TOKEN.to_owned()),
    ])
}

/// Every file below `folder`, by its path relative to it.
pub fn files_below(folder: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap();
            files.push((name.to_owned(), std::fs::read_to_string(&path).unwrap()));
        }
    }
    files.sort();
    files
}
