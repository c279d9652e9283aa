//! The fabric pack over a simulated NEO: what a write begins, what a job's end settles, and what is in the way.

use std::sync::Arc;

use cmp_relay::demo::packs::neo;
use cmp_relay::demo::simulate::Stage;
use cmp_relay::demo::simulate::neo::{Manner, Neo};
use cmp_relay::relay::Reply;
use cmp_relay::store::Mapping;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::pack::over;
use crate::support::relay::{BACKEND_TOKEN, CmpRequest, TestRelay};

/// The relay over a NEO of its own.
struct Site {
    neo: Arc<Neo>,
    _stage: Stage,
    relay: Option<TestRelay>,
    files: Vec<(String, String)>,
    folder: tempfile::TempDir,
}

impl Site {
    async fn start() -> Self {
        Self::with_password(BACKEND_TOKEN).await
    }

    /// Where NEO wants this password, and the relay gives the one of the tests.
    async fn with_password(password: &str) -> Self {
        let mut stage = Stage::new(None, None);
        let neo = Arc::new(Neo::open(password.to_owned(), None).unwrap());
        let url = stage.serve(neo.router()).unwrap();
        let files = over(&[&neo::PACK], &neo::at(&url));
        let folder = tempfile::tempdir().unwrap();
        let relay = TestRelay::start_in(folder.path(), &files).await;
        Self {
            neo,
            _stage: stage,
            relay: Some(relay),
            files,
            folder,
        }
    }

    fn relay(&self) -> &TestRelay {
        self.relay.as_ref().unwrap()
    }

    /// The relay ends without a word, and another begins over its database.
    async fn restart(&mut self) {
        self.relay = None;
        self.relay = Some(TestRelay::start_in(self.folder.path(), &self.files).await);
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>, key: &str) -> Reply {
        let mut headers = vec![("content-type".into(), "application/json".into())];
        if !key.is_empty() {
            headers.push(("idempotency-key".into(), key.to_owned()));
        }
        let request = CmpRequest {
            method: method.to_owned(),
            path_and_query: format!("/v1/{path}"),
            headers,
            body: body.map_or_else(String::new, |body| body.to_string()),
            ..CmpRequest::default()
        };
        self.relay().request(request).await
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let reply = self.send(method, path, body, "").await;
        let body = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        (reply.status.as_u16(), body)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, None).await
    }

    async fn delete(&self, path: &str) -> (u16, Value) {
        self.ask("DELETE", path, None).await
    }

    /// Asks, and is refused with this status and code, by NEO or before.
    async fn refused(&self, asked: (&str, &str, Option<Value>), status: u16, code: &str) -> Value {
        let (method, path, body) = asked;
        let (got, problem) = self.ask(method, path, body).await;
        assert_eq!((got, &problem["code"]), (status, &json!(code)), "{problem}");
        problem
    }

    /// Refused before NEO hears of it.
    async fn refused_here(&self, method: &str, path: &str, status: u16, code: &str) {
        let calls = self.neo.calls();
        self.refused((method, path, None), status, code).await;
        assert_eq!(self.neo.calls(), calls, "{method} {path}");
    }

    async fn begin_network(&self, id: &str, name: &str, vlan: u16) -> Value {
        let body = json!({ "id": id, "name": name, "vlan_id": vlan });
        let (status, begun) = self.ask("POST", "fabric-networks", Some(body)).await;
        assert_eq!(
            (status, &begun["state"]),
            (202, &json!("creating")),
            "{begun}"
        );
        begun
    }

    /// A network whose job has ended.
    async fn network(&self, id: &str, vlan: u16) {
        let begun = self.begin_network(id, id, vlan).await;
        assert_eq!(self.read_to_the_end(&begun).await["state"], "completed");
    }

    /// Reads a job, which goes on with each read, until it has ended; the last reply.
    async fn read_to_the_end(&self, begun: &Value) -> Value {
        let path = job_path(begun);
        for state in ["pending", "running"] {
            let (status, job) = self.get(&path).await;
            assert_eq!((status, &job["state"]), (200, &json!(state)), "{job}");
            assert_eq!(job["id"], begun["job_id"]);
        }
        let (status, job) = self.get(&path).await;
        assert_eq!(status, 200, "{job}");
        job
    }

    /// What the table holds of an object.
    async fn row(&self, resource: &str, id: &str) -> Option<Mapping> {
        let store = self.relay().relay.journal().store().clone();
        let rows = store.mappings_of_object(resource, id).await.unwrap();
        rows.into_iter().next()
    }

    async fn backend_id(&self, resource: &str, id: &str) -> Option<String> {
        self.row(resource, id).await.and_then(|row| row.backend_id)
    }
}

fn job_path(begun: &Value) -> String {
    format!("fabric-jobs/{}", begun["job_id"].as_str().unwrap())
}

fn port(id: &str, place: &str) -> Value {
    json!({ "id": id, "network_id": "n1", "name": id, "host": "compute-1",
        "mac_address": "12:34:56:78:21:b6", "switch_id": "e4:1d:2d:a5:10:00", "switch_port": place })
}

#[tokio::test]
async fn a_network_lives_its_life_over_restarts() {
    let mut site = Site::start().await;
    let begun = site.begin_network("n1", "storage", 100).await;
    assert_eq!(begun["id"], "n1");
    // The table holds the job, and the network without an id: neither is lost with the process.
    site.restart().await;
    let row = site.row("fabric_network", "n1").await.unwrap();
    assert_eq!((row.backend.as_str(), row.backend_id), ("neo-1", None));
    site.refused_here("GET", "fabric-networks/n1", 409, "pending_object")
        .await;
    site.refused_here("DELETE", "fabric-networks/n1", 409, "pending_object")
        .await;
    let (_, list) = site.get("fabric-networks").await;
    assert_eq!(list, json!({ "fabric_networks": [] }));

    let (_, job) = site.get(&job_path(&begun)).await;
    assert_eq!(
        (&job["state"], &job["progress"]),
        (&json!("pending"), &json!(0))
    );
    site.restart().await;
    site.get(&job_path(&begun)).await;
    assert_eq!(site.backend_id("fabric_network", "n1").await, None);
    let (_, job) = site.get(&job_path(&begun)).await;
    assert_eq!(job["state"], "completed");
    assert_eq!(job["summary"], "Network set up on 2 switches");
    site.restart().await;

    let network = json!({ "id": "n1", "name": "storage", "vlan_id": 100 });
    assert_eq!(site.get("fabric-networks/n1").await, (200, network.clone()));
    let (_, list) = site.get("fabric-networks").await;
    assert_eq!(list, json!({ "fabric_networks": [network] }));

    let change = json!({ "name": "backup", "vlan_id": 101 });
    let (status, begun) = site.ask("PUT", "fabric-networks/n1", Some(change)).await;
    assert_eq!(
        (status, &begun["state"]),
        (202, &json!("updating")),
        "{begun}"
    );
    assert_eq!(site.get("fabric-networks/n1").await.1["name"], "storage");
    assert_eq!(site.read_to_the_end(&begun).await["state"], "completed");
    assert_eq!(site.get("fabric-networks/n1").await.1["vlan_id"], 101);

    let (status, begun) = site.delete("fabric-networks/n1").await;
    assert_eq!(
        (status, &begun["state"]),
        (202, &json!("deleting")),
        "{begun}"
    );
    site.restart().await;
    // Until its job is seen to have ended, the network is there.
    assert_eq!(site.get("fabric-networks/n1").await.0, 200);
    assert_eq!(site.read_to_the_end(&begun).await["state"], "completed");
    site.refused_here("GET", "fabric-networks/n1", 404, "not_mapped")
        .await;
    site.refused_here("DELETE", "fabric-networks/n1", 404, "not_mapped")
        .await;
    assert_eq!(site.row("fabric_job", "network:n1:delete").await, None);
}

#[tokio::test]
async fn a_job_is_found_in_each_manner_of_an_answer() {
    let site = Site::start().await;
    let manners = [Manner::Object, Manner::Text, Manner::Location, Manner::Page];
    for (vlan, manner) in (200..).zip(manners) {
        site.neo.answer_in(Some(manner));
        let id = format!("n{vlan}");
        site.network(&id, vlan).await;
        let (_, begun) = site.delete(&format!("fabric-networks/{id}")).await;
        assert_eq!(
            site.read_to_the_end(&begun).await["state"],
            "completed",
            "{manner:?}"
        );
        assert_eq!(site.row("fabric_network", &id).await, None, "{manner:?}");
    }
}

#[tokio::test]
async fn a_job_that_fails_takes_its_network_along_and_says_why() {
    let site = Site::start().await;
    let begun = site.begin_network("n1", "fail-storage", 100).await;
    let job = site.read_to_the_end(&begun).await;
    assert_eq!(job["state"], "aborted");
    assert_eq!(job["summary"], "switch 10.224.14.238 does not answer");
    assert_eq!(site.row("fabric_network", "n1").await, None);
    site.refused_here("GET", "fabric-networks/n1", 404, "not_mapped")
        .await;

    // The id is free again, and the next job of that name is another one.
    let again = site.begin_network("n1", "storage", 100).await;
    assert_eq!(again["job_id"], begun["job_id"]);
    assert_eq!(site.read_to_the_end(&again).await["state"], "completed");
    assert_eq!(site.get("fabric-networks/n1").await.0, 200);

    // A VLAN that is taken is found out by the job.
    let begun = site.begin_network("n2", "other", 100).await;
    let job = site.read_to_the_end(&begun).await;
    assert_eq!(job["summary"], "VLAN 100 is taken by `storage`");
    assert_eq!(site.row("fabric_network", "n2").await, None);

    // What was made in part can be deleted.
    let begun = site.begin_network("n3", "partly-there", 103).await;
    assert_eq!(
        site.read_to_the_end(&begun).await["state"],
        "completed_with_errors"
    );
    assert_eq!(site.delete("fabric-networks/n3").await.0, 202);
}

#[tokio::test]
async fn a_job_ends_once_however_often_and_by_however_many_it_is_read() {
    let site = Arc::new(Site::start().await);
    let begun = site.begin_network("n1", "storage", 100).await;
    let path = job_path(&begun);
    for _ in 0..2 {
        assert_eq!(site.get(&path).await.0, 200);
    }
    let mut readers = JoinSet::new();
    for _ in 0..8 {
        let (site, path) = (Arc::clone(&site), path.clone());
        readers.spawn(async move { site.get(&path).await });
    }
    let replies = readers.join_all().await;
    let (settled, others): (Vec<_>, Vec<_>) =
        replies.into_iter().partition(|(status, _)| *status == 200);
    assert!(
        matches!(&settled[..], [(_, job)] if job["state"] == "completed"),
        "{settled:?}"
    );
    for (_, problem) in others {
        let code = problem["code"].as_str().unwrap();
        assert!(
            ["operation_in_progress", "not_mapped"].contains(&code),
            "{problem}"
        );
        assert_eq!(problem["side_effect"], "none");
    }
    let made = site.backend_id("fabric_network", "n1").await;
    assert!(made.is_some());
    site.refused_here("GET", &path, 404, "not_mapped").await;
    assert_eq!(site.backend_id("fabric_network", "n1").await, made);

    // Who reads with a key can have the last reply again.
    let begun = site.begin_network("n2", "backup", 101).await;
    for _ in 0..2 {
        site.get(&job_path(&begun)).await;
    }
    let first = site.send("GET", &job_path(&begun), None, "end-of-n2").await;
    let again = site.send("GET", &job_path(&begun), None, "end-of-n2").await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (200, 200));
    assert_eq!(first.body, again.body);
    assert_eq!(again.headers["idempotency-replayed"], "true");
}

#[tokio::test]
async fn a_repeated_delete_is_told_of_the_job_that_it_began() {
    let site = Site::start().await;
    site.network("n1", 100).await;
    let first = site.delete("fabric-networks/n1").await;
    let calls = site.neo.calls();
    assert_eq!(site.delete("fabric-networks/n1").await, first);
    assert_eq!(site.neo.calls(), calls);
    assert_eq!(site.read_to_the_end(&first.1).await["state"], "completed");
}

#[tokio::test]
async fn what_neo_does_not_have_any_more_is_deleted() {
    let site = Site::start().await;
    site.network("n1", 100).await;
    let at_neo = site.backend_id("fabric_network", "n1").await.unwrap();
    site.neo.remove(&at_neo);
    site.refused(
        ("GET", "fabric-networks/n1", None),
        404,
        "backend_object_missing",
    )
    .await;
    let gone = site.delete("fabric-networks/n1").await;
    assert_eq!(gone, (202, json!({ "id": "n1", "state": "deleted" })));
    site.refused_here("DELETE", "fabric-networks/n1", 404, "not_mapped")
        .await;
    assert_eq!(site.row("fabric_job", "network:n1:delete").await, None);
}

#[tokio::test]
async fn a_job_that_neo_forgot_settles_nothing() {
    let site = Site::start().await;
    let begun = site.begin_network("n1", "storage", 100).await;
    site.neo.forget_jobs();
    let problem = site
        .refused(("GET", &job_path(&begun), None), 404, "unknown_job")
        .await;
    assert_eq!(problem["side_effect"], "none");
    assert!(site.row("fabric_network", "n1").await.is_some());
    assert!(site.row("fabric_job", "network:n1:create").await.is_some());
}

#[tokio::test]
async fn a_session_that_is_over_costs_a_login_and_nothing_else() {
    let site = Site::start().await;
    site.network("n1", 100).await;
    assert_eq!(site.neo.logins(), 1);
    for (logins, shows_the_way) in [(2, false), (3, true)] {
        site.neo.end_sessions(shows_the_way);
        let calls = site.neo.calls();
        let id = format!("n{logins}");
        let begun = site.begin_network(&id, &id, 100 + logins).await;
        // One that was turned away, and the one that came back.
        assert_eq!(site.neo.calls(), calls + 2);
        assert_eq!(site.neo.logins(), u64::from(logins));
        assert_eq!(site.read_to_the_end(&begun).await["state"], "completed");
    }
}

#[tokio::test]
async fn a_login_without_a_cookie_is_none() {
    let site = Site::with_password("another").await;
    let problem = site
        .refused(("GET", "fabric-networks", None), 502, "backend_auth")
        .await;
    assert!(!problem.to_string().contains(BACKEND_TOKEN), "{problem}");
    assert_eq!(site.neo.calls(), 0);
}

#[tokio::test]
async fn refusals_of_neo_are_told_in_the_words_of_the_cmp() {
    let site = Site::start().await;
    site.network("n1", 100).await;
    let network =
        |name: &str, vlan: u16| Some(json!({ "id": "n2", "name": name, "vlan_id": vlan }));
    let create = |body| ("POST", "fabric-networks", body);
    for (body, status, code) in [
        (network("high", 4001), 422, "invalid_value"),
        (network("n1", 101), 409, "conflict"),
    ] {
        let problem = site.refused(create(body), status, code).await;
        assert_eq!(problem["side_effect"], "none");
        assert_eq!(site.row("fabric_network", "n2").await, None);
    }
    site.neo.serve_clouds(false);
    let problem = site
        .refused(create(network("n2", 101)), 501, "not_supported")
        .await;
    assert_eq!(problem["side_effect"], "none");
    // It was not done, so the same request may come again.
    site.neo.serve_clouds(true);
    assert_eq!(
        site.ask("POST", "fabric-networks", network("n2", 101))
            .await
            .0,
        202
    );
}

#[tokio::test]
async fn a_port_lives_in_its_network() {
    let mut site = Site::start().await;
    let begun = site.begin_network("n1", "storage", 100).await;
    let calls = site.neo.calls();
    let early = ("POST", "fabric-ports", Some(port("p1", "1/7")));
    site.refused(early.clone(), 409, "pending_object").await;
    assert_eq!(site.neo.calls(), calls);
    site.read_to_the_end(&begun).await;

    let (status, begun) = site.ask("POST", "fabric-ports", early.2).await;
    assert_eq!(
        (status, &begun["job_id"]),
        (202, &json!("port:p1:create")),
        "{begun}"
    );
    site.restart().await;
    site.refused_here("GET", "fabric-ports/p1", 409, "pending_object")
        .await;
    assert_eq!(site.read_to_the_end(&begun).await["state"], "completed");
    let shown = json!({ "id": "p1", "network_id": "n1", "name": "p1", "host": "compute-1",
        "mac_address": "12:34:56:78:21:b6" });
    assert_eq!(site.get("fabric-ports/p1").await, (200, shown.clone()));
    let list = json!({ "fabric_ports": [shown] });
    assert_eq!(site.get("fabric-ports").await, (200, list));

    let (_, begun) = site
        .ask("POST", "fabric-ports", Some(port("p2", "1/7")))
        .await;
    let job = site.read_to_the_end(&begun).await;
    assert_eq!(
        job["summary"],
        "port 1/7 of e4:1d:2d:a5:10:00 is taken by `p1`"
    );
    assert_eq!(site.row("fabric_port", "p2").await, None);

    let in_use = ("DELETE", "fabric-networks/n1", None);
    site.refused(in_use, 409, "conflict").await;
    let (_, begun) = site.delete("fabric-ports/p1").await;
    assert_eq!(site.read_to_the_end(&begun).await["state"], "completed");
    site.refused_here("DELETE", "fabric-ports/p1", 404, "not_mapped")
        .await;

    let at_neo = site.backend_id("fabric_network", "n1").await.unwrap();
    site.neo.remove(&at_neo);
    let orphan = ("POST", "fabric-ports", Some(port("p3", "1/8")));
    site.refused(orphan, 409, "reference_missing").await;
}
