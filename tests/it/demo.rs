//! The demo as a reader meets it: the built binary, its printed lines, a second run; and the
//! simulated backends against what real ones answer.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use cmp_relay::demo::packs;
use cmp_relay::demo::simulate::Stage;
use cmp_relay::demo::simulate::devices::Devices;
use cmp_relay::demo::simulate::openstack::{self, Options, Simulated};
use cmp_relay::diagnostics::text;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::support::pack::{ask as ask_switch, devices_on, switches_over};
use crate::support::relay::TestRelay;

/// A printed line: its number's status and the command.
#[derive(Debug)]
pub(crate) struct Printed {
    pub(crate) expect_status: String,
    pub(crate) command: String,
}

/// A running demo.
pub(crate) struct Demo {
    process: Child,
    pub(crate) steps: Vec<Printed>,
    pub(crate) preface: Vec<String>,
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Demo {
    /// Starts it with ports of its own and reads all that it prints before it waits.
    pub(crate) fn start(data: &Path, port: u16) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_cmp-relay"))
            .args(["demo", "--data"])
            .arg(data)
            .args(["--port", &port.to_string()])
            .args(["--admin-port", &(port + 1).to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut steps: Vec<Printed> = Vec::new();
        let mut preface = Vec::new();
        let mut status = String::new();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        for line in lines.by_ref() {
            let line = line.unwrap();
            if let Some(command) = line.strip_prefix("   curl ") {
                steps.push(Printed {
                    expect_status: status.clone(),
                    command: format!("curl {command}"),
                });
            } else if let Some((_, last)) = line.rsplit_once('(') {
                status = last.trim_end_matches(')').to_owned();
            }
            if line.starts_with("Ctrl-C") {
                break;
            }
            preface.push(line);
        }
        // The log goes on: a pipe that nobody reads would fill.
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            process,
            steps,
            preface,
        }
    }

    /// Runs every printed line in a shell; gives what each answered.
    fn run_all(&self) -> Vec<String> {
        assert!(self.steps.len() > 15, "{:?}", self.preface);
        let mut answers = Vec::new();
        for step in &self.steps {
            let ran = Command::new("sh")
                .args(["-c", &step.command])
                .output()
                .unwrap();
            let answer = String::from_utf8(ran.stdout).unwrap();
            let status = answer.split(' ').nth(1).unwrap_or("none");
            assert_eq!(status, step.expect_status, "{step:?}\n{answer}");
            answers.push(answer);
        }
        answers
    }

    /// Ctrl-C, as a terminal sends it; whether the demo ended well.
    pub(crate) fn interrupt(mut self) -> bool {
        let sent = Command::new("kill")
            .args(["-INT", &self.process.id().to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
        self.process.wait().unwrap().success()
    }
}

/// A port whose successor is free too, as far as can be known.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().min(u16::MAX - 60)
}

#[test]
fn every_printed_line_works_as_it_stands_and_a_second_run_keeps_what_was_made() {
    let data = tempfile::tempdir().unwrap();
    let demo = Demo::start(data.path(), free_port());
    let first = demo.run_all();
    assert!(demo.interrupt(), "Ctrl-C ends the demo with status 0");

    let demo = Demo::start(data.path(), free_port());
    let second = demo.run_all();
    assert!(demo.interrupt());
    // The create of the first run is a replay in the second: same operation, no call.
    assert!(!first[0].to_lowercase().contains("idempotency-replayed"));
    assert!(
        second[0]
            .to_lowercase()
            .contains("idempotency-replayed: true")
    );
    let mapped = |answer: &str| answer.matches("\"cmp_id\":\"net-1\"").count();
    let table = first.len() - 2;
    assert_eq!((mapped(&first[table]), mapped(&second[table])), (1, 1));
    let (_, body) = second[table].split_once("\r\n\r\n").unwrap();
    crate::database::examples_are_among(&serde_json::from_str(body).unwrap());
}

/// `demo --script` over this folder: whether it ended well, its lines, and its last words.
fn script(data: &Path) -> (Option<i32>, Vec<String>, String) {
    let port = free_port();
    let ran = Command::new(env!("CARGO_BIN_EXE_cmp-relay"))
        .args(["demo", "--script", "--data"])
        .arg(data)
        .args(["--port", &port.to_string()])
        .args(["--admin-port", &(port + 1).to_string()])
        .output()
        .unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    let words = String::from_utf8(ran.stderr).unwrap();
    let lines = out.lines().map(str::to_owned).collect();
    (ran.status.code(), lines, words)
}

#[test]
fn a_script_sends_every_step_on_the_second_run_as_on_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let first = script(folder.path());
    assert_eq!((first.0, &*first.2), (Some(0), ""), "{first:?}");
    let steps = |lines: &[String]| -> Vec<String> {
        let step = |line: &&String| line.trim_start().starts_with(|c: char| c.is_ascii_digit());
        lines.iter().filter(step).cloned().collect()
    };
    let told = steps(&first.1);
    let last = told.last().unwrap();
    let (number, all) = last.trim().split_once('/').unwrap();
    assert!(all.starts_with(&format!("{number}  200  ")), "{last}");
    assert_eq!(told.len().to_string(), number);
    let headings = first.1.iter().filter(|line| line.starts_with("--- "));
    assert_eq!(headings.count(), packs::PACKS.len() + 1);
    let second = script(folder.path());
    assert_eq!((second.0, steps(&second.1)), (Some(0), told), "{second:?}");
}

#[test]
fn a_step_that_is_answered_differently_ends_the_script_with_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    // A route file that is there is the reader's; in this one the path is another.
    let shipped = std::fs::read_to_string("routes.d/subnets.yaml").unwrap();
    let edited = shipped.replace("match: POST /v1/subnets", "match: POST /v1/sub-nets");
    let file = folder.path().join("config/routes.d/subnets.yaml");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, edited).unwrap();
    let (status, lines, words) = script(folder.path());
    assert_eq!(status, Some(1), "{words}");
    for said in [
        "is to be answered with 201",
        "/v1/subnets",
        "\"code\":\"method_not_allowed\"",
    ] {
        assert!(words.contains(said), "{said}: {words}");
    }
    assert!(
        lines.iter().any(|line| line.starts_with("  5/")),
        "{lines:?}"
    );
}

#[test]
fn a_port_that_is_in_use_gives_way_to_the_next() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let data = tempfile::tempdir().unwrap();
    let demo = Demo::start(data.path(), port);
    let said = format!("Port {port} is in use");
    assert!(
        demo.preface.iter().any(|line| line.starts_with(&said)),
        "{:?}",
        demo.preface
    );
    assert!(demo.interrupt());
}

// --- the simulated backends -----------------------------------------------------------------------

/// A region that keeps its objects there, or in memory.
fn simulated(data: Option<PathBuf>) -> (Stage, Simulated) {
    let mut stage = Stage::new(data, None);
    let options = Options {
        regions: vec!["RegionOne".into()],
        password: "secret".into(),
        token_ttl: Duration::from_secs(60),
    };
    let simulated = openstack::start(&mut stage, options).unwrap();
    (stage, simulated)
}

async fn ask(
    method: Method,
    url: &str,
    token: Option<&str>,
    body: Option<Value>,
) -> (StatusCode, http::HeaderMap, Value) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut request = Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header("x-auth-token", token);
    }
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = request.body(Full::new(Bytes::from(body))).unwrap();
    let answer = client.request(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = match bytes.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&bytes).unwrap(),
    };
    (parts.status, parts.headers, body)
}

async fn log_in(simulated: &Simulated, password: &str) -> Option<String> {
    let domain = json!({ "name": "Default" });
    let body = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": {
            "name": "relay", "domain": domain, "password": password } } },
        "scope": { "project": { "name": "admin", "domain": domain } },
    }});
    let url = format!("{}/auth/tokens", simulated.keystone);
    let (_, headers, _) = ask(Method::POST, &url, None, Some(body)).await;
    let token = headers.get("x-subject-token")?;
    Some(token.to_str().unwrap().to_owned())
}

/// A logged-in caller of the one region.
struct Region {
    stage: Stage,
    simulated: Simulated,
    token: String,
}

impl Region {
    async fn start() -> Self {
        Self::start_in(None).await
    }

    async fn start_in(data: Option<PathBuf>) -> Self {
        let (stage, simulated) = simulated(data);
        let token = log_in(&simulated, "secret").await.unwrap();
        Self {
            stage,
            simulated,
            token,
        }
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let url = format!("{}/v2.0/{path}", self.simulated.regions[0].url);
        let (status, _, body) = ask(method, &url, Some(&self.token), body).await;
        (status, body)
    }

    async fn create(&self, path: &str, member: &str, body: Value) -> String {
        let body = Some(json!({ member: body }));
        let (status, body) = self.ask(Method::POST, path, body).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body[member]["id"].as_str().unwrap().to_owned()
    }

    async fn refused(&self, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
        let (status, body) = self.ask(method, path, body).await;
        let kind = body["NeutronError"]["type"].as_str();
        (status.as_u16(), kind.unwrap_or("none").to_owned())
    }
}

#[tokio::test]
async fn a_wrong_password_and_a_stale_token_are_401_in_keystones_shape() {
    let (_stage, simulated) = simulated(None);
    assert_eq!(log_in(&simulated, "wrong").await, None);
    let token = log_in(&simulated, "secret").await.unwrap();
    let url = format!("{}/v2.0/networks", simulated.regions[0].url);
    let (status, ..) = ask(Method::GET, &url, Some(&token), None).await;
    assert_eq!(status, StatusCode::OK);
    simulated.expire_tokens();
    let (status, headers, body) = ask(Method::GET, &url, Some(&token), None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert_eq!(body["error"]["code"], 401);
    assert!(headers.contains_key("www-authenticate"));
    let counters = &simulated.counters;
    assert_eq!(
        (counters.logins(), counters.calls(), counters.unauthorized()),
        (1, 2, 2)
    );
}

#[tokio::test]
async fn a_region_refuses_what_neutron_refuses() {
    let region = Region::start().await;
    let net = region
        .create("networks", "network", json!({ "name": "n" }))
        .await;
    let subnet = |cidr: &str| json!({ "network_id": net, "ip_version": 4, "cidr": cidr });
    let sub = region
        .create("subnets", "subnet", subnet("10.1.0.0/24"))
        .await;
    let ip =
        json!({ "network_id": net, "fixed_ips": [{ "subnet_id": sub, "ip_address": "10.1.0.9" }] });
    region.create("ports", "port", ip.clone()).await;
    let nobody = "11111111-1111-1111-1111-111111111111";

    let at = |path: &str, id: &str| format!("{path}/{id}");
    for (method, path, body, status, kind) in [
        (
            Method::POST,
            "subnets".to_owned(),
            Some(json!({ "subnet": subnet("10.1.0.0/25") })),
            400,
            "InvalidInput",
        ),
        (
            Method::POST,
            "networks".to_owned(),
            Some(json!({ "network": { "foo": 1 } })),
            400,
            "HTTPBadRequest",
        ),
        (
            Method::POST,
            "ports".to_owned(),
            Some(json!({ "port": ip })),
            409,
            "IpAddressAlreadyAllocated",
        ),
        (
            Method::POST,
            "ports".to_owned(),
            Some(json!({ "port": { "network_id": nobody } })),
            404,
            "NetworkNotFound",
        ),
        (
            Method::POST,
            "floatingips".to_owned(),
            Some(json!({ "floatingip": { "floating_network_id": net } })),
            400,
            "BadRequest",
        ),
        (
            Method::DELETE,
            at("networks", &net),
            None,
            409,
            "NetworkInUse",
        ),
        (
            Method::DELETE,
            at("subnets", &sub),
            None,
            409,
            "SubnetInUse",
        ),
        (
            Method::GET,
            at("networks", nobody),
            None,
            404,
            "NetworkNotFound",
        ),
        (
            Method::GET,
            "networks?foo=1".to_owned(),
            None,
            400,
            "HTTPBadRequest",
        ),
        (Method::GET, "nothing".to_owned(), None, 404, "HTTPNotFound"),
        (
            Method::PATCH,
            at("networks", &net),
            None,
            405,
            "HTTPMethodNotAllowed",
        ),
    ] {
        let got = region.refused(method.clone(), &path, body).await;
        assert_eq!(got, (status, kind.to_owned()), "{method} {path}");
    }
}

#[tokio::test]
async fn a_floating_ip_needs_a_router_between_and_keeps_its_interface() {
    let region = Region::start().await;
    let external = json!({ "name": "ext", "router:external": true });
    let ext = region.create("networks", "network", external).await;
    let net = region
        .create("networks", "network", json!({ "name": "n" }))
        .await;
    for (network, cidr) in [(&ext, "172.24.0.0/24"), (&net, "10.1.0.0/24")] {
        let body = json!({ "network_id": network, "ip_version": 4, "cidr": cidr });
        region.create("subnets", "subnet", body).await;
    }
    let (_, subnets) = region
        .ask(Method::GET, &format!("subnets?network_id={net}"), None)
        .await;
    let sub = subnets["subnets"][0]["id"].clone();
    let port = region
        .create("ports", "port", json!({ "network_id": net }))
        .await;
    let floating = json!({ "floatingip": { "floating_network_id": ext, "port_id": port } });
    let got = region
        .refused(Method::POST, "floatingips", Some(floating.clone()))
        .await;
    assert_eq!(
        got,
        (404, "ExternalGatewayForFloatingIPNotFound".to_owned())
    );

    let gateway = json!({ "external_gateway_info": { "network_id": ext } });
    let router = region.create("routers", "router", gateway).await;
    let action = |verb: &str| format!("routers/{router}/{verb}_router_interface");
    let on = Some(json!({ "subnet_id": sub }));
    let (status, interface) = region.ask(Method::PUT, &action("add"), on.clone()).await;
    assert_eq!((status, &interface["subnet_id"]), (StatusCode::OK, &sub));
    let again = region
        .refused(Method::PUT, &action("add"), on.clone())
        .await;
    assert_eq!(again, (400, "BadRequest".to_owned()));

    let (status, made) = region
        .ask(Method::POST, "floatingips", Some(floating))
        .await;
    assert_eq!(
        (status, &made["floatingip"]["router_id"]),
        (StatusCode::CREATED, &json!(router))
    );
    let needed = region
        .refused(Method::PUT, &action("remove"), on.clone())
        .await;
    assert_eq!(needed, (409, "RouterInterfaceInUseByFloatingIP".to_owned()));
    let id = made["floatingip"]["id"].as_str().unwrap();
    let (status, _) = region
        .ask(Method::DELETE, &format!("floatingips/{id}"), None)
        .await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = region.ask(Method::PUT, &action("remove"), on).await;
    assert_eq!(status, StatusCode::OK);
}

#[tokio::test]
async fn a_list_pages_with_neutrons_links() {
    let region = Region::start().await;
    for name in ["a", "b", "c"] {
        region
            .create("networks", "network", json!({ "name": name }))
            .await;
    }
    let mut path = "networks?limit=2&fields=id".to_owned();
    let mut seen = 0;
    loop {
        let (_, page) = region.ask(Method::GET, &path, None).await;
        seen += page["networks"].as_array().unwrap().len();
        let links = page["networks_links"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        let next = links.iter().find(|link| link["rel"] == "next");
        match next.and_then(|link| link["href"].as_str()) {
            Some(href) => path = href.split_once("/v2.0/").unwrap().1.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, 3);
}

#[tokio::test]
async fn a_region_remembers_its_objects() {
    let folder = tempfile::tempdir().unwrap();
    let data = || Some(folder.path().to_owned());
    let region = Region::start_in(data()).await;
    let net = region
        .create("networks", "network", json!({ "name": "kept" }))
        .await;
    region.stage.stop().await;

    let region = Region::start_in(data()).await;
    let (status, body) = region
        .ask(Method::GET, &format!("networks/{net}"), None)
        .await;
    assert_eq!(
        (status, &body["network"]["name"]),
        (StatusCode::OK, &json!("kept"))
    );
}

#[test]
fn the_shipped_packs_compile_without_a_warning() {
    let secrets = packs::secrets().map(|name| (name.to_owned(), "x".to_owned()));
    let env = cmp_relay::config::Env::new(secrets);
    let files: Vec<_> = packs::files().collect();
    let loaded = cmp_relay::config::load_from_memory(&files, &env);
    let said = text::render_text(&loaded.diagnostics, &loaded.files, false);
    assert_eq!(said, "");
    let plan = loaded.plan.unwrap();
    // Eight resources of Neutron with five routes each, less the two that it does not update; four of chaining;
    // six of switches; five of firewalls; six of WAFs; three of a fabric.
    assert_eq!(
        (plan.resources.len(), plan.routes.len()),
        (8 + 4 + 6 + 5 + 6 + 3, 38 + 20 + 16 + 23 + 19 + 10)
    );
    // Each says what it does, and shows it.
    for route in &plan.routes {
        assert!(route.summary.is_some(), "{}", route.name);
    }
}

// --- the simulated devices ------------------------------------------------------------------------

/// Both devices, and a relay over them.
struct Switches {
    stage: Stage,
    devices: Devices,
    relay: TestRelay,
}

impl Switches {
    async fn start() -> Self {
        Self::start_in(None).await
    }

    async fn start_in(data: Option<PathBuf>) -> Self {
        let mut stage = Stage::new(data, None);
        let devices = devices_on(&mut stage);
        let relay = TestRelay::start(&switches_over(&devices)).await;
        Self {
            stage,
            devices,
            relay,
        }
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let body = (!body.is_null()).then_some(body);
        ask_switch(&self.relay, method, path, body).await
    }

    /// What the switch heard since the last time, and nothing of how a session begins.
    fn heard(&self, before: &mut usize) -> Vec<String> {
        let heard = self.devices.heard();
        let new = heard[*before..].to_vec();
        *before = heard.len();
        new
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_its_lines_once_and_the_switch_shows_what_they_made() {
    let switches = Switches::start().await;
    let mut before = 0;
    let blue = json!({ "id": "blue", "vid": 10 });
    let (status, _) = switches.ask("POST", "sw-1/vlans", blue).await;
    assert_eq!(status, 201);
    let lines = switches.heard(&mut before);
    for line in ["configure terminal", "vlan 10", "name blue"] {
        let times = lines.iter().filter(|heard| *heard == line).count();
        assert_eq!(times, 1, "{line}: {lines:?}");
    }
    let port = json!({ "port": "1/2" });
    let (status, _) = switches.ask("POST", "sw-1/vlans/blue/members", port).await;
    assert_eq!(status, 201);
    let (_, shown) = switches.ask("GET", "sw-1/vlans/blue", Value::Null).await;
    assert_eq!(
        (&shown["vid"], &shown["ports"]),
        (&json!(10), &json!(["Eth1/2"]))
    );

    // It was never there, by the switch's own word.
    let port = json!({ "port": "1/33" });
    let (status, said) = switches.ask("POST", "sw-1/vlans/blue/members", port).await;
    assert_eq!(
        (status, &said["code"]),
        (422, &json!("invalid_value")),
        "{said}"
    );
    let (status, _) = switches
        .ask("DELETE", "sw-1/vlans/blue/members/1%2F2", Value::Null)
        .await;
    assert_eq!(status, 204);
    let (_, shown) = switches.ask("GET", "sw-1/vlans/blue", Value::Null).await;
    assert_ne!(shown["ports"], json!(["Eth1/2"]));
    let (status, _) = switches.ask("DELETE", "sw-1/vlans/blue", Value::Null).await;
    assert_eq!(status, 204);
    switches.stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_script_is_told_as_half_and_stays_on_the_switch() {
    let switches = Switches::start().await;
    // Another VLAN of the switch has this name since it was unpacked.
    let storage = json!({ "id": "storage", "vid": 20 });
    let (status, said) = switches.ask("POST", "sw-1/vlans", storage).await;
    assert_eq!(
        (status, &said["code"]),
        (502, &json!("partly_applied")),
        "{said}"
    );
    let heard = switches.devices.heard();
    let last = heard.iter().rposition(|line| line == "vlan 20").unwrap();
    assert_eq!(heard[last + 1], "name storage");
    // VLAN 20 is there: a second one of the number takes no new entry, and gets its name.
    let (status, said) = switches
        .ask("POST", "sw-1/vlans", json!({ "id": "green", "vid": 20 }))
        .await;
    assert_eq!(status, 201, "{said}");
    switches.stage.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn routes_prefix_lists_and_descriptions_survive_the_switch() {
    let folder = tempfile::tempdir().unwrap();
    let switches = Switches::start_in(Some(folder.path().to_owned())).await;
    for (path, body) in [
        (
            "sw-1/static-routes/r1",
            json!({ "prefix": "10.9.0.0/16", "next_hop": "192.0.2.1" }),
        ),
        (
            "sw-1/prefix-lists/from-peer/10",
            json!({ "action": "permit", "prefix": "10.0.0.0/8", "longest": 24 }),
        ),
        (
            "sw-1/interface-descriptions/1%2F2",
            json!({ "text": "to rack 7" }),
        ),
    ] {
        let (status, said) = switches.ask("PUT", path, body).await;
        assert_eq!(status, 200, "{path}: {said}");
    }
    switches.stage.stop().await;
    let kept = std::fs::read_to_string(folder.path().join("sw-1-onyx.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    assert_eq!(kept["ports"]["1/2"]["description"], "to rack 7");
    assert_eq!(kept["routes"][0]["prefix"], "10.9.0.0/16");
    let rule = &kept["prefix_lists"]["from-peer"]["10"];
    assert_eq!(
        (&rule["prefix"], &rule["le"]),
        (&json!("10.0.0.0/8"), &json!(24))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interface_over_netconf_is_made_changed_read_and_removed() {
    let switches = Switches::start().await;
    let interface =
        |id: &str, name: &str| json!({ "id": id, "name": name, "type": "l2vlan", "enabled": true });
    let all = "sw-1-netconf/interfaces";
    let one = "sw-1-netconf/interfaces/i1";
    let (status, said) = switches.ask("POST", all, interface("i1", "v<7>&'")).await;
    assert_eq!(status, 201, "{said}");
    let (status, said) = switches.ask("POST", all, interface("i2", "mgmt0")).await;
    assert_eq!((status, &said["code"]), (409, &json!("conflict")), "{said}");
    let (status, _) = switches
        .ask("PATCH", one, json!({ "enabled": false }))
        .await;
    assert_eq!(status, 200);
    let (_, shown) = switches.ask("GET", one, Value::Null).await;
    let held = (&shown["name"], &shown["enabled"]);
    assert_eq!(held, (&json!("v<7>&'"), &json!("false")), "{shown}");
    let (status, _) = switches.ask("DELETE", one, Value::Null).await;
    assert_eq!(status, 204);
    let (status, _) = switches.ask("GET", one, Value::Null).await;
    assert_eq!(status, 404);
    switches.stage.stop().await;
}
