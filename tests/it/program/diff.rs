//! `diff` and `reload` on the command line.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::thing;
use crate::support::program::{Folder, Keeping, Served, run, told};

const ROUTES: &str = "routes.d/thing.yaml";

fn diff(next: &Folder, config: &Folder, more: &[&str]) -> (i32, String, String) {
    let mut arguments = vec!["diff", next.argument(), "--config", config.argument()];
    arguments.extend(more);
    told(&run(&arguments))
}

/// The same files in another folder.
fn copy(folder: &Folder) -> Folder {
    let copy = Folder::new("http://127.0.0.1:9");
    for name in [ROUTES, "backends.d/one.yaml", "relay.yaml"] {
        copy.write(name, &fs::read_to_string(folder.path().join(name)).unwrap());
    }
    copy
}

#[test]
fn two_folders_are_compared_key_by_key() {
    let now = Folder::new("http://127.0.0.1:9");
    let next = copy(&now);
    let (status, out, _) = diff(&next, &now, &[]);
    assert_eq!((status, &*out), (0, "nothing differs\n"));

    next.edit(ROUTES, "POST /v1/things\n", "POST /v2/things\n");
    next.edit(
        ROUTES,
        "name: \"{{ body.name }}\"\n        size",
        "name: \"x{{ body.name }}\"\n        size",
    );
    next.edit(ROUTES, "  delete_thing:", "  remove_thing:");
    next.edit("backends.d/one.yaml", "timeout: 1s", "timeout: 2s");
    next.edit("backends.d/one.yaml", "vdom: root", "vdom: other");
    next.relay("log: { level: debug }\n");
    let (status, out, err) = diff(&next, &now, &[]);
    assert_eq!(status, 0, "{out}{err}");
    assert_eq!(
        out,
        "\
+ route remove_thing (DELETE /v1/things/{id}) in routes.d/thing.yaml
- route delete_thing (DELETE /v1/things/{id})
~ route create_thing (POST /v1/things)
    match           POST /v1/things -> POST /v2/things
    call.body.name  {{ body.name }} -> x{{ body.name }}
~ backend one (http://127.0.0.1:9)
    vars.vdom       *** -> ***
    limits.timeout  1s -> 2s
~ relay.yaml
    log  added: {\"level\":\"debug\"}

only at the next start: log

a reload would take it
"
    );
    let (_, json, _) = diff(&next, &now, &["--format", "json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["verdict"], "harmless");
    let keys = &json["routes"]["changed"][0]["keys"];
    assert_eq!(
        keys[0],
        json!({ "path": "match", "from": "POST /v1/things", "to": "POST /v2/things" })
    );
}

#[test]
fn a_folder_that_does_not_compile_or_may_strand_something_is_no_success() {
    let now = Folder::new("http://127.0.0.1:9");
    let next = copy(&now);
    let backend = fs::read_to_string(next.path().join("backends.d/one.yaml")).unwrap();
    next.write(
        "backends.d/one.yaml",
        &backend.replace("name: one", "name: two"),
    );
    next.edit(ROUTES, "instance: one", "instance: two");
    let (status, out, _) = diff(&next, &now, &[]);
    assert_eq!(status, 1);
    assert!(out.contains("backend one is removed: not known"), "{out}");
    assert!(out.contains("`--live` asks it"), "{out}");
    next.edit(ROUTES, "body.name", "body.nmae");
    let (status, out, _) = diff(&next, &now, &[]);
    assert_eq!(status, 1);
    assert!(out.contains("did you mean `body.name`?"), "{out}");
    assert!(
        out.contains("does not compile: a reload of it changes nothing"),
        "{out}"
    );
    let (status, _, err) = told(&run(&["diff", "/nowhere"]));
    assert_eq!(
        (status, err.contains("there is no folder")),
        (2, true),
        "{err}"
    );
}

#[tokio::test]
async fn a_running_relay_tells_what_depends_on_it_and_reloads_when_told_to() {
    let backend = Keeping::start(0).await;
    let folder = Folder::new(&backend.url());
    let served = Served::start(&folder);
    let next = copy(&folder);
    let live = |next: &Folder, config: &Path| {
        let config = config.to_str().unwrap();
        served.command(&["diff", next.argument(), "--live", "--config", config])
    };
    let (status, out, err) = live(&next, folder.path());
    assert_eq!((status, &*out), (0, "nothing differs\n"), "{err}");

    next.edit(ROUTES, "PUT /v1/things/{id}", "PUT /v2/things/{id}");
    let (status, out, err) = live(&next, folder.path());
    assert_eq!(status, 0, "{out}{err}");
    assert!(
        out.contains("match  PUT /v1/things/{id} -> PUT /v2/things/{id}"),
        "{out}"
    );
    // Where the folder at hand is not what is served, only the names are known.
    let elsewhere = tempfile::tempdir().unwrap();
    let (_, out, _) = live(&next, elsewhere.path());
    assert!(
        out.contains("~ route put_thing (PUT /v1/things/{id})\n    which keys is not known"),
        "{out}"
    );

    for id in ["t1", "t2"] {
        let made = served.ask("POST", "/v1/things", "", thing(id, "a")).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    let text = fs::read_to_string(folder.path().join("backends.d/one.yaml")).unwrap();
    for folder in [&next, &folder] {
        folder.write(
            "backends.d/one.yaml",
            &text.replace("name: one", "name: two"),
        );
        folder.edit(ROUTES, "instance: one", "instance: two");
    }
    let (status, out, err) = live(&next, folder.path());
    assert_eq!(status, 1, "{out}{err}");
    let words = "backend one is removed: 2 mappings of thing on one (t1, t2)";
    assert!(out.contains(words), "{out}");
    assert!(out.contains("a reload would be refused"), "{out}");

    let (status, _, err) = served.command(&["reload"]);
    assert_eq!(status, 1);
    assert!(
        err.contains("backend one is removed: 2 mappings and 0 unsettled"),
        "{err}"
    );
    assert!(err.contains("`cmp-relay reload --force`"), "{err}");
    let (status, out, err) = served.command(&["reload", "--force"]);
    assert_eq!(status, 0, "{err}");
    assert!(
        out.contains("backends added: two") && out.contains("stranded: backend one"),
        "{out}"
    );
    let (status, out, _) = served.command(&["reload"]);
    assert_eq!(
        (status, out.contains("no route and no backend differs")),
        (0, true),
        "{out}"
    );
    folder.edit(ROUTES, "body.name", "body.nmae");
    let (status, _, err) = served.command(&["reload"]);
    assert_eq!(
        (status, err.contains("did you mean `body.name`?")),
        (1, true),
        "{err}"
    );
}
