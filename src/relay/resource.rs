//! From a valid request to its target: the objects it names, the instance, the ids it will record.
//!
//! Order (DESIGN section 4, SEMANTICS 34): parents and object from the mapping table, the instance
//! from the object or by `select`; for a `per_backend` resource the choice comes first.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::route::Request;
use super::rows::with_rows;
use super::witness::{Purpose, Sought, Step};
use super::{Relay, RelayError};
use crate::backend::choose::Facts;
use crate::backend::why::{Choice, why};
use crate::backend::{AdmitError, ChooseError, choose};
use crate::plan::{
    BackendId, CmpIdSource, IdTemplate, ObjectRef, Parent, Plan, Prefer, ResourceId, Route, Verb,
    Violation, Way,
};
use crate::store::{Expect, Mapping, ObjectKey, Operation, StoreError};
use crate::transform::{RenderError, Root, Scope};

/// Bytes of a CMP id (SEMANTICS 21).
pub const CMP_ID_LIMIT: usize = 255;
/// Bytes of a backend id.
pub const BACKEND_ID_LIMIT: usize = 512;

/// What a request is about, settled before anything is rendered.
#[derive(Debug)]
pub struct Target {
    pub backend: BackendId,
    pub object: Option<Arc<Mapping>>,
    /// For each mapping change of the route: the CMP object it is about; `None`: its id is `optional` and
    /// absent, and the change is left out.
    pub keys: Vec<Option<ObjectKey>>,
    /// What the intent's transaction re-reads.
    pub expects: Vec<Expect>,
    /// The object whose claim the operation takes; an empty `cmp_id`: none.
    pub claim: Option<ObjectKey>,
}

/// Settles the target, and fills `object`, `parents`, `backend` and `mapping` in.
pub async fn resolve(
    relay: &Relay,
    request: &mut Request,
    previous: Option<&Operation>,
) -> Result<Target, RelayError> {
    let plan = &*request.snapshot.plan;
    let route = plan.route(request.route);
    let per_backend = plan.resource(route.resource).per_backend;

    let mut parents: Vec<Option<Arc<Mapping>>> = vec![None; route.parents.len()];
    for (slot, parent) in parents.iter_mut().zip(&route.parents) {
        if !plan.resource(parent.resource).per_backend {
            *slot = find(relay, plan, parent, "", &request.scope).await?;
        }
    }
    publish_parents(route, &parents, &mut request.scope);

    let mut object = None;
    if let (Some(wanted), false) = (&route.object, per_backend) {
        object = find(relay, plan, wanted, "", &request.scope).await?;
    }
    relay.reaches(Step::Chosen);
    let backend = match &object {
        Some(mapping) => {
            relay.note(|seen| seen.choice = Some(Choice::Object));
            backend_of(plan, mapping)?
        }
        None => choose_instance(relay, request, &parents).await?,
    };
    relay.reaches(Step::Resolved);
    let instance = plan.backend(backend);
    request.scope.share(Root::Backend, &instance.scope);
    request.way = route.way_to(backend).ok_or_else(|| {
        let kind = &plan.resource(route.resource).kind;
        RelayError::NoBackend(format!(
            "`{}` is not of kind `{kind}` any more",
            instance.name
        ))
    })?;
    relay.note(|seen| seen.way = request.way);
    let way = &route.ways[request.way];

    for (slot, parent) in parents.iter_mut().zip(&route.parents) {
        if plan.resource(parent.resource).per_backend {
            *slot = find(relay, plan, parent, &instance.name, &request.scope).await?;
        }
    }
    publish_parents(route, &parents, &mut request.scope);
    if let (Some(wanted), true) = (&route.object, per_backend) {
        object = find(relay, plan, wanted, &instance.name, &request.scope).await?;
    }
    if let Some(mapping) = &object {
        request.scope.set(Root::Object, mapping_value(mapping));
    }
    for mapping in parents.iter().flatten() {
        check_backend(plan, route, backend, mapping)?;
    }

    let object_id = object.as_ref().map(|mapping| mapping.key.cmp_id.as_str());
    let keys = change_keys(
        plan,
        way,
        &instance.name,
        object_id,
        previous,
        &request.scope,
    )?;
    if relay.is_witnessed() {
        note_created(relay, way, &keys).await?;
    }
    refuse_remembered(relay, way, &keys)?;
    let before = mapped_before(relay, plan, (route, way), backend, &keys).await?;
    let creates = |index: &usize| matches!(way.mapping[*index].verb, Verb::Create | Verb::Put);
    let about = (0..keys.len())
        .filter(creates)
        .find_map(|index| keys[index].as_ref())
        .or(object.as_ref().map(|mapping| &mapping.key));
    if let Some(key) = about {
        request
            .scope
            .insert(Root::Mapping, "cmp_id", key.cmp_id.as_str().into());
    }

    let target = Target {
        backend,
        expects: expectations(way, object.as_deref(), &parents, &keys, &before),
        claim: claim((route, way), object.as_deref(), &keys),
        object,
        keys,
    };
    Ok(target)
}

/// An object that a request names: its `object`, or one of its `parents`.
struct Named<'r> {
    alias: Option<&'r str>,
    resource: ResourceId,
    id: &'r IdTemplate,
}

impl Named<'_> {
    fn purpose(&self) -> Purpose {
        self.alias
            .map_or(Purpose::Object, |alias| Purpose::Parent(alias.to_owned()))
    }
}

impl<'r> From<&'r ObjectRef> for Named<'r> {
    fn from(object: &'r ObjectRef) -> Self {
        Self {
            alias: None,
            resource: object.resource,
            id: &object.id,
        }
    }
}

impl<'r> From<&'r Parent> for Named<'r> {
    fn from(parent: &'r Parent) -> Self {
        Self {
            alias: Some(&parent.alias),
            resource: parent.resource,
            id: &parent.id,
        }
    }
}

/// The mapping of an object that a request names; `None` only when the id is `optional` and absent.
async fn find(
    relay: &Relay,
    plan: &Plan,
    named: impl Into<Named<'_>>,
    scope_name: &str,
    scope: &Scope,
) -> Result<Option<Arc<Mapping>>, RelayError> {
    let named = named.into();
    let Some(cmp_id) = render_id(named.id, scope)? else {
        return Ok(None);
    };
    let resource = &plan.resource(named.resource).name;
    let key = ObjectKey {
        resource: resource.to_string(),
        cmp_id,
        scope: scope_name.to_owned(),
    };
    match mapped_or_in_doubt(relay, &key, || named.purpose()).await? {
        Some(mapping) if mapping.backend_id.is_none() => Err(RelayError::PendingObject {
            resource: key.resource,
            id: key.cmp_id,
        }),
        Some(mapping) => Ok(Some(mapping)),
        None => Err(RelayError::NotMapped {
            resource: key.resource,
            id: key.cmp_id,
        }),
    }
}

/// The mapping; an unsettled create of the object is `outcome_unknown`, never absence (SEMANTICS 3).
pub async fn mapped_or_in_doubt(
    relay: &Relay,
    key: &ObjectKey,
    purpose: impl Fn() -> Purpose,
) -> Result<Option<Arc<Mapping>>, RelayError> {
    let found = relay.journal().mapping(key).await?;
    if relay.is_witnessed() {
        relay.note_row(purpose(), Sought::Object(key.clone()), found.as_ref());
    }
    if found.is_some() {
        return Ok(found);
    }
    let holder = relay
        .journal()
        .store()
        .operation_by_claim(key.claim())
        .await?;
    match holder {
        Some(operation) if operation.effects.iter().any(|effect| creates(&effect.verb)) => {
            Err(RelayError::EarlierOutcomeUnknown(operation.id))
        }
        _ => Ok(None),
    }
}

fn creates(verb: &str) -> bool {
    verb.starts_with("create") || verb.starts_with("put")
}

/// Renders an id; several parts are joined injectively, each escaped so that no two lists are equal.
fn render_id(id: &IdTemplate, scope: &Scope) -> Result<Option<String>, RelayError> {
    let mut parts = Vec::with_capacity(id.parts.len());
    for part in &id.parts {
        match part.render(scope)? {
            Some(text) => parts.push(text),
            None => return Ok(None),
        }
    }
    let joined = match parts.len() {
        1 => parts.swap_remove(0),
        _ => parts
            .iter()
            .map(|part| part.replace('%', "%25").replace(':', "%3A"))
            .collect::<Vec<_>>()
            .join(":"),
    };
    check_id(&joined)?;
    Ok(Some(joined))
}

fn check_id(id: &str) -> Result<(), RelayError> {
    let why = if id.is_empty() {
        "is empty"
    } else if id.len() > CMP_ID_LIMIT {
        "is longer than 255 bytes"
    } else if id.chars().any(char::is_control) {
        "holds a control character"
    } else {
        return Ok(());
    };
    Err(RelayError::UnsafeValue(format!(
        "the id of a CMP object {why}"
    )))
}

fn backend_of(plan: &Plan, mapping: &Mapping) -> Result<BackendId, RelayError> {
    plan.backend_named(&mapping.backend).ok_or_else(|| {
        RelayError::NoBackend(format!(
            "{} `{}` is on backend `{}`, which is not configured",
            mapping.key.resource, mapping.key.cmp_id, mapping.backend
        ))
    })
}

/// Mappings of the route's own kind must be on the chosen instance.
pub fn check_backend(
    plan: &Plan,
    route: &Route,
    chosen: BackendId,
    mapping: &Mapping,
) -> Result<(), RelayError> {
    let chosen = plan.backend(chosen);
    let own_kind = *mapping.kind == *plan.resource(route.resource).kind;
    if !own_kind || *mapping.backend == *chosen.name {
        return Ok(());
    }
    Err(RelayError::WrongBackend {
        detail: format!(
            "{} `{}` is on backend `{}`, and this request goes to `{}`",
            mapping.key.resource, mapping.key.cmp_id, mapping.backend, chosen.name
        ),
    })
}

async fn choose_instance(
    relay: &Relay,
    request: &Request,
    parents: &[Option<Arc<Mapping>>],
) -> Result<BackendId, RelayError> {
    let snapshot = &request.snapshot;
    let plan = &*snapshot.plan;
    let select = &request.route().select;
    let parent = select
        .same_as
        .and_then(|index| parents[index].as_deref())
        .map(|mapping| backend_of(plan, mapping))
        .transpose()?;
    let objects = match select.prefer {
        Prefer::LeastObjects => {
            let counts = relay.journal().store().count_by_backend().await?;
            let count_of = |name: &str| {
                counts
                    .iter()
                    .find(|(known, _)| known == name)
                    .map_or(0, |(_, count)| *count)
            };
            plan.backends
                .iter()
                .map(|backend| count_of(&backend.name))
                .collect()
        }
        _ => Vec::new(),
    };
    let turn = snapshot.turns[usize::from(request.route.0)].fetch_add(1, Ordering::Relaxed);
    let facts = Facts {
        mutating: request.route().mutating,
        parent,
        objects: &objects,
        turn,
        preferred: snapshot.preferred,
    };
    if relay.is_witnessed() {
        let choice = why(plan, select, &request.scope, &facts)?;
        relay.note(|seen| seen.choice = Some(choice));
    }
    Ok(choose(plan, select, &request.scope, &facts)?)
}

fn publish_parents(route: &Route, parents: &[Option<Arc<Mapping>>], scope: &mut Scope) {
    let present: Map<String, Value> = route
        .parents
        .iter()
        .zip(parents)
        .filter_map(|(parent, mapping)| {
            let mapping = mapping.as_deref()?;
            Some((parent.alias.to_string(), mapping_value(mapping)))
        })
        .collect();
    if !route.parents.is_empty() {
        scope.set(Root::Parents, Value::Object(present));
    }
}

/// A mapping as templates see it.
fn mapping_value(mapping: &Mapping) -> Value {
    let mut value = Map::with_capacity(4);
    value.insert("cmp_id".into(), mapping.key.cmp_id.as_str().into());
    if let Some(backend_id) = &mapping.backend_id {
        value.insert("backend_id".into(), backend_id.as_str().into());
    }
    value.insert("backend".into(), mapping.backend.as_str().into());
    value.insert(
        "attributes".into(),
        Value::Object(mapping.attributes.clone()),
    );
    Value::Object(value)
}

fn change_keys(
    plan: &Plan,
    way: &Way,
    backend: &str,
    object_id: Option<&str>,
    previous: Option<&Operation>,
    scope: &Scope,
) -> Result<Vec<Option<ObjectKey>>, RelayError> {
    let mut keys: Vec<Option<ObjectKey>> = Vec::with_capacity(way.mapping.len());
    for change in &way.mapping {
        let resource = plan.resource(change.resource);
        let cmp_id = match &change.cmp_id {
            CmpIdSource::Object => Some(object_id.map(str::to_owned).ok_or_else(|| {
                RelayError::Internal("a mapping change without its object".into())
            })?),
            CmpIdSource::Given(id) => render_id(id, scope)?,
            CmpIdSource::RelayMade => {
                // An id that the relay made is fixed in the first intent (SEMANTICS 4), which holds no
                // change that is left out.
                let fixed = previous
                    .and_then(|row| row.effects.get(keys.iter().flatten().count()))
                    .filter(|effect| *effect.key.resource == *resource.name)
                    .map(|effect| effect.key.cmp_id.clone());
                Some(fixed.unwrap_or_else(|| Uuid::now_v7().to_string()))
            }
        };
        keys.push(cmp_id.map(|cmp_id| ObjectKey {
            resource: resource.name.to_string(),
            cmp_id,
            scope: if resource.per_backend {
                backend.to_owned()
            } else {
                String::new()
            },
        }));
    }
    Ok(keys)
}

/// A create of what is mapped already ends here, as a replay or as `already_mapped`, if it is in
/// memory. The table is asked by the intent's own transaction, and by [`refuse_mapped`].
fn refuse_remembered(
    relay: &Relay,
    way: &Way,
    keys: &[Option<ObjectKey>],
) -> Result<(), RelayError> {
    match created_keys(way, keys).find(|key| relay.journal().remembered(key).is_some()) {
        Some(key) => Err(already_mapped(key)),
        None => Ok(()),
    }
}

/// As the intent would, without one: where a create is refused for another reason, or was stale.
pub async fn refuse_mapped(
    relay: &Relay,
    way: &Way,
    keys: &[Option<ObjectKey>],
) -> Result<(), RelayError> {
    for key in created_keys(way, keys) {
        if relay.journal().mapping(key).await?.is_some() {
            return Err(already_mapped(key));
        }
    }
    Ok(())
}

/// What a create names: an id that the relay makes is mapped to nothing yet.
pub fn created_keys<'k>(
    way: &Way,
    keys: &'k [Option<ObjectKey>],
) -> impl Iterator<Item = &'k ObjectKey> {
    let changes = way.mapping.iter().zip(keys);
    changes
        .filter(|(change, _)| {
            change.verb == Verb::Create && matches!(change.cmp_id, CmpIdSource::Given(_))
        })
        .filter_map(|(_, key)| key.as_ref())
}

/// What a create asks only in the intent's own transaction, asked for a witness now.
async fn note_created(
    relay: &Relay,
    way: &Way,
    keys: &[Option<ObjectKey>],
) -> Result<(), RelayError> {
    relay.note(|seen| seen.keys = keys.to_vec());
    for key in created_keys(way, keys) {
        let found = relay.journal().mapping(key).await?;
        relay.note_row(Purpose::Create, Sought::Object(key.clone()), found.as_ref());
    }
    Ok(())
}

fn already_mapped(key: &ObjectKey) -> RelayError {
    RelayError::AlreadyMapped {
        resource: key.resource.clone(),
        cmp_id: key.cmp_id.clone(),
    }
}

/// For each change of the route: the row that a `put` replaces, which must be on the chosen instance.
async fn mapped_before(
    relay: &Relay,
    plan: &Plan,
    (route, way): (&Route, &Way),
    backend: BackendId,
    keys: &[Option<ObjectKey>],
) -> Result<Vec<Option<Arc<Mapping>>>, RelayError> {
    let mut rows = vec![None; keys.len()];
    for ((row, change), key) in rows.iter_mut().zip(&way.mapping).zip(keys) {
        if let (Verb::Put, Some(key)) = (change.verb, key) {
            *row = relay.journal().mapping(key).await?;
            if relay.is_witnessed() {
                relay.note_row(Purpose::Put, Sought::Object(key.clone()), row.as_ref());
            }
            if let Some(mapping) = row {
                check_backend(plan, route, backend, mapping)?;
            }
        }
    }
    Ok(rows)
}

/// `let`, in order.
pub async fn render_lets(
    relay: &Relay,
    request: &mut Request,
    backend: BackendId,
) -> Result<(), RelayError> {
    for (name, tree) in &request.snapshot.plan.route(request.route).lets {
        let value = with_rows(relay, request, backend, |scope| tree.to_value(scope)).await?;
        if let Some(value) = value {
            request.scope.insert(Root::Let, name, value);
        }
    }
    Ok(())
}

fn expectations(
    way: &Way,
    object: Option<&Mapping>,
    parents: &[Option<Arc<Mapping>>],
    keys: &[Option<ObjectKey>],
    before: &[Option<Arc<Mapping>>],
) -> Vec<Expect> {
    let mapped = object
        .into_iter()
        .chain(
            parents
                .iter()
                .chain(before)
                .flatten()
                .map(|mapping| &**mapping),
        )
        .map(|mapping| Expect::Mapped {
            key: mapping.key.clone(),
            backend: mapping.backend.clone(),
            backend_id: mapping.backend_id.clone(),
        });
    let unmapped = way
        .mapping
        .iter()
        .zip(keys)
        .zip(before)
        .filter(|((change, _), before)| {
            change.verb == Verb::Create || change.verb == Verb::Put && before.is_none()
        })
        .filter_map(|((_, key), _)| Some(Expect::Unmapped { key: key.clone()? }));
    mapped.chain(unmapped).collect()
}

/// The claim is on what the CMP names: its create before the object it acts on. An id that the relay
/// makes cannot be raced for. Of several, the object of the file's own resource is the one that is held.
fn claim(
    (route, way): (&Route, &Way),
    object: Option<&Mapping>,
    keys: &[Option<ObjectKey>],
) -> Option<ObjectKey> {
    let mut named = way.mapping.iter().zip(keys).filter_map(|(change, key)| {
        let names = matches!(change.verb, Verb::Create | Verb::Put)
            && matches!(change.cmp_id, CmpIdSource::Given(_));
        names.then_some((change, key.as_ref()?))
    });
    let first = named.clone().next();
    named
        .find(|(change, _)| change.resource == route.resource)
        .or(first)
        .map(|(_, key)| key.clone())
        .or_else(|| object.map(|mapping| mapping.key.clone()))
}

impl From<RenderError> for RelayError {
    fn from(error: RenderError) -> Self {
        let message = error.to_string();
        match error {
            RenderError::Missing { variable, .. } => match variable.split_once('.') {
                Some((place @ ("body" | "query" | "header" | "path"), rest)) => {
                    RelayError::SchemaViolation(vec![Violation {
                        pointer: format!("/{}", rest.replace('.', "/")),
                        detail: format!("{place}: {message}"),
                    }])
                }
                _ => RelayError::Internal(message),
            },
            RenderError::Unsafe { .. } => RelayError::UnsafeValue(message),
            RenderError::NotMapped { resource, id, .. } => RelayError::NotMapped { resource, id },
            RenderError::Pending { resource, id, .. } => RelayError::PendingObject { resource, id },
            RenderError::Lookups => RelayError::Internal(message),
        }
    }
}

impl From<AdmitError> for RelayError {
    fn from(error: AdmitError) -> Self {
        match error {
            AdmitError::Busy => RelayError::BackendBusy,
            AdmitError::BreakerOpen { retry_after } => RelayError::BreakerOpen { retry_after },
        }
    }
}

impl From<ChooseError> for RelayError {
    fn from(error: ChooseError) -> Self {
        match error {
            ChooseError::NoSuchBackend(name) => RelayError::NoSuchBackend(name),
            ChooseError::NoBackend(why) => RelayError::NoBackend(why),
            ChooseError::Render(error) => error.into(),
        }
    }
}

impl From<StoreError> for RelayError {
    fn from(error: StoreError) -> Self {
        RelayError::DatabaseUnavailable(error.to_string())
    }
}
