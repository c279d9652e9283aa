//! The relay's rules as data: each file of `tests/relay` is a story of requests, calls, answers,
//! replies and rows. `tests/relay/README.md` says how one is written.

use std::path::Path;

use http::HeaderMap;
use serde_json::Value;

use crate::support::relay::{CmpRequest, TestRelay, files_below};
use crate::support::scripted::{Act, Heard, Scripted};

use cmp_relay::store::{MappingFilter, OperationFilter, Store};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_story_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/relay");
    let mut stories: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .filter(|path| path.file_name().is_some_and(|name| name != "README.md"))
        .collect();
    stories.sort();
    let only = crate::support::told("STORY");
    let mut failures = Vec::new();
    let mut told = 0;
    for story in &stories {
        let name = story.file_stem().unwrap().to_str().unwrap();
        if only.as_deref().is_some_and(|only| only != name) {
            continue;
        }
        told += 1;
        let text = std::fs::read_to_string(story).unwrap();
        // What is in memory makes things fast, never different.
        for remembers in [true, false] {
            if let Err(why) = tell(&folder, &text, remembers).await {
                failures.push(format!("--- {name} (remembers: {remembers}): {why}"));
            }
        }
    }
    assert!(told > 0, "no story was found");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// A fenced block: its word, and its lines.
struct Block {
    word: String,
    text: String,
    line: usize,
}

/// A block read as an HTTP message: first line, headers, body.
struct Message {
    first: String,
    headers: Vec<(String, String)>,
    body: String,
}

async fn tell(folder: &Path, text: &str, remembers: bool) -> Result<(), String> {
    let blocks = blocks(text);
    let backend = Scripted::start().await;
    let mut files = files_below(&folder.join("base"));
    for block in &blocks {
        if let Some(path) = block.word.strip_prefix("yaml ") {
            files.retain(|(known, _)| known != path);
            files.push((path.to_owned(), block.text.clone()));
        }
    }
    for (_, text) in &mut files {
        *text = text.replace("{BACKEND}", &backend.url());
    }
    let relay = TestRelay::start(&files).await;

    let mut steps = blocks
        .iter()
        .filter(|block| !block.word.starts_with("yaml "))
        .peekable();
    while let Some(block) = steps.next() {
        let at = |why: String| format!("line {}: {why}", block.line);
        match block.word.as_str() {
            "request" => {
                let mut expected_calls = Vec::new();
                while let Some(next) = steps.peek() {
                    match next.word.as_str() {
                        "call" => expected_calls.push(message(&next.text)),
                        "answer" => backend.will(act(&next.text)),
                        _ => break,
                    }
                    steps.next();
                }
                if !remembers {
                    relay.relay.journal().forget_cached();
                }
                let asked = message(&block.text);
                let (method, path_and_query) = asked.first.split_once(' ').unwrap();
                let reply = relay
                    .request(CmpRequest {
                        method: method.to_owned(),
                        path_and_query: path_and_query.to_owned(),
                        headers: asked.headers,
                        body: asked.body,
                    })
                    .await;
                let said = String::from_utf8_lossy(&reply.body).into_owned();
                check_calls(&expected_calls, &backend.take_heard())
                    .map_err(|why| at(format!("{why}\nthe reply was {} {said}", reply.status)))?;
                let wanted = steps
                    .next_if(|next| next.word == "reply")
                    .ok_or_else(|| at("a request needs a reply block".into()))?;
                check_reply(
                    &message(&wanted.text),
                    reply.status.as_u16(),
                    &reply.headers,
                    &said,
                )
                .map_err(at)?;
            }
            "rows" => check_rows(&block.text, &**relay.relay.journal().store())
                .await
                .map_err(at)?,
            other => return Err(at(format!("`{other}` is not a block of a story"))),
        }
    }
    Ok(())
}

fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    for (number, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(""), Some(_)) => found.extend(open.take()),
            (Some(word), None) => {
                open = Some(Block {
                    word: word.to_owned(),
                    text: String::new(),
                    line: number + 1,
                });
            }
            (_, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            _ => {}
        }
    }
    found
}

fn message(text: &str) -> Message {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    Message {
        first: lines.next().unwrap_or_default().to_owned(),
        headers: lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect(),
        body: body.trim_end().to_owned(),
    }
}

fn act(text: &str) -> Act {
    let answer = message(text);
    match answer.first.as_str() {
        "reset" => Act::Reset,
        "silence" => Act::Silence,
        status => {
            let mut headers = answer.headers;
            let typed = headers
                .iter()
                .any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
            if !typed && answer.body.starts_with(['{', '[']) {
                headers.push(("content-type".into(), "application/json".into()));
            }
            Act::Answer {
                status: status.parse().unwrap(),
                headers,
                body: answer.body,
            }
        }
    }
}

fn check_calls(expected: &[Message], heard: &[Heard]) -> Result<(), String> {
    if expected.len() != heard.len() {
        return Err(format!(
            "{} calls were expected, heard {heard:?}",
            expected.len()
        ));
    }
    for (expected, heard) in expected.iter().zip(heard) {
        let first = format!("{} {}", heard.method, heard.path_and_query);
        if first != expected.first {
            return Err(format!("the call was `{first}`, not `{}`", expected.first));
        }
        check_headers(&expected.headers, &heard.headers)?;
        check_body(&expected.body, &String::from_utf8_lossy(&heard.body), true)?;
    }
    Ok(())
}

fn check_reply(
    expected: &Message,
    status: u16,
    headers: &HeaderMap,
    body: &str,
) -> Result<(), String> {
    if expected.first != status.to_string() {
        return Err(format!(
            "the reply was {status}, not {}: {body}",
            expected.first
        ));
    }
    check_headers(&expected.headers, headers)?;
    check_body(&expected.body, body, status < 400)
}

fn check_headers(expected: &[(String, String)], found: &HeaderMap) -> Result<(), String> {
    for (name, value) in expected {
        let there = found
            .get(name)
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        if there.as_deref() != Some(value.as_str()) {
            return Err(format!("header `{name}` is {there:?}, not `{value}`"));
        }
    }
    Ok(())
}

/// Exactly equal, or, for a problem, every expected member.
fn check_body(expected: &str, found: &str, exactly: bool) -> Result<(), String> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
    let fits = match (parse(expected), parse(found)) {
        (Some(expected), Some(found)) => fits(&expected, &found, exactly),
        _ => expected == found,
    };
    match fits {
        true => Ok(()),
        false => Err(format!("the body is {found}\nnot {expected}")),
    }
}

fn fits(expected: &Value, found: &Value, exactly: bool) -> bool {
    match (expected, found) {
        (Value::String(any), _) if any == "*" => true,
        (Value::Object(expected), Value::Object(found)) => {
            (!exactly || expected.len() == found.len())
                && expected.iter().all(|(key, value)| {
                    found
                        .get(key)
                        .is_some_and(|there| fits(value, there, exactly))
                })
        }
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len()
                && expected
                    .iter()
                    .zip(found)
                    .all(|(expected, found)| fits(expected, found, exactly))
        }
        (expected, found) => expected == found,
    }
}

async fn check_rows(expected: &str, store: &dyn Store) -> Result<(), String> {
    let mut rows = Vec::new();
    let mappings = MappingFilter {
        limit: 100,
        ..MappingFilter::default()
    };
    for row in store.list_mappings(&mappings).await.unwrap() {
        let scope = match row.key.scope.as_str() {
            "" => String::new(),
            scope => format!(" @{scope}"),
        };
        rows.push(format!(
            "mapping {} {}{scope} = {} {} {}",
            row.key.resource,
            row.key.cmp_id,
            row.backend,
            row.backend_id.as_deref().unwrap_or("pending"),
            Value::Object(row.attributes)
        ));
    }
    let operations = OperationFilter {
        limit: 100,
        ..OperationFilter::default()
    };
    let mut operations = store.list_operations(&operations).await.unwrap();
    operations.reverse();
    for row in operations {
        let mut line = format!("operation {} {}", row.route, row.state.name());
        if row.attempt > 1 {
            line.push_str(&format!(" attempt {}", row.attempt));
        }
        if let Some((code, _)) = row.error {
            line.push_str(&format!(" error {code}"));
        }
        if let Some(note) = row.note {
            line.push_str(&format!(" note {note}"));
        }
        rows.push(line);
    }
    let expected: Vec<&str> = expected.lines().collect();
    let equal = expected.len() == rows.len()
        && expected.iter().zip(&rows).all(|(expected, found)| {
            let (expected, found) = (words(expected), words(found));
            expected.len() == found.len()
                && expected
                    .iter()
                    .zip(&found)
                    .all(|(expected, found)| *expected == "*" || expected == found)
        });
    match equal {
        true => Ok(()),
        false => Err(format!(
            "the rows are\n{}\nnot\n{}",
            rows.join("\n"),
            expected.join("\n")
        )),
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}
