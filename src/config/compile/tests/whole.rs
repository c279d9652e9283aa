//! What a bundle leaves open as a whole: what nothing creates, deletes, reaches, chooses or tries.

use crate::config::{Env, Loaded, load_from_memory};

const BACKEND: &str = "\
name: fw-1
kind: fw
labels:
  site: tpe
driver:
  https:
    url: https://fw-1.example.net
    auth: none
";

fn load(routes: &str) -> Loaded {
    let text = format!("resource: thing\nkind: fw\nroutes:\n{routes}");
    load_from_memory(
        &[
            ("backends.d/fw-1.yaml", BACKEND),
            ("routes.d/thing.yaml", &text),
        ],
        &Env::new([]),
    )
}

fn codes(routes: &str) -> Vec<&'static str> {
    load(routes)
        .diagnostics
        .iter()
        .map(|said| said.code)
        .collect()
}

/// A create whose call has this path and this body line, and a delete beside it.
fn create(call: &str, body: &str, cmp_id: &str, more: &str) -> String {
    format!(
        "  create:
    match: POST /v1/owners/{{owner}}/things
    request:
      body:
        type: object
        required: [id, title]
        properties:
          id: {{ type: string }}
          title: {{ type: string }}
          tags: {{ type: array, items: {{ type: string }} }}
{more}    call:
      http: {call}
      body:
        title: \"{{{{ body.title }}}}\"
{body}    mapping:
      create:
        cmp_id: {cmp_id}
        backend_id: $.id
  delete:
    match: DELETE /v1/things/{{id}}
    object: \"{{{{ path.id }}}}\"
    call:
      http: DELETE /things/{{{{ object.backend_id }}}}
    mapping: delete
"
    )
}

const ID: &str = "\"{{ body.id }}\"";

#[test]
fn a_mark_counts_wherever_it_is_sent() {
    let lets = "    let:\n      tag: \"cmp:{{ body.id }}\"\n";
    for marked in [
        create("POST /things", "        note: \"{{ body.id }}\"\n", ID, ""),
        create(
            "POST /things",
            "        note: \"{{ mapping.cmp_id }}\"\n",
            ID,
            "",
        ),
        create(
            "POST /things",
            "        note: \"{{ let.tag }}\"\n",
            ID,
            lets,
        ),
        create("POST /things/{{ body.id }}", "", ID, ""),
        create("POST /things", "        all: \"{{ body }}\"\n", ID, ""),
        // A PUT names what it makes.
        create("PUT /things/{{ body.title }}", "", ID, ""),
        // A composite id, of which each part is sent.
        create(
            "POST /owners/{{ path.owner }}/things",
            "        note: \"{{ body.id }}\"\n",
            "[\"{{ path.owner }}\", \"{{ body.id }}\"]",
            "",
        ),
    ] {
        assert_eq!(codes(&marked), [""; 0], "{marked}");
    }
    for unmarked in [
        create("POST /things", "", ID, ""),
        create(
            "POST /things",
            "        note: \"{{ path.owner }}\"\n",
            ID,
            "",
        ),
        create(
            "POST /things",
            "        note: \"{{ body.id }}\"\n",
            "[\"{{ path.owner }}\", \"{{ body.id }}\"]",
            "",
        ),
    ] {
        assert_eq!(codes(&unmarked), ["unmarked-create"], "{unmarked}");
    }
}

#[test]
fn a_literal_takes_nothing_from_objects_that_cannot_bear_its_name() {
    let routes = |id: &str| {
        create("POST /things", "        note: \"{{ body.id }}\"\n", ID, "").replace(
            "          id: { type: string }",
            &format!("          id: {id}"),
        ) + "  search:
    match: POST /v1/things/search
    safe: true
    call:
      http: GET /things
"
    };
    assert_eq!(codes(&routes("{ type: string }")), ["shadowed-route"]);
    for refused in [
        "{ type: string, format: uuid }",
        "{ type: string, pattern: '^t-[0-9]+$' }",
        "{ enum: [a, b] }",
        "{ type: string, maxLength: 4 }",
    ] {
        assert_eq!(codes(&routes(refused)), [""; 0], "{refused}");
    }
}

#[test]
fn a_file_with_an_error_is_not_told_what_it_lacks() {
    let routes = create("POST /things", "", ID, "").replace("cmp_id", "cmpid");
    assert_eq!(codes(&routes), ["unknown-key"]);
}

#[test]
fn an_enum_is_held_against_the_instances() {
    let routes = |values: &str, expression: &str| {
        let required = match expression.starts_with("default") {
            true => "",
            false => "        required: [site]\n",
        };
        format!(
            "  list:
    match: GET /v1/things
    request:
      query:
        type: object
{required}        properties:
          site: {{ enum: [{values}] }}
    select:
      labels:
        site: \"{{{{ {expression} }}}}\"
    call:
      http: GET /things
"
        )
    };
    assert_eq!(codes(&routes("tpe", "query.site")), [""; 0]);
    let said = load(&routes("tpe, khh, txg", "query.site"));
    let found: Vec<_> = said.diagnostics.iter().map(|said| &*said.message).collect();
    assert_eq!(
        found,
        [
            "the request's schema admits `khh`, `txg`, and there is no backend with the label `site: khh`"
        ]
    );
    assert_eq!(
        codes(&routes("tpe", "default query.site 'khh'")),
        ["unserved-value"]
    );
    // What a helper makes of it is not in the schema.
    assert_eq!(codes(&routes("TPE", "lower query.site")), [""; 0]);
    // No value at all leads to the only instance.
    assert_eq!(
        codes(&routes("khh", "query.site")),
        ["unserved-value", "unreachable-backend"]
    );
}
