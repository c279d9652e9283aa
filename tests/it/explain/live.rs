//! `--live`: the rows, counts and unsettled operations of a running relay.

use serde_json::{Value, json};

use crate::support::program::{Folder, Keeping, Served, run, told};

fn explain(folder: &Folder, served: &Served, typed: &[&str]) -> (i32, Value) {
    let admin = format!("http://{}", served.admin);
    let mut all = vec!["explain"];
    all.extend(typed);
    all.extend(["--config", folder.argument(), "--live", "--admin", &admin]);
    all.extend(["--format", "json"]);
    let (status, out, said) = told(&run(&all));
    let value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{said}"));
    (status, value)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_come_from_the_running_relay_and_nothing_is_sent() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&format!("http://{}", backend.address));
    let served = Served::start(&folder);
    let made = served
        .ask("POST", "/v1/things", "", json!({ "id": "t1", "name": "x" }))
        .await;
    assert_eq!(made.status, 201, "{made:?}");
    let before = backend.state().heard.len();

    let (status, account) = explain(&folder, &served, &["GET", "/v1/things/t1"]);
    assert_eq!(status, 0, "{account}");
    let row = &account["rows"][0];
    assert_eq!(
        (&row["found"], &row["backend"]),
        (&json!(true), &json!("one"))
    );
    let id = row["backend_id"].as_str().unwrap();
    let url = account["call"]["url"].as_str().unwrap();
    assert_eq!(url, format!("http://{}/api/things/{id}", backend.address));
    assert_eq!(account["notes"], json!([]));

    // A create of what is mapped, and a row that is given wins over the relay's.
    let again = ["POST", "/v1/things", "--body", r#"{"id":"t1","name":"y"}"#];
    let (status, account) = explain(&folder, &served, &again);
    assert_eq!(
        (status, &account["refused"]["problem"]["code"]),
        (1, &json!("already_mapped"))
    );
    let given = ["GET", "/v1/things/t1", "--mapping", "thing/t1=one:999"];
    let (_, account) = explain(&folder, &served, &given);
    assert_eq!(account["rows"][0]["backend_id"], "999");
    let (status, account) = explain(&folder, &served, &["GET", "/v1/things/t2"]);
    assert_eq!(
        (status, &account["refused"]["problem"]["code"]),
        (1, &json!("not_mapped"))
    );

    assert_eq!(backend.state().heard.len(), before, "something was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operation_in_the_way_is_what_the_cmp_would_get() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&format!("http://{}", backend.address));
    let served = Served::start(&folder);
    // Made, and never answered: the operation is unknown.
    let body = json!({ "id": "t1", "name": "mute" });
    let lost = served.ask("POST", "/v1/things", "k1", body.clone()).await;
    assert_eq!(lost.code(), "outcome_unknown", "{lost:?}");

    for (method, path, typed) in [
        ("POST", "/v1/things", Some(body.to_string())),
        ("GET", "/v1/things/t1", None),
    ] {
        let sent = typed
            .as_deref()
            .map_or(Value::Null, |text| serde_json::from_str(text).unwrap());
        let real = served.ask(method, path, "", sent).await;
        let mut all = vec![method, path];
        all.extend(typed.iter().flat_map(|body| ["--body", body.as_str()]));
        let (status, account) = explain(&folder, &served, &all);
        assert_eq!(status, 1, "{account}");
        assert_eq!(account["refused"]["problem"], real.body, "{method}");
        assert_eq!(account["refused"]["status"], real.status, "{method}");
        assert_eq!(account["call"], Value::Null);
    }

    // A key that is taken, and a folder that is not what is served.
    let other = [
        "POST",
        "/v1/things",
        "--body",
        r#"{"id":"t9","name":"z"}"#,
        "--header",
        "Idempotency-Key: k1",
    ];
    folder.edit("routes.d/thing.yaml", "tag: \"cmp:", "tag: \"cmp-");
    let (_, account) = explain(&folder, &served, &other);
    let notes = account["notes"].to_string();
    assert!(notes.contains("serves another configuration"), "{notes}");
    assert!(
        notes.contains("which is unknown, has this key of anonymous"),
        "{notes}"
    );
}

#[test]
fn a_relay_that_does_not_answer_is_said() {
    let folder = Folder::new("http://box.example.net");
    let typed = [
        "explain",
        "GET",
        "/v1/things",
        "--config",
        folder.argument(),
        "--live",
    ];
    let (status, _, said) = told(&run(
        &[&typed[..], &["--admin", "http://127.0.0.1:9"]].concat()
    ));
    assert_eq!(status, 1);
    assert!(said.contains("does the relay run?"), "{said}");
}
