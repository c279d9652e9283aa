//! The reference page, `docs/reference.md`: every key of the four files with its type, its default, an
//! example and the variables that are legal there, written from the schemas that the editors get.
//!
//! Nothing on the page is written by hand that the program knows: keys, types and words are the
//! declarations of `spec`, and which variables a position has is asked of the pass that compiles it.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::compile::variables_at;
use super::spec::editor;

const PREFACE: &str = "\
# Reference

Every key of the configuration. This page is written by the program from its own declarations, and a test fails when it is stale;
[language.md](language.md) tells how the pieces belong together, and [authoring.md](authoring.md) walks through them.

A key without a default may be left out, unless it says **required**. `NAME` in a heading stands for a name of your own, `[]` for an item of a list.

";

const VARIABLES: &str = "\
## Variables

Which variables a position has follows from when it is rendered. Those that a route does not declare are not there: `query`, `header`
and `body` need their schema in `request`, `object` and `parents` need their key, `mapping.cmp_id` is known before the call only where the
route creates, and in a `let` only the ones above it are there. For a `per_backend` resource `select` has no `request` and only the parents that are not `per_backend`.

";

const SHAPES: &str = "\
## What stands at a key

| type | is |
|---|---|
| text | a string; quote it where it begins with `{`, or reads as a number |
| tree | any YAML; its strings may hold expressions, and `$if`, `$for`, `$xml`, `$xpath`, `$json`, `$cli` and `$template` are directives |
| template | the path of a file of `templates/`; the variables are those of the file's expressions |
| TextFSM template | the path of a file of `templates/` that ends in `.textfsm`, or the template itself in several lines |
| condition | a map whose entries must all hold: `status`, a JSONPath, `text` (a regular expression) or `header.NAME`; with a value, a list of values, or `present` |
| source | a JSONPath; a map with one of `path`, `header`, `link`, `text: true`, `value`, and beside it `param`, `regex` and `optional: true`; or `first:` with a list of sources. Only `value` takes expressions |
| JSON Schema | JSON Schema 2020-12, in YAML |
| duration | a whole number with `ms`, `s`, `m`, `h` or `d`: `500ms`, `20s` |
| size | a number of bytes, or one with `KiB`, `MiB` or `GiB` |
| any | any YAML |

";

/// A position that takes expressions, and the variables that are legal there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Such as `routes.NAME.call.body`.
    pub path: String,
    pub variables: Vec<&'static str>,
}

/// A map of the language, and where it stands first.
struct Section {
    path: String,
    /// Where else it stands.
    aliases: Vec<String>,
    description: String,
    rows: Vec<Row>,
}

struct Row {
    key: String,
    says: String,
    type_name: String,
    default: String,
    stage: Option<String>,
}

/// One of the four files.
struct File {
    heading: &'static str,
    sections: Vec<Section>,
}

/// The page; the examples are found in samples of each file: of routes, of backends, of CLI profiles, of relay.yaml.
pub fn page(samples: &[Vec<Value>; 4]) -> String {
    let mut page = PREFACE.to_owned();
    page.push_str(VARIABLES);
    page.push_str("| when | variables |\n|---|---|\n");
    for (stage, when) in STAGES {
        let roots = variables_at(stage).expect("every stage has its variables");
        let _ = writeln!(page, "| {when} | {} |", code(&roots.join(" ")));
    }
    page.push('\n');
    page.push_str(SHAPES);
    for (file, samples) in files().into_iter().zip(samples) {
        let _ = writeln!(page, "## {}\n", file.heading);
        for section in &file.sections {
            section.write(&file, samples, &mut page);
        }
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// Every position that takes expressions.
pub fn positions() -> Vec<Position> {
    let mut found = Vec::new();
    for section in files().into_iter().flat_map(|file| file.sections) {
        for row in section.rows {
            if let Some(variables) = row.stage.as_deref().and_then(variables_at) {
                let path = joined(&section.path, &row.key);
                found.push(Position { path, variables });
            }
        }
    }
    found
}

/// The stages by their words, in the order of a request.
const STAGES: [(&str, &str); 7] = [
    (
        "request",
        "from the request alone: `object`, the ids of `parents`",
    ),
    ("select", "`select`: parents are known"),
    (
        "identity",
        "`mapping.*.cmp_id`: the object is known, the call is not made",
    ),
    ("call", "`let`, `call` and its templates"),
    (
        "refusal",
        "the `detail` of an error rule: the call is answered, nothing is extracted",
    ),
    ("answer", "after the call: `extract`, `mapping`, `reply`"),
    ("tokens", "`send` of a login"),
];

fn files() -> Vec<File> {
    let headings = [
        "Route files: routes.d/*.yaml",
        "Backend files: backends.d/*.yaml",
        "CLI profiles: backends.d/profiles/*.yaml",
        "relay.yaml",
    ];
    let schemas = editor::annotated();
    headings
        .into_iter()
        .zip(&schemas)
        .map(|(heading, schema)| {
            let mut walk = Walk {
                root: schema,
                sections: Vec::new(),
                known: BTreeMap::new(),
                open: VecDeque::new(),
                prefix: heading,
            };
            walk.map("", schema);
            walk.fill();
            File {
                heading,
                sections: walk.sections,
            }
        })
        .collect()
}

/// Collects the maps of a file, each once, at the shortest path where it stands.
struct Walk<'s> {
    root: &'s Value,
    sections: Vec<Section>,
    /// The schema's text: the path of its section.
    known: BTreeMap<String, String>,
    /// Sections whose rows are still to be read.
    open: VecDeque<(usize, &'s Value)>,
    prefix: &'static str,
}

impl<'s> Walk<'s> {
    /// Enters a map that has keys of the language; gives the path of its section.
    fn map(&mut self, path: &str, schema: &'s Value) -> String {
        let identity = schema["properties"].to_string();
        if let Some(first) = self.known.get(&identity) {
            let section = self
                .sections
                .iter_mut()
                .find(|section| section.path == *first);
            if let Some(section) = section.filter(|section| section.path != path) {
                section.aliases.push(path.to_owned());
            }
            return first.clone();
        }
        let path = match path {
            "" => self.prefix.to_owned(),
            path => path.to_owned(),
        };
        self.known.insert(identity, path.clone());
        self.open.push_back((self.sections.len(), schema));
        self.sections.push(Section {
            path: path.clone(),
            aliases: Vec::new(),
            description: text_of(schema, "description"),
            rows: Vec::new(),
        });
        path
    }

    /// Reads the rows of every section, which finds further ones.
    fn fill(&mut self) {
        while let Some((at, schema)) = self.open.pop_front() {
            let path = self.sections[at].path.clone();
            let required = required(schema);
            let own = |property: &Value| property.get("x-of").is_none();
            let rows = properties(schema)
                .filter(|(_, property)| own(property))
                .map(|(key, property)| {
                    self.row(&path, key, property, required.contains(&key.as_str()))
                })
                .collect();
            self.sections[at].rows = rows;
        }
    }

    fn row(&mut self, path: &str, key: &str, property: &'s Value, required: bool) -> Row {
        let inside = joined(path, key);
        let type_name = match property.get("x-holds").and_then(Value::as_str) {
            Some(holds) => self.holding(holds, property),
            None => self.type_of(&inside, property),
        };
        let (says, said_default) = without_default(&text_of(property, "description"));
        let default = match property.get("default") {
            _ if required => "**required**".to_owned(),
            Some(default) => code(&default.to_string().replace('"', "")),
            None => said_default,
        };
        Row {
            key: key.to_owned(),
            says,
            type_name,
            default,
            stage: property
                .get("x-stage")
                .and_then(Value::as_str)
                .map(str::to_owned),
        }
    }

    /// A key whose content has a grammar of its own; a map of names holds it by name.
    fn holding(&self, holds: &str, property: &Value) -> String {
        let word = match holds {
            "schema" => "JSON Schema",
            "textfsm" => "TextFSM template",
            word => word,
        };
        if property.get("additionalProperties").is_some() {
            return format!("{word} by name");
        }
        match property.get("if").is_some() {
            true => format!("{word}, or a list"),
            false => word.to_owned(),
        }
    }

    fn type_of(&mut self, path: &str, schema: &'s Value) -> String {
        let schema = self.resolved(schema);
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str)
            && pattern.contains("ms|s")
        {
            return "duration".to_owned();
        }
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            let words = words.iter().filter(|word| !word.is_null());
            return words
                .map(|word| code(&inline(word)))
                .collect::<Vec<_>>()
                .join(", ");
        }
        if let Some(word) = schema.get("const") {
            return code(&inline(word));
        }
        if let Some(test) = schema["if"]["type"].as_str() {
            return self.by_form(path, test, schema);
        }
        if schema.get("not").is_some() {
            return self.choice(path, schema);
        }
        if schema["type"].is_array() {
            return "size".to_owned();
        }
        match schema.get("type").and_then(Value::as_str) {
            Some("string") => "text".to_owned(),
            Some("boolean") => "`true`, `false`".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some("array") => format!(
                "list of {}",
                self.type_of(&format!("{path}[]"), &schema["items"])
            ),
            Some("object") if schema.get("properties").is_some() => {
                let section = self.map(path, schema);
                format!("[{}](#{})", code(&section), anchor(&section))
            }
            Some("object") => {
                let value = &schema["additionalProperties"];
                let inner = self.type_of(&joined(path, "NAME"), value);
                match inner.ends_with("by name") {
                    true => format!("{inner}, by name"),
                    false => format!("{inner} by name"),
                }
            }
            _ => "any".to_owned(),
        }
    }

    /// A key that takes several forms, of which each is of another type.
    fn by_form(&mut self, path: &str, test: &str, schema: &'s Value) -> String {
        let other = self.type_of(path, &schema["else"]);
        let this = match test {
            "null" => return other,
            "array" => {
                let items = self.type_of(&format!("{path}[]"), &schema["then"]["items"]);
                return format!("{other}; or list of {items}");
            }
            _ => match schema["then"].get("enum") {
                Some(_) => self.type_of(path, &schema["then"]),
                None => "text".to_owned(),
            },
        };
        format!("{this}; or {other}")
    }

    /// A map with one key, which says what the rest is.
    fn choice(&mut self, path: &str, schema: &'s Value) -> String {
        let mut names = Vec::new();
        for (word, inner) in properties(schema) {
            let inner = self.type_of(&joined(path, word), inner);
            names.push(format!("`{word}:` {inner}"));
        }
        names.join("; or ")
    }

    fn resolved(&self, schema: &'s Value) -> &'s Value {
        let Some(reference) = schema.get("$ref").and_then(Value::as_str) else {
            return schema;
        };
        let pointer = reference.trim_start_matches('#');
        self.root.pointer(pointer).unwrap_or(schema)
    }
}

impl Section {
    fn write(&self, file: &File, samples: &[Value], page: &mut String) {
        let is_file = self.path.contains(' ') || self.path.ends_with(".yaml");
        if !is_file {
            let _ = writeln!(page, "### {}\n", self.path);
        }
        if !self.description.is_empty() {
            let _ = writeln!(page, "{}\n", self.description);
        }
        page.push_str(
            "| key | says | type | default | example | variables |\n|---|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let variables = row.stage.as_deref().and_then(variables_at);
            let cells = [
                code(&row.key),
                row.says.clone(),
                row.type_name.clone(),
                row.default.clone(),
                self.example(file, samples, &row.key)
                    .map(|example| code(&example))
                    .unwrap_or_default(),
                variables
                    .map(|roots| code(&roots.join(" ")))
                    .unwrap_or_default(),
            ];
            let cells = cells.map(|cell| cell.replace('\n', " ").replace('|', "\\|"));
            let _ = writeln!(page, "| {} |", cells.join(" | "));
        }
        page.push('\n');
    }
}

impl Section {
    /// What stands at a key in the first sample that has it, where that is short.
    fn example(&self, file: &File, samples: &[Value], key: &str) -> Option<String> {
        let is_inside = |path: &str, outer: &str| {
            let rest = path.strip_prefix(outer);
            rest.is_some_and(|rest| rest.starts_with('.') || rest.starts_with("[]"))
        };
        let mut paths = vec![self.path.clone()];
        paths.extend(self.aliases.iter().cloned());
        // What stands inside a map that stands in several places stands in each of them.
        for outer in file
            .sections
            .iter()
            .filter(|outer| is_inside(&self.path, &outer.path))
        {
            let rest = &self.path[outer.path.len()..];
            paths.extend(outer.aliases.iter().map(|alias| format!("{alias}{rest}")));
        }
        let mut found = paths.iter().flat_map(|path| {
            let path = joined(path, key);
            samples.iter().filter_map(move |sample| {
                let steps: Vec<_> = path.split('.').collect();
                find(sample, &steps).map(inline)
            })
        });
        found.find(|short| short.chars().count() <= 80)
    }
}

/// The first value at a path; `NAME` is any key, `[]` any item.
fn find<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    let Some((step, rest)) = path.split_first() else {
        return Some(value);
    };
    if *step == "NAME" {
        return value
            .as_object()?
            .values()
            .find_map(|inner| find(inner, rest));
    }
    match step.strip_suffix("[]") {
        Some(key) => value
            .get(key)?
            .as_array()?
            .iter()
            .find_map(|inner| find(inner, rest)),
        None => find(value.get(step)?, rest),
    }
}

fn joined(path: &str, key: &str) -> String {
    match path.contains(' ') || path == "relay.yaml" {
        true => key.to_owned(),
        false => format!("{path}.{key}"),
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let properties: Option<&Map<String, Value>> =
        schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != "$ref")
}

/// The required keys; a map that may be a `$ref` says them of the others.
fn required(schema: &Value) -> Vec<&str> {
    let list = schema
        .get("required")
        .or_else(|| schema.get("then")?.get("required"));
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn text_of(schema: &Value, key: &str) -> String {
    schema
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// What a description says, and the default in it.
fn without_default(description: &str) -> (String, String) {
    let Some((says, rest)) = description.split_once("Default: ") else {
        return (description.to_owned(), String::new());
    };
    let (default, after) = match rest.split_once(". ") {
        Some((default, after)) => (default, after),
        None => (rest.trim_end_matches('.'), ""),
    };
    (
        format!("{says}{after}").trim().to_owned(),
        default.to_owned(),
    )
}

/// A value on one line, as YAML takes it.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(inline).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(map) if map.is_empty() => "{}".to_owned(),
        Value::Object(map) => {
            let entries: Vec<_> = map
                .iter()
                .map(|(key, value)| format!("{key}: {}", inline(value)))
                .collect();
            format!("{{ {} }}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

fn code(text: &str) -> String {
    match text.contains('`') {
        true => format!("`` {text} ``"),
        false => format!("`{text}`"),
    }
}

/// A heading as a link names it.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    let kept: String = heading.to_lowercase().chars().filter(kept).collect();
    kept.replace(' ', "-")
}
