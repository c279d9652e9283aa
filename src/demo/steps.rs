//! What the demo invites to try: numbered curl lines, each with what it shows.
//!
//! They are data, so that a test runs every one of them. Each works as it stands, in order, on the
//! first run and on every later one: what is made twice is a replay, and a replay is a lesson too.

use serde_json::{Value, json};

/// One line to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What it does and what to look at.
    pub title: String,
    /// For a POSIX shell.
    pub command: String,
    /// The status that it answers with.
    pub expect_status: u16,
}

/// The steps against a relay at these addresses; `keystone` is the simulated one, with `/v3`.
pub fn steps(relay: &str, admin: &str, keystone: &str) -> Vec<Step> {
    let to = |path: &str| format!("{relay}{path}");
    let network = json!({ "id": "net-1", "region": "RegionOne", "name": "front" });
    let mut steps = vec![
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
        ),
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
    ];
    steps.extend(on_switches(&to, admin));
    steps.extend([
        Step::get(
            "The table: which CMP object is which Neutron object",
            &format!("{admin}/relay/v1/mappings"),
            200,
        ),
        Step::get(
            "The journal: every change that was asked for, and what came of it",
            &format!("{admin}/relay/v1/operations"),
            200,
        ),
    ]);
    steps
}

/// The steps over SSH: a command line, and NETCONF.
fn on_switches(to: &impl Fn(&str) -> String, admin: &str) -> Vec<Step> {
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
        Step {
            title:
                "so nobody may touch `storage` until an operator has looked, and says what is so"
                    .to_owned(),
            command: format!(
                "curl -si -X POST {admin}/relay/v1/operations/$(curl -s \
                 '{admin}/relay/v1/operations?state=unknown&resource=vlan' | \
                 grep -o '[0-9a-f-]\\{{36\\}}' | head -n 1)/resolve \
                 -H 'Content-Type: application/json' -d '{{\"verdict\":\"failed\",\"force\":true}}'"
            ),
            expect_status: 200,
        },
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

impl Step {
    fn get(title: &str, url: &str, expect_status: u16) -> Self {
        Self {
            title: title.to_owned(),
            command: format!("curl -si {}", quoted(url)),
            expect_status,
        }
    }

    fn bare(title: &str, method: &str, url: &str, key: Option<&str>, expect_status: u16) -> Self {
        let key = key.map(|key| format!(" -H 'Idempotency-Key: {key}'"));
        Self {
            title: title.to_owned(),
            command: format!(
                "curl -si -X {method} {}{}",
                quoted(url),
                key.unwrap_or_default()
            ),
            expect_status,
        }
    }

    fn post(title: &str, url: &str, key: Option<&str>, body: &Value, expect_status: u16) -> Self {
        Self::bare(title, "POST", url, key, expect_status).with(body)
    }

    fn put(title: &str, url: &str, body: &Value, expect_status: u16) -> Self {
        Self::bare(title, "PUT", url, None, expect_status).with(body)
    }

    fn with(mut self, body: &Value) -> Self {
        self.command.push_str(&format!(
            " -H 'Content-Type: application/json' -d {}",
            quoted(&body.to_string())
        ));
        self
    }
}

/// One shell word.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || ":/.-_".contains(c);
    if text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_one_shell_word() {
        let step = Step::post(
            "t",
            "http://h/v1/x",
            Some("k"),
            &json!({ "n": "it's" }),
            201,
        );
        assert_eq!(
            step.command,
            r#"curl -si -X POST http://h/v1/x -H 'Idempotency-Key: k' -H 'Content-Type: application/json' -d '{"n":"it'\''s"}'"#
        );
    }

    #[test]
    fn a_query_does_not_reach_the_shell() {
        let step = Step::get("t", "http://h/v1/x?region=a", 200);
        assert_eq!(step.command, "curl -si 'http://h/v1/x?region=a'");
    }
}
