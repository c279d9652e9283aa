//! Calls of devices, from a route's YAML to what the CMP is told: what is rendered, what is refused before
//! anything is sent, and what each outcome becomes. The backends are scripted; `driver` has the real ones.

use std::sync::Arc;

use bytes::Bytes;
use clap::Parser;
use cmp_relay::cli::{Cli, Command, explain};
use cmp_relay::config::{self, Env};
use cmp_relay::diagnostics::text;
use cmp_relay::driver::{Answer, Protocol, RenderedCall, Ruling};
use cmp_relay::http::problem;
use cmp_relay::plan::Plan;
use cmp_relay::store::State;
use cmp_relay::trial::{Act, Row, Run, Scene, Trial, inbound};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};

const SWITCH: &str = r#"
name: sw-1
kind: sw
driver:
  ssh:
    host: sw-1.example.net
    user: relay
    auth:
      - password: { env: SW_PASSWORD }
    host_key:
      sha256: "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"#;

const BRIDGES: &str = r#"
resource: bridge_port
kind: sw
routes:
  add_port:
    match: POST /v1/ports
    request:
      body:
        type: object
        required: [id, name]
        properties:
          id: { type: string }
          name: { type: string }
          tag: { type: string }
          note: { type: string }
          secret: { type: string, writeOnly: true }
    call:
      exec:
        - ovs-vsctl
        - add-port
        - br0
        - "{{ body.name }}"
        - "tag={{ optional body.tag }}"
        - "--id={{ body.id }}"
      stdin: "note {{ default body.note '-' }}\n"
    response:
      success: [0, 7]
      fail_when:
        text: 'constraint violation'
      errors:
        - when: { text: 'already exists' }
          reply: 409
          code: duplicate
          detail: "{{ response.stderr }}"
          side_effect: none
    mapping:
      create:
        cmp_id: "{{ body.id }}"
        backend_id: { value: "{{ body.name }}" }
    reply:
      status: 201
      body:
        id: "{{ mapping.cmp_id }}"
  remove_port:
    match: DELETE /v1/ports/{id}
    object: "{{ path.id }}"
    call:
      exec: [ovs-vsctl, del-port, br0, "{{ object.backend_id }}"]
    response:
      errors:
        - when: { text: 'no port named' }
          reply: 404
    mapping: delete
    reply:
      status: 204
  list_ports:
    match: GET /v1/ports
    call:
      exec: [ovs-ofctl, dump-ports, br0]
    response:
      parse: { textfsm: ports.textfsm }
    reply:
      status: 200
      body:
        ports:
          - $for: response.body
            $as: port
            $item:
              name: "{{ port.port }}"
              packets: "{{ int port.packets }}"
"#;

const PORTS: &str = "Value Required PORT (\\S+)\nValue PACKETS (\\d+)\n\nStart\n  ^\\s+port\\s+${PORT}: rx pkts=${PACKETS} -> Record\n  ^OFPST -> Next\n  ^\\S -> Error \"not a list of ports\"\n";

const ROUTER: &str = r#"
name: rt-1
kind: rt
driver:
  netconf:
    host: rt-1.example.net
    user: relay
    auth:
      - password: { env: SW_PASSWORD }
    host_key:
      sha256: "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"#;

const INTERFACES: &str = r#"
resource: interface
kind: rt
routes:
  make_interface:
    match: POST /v1/interfaces
    request:
      body:
        type: object
        required: [name]
        properties:
          name: { type: string }
    call:
      netconf: edit-config
      target: candidate
      template: rt/interface.xml.hbs
    mapping:
      create:
        cmp_id: "{{ body.name }}"
        backend_id: { value: "{{ body.name }}" }
    reply:
      status: 201
      body: {}
  get_interface:
    match: GET /v1/interfaces/{id}
    object: "{{ path.id }}"
    call:
      netconf: get-config
    response:
      lists: [interface]
    reply:
      status: 200
      body:
        names:
          - $for: response.body.data.interfaces.interface
            $as: one
            $item: "{{ one.name }}"
        errors: "{{ response.body.errors }}"
  drop_interface:
    match: DELETE /v1/interfaces/{id}
    object: "{{ path.id }}"
    call:
      netconf: edit-config
      template: rt/gone.xml.hbs
    response:
      errors:
        - when: { "$.errors[*].tag": data-missing }
          reply: 404
    mapping: delete
    reply:
      status: 204
"#;

const EDGE: &str = r#"
name: edge-1
kind: edge
driver:
  ssh:
    host: edge-1.example.net
    user: relay
    auth:
      - password: { env: SW_PASSWORD }
    host_key:
      sha256: "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    profile: frr
"#;

const ROUTES: &str = r#"
resource: static_route
kind: edge
routes:
  add_route:
    match: POST /v1/static-routes
    request:
      body:
        type: object
        required: [id, prefix]
        properties:
          id: { type: string }
          prefix: { type: string }
          note: { type: string }
          label: { type: string }
    call:
      mode: config
      cli:
        - ip route {{ body.prefix }} 192.0.2.1
        - ip prefix-list "{{ body.id }}" description {{ words (optional body.note) }}
        - "route-map {{ optional body.label }} permit 10"
      save: true
    mapping:
      create:
        cmp_id: "{{ body.id }}"
        backend_id: { value: "{{ body.prefix }}" }
    reply:
      status: 201
  label_route:
    match: PUT /v1/static-routes/{id}
    object: "{{ path.id }}"
    request:
      body:
        type: object
        properties:
          lines: { type: array, items: { type: string } }
          label: { type: string }
    call:
      mode: config
      cli: { template: edge/labels.cli.hbs }
    mapping: { update: {} }
    reply:
      status: 200
  show_routes:
    match: GET /v1/static-routes
    call:
      cli: [show ip route static]
    reply:
      status: 200
      body: { text: "{{ response.text }}" }
"#;

const LABELS: &str = "{{#each (optional body.lines) as |line|}}\n  ip community-list {{ line }}\n{{/each}}\n\n  description {{ optional body.label }}\n";

fn plan() -> Arc<Plan> {
    let interface = r#"<interfaces xmlns="urn:if"><interface><name>{{ body.name }}</name></interface></interfaces>"#;
    let gone = r#"<interfaces xmlns="urn:if"><interface xmlns:nc="urn:ietf:params:xml:ns:netconf:base:1.0" nc:operation="delete"><name>{{ object.backend_id }}</name></interface></interfaces>"#;
    let loaded = config::load_from_memory(
        &[
            ("backends.d/sw-1.yaml", SWITCH),
            ("backends.d/rt-1.yaml", ROUTER),
            ("backends.d/edge-1.yaml", EDGE),
            ("routes.d/static.yaml", ROUTES),
            ("templates/edge/labels.cli.hbs", LABELS),
            ("routes.d/ports.yaml", BRIDGES),
            ("routes.d/interfaces.yaml", INTERFACES),
            ("templates/ports.textfsm", PORTS),
            ("templates/rt/interface.xml.hbs", interface),
            ("templates/rt/gone.xml.hbs", gone),
        ],
        &Env::new([]).ignoring_secrets(),
    );
    let said = text::render_text(&loaded.diagnostics, &loaded.files, false);
    Arc::new(loaded.plan.unwrap_or_else(|| panic!("{said}")))
}

fn ended(status: u16, text: &str, stderr: &str) -> Answer {
    Answer {
        status,
        body: Bytes::from(text.to_owned()),
        stderr: Bytes::from(stderr.to_owned()),
        sends: 1,
        protocol: Protocol::Exec,
        ..Answer::default()
    }
}

fn replied(xml: &str, ruling: Ruling) -> Answer {
    Answer {
        status: u16::from(ruling != Ruling::ByStatus),
        body: Bytes::from(xml.to_owned()),
        sends: 1,
        protocol: Protocol::Netconf,
        ruling,
        ..Answer::default()
    }
}

fn scene(method: Method, path: &str, body: Option<Value>, answer: Answer) -> Scene {
    let mut headers = HeaderMap::new();
    let mut bytes = Bytes::new();
    if let Some(body) = body {
        headers.insert("content-type", "application/json".parse().unwrap());
        bytes = Bytes::from(body.to_string());
    }
    Scene {
        inbound: inbound("cmp", method, path, headers, bytes),
        rows: Vec::new(),
        prefer: None,
        act: Act::Answer(answer),
    }
}

fn add(body: Value, answer: Answer) -> Scene {
    scene(Method::POST, "/v1/ports", Some(body), answer)
}

fn port() -> Value {
    json!({ "id": "p1", "name": "eth1" })
}

fn mapped(resource: &str, backend: &str, plan: &Plan) -> cmp_relay::store::Mapping {
    let row = Row {
        resource: resource.into(),
        cmp_id: "p1".into(),
        backend: backend.into(),
        backend_id: Some("eth1".into()),
        attributes: serde_json::Map::new(),
    };
    row.mapping(plan)
}

/// What the CMP is told of a failure.
fn told(run: &Run) -> (u16, Value) {
    let failure = run.reply.as_ref().unwrap_err();
    let (status, body) = problem::render(failure);
    (status.as_u16(), serde_json::from_slice(&body).unwrap())
}

fn state(run: &Run) -> Option<State> {
    run.operation.as_ref().map(|row| row.state)
}

#[test]
fn a_program_is_called_recorded_and_answered() {
    let mut trial = Trial::new(plan()).unwrap();
    let body = json!({ "id": "p1", "name": "eth 1; reboot", "note": "it's" });
    let run = trial.run(add(body, ended(0, "", "")));
    assert_eq!(run.reply.as_ref().unwrap().status, 201);
    let [sent] = &run.calls[..] else {
        panic!("{:?}", run.calls)
    };
    let RenderedCall::Exec(call) = &sent.call else {
        panic!("exec")
    };
    // What is absent takes its argument with it.
    assert_eq!(
        call.command,
        "ovs-vsctl add-port br0 'eth 1; reboot' --id=p1"
    );
    assert_eq!(call.stdin.as_deref(), Some(&b"note it's\n"[..]));
    assert_eq!(state(&run), Some(State::Succeeded));
    assert_eq!(run.rows[0].backend_id.as_deref(), Some("eth 1; reboot"));
    // A status that the route lists is a success too.
    let run = trial.run(add(port(), ended(7, "", "")));
    assert_eq!(state(&run), Some(State::Succeeded));
}

#[test]
fn what_no_argument_may_be_is_refused_before_anything_is_sent() {
    let mut trial = Trial::new(plan()).unwrap();
    for (field, hostile) in [
        ("name", "-rf"),
        ("name", "--"),
        ("name", "a\nb"),
        ("tag", "7\u{0}"),
        ("note", "a\nadd-port br0 eth2"),
    ] {
        let mut body = port();
        body[field] = hostile.into();
        let run = trial.run(add(body, ended(0, "", "")));
        let (status, problem) = told(&run);
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!("unsafe_value")),
            "{hostile:?}"
        );
        assert_eq!((run.calls.len(), state(&run)), (0, None), "{hostile:?}");
    }
    // Behind other text a hyphen is no option.
    let mut body = port();
    body["tag"] = "-7".into();
    assert!(trial.run(add(body, ended(0, "", ""))).reply.is_ok());
}

#[test]
fn a_program_that_fails_is_judged_by_its_rules_and_else_unknown() {
    let mut trial = Trial::new(plan()).unwrap();
    let run = trial.run(add(port(), ended(1, "", "port eth1 already exists")));
    let (status, problem) = told(&run);
    assert_eq!((status, &problem["code"]), (409, &json!("duplicate")));
    assert_eq!(problem["detail"], "port eth1 already exists");
    assert_eq!(state(&run), Some(State::Failed));

    let run = trial.run(add(port(), ended(0, "constraint violation: tag", "")));
    let (status, problem) = told(&run);
    assert_eq!((status, &problem["code"]), (502, &json!("backend_error")));
    assert_eq!(
        (&problem["side_effect"], state(&run)),
        (&json!("none"), Some(State::Failed))
    );

    // SEMANTICS 11: an exit status alone does not say whether it was done.
    let run = trial.run(add(port(), ended(1, "half a line", "segmentation fault")));
    let (status, problem) = told(&run);
    assert_eq!((status, &problem["code"]), (504, &json!("outcome_unknown")));
    let detail = problem["detail"].as_str().unwrap();
    assert!(
        detail.contains("status 1") && detail.contains("segmentation fault"),
        "{detail}"
    );
    assert_eq!(problem["backend_status"], 1);
    assert_eq!(
        (&problem["side_effect"], state(&run)),
        (&json!("unknown"), Some(State::Unknown))
    );
    assert_eq!(run.rows, []);
}

#[test]
fn a_delete_that_finds_nothing_is_done() {
    let plan = plan();
    let mut trial = Trial::new(plan.clone()).unwrap();
    let answer = ended(1, "", "ovs-vsctl: no port named eth1");
    let mut gone = scene(Method::DELETE, "/v1/ports/p1", None, answer);
    gone.rows = vec![mapped("bridge_port", "sw-1", &plan)];
    let run = trial.run(gone.clone());
    assert_eq!(run.reply.unwrap().headers["relay-note"], "absent");
    assert_eq!(run.rows, []);
    // An exit status of 404 is none of HTTP's.
    gone.act = Act::Answer(ended(404, "", "what?"));
    let run = trial.run(gone);
    assert_eq!(told(&run).0, 504);
    assert_eq!(run.rows.len(), 1);
}

#[test]
fn a_listing_is_read_by_textfsm_and_never_journalled() {
    let mut trial = Trial::new(plan()).unwrap();
    let list = |answer| scene(Method::GET, "/v1/ports", None, answer);
    let text = "OFPST_PORT reply: 2 ports\n  port  eth1: rx pkts=12\n  port  eth2: rx pkts=0\n";
    let run = trial.run(list(ended(0, text, "")));
    let reply: Value = serde_json::from_slice(&run.reply.as_ref().unwrap().body).unwrap();
    assert_eq!(
        reply,
        json!({ "ports": [{ "name": "eth1", "packets": 12 }, { "name": "eth2", "packets": 0 }] })
    );
    assert_eq!((run.intent, run.operation), (None, None));
    // Nothing at all is a list of none.
    let run = trial.run(list(ended(0, "", "")));
    assert_eq!(&run.reply.unwrap().body[..], br#"{"ports":[]}"#);
    // What the template refuses is no list.
    let run = trial.run(list(ended(0, "segfault\n", "")));
    assert_eq!(told(&run).0, 502);
    let run = trial.run(list(ended(1, "", "ovs-ofctl: br0 is not a bridge")));
    let (status, problem) = told(&run);
    assert_eq!((status, &problem["code"]), (502, &json!("backend_error")));
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("br0 is not a bridge")
    );
}

fn cli(status: u16, ruling: Ruling) -> Answer {
    Answer {
        protocol: Protocol::Cli,
        ruling,
        ..ended(status, "% Invalid input", "")
    }
}

#[test]
fn what_a_command_line_took_of_its_lines_decides_the_outcome() {
    let mut trial = Trial::new(plan()).unwrap();
    let not_done = Ruling::NotDone {
        reply: None,
        detail: "line 1 `vlan 5` was refused: % Invalid input, hunter2".into(),
    };
    let mut body = port();
    body["secret"] = "hunter2".into();
    let run = trial.run(add(body.clone(), cli(1, not_done)));
    let (status, problem) = told(&run);
    assert_eq!((status, &problem["code"]), (502, &json!("backend_error")));
    assert_eq!(problem["side_effect"], "none");
    assert_eq!(problem["safe_to_retry"], false);
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("% Invalid input, ***")
    );
    assert_eq!(state(&run), Some(State::Failed));

    let partly = Ruling::Partly {
        applied: 2,
        total: 3,
        detail: "line 3 was refused: % Invalid input, hunter2".into(),
    };
    let run = trial.run(add(body, cli(3, partly.clone())));
    let (status, problem) = told(&run);
    assert_eq!((status, &problem["code"]), (502, &json!("partly_applied")));
    assert_eq!(
        (&problem["applied"], &problem["total"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(problem["side_effect"], "unknown");
    assert!(!problem.to_string().contains("hunter2"), "{problem}");
    assert_eq!(state(&run), Some(State::Unknown));
    let kept = run.operation.unwrap();
    assert!(!format!("{kept:?}").contains("hunter2"));

    // A condition that would refuse the whole does not undo what is in force.
    let mut answer = cli(3, partly);
    answer.body = Bytes::from_static(b"constraint violation");
    let run = trial.run(add(port(), answer));
    assert_eq!(told(&run).1["code"], "partly_applied");

    let unclear = Ruling::Unclear {
        detail: "the prompt did not come back".into(),
    };
    let run = trial.run(add(port(), cli(2, unclear)));
    assert_eq!(told(&run).1["code"], "outcome_unknown");
    assert_eq!(state(&run), Some(State::Unknown));
}

/// The lines of the one call that was sent.
fn lines(run: &Run) -> Vec<&str> {
    match &run.calls[..] {
        [sent] => match &sent.call {
            RenderedCall::Cli(script) => script.lines.iter().map(String::as_str).collect(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn lines_are_what_the_route_says_and_a_value_is_a_word_of_one() {
    let mut trial = Trial::new(plan()).unwrap();
    let post = |body| {
        scene(
            Method::POST,
            "/v1/static-routes",
            Some(body),
            cli(0, Ruling::ByStatus),
        )
    };
    let run = trial.run(post(
        json!({ "id": "r 1", "prefix": "10.0.0.0/8", "note": "to the lab" }),
    ));
    assert_eq!(run.reply.as_ref().unwrap().status, 201);
    assert_eq!(
        lines(&run),
        [
            "ip route 10.0.0.0/8 192.0.2.1",
            "ip prefix-list \"r 1\" description to the lab"
        ]
    );
    let RenderedCall::Cli(script) = &run.calls[0].call else {
        unreachable!("it was one")
    };
    assert_eq!(
        (script.mode.as_deref(), script.save),
        (Some("config"), true)
    );
    for (field, hostile) in [
        ("prefix", "10.0.0.0/8 blackhole"),
        ("prefix", "10.0.0.0/8\nexit"),
        ("prefix", ""),
        ("prefix", "10.0.0.0/8?"),
        ("id", "r\" permit any"),
        ("note", "a\u{1a}"),
        ("note", "\t"),
        // What the profile refuses.
        ("note", "a | tee"),
    ] {
        let mut body = json!({ "id": "r1", "prefix": "10.0.0.0/8" });
        body[field] = hostile.into();
        let run = trial.run(post(body));
        let (status, problem) = told(&run);
        assert_eq!(
            (status, &problem["code"]),
            (422, &json!("unsafe_value")),
            "{hostile:?}"
        );
        assert_eq!((run.calls.len(), run.operation), (0, None), "{hostile:?}");
    }
}

#[test]
fn a_script_of_a_template_has_no_blank_line_and_none_at_all_is_refused() {
    let plan = plan();
    let mut trial = Trial::new(plan.clone()).unwrap();
    let mut put = |body| {
        let path = "/v1/static-routes/p1";
        let mut put = scene(Method::PUT, path, Some(body), cli(0, Ruling::ByStatus));
        put.rows = vec![mapped("static_route", "edge-1", &plan)];
        trial.run(put)
    };
    let run = put(json!({ "lines": ["a", "b"], "label": "x" }));
    assert_eq!(
        lines(&run),
        [
            "  ip community-list a",
            "  ip community-list b",
            "  description x"
        ]
    );
    let run = put(json!({ "lines": ["a"] }));
    assert_eq!(lines(&run), ["  ip community-list a"]);
    let run = put(json!({ "lines": ["a\n  no router bgp"] }));
    assert_eq!((told(&run).0, run.calls.len()), (422, 0));
    let run = put(json!({}));
    let (status, problem) = told(&run);
    assert_eq!(
        (status, &problem["code"], run.calls.len()),
        (422, &json!("unsafe_value"), 0)
    );
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("every line vanished")
    );
}

#[test]
fn a_show_command_is_never_journalled() {
    let mut trial = Trial::new(plan()).unwrap();
    let show = scene(
        Method::GET,
        "/v1/static-routes",
        None,
        cli(0, Ruling::ByStatus),
    );
    let run = trial.run(show);
    assert_eq!(
        &run.reply.unwrap().body[..],
        br#"{"text":"% Invalid input"}"#
    );
    assert_eq!((run.intent, run.operation), (None, None));
}

const OK: &str = r#"<rpc-reply message-id="1" xmlns="urn:ietf:params:xml:ns:netconf:base:1.0"><ok/></rpc-reply>"#;

fn rpc_error(tag: &str) -> String {
    OK.replace(
        "<ok/>",
        &format!("<rpc-error><error-type>application</error-type><error-tag>{tag}</error-tag><error-severity>error</error-severity><error-message>no</error-message></rpc-error>"),
    )
}

fn make(name: &str, answer: Answer) -> Scene {
    let body = json!({ "name": name });
    scene(Method::POST, "/v1/interfaces", Some(body), answer)
}

#[test]
fn a_netconf_value_is_text_of_one_element() {
    let mut trial = Trial::new(plan()).unwrap();
    let run = trial.run(make("</name><x/>&", replied(OK, Ruling::ByStatus)));
    assert_eq!(run.reply.as_ref().unwrap().status, 201);
    let RenderedCall::Netconf(call) = &run.calls[0].call else {
        panic!("netconf")
    };
    assert_eq!(
        (call.operation.name(), call.target.unwrap().name()),
        ("edit-config", "candidate")
    );
    let content = call.content.as_deref().unwrap();
    let document = roxmltree::Document::parse(content).unwrap();
    let elements = document.descendants().filter(|node| node.is_element());
    assert_eq!(elements.count(), 3);
    let run = trial.run(make("a\u{1}", replied(OK, Ruling::ByStatus)));
    assert_eq!((told(&run).0, run.calls.len()), (422, 0));
}

#[test]
fn netconf_errors_are_http_statuses_and_members_of_the_body() {
    let plan = plan();
    let mut trial = Trial::new(plan.clone()).unwrap();
    let refused = |reply: StatusCode| Ruling::NotDone {
        reply: Some(reply),
        detail: "edit-config: data-exists: no".into(),
    };
    let run = trial.run(make(
        "e1",
        replied(&rpc_error("data-exists"), refused(StatusCode::CONFLICT)),
    ));
    let (status, problem) = told(&run);
    assert_eq!((status, &problem["code"]), (409, &json!("backend_error")));
    assert_eq!(
        (&problem["side_effect"], &problem["safe_to_retry"]),
        (&json!("none"), &json!(false))
    );
    assert_eq!(state(&run), Some(State::Failed));
    // What somebody else's lock kept out may pass later.
    let run = trial.run(make(
        "e1",
        replied(&rpc_error("lock-denied"), refused(StatusCode::CONFLICT)),
    ));
    assert_eq!(told(&run).1["safe_to_retry"], true);

    let mut drop = scene(
        Method::DELETE,
        "/v1/interfaces/p1",
        None,
        replied(&rpc_error("data-missing"), refused(StatusCode::NOT_FOUND)),
    );
    drop.rows = vec![mapped("interface", "rt-1", &plan)];
    let run = trial.run(drop);
    assert_eq!(run.reply.unwrap().headers["relay-note"], "absent");

    let data = OK.replace("<ok/>", r#"<data><interfaces xmlns="urn:if"><interface><name>e1</name></interface></interfaces></data><rpc-error><error-tag>in-use</error-tag><error-severity>warning</error-severity></rpc-error>"#);
    let mut get = scene(
        Method::GET,
        "/v1/interfaces/p1",
        None,
        replied(&data, Ruling::ByStatus),
    );
    get.rows = vec![mapped("interface", "rt-1", &plan)];
    let run = trial.run(get);
    let body: Value = serde_json::from_slice(&run.reply.unwrap().body).unwrap();
    assert_eq!(
        body,
        json!({ "names": ["e1"], "errors": [{ "tag": "in-use", "severity": "warning" }] })
    );
}

/// What `cmp-relay explain ...` prints, over the plan.
fn explained(typed: &[&str]) -> String {
    let all = ["cmp-relay", "explain"].iter().chain(typed);
    let Command::Explain(args) = Cli::try_parse_from(all).unwrap().command else {
        panic!("it is explain")
    };
    let plan = plan();
    let asked = explain::request::read(&args).unwrap();
    let who = explain::request::who(&plan, &asked, args.client.as_deref()).unwrap();
    let rows = explain::rows::read(&args.mapping, &plan).unwrap();
    explain::text::render(&explain::explain(&plan, &asked, &who, rows, None).unwrap())
}

#[test]
fn what_is_explained_is_what_is_sent_and_secrets_are_masked() {
    let body = r#"{"id":"r1","prefix":"10.0.0.0/8","note":"to the lab"}"#;
    let page = explained(&["POST", "/v1/static-routes", "--body", body]);
    for line in [
        "call      cli ssh://edge-1.example.net:22",
        "          by the profile frr, in its mode config",
        "          ip route 10.0.0.0/8 192.0.2.1",
        "          ip prefix-list \"r1\" description to the lab",
        "          and the profile's save command",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
    }
    let body = r#"{"id":"p1","name":"eth 1","note":"hunter2","secret":"hunter2"}"#;
    let page = explained(&["POST", "/v1/ports", "--body", body]);
    for line in [
        "call      exec ssh://sw-1.example.net:22",
        "          ovs-vsctl add-port br0 'eth 1' --id=p1",
        "          note ***",
    ] {
        assert!(page.lines().any(|shown| shown == line), "{line}\n{page}");
    }
    assert!(!page.contains("hunter2"), "{page}");
    let page = explained(&["POST", "/v1/interfaces", "--body", r#"{"name":"<e1>"}"#]);
    assert!(
        page.contains("call      edit-config candidate netconf://rt-1.example.net:830"),
        "{page}"
    );
    assert!(page.contains("<name>&lt;e1&gt;</name>"), "{page}");
}
