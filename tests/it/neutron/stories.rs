//! What a CMP does with the routes of kind `neutron`, told as data in `tests/neutron/`: each story is walked
//! over the simulated Neutrons and over the real ones, and both must answer the same.
//!
//! A new pack of routes brings its stories along and nothing here changes. How they are written:
//! `tests/neutron/README.md`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cmp_relay::demo::packs::Backend;
use cmp_relay::demo::packs::openstack::{REGIONS, at};
use cmp_relay::demo::simulate::Stage;
use cmp_relay::demo::simulate::openstack::{self, Options, Simulated};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::{HttpClient, Relay, bench, client, send};

const STEP_KEYS: [&str; 9] = [
    "request", "body", "status", "reply", "calls", "pages", "ids", "restart", "behind",
];
/// More than any story has.
const MOST_PAGES: usize = 30;

/// Every story, by its file's name.
fn stories() -> Vec<(String, Vec<Value>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/neutron");
    let files = std::fs::read_dir(folder).unwrap();
    let mut files: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|ending| ending == "yaml"));
    files.sort();
    assert!(!files.is_empty(), "there are no stories");
    let read = |file: PathBuf| {
        let text = std::fs::read_to_string(&file).unwrap();
        let steps: Vec<Value> = serde_yaml::from_str(&text).unwrap();
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        (name, steps)
    };
    files.into_iter().map(read).collect()
}

/// Where a story is walked.
struct Scene<'s> {
    relay: Relay,
    client: HttpClient,
    /// Keystone, and the Neutrons of the regions.
    backends: &'s [Backend],
    password: &'s str,
    /// Whose calls are counted; nobody counts those of real servers.
    simulated: Option<&'s Simulated>,
}

impl<'s> Scene<'s> {
    async fn set(
        backends: &'s [Backend],
        password: &'s str,
        simulated: Option<&'s Simulated>,
    ) -> Self {
        Self {
            relay: Relay::start(backends, password).await,
            client: client(),
            backends,
            password,
            simulated,
        }
    }

    async fn walk(&mut self, story: &str, steps: &[Value]) {
        for (at, step) in steps.iter().enumerate() {
            let place = format!("{story}, step {}: {step}", at + 1);
            let known = |key: &String| STEP_KEYS.contains(&key.as_str());
            assert!(step.as_object().unwrap().keys().all(known), "{place}");
            if step["restart"] == true {
                self.relay.restart().await;
            } else if step["behind"].is_object() {
                self.behind(&step["behind"], &place).await;
            } else if step["pages"].is_string() {
                self.pages(step, &place).await;
            } else {
                self.ask(step, &place).await;
            }
        }
    }

    async fn ask(&self, step: &Value, place: &str) {
        let request = step["request"].as_str().expect(place);
        let (method, path) = request.split_once(' ').expect(place);
        let method = Method::try_from(method).unwrap();
        let url = format!("{}{path}", self.relay.url);
        let body = step.get("body");
        let before = self.simulated.map_or(0, |it| it.counters.calls());
        let (status, _, answer) = send(&self.client, method, &url, None, body).await;
        assert_eq!(status.as_u16(), step["status"], "{place}\n{answer}");
        if let Some(simulated) = self.simulated {
            let calls = simulated.counters.calls() - before;
            let expected = step["calls"].as_u64().unwrap_or(1);
            assert_eq!(calls, expected, "calls: {place}\n{answer}");
        }
        if let Some(wanted) = step.get("reply")
            && let Some(why) = differs(wanted, &answer)
        {
            panic!("{place}\n{why}, of {answer}");
        }
    }

    /// Follows `next` from page to page; the CMP ids on all of them, in the order of the letters.
    async fn pages(&self, step: &Value, place: &str) {
        let first = step["pages"]
            .as_str()
            .and_then(|it| it.strip_prefix("GET "));
        let first = first.expect(place);
        let mut path = first.to_owned();
        let mut ids = Vec::new();
        for page in 1.. {
            assert!(page <= MOST_PAGES, "{place}: no end at {path}");
            let url = format!("{}{path}", self.relay.url);
            let (status, _, answer) = send(&self.client, Method::GET, &url, None, None).await;
            assert_eq!(status, StatusCode::OK, "{place}: {path}: {answer}");
            let mut lists = answer.as_object().expect(place).values();
            let objects = lists.find_map(Value::as_array).expect(place);
            let known = objects.iter().map(|object| object["id"].clone());
            ids.extend(known.filter(|id| !id.is_null()));
            match answer["next"].as_str() {
                Some(next) => path = format!("{first}&marker={next}"),
                None => break,
            }
        }
        ids.sort_by_key(Value::to_string);
        assert_eq!(Value::Array(ids), step["ids"], "{place}");
    }

    /// Does something at the Neutron of a mapped object that the relay does not know of.
    async fn behind(&self, what: &Value, place: &str) {
        let word = |name: &str| what[name].as_str().expect(place);
        let (resource, cmp_id) = (word("resource"), word("cmp_id"));
        let url = format!("{}/relay/v1/mappings/{resource}/{cmp_id}", self.relay.admin);
        let (_, _, rows) = send(&self.client, Method::GET, &url, None, None).await;
        let row = rows["items"].get(0).expect(place);

        let domain = json!({ "name": "Default" });
        let login = json!({ "auth": {
            "identity": { "methods": ["password"], "password": { "user": {
                "name": "relay", "domain": domain, "password": self.password } } },
            "scope": { "project": { "name": "admin", "domain": domain } },
        }});
        let url = format!("{}/auth/tokens", self.backends[0].url);
        let (_, headers, _) = send(&self.client, Method::POST, &url, None, Some(&login)).await;
        let token = headers["x-subject-token"].to_str().unwrap();

        let neutron = &self.backends[1 + usize::from(row["backend"] == "neutron-2")].url;
        let (method, path) = word("request").split_once(' ').expect(place);
        let path = path.replace("{backend_id}", row["backend_id"].as_str().unwrap());
        let (status, _, answer) = send(
            &self.client,
            Method::try_from(method).unwrap(),
            &format!("{neutron}{path}"),
            Some(token),
            what.get("body"),
        )
        .await;
        assert!(status.is_success(), "{place}: {status} {answer}");
    }
}

/// What is not as wanted, if anything: every member that is named must be there, lists are compared whole,
/// and `"*"` is any value.
fn differs(wanted: &Value, found: &Value) -> Option<String> {
    match (wanted, found) {
        (Value::String(any), found) if any == "*" && !found.is_null() => None,
        (Value::Object(members), Value::Object(_)) => {
            members
                .iter()
                .find_map(|(name, wanted)| match found.get(name) {
                    Some(found) => differs(wanted, found).map(|why| format!("{name}: {why}")),
                    None => Some(format!("{name} is not there")),
                })
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            let mut pairs = wanted.iter().zip(found);
            pairs.find_map(|(wanted, found)| differs(wanted, found))
        }
        (wanted, found) if wanted == found => None,
        (wanted, found) => Some(format!("{found} is not {wanted}")),
    }
}

#[tokio::test]
async fn every_story_holds_on_simulated_neutrons() {
    let mut stage = Stage::new(None, None);
    let options = Options {
        regions: REGIONS.map(str::to_owned).to_vec(),
        password: "secret".into(),
        token_ttl: Duration::from_secs(3600),
    };
    let simulated = openstack::start(&mut stage, options).unwrap();
    let neutrons = [0, 1].map(|region: usize| &*simulated.regions[region].url);
    let backends = at(&simulated.keystone, neutrons);
    for (name, steps) in stories() {
        let mut scene = Scene::set(&backends, "secret", Some(&simulated)).await;
        scene.walk(&name, &steps).await;
    }
    stage.stop().await;
}

#[tokio::test]
async fn every_story_holds_on_real_neutrons() {
    let Some(bench) = bench().await else { return };
    for (name, steps) in stories() {
        let mut scene = Scene::set(&bench.peer.backends, &bench.peer.password, None).await;
        scene.walk(&name, &steps).await;
    }
}

#[test]
fn a_reply_is_held_to_what_a_step_names() {
    let found = json!({ "id": "a", "list": [{ "id": "b", "more": 1 }] });
    for wanted in [
        json!({ "id": "*", "list": [{ "id": "b" }] }),
        json!({}),
        json!("*"),
    ] {
        assert_eq!(differs(&wanted, &found), None);
    }
    for wanted in [
        json!({ "id": "b" }),
        json!({ "next": "*" }),
        json!({ "list": [] }),
        json!({ "list": [{ "id": "c" }] }),
        json!([]),
    ] {
        assert!(differs(&wanted, &found).is_some(), "{wanted}");
    }
    assert!(differs(&json!(StatusCode::OK.as_u16()), &json!(201)).is_some());
}
