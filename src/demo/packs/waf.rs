//! Web application firewalls of two vendors, behind one API.

use std::io;

use serde_json::{Value, json};

use super::{Backend, Pack};
use crate::demo::simulate::Stage;
use crate::demo::simulate::waf::{self, VIRTUAL_SERVER, Wafs};
use crate::demo::story::{Scene, Step};

/// Web application firewalls.
pub const PACK: Pack = Pack {
    title: "Protected servers, by two vendors' WAFs",
    paths: &[
        "backends.d/waf-khh-1.yaml",
        "backends.d/waf-tpe-1.yaml",
        "routes.d/schemas/waf-name.yaml",
        "routes.d/shared/avi-create-response.yaml",
        "routes.d/shared/avi-response.yaml",
        "routes.d/shared/fortiweb-create-response.yaml",
        "routes.d/shared/fortiweb-response.yaml",
        "routes.d/waf_exception_addresses.yaml",
        "routes.d/waf_exceptions.yaml",
        "routes.d/waf_policies.yaml",
        "routes.d/waf_server_pool_members.yaml",
        "routes.d/waf_server_pools.yaml",
        "routes.d/waf_servers.yaml",
    ],
    secrets: &[FORTIWEB_PASSWORD, AVI_PASSWORD],
    start,
    steps,
};

/// The environment variable that the backend `waf-tpe-1` takes its password from.
pub const FORTIWEB_PASSWORD: &str = "WAF_TPE_1_PASSWORD";

/// The environment variable that the backend `waf-khh-1` takes its password from.
pub const AVI_PASSWORD: &str = "WAF_KHH_1_PASSWORD";

/// The pack's backends where these WAFs are.
pub fn at(wafs: &Wafs) -> Vec<Backend> {
    vec![
        Backend::instead_of("https://waf-tpe-1.example.net", "FortiWeb", &wafs.fortiweb),
        Backend::instead_of("https://waf-khh-1.example.net", "Avi", &wafs.avi),
    ]
}

fn start(stage: &mut Stage) -> io::Result<Vec<Backend>> {
    let options = waf::Options {
        fortiweb_password: stage.secret(FORTIWEB_PASSWORD),
        avi_password: stage.secret(AVI_PASSWORD),
    };
    waf::start(stage, options).map(|wafs| at(&wafs))
}

fn steps(scene: &Scene<'_>) -> Vec<Step> {
    let to = |path: &str| scene.to(path);
    let post = |title: &str, path: &str, key: &str, body: Value| {
        Step::post(title, &to(path), Some(key), &body, 201)
    };
    vec![
        post(
            "A pool of servers in `tpe`. The label decides: there a FortiWeb",
            "/v1/waf-server-pools",
            "demo-waf-pool-1",
            json!({ "id": "waf-pool-1", "site": "tpe", "name": "shop", "algorithm": "round_robin" }),
        ),
        post(
            "A server in it",
            "/v1/waf-server-pools/waf-pool-1/members",
            "demo-waf-member-1",
            json!({ "address": "10.1.0.10", "port": 8080 }),
        ),
        post(
            "An exception: clients that are not inspected",
            "/v1/waf-exceptions",
            "demo-waf-exc-1",
            json!({ "id": "waf-exc-1", "site": "tpe" }),
        ),
        post(
            "One of them",
            "/v1/waf-exceptions/waf-exc-1/addresses",
            "demo-waf-address-1",
            json!({ "address": "192.0.2.7" }),
        ),
        post(
            "A policy with this exception",
            "/v1/waf-policies",
            "demo-waf-policy-1",
            json!({ "id": "waf-policy-1", "site": "tpe", "name": "shop", "mode": "block",
                "exception_id": "waf-exc-1" }),
        ),
        post(
            "The protected server: pool and policy by their CMP ids",
            "/v1/waf-servers",
            "demo-waf-server-1",
            json!({ "id": "waf-server-1", "name": "shop", "virtual_server": VIRTUAL_SERVER,
                "pool_id": "waf-pool-1", "policy_id": "waf-policy-1" }),
        ),
        post(
            "The same words for `khh`, where an Avi Controller stands: a login, a cookie, a token and another call",
            "/v1/waf-server-pools",
            "demo-waf-pool-2",
            json!({ "id": "waf-pool-2", "site": "khh", "name": "shop", "algorithm": "least_connections" }),
        ),
        Step::get(
            "The server as the FortiWeb has it, in the CMP's words",
            &to("/v1/waf-servers/waf-server-1"),
            200,
        ),
        Step::bare(
            "A pool in use stays: `conflict`, with the FortiWeb's words",
            "DELETE",
            &to("/v1/waf-server-pools/waf-pool-1"),
            None,
            409,
        ),
    ]
}
