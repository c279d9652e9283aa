//! The program as its users meet it: the built binary, a configuration folder, real sockets; and a
//! backend that keeps what it is told to make.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::relay::files_below;

/// Longer than anything here takes; what hangs fails instead.
const PATIENCE: Duration = Duration::from_secs(40);

/// Runs the binary to its end.
pub(crate) fn run(arguments: &[&str]) -> Output {
    run_in(&[], arguments)
}

/// The same, with these variables of its own.
pub(crate) fn run_in(environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cmp-relay"));
    for name in ["CMP_RELAY_TOKEN", "CMP_RELAY_ADMIN", "CMP_RELAY_CA_FILE"] {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .unwrap()
}

/// A configuration folder: the stories' base, over one backend.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new(backend: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/relay/base");
        for (name, text) in files_below(&base) {
            folder.write(&name, &text.replace("{BACKEND}", backend));
        }
        folder.relay("");
        folder
    }

    /// relay.yaml: ports of its own, and these lines.
    pub(crate) fn relay(&self, more: &str) {
        let ports = "listen: 127.0.0.1:0\nadmin_listen: 127.0.0.1:0\n";
        self.write("relay.yaml", &format!("{ports}{more}"));
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn argument(&self) -> &str {
        self.path().to_str().unwrap()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path: PathBuf = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Replaces text of a file, which must be there.
    pub(crate) fn edit(&self, name: &str, old: &str, new: &str) {
        let text = std::fs::read_to_string(self.path().join(name)).unwrap();
        assert!(text.contains(old), "{name} has no {old}");
        self.write(name, &text.replace(old, new));
    }
}

/// A running `serve`; dropped, it is killed.
pub(crate) struct Served {
    process: Child,
    pub(crate) cmp: SocketAddr,
    pub(crate) admin: SocketAddr,
    log: Arc<Mutex<String>>,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Served {
    /// Starts it and waits until it serves; one that ends instead fails the test in its own words.
    pub(crate) fn start(folder: &Folder) -> Self {
        Self::start_with(folder, &[])
    }

    /// The same, with further arguments.
    pub(crate) fn start_with(folder: &Folder, arguments: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cmp-relay"))
            .args(["serve", "--config", folder.argument()])
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut said = String::new();
        let serving = loop {
            let Some(line) = lines.next() else {
                panic!("it does not serve:\n{said}");
            };
            let line = line.unwrap();
            said += &format!("{line}\n");
            if line.contains(" serving ") {
                break line;
            }
        };
        let address = |key: &str| {
            let rest = serving.split(&format!(" {key}=")).nth(1).unwrap();
            rest.split(' ').next().unwrap().parse().unwrap()
        };
        let log = Arc::new(Mutex::new(said));
        let heard = log.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                *heard.lock().unwrap() += &format!("{line}\n");
            }
        });
        Self {
            cmp: address("listen"),
            admin: address("admin"),
            process,
            log,
        }
    }

    /// All that it has said.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Waits until it has said this.
    pub(crate) async fn says(&self, words: &str) {
        for _ in 0..800 {
            if self.log().contains(words) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("it never said {words}:\n{}", self.log());
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.process.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    /// Its end, which must come by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        for _ in 0..1600 {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("it does not end:\n{}", self.log());
    }

    /// A CMP request.
    pub(crate) async fn ask(&self, method: &str, path: &str, key: &str, body: Value) -> Told {
        try_ask(self.cmp, method, path, key, &body)
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.log()))
    }

    pub(crate) async fn get(&self, path: &str) -> Told {
        self.ask("GET", path, "", Value::Null).await
    }

    /// A request of an operator.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Value) -> Told {
        try_ask(self.admin, method, path, "", &body)
            .await
            .unwrap_or_else(|error| panic!("{method} {path}: {error}\n{}", self.log()))
    }

    /// Runs a command against the admin listener: status, standard output, standard error.
    pub(crate) fn command(&self, arguments: &[&str]) -> (i32, String, String) {
        let admin = format!("http://{}", self.admin);
        let mut all = arguments.to_vec();
        all.extend(["--admin", &admin]);
        told(&run(&all))
    }
}

/// Status, standard output and standard error of a finished command.
pub(crate) fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let status = output.status.code().unwrap_or(-1);
    (status, text(&output.stdout), text(&output.stderr))
}

/// An answer; a body that is not JSON is a string.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Value,
}

impl Told {
    pub(crate) fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or("")
    }

    /// Whether the head has this line, whatever the case of its letters.
    pub(crate) fn has(&self, line: &str) -> bool {
        let wanted = line.to_ascii_lowercase();
        self.head
            .lines()
            .any(|line| line.to_ascii_lowercase() == wanted)
    }
}

/// One request on a connection of its own; an error where no whole answer came.
pub(crate) async fn try_ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    key: &str,
    body: &Value,
) -> std::io::Result<Told> {
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
    request += "connection: close\r\n";
    if !key.is_empty() {
        request += &format!("idempotency-key: {key}\r\n");
    }
    let text = match body {
        Value::Null => String::new(),
        body => body.to_string(),
    };
    if matches!(method, "POST" | "PUT") {
        request += "content-type: application/json\r\n";
    }
    request += &format!("content-length: {}\r\n\r\n{text}", text.len());
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    let answer: std::io::Result<String> = tokio::time::timeout(PATIENCE, exchange).await?;
    let answer = answer?;
    let broken = || std::io::Error::other("the answer broke off");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(broken)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Told {
        status: status.ok_or_else(broken)?,
        head: head.replace("\r\n", "\n"),
        body: serde_json::from_str(body).unwrap_or_else(|_| body.into()),
    })
}

/// A backend that keeps objects: `POST`, `GET` and `DELETE` below `/api/things`, logins and logouts.
/// An object whose name begins with `slow` is made at once and answered once [`Keeping::release`] is
/// called; one whose name begins with `mute` is made and never answered.
pub(crate) struct Keeping {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    /// Requests that are being worked on.
    inside: AtomicUsize,
    released: watch::Sender<bool>,
    /// Waits before and after it acts, pseudo-random up to so many milliseconds.
    sluggish: u64,
}

/// What the backend holds, and what it has heard.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    /// Tag by key.
    pub(crate) objects: BTreeMap<u64, String>,
    /// How often an object was made under a tag.
    pub(crate) made: BTreeMap<String, u32>,
    /// `METHOD path`, in the order of hearing.
    pub(crate) heard: Vec<String>,
    keys: u64,
}

impl State {
    pub(crate) fn count(&self, heard: &str) -> usize {
        self.heard.iter().filter(|one| *one == heard).count()
    }

    /// The key of the object with this tag.
    pub(crate) fn key_of(&self, tag: &str) -> Option<u64> {
        let mut objects = self.objects.iter();
        objects.find(|(_, one)| *one == tag).map(|(key, _)| *key)
    }
}

impl Drop for Keeping {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Keeping {
    pub(crate) async fn start(sluggish: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            inside: AtomicUsize::new(0),
            released: watch::channel(false).0,
            sluggish,
        });
        let state = shared.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = state.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| answer(state.clone(), request));
                    // A relay that dies ends the connection with an error.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            address,
            shared,
            task,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> State {
        self.shared.locked().clone()
    }

    /// Lets what is slow be answered, now and from now on.
    pub(crate) fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Keys from here on, so that two backends have none in common.
    pub(crate) fn count_from(&self, key: u64) {
        self.shared.locked().keys = key;
    }

    /// Waits until it has heard this so many times.
    pub(crate) async fn hears(&self, what: &str, times: usize) {
        for _ in 0..800 {
            if self.shared.locked().count(what) >= times {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{what} was not heard: {:?}", self.state().heard);
    }

    /// Waits until nothing is being worked on.
    pub(crate) async fn idle(&self) {
        while self.shared.inside.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Shared {
    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    async fn pause(&self, salt: u64) {
        if self.sluggish > 0 {
            let pause = salt.wrapping_mul(0x9E37_79B9_7F4A_7C15) % self.sluggish;
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// Counted while a request is inside, however it leaves.
struct Inside(Arc<Shared>);

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    shared.inside.fetch_add(1, Ordering::SeqCst);
    let inside = Inside(shared);
    let shared = &inside.0;
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let bytes = body.collect().await.map(|body| body.to_bytes());
    let given: Value = serde_json::from_slice(&bytes.unwrap_or_default()).unwrap_or_default();
    let number = {
        let mut state = shared.locked();
        state.heard.push(format!("{} {path}", parts.method));
        state.heard.len() as u64
    };
    let (status, told) = match (&parts.method, path.as_str()) {
        (&Method::POST, "/login") => (200, json!({ "token": "t" })),
        (&Method::POST, "/logout") => (200, json!({})),
        (&Method::POST, "/api/things") => {
            shared.pause(number).await;
            let key = make(shared, &given);
            let name = given["name"].as_str().unwrap_or_default();
            if name.starts_with("mute") {
                std::future::pending::<()>().await;
            }
            if name.starts_with("slow") {
                let _ = shared.released.subscribe().wait_for(|it| *it).await;
            }
            shared.pause(number + 1).await;
            (201, json!({ "key": key }))
        }
        (method, path) => {
            shared.pause(number).await;
            let key = path.rsplit('/').next().and_then(|key| key.parse().ok());
            let done = one(shared, method, key);
            shared.pause(number + 1).await;
            done
        }
    };
    Ok(Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Full::from(told.to_string()))
        .unwrap())
}

fn make(shared: &Shared, given: &Value) -> u64 {
    let tag = given["tag"].as_str().unwrap_or_default().to_owned();
    let mut state = shared.locked();
    state.keys += 1;
    let key = state.keys;
    *state.made.entry(tag.clone()).or_default() += 1;
    state.objects.insert(key, tag);
    key
}

fn one(shared: &Shared, method: &Method, key: Option<u64>) -> (u16, Value) {
    let mut state = shared.locked();
    let found = key.and_then(|key| state.objects.get(&key).cloned());
    match (method, key, found) {
        (&Method::GET, _, Some(tag)) => (200, json!({ "name": tag })),
        (&Method::DELETE, Some(key), Some(_)) => {
            state.objects.remove(&key);
            (200, json!({}))
        }
        _ => (404, json!({ "message": "there is none" })),
    }
}
