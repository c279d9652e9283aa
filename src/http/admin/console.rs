//! `/console`: the operator's page. It only reads: status, backends, and the operations that wait
//! for a person.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::Response;
use serde_json::Value;

use super::{Admin, Problem, respond, views};
use crate::clock::rfc3339;
use crate::http::docs::{escape, html};
use crate::http::layers;
use crate::store::{OperationFilter, State as OperationState};

/// The page as it is now; a reload of the page shows it anew.
pub(super) async fn page(State(admin): State<Admin>) -> Result<Response, Problem> {
    let status = views::status_of(&admin).await?;
    let backends = views::backends_of(&admin).await?;
    let filter = OperationFilter {
        state: Some(OperationState::Unknown),
        limit: 200,
        ..OperationFilter::default()
    };
    let store = admin.relay.journal().store();
    let unknown = store.list_operations(&filter).await?;

    let mut body = String::from("<h1>cmp-relay</h1><table>");
    let plain_ones = status.as_object().into_iter().flatten();
    for (name, value) in plain_ones.filter(|(name, _)| *name != "last_reload") {
        let _ = write!(
            body,
            "<tr><th>{}<td><code>{}</code>",
            escape(name),
            plain(value)
        );
    }
    body.push_str("</table>");
    body.push_str(&last_reload(&admin));
    body.push_str(
        "<h2>Backends</h2><table><tr><th>Name<th>Kind<th>Address<th>State<th>Breaker<th>Objects",
    );
    for backend in &backends {
        body.push_str("<tr>");
        for key in ["name", "kind", "address", "state", "breaker", "objects"] {
            let _ = write!(body, "<td>{}", plain(&backend[key]));
        }
    }
    let _ = write!(
        body,
        "</table><h2>Unknown operations: {}</h2>",
        unknown.len()
    );
    if unknown.is_empty() {
        body.push_str("<p>None waits for a person.</p>");
    } else {
        body.push_str(
            "<p>Look at the backend, then: <code>cmp-relay operations resolve ID --failed</code> or \
             <code>--succeeded --backend-id X</code>.</p>\
             <table><tr><th>Id<th>Route<th>Object<th>Backend<th>Since<th>Why",
        );
    }
    for row in &unknown {
        let why = row.error.as_ref().map_or("", |(_, detail)| detail.as_str());
        let _ = write!(
            body,
            "<tr><td><code>{}</code><td>{}<td>{} {}<td>{}<td>{}<td>{}",
            row.id,
            escape(&row.route),
            escape(&row.object.resource),
            escape(&row.object.cmp_id),
            escape(&row.backend),
            rfc3339(row.created_at),
            escape(why),
        );
    }
    if !unknown.is_empty() {
        body.push_str("</table>");
    }
    Ok(respond(layers::html(html("cmp-relay", &body).into())))
}

/// Whether what serves is what the folder says, and if not, why.
fn last_reload(admin: &Admin) -> String {
    let last = admin.reloader.last();
    let mut told = format!(
        "<h2>Configuration: {}</h2><p>{} by {}.",
        last.came.name(),
        rfc3339(last.at),
        escape(&last.by),
    );
    if let Some(detail) = last.detail() {
        let _ = write!(
            told,
            " The configuration before it goes on.<p><code>{}</code>",
            escape(detail)
        );
    }
    told
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => escape(text),
        other => escape(&other.to_string()),
    }
}
