//! What a running relay serves, as its admin API tells it.

use anyhow::{Context, Result};
use serde_json::Value;

use super::Line;
use crate::cli::api::Api;
use crate::plan::Digests;
use crate::relay::orphans::{BackendFooting, Footing, Orphans, ResourceFooting, Risk, join};
use crate::store::ObjectCount;

/// The other side of the comparison.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// Of the whole configuration.
    pub digest: String,
    pub digests: Digests,
    pub footing: Footing,
    pub routes: Vec<Line>,
    pub backends: Vec<Line>,
}

/// First ids that are told.
const FIRST: usize = 5;

impl Live {
    pub(super) async fn ask(api: &Api) -> Result<Self> {
        let status = api.get(&["status"], &[]).await?;
        let mut live = Self {
            digest: text(&status["plan"]),
            ..Self::default()
        };
        let routes = api.get(&["routes"], &[]).await?;
        for item in items(&routes) {
            live.add_route(item);
        }
        let backends = api.get(&["backends"], &[]).await?;
        for item in items(&backends) {
            live.add_backend(item);
        }
        Ok(live)
    }

    fn add_route(&mut self, item: &Value) {
        let (name, resource) = (text(&item["name"]), text(&item["resource"]));
        let digest = text(&item["digest"]);
        self.digests
            .routes
            .insert(name.as_str().into(), digest.into());
        self.routes.push(Line {
            name,
            what: format!("{} {}", text(&item["method"]), text(&item["path"])),
        });
        let footing = |kind| ResourceFooting {
            kind,
            per_backend: item["per_backend"] == true,
            reached: false,
        };
        let resources = &mut self.footing.resources;
        let known = resources.entry(resource);
        // The object of another resource's route may have come first, with less to tell.
        let known = known.or_insert_with(|| footing(String::new()));
        *known = ResourceFooting {
            reached: known.reached,
            ..footing(text(&item["kind"]))
        };
        if let Some(object) = item["object"].as_str() {
            let object = resources.entry(object.to_owned());
            object.or_insert_with(|| footing(String::new())).reached = true;
        }
    }

    fn add_backend(&mut self, item: &Value) {
        let (name, address) = (text(&item["name"]), text(&item["address"]));
        let digest = text(&item["digest"]);
        self.digests
            .backends
            .insert(name.as_str().into(), digest.into());
        let footing = BackendFooting {
            kind: text(&item["kind"]),
            address: address.clone(),
        };
        self.footing.backends.insert(name.clone(), footing);
        self.backends.push(Line {
            name,
            what: address,
        });
    }

    /// What depends on the risks.
    pub(super) async fn orphans(&self, api: &Api, risks: &[Risk]) -> Result<Vec<Orphans>> {
        let mut found = Vec::new();
        if risks.is_empty() {
            return Ok(found);
        }
        let counts = api.get(&["counts"], &[]).await?;
        let mappings = counted(&counts["mappings"])?;
        let unsettled = counted(&counts["unsettled"])?;
        for risk in risks {
            for mut orphans in join(risk, &mappings, &unsettled) {
                orphans.first = first(api, &orphans).await?;
                found.push(orphans);
            }
        }
        Ok(found)
    }
}

async fn first(api: &Api, orphans: &Orphans) -> Result<Vec<String>> {
    let query = |more: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
        let named = [
            ("resource", &*orphans.resource),
            ("backend", &*orphans.backend),
        ];
        let all = named.iter().chain(more);
        all.map(|(name, value)| (*name, (*value).to_owned()))
            .chain([("limit", FIRST.to_string())])
            .collect()
    };
    let ids = |page: &Value, key: &str| -> Vec<String> {
        items(page).map(|item| text(&item[key])).collect()
    };
    if orphans.mappings > 0 {
        let page = api.get(&["mappings"], &query(&[])).await?;
        return Ok(ids(&page, "cmp_id"));
    }
    let mut found = Vec::new();
    for state in ["unknown", "pending"] {
        let page = api
            .get(&["operations"], &query(&[("state", state)]))
            .await?;
        found.extend(items(&page).map(|item| text(&item["object"]["cmp_id"])));
    }
    found.truncate(FIRST);
    Ok(found)
}

fn counted(list: &Value) -> Result<Vec<ObjectCount>> {
    let rows = list
        .as_array()
        .context("the relay counts no mappings; is it of this version?")?;
    let rows = rows.iter().map(|row| ObjectCount {
        resource: text(&row["resource"]),
        backend: text(&row["backend"]),
        count: row["count"].as_u64().unwrap_or_default(),
    });
    Ok(rows.collect())
}

fn items(page: &Value) -> impl Iterator<Item = &Value> {
    page["items"].as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
