//! The firewall pack over a simulated FortiGate and a simulated PAN-OS firewall: the same CMP requests to both, and
//! the same replies.

use std::sync::Arc;

use cmp_relay::demo::packs::firewalls;
use cmp_relay::demo::simulate::Stage;
use cmp_relay::demo::simulate::fortios::Fortios;
use cmp_relay::demo::simulate::panos::Panos;
use serde_json::{Value, json};

use crate::support::pack::{asked, over};
use crate::support::relay::{BACKEND_TOKEN, TestRelay};

/// The sites of the pack, and the firewall of each.
const SITES: [(&str, &str); 2] = [("tpe", "fw-tpe-1"), ("khh", "fw-khh-1")];

/// The relay over firewalls of its own.
struct Site {
    stage: Stage,
    fortios: Arc<Fortios>,
    panos: Arc<Panos>,
    files: Vec<(String, String)>,
    folder: tempfile::TempDir,
    relay: Option<TestRelay>,
}

impl Site {
    async fn start() -> Self {
        Self::with_secret(BACKEND_TOKEN).await
    }

    /// Where the firewalls want this secret, and the relay gives the one of the tests.
    async fn with_secret(secret: &str) -> Self {
        let mut stage = Stage::new(None, None);
        let fortios = Arc::new(Fortios::open(secret.to_owned(), None).unwrap());
        let panos = Arc::new(Panos::open(secret.to_owned(), None).unwrap());
        let backends = firewalls::at(&mut stage, &fortios, &panos).unwrap();
        let files = over(&[&firewalls::PACK], &backends);
        let folder = tempfile::tempdir().unwrap();
        let relay = TestRelay::start_in(folder.path(), &files).await;
        Self {
            stage,
            fortios,
            panos,
            files,
            folder,
            relay: Some(relay),
        }
    }

    /// The relay ends, and another begins over its database.
    async fn restart(&mut self) {
        self.relay = None;
        self.relay = Some(TestRelay::start_in(self.folder.path(), &self.files).await);
    }

    /// Another relay begins, which knows of nothing.
    async fn forget(&mut self) {
        self.folder = tempfile::tempdir().unwrap();
        self.relay = Some(TestRelay::start_in(self.folder.path(), &self.files).await);
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
        let relay = self.relay.as_ref().unwrap();
        asked(relay, method, &format!("/v1/{path}"), body).await
    }

    async fn done(&self, method: &str, path: &str, body: Option<Value>, status: u16) -> Value {
        let (got, said) = self.ask(method, path, body).await;
        assert_eq!(got, status, "{method} {path}: {said}");
        said
    }

    async fn refused(&self, asked: (&str, &str, Option<Value>), status: u16, code: &str) {
        let (method, path, body) = asked;
        let (got, said) = self.ask(method, path, body).await;
        assert_eq!(
            (got, &said["code"]),
            (status, &json!(code)),
            "{method} {path}: {said}"
        );
        if method != "GET" {
            assert_eq!(said["side_effect"], "none", "{method} {path}: {said}");
        }
    }

    /// Refused before any firewall hears of it.
    async fn refused_here(&self, asked: (&str, &str, Option<Value>), status: u16, code: &str) {
        let calls = self.stage.calls();
        self.refused(asked, status, code).await;
        assert_eq!(self.stage.calls(), calls);
    }

    async fn make(&self, what: &str, body: Value) -> Value {
        self.done("POST", what, Some(body), 201).await
    }

    /// An address, a service and a policy that names both.
    async fn furnish(&self, site: &str) {
        let address = json!({ "id": format!("web-{site}"), "site": site, "cidr": "10.1.0.0/24" });
        self.make("firewall-addresses", address).await;
        let service = json!({ "id": format!("https-{site}"), "site": site, "protocol": "tcp", "ports": "443" });
        self.make("firewall-services", service).await;
        self.make("firewall-policies", policy(site, "in")).await;
    }

    async fn order(&self, site: &str) -> Vec<String> {
        let list = self
            .done("GET", &format!("firewall-policies?site={site}"), None, 200)
            .await;
        let list = list["firewall_policies"].as_array().unwrap().clone();
        list.iter()
            .map(|one| one["id"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn policy(site: &str, id: &str) -> Value {
    json!({ "id": format!("{id}-{site}"), "site": site, "from_zones": ["untrust"], "to_zones": ["dmz", "trust"],
        "destinations": [format!("web-{site}")], "services": [format!("https-{site}")],
        "action": "allow", "enabled": true })
}

fn without(mut body: Value, keys: &[&str]) -> Value {
    body.as_object_mut()
        .unwrap()
        .retain(|key, _| !keys.contains(&&**key));
    body
}

/// What was said, as it would have been of no particular site.
fn anywhere(said: &Value, site: &str) -> Value {
    let text = said.to_string().replace(&format!("-{site}\""), "-here\"");
    let said = serde_json::from_str::<Value>(&text.replace(&format!("\"{site}\""), "\"here\""));
    said.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_vendors_are_told_the_same_and_say_the_same() {
    let mut site = Site::start().await;
    let mut told = Vec::new();
    for (name, _) in SITES {
        site.furnish(name).await;
        let named = json!({ "id": format!("cdn-{name}"), "site": name, "fqdn": "www.example.com" });
        let mut said = vec![site.make("firewall-addresses", named).await];
        let nat = json!({ "id": format!("hide-{name}"), "source": format!("web-{name}"),
            "from_zone": "trust", "to_zone": "untrust" });
        said.push(site.make("firewall-nat-rules", nat).await);
        site.restart().await;
        for what in ["addresses", "services", "policies", "nat-rules"] {
            said.push(
                site.done("GET", &format!("firewall-{what}?site={name}"), None, 200)
                    .await,
            );
        }
        for one in [
            "addresses/web",
            "addresses/cdn",
            "services/https",
            "policies/in",
            "nat-rules/hide",
        ] {
            said.push(
                site.done("GET", &format!("firewall-{one}-{name}"), None, 200)
                    .await,
            );
        }
        let changes = [
            ("addresses/web", json!({ "cidr": "10.2.0.0/16" })),
            ("addresses/cdn", json!({ "cidr": "192.0.2.7/32" })),
            (
                "services/https",
                json!({ "protocol": "udp", "ports": "5000-5010" }),
            ),
            (
                "policies/in",
                without(policy(name, "in"), &["id", "site", "services"]),
            ),
        ];
        for (one, change) in changes {
            let path = format!("firewall-{one}-{name}");
            let changed = site.done("PUT", &path, Some(change), 200).await;
            let read = site.done("GET", &path, None, 200).await;
            assert_eq!(changed, read);
            said.push(read);
        }
        assert_eq!(said[said.len() - 1]["services"], json!([]));
        assert_eq!(said[said.len() - 3]["cidr"], "192.0.2.7/32");
        told.push(
            said.iter()
                .map(|one| anywhere(one, name))
                .collect::<Vec<_>>(),
        );

        for one in [
            "nat-rules/hide",
            "policies/in",
            "services/https",
            "addresses/web",
            "addresses/cdn",
        ] {
            let path = format!("firewall-{one}-{name}");
            site.done("DELETE", &path, None, 204).await;
            site.refused_here(("DELETE", &path, None), 404, "not_mapped")
                .await;
        }
        for what in ["addresses", "services", "policies", "nat-rules"] {
            let list = site
                .done("GET", &format!("firewall-{what}?site={name}"), None, 200)
                .await;
            assert_eq!(
                list[format!("firewall_{}", what.replace('-', "_"))],
                json!([])
            );
        }
    }
    assert_eq!(told[0], told[1]);
    assert_eq!(told[0].len(), 15);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_vendors_refuse_by_the_same_codes() {
    let site = Site::start().await;
    for (name, _) in SITES {
        site.furnish(name).await;
        let address = |id: &str, cidr: &str| {
            Some(json!({ "id": format!("{id}-{name}"), "site": name, "cidr": cidr }))
        };
        let web = format!("firewall-addresses/web-{name}");
        // In use, by a name that nobody knows, a value that is none.
        site.refused(("DELETE", &web, None), 409, "conflict").await;
        let https = format!("firewall-services/https-{name}");
        site.refused(("DELETE", &https, None), 409, "conflict")
            .await;
        let wrong = address("wrong", "10.1.0.0/33");
        site.refused_here(
            ("POST", "firewall-addresses", wrong),
            422,
            "schema_violation",
        )
        .await;
        let ports = json!({ "id": "p", "site": name, "protocol": "tcp", "ports": "99999" });
        site.refused(
            ("POST", "firewall-services", Some(ports)),
            422,
            "invalid_value",
        )
        .await;
        let mut elsewhere = policy(name, "elsewhere");
        elsewhere["to_zones"] = json!(["nowhere"]);
        site.refused(
            ("POST", "firewall-policies", Some(elsewhere)),
            409,
            "reference_missing",
        )
        .await;

        // More than it takes.
        site.fortios.hold_at_most(2);
        site.panos.hold_at_most(1);
        let more = address("more", "10.3.0.0/24");
        site.refused(
            ("POST", "firewall-addresses", more.clone()),
            409,
            "quota_exceeded",
        )
        .await;
        site.fortios.hold_at_most(100);
        site.panos.hold_at_most(100);
        site.make("firewall-addresses", more.unwrap()).await;

        // What was removed behind our back.
        site.fortios
            .remove("firewall/address", &format!("cmp-more-{name}"));
        site.panos.remove("address", &format!("cmp-more-{name}"));
        let more = format!("firewall-addresses/more-{name}");
        site.refused(("GET", &more, None), 404, "backend_object_missing")
            .await;
        let change = Some(json!({ "cidr": "10.4.0.0/24" }));
        site.refused(("PUT", &more, change), 404, "backend_object_missing")
            .await;
        let nat = json!({ "id": "n", "source": format!("more-{name}"), "from_zone": "trust", "to_zone": "dmz" });
        site.refused(
            ("POST", "firewall-nat-rules", Some(nat)),
            409,
            "reference_missing",
        )
        .await;
        site.done("DELETE", &more, None, 204).await;
    }
}

/// FortiOS refuses a name that it has. PAN-OS joins what is there: so names are made of the CMP's ids, and an object
/// whose mapping was lost is found again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_already_is_refused_or_joined() {
    let mut site = Site::start().await;
    let address = |name| json!({ "id": "a", "site": name, "fqdn": "a.example.com" });
    site.make("firewall-addresses", address("tpe")).await;
    site.refused_here(
        ("POST", "firewall-addresses", Some(address("khh"))),
        409,
        "already_mapped",
    )
    .await;
    site.forget().await;
    site.refused(
        ("POST", "firewall-addresses", Some(address("tpe"))),
        409,
        "conflict",
    )
    .await;
    site.make("firewall-addresses", address("khh")).await;
    site.forget().await;
    site.make("firewall-addresses", address("khh")).await;
    let list = site
        .done("GET", "firewall-addresses?site=khh", None, 200)
        .await;
    assert_eq!(list["firewall_addresses"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_are_put_before_and_after_each_other() {
    let site = Site::start().await;
    for (name, _) in SITES {
        site.furnish(name).await;
        for id in ["second", "third"] {
            site.make("firewall-policies", policy(name, id)).await;
        }
        let [first, second, third] = ["in", "second", "third"].map(|id| format!("{id}-{name}"));
        assert_eq!(site.order(name).await, [&*first, &second, &third]);
        let to = |id: &str| format!("firewall-policies/{id}/move");
        let said = site
            .done("POST", &to(&third), Some(json!({ "before": first })), 200)
            .await;
        assert_eq!(said, json!({ "id": third, "site": name, "before": first }));
        assert_eq!(site.order(name).await, [&*third, &first, &second]);
        site.done("POST", &to(&third), Some(json!({ "after": second })), 200)
            .await;
        assert_eq!(site.order(name).await, [&*first, &second, &third]);
        // Once more is once.
        site.done("POST", &to(&third), Some(json!({ "after": second })), 200)
            .await;
        assert_eq!(site.order(name).await, [&*first, &second, &third]);

        let both = Some(json!({ "before": first, "after": second }));
        let (status, said) = site.ask("POST", &to(&third), both).await;
        assert_eq!((status, &said["code"]), (422, &json!("schema_violation")));
        let nobody = Some(json!({ "before": "nobody" }));
        site.refused_here(("POST", &to(&third), nobody), 404, "not_mapped")
            .await;
        // The other one is gone behind our back.
        let read = site
            .done("GET", &format!("firewall-policies/{first}"), None, 200)
            .await;
        assert_eq!(read["to_zones"], json!(["dmz", "trust"]));
        site.fortios.remove("firewall/policy", "1");
        site.panos
            .remove("rulebase/security/rules", &format!("cmp-{first}"));
        let gone = Some(json!({ "before": first }));
        site.refused(("POST", &to(&third), gone), 409, "reference_missing")
            .await;
    }
    let other = Some(json!({ "before": "second-khh" }));
    site.refused_here(
        ("POST", "firewall-policies/second-tpe/move", other),
        409,
        "wrong_backend",
    )
    .await;
    let mut mixed = policy("tpe", "mixed");
    mixed["destinations"] = json!(["web-tpe", "web-khh"]);
    site.refused_here(
        ("POST", "firewall-policies", Some(mixed)),
        409,
        "wrong_backend",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_is_a_job_where_the_vendor_has_one() {
    let mut site = Site::start().await;
    let commit = |id: &str| Some(json!({ "id": id }));
    let path = "firewalls/fw-khh-1/commits";
    site.refused(("POST", path, commit("none")), 409, "nothing_to_commit")
        .await;
    site.furnish("khh").await;
    let said = site.done("POST", path, commit("c1"), 202).await;
    assert_eq!(
        said,
        json!({ "id": "c1", "firewall": "fw-khh-1", "state": "running" })
    );
    site.restart().await;
    let one = "firewall-commits/c1";
    let said = site.done("GET", one, None, 200).await;
    assert_eq!(
        (&said["state"], &said["progress"]),
        (&json!("running"), &json!(55))
    );
    let said = site.done("GET", one, None, 200).await;
    assert_eq!(
        (&said["state"], &said["progress"]),
        (&json!("succeeded"), &json!(100))
    );
    site.refused(("POST", path, commit("c2")), 409, "nothing_to_commit")
        .await;

    site.panos.fail_commits(true);
    site.done("DELETE", "firewall-policies/in-khh", None, 204)
        .await;
    site.done("POST", path, commit("c3"), 202).await;
    site.done("GET", "firewall-commits/c3", None, 200).await;
    let said = site.done("GET", "firewall-commits/c3", None, 200).await;
    assert_eq!(said["state"], "failed");

    site.done("DELETE", one, None, 204).await;
    site.refused_here(("DELETE", one, None), 404, "not_mapped")
        .await;
    site.panos.forget_jobs();
    site.refused(
        ("GET", "firewall-commits/c3", None),
        404,
        "backend_object_missing",
    )
    .await;
    site.done("DELETE", "firewall-commits/c3", None, 204).await;

    // The other vendor has nothing to commit: no such firewall for this route.
    let other = "firewalls/fw-tpe-1/commits";
    site.refused_here(("POST", other, commit("c4")), 503, "no_backend")
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_or_key_is_tried_once() {
    let site = Site::with_secret("another").await;
    for (name, _) in SITES {
        let calls = site.stage.calls();
        let address = json!({ "id": "a", "site": name, "cidr": "10.1.0.0/24" });
        site.refused(
            ("POST", "firewall-addresses", Some(address)),
            502,
            "backend_auth",
        )
        .await;
        assert_eq!(site.stage.calls(), calls + 1, "{name}");
    }
}
