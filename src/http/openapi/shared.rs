//! What several replies have in common gets a name: an object that a create, a read and a list all give
//! is one schema of the document, called after its resource.

use std::collections::BTreeMap;

use serde_json::Value;

use super::operation::Operation;
use super::schema::{Components, reference};
use crate::plan::Plan;

/// An object's schema as text, and the name that it gets; equal text is the same schema.
type Names = BTreeMap<String, String>;

/// Names the objects that more than one reply has, and refers to them there.
pub fn name_what_recurs(plan: &Plan, operations: &mut [Operation], components: &mut Components) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for operation in operations.iter() {
        if let Some(reply) = &operation.reply {
            count(reply, &mut counts);
        }
    }
    let mut names = Names::new();
    for (route, operation) in plan.routes.iter().zip(operations) {
        let Some(reply) = &mut operation.reply else {
            continue;
        };
        let resource = &*plan.resource(route.resource).name;
        replace(reply, resource, &counts, &mut names, components);
    }
}

/// An object of several members is worth a name; one of a single member is its wrapping.
fn is_object(schema: &Value) -> bool {
    let members = schema["properties"]
        .as_object()
        .map_or(0, |members| members.len());
    schema["type"] == "object" && members > 1
}

fn count(schema: &Value, counts: &mut BTreeMap<String, usize>) {
    if is_object(schema) {
        *counts.entry(schema.to_string()).or_default() += 1;
    }
    match schema {
        Value::Object(map) => map.values().for_each(|value| count(value, counts)),
        Value::Array(items) => items.iter().for_each(|item| count(item, counts)),
        _ => {}
    }
}

fn replace(
    schema: &mut Value,
    resource: &str,
    counts: &BTreeMap<String, usize>,
    names: &mut Names,
    components: &mut Components,
) {
    let recurs = is_object(schema).then(|| schema.to_string());
    let recurs = recurs.filter(|text| counts.get(text).is_some_and(|times| *times > 1));
    let named = recurs.as_ref().and_then(|text| names.get(text)).cloned();
    if let Some(name) = named {
        *schema = reference(&name);
        return;
    }
    match schema {
        Value::Object(map) => map
            .values_mut()
            .for_each(|value| replace(value, resource, counts, names, components)),
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| replace(item, resource, counts, names, components)),
        _ => {}
    }
    if let Some(text) = recurs {
        let name = free_name(resource, components);
        *schema = components.put(&name, schema.take());
        names.insert(text, name);
    }
}

/// The resource's name, or with a number where it is taken.
fn free_name(resource: &str, components: &Components) -> String {
    let numbered = (2..).map(|number| format!("{resource}_{number}"));
    std::iter::once(resource.to_owned())
        .chain(numbered)
        .find(|name| !components.has(name))
        .expect("numbers do not end")
}
