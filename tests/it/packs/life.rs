//! Every resource of every pack, in one relay: made, found again after a restart, read, changed and deleted; and a
//! second delete that no backend hears of.

use std::collections::BTreeSet;

use cmp_relay::demo::packs::{PACKS, secrets, switches};
use cmp_relay::demo::simulate::Stage;
use cmp_relay::demo::simulate::devices::Devices;
use cmp_relay::demo::simulate::waf::VIRTUAL_SERVER;
use cmp_relay::store::{Mapping, MappingFilter};
use serde_json::{Value, json};

use crate::support::pack::{asked, devices_on, over};
use crate::support::relay::{BACKEND_TOKEN, TestRelay};

/// One object: where it is made, from what, where it is then, and what changes it.
struct Life {
    make: &'static str,
    of: Value,
    /// `!` before it: the pack has no route that reads it.
    at: &'static str,
    change: Option<(&'static str, Value)>,
}

fn life(make: &'static str, of: Value, at: &'static str) -> Life {
    let change = None;
    Life {
        make,
        of,
        at,
        change,
    }
}

impl Life {
    fn changed(mut self, method: &'static str, by: Value) -> Self {
        self.change = Some((method, by));
        self
    }

    fn path(&self) -> String {
        format!("/v1/{}", self.at.trim_start_matches('!'))
    }
}

/// Each resource once, in an order in which they can be made.
fn lives() -> Vec<Life> {
    let name = || json!({ "name": "renamed" });
    let site = "tpe";
    let policy = json!({ "site": site, "from_zones": ["untrust"], "to_zones": ["dmz"], "destinations": ["adr"],
        "services": ["svc"], "action": "allow", "enabled": true });
    let with_id = |id: &str, mut body: Value| {
        body["id"] = json!(id);
        body
    };
    let region = "RegionOne";
    let mac = "12:34:56:78:21:b6";
    vec![
        life("POST networks", json!({ "id": "net", "region": region, "name": "front" }), "networks/net")
            .changed("PUT", name()),
        life(
            "POST networks",
            json!({ "id": "ext", "region": region, "name": "ext", "external": true }),
            "networks/ext",
        ),
        life("POST subnets", json!({ "id": "sub", "network_id": "net", "cidr": "10.1.0.0/24" }), "subnets/sub")
            .changed("PUT", name()),
        life("POST subnets", json!({ "id": "out", "network_id": "ext", "cidr": "172.24.0.0/24" }), "subnets/out"),
        life("POST security-groups", json!({ "id": "sg", "region": region, "name": "web" }), "security-groups/sg")
            .changed("PUT", name()),
        life(
            "POST security-group-rules",
            json!({ "id": "sgr", "security_group_id": "sg", "direction": "inbound", "protocol": "tcp" }),
            "security-group-rules/sgr",
        ),
        life("POST ports", json!({ "id": "port", "network_id": "net", "device_id": "vm-1" }), "ports/port")
            .changed("PUT", name()),
        life("POST routers", json!({ "id": "rtr", "region": region, "name": "edge" }), "routers/rtr")
            .changed("PUT", name()),
        life(
            "POST router-interfaces",
            json!({ "id": "if", "router_id": "rtr", "subnet_id": "sub" }),
            "router-interfaces/if",
        ),
        life("POST floating-ips", json!({ "id": "fip", "network_id": "ext" }), "floating-ips/fip")
            .changed("PUT", json!({ "port_id": null })),
        life(
            "POST port-pairs",
            json!({ "id": "pp", "ingress_port_id": "port", "egress_port_id": "port" }),
            "port-pairs/pp",
        )
        .changed("PUT", name()),
        life(
            "POST port-pair-groups",
            json!({ "id": "ppg", "region": region, "port_pairs": ["pp"] }),
            "port-pair-groups/ppg",
        )
        .changed("PUT", name()),
        life("POST flow-classifiers", json!({ "id": "fc", "region": region, "protocol": "tcp" }), "flow-classifiers/fc")
            .changed("PUT", name()),
        life(
            "POST port-chains",
            json!({ "id": "pc", "region": region, "port_pair_groups": ["ppg"], "flow_classifiers": ["fc"] }),
            "port-chains/pc",
        )
        .changed("PUT", name()),
        life("POST switches/sw-1/vlans", json!({ "id": "blue", "vid": 10 }), "switches/sw-1/vlans/blue"),
        life("POST switches/sw-2/vlans", json!({ "id": "blue", "vid": 10 }), "switches/sw-2/vlans/blue"),
        life(
            "POST switches/sw-1/vlans/blue/members",
            json!({ "port": "1/2" }),
            "!switches/sw-1/vlans/blue/members/1%2F2",
        ),
        life(
            "PUT switches/sw-1/static-routes/r",
            json!({ "prefix": "10.9.0.0/16", "next_hop": "192.0.2.1" }),
            "!switches/sw-1/static-routes/r",
        ),
        life(
            "PUT switches/sw-1/prefix-lists/pl/10",
            json!({ "action": "permit", "prefix": "10.0.0.0/8", "longest": 24 }),
            "!switches/sw-1/prefix-lists/pl/10",
        )
        .changed("PUT", json!({ "action": "deny", "prefix": "10.0.0.0/8", "longest": 24 })),
        life(
            "PUT switches/sw-1/interface-descriptions/1%2F2",
            json!({ "text": "to rack 7" }),
            "!switches/sw-1/interface-descriptions/1%2F2",
        )
        .changed("PUT", json!({ "text": "to rack 8" })),
        life(
            "POST switches/sw-1-netconf/interfaces",
            json!({ "id": "lo", "name": "lo7", "type": "softwareLoopback", "enabled": true }),
            "switches/sw-1-netconf/interfaces/lo",
        )
        .changed("PATCH", json!({ "enabled": false })),
        life(
            "POST firewall-addresses",
            json!({ "id": "adr", "site": site, "cidr": "10.1.0.0/24" }),
            "firewall-addresses/adr",
        )
        .changed("PUT", json!({ "cidr": "10.2.0.0/16" })),
        life(
            "POST firewall-services",
            json!({ "id": "svc", "site": site, "protocol": "tcp", "ports": "443" }),
            "firewall-services/svc",
        )
        .changed("PUT", json!({ "protocol": "udp", "ports": "53" })),
        life("POST firewall-policies", with_id("pol", policy), "firewall-policies/pol").changed(
            "PUT",
            json!({ "from_zones": ["untrust"], "to_zones": ["dmz"], "action": "deny", "enabled": true }),
        ),
        life(
            "POST firewall-nat-rules",
            json!({ "id": "nat", "source": "adr", "from_zone": "trust", "to_zone": "untrust" }),
            "firewall-nat-rules/nat",
        ),
        life(
            "POST firewall-addresses",
            json!({ "id": "far", "site": "khh", "cidr": "10.1.0.0/24" }),
            "firewall-addresses/far",
        ),
        life("POST firewalls/fw-khh-1/commits", json!({ "id": "com" }), "firewall-commits/com"),
        life(
            "POST waf-server-pools",
            json!({ "id": "pool", "site": site, "name": "shop", "algorithm": "round_robin" }),
            "waf-server-pools/pool",
        ),
        life(
            "POST waf-server-pools/pool/members",
            json!({ "address": "10.0.0.10", "port": 8080 }),
            "!waf-server-pools/pool/members/10.0.0.10/8080",
        ),
        life("POST waf-exceptions", json!({ "id": "exc", "site": site }), "waf-exceptions/exc"),
        life(
            "POST waf-exceptions/exc/addresses",
            json!({ "address": "192.0.2.7" }),
            "!waf-exceptions/exc/addresses/192.0.2.7",
        ),
        life(
            "POST waf-policies",
            json!({ "id": "wpol", "site": site, "name": "shop", "mode": "block", "exception_id": "exc" }),
            "waf-policies/wpol",
        )
        .changed("PUT", json!({ "mode": "detect" })),
        life(
            "POST waf-servers",
            json!({ "id": "srv", "name": "shop", "virtual_server": VIRTUAL_SERVER, "pool_id": "pool",
                "policy_id": "wpol" }),
            "waf-servers/srv",
        ),
        life(
            "POST fabric-networks",
            json!({ "id": "fab", "name": "storage", "vlan_id": 300 }),
            "fabric-networks/fab",
        )
        .changed("PUT", json!({ "name": "backup", "vlan_id": 301 })),
        life(
            "POST fabric-ports",
            json!({ "id": "fpo", "network_id": "fab", "name": "web-1", "host": "compute-1", "mac_address": mac,
                "switch_id": "e4:1d:2d:a5:10:00", "switch_port": "1/4" }),
            "fabric-ports/fpo",
        ),
    ]
}

/// The relay over all that is simulated.
struct Everything {
    stage: Stage,
    devices: Devices,
    relay: TestRelay,
}

impl Everything {
    /// How much all backends together have heard.
    fn heard(&self) -> usize {
        let http = usize::try_from(self.stage.calls()).unwrap();
        http + self.devices.heard().len() + self.devices.messages().len()
    }

    async fn rows(&self) -> Vec<Mapping> {
        let filter = MappingFilter {
            limit: 1000,
            ..MappingFilter::default()
        };
        let store = self.relay.relay.journal().store();
        store.list_mappings(&filter).await.unwrap()
    }

    async fn done(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let (status, said) = asked(&self.relay, method, path, body).await;
        assert!(
            [200, 201, 202, 204].contains(&status),
            "{method} {path}: {status} {said}"
        );
        if let Some(job) = said["job_id"].as_str() {
            self.end(job).await;
        }
        said
    }

    /// Reads a job to its end; it is not there any more then.
    async fn end(&self, job: &str) {
        let path = format!("/v1/fabric-jobs/{job}");
        for _ in 0..3 {
            let (status, said) = asked(&self.relay, "GET", &path, None).await;
            assert_eq!(status, 200, "{said}");
        }
        self.refused_here("GET", &path).await;
    }

    async fn refused_here(&self, method: &str, path: &str) {
        let heard = self.heard();
        let (status, said) = asked(&self.relay, method, path, None).await;
        let got = (status, &said["code"]);
        assert_eq!(got, (404, &json!("not_mapped")), "{method} {path}: {said}");
        assert_eq!(self.heard(), heard, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_resource_is_found_again_after_a_restart_and_deleted_once() {
    let mut stage = Stage::new(None, None);
    let devices = devices_on(&mut stage);
    let mut backends = switches::at(&devices);
    for secret in secrets() {
        stage.set_secret(secret, BACKEND_TOKEN);
    }
    for pack in PACKS
        .iter()
        .filter(|pack| pack.title != switches::PACK.title)
    {
        backends.extend((pack.start)(&mut stage).unwrap());
    }
    let files = over(PACKS, &backends);
    let folder = tempfile::tempdir().unwrap();
    let relay = TestRelay::start_in(folder.path(), &files).await;
    let all = Everything {
        stage,
        devices,
        relay,
    };
    let lives = lives();
    for life in &lives {
        let (method, path) = life.make.split_once(' ').unwrap();
        let of = Some(life.of.clone());
        all.done(method, &format!("/v1/{path}"), of).await;
    }
    let mut read = Vec::new();
    // A commit is further with each read.
    let stays = |life: &&Life| !life.at.starts_with('!') && !life.at.contains("commits");
    for life in lives.iter().filter(stays) {
        read.push((life.path(), all.done("GET", &life.path(), None).await));
    }
    // A job's mapping ends with the job.
    let mut mapped = BTreeSet::from(["fabric_job".to_owned()]);
    mapped.extend(all.rows().await.into_iter().map(|row| row.key.resource));
    let plan = all.relay.relay.plan();
    let resources = plan
        .resources
        .iter()
        .map(|resource| resource.name.to_string());
    assert_eq!(mapped, resources.collect(), "each resource has a life here");

    let Everything {
        stage,
        devices,
        relay,
    } = all;
    drop(relay);
    let relay = TestRelay::start_in(folder.path(), &files).await;
    let all = Everything {
        stage,
        devices,
        relay,
    };
    for (path, before) in read {
        assert_eq!(all.done("GET", &path, None).await, before, "{path}");
    }
    for life in &lives {
        if let Some((method, by)) = &life.change {
            all.done(method, &life.path(), Some(by.clone())).await;
        }
    }
    for life in lives.iter().rev() {
        all.done("DELETE", &life.path(), None).await;
        all.refused_here("DELETE", &life.path()).await;
        if !life.at.starts_with('!') {
            all.refused_here("GET", &life.path()).await;
        }
    }
    assert_eq!(all.rows().await, []);
    all.stage.stop().await;
}
