//! What the document promises of routes: schemas, replies, problems, and references that lead somewhere.

use std::collections::BTreeSet;

use super::*;
use crate::config::{Env, load_from_memory};
use crate::demo::packs::openstack;

const BACKEND: &str = "name: fw-1\nkind: fw\nlabels: { site: tpe }\ndriver: { https: { url: 'https://fw.example.net' } }\n";

fn of(sources: &[(&str, &str)]) -> Value {
    let env = Env::new([(openstack::PASSWORD.to_owned(), "x".to_owned())]);
    let loaded = load_from_memory(sources, &env);
    let plan = loaded
        .plan
        .unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    document(&plan)
}

fn of_routes(routes: &str) -> Value {
    let text = format!("resource: thing\nkind: fw\nsummary: Things\nroutes:\n{routes}");
    of(&[
        ("backends.d/fw.yaml", BACKEND),
        ("routes.d/thing.yaml", &text),
    ])
}

fn references<'d>(value: &'d Value, found: &mut Vec<&'d str>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(target)) = map.get("$ref") {
                found.push(target);
            }
            map.values().for_each(|value| references(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

/// Every reference leads somewhere in the document.
fn check_references(document: &Value) -> usize {
    let mut found = Vec::new();
    references(document, &mut found);
    for target in &found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
    found.len()
}

fn codes(response: &Value) -> BTreeSet<&str> {
    let schema = &response["content"]["application/problem+json"]["schema"];
    let codes = schema["properties"]["code"]["enum"].as_array().unwrap();
    codes.iter().map(|code| code.as_str().unwrap()).collect()
}

#[test]
fn the_pack_is_described_and_nothing_in_it_leads_nowhere() {
    let document = of(&openstack::PACK.whole().collect::<Vec<_>>());
    assert!(check_references(&document) > 500);
    // What a create, a read and a list give is one schema under the resource's name.
    let network = json!({ "$ref": "#/components/schemas/network" });
    let paths = &document["paths"];
    let reply = |path: &str, method: &str, status: &str| {
        paths[path][method]["responses"][status]["content"]["application/json"]["schema"].clone()
    };
    assert_eq!(reply("/v1/networks", "post", "201"), network);
    assert_eq!(reply("/v1/networks/{id}", "get", "200"), network);
    let list = reply("/v1/networks", "get", "200");
    assert_eq!(list["properties"]["networks"]["items"], network);
    assert_eq!(list["required"], json!(["networks"]));
    // The words that select a backend are the ones that backends have.
    let request = &document["components"]["schemas"]["create_network_request"];
    assert_eq!(
        request["properties"]["region"]["enum"],
        json!(["RegionOne", "RegionTwo"])
    );
}

#[test]
fn a_schemas_own_references_are_right_inside_the_document() {
    let document = of_routes(
        "  create_thing:
    match: POST /v1/things
    request:
      query:
        type: object
        properties: { size: { $ref: '#/$defs/size' } }
        $defs: { size: { type: integer, maximum: 9 } }
      body:
        type: object
        required: [id]
        properties:
          id: { type: string, maxLength: 8 }
          next: { $ref: '#' }
          port: { $ref: '#/$defs/a~1port' }
          odd: { const: { $ref: '#/$defs/none' } }
        $defs: { 'a/port': { type: integer } }
    call: { http: POST /x, query: { s: '{{ optional query.size }}' } }
    mapping: { create: { cmp_id: '{{ body.id }}', backend_id: $.id } }
    reply:
      status: 201
      body: { id: '{{ body.id }}', port: '{{ optional body.port }}', next: '{{ optional body.next }}' }
  delete_thing: { match: 'DELETE /v1/things/{id}', object: '{{ path.id }}', call: { http: DELETE /x }, mapping: delete, reply: { status: 204 } }
",
    );
    let schemas = &document["components"]["schemas"];
    let request = &schemas["create_thing_request"];
    assert_eq!(
        request["properties"]["next"]["$ref"],
        "#/components/schemas/create_thing_request"
    );
    assert_eq!(
        request["properties"]["port"]["$ref"],
        "#/components/schemas/create_thing_request_a_port"
    );
    assert_eq!(
        request["properties"]["odd"]["const"]["$ref"],
        "#/$defs/none"
    );
    assert_eq!(schemas["create_thing_request_a_port"]["type"], "integer");
    assert!(request.get("$defs").is_none());
    let create = &document["paths"]["/v1/things"]["post"];
    let parameter = &create["parameters"][0];
    assert_eq!(
        parameter["schema"]["$ref"],
        "#/components/schemas/create_thing_query_size"
    );
    let reply = &create["responses"]["201"]["content"]["application/json"]["schema"];
    assert_eq!(reply["required"], json!(["id"]));
    assert_eq!(
        reply["properties"]["id"],
        json!({ "type": "string", "maxLength": 8 })
    );
    assert_eq!(reply["properties"]["port"], request["properties"]["port"]);
    assert_eq!(reply["properties"]["next"], request["properties"]["next"]);
}

#[test]
fn a_reply_promises_what_is_certain_and_no_more() {
    let document = of_routes(
        "  get_thing:
    match: GET /v1/things/{id}
    request: { query: { type: object, properties: { depth: { type: integer } } } }
    let: { label: 'x {{ path.id }}' }
    call: { http: 'GET /x/{{ path.id }}' }
    extract: { rev: { header: etag, optional: true } }
    reply:
      status: 200
      headers: { X-Rev: '{{ optional extracted.rev }}' }
      body:
        id: '{{ path.id }}'
        label: '{{ let.label }}'
        depth: '{{ default query.depth 0 }}'
        name: '{{ response.body.name }}'
        rev: '{{ optional extracted.rev }}'
        fixed: true
        ports: { $for: response.body.ports, $item: '{{ string item }}' }
  find_thing: { match: GET /v1/found, call: { http: GET /found } }
",
    );
    check_references(&document);
    let answer = &document["paths"]["/v1/things/{id}"]["get"]["responses"]["200"];
    let schema = &answer["content"]["application/json"]["schema"];
    assert_eq!(
        schema["required"],
        json!(["id", "label", "depth", "name", "fixed", "ports"])
    );
    let expected = json!({
        "id": { "type": "string" },
        "label": { "type": "string" },
        "depth": { "anyOf": [{ "type": "integer" }, { "const": 0 }] },
        "name": {},
        "rev": { "type": "string" },
        "fixed": { "const": true },
        "ports": { "type": "array", "items": { "type": "string" } },
    });
    assert_eq!(schema["properties"], expected);
    assert_eq!(answer["headers"]["x-rev"]["required"], false);
    // What a backend says is passed on as it comes: any success, any JSON.
    let open = &document["paths"]["/v1/found"]["get"]["responses"]["2XX"];
    assert!(
        open["content"]["application/json"]["schema"]
            .get("type")
            .is_none()
    );
}

#[test]
fn a_route_lists_the_problems_that_it_can_give_and_no_others() {
    let document = of_routes(
        "  create_thing:
    match: POST /v1/things
    request: { body: { type: object, required: [id], properties: { id: { type: string } } } }
    call: { http: POST /x }
    response:
      errors:
        - { when: { status: 409, $.kind: a }, reply: 409, code: duplicate }
        - { when: { status: 409 }, reply: 409, code: in_use }
    mapping: { create: { cmp_id: '{{ body.id }}', backend_id: $.id } }
    reply: { status: 201 }
    examples:
      - name: is there already
        request: { body: { id: a } }
        response: { status: 409, body: { kind: a } }
        expect_reply: { status: 409, body: { code: duplicate } }
  delete_thing: { match: 'DELETE /v1/things/{id}', object: '{{ path.id }}', call: { http: DELETE /x }, mapping: delete, reply: { status: 204 } }
  list_things: { match: GET /v1/things, call: { http: GET /x }, reply: { status: 200, body: { a: 1 } } }
",
    );
    let things = &document["paths"]["/v1/things"];
    let conflicts = &things["post"]["responses"]["409"];
    let expected = [
        "already_mapped",
        "duplicate",
        "in_use",
        "mapping_conflict",
        "operation_in_progress",
        "outcome_unknown",
    ];
    assert_eq!(codes(conflicts), BTreeSet::from(expected));
    let described = conflicts["description"].as_str().unwrap();
    assert!(
        described.contains("`duplicate`: is there already."),
        "{described}"
    );
    let list = things["get"]["responses"].as_object().unwrap();
    for absent in ["401", "403", "404", "409", "413", "415"] {
        assert!(!list.contains_key(absent), "{absent}");
    }
    assert_eq!(
        codes(&list["502"]),
        BTreeSet::from(["backend_error", "backend_unreachable", "backend_auth"])
    );
    let delete = &document["paths"]["/v1/things/{id}"]["delete"]["responses"];
    assert_eq!(
        codes(&delete["404"]),
        BTreeSet::from(["not_mapped", "backend_object_missing"])
    );
    assert!(delete["204"].get("content").is_none());
}

#[test]
fn callers_that_are_asked_for_a_token_are_told_so() {
    let hash = "0".repeat(64);
    let relay = format!("clients:\n  - {{ name: cmp, token_sha256: ['{hash}'] }}\n");
    let routes = "resource: thing\nkind: fw\nroutes:\n  list_things: { match: GET /v1/things, call: { http: GET /x } }\n";
    let document = of(&[
        ("relay.yaml", &relay),
        ("backends.d/fw.yaml", BACKEND),
        ("routes.d/thing.yaml", routes),
    ]);
    assert_eq!(document["security"], json!([{ "token": [] }]));
    let list = &document["paths"]["/v1/things"]["get"]["responses"];
    assert_eq!(
        list["401"]["$ref"],
        "#/components/responses/unauthenticated"
    );
    // The description itself is open to everybody.
    assert_eq!(document["paths"]["/docs"]["get"]["security"], json!([]));
    check_references(&document);
}
