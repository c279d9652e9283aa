//! What a route records of an answer: `extract`, and the changes of the mapping table.

use std::sync::Arc;

use serde_json::{Map, Value};
use tracing::warn;

use super::answer::ReadAnswer;
use super::operation::Ready;
use super::resource::BACKEND_ID_LIMIT;
use super::route::Request;
use crate::clock;
use crate::plan::{BackendIdSource, Verb};
use crate::store::{Mapping, MappingChange};
use crate::transform::{ExtractError, Root};

pub fn deletions(ready: &Ready) -> Vec<MappingChange> {
    let way = ready.request.way();
    way.mapping
        .iter()
        .zip(&ready.prepared.target.keys)
        .filter(|(change, _)| change.verb == Verb::Delete)
        .filter_map(|(_, key)| Some(MappingChange::Delete { key: key.clone()? }))
        .collect()
}

/// Fills `extracted.*` in; the words say what was not there.
pub fn extract_values(request: &mut Request, read: &ReadAnswer) -> Result<(), String> {
    let way = &request.snapshot.plan.route(request.route).ways[request.way];
    for (name, source) in &way.extract {
        let value = source
            .extract(&read.view(&request.scope), &request.scope)
            .map_err(|error| format!("extract.{name}: {error}"))?;
        if let Some(value) = value {
            request.scope.insert(Root::Extracted, name, value);
        }
    }
    Ok(())
}

/// Everything the route records, taken from the answer; the words say what was not there.
pub fn changes(
    ready: &mut Ready,
    read: &ReadAnswer,
) -> Result<(Vec<MappingChange>, Option<String>), String> {
    let snapshot = ready.request.snapshot.clone();
    let plan = &snapshot.plan;
    let route = plan.route(ready.request.route);
    let way = &route.ways[ready.request.way];
    let words = |error: ExtractError| error.to_string();

    extract_values(&mut ready.request, read)?;
    let scope = &ready.request.scope;
    let view = read.view(scope);
    let backend = plan.backend(ready.prepared.target.backend);
    let now = clock::unix_micros();
    let mut first_id = None;
    let mut changes = Vec::with_capacity(way.mapping.len());
    for (change, key) in way.mapping.iter().zip(&ready.prepared.target.keys) {
        let Some(key) = key else { continue };
        if change
            .when
            .as_ref()
            .is_some_and(|condition| !condition.holds(&view))
        {
            continue;
        }
        let backend_id = match &change.backend_id {
            None => None,
            Some(BackendIdSource::Pending) => Some(None),
            Some(BackendIdSource::Extract(source)) => source
                .extract_id(&view, scope, BACKEND_ID_LIMIT)
                .map_err(words)?
                .map(Some),
        };
        let mut attributes = Map::new();
        for (name, source) in &change.attributes {
            match source.extract(&view, scope) {
                Ok(Some(value)) => drop(attributes.insert(name.to_string(), value)),
                Ok(None) => {}
                Err(error) => warn!(
                    operation = %ready.id,
                    route = %route.name,
                    attribute = %name,
                    %error,
                    "an attribute is not in the answer and stays absent"
                ),
            }
        }
        let row = |backend_id: Option<String>, attributes: Map<String, Value>| Mapping {
            key: key.clone(),
            backend: backend.name.to_string(),
            kind: backend.kind.to_string(),
            backend_id,
            attributes,
            created_operation: Some(ready.id),
            updated_operation: Some(ready.id),
            created_at: now,
            updated_at: now,
        };
        if first_id.is_none() {
            first_id = backend_id.clone().flatten();
        }
        changes.push(match change.verb {
            Verb::Create | Verb::Put => {
                let Some(backend_id) = backend_id else {
                    return Err(format!(
                        "the id of {} `{}` is absent",
                        key.resource, key.cmp_id
                    ));
                };
                let row = Arc::new(row(backend_id, attributes));
                match change.verb {
                    Verb::Put => MappingChange::Put(row),
                    _ => MappingChange::Create(row),
                }
            }
            Verb::Update => MappingChange::Update {
                key: key.clone(),
                backend_id,
                attributes,
            },
            Verb::Delete => MappingChange::Delete { key: key.clone() },
        });
    }
    Ok((changes, first_id))
}
