//! What keeps a request from its call is what the CMP would get: the same document, status and headers,
//! and the step at which it arises.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use cmp_relay::cli::explain::rows;
use cmp_relay::demo::packs::openstack;
use cmp_relay::store::MemoryStore;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{args, base, plan, told};
use crate::support::pack::over;
use crate::support::program::{Folder, Served, run};
use crate::support::relay::{CmpRequest, TestRelay};

/// A request that comes to no call: what is typed, the code, and the step.
type Case<'a> = (&'a [&'a str], &'a str, &'a str);

/// The pack, with a secret that tests have.
fn shipped(relay: &str) -> Vec<(String, String)> {
    let mut files = over(&[&openstack::PACK], &[]);
    files.push(("relay.yaml".to_owned(), relay.to_owned()));
    files
}

/// Every case, through `explain` and through a relay.
async fn agree(files: &[(String, String)], cases: &[Case<'_>]) {
    let store = Arc::new(MemoryStore::default());
    let relay = TestRelay::start_over(store.clone(), Path::new("."), files).await;
    let plan = plan(files);
    for (typed, code, step) in cases {
        let args = args(typed);
        store.hold(rows::read(&args.mapping, &plan).unwrap());
        relay.relay.journal().forget_cached();
        let mut headers: Vec<(String, String)> = args
            .header
            .iter()
            .map(|header| {
                let (name, value) = header.split_once(": ").unwrap();
                (name.to_owned(), value.to_owned())
            })
            .collect();
        let typed_type = headers.iter().any(|(name, _)| name == "content-type");
        if args.body.is_some() && !typed_type {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let reply = relay
            .request(CmpRequest {
                method: args.method.clone(),
                path_and_query: args.path.clone(),
                headers,
                body: args.body.clone().unwrap_or_default(),
                client: "anonymous".to_owned(),
            })
            .await;
        let words: Vec<String> = typed.iter().map(|word| (*word).to_owned()).collect();
        let plan = plan.clone();
        let account = tokio::task::spawn_blocking(move || {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            told(&plan, &words)
        })
        .await
        .unwrap();
        let refused = account.refused.unwrap_or_else(|| panic!("{typed:?}"));
        let problem: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(problem["code"], *code, "{typed:?}: {problem}");
        assert_eq!(refused.problem, problem, "{typed:?}");
        assert_eq!(refused.status, reply.status, "{typed:?}");
        let headers: Vec<(String, String)> = reply
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect();
        assert_eq!(refused.headers, headers, "{typed:?}");
        assert_eq!(refused.at, *step, "{typed:?}: {problem}");
        assert!(
            account.call.is_none() && account.record.is_none(),
            "{typed:?}"
        );
    }
}

const NETWORK: &str = r#"{"id":"n1","region":"RegionOne","name":"front"}"#;
const MAPPED: &str = "network/n1=neutron-1:be-1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_relay_refuses_the_same_at_every_step() {
    let create = ["POST", "/v1/networks", "--body"];
    let floating = r#"{"id":"f1","network_id":"ext","port_id":"p1"}"#;
    let cases: [Case<'_>; 17] = [
        (&["GET", "/v1/netwroks/n1"], "route_not_found", "matched"),
        (
            &["PATCH", "/v1/networks/n1"],
            "method_not_allowed",
            "matched",
        ),
        (&["GET", "/v1/networks/%ff"], "malformed_request", "parsed"),
        (
            &[create[0], create[1], "--body", "{"],
            "malformed_request",
            "parsed",
        ),
        (
            &[create[0], create[1], "--body", r#"{"id":"a","id":"b"}"#],
            "malformed_request",
            "parsed",
        ),
        (
            &[
                create[0],
                create[1],
                "--body",
                NETWORK,
                "--header",
                "content-type: text/plain",
            ],
            "unsupported_media_type",
            "parsed",
        ),
        (
            &[
                create[0],
                create[1],
                "--body",
                NETWORK,
                "--header",
                "idempotency-key: a b",
            ],
            "idempotency_key_invalid",
            "parsed",
        ),
        (&["POST", "/v1/networks"], "malformed_request", "validated"),
        (
            &[
                create[0],
                create[1],
                "--body",
                r#"{"id":"n1","region":"RegionOne"}"#,
            ],
            "schema_violation",
            "validated",
        ),
        (
            &["GET", "/v1/networks?region=RegionOne&x=1"],
            "schema_violation",
            "validated",
        ),
        (&["GET", "/v1/networks/n1"], "not_mapped", "resolved"),
        (&["GET", "/v1/networks/a%01b"], "unsafe_value", "resolved"),
        (
            &[
                "GET",
                "/v1/networks/n1",
                "--mapping",
                "network/n1=neutron-1",
            ],
            "pending_object",
            "resolved",
        ),
        (
            &[
                "POST",
                "/v1/floating-ips",
                "--body",
                floating,
                "--mapping",
                "network/ext=neutron-1:be-ext",
                "--mapping",
                "port/p1=neutron-2:be-port",
            ],
            "wrong_backend",
            "resolved",
        ),
        (
            &[create[0], create[1], "--body", NETWORK, "--mapping", MAPPED],
            "already_mapped",
            "resolved",
        ),
        (
            &[
                create[0],
                create[1],
                "--body",
                r#"{"id":"n1","region":"Mars","name":"front"}"#,
            ],
            "no_backend",
            "chosen",
        ),
        (
            &[
                "POST",
                "/v1/subnets",
                "--body",
                r#"{"id":"s1","network_id":"n1","cidr":"10.0.0.0/24"}"#,
            ],
            "not_mapped",
            "resolved",
        ),
    ];
    agree(&shipped("version: 1\n"), &cases).await;

    let keyed = shipped("operations: { idempotency_key: required }\n");
    let case: Case<'_> = (
        &[create[0], create[1], "--body", NETWORK],
        "idempotency_key_required",
        "parsed",
    );
    agree(&keyed, &[case]).await;
}

/// A route that names its instance, one that is of a single client, and one whose value cannot go out.
const ODD: &str = r#"
version: 1
resource: odd
kind: box
routes:
  get_odd:
    match: GET /v1/boxes/{box}/odd
    select: { instance: "{{ path.box }}" }
    call: { http: GET /api/odd }
  own_odd:
    match: GET /v1/own-odd
    clients: [other]
    call: { http: GET /api/odd }
  head_odd:
    match: GET /v1/head-odd/{value}
    call:
      http: GET /api/odd
      headers: { X-Value: "{{ path.value }}" }
  path_odd:
    match: GET /v1/path-odd/{value}
    call: { http: "GET /api/odd/{{ path.value }}" }
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_only_odd_routes_refuse_is_the_same_too() {
    let client = |name: &str, digit: &str| {
        let hash = digit.repeat(64);
        format!("  - name: {name}\n    token_sha256: [\"{hash}\"]\n    roles: [cmp]\n")
    };
    let clients = format!(
        "clients:\n{}{}",
        client("other", "a"),
        client("anonymous", "b")
    );
    let files = base(&[("routes.d/odd.yaml", ODD), ("relay.yaml", &clients)]);
    let asks = |path: &'static str| vec!["GET", path, "--client", "anonymous"];
    let (instance, own) = (asks("/v1/boxes/two/odd"), asks("/v1/own-odd"));
    let (head, path) = (asks("/v1/head-odd/a%0Ab"), asks("/v1/path-odd/.."));
    let cases: [Case<'_>; 4] = [
        (&instance, "no_such_backend", "chosen"),
        (&own, "forbidden", "allowed"),
        (&head, "unsafe_value", "rendered"),
        (&path, "unsafe_value", "rendered"),
    ];
    agree(&files, &cases).await;
}

/// One request over a socket, as it is typed; status, and the problem.
async fn asked(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Value {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = match body {
        "" => String::new(),
        body => format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        ),
    };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n{headers}{length}\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_door_refuses_the_same() {
    let folder = Folder::new("http://127.0.0.1:1");
    let (_, token, _) = crate::support::program::told(&run(&["token", "new", "cmp"]));
    let hash = token
        .split(|c: char| !c.is_ascii_hexdigit())
        .find(|word| word.len() == 64)
        .unwrap();
    folder.relay(&format!(
        "limits: {{ request_body: 1KiB }}\nclients:\n  - name: looks\n    token_sha256: [\"{hash}\"]\n    \
         roles: [reader]\n"
    ));
    let served = Served::start(&folder);
    let secret = token
        .split_whitespace()
        .find(|word| word.len() > 20 && !word.contains(hash))
        .unwrap();
    let long = format!("/v1/things/{}", "x".repeat(9000));
    let wide = format!("X-Wide: {}", "x".repeat(40_000));
    let bearer = format!("Authorization: Bearer {secret}");
    let big = format!("{{\"name\":\"{}\"}}", "x".repeat(2000));
    let cases: [(&str, &str, Option<&str>, &str, &str); 6] = [
        ("GET", &long, None, "", "uri_too_long"),
        ("GET", "/v1/things", Some(&wide), "", "headers_too_large"),
        (
            "GET",
            "/v1/things",
            Some("X_Odd: 1"),
            "",
            "malformed_request",
        ),
        ("GET", "/v1/things", None, "", "unauthenticated"),
        (
            "POST",
            "/v1/things",
            Some("Authorization: Bearer x"),
            &big,
            "unauthenticated",
        ),
        ("GET", "/v1/things", Some(&bearer), "", "forbidden"),
    ];
    for (method, path, header, body, code) in cases {
        let line = header.map_or_else(String::new, |header| format!("{header}\r\n"));
        let problem = asked(served.cmp, method, path, &line, body).await;
        assert_eq!(problem["code"], code);
        let mut typed = vec!["explain", method, path, "--config", folder.argument()];
        typed.extend(["--format", "json"]);
        if let Some(header) = header {
            typed.extend(["--header", header]);
        }
        if !body.is_empty() {
            typed.extend(["--body", body]);
        }
        let (status, out, said) = crate::support::program::told(&run(&typed));
        assert_eq!(status, 1, "{said}");
        let told: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(told["refused"]["problem"], problem);
        assert_eq!(told["refused"]["at"], "received");
        assert!(!out.contains(secret), "{out}");
    }

    // The body is asked for last, of a client that may.
    drop(served);
    folder.relay("limits: { request_body: 1KiB }\n");
    let served = Served::start(&folder);
    let problem = asked(served.cmp, "POST", "/v1/things", "", &big).await;
    assert_eq!(problem["code"], "body_too_large");
    let typed = [
        "explain",
        "POST",
        "/v1/things",
        "--config",
        folder.argument(),
    ];
    let (status, out, _) =
        crate::support::program::told(&run(
            &[&typed[..], &["--format", "json", "--body", &big]].concat()
        ));
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((status, &told["refused"]["problem"]), (1, &problem));
}
