//! The fixed backend: `GET /objects/ID` answers some 600 bytes of JSON, `POST /objects` 201 and a new id; after `--delay` ms.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bench_tools::{on_one_thread, option, serve};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};

fn main() {
    let delay = Duration::from_millis(option("--delay", 0));
    let made = Rc::new(Cell::new(0_u64));
    // A mapping keeps an id for ever, also from a backend that has ended: no id is given twice.
    let born = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("the clock is past 1970")
        .as_millis() as u32;
    on_one_thread(serve(
        option("--port", 9000),
        move |request: Request<Incoming>| {
            let made = made.clone();
            async move {
                let (head, body) = request.into_parts();
                // Read to its end, or the connection cannot be kept.
                let _ = body.collect().await;
                if !delay.is_zero() {
                    tokio::time::sleep(delay).await;
                }
                let (status, text) = match head.method {
                    Method::POST => {
                        made.set(made.get() + 1);
                        (
                            StatusCode::CREATED,
                            object(&format!("be-{born:08x}{:08}", made.get()), 4),
                        )
                    }
                    _ => (
                        StatusCode::OK,
                        object(head.uri.path().rsplit('/').next().unwrap_or_default(), 16),
                    ),
                };
                let mut response = Response::new(Full::new(Bytes::from(text)));
                *response.status_mut() = status;
                let json = hyper::header::HeaderValue::from_static("application/json");
                response.headers_mut().insert("content-type", json);
                response
            }
        },
    ));
}

/// An object as appliances give it: its id, a few facts and some filling.
fn object(id: &str, facts: usize) -> String {
    let facts: Vec<String> = (0..facts)
        .map(|number| format!(r#""fact_{number:02}":"value-{number:02}-of-it""#))
        .collect();
    format!(
        r#"{{"data":{{"id":"{id}","name":"object","status":"ACTIVE","vlan":101,"mtu":1500,"enabled":true,{}}},"request":"{}"}}"#,
        facts.join(","),
        "r".repeat(36)
    )
}
