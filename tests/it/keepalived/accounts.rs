//! Each account can do what it must, and no more.

use super::{Servers, ask, root, sql};

/// Errors of the server: fenced, no such grant on a table, on a database, of the server.
const FENCED: u16 = 1290;
const DENIED: [u16; 3] = [1142, 1044, 1227];

const ROW: &str = "INSERT INTO relay.ha_epoch (epoch, node, fork_gtid, reason, at) VALUES (77, 'a', '', 'test', 1)";

#[tokio::test]
async fn each_account_can_do_what_it_must_and_no_more() {
    let Some(servers) = Servers::start().await else {
        return;
    };
    let (written, a) = (&servers.written, servers.a.port);

    let mut relay = written.connect("relay", a).await;
    let mut control = written.connect("relayha", a).await;
    let mut monitor = written.connect("relaymon", a).await;
    let mut repl = written.connect("repl", a).await;

    // The relay writes its rows; behind the fence it does not.
    sql(&mut relay, ROW).await.unwrap();
    sql(
        &mut relay,
        "UPDATE relay.ha_epoch SET reason = 'x' WHERE epoch = 77",
    )
    .await
    .unwrap();
    sql(
        &mut relay,
        "SELECT GET_LOCK('cmp-relay.relay', 0), @@last_gtid",
    )
    .await
    .unwrap();
    sql(&mut control, "SET GLOBAL read_only = 1").await.unwrap();
    let delete = "DELETE FROM relay.ha_epoch WHERE epoch = 77";
    assert_eq!(sql(&mut relay, delete).await, Err(FENCED));
    sql(&mut control, "SET GLOBAL read_only = 0").await.unwrap();
    sql(&mut relay, delete).await.unwrap();

    // What the pair needs to see.
    for statement in [
        "SHOW SLAVE STATUS",
        "SHOW GLOBAL VARIABLES",
        "SHOW MASTER STATUS",
        "SELECT @@global.gtid_binlog_pos, MASTER_GTID_WAIT('0-1-1', 0)",
        "START TRANSACTION WITH CONSISTENT SNAPSHOT; SHOW CREATE TABLE relay.operation; SELECT * FROM relay.mapping; COMMIT",
        "CHECKSUM TABLE relay.ha_epoch",
    ] {
        sql(&mut monitor, statement)
            .await
            .unwrap_or_else(|number| panic!("{statement}: {number}"));
    }

    // What a role and a rebuild need, on the standby: stop, change, write unseen, begin the log anew.
    let mut standby = written.connect("relayha", servers.b.port).await;
    let position = ask(&mut standby, "SELECT @@global.gtid_slave_pos").await;
    for statement in [
        "STOP SLAVE SQL_THREAD",
        "START SLAVE SQL_THREAD",
        "STOP SLAVE",
        "RESET SLAVE ALL",
        "SET SESSION sql_log_bin = 0; CREATE DATABASE IF NOT EXISTS relay; CREATE TABLE relay.t (id INT PRIMARY KEY); \
         INSERT INTO relay.t VALUES (1); ALTER TABLE relay.t ADD c INT; DROP TABLE relay.t; SET SESSION sql_log_bin = 1",
        "RESET MASTER",
        &format!("SET GLOBAL gtid_slave_pos = '{position}'"),
        "SET GLOBAL rpl_semi_sync_master_enabled = 1, GLOBAL rpl_semi_sync_slave_enabled = 1",
        "SET SESSION lock_wait_timeout = 3; SET GLOBAL read_only = 1",
        "FLUSH LOGS",
        "SHOW PROCESSLIST",
        "SHOW BINARY LOGS",
        "SELECT grantee FROM information_schema.user_privileges",
    ] {
        sql(&mut standby, statement)
            .await
            .unwrap_or_else(|number| panic!("{statement}: {number}"));
    }
    servers.follow().await;
    let mut other = root(servers.b.port).await;
    let id = ask(&mut other, "SELECT CONNECTION_ID()").await;
    sql(&mut standby, &format!("KILL {id}")).await.unwrap();

    // And no more.
    let outfile = "SELECT 1 INTO OUTFILE '/tmp/cmp-relay-test'";
    for (connection, statements) in [
        (
            &mut relay,
            &[
                "CREATE TABLE relay.t (id INT PRIMARY KEY)",
                "SET GLOBAL read_only = 0",
                "SELECT * FROM mysql.global_priv",
                "SHOW SLAVE STATUS",
                "SET SESSION sql_log_bin = 0",
            ][..],
        ),
        (
            &mut monitor,
            &[
                ROW,
                "SET GLOBAL read_only = 0",
                "STOP SLAVE",
                "SELECT * FROM mysql.global_priv",
            ],
        ),
        (
            &mut repl,
            &["SELECT * FROM relay.operation", ROW, "STOP SLAVE"],
        ),
        (
            &mut control,
            &[
                "CREATE USER x@localhost",
                "DELETE FROM mysql.global_priv",
                "GRANT ALL ON *.* TO relay@'127.0.0.1'",
                "SET GLOBAL general_log = 1",
                "SHUTDOWN",
                outfile,
            ],
        ),
    ] {
        for statement in statements {
            let denied = sql(connection, statement).await;
            // 1045 is what a missing FILE says.
            let right = denied.is_err_and(|number| DENIED.contains(&number) || number == 1045);
            assert!(right, "{statement}: {denied:?}");
        }
    }
    // A plain follower of a server that nobody follows does not wait for an acknowledgement of its own.
    sql(&mut relay, ROW).await.unwrap();
    servers.caught_up().await;
    let waits = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = 'Rpl_semi_sync_master_no_times'";
    assert_eq!(ask(&mut root(servers.b.port).await, waits).await, "0");
}
