//! docs/selection.md is played: its files are the configuration, its requests are sent in their order, and
//! each of its tables is what the mapping table holds of those resources then.

use std::sync::Arc;

use bytes::Bytes;
use cmp_relay::config::{self, Env};
use cmp_relay::diagnostics::text;
use cmp_relay::driver::Answer;
use cmp_relay::plan::Plan;
use cmp_relay::store::Mapping;
use cmp_relay::trial::{Act, Row, Scene, Trial, inbound};
use http::{HeaderMap, HeaderValue, Method, header};
use serde_json::{Map, json};

const PAGE: &str = include_str!("../../docs/selection.md");
/// The table as an operator left it, not the relay.
const ADOPTED: &str = "mapped an\naddress that was made by hand";

/// What the page is made of, in its order.
enum Part<'p> {
    Prose(&'p str),
    Block(&'p str, String),
    Table(Vec<Row>),
}

fn parts() -> Vec<Part<'static>> {
    let mut parts = Vec::new();
    for (index, piece) in PAGE.split("```").enumerate() {
        if index % 2 == 1 {
            let (word, text) = piece.split_once('\n').unwrap();
            parts.push(Part::Block(word, text.to_owned()));
            continue;
        }
        let mut rest = piece;
        while let Some((before, table)) = rest.split_once("| resource |") {
            let end = table.find("\n\n").unwrap_or(table.len());
            parts.push(Part::Prose(before));
            parts.push(Part::Table(table[..end].lines().skip(2).map(row).collect()));
            rest = &table[end..];
        }
        parts.push(Part::Prose(rest));
    }
    parts
}

fn row(line: &str) -> Row {
    let cells: Vec<&str> = line.split('|').map(str::trim).collect();
    let [_, resource, cmp_id, scope, backend, backend_id, _] = cells.as_slice() else {
        panic!("{line}");
    };
    assert!(scope.is_empty() || scope == backend, "{line}");
    Row {
        resource: (*resource).to_owned(),
        cmp_id: (*cmp_id).to_owned(),
        backend: (*backend).to_owned(),
        backend_id: Some((*backend_id).to_owned()),
        attributes: Map::new(),
    }
}

fn plan() -> Plan {
    let mut files = vec![("relay.yaml".to_owned(), "version: 1\n".to_owned())];
    for (index, part) in parts().into_iter().enumerate() {
        if let Part::Block("yaml", text) = part {
            let folder = if text.contains("\ndriver:") {
                "backends.d"
            } else {
                "routes.d"
            };
            files.push((format!("{folder}/block_{index}.yaml"), text));
        }
    }
    let files: Vec<(&str, &str)> = files
        .iter()
        .map(|(path, text)| (&**path, &**text))
        .collect();
    let loaded = config::load_from_memory(&files, &Env::new([]));
    let said = text::render_text(&loaded.diagnostics, &loaded.files, false);
    loaded.plan.unwrap_or_else(|| panic!("{said}"))
}

/// What the table holds, as a page would show it.
fn shown<'m>(rows: impl IntoIterator<Item = &'m Mapping>) -> Vec<String> {
    let line = |row: &Mapping| {
        let id = row.backend_id.as_deref().unwrap_or("pending");
        let key = &row.key;
        format!(
            "{} {} [{}] {} {id}",
            key.resource, key.cmp_id, key.scope, row.backend
        )
    };
    rows.into_iter().map(line).collect()
}

#[test]
fn the_page_is_what_happens() {
    let mut trial = Trial::new(Arc::new(plan())).unwrap();
    let plan = trial.plan();
    let (mut rows, mut made, mut adopted) = (Vec::new(), 0, false);
    let (mut sent, mut compared) = (0, 0);
    for part in parts() {
        match part {
            Part::Prose(text) => adopted = text.contains(ADOPTED),
            Part::Block("http", text) => {
                let (line, body) = text.split_once('\n').unwrap();
                let (method, path) = line.split_once(' ').unwrap();
                let mut headers = HeaderMap::new();
                let json = HeaderValue::from_static("application/json");
                if !body.is_empty() {
                    headers.insert(header::CONTENT_TYPE, json.clone());
                }
                made += usize::from(method == "POST");
                let body = Bytes::from(body.trim().to_owned());
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                let answer = Answer {
                    status: 200,
                    headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
                    body: json!({ "id": made }).to_string().into(),
                    ..Answer::default()
                };
                let run = trial.run(Scene {
                    inbound: inbound("anonymous", method, path, headers, body),
                    rows,
                    prefer: None,
                    act: Act::Answer(answer),
                });
                let reply = run
                    .reply
                    .unwrap_or_else(|failure| panic!("{line}: {failure:?}"));
                assert!(reply.status.is_success(), "{line}: {reply:?}");
                rows = run.rows;
                sent += 1;
            }
            Part::Block(..) => {}
            Part::Table(table) => {
                let table: Vec<_> = table.into_iter().map(|row| row.mapping(&plan)).collect();
                let of = |row: &&Mapping| table.iter().any(|t| t.key.resource == row.key.resource);
                if adopted {
                    let new = table
                        .iter()
                        .filter(|row| !rows.iter().any(|r| r.key == row.key));
                    let new: Vec<Mapping> = new.cloned().collect();
                    rows.extend(new);
                }
                assert_eq!(shown(&table), shown(rows.iter().filter(of)));
                compared += 1;
            }
        }
    }
    assert_eq!((sent, compared), (12, 9));
}
