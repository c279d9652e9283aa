//! Lists of the packs: `limit`, `marker` and `next`, whatever their backends have of it.

use std::collections::BTreeSet;

use cmp_relay::config::{Env, load_from_memory};
use cmp_relay::demo::packs::{self, firewalls, neo, openstack, waf};
use cmp_relay::demo::simulate::Stage;
use cmp_relay::http::openapi;
use serde_json::{Value, json};

use crate::support::pack::{asked, simulated};
use crate::support::relay::TestRelay;

/// The ids on each page, as a CMP reads them: it hands `next` back until there is none.
async fn pages(relay: &TestRelay, list: &str, asks: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut asks = format!("{list}{asks}");
    loop {
        let (status, page) = asked(relay, "GET", &asks, None).await;
        assert_eq!(status, 200, "{asks}: {page}");
        let mut lists = page.as_object().unwrap().values();
        let ids = lists.find_map(Value::as_array).unwrap().iter();
        pages.push(
            ids.map(|one| one["id"].as_str().unwrap().to_owned())
                .collect(),
        );
        assert!(pages.len() < 9, "{asks} goes on and on");
        let Some(next) = page.get("next") else {
            return pages;
        };
        asks = format!("{list}&limit=2&marker={}", next.as_str().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_is_read_page_by_page_at_every_vendor() {
    let mut stage = Stage::new(None, None);
    let packs = [&openstack::PACK, &neo::PACK, &waf::PACK, &firewalls::PACK];
    let files = simulated(&packs, &mut stage);
    let folder = tempfile::tempdir().unwrap();
    let relay = TestRelay::start_in(folder.path(), &files).await;
    let ids = ["a", "b", "c", "d", "e"];
    let lists = [
        (
            "networks?region=RegionOne",
            json!({ "region": "RegionOne", "name": "n" }),
        ),
        ("fabric-networks?limit=9", json!({ "name": "n" })),
        (
            "waf-server-pools?site=tpe",
            json!({ "site": "tpe", "algorithm": "round_robin" }),
        ),
        (
            "waf-server-pools?site=khh",
            json!({ "site": "khh", "algorithm": "round_robin" }),
        ),
        (
            "firewall-addresses?site=tpe",
            json!({ "site": "tpe", "cidr": "10.1.0.0/24" }),
        ),
        (
            "firewall-addresses?site=khh",
            json!({ "site": "khh", "cidr": "10.1.0.0/24" }),
        ),
        (
            "firewall-services?site=tpe",
            json!({ "site": "tpe", "protocol": "tcp", "ports": "443" }),
        ),
        (
            "firewall-services?site=khh",
            json!({ "site": "khh", "protocol": "tcp", "ports": "443" }),
        ),
        ("firewall-policies?site=tpe", policy("tpe")),
        ("firewall-policies?site=khh", policy("khh")),
    ];
    for (number, (list, body)) in lists.iter().enumerate() {
        let path = format!("/v1/{}", list.split_once('?').unwrap().0);
        let list = format!("/v1/{}", list.replace("?limit=9", "?"));
        let mut made = BTreeSet::new();
        for (place, id) in ids.iter().enumerate() {
            let mut body = body.clone();
            let id = format!("{id}{number}");
            body["id"] = json!(id);
            if path.contains("waf") || path.contains("fabric") {
                body["name"] = json!(id);
            }
            if path.contains("fabric") {
                body["vlan_id"] = json!(100 + place);
            }
            let (status, said) = asked(&relay, "POST", &path, Some(body)).await;
            assert!([201, 202].contains(&status), "{path}: {said}");
            if let Some(job) = said["job_id"].as_str() {
                for _ in 0..3 {
                    asked(&relay, "GET", &format!("/v1/fabric-jobs/{job}"), None).await;
                }
            }
            made.insert(id);
        }

        let whole = pages(&relay, &list, "").await;
        assert_eq!(whole.len(), 1, "{list}");
        let one_by_one = pages(&relay, &list, "&limit=2").await;
        assert!(one_by_one.len() >= 3, "{list}: {one_by_one:?}");
        assert!(one_by_one.iter().all(|page| page.len() <= 2), "{list}");
        assert_eq!(one_by_one.concat(), whole[0], "{list}");
        assert_eq!(whole[0].iter().cloned().collect::<BTreeSet<_>>(), made);
        assert_eq!(whole[0].len(), made.len(), "{list}");

        let calls = stage.calls();
        for wrong in ["&limit=0", "&limit=x", "&limit=2&marker=nobody"] {
            let (status, said) = asked(&relay, "GET", &format!("{list}{wrong}"), None).await;
            assert_eq!(status, 422, "{list}{wrong}: {said}");
        }
        assert_eq!(stage.calls(), calls, "{list}");
    }
    stage.stop().await;
}

fn policy(site: &str) -> Value {
    json!({ "site": site, "from_zones": ["untrust"], "to_zones": ["dmz"], "action": "allow", "enabled": true })
}

/// A CMP pages through every list in the same way.
#[test]
fn every_shipped_list_takes_a_limit_and_a_marker() {
    let env = Env::new(packs::secrets().map(|name| (name.to_owned(), "x".to_owned())));
    let files: Vec<_> = packs::files().collect();
    let document = openapi::document(&load_from_memory(&files, &env).plan.unwrap());
    let reads = document["paths"].as_object().unwrap().values();
    let lists: Vec<&Value> = reads
        .map(|path| &path["get"])
        .filter(|read| {
            read["operationId"]
                .as_str()
                .is_some_and(|id| id.starts_with("list_"))
        })
        .collect();
    assert!(lists.len() >= 20, "{}", lists.len());
    for list in lists {
        let id = list["operationId"].as_str().unwrap();
        let parameters = list["parameters"].as_array().into_iter().flatten();
        let names: Vec<_> = parameters.filter_map(|one| one["name"].as_str()).collect();
        let paged = ["limit", "marker"].iter().all(|name| names.contains(name));
        // A switch has so many VLANs at most that one command tells all of them.
        assert!(paged || id == "list_vlans", "{id}: {names:?}");
    }
}
