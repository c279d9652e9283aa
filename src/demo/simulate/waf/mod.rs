//! Simulated WAFs: a [`fortiweb`] and an [`avi`] Controller.
//!
//! Both keep their objects in a file, and check what a CMP runs into: who asks, names that are taken, references
//! that lead nowhere, what is in use. What inspects traffic is not here.

mod avi;
mod fortiweb;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use super::Stage;
use super::kept::Kept;

/// The user that the WAFs know.
const USER: &str = "relay";

/// The virtual server that an administrator has made at each of them.
pub const VIRTUAL_SERVER: &str = "vs-1";

type Object = Map<String, Value>;

/// With what one logs in.
#[derive(Clone, Debug)]
pub struct Options {
    pub fortiweb_password: String,
    pub avi_password: String,
}

/// Both WAFs, on a stage.
pub struct Wafs {
    pub fortiweb: String,
    pub avi: String,
    sessions: Arc<avi::Sessions>,
    kept: [Arc<Mutex<Objects>>; 2],
}

impl std::fmt::Debug for Wafs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WAFs at {} and {}", self.fortiweb, self.avi)
    }
}

impl Wafs {
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

    /// Removes all objects of this name from both, behind everybody's back, and whatever names them stays.
    pub fn lose(&self, name: &str) {
        for objects in &self.kept {
            for table in locked(objects).tables.values_mut() {
                table.retain(|object| text(object, "name") != name);
            }
        }
    }
}

/// Starts both.
pub fn start(stage: &mut Stage, options: Options) -> io::Result<Wafs> {
    let open = |stage: &Stage, file| Objects::open(stage.file(file));
    let at_fortiweb = open(stage, "waf-fortiweb.json")?;
    let fortiweb = fortiweb::router(Arc::clone(&at_fortiweb), options.fortiweb_password);
    let fortiweb = stage.serve(fortiweb)?;
    let at_avi = open(stage, "waf-avi.json")?;
    let sessions = Arc::new(avi::Sessions::new(options.avi_password));
    let port = stage.bind()?;
    let avi = port.url().to_owned();
    let router = avi::router(Arc::clone(&at_avi), avi.clone(), Arc::clone(&sessions));
    stage.serve_at(port, router)?;
    Ok(Wafs {
        fortiweb,
        avi,
        sessions,
        kept: [at_fortiweb, at_avi],
    })
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Objects by the table that they are in, in the order in which they were made.
struct Objects {
    tables: Kept<BTreeMap<String, Vec<Object>>>,
}

impl Objects {
    fn open(file: Option<PathBuf>) -> io::Result<Arc<Mutex<Self>>> {
        Ok(Arc::new(Mutex::new(Self {
            tables: Kept::open(file)?,
        })))
    }

    fn save(&self) -> io::Result<()> {
        self.tables.save()
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
