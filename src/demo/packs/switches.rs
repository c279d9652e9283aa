//! Switches, by their command lines, by JSON over HTTPS and by NETCONF.

use std::io;

use serde_json::json;

use super::{Backend, Instead, Pack};
use crate::demo::simulate::Stage;
use crate::demo::simulate::devices::{self, Devices, SshEndpoint};
use crate::demo::story::{Scene, Step};

/// Switches, by their command lines, by JSON over HTTPS and by NETCONF.
pub const PACK: Pack = Pack {
    title: "A VLAN and more, on switches",
    paths: &[
        "backends.d/sw-1-netconf.yaml",
        "backends.d/sw-1.yaml",
        "backends.d/sw-2.yaml",
        "routes.d/shared/onyx-response.yaml",
        "routes.d/shared/onyx-script-response.yaml",
        "routes.d/shared/switch-response.yaml",
        "routes.d/switch_descriptions.yaml",
        "routes.d/switch_interfaces.yaml",
        "routes.d/switch_prefix_lists.yaml",
        "routes.d/switch_static_routes.yaml",
        "routes.d/switch_vlan_members.yaml",
        "routes.d/switch_vlans.yaml",
        "templates/switch/description.cli.hbs",
        "templates/switch/interface.xml.hbs",
        "templates/switch/interface_change.xml.hbs",
        "templates/switch/interface_delete.xml.hbs",
        "templates/switch/interface_filter.xml.hbs",
        "templates/switch/no_description.cli.hbs",
        "templates/switch/prefix_list.cli.hbs",
    ],
    secrets: &[PASSWORD, WEB_PASSWORD],
    start,
    steps,
};

/// The environment variable that `sw-1` and `sw-1-netconf` take their password from.
pub const PASSWORD: &str = "SW_1_PASSWORD";

/// The environment variable that `sw-2` takes its password from.
pub const WEB_PASSWORD: &str = "SW_2_PASSWORD";

/// The switch of the pack: its backend, and its host name in the prompts.
pub const SWITCH: &str = "sw-1";

/// The switch behind its JSON API.
pub const WEB_SWITCH: &str = "sw-2";

/// The pack's backends where these devices are.
pub fn at(devices: &Devices) -> Vec<Backend> {
    let backend = |name: &str, file, endpoint: &SshEndpoint| Backend {
        name: name.to_owned(),
        url: format!("ssh://{}", endpoint.address),
        instead: Instead::Ssh {
            file,
            host: "sw-1.example.net",
            endpoint: endpoint.clone(),
        },
    };
    vec![
        backend("Switch", "backends.d/sw-1.yaml", &devices.switch),
        backend("NETCONF", "backends.d/sw-1-netconf.yaml", &devices.netconf),
        Backend {
            name: "Switch over HTTPS".to_owned(),
            url: devices.web.clone(),
            instead: Instead::Url("https://sw-2.example.net"),
        },
    ]
}

/// What the devices are called, and the passwords that the stage gives them.
pub fn options(stage: &mut Stage) -> devices::Options {
    devices::Options {
        name: SWITCH.to_owned(),
        password: stage.secret(PASSWORD),
        web_name: WEB_SWITCH.to_owned(),
        web_password: stage.secret(WEB_PASSWORD),
    }
}

fn start(stage: &mut Stage) -> io::Result<Vec<Backend>> {
    let options = options(stage);
    devices::start(stage, options).map(|devices| at(&devices))
}

fn steps(scene: &Scene<'_>) -> Vec<Step> {
    let to = |path: &str| scene.to(path);
    let description = to("/v1/switches/sw-1/interface-descriptions/1%2F2");
    vec![
        Step::post(
            "A VLAN on a switch. Behind it is a command line: each line waits for the prompt of the one before",
            &to("/v1/switches/sw-1/vlans"),
            Some("demo-vlan-blue"),
            &json!({ "id": "blue", "vid": 10 }),
            201,
        ),
        Step::post(
            "A port that carries it",
            &to("/v1/switches/sw-1/vlans/blue/members"),
            Some("demo-member-blue"),
            &json!({ "port": "1/2" }),
            201,
        ),
        Step::get(
            "What the switch shows of it: columns of text over there, JSON over here",
            &to("/v1/switches/sw-1/vlans/blue"),
            200,
        ),
        Step::post(
            "The same VLAN on a second switch, by the same request. Its door is HTTPS, where the lines stand in JSON",
            &to("/v1/switches/sw-2/vlans"),
            Some("demo-vlan-blue-2"),
            &json!({ "id": "blue", "vid": 10 }),
            201,
        ),
        Step::get(
            "One object of the CMP, and a mapping on each switch",
            &scene.to_admin("/relay/v1/mappings?resource=vlan"),
            200,
        ),
        Step::put(
            "A static route",
            &to("/v1/switches/sw-1/static-routes/r1"),
            &json!({ "prefix": "10.9.0.0/16", "next_hop": "192.0.2.1" }),
            200,
        ),
        Step::put(
            "An entry of a prefix list",
            &to("/v1/switches/sw-1/prefix-lists/from-peer/10"),
            &json!({ "action": "permit", "prefix": "10.0.0.0/8", "longest": 24 }),
            200,
        ),
        Step::bare(
            "and away with it",
            "DELETE",
            &to("/v1/switches/sw-1/prefix-lists/from-peer/10"),
            None,
            204,
        ),
        Step::put(
            "A description. The port is `1/2`; its slash is written %2F in a path",
            &description,
            &json!({ "text": "to rack 7" }),
            200,
        ),
        Step::put(
            "One that would end its quotes and go on: `unsafe_value`, and nothing is sent",
            &description,
            &json!({ "text": "x\" shutdown \"" }),
            422,
        ),
        Step::post(
            "Half a script: the switch makes VLAN 20 and refuses its name, which VLAN 900 has: `partly_applied`",
            &to("/v1/switches/sw-1/vlans"),
            None,
            &json!({ "id": "storage", "vid": 20 }),
            502,
        ),
        Step::post(
            "so nobody may touch `storage` until an operator has looked, and says what is so",
            &scene.to_admin("/relay/v1/operations/{found}/resolve"),
            None,
            &json!({ "verdict": "failed", "force": true }),
            200,
        )
        .found_in(
            &scene.to_admin("/relay/v1/operations?state=unknown&resource=vlan"),
            "[0-9a-f-]{36}",
        ),
        Step::post(
            "An interface of another device, over NETCONF: locked, edited, validated, committed, unlocked",
            &to("/v1/switches/sw-1-netconf/interfaces"),
            Some("demo-interface-lo7"),
            &json!({ "id": "if-lo7", "name": "lo7", "type": "softwareLoopback", "enabled": true }),
            201,
        ),
        Step::bare(
            "Disable it",
            "PATCH",
            &to("/v1/switches/sw-1-netconf/interfaces/if-lo7"),
            None,
            200,
        )
        .with(&json!({ "enabled": false })),
        Step::get(
            "and read it back: XML over there, JSON over here",
            &to("/v1/switches/sw-1-netconf/interfaces/if-lo7"),
            200,
        ),
        Step::post(
            "One that the device has, and not from us: its `data-exists` is our 409",
            &to("/v1/switches/sw-1-netconf/interfaces"),
            None,
            &json!({ "id": "if-mgmt", "name": "mgmt0", "type": "ethernetCsmacd", "enabled": true }),
            409,
        ),
    ]
}
