//! One private MariaDB for the whole test run, and an empty database in it for each test.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use cmp_relay::plan::MariaDb;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

struct Server {
    port: u16,
    /// Its standard input is open while this process lives; the script ends when it is not.
    _script: Child,
}

static SERVER: OnceLock<Option<Server>> = OnceLock::new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

/// A peer that may be missing: `None` says so and counts as skipped. In CI nothing is skipped.
pub(crate) fn peer_or_skip<T>(name: &str, peer: Option<T>) -> Option<T> {
    if peer.is_none() {
        assert_ne!(
            super::told("CI").as_deref(),
            Some("true"),
            "{name} cannot be had, and in CI nothing is skipped"
        );
        println!("skipped: {name} cannot be had");
    }
    peer
}

/// A fresh, empty database.
pub(crate) async fn database() -> Option<MariaDb> {
    let server = tokio::task::spawn_blocking(|| SERVER.get_or_init(start))
        .await
        .unwrap();
    let port = peer_or_skip("MariaDB", server.as_ref())?.port;
    let name = format!("relay_{}", DATABASES.fetch_add(1, Ordering::Relaxed));
    raw(port, None)
        .await
        // Of the least helpful character set: the tables say theirs themselves.
        .execute(AssertSqlSafe(format!(
            "CREATE DATABASE {name} CHARACTER SET latin1"
        )))
        .await
        .unwrap();
    Some(MariaDb {
        host: "127.0.0.1".into(),
        port,
        user: "root".into(),
        password: None,
        database: name.into(),
    })
}

/// A connection beside the store's own.
pub(crate) async fn raw(port: u16, database: Option<&str>) -> sqlx::MySqlConnection {
    let mut options = sqlx::mysql::MySqlConnectOptions::new()
        .host("127.0.0.1")
        .port(port)
        .username("root");
    if let Some(database) = database {
        options = options.database(database);
    }
    options.connect().await.unwrap()
}

/// A server of a test's own, that may be stopped.
pub(crate) struct Private {
    pub(crate) port: u16,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    _script: Child,
}

impl Private {
    pub(crate) fn start() -> Option<Self> {
        Self::start_with(&[])
    }

    /// With the options of a file.
    pub(crate) fn start_with(option_file: &[&str]) -> Option<Self> {
        let (port, mut script, answers) = launch(option_file)?;
        Some(Self {
            port,
            orders: script.stdin.take().unwrap(),
            answers,
            _script: script,
        })
    }

    /// `freeze`, `thaw`, `kill`, `stop` or `start`; returns once it is done.
    pub(crate) fn order(&mut self, order: &str) {
        writeln!(self.orders, "{order}").unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "done", "{order}");
    }
}

fn start() -> Option<Server> {
    let (port, script, _) = launch(&[])?;
    Some(Server {
        port,
        _script: script,
    })
}

fn launch(option_file: &[&str]) -> Option<(u16, Child, BufReader<ChildStdout>)> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/mariadb.sh");
    let mut child = Command::new("sh")
        .arg(script)
        .args(option_file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    answers.read_line(&mut line).unwrap();
    if let Some(port) = line.trim().strip_prefix("port=") {
        return Some((port.parse().unwrap(), child, answers));
    }
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(3), "tests/peers/mariadb.sh failed");
    None
}
