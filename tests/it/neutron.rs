//! The shipped routes of kind `neutron` against real servers: one Keystone and two Neutrons, one a region.
//! [`stories`] holds what is told as data to them, and to the simulated ones.
//!
//! `tests/peers/openstack.sh` starts them once for all tests here; each test has a relay of its own,
//! the built binary, on a copy of the pack. The tests take turns: one of them restarts Keystone.

mod stories;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use cmp_relay::demo::packs::{self, Backend, openstack};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::support::mariadb::peer_or_skip;
use crate::support::pack::shipped;

/// The real servers; they end when this process does, because the script's stdin ends then.
struct Peer {
    folder: PathBuf,
    backends: Vec<Backend>,
    password: String,
    _script: Child,
    _stdin: ChildStdin,
}

static PEER: OnceCell<Option<Peer>> = OnceCell::const_new();
static TURN: Mutex<()> = Mutex::const_new(());

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/openstack.sh")
}

impl Peer {
    fn start() -> Option<Self> {
        // The script removes it: what a static holds is never dropped.
        let folder = tempfile::tempdir().unwrap().keep();
        let mut script = Command::new(script())
            .arg("run")
            .env("PEER_DIR", &folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .ok()?;
        let stdin = script.stdin.take().unwrap();
        let mut said = std::collections::BTreeMap::<String, String>::new();
        for line in BufReader::new(script.stdout.take().unwrap()).lines() {
            let line = line.ok()?;
            if line == "ready" {
                let neutrons = [said.get("NEUTRON_1_URL")?, said.get("NEUTRON_2_URL")?];
                return Some(Self {
                    folder,
                    backends: openstack::at(
                        said.get("KEYSTONE_URL")?,
                        neutrons.map(String::as_str),
                    ),
                    password: said.remove("RELAY_PASSWORD")?,
                    _script: script,
                    _stdin: stdin,
                });
            }
            if let Some((name, value)) = line.split_once('=') {
                said.insert(name.to_owned(), value.to_owned());
            }
        }
        None
    }

    /// Runs another verb of the script.
    fn tell(&self, arguments: &[&str]) {
        let status = Command::new(script())
            .args(arguments)
            .env("PEER_DIR", &self.folder)
            .status()
            .unwrap();
        assert!(status.success(), "{arguments:?}");
    }
}

/// A relay over the real servers, for one test at a time.
struct Bench {
    peer: &'static Peer,
    relay: Relay,
    client: HttpClient,
    _turn: MutexGuard<'static, ()>,
}

/// The built binary, serving the routes as they are in the repository.
struct Relay {
    process: Child,
    password: String,
    url: String,
    admin: String,
    folder: tempfile::TempDir,
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.end();
    }
}

impl Relay {
    async fn start(backends: &[Backend], password: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut files = shipped(|path| !path.starts_with("templates/"));
        files.retain(|(path, text)| {
            path.starts_with("routes.d/s") && path.matches('/').count() > 1
                || text.contains("\nkind: neutron\n")
        });
        for (path, text) in openstack::PACK.files() {
            if path.starts_with("backends.d/") {
                let text = packs::put_into(backends, None, path, text);
                files.push((path.to_owned(), text));
            }
        }
        let (port, admin) = (free_port(), free_port());
        let server = format!(
            "version: 1\nlisten: 127.0.0.1:{port}\nadmin_listen: 127.0.0.1:{admin}\n\
             database: sqlite://relay.db\nlog: {{ level: warn }}\n"
        );
        files.push(("relay.yaml".to_owned(), server));
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let relay = Self {
            process: Self::spawn(folder.path(), password),
            password: password.to_owned(),
            url: format!("http://127.0.0.1:{port}"),
            admin: format!("http://127.0.0.1:{admin}"),
            folder,
        };
        relay.until_it_listens().await;
        relay
    }

    fn spawn(folder: &Path, password: &str) -> Child {
        Command::new(env!("CARGO_BIN_EXE_cmp-relay"))
            .args(["serve", "--config"])
            .arg(folder)
            .env(openstack::PASSWORD, password)
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn end(&mut self) {
        // It is this test's own child; one that has ended already is fine.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// A new process over the same database.
    async fn restart(&mut self) {
        self.end();
        self.process = Self::spawn(self.folder.path(), &self.password);
        self.until_it_listens().await;
    }

    async fn until_it_listens(&self) {
        let address = self.url.trim_start_matches("http://").to_owned();
        let deadline = Instant::now() + Duration::from_secs(60);
        while tokio::net::TcpStream::connect(&address).await.is_err() {
            assert!(Instant::now() < deadline, "the relay does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

/// One request with a JSON body; status, headers and JSON body of the answer.
async fn send(
    client: &HttpClient,
    method: Method,
    url: &str,
    token: Option<&str>,
    body: Option<&Value>,
) -> (StatusCode, HeaderMap, Value) {
    let mut request = Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header("x-auth-token", token);
    }
    let body = match body {
        Some(body) => {
            request = request.header("content-type", "application/json");
            Bytes::from(body.to_string())
        }
        None => Bytes::new(),
    };
    let request = request.body(Full::new(body)).unwrap();
    let answer = client.request(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let body = match bytes.is_empty() {
        true => Value::Null,
        false => serde_json::from_slice(&bytes).unwrap(),
    };
    (parts.status, parts.headers, body)
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The bench, or nothing where the servers cannot be had.
async fn bench() -> Option<Bench> {
    let turn = TURN.lock().await;
    let peer = PEER
        .get_or_init(|| async { tokio::task::spawn_blocking(Peer::start).await.unwrap() })
        .await;
    let peer = peer_or_skip("Keystone and Neutron", peer.as_ref())?;
    Some(Bench {
        peer,
        relay: Relay::start(&peer.backends, &peer.password).await,
        client: client(),
        _turn: turn,
    })
}

impl Bench {
    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.relay.url);
        let (status, _, body) = send(&self.client, method, &url, None, body.as_ref()).await;
        (status, body)
    }

    async fn expect(
        &self,
        status: StatusCode,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Value {
        let asked = format!("{method} {path} {body:?}");
        let (got, answer) = self.send(method, path, body).await;
        assert_eq!(got, status, "{asked}: {answer}");
        answer
    }

    async fn create(&self, path: &str, body: Value) -> Value {
        let id = body["id"].clone();
        let made = self
            .expect(StatusCode::CREATED, Method::POST, path, Some(body))
            .await;
        assert_eq!(made["id"], id, "{made}");
        made
    }

    async fn get(&self, path: &str) -> Value {
        self.expect(StatusCode::OK, Method::GET, path, None).await
    }

    async fn update(&self, path: &str, body: Value) -> Value {
        self.expect(StatusCode::OK, Method::PUT, path, Some(body))
            .await
    }

    async fn delete(&self, path: &str) {
        self.expect(StatusCode::NO_CONTENT, Method::DELETE, path, None)
            .await;
        let gone = self
            .expect(StatusCode::NOT_FOUND, Method::GET, path, None)
            .await;
        assert_eq!(gone["code"], "not_mapped");
    }

    /// The CMP ids in a list.
    async fn ids(&self, path: &str, members: &str) -> Vec<Value> {
        let list = self.get(path).await;
        list[members]
            .as_array()
            .unwrap()
            .iter()
            .map(|object| object["id"].clone())
            .collect()
    }

    /// Creates networks and reads for so long, each request of which must succeed; what was made.
    async fn goes_on(&self, prefix: &str, span: Duration) -> Vec<String> {
        let end = Instant::now() + span;
        let mut made = Vec::new();
        while Instant::now() < end {
            let id = format!("{prefix}-{}", made.len());
            let body = json!({ "id": id, "region": "RegionOne", "name": "token" });
            self.create("/v1/networks", body).await;
            self.get(&format!("/v1/networks/{id}")).await;
            made.push(id);
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        made
    }

    async fn refused(
        &self,
        status: StatusCode,
        code: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) {
        let problem = self.expect(status, method, path, body).await;
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["side_effect"], "none", "{problem}");
    }
}

#[tokio::test]
async fn every_object_lives_its_life_in_both_regions() {
    let Some(bench) = bench().await else { return };
    for region in openstack::REGIONS {
        lives(&bench, region).await;
    }
}

/// Every route of the pack: create, get, list, update and delete of all eight resources.
async fn lives(bench: &Bench, region: &str) {
    let id = |name: &str| format!("{region}-{name}");
    let list = |path: &str| format!("/v1/{path}?region={region}");
    let at = |path: &str, name: &str| format!("/v1/{path}/{region}-{name}");

    // Networks, one of them external.
    let net = bench
        .create(
            "/v1/networks",
            json!({ "id": id("net"), "region": region, "name": "front", "mtu": 1400 }),
        )
        .await;
    assert_eq!(
        (&net["region"], &net["mtu"]),
        (&json!(region), &json!(1400))
    );
    bench
        .create(
            "/v1/networks",
            json!({ "id": id("ext"), "region": region, "name": "ext", "external": true }),
        )
        .await;
    let net = bench
        .update(&at("networks", "net"), json!({ "name": "front-end" }))
        .await;
    assert_eq!(
        (&net["name"], &net["mtu"]),
        (&json!("front-end"), &json!(1400))
    );
    let mut networks = bench.ids(&list("networks"), "networks").await;
    networks.sort_by_key(Value::to_string);
    assert_eq!(networks, [id("ext"), id("net")]);

    // Subnets.
    let sub = bench
        .create(
            "/v1/subnets",
            json!({ "id": id("sub"), "network_id": id("net"), "name": "web",
                "cidr": "10.1.0.0/24", "dns_nameservers": ["192.0.2.53"] }),
        )
        .await;
    assert_eq!(sub["network_id"], id("net"));
    assert_eq!(sub["gateway_ip"], "10.1.0.1");
    bench
        .create(
            "/v1/subnets",
            json!({ "id": id("ext-sub"), "network_id": id("ext"), "cidr": "172.24.0.0/24",
                "enable_dhcp": false }),
        )
        .await;
    let sub = bench
        .update(
            &at("subnets", "sub"),
            json!({ "name": "web-1", "dns_nameservers": [] }),
        )
        .await;
    assert_eq!(
        (&sub["name"], &sub["dns_nameservers"]),
        (&json!("web-1"), &json!([]))
    );
    let of_net = format!("{}&network_id={region}-net", list("subnets"));
    assert_eq!(bench.ids(&of_net, "subnets").await, [id("sub")]);
    assert_eq!(
        bench.get(&at("networks", "net")).await["subnets"],
        json!([id("sub")])
    );

    // Security groups and rules.
    bench
        .create(
            "/v1/security-groups",
            json!({ "id": id("sg"), "region": region, "name": "web" }),
        )
        .await;
    let rule = bench
        .create(
            "/v1/security-group-rules",
            json!({ "id": id("rule"), "security_group_id": id("sg"), "direction": "inbound",
                "protocol": "tcp", "port_range_min": 443, "port_range_max": 443,
                "remote_ip_prefix": "0.0.0.0/0" }),
        )
        .await;
    assert_eq!(rule["direction"], "inbound");
    bench
        .create(
            "/v1/security-group-rules",
            json!({ "id": id("rule-group"), "security_group_id": id("sg"),
                "direction": "inbound", "remote_group_id": id("sg") }),
        )
        .await;
    let rule = bench.get(&at("security-group-rules", "rule-group")).await;
    assert_eq!(rule["remote_group_id"], id("sg"));
    let group = bench.get(&at("security-groups", "sg")).await;
    assert_eq!(group["rules"].as_array().unwrap().len(), 2);
    let group = bench
        .update(&at("security-groups", "sg"), json!({ "name": "app" }))
        .await;
    assert_eq!(group["name"], "app");
    // Neutron's own `default` is in the region and not in the list.
    assert_eq!(
        bench.ids(&list("security-groups"), "security_groups").await,
        [id("sg")]
    );
    let rules = format!(
        "{}&security_group_id={region}-sg",
        list("security-group-rules")
    );
    let rules = bench.get(&rules).await;
    let managed = rules["security_group_rules"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|rule| rule["managed"] == true)
        .count();
    assert_eq!(managed, 2, "{rules}");

    // A port with an address and a group.
    let port = bench
        .create(
            "/v1/ports",
            json!({ "id": id("port"), "network_id": id("net"), "name": "web-1",
                "fixed_ips": [{ "subnet_id": id("sub"), "ip_address": "10.1.0.15" }],
                "security_groups": [id("sg")] }),
        )
        .await;
    assert_eq!(
        port["fixed_ips"],
        json!([{ "subnet_id": id("sub"), "ip_address": "10.1.0.15" }])
    );
    assert_eq!(port["security_groups"], json!([id("sg")]));
    let port = bench
        .update(
            &at("ports", "port"),
            json!({ "name": "web-2", "admin_state_up": false }),
        )
        .await;
    assert_eq!(
        (&port["name"], &port["admin_state_up"]),
        (&json!("web-2"), &json!(false))
    );

    // A router: with a gateway, without, and with it again.
    let router = bench
        .create(
            "/v1/routers",
            json!({ "id": id("rtr"), "region": region, "name": "edge",
                "external_network_id": id("ext") }),
        )
        .await;
    assert_eq!(router["external_network_id"], id("ext"));
    let router = bench
        .update(
            &at("routers", "rtr"),
            json!({ "external_network_id": null }),
        )
        .await;
    assert_eq!(router.get("external_network_id"), None);
    let router = bench
        .update(
            &at("routers", "rtr"),
            json!({ "name": "rim", "external_network_id": id("ext") }),
        )
        .await;
    assert_eq!(
        (&router["name"], &router["external_network_id"]),
        (&json!("rim"), &json!(id("ext")))
    );
    assert_eq!(bench.ids(&list("routers"), "routers").await, [id("rtr")]);

    // Its interface; the port list then marks what Neutron made.
    bench
        .create(
            "/v1/router-interfaces",
            json!({ "id": id("if"), "router_id": id("rtr"), "subnet_id": id("sub") }),
        )
        .await;
    let interface = bench.get(&at("router-interfaces", "if")).await;
    assert_eq!(interface["router_id"], id("rtr"));
    assert_eq!(
        interface["fixed_ips"],
        json!([{ "subnet_id": id("sub"), "ip_address": "10.1.0.1" }])
    );
    let of_router = format!("{}&router_id={region}-rtr", list("router-interfaces"));
    assert_eq!(bench.ids(&of_router, "router_interfaces").await, [id("if")]);
    let ports = bench
        .get(&format!("{}&network_id={region}-net", list("ports")))
        .await;
    let mut shown: Vec<(Value, Value)> = ports["ports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|port| (port["id"].clone(), port["managed"].clone()))
        .collect();
    shown.sort_by_key(|(_, managed)| managed.to_string());
    assert_eq!(
        shown,
        [
            (Value::Null, json!(false)),
            (json!(id("port")), json!(true))
        ]
    );

    // A floating IP: free, on the port, free again.
    let floating = bench
        .create(
            "/v1/floating-ips",
            json!({ "id": id("fip"), "network_id": id("ext") }),
        )
        .await;
    assert_eq!(
        (&floating["network_id"], &floating["port_id"]),
        (&json!(id("ext")), &Value::Null)
    );
    let floating = bench
        .update(&at("floating-ips", "fip"), json!({ "port_id": id("port") }))
        .await;
    assert_eq!(
        (&floating["port_id"], &floating["fixed_ip_address"]),
        (&json!(id("port")), &json!("10.1.0.15"))
    );
    assert_eq!(
        bench.get(&at("floating-ips", "fip")).await["port_id"],
        id("port")
    );
    bench
        .refused(
            StatusCode::CONFLICT,
            "conflict",
            Method::DELETE,
            &at("router-interfaces", "if"),
            None,
        )
        .await;
    let floating = bench
        .update(&at("floating-ips", "fip"), json!({ "port_id": null }))
        .await;
    assert_eq!(floating["port_id"], Value::Null);
    assert_eq!(
        bench.ids(&list("floating-ips"), "floating_ips").await,
        [id("fip")]
    );

    // And all the way back.
    for path in [
        at("floating-ips", "fip"),
        at("router-interfaces", "if"),
        at("routers", "rtr"),
        at("ports", "port"),
        at("security-group-rules", "rule"),
        at("security-group-rules", "rule-group"),
        at("security-groups", "sg"),
        at("subnets", "sub"),
        at("subnets", "ext-sub"),
        at("networks", "net"),
        at("networks", "ext"),
    ] {
        bench.delete(&path).await;
    }
    assert_eq!(
        bench.get(&list("networks")).await,
        json!({ "networks": [] })
    );
}

#[tokio::test]
async fn refusals_of_neutron_reach_the_cmp_in_its_own_terms() {
    let Some(bench) = bench().await else { return };
    let post = |body: Value| (Method::POST, Some(body));
    bench
        .create(
            "/v1/networks",
            json!({ "id": "net", "region": "RegionOne", "name": "n" }),
        )
        .await;
    bench
        .create(
            "/v1/subnets",
            json!({ "id": "sub", "network_id": "net", "cidr": "10.1.0.0/24" }),
        )
        .await;
    bench
        .create(
            "/v1/ports",
            json!({ "id": "port", "network_id": "net",
                "fixed_ips": [{ "subnet_id": "sub", "ip_address": "10.1.0.9" }] }),
        )
        .await;
    bench
        .create(
            "/v1/networks",
            json!({ "id": "far", "region": "RegionTwo", "name": "n" }),
        )
        .await;

    // 400 and 409 of Neutron.
    let (method, body) = post(json!({ "id": "x", "network_id": "net", "cidr": "10.1.0.0/25" }));
    bench
        .refused(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_value",
            method,
            "/v1/subnets",
            body,
        )
        .await;
    let (method, body) = post(json!({ "id": "x", "network_id": "net",
        "fixed_ips": [{ "subnet_id": "sub", "ip_address": "10.1.0.9" }] }));
    bench
        .refused(StatusCode::CONFLICT, "conflict", method, "/v1/ports", body)
        .await;
    bench
        .refused(
            StatusCode::CONFLICT,
            "conflict",
            Method::DELETE,
            "/v1/networks/net",
            None,
        )
        .await;

    // What never reaches it.
    let (method, body) = post(json!({ "id": "x", "network_id": "nobody", "cidr": "10.2.0.0/24" }));
    bench
        .refused(
            StatusCode::NOT_FOUND,
            "not_mapped",
            method,
            "/v1/subnets",
            body,
        )
        .await;
    let (method, body) = post(json!({ "id": "x", "network_id": "far",
        "fixed_ips": [{ "subnet_id": "sub" }] }));
    bench
        .refused(
            StatusCode::CONFLICT,
            "wrong_backend",
            method,
            "/v1/ports",
            body,
        )
        .await;

    for path in [
        "/v1/ports/port",
        "/v1/subnets/sub",
        "/v1/networks/net",
        "/v1/networks/far",
    ] {
        bench.delete(path).await;
    }
}

#[tokio::test]
async fn revoked_and_expired_tokens_cost_no_cmp_request() {
    let Some(bench) = bench().await else { return };
    let before = json!({ "id": "before", "region": "RegionOne", "name": "token" });
    bench.create("/v1/networks", before).await;

    // Revoked while it looks valid. Neutron finds out within the three seconds of its cache, so that
    // one of these calls meets the 401.
    bench.peer.tell(&["revoke"]);
    let mut made = vec!["before".to_owned()];
    made.extend(bench.goes_on("revoked", Duration::from_secs(7)).await);

    // From here on tokens live for ten seconds; the one in hand is made invalid, so that the next
    // login gets such a one, and calls go on across several of its lives.
    bench.peer.tell(&["shortttl", "10"]);
    bench.peer.tell(&["revoke"]);
    made.extend(bench.goes_on("expiring", Duration::from_secs(30)).await);
    bench.peer.tell(&["shortttl", "3600"]);
    for id in made {
        bench.delete(&format!("/v1/networks/{id}")).await;
    }
}
