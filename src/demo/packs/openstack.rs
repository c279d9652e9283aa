//! OpenStack networking: a Keystone and two Neutrons, one a region.

use std::io;
use std::time::Duration;

use serde_json::json;

use super::{Backend, Pack};
use crate::demo::simulate::{Stage, openstack};
use crate::demo::story::{Scene, Step};

/// OpenStack networking.
pub const PACK: Pack = Pack {
    title: "A tenant's network, in OpenStack",
    paths: &[
        "backends.d/neutron-1.yaml",
        "backends.d/neutron-2.yaml",
        "routes.d/floating_ips.yaml",
        "routes.d/networks.yaml",
        "routes.d/ports.yaml",
        "routes.d/router_interfaces.yaml",
        "routes.d/routers.yaml",
        "routes.d/security_group_rules.yaml",
        "routes.d/security_groups.yaml",
        "routes.d/shared/neutron-response.yaml",
        "routes.d/subnets.yaml",
    ],
    secrets: &[PASSWORD],
    start,
    steps,
};

/// The environment variable that the regions' backends take their password from.
pub const PASSWORD: &str = "OS_PASSWORD";

/// The regions of the pack, in the order of its backends.
pub const REGIONS: [&str; 2] = ["RegionOne", "RegionTwo"];

const KEYSTONE: &str = "Keystone";

/// The pack's backends at these URLs: Keystone's with `/v3`, the Neutrons' without `/v2.0` and in the order of
/// [`REGIONS`].
pub fn at(keystone: &str, neutrons: [&str; 2]) -> Vec<Backend> {
    let [one, two] = neutrons;
    vec![
        Backend::instead_of("https://keystone.example.net:5000/v3", KEYSTONE, keystone),
        Backend::instead_of(
            "https://neutron-1.example.net:9696",
            "Neutron of RegionOne",
            one,
        ),
        Backend::instead_of(
            "https://neutron-2.example.net:9696",
            "Neutron of RegionTwo",
            two,
        ),
    ]
}

fn start(stage: &mut Stage) -> io::Result<Vec<Backend>> {
    let options = openstack::Options {
        regions: REGIONS.map(str::to_owned).to_vec(),
        password: stage.secret(PASSWORD),
        token_ttl: Duration::from_secs(3600),
    };
    let simulated = openstack::start(stage, options)?;
    let neutrons = [0, 1].map(|region| &*simulated.regions[region].url);
    Ok(at(&simulated.keystone, neutrons))
}

fn steps(scene: &Scene<'_>) -> Vec<Step> {
    let to = |path: &str| scene.to(path);
    let keystone = scene.backend(KEYSTONE);
    let network = json!({ "id": "net-1", "region": "RegionOne", "name": "front" });
    vec![
        Step::post(
            "Create a network in RegionOne. `id` is ours, the CMP's; Neutron's never shows",
            &to("/v1/networks"),
            Some("demo-net-1"),
            &network,
            201,
        ),
        Step::post(
            "The same again, as a CMP retries: no second network. Look for `Idempotency-Replayed: true`",
            &to("/v1/networks"),
            Some("demo-net-1"),
            &network,
            201,
        ),
        Step::post(
            "Another network under the same id is refused: `already_mapped`",
            &to("/v1/networks"),
            None,
            &json!({ "id": "net-1", "region": "RegionOne", "name": "another" }),
            409,
        ),
        Step::post(
            "A typing error does not reach Neutron: `schema_violation`, with its place",
            &to("/v1/networks"),
            None,
            &json!({ "id": "net-9", "region": "RegionOne", "nmae": "front" }),
            422,
        ),
        Step::post(
            "A subnet on it. The network's region decides which Neutron: see `Relay-Backend`",
            &to("/v1/subnets"),
            Some("demo-sub-1"),
            &json!({ "id": "sub-1", "network_id": "net-1", "name": "web", "cidr": "10.1.0.0/24" }),
            201,
        ),
        Step::post(
            "One that overlaps: Neutron's own words, in the relay's problem document",
            &to("/v1/subnets"),
            None,
            &json!({ "id": "sub-2", "network_id": "net-1", "cidr": "10.1.0.0/25" }),
            422,
        ),
        Step::post(
            "A security group, and below a port in it: each reference is a CMP id",
            &to("/v1/security-groups"),
            Some("demo-sg-1"),
            &json!({ "id": "sg-1", "region": "RegionOne", "name": "web" }),
            201,
        ),
        Step::post(
            "The port, with an address of the subnet",
            &to("/v1/ports"),
            Some("demo-port-1"),
            &json!({ "id": "port-1", "network_id": "net-1", "name": "web-1",
                "fixed_ips": [{ "subnet_id": "sub-1" }], "security_groups": ["sg-1"] }),
            201,
        ),
        Step::post(
            "A router",
            &to("/v1/routers"),
            Some("demo-rtr-1"),
            &json!({ "id": "rtr-1", "region": "RegionOne", "name": "edge" }),
            201,
        ),
        Step::post(
            "and its interface on the subnet: a PUT over there, a create over here",
            &to("/v1/router-interfaces"),
            Some("demo-if-1"),
            &json!({ "id": "if-1", "router_id": "rtr-1", "subnet_id": "sub-1" }),
            201,
        ),
        Step::get(
            "The ports. The router's own is not ours: it is marked `managed: false`",
            &to("/v1/ports?region=RegionOne"),
            200,
        ),
        Step::post(
            "A network in the other region: another Neutron",
            &to("/v1/networks"),
            Some("demo-net-2"),
            &json!({ "id": "net-2", "region": "RegionTwo", "name": "front" }),
            201,
        ),
        Step::post(
            "A port there cannot be in a security group here: `wrong_backend`, before any call",
            &to("/v1/ports"),
            None,
            &json!({ "id": "port-2", "network_id": "net-2", "security_groups": ["sg-1"] }),
            409,
        ),
        Step::put(
            "Rename the network; what is not named stays",
            &to("/v1/networks/net-1"),
            &json!({ "name": "front-end" }),
            200,
        ),
        Step::bare(
            "Make every token at the simulated Keystone invalid",
            "POST",
            &format!("{}/demo/expire-tokens", keystone.trim_end_matches("/v3")),
            None,
            204,
        )
        .trusting(scene.ca_file),
        Step::get(
            "and read on: the relay logs in again, and the CMP sees nothing of it",
            &to("/v1/networks?region=RegionOne"),
            200,
        ),
        Step::bare(
            "The network is in use: Neutron's conflict, and nothing is forgotten",
            "DELETE",
            &to("/v1/networks/net-1"),
            None,
            409,
        ),
        Step::bare(
            "Delete the port. With a key, so that this line too can be sent again",
            "DELETE",
            &to("/v1/ports/port-1"),
            Some("demo-delete-port-1"),
            204,
        ),
        Step::get(
            "It is gone here and there: `not_mapped`",
            &to("/v1/ports/port-1"),
            404,
        ),
        Step::get(
            "The ports again, one a page: `next` is the `marker` of the next one",
            &to("/v1/ports?region=RegionOne&limit=1"),
            200,
        ),
    ]
}
