//! What an integrator reads is what the program does: the reference page is written from the program,
//! its variables are those that the passes take, and the tutorial's steps and quotes are real.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use cmp_relay::config::{self, Env, handbook};
use cmp_relay::diagnostics::{Severity, text};
use tempfile::TempDir;

#[test]
fn the_reference_is_what_the_program_says() {
    let current = handbook::page(&[
        vec![
            sample("routes", "routes"),
            sample("routes", "routes-devices"),
        ],
        vec![
            sample("backend", "backend"),
            sample("backend", "backend-ssh"),
            sample("backend", "backend-exec"),
            sample("backend", "backend-netconf"),
        ],
        vec![sample("profile", "profile")],
        vec![sample("relay", "relay")],
    ]);
    if crate::support::told("UPDATE_EXPECTED").is_some() {
        fs::write("docs/reference.md", &current).unwrap();
    }
    let committed = fs::read_to_string("docs/reference.md").unwrap_or_default();
    assert!(
        committed == current,
        "docs/reference.md is stale: `just reference` writes it"
    );
}

/// A file of this kind, which its schema takes; together the files of a kind have every key once.
fn sample(kind: &str, name: &str) -> serde_json::Value {
    let text = fs::read_to_string(format!("tests/reference/{name}.yaml")).unwrap();
    let value = serde_yaml::from_str(&text).unwrap();
    let schema = fs::read_to_string(format!("schema/{kind}.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let wrong: Vec<String> = validator
        .iter_errors(&value)
        .map(|e| e.to_string())
        .collect();
    assert!(wrong.is_empty(), "{kind}: {wrong:?}");
    value
}

/// Every key whose type is no map of its own has an example on the page.
#[test]
fn every_key_of_the_reference_has_an_example() {
    let page = fs::read_to_string("docs/reference.md").unwrap();
    let mut seen = 0;
    let mut without = Vec::new();
    let mut section = "";
    for line in page.lines() {
        section = line.strip_prefix("### ").unwrap_or(section);
        let Some(row) = line.strip_prefix("| `") else {
            continue;
        };
        let cells: Vec<&str> = row.split(" | ").collect();
        if cells.len() < 6 {
            continue;
        }
        seen += 1;
        if cells[4].trim().is_empty() && !cells[2].contains("](#") {
            without.push(format!("{section}: {}", cells[0]));
        }
    }
    assert!(seen > 120, "only {seen} keys");
    assert!(without.is_empty(), "{without:#?}");
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
    response:
      errors:
        - when:
            status: 409
          reply: 409
          detail: x                                # response.errors[].detail
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
  search_things:
    match: POST /v1/things/{id}
    safe: true
    request:
      query: { type: object, properties: { q: { type: string } }, required: [q] }
      headers: { type: object, properties: { h: { type: string } }, required: [h] }
      body: { type: object, properties: { b: { type: string } }, required: [b] }
    parents:
      box:
        resource: box
        id: x
    select: x                                      # select
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

/// A backend that takes lines and programs.
const DEVICE: &str = "\
name: b-1
kind: k
labels:
  site: tpe
driver:
  ssh:
    host: b-1.example
    user: relay
    auth:
      - password: { env: B_PASSWORD }
    host_key: tofu
    profile: frr
";

/// The routes with their calls as those of a device, this one in the place that is tried.
fn of_a_device(routes: &str, call: &str) -> String {
    let http = routes
        .find("      http: PUT")
        .expect("the call that is tried");
    let end = routes.find("    response:").expect("what follows it");
    let routes = format!("{}{call}\n{}", &routes[..http], &routes[end..]);
    routes.replace("http: GET /things", "exec: [things]")
}

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
    // A variant is compiled as the route that it is written out to.
    let path = match path {
        "routes.NAME.call.variants[].extract" => "routes.NAME.extract",
        path => path,
    };
    let quoted = format!("\"{{{{ {expression} }}}}\"");
    let (mut backend, mut routes, mut template) = (BACKEND.to_owned(), ROUTES.to_owned(), None);
    let mut boxes = BOXES.to_owned();
    match path {
        "driver.https.auth.login.send[].value" => {
            backend = backend.replace("\"{{ tokens.session }}\"", &quoted);
        }
        "select.instance" | "select.labels" | "select.hash_on" => {
            let line = line_of(&routes, "select");
            let select = match path {
                "select.instance" => format!("{{ instance: {quoted} }}"),
                "select.labels" => format!("{{ labels: {{ site: {quoted} }} }}"),
                _ => format!("{{ prefer: hash, hash_on: {quoted} }}"),
            };
            routes = routes.replace(&line, &format!("    select: {select}"));
        }
        "routes.NAME.call.form" => {
            let line = line_of(&routes, "routes.NAME.call.body");
            let form = format!("      form: {{ probe: {quoted} }}");
            routes = routes.replace(&line, &form);
        }
        "routes.NAME.call.template" => {
            let line = line_of(&routes, "routes.NAME.call.body");
            routes = routes.replace(&line, "      template: probe.txt.hbs");
            let text = format!("{{{{ {expression} }}}}");
            template = Some(("templates/probe.txt.hbs", text));
        }
        "routes.NAME.call.cli"
        | "routes.NAME.call.exec"
        | "routes.NAME.call.stdin"
        | "routes.NAME.call.cli.template" => {
            let call = match path.rsplit('.').next().unwrap() {
                "cli" => format!("      cli: [\"show {{{{ {expression} }}}}\"]"),
                "exec" => format!("      exec: [show, {quoted}]"),
                "stdin" => format!("      exec: [show]\n      stdin: {quoted}"),
                _ => {
                    let text = format!("show {{{{ {expression} }}}}");
                    template = Some(("templates/probe.cli.hbs", text));
                    "      cli: { template: probe.cli.hbs }".to_owned()
                }
            };
            routes = of_a_device(&routes, &call);
            backend = DEVICE.to_owned();
            boxes = boxes.replace("http: GET /boxes/{{ object.backend_id }}", "exec: [boxes]");
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
    let routes = routes.replace("    select: x ", "    select: { instance: b-1 } ");
    let mut files = vec![
        ("backends.d/b-1.yaml", backend.as_str()),
        ("routes.d/things.yaml", routes.as_str()),
        ("routes.d/boxes.yaml", &boxes),
    ];
    if let Some((name, text)) = &template {
        files.push((name, text));
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

// --- the tutorial ---------------------------------------------------------------------------------

const TUTORIAL: &str = "docs/tutorial";
const PAGE: &str = "docs/authoring.md";

/// The folders of the steps, in order.
fn steps() -> Vec<PathBuf> {
    let mut steps: Vec<PathBuf> = fs::read_dir(TUTORIAL)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    steps.sort();
    assert!(steps.len() >= 7, "{steps:?}");
    steps
}

/// A copy of a step, in which mistakes may be made.
fn copied(step: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(step, copy.path());
    copy
}

fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_into(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// What a command line prints in a folder, and its status.
fn printed(folder: &Path, line: &str) -> (String, i32) {
    let bin = Path::new(env!("CARGO_BIN_EXE_cmp-relay")).parent().unwrap();
    let path = format!(
        "{}:{}",
        bin.display(),
        crate::support::told("PATH").unwrap()
    );
    let ran = Command::new("sh")
        .args(["-c", &format!("{line} 2>&1")])
        .current_dir(folder)
        .env_clear()
        .env("PATH", path)
        .env("DNS_TOKEN", "anything")
        .env("SWITCH_PASSWORD", "anything")
        .output()
        .unwrap();
    let status = ran.status.code().unwrap_or(-1);
    // How long it took is another time each time.
    let seconds = regex::Regex::new(r"in [0-9]+\.[0-9]+ s\n").unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    (
        seconds.replace_all(&said, "in 0.00 s\n").into_owned(),
        status,
    )
}

/// A step says nothing of itself: it validates with warnings denied, and its examples pass.
#[test]
fn every_step_of_the_tutorial_is_fine() {
    for step in steps() {
        let folder = copied(&step);
        let (said, status) = printed(folder.path(), "cmp-relay validate-config --deny-warnings");
        assert!(
            status == 0 && said.starts_with("configuration is fine"),
            "{step:?}\n{said}"
        );
        let (said, status) = printed(folder.path(), "cmp-relay test");
        assert_eq!(status, 0, "{step:?}\n{said}");
    }
}

/// What the page shows is so: its YAML and XML stand in the step's files, and each command prints what is
/// quoted below it, for the step as it is or with the mistake that the page speaks of.
///
/// Comments that the reader does not see say where a block belongs: `<!-- step: 01-a-route -->`, from
/// there on; `<!-- mistake: PATH: OLD => NEW -->`, for the next command alone; `<!-- serving -->`: against
/// the relay that the test runs.
#[test]
fn the_page_quotes_the_program() {
    let page = fs::read_to_string(PAGE).unwrap();
    let update = crate::support::told("UPDATE_EXPECTED").is_some();
    let mut out: Vec<String> = Vec::new();
    let (mut step, mut mistake, mut serving) = (PathBuf::new(), None, false);
    let (mut commands, mut mistakes, mut shown) = (0, 0, 0);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        out.push(line.to_owned());
        if let Some(name) = comment(line, "step") {
            step = Path::new(TUTORIAL).join(name);
            assert!(step.is_dir(), "{step:?}");
            serving = false;
        } else if let Some(edit) = comment(line, "mistake") {
            mistake = Some(edit.to_owned());
        } else if line == "<!-- serving -->" {
            serving = true;
        }
        let Some(word) = line.strip_prefix("```").filter(|word| !word.is_empty()) else {
            continue;
        };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        if let Some((_, path)) = word.split_once(' ') {
            shown += 1;
            let file =
                fs::read_to_string(step.join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
            let text = block.join("\n");
            assert!(
                file.contains(&text),
                "{}: not there:\n{text}",
                step.join(path).display()
            );
        }
        if word != "console" || serving {
            out.extend(block.iter().map(|line| (*line).to_owned()));
            out.push("```".to_owned());
            continue;
        }
        let folder = copied(&step);
        if let Some(edit) = mistake.take() {
            make(folder.path(), &edit);
            mistakes += 1;
        }
        // A command goes on where its line ends in a backslash.
        let mut block = block.into_iter().peekable();
        while let Some(first) = block.next() {
            let mut command = first
                .strip_prefix("$ ")
                .unwrap_or_else(|| panic!("{first}"))
                .to_owned();
            out.push(first.to_owned());
            while command.ends_with('\\') {
                let more = block.next().unwrap();
                out.push(more.to_owned());
                command = format!("{command}\n{more}");
            }
            let mut quoted = Vec::new();
            while block.peek().is_some_and(|line| !line.starts_with("$ ")) {
                quoted.push(block.next().unwrap());
            }
            commands += 1;
            let (said, _) = printed(folder.path(), &command);
            let said: Vec<&str> = said.trim_end().lines().collect();
            if !update {
                assert_eq!(quoted.join("\n"), said.join("\n"), "{command} in {step:?}");
            }
            out.extend(said.iter().map(|line| (*line).to_owned()));
        }
        out.push("```".to_owned());
    }
    if update {
        fs::write(PAGE, out.join("\n") + "\n").unwrap();
    }
    assert!(
        commands >= 12 && mistakes >= 6 && shown >= 8,
        "{commands} {mistakes} {shown}"
    );
}

/// What `<!-- WORD: ... -->` says.
fn comment<'l>(line: &'l str, word: &str) -> Option<&'l str> {
    let inner = line.strip_prefix("<!-- ")?.strip_suffix(" -->")?;
    inner.strip_prefix(word)?.strip_prefix(": ")
}

/// Makes a mistake: `PATH: OLD => NEW`, once; `\n` in it is the end of a line.
fn make(folder: &Path, edit: &str) {
    let (path, change) = edit.split_once(": ").unwrap();
    let (old, new) = change.split_once(" => ").unwrap();
    let (old, new) = (old.replace("\\n", "\n"), new.replace("\\n", "\n"));
    let path = folder.join(path);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(&old), "{edit}");
    fs::write(path, text.replacen(&old, &new, 1)).unwrap();
}

/// The step that is served: the appliance that the folder brings, the relay before it, and the page's own
/// `curl` lines with the answers that the page quotes.
#[test]
fn the_served_step_serves() {
    let step = Path::new(TUTORIAL).join("08-serve");
    let folder = copied(&step);
    let mut appliances: Vec<Running> = Vec::new();
    let mut ports = Vec::new();
    for _ in 0..2 {
        let mut child = Command::new("python3")
            .args(["nameserver.py", "0"])
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let out = child.stdout.take().unwrap();
        BufReader::new(out).read_line(&mut line).unwrap();
        appliances.push(Running(child));
        ports.push(line.trim().rsplit(' ').next().unwrap().to_owned());
    }
    for (file, wanted, port) in [
        ("dns-tpe", "9053", &ports[0]),
        ("dns-khh", "9054", &ports[1]),
    ] {
        let file = folder.path().join(format!("backends.d/{file}.yaml"));
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(wanted));
        fs::write(&file, text.replace(wanted, port)).unwrap();
    }
    let relay = folder.path().join("relay.yaml");
    let text = fs::read_to_string(&relay).unwrap();
    fs::write(&relay, text.replace(":8080", ":0").replace(":8081", ":0")).unwrap();

    let serve = Command::new(env!("CARGO_BIN_EXE_cmp-relay"))
        .arg("serve")
        .current_dir(folder.path())
        .env("DNS_TOKEN", "anything")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut serve = Running(serve);
    let mut log = BufReader::new(serve.0.stderr.take().unwrap()).lines();
    let serving = log
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.contains(" serving "));
    let serving = serving.expect("the relay says that it serves");
    let address = |key: &str| {
        let rest = serving.split(&format!(" {key}=")).nth(1).unwrap();
        rest.split(' ').next().unwrap().to_owned()
    };
    let (listen, admin) = (address("listen"), address("admin"));
    // What it goes on to say is read, so that it never waits for a reader.
    let reader = std::thread::spawn(move || log.map_while(Result::ok).count());

    let page = fs::read_to_string(PAGE).unwrap();
    let served = page
        .split("<!-- serving -->")
        .nth(1)
        .expect("a part of the page is served");
    let mut seen = 0;
    let mut lines = served.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(command) = line.strip_prefix("$ curl ") else {
            continue;
        };
        let mut quoted = Vec::new();
        while lines
            .peek()
            .is_some_and(|line| !line.starts_with("$ ") && !line.starts_with("```"))
        {
            quoted.push(lines.next().unwrap());
        }
        let command = format!("curl {command}")
            .replace("127.0.0.1:8080", &listen)
            .replace("127.0.0.1:8081", &admin);
        let (said, _) = printed(folder.path(), &command);
        assert_eq!(said.trim_end(), quoted.join("\n"), "{command}");
        seen += 1;
    }
    assert!(seen >= 5, "only {seen} lines");
    drop(serve);
    reader.join().unwrap();
}

/// A program that ends with its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// --- escaping -------------------------------------------------------------------------------------

/// Who is called by the rows of docs/escaping.md.
const HTTPS: &str = "https: { url: https://b.example, profile: onyx }";
const ACCESS: &str =
    "host: b.example, user: relay, auth: [{ password: { file: password } }], host_key: tofu";

/// The driver that takes a call, and the call with what a row leaves out.
fn probed(call: &str) -> (String, String) {
    let block = |more: &str| format!("\n{more}      {call}");
    match call.split([' ', ':']).next().unwrap() {
        "http" => (HTTPS.into(), block("")),
        "cli" | "exec" => (
            format!("ssh: {{ {ACCESS}, profile: onyx, enable: {{ file: password }} }}"),
            block(""),
        ),
        "{" if call.contains("netconf:") => (format!("netconf: {{ {ACCESS} }}"), call.to_owned()),
        "{" => (format!("ssh: {{ {ACCESS} }}"), call.to_owned()),
        _ => (HTTPS.into(), block("      http: POST /probe\n")),
    }
}

/// Where a row may find what is sent, in what `explain` says of a call.
fn shown(call: &serde_json::Value) -> Vec<String> {
    let text = |key: &str| call[key].as_str().map(str::to_owned);
    let joined = |key: &str| {
        let lines = call[key].as_array()?.iter();
        Some(lines.map(|line| line.as_str().unwrap()).collect())
    };
    let url = text("url").map(|url| url.replace("https://b.example", ""));
    let stdin = text("stdin").map(|stdin| serde_json::json!(stdin).to_string());
    let places = [
        url,
        text("body"),
        text("command"),
        stdin,
        joined("lines"),
        joined("xml"),
    ];
    places.into_iter().flatten().collect()
}

/// Each row of docs/escaping.md goes through the real pipeline: what it says is sent is sent, what it says
/// is refused is refused with that code, and what does not compile says why.
#[test]
fn values_become_what_the_page_says() {
    let page = fs::read_to_string("docs/escaping.md").unwrap();
    let template = |word: &str| {
        let (_, rest) = page.split_once(&format!("```{word}\n")).unwrap();
        rest.split_once("\n```").unwrap().0.to_owned()
    };
    let templates = [
        ("probe.json.hbs", template("json")),
        ("probe.xml.hbs", template("xml")),
        ("probe.txt.hbs", template("text")),
    ];
    for (heading, least_sent, least_refused) in
        [("## By position\n", 12, 6), ("## On a device\n", 10, 10)]
    {
        let (_, below) = page.split_once(heading).unwrap();
        let rows = below
            .lines()
            .skip_while(|line| !line.starts_with('|'))
            .skip(2);
        let (mut sent, mut refused) = (0, 0);
        for row in rows.take_while(|line| line.starts_with('|')) {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let [_, call, value, wanted] = cells[..] else {
                panic!("{row}");
            };
            let bare = |cell: &str| cell.trim_matches('`').to_owned();
            let folder = tempfile::tempdir().unwrap();
            let write = |path: &str, text: &str| {
                let path = folder.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            };
            let call = bare(call);
            let (driver, whole) = probed(&call);
            write("password", "pass-of-a-test\n");
            write(
                "backends.d/b.yaml",
                &format!("name: b\nkind: k\ndriver: {{ {driver} }}\n"),
            );
            write(
                "routes.d/probe.yaml",
                &format!(
                    "resource: probe\nkind: k\nroutes:\n  probe:\n    match: POST /v1/probe\n    safe: true\n    request:\n      \
                     body: {{ type: object, required: [v], properties: {{ v: {{}} }} }}\n    call: {whole}\n"
                ),
            );
            for (name, text) in &templates {
                if call.contains(name) {
                    write(&format!("templates/{name}"), text);
                }
            }
            let body = format!("{{\"v\":{}}}", bare(value));
            let asked = Command::new(env!("CARGO_BIN_EXE_cmp-relay"))
                .args([
                    "explain",
                    "POST",
                    "/v1/probe",
                    "--format",
                    "json",
                    "--body",
                    &body,
                ])
                .current_dir(folder.path())
                .output()
                .unwrap();
            let errors = String::from_utf8_lossy(&asked.stderr);
            if let Some(code) = wanted.strip_prefix("does not compile: ") {
                let told = format!("error[{}]: ", bare(code));
                assert!(
                    asked.stdout.is_empty() && errors.contains(&told),
                    "{row}\n{errors}"
                );
                refused += 1;
                continue;
            }
            let said: serde_json::Value =
                serde_json::from_slice(&asked.stdout).unwrap_or_else(|_| panic!("{row}\n{errors}"));
            if let Some(code) = wanted.strip_prefix("refused: ") {
                assert!(said["call"].is_null(), "{row}\n{said:#}");
                assert_eq!(said["refused"]["problem"]["code"], bare(code), "{row}");
                refused += 1;
                continue;
            }
            let places = shown(&said["call"]);
            assert!(
                places.contains(&bare(wanted)),
                "{row}\n{places:?}\n{said:#}"
            );
            sent += 1;
        }
        assert!(
            sent >= least_sent && refused >= least_refused,
            "{sent} {refused}"
        );
    }
}
