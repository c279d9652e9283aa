//! The files of a pair, `ha init` and `ha doctor`: keepalived, MariaDB and systemd themselves say whether they are right.

mod accounts;
mod crash;
mod doctor;
mod files;
mod seeded;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cmp_relay::plan::MariaDb;
use cmp_relay::secret::Secret;
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

use crate::support::mariadb::{Private, peer_or_skip, raw};
use crate::support::program::{run, told};

/// What `ha init` wrote for two nodes that are this machine.
pub(crate) struct Written(tempfile::TempDir);

impl Written {
    pub(crate) fn new(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("pair");
        let mut arguments = vec!["ha", "init", "--vip", "127.0.0.9/8", "--interface", "eth0"];
        arguments.extend(["--node", "a=127.0.0.1", "--node", "b=127.0.0.2"]);
        arguments.extend(["--out", out.to_str().unwrap()]);
        arguments.extend(more);
        let (status, out, said) = told(&run(&arguments));
        assert_eq!(status, 0, "{out}{said}");
        Self(folder)
    }

    pub(crate) fn out(&self) -> PathBuf {
        self.0.path().join("pair")
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.out().join(path)
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Replaces text of a file, which must be there.
    pub(crate) fn edit(&self, path: &str, old: &str, new: &str) {
        let text = self.read(path);
        assert!(text.contains(old), "{path} has no {old}");
        fs::write(self.path(path), text.replace(old, new)).unwrap();
    }

    /// A server with the options and the accounts of a node.
    pub(crate) fn server(&self, node: &str) -> Option<Private> {
        let options = self.path(&format!("{node}/etc/mysql/mariadb.conf.d/70-cmp-relay.cnf"));
        let server = Private::start_with(&[options.to_str().unwrap()]);
        let port = peer_or_skip("MariaDB", server.as_ref())?.port;
        let accounts =
            fs::File::open(self.path(&format!("{node}/root/cmp-relay-accounts.sql"))).unwrap();
        let ran = Command::new("mariadb")
            .args([
                "--no-defaults",
                "--host=127.0.0.1",
                "--user=root",
                &format!("--port={port}"),
            ])
            .stdin(accounts)
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        server
    }

    /// An account on a server.
    pub(crate) fn account(&self, name: &str, port: u16) -> MariaDb {
        let password = self.read(&format!("a/etc/cmp-relay/secrets/{name}"));
        MariaDb {
            host: "127.0.0.1".into(),
            port,
            user: name.into(),
            password: Some(Secret::new(
                password.trim().to_owned(),
                format!("file secrets/{name}"),
            )),
            database: "relay".into(),
        }
    }

    pub(crate) async fn connect(&self, name: &str, port: u16) -> MySqlConnection {
        let account = self.account(name, port);
        let password = account.password.unwrap();
        let options = MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(port)
            .username(name)
            .password(password.expose());
        options
            .connect()
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// Runs a statement; the number of the server's error.
pub(crate) async fn sql(connection: &mut MySqlConnection, statement: &str) -> Result<(), u16> {
    let ran = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .fetch_all(connection)
        .await;
    match ran {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) => Err(error
            .try_downcast_ref::<MySqlDatabaseError>()
            .unwrap()
            .number()),
        Err(error) => panic!("{statement}: {error}"),
    }
}

/// The first column of the first row, as text.
pub(crate) async fn ask(connection: &mut MySqlConnection, statement: &str) -> String {
    let rows = sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .fetch_all(connection)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    let cell: Option<Vec<u8>> = rows
        .first()
        .and_then(|row| row.try_get_unchecked(0).unwrap());
    String::from_utf8(cell.unwrap_or_default()).unwrap()
}

pub(crate) async fn root(port: u16) -> MySqlConnection {
    raw(port, None).await
}

/// A pair of servers with the tables: `a` is writable, `b` follows it.
pub(crate) struct Servers {
    pub(crate) written: Written,
    pub(crate) a: Private,
    pub(crate) b: Private,
}

impl Servers {
    pub(crate) async fn start() -> Option<Self> {
        let written = Written::new(&[]);
        let (a, b) = (written.server("a")?, written.server("b")?);
        for (node, own, other) in [("a", a.port, b.port), ("b", b.port, a.port)] {
            let peer = if node == "a" {
                "127.0.0.2"
            } else {
                "127.0.0.1"
            };
            let file = format!("{node}/etc/cmp-relay/relay.yaml");
            for user in ["relay", "relayha"] {
                let url = format!("mysql://{user}@127.0.0.1:");
                written.edit(&file, &format!("{url}3306"), &format!("{url}{own}"));
            }
            for user in ["relaymon", "repl"] {
                let url = format!("mysql://{user}@");
                written.edit(
                    &file,
                    &format!("{url}{peer}:3306"),
                    &format!("{url}127.0.0.1:{other}"),
                );
            }
        }
        written.edit(
            "a/etc/cmp-relay-migrate/relay.yaml",
            "3306",
            &a.port.to_string(),
        );
        let folder = written.path("a/etc/cmp-relay-migrate");
        // The server is fenced, as each is that starts.
        let (status, out, said) = told(&run(&["migrate", "--config", folder.to_str().unwrap()]));
        assert_eq!((status, out.contains("ran ")), (0, true), "{out}{said}");
        let servers = Self { written, a, b };
        let mut active = servers.written.connect("relayha", servers.a.port).await;
        let first = "SET GLOBAL read_only = 0; \
            INSERT INTO relay.ha_epoch (epoch, node, fork_gtid, reason, at) VALUES (1, 'a', '', 'first', 1)";
        sql(&mut active, first).await.unwrap();
        servers.follow().await;
        Some(servers)
    }

    /// Makes `b` follow `a` from the first commit on, and waits until it has all.
    pub(crate) async fn follow(&self) {
        let mut standby = self.written.connect("relayha", self.b.port).await;
        let source = self.written.account("repl", self.a.port);
        let follow = format!(
            "STOP SLAVE; CHANGE MASTER TO MASTER_HOST = '127.0.0.1', MASTER_PORT = {}, MASTER_USER = 'repl', \
             MASTER_PASSWORD = '{}', MASTER_USE_GTID = slave_pos, MASTER_CONNECT_RETRY = 1, \
             MASTER_HEARTBEAT_PERIOD = 1; START SLAVE",
            source.port,
            source.password.unwrap().expose()
        );
        sql(&mut standby, &follow).await.unwrap();
        self.caught_up().await;
    }

    pub(crate) async fn caught_up(&self) {
        let (mut a, mut b) = (root(self.a.port).await, root(self.b.port).await);
        self.caught_up_as(&mut a, &mut b).await;
    }

    /// The same, over connections that are there.
    pub(crate) async fn caught_up_as(&self, a: &mut MySqlConnection, b: &mut MySqlConnection) {
        let position = ask(a, "SELECT @@global.gtid_binlog_pos").await;
        let wait = format!("SELECT MASTER_GTID_WAIT('{position}', 60)");
        assert_eq!(ask(b, &wait).await, "0");
    }
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}
