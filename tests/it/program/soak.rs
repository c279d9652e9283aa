//! Invariant 2 under SIGKILL at random moments: at each start the backend holds what is mapped and what
//! an operation in doubt names, and in the end nothing is lost and nothing was made twice.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::thing;
use crate::support::program::{Folder, Keeping, Served, State, try_ask};

/// How often the relay is killed.
const KILLS: usize = 9;
/// Requests at a time.
const CMPS: u64 = 6;

/// A request that a CMP wants to see through, with its key.
#[derive(Clone, Debug)]
struct Wish {
    method: &'static str,
    path: String,
    key: String,
    body: Value,
    id: String,
}

/// What a CMP is in the middle of, what it has, and its numbers.
#[derive(Debug)]
struct Cmp {
    number: u64,
    wish: Option<Wish>,
    /// Wishes whose outcome is not known: for the operator.
    doubtful: Vec<Wish>,
    made: Vec<String>,
    count: u64,
    seed: u64,
}

impl Cmp {
    /// xorshift64: the same run every time.
    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below
    }

    fn next_wish(&mut self) -> Wish {
        self.count += 1;
        let key = format!("k{}-{}", self.number, self.count);
        if !self.made.is_empty() && self.random(5) < 2 {
            let index = self.random(self.made.len() as u64) as usize;
            let id = self.made.swap_remove(index);
            return Wish {
                method: "DELETE",
                path: format!("/v1/things/{id}"),
                key,
                body: Value::Null,
                id,
            };
        }
        let id = format!("t{}-{}", self.number, self.count);
        Wish {
            method: "POST",
            path: "/v1/things".into(),
            key,
            body: thing(&id, "a"),
            id,
        }
    }

    /// Sends its wish, or the next; gives up at a connection that breaks, to retry after the restart.
    async fn step(&mut self, relay: SocketAddr) -> bool {
        let wish = match self.wish.take() {
            Some(wish) => wish,
            None => self.next_wish(),
        };
        let told = try_ask(relay, wish.method, &wish.path, &wish.key, &wish.body).await;
        let Ok(told) = told else {
            self.wish = Some(wish);
            return false;
        };
        match (told.status, told.code()) {
            (201, _) => self.made.push(wish.id),
            (204, _) => {}
            (409 | 504, "outcome_unknown") => self.doubtful.push(wish),
            (409, "operation_in_progress") | (503, _) => self.wish = Some(wish),
            _ => panic!("{wish:?}: {told:?}"),
        }
        true
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_loses_nothing_and_makes_nothing_twice() {
    let backend = Keeping::start(12).await;
    let folder = Folder::new(&backend.url());
    let cmps: Vec<Arc<Mutex<Option<Cmp>>>> = (0..CMPS)
        .map(|number| {
            let cmp = Cmp {
                number,
                wish: None,
                doubtful: Vec::new(),
                made: Vec::new(),
                count: 0,
                seed: 0x5EED + number * 7919,
            };
            Arc::new(Mutex::new(Some(cmp)))
        })
        .collect();
    let mut moment = 0xC0FFEE_u64;
    for _ in 0..KILLS {
        let served = Served::start(&folder);
        assert_accounted_for(&served, &backend.state()).await;
        moment = moment
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let until_killed = Duration::from_millis(80 + (moment >> 33) % 500);
        let relay = served.cmp;
        let mut running = JoinSet::new();
        for slot in &cmps {
            let slot = slot.clone();
            running.spawn(async move {
                let mut cmp = slot.lock().unwrap().take().unwrap();
                while cmp.step(relay).await {}
                *slot.lock().unwrap() = Some(cmp);
            });
        }
        tokio::time::sleep(until_killed).await;
        served.signal("KILL");
        drop(served);
        while let Some(ended) = running.join_next().await {
            ended.unwrap();
        }
        backend.idle().await;
    }

    let served = Served::start(&folder);
    assert_accounted_for(&served, &backend.state()).await;
    settle_all(&served, &backend).await;
    let mut doubts = 0;
    for slot in &cmps {
        let mut cmp = slot.lock().unwrap().take().unwrap();
        let mut open = std::mem::take(&mut cmp.doubtful);
        doubts += open.len();
        open.extend(cmp.wish.take());
        for wish in open {
            cmp.wish = Some(wish);
            while cmp.wish.is_some() {
                assert!(cmp.step(served.cmp).await, "{}", served.log());
            }
            // What was sent once more while its first attempt was in doubt is settled again.
            if let Some(wish) = cmp.doubtful.pop() {
                settle_all(&served, &backend).await;
                cmp.wish = Some(wish);
                assert!(cmp.step(served.cmp).await, "{}", served.log());
            }
        }
        assert!(cmp.doubtful.is_empty() && cmp.wish.is_none(), "{cmp:?}");
    }
    let state = backend.state();
    let (mapped, in_doubt) = rows(&served).await;
    assert!(in_doubt.is_empty(), "{in_doubt:?}");
    let there: BTreeSet<String> = state.objects.keys().map(u64::to_string).collect();
    assert_eq!(mapped.into_values().collect::<BTreeSet<_>>(), there);
    assert!(
        state.made.values().all(|made| *made == 1),
        "{:?}",
        state.made
    );
    assert!(
        state.made.len() > 20,
        "too little happened: {:?}",
        state.made
    );
    assert!(doubts > 0, "no kill met a request in hand");
}

/// Backend objects = mappings + what operations in doubt name.
async fn assert_accounted_for(served: &Served, state: &State) {
    let (mapped, in_doubt) = rows(served).await;
    let doubtful = |id: &str| in_doubt.iter().any(|row| row["object"]["cmp_id"] == id);
    for (key, tag) in &state.objects {
        let id = tag.strip_prefix("cmp:").unwrap();
        let is_mapped = mapped.get(id) == Some(&key.to_string());
        assert!(is_mapped || doubtful(id), "{id} is lost: {in_doubt:?}");
    }
    for (id, backend_id) in &mapped {
        let is_there = state.objects.contains_key(&backend_id.parse().unwrap());
        assert!(is_there || doubtful(id), "{id} is mapped and not there");
    }
    for row in &in_doubt {
        assert_eq!(row["state"], "unknown", "nobody has it in hand: {row}");
    }
}

/// What an operator does: looks at the backend, and says what is there.
async fn settle_all(served: &Served, backend: &Keeping) {
    let (_, in_doubt) = rows(served).await;
    for row in in_doubt {
        let id = row["object"]["cmp_id"].as_str().unwrap();
        let key = backend.state().key_of(&format!("cmp:{id}"));
        let verdict = match (row["route"].as_str().unwrap(), key) {
            ("create_thing", Some(key)) => {
                json!({ "verdict": "succeeded", "backend_id": key.to_string(), "force": true })
            }
            ("delete_thing", None) => json!({ "verdict": "succeeded", "force": true }),
            _ => json!({ "verdict": "failed", "force": true }),
        };
        let path = format!(
            "/relay/v1/operations/{}/resolve",
            row["id"].as_str().unwrap()
        );
        let settled = served.admin("POST", &path, verdict).await;
        assert_eq!(settled.status, 200, "{row}: {settled:?}");
    }
}

/// Mappings (CMP id to backend id), and operations in doubt.
async fn rows(served: &Served) -> (BTreeMap<String, String>, Vec<Value>) {
    let page = async |path: &str| {
        let page = served.admin("GET", path, Value::Null).await.body;
        assert!(page["next"].is_null(), "more rows than a page");
        page["items"].as_array().unwrap().clone()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mapped = page("/relay/v1/mappings?limit=1000").await;
    let mapped = mapped
        .iter()
        .map(|row| (text(&row["cmp_id"]), text(&row["backend_id"])))
        .collect();
    let mut in_doubt = page("/relay/v1/operations?state=unknown&limit=1000").await;
    in_doubt.extend(page("/relay/v1/operations?state=pending&limit=1000").await);
    (mapped, in_doubt)
}
