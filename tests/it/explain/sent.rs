//! What is shown of a call is, byte for byte, what the driver then sends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use cmp_relay::cli::explain::account::{Account, CallAccount};
use cmp_relay::cli::explain::text;
use cmp_relay::demo::packs::openstack;
use cmp_relay::demo::simulate::Stage;
use cmp_relay::plan::Plan;
use cmp_relay::relay::Reply;
use cmp_relay::store::MemoryStore;
use cmp_relay::trial::Row;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{args, bytes, plan};
use crate::support::pack::{devices_on, over, switches_over};
use crate::support::relay::{BACKEND_TOKEN, CmpRequest, TestRelay};

/// What Keystone gives, and what the box's login gives.
const TOKEN: &str = "gAAAA-token-of-the-day";

/// A backend that keeps the bytes of every call as they came, and gives tokens to who logs in.
struct Recorder {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
    answer: Arc<Mutex<String>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let answer = Arc::new(Mutex::new(String::new()));
        let (keeps, says) = (heard.clone(), answer.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, keeps.clone(), says.clone()));
            }
        });
        Self {
            address,
            heard,
            answer,
            task,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn will(&self, status: u64, body: &str) {
        *self.answer.lock().unwrap() = answer(status, "", body);
    }

    /// The calls since the last time, logins left out.
    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.heard.lock().unwrap())
    }
}

fn answer(status: u64, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} said\r\ncontent-type: application/json\r\n{headers}\
         content-length: {length}\r\n\r\n{body}"
    )
}

async fn serve(mut stream: TcpStream, heard: Arc<Mutex<Vec<String>>>, says: Arc<Mutex<String>>) {
    let mut came = Vec::new();
    loop {
        let Some(whole) = request_length(&came) else {
            let mut more = [0; 4096];
            match stream.read(&mut more).await {
                Ok(count) if count > 0 => came.extend_from_slice(&more[..count]),
                _ => return,
            }
            continue;
        };
        let request = String::from_utf8(came.drain(..whole).collect()).unwrap();
        let reply = if request.starts_with("POST /v3/auth/tokens ") {
            let token = json!({ "token": {
                "issued_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T01:00:00Z",
            }});
            let header = format!("x-subject-token: {TOKEN}\r\n");
            answer(201, &header, &token.to_string())
        } else if request.starts_with("POST /base/login ") {
            answer(200, &format!("set-cookie: session={TOKEN}\r\n"), "{}")
        } else {
            heard.lock().unwrap().push(request);
            says.lock().unwrap().clone()
        };
        if stream.write_all(reply.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The length of the first request, once it is there whole.
fn request_length(came: &[u8]) -> Option<usize> {
    let head = came.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&came[..head]).to_lowercase();
    let length = text
        .split("\r\ncontent-length: ")
        .nth(1)
        .map_or(0, |rest| rest[..rest.find('\r').unwrap()].parse().unwrap());
    (came.len() >= head + length).then_some(head + length)
}

/// One example of a route, as far as a call depends on it.
struct Example {
    name: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<String>,
    rows: Vec<Row>,
    /// Status and body.
    response: (u64, String),
}

/// Every example of every route of these files.
fn examples(files: &[(String, String)]) -> Vec<Example> {
    let mut diags = cmp_relay::diagnostics::Diagnostics::default();
    let borrowed: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), text.as_str()))
        .collect();
    let sources = cmp_relay::config::SourceFiles::from_memory(&borrowed, &mut diags);
    let mut found = Vec::new();
    for (_, file) in sources.routes() {
        let document = file.node.as_ref().unwrap().to_json();
        for (name, route) in document["routes"].as_object().unwrap() {
            let matched = route["match"].as_str().unwrap();
            let examples = route["examples"].as_array().into_iter().flatten();
            let before = found.len();
            found.extend(examples.map(|one| example(name, matched, one)));
            assert!(found.len() > before, "{name} has no example");
        }
    }
    found
}

fn example(route: &str, matched: &str, written: &Value) -> Example {
    let (method, pattern) = matched.split_once(' ').unwrap();
    let request = &written["request"];
    let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
    let mut target = pattern.to_owned();
    for (name, value) in request["path"].as_object().into_iter().flatten() {
        target = target.replace(&format!("{{{name}}}"), &percent(&text(value)));
    }
    let mut separator = '?';
    for (name, value) in request["query"].as_object().into_iter().flatten() {
        let values = match value {
            Value::Array(items) => items.clone(),
            one => vec![one.clone()],
        };
        for value in values {
            target += &format!("{separator}{name}={}", percent(&text(&value)));
            separator = '&';
        }
    }
    let headers = request["headers"].as_object().into_iter().flatten();
    let rows = written["mappings"].as_array().into_iter().flatten();
    let string = |value: &Value| value.as_str().map(str::to_owned);
    Example {
        name: format!("{route}: {}", written["name"].as_str().unwrap()),
        method: method.to_owned(),
        target,
        headers: headers
            .map(|(name, value)| (name.replace('_', "-"), text(value)))
            .collect(),
        body: (!request["body"].is_null()).then(|| request["body"].to_string()),
        rows: rows
            .map(|row| Row {
                resource: string(&row["resource"]).unwrap(),
                cmp_id: string(&row["cmp_id"]).unwrap(),
                backend: string(&row["backend"]).unwrap(),
                backend_id: string(&row["backend_id"]),
                attributes: row["attributes"].as_object().cloned().unwrap_or_default(),
            })
            .collect(),
        response: (
            written["response"]["status"].as_u64().unwrap_or(200),
            match &written["response"]["body"] {
                Value::Null => String::new(),
                body => body.to_string(),
            },
        ),
    }
}

fn percent(text: &str) -> String {
    let mut out = String::new();
    cmp_relay::transform::encode::percent(text, &mut out);
    out
}

/// A real relay with real drivers, and the plan that is explained.
struct Pair<'r> {
    relay: TestRelay,
    store: Arc<MemoryStore>,
    plan: Arc<Plan>,
    recorder: &'r Recorder,
}

async fn pair<'r>(recorder: &'r Recorder, files: &[(String, String)]) -> Pair<'r> {
    let store = Arc::new(MemoryStore::default());
    Pair {
        relay: TestRelay::start_over(store.clone(), Path::new("."), files).await,
        store,
        plan: plan(files),
        recorder,
    }
}

/// Runs an example through the real relay and through `explain`; gives the call that both agree on.
async fn both(pair: &Pair<'_>, example: &Example) -> Option<CallAccount> {
    let name = &example.name;
    let recorder = pair.recorder;
    recorder.will(example.response.0, &example.response.1);
    let reply = asked(&pair.relay, &pair.store, &pair.plan, example).await;
    let heard = recorder.calls();
    let account = explained(&pair.plan, example).await;

    let Some(call) = account.call.clone() else {
        assert!(heard.is_empty(), "{name}: {heard:?}");
        let refused = account.refused.unwrap();
        assert_eq!(refused.status, reply.status, "{name}");
        let told: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(refused.problem, told, "{name}");
        return None;
    };
    let [sent] = heard.as_slice() else {
        panic!("{name}: {heard:?}");
    };
    let masked = masked(sent);
    assert!(
        !masked.contains(TOKEN) && !masked.contains(BACKEND_TOKEN),
        "{masked}"
    );
    assert_eq!(bytes(&call), masked, "{name}");
    // The same on the page, line by line.
    let page = text::render(&account);
    for line in masked.split("\r\n").skip(1).filter(|line| !line.is_empty()) {
        let shown = format!("\n          {line}\n");
        assert!(page.contains(&shown), "{name}: {line} is not in\n{page}");
    }
    Some(call)
}

fn rows_of(plan: &Plan, example: &Example) -> Vec<cmp_relay::store::Mapping> {
    let rows = example.rows.iter().cloned();
    rows.map(|row| row.mapping(plan)).collect()
}

/// Asks the real relay, over the rows of the example.
async fn asked(relay: &TestRelay, store: &MemoryStore, plan: &Plan, example: &Example) -> Reply {
    store.hold(rows_of(plan, example));
    relay.relay.journal().forget_cached();
    let mut headers = example.headers.clone();
    if example.body.is_some() {
        headers.push(("content-type".to_owned(), "application/json".to_owned()));
    }
    relay
        .request(CmpRequest {
            method: example.method.clone(),
            path_and_query: example.target.clone(),
            headers,
            body: example.body.clone().unwrap_or_default(),
            client: "anonymous".to_owned(),
        })
        .await
}

/// Asks `explain` the same.
async fn explained(plan: &Arc<Plan>, example: &Example) -> Account {
    let mut typed = vec![example.method.clone(), example.target.clone()];
    for (header, value) in &example.headers {
        typed.extend(["--header".to_owned(), format!("{header}: {value}")]);
    }
    if let Some(body) = &example.body {
        typed.extend(["--body".to_owned(), body.clone()]);
    }
    let (plan, rows) = (plan.clone(), rows_of(plan, example));
    tokio::task::spawn_blocking(move || {
        let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
        let asked = cmp_relay::cli::explain::request::read(&args(&typed)).unwrap();
        let who = cmp_relay::cli::explain::request::who(&plan, &asked, None).unwrap();
        cmp_relay::cli::explain::explain(&plan, &asked, &who, rows, None).unwrap()
    })
    .await
    .unwrap()
}

/// What was sent, with every secret in it masked.
fn masked(sent: &str) -> String {
    let pair = "cmVsYXk6dDBrZW4tb2YtdGhlLWJhY2tlbmQ=";
    [TOKEN, BACKEND_TOKEN, pair, "s3%26cret", "hunter2"]
        .iter()
        .fold(sent.to_owned(), |text, secret| text.replace(secret, "***"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_route_of_the_pack_sends_what_is_shown() {
    let recorder = Recorder::start().await;
    let url = recorder.url();
    let backends = openstack::at(&format!("{url}/v3"), [&url, &url]);
    let files = over(&[&openstack::PACK], &backends);
    let pair = pair(&recorder, &files).await;
    let routes = pair.plan.routes.len();
    let mut called = std::collections::BTreeSet::new();
    let all = examples(&files);
    for example in &all {
        if both(&pair, example).await.is_some() {
            called.insert(example.name.split(':').next().unwrap().to_owned());
        }
    }
    assert_eq!(called.len(), routes, "a route has no example with a call");
}

/// A backend of the box kind, with these lines in its driver.
fn boxed(recorder: &Recorder, driver: &str) -> Vec<(String, String)> {
    let lines: String = driver.lines().map(|line| format!("    {line}\n")).collect();
    let backend = format!(
        "version: 1\nname: one\nkind: box\nlabels: {{ site: tpe }}\nvars: {{ vdom: root }}\n\
         driver:\n  https:\n    url: \"{}/base\"\n{lines}",
        recorder.url()
    );
    super::base(&[("backends.d/one.yaml", &backend)])
}

fn thing(body: Value) -> Example {
    Example {
        name: "create_thing".to_owned(),
        method: "POST".to_owned(),
        target: "/v1/things".to_owned(),
        headers: Vec::new(),
        body: Some(body.to_string()),
        rows: Vec::new(),
        response: (200, json!({ "key": 7 }).to_string()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_credential_is_shown_where_it_stands_and_masked() {
    let recorder = Recorder::start().await;
    let cases = [
        ("", None),
        (
            "auth:\n  basic:\n    user: relay\n    password: { env: BACKEND_TOKEN }",
            Some("authorization: Basic ***"),
        ),
        (
            "auth:\n  bearer: { env: BACKEND_TOKEN }",
            Some("authorization: Bearer ***"),
        ),
        (
            "auth:\n  headers:\n    X-Key: { env: BACKEND_TOKEN }\nheaders:\n  Accept: text/plain\n  \
             X-Vdom: root\nquery:\n  vdom: a b",
            Some("x-key: ***"),
        ),
        (
            "auth:\n  query:\n    key: { env: BACKEND_TOKEN }\nquery:\n  vdom: root",
            Some("vdom=root&key=***"),
        ),
        (
            "auth:\n  login:\n    http: POST /login\n    form:\n      user: relay\n      \
             password: { $env: BACKEND_TOKEN }\n    tokens:\n      session: { cookie: session }\n    \
             send:\n      - { cookie: session, value: \"{{ tokens.session }}\" }\n      \
             - { header: X-Token, value: \"Token {{ tokens.session }}\" }",
            Some("cookie: session=***"),
        ),
    ];
    for (driver, expected) in cases {
        let files = boxed(&recorder, driver);
        let example = thing(json!({ "id": "t1", "name": "a \"b\" \u{e9}", "size": 3 }));
        let call = both(&pair(&recorder, &files).await, &example)
            .await
            .unwrap();
        let shown = bytes(&call);
        assert!(shown.starts_with("POST /base/api/things"), "{shown}");
        if let Some(expected) = expected {
            assert!(shown.contains(expected), "{shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_only_value_is_not_shown() {
    let recorder = Recorder::start().await;
    let files = boxed(&recorder, "");
    let example = thing(json!({ "id": "t1", "name": "x", "secret": "hunter2" }));
    let call = both(&pair(&recorder, &files).await, &example)
        .await
        .unwrap();
    assert!(
        bytes(&call).contains("\"secret\":\"***\""),
        "{}",
        bytes(&call)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_body_and_what_is_encoded_is_shown_as_it_goes() {
    let recorder = Recorder::start().await;
    let mut files = boxed(&recorder, "");
    for (path, text) in &mut files {
        if path == "routes.d/thing.yaml" {
            let with = "/actions\n      body:\n        name: \"{{ body.name }}\"\n";
            assert!(text.contains(with));
            *text = text.replace(with, "/actions\n");
        }
    }
    let mut attributes = Map::new();
    attributes.insert("revision".to_owned(), "r1".into());
    let rows = vec![Row {
        resource: "thing".to_owned(),
        cmp_id: "a/b c".to_owned(),
        backend: "one".to_owned(),
        backend_id: Some("k/7 %".to_owned()),
        attributes,
    }];
    let get = Example {
        name: "get_thing".to_owned(),
        method: "GET".to_owned(),
        target: "/v1/things/a%2Fb%20c".to_owned(),
        body: None,
        rows: rows.clone(),
        ..thing(Value::Null)
    };
    let call = both(&pair(&recorder, &files).await, &get).await.unwrap();
    assert!(bytes(&call).starts_with("GET /base/api/things/k%2F7%20%25 HTTP/1.1\r\n"));
    let act = Example {
        name: "act_on_thing".to_owned(),
        target: "/v1/things/a%2Fb%20c/actions".to_owned(),
        rows,
        ..thing(json!({ "name": "x" }))
    };
    let call = both(&pair(&recorder, &files).await, &act).await.unwrap();
    assert!(
        bytes(&call).contains("\r\ncontent-length: 0\r\n"),
        "{}",
        bytes(&call)
    );
}

/// The switch keeps each line that it is sent. What a session does for itself is left out: into the mode, out of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_that_is_shown_is_what_a_device_is_sent() {
    let mut stage = Stage::new(None, None);
    let devices = devices_on(&mut stage);
    let files = switches_over(&devices);
    let store = Arc::new(MemoryStore::default());
    let relay = TestRelay::start_over(store.clone(), Path::new("."), &files).await;
    let plan = plan(&files);
    let own = [
        "",
        "enable",
        "disable",
        "configure terminal",
        "no cli session paging enable",
        BACKEND_TOKEN,
    ];
    let mut called = std::collections::BTreeSet::new();
    for example in examples(&files) {
        let before = devices.heard().len();
        let messages = devices.messages().len();
        asked(&relay, &store, &plan, &example).await;
        let mut heard = devices.heard().split_off(before);
        let name = &example.name;
        let account = explained(&plan, &example).await;
        let messages = devices.messages().split_off(messages);
        let lines = match account.call {
            Some(CallAccount::Cli { lines, .. }) => lines,
            Some(CallAccount::Netconf { operation, xml, .. }) => {
                // One message of the session is the operation, with every byte that is shown inside it.
                let xml = xml.join("\n");
                let asks = |message: &&String| message.contains(&format!("<{operation}>"));
                let mut asking = messages.iter().filter(asks);
                let (Some(message), None) = (asking.next(), asking.next()) else {
                    panic!("{name}: {messages:?}");
                };
                assert!(message.contains(&xml), "{name}: {message} has no {xml}");
                called.insert(name.split(':').next().unwrap().to_owned());
                continue;
            }
            // Refused before a device heard anything of it.
            _ => {
                assert!(heard.is_empty() && messages.is_empty(), "{name}: {heard:?}");
                continue;
            }
        };
        heard.retain(|line| !own.contains(&line.as_str()));
        // The first line that is refused is the last one of the call; then the way out.
        let sent = heard
            .iter()
            .zip(&lines)
            .take_while(|(sent, shown)| sent == shown);
        let count = sent.count();
        assert!(count > 0, "{name}: {heard:?} is not {lines:?}");
        assert!(
            heard[count..].iter().all(|line| line == "exit"),
            "{name}: {heard:?}"
        );
        if count == lines.len() {
            called.insert(name.split(':').next().unwrap().to_owned());
        }
    }
    assert!(called.len() >= 12, "sent whole: {called:?}");
    stage.stop().await;
}
