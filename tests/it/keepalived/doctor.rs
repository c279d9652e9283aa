//! `ha doctor` on a real pair of servers: every line green, and each one red once.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use serde_json::Value;
use sqlx::mysql::MySqlConnection;

use super::{Servers, files, root, sql};
use crate::support::program::{Folder, Served, run, told};

/// A healthy pair, the files of its node `a`, and the relay of the other node.
struct Pair {
    servers: Servers,
    keepalived: String,
    served: Option<Served>,
}

impl Pair {
    async fn start() -> Option<Self> {
        let servers = Servers::start().await?;
        let written = &servers.written;
        let scripts = written.path("a/usr/local/libexec/cmp-relay");
        for node in ["a", "b"] {
            let file = format!("{node}/etc/keepalived/keepalived.conf");
            written.edit(
                &file,
                "/usr/local/libexec/cmp-relay",
                scripts.to_str().unwrap(),
            );
        }
        fs::create_dir_all(written.path("proc/net/ipv4")).unwrap();
        fs::write(written.path("proc/net/ipv4/ip_nonlocal_bind"), "0\n").unwrap();

        // The other relay, as far as its admin listener goes: it knows the peer's token.
        let hashes = written.read("b/etc/cmp-relay/relay.yaml");
        let (_, peer) = hashes.split_once("name: peer").unwrap();
        let hash = peer.split('"').nth(1).unwrap();
        let folder = Folder::new("http://127.0.0.1:1");
        folder.relay(&format!(
            "clients:\n  - name: peer\n    token_sha256: [\"{hash}\"]\n    roles: [operator]\n"
        ));
        let served = Served::start(&folder);
        for file in files(folder.path()) {
            let path = file.strip_prefix(folder.path()).unwrap().to_owned();
            let copy = written.path("a/etc/cmp-relay").join(&path);
            if path.starts_with("routes.d") || path.starts_with("backends.d") {
                fs::create_dir_all(copy.parent().unwrap()).unwrap();
                fs::copy(file, copy).unwrap();
            }
        }
        let url = format!("http://{}", served.admin);
        written.edit("a/etc/cmp-relay/relay.yaml", "https://127.0.0.2:8081", &url);
        let keepalived = written.read("a/etc/keepalived/keepalived.conf");
        Some(Self {
            servers,
            keepalived,
            served: Some(served),
        })
    }

    /// Everything that it finds at node `a`, and its exit status.
    fn look(&self, more: &[&str]) -> (i32, Vec<Value>) {
        let at = |path: &str| self.servers.written.path(path).to_str().unwrap().to_owned();
        let owner = fs::metadata(at("a")).unwrap().uid().to_string();
        let arguments = [
            ("--config", at("a/etc/cmp-relay")),
            ("--keepalived", at("a/etc/keepalived/keepalived.conf")),
            ("--peer-keepalived", at("b/etc/keepalived/keepalived.conf")),
            (
                "--my-cnf",
                at("a/etc/mysql/mariadb.conf.d/70-cmp-relay.cnf"),
            ),
            ("--systemd", at("a/etc/systemd/system")),
            ("--proc-sys", at("proc")),
            ("--owner", owner),
            ("--format", "json".into()),
        ];
        let mut words = vec!["ha", "doctor"];
        for (name, value) in &arguments {
            if !more.contains(name) {
                words.extend([*name, value.as_str()]);
            }
        }
        words.extend(more);
        let (status, out, said) = told(&run(&words));
        let told: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{said}"));
        (status, told["findings"].as_array().unwrap().clone())
    }

    /// Asserts that this line, and no other of which it is not told, is wrong, in these words, and that a
    /// place and a remedy are named.
    fn red(&self, line: &str, words: &str, more: &[&str]) {
        let (status, found) = self.look(more);
        let of = |one: &Value, key: &str| one[key].as_str().unwrap().to_owned();
        let wrong: Vec<&Value> = found.iter().filter(|one| one["state"] == "wrong").collect();
        let hit = wrong
            .iter()
            .find(|one| of(one, "line") == line && of(one, "what").contains(words));
        let hit = hit.unwrap_or_else(|| panic!("{line}: {words}: {wrong:#?}"));
        assert_eq!(status, 1, "{line}: {words}");
        assert!(!of(hit, "remedy").is_empty(), "{hit}");
        if line != "server" && line != "peer-server" {
            assert!(!of(hit, "place").is_empty(), "{hit}");
        }
    }

    fn keepalived(&self, old: &str, new: &str, words: &str) {
        let file = "a/etc/keepalived/keepalived.conf";
        self.servers.written.edit(file, old, new);
        self.red("keepalived", words, &[]);
        fs::write(self.servers.written.path(file), &self.keepalived).unwrap();
    }

    fn file(&self, line: &str, path: &str, (old, new): (&str, &str), words: &str) {
        let before = self.servers.written.read(path);
        self.servers.written.edit(path, old, new);
        self.red(line, words, &[]);
        fs::write(self.servers.written.path(path), before).unwrap();
    }

    /// A statement that makes a line red, and the one that takes it back.
    async fn server(
        &self,
        on: &mut MySqlConnection,
        line: &str,
        words: &str,
        (bad, good): (&str, &str),
    ) {
        sql(on, bad)
            .await
            .unwrap_or_else(|number| panic!("{bad}: {number}"));
        self.red(line, words, &[]);
        sql(on, good)
            .await
            .unwrap_or_else(|number| panic!("{good}: {number}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_pair_is_green_and_each_line_can_be_red() {
    let Some(mut pair) = Pair::start().await else {
        return;
    };
    let (mut a, mut b) = (
        root(pair.servers.a.port).await,
        root(pair.servers.b.port).await,
    );
    // As Debian installs it, nobody is root over the network.
    for host in ["127.0.0.1", "::1"] {
        sql(&mut a, &format!("DROP USER IF EXISTS root@'{host}'"))
            .await
            .unwrap();
    }
    pair.servers.caught_up_as(&mut a, &mut b).await;

    let (status, found) = pair.look(&[]);
    let bad: Vec<&Value> = found.iter().filter(|one| one["state"] != "ok").collect();
    assert_eq!((status, bad), (0, Vec::new()));
    assert_eq!(found.len(), 21, "{found:#?}");

    // 1, 6, 10: what a server is set to.
    for (name, right, bad) in [
        ("gtid_strict_mode", "1", "0"),
        ("binlog_format", "'ROW'", "'MIXED'"),
        ("binlog_row_image", "'FULL'", "'MINIMAL'"),
        (
            "rpl_semi_sync_master_wait_point",
            "'AFTER_SYNC'",
            "'AFTER_COMMIT'",
        ),
        ("sync_binlog", "1", "0"),
        ("innodb_flush_log_at_trx_commit", "1", "2"),
    ] {
        let set = |value: &str| format!("SET GLOBAL {name} = {value}");
        pair.server(&mut a, "settings", name, (&set(bad), &set(right)))
            .await;
    }
    let sync = ("SET GLOBAL sync_binlog = 0", "SET GLOBAL sync_binlog = 1");
    pair.server(&mut b, "peer-settings", "sync_binlog", sync)
        .await;
    let id = ("SET GLOBAL server_id = 1", "SET GLOBAL server_id = 2");
    pair.server(&mut b, "pair", "server_id", id).await;
    let domain = (
        "SET GLOBAL gtid_domain_id = 4",
        "SET GLOBAL gtid_domain_id = 0",
    );
    pair.server(&mut b, "pair", "gtid_domain_id", domain).await;
    let net = (
        "SET GLOBAL slave_net_timeout = 60",
        "SET GLOBAL slave_net_timeout = 4",
    );
    pair.server(&mut a, "timeouts", "slave_net_timeout", net)
        .await;
    let kill = "SET GLOBAL rpl_semi_sync_slave_kill_conn_timeout";
    let kill = (format!("{kill} = 5"), format!("{kill} = 1"));
    pair.server(&mut a, "timeouts", "kill_conn_timeout", (&kill.0, &kill.1))
        .await;
    let logs = (
        "SET GLOBAL binlog_expire_logs_seconds = 3600",
        "SET GLOBAL binlog_expire_logs_seconds = 604800",
    );
    pair.server(&mut a, "disk", "kept for 1 h", logs).await;
    pair.red("disk", "of the disk are free", &["--least-free", "101"]);

    // 3, 12: accounts and tables.
    let account = (
        "CREATE USER app@'%'; GRANT ALL ON *.* TO app@'%'",
        "DROP USER app@'%'",
    );
    pair.server(&mut a, "accounts", "'app'@'%'", account).await;
    let table = (
        "CREATE TABLE relay.odd (i INT) ENGINE = MyISAM",
        "DROP TABLE relay.odd",
    );
    pair.server(&mut a, "tables", "`odd` is MyISAM", table)
        .await;
    pair.server(&mut a, "tables", "`odd` has no primary key", table)
        .await;
    pair.servers.caught_up_as(&mut a, &mut b).await;

    // 2, 7: files.
    let cnf = "a/etc/mysql/mariadb.conf.d/70-cmp-relay.cnf";
    pair.file(
        "files",
        cnf,
        ("read-only                 = ON", "read-only = OFF"),
        "`read-only`",
    );
    pair.file(
        "files",
        cnf,
        ("skip-slave-start          = ON", ""),
        "`skip-slave-start`",
    );
    let unit = "a/etc/systemd/system/keepalived.service.d/cmp-relay.conf";
    pair.file(
        "keepalived",
        unit,
        ("Restart=always", "Restart=no"),
        "not started again",
    );
    pair.keepalived("state BACKUP", "state MASTER", "`state` is not BACKUP");
    pair.keepalived("    nopreempt\n", "", "`nopreempt` is missing");
    pair.keepalived(
        "    init_fail\n",
        "    init_fail\n    weight 50\n",
        "has a weight",
    );
    pair.keepalived("    init_fail\n", "", "lacks `init_fail`");
    pair.keepalived("interval 1", "interval 0.5", "whole seconds");
    pair.keepalived("/check\"", "/chekc\"", "chekc");
    pair.keepalived("track_script", "track_skript", "nothing is tracked");
    pair.keepalived("    notify ", "    #notify ", "`notify` is missing");
    pair.keepalived(
        "127.0.0.9/8",
        "127.0.0.10/8",
        "no vrrp_instance has the address",
    );
    let script = pair
        .servers
        .written
        .path("a/usr/local/libexec/cmp-relay/notify");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o777)).unwrap();
    pair.red("keepalived", "could be changed by others", &[]);
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let theirs = "b/etc/keepalived/keepalived.conf";
    pair.file(
        "peer-keepalived",
        theirs,
        ("router_id 81", "router_id 82"),
        "virtual_router_id",
    );
    pair.file(
        "peer-keepalived",
        theirs,
        ("state BACKUP", "state MASTER"),
        "not BACKUP",
    );
    pair.file(
        "nonlocal-bind",
        "proc/net/ipv4/ip_nonlocal_bind",
        ("0", "1"),
        "ip_nonlocal_bind is on",
    );

    // 8, 9: rows that differ; nobody wrote them down in a log.
    let unseen = |change: &str| {
        format!("SET SESSION sql_log_bin = 0; {change}; SET SESSION sql_log_bin = 1")
    };
    let row = (
        unseen("UPDATE relay.ha_epoch SET reason = 'other'"),
        unseen("UPDATE relay.ha_epoch SET reason = 'first'"),
    );
    pair.server(&mut b, "rows", "`ha_epoch`", (&row.0, &row.1))
        .await;
    let promotion = (
        unseen(
            "INSERT INTO relay.ha_epoch (epoch, node, fork_gtid, reason, at) VALUES (2, 'b', '', 'x', 2)",
        ),
        unseen("DELETE FROM relay.ha_epoch WHERE epoch = 2"),
    );
    pair.server(
        &mut b,
        "epochs",
        "1 (a) here and 2 (b) there",
        (&promotion.0, &promotion.1),
    )
    .await;

    // Who follows whom.
    pair.server(
        &mut b,
        "replication",
        "the standby is writable",
        ("SET GLOBAL read_only = 0", "SET GLOBAL read_only = 1"),
    )
    .await;
    pair.server(
        &mut a,
        "replication",
        "no node is active",
        ("SET GLOBAL read_only = 1", "SET GLOBAL read_only = 0"),
    )
    .await;
    pair.server(
        &mut b,
        "replication",
        "does not run",
        ("STOP SLAVE", "START SLAVE"),
    )
    .await;

    // The other relay.
    let backend = "a/etc/cmp-relay/backends.d/one.yaml";
    pair.file(
        "plan",
        backend,
        ("timeout: 1s", "timeout: 2s"),
        "backend `one`",
    );
    let token = "a/etc/cmp-relay/secrets/peer";
    pair.file("peer", token, ("cmprelay_", "cmprelay-"), "401");
    drop(pair.served.take());
    pair.red("peer", "", &[]);

    // 5: a row of the standby's own. Nothing undoes it.
    sql(&mut b, "INSERT INTO relay.ha_epoch (epoch, node, fork_gtid, reason, at) VALUES (2, 'b', '', 'x', 2)")
        .await
        .unwrap();
    pair.red("errant", "rows that only it has", &[]);
    sql(&mut b, "STOP SLAVE; RESET SLAVE ALL").await.unwrap();
    pair.red("replication", "no server follows", &[]);

    pair.servers.b.order("kill");
    pair.red("peer-server", "127.0.0.1", &[]);
    pair.servers.a.order("kill");
    pair.red("server", "127.0.0.1", &[]);
}

#[test]
fn a_node_of_no_pair_is_told_so() {
    let folder = Folder::new("http://127.0.0.1:1");
    let (status, _, said) = told(&run(&["ha", "doctor", "--config", folder.argument()]));
    assert_eq!(status, 1);
    assert!(said.contains("this node is none of a pair"), "{said}");
}
