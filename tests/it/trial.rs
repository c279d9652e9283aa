//! A relay with nothing real behind it: the shipped pack, and what a scene leaves behind.

use std::sync::Arc;

use bytes::Bytes;
use cmp_relay::config::{self, Env};
use cmp_relay::driver::{Answer, RenderedCall};
use cmp_relay::plan::Plan;
use cmp_relay::store::State;
use cmp_relay::trial::{Act, Asked, Row, Run, Scene, Trial, inbound};
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
    let RenderedCall::Http(call) = &sent.call;
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
