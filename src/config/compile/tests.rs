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
