//! A Neutron over HTTP: the token first, then `/v2.0/<collection>[/<id>[/<action>]]`.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::attributes::{CHAINING, Collection, collection};
use super::error::NeutronError;
use super::keystone::Tokens;
use super::openstack::Counters;
use super::region::Region;
use super::{list, routing, rules};

struct Neutron {
    region: Mutex<Region>,
    url: String,
    tokens: Arc<Tokens>,
    counters: Arc<Counters>,
}

pub(super) fn router(
    region: Region,
    url: String,
    tokens: Arc<Tokens>,
    counters: Arc<Counters>,
) -> Router {
    Router::new().fallback(handle).with_state(Arc::new(Neutron {
        region: Mutex::new(region),
        url,
        tokens,
        counters,
    }))
}

async fn handle(
    State(neutron): State<Arc<Neutron>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if uri.path() == "/" {
        return axum::Json(json!({ "versions": [{ "id": "v2.0", "status": "CURRENT",
            "links": [{ "rel": "self", "href": format!("{}/v2.0/", neutron.url) }] }] }))
        .into_response();
    }
    Counters::count(&neutron.counters.calls);
    if !neutron.tokens.accepts(&headers) {
        return neutron.tokens.unauthorized(&neutron.counters);
    }
    let mut region = neutron
        .region
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let answer = answer(&mut region, &neutron.url, &method, &uri, &body).and_then(|answer| {
        if method != Method::GET {
            region.save().map_err(|error| {
                let why = format!("the simulated region cannot keep its objects: {error}");
                NeutronError::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "HTTPInternalServerError",
                    why,
                )
            })?;
        }
        Ok(answer)
    });
    let mut response = match answer {
        Ok((StatusCode::NO_CONTENT, _)) => StatusCode::NO_CONTENT.into_response(),
        Ok((status, body)) => (status, axum::Json(body)).into_response(),
        Err(error) => (error.status, axum::Json(error.body())).into_response(),
    };
    let id = format!("req-{}", Uuid::new_v4());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response
            .headers_mut()
            .insert("x-openstack-request-id", value);
    }
    response
}

fn answer(
    region: &mut Region,
    url: &str,
    method: &Method,
    uri: &Uri,
    body: &[u8],
) -> Result<(StatusCode, Value), NeutronError> {
    let no_resource = || NeutronError::missing("HTTPNotFound", "The resource could not be found.");
    let path = uri.path().strip_prefix("/v2.0/").ok_or_else(no_resource)?;
    // The collections of an extension have its prefix: `sfc/port_chains`.
    let prefix = path.strip_prefix(CHAINING).map_or(0, |_| CHAINING.len());
    let name = path[prefix..]
        .find('/')
        .map_or(path.len(), |end| prefix + end);
    let kind = collection(&path[..name]).ok_or_else(no_resource)?;
    let mut parts = path[name..].split('/').skip(1);
    let (id, action) = (parts.next(), parts.next());
    if let Some(action) = action {
        let (Some(id), "routers", &Method::PUT) = (id, kind.path, method) else {
            return Err(no_resource());
        };
        let body = parse(body)?;
        let done = match action {
            "add_router_interface" => routing::add_interface(region, id, &body),
            "remove_router_interface" => routing::remove_interface(region, id, &body),
            _ => Err(no_resource()),
        };
        return done.map(|body| (StatusCode::OK, body));
    }
    match (method, id) {
        (&Method::GET, None) => Ok((StatusCode::OK, list::list(region, kind, url, uri)?)),
        (&Method::POST, None) => {
            let object = kind.of_create(&parse(body)?)?;
            let id = rules::create(region, kind, object)?;
            one(region, kind, &id).map(|body| (StatusCode::CREATED, body))
        }
        (&Method::GET, Some(id)) => one(region, kind, id).map(|body| (StatusCode::OK, body)),
        (&Method::PUT, Some(id)) => {
            let changes = kind.of_update(&parse(body)?)?;
            region.get(kind.path, id)?;
            rules::update(region, kind, id, changes)?;
            one(region, kind, id).map(|body| (StatusCode::OK, body))
        }
        (&Method::DELETE, Some(id)) => {
            region.get(kind.path, id)?;
            rules::delete(region, kind, id)?;
            Ok((StatusCode::NO_CONTENT, Value::Null))
        }
        _ => Err(NeutronError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "HTTPMethodNotAllowed",
            "The server could not comply with the request since it is either malformed or otherwise incorrect.",
        )),
    }
}

fn one(region: &Region, kind: &'static Collection, id: &str) -> Result<Value, NeutronError> {
    let object = region.get(kind.path, id)?;
    Ok(json!({ kind.member(): region.show(kind, object) }))
}

fn parse(body: &[u8]) -> Result<Value, NeutronError> {
    serde_json::from_slice(body).map_err(|_| NeutronError::bad("Body contains invalid data"))
}
