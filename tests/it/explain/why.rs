//! Why a route, why a backend, which rows: what is said of them, and what is typed wrongly.

use std::sync::Arc;

use cmp_relay::backend::why::{Choice, Verdict, why};
use cmp_relay::backend::{Facts, choose};
use cmp_relay::cli::explain::account::Account;
use cmp_relay::cli::explain::text;
use cmp_relay::plan::{BackendId, Plan};
use cmp_relay::transform::{Root, Scope};
use serde_json::Value;

use super::{base, plan, told};
use crate::support::program::{Folder, run, told as output};

/// `METHOD path: what differs; ...` of each route that may have been meant.
fn near(account: &Account) -> Vec<String> {
    let words = |miss: &cmp_relay::cli::explain::account::NearAccount| {
        let differs: Vec<&str> = miss.differs.iter().map(|d| d.words.as_str()).collect();
        format!("{} {}: {}", miss.method, miss.path, differs.join("; "))
    };
    account.near.iter().map(words).collect()
}

const SEARCH: &str = r#"
version: 1
resource: item
kind: box
routes:
  list_items:
    match: GET /v1/items
    call: { http: GET /api }
  get_item:
    match: GET /v1/items/{id}
    object: "{{ path.id }}"
    call: { http: GET /api }
  find_items:
    match: GET /v1/items/search
    call: { http: GET /api }
  count_items:
    match: GET /v1/items/{id}/count
    object: "{{ path.id }}"
    call: { http: GET /api }
  empty_items:
    match: POST /v1/items/{id}/empty
    safe: true
    object: "{{ path.id }}"
    call: { http: GET /api }
  adopt_item:
    match: POST /v1/items/adopt
    safe: true
    call: { http: GET /api }
"#;

#[test]
fn what_was_meant_is_named_with_what_differs() {
    let plan = plan(&base(&[("routes.d/item.yaml", SEARCH)]));
    let cases: [(&str, &str, &[&str]); 9] = [
        // Nothing fits.
        (
            "GET",
            "/v1/itmes/i1",
            &["GET /v1/items/{id}: has `items` as segment 2, not `itmes`"],
        ),
        (
            "GET",
            "/v1/Items",
            &["GET /v1/items: has `items` as segment 2, not `Items`"],
        ),
        (
            "GET",
            "/v1/items/i1/cuont",
            &["GET /v1/items/{id}/count: has `count` as segment 4, not `cuont`"],
        ),
        (
            "GET",
            "/v1/items/i1/count/x",
            &["GET /v1/items/{id}/count: has one segment less: no `x` as segment 5"],
        ),
        (
            "GET",
            "/items",
            &["GET /v1/items: has one segment more: `v1` as segment 1"],
        ),
        // The path fits.
        ("PUT", "/v1/items", &["GET /v1/items: takes GET"]),
        (
            "GET",
            "/v1/items/adopt",
            &[
                "GET /v1/items/{id}: fits too, and `/v1/items/adopt` goes first: a word stands before a parameter",
                "POST /v1/items/adopt: takes POST",
            ],
        ),
        // A parameter has taken a word.
        (
            "GET",
            "/v1/items/serach",
            &[
                "GET /v1/items/search: has `search` as segment 3, not `serach`; `{id}` of another path took it",
            ],
        ),
        ("GET", "/v1/items/i1", &[]),
    ];
    for (method, path, expected) in cases {
        let account = told(&plan, &[method, path]);
        assert_eq!(near(&account), expected, "{method} {path}");
    }
    let trailing = told(&plan, &["GET", "/v1/items/"]);
    assert!(
        near(&trailing)[0].starts_with("GET /v1/items: has no `/` at the end"),
        "{:?}",
        near(&trailing)
    );
}

/// Boxes at three sites, one of which drains.
fn boxes(select: &str) -> Arc<Plan> {
    let route = format!(
        "version: 1\nresource: job\nkind: box\nroutes:\n  run_job:\n    match: POST /v1/jobs\n    safe: true\n    \
         request:\n      body:\n        type: object\n        required: [site]\n        properties:\n          \
         site: {{ type: string }}\n          tenant: {{ type: string }}\n    select:\n{select}    call: {{ http: POST /api }}\n"
    );
    let one = |name: &str, site: &str, state: &str| {
        format!(
            "version: 1\nname: {name}\nkind: box\nlabels: {{ site: {site} }}\nvars: {{ vdom: root }}\nstate: {state}\n\
             driver:\n  https:\n    url: http://{name}.example.net\n"
        )
    };
    let (a, b) = (one("one", "tpe", "active"), one("two", "tpe", "active"));
    let (c, d) = (one("three", "tpe", "drain"), one("four", "khh", "active"));
    plan(&base(&[
        ("backends.d/one.yaml", &a),
        ("backends.d/two.yaml", &b),
        ("backends.d/three.yaml", &c),
        ("backends.d/four.yaml", &d),
        ("routes.d/job.yaml", &route),
    ]))
}

#[test]
fn every_instance_is_told_why_it_is_or_is_not_chosen() {
    let labels = "      labels: { site: \"{{ body.site }}\" }\n";
    let cases = [
        ("      prefer: first\n", "`prefer: first`"),
        ("      prefer: round_robin\n", "take turns"),
        ("      prefer: least_objects\n", "it has the fewest, 0"),
        (
            "      prefer: hash\n      hash_on: \"{{ body.site }}\"\n",
            "`prefer: hash` of `tpe`",
        ),
    ];
    for (prefer, words) in cases {
        let plan = boxes(&format!("{labels}{prefer}"));
        let account = told(&plan, &["POST", "/v1/jobs", "--body", r#"{"site":"tpe"}"#]);
        let chosen = account.backend.unwrap();
        assert!(chosen.words.contains(words), "{}", chosen.words);
        let verdict = |name: &str| {
            let mut all = chosen.considered.iter();
            all.find(|one| one.name == name).unwrap().verdict
        };
        assert_eq!(verdict("four"), "other_labels");
        let both = [verdict("one"), verdict("two")];
        assert!(
            both.contains(&"chosen") && both.contains(&"matches"),
            "{both:?}"
        );
        // The call goes where it says.
        let url = serde_json::to_value(account.call).unwrap()["url"].clone();
        let name = chosen.name.unwrap();
        assert_eq!(url, format!("http://{name}.example.net/api"));
    }
    let plan = boxes(&format!("{labels}      prefer: first\n"));
    let account = told(
        &plan,
        &["POST", "/v1/jobs", "--body", r#"{"site":"nowhere"}"#],
    );
    let none = account.backend.unwrap();
    assert_eq!(none.name, None);
    let four = &none.considered[0];
    assert_eq!(four.name, "four");
    assert_eq!(four.words, "no: its label `site` is `khh`, not `nowhere`");
    assert_eq!(account.refused.unwrap().at, "chosen");
}

#[test]
fn a_draining_instance_takes_nothing_new_and_an_absent_label_is_named() {
    let mut files = base(&[]);
    for (path, text) in &mut files {
        if path == "backends.d/one.yaml" {
            *text = text.replace("labels:\n  site: tpe", "state: drain");
        }
    }
    let two = "version: 1\nname: two\nkind: box\nlabels: { site: khh }\nvars: { vdom: root }\ndriver:\n  \
               https:\n    url: http://two.example.net\n";
    files.push(("backends.d/two.yaml".to_owned(), two.to_owned()));
    let route = "version: 1\nresource: job\nkind: box\nroutes:\n  a:\n    match: POST /v1/a\n    select: { instance: one }\n    call: { http: POST /api }\n  \
                 b:\n    match: GET /v1/b/{site}\n    select:\n      labels: { site: \"{{ path.site }}\" }\n    \
                 call: { http: GET /api }\n";
    files.push(("routes.d/job.yaml".to_owned(), route.to_owned()));
    let plan = plan(&files);
    let drains = told(&plan, &["POST", "/v1/a"]).backend.unwrap();
    assert_eq!(drains.considered[0].verdict, "drains");
    let account = told(&plan, &["GET", "/v1/b/tpe"]);
    assert_eq!(
        account.backend.unwrap().considered[0].words,
        "no: it has no label `site`, and `tpe` is asked for"
    );
    // What is mapped there is served all the same.
    let served = told(
        &plan,
        &["GET", "/v1/things/t1", "--mapping", "thing/t1=one:7"],
    );
    let backend = served.backend.unwrap();
    assert_eq!((backend.by, backend.state), ("object", Some("drain")));
    assert!(
        backend.words.ends_with("what is mapped there is served"),
        "{}",
        backend.words
    );
}

#[test]
fn what_is_written_down_is_told_before() {
    let plan = plan(&base(&[]));
    let body = r#"{"id":"t1","name":"x"}"#;
    let account = told(
        &plan,
        &[
            "POST",
            "/v1/things",
            "--body",
            body,
            "--header",
            "Idempotency-Key: k1",
        ],
    );
    let record = account.record.unwrap();
    assert_eq!(record.claim.unwrap().cmp_id, "t1");
    let effect = &record.effects[0];
    assert_eq!(
        (effect.verb, effect.object.cmp_id.as_str()),
        ("create", "t1")
    );
    assert_eq!(
        effect.backend_id_from.as_deref(),
        Some("from `$.key` of the answer")
    );
    assert_eq!(
        effect.attributes_from["revision"],
        "from `$.revision` of the answer, if it is there"
    );
    let key = account.idempotency.unwrap();
    assert_eq!((key.by, key.key.as_deref()), ("header", Some("k1")));

    let natural = told(&plan, &["POST", "/v1/things", "--body", body])
        .idempotency
        .unwrap();
    assert_eq!(
        (natural.by, natural.key.as_deref()),
        ("object", Some("thing t1"))
    );
    let made = told(
        &plan,
        &["POST", "/v1/made-things", "--body", r#"{"name":"x"}"#],
    );
    assert_eq!(made.idempotency.unwrap().by, "none");
    assert!(
        made.notes[0].contains("made by the relay"),
        "{:?}",
        made.notes
    );
    let read = told(&plan, &["GET", "/v1/things"]);
    assert!(read.record.is_none() && read.idempotency.is_none());
}

#[test]
fn a_row_that_is_missing_comes_with_the_words_that_give_it() {
    let plan = plan(&base(&[]));
    let missing = told(&plan, &["GET", "/v1/things/it%27s%20t1"]);
    let row = &missing.rows[0];
    assert_eq!((row.purpose.as_str(), row.found), ("object", false));
    let remedy = row.remedy.as_deref().unwrap();
    assert_eq!(
        remedy,
        r"to try it with one: --mapping 'thing/it'\''s t1=one:ID'"
    );
    let given = told(
        &plan,
        &[
            "GET",
            "/v1/things/it%27s%20t1",
            "--mapping",
            "thing/it's t1=one:ID",
        ],
    );
    assert!(given.call.is_some());
    assert_eq!(given.rows[0].backend_id.as_deref(), Some("ID"));
}

#[test]
fn rows_come_from_every_form_of_file() {
    let folder = Folder::new("http://box.example.net");
    folder.write(
        "rows.yaml",
        "- resource: thing\n  cmp_id: t1\n  backend: one\n  backend_id: \"7\"\n  attributes: { revision: r1 }\n",
    );
    folder.write(
        "rows.json",
        r#"[{"resource":"thing","cmp_id":"t1","backend":"one","backend_id":"7"}]"#,
    );
    folder.write(
        "export.jsonl",
        concat!(
            r#"{"resource":"thing","cmp_id":"t1","scope":"","backend":"one","kind":"box","backend_id":"7","#,
            r#""attributes":{},"created_operation":null,"updated_operation":null,"created_at":"x","updated_at":"y"}"#,
            "\n"
        ),
    );
    folder.write(
        "example.yaml",
        "mappings:\n  - { resource: thing, cmp_id: t1, backend: one, backend_id: \"7\" }\n",
    );
    let explain = |mapping: &str| {
        output(&run(&[
            "explain",
            "GET",
            "/v1/things/t1",
            "--config",
            folder.argument(),
            "--mapping",
            mapping,
        ]))
    };
    for name in ["rows.yaml", "rows.json", "export.jsonl", "example.yaml"] {
        let path = folder.path().join(name);
        let (status, out, said) = explain(path.to_str().unwrap());
        assert_eq!(status, 0, "{name}: {out}{said}");
        assert!(
            out.contains("GET http://box.example.net/api/things/7\n"),
            "{out}"
        );
    }
    folder.write(
        "wrong.yaml",
        "- resource: thing\n  cmpid: t1\n  backend: one\n",
    );
    let wrong = folder.path().join("wrong.yaml");
    for (mapping, words) in [
        (
            "thing/t1=noe:7",
            "no backend is called `noe`; did you mean `one`?",
        ),
        (
            "thign/t1=one:7",
            "no resource is called `thign`; did you mean `thing`?",
        ),
        ("things.yaml", "is no file and no row"),
        ("thing/=one:7", "is empty"),
        (wrong.to_str().unwrap(), "did you mean `cmp_id`?"),
    ] {
        let (status, _, said) = explain(mapping);
        assert_eq!(status, 2, "{mapping}: {said}");
        assert!(said.contains(words), "{mapping}: {said}");
    }
}

#[test]
fn wrong_use_is_said_and_is_status_two() {
    let folder = Folder::new("http://box.example.net");
    let config = ["--config", folder.argument()];
    for (typed, words) in [
        (&["GET", "v1/things"][..], "must begin with `/`"),
        (&["GET", "/v1/a b"], "a blank is written `%20`"),
        (&["GET", "/v1/things#x"], "`%23`"),
        (&["G ET", "/v1/things"], "no HTTP method"),
        (
            &["GET", "/v1/things", "--header", "nonsense"],
            "`Name: value`",
        ),
        (
            &["POST", "/v1/things", "--body", "@no-such-file"],
            "cannot be read",
        ),
        (
            &["GET", "/v1/things", "--client", "cmp"],
            "there is no client `cmp`",
        ),
        (
            &["GET", "/v1/things", "--config", "no/such/folder"],
            "there is no folder",
        ),
        (&["GET"], "Usage"),
    ] {
        let mut all = vec!["explain"];
        all.extend(typed);
        if !typed.contains(&"--config") {
            all.extend(config);
        }
        let (status, _, said) = output(&run(&all));
        assert_eq!(status, 2, "{typed:?}: {said}");
        assert!(said.contains(words), "{typed:?}: {said}");
    }
    // A configuration that does not compile is not the command's fault.
    folder.edit("routes.d/thing.yaml", "body.name", "body.nmae");
    let (status, _, said) = output(&run(&[
        "explain",
        "GET",
        "/v1/things",
        "--config",
        folder.argument(),
    ]));
    assert_eq!(status, 1);
    assert!(said.contains("did you mean `body.name`?"), "{said}");
}

#[test]
fn what_the_relay_answers_itself_is_no_call_and_no_error() {
    let plan = plan(&base(&[]));
    for path in ["/openapi.json", "/docs", "/relay/v1/operations/x"] {
        let account = told(&plan, &["GET", path]);
        assert!(
            account.refused.is_none() && account.call.is_none(),
            "{path}"
        );
        assert!(
            account.notes[0].contains("answers this path itself"),
            "{path}"
        );
    }
}

#[test]
fn the_keys_of_the_json_are_a_contract() {
    let plan = plan(&base(&[]));
    let account = told(
        &plan,
        &["GET", "/v1/things/t1", "--mapping", "thing/t1=one:7"],
    );
    let value = serde_json::to_value(account).unwrap();
    let keys = |value: &Value| {
        let keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.join(" ")
    };
    assert_eq!(
        keys(&value),
        "request route near client rows backend call record idempotency refused notes"
    );
    assert_eq!(
        keys(&value["rows"][0]),
        "for resource cmp_id scope found backend backend_id attributes remedy"
    );
    assert_eq!(
        keys(&value["call"]),
        "driver method url headers body login timeout_ms"
    );
}

#[test]
fn the_variant_of_the_call_is_named() {
    let plan = boxes("      labels: { site: \"{{ body.site }}\" }\n      prefer: first\n");
    let plain = told(&plan, &["POST", "/v1/jobs", "--body", r#"{"site":"khh"}"#]);
    assert_eq!(plain.backend.unwrap().variant, None);

    let route = "version: 1\nresource: report\nkind: box\nroutes:\n  read:\n    match: GET /v1/reports/{site}\n    select:\n      \
                 labels: { site: \"{{ path.site }}\" }\n    call:\n      variants:\n        - when: { site: [khh, tnn] }\n          \
                 http: GET /a\n        - when: {}\n          http: GET /b\n";
    let two = "version: 1\nname: two\nkind: box\nlabels: { site: khh }\nvars: { vdom: root }\ndriver:\n  \
               https:\n    url: http://two.example.net\n";
    let plan = self::plan(&base(&[
        ("backends.d/two.yaml", two),
        ("routes.d/report.yaml", route),
    ]));
    for (site, variant, words) in [
        ("khh", "site: khh | tnn", "its variant for site: khh | tnn"),
        ("tpe", "", "its variant for all that are left"),
    ] {
        let account = told(&plan, &["GET", &format!("/v1/reports/{site}")]);
        let backend = account.backend.as_ref().unwrap();
        assert_eq!(backend.variant.as_deref(), Some(variant));
        let page = cmp_relay::cli::explain::text::render(&account);
        assert!(page.contains(words), "{page}");
    }
}

/// `why` only tells what `choose` does: over every preference, state, turn and label they agree.
#[test]
fn what_is_told_of_a_choice_is_the_choice() {
    let labels = "      labels: { site: \"{{ body.site }}\" }\n";
    let instance = "      instance: \"{{ optional body.tenant }}\"\n";
    let mut agreed = 0;
    for narrowed in [labels, instance, ""] {
        for prefer in ["first", "round_robin", "least_objects", "hash"] {
            let hashed = match prefer {
                "hash" => "      hash_on: \"{{ optional body.tenant }}\"\n",
                _ => "",
            };
            let plan = boxes(&format!("{narrowed}      prefer: {prefer}\n{hashed}"));
            let route = plan.route(plan.route_named("run_job").unwrap());
            for (site, tenant) in [
                ("tpe", Some("one")),
                ("khh", Some("three")),
                ("tpe", Some("nobody")),
                ("nowhere", None),
            ] {
                let mut scope = Scope::new();
                let mut body = serde_json::json!({ "site": site });
                if let Some(tenant) = tenant {
                    body["tenant"] = tenant.into();
                }
                scope.set(Root::Body, body);
                for (turn, mutating) in [(0, true), (1, true), (2, false), (5, false)] {
                    let objects = [turn, 3, 1, 2];
                    let facts = Facts {
                        parent: None,
                        objects: &objects,
                        turn,
                        mutating,
                        preferred: (turn == 5).then_some(BackendId(2)),
                    };
                    let chosen = choose(&plan, &route.select, &scope, &facts).ok();
                    let told = why(&plan, &route.select, &scope, &facts).ok();
                    let taken = told.and_then(|choice| match choice {
                        Choice::Selected(all) => all
                            .into_iter()
                            .find(|one| matches!(one.verdict, Verdict::Chosen(_)))
                            .map(|one| one.backend),
                        other => panic!("{other:?}"),
                    });
                    assert_eq!(taken, chosen, "{narrowed}{prefer} {site} {tenant:?} {turn}");
                    agreed += usize::from(chosen.is_some());
                }
            }
        }
    }
    assert!(agreed > 60, "only {agreed} choices were made");
}

/// The lines that tell how a create of a thing waits, with this in relay.yaml.
fn waits(replication: &str, route: &str) -> Vec<String> {
    let server = format!("version: 1\n{replication}");
    let mut files = base(&[("relay.yaml", &server)]);
    for (_, text) in &mut files {
        let plain = "    match: POST /v1/things\n";
        *text = text.replace(plain, &format!("{plain}{route}"));
    }
    let typed = [
        "POST",
        "/v1/things",
        "--body",
        r#"{"id": "t1", "name": "a"}"#,
    ];
    let account = told(&plan(&files), &typed);
    let told = serde_json::to_value(&account).unwrap();
    let lines = text::render(&account);
    let lines = lines
        .lines()
        .filter(|line| line.contains(" waits until ") || line.contains(" until it has "));
    let lines: Vec<String> = lines.map(|line| line.trim().to_owned()).collect();
    assert_eq!(told["record"]["confirm"].is_null(), lines.is_empty());
    lines
}

/// By the rule of the route, or else of the server, as a request goes (`confirm`).
#[test]
fn a_change_says_how_it_waits_for_the_standby() {
    let server = |rule: &str| {
        format!(
            "database: mysql://relay@127.0.0.1/relay\nreplication:\n  \
             standby: mysql://relay@10.0.0.2/relay\n  confirm: {rule}\n  timeout: 700ms\n"
        )
    };
    let required = [
        "confirm is required: the call waits until the standby has that, or is not made (700 ms at most, \
         then 503 standby_unconfirmed)",
        "and the answer to a success until it has the outcome, or is 504 standby_unconfirmed",
    ];
    let preferred = [
        "confirm is preferred: the call waits until the standby has that, where it confirms (700 ms at most)",
        "and the answer to a success until it has the outcome, and says in Relay-Replicated whether it has",
    ];
    let of_route = |rule: &str| format!("    replication: {{ confirm: {rule} }}\n");
    assert_eq!(waits(&server("required"), ""), required);
    assert_eq!(waits(&server("preferred"), ""), preferred);
    assert_eq!(waits(&server("none"), &of_route("required")), required);
    assert!(waits(&server("none"), "").is_empty());
    assert!(waits(&server("required"), &of_route("none")).is_empty());
    assert!(waits("", "").is_empty(), "there is no standby");
}
