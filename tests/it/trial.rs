//! A relay with nothing real behind it: the shipped pack, and what a scene leaves behind.

use std::sync::Arc;

use bytes::Bytes;
use cmp_relay::config::{self, Env, Loaded};
use cmp_relay::diagnostics::text;
use cmp_relay::driver::{Answer, RenderedCall};
use cmp_relay::plan::Plan;
use cmp_relay::store::State;
use cmp_relay::trial::{self, Act, Asked, Report, Row, Run, Scene, Trial, inbound};
use http::{HeaderMap, Method};
use serde_json::{Value, json};

fn shipped() -> Arc<Plan> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let loaded = config::load(folder, &Env::new([]).ignoring_secrets());
    Arc::new(loaded.plan.expect("the shipped pack compiles"))
}

fn answer(status: u16, body: &Value) -> Act {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    Act::Answer(Answer {
        status,
        headers,
        body: Bytes::from(body.to_string()),
        body_error: None,
        sends: 1,
        ..Answer::default()
    })
}

fn create(act: Act) -> Scene {
    let body = json!({ "id": "n1", "region": "RegionOne", "name": "front" });
    let body = Bytes::from(body.to_string());
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().unwrap());
    Scene {
        inbound: inbound("cmp", Method::POST, "/v1/networks", headers, body),
        rows: Vec::new(),
        prefer: None,
        act,
    }
}

fn state(run: &Run) -> Option<State> {
    run.operation.as_ref().map(|row| row.state)
}

#[test]
fn a_create_is_called_recorded_and_answered() {
    let mut trial = Trial::new(shipped()).unwrap();
    let network = json!({
        "network": {
            "id": "be-net", "name": "front", "status": "ACTIVE", "admin_state_up": true,
            "shared": false, "router:external": false, "subnets": []
        }
    });
    let run = trial.run(create(answer(201, &network)));
    let reply = run.reply.as_ref().unwrap();
    assert_eq!(reply.status, 201);
    let [sent] = &run.calls[..] else {
        panic!("{:?}", run.calls)
    };
    let RenderedCall::Http(call) = &sent.call else {
        panic!("https")
    };
    assert_eq!(call.path_and_query, "/v2.0/networks");
    let body: Value = serde_json::from_slice(&call.body.as_ref().unwrap().1).unwrap();
    assert_eq!(body["network"]["description"], "cmp:n1");
    let intent = run.intent.as_ref().unwrap();
    assert_eq!(intent.state, State::Pending);
    assert_eq!(intent.effects[0].verb, "create");
    assert_eq!(state(&run), Some(State::Succeeded));
    assert_eq!(run.rows[0].backend_id.as_deref(), Some("be-net"));
}

#[test]
fn no_scene_sees_the_one_before() {
    let mut trial = Trial::new(shipped()).unwrap();
    // More failures in a row than any breaker takes, and the same object each time.
    for _ in 0..50 {
        let run = trial.run(create(Act::silence()));
        assert_eq!(run.reply.unwrap_err().error.code(), "outcome_unknown");
    }
    let run = trial.run(create(Act::unreachable()));
    assert_eq!(run.calls.len(), 1);
    assert_eq!(state(&run), Some(State::Failed));
    assert_eq!(run.rows, []);
    assert_eq!(run.reply.unwrap_err().error.code(), "backend_unreachable");
}

#[test]
fn what_is_read_of_the_mapping_table_is_told() {
    let plan = shipped();
    let mut trial = Trial::new(plan.clone()).unwrap();
    let row = Row {
        resource: "network".into(),
        cmp_id: "n1".into(),
        backend: "neutron-2".into(),
        backend_id: Some("be-net".into()),
        attributes: serde_json::Map::new(),
    };
    let row = row.mapping(&plan);
    let headers = HeaderMap::new();
    let path = "/v1/networks/n1";
    let mut scene = Scene {
        inbound: inbound("cmp", Method::DELETE, path, headers, Bytes::new()),
        rows: vec![row.clone()],
        prefer: None,
        act: answer(204, &Value::Null),
    };
    let run = trial.run(scene.clone());
    assert_eq!(plan.backend(run.calls[0].backend).name, "neutron-2".into());
    let asked = Asked::Object {
        key: row.key.clone(),
        found: Some(row.clone()),
    };
    assert_eq!(run.asked, [asked]);
    assert_eq!(run.rows, []);

    scene.rows.clear();
    let run = trial.run(scene);
    let asked = Asked::Object {
        key: row.key,
        found: None,
    };
    assert_eq!(run.asked, [asked]);
    assert!(run.calls.is_empty() && run.intent.is_none());
    assert_eq!(run.reply.unwrap_err().error.code(), "not_mapped");
}

/// A route with every kind of example, and one thing in it that may be replaced.
fn bundle(old: &str, new: &str) -> Vec<(String, String)> {
    let mut files = crate::support::relay::files_below(std::path::Path::new("tests/broken/base"));
    files.retain(|(path, _)| path.ends_with(".yaml") || path.starts_with("templates/"));
    for (path, text) in &mut files {
        if path == "routes.d/thing.yaml" {
            assert!(text.contains(old), "{old}");
            *text = text.replacen(old, new, 1);
        }
    }
    files
}

fn loaded(files: &[(String, String)]) -> Loaded {
    let files: Vec<_> = files
        .iter()
        .map(|(p, t)| (p.as_str(), t.as_str()))
        .collect();
    config::load_from_memory(&files, &Env::new([]).ignoring_secrets())
}

/// What the examples of a bundle come to.
fn played(files: &[(String, String)], only: &[&str]) -> (Report, Loaded) {
    let mut loaded = loaded(files);
    let text = text::render_text(&loaded.diagnostics, &loaded.files, false);
    let plan = loaded.plan.take().unwrap_or_else(|| panic!("{text}"));
    let only: Vec<_> = only.iter().map(|name| (*name).to_owned()).collect();
    let report = trial::play(&Arc::new(plan), &loaded.examples, &only).unwrap();
    (report, loaded)
}

/// Every difference, in one line each.
fn differences(old: &str, new: &str) -> Vec<String> {
    let (report, _) = played(&bundle(old, new), &[]);
    let lines = report.played.iter().flat_map(|one| &one.differences);
    lines.map(trial::Difference::line).collect()
}

#[test]
fn the_shipped_examples_hold_and_try_every_route_and_rule() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut loaded = config::load(folder, &Env::new([]).ignoring_secrets());
    let plan = Arc::new(loaded.plan.take().expect("the shipped pack compiles"));
    let report = trial::play(&plan, &loaded.examples, &[]).unwrap();
    let text = trial::text::render(&report, &loaded.files, true);
    assert!(report.played.len() >= 79, "{text}");
    assert_eq!(report.failed(), 0, "{text}");
    assert_eq!(report.coverage.without.len(), 0, "{text}");
    assert_eq!(report.coverage.unmet.len(), 0, "{text}");
}

#[test]
fn each_part_of_an_example_is_compared() {
    let none: [&str; 0] = [];
    assert_eq!(differences("", ""), none);
    for (old, new, said) in [
        (
            "http: POST /groups/5/things",
            "http: PUT /groups/5/things",
            "call.method: expected PUT, got POST",
        ),
        (
            "http: POST /groups/5/things",
            "http: POST /groups/6/things",
            "call.path: expected /groups/6/things, got /groups/5/things",
        ),
        (
            "query: { vdom: root }",
            "query: { vdom: toor }",
            "call.query.vdom: expected \"toor\", got \"root\"",
        ),
        (
            "query: { vdom: root }",
            "query: {}",
            "call.query.vdom: expected nothing, got \"root\"",
        ),
        (
            "port: 443, action: accept",
            "port: 443.5, action: accept",
            "call.body.port: expected 443.5, got 443",
        ),
        (
            "port: 443, action: accept",
            "port: 443.0, action: accept",
            "",
        ),
        (
            "body: { id: t1, name: web }\n",
            "body: { id: t1, name: bew }\n",
            "reply.body.name: expected \"bew\", got \"web\"",
        ),
        (
            "status: 201\n          body: { id: t1",
            "status: 200\n          body: { id: t1",
            "reply.status: expected 200, got 201",
        ),
        (
            "backend_id: \"7\", attributes: { revision: a1 } }\n      - name",
            "backend_id: \"8\", attributes: { revision: a1 } }\n      - name",
            "mapping.backend_id: expected 8, got 7",
        ),
        (
            "code: duplicate, detail: it exists",
            "code: twice",
            "reply.body.code: expected \"twice\", got \"duplicate\"",
        ),
        (
            "body: { id: t1, port: 80 }",
            "body: { id: \"*\", port: \"*\" }",
            "",
        ),
        (
            "expect_reply:\n          status: 204\n        expect_mapping: null",
            "expect_mapping: { cmp_id: t1 }",
            "mapping.cmp_id: expected thing `t1`, got no thing is mapped",
        ),
    ] {
        assert_eq!(
            differences(old, new),
            if said.is_empty() { vec![] } else { vec![said] },
            "{new}"
        );
    }
}

#[test]
fn a_call_that_is_made_or_missing_is_told() {
    let refused = "        response:\n          status: 204\n        expect_reply:\n          status: 204\n        expect_mapping: null\n";
    // Only the call is looked at.
    assert_eq!(differences(refused, ""), [""; 0]);
    // Nobody answers, and that is a failure which nothing expects.
    let silent = "        response: timeout\n";
    let [told] = &differences(refused, silent)[..] else {
        panic!("one difference")
    };
    assert!(told.contains("got 504 outcome_unknown"), "{told}");
    let unreachable = "        response: unreachable\n        expect_reply:\n          status: 502\n          body: { code: backend_unreachable, side_effect: none, safe_to_retry: true }\n        expect_mapping: { cmp_id: t1, backend_id: \"7\" }\n";
    assert_eq!(differences(refused, unreachable), [""; 0]);
    // It is refused before the call.
    let unmapped = differences(
        "        mappings:\n          - { resource: thing, cmp_id: t1, backend: fw-1, backend_id: \"7\" }\n        expect_call:\n          http: DELETE",
        "        expect_call:\n          http: DELETE",
    );
    assert_eq!(
        unmapped,
        [
            "call: expected a call, got none: the CMP is told 404 not_mapped (thing `t1` is not mapped to a backend object)"
        ]
    );
    let forbidden = "        expect_reply:\n          status: 404\n";
    let called = "        expect_call:\n          http: DELETE /things/7\n        response:\n          status: 204\n        expect_reply:\n          status: 204\n        expect_mapping: null\n";
    assert_eq!(
        differences(called, forbidden),
        [
            "call: expected no call, for this example has neither `response` nor `expect_call`, got DELETE /things/7"
        ]
    );
}

#[test]
fn a_difference_is_told_at_its_leaf() {
    let (report, loaded) = played(
        &bundle("body: { id: t1, port: 80 }", "body: { id: t1, port: 81 }"),
        &[],
    );
    let rendered = trial::text::render(&report, &loaded.files, false);
    assert!(
        rendered.contains("FAIL routes.d/thing.yaml: 6 examples, 1 failed\n"),
        "{rendered}"
    );
    assert!(
        rendered.contains(
            "  reply.body.port  (routes.d/thing.yaml:189:33)\n    expected 81\n    got      80\n"
        ),
        "{rendered}"
    );
    assert!(rendered.contains("passed, 1 failed, in "), "{rendered}");
}

#[test]
fn junit_is_well_formed_and_counts() {
    let (report, loaded) = played(
        &bundle(
            "body: { id: t1, name: web }\n",
            "body: { id: t1, name: \"<\\\"&\" }\n",
        ),
        &["create_thing"],
    );
    let xml = trial::junit::render(&report, &loaded.files);
    let document = roxmltree::Document::parse(&xml).unwrap();
    let root = document.root_element();
    assert_eq!(
        (root.attribute("tests"), root.attribute("failures")),
        (Some("2"), Some("1"))
    );
    let cases: Vec<_> = root
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
        .collect();
    assert_eq!(cases[0].attribute("classname"), Some("create_thing"));
    let failure = cases[0].first_element_child().unwrap();
    let message = failure.attribute("message").unwrap();
    assert_eq!(message, "reply.body.name: expected \"<\\\"&\", got \"web\"");
    assert!(failure.text().unwrap().starts_with("routes.d/thing.yaml:"));
    assert!(cases[1].first_element_child().is_none());
}

#[test]
fn what_no_example_tries_is_named_where_it_is_written() {
    let without = bundle(
        "      - name: the backend has one of this name\n        request:\n          path: { group_id: g1 }\n          body: { id: t1, name: web, port: 443, action: allow }\n        mappings:\n          - { resource: group, cmp_id: g1, backend: fw-1, backend_id: \"5\" }\n        response:\n          status: 400\n          body: { error: -5, message: it exists }\n        expect_reply:\n          status: 409\n          body: { code: duplicate, detail: it exists }\n        expect_mapping: null\n",
        "",
    );
    let (report, loaded) = played(&without, &["create_thing", "delete_thing"]);
    assert_eq!(report.coverage.routes, 2);
    let rendered = trial::text::render(&report, &loaded.files, false);
    assert!(
        rendered.contains(
            "no example meets the error rule 409 `duplicate` (create_thing, delete_thing)"
        ),
        "{rendered}"
    );
    assert!(
        rendered.contains("routes.d/shared/response.yaml:"),
        "{rendered}"
    );

    let mut bare = bundle("", "");
    bare.push((
        "routes.d/report.yaml".into(),
        "resource: report\nkind: fw\nroutes:\n  list_reports:\n    match: GET /v1/reports\n    call:\n      http: GET /reports\n".into(),
    ));
    let (report, loaded) = played(&bare, &["list_reports"]);
    let rendered = trial::text::render(&report, &loaded.files, false);
    assert!(
        rendered.contains("routes.d/report.yaml:4:3: `list_reports` has no example"),
        "{rendered}"
    );
}
