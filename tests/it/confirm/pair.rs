//! The same over two real servers, of which one replicates from the other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cmp_relay::cli::serve::ask_standby;
use cmp_relay::ha::confirm::{Confirmer, Status};
use cmp_relay::http::problem;
use cmp_relay::plan::MariaDb;
use cmp_relay::relay::{Gate, Relay};
use cmp_relay::store::{Exclusive, Journal, MariaDbStore, Store};
use sqlx::{AssertSqlSafe, Executor, MySqlConnection};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{create, files, made, operations, told};
use crate::support::mariadb::{Private, peer_or_skip, raw};
use crate::support::relay::{CmpRequest, compile, request_of};
use crate::support::scripted::Scripted;

/// Requests at once.
const MANY: usize = 64;

/// What is waited for comes, or the test fails: on a machine of any speed.
const EVENTUALLY: Duration = Duration::from_secs(120);

/// A relay over the one server, with the other for its standby.
struct Pair {
    relay: Arc<Relay>,
    confirmer: Arc<Confirmer>,
    gate: Gate,
    backend: Scripted,
    standby: Private,
    /// A session on the standby.
    there: MySqlConnection,
    _active: Private,
    _options: tempfile::TempDir,
}

fn database(port: u16) -> MariaDb {
    MariaDb {
        host: "127.0.0.1".into(),
        port,
        user: "root".into(),
        password: None,
        database: "relay".into(),
    }
}

/// With places for many calls at once, and time for them.
fn roomy(mut files: Vec<(String, String)>, calls: &str) -> Vec<(String, String)> {
    let limits = format!("limits:\n  timeout: {calls}\n  concurrency: {MANY}\n");
    for (_, text) in &mut files {
        *text = text.replace("limits:\n  timeout: 1s\n", &limits);
    }
    files
}

/// A server of a pair.
fn server(options: &Path, id: u32) -> Option<Private> {
    let file = options.join(id.to_string());
    let text = format!(
        "[mysqld]\nserver-id={id}\nlog-bin=bin\nlog-slave-updates=ON\nbinlog-format=ROW\n\
         gtid-strict-mode=ON\nsync-binlog=1\n"
    );
    std::fs::write(&file, text).unwrap();
    peer_or_skip("MariaDB", Private::start_with(&[file.to_str().unwrap()]))
}

impl Pair {
    /// Each call may take so long, apart from the waits for the standby.
    async fn start(confirm: &str, within: &str, calls: &str) -> Option<Self> {
        let options = tempfile::tempdir().unwrap();
        let folder = options.path().to_owned();
        let both = move || Some((server(&folder, 1)?, server(&folder, 2)?));
        let (active, standby) = tokio::task::spawn_blocking(both).await.unwrap()?;
        let mut here = raw(active.port, None).await;
        let mut there = raw(standby.port, None).await;
        let replicate = format!(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={}, MASTER_USER='root', MASTER_PASSWORD='', \
             MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
            active.port
        );
        there.execute(AssertSqlSafe(replicate)).await.unwrap();
        there.execute("START SLAVE").await.unwrap();
        here.execute("CREATE DATABASE relay").await.unwrap();

        let backend = Scripted::start().await;
        let settings = format!(
            "version: 1\ndatabase: mysql://root@127.0.0.1:{}/relay\nreplication:\n  \
             standby: mysql://root@127.0.0.1:{}/relay\n  confirm: {confirm}\n  timeout: {within}\n",
            active.port, standby.port
        );
        let own = database(active.port);
        let store = MariaDbStore::connect(&own, Exclusive::Yes).await.unwrap();
        let store = Arc::new(store.with_positions());
        store.migrate().await.unwrap();
        let gate = Gate::open();
        let relay = Relay::start(
            compile(&roomy(files(&backend, &settings), calls)),
            Journal::start(store),
            gate.clone(),
            problem::render,
        );
        let relay = relay.await.unwrap();
        let confirmer = ask_standby(&relay).unwrap();
        let pair = Self {
            relay,
            confirmer,
            gate,
            backend,
            standby,
            there,
            _active: active,
            _options: options,
        };
        pair.comes(|status| status.confirmed.is_some()).await;
        Some(pair)
    }

    /// Waits until this is known of the standby.
    async fn comes(&self, known: impl FnMut(&Status) -> bool) {
        let mut status = self.confirmer.status();
        let coming = timeout(EVENTUALLY, status.wait_for(known));
        coming.await.expect("it never comes").unwrap();
    }

    /// One request; it ends, whatever the standby does.
    async fn told(&self, asked: CmpRequest) -> String {
        let answer = timeout(EVENTUALLY, request_of(&self.relay, asked));
        told(&answer.await.expect("a request hangs"))
    }

    async fn on_standby(&mut self, sql: &'static str) {
        self.there.execute(sql).await.unwrap();
    }

    /// How many rows of this state the standby has.
    async fn rows_there(&mut self, state: &str) -> i64 {
        sqlx::query_scalar("SELECT COUNT(*) FROM relay.operation WHERE state = ?")
            .bind(state.as_bytes())
            .fetch_one(&mut self.there)
            .await
            .unwrap()
    }

    /// How often the standby was asked to wait.
    async fn waits(&mut self) -> u64 {
        let waits: (String, String) =
            sqlx::query_as("SHOW GLOBAL STATUS LIKE 'Master_gtid_wait_count'")
                .fetch_one(&mut self.there)
                .await
                .unwrap();
        waits.1.parse().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_acknowledged_under_required_is_on_the_standby() {
    let Some(mut pair) = Pair::start("required", "60s", "60s").await else {
        return;
    };
    // All of them stand behind one wait: nothing is applied until it is said.
    pair.on_standby("STOP SLAVE SQL_THREAD").await;
    let waits = pair.waits().await;
    let mut requests = JoinSet::new();
    for number in 0..MANY {
        pair.backend.will(made(number));
        let relay = pair.relay.clone();
        requests.spawn(async move { request_of(&relay, create(&format!("t{number}"))).await });
    }
    while operations(&pair.relay).await.len() < MANY {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        pair.backend.heard(),
        0,
        "no call before its intent is there"
    );
    pair.on_standby("START SLAVE SQL_THREAD").await;
    for _ in 0..MANY {
        let reply = requests.join_next().await.unwrap().unwrap();
        assert_eq!(told(&reply), "201 yes");
    }
    assert_eq!(pair.rows_there("succeeded").await, MANY as i64);
    let asked = pair.waits().await - waits;
    assert!(asked < MANY as u64, "{asked} waits for {MANY} requests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_required_nothing_is_sent_that_the_standby_does_not_apply() {
    let Some(mut pair) = Pair::start("required", "1s", "10s").await else {
        return;
    };
    pair.on_standby("STOP SLAVE SQL_THREAD").await;
    assert_eq!(
        pair.told(create("t1")).await,
        "503 no standby_unconfirmed none true"
    );
    pair.comes(|status| !status.is_answering()).await;
    assert!(pair.relay.reads_alone());
    assert_eq!(pair.backend.heard(), 0);
    pair.on_standby("START SLAVE SQL_THREAD").await;
    pair.comes(Status::is_answering).await;
    // The wait for a first commit may still be too short on a slow machine; nothing else may go wrong.
    loop {
        pair.backend.forget();
        pair.backend.will(made(1));
        match pair.told(create("t1")).await.as_str() {
            "201 yes" => break,
            again => assert!(again.contains("standby_unconfirmed"), "{again}"),
        }
    }
    assert_eq!(pair.backend.heard(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn preferred_goes_on_without_the_standby_and_finds_it_again_by_itself() {
    // Shorter than the wait, which is not taken from it.
    let Some(mut pair) = Pair::start("preferred", "2s", "1s").await else {
        return;
    };
    let mut things = 0;
    let mut thing = || {
        things += 1;
        (made(things), create(&format!("t{things}")))
    };
    for (leave, come) in [("freeze", "thaw"), ("kill", "start")] {
        pair.standby.order(leave);
        let (act, asked) = thing();
        pair.backend.will(act);
        assert_eq!(pair.told(asked).await, "201 no", "{leave}");
        pair.comes(|status| !status.is_answering()).await;
        let (act, asked) = thing();
        pair.backend.will(act);
        assert_eq!(pair.told(asked).await, "201 no", "{leave}");

        pair.standby.order(come);
        pair.comes(Status::is_answering).await;
        // A slow machine may take longer than the wait now and then.
        loop {
            let (act, asked) = thing();
            pair.backend.will(act);
            match pair.told(asked).await.as_str() {
                "201 yes" => break,
                other => assert_eq!(other, "201 no", "{come}"),
            }
        }
    }
}

/// Finding 7: a promoted server says yes to a wait for any smaller number. Its epoch says no.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_standby_that_was_promoted_confirms_nothing_and_shuts_the_gate() {
    let Some(mut pair) = Pair::start("required", "2s", "10s").await else {
        return;
    };
    pair.on_standby("STOP SLAVE").await;
    pair.on_standby("RESET SLAVE ALL").await;
    pair.on_standby("SET GLOBAL gtid_slave_pos = '0-2-1000000'")
        .await;
    let waited: i64 = sqlx::query_scalar("SELECT MASTER_GTID_WAIT('0-1-999999', 1)")
        .fetch_one(&mut pair.there)
        .await
        .unwrap();
    assert_eq!(waited, 0, "the wait alone believes it");
    pair.on_standby("INSERT INTO relay.ha_epoch VALUES (1, 'b', '0-1-1', 'failover', 0)")
        .await;
    let answer = pair.told(create("t1")).await;
    assert!(answer.starts_with("503 "), "{answer}");
    pair.comes(|status| status.newer_epoch == Some(1)).await;
    assert!(!pair.gate.is_open());
    assert_eq!(pair.backend.heard(), 0);
    assert_eq!(pair.rows_there("succeeded").await, 0);
    assert_eq!(
        pair.told(create("t2")).await,
        "503 - standby none true",
        "the gate is shut"
    );
}
