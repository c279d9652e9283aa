//! Latency at a low rate: `gentle --url http://HOST:PORT/PATH --rate 200 --seconds 3 [--token T]` asks one after the other at
//! fixed times, counts each from the time at which it was due where the one before it ended later, and prints the median in
//! microseconds.
//! `%` in the path is a number from 1 to `--ids`.

use std::time::{Duration, Instant};

use bench_tools::{on_one_thread, option};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

fn main() {
    on_one_thread(async {
        let url: Uri = option(
            "--url",
            Uri::from_static("http://127.0.0.1:9000/objects/%25"),
        );
        let token: String = option("--token", String::new());
        let (rate, seconds): (u64, u64) = (option("--rate", 200), option("--seconds", 3));
        let ids: u64 = option("--ids", 10_000);
        let authority = url.authority().expect("a host").as_str().to_owned();
        let stream = TcpStream::connect(&authority).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("HTTP");
        let local = tokio::task::LocalSet::new();
        local.spawn_local(connection);
        let times = local.run_until(async {
            let mut times = Vec::new();
            let begin = Instant::now();
            for number in 0..rate * seconds {
                let due = begin + Duration::from_micros(1_000_000 / rate * number);
                // Nothing else runs here, and the runtime's timer is too coarse.
                let since = match due.checked_duration_since(Instant::now()) {
                    Some(wait) => {
                        std::thread::sleep(wait);
                        Instant::now()
                    }
                    None => due,
                };
                let path = url.path_and_query().expect("a path").as_str();
                let path = path.replace("%25", &(number * 7919 % ids + 1).to_string());
                let request = Request::get(path)
                    .header("host", &authority)
                    .header("authorization", format!("Bearer {token}"))
                    .body(Empty::<Bytes>::new())
                    .expect("a request");
                let answer = sender.send_request(request).await.expect("an answer");
                assert_eq!(answer.status(), StatusCode::OK, "{authority}");
                answer.into_body().collect().await.expect("a body");
                times.push(since.elapsed());
            }
            times
        });
        let mut times = times.await;
        times.sort();
        println!("{}", times[times.len() / 2].as_micros());
    });
}
