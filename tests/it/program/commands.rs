//! Every command: what it prints, its exit status, its help.

use serde_json::{Value, json};

use super::thing;
use crate::support::program::{Folder, Keeping, Served, run, run_in, told};
use crate::support::scripted::{Act, Scripted};

#[tokio::test]
async fn a_listener_that_others_reach_needs_clients_and_tls() {
    let folder = Folder::new("http://127.0.0.1:1");
    folder.write("relay.yaml", "listen: 0.0.0.0:0\n");
    for command in ["serve", "validate-config", "migrate"] {
        let (status, out, said) = told(&run(&[command, "--config", folder.argument()]));
        assert_eq!(status, 1, "{command}: {out}{said}");
        let all = out + &said;
        assert!(
            all.contains(
                "others than this machine reach this address; it needs `clients` and `tls`"
            ),
            "{all}"
        );
        assert!(all.contains("relay.yaml:1:9"), "{all}");
    }
}

#[test]
fn the_status_says_whether_a_thing_is_wrong_or_the_command() {
    let folder = Folder::new("http://127.0.0.1:1");
    let broken = Folder::new("http://127.0.0.1:1");
    broken.edit("routes.d/thing.yaml", "body.name", "body.nmae");
    let (fine, wrong) = (folder.argument(), broken.argument());
    // A port that nothing listens on: the discard service of RFC 863, which no test machine runs.
    let nobody = "http://127.0.0.1:9";
    let cases: [(&[&str], i32, &str); 24] = [
        (
            &["validate-config", "--config", fine],
            0,
            "makes a second object",
        ),
        (
            &["validate-config", "--config", wrong],
            1,
            "did you mean `body.name`?",
        ),
        (
            &["validate-config", "--config", "no/such/folder"],
            2,
            "no/such/folder",
        ),
        (&["serve", "--config", wrong], 1, "does not compile"),
        (
            &["serve", "--config", "no/such/folder"],
            2,
            "there is no folder",
        ),
        (&["migrate", "--config", fine], 0, "ran "),
        (&["migrate", "--config", wrong], 1, "does not compile"),
        (
            &["migrate", "--config", "no/such/folder"],
            2,
            "there is no folder",
        ),
        (
            &["probe", "one", "--config", fine],
            1,
            "failed  connecting: ",
        ),
        (
            &["probe", "oen", "--config", fine],
            2,
            "did you mean `one`?",
        ),
        (&["token", "new", "cmp"], 0, "token_sha256"),
        (&["token", "new", "a b"], 2, "a client's name is made of"),
        (
            &["token", "new", "cmp", "--role", "king"],
            2,
            "invalid value",
        ),
        (&["routes", "--admin", nobody], 1, "does the relay run?"),
        (&["backends", "--admin", nobody], 1, "does the relay run?"),
        (
            &["mappings", "list", "--admin", nobody],
            1,
            "does the relay run?",
        ),
        (
            &["operations", "list", "--admin", nobody],
            1,
            "does the relay run?",
        ),
        (
            &["operations", "list", "--state", "lost"],
            2,
            "possible values",
        ),
        (
            &["operations", "list", "--admin", "nowhere"],
            2,
            "invalid value",
        ),
        (&["operations", "resolve", "x"], 2, "--succeeded"),
        (
            &["operations", "resolve", "x", "--succeeded", "--reply", "{"],
            2,
            "--reply is not JSON",
        ),
        (&["routes", "--format", "xml"], 2, "possible values"),
        (&["sevre"], 2, "serve"),
        (&[], 2, "Usage"),
    ];
    for (arguments, expected, words) in cases {
        let (status, out, said) = told(&run(arguments));
        assert_eq!(status, expected, "{arguments:?}\n{out}{said}");
        assert!((out + &said).contains(words), "{arguments:?}: no {words}");
    }
}

/// Of every command that asks a running relay; an option on the command line holds over its variable.
#[test]
fn the_environment_names_the_relay_and_its_ca() {
    let asks: [&[&str]; 4] = [
        &["ha", "status"],
        &["routes"],
        &["operations", "list"],
        &["reload"],
    ];
    let listener = ("CMP_RELAY_ADMIN", "http://127.0.0.1:9");
    let ca = ("CMP_RELAY_CA_FILE", "no/such/ca.pem");
    for arguments in asks {
        let (status, out, said) = told(&run_in(&[listener], arguments));
        let words = "no answer from http://127.0.0.1:9/; does the relay run?";
        assert!(
            status == 1 && said.contains(words),
            "{arguments:?}: {out}{said}"
        );
        let (status, out, said) = told(&run_in(&[listener, ca], arguments));
        let words = "cannot read no/such/ca.pem";
        assert!(
            status == 1 && said.contains(words),
            "{arguments:?}: {out}{said}"
        );
        let typed = [arguments, &["--admin", "http://127.0.0.1:19"]].concat();
        let (_, out, said) = told(&run_in(&[listener], &typed));
        assert!(said.contains("127.0.0.1:19"), "{arguments:?}: {out}{said}");
        let (_, help, _) = told(&run(&[arguments, &["--help"]].concat()));
        for (name, _) in [listener, ca] {
            assert!(help.contains(&format!("[env: {name}]")), "{help}");
        }
    }
    let (status, _, said) = told(&run_in(&[("CMP_RELAY_ADMIN", "nowhere")], &["routes"]));
    assert!(status == 2 && said.contains("--admin"), "{said}");
}

#[tokio::test]
async fn a_probe_logs_in_and_out_and_changes_nothing() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    super::with_login(&folder, "5s");
    let probe = async |more: &[&str]| {
        let arguments = [&["probe", "one", "--config", folder.argument()], more].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            told(&run(&arguments))
        })
        .await
        .unwrap()
    };
    let (status, out, said) = probe(&[]).await;
    assert_eq!(status, 0, "{out}{said}");
    assert!(
        out.contains("ok      authenticating: `auth` is logged in"),
        "{out}"
    );
    assert_eq!(backend.state().heard, ["POST /login", "POST /logout"]);

    let (status, out, said) = probe(&["--format", "json"]).await;
    assert_eq!(status, 0, "{out}{said}");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(told["backend"], "one");
    assert_eq!(told["failed"], Value::Null);
    assert_eq!(told["steps"][0]["step"], "connecting");
}

#[test]
fn every_command_explains_itself() {
    let commands: [&[&str]; 23] = [
        &[],
        &["demo"],
        &["serve"],
        &["validate-config"],
        &["probe"],
        &["migrate"],
        &["token"],
        &["token", "new"],
        &["operations"],
        &["operations", "list"],
        &["operations", "show"],
        &["operations", "resolve"],
        &["mappings"],
        &["mappings", "list"],
        &["mappings", "show"],
        &["mappings", "adopt"],
        &["mappings", "forget"],
        &["mappings", "export"],
        &["routes"],
        &["backends"],
        &["host-keys"],
        &["host-keys", "list"],
        &["host-keys", "forget"],
    ];
    for command in commands {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let (status, out, said) = told(&run(&arguments));
        assert_eq!((status, said.as_str()), (0, ""), "{command:?}");
        assert!(out.contains("Usage: cmp-relay"), "{command:?}: {out}");
        // Every argument says what it is for, beside its name or below it.
        let lines: Vec<&str> = out.lines().collect();
        for pair in lines.windows(2).filter(|pair| pair[0].starts_with("  ")) {
            let name = pair[0].trim();
            let is_name = name.starts_with(['<', '-']) && name.ends_with('>');
            assert!(
                !is_name || name.contains("  ") || !pair[1].trim().is_empty(),
                "{command:?}: `{name}` has no words\n{out}"
            );
        }
    }
    let (status, out, _) = told(&run(&["--version"]));
    assert_eq!(status, 0);
    assert!(out.starts_with("cmp-relay "), "{out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_relay_is_read_and_settled_from_the_command_line() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    folder.edit("backends.d/one.yaml", "timeout: 1s", "timeout: 300ms");
    let served = Served::start(&folder);
    let made = served
        .ask("POST", "/v1/things", "k1", thing("t1", "a"))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let lost = served
        .ask("POST", "/v1/things", "k2", thing("t2", "mute"))
        .await;
    assert_eq!((lost.status, lost.code()), (504, "outcome_unknown"));
    let operation = lost.body["operation"].as_str().unwrap().to_owned();
    let fine = |arguments: &[&str]| {
        let (status, out, said) = served.command(arguments);
        assert_eq!((status, said.as_str()), (0, ""), "{arguments:?}: {out}");
        out
    };

    let routes = fine(&["routes"]);
    assert!(routes.starts_with("METHOD  PATH "), "{routes}");
    assert!(routes.contains("POST    /v1/things "), "{routes}");
    let backends = fine(&["backends"]);
    assert!(
        backends.starts_with("NAME  KIND  DRIVER  ADDRESS"),
        "{backends}"
    );
    assert!(backends.contains("closed"), "{backends}");
    let mappings = fine(&["mappings", "list"]);
    assert!(
        mappings.starts_with("RESOURCE  CMP ID  BACKEND  BACKEND ID  CREATED\n"),
        "{mappings}"
    );
    assert!(
        mappings.contains("thing     t1      one      1 "),
        "{mappings}"
    );
    let shown = fine(&["mappings", "show", "thing", "t1"]);
    assert!(shown.contains("backend_id         1\n"), "{shown}");
    let unknown = fine(&["operations", "list", "--state", "unknown"]);
    assert_eq!(unknown.lines().count(), 2, "{unknown}");
    assert!(unknown.contains(&operation), "{unknown}");
    let shown = fine(&["operations", "show", &operation]);
    assert!(shown.contains("state            unknown\n"), "{shown}");

    for list in [
        &["routes"][..],
        &["backends"],
        &["mappings", "list"],
        &["operations", "list"],
    ] {
        let mut arguments = list.to_vec();
        arguments.extend(["--format", "json"]);
        let page: Value = serde_json::from_str(&fine(&arguments)).unwrap();
        assert!(!page["items"].as_array().unwrap().is_empty(), "{list:?}");
    }
    let row: Value = serde_json::from_str(&fine(&[
        "operations",
        "show",
        &operation,
        "--format",
        "json",
    ]))
    .unwrap();
    assert_eq!(row["state"], "unknown");

    // Settled, the retry is answered.
    let settled = fine(&[
        "operations",
        "resolve",
        &operation,
        "--succeeded",
        "--backend-id",
        "2",
        "--force",
    ]);
    assert_eq!(settled, format!("operation {operation}: succeeded\n"));
    let replay = served
        .ask("POST", "/v1/things", "k2", thing("t2", "mute"))
        .await;
    assert_eq!(replay.status, 201, "{replay:?}");
    assert!(replay.has("relay-settled: operator"), "{replay:?}");
    let (status, _, said) = served.command(&["operations", "resolve", &operation, "--failed"]);
    assert_eq!(status, 1);
    assert!(said.starts_with("error: 409 refused: "), "{said}");

    fine(&["mappings", "forget", "thing", "t1"]);
    fine(&[
        "mappings",
        "adopt",
        "thing",
        "t9",
        "--backend",
        "one",
        "--backend-id",
        "1",
    ]);
    let lines = fine(&["mappings", "export"]);
    let ids: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["cmp_id"].clone())
        .collect();
    assert_eq!(ids, [json!("t2"), json!("t9")]);
    let (status, _, said) = served.command(&["mappings", "show", "thing", "t1"]);
    assert_eq!(status, 1);
    assert!(said.starts_with("error: 404 not_mapped: "), "{said}");
}

/// What the standby may not have is said beside what was done, and nothing is said where it has it.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_the_standby_may_not_have_says_so() {
    let relay = Scripted::start().await;
    let url = relay.url();
    let adopt = "mappings adopt thing t1 --backend one --backend-id 1";
    for order in [
        adopt,
        "mappings forget thing t1",
        "operations resolve 1 --failed",
    ] {
        for (replicated, words) in [("yes", ""), ("off", ""), ("no", "not known to be on")] {
            relay.will(Act::Answer {
                status: 200,
                headers: vec![("relay-replicated".into(), replicated.into())],
                body: r#"{"state": "failed"}"#.into(),
            });
            let words_of_order: Vec<&str> = order.split(' ').collect();
            let (status, out, said) =
                told(&run(&[&words_of_order[..], &["--admin", &url]].concat()));
            assert_eq!(status, 0, "{order}: {said}");
            assert!(!out.is_empty(), "{order}");
            assert!(said.contains(words), "{order}, {replicated}: {said}");
            assert_eq!(said.is_empty(), words.is_empty(), "{order}: {said}");
        }
    }
}
