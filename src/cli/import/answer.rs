//! What a backend answers: where the object is in it, which field is its id, and what the CMP is told.

use serde_json::{Map, Value, json};

use super::document::{Operation, json_content, media_example};
use super::place::{Scene, cmp_id};
use super::resource::Resource;
use super::sample::sample;
use super::schema::{Field, Way, fields, types};
use super::words::{plain, snake, step};
use super::yaml::Yaml;

/// The shape of a success.
#[derive(Debug)]
pub enum Answer {
    /// Nothing in it.
    Empty,
    /// Something of which the document names no fields.
    Opaque(Value),
    Object(Found),
    List(Found),
    /// A body that is not JSON.
    Foreign,
}

/// An object, or the items of a list, in an answer.
#[derive(Debug)]
pub struct Found {
    /// The key that it stands under, where it is not the whole body.
    pub key: Option<String>,
    pub fields: Vec<Field>,
    /// What stands beside a list.
    pub beside: Vec<Field>,
    /// The document's example, or one made up: of the object, or of an item.
    pub sample: Map<String, Value>,
    pub beside_sample: Map<String, Value>,
}

impl Answer {
    pub fn of(scene: &Scene<'_>, operation: &Operation) -> Self {
        let document = scene.document;
        let Some((_, response)) = operation.success(document) else {
            return Self::Empty;
        };
        let Some(media) = json_content(response) else {
            return match response.get("content").and_then(Value::as_object) {
                Some(content) if !content.is_empty() => Self::Foreign,
                _ => Self::Empty,
            };
        };
        let schema = document.resolve(&media["schema"]);
        let example =
            media_example(document, media).unwrap_or_else(|| sample(document, schema, Way::Answer));
        if types(schema).contains(&"array") {
            let Some(inner) = fields(document, &schema["items"], Way::Answer) else {
                return Self::Opaque(example);
            };
            return Self::List(Found {
                key: None,
                sample: filled(scene, &inner, &example[0]),
                fields: inner,
                beside: Vec::new(),
                beside_sample: Map::new(),
            });
        }
        let Some(outer) = fields(document, schema, Way::Answer) else {
            return Self::Opaque(example);
        };
        let lists: Vec<&Field> = outer
            .iter()
            .filter(|field| types(&field.schema).contains(&"array"))
            .collect();
        let named = outer.iter().any(|field| is_strong(&field.name, "", ""));
        if let ([list], false) = (lists.as_slice(), named)
            && let Some(inner) = fields(document, &list.schema["items"], Way::Answer)
        {
            let beside: Vec<Field> = outer
                .iter()
                .filter(|field| field.name != list.name)
                .cloned()
                .collect();
            return Self::List(Found {
                key: Some(list.name.clone()),
                sample: filled(scene, &inner, &example[&list.name][0]),
                fields: inner,
                beside_sample: filled(scene, &beside, &example),
                beside,
            });
        }
        if let ([only], false) = (outer.as_slice(), named)
            && let Some(inner) = fields(document, &only.schema, Way::Answer)
        {
            return Self::Object(Found {
                key: Some(only.name.clone()),
                sample: filled(scene, &inner, &example[&only.name]),
                fields: inner,
                beside: Vec::new(),
                beside_sample: Map::new(),
            });
        }
        Self::Object(Found {
            key: None,
            sample: filled(scene, &outer, &example),
            fields: outer,
            beside: Vec::new(),
            beside_sample: Map::new(),
        })
    }
}

/// The fields of an example; what must be there is made up where it is not.
fn filled(scene: &Scene<'_>, fields: &[Field], example: &Value) -> Map<String, Value> {
    let mut map = Map::new();
    for field in fields {
        match example.get(&field.name) {
            Some(value) => {
                map.insert(field.name.clone(), value.clone());
            }
            None if field.required => {
                map.insert(
                    field.name.clone(),
                    sample(scene.document, &field.schema, Way::Answer),
                );
            }
            None => {}
        }
    }
    map
}

impl Found {
    /// The variable of the object in an answer.
    pub fn root(&self) -> String {
        let key = self.key.as_deref().and_then(step).unwrap_or_default();
        format!("response.body{key}")
    }

    /// The JSONPath of a field of the object.
    pub fn path(&self, field: &str) -> String {
        let step = |name: &str| match name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            true => format!(".{name}"),
            false => format!("['{name}']"),
        };
        let key = self.key.as_deref().map(step).unwrap_or_default();
        format!("${key}{}", step(field))
    }

    /// The whole answer with this object in it.
    pub fn wrapped(&self, object: Map<String, Value>) -> Value {
        match &self.key {
            Some(key) => json!({ key: object }),
            None => Value::Object(object),
        }
    }
}

// --- which field is the id ------------------------------------------------------------------------

/// The fields that may be an object's id, the likeliest first.
#[derive(Debug)]
pub struct Ids {
    pub names: Vec<String>,
    pub sure: bool,
}

/// Whether a field's name alone says that it is an id of the object itself.
fn is_strong(name: &str, resource: &str, parameter: &str) -> bool {
    let name = plain(name);
    let own = plain(resource);
    ["id", "uuid", "guid"].contains(&name.as_str())
        || !own.is_empty() && (name == format!("{own}id") || name == format!("{own}uuid"))
        || !parameter.is_empty() && name == plain(parameter)
}

/// Guesses the id: sure where one field alone can be it, or where the path's own parameter names it.
pub fn ids(resource: &Resource, fields: &[Field]) -> Ids {
    let parameter = resource.parameter.as_deref().unwrap_or_default();
    let mut names: Vec<String> = fields
        .iter()
        .map(|field| field.name.clone())
        .filter(|name| is_strong(name, &resource.name, parameter))
        .collect();
    // `{petId}` may well be the field `id`; `{uuid}` is the field `uuid`.
    names.sort_by_key(|name| match plain(name) {
        name if name == plain(parameter) => 0,
        name if name == "id" => 1,
        _ => 2,
    });
    let sure = names.len() == 1;
    if names.is_empty() {
        let weak = ["key", "identifier", "mkey", "oid", "name", "slug"];
        names = weak
            .iter()
            .filter_map(|weak| fields.iter().find(|field| plain(&field.name) == *weak))
            .map(|field| field.name.clone())
            .collect();
    }
    Ids { names, sure }
}

// --- references to other objects ------------------------------------------------------------------

/// The resource whose object a field names, by the field's name.
pub fn referenced<'a>(scene: &Scene<'a>, own: &Resource, field: &Field) -> Option<&'a Resource> {
    let name = snake(&field.name);
    let stem = name
        .strip_suffix("_id")
        .or_else(|| name.strip_suffix("_uuid"))?;
    let kinds = types(&field.schema);
    let scalar = kinds
        .iter()
        .all(|kind| ["string", "integer", "null"].contains(kind))
        && !kinds.is_empty();
    let found = scene
        .resources
        .iter()
        .find(|other| other.name == stem && other.is_made());
    found.filter(|other| scalar && other.name != own.name)
}

/// A reply's tree and what it comes to in the example.
#[derive(Debug)]
pub struct Told {
    pub tree: Yaml,
    pub example: Map<String, Value>,
    /// Objects of other resources that the example takes to be mapped, with their backend ids.
    pub mapped: Vec<(String, String, String)>,
}

/// What the CMP is told of an object: its own id, then the backend's fields.
pub fn told(
    scene: &Scene<'_>,
    own: &Resource,
    found: &Found,
    root: &str,
    id: (Yaml, &str),
    hide: &[String],
) -> Told {
    let mut told = Told {
        tree: Yaml::map().with("id", id.0),
        example: Map::new(),
        mapped: Vec::new(),
    };
    told.example.insert("id".into(), id.1.into());
    for field in &found.fields {
        if field.name == "id" || hide.contains(&field.name) {
            continue;
        }
        let step = step(&field.name).expect("fields have names that can be written");
        let variable = format!("{root}{step}");
        let key = literal(&field.name);
        let sample = found.sample.get(&field.name);
        let Some(other) = referenced(scene, own, field) else {
            told.tree = told.tree.with(&key, leaf(&variable, field.required));
            if let Some(sample) = sample {
                told.example.insert(field.name.clone(), sample.clone());
            }
            continue;
        };
        let translated = format!("{{{{ optional (cmp_id '{}' {variable}) }}}}", other.name);
        let translated = match field.required {
            true => Yaml::text(translated),
            false => when_there(&variable, translated),
        };
        let question = format!(
            "is `{}` the id of a {} that the relay maps (its CMP id is told), or a word of the backend's own?",
            field.name, other.name
        );
        let candidates = vec![translated, leaf(&variable, field.required)];
        told.tree = told.tree.with(&key, Yaml::decide(&question, candidates));
        if let Some(id) = sample.and_then(id_text) {
            told.mapped.push((other.name.clone(), cmp_id(other), id));
            told.example
                .insert(field.name.clone(), cmp_id(other).into());
        }
    }
    told
}

/// `{{ x }}`, or what vanishes where `x` is absent.
pub fn leaf(variable: &str, required: bool) -> Yaml {
    Yaml::text(match required {
        true => format!("{{{{ {variable} }}}}"),
        false => format!("{{{{ optional {variable} }}}}"),
    })
}

/// A value that is there only where a variable is.
pub fn when_there(variable: &str, value: String) -> Yaml {
    Yaml::map()
        .with("$if", format!("has {variable}"))
        .with("$then", value)
}

/// A key as it is written in a tree.
pub fn literal(key: &str) -> String {
    match key.starts_with('$') {
        true => format!("${key}"),
        false => key.to_owned(),
    }
}

/// An id as the mapping table holds it.
pub fn id_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}
