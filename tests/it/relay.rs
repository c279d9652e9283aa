//! The relay's rules as data: each file of `tests/relay` is a story of requests, calls, answers,
//! replies and rows. `tests/relay/README.md` says how one is written.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cmp_relay::plan::Role;
use cmp_relay::relay::settle::{Assertion, Overrides};
use cmp_relay::relay::{Caller, Reply};
use cmp_relay::store::{
    Mapping, MappingFilter, ObjectKey, OperationFilter, Settled, Store, StoreError, Write,
};
use http::HeaderMap;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::support::faulty_store::{FaultyStore, Happening, Moment};
use crate::support::relay::{CmpRequest, TestRelay, compile, files_below, open, request_of};
use crate::support::scripted::{Act, Heard, Scripted};

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
    let folder = tempfile::tempdir().unwrap();
    let away = Arc::new(AtomicBool::new(false));
    let store = Arc::new(FaultyStore {
        inner: open(folder.path()).await,
        happening: unavailable(away.clone()),
    });
    let relay = TestRelay::start_over(store, folder.path(), &files).await;
    let mut stage = Stage {
        relay,
        backend,
        files,
        away,
        held: None,
        remembers,
    };
    let mut steps = blocks
        .iter()
        .filter(|block| !block.word.starts_with("yaml "))
        .peekable();
    while let Some(block) = steps.next() {
        let mut follow = Vec::new();
        if block.word.starts_with("request") || block.word == "release" {
            while let Some(next) =
                steps.next_if(|next| matches!(next.word.as_str(), "call" | "answer" | "reply"))
            {
                follow.push(next);
            }
        }
        stage
            .play(block, &follow)
            .await
            .map_err(|why| format!("line {}: {why}", block.line))?;
    }
    match stage.held {
        Some(_) => Err("a held request is never released".into()),
        None => Ok(()),
    }
}

/// What a story plays on.
struct Stage {
    relay: TestRelay,
    backend: Scripted,
    files: Vec<(String, String)>,
    /// The database takes no write.
    away: Arc<AtomicBool>,
    held: Option<Held>,
    /// Otherwise the cache is emptied before each request.
    remembers: bool,
}

/// A request whose backend waits.
struct Held {
    reply: JoinHandle<Reply>,
    gate: Arc<Semaphore>,
}

fn unavailable(away: Arc<AtomicBool>) -> Happening {
    Arc::new(move |moment, _| {
        (moment == Moment::Before && away.load(Ordering::SeqCst))
            .then(|| StoreError::Unavailable("the disk is full".into()))
    })
}

impl Stage {
    async fn play(&mut self, block: &Block, follow: &[&Block]) -> Result<(), String> {
        match block.word.as_str() {
            "release" => self.release(follow).await,
            "rows" => check_rows(&block.text, &**self.relay.relay.journal().store()).await,
            "operator" => self.operate(&block.text).await,
            word if word.starts_with("request") => self.ask(block, follow).await,
            word if word.starts_with("reload ") => self.reload(block).await,
            other => Err(format!("`{other}` is not a block of a story")),
        }
    }

    /// One file is another, and the configuration is loaded anew.
    async fn reload(&mut self, block: &Block) -> Result<(), String> {
        let path = block.word.strip_prefix("reload ").unwrap_or_default();
        self.files.retain(|(known, _)| known != path);
        let text = block.text.replace("{BACKEND}", &self.backend.url());
        self.files.push((path.to_owned(), text));
        let reloaded = self.relay.relay.reload(compile(&self.files));
        reloaded.map(drop).map_err(|error| error.to_string())
    }

    /// `request`, `request by CLIENT`, `request held`.
    async fn ask(&mut self, block: &Block, follow: &[&Block]) -> Result<(), String> {
        let held = block.word == "request held";
        let gate = Arc::new(Semaphore::new(0));
        for answer in follow.iter().filter(|next| next.word == "answer") {
            self.backend.will(match held {
                true => Act::Held(gate.clone(), Box::new(act(&answer.text))),
                false => act(&answer.text),
            });
        }
        if !self.remembers {
            self.relay.relay.journal().forget_cached();
        }
        let asked = message(&block.text);
        let (method, path_and_query) = asked.first.split_once(' ').unwrap();
        let client = block.word.strip_prefix("request by ").unwrap_or_default();
        let request = CmpRequest {
            method: method.to_owned(),
            path_and_query: path_and_query.to_owned(),
            headers: asked.headers,
            body: asked.body,
            client: client.to_owned(),
        };
        if held {
            let relay = self.relay.relay.clone();
            let reply = tokio::spawn(async move { request_of(&relay, request).await });
            while self.backend.heard() == 0 && !reply.is_finished() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.held = Some(Held { reply, gate });
            return check_calls(&calls(follow), &self.backend.take_heard());
        }
        let reply = self.relay.request(request).await;
        self.check(follow, &reply)
    }

    /// The backend answers the request that was held, and the CMP is told.
    async fn release(&mut self, follow: &[&Block]) -> Result<(), String> {
        let held = self.held.take().ok_or("no request is held")?;
        held.gate.add_permits(1);
        let reply = held.reply.await.unwrap();
        self.check(follow, &reply)
    }

    fn check(&self, follow: &[&Block], reply: &Reply) -> Result<(), String> {
        let said = String::from_utf8_lossy(&reply.body);
        check_calls(&calls(follow), &self.backend.take_heard())
            .map_err(|why| format!("{why}\nthe reply was {} {said}", reply.status))?;
        let wanted = follow
            .iter()
            .find(|next| next.word == "reply")
            .ok_or("it needs a reply block")?;
        let status = reply.status.as_u16();
        check_reply(&message(&wanted.text), status, &reply.headers, &said)
    }

    /// What is done beside the CMP's requests, a line each.
    async fn operate(&self, text: &str) -> Result<(), String> {
        for line in text.lines() {
            let (order, wanted) = line.split_once(" -> ").unwrap_or((line, "done"));
            let found = self.order(&words(order)).await?;
            if !found.starts_with(wanted) {
                return Err(format!("`{order}` ended as `{found}`, not `{wanted}`"));
            }
        }
        Ok(())
    }

    async fn order(&self, words: &[&str]) -> Result<String, String> {
        let relay = &self.relay.relay;
        let now = cmp_relay::clock::unix_micros();
        let by = "operator".to_owned();
        let settled = match words {
            ["database", "away"] => {
                self.away.store(true, Ordering::SeqCst);
                return Ok("done".into());
            }
            ["database", "back"] => {
                self.away.store(false, Ordering::SeqCst);
                while relay.in_hand() != (0, 0) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                return Ok("done".into());
            }
            ["forget", resource, cmp_id] => {
                let key = key(resource, cmp_id);
                let forget = Write::Forget { key, by, at: now };
                relay.journal().administer(forget).await.unwrap().0
            }
            ["adopt", resource, cmp_id, backend, id] => {
                let mapping = Mapping {
                    key: key(resource, cmp_id),
                    backend: (*backend).to_owned(),
                    kind: "box".into(),
                    backend_id: (*id != "pending").then(|| (*id).to_owned()),
                    attributes: serde_json::Map::new(),
                    created_operation: None,
                    updated_operation: None,
                    created_at: now,
                    updated_at: now,
                };
                let adopt = Write::Adopt { mapping, by };
                relay.journal().administer(adopt).await.unwrap().0
            }
            ["settle", route, verdict, how @ ..] => self.settle(route, verdict, how).await?,
            _ => return Err(format!("`{}` is not an order", words.join(" "))),
        };
        Ok(match settled {
            Settled::Done => "done".into(),
            Settled::NotFound => "not found".into(),
            Settled::Refused(words) => format!("refused: {words}"),
            Settled::Conflict(row) => format!("conflict with {}", row.key.cmp_id),
            Settled::ClaimHeld(row) => format!("held by {}", row.route),
        })
    }

    /// Settles the newest operation of a route: `as ID`, `force`, `replace`, `by CLIENT`, `reply JSON`.
    async fn settle(&self, route: &str, verdict: &str, how: &[&str]) -> Result<Settled, String> {
        let after = |word: &str| {
            let place = how.iter().position(|found| *found == word)?;
            how.get(place + 1).map(|found| (*found).to_owned())
        };
        let relay = &self.relay.relay;
        let newest = OperationFilter {
            route: Some(route.to_owned()),
            limit: 1,
            ..OperationFilter::default()
        };
        let rows = relay.journal().store().list_operations(&newest).await;
        let row = rows.unwrap().pop().ok_or("the route has no operation")?;
        let caller = Caller {
            roles: match after("by") {
                Some(_) => [Role::Cmp].into(),
                None => [Role::Operator].into(),
            },
            name: after("by").unwrap_or("operator".into()).into(),
        };
        let assertion = match verdict {
            "failed" => Assertion::Failed,
            _ => Assertion::Succeeded {
                backend_id: after("as"),
                reply: after("reply").map(|text| serde_json::from_str(&text).unwrap()),
            },
        };
        let overrides = Overrides {
            force: how.contains(&"force"),
            replace: how.contains(&"replace"),
        };
        let settled = relay.settle(&caller, row.id, assertion, overrides).await;
        settled
            .map(|(settled, _)| settled)
            .map_err(|error| error.detail())
    }
}

fn calls(follow: &[&Block]) -> Vec<Message> {
    let calls = follow.iter().filter(|next| next.word == "call");
    calls.map(|next| message(&next.text)).collect()
}

/// `CMP_ID`, or `CMP_ID@SCOPE`.
fn key(resource: &str, cmp_id: &str) -> ObjectKey {
    let (cmp_id, scope) = cmp_id.split_once('@').unwrap_or((cmp_id, ""));
    ObjectKey {
        resource: resource.to_owned(),
        cmp_id: cmp_id.to_owned(),
        scope: scope.to_owned(),
    }
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
