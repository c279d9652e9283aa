//! A backend that follows a script: for each call the next answer, and every call is remembered.
//!
//! A call that the script does not foresee is answered 599 and counted all the same, so that a second
//! call of one request never goes unseen.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// What the backend does with a call.
#[derive(Clone, Debug)]
pub enum Act {
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// Reads the call, then closes the connection without a byte.
    Reset,
    /// Reads the call, and says nothing for as long as the caller waits.
    Silence,
    /// Reads the call, and waits for a permit before it does what it does.
    Held(Arc<Semaphore>, Box<Act>),
    /// Does something first, such as killing the caller.
    After(Effect, Box<Act>),
}

/// Something to be done at a point of the script.
#[derive(Clone)]
pub struct Effect(pub Arc<dyn Fn() + Send + Sync>);

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Effect")
    }
}

/// A call as the backend heard it.
#[derive(Clone, Debug)]
pub struct Heard {
    pub method: String,
    pub path_and_query: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// A running backend; dropped, it stops.
#[derive(Debug)]
pub struct Scripted {
    pub address: SocketAddr,
    shared: Arc<Mutex<Script>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Script {
    acts: VecDeque<Act>,
    heard: Vec<Heard>,
}

impl Scripted {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Mutex::new(Script::default()));
        let script = shared.clone();
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let script = script.clone();
                tokio::spawn(async move {
                    let service = service_fn(|request| act(script.clone(), request));
                    // A reset ends the connection with an error, as it should.
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

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds the answer to the next call that has none yet.
    pub fn will(&self, act: Act) {
        self.shared.lock().unwrap().acts.push_back(act);
    }

    /// Drops the answers that no call has fetched.
    pub fn forget(&self) {
        self.shared.lock().unwrap().acts.clear();
    }

    /// How many calls were heard since the last time they were taken.
    pub fn heard(&self) -> usize {
        self.shared.lock().unwrap().heard.len()
    }

    /// Takes the calls heard since the last time.
    pub fn take_heard(&self) -> Vec<Heard> {
        std::mem::take(&mut self.shared.lock().unwrap().heard)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn act(
    script: Arc<Mutex<Script>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body
        .collect()
        .await
        .map(|body| body.to_bytes())
        .unwrap_or_default();
    let act = {
        let mut script = script.lock().unwrap();
        script.heard.push(Heard {
            method: parts.method.to_string(),
            path_and_query: parts.uri.to_string(),
            headers: parts.headers,
            body,
        });
        script.acts.pop_front()
    };
    let act = match act {
        Some(Act::After(effect, act)) => {
            (effect.0)();
            Some(*act)
        }
        act => act,
    };
    let act = match act {
        Some(Act::Held(gate, act)) => {
            gate.acquire().await.unwrap().forget();
            Some(*act)
        }
        act => act,
    };
    match act {
        Some(Act::After(..) | Act::Held(..)) => unreachable!("it is followed by an answer"),
        Some(Act::Answer {
            status,
            headers,
            body,
        }) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::from(body)).unwrap())
        }
        Some(Act::Reset) => panic_quietly().await,
        Some(Act::Silence) => std::future::pending().await,
        None => Ok(Response::builder()
            .status(599)
            .body(Full::from("the script foresees no call"))
            .unwrap()),
    }
}

/// Ends the connection's task, and so the connection, without an answer.
async fn panic_quietly() -> Result<Response<Full<Bytes>>, Infallible> {
    std::panic::resume_unwind(Box::new("a scripted reset"))
}
