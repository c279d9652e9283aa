//! What a request carries: the CMP's schema, and the backend's body made of it.

use json_schema::fits;
use serde_json::{Map, Value, json};

use super::answer::{leaf, literal, referenced, when_there};
use super::document::{json_content, list, media_example, object};
use super::place::{Scene, cmp_id};
use super::resource::{Does, Drafted, Resource};
use super::sample::sample;
use super::schema::{Dropped, Field, Way, convert, fields, types};
use super::words::{plain, step};
use super::yaml::Yaml;

/// Schemas with more lines than this get a file.
const BIG: usize = 25;
/// Fields that people read, in which the CMP's id can stand.
const REMARKS: [&str; 8] = [
    "description",
    "comment",
    "comments",
    "note",
    "notes",
    "remark",
    "remarks",
    "annotation",
];

/// The request's part of a route.
#[derive(Debug, Default)]
pub struct Carried {
    /// `request`.
    pub request: Option<Yaml>,
    /// `query`, `headers`, `body` or `form` of `call`.
    pub call: Vec<(&'static str, Yaml)>,
    /// What an example sends, by key of `request`; `None`: none could be made up.
    pub sent: Option<Map<String, Value>>,
    /// What then reaches the backend, by key of `call`.
    pub called: Map<String, Value>,
    /// Other objects that the example takes to be mapped.
    pub mapped: Vec<(String, String, String)>,
    /// Schemas that got a file: its name in `routes.d/`, its text.
    pub files: Vec<(String, String)>,
    pub notes: Vec<String>,
    /// The fields of the body.
    pub fields: Vec<String>,
}

/// Why an operation is not drafted.
pub type Why = String;

/// Collects the parts of a request.
struct Collector<'a> {
    scene: &'a Scene<'a>,
    resource: &'a Resource,
    does: Does,
    properties: Map<String, Value>,
    marks: Vec<(String, Yaml)>,
    required: Vec<Value>,
    tree: Yaml,
    sent: Map<String, Value>,
    called: Map<String, Value>,
    out: Carried,
    complete: bool,
}

/// The request of an operation.
pub fn carried(scene: &Scene<'_>, resource: &Resource, drafted: &Drafted) -> Result<Carried, Why> {
    let mut collector = Collector {
        scene,
        resource,
        does: drafted.does,
        properties: Map::new(),
        marks: Vec::new(),
        required: Vec::new(),
        tree: Yaml::map(),
        sent: Map::new(),
        called: Map::new(),
        out: Carried::default(),
        complete: true,
    };
    let mut request = Yaml::map();
    let mut sent = Map::new();
    for (place, key) in [("query", "query"), ("header", "headers")] {
        if let Some(schema) = collector.parameters(drafted, place, key, &mut sent) {
            request = request.with(key, schema);
        }
    }
    let has_body = !matches!(
        drafted.does,
        Does::Delete | Does::Get | Does::List | Does::Read
    ) && drafted.operation.method != "GET";
    if has_body && let Some(schema) = collector.body(drafted)? {
        request = request.with("body", schema);
        sent.insert(
            "body".into(),
            Value::Object(std::mem::take(&mut collector.sent)),
        );
    }
    let mut out = collector.out;
    out.sent = collector.complete.then_some(sent);
    out.request = (!request.is_empty()).then_some(request);
    Ok(out)
}

impl Collector<'_> {
    /// Query parameters, or headers.
    fn parameters(
        &mut self,
        drafted: &Drafted,
        place: &str,
        key: &'static str,
        sent: &mut Map<String, Value>,
    ) -> Option<Yaml> {
        let document = self.scene.document;
        let (mut properties, mut required) = (Map::new(), Vec::new());
        let (mut tree, mut samples, mut called) = (Yaml::map(), Map::new(), Map::new());
        for parameter in drafted
            .operation
            .parameters
            .iter()
            .filter(|p| p["in"] == place)
        {
            let name = parameter["name"].as_str().unwrap_or_default();
            let needed = parameter["required"] == true;
            // A header that the call does not need is not the CMP's business.
            let own = [
                "accept",
                "contenttype",
                "authorization",
                "host",
                "contentlength",
            ];
            if place == "header" && (!needed || own.contains(&plain(name).as_str())) {
                continue;
            }
            let known = match place {
                "header" => name.to_ascii_lowercase().replace('-', "_"),
                _ => name.to_owned(),
            };
            let schema = convert(document, &parameter["schema"], &mut Dropped::default());
            let (Some(schema), Some(step)) = (scalar(schema), step(&known)) else {
                let note = format!(
                    "{place} parameter `{name}` of `{}` is no plain value: left out",
                    drafted.operation.path
                );
                self.out.notes.push(note);
                continue;
            };
            let root = if place == "header" { "header" } else { "query" };
            let value = match parameter.get("example") {
                Some(example) => example.clone(),
                None => sample(document, &parameter["schema"], Way::Request),
            };
            if needed {
                required.push(json!(known));
                self.complete &= fits(&schema, &value);
                // An example has a header by its own name.
                let sent_as = if place == "header" { name } else { &known };
                samples.insert(sent_as.to_owned(), value.clone());
                called.insert(name.to_owned(), texts(&value));
            }
            properties.insert(known, schema);
            tree = tree.with(&literal(name), leaf(&format!("{root}{step}"), needed));
        }
        if properties.is_empty() {
            return None;
        }
        self.out.call.push((key, tree));
        if !called.is_empty() {
            sent.insert(key.into(), samples.into());
            self.out.called.insert(key.into(), called.into());
        }
        Some(schema_yaml(properties, required, Vec::new()))
    }

    fn body(&mut self, drafted: &Drafted) -> Result<Option<Yaml>, Why> {
        let document = self.scene.document;
        let body = document.resolve(&drafted.operation.node["requestBody"]);
        let creates = drafted.does == Does::Create;
        if creates {
            self.properties.insert("id".into(), json!({ "type": "string", "minLength": 1, "maxLength": 64, "description": "The CMP's id of the object" }));
            self.required.push(json!("id"));
            self.sent.insert("id".into(), cmp_id(self.resource).into());
        }
        let form =
            object(&body["content"]).find(|(name, _)| *name == "application/x-www-form-urlencoded");
        let (media, key) = match (json_content(body), form) {
            (Some(media), _) => (media, "body"),
            (None, Some((_, media))) => (media, "form"),
            (None, None) => {
                if let Some((name, _)) = object(&body["content"]).next() {
                    return Err(format!("its body is `{name}`"));
                }
                return Ok(creates.then(|| self.schema()));
            }
        };
        let schema = document.resolve(&media["schema"]);
        let example = media_example(document, media)
            .unwrap_or_else(|| sample(document, schema, Way::Request));
        match fields(document, schema, Way::Request) {
            Some(outer) => {
                let inner = match outer.as_slice() {
                    [only] => fields(document, &only.schema, Way::Request)
                        .map(|inner| (only.name.clone(), inner)),
                    _ => None,
                };
                match inner {
                    Some((name, inner)) => {
                        self.fields(&inner, &example[&name])?;
                        let tree = std::mem::replace(&mut self.tree, Yaml::map());
                        self.tree = Yaml::map().with(&literal(&name), tree);
                        let called = std::mem::take(&mut self.called);
                        self.called.insert(name, called.into());
                    }
                    None => self.fields(&outer, &example)?,
                }
                self.out.call.push((key, self.tree.clone()));
                let called = std::mem::take(&mut self.called);
                // An example says of a form what its fields are as texts.
                let called = match key {
                    "form" => called.iter().map(|(k, v)| (k.clone(), texts(v))).collect(),
                    _ => called,
                };
                self.out.called.insert("body".into(), called.into());
            }
            // No fields to name one by one: the whole body, under one name.
            None if key == "body" => {
                let name = self.resource.name.clone();
                let mut dropped = Dropped::default();
                let converted = convert(document, &media["schema"], &mut dropped);
                self.note(&dropped, &name);
                let value = pruned(&converted, &example);
                self.complete &= fits(&converted, &value);
                let schema = self.filed(converted, &media["schema"]);
                self.properties.insert(name.clone(), schema);
                self.required.push(json!(name));
                self.sent.insert(name.clone(), value.clone());
                self.out
                    .call
                    .push(("body", leaf(&format!("body.{name}"), true)));
                self.out.called.insert("body".into(), value);
            }
            None => return Err("the document names no fields of its form".to_owned()),
        }
        Ok(Some(self.schema()))
    }

    fn schema(&mut self) -> Yaml {
        self.out.fields = self.properties.keys().cloned().collect();
        let properties = std::mem::take(&mut self.properties);
        let required = std::mem::take(&mut self.required);
        schema_yaml(properties, required, std::mem::take(&mut self.marks))
    }

    fn fields(&mut self, fields: &[Field], example: &Value) -> Result<(), Why> {
        let creates = self.does == Does::Create;
        for field in fields {
            if creates && field.name == "id" {
                self.own_id(field);
                continue;
            }
            let mut dropped = Dropped::default();
            let converted = convert(self.scene.document, &field.schema, &mut dropped);
            self.note(&dropped, &field.name);
            let made = example.get(&field.name).cloned();
            let made = made.or_else(|| {
                field
                    .required
                    .then(|| sample(self.scene.document, &field.schema, Way::Request))
            });
            let value = made
                .map(|made| pruned(&converted, &made))
                .filter(|made| fits(&converted, made));
            self.complete &= value.is_some() || !field.required;
            if field.required {
                self.required.push(json!(field.name));
            }
            if let Some(other) = referenced(self.scene, self.resource, field) {
                self.reference(field, other, converted, value);
                continue;
            }
            let step = step(&field.name).expect("fields have names that can be written");
            let plain_leaf = leaf(&format!("body{step}"), field.required);
            let is_text = types(&field.schema) == ["string"] && field.schema.get("enum").is_none();
            let key = literal(&field.name);
            if creates && is_text && REMARKS.contains(&plain(&field.name).as_str()) {
                let question = format!(
                    "does `{}` carry the CMP's id, so that an orphan can be traced, or the CMP's own words?",
                    field.name
                );
                let stamp = "cmp:{{ body.id }}";
                let candidates = vec![Yaml::text(stamp), plain_leaf];
                self.tree = std::mem::replace(&mut self.tree, Yaml::map())
                    .with(&key, Yaml::decide(&question, candidates));
                self.called.insert(
                    field.name.clone(),
                    format!("cmp:{}", cmp_id(self.resource)).into(),
                );
                if let (true, Some(value)) = (field.required, value) {
                    self.sent.insert(field.name.clone(), value);
                }
            } else {
                self.tree = std::mem::replace(&mut self.tree, Yaml::map()).with(&key, plain_leaf);
                if let Some(value) = value {
                    self.sent.insert(field.name.clone(), value.clone());
                    self.called.insert(field.name.clone(), value);
                }
            }
            let schema = self.filed(converted, &field.schema);
            self.properties.insert(field.name.clone(), schema);
        }
        Ok(())
    }

    /// The backend's own `id` in a create: the CMP's `id` has that name.
    fn own_id(&mut self, field: &Field) {
        if !field.required {
            return; // The backend makes it.
        }
        let tree = std::mem::replace(&mut self.tree, Yaml::map());
        if types(&field.schema).contains(&"string") {
            let question = "the backend wants `id` from its caller: is it the CMP's?";
            let candidates = vec![Yaml::text("{{ body.id }}")];
            self.tree = tree.with("id", Yaml::decide(question, candidates));
            self.called
                .insert("id".into(), cmp_id(self.resource).into());
            return;
        }
        let converted = convert(self.scene.document, &field.schema, &mut Dropped::default());
        let value = sample(self.scene.document, &field.schema, Way::Request);
        self.complete &= fits(&converted, &value);
        self.tree = tree.with("id", leaf("body.backend_id", true));
        self.properties.insert("backend_id".into(), converted);
        self.required.push(json!("backend_id"));
        self.sent.insert("backend_id".into(), value.clone());
        self.called.insert("id".into(), value);
    }

    /// A field that names another object, by its name: the CMP's id or the backend's.
    fn reference(
        &mut self,
        field: &Field,
        other: &Resource,
        converted: Value,
        value: Option<Value>,
    ) {
        let step = step(&field.name).expect("fields have names that can be written");
        let variable = format!("body{step}");
        let is_number = types(&field.schema).contains(&"integer");
        let looked_up = match is_number {
            true => format!("{{{{ int (backend_id '{}' {variable}) }}}}", other.name),
            false => format!("{{{{ backend_id '{}' {variable} }}}}", other.name),
        };
        let looked_up = match field.required {
            true => Yaml::text(looked_up),
            false => when_there(&variable, looked_up),
        };
        let question = format!(
            "is `{}` the id of a {} that the relay maps (it becomes the backend's id), or a word of the backend's own?",
            field.name, other.name
        );
        let candidates = vec![looked_up, leaf(&variable, field.required)];
        let tree = std::mem::replace(&mut self.tree, Yaml::map());
        self.tree = tree.with(&literal(&field.name), Yaml::decide(&question, candidates));
        let cmp_schema = json!({ "type": "string", "minLength": 1, "maxLength": 64 });
        match is_number {
            true => {
                let question = format!(
                    "`{}`, as the CMP writes it: its own id, or the backend's?",
                    field.name
                );
                let candidates = vec![Yaml::Data(cmp_schema), Yaml::Data(converted)];
                self.marks
                    .push((field.name.clone(), Yaml::decide(&question, candidates)));
                self.properties.insert(field.name.clone(), Value::Null);
            }
            false => {
                self.properties.insert(field.name.clone(), cmp_schema);
            }
        }
        if let Some(value) = value
            && let Some(id) = super::answer::id_text(&value)
        {
            self.out
                .mapped
                .push((other.name.clone(), cmp_id(other), id));
            self.sent.insert(field.name.clone(), cmp_id(other).into());
            self.called.insert(field.name.clone(), value);
        }
    }

    /// A schema, in a file of its own where it is big and has a name in the document.
    fn filed(&mut self, converted: Value, written: &Value) -> Value {
        let text = Yaml::Data(converted.clone()).write();
        if text.lines().count() <= BIG {
            return converted;
        }
        let title = written["title"].as_str().map(super::words::snake);
        let number = self.out.files.len() + 1;
        let name = title.unwrap_or_else(|| format!("{}_{number}", self.resource.name));
        let path = format!(
            "schemas/{}.yaml",
            super::words::kebab(&format!("{}_{name}", self.scene.kind))
        );
        // Two different schemas of one title stay where they are.
        match self.out.files.iter().find(|(known, _)| *known == path) {
            Some((_, known)) if *known != text => return converted,
            Some(_) => {}
            None => self.out.files.push((path.clone(), text)),
        }
        json!({ "$ref": path })
    }

    fn note(&mut self, dropped: &Dropped, name: &str) {
        for pattern in &dropped.patterns {
            let note = format!(
                "the pattern `{pattern}` of `{name}` is none of a linear engine: the backend alone checks it"
            );
            self.out.notes.push(note);
        }
        if dropped.recursive {
            let note = format!(
                "the schema of `{name}` holds itself: below the first turn the backend alone checks it"
            );
            self.out.notes.push(note);
        }
    }
}

/// The schema of an object; marked properties stand where they were found.
fn schema_yaml(
    properties: Map<String, Value>,
    required: Vec<Value>,
    mut marks: Vec<(String, Yaml)>,
) -> Yaml {
    let mut map = Yaml::map();
    for (name, schema) in properties {
        let mark = marks.iter().position(|(marked, _)| *marked == name);
        let value = match mark {
            Some(at) => marks.remove(at).1,
            None => Yaml::Data(schema),
        };
        map = map.with(&name, value);
    }
    let yaml = Yaml::map().with("type", "object");
    let yaml = match required.is_empty() {
        true => yaml,
        false => yaml.with("required", Value::Array(required)),
    };
    yaml.with("properties", map)
}

/// A schema that a query or a header takes: one type, no `null`.
fn scalar(mut schema: Value) -> Option<Value> {
    let kinds: Vec<String> = types(&schema)
        .into_iter()
        .filter(|kind| *kind != "null")
        .map(str::to_owned)
        .collect();
    if schema.get("anyOf").is_some()
        || schema.get("oneOf").is_some()
        || schema.get("allOf").is_some()
    {
        return None;
    }
    match kinds.as_slice() {
        [one] if one == "array" => (types(&schema["items"]) == ["string"]).then_some(schema),
        [one] if one != "object" => {
            schema["type"] = json!(one);
            Some(schema)
        }
        [] => {
            schema["type"] = json!("string");
            Some(schema)
        }
        _ => None,
    }
}

/// A query's or a header's value as the backend hears it.
fn texts(value: &Value) -> Value {
    match value {
        Value::String(_) => value.clone(),
        Value::Array(items) => items.iter().map(texts).collect(),
        other => other.to_string().into(),
    }
}

/// Without what a closed schema refuses: an object takes the properties that it lists.
fn pruned(schema: &Value, value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let listed = schema.get("properties").and_then(Value::as_object);
            let open = schema
                .get("additionalProperties")
                .is_some_and(|more| *more != json!(false));
            let kept = map
                .iter()
                .filter(|(key, _)| open || listed.is_none_or(|listed| listed.contains_key(*key)));
            kept.map(|(key, value)| {
                let inner = listed
                    .and_then(|listed| listed.get(key))
                    .unwrap_or(&Value::Null);
                (key.clone(), pruned(inner, value))
            })
            .collect::<Map<_, _>>()
            .into()
        }
        Value::Array(items) => list(&Value::Array(items.clone()))
            .map(|item| pruned(&schema["items"], item))
            .collect(),
        other => other.clone(),
    }
}
