//! docs/cmp-api.md: the CMP API as a person reads it. Its tables are written from the document of the shipped
//! configuration; what stands above them is written by hand, and held to the document where it names things.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use cmp_relay::config::{Env, load_from_memory};
use cmp_relay::demo::packs;
use cmp_relay::http::openapi;
use serde_json::Value;

const PAGE: &str = "docs/cmp-api.md";
const MARK: &str =
    "<!-- The rest is written by `just reference` from the shipped configuration. -->\n";

/// A problem's status and code.
type Refusal = (String, String);

/// One request that can be made.
struct Operation<'d> {
    method: &'d str,
    path: &'d str,
    tag: &'d str,
    value: &'d Value,
    refusals: BTreeSet<Refusal>,
}

impl Operation<'_> {
    /// What requests of this sort have in common is said once.
    fn sort(&self) -> &'static str {
        match (self.method, self.path.ends_with('}')) {
            ("post", _) => "`POST`",
            ("get", false) => "`GET` of many",
            ("get", true) => "`GET` of one",
            ("delete", _) => "`DELETE`",
            _ => "`PUT`, `PATCH`",
        }
    }
}

fn document() -> Value {
    let env = Env::new(packs::secrets().map(|name| (name.to_owned(), "x".to_owned())));
    let files: Vec<_> = packs::files().collect();
    let plan = load_from_memory(&files, &env).plan;
    openapi::document(&plan.expect("the shipped packs compile"))
}

/// The value, or what it refers to.
fn resolved<'d>(document: &'d Value, value: &'d Value) -> &'d Value {
    match value["$ref"].as_str() {
        Some(target) => {
            let found = document.pointer(target.trim_start_matches('#'));
            resolved(document, found.expect("a reference leads somewhere"))
        }
        None => value,
    }
}

fn refusals(document: &Value, operation: &Value) -> BTreeSet<Refusal> {
    let mut found = BTreeSet::new();
    for (status, response) in operation["responses"].as_object().unwrap() {
        let content = &resolved(document, response)["content"]["application/problem+json"];
        let code = &resolved(document, &content["schema"])["properties"]["code"];
        let codes = code["enum"].as_array().cloned().unwrap_or_default();
        for code in codes.iter().chain(&code.get("const").cloned()) {
            found.insert((status.clone(), code.as_str().unwrap().to_owned()));
        }
    }
    found
}

fn operations(document: &Value) -> Vec<Operation<'_>> {
    let paths = document["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, methods)| {
        let methods = methods.as_object().unwrap().iter();
        methods.map(move |(method, value)| Operation {
            method,
            path,
            tag: value["tags"][0].as_str().unwrap(),
            value,
            refusals: refusals(document, value),
        })
    });
    all.collect()
}

/// `409 a, b; 422 c`
fn listed<'r>(refusals: impl IntoIterator<Item = &'r Refusal>) -> String {
    let mut by_status: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (status, code) in refusals {
        by_status
            .entry(status)
            .or_default()
            .push(format!("`{code}`"));
    }
    let words = by_status
        .into_iter()
        .map(|(status, codes)| format!("{status} {}", codes.join(", ")));
    words.collect::<Vec<_>>().join("; ")
}

fn named(name: &str, required: bool) -> String {
    if required {
        format!("**`{name}`**")
    } else {
        format!("`{name}`")
    }
}

/// The members of the body and the parameters of the query.
fn taken(document: &Value, operation: &Value) -> String {
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let query: Vec<String> = parameters
        .map(|parameter| resolved(document, parameter))
        .filter(|parameter| parameter["in"] == "query")
        .map(|parameter| {
            named(
                parameter["name"].as_str().unwrap(),
                parameter["required"] == true,
            )
        })
        .collect();
    let media = &operation["requestBody"]["content"]["application/json"];
    let schema = resolved(document, &media["schema"]);
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let members: Vec<String> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| named(name, required.contains(&Value::from(name.as_str()))))
        .collect();
    let mut words = Vec::new();
    if !query.is_empty() {
        words.push(format!("query {}", query.join(", ")));
    }
    if !members.is_empty() {
        words.push(members.join(", "));
    }
    words.join("; ")
}

fn tables(document: &Value) -> String {
    let operations = operations(document);
    let mut common: BTreeMap<&str, BTreeSet<Refusal>> = BTreeMap::new();
    for operation in operations
        .iter()
        .filter(|operation| operation.tag != "relay")
    {
        common
            .entry(operation.sort())
            .and_modify(|held| held.retain(|refusal| operation.refusals.contains(refusal)))
            .or_insert_with(|| operation.refusals.clone());
    }
    let mut page =
        "\n## What every request can meet\n\n| request | refusals |\n|---|---|\n".to_owned();
    for (sort, refusals) in &common {
        let _ = writeln!(page, "| {sort} | {} |", listed(refusals));
    }
    for tag in document["tags"].as_array().unwrap() {
        let name = tag["name"].as_str().unwrap();
        let words = tag["description"].as_str().unwrap();
        let _ = write!(
            page,
            "\n## `{name}`\n\n{words}.\n\n| request | does | takes | answers | refusals |\n|---|---|---|---|---|\n"
        );
        for operation in operations.iter().filter(|operation| operation.tag == name) {
            let responses = operation.value["responses"].as_object().unwrap();
            let answers = responses
                .keys()
                .filter(|status| status.starts_with(['2', '3']));
            let answers: Vec<&str> = answers.map(String::as_str).collect();
            let known = common.get(operation.sort());
            let further = operation.refusals.iter();
            let further =
                further.filter(|refusal| known.is_none_or(|known| !known.contains(refusal)));
            let _ = writeln!(
                page,
                "| `{} {}` | {} | {} | {} | {} |",
                operation.method.to_uppercase(),
                operation.path,
                operation.value["summary"].as_str().unwrap(),
                taken(document, operation.value),
                answers.join(", "),
                listed(further),
            );
        }
    }
    page
}

#[test]
fn the_page_is_what_the_shipped_configuration_serves() {
    let committed = fs::read_to_string(PAGE).unwrap();
    let (by_hand, _) = committed.split_once(MARK).expect("the mark is there");
    let current = format!("{by_hand}{MARK}{}", tables(&document()));
    if crate::support::told("UPDATE_EXPECTED").is_some() {
        fs::write(PAGE, &current).unwrap();
    }
    let committed = fs::read_to_string(PAGE).unwrap();
    assert!(
        committed == current,
        "{PAGE} is stale: `just reference` writes it"
    );
}

#[test]
fn the_headers_of_the_page_are_those_of_the_answers() {
    let document = document();
    let real: BTreeSet<String> = document["components"]["headers"]
        .as_object()
        .unwrap()
        .keys()
        .filter(|name| !name.ends_with(".optional"))
        .cloned()
        .collect();
    let page = fs::read_to_string(PAGE).unwrap();
    let (_, table) = page
        .split_once("| header | of | says |\n|---|---|---|\n")
        .unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let named: BTreeSet<String> = rows
        .map(|row| row.split('`').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(named, real);
}
