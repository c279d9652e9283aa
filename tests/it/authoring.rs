//! What an integrator reads is what the program does: the reference page is written from the program,
//! its variables are those that the passes take, and the tutorial's steps and quotes are real.

use std::collections::BTreeSet;
use std::fs;

use cmp_relay::config::{self, Env, handbook};
use cmp_relay::diagnostics::{Severity, text};

#[test]
fn the_reference_is_what_the_program_says() {
    let current = handbook::page();
    if crate::support::told("UPDATE_EXPECTED").is_some() {
        fs::write("docs/reference.md", &current).unwrap();
    }
    let committed = fs::read_to_string("docs/reference.md").unwrap_or_default();
    assert!(
        committed == current,
        "docs/reference.md is stale: `just reference` writes it"
    );
}

const BACKEND: &str = "\
name: b-1
kind: k
labels:
  site: tpe
driver:
  https:
    url: https://b-1.example
    auth:
      login:
        http: POST /login
        body: {}
        tokens:
          session: $.token
        send:
          - header: x-token
            value: \"{{ tokens.session }}\"
";

/// A route that declares everything that a position can name; each line that ends in `# PATH` is that
/// position.
const ROUTES: &str = "\
resource: thing
kind: k
select:
  instance: b-1                                    # select.instance
  labels:
    site: tpe                                      # select.labels
  prefer: hash
  hash_on: \"{{ path.id }}\"                       # select.hash_on
response:
  errors:
    - when:
        status: 409
      reply: 409
      detail: x                                    # response.errors[].detail
routes:
  put_thing:
    match: PUT /v1/things/{id}
    request:
      query: { type: object, properties: { q: { type: string } }, required: [q] }
      headers: { type: object, properties: { h: { type: string } }, required: [h] }
      body: { type: object, properties: { b: { type: string } }, required: [b] }
    object: x                                      # routes.NAME.object
    parents:
      box:
        resource: box
        id: x                                      # routes.NAME.parents.NAME.id
    let:
      l: x
      probe: x                                     # routes.NAME.let
    call:
      http: PUT /things/x                          # routes.NAME.call.http
      query:
        probe: x                                   # routes.NAME.call.query
      headers:
        x-probe: x                                 # routes.NAME.call.headers
      body: x                                      # routes.NAME.call.body
    extract:
      e: $.e
      probe: $.e                                   # routes.NAME.extract
    mapping:
      put:
        cmp_id: x                                  # routes.NAME.mapping.create.cmp_id
        backend_id: $.id                           # routes.NAME.mapping.create.backend_id
        attributes:
          probe: $.e                               # routes.NAME.mapping.create.attributes
    reply:
      headers:
        x-probe: x                                 # routes.NAME.reply.headers
      body: x                                      # routes.NAME.reply.body
  get_thing:
    match: GET /v1/things/{id}
    select:
      instance: \"{{ path.id }}\"
    call:
      http: GET /things
";

const BOXES: &str = "\
resource: box
kind: k
routes:
  get_box:
    match: GET /v1/boxes/{id}
    object: \"{{ path.id }}\"
    call:
      http: GET /boxes/{{ object.backend_id }}
";

const PROBES: [(&str, &str); 13] = [
    ("path", "path.id"),
    ("query", "query.q"),
    ("header", "header.h"),
    ("body", "body.b"),
    ("request", "request.id"),
    ("parents", "parents.box.backend_id"),
    ("object", "object.backend_id"),
    ("backend", "backend.name"),
    ("let", "let.l"),
    ("mapping", "mapping.cmp_id"),
    ("response", "response.status"),
    ("extracted", "extracted.e"),
    ("tokens", "tokens.session"),
];

/// What is said of an expression at a position.
fn said_at(path: &str, expression: &str) -> Vec<String> {
    let quoted = format!("\"{{{{ {expression} }}}}\"");
    let (mut backend, mut routes, mut template) = (BACKEND.to_owned(), ROUTES.to_owned(), None);
    match path {
        "driver.https.auth.login.send[].value" => {
            backend = backend.replace("\"{{ tokens.session }}\"", &quoted);
        }
        "routes.NAME.call.form" => {
            let line = line_of(&routes, "routes.NAME.call.body");
            let form = format!("      form: {{ probe: {quoted} }}");
            routes = routes.replace(&line, &form);
        }
        "routes.NAME.call.template" => {
            let line = line_of(&routes, "routes.NAME.call.body");
            routes = routes.replace(&line, "      template: probe.txt.hbs");
            template = Some(format!("{{{{ {expression} }}}}"));
        }
        _ => {
            let line = line_of(&routes, path);
            let key = line.split_inclusive(':').next().unwrap();
            let value = match path {
                _ if path.ends_with("call.http") => format!("PUT /things/{{{{ {expression} }}}}"),
                // A source takes an expression as `value` alone.
                _ if ["extract", "backend_id", "attributes"]
                    .iter()
                    .any(|source| path.ends_with(source)) =>
                {
                    format!("{{ value: {quoted} }}")
                }
                _ => quoted,
            };
            routes = routes.replace(&line, &format!("{key} {value}"));
        }
    }
    let mut files = vec![
        ("backends.d/b-1.yaml", backend.as_str()),
        ("routes.d/things.yaml", routes.as_str()),
        ("routes.d/boxes.yaml", BOXES),
    ];
    if let Some(template) = &template {
        files.push(("templates/probe.txt.hbs", template));
    }
    let loaded = config::load_from_memory(&files, &Env::new([]).without_secrets());
    let shown = text::render_text(&loaded.diagnostics, &loaded.files, false);
    // Of a `let` that nobody reads there is a warning; what counts is what does not compile.
    let errors: Vec<String> = loaded
        .diagnostics
        .iter()
        .filter(|said| said.severity == Severity::Error)
        .map(|said| said.code.to_owned())
        .collect();
    let plain = errors.iter().all(|code| code == "unknown-variable");
    assert!(plain, "{path}: {expression}: {shown}");
    errors
}

fn line_of(text: &str, path: &str) -> String {
    let wanted = format!("# {path}");
    let line = text.lines().find(|line| line.ends_with(&wanted));
    line.unwrap_or_else(|| panic!("no line of the probe is {path}"))
        .to_owned()
}

/// The page cannot lie: every root is tried at every position, and what is refused is exactly what
/// the page does not list.
#[test]
fn the_variables_of_the_reference_are_those_that_compile() {
    let positions = handbook::positions();
    let mut tried = 0;
    for position in &positions {
        let listed: BTreeSet<&str> = position.variables.iter().copied().collect();
        let taken: BTreeSet<&str> = PROBES
            .iter()
            .filter(|(_, expression)| said_at(&position.path, expression).is_empty())
            .map(|(root, _)| *root)
            .collect();
        assert_eq!(listed, taken, "{}", position.path);
        tried += 1;
    }
    assert!(tried >= 20, "only {tried} positions: {positions:?}");
}
