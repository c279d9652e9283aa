//! Pieces of other files, and what is wrong: said once, at its place, hiding nothing else.

use super::*;

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
    required: [id]
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
        required: [id]
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
