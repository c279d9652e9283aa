//! A resource -> its route file: each operation a route, with what is known of its answers, its errors and
//! an example of each.

use serde_json::{Map, Value, json};

use super::answer::{Answer, Ids, Told, id_text, ids, told};
use super::body::{Carried, Why, carried};
use super::document::{json_content, media_example, object, one_line};
use super::place::{OBJECT, Place, Scene, backend_id, cmp_id, route_id};
use super::resource::{Does, Drafted, Resource, Skipped};
use super::sample::sample;
use super::schema::{Way, fields, types};
use super::words::{snake, step};
use super::yaml::Yaml;

/// A drafted file of `routes.d/`, and what comes with it.
#[derive(Debug, Default)]
pub struct RouteFile {
    pub text: String,
    pub routes: usize,
    /// Schemas with a file of their own.
    pub schemas: Vec<(String, String)>,
    pub skipped: Vec<Skipped>,
    pub notes: Vec<String>,
}

/// Statuses that the relay knows what to do with.
const KNOWN: [u16; 7] = [401, 403, 405, 406, 408, 415, 429];

/// Drafts the file of a resource; route ids are unique over all files.
pub fn draft(scene: &Scene<'_>, resource: &Resource, taken: &mut Vec<String>) -> RouteFile {
    let mut file = RouteFile::default();
    let mut routes = Yaml::map();
    for drafted in &resource.operations {
        let id = route_id(resource, drafted, taken);
        match route(scene, resource, drafted, &mut file) {
            Ok(route) => {
                routes = routes.with(&id, route);
                taken.push(id);
                file.routes += 1;
            }
            Err(why) => file.skipped.push(Skipped {
                what: format!("{} {}", drafted.operation.method, drafted.operation.path),
                why,
            }),
        }
    }
    let head = Yaml::map()
        .with("version", json!(1))
        .with("resource", resource.name.as_str())
        .with("kind", scene.kind);
    let body = head.with("routes", routes).write();
    let made = match resource.is_made() {
        true => String::new(),
        false => "#\n# No operation makes these objects, so they are not mapped: their ids are the backend's own.\n".to_owned(),
    };
    file.text = format!(
        "# yaml-language-server: $schema=../schema/routes.schema.json\n\
         #\n# Drafted from \"{}\". What a person must decide is marked `$decide`: put one of the candidates, or\n\
         # something better, in the place of the mark. `cmp-relay validate-config` points at each.\n\
         # The examples take the first candidate of every mark.\n{made}{body}",
        one_line(scene.document.title()).unwrap_or_default()
    );
    file
}

/// One route, while it is put together.
struct Draft<'a> {
    scene: &'a Scene<'a>,
    resource: &'a Resource,
    drafted: &'a Drafted,
    place: Place<'a>,
    carried: Carried,
    answer: Answer,
    /// The backend's id of the object in the example.
    object: String,
}

/// What the CMP is told, and what an example then expects.
struct Reply {
    yaml: Option<Yaml>,
    expected: Value,
    answered: Option<Value>,
    mapped: Vec<(String, String, String)>,
}

fn route(
    scene: &Scene<'_>,
    resource: &Resource,
    drafted: &Drafted,
    file: &mut RouteFile,
) -> Result<Yaml, Why> {
    let answer = Answer::of(scene, &drafted.operation);
    if matches!(answer, Answer::Foreign) && !matches!(drafted.does, Does::Create | Does::Delete) {
        return Err("its answer is not JSON".to_owned());
    }
    let mut carried = carried(scene, resource, drafted)?;
    file.notes.append(&mut carried.notes);
    for (path, text) in std::mem::take(&mut carried.files) {
        if !file.schemas.iter().any(|(known, _)| *known == path) {
            file.schemas.push((path, text));
        }
    }
    let mut draft = Draft {
        scene,
        resource,
        drafted,
        place: Place::of(scene, resource, drafted),
        carried,
        answer,
        object: backend_id(resource),
    };
    Ok(draft.route())
}

impl Draft<'_> {
    fn route(&mut self) -> Yaml {
        let ids = match &self.answer {
            Answer::Object(found) | Answer::List(found) => ids(self.resource, &found.fields),
            _ => Ids {
                names: Vec::new(),
                sure: false,
            },
        };
        self.learn_object(&ids);
        let (backend_id, status) = (self.backend_id(&ids), self.status());
        let reply = self.reply(&ids, status);
        let rules = self.rules();
        let mapping = match self.drafted.does {
            Does::Create => backend_id.map(|source| {
                Yaml::map().with(
                    "create",
                    Yaml::map()
                        .with("cmp_id", "{{ body.id }}")
                        .with("backend_id", source),
                )
            }),
            Does::Delete if self.place.has_object => Some(Yaml::text("delete")),
            _ => None,
        };
        let mut call = Yaml::map().with("http", self.place.http.as_str());
        for (key, value) in &self.carried.call {
            call = call.with(key, value.clone());
        }
        let rules_yaml: Vec<Yaml> = rules.iter().map(|rule| rule.yaml.clone()).collect();
        let response =
            (!rules_yaml.is_empty()).then(|| Yaml::map().with("errors", Yaml::List(rules_yaml)));
        let examples = self.examples(&reply, status, &rules);
        Yaml::map()
            .with("match", self.place.matched.as_str())
            .with_some("summary", self.drafted.operation.summary().map(Yaml::text))
            .with_some("request", self.carried.request.take())
            .with_some(
                "object",
                self.place.has_object.then(|| Yaml::text("{{ path.id }}")),
            )
            .with_some("parents", self.place.parents_yaml())
            .with("call", call)
            .with_some("response", response)
            .with_some("mapping", mapping)
            .with_some("reply", reply.yaml)
            .with_some("examples", examples)
    }

    /// The id that the document's own example has, where it can stand in a path as it is.
    fn learn_object(&mut self, ids: &Ids) {
        let Answer::Object(found) = &mut self.answer else {
            return;
        };
        let Some(name) = ids.names.first() else {
            return;
        };
        let known = found.sample.get(name).and_then(id_text);
        let simple = |id: &String| id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
        match known.filter(simple) {
            Some(id) => self.object = id,
            None => {
                let kinds = found.fields.iter().find(|field| field.name == *name);
                let number = kinds.is_some_and(|field| types(&field.schema).contains(&"integer"));
                let id = match number {
                    true => json!(7),
                    false => json!(self.object),
                };
                self.object = id_text(&id).expect("a text or a number");
                found.sample.insert(name.clone(), id);
            }
        }
    }

    /// Where the backend's id is after a create.
    fn backend_id(&self, ids: &Ids) -> Option<Yaml> {
        if self.drafted.does != Does::Create {
            return None;
        }
        let mut candidates: Vec<Yaml> = match &self.answer {
            Answer::Object(found) => ids
                .names
                .iter()
                .map(|name| Yaml::text(found.path(name)))
                .collect(),
            _ => Vec::new(),
        };
        let status = self.status();
        if ids.sure && status != 202 && !candidates.is_empty() {
            return candidates.pop();
        }
        if candidates.is_empty() && self.locates() {
            return Some(
                Yaml::map()
                    .with("header", "Location")
                    .with("regex", "([^/]+)/?$"),
            );
        }
        let parameter = self.resource.parameter.as_deref().unwrap_or_default();
        let named = self
            .carried
            .fields
            .iter()
            .find(|field| snake(field) == snake(parameter) && *field != "id");
        if let (true, Some(step)) = (candidates.is_empty(), named.and_then(|name| step(name))) {
            candidates.push(Yaml::map().with("value", format!("{{{{ body{step} }}}}")));
        }
        let undescribed = candidates.is_empty();
        if undescribed {
            candidates.push(Yaml::text("$.id"));
            candidates.push(
                Yaml::map()
                    .with("header", "Location")
                    .with("regex", "([^/]+)/?$"),
            );
        }
        let question = match (status, undescribed) {
            (202, _) => {
                candidates.push(Yaml::text("pending"));
                "the backend answers 202: is the id of the new object in this answer, or does it come later (`pending`)?"
            }
            (_, true) => {
                "where is the id of the new object? The document names no field of the answer that looks like it"
            }
            _ => {
                "which field of the answer is the id of the new object, the one that its path takes?"
            }
        };
        Some(Yaml::decide(question, candidates))
    }

    /// Whether the answer of a create names the new object by `Location` alone.
    fn locates(&self) -> bool {
        let success = self.drafted.operation.success(self.scene.document);
        let located = success.is_some_and(|(_, response)| {
            object(&response["headers"]).any(|(name, _)| name.eq_ignore_ascii_case("location"))
        });
        located && self.drafted.does == Does::Create && matches!(self.answer, Answer::Empty)
    }

    fn status(&self) -> u16 {
        let success = self.drafted.operation.success(self.scene.document);
        match (success, self.drafted.does) {
            (Some((status, _)), _) => status,
            (None, Does::Delete) => 204,
            (None, _) => 200,
        }
    }

    /// `reply`, what the backend answers in the example, and what the CMP is then told.
    fn reply(&self, ids: &Ids, status: u16) -> Reply {
        let hide: Vec<String> = ids.names.iter().take(1).cloned().collect();
        let does = self.drafted.does;
        let about = self.place.has_object;
        let id = match does {
            Does::Create => Some("{{ mapping.cmp_id }}"),
            Does::Get | Does::Replace | Does::Update if about => Some("{{ object.cmp_id }}"),
            _ => None,
        };
        let own = cmp_id(self.resource);
        if does == Does::Delete {
            return Reply {
                yaml: Some(Yaml::map().with("status", json!(204))),
                expected: json!({ "status": 204 }),
                answered: None,
                mapped: Vec::new(),
            };
        }
        if does == Does::List
            && self.resource.is_made()
            && let Answer::List(_) = &self.answer
        {
            return self.list(ids, &hide);
        }
        let Some(id) = id else {
            return self.as_it_came(status);
        };
        let told_status = if does == Does::Create { 201 } else { 200 };
        match &self.answer {
            Answer::Object(found) => {
                let Told {
                    tree,
                    example,
                    mapped,
                } = told(
                    self.scene,
                    self.resource,
                    found,
                    &found.root(),
                    (id.into(), &own),
                    &hide,
                );
                Reply {
                    yaml: Some(
                        Yaml::map()
                            .with("status", json!(told_status))
                            .with("body", tree),
                    ),
                    expected: json!({ "status": told_status, "body": example }),
                    answered: Some(found.wrapped(found.sample.clone())),
                    mapped,
                }
            }
            // A read of something without fields is handed on as it is.
            Answer::Opaque(_) if does == Does::Get => self.as_it_came(status),
            other => Reply {
                yaml: Some(
                    Yaml::map()
                        .with("status", json!(told_status))
                        .with("body", Yaml::map().with("id", id)),
                ),
                expected: json!({ "status": told_status, "body": { "id": own } }),
                answered: match (other, does) {
                    (Answer::Opaque(value), _) => Some(value.clone()),
                    // What the first candidate for the id finds.
                    (Answer::Empty, Does::Create) if self.locates() => None,
                    (Answer::Empty | Answer::Foreign, Does::Create) => {
                        Some(json!({ "id": self.object }))
                    }
                    _ => None,
                },
                mapped: Vec::new(),
            },
        }
    }

    /// The backend's status and body.
    fn as_it_came(&self, status: u16) -> Reply {
        let answered = match &self.answer {
            Answer::Object(found) => Some(found.wrapped(found.sample.clone())),
            Answer::List(found) => {
                let items = json!([found.sample]);
                Some(match &found.key {
                    Some(key) => json!({ key: items }),
                    None => items,
                })
            }
            Answer::Opaque(value) => Some(value.clone()),
            Answer::Empty | Answer::Foreign => None,
        };
        let mut expected = Map::new();
        expected.insert("status".into(), status.into());
        if let Some(answered) = &answered {
            expected.insert("body".into(), answered.clone());
        }
        Reply {
            yaml: None,
            expected: expected.into(),
            answered,
            mapped: Vec::new(),
        }
    }

    /// The objects of a list that the CMP knows.
    fn list(&self, ids: &Ids, hide: &[String]) -> Reply {
        let Answer::List(found) = &self.answer else {
            return self.as_it_came(200);
        };
        let own = &self.resource.name;
        let names: Vec<String> = match ids.names.is_empty() {
            true => vec!["id".to_owned()],
            false => ids.names.clone(),
        };
        let steps: Vec<String> = names.iter().filter_map(|name| step(name)).collect();
        let asked = |what: &str, candidates: Vec<Yaml>| match (ids.sure, candidates.as_slice()) {
            (true, [only]) => only.clone(),
            _ => Yaml::decide(what, candidates),
        };
        let question = "which field of an item is its id, the one that its path takes?";
        let mapped = steps
            .iter()
            .map(|step| Yaml::text(format!("mapped '{own}' item{step}")));
        let id = steps
            .iter()
            .map(|step| Yaml::text(format!("{{{{ cmp_id '{own}' item{step} }}}}")));
        let (mapped, id) = (
            asked(question, mapped.collect()),
            asked(question, id.collect()),
        );
        let cmp = cmp_id(self.resource);
        let mut told = told(self.scene, self.resource, found, "item", (id, &cmp), hide);
        let mut sample = found.sample.clone();
        let backend = match sample.get(&names[0]).and_then(id_text) {
            Some(id) => id,
            None => {
                sample.insert(names[0].clone(), json!(self.object));
                self.object.clone()
            }
        };
        told.mapped.push((own.clone(), cmp, backend));
        let items = Yaml::map()
            .with("$for", found.root())
            .with("$where", mapped)
            .with("$item", told.tree);
        let key = snake(&self.resource.path_name);
        let mut tree = Yaml::map().with(&key, items);
        let mut body = Map::new();
        body.insert(key.clone(), json!([told.example]));
        let mut answered = found.beside_sample.clone();
        for field in found.beside.iter().filter(|field| field.name != key) {
            let kinds = types(&field.schema);
            let Some(step) = step(&field.name).filter(|_| !kinds.contains(&"object")) else {
                continue;
            };
            tree = tree.with(
                &field.name,
                super::answer::leaf(&format!("response.body{step}"), field.required),
            );
            if let Some(value) = answered.get(&field.name) {
                body.insert(field.name.clone(), value.clone());
            }
        }
        let items = json!([sample]);
        let answered = match &found.key {
            Some(name) => {
                answered.insert(name.clone(), items);
                Value::Object(answered)
            }
            None => items,
        };
        Reply {
            yaml: Some(Yaml::map().with("status", json!(200)).with("body", tree)),
            expected: json!({ "status": 200, "body": body }),
            answered: Some(answered),
            mapped: told.mapped,
        }
    }
}

// --- errors ---------------------------------------------------------------------------------------

/// A documented refusal, and what the CMP hears of it.
struct Rule {
    status: u16,
    yaml: Yaml,
    answered: Option<Value>,
    expected: Value,
}

impl Draft<'_> {
    fn rules(&self) -> Vec<Rule> {
        let document = self.scene.document;
        let mut rules: Vec<Rule> = Vec::new();
        for (status, response) in self.drafted.operation.responses(document) {
            // The relay answers for the object's own 404, and a delete of what is gone is done.
            let own = matches!(status, 404 | 410)
                && (self.place.has_object || self.drafted.does == Does::Delete);
            if !(400..500).contains(&status) || KNOWN.contains(&status) || own {
                continue;
            }
            let (reply, code) = match status {
                400 | 422 => (422, "invalid_value".to_owned()),
                404 if !self.place.parents.is_empty() => (409, "reference_missing".to_owned()),
                404 => (404, "not_found".to_owned()),
                409 => (409, "conflict".to_owned()),
                412 => (412, "precondition_failed".to_owned()),
                423 => (423, "locked".to_owned()),
                other => (other, format!("backend_{other}")),
            };
            let message = json_content(response).and_then(|media| self.message(media));
            let mut yaml = Yaml::map()
                .with("when", Yaml::map().with("status", json!(status)))
                .with("reply", json!(reply))
                .with("code", code.as_str());
            let mut body = Map::new();
            body.insert("code".into(), code.into());
            let mut answered = None;
            if let Some((variable, text, whole)) = message {
                yaml = yaml.with("detail", format!("{{{{ {variable} }}}}"));
                body.insert("detail".into(), text.into());
                answered = Some(whole);
            }
            rules.push(Rule {
                status,
                yaml,
                answered,
                expected: json!({ "status": reply, "body": body }),
            });
        }
        rules
    }

    /// The text for people in an error: its variable, an example of it, and of the whole answer.
    fn message(&self, media: &Value) -> Option<(String, String, Value)> {
        let document = self.scene.document;
        let schema = document.resolve(&media["schema"]);
        let mut root = "response.body".to_owned();
        let mut found = fields(document, schema, Way::Answer)?;
        let mut keys: Vec<String> = Vec::new();
        for _ in 0..2 {
            let words = [
                "message",
                "detail",
                "error_description",
                "description",
                "msg",
                "reason",
                "title",
                "error",
            ];
            let text = words.iter().find_map(|word| {
                found.iter().find(|field| {
                    field.name.eq_ignore_ascii_case(word) && types(&field.schema) == ["string"]
                })
            });
            if let Some(field) = text {
                let mut whole = media_example(document, media)
                    .unwrap_or_else(|| sample(document, schema, Way::Answer));
                let mut at = &mut whole;
                for key in &keys {
                    at = at.get_mut(key)?;
                }
                let map = at.as_object_mut()?;
                let said = map
                    .entry(field.name.clone())
                    .or_insert_with(|| "it was refused".into());
                let said = said.as_str()?.to_owned();
                return Some((format!("{root}{}", step(&field.name)?), said, whole));
            }
            let inner = found.iter().find_map(|field| {
                Some((
                    field.name.clone(),
                    fields(document, &field.schema, Way::Answer)?,
                ))
            })?;
            root.push_str(&step(&inner.0)?);
            keys.push(inner.0);
            found = inner.1;
        }
        None
    }

    // --- examples ---------------------------------------------------------------------------------

    fn examples(&self, reply: &Reply, status: u16, rules: &[Rule]) -> Option<Yaml> {
        let sent = self.carried.sent.as_ref()?;
        let mut request = Map::new();
        let path = self.put_object(
            &Value::Object(self.place.path.clone()),
            &cmp_id(self.resource),
        );
        if !self.place.path.is_empty() {
            request.insert("path".into(), path);
        }
        request.extend(sent.clone());
        let mut call = Map::new();
        call.insert(
            "http".into(),
            self.place.called.replace(OBJECT, &self.object).into(),
        );
        call.extend(self.carried.called.clone());
        let created = self.drafted.does == Does::Create;
        // An answer that is described and names no id: no candidate finds anything in it.
        let described = !matches!(self.answer, Answer::Empty | Answer::Foreign);
        if created && described && !self.has_id() && !self.names_itself() {
            return None;
        }
        let before = self.mappings(reply)?;
        let mut response = Map::new();
        response.insert("status".into(), status.into());
        if self.locates() {
            response.insert(
                "headers".into(),
                json!({ "Location": format!("/{}", self.object) }),
            );
        }
        if let Some(body) = reply.answered.as_ref().filter(|_| status != 204) {
            response.insert("body".into(), body.clone());
        }
        let expected = match (status, created) {
            // The answer without a body of a read or an act.
            (204, false) if reply.yaml.is_none() => json!({ "status": 204 }),
            _ => reply.expected.clone(),
        };
        let base = |name: &str| {
            let example = Yaml::map().with("name", name);
            let example = match request.is_empty() {
                true => example,
                false => example.with("request", Value::Object(request.clone())),
            };
            match before.is_empty() {
                true => example,
                false => example.with("mappings", Value::Array(before.clone())),
            }
        };
        let mut main = base("as documented").with("expect_call", Value::Object(call));
        main = main
            .with("response", Value::Object(response))
            .with("expect_reply", expected);
        if created {
            let row = json!({ "resource": self.resource.name, "cmp_id": cmp_id(self.resource), "backend_id": self.recorded(reply) });
            main = main.with("expect_mapping", row);
        } else if self.drafted.does == Does::Delete && self.place.has_object {
            main = main.with("expect_mapping", Value::Null);
        }
        let mut examples = vec![main];
        for rule in rules {
            let mut response = Map::new();
            response.insert("status".into(), rule.status.into());
            if let Some(body) = &rule.answered {
                response.insert("body".into(), body.clone());
            }
            let example = base(&format!("the backend answers {}", rule.status));
            examples.push(
                example
                    .with("response", Value::Object(response))
                    .with("expect_reply", rule.expected.clone()),
            );
        }
        Some(Yaml::List(examples))
    }

    /// The id that a create records in its example: what the first candidate finds.
    fn recorded(&self, reply: &Reply) -> String {
        let parameter = self.resource.parameter.as_deref().unwrap_or_default();
        if self.has_id()
            || self.locates()
            || reply
                .answered
                .as_ref()
                .is_some_and(|a| a.get("id").and_then(id_text).as_deref() == Some(&self.object))
                && !self.names_itself()
        {
            return self.object.clone();
        }
        let sent = self.carried.sent.as_ref().and_then(|sent| sent.get("body"));
        let named = sent
            .into_iter()
            .flat_map(object)
            .find(|(name, _)| snake(name) == snake(parameter) && *name != "id");
        named
            .and_then(|(_, value)| id_text(value))
            .unwrap_or_else(|| self.object.clone())
    }

    /// Whether the answer has a field that may be the id.
    fn has_id(&self) -> bool {
        match &self.answer {
            Answer::Object(found) => !ids(self.resource, &found.fields).names.is_empty(),
            _ => false,
        }
    }

    /// Whether the first candidate for the id is what the request itself chose.
    fn names_itself(&self) -> bool {
        let parameter = self.resource.parameter.as_deref().unwrap_or_default();
        self.carried
            .fields
            .iter()
            .any(|field| snake(field) == snake(parameter) && field != "id")
    }

    /// The rows that an example begins with; `None` where the document's values name two rows at once.
    fn mappings(&self, reply: &Reply) -> Option<Vec<Value>> {
        let mut rows: Vec<(String, String, String)> = Vec::new();
        if self.place.has_object {
            rows.push((
                self.resource.name.clone(),
                cmp_id(self.resource),
                self.object.clone(),
            ));
        }
        let parents = self
            .place
            .parents
            .iter()
            .map(|parent| (parent.name.clone(), cmp_id(parent), backend_id(parent)));
        rows.extend(parents);
        for row in self.carried.mapped.iter().chain(&reply.mapped) {
            match rows.iter().find(|known| known.0 == row.0) {
                Some(known) if known.2 != row.2 => return None,
                Some(_) => {}
                None => rows.push(row.clone()),
            }
        }
        let backend = self.scene.backend;
        Some(
            rows.into_iter()
                .map(|(resource, cmp_id, id)| {
                    json!({ "resource": resource, "cmp_id": cmp_id, "backend": backend, "backend_id": id })
                })
                .collect(),
        )
    }

    fn put_object(&self, path: &Value, id: &str) -> Value {
        let put = |value: &Value| match value.as_str() {
            Some(OBJECT) => json!(id),
            _ => value.clone(),
        };
        Value::Object(
            object(path)
                .map(|(name, value)| (name.clone(), put(value)))
                .collect(),
        )
    }
}
