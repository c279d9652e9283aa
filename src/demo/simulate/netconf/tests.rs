//! The operations and their refusals, message by message.

use super::*;

const IF: &str = "urn:ietf:params:xml:ns:yang:ietf-interfaces";
const LO7: &str = "<name>lo7</name><type xmlns:t=\"urn:ietf:params:xml:ns:yang:iana-if-type\">t:softwareLoopback</type>";

/// A session's request, and the reply without its envelope.
fn ask(server: &Server, session: u32, operation: &str) -> String {
    let message = format!("<rpc xmlns=\"{BASE}\" message-id=\"7\" x=\"&lt;\">{operation}</rpc>");
    let (reply, _) = server.answer(session, &message).unwrap();
    let open = format!("<rpc-reply xmlns=\"{BASE}\" message-id=\"7\" x=\"&lt;\">");
    let inside = reply.strip_prefix(&open).expect("attributes come back");
    inside.strip_suffix("</rpc-reply>").unwrap().to_owned()
}

fn edit(operation: &str, leaves: &str) -> String {
    format!(
        "<edit-config><target><candidate/></target><config><interfaces xmlns=\"{IF}\">\
         <interface xmlns:nc=\"{BASE}\" nc:operation=\"{operation}\">{leaves}</interface>\
         </interfaces></config></edit-config>"
    )
}

fn get(source: &str, interface: &str) -> String {
    format!(
        "<get-config><source><{source}/></source><filter type=\"subtree\"><interfaces xmlns=\"{IF}\">\
         <interface>{interface}</interface></interfaces></filter></get-config>"
    )
}

fn tag(reply: &str) -> &str {
    let (_, tag) = reply.split_once("<error-tag>").unwrap_or(("", reply));
    tag.split_once("</error-tag>").map_or(tag, |(tag, _)| tag)
}

const ON_CANDIDATE: &str = "<target><candidate/></target>";

#[test]
fn what_is_edited_is_in_force_when_it_is_committed() {
    let server = Server::open(None).unwrap();
    assert_eq!(ask(&server, 1, &edit("create", LO7)), "<ok/>");
    let lo7 = get("running", "<name>lo7</name>");
    assert_eq!(ask(&server, 1, &lo7), "<data></data>");
    assert!(ask(&server, 1, &get("candidate", "<name>lo7</name>")).contains("lo7"));
    assert_eq!(ask(&server, 1, "<commit/>"), "<ok/>");
    assert!(ask(&server, 1, &lo7).contains("ianaift:softwareLoopback"));

    assert_eq!(
        ask(&server, 1, &edit("delete", "<name>lo7</name>")),
        "<ok/>"
    );
    assert_eq!(ask(&server, 1, "<discard-changes/>"), "<ok/>");
    assert_eq!(ask(&server, 1, "<commit/>"), "<ok/>");
    assert!(ask(&server, 1, &lo7).contains("lo7"));
}

#[test]
fn each_refusal_has_its_tag_and_changes_nothing() {
    let server = Server::open(None).unwrap();
    for (operation, expected) in [
        (edit("create", "<name>mgmt0</name>"), "data-exists"),
        (edit("delete", "<name>lo7</name>"), "data-missing"),
        (edit("merge", "<type>x</type>"), "missing-element"),
        (
            edit("merge", "<name>mgmt0</name><speed>1</speed>"),
            "unknown-element",
        ),
        (
            edit("merge", "<name>mgmt0</name><a xmlns=\"urn:x\"/>"),
            "unknown-namespace",
        ),
        (
            edit("merge", "<name>mgmt0</name><enabled>yes</enabled>"),
            "invalid-value",
        ),
        (
            edit("merge", "<name>mgmt0</name><type>ethernetCsmacd</type>"),
            "invalid-value",
        ),
        (edit("merge", "<name>lo8</name>"), "data-missing"),
        (edit("swap", "<name>mgmt0</name>"), "bad-attribute"),
        (
            "<unlock><target><candidate/></target></unlock>".to_owned(),
            "operation-failed",
        ),
        ("<get-config/>".to_owned(), "missing-element"),
        ("<copy-config/>".to_owned(), "operation-not-supported"),
        (
            "<get><filter type=\"xpath\"/></get>".to_owned(),
            "bad-attribute",
        ),
    ] {
        let reply = ask(&server, 1, &operation);
        assert_eq!(tag(&reply), expected, "{operation}: {reply}");
    }
    assert_eq!(
        tag(&server.answer(1, "<rpc").unwrap().0),
        "malformed-message"
    );
    let unnumbered = format!("<rpc xmlns=\"{BASE}\"><commit/></rpc>");
    assert_eq!(
        tag(&server.answer(1, &unnumbered).unwrap().0),
        "missing-attribute"
    );
    let stores = server.stores();
    assert_eq!(stores.candidate.held, Interfaces::default());
    assert_eq!(stores.running.held, Interfaces::default());
}

#[test]
fn a_lock_keeps_the_others_out_until_its_session_ends() {
    let server = Server::open(None).unwrap();
    let lock = format!("<lock>{ON_CANDIDATE}</lock>");
    assert_eq!(ask(&server, 1, &lock), "<ok/>");
    let denied = ask(&server, 2, &lock);
    assert_eq!(tag(&denied), "lock-denied");
    assert!(denied.contains("<session-id>1</session-id>"), "{denied}");
    for operation in [&*edit("create", LO7), "<commit/>", "<discard-changes/>"] {
        assert_eq!(tag(&ask(&server, 2, operation)), "in-use", "{operation}");
    }
    assert_eq!(ask(&server, 1, &edit("create", LO7)), "<ok/>");
    // It is gone between its edit and its commit: nothing is left for the next one to commit.
    server.forget(1);
    assert_eq!(ask(&server, 2, &lock), "<ok/>");
    assert_eq!(ask(&server, 2, "<commit/>"), "<ok/>");
    assert_eq!(
        ask(&server, 2, &get("running", "<name>lo7</name>")),
        "<data></data>"
    );
}

#[test]
fn a_candidate_that_nobody_discarded_cannot_be_locked() {
    let server = Server::open(None).unwrap();
    assert_eq!(ask(&server, 1, &edit("create", LO7)), "<ok/>");
    let denied = ask(&server, 2, &format!("<lock>{ON_CANDIDATE}</lock>"));
    assert!(denied.contains("<session-id>0</session-id>"), "{denied}");
}

#[test]
fn a_filter_matches_by_text_and_selects_by_name() {
    let server = Server::open(None).unwrap();
    let shown = |interface: &str| {
        let reply = ask(&server, 1, &get("running", interface));
        let (_, inside) = reply.split_once("<interface>").unwrap_or(("", ""));
        let inside = inside
            .split_once("</interface>")
            .map_or("", |(inside, _)| inside);
        inside.to_owned()
    };
    assert_eq!(
        shown("<name>mgmt0</name><description/>"),
        "<name>mgmt0</name><description>management</description>"
    );
    assert_eq!(shown("<name/>"), "<name>mgmt0</name>");
    assert_eq!(shown("<name>mgmt1</name>"), "");
    assert_eq!(
        shown("<name>mgmt0</name><description>other</description>"),
        ""
    );
    assert!(shown("<description>management</description>").contains("ethernetCsmacd"));
    let state = ask(&server, 1, "<get/>");
    assert!(state.contains("<oper-status>up</oper-status>"), "{state}");
    let nothing = ask(&server, 1, "<get><filter type=\"subtree\"/></get>");
    assert_eq!(nothing, "<data></data>");
}
