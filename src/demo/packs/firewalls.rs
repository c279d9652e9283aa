//! Firewalls of two vendors behind one API: a FortiGate and a PAN-OS firewall.

use std::io;
use std::sync::Arc;

use serde_json::json;

use super::{Backend, Pack};
use crate::demo::simulate::Stage;
use crate::demo::simulate::fortios::Fortios;
use crate::demo::simulate::panos::Panos;
use crate::demo::story::{Scene, Step};

/// Firewalls of two vendors.
pub const PACK: Pack = Pack {
    title: "Firewalls of two vendors, one API",
    paths: &[
        "backends.d/fw-khh-1.yaml",
        "backends.d/fw-tpe-1.yaml",
        "routes.d/firewall_addresses.yaml",
        "routes.d/firewall_commits.yaml",
        "routes.d/firewall_nat_rules.yaml",
        "routes.d/firewall_policies.yaml",
        "routes.d/firewall_services.yaml",
        "routes.d/schemas/fw-cidr.yaml",
        "routes.d/schemas/fw-id.yaml",
        "routes.d/schemas/fw-ports.yaml",
        "routes.d/schemas/fw-zone.yaml",
        "routes.d/shared/fortios-response.yaml",
        "routes.d/shared/panos-response.yaml",
        "templates/fw/address.xml.hbs",
        "templates/fw/nat.xml.hbs",
        "templates/fw/policy.xml.hbs",
        "templates/fw/service.xml.hbs",
    ],
    secrets: &[TOKEN, KEY],
    start,
    steps,
};

/// The environment variable that the FortiGate's backend takes its token from.
pub const TOKEN: &str = "FW_TPE_1_TOKEN";

/// The environment variable that the PAN-OS firewall's backend takes its key from.
pub const KEY: &str = "FW_KHH_1_KEY";

/// The pack's backends where these firewalls are, on this stage.
pub fn at(
    stage: &mut Stage,
    fortios: &Arc<Fortios>,
    panos: &Arc<Panos>,
) -> io::Result<Vec<Backend>> {
    let fortigate = stage.serve(fortios.router())?;
    let panos = stage.serve(panos.router())?;
    Ok(vec![
        Backend::instead_of("https://fw-tpe-1.example.net", "FortiGate", &fortigate),
        Backend::instead_of("https://fw-khh-1.example.net", "PAN-OS", &panos),
    ])
}

fn start(stage: &mut Stage) -> io::Result<Vec<Backend>> {
    let fortios = Fortios::open(stage.secret(TOKEN), stage.file("fw-tpe-1.json"))?;
    let panos = Panos::open(stage.secret(KEY), stage.file("fw-khh-1.json"))?;
    at(stage, &Arc::new(fortios), &Arc::new(panos))
}

fn steps(scene: &Scene<'_>) -> Vec<Step> {
    let to = |path: &str| scene.to(path);
    let mut steps = Vec::new();
    for (site, what) in [
        (
            "tpe",
            "An address on the firewall in Taipei, a FortiGate: JSON over there",
        ),
        (
            "khh",
            "and one in Kaohsiung, by the same words: XML over there",
        ),
    ] {
        steps.push(Step::post(
            what,
            &to("/v1/firewall-addresses"),
            Some(&format!("demo-fw-{site}-web")),
            &json!({ "id": format!("web-{site}"), "site": site, "cidr": "10.1.0.0/24" }),
            201,
        ));
    }
    for site in ["tpe", "khh"] {
        steps.extend([
            Step::post(
                &format!("A service in `{site}`"),
                &to("/v1/firewall-services"),
                Some(&format!("demo-fw-{site}-https")),
                &json!({ "id": format!("https-{site}"), "site": site, "protocol": "tcp", "ports": "443" }),
                201,
            ),
            Step::post(
                "and a policy that lets it in: addresses and services are named by our ids",
                &to("/v1/firewall-policies"),
                Some(&format!("demo-fw-{site}-in")),
                &json!({ "id": format!("in-{site}"), "site": site, "from_zones": ["untrust"], "to_zones": ["dmz"],
                    "destinations": [format!("web-{site}")], "services": [format!("https-{site}")],
                    "action": "allow", "enabled": true }),
                201,
            ),
        ]);
    }
    steps.extend([
        Step::post(
            "One that names an address of the other firewall: `wrong_backend`, before any call",
            &to("/v1/firewall-policies"),
            None,
            &json!({ "id": "mixed", "site": "tpe", "from_zones": ["untrust"], "to_zones": ["dmz"],
                "destinations": ["web-khh"], "action": "deny", "enabled": true }),
            409,
        ),
        Step::post(
            "A policy against everything else ...",
            &to("/v1/firewall-policies"),
            Some("demo-fw-khh-none"),
            &json!({ "id": "none-khh", "site": "khh", "from_zones": ["untrust"], "to_zones": ["dmz"],
                "action": "deny", "enabled": true }),
            201,
        ),
        Step::post(
            "... and the first one before it, wherever it was",
            &to("/v1/firewall-policies/in-khh/move"),
            None,
            &json!({ "before": "none-khh" }),
            200,
        ),
        Step::get(
            "The policies, in their order",
            &to("/v1/firewall-policies?site=khh"),
            200,
        ),
        Step::bare(
            "The address is in use: each vendor says so in its own way, and we in one: `conflict`",
            "DELETE",
            &to("/v1/firewall-addresses/web-khh"),
            None,
            409,
        ),
        Step::post(
            "Nothing of it is in force there before a commit, which is a job",
            &to("/v1/firewalls/fw-khh-1/commits"),
            Some("demo-fw-khh-commit"),
            &json!({ "id": "commit-1" }),
            202,
        ),
        Step::get("How far it is", &to("/v1/firewall-commits/commit-1"), 200),
        Step::get(
            "and once more: no call waits for a job",
            &to("/v1/firewall-commits/commit-1"),
            200,
        ),
    ]);
    steps
}
