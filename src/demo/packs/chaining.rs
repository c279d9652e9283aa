//! Service function chaining: routes over the same Neutrons, beside those of [`super::openstack`].

use serde_json::json;

use super::Pack;
use crate::demo::story::{Scene, Step};

/// Service function chaining; its routes need those of the networks' pack, and have no backends of their own.
pub const PACK: Pack = Pack {
    title: "A service chain in the tenant's network",
    paths: &[
        "routes.d/flow_classifiers.yaml",
        "routes.d/port_chains.yaml",
        "routes.d/port_pair_groups.yaml",
        "routes.d/port_pairs.yaml",
    ],
    secrets: &[],
    start: |_| Ok(Vec::new()),
    steps,
};

fn steps(scene: &Scene<'_>) -> Vec<Step> {
    let to = |path: &str| scene.to(path);
    vec![
        Step::post(
            "First the port of a machine that filters what it is sent",
            &to("/v1/ports"),
            Some("demo-port-3"),
            &json!({ "id": "port-3", "network_id": "net-1", "name": "filter", "device_id": "vm-filter" }),
            201,
        ),
        Step::post(
            "as a service function: packets go in and out by it",
            &to("/v1/port-pairs"),
            Some("demo-pair-1"),
            &json!({ "id": "pair-1", "ingress_port_id": "port-3", "egress_port_id": "port-3" }),
            201,
        ),
        Step::post(
            "which may have equals that share its load",
            &to("/v1/port-pair-groups"),
            Some("demo-group-1"),
            &json!({ "id": "group-1", "region": "RegionOne", "name": "filters", "port_pairs": ["pair-1"] }),
            201,
        ),
        Step::post(
            "The packets that are meant",
            &to("/v1/flow-classifiers"),
            Some("demo-flow-1"),
            &json!({ "id": "flow-1", "region": "RegionOne", "protocol": "tcp",
                "destination_port_range_min": 80, "destination_port_range_max": 80 }),
            201,
        ),
        Step::post(
            "and the chain: each id in its lists is looked up, and must be in this region",
            &to("/v1/port-chains"),
            Some("demo-chain-1"),
            &json!({ "id": "chain-1", "region": "RegionOne", "name": "clean",
                "port_pair_groups": ["group-1"], "flow_classifiers": ["flow-1"] }),
            201,
        ),
        Step::bare(
            "What a chain is made of stays while it is one: `conflict`",
            "DELETE",
            &to("/v1/port-pairs/pair-1"),
            None,
            409,
        ),
    ]
}
