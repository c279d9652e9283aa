//! Sessions at a simulated switch, as somebody types them.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tower::ServiceExt;

use super::*;

/// Types all of it and reads to the end; what the screen showed, without carriage returns.
async fn typed(switch: &Switch, keys: &str) -> String {
    let (mut ours, theirs) = duplex(1024 * 1024);
    ours.write_all(keys.as_bytes()).await.unwrap();
    ours.shutdown().await.unwrap();
    converse(theirs, switch).await.unwrap();
    let mut screen = String::new();
    ours.read_to_string(&mut screen).await.unwrap();
    screen.replace('\r', "")
}

fn switch() -> Switch {
    Switch::open("sw-1", "s3cret", None).unwrap()
}

const TO_CONFIG: &str = "enable\ns3cret\nconfigure terminal\n";

/// What a line in configuration mode is refused with; empty: it is not.
async fn refused(switch: &Switch, lines: &str) -> String {
    let screen = typed(switch, &format!("{TO_CONFIG}{lines}\n")).await;
    let mut said = screen.lines().filter_map(|line| line.strip_prefix("% "));
    said.next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn each_mode_has_its_prompt_and_the_secret_does_not_show() {
    let screen = typed(
        &switch(),
        "enable\nwrong\nenable\r\ns3cret\r\nconfigure terminal\nvlan 10\nname blue\nexit\n\
         interface ethernet 1/1\nexit\nexit\nexit\n",
    )
    .await;
    let prompts: Vec<_> = screen
        .lines()
        .filter_map(|line| line.strip_prefix("sw-1 [standalone: master] "))
        .collect();
    assert_eq!(
        prompts,
        [
            "> enable",
            "> enable",
            "# configure terminal",
            "(config) # vlan 10",
            "(config vlan 10) # name blue",
            "(config vlan 10) # exit",
            "(config) # interface ethernet 1/1",
            "(config interface ethernet 1/1) # exit",
            "(config) # exit",
            "# exit",
        ]
    );
    assert!(
        screen.contains("Password: \n% Invalid password."),
        "{screen}"
    );
    assert!(!screen.contains("s3cret") && !screen.contains("wrong"));
}

#[tokio::test]
async fn a_long_answer_comes_in_pages_unless_paging_is_off() {
    let show = "show interfaces ethernet description\n";
    let paged = typed(&switch(), &format!("{show} ")).await;
    assert!(paged.contains("lines 1-23 "), "{paged}");
    assert!(paged.contains("Eth1/32"));
    let left = typed(&switch(), &format!("{show}q")).await;
    assert!(!left.contains("Eth1/32"), "{left}");
    for off in ["no cli session paging enable\n", "terminal length 999\n"] {
        let whole = typed(&switch(), &format!("{off}{show}")).await;
        assert!(
            whole.contains("Eth1/32") && !whole.contains("lines 1-"),
            "{whole}"
        );
    }
}

#[tokio::test]
async fn what_a_switch_does_not_take_is_refused_and_changes_nothing() {
    let switch = switch();
    for (line, expected) in [
        ("vlam 10", "Unrecognized command \"vlam\"."),
        ("vlan", "Incomplete command."),
        ("ip route", "Incomplete command."),
        ("vlan 10 nome blue", "Unrecognized command \"nome\"."),
        ("vlan 4095", "VLAN 4095 is out of range"),
        ("no vlan 11", "VLAN 11 does not exist"),
        (
            "no vlan 1",
            "Invalid VLAN: the default VLAN cannot be removed",
        ),
        ("interface ethernet 1/33", "Invalid interface 1/33"),
        ("interface ethernet 1/+1", "Invalid interface 1/+1"),
        (
            "interface ethernet 1/1 switchport access vlan 11",
            "VLAN 11 does not exist",
        ),
        (
            "interface ethernet 1/1 switchport trunk allowed-vlan add 1",
            "Invalid configuration: Eth1/1 is in switchport mode access",
        ),
        (
            "ip route 10.0.0.0/33 192.0.2.1",
            "Invalid prefix 10.0.0.0/33",
        ),
        (
            "ip route 10.0.0.0 255.0.255.0 192.0.2.1",
            "Invalid prefix 10.0.0.0 255.0.255.0",
        ),
        ("no ip route 10.0.0.0/8", "Route 10.0.0.0/8 does not exist"),
        (
            "ip prefix-list p seq 10 permit 10.0.0.0 /8 le 7",
            "Invalid prefix length range",
        ),
        ("no ip prefix-list p", "Prefix list p does not exist"),
        (
            "interface ethernet 1/1 description \"a",
            "Invalid command: a quote is not closed",
        ),
    ] {
        assert_eq!(refused(&switch, line).await, expected, "{line}");
    }
    assert_eq!(switch.state().config, Config::default());
    // Not privileged, so not known.
    assert!(
        typed(&switch, "configure terminal\n")
            .await
            .contains("% Unrecognized command")
    );
}

#[tokio::test]
async fn what_is_typed_is_what_the_running_configuration_shows() {
    let switch = switch();
    let typed_lines = [
        "vlan 10",
        "vlan 10 name \"blue\"",
        "interface ethernet 1/2 switchport mode hybrid",
        "interface ethernet 1/2 switchport hybrid allowed-vlan add 10",
        "interface ethernet 1/2 description \"to rack 7\"",
        "interface ethernet 1/3 switchport access vlan 10",
        "ip route 10.9.0.0/16 192.0.2.1",
        "ip prefix-list p seq 10 permit 10.0.0.0/8 le 24",
    ];
    // `vlan 10` goes a level down.
    let lines = typed_lines
        .join("\n")
        .replacen("vlan 10\n", "vlan 10\nexit\n", 1);
    assert_eq!(refused(&switch, &lines).await, "");
    let screen = typed(&switch, "enable\ns3cret\nshow running-config\n").await;
    let shown: Vec<_> = screen
        .lines()
        .filter_map(|line| line.strip_prefix("   "))
        .collect();
    assert_eq!(shown, typed_lines);
    let vlans = typed(&switch, "show vlan id 10\n").await;
    assert!(
        vlans.contains("\n10    blue                  Eth1/2, Eth1/3\n"),
        "{vlans}"
    );

    let undone = "no vlan 10\nno ip route 10.9.0.0 255.255.0.0 192.0.2.1\nno ip prefix-list p seq 10\n\
                  no interface ethernet 1/2 description\ninterface ethernet 1/2\nno switchport mode";
    assert_eq!(refused(&switch, undone).await, "");
    assert_eq!(switch.state().config, Config::default());
}

/// What the JSON API answers to a request.
async fn requested(
    switch: &Arc<Switch>,
    request: axum::http::request::Builder,
    body: Value,
) -> (HeaderMap, Value) {
    let request = request
        .method("POST")
        .body(Body::from(body.to_string()))
        .unwrap();
    let answer = switch.router().oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    (
        parts.headers,
        serde_json::from_slice(&body).unwrap_or_default(),
    )
}

#[tokio::test]
async fn both_doors_lead_to_one_configuration() {
    let switch = Arc::new(switch());
    let to = |query: &str| Request::builder().uri(format!("/admin/launch?script={query}"));
    let login = json!({ "username": "relay", "password": "s3cret" });
    let (headers, _) = requested(
        &switch,
        to("rh&template=json-request&action=json-login"),
        login,
    )
    .await;
    let arriving = Request::get(headers["location"].to_str().unwrap());
    let arriving = arriving.header("cookie", &headers["set-cookie"]);
    let page = switch
        .router()
        .oneshot(arriving.body(Body::empty()).unwrap());
    let session = page.await.unwrap().headers()["set-cookie"].clone();
    let api = || to("json").header("cookie", &session);

    assert_eq!(refused(&switch, "vlan 10\nname blue").await, "");
    let commands =
        json!({ "commands": ["show vlan id 10", "vlan 11", "name red", "nome red", "vlan 12"] });
    let (_, said) = requested(&switch, api(), commands).await;
    assert_eq!(
        said["results"][0]["data"],
        json!({ "10": [{ "Name": "blue", "Ports": "" }] })
    );
    let statuses = said["results"].as_array().unwrap().iter();
    let statuses: Vec<_> = statuses
        .map(|result| result["status"].as_str().unwrap())
        .collect();
    assert_eq!(statuses, ["OK", "OK", "OK", "ERROR"], "{said}");
    let shown = typed(&switch, "show vlan\n").await;
    assert!(
        shown.contains("\n11    red") && !shown.contains("\n12 "),
        "{shown}"
    );
    let (_, said) = requested(&switch, api(), json!({ "cmd": "configure terminal" })).await;
    assert_eq!(
        (&said["status"], &said["executed_command"]),
        (&json!("OK"), &json!("configure terminal"))
    );

    // The session of the way to the page is none.
    let strange = to("json").header("cookie", &headers["set-cookie"]);
    let (_, said) = requested(&switch, strange, json!({ "cmd": "no vlan 10" })).await;
    assert_eq!(said["status_message"], "Authentication failure");
    assert!(switch.state().config.vlans.contains_key(&10));
}

#[tokio::test]
async fn a_question_mark_helps_and_types_nothing() {
    let screen = typed(&switch(), "show ip?\nexit\n").await;
    assert!(screen.contains("show ip route static\n"), "{screen}");
    assert!(!screen.contains("% "), "{screen}");
}
