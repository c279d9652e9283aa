//! The rows of the mapping table that a template asks for while it is rendered (`backend_id`, `cmp_id`,
//! `mapped`): all of one rendering at once, then the rendering again.

use super::resource::{check_backend, mapped_or_in_doubt};
use super::route::Request;
use super::witness::{Purpose, Sought};
use super::{Relay, RelayError};
use crate::plan::{BackendId, Plan};
use crate::store::ObjectKey;
use crate::transform::{Lookup, LookupRow, RenderError, Scope};

/// Renders with the rows of the mapping table that the rendering asks for.
pub async fn with_rows<T>(
    relay: &Relay,
    request: &Request,
    backend: BackendId,
    render: impl Fn(&Scope) -> Result<T, RenderError>,
) -> Result<T, RelayError> {
    // A row can ask for another one only through a nested helper; a bound keeps a mistake finite.
    const ROUNDS: usize = 8;
    for _ in 0..ROUNDS {
        match render(&request.scope) {
            Err(RenderError::Lookups) => Box::pin(supply_rows(relay, request, backend)).await?,
            Err(error) => return Err(error.into()),
            Ok(rendered) => return Ok(rendered),
        }
    }
    Err(RelayError::Internal(
        "a template asks for more rows of the mapping table at each rendering".into(),
    ))
}

async fn supply_rows(
    relay: &Relay,
    request: &Request,
    backend: BackendId,
) -> Result<(), RelayError> {
    let plan = &*request.snapshot.plan;
    let route = request.route();
    let instance = plan.backend(backend);
    let mut by_backend_id: Vec<(Box<str>, Vec<String>)> = Vec::new();
    for question in request.scope.take_wanted() {
        match question {
            Lookup::BackendId { resource, cmp_id } => {
                let scope = scope_of(plan, &resource, &instance.name);
                let key = ObjectKey {
                    resource: resource.to_string(),
                    cmp_id: cmp_id.clone(),
                    scope: scope.to_owned(),
                };
                let row = match mapped_or_in_doubt(relay, &key, || Purpose::Helper).await? {
                    None => LookupRow::Unmapped,
                    Some(mapping) => {
                        check_backend(plan, route, backend, &mapping)?;
                        mapping
                            .backend_id
                            .clone()
                            .map_or(LookupRow::Pending, LookupRow::Id)
                    }
                };
                let question = Lookup::BackendId { resource, cmp_id };
                request.scope.supply([(question, row)]);
            }
            Lookup::CmpId {
                resource,
                backend_id,
            } => {
                match by_backend_id
                    .iter_mut()
                    .find(|(known, _)| *known == resource)
                {
                    Some((_, ids)) => ids.push(backend_id),
                    None => by_backend_id.push((resource, vec![backend_id])),
                }
            }
        }
    }
    for (resource, ids) in by_backend_id {
        let journal = relay.journal();
        let rows = journal
            .mappings_by_backend_id(&resource, &instance.name, &ids)
            .await?;
        if relay.is_witnessed() {
            for (backend_id, row) in ids.iter().zip(&rows) {
                let sought = Sought::BackendId {
                    resource: resource.to_string(),
                    backend: instance.name.to_string(),
                    backend_id: backend_id.clone(),
                };
                relay.note_row(Purpose::Helper, sought, row.as_ref());
            }
        }
        request
            .scope
            .supply(ids.into_iter().zip(rows).map(|(backend_id, row)| {
                let answer = row.map_or(LookupRow::Unmapped, |row| {
                    LookupRow::Id(row.key.cmp_id.clone())
                });
                let resource = resource.clone();
                (
                    Lookup::CmpId {
                        resource,
                        backend_id,
                    },
                    answer,
                )
            }));
    }
    Ok(())
}

fn scope_of<'a>(plan: &Plan, resource: &str, backend: &'a str) -> &'a str {
    let per_backend = plan
        .resource_named(resource)
        .is_some_and(|id| plan.resource(id).per_backend);
    if per_backend { backend } else { "" }
}
