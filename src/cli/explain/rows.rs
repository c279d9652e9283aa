//! `--mapping`: rows of the mapping table from files and from the command line.
//!
//! A file holds a list as in a route's `examples: mappings` (YAML or JSON), or what `cmp-relay
//! mappings export` writes: one JSON object a line.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::cli::Misuse;
use crate::config::spec::decode::Decode;
use crate::config::spec::example::ExampleMappingSpec;
use crate::config::yaml;
use crate::diagnostics::{Diagnostics, Sources, suggest, text};
use crate::document::{FileId, Kind};
use crate::plan::Plan;
use crate::store::{Mapping, ObjectKey};

/// A row as written; what an export has besides is read and not needed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    resource: String,
    cmp_id: String,
    backend: String,
    backend_id: Option<String>,
    #[serde(default)]
    attributes: Map<String, Value>,
    #[serde(rename = "scope")]
    _scope: Option<String>,
    #[serde(rename = "kind")]
    _kind: Option<String>,
    #[serde(rename = "created_operation")]
    _created_operation: Option<String>,
    #[serde(rename = "updated_operation")]
    _updated_operation: Option<String>,
    #[serde(rename = "created_at")]
    _created_at: Option<String>,
    #[serde(rename = "updated_at")]
    _updated_at: Option<String>,
}

/// The rows that all `--mapping` arguments give.
pub fn read(given: &[String], plan: &Plan) -> Result<Vec<Mapping>, Misuse> {
    let mut rows: Vec<Mapping> = Vec::new();
    for argument in given {
        let found = match argument.strip_prefix('@') {
            Some(file) => from_file(Path::new(file))?,
            None if Path::new(argument).is_file() => from_file(Path::new(argument))?,
            None => vec![inline(argument, plan)?],
        };
        for row in found {
            let mapping = checked(row, plan)?;
            if rows.iter().any(|known| known.key == mapping.key) {
                return Err(Misuse(format!(
                    "{} `{}` is given twice; an object has one row{}",
                    mapping.key.resource,
                    mapping.key.cmp_id,
                    match mapping.key.scope.is_empty() {
                        true => "",
                        false => " on each backend",
                    }
                )));
            }
            rows.push(mapping);
        }
    }
    Ok(rows)
}

/// `resource/cmp_id=backend:backend_id`; without `:backend_id` the id is still to come. An id may hold
/// any of these characters: the `=` that counts is the first one before the name of a backend.
fn inline(argument: &str, plan: &Plan) -> Result<Row, Misuse> {
    let form = || {
        Misuse(format!(
            "`{argument}` is no file and no row; a row is `resource/cmp_id=backend:backend_id`"
        ))
    };
    let (resource, rest) = argument.split_once('/').ok_or_else(form)?;
    let parts = |at: usize| {
        let (cmp_id, rest) = (&rest[..at], &rest[at + 1..]);
        match rest.split_once(':') {
            Some((backend, backend_id)) => (cmp_id, backend, Some(backend_id)),
            None => (cmp_id, rest, None),
        }
    };
    let mut places = rest.match_indices('=').map(|(at, _)| parts(at));
    let first = places.clone().next().ok_or_else(form)?;
    let (cmp_id, backend, backend_id) = places
        .find(|(_, backend, _)| plan.backend_named(backend).is_some())
        .unwrap_or(first);
    Ok(Row {
        resource: resource.to_owned(),
        cmp_id: cmp_id.to_owned(),
        backend: backend.to_owned(),
        backend_id: backend_id.map(str::to_owned),
        ..Row::default()
    })
}

fn from_file(file: &Path) -> Result<Vec<Row>, Misuse> {
    let name = file.display();
    let content = std::fs::read_to_string(file)
        .map_err(|error| Misuse(format!("{name} cannot be read: {error}")))?;
    let wrong = |line: usize, why: serde_json::Error| Misuse(format!("{name}:{line}: {why}"));
    match content.trim_start().chars().next() {
        Some('{') => content
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(index, line)| serde_json::from_str(line).map_err(|why| wrong(index + 1, why)))
            .collect(),
        Some('[') => {
            serde_json::from_str(&content).map_err(|why: serde_json::Error| wrong(why.line(), why))
        }
        _ => from_yaml(&name.to_string(), &content),
    }
}

/// YAML is read as the configuration's own is, so what is wrong with it has its place.
fn from_yaml(name: &str, content: &str) -> Result<Vec<Row>, Misuse> {
    let mut diags = Diagnostics::default();
    let node = yaml::parse(FileId(0), content, &mut diags);
    let specs = node.and_then(|node| match node.kind {
        // The whole key of an example, copied with its name.
        Kind::Map(_) if node.get("mappings").is_some() => {
            Vec::<ExampleMappingSpec>::decode(node.get("mappings")?, &mut diags)
        }
        _ => Vec::<ExampleMappingSpec>::decode(&node, &mut diags),
    });
    let Some(specs) = specs.filter(|_| diags.no_errors()) else {
        let shown = text::render_text(&diags, &One { name, content }, false);
        return Err(Misuse(format!("{name} is no list of mappings\n{shown}")));
    };
    let rows = specs.into_iter().map(|spec| Row {
        resource: spec.resource.text().to_owned(),
        cmp_id: spec.cmp_id.text().to_owned(),
        backend: spec.backend.text().to_owned(),
        // As an example writes that it is still to come.
        backend_id: spec
            .backend_id
            .map(|id| id.text().to_owned())
            .filter(|id| id != "pending"),
        attributes: spec
            .attributes
            .into_iter()
            .flat_map(|attributes| attributes.0)
            .map(|(name, node)| (name.value, node.to_json()))
            .collect(),
        ..Row::default()
    });
    Ok(rows.collect())
}

struct One<'a> {
    name: &'a str,
    content: &'a str,
}

impl Sources for One<'_> {
    fn path(&self, _: FileId) -> &str {
        self.name
    }
    fn text(&self, _: FileId) -> &str {
        self.content
    }
    fn count(&self) -> usize {
        1
    }
}

/// The row as the table would hold it.
fn checked(row: Row, plan: &Plan) -> Result<Mapping, Misuse> {
    let unknown = |what: &str, name: &str, known: Vec<&str>| {
        let help = match suggest::nearest(name, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        Misuse(format!("no {what} is called `{name}`; {help}"))
    };
    let resource = plan.resource_named(&row.resource).ok_or_else(|| {
        let known = plan.resources.iter().map(|known| &*known.name).collect();
        unknown("resource", &row.resource, known)
    })?;
    let backend = plan.backend_named(&row.backend).ok_or_else(|| {
        let known = plan.backends.iter().map(|known| &*known.name).collect();
        unknown("backend", &row.backend, known)
    })?;
    let (resource, backend) = (plan.resource(resource), plan.backend(backend));
    if resource.kind != backend.kind {
        return Err(Misuse(format!(
            "`{}` is of kind `{}`, and {} objects are on backends of kind `{}`",
            backend.name, backend.kind, resource.name, resource.kind
        )));
    }
    if row.cmp_id.is_empty() || row.backend_id.as_deref() == Some("") {
        let words = format!("an id of a {} is empty", resource.name);
        return Err(Misuse(words));
    }
    Ok(Mapping {
        key: ObjectKey {
            resource: row.resource,
            cmp_id: row.cmp_id,
            scope: match resource.per_backend {
                true => row.backend.clone(),
                false => String::new(),
            },
        },
        backend: row.backend,
        kind: backend.kind.to_string(),
        backend_id: row.backend_id,
        attributes: row.attributes,
        created_operation: None,
        updated_operation: None,
        created_at: 0,
        updated_at: 0,
    })
}
