//! Whole configurations through every pass: what comes out, and what is said of what is wrong.

mod select;
mod slips;
mod uses;
mod variants;
mod whole;

use http::{Method, StatusCode};
use serde_json::json;

use crate::config::{Env, Loaded, load_from_memory};
use crate::diagnostics::Diagnostic;
use crate::plan::{
    Action, BackendIdSource, CmpIdSource, HttpBody, Plan, Prefer, ReplyBody, Route, ScalarType,
    Verb, Way,
};
use crate::transform::{Root, Scope};

const FW_1: &str = "\
name: fw-tpe-1
kind: fw
labels:
  site: tpe
driver:
  https:
    url: https://fw-tpe-1.example.net
    auth:
      bearer:
        env: FW_TOKEN
    auths:
      audit:
        bearer:
          env: FW_TOKEN
";

const FW_2: &str = "\
name: fw-khh-1
kind: fw
labels:
  site: khh
driver:
  https:
    url: https://fw-khh-1.example.net
    auth:
      bearer:
        env: FW_TOKEN
    auths:
      audit:
        bearer:
          env: FW_TOKEN
";

fn env() -> Env {
    Env::new([("FW_TOKEN".to_owned(), "t".to_owned())])
}

fn load(sources: &[(&str, &str)]) -> Loaded {
    let mut all = vec![
        ("backends.d/fw-tpe-1.yaml", FW_1),
        ("backends.d/fw-khh-1.yaml", FW_2),
    ];
    all.extend(sources);
    load_from_memory(&all, &env())
}

/// What is said of a bundle as a whole: the fixtures here show a part of one each.
const OF_THE_WHOLE: [&str; 5] = [
    "create-without-delete",
    "no-route-creates",
    "unmarked-create",
    "untried-rule",
    "unused-auth",
];

/// What is found in the parts, in the order found.
fn said(loaded: &Loaded) -> impl Iterator<Item = &Diagnostic> {
    let items = loaded.diagnostics.iter();
    items.filter(|item| !OF_THE_WHOLE.contains(&item.code))
}

/// The codes of what is found, in the order found.
fn codes(loaded: &Loaded) -> Vec<&'static str> {
    said(loaded).map(|item| item.code).collect()
}

fn messages(loaded: &Loaded) -> String {
    let lines: Vec<_> = said(loaded)
        .map(|item| format!("{}: {} ({:?})", item.code, item.message, item.label))
        .collect();
    lines.join("\n")
}

/// A route file of the resource `thing` with these routes.
fn thing(routes: &str) -> String {
    format!("resource: thing\nkind: fw\nselect:\n  prefer: first\nroutes:\n{routes}")
}

fn plan(loaded: &Loaded) -> &Plan {
    assert!(loaded.plan.is_some(), "{}", messages(loaded));
    loaded.plan.as_ref().unwrap()
}

fn route<'p>(plan: &'p Plan, name: &str) -> &'p Route {
    plan.route(plan.route_named(name).unwrap())
}

/// What a route without variants does.
fn way<'p>(plan: &'p Plan, name: &str) -> &'p Way {
    let [way] = route(plan, name).ways.as_slice() else {
        panic!("`{name}` has variants");
    };
    way
}

#[test]
fn the_example_of_the_language_compiles_into_its_plan() {
    let case = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/language_example");
    let loaded = crate::config::load(std::path::Path::new(case), &env());
    assert_eq!(messages(&loaded), "");
    let plan = plan(&loaded);

    let create = route(plan, "create_firewall_rule");
    let made = way(plan, "create_firewall_rule");
    assert_eq!(create.method, Method::POST);
    assert_eq!(&*create.path, "/v1/firewall-policies/{policy_id}/rules");
    assert_eq!(create.path_params, ["policy_id".into()]);
    assert!(create.mutating && !create.idempotent && made.store_reply);
    assert_eq!(&*plan.resource(create.resource).name, "firewall_rule");
    assert!(create.object.is_none());
    let parents: Vec<_> = create
        .parents
        .iter()
        .map(|parent| (&*parent.alias, &*plan.resource(parent.resource).name))
        .collect();
    assert_eq!(
        parents,
        [("policy", "firewall_policy"), ("group", "address_group")]
    );
    assert_eq!(create.lets.len(), 1);
    // Two parents are of the kind, so neither is the default and the file's `select` holds.
    assert!(create.select.same_as.is_none());
    assert_eq!(&*create.select.labels[0].0, "site");
    assert!(matches!(create.select.prefer, Prefer::LeastObjects));
    let names: Vec<_> = create
        .select
        .candidates
        .iter()
        .map(|id| &*plan.backend(*id).name)
        .collect();
    assert_eq!(names, ["fw-khh-1", "fw-tpe-1"]);

    let Action::Http(call) = &made.call.action else {
        panic!("an http call")
    };
    assert_eq!(call.method, Method::POST);
    assert_eq!(made.call.timeout, Some(std::time::Duration::from_secs(20)));
    let HttpBody::Json(body) = &call.body else {
        panic!("a JSON body");
    };
    let mut scope = Scope::new();
    scope.set(
        Root::Body,
        json!({"id": "r1", "name": "x\"y", "port": 443, "action": "allow"}),
    );
    scope.set(Root::Let, json!({"name": "cmp-r1"}));
    scope.set(Root::Parents, json!({"policy": {"backend_id": "12"}}));
    assert_eq!(
        body.to_value(&scope).unwrap(),
        Some(json!({"name": "cmp-r1", "port": 443, "action": "accept"}))
    );
    let mut path = String::new();
    call.path.write(&scope, &mut path).unwrap();
    assert_eq!(path, "/api/v2/policies/12/rules");

    // The route's own rule comes before the shared ones.
    assert_eq!(made.response.fail_when.len(), 1);
    let replies: Vec<_> = made
        .response
        .errors
        .iter()
        .map(|rule| (rule.reply.as_u16(), rule.code.as_deref()))
        .collect();
    assert_eq!(
        replies,
        [(409, Some("duplicate")), (403, Some("out_of_licence"))]
    );

    let [op] = made.mapping.as_slice() else {
        panic!("one change");
    };
    assert_eq!((op.verb, op.resource), (Verb::Create, create.resource));
    assert!(matches!(op.cmp_id, CmpIdSource::Given(_)));
    assert!(matches!(op.backend_id, Some(BackendIdSource::Extract(_))));
    assert_eq!(op.attributes.len(), 1);
    assert_eq!(made.reply.status, Some(StatusCode::CREATED));
    assert!(matches!(made.reply.body, ReplyBody::Tree(_)));

    let body = create.request.body.as_ref().unwrap();
    let right = json!({"id": "r1", "name": "n", "site": "tpe", "port": 1, "action": "allow"});
    assert_eq!(body.check(&right), []);
    let mut wrong = right;
    wrong["prot"] = json!(1);
    assert_eq!(body.check(&wrong).len(), 1);

    let get = route(plan, "get_firewall_rule");
    assert!(!get.mutating && get.request.body.is_none());
    assert!(matches!(
        way(plan, "get_firewall_rule").reply.body,
        ReplyBody::PassThrough
    ));
    assert_eq!(way(plan, "get_firewall_rule").reply.status, None);
    let delete = route(plan, "delete_firewall_rule");
    assert!(delete.mutating && delete.idempotent && way(plan, "delete_firewall_rule").deletes());
    assert!(matches!(
        way(plan, "delete_firewall_rule").mapping[0].cmp_id,
        CmpIdSource::Object
    ));
    assert!(matches!(
        way(plan, "delete_firewall_rule").reply.body,
        ReplyBody::None
    ));
    assert_eq!(plan.routes.len(), 5);
}

#[test]
fn what_is_journalled_and_what_may_be_repeated_follow_the_method() {
    let with = |head: &str, rest: &str| {
        let routes = format!("  x:\n    match: {head}\n    call:\n      http: {rest}");
        let loaded = load(&[("routes.d/thing.yaml", &thing(&routes))]);
        let route = route(plan(&loaded), "x");
        (route.mutating, route.idempotent)
    };
    let object = "GET /x\n    object: \"{{ path.id }}\"\n";
    assert_eq!(with("GET /v1/x", "GET /x\n"), (false, true));
    assert_eq!(with("HEAD /v1/x", "GET /x\n"), (false, true));
    assert_eq!(with("POST /v1/x", "POST /x\n"), (true, false));
    assert_eq!(with("PATCH /v1/x", "PATCH /x\n"), (true, false));
    assert_eq!(
        with("POST /v1/x", "POST /x\n    safe: true\n"),
        (false, false)
    );
    assert_eq!(
        with("POST /v1/x", "POST /x\n    idempotent: true\n"),
        (true, true)
    );
    assert_eq!(with("PUT /v1/x", "PUT /x\n"), (true, true));
    assert_eq!(
        with("PUT /v1/x", "PUT /x\n    idempotent: false\n"),
        (true, false)
    );
    assert_eq!(with("DELETE /v1/x", "DELETE /x\n"), (true, false));
    assert_eq!(with("DELETE /v1/x/{id}", object), (true, true));
    // SEMANTICS 17: a GET that has `mapping` is journalled.
    let updates = "\n    mapping:\n      update:\n        backend_id: $.id\n";
    assert_eq!(
        with("GET /v1/x/{id}", &format!("{object}{updates}")),
        (true, true)
    );
}

#[test]
fn without_a_reply_the_backends_answer_passes_through() {
    let loaded = load(&[(
        "routes.d/thing.yaml",
        &thing(
            "  plain:
    match: GET /v1/a
    call:
      http: GET /a
  bodiless:
    match: GET /v1/b
    call:
      http: GET /b
    reply: {}
",
        ),
    )]);
    let plan = plan(&loaded);
    assert!(matches!(
        way(plan, "plain").reply.body,
        ReplyBody::PassThrough
    ));
    assert!(matches!(way(plan, "bodiless").reply.body, ReplyBody::None));
}

#[test]
fn a_mapping_is_a_word_a_map_or_a_list_that_commits_together() {
    let loaded = load(&[(
        "routes.d/thing.yaml",
        &thing(
            "  word:
    match: DELETE /v1/a/{id}
    object: \"{{ path.id }}\"
    call:
      http: DELETE /a/{{ object.backend_id }}
    mapping: delete
  list:
    match: POST /v1/b/{owner}
    request:
      body:
        type: object
        required: [id]
        properties:
          id:
            type: string
    call:
      http: POST /b
      body:
        name: \"{{ mapping.cmp_id }}\"
    mapping:
      - create:
          cmp_id: [\"{{ path.owner }}\", \"{{ body.id }}\"]
          backend_id: pending
      - put:
          cmp_id: \"{{ body.id }}-job\"
          backend_id: $.job
          when:
            status: 202
  relay_made:
    match: POST /v1/c
    call:
      http: POST /c
    mapping:
      create:
        backend_id:
          header: Location
          regex: '([^/]+)$'
",
        ),
    )]);
    let plan = plan(&loaded);
    assert_eq!(way(plan, "word").mapping[0].verb, Verb::Delete);
    let [create, put] = way(plan, "list").mapping.as_slice() else {
        panic!("two changes");
    };
    let CmpIdSource::Given(id) = &create.cmp_id else {
        panic!("a given id");
    };
    assert_eq!(id.parts.len(), 2);
    assert!(matches!(create.backend_id, Some(BackendIdSource::Pending)));
    assert_eq!(put.verb, Verb::Put);
    assert!(put.when.is_some());
    assert!(matches!(
        way(plan, "relay_made").mapping[0].cmp_id,
        CmpIdSource::RelayMade
    ));
    assert_eq!(codes(&loaded), ["unkeyed-create"]);
}

#[test]
fn a_required_key_makes_a_relay_made_id_safe() {
    let routes = thing(
        "  x:
    match: POST /v1/x
    call:
      http: POST /x
    mapping:
      create:
        backend_id: $.id
",
    );
    let loaded = load(&[
        ("routes.d/thing.yaml", &routes),
        ("relay.yaml", "operations:\n  idempotency_key: required\n"),
    ]);
    assert_eq!(messages(&loaded), "");
}

#[test]
fn a_reply_that_could_hold_a_write_only_field_is_not_stored() {
    let loaded = load(&[(
        "routes.d/thing.yaml",
        &thing(
            "  through_a_let:
    match: POST /v1/a
    request: &request
      body:
        type: object
        required: [user]
        properties:
          user:
            type: object
            required: [name, password]
            properties:
              name:
                type: string
              password:
                type: string
                writeOnly: true
    let:
      user: \"{{ body.user }}\"
    call:
      http: POST /a
    reply:
      status: 201
      body:
        user: \"{{ let.user }}\"
  beside_it:
    match: POST /v1/b
    request: *request
    call:
      http: POST /b
      body:
        password: \"{{ body.user.password }}\"
    reply:
      status: 201
      body:
        user: \"{{ body.user.name }}\"
  by_its_own_word:
    match: POST /v1/c
    call:
      http: POST /c
    journal:
      reply: none
",
        ),
    )]);
    let plan = plan(&loaded);
    assert!(!way(plan, "through_a_let").store_reply);
    assert!(way(plan, "beside_it").store_reply);
    assert!(!way(plan, "by_its_own_word").store_reply);
    let body = route(plan, "beside_it").request.body.as_ref().unwrap();
    assert_eq!(body.write_only, ["/user/password".into()]);
}

#[test]
fn a_routes_own_rules_win_over_the_files() {
    let loaded = load(&[(
        "routes.d/thing.yaml",
        "resource: thing
kind: fw
select:
  prefer: first
response:
  format: json
  success: [200, 201]
  fail_when:
    $.status: error
  errors:
    - when:
        status: 404
      reply: 404
routes:
  inherits:
    match: GET /v1/a
    call:
      http: GET /a
  replaces:
    match: GET /v1/b
    call:
      http: GET /b
    response:
      success: 200
      fail_when: []
      errors:
        - when:
            status: 409
          reply: 409
          code: taken
",
    )]);
    let plan = plan(&loaded);
    let inherits = &way(plan, "inherits").response;
    assert_eq!(inherits.success, [200, 201]);
    assert_eq!(inherits.fail_when.len(), 1);
    let replaces = &way(plan, "replaces").response;
    assert!(replaces.format.is_some());
    assert_eq!(replaces.success, [200]);
    assert!(replaces.fail_when.is_empty());
    let replies: Vec<_> = replaces.errors.iter().map(|r| r.reply.as_u16()).collect();
    assert_eq!(replies, [409, 404]);
}

#[test]
fn query_parameters_and_headers_are_converted_by_their_type() {
    let loaded = load(&[(
        "routes.d/thing.yaml",
        &thing(
            "  x:
    match: GET /v1/x
    request:
      query:
        type: object
        properties:
          limit:
            type: integer
          deep:
            type: boolean
          ratio:
            type: number
          tag:
            type: array
            items:
              type: string
          sort:
            enum: [up, down]
          level:
            enum: [1, 2]
      headers:
        type: object
        properties:
          x_tenant:
            type: string
    call:
      http: GET /x
      query:
        limit: \"{{ default query.limit 10 }}\"
        tenant: \"{{ optional header.x_tenant }}\"
",
        ),
    )]);
    let request = &route(plan(&loaded), "x").request;
    let scalars: Vec<_> = request
        .query
        .as_ref()
        .unwrap()
        .scalars
        .iter()
        .map(|(name, scalar)| (&**name, *scalar))
        .collect();
    assert_eq!(
        scalars,
        [
            ("limit", ScalarType::Integer),
            ("deep", ScalarType::Boolean),
            ("ratio", ScalarType::Number),
            ("tag", ScalarType::TextList),
            ("sort", ScalarType::Text),
            ("level", ScalarType::Integer),
        ]
    );
    let headers = request.headers.as_ref().unwrap();
    assert_eq!(headers.check(&json!({"x_tenant": "a"})), []);
    assert_eq!(headers.check(&json!({"x_other": "a"})).len(), 1);
}

#[test]
fn a_call_takes_a_named_auth_that_every_instance_has() {
    let loaded = load(&[(
        "routes.d/thing.yaml",
        &thing(
            "  x:
    match: GET /v1/x
    call:
      http: GET /x
      auth: audit
",
        ),
    )]);
    let Action::Http(call) = &way(plan(&loaded), "x").call.action else {
        panic!("an http call")
    };
    assert_eq!(call.auth.as_deref(), Some("audit"));
    assert_eq!(call.method, Method::GET);
}

#[test]
fn a_file_of_templates_is_a_body_and_counts_as_used() {
    let loaded = load(&[
        (
            "routes.d/thing.yaml",
            &thing(
                "  x:
    match: POST /v1/x
    request:
      body:
        type: object
        required: [name]
        properties:
          name:
            type: string
    let:
      shout: \"{{ upper body.name }}\"
    call:
      http: POST /x
      template: thing.xml.hbs
",
            ),
        ),
        (
            "templates/thing.xml.hbs",
            "<entry name=\"{{ let.shout }}\"/>\n",
        ),
    ]);
    assert_eq!(messages(&loaded), "");
    let Action::Http(call) = &way(plan(&loaded), "x").call.action else {
        panic!("an http call")
    };
    assert!(matches!(call.body, HttpBody::Template(_)));
}
