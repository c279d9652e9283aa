//! Which instance: what a route says, what its parents say, and what is left to choose.

use super::*;

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
        anyOf:
          - required: [site]
          - required: [owner]
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
        required: [site]
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
