//! Listeners of this process: one in front of a closure, and one pair in front of a relay.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cmp_relay::cli::serve::Running;
use cmp_relay::http::layers::Edge;
use cmp_relay::http::listener::{Bounds, TlsSlot, bind};
use cmp_relay::http::reload::{Recompile, Rejected};
use cmp_relay::http::serve_with;
use cmp_relay::plan::Plan;
use cmp_relay::relay::{Failure, Inbound, Reply};
use cmp_relay::shutdown::{self, Trigger};
use cmp_relay::workers::Workers;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::support::relay::{TestRelay, compile};

/// A listener of its own.
pub(super) struct Serving {
    pub(super) address: SocketAddr,
    pub(super) trigger: Trigger,
    pub(super) task: JoinHandle<()>,
}

/// A plan with these lines in relay.yaml and one route.
pub(super) fn plan(server: &str) -> Plan {
    compile(&files(server))
}

/// The files behind [`plan`]: one backend that nobody calls, one resource.
pub(super) fn files(server: &str) -> Vec<(String, String)> {
    let backend =
        "version: 1\nname: box-1\nkind: box\ndriver:\n  https:\n    url: https://127.0.0.1:9\n";
    let routes = r#"version: 1
resource: thing
kind: box
routes:
  create_thing:
    match: POST /v1/things
    summary: Make a thing
    request:
      body:
        type: object
        required: [id]
        properties:
          id: { type: string, maxLength: 64 }
    call:
      http: POST /things
      body:
        id: "{{ body.id }}"
    mapping:
      create:
        cmp_id: "{{ body.id }}"
        backend_id: $.id
    reply:
      status: 201
      body:
        id: "{{ mapping.cmp_id }}"
  delete_thing:
    match: DELETE /v1/things/{id}
    object: "{{ path.id }}"
    call:
      http: DELETE /things/{{ object.backend_id }}
    mapping: delete
    reply:
      status: 204
"#;
    [
        ("relay.yaml", format!("version: 1\n{server}")),
        ("backends.d/box-1.yaml", backend.to_owned()),
        ("routes.d/thing.yaml", routes.to_owned()),
    ]
    .map(|(path, text)| (path.to_owned(), text))
    .to_vec()
}

/// Bounds in which nothing takes long.
pub(super) fn quick() -> Bounds {
    Bounds {
        header_read: Duration::from_millis(150),
        body_read: Duration::from_millis(150),
        ..Bounds::default()
    }
}

/// Serves a plan with a handler that stands for the relay.
pub(super) async fn serve<H, F>(
    plan: Plan,
    bounds: Bounds,
    tls: Option<TlsSlot>,
    handler: H,
) -> Serving
where
    H: Fn(Inbound) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Failure>> + Send + 'static,
{
    let socket = loopback().await;
    let address = socket.local_addr().unwrap();
    let (trigger, stop) = shutdown::channel();
    let edge = Arc::new(Edge::new(Arc::new(plan), bounds));
    let task = tokio::spawn(serve_with(
        socket,
        tls,
        edge,
        stop,
        Workers::default(),
        handler,
    ));
    Serving {
        address,
        trigger,
        task,
    }
}

/// Answers with what came: method, path, caller, length of the body.
pub(super) async fn echo(inbound: Inbound) -> Result<Reply, Failure> {
    let words = format!(
        "{} {} by {} with {}",
        inbound.method,
        inbound.path,
        inbound.caller.name,
        inbound.body.len()
    );
    Ok(Reply {
        status: StatusCode::OK,
        headers: HeaderMap::new(),
        body: words.into(),
    })
}

async fn loopback() -> TcpListener {
    bind("127.0.0.1:0".parse().unwrap()).await.unwrap()
}

/// Both listeners in front of a relay on SQLite, as `serve` starts them.
pub(super) struct Whole {
    pub(super) cmp: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) relay: TestRelay,
    /// What the next reload compiles to.
    pub(super) next: Arc<Mutex<Option<Plan>>>,
    pub(super) running: Running,
}

pub(super) async fn whole(server: &str) -> Whole {
    over(TestRelay::start(&files(server)).await).await
}

/// The same, its one backend being at `url`.
pub(super) async fn whole_over(server: &str, url: &str) -> Whole {
    over(TestRelay::start(&files_over(server, url)).await).await
}

pub(super) fn files_over(server: &str, url: &str) -> Vec<(String, String)> {
    let mut files = files(server);
    files[1].1 = files[1].1.replace("https://127.0.0.1:9", url);
    files
}

/// The same of a relay that runs.
pub(super) async fn over(relay: TestRelay) -> Whole {
    let (cmp, admin) = (loopback().await, loopback().await);
    let next = Arc::new(Mutex::new(None));
    let offered = next.clone();
    let recompile: Recompile = Arc::new(move || {
        offered.lock().unwrap().take().ok_or_else(|| Rejected {
            diagnostics: serde_json::json!([{ "code": "bad-yaml" }]),
            text: "error[bad-yaml]: it is bad".into(),
        })
    });
    Whole {
        cmp: cmp.local_addr().unwrap(),
        admin: admin.local_addr().unwrap(),
        running: Running::start(relay.relay.clone(), cmp, admin, recompile).unwrap(),
        relay,
        next,
    }
}

/// SHA-256 of a token, as `token_sha256` lists it.
pub(super) fn hash(token: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let digits = hash.as_ref().iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// Three clients, one for each role; a token is `<name>-token`.
pub(super) fn clients() -> String {
    let mut text = String::from("clients:\n");
    for (name, role) in [("cmp", "cmp"), ("look", "reader"), ("ops", "operator")] {
        let hash = hash(&format!("{name}-token"));
        text += &format!("  - name: {name}\n    token_sha256: [\"{hash}\"]\n    roles: [{role}]\n");
    }
    text
}
