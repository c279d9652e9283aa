//! Whole configurations through every pass: what comes out, and what is said of what is wrong.

use http::{Method, StatusCode};
use serde_json::json;

use crate::config::{Env, Loaded, load_from_memory};
use crate::plan::{
    Action, BackendIdSource, CmpIdSource, HttpBody, Plan, Prefer, ReplyBody, Route, ScalarType,
    Verb,
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

/// The codes of what is found, in the order found.
fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded.diagnostics.iter().map(|item| item.code).collect()
}

fn messages(loaded: &Loaded) -> String {
    let lines: Vec<_> = loaded
        .diagnostics
        .iter()
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

#[test]
fn the_example_of_the_language_compiles_into_its_plan() {
    let case = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/language_example");
    let loaded = crate::config::load(std::path::Path::new(case), &env());
    assert_eq!(messages(&loaded), "");
    let plan = plan(&loaded);

    let create = route(plan, "create_firewall_rule");
    assert_eq!(create.method, Method::POST);
    assert_eq!(&*create.path, "/v1/firewall-policies/{policy_id}/rules");
    assert_eq!(create.path_params, ["policy_id".into()]);
    assert!(create.mutating && !create.idempotent && create.store_reply);
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

    let Action::Http(call) = &create.call.action;
    assert_eq!(call.method, Method::POST);
    assert_eq!(
        create.call.timeout,
        Some(std::time::Duration::from_secs(20))
    );
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
    assert_eq!(create.response.fail_when.len(), 1);
    let replies: Vec<_> = create
        .response
        .errors
        .iter()
        .map(|rule| (rule.reply.as_u16(), rule.code.as_deref()))
        .collect();
    assert_eq!(
        replies,
        [(409, Some("duplicate")), (403, Some("out_of_licence"))]
    );

    let [op] = create.mapping.as_slice() else {
        panic!("one change");
    };
    assert_eq!((op.verb, op.resource), (Verb::Create, create.resource));
    assert!(matches!(op.cmp_id, CmpIdSource::Given(_)));
    assert!(matches!(op.backend_id, Some(BackendIdSource::Extract(_))));
    assert_eq!(op.attributes.len(), 1);
    assert_eq!(create.reply.status, Some(StatusCode::CREATED));
    assert!(matches!(create.reply.body, ReplyBody::Tree(_)));

    let body = create.request.body.as_ref().unwrap();
    let right = json!({"id": "r1", "name": "n", "site": "tpe", "port": 1, "action": "allow"});
    assert_eq!(body.check(&right), []);
    let mut wrong = right;
    wrong["prot"] = json!(1);
    assert_eq!(body.check(&wrong).len(), 1);

    let get = route(plan, "get_firewall_rule");
    assert!(!get.mutating && get.request.body.is_none());
    assert!(matches!(get.reply.body, ReplyBody::PassThrough));
    assert_eq!(get.reply.status, None);
    let delete = route(plan, "delete_firewall_rule");
    assert!(delete.mutating && delete.idempotent && delete.deletes());
    assert!(matches!(delete.mapping[0].cmp_id, CmpIdSource::Object));
    assert!(matches!(delete.reply.body, ReplyBody::None));
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
        route(plan, "plain").reply.body,
        ReplyBody::PassThrough
    ));
    assert!(matches!(
        route(plan, "bodiless").reply.body,
        ReplyBody::None
    ));
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
    assert_eq!(route(plan, "word").mapping[0].verb, Verb::Delete);
    let [create, put] = route(plan, "list").mapping.as_slice() else {
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
        route(plan, "relay_made").mapping[0].cmp_id,
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
fn the_only_parent_of_the_kind_says_which_instance() {
    let loaded = load(&[(
        "routes.d/thing.yaml",
        "resource: thing
kind: fw
select:
  labels:
    site: \"{{ body.site }}\"
routes:
  of_a_parent:
    match: POST /v1/{owner}/a
    parents:
      owner:
        resource: thing
        id: \"{{ path.owner }}\"
    call:
      http: POST /a/{{ parents.owner.backend_id }}
  of_an_optional_one:
    match: POST /v1/b
    request:
      body:
        type: object
        properties:
          site:
            type: string
          owner:
            type: string
    parents:
      owner:
        resource: thing
        id: \"{{ optional body.owner }}\"
    call:
      http: POST /b
  with_its_own_choice:
    match: POST /v1/{owner}/c
    parents:
      owner:
        resource: thing
        id: \"{{ path.owner }}\"
    select:
      prefer: round_robin
    call:
      http: POST /c/{{ parents.owner.backend_id }}
",
    )]);
    let plan = plan(&loaded);
    let first = &route(plan, "of_a_parent").select;
    assert_eq!((first.same_as, first.labels.len()), (Some(0), 0));
    // Where the parent is absent, the file's labels still leave one.
    let optional = &route(plan, "of_an_optional_one").select;
    assert_eq!((optional.same_as, optional.labels.len()), (Some(0), 1));
    let own = &route(plan, "with_its_own_choice").select;
    assert_eq!(own.same_as, None);
    assert!(matches!(own.prefer, Prefer::RoundRobin));
}

#[test]
fn one_instance_needs_no_choice_and_two_do() {
    let file = "resource: thing\nkind: fw\nroutes:\n  x:\n    match: GET /v1/x\n    call:\n      http: GET /x\n";
    let one = load_from_memory(
        &[
            ("backends.d/fw-tpe-1.yaml", FW_1),
            ("routes.d/thing.yaml", file),
        ],
        &env(),
    );
    assert_eq!(messages(&one), "");
    let two = load(&[("routes.d/thing.yaml", file)]);
    assert_eq!(codes(&two), ["ambiguous-backend"]);
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
        properties:
          user:
            type: object
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
    assert!(!route(plan, "through_a_let").store_reply);
    assert!(route(plan, "beside_it").store_reply);
    assert!(!route(plan, "by_its_own_word").store_reply);
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
    let inherits = &route(plan, "inherits").response;
    assert_eq!(inherits.success, [200, 201]);
    assert_eq!(inherits.fail_when.len(), 1);
    let replaces = &route(plan, "replaces").response;
    assert!(replaces.format.is_some());
    assert_eq!(replaces.success, [200]);
    assert!(replaces.fail_when.is_empty());
    let replies: Vec<_> = replaces.errors.iter().map(|r| r.reply.as_u16()).collect();
    assert_eq!(replies, [409, 404]);
}

#[test]
fn one_wrong_route_hides_no_other() {
    let loaded = load(&[(
        "routes.d/thing.yaml",
        &thing(
            "  first:
    match: GET /v1/a
    call:
      http: GET /a/{{ path.id }}
  second:
    match: GET /v1/b
    call: nothing
    reply:
      status: 500
  third:
    match: GET /v1/b
    call:
      http: GET /c
",
        ),
    )]);
    assert_eq!(
        codes(&loaded),
        [
            "wrong-type",
            "unknown-variable",
            "bad-status",
            "route-collision"
        ]
    );
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
        tenant: \"{{ header.x_tenant }}\"
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
    let Action::Http(call) = &route(plan(&loaded), "x").call.action;
    assert_eq!(call.auth.as_deref(), Some("audit"));
    assert_eq!(call.method, Method::GET);
}

#[test]
fn a_broken_backend_is_not_reported_again_by_its_routes() {
    let broken = FW_1
        .replace("kind: fw", "kind: waf")
        .replace("url:", "ulr:");
    let file = "resource: thing\nkind: waf\nroutes:\n  x:\n    match: GET /v1/x\n    call:\n      http: GET /x\n    select:\n      instance: fw-tpe-1\n";
    let loaded = load_from_memory(
        &[
            ("backends.d/a.yaml", &broken),
            ("routes.d/thing.yaml", file),
        ],
        &env(),
    );
    assert!(loaded.plan.is_none());
    assert!(
        !codes(&loaded).contains(&"no-backend-of-kind")
            && !codes(&loaded).contains(&"unknown-backend"),
        "{}",
        messages(&loaded)
    );
}

#[test]
fn a_field_of_a_file_may_be_wrong_for_one_route_only() {
    let loaded = load(&[(
        "routes.d/thing.yaml",
        "resource: thing
kind: fw
select:
  labels:
    site: \"{{ query.site }}\"
routes:
  says_it:
    match: GET /v1/a
    request:
      query:
        type: object
        properties:
          site:
            type: string
    call:
      http: GET /a
  does_not:
    match: GET /v1/b
    call:
      http: GET /b
",
    )]);
    assert_eq!(codes(&loaded), ["unknown-variable"]);
    let related = &loaded.diagnostics.iter().next().unwrap().related;
    assert_eq!(related[0].1, "for route `does_not`");
}

#[test]
fn any_part_of_a_route_file_may_come_from_another() {
    let loaded = load(&[
        (
            "routes.d/thing.yaml",
            "resource: thing
kind: fw
select:
  $ref: shared/all.yaml#/select
maps:
  $ref: shared/all.yaml#/maps
routes:
  x:
    $ref: shared/all.yaml#/route
    match: POST /v1/mine
  y:
    match: POST /v1/y
    request:
      $ref: shared/all.yaml#/request
    call:
      http: POST /y
",
        ),
        (
            "routes.d/shared/all.yaml",
            "select:
  prefer: hash
  hash_on: \"{{ path.id }}\"
maps:
  size:
    small: 1
request:
  body:
    type: object
    properties:
      id:
        $ref: '#/id'
id:
  type: integer
route:
  match: POST /v1/theirs
  select:
    prefer: first
  request:
    $ref: '#/request'
  call:
    http: POST /x
    body:
      size: \"{{ map 'size' body.id }}\"
",
        ),
    ]);
    // The file's `select` reads a parameter that `y` has not.
    assert_eq!(
        codes(&loaded),
        ["unknown-variable"],
        "{}",
        messages(&loaded)
    );
    let fixed = load(&[
        ("routes.d/thing.yaml", &{
            let text = &loaded
                .files
                .iter()
                .find(|(_, f)| &*f.path == "routes.d/thing.yaml");
            text.unwrap()
                .1
                .text
                .replace("POST /v1/y", "POST /v1/y/{id}")
        }),
        ("routes.d/shared/all.yaml", &{
            let text = &loaded
                .files
                .iter()
                .find(|(_, f)| &*f.path == "routes.d/shared/all.yaml");
            text.unwrap().1.text.to_string()
        }),
    ]);
    let plan = plan(&fixed);
    assert_eq!(&*route(plan, "x").path, "/v1/mine");
    for name in ["x", "y"] {
        let body = route(plan, name).request.body.as_ref().unwrap();
        assert_eq!(body.check(&json!({"id": 1})), []);
        assert_eq!(body.check(&json!({"id": "a"})).len(), 1);
    }
    assert!(matches!(route(plan, "y").select.prefer, Prefer::Hash(_)));
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
    let Action::Http(call) = &route(plan(&loaded), "x").call.action;
    assert!(matches!(call.body, HttpBody::Template(_)));
}

#[test]
fn labels_that_tell_the_instances_apart_leave_one() {
    let routes = |label: &str| {
        format!(
            "resource: thing
kind: fw
per_backend: true
routes:
  x:
    match: GET /v1/{{site}}/x/{{id}}
    object: \"{{{{ path.id }}}}\"
    select:
      labels:
        {label}: \"{{{{ path.site }}}}\"
    call:
      http: GET /x/{{{{ object.backend_id }}}}
"
        )
    };
    let apart = load(&[("routes.d/thing.yaml", &routes("site"))]);
    assert_eq!(messages(&apart), "");
    assert!(plan(&apart).resources[0].per_backend);
    let labels = "labels:\n  region: tw\n";
    let (one, two) = (
        FW_1.replace("labels:\n", labels),
        FW_2.replace("labels:\n", labels),
    );
    let same = load_from_memory(
        &[
            ("backends.d/a.yaml", &one),
            ("backends.d/b.yaml", &two),
            ("routes.d/thing.yaml", &routes("region")),
        ],
        &env(),
    );
    assert_eq!(codes(&same), ["ambiguous-backend"]);
}

#[test]
fn what_a_shared_error_rule_reads_is_read_by_the_route() {
    let routes = "resource: thing
kind: fw
select:
  prefer: first
response:
  errors:
    - when:
        status: 409
      reply: 409
      detail: \"{{ let.name }} is taken, says {{ response.body.message }}\"
routes:
  x:
    match: POST /v1/x
    request:
      body:
        type: object
        properties:
          id:
            type: string
    let:
      name: \"cmp-{{ body.id }}\"
    call:
      http: POST /x
";
    let loaded = load(&[("routes.d/thing.yaml", routes)]);
    assert_eq!(messages(&loaded), "");
}

/// Whatever becomes of a line, there is a plan or a reason why not, and never a panic.
#[test]
fn any_slip_in_a_route_file_ends_in_words() {
    let case = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/config/language_example/routes.d/"
    );
    let read = |name: &str| std::fs::read_to_string(format!("{case}{name}")).unwrap();
    let (rule, response) = (read("firewall_rule.yaml"), read("shared/fw-response.yaml"));
    let (policy, group) = (read("firewall_policy.yaml"), read("address_group.yaml"));
    let lines: Vec<&str> = rule.lines().collect();
    let mut refused = 0;
    for index in 0..lines.len() {
        let (indent, key) = lines[index]
            .split_once(':')
            .map_or(("", ""), |(before, _)| {
                let key = before.trim_start();
                (&before[..before.len() - key.len()], key)
            });
        let slips = [
            String::new(),
            format!("{indent}{key}x: 1"),
            format!("{indent}{key}:"),
            format!("{indent}{key}: \"{{{{ body\""),
            format!("{indent}{key}: [1, {{}}]"),
        ];
        // One a line: every slip is tried on many lines.
        let slip = &slips[index % slips.len()];
        let mut text = lines.clone();
        text[index] = slip;
        let text = text.join("\n");
        let loaded = load(&[
            ("routes.d/firewall_rule.yaml", &text),
            ("routes.d/firewall_policy.yaml", &policy),
            ("routes.d/address_group.yaml", &group),
            ("routes.d/shared/fw-response.yaml", &response),
        ]);
        assert_eq!(loaded.plan.is_some(), loaded.diagnostics.no_errors());
        refused += usize::from(loaded.plan.is_none());
    }
    assert!(refused > lines.len() / 2, "{refused} of {}", lines.len());
}
