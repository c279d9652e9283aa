//! What the tools have in common: words of a command line, and a server on one thread.

use std::convert::Infallible;
use std::future::Future;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The value behind `--name`, or `default`.
pub fn option<T: std::str::FromStr>(name: &str, default: T) -> T {
    let mut words = std::env::args().skip_while(|word| word != name);
    match words.nth(1).map(|word| word.parse()) {
        Some(Ok(value)) => value,
        Some(Err(_)) => panic!("{name} has no such value"),
        None => default,
    }
}

/// Runs on this thread alone.
pub fn on_one_thread(main: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(main);
}

/// Serves HTTP/1.1 on a loopback port, for ever.
pub async fn serve<F, A>(port: u16, answer: F)
where
    F: Fn(Request<Incoming>) -> A + Clone + 'static,
    A: Future<Output = Response<Full<Bytes>>> + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("the port is free");
    let local = tokio::task::LocalSet::new();
    local
        .run_until(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let _ = stream.set_nodelay(true);
                let answer = answer.clone();
                let service = service_fn(move |request| {
                    let answered = answer(request);
                    async move { Ok::<_, Infallible>(answered.await) }
                });
                tokio::task::spawn_local(
                    hyper::server::conn::http1::Builder::new()
                        .pipeline_flush(true)
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        })
        .await;
}
