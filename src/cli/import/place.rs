//! The two paths of a route: the CMP's, by the relay's names, and the backend's, by what is mapped.

use serde_json::{Map, Value, json};

use super::document::{Document, Operation};
use super::resource::{Does, Drafted, Resource, Segment, same};
use super::sample::sample;
use super::schema::Way;
use super::words::{kebab, snake};
use super::yaml::Yaml;

/// What every route is drafted against.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    pub document: &'a Document,
    pub resources: &'a [Resource],
    pub kind: &'a str,
    /// The backend of the examples.
    pub backend: &'a str,
}

/// What a parameter of the backend's path is filled from.
#[derive(Clone, Debug)]
enum Filled<'a> {
    Object,
    Parent(&'a Resource),
    /// The CMP gives the backend's own word.
    Given {
        name: String,
        sample: String,
    },
}

/// Where a route stands.
#[derive(Debug)]
pub struct Place<'a> {
    pub matched: String,
    pub http: String,
    /// The backend's path in the example.
    pub called: String,
    pub has_object: bool,
    pub parents: Vec<&'a Resource>,
    pub given: Vec<String>,
    /// `request.path` of an example.
    pub path: Map<String, Value>,
}

/// The backend's id of an object in an example.
pub fn backend_id(resource: &Resource) -> String {
    format!("b-{}-1", kebab(&resource.name))
}

/// The CMP's id of an object in an example.
pub fn cmp_id(resource: &Resource) -> String {
    format!("{}-1", kebab(&resource.name))
}

/// The parent's parameter in a CMP path.
fn parent_parameter(parent: &Resource) -> String {
    format!("{}_id", parent.name)
}

impl<'a> Place<'a> {
    pub fn of(scene: &Scene<'a>, resource: &'a Resource, drafted: &Drafted) -> Self {
        let mut place = Place {
            matched: format!("{} /v1", drafted.operation.method),
            http: format!("{} ", drafted.operation.method),
            called: format!("{} ", drafted.operation.method),
            has_object: false,
            parents: Vec::new(),
            given: Vec::new(),
            path: Map::new(),
        };
        let own = resource.collection.len();
        for (at, segment) in drafted.segments.iter().enumerate() {
            match segment {
                Segment::Word(word) => {
                    place.http.push_str(&format!("/{word}"));
                    place.called.push_str(&format!("/{word}"));
                    if at + 1 == own {
                        place.matched.push_str(&format!("/{}", resource.path_name));
                    } else if at >= own {
                        place.matched.push_str(&format!("/{}", kebab(&snake(word))));
                    }
                }
                Segment::Parameter(name) => {
                    let before = &drafted.segments[..at];
                    let filled = filled(scene, resource, before, name, &drafted.operation);
                    place.fill(filled, before);
                }
            }
        }
        place
    }

    fn fill(&mut self, filled: Filled<'a>, before: &[Segment]) {
        let (variable, value, parameter, cmp) = match filled {
            Filled::Object => {
                self.has_object = true;
                // The example's id is put in by whoever knows the answer.
                (
                    "object.backend_id".to_owned(),
                    OBJECT.to_owned(),
                    "id".to_owned(),
                    OBJECT.to_owned(),
                )
            }
            Filled::Parent(parent) => {
                self.parents.push(parent);
                let parameter = parent_parameter(parent);
                self.matched.push_str(&format!("/{}", parent.path_name));
                (
                    format!("parents.{}.backend_id", parent.name),
                    backend_id(parent),
                    parameter,
                    cmp_id(parent),
                )
            }
            Filled::Given { name, sample } => {
                if name != "id"
                    && let Some(Segment::Word(word)) = before.last()
                {
                    self.matched.push_str(&format!("/{}", kebab(&snake(word))));
                }
                self.given.push(name.clone());
                (format!("path.{name}"), sample.clone(), name, sample)
            }
        };
        self.matched.push_str(&format!("/{{{parameter}}}"));
        self.http.push_str(&format!("/{{{{ {variable} }}}}"));
        self.called.push_str(&format!("/{value}"));
        self.path.insert(parameter, json!(cmp));
    }

    /// `parents` of the route.
    pub fn parents_yaml(&self) -> Option<Yaml> {
        if self.parents.is_empty() {
            return None;
        }
        Some(self.parents.iter().fold(Yaml::map(), |map, parent| {
            let id = format!("{{{{ path.{} }}}}", parent_parameter(parent));
            let parent_map = Yaml::map()
                .with("resource", parent.name.as_str())
                .with("id", id);
            map.with(&parent.name, parent_map)
        }))
    }
}

/// Stands for the object's id in an example until it is known.
pub const OBJECT: &str = "\u{1}";

fn filled<'a>(
    scene: &Scene<'a>,
    resource: &'a Resource,
    before: &[Segment],
    name: &str,
    operation: &Operation,
) -> Filled<'a> {
    let is_own = same(before, &resource.collection);
    if is_own && resource.is_made() {
        return Filled::Object;
    }
    let parent = scene
        .resources
        .iter()
        .find(|other| same(&other.collection, before) && other.is_made());
    if let Some(parent) = parent {
        return Filled::Parent(parent);
    }
    let declared = operation
        .parameters
        .iter()
        .find(|p| p["in"] == "path" && p["name"] == name);
    let made = declared.map(|parameter| match parameter.get("example") {
        Some(example) => example.clone(),
        None => sample(scene.document, &parameter["schema"], Way::Request),
    });
    let text = match made {
        Some(Value::String(text)) => text,
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let simple = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    Filled::Given {
        name: match is_own {
            true => "id".to_owned(),
            false => snake(name),
        },
        sample: if simple { text } else { "x-1".to_owned() },
    }
}

/// The id of a route.
pub fn route_id(resource: &Resource, drafted: &Drafted, taken: &[String]) -> String {
    let one = &resource.name;
    let many = snake(&resource.path_name);
    let has = |does: Does| resource.operations.iter().any(|other| other.does == does);
    let words: Vec<String> = drafted.segments[resource.collection.len()..]
        .iter()
        .filter_map(|segment| match segment {
            Segment::Word(word) => Some(snake(word)),
            Segment::Parameter(_) => None,
        })
        .collect();
    let words = words.join("_");
    let method = drafted.operation.method.to_lowercase();
    let wanted = match drafted.does {
        Does::Create => format!("create_{one}"),
        Does::List => format!("list_{many}"),
        Does::Get => format!("get_{one}"),
        Does::Replace if has(Does::Update) => format!("replace_{one}"),
        Does::Replace | Does::Update => format!("update_{one}"),
        Does::Delete => format!("delete_{one}"),
        Does::Read if words.is_empty() => format!("get_{many}"),
        Does::Read => format!("list_{many}_{words}"),
        Does::Act if words.is_empty() => format!("{method}_{one}"),
        Does::Act if method == "post" => format!("{words}_{one}"),
        Does::Act => format!("{method}_{one}_{words}"),
    };
    let wanted: String = wanted.chars().take(60).collect();
    let mut id = wanted.clone();
    let mut number = 2;
    while taken.contains(&id) {
        id = format!("{wanted}_{number}");
        number += 1;
    }
    id
}
