//! Lists: filters, chosen fields, order and pages, as the Networking API documents them.

use axum::extract::Query;
use axum::http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::attributes::{CHAINING, Collection, Object};
use super::error::NeutronError;
use super::region::{Region, text};

/// What a list's query asks for.
#[derive(Debug, Default)]
struct Wanted {
    filters: Vec<(String, Vec<String>)>,
    fields: Vec<String>,
    sort_keys: Vec<String>,
    sort_dirs: Vec<String>,
    limit: Option<usize>,
    marker: Option<String>,
    backwards: bool,
}

/// The answer to `GET /v2.0/<collection>`.
pub(super) fn list(
    region: &Region,
    kind: &'static Collection,
    url: &str,
    uri: &Uri,
) -> Result<Value, NeutronError> {
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|_| NeutronError::bad("The query cannot be read"))?
        .0;
    let wanted = read(kind, &pairs)?;

    let mut objects: Vec<&Object> = region
        .all(kind.path)
        .filter(|object| wanted.filters.iter().all(|filter| passes(object, filter)))
        .collect();
    sort(&mut objects, &wanted);
    if wanted.backwards {
        objects.reverse();
    }
    let limit = wanted.limit.unwrap_or(0);
    // Without a limit there are no pages, and a marker says nothing.
    let marker = wanted.marker.as_ref().filter(|_| limit > 0);
    if let Some(marker) = marker {
        let at = objects
            .iter()
            .position(|object| text(object, "id") == marker);
        let begin = match (at, region.find(kind.path, marker)) {
            (Some(at), _) => at + 1,
            (None, Some(_)) => 0,
            // An id that is not there: each of Neutron's plugins has a way of its own.
            (None, None) => match kind.path {
                "networks" | "ports" | "routers" => return Err(kind.missing(marker)),
                "subnets" | "security-groups" => 0,
                _ => objects.len(),
            },
        };
        objects.drain(..begin);
    }
    let full = limit > 0 && objects.len() >= limit;
    if limit > 0 {
        objects.truncate(limit);
    }
    if wanted.backwards {
        objects.reverse();
    }

    let shown: Vec<Value> = objects
        .iter()
        .map(|object| choose(region.show(kind, object), &wanted.fields))
        .collect();
    let mut answer = json!({ kind.members: shown });
    let links = links(kind, url, &pairs, &objects, limit, full);
    if !links.is_empty() {
        answer[format!("{}_links", kind.members)] = Value::Array(links);
    }
    Ok(answer)
}

fn read(kind: &Collection, pairs: &[(String, String)]) -> Result<Wanted, NeutronError> {
    let mut wanted = Wanted::default();
    for (name, value) in pairs {
        match name.as_str() {
            "fields" => wanted.fields.push(value.clone()),
            "sort_key" => wanted.sort_keys.push(value.clone()),
            "sort_dir" => wanted.sort_dirs.push(value.clone()),
            "marker" => wanted.marker = Some(value.clone()),
            "page_reverse" => wanted.backwards = value.eq_ignore_ascii_case("true"),
            "limit" => {
                wanted.limit = Some(value.parse().map_err(|_| {
                    let why = format!(
                        "Bad limit request: Limit must be an integer 0 or greater and not '{value}'."
                    );
                    NeutronError::new(StatusCode::BAD_REQUEST, "BadRequest", why)
                })?);
            }
            // The plugins of an extension do not mind what they do not know.
            other if !kind.has(other) && kind.path.starts_with(CHAINING) => {}
            other if !kind.has(other) => {
                return Err(NeutronError::bad(format!(
                    "['{other}'] is invalid attribute for filtering"
                )));
            }
            _ => match wanted.filters.iter_mut().find(|(known, _)| known == name) {
                Some((_, values)) => values.push(value.clone()),
                None => wanted.filters.push((name.clone(), vec![value.clone()])),
            },
        }
    }
    if wanted.sort_keys.len() != wanted.sort_dirs.len() {
        return Err(NeutronError::bad(
            "The number of sort_keys and sort_dirs must be same",
        ));
    }
    Ok(wanted)
}

/// Whether the attribute is one of the values.
fn passes(object: &Object, (name, values): &(String, Vec<String>)) -> bool {
    let held = object.get(name).unwrap_or(&Value::Null);
    values.iter().any(|value| match held {
        Value::String(text) => text == value,
        Value::Bool(held) => *held == (value.eq_ignore_ascii_case("true") || value.as_str() == "1"),
        Value::Number(number) => number.to_string() == *value,
        // `fixed_ips=ip_address=10.0.0.5`
        Value::Array(items) => value
            .split_once('=')
            .is_some_and(|(key, wanted)| items.iter().any(|item| item[key] == wanted)),
        Value::Null => value.is_empty(),
        Value::Object(_) => false,
    })
}

/// By id, and before it by whatever the query names.
fn sort(objects: &mut [&Object], wanted: &Wanted) {
    let by = wanted.sort_keys.iter().zip(&wanted.sort_dirs);
    for (key, direction) in by.rev() {
        objects.sort_by(|a, b| {
            let order = shown(a, key).cmp(&shown(b, key));
            if direction == "desc" {
                order.reverse()
            } else {
                order
            }
        });
    }
}

fn shown(object: &Object, key: &str) -> String {
    match object.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    }
}

fn choose(object: Value, fields: &[String]) -> Value {
    match object {
        Value::Object(mut object) if !fields.is_empty() => {
            object.retain(|name, _| fields.contains(name));
            Value::Object(object)
        }
        whole => whole,
    }
}

/// `next` where the page is full, `previous` wherever there are pages.
fn links(
    kind: &Collection,
    url: &str,
    pairs: &[(String, String)],
    page: &[&Object],
    limit: usize,
    full: bool,
) -> Vec<Value> {
    let (Some(first), Some(last)) = (page.first(), page.last()) else {
        return Vec::new();
    };
    if limit == 0 {
        return Vec::new();
    }
    let kept: Vec<String> = pairs
        .iter()
        .filter(|(name, _)| name != "marker" && name != "page_reverse")
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let base = format!("{url}/v2.0/{}?{}", kind.path, kept.join("&"));
    let next = full
        .then(|| json!({ "rel": "next", "href": format!("{base}&marker={}", text(last, "id")) }));
    let previous = json!({ "rel": "previous",
        "href": format!("{base}&marker={}&page_reverse=True", text(first, "id")) });
    next.into_iter().chain([previous]).collect()
}
