//! One region's objects, by kind and id, kept in a file where the demo is to remember them.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;
use uuid::Uuid;

use super::attributes::{CHAINING, Collection, Object, collection};
use super::error::NeutronError;
use super::kept::Kept;
use super::keystone::PROJECT;

/// The objects of one Neutron.
#[derive(Debug, Default)]
pub(super) struct Region {
    objects: Kept<BTreeMap<String, BTreeMap<String, Object>>>,
}

impl Region {
    /// Opens a region with what its file holds; a file that is not there is an empty region.
    pub(super) fn open(file: Option<PathBuf>) -> io::Result<Self> {
        Kept::open(file).map(|objects| Self { objects })
    }

    /// Writes the file, where there is one.
    pub(super) fn save(&self) -> io::Result<()> {
        self.objects.save()
    }

    /// Every object of a kind, by id.
    pub(super) fn all(&self, path: &str) -> impl Iterator<Item = &Object> {
        self.objects
            .get(path)
            .into_iter()
            .flat_map(|kind| kind.values())
    }

    /// The objects of a kind whose attribute has this value.
    pub(super) fn with<'r>(
        &'r self,
        path: &str,
        name: &'static str,
        value: &'r str,
    ) -> impl Iterator<Item = &'r Object> {
        self.all(path)
            .filter(move |object| object.get(name).is_some_and(|held| held == value))
    }

    /// The object, or Neutron's 404.
    pub(super) fn get(&self, path: &'static str, id: &str) -> Result<&Object, NeutronError> {
        let kind = collection(path).expect("the rules name collections that exist");
        self.find(path, id).ok_or_else(|| kind.missing(id))
    }

    pub(super) fn find(&self, path: &str, id: &str) -> Option<&Object> {
        self.objects.get(path)?.get(id)
    }

    /// Puts a new object in, with its id, times and project; gives the id.
    pub(super) fn insert(&mut self, path: &str, mut object: Object) -> String {
        let id = match object.get("id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => Uuid::new_v4().to_string(),
        };
        let now = now();
        let mut whole = Object::new();
        whole.insert("id".to_owned(), json!(id));
        whole.append(&mut object);
        for (name, value) in [
            ("project_id", json!(PROJECT)),
            ("tenant_id", json!(PROJECT)),
            ("tags", json!([])),
            ("created_at", json!(now)),
            ("updated_at", json!(now)),
            ("revision_number", json!(1)),
        ] {
            whole.entry(name).or_insert(value);
        }
        self.objects
            .entry(path.to_owned())
            .or_default()
            .insert(id.clone(), whole);
        id
    }

    /// Changes attributes of an object that is there.
    pub(super) fn change(&mut self, path: &str, id: &str, changes: Object) {
        let object = self.objects.get_mut(path).and_then(|kind| kind.get_mut(id));
        if let Some(object) = object {
            object.extend(changes);
            let revision = object["revision_number"].as_i64().unwrap_or(0) + 1;
            object.insert("revision_number".to_owned(), json!(revision));
            object.insert("updated_at".to_owned(), json!(now()));
        }
    }

    pub(super) fn remove(&mut self, path: &str, id: &str) {
        if let Some(kind) = self.objects.get_mut(path) {
            kind.remove(id);
        }
    }

    /// The object as an answer shows it: with what follows from other objects.
    pub(super) fn show(&self, kind: &Collection, object: &Object) -> Value {
        let mut shown = object.clone();
        let id = text(object, "id");
        match kind.path {
            "networks" => {
                let subnets: Vec<&Value> = self
                    .with("subnets", "network_id", id)
                    .map(|subnet| &subnet["id"])
                    .collect();
                shown.insert("subnets".to_owned(), json!(subnets));
            }
            "subnets" => {
                let external = self
                    .find("networks", text(object, "network_id"))
                    .map(|network| network["router:external"].clone());
                shown.insert("router:external".to_owned(), json!(external));
            }
            "security-groups" => {
                let rules: Vec<&Object> = self
                    .with("security-group-rules", "security_group_id", id)
                    .collect();
                shown.insert("security_group_rules".to_owned(), json!(rules));
            }
            "floatingips" => {
                let details = object["port_id"]
                    .as_str()
                    .and_then(|port| self.find("ports", port))
                    .map(|port| {
                        json!({ "name": port["name"], "network_id": port["network_id"],
                            "mac_address": port["mac_address"], "status": port["status"],
                            "admin_state_up": port["admin_state_up"],
                            "device_id": port["device_id"], "device_owner": port["device_owner"] })
                    });
                shown.insert("port_details".to_owned(), json!(details));
            }
            // The plugins of an extension keep no times, no tags and no revisions.
            _ if kind.path.starts_with(CHAINING) => {
                for name in ["created_at", "updated_at", "revision_number", "tags"] {
                    shown.shift_remove(name);
                }
            }
            _ => {}
        }
        Value::Object(shown)
    }
}

/// A text attribute; empty where there is none.
pub(super) fn text<'o>(object: &'o Object, name: &str) -> &'o str {
    object.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn now() -> String {
    OffsetDateTime::now_utc()
        .format(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second]Z"
        ))
        .expect("every component of the format exists in a UTC time")
}
