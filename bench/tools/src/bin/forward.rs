//! The floor of the relay's stack: a hyper server that passes each request on through a pooled hyper client, and does
//! nothing else. `forward --port P --to HOST:PORT`.

use bench_tools::{on_one_thread, option, serve};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

fn main() {
    let to: String = option("--to", "127.0.0.1:9000".to_owned());
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    on_one_thread(serve(
        option("--port", 9100),
        move |request: Request<Incoming>| {
            let (client, to) = (client.clone(), to.clone());
            async move {
                let (mut head, body) = request.into_parts();
                let body = body
                    .collect()
                    .await
                    .map(|body| body.to_bytes())
                    .unwrap_or_default();
                let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
                head.uri = Uri::try_from(format!("http://{to}{path}")).expect("it was one before");
                match client
                    .request(Request::from_parts(head, Full::new(body)))
                    .await
                {
                    Ok(answer) => {
                        let (head, body) = answer.into_parts();
                        let body = body
                            .collect()
                            .await
                            .map(|body| body.to_bytes())
                            .unwrap_or_default();
                        Response::from_parts(head, Full::new(body))
                    }
                    Err(_) => {
                        let mut bad = Response::new(Full::default());
                        *bad.status_mut() = StatusCode::BAD_GATEWAY;
                        bad
                    }
                }
            }
        },
    ));
}
