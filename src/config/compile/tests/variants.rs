//! `call.variants`: one match, and what it does by the instance's labels.

use std::sync::Arc;
use std::time::Duration;

use super::*;

/// Two vendors of a kind: `tpe` is asked in JSON, `khh` by forms and XML.
const THING: &str = r#"resource: thing
kind: fw
select:
  labels:
    site: "{{ body.site }}"
response:
  errors:
    - when: { status: 403 }
      reply: 403
      code: of_the_file
routes:
  create_thing:
    match: POST /v1/things
    request:
      body:
        type: object
        required: [id, site]
        properties:
          id: { type: string }
          site: { enum: [tpe, khh] }
    let:
      name: "cmp-{{ body.id }}"
    call:
      timeout: 20s
      variants:
        - when: { site: tpe }
          http: POST /api/things
          body:
            name: "{{ let.name }}"
        - when: { site: [khh, tnn] }
          http: POST /config
          timeout: 40s
          form:
            element: { $xml: "<entry name=\"{{ body.id }}\"/>" }
          response:
            format: xml
            fail_when:
              "$.response['@status']": error
            errors:
              - when:
                  "$.response['@code']": "13"
                reply: 409
                code: of_the_variant
          mapping:
            create:
              cmp_id: "{{ body.id }}"
              backend_id: { value: "{{ body.id }}" }
    response:
      errors:
        - when: { status: 409 }
          reply: 409
          code: of_the_route
    mapping:
      create:
        cmp_id: "{{ body.id }}"
        backend_id: $.mkey
    reply:
      status: 201
      body:
        id: "{{ mapping.cmp_id }}"
    examples:
      - name: of the first
        request:
          body: { id: t1, site: tpe }
        backend: fw-tpe-1
        expect_call:
          http: POST /api/things
          body: { name: cmp-t1 }
        response: { status: 200, body: { mkey: 7 } }
        expect_reply: { status: 201, body: { id: t1 } }
        expect_mapping: { resource: thing, cmp_id: t1, backend: fw-tpe-1, backend_id: "7" }
      - name: of the second
        request:
          body: { id: t2, site: khh }
        backend: fw-khh-1
        expect_call:
          http: POST /config
          body: { element: '<entry name="t2"/>' }
        response:
          status: 200
          headers: { content-type: application/xml }
          text: '<response status="success"/>'
        expect_reply: { status: 201, body: { id: t2 } }
        expect_mapping: { resource: thing, cmp_id: t2, backend: fw-khh-1, backend_id: t2 }
      - name: refused by the second
        request:
          body: { id: t2, site: khh }
        backend: fw-khh-1
        response: { status: 200, text: '<response status="error" code="13"/>' }
        expect_reply: { status: 409 }
        expect_mapping: null
"#;

fn thing_with(from: &str, to: &str) -> Loaded {
    assert!(THING.contains(from), "{from}");
    load(&[("routes.d/thing.yaml", &THING.replacen(from, to, 1))])
}

#[test]
fn each_instance_has_its_own_call_answer_and_mapping() {
    let loaded = load(&[("routes.d/thing.yaml", THING)]);
    assert_eq!(messages(&loaded), "");
    let plan = plan(&loaded);
    assert_eq!(plan.routes.len(), 1);
    let create = route(plan, "create_thing");
    let of = |backend: &str| {
        let backend = plan.backend_named(backend).unwrap();
        &create.ways[create.way_to(backend).unwrap()]
    };
    let codes = |way: &Way| {
        let codes = way.response.errors.iter().map(|rule| rule.code.clone());
        codes.flatten().map(String::from).collect::<Vec<_>>()
    };

    let first = of("fw-tpe-1");
    assert_eq!(first.label(), "site: tpe");
    assert_eq!(first.call.timeout, Some(Duration::from_secs(20)));
    assert_eq!(codes(first), ["of_the_route", "of_the_file"]);
    assert!(
        matches!(&first.call.action, Action::Http(http) if matches!(http.body, HttpBody::Json(_)))
    );

    let second = of("fw-khh-1");
    assert_eq!(second.label(), "site: khh | tnn");
    assert_eq!(second.call.timeout, Some(Duration::from_secs(40)));
    assert_eq!(
        codes(second),
        ["of_the_variant", "of_the_route", "of_the_file"]
    );
    assert!(
        matches!(&second.call.action, Action::Http(http) if matches!(http.body, HttpBody::Form(_)))
    );
    assert_eq!(create.way_to(crate::plan::BackendId(99)), None);
}

#[test]
fn examples_are_played_on_the_instance_that_they_are_about() {
    let mut loaded = load(&[("routes.d/thing.yaml", THING)]);
    let plan = Arc::new(loaded.plan.take().unwrap());
    let report = crate::trial::play(&plan, &loaded.examples, &[]).unwrap();
    let failed: Vec<_> = report.played.iter().filter(|one| one.failed()).collect();
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(report.played.len(), 3);
    assert_eq!(
        (report.coverage.routes, report.coverage.without.len()),
        (1, 0)
    );
    let unmet: Vec<_> = report
        .coverage
        .unmet
        .iter()
        .map(|rule| &*rule.what)
        .collect();
    assert_eq!(
        unmet,
        [
            "the error rule 403 `of_the_file`",
            "the error rule 409 `of_the_route`"
        ]
    );
}

#[test]
fn every_instance_has_a_variant_and_every_variant_an_instance() {
    let found = |loaded: &Loaded| codes(loaded);
    // The instance that nothing is said for, by its name.
    let loaded = thing_with("when: { site: [khh, tnn] }", "when: { site: tnn }");
    assert!(
        found(&loaded).contains(&"no-variant"),
        "{}",
        messages(&loaded)
    );
    assert!(
        messages(&loaded)
            .contains("no variant is for the backend `fw-khh-1` (Some(\"its labels: site: khh\"))")
    );
    // What is left.
    let loaded = thing_with("when: { site: [khh, tnn] }", "when: {}");
    assert_eq!(messages(&loaded), "");
    // The first that fits takes it.
    let loaded = thing_with("when: { site: tpe }", "when: {}");
    assert!(
        found(&loaded).contains(&"unused-variant"),
        "{}",
        messages(&loaded)
    );
    let loaded = thing_with("- when: { site: tpe }\n          http", "- http");
    assert!(
        found(&loaded).contains(&"missing-key"),
        "{}",
        messages(&loaded)
    );
    let loaded = thing_with("when: { site: tpe }", "when: { stie: tpe }");
    assert!(
        found(&loaded).contains(&"unknown-label"),
        "{}",
        messages(&loaded)
    );
    let loaded = thing_with("when: { site: tpe }", "when: { site: \"{{ body.site }}\" }");
    assert!(
        found(&loaded).contains(&"misplaced-expression"),
        "{}",
        messages(&loaded)
    );
}

#[test]
fn a_part_that_the_variants_share_is_unused_where_none_of_them_uses_it() {
    // The second call does not read `let.name`, and the first one does.
    assert_eq!(messages(&load(&[("routes.d/thing.yaml", THING)])), "");
    let loaded = thing_with("name: \"{{ let.name }}\"", "name: \"{{ body.id }}\"");
    assert_eq!(codes(&loaded), ["unused-let"], "{}", messages(&loaded));
}

#[test]
fn an_example_is_about_the_variant_that_select_takes() {
    let unsaid: String = THING
        .lines()
        .filter(|line| !line.starts_with("        backend: "))
        .map(|line| format!("{line}\n"))
        .collect();
    let loaded = load(&[("routes.d/thing.yaml", &unsaid)]);
    assert_eq!(messages(&loaded), "");
    let about = loaded.examples.iter();
    let about: Vec<_> = about.map(|of| (of.way, of.examples.len())).collect();
    assert_eq!(about, [(0, 1), (1, 2)]);

    // What is more than a variable is not computed, and one that is absent or of no instance says nothing.
    for (from, to) in [
        ("\"{{ body.site }}\"", "\"{{ lower body.site }}\""),
        ("{ id: t1, site: tpe }", "{ id: t1 }"),
        ("{ id: t1, site: tpe }", "{ id: t1, site: tnn }"),
        (
            "  labels:\n    site: \"{{ body.site }}\"",
            "  instance: \"fw-{{ body.site }}-1\"",
        ),
    ] {
        assert!(unsaid.contains(from), "{from}");
        let loaded = load(&[("routes.d/thing.yaml", &unsaid.replacen(from, to, 1))]);
        assert!(
            messages(&loaded).contains("which variant of the call"),
            "{to}"
        );
    }
}

#[test]
fn a_variant_names_what_its_own_instances_have() {
    let second = FW_2.replace("labels:", "vars:\n  zone: dmz\nlabels:");
    let load = |text: &str| {
        let sources = [
            ("backends.d/fw-tpe-1.yaml", FW_1),
            ("backends.d/fw-khh-1.yaml", &second),
            ("routes.d/thing.yaml", text),
        ];
        load_from_memory(&sources, &env())
    };
    let in_second = THING.replacen(
        "          form:\n",
        "          query: { zone: \"{{ backend.vars.zone }}\" }\n          form:\n",
        1,
    );
    assert_eq!(messages(&load(&in_second)), "");
    let in_first = THING.replacen(
        "          body:\n            name",
        "          query: { zone: \"{{ backend.vars.zone }}\" }\n          body:\n            name",
        1,
    );
    let loaded = load(&in_first);
    assert!(
        codes(&loaded).contains(&"unknown-var"),
        "{}",
        messages(&loaded)
    );
}
