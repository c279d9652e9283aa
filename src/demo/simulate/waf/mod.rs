//! Simulated WAFs: a [`fortiweb`] and an [`avi`] Controller, each at a free loopback port.
//!
//! Both keep their objects in a file, and check what a CMP runs into: who asks, names that are taken, references
//! that lead nowhere, what is in use. What inspects traffic is not here.

mod avi;
mod fortiweb;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};
use tokio::task::JoinHandle;

use super::{bind, kept, serve};
use crate::shutdown::{self, Trigger};

/// The user that the WAFs know.
const USER: &str = "relay";

/// The virtual server that an administrator has made at each of them.
pub const VIRTUAL_SERVER: &str = "vs-1";

type Object = Map<String, Value>;

/// Where the WAFs keep their objects, and with what one logs in.
#[derive(Clone, Debug)]
pub struct Options {
    /// `None`: in memory only.
    pub data: Option<PathBuf>,
    pub password: String,
}

/// Running simulated WAFs; they end when this is dropped.
#[derive(Debug)]
pub struct Wafs {
    pub fortiweb: String,
    pub avi: String,
    calls: Arc<AtomicU64>,
    sessions: Arc<avi::Sessions>,
    trigger: Trigger,
    servers: Vec<JoinHandle<io::Result<()>>>,
}

impl Wafs {
    /// Calls to either of them, the refused ones included, logins and logouts left out.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Logins at the Controller so far.
    pub fn logins(&self) -> u64 {
        self.sessions.logins()
    }

    /// Sessions that are open at the Controller.
    pub fn sessions(&self) -> usize {
        self.sessions.open()
    }

    /// Ends every session of the Controller, as if nobody had used them for a while.
    pub fn expire_sessions(&self) {
        self.sessions.expire_all();
    }

    /// Stops listening and waits for the answers in hand.
    pub async fn stop(self) {
        self.trigger.stop();
        for server in self.servers {
            // A server ends only by the trigger; its task has nothing else to report.
            let _ = server.await;
        }
    }
}

/// Starts both.
pub async fn start(options: Options) -> io::Result<Wafs> {
    let (trigger, shutdown) = shutdown::channel();
    let calls = Arc::new(AtomicU64::new(0));
    let open = |name: &str| {
        let folder = options.data.as_ref();
        Objects::open(folder.map(|folder| folder.join(format!("{name}.json"))))
    };
    let (listener, fortiweb) = bind().await?;
    let router = fortiweb::router(
        open("waf-fortiweb")?,
        options.password.clone(),
        Arc::clone(&calls),
    );
    let mut servers = vec![serve(listener, router, shutdown.clone())];
    let (listener, avi) = bind().await?;
    let sessions = Arc::new(avi::Sessions::new(options.password.clone()));
    let router = avi::router(
        open("waf-avi")?,
        avi.clone(),
        Arc::clone(&sessions),
        Arc::clone(&calls),
    );
    servers.push(serve(listener, router, shutdown));
    Ok(Wafs {
        fortiweb,
        avi,
        calls,
        sessions,
        trigger,
        servers,
    })
}

/// Objects by the table that they are in, in the order in which they were made.
struct Objects {
    tables: BTreeMap<String, Vec<Object>>,
    file: Option<PathBuf>,
}

impl Objects {
    fn open(file: Option<PathBuf>) -> io::Result<Self> {
        Ok(Self {
            tables: kept::read(file.as_ref())?.unwrap_or_default(),
            file,
        })
    }

    fn save(&self) -> io::Result<()> {
        match &self.file {
            Some(file) => kept::write(file, &self.tables),
            None => Ok(()),
        }
    }

    fn all(&self, table: &str) -> &[Object] {
        self.tables.get(table).map_or(&[], Vec::as_slice)
    }

    fn find(&self, table: &str, key: &str, value: &str) -> Option<&Object> {
        self.all(table).iter().find(|object| object[key] == value)
    }

    fn find_mut(&mut self, table: &str, key: &str, value: &str) -> Option<&mut Object> {
        let objects = self.tables.get_mut(table)?;
        objects.iter_mut().find(|object| object[key] == value)
    }

    fn insert(&mut self, table: &str, object: Object) {
        let objects = self.tables.entry(table.to_owned()).or_default();
        objects.push(object);
    }

    fn remove(&mut self, table: &str, key: &str, value: &str) {
        if let Some(objects) = self.tables.get_mut(table) {
            objects.retain(|object| object[key] != value);
        }
    }
}

/// What a text field holds; empty where there is none.
fn text<'o>(object: &'o Object, field: &str) -> &'o str {
    object.get(field).and_then(Value::as_str).unwrap_or("")
}
