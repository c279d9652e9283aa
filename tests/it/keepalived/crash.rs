//! What `before-mariadbd` does between a crash and the next start.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Written, ask, files, root, sql};

struct Before<'w> {
    written: &'w Written,
    data: String,
    state: PathBuf,
}

impl Before<'_> {
    /// Runs it; gives the options that it wrote.
    fn run(&self) -> String {
        let options = self.written.path("options");
        let ran = Command::new("sh")
            .arg(
                self.written
                    .path("a/usr/local/libexec/cmp-relay/before-mariadbd"),
            )
            .arg(&self.data)
            .arg(&self.state)
            .arg(&options)
            .output()
            .unwrap();
        assert!(
            ran.status.success(),
            "{}",
            String::from_utf8_lossy(&ran.stderr)
        );
        fs::read_to_string(options).unwrap()
    }

    /// The names of what was kept, and whether it is what lies in the data.
    fn kept(&self) -> Vec<String> {
        let found = match self.state.join("crash").exists() {
            true => files(&self.state.join("crash")),
            false => Vec::new(),
        };
        let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        for path in &found {
            let there = fs::read(Path::new(&self.data).join(name(path))).unwrap();
            assert_eq!(fs::read(path).unwrap(), there, "{}", path.display());
        }
        let mut names: Vec<String> = found.iter().map(name).collect();
        names.sort();
        names
    }
}

#[tokio::test]
async fn the_log_of_a_crashed_server_is_kept_once_and_its_end_only_cut_where_another_has_it() {
    let written = Written::new(&[]);
    let Some(mut server) = written.server("a") else {
        return;
    };
    let mut connection = root(server.port).await;
    let data = ask(&mut connection, "SELECT @@datadir").await;
    let state = written.path("state");
    fs::create_dir(&state).unwrap();
    let before = Before {
        written: &written,
        data,
        state,
    };
    sql(&mut connection, "CREATE TABLE relay.t (id INT PRIMARY KEY); FLUSH BINARY LOGS; INSERT INTO relay.t VALUES (1)")
        .await
        .unwrap();
    drop(connection);

    server.order("stop");
    assert_eq!(before.run(), "MYSQLD_OPTS=--init-rpl-role=SLAVE\n");
    assert_eq!(before.kept(), Vec::<String>::new(), "it stopped cleanly");

    server.order("start");
    sql(
        &mut root(server.port).await,
        "INSERT INTO relay.t VALUES (2)",
    )
    .await
    .unwrap();
    server.order("kill");
    before.run();
    assert_eq!(before.kept(), ["bin.000002", "bin.000003"]);
    // It is started again and again, and does not come up: nothing new is there to be kept.
    before.run();
    assert_eq!(before.kept().len(), 2);

    fs::write(
        before.state.join("ha.json"),
        "{\n  \"was\": \"active\",\n  \"standalone\": true\n}\n",
    )
    .unwrap();
    assert_eq!(before.run(), "MYSQLD_OPTS=--init-rpl-role=MASTER\n");
    fs::write(
        before.state.join("ha.json"),
        "{\n  \"standalone\": false\n}\n",
    )
    .unwrap();
    assert_eq!(before.run(), "MYSQLD_OPTS=--init-rpl-role=SLAVE\n");

    // What the server takes them for.
    server.order("start");
    assert_eq!(
        ask(&mut root(server.port).await, "SELECT COUNT(*) FROM relay.t").await,
        "2"
    );
}
