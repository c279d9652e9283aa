//! A configuration part by part, as it is written: what a reload and `diff` compare.
//!
//! A route's part holds all that it means: its own keys with references replaced, what it takes from its
//! file (kind, `select`, `response`, the maps that it names) and the templates that it names. So equal
//! parts are the same route, wherever its lines stand. Examples are left out: they change nothing that
//! is served. Nothing here is a secret: a file that compiles holds references to them.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::reference::{expand_file, expand_schema};
use crate::config::source::SourceFiles;
use crate::diagnostics::Diagnostics;
use crate::document::{Kind, Node};
use crate::plan::Digests;

/// A route or a backend.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    pub name: Box<str>,
    /// The file that it stands in.
    pub file: Box<str>,
    pub value: Value,
}

/// Every part of a configuration that compiles.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    pub routes: Vec<Part>,
    pub backends: Vec<Part>,
    /// relay.yaml; an empty map where there is none.
    pub server: Value,
}

impl Parts {
    /// The parts of these files; what is wrong in them is left out, for the compiler says it.
    pub fn of(files: &SourceFiles) -> Self {
        let server = files.relay().and_then(|(_, file)| file.node.as_ref());
        Self {
            routes: routes(files),
            backends: backends(files),
            server: server.map_or_else(|| json!({}), Node::to_json),
        }
    }

    pub fn digests(&self) -> Digests {
        let of = |parts: &[Part]| {
            parts
                .iter()
                .map(|part| (part.name.clone(), part.digest()))
                .collect()
        };
        Digests {
            routes: of(&self.routes),
            backends: of(&self.backends),
        }
    }
}

impl Part {
    /// The first half of the SHA-256 of what it says, in hex; the order of keys does not count.
    pub fn digest(&self) -> Box<str> {
        let mut text = Vec::new();
        canonical(&self.value, &mut text);
        let digest = ring::digest::digest(&ring::digest::SHA256, &text);
        let digits = digest.as_ref().iter().take(16);
        digits.map(|byte| format!("{byte:02x}")).collect()
    }
}

fn canonical(value: &Value, text: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            text.push(b'[');
            for item in items {
                canonical(item, text);
                text.push(b',');
            }
            text.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            text.push(b'{');
            for (name, value) in members {
                write(name, text);
                text.push(b':');
                canonical(value, text);
                text.push(b',');
            }
            text.push(b'}');
        }
        other => write(other, text),
    }
}

fn write(value: &impl serde::Serialize, text: &mut Vec<u8>) {
    serde_json::to_writer(text, value).expect("memory takes every scalar");
}

fn backends(files: &SourceFiles) -> Vec<Part> {
    let parts = files.backends().filter_map(|(_, file)| {
        let node = file.node.as_ref()?;
        let mut value = node.to_json();
        if let Some(members) = value.as_object_mut() {
            members.shift_remove("version");
            // Another profile makes another backend.
            if let Some(profile) = own_profile(node, files) {
                members.insert("profile".into(), profile);
            }
        }
        Some(Part {
            name: node.get("name")?.as_text()?.into(),
            file: file.path.clone(),
            value,
        })
    });
    parts.collect()
}

/// The profile that a backend names, where it is one of the configuration's own.
fn own_profile(backend: &Node, files: &SourceFiles) -> Option<Value> {
    let name = backend
        .get("driver")?
        .get("ssh")?
        .get("profile")?
        .as_text()?;
    files.profiles().find_map(|(_, file)| {
        let profile = file.node.as_ref()?;
        (profile.get("profile")?.as_text()? == name).then(|| profile.to_json())
    })
}

fn routes(files: &SourceFiles) -> Vec<Part> {
    // The compiler says what is wrong; here it would be said twice.
    let mut said = Diagnostics::default();
    let mut parts = Vec::new();
    let templates: HashMap<&str, &str> = files
        .templates()
        .filter_map(|(_, file)| Some((file.path.strip_prefix("templates/")?, &*file.text)))
        .collect();
    for (_, file) in files.routes() {
        let Some(node) = &file.node else { continue };
        let sheet = expand_file(node, files, &mut said);
        let Some(Kind::Map(routes)) = sheet.get("routes").map(|routes| &routes.kind) else {
            continue;
        };
        for route in routes {
            let mut value = whole(&route.value, &sheet, files, &mut said);
            add_templates(&mut value, &templates);
            parts.push(Part {
                name: route.key.as_str().into(),
                file: file.path.clone(),
                value,
            });
        }
    }
    parts
}

/// A route with what it takes from its file.
fn whole(route: &Node, sheet: &Node, files: &SourceFiles, said: &mut Diagnostics) -> Value {
    let mut whole = Map::new();
    for key in ["resource", "kind", "per_backend", "select"] {
        if let Some(value) = sheet.get(key) {
            whole.insert(key.into(), value.to_json());
        }
    }
    if let Kind::Map(entries) = &route.kind {
        for entry in entries.iter().filter(|entry| entry.key != "examples") {
            let value = match entry.key.as_str() {
                "request" => request(&entry.value, files, said),
                _ => entry.value.to_json(),
            };
            whole.insert(entry.key.clone(), value);
        }
    }
    let defaults = sheet.get("response").map(Node::to_json);
    if let Some(Value::Object(defaults)) = defaults {
        let own = whole
            .entry("response")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(own) = own {
            add_defaults(own, defaults);
        }
    }
    let mut whole = Value::Object(whole);
    let maps = sheet.get("maps");
    if maps.is_some() {
        let said = whole.to_string();
        let used = named(maps, |name| {
            said.contains(&format!("'{name}'")) || said.contains(&format!("\\\"{name}\\\""))
        });
        if !used.is_empty() {
            whole["maps"] = Value::Object(used);
        }
    }
    whole
}

/// The schemas with the files that they refer to.
fn request(request: &Node, files: &SourceFiles, said: &mut Diagnostics) -> Value {
    let Kind::Map(entries) = &request.kind else {
        return request.to_json();
    };
    let schemas = entries.iter().map(|entry| {
        let schema = expand_schema(&entry.value, files, said);
        (entry.key.clone(), schema.to_json())
    });
    Value::Object(schemas.collect())
}

/// A route's own keys win, and its error rules come first.
fn add_defaults(own: &mut Map<String, Value>, defaults: Map<String, Value>) {
    for (key, value) in defaults {
        match (own.get_mut(&key), value) {
            (Some(Value::Array(rules)), Value::Array(further)) if key == "errors" => {
                rules.extend(further);
            }
            (Some(_), _) => {}
            (None, value) => {
                own.insert(key, value);
            }
        }
    }
}

fn named(map: Option<&Node>, used: impl Fn(&str) -> bool) -> Map<String, Value> {
    let Some(Kind::Map(entries)) = map.map(|map| &map.kind) else {
        return Map::new();
    };
    let used = entries.iter().filter(|entry| used(&entry.key));
    used.map(|entry| (entry.key.clone(), entry.value.to_json()))
        .collect()
}

/// The texts of the templates that the route names.
fn add_templates(route: &mut Value, templates: &HashMap<&str, &str>) {
    let mut used = Map::new();
    if !templates.is_empty() {
        note_templates(route, templates, &mut used);
    }
    if !used.is_empty() {
        route["templates"] = Value::Object(used);
    }
}

fn note_templates(value: &Value, templates: &HashMap<&str, &str>, used: &mut Map<String, Value>) {
    match value {
        Value::String(name) => {
            if let Some(text) = templates.get(name.as_str()) {
                used.insert(name.clone(), (*text).into());
            }
        }
        Value::Array(items) => {
            items
                .iter()
                .for_each(|item| note_templates(item, templates, used));
        }
        Value::Object(members) => {
            members
                .values()
                .for_each(|value| note_templates(value, templates, used));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(sources: &[(&str, &str)]) -> Parts {
        Parts::of(&SourceFiles::from_memory(
            sources,
            &mut Diagnostics::default(),
        ))
    }

    const ROUTE: &str = "\
resource: thing
kind: box
maps: { size: { s: small } }
response: { $ref: shared/response.yaml }
routes:
  create_thing:
    match: POST /v1/things
    request: { body: { $ref: schemas/thing.yaml } }
    call: { http: POST /things, template: thing.json.hbs }
    response: { errors: [{ when: { status: 409 }, reply: 409, code: twice }] }
    examples: [{ name: one }]
  get_thing:
    match: GET /v1/things/{id}
    call: { http: 'GET /things/{{ map ''size'' path.id }}' }
";
    const SHARED: &str = "errors: [{ when: { status: 404 }, reply: 404, code: gone }]\n";

    fn files<'a>(route: &'a str, shared: &'a str) -> [(&'a str, &'a str); 4] {
        [
            ("routes.d/thing.yaml", route),
            ("routes.d/shared/response.yaml", shared),
            ("routes.d/schemas/thing.yaml", "type: object\n"),
            ("templates/thing.json.hbs", "{}"),
        ]
    }

    #[test]
    fn a_route_is_all_that_it_takes_from_elsewhere() {
        let parts = parts(&files(ROUTE, SHARED));
        let create = &parts.routes[0].value;
        assert_eq!(create["request"]["body"]["type"], "object");
        assert_eq!(create["response"]["errors"][0]["code"], "twice");
        assert_eq!(create["response"]["errors"][1]["code"], "gone");
        assert_eq!(create["templates"]["thing.json.hbs"], "{}");
        assert_eq!(create["examples"], Value::Null);
        assert_eq!(create["maps"], Value::Null, "it names none");
        assert_eq!(parts.routes[1].value["maps"]["size"]["s"], "small");
    }

    #[test]
    fn a_digest_changes_with_what_a_route_means_and_with_nothing_else() {
        let digests = |route: &str, shared: &str| {
            let digests = parts(&files(route, shared)).digests().routes;
            [
                digests["create_thing"].clone(),
                digests["get_thing"].clone(),
            ]
        };
        let before = digests(ROUTE, SHARED);
        let example = ROUTE.replace("name: one", "name: two");
        assert_eq!(digests(&example, SHARED), before);
        let order = ROUTE.replace(
            "resource: thing\nkind: box\n",
            "kind: box\nresource: thing\n",
        );
        assert_eq!(digests(&order, SHARED), before);
        let map = digests(&ROUTE.replace("small", "tiny"), SHARED);
        assert_eq!(map[0], before[0]);
        assert_ne!(map[1], before[1]);
        let shared = digests(ROUTE, &SHARED.replace("gone", "away"));
        assert!(shared[0] != before[0] && shared[1] != before[1]);
    }
}
