//! A standby that was seeded by hand, on real servers: what `ha rejoin` takes it for.

use std::io::Write;
use std::process::{Command, Stdio};

use cmp_relay::ha::Control;
use cmp_relay::ha::class::{Class, Judgement, judge};
use sqlx::mysql::MySqlConnection;

use super::{Servers, ask, root, sql};
use crate::support::program::{run, told};

impl Servers {
    /// What `b` is to `a`, with the accounts that `b`'s relay has.
    async fn judged(&self) -> Judgement {
        let mut here = Control::new(&self.written.account("relayha", self.b.port));
        let mut active = Control::new(&self.written.account("relaymon", self.a.port));
        judge(&mut here, &mut active).await.unwrap()
    }

    /// The relay's rows of `a`, imported into `b` as any client would, after the log there has begun anew.
    async fn seed_naively(&self, b: &mut MySqlConnection) {
        let begin = "STOP SLAVE; RESET SLAVE ALL; RESET MASTER; SET GLOBAL gtid_slave_pos = ''; \
            SET GLOBAL read_only = 0; DROP DATABASE relay; CREATE DATABASE relay";
        sql(b, begin).await.unwrap();
        let client = |program: &str, port: u16| {
            let mut command = Command::new(program);
            command
                .args(["--no-defaults", "--host=127.0.0.1", "--user=root"])
                .arg(format!("--port={port}"));
            command
        };
        let dump = client("mariadb-dump", self.a.port)
            .args(["--single-transaction", "relay"])
            .output()
            .unwrap();
        assert!(
            dump.status.success(),
            "{}",
            String::from_utf8_lossy(&dump.stderr)
        );
        let mut import = client("mariadb", self.b.port)
            .arg("relay")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        import
            .stdin
            .take()
            .unwrap()
            .write_all(&dump.stdout)
            .unwrap();
        assert!(import.wait().unwrap().success());
        sql(b, "SET GLOBAL read_only = 1").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_in_the_log_of_a_standby_makes_it_diverged_until_it_is_rebuilt() {
    let Some(servers) = Servers::start().await else {
        return;
    };
    let (mut a, mut b) = (root(servers.a.port).await, root(servers.b.port).await);
    assert_eq!(servers.judged().await.class, Class::Clean, "it follows");

    // Numbers of the active node's that are greater than those of the import.
    for number in 0..150 {
        let insert = format!("INSERT INTO relay.meta (name, value) VALUES ('n{number}', 'x')");
        sql(&mut a, &insert).await.unwrap();
    }
    servers.seed_naively(&mut b).await;
    let found = servers.judged().await;
    assert_eq!(found.class, Class::Diverged, "{found:?}");
    assert_eq!(found.newest.map(|newest| newest.server), Some(2));

    // To say where it stands does not take its own log away.
    let at = ask(&mut a, "SELECT @@global.gtid_binlog_pos").await;
    let set = format!("SET GLOBAL gtid_slave_pos = '{at}'");
    sql(&mut b, &set).await.unwrap();
    assert_eq!(ask(&mut b, "SELECT @@global.gtid_current_pos").await, at);
    let found = servers.judged().await;
    assert_eq!(found.class, Class::Diverged, "{found:?}");

    // Nothing is held against a node that was rebuilt, nor once it follows.
    let relay = "b/etc/cmp-relay/relay.yaml";
    let state = servers.written.path("state");
    let state = state.to_str().unwrap();
    servers.written.edit(relay, "/var/lib/cmp-relay/ha", state);
    let folder = servers.written.path("b/etc/cmp-relay");
    let (status, out, said) = told(&run(&[
        "ha",
        "bootstrap",
        "--config",
        folder.to_str().unwrap(),
    ]));
    assert_eq!(status, 0, "{out}{said}");
    assert_eq!(servers.judged().await.class, Class::Clean);
    sql(&mut a, "DELETE FROM relay.meta WHERE name = 'n1'")
        .await
        .unwrap();
    servers.caught_up_as(&mut a, &mut b).await;
    assert_eq!(servers.judged().await.class, Class::Clean);

    // What a person with privileges writes there is seen.
    sql(&mut b, "DELETE FROM relay.meta WHERE name = 'n2'")
        .await
        .unwrap();
    assert_eq!(servers.judged().await.class, Class::Diverged);
}
