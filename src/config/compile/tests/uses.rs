//! Variables against what is known of them: what is told of each use, and what is not.

use super::*;

/// What is said of a route whose request has this schema and whose call this body; each with the variable.
fn said(schema: &str, body: &str) -> Vec<String> {
    let indented = |text: &str, by: usize| {
        let pad = " ".repeat(by);
        let lines: Vec<_> = text
            .trim()
            .lines()
            .map(|line| format!("{pad}{line}"))
            .collect();
        lines.join("\n")
    };
    let routes = thing(&format!(
        "  x:
    match: POST /v1/x/{{id}}
    request:
      body:
{}
    call:
      http: POST /x/{{{{ path.id }}}}
      body:
{}
",
        indented(schema, 8),
        indented(body, 8)
    ));
    told(&load(&[("routes.d/thing.yaml", &routes)]))
}

/// Code and first quoted name of each diagnostic.
fn told(loaded: &Loaded) -> Vec<String> {
    loaded
        .diagnostics
        .iter()
        // The backends of these tests have an `auths` that no route names; rules without examples are
        // another pass's.
        .filter(|item| !["unused-auth", "untried-rule"].contains(&item.code))
        .map(|item| {
            let name = item.message.split('`').nth(1).unwrap_or_default();
            format!("{} {name}", item.code)
        })
        .collect()
}

const PORT: &str = "
type: object
required: [id, rules]
properties:
  id: { type: string }
  mtu: { type: integer }
  flag: { type: boolean }
  port:
    type: object
    required: [number]
    properties:
      number: { type: integer }
      note: { type: string }
  rules:
    type: array
    items:
      type: object
      required: [action]
      properties:
        action: { enum: [allow, deny] }
        ports: { type: array, items: { type: integer } }
";

#[test]
fn what_is_required_is_there_and_the_rest_may_be_absent() {
    assert_eq!(said(PORT, "a: '{{ body.id }}'"), [""; 0]);
    assert_eq!(
        said(PORT, "a: '{{ body.mtu }}'"),
        ["optional-field body.mtu"]
    );
    // What stands below an optional object is as optional as that.
    assert_eq!(
        said(PORT, "a: '{{ body.port.number }}'"),
        ["optional-field body.port.number"]
    );
    assert_eq!(said(PORT, "a: '{{ optional body.port.number }}'"), [""; 0]);
    assert_eq!(said(PORT, "a: '{{ default body.mtu 1500 }}'"), [""; 0]);
    assert_eq!(
        said(PORT, "a: '{{ optional (upper body.port.note) }}'"),
        [""; 0]
    );
    // A fallback has to be there itself.
    assert_eq!(
        said(PORT, "a: '{{ default body.mtu body.port.number }}'"),
        ["optional-field body.port.number"]
    );
}

#[test]
fn a_guard_grants_what_it_asks_for_where_it_stands() {
    for fine in [
        "$if: has body.mtu\n$then: '{{ body.mtu }}'",
        "$if: has body.port\n$then: '{{ body.port.number }}'",
        "$if: not (has body.mtu)\n$then: 1\n$else: '{{ body.mtu }}'",
        "$if: and (has body.mtu) (eq body.mtu 5)\n$then: '{{ body.mtu }}'",
        "$if: or (not (has body.mtu)) (eq body.mtu 5)\n$then: 1",
        "$if: optional body.flag\n$then: '{{ body.flag }}'",
        "$if: default body.flag false\n$then: '{{ body.flag }}'",
        "$if: eq (default body.mtu 1500) 9000\n$then: '{{ body.mtu }}'",
        "$if: and (has body.port) (has body.port.note)\n$then: '{{ body.port.note }}'",
    ] {
        assert_eq!(
            said(PORT, &format!("a:\n  {}", fine.replace('\n', "\n  "))),
            [""; 0],
            "{fine}"
        );
    }
    for (wrong, what) in [
        (
            "$if: has body.mtu\n$then: 1\n$else: '{{ body.mtu }}'",
            "body.mtu",
        ),
        (
            "$if: not (has body.mtu)\n$then: '{{ body.mtu }}'",
            "body.mtu",
        ),
        (
            "$if: has body.port\n$then: '{{ body.port.note }}'",
            "body.port.note",
        ),
        (
            "$if: or (has body.mtu) (has body.port)\n$then: '{{ body.mtu }}'",
            "body.mtu",
        ),
        ("$if: eq body.mtu 5\n$then: '{{ body.mtu }}'", "body.mtu"),
        (
            "$if: default body.flag true\n$then: '{{ body.flag }}'",
            "body.flag",
        ),
    ] {
        assert_eq!(
            said(PORT, &format!("a:\n  {}", wrong.replace('\n', "\n  "))),
            [format!("optional-field {what}")],
            "{wrong}"
        );
    }
}

#[test]
fn a_loop_variable_is_an_item_of_its_list() {
    let rules = |item: &str| {
        said(
            PORT,
            &format!("a:\n  $for: body.rules\n  $as: rule\n{item}"),
        )
    };
    assert_eq!(rules("  $item: '{{ rule.action }}'"), [""; 0]);
    assert_eq!(
        rules("  $item: '{{ rule.actoin }}'"),
        ["unknown-field rule.actoin"]
    );
    assert_eq!(
        rules("  $item:\n    $for: rule.ports\n    $item: '{{ item }}'"),
        ["optional-field rule.ports"]
    );
    assert_eq!(
        rules(
            "  $where: has rule.ports\n  $item:\n    $for: rule.ports\n    $as: port\n    $item: '{{ port.x }}'"
        ),
        ["unknown-field port.x"]
    );
    assert_eq!(
        rules("  $item:\n    $for: optional rule.ports\n    $item: '{{ item }}{{ rule.action }}'"),
        [""; 0]
    );
    // A list has no fields of its own, and no item can be taken for granted.
    assert_eq!(
        said(PORT, "a: '{{ body.rules.action }}'"),
        ["unknown-field body.rules.action"]
    );
    assert_eq!(
        said(PORT, "a: '{{ body.rules.0.action }}'"),
        ["optional-field body.rules.0.action"]
    );
    // What the one round grants, the next loop does not know.
    assert_eq!(
        said(
            PORT,
            "a:
  - $for: body.rules
    $where: has item.ports
    $item: '{{ item.action }}'
  - $for: body.rules
    $item: '{{ json item.ports }}'"
        ),
        ["optional-field item.ports"]
    );
}

#[test]
fn a_typing_error_in_a_list_is_told_once() {
    assert_eq!(
        said(PORT, "a:\n  $for: body.ruels\n  $item: '{{ item.action }}'"),
        ["unknown-field body.ruels"]
    );
}

const BRANCHES: &str = "
type: object
required: [kind]
properties:
  kind: { enum: [tcp, icmp] }
  both: { type: string }
  port: { type: integer }
  type: { type: integer }
oneOf:
  - properties: { kind: { const: tcp } }
    required: [port, both]
  - properties: { kind: { const: icmp } }
    required: [type, both]
dependentRequired:
  port: [both]
";

#[test]
fn a_field_of_every_branch_is_there_and_one_of_some_is_not() {
    assert_eq!(said(BRANCHES, "a: '{{ body.both }}'"), [""; 0]);
    assert_eq!(
        said(BRANCHES, "a: '{{ body.port }}'"),
        ["optional-field body.port"]
    );
    // A condition decides which branch it is.
    assert_eq!(
        said(
            BRANCHES,
            "a:
  $if: eq body.kind 'tcp'
  $then: '{{ body.port }}'
  $else: '{{ body.type }}'"
        ),
        [""; 0]
    );
    assert_eq!(
        said(
            BRANCHES,
            "a:\n  $if: eq body.kind 'icmp'\n  $then: '{{ body.port }}'"
        ),
        ["optional-field body.port"]
    );
}

#[test]
fn one_of_two_fields_is_there_when_the_other_is_not() {
    let schema = "
type: object
properties:
  name: { type: string }
  id: { type: string }
anyOf:
  - required: [name]
  - required: [id]
";
    assert_eq!(
        said(
            schema,
            "a:\n  $if: has body.name\n  $then: '{{ body.name }}'\n  $else: '{{ body.id }}'"
        ),
        [""; 0]
    );
    assert_eq!(
        said(schema, "a: '{{ default body.name body.id }}'"),
        [""; 0]
    );
    assert_eq!(
        said(schema, "a: '{{ body.id }}'"),
        ["optional-field body.id"]
    );
}

#[test]
fn conditions_of_a_schema_hold_or_do_not() {
    let schema = "
type: object
required: [mode]
properties:
  mode: { type: string }
  cidr: { type: string }
  pool: { type: string }
  user: { type: string }
  realm: { type: string }
if:
  properties: { mode: { const: static } }
  required: [mode]
then:
  required: [cidr]
else:
  required: [pool]
dependentRequired:
  user: [realm]
";
    let then = |condition: &str, name: &str| {
        said(
            schema,
            &format!("a:\n  $if: {condition}\n  $then: '{{{{ body.{name} }}}}'"),
        )
    };
    assert_eq!(then("eq body.mode 'static'", "cidr"), [""; 0]);
    assert_eq!(then("ne body.mode 'static'", "pool"), [""; 0]);
    assert_eq!(then("eq body.mode 'dhcp'", "pool"), [""; 0]);
    assert_eq!(
        then("eq body.mode 'dhcp'", "cidr"),
        ["optional-field body.cidr"]
    );
    assert_eq!(then("has body.user", "realm"), [""; 0]);
    assert_eq!(then("has body.realm", "user"), ["optional-field body.user"]);
}

#[test]
fn a_schema_is_followed_through_references_and_all_of() {
    let schema = "
type: object
required: [outer]
properties:
  outer:
    allOf:
      - $ref: '#/$defs/named'
      - properties: { size: { type: integer } }
        required: [size]
$defs:
  named:
    type: object
    required: [name]
    properties:
      name: { type: string }
      next: { $ref: '#/$defs/named' }
";
    assert_eq!(
        said(schema, "a: '{{ body.outer.name }}{{ body.outer.size }}'"),
        [""; 0]
    );
    assert_eq!(
        said(schema, "a: '{{ body.outer.next.name }}'"),
        ["optional-field body.outer.next.name"]
    );
    assert_eq!(
        said(schema, "a: '{{ optional body.outer.next.nmae }}'"),
        ["unknown-field body.outer.next.nmae"]
    );
    assert_eq!(
        said(schema, "a: '{{ optional body.outer.next.next.next.name }}'"),
        [""; 0]
    );
}

#[test]
fn open_objects_have_any_name_and_promise_none() {
    let schema = "
type: object
required: [labels, named, open]
properties:
  labels: { type: object }
  open: { type: object, additionalProperties: true, properties: { a: { type: string } } }
  named:
    type: object
    properties: { id: { type: string } }
    patternProperties: { '^x_': { type: string } }
    additionalProperties: false
";
    for open in ["labels.any", "open.b", "named.x_a"] {
        assert_eq!(
            said(schema, &format!("a: '{{{{ body.{open} }}}}'")),
            [format!("optional-field body.{open}")]
        );
        assert_eq!(
            said(schema, &format!("a: '{{{{ optional body.{open} }}}}'")),
            [""; 0]
        );
    }
    assert_eq!(
        said(schema, "a: '{{ optional body.named.y_a }}'"),
        ["unknown-field body.named.y_a"]
    );
    assert_eq!(
        said(schema, "a: '{{ optional body.named.id.x }}'"),
        ["unknown-field body.named.id.x"]
    );
}

#[test]
fn what_may_be_null_may_lack_its_parts() {
    let schema = "
type: object
required: [gate, list]
properties:
  gate: { type: [object, 'null'], required: [ip], properties: { ip: { type: string } } }
  list: { type: array, minItems: 2, items: { type: string } }
";
    assert_eq!(said(schema, "a: '{{ body.gate }}'"), [""; 0]);
    let loaded = said(schema, "a: '{{ body.gate.ip }}'");
    assert_eq!(loaded, ["optional-field body.gate.ip"]);
    assert_eq!(said(schema, "a: '{{ body.list.1 }}'"), [""; 0]);
    assert_eq!(
        said(schema, "a: '{{ body.list.2 }}'"),
        ["optional-field body.list.2"]
    );
}

#[test]
fn a_value_that_the_position_cannot_take_is_told() {
    for (body, wanted) in [
        ("a: 'x {{ body.rules }}'", "not-text body.rules"),
        ("a: '{{ upper body.rules }}'", "not-text body.rules"),
        ("a:\n  $for: body.id\n  $item: 1", "not-a-list body.id"),
        ("a:\n  $if: body.id\n  $then: 1", "not-a-condition body.id"),
        (
            "a:\n  $if: not body.rules\n  $then: 1",
            "not-a-condition body.rules",
        ),
        (
            "a: \"{{ default body.mtu '1500' }}\"",
            "default-of-another-type body.mtu",
        ),
        ("a: '{{ join body.id body.id }}'", "not-a-list body.id"),
    ] {
        assert_eq!(said(PORT, body), [wanted], "{body}");
    }
    for fine in [
        "a: '{{ body.rules }}'",
        "a: '{{ json body.rules }}'",
        "a: '{{ default body.mtu null }}'",
        "a: '{{ default body.port null }}'",
        "a: 'mtu {{ default body.mtu \"\" }}'",
        "a:\n  $if: optional body.flag\n  $then: 1",
    ] {
        assert_eq!(said(PORT, fine), [""; 0], "{fine}");
    }
}

#[test]
fn a_guard_of_what_is_always_there_is_told() {
    for redundant in [
        "a: '{{ optional body.id }}'",
        "a: \"{{ default body.id '' }}\"",
        "a:\n  $if: has body.id\n  $then: 1",
        "a: '{{ optional path.id }}'",
        "a:\n  $for: body.rules\n  $item: '{{ optional item.action }}'",
    ] {
        let said = said(PORT, redundant);
        assert!(
            matches!(said.as_slice(), [only] if only.starts_with("always-present")),
            "{redundant}: {said:?}"
        );
    }
    // In every branch, but by no single word of the schema.
    assert_eq!(
        said(BRANCHES, "a: '{{ optional body.both }}'"),
        ["always-present body.both"]
    );
}

/// A route file of two resources: things of an owner.
fn with_attributes(create: &str, read: &str) -> Vec<String> {
    let owner = format!(
        "resource: owner
kind: fw
select:
  prefer: first
routes:
  create_owner:
    match: POST /v1/owners/{{id}}
    call:
      http: PUT /owners/{{{{ path.id }}}}
    mapping:
      create:
        cmp_id: \"{{{{ path.id }}}}\"
        backend_id: $.id
        attributes:
{create}
  update_owner:
    match: PUT /v1/owners/{{id}}
    object: \"{{{{ path.id }}}}\"
    call:
      http: PUT /owners/{{{{ object.backend_id }}}}
    mapping:
      update:
        attributes:
          later: $.later
  delete_owner:
    match: DELETE /v1/owners/{{id}}
    object: \"{{{{ path.id }}}}\"
    call:
      http: DELETE /owners/{{{{ object.backend_id }}}}
    mapping: delete
"
    );
    let thing = thing(&format!(
        "  x:
    match: POST /v1/x/{{owner}}
    request:
      body:
        type: object
        properties:
          other: {{ type: string }}
    parents:
      owner:
        resource: owner
        id: \"{{{{ path.owner }}}}\"
      other:
        resource: owner
        id: \"{{{{ optional body.other }}}}\"
    select:
      same_as: owner
    call:
      http: POST /x
      body:
        {read}
"
    ));
    told(&load(&[
        ("routes.d/owner.yaml", &owner),
        ("routes.d/thing.yaml", &thing),
    ]))
}

#[test]
fn attributes_are_those_that_routes_record() {
    let always = "          zone: $.zone";
    assert_eq!(
        with_attributes(always, "a: '{{ parents.owner.attributes.zone }}'"),
        [""; 0]
    );
    assert_eq!(
        with_attributes(always, "a: '{{ parents.owner.attributes.zoen }}'"),
        ["unknown-attribute zoen"]
    );
    // An update alone records it: not before the first.
    assert_eq!(
        with_attributes(always, "a: '{{ parents.owner.attributes.later }}'"),
        ["optional-field parents.owner.attributes.later"]
    );
    let sometimes = "          zone: { path: $.zone, optional: true }";
    assert_eq!(
        with_attributes(sometimes, "a: '{{ parents.owner.attributes.zone }}'"),
        ["optional-field parents.owner.attributes.zone"]
    );
    assert_eq!(
        with_attributes(
            sometimes,
            "a: '{{ optional parents.owner.attributes.zone }}'"
        ),
        [""; 0]
    );
}

#[test]
fn a_parent_whose_id_is_optional_may_be_absent() {
    let zone = "          zone: $.zone";
    assert_eq!(
        with_attributes(zone, "a: '{{ parents.other.backend_id }}'"),
        ["optional-field parents.other.backend_id"]
    );
    for fine in [
        "a: '{{ optional parents.other.backend_id }}'",
        "a: { $if: has parents.other, $then: '{{ parents.other.backend_id }}' }",
        "a: { $if: has body.other, $then: '{{ parents.other.backend_id }}' }",
    ] {
        assert_eq!(with_attributes(zone, fine), [""; 0], "{fine}");
    }
    assert_eq!(
        with_attributes(zone, "a: '{{ optional parents.owner.backend_id }}'"),
        ["always-present parents.owner.backend_id"]
    );
}

#[test]
fn what_is_made_of_optional_things_is_optional() {
    let routes = thing(
        "  x:
    match: GET /v1/x
    request:
      query:
        type: object
        properties:
          note: { type: string }
    let:
      note: \"cmp: {{ optional query.note }}\"
    call:
      http: GET /x
      query:
        a: \"{{ let.note }}\"
        b:
          $if: has query.note
          $then: \"{{ let.note }}\"
    extract:
      next:
        path: $.next
        optional: true
      first: $.first
    response:
      errors:
        - when: { status: 409 }
          reply: 409
          detail: \"{{ extracted.first }}\"
    reply:
      body:
        next: \"{{ extracted.next }}\"
        first: \"{{ extracted.first }}\"
        last: \"{{ optional extracted.next }}\"
",
    );
    assert_eq!(
        told(&load(&[("routes.d/thing.yaml", &routes)])),
        [
            "unknown-variable extracted",
            "optional-field let.note",
            "optional-field extracted.next",
        ]
    );
}

#[test]
fn a_var_that_some_backend_lacks_is_told_with_its_name() {
    let routes = |name: &str| {
        thing(&format!(
            "  x:
    match: GET /v1/x
    call:
      http: GET /x
      query:
        a: \"{{{{ backend.{name} }}}}\"
"
        ))
    };
    let said = |vars: [&str; 2], name: &str| {
        let [one, two] = [(FW_1, vars[0]), (FW_2, vars[1])]
            .map(|(backend, vars)| format!("{backend}vars:\n  {vars}\n"));
        let loaded = load_from_memory(
            &[
                ("backends.d/fw-tpe-1.yaml", &one),
                ("backends.d/fw-khh-1.yaml", &two),
                ("routes.d/thing.yaml", &routes(name)),
            ],
            &env(),
        );
        told(&loaded)
    };
    let both = ["vdom: root", "vdom: root"];
    assert_eq!(said(both, "vars.vdom"), [""; 0]);
    assert_eq!(said(both, "vars.vdmo"), ["unknown-var fw"]);
    assert_eq!(said(both, "labels.stie"), ["unknown-label fw"]);
    let one = ["vdom: root", "other: x"];
    assert_eq!(
        said(one, "vars.vdom"),
        [
            "not-on-every-backend fw-khh-1",
            "unused-var backend.vars.other"
        ]
    );
}

#[test]
fn what_no_example_shows_is_told_where_one_shows_anything() {
    let routes = |reply: &str, examples: &str| {
        thing(&format!(
            "  x:
    match: GET /v1/x
    call:
      http: GET /x
    response:
      errors:
        - when: {{ $.error: -5 }}
          reply: 409
          detail: \"{{{{ response.body.massage }}}}\"
    reply:
      body:
        a: \"{{{{ {reply} }}}}\"
    examples:
{examples}
"
        ))
    };
    let said = |reply: &str, examples: &str| {
        told(&load(&[("routes.d/thing.yaml", &routes(reply, examples))]))
    };
    let one = "      - name: a
        response: { body: { name: x, list: [{ id: 1 }], none: null, empty: [] } }";
    for seen in [
        "response.body.name",
        "response.body.list.0.id",
        "response.body.none.x",
        "response.body.empty.0",
        "response.headers.x_a",
    ] {
        let wanted: &[&str] = match seen.ends_with("empty.0") {
            true => &["unseen-in-examples response.body.empty.0"],
            false => &[],
        };
        assert_eq!(said(seen, one), wanted, "{seen}");
    }
    assert_eq!(
        said("optional response.body.nmae", one),
        ["unseen-in-examples response.body.nmae"]
    );
    assert_eq!(said("response.body.nmae", "      []"), [""; 0]);
    let failing = format!(
        "{one}
      - name: b
        response: {{ status: 400, body: {{ error: -5, message: m }} }}"
    );
    assert_eq!(
        said("response.body.name", &failing),
        ["unseen-in-examples response.body.massage"]
    );
}

#[test]
fn a_loop_over_what_the_relay_knows_is_told_by_its_list_alone() {
    let zone = "          zones: $.zones";
    let read = |list: &str| {
        format!(
            "a: {{ $for: parents.owner.attributes.{list}, $item: '{{{{ item.name.first }}}}' }}"
        )
    };
    assert_eq!(with_attributes(zone, &read("zones")), [""; 0]);
    assert_eq!(
        with_attributes(zone, &read("zoens")),
        ["unknown-attribute zoens"]
    );
}

#[test]
fn the_ways_out_are_those_that_the_position_has() {
    let help = |call: &str, wanted: &[&str], unwanted: &str| {
        let routes = thing(&format!(
            "  x:
    match: POST /v1/x
    request:
      body:
        type: object
        required: [id]
        properties:
          id: {{ type: string }}
          mtu: {{ type: integer, default: 1500 }}
    call:
{call}
    mapping:
      create:
        cmp_id: \"{{{{ body.id }}}}\"
        backend_id: $.id
"
        ));
        let loaded = load(&[("routes.d/thing.yaml", &routes)]);
        let found = loaded
            .diagnostics
            .iter()
            .find(|item| item.code == "optional-field");
        let help = found.unwrap().help.clone().unwrap();
        for word in wanted {
            assert!(help.contains(word), "{help}");
        }
        assert!(!help.contains(unwanted), "{help}");
    };
    help(
        "      http: POST /x\n      body:\n        a: \"{{ string body.mtu }}\"",
        &[
            "`{{ optional (string body.mtu) }}` leaves the key out",
            "`{{ string (default body.mtu 1500) }}`",
            "add `mtu` to `required`",
        ],
        "#if",
    );
    help(
        "      http: POST /x/{{ body.mtu }}",
        &["`{{ default body.mtu 1500 }}`"],
        "optional",
    );
    help(
        "      http: POST /x\n      query:\n        a: \"{{ body.mtu }}\"",
        &["leaves the parameter out"],
        "the key",
    );
    help(
        "      http: POST /x\n      body:\n        a: { $if: eq body.mtu 1, $then: 1 }",
        &["`and (has body.mtu) ...`", "`eq (default body.mtu 1500) 1`"],
        "{{",
    );
}
