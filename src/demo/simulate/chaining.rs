//! Service function chaining: port pairs, their groups, flow classifiers, and the chains of them.
//!
//! Written beside networking-sfc 23 and its API reference, with what surprises there: a second port pair
//! over the same ports is a 400, half-given parameters are a 500 later on, and so is the deletion of a port
//! that a pair or a classifier uses, because nobody but the database minds; and an update of a chain loses the
//! order that it asks for.

use axum::http::StatusCode;
use ipnet::IpNet;
use serde_json::{Value, json};

use super::attributes::{CHAINING, Collection, Object};
use super::error::NeutronError;
use super::region::{Region, text};

const PAIRS: &str = "sfc/port_pairs";
const GROUPS: &str = "sfc/port_pair_groups";
const CLASSIFIERS: &str = "sfc/flow_classifiers";
const CHAINS: &str = "sfc/port_chains";

/// Whether a collection is one of these.
pub(super) fn has(kind: &Collection) -> bool {
    kind.path.starts_with(CHAINING)
}

/// What a new object must be, and what it is given besides.
pub(super) fn create(
    region: &Region,
    kind: &Collection,
    object: &mut Object,
) -> Result<(), NeutronError> {
    match kind.path {
        PAIRS => pair(region, object),
        GROUPS => group(region, object),
        CLASSIFIERS => classifier(region, object),
        _ => chain(region, object),
    }
}

/// What may be changed, and what comes of it.
pub(super) fn update(
    region: &Region,
    kind: &Collection,
    id: &str,
    changes: &mut Object,
) -> Result<(), NeutronError> {
    match kind.path {
        GROUPS if changes.contains_key("port_pairs") => {
            pairs_of_group(region, &changes["port_pairs"], id)
        }
        CHAINS => {
            if let Some(classifiers) = changes.get("flow_classifiers") {
                classifiers_of_chain(region, classifiers, id)?;
            }
            if let Some(groups) = changes.get("port_pair_groups") {
                groups_of_chain(region, groups, id)?;
                let kept = in_kept_order(&region.get(CHAINS, id)?["port_pair_groups"], groups);
                changes.insert("port_pair_groups".to_owned(), kept);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Whether it may go: 409 while another object of a chain holds it.
pub(super) fn delete(region: &Region, kind: &Collection, id: &str) -> Result<(), NeutronError> {
    let (holder, member, error, name) = match kind.path {
        PAIRS => (GROUPS, "port_pairs", "PortPairInUse", "Port Pair"),
        GROUPS => (
            CHAINS,
            "port_pair_groups",
            "PortPairGroupInUse",
            "Port Pair Group",
        ),
        CLASSIFIERS => (
            CHAINS,
            "flow_classifiers",
            "FlowClassifierInUse",
            "Flow Classifier",
        ),
        _ => return Ok(()),
    };
    let held = region
        .all(holder)
        .any(|object| ids(&object[member]).any(|held| held == id));
    match held {
        true => Err(NeutronError::conflict(
            error,
            format!("{name} {id} in use."),
        )),
        false => Ok(()),
    }
}

/// A port that a pair or a classifier names cannot go, and Neutron has no better word for it than this.
pub(super) fn release_port(region: &Region, id: &str) -> Result<(), NeutronError> {
    let names =
        |object: &Object, members: [&str; 2]| members.iter().any(|name| object[*name] == id);
    let held = region
        .all(PAIRS)
        .any(|pair| names(pair, ["ingress", "egress"]))
        || region.all(CLASSIFIERS).any(|classifier| {
            names(
                classifier,
                ["logical_source_port", "logical_destination_port"],
            )
        });
    match held {
        true => Err(internal()),
        false => Ok(()),
    }
}

fn internal() -> NeutronError {
    NeutronError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "HTTPInternalServerError",
        "Request Failed: internal server error while processing your request.",
    )
}

/// 400 of the plugins, which say what is wrong without Neutron's usual beginning.
fn refused(kind: &'static str, message: impl Into<String>) -> NeutronError {
    NeutronError::new(StatusCode::BAD_REQUEST, kind, message)
}

fn ids(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// What was given of a map of parameters, or the defaults where nothing was: never both.
fn parameters(object: &mut Object, name: &str, defaults: Value) -> Result<(), NeutronError> {
    let given = &object[name];
    let (Value::Object(given), Value::Object(known)) = (given, &defaults) else {
        object.insert(name.to_owned(), defaults);
        return Ok(());
    };
    let bad = |why: String| NeutronError::bad(format!("Invalid input for {name}. Reason: {why}"));
    if let Some(key) = given.keys().find(|key| !known.contains_key(*key)) {
        return Err(bad(format!("Unexpected keys supplied: {key}.")));
    }
    if let Some(word) = given.get("correlation")
        && ![json!(null), json!("mpls"), json!("nsh")].contains(word)
    {
        let word = word.as_str().unwrap_or("it");
        return Err(bad(format!("{word} is not in valid_values.")));
    }
    if given.is_empty() {
        object.insert(name.to_owned(), defaults);
    }
    Ok(())
}

fn pair(region: &Region, object: &mut Object) -> Result<(), NeutronError> {
    parameters(
        object,
        "service_function_parameters",
        json!({ "correlation": null, "weight": 1 }),
    )?;
    let (ingress, egress) = (text(object, "ingress"), text(object, "egress"));
    let there = region
        .with(PAIRS, "ingress", ingress)
        .find(|pair| pair["egress"] == egress);
    if let Some(there) = there {
        let there = text(there, "id");
        return Err(refused(
            "PortPairIngressEgressInUse",
            format!(
                "Port Pair with ingress port {ingress} and egress port {egress} is already used by another Port Pair {there}."
            ),
        ));
    }
    let device = |port: &str| match region.find("ports", port) {
        Some(port) => Ok(text(port, "device_id")),
        None => Err(NeutronError::missing(
            "PortPairPortNotFound",
            format!("Port Pair port {port} not found."),
        )),
    };
    let (into, out_of) = (device(ingress)?, device(egress)?);
    for (error, side, port, device) in [
        ("PortPairIngressNoHost", "ingress", ingress, into),
        ("PortPairEgressNoHost", "egress", egress, out_of),
    ] {
        if device.is_empty() {
            let why = format!("Port Pair {side} port {port} does not belong to a host.");
            return Err(refused(error, why));
        }
    }
    if into != out_of {
        return Err(refused(
            "PortPairIngressEgressDifferentHost",
            format!(
                "Port Pair ingress port {ingress} and egress port {egress} not in the same host."
            ),
        ));
    }
    Ok(())
}

fn group(region: &Region, object: &mut Object) -> Result<(), NeutronError> {
    let name = "port_pair_group_parameters";
    let tuples = json!({ "ingress_n_tuple": {}, "egress_n_tuple": {} });
    let defaults = json!({ "lb_fields": [], "ppg_n_tuple_mapping": tuples });
    parameters(object, name, defaults.clone())?;
    if let (Value::Object(given), Value::Object(defaults)) = (&mut object[name], defaults) {
        for (name, value) in defaults {
            given.entry(name).or_insert(value);
        }
    }
    pairs_of_group(region, &object["port_pairs"], "")?;
    object.insert("group_id".to_owned(), free(region, GROUPS, "group_id"));
    Ok(())
}

/// The lowest number that no object has, from 1.
fn free(region: &Region, path: &str, name: &str) -> Value {
    let taken: Vec<i64> = region
        .all(path)
        .filter_map(|object| object[name].as_i64())
        .collect();
    let free = (1..).find(|number| !taken.contains(number));
    json!(free)
}

fn pairs_of_group(region: &Region, pairs: &Value, group: &str) -> Result<(), NeutronError> {
    let mut correlation = None;
    for id in ids(pairs) {
        let pair = region.get(PAIRS, id)?;
        // A pair with a weight alone has none.
        let Some(own) = pair["service_function_parameters"].get("correlation") else {
            return Err(internal());
        };
        if *correlation.get_or_insert(own) != own {
            return Err(refused(
                "InconsistentCorrelations",
                "Port Pair Group attempted creation included Port Pairs with inconsistent correlation types.",
            ));
        }
        let elsewhere = region
            .all(GROUPS)
            .any(|other| other["id"] != group && ids(&other["port_pairs"]).any(|held| held == id));
        if elsewhere {
            return Err(NeutronError::conflict(
                "PortPairInUse",
                format!("Port Pair {id} in use."),
            ));
        }
    }
    Ok(())
}

fn chain(region: &Region, object: &mut Object) -> Result<(), NeutronError> {
    let name = "chain_parameters";
    let defaults = json!({ "correlation": "mpls", "symmetric": false });
    parameters(object, name, defaults.clone())?;
    if let (Value::Object(given), Value::Object(defaults)) = (&mut object[name], defaults) {
        for (name, value) in defaults {
            given.entry(name).or_insert(value);
        }
    }
    groups_of_chain(region, &object["port_pair_groups"], "")?;
    let correlation = &object[name]["correlation"];
    for group in ids(&object["port_pair_groups"]) {
        for pair in ids(&region.get(GROUPS, group)?["port_pairs"]) {
            let own = &region.get(PAIRS, pair)?["service_function_parameters"]["correlation"];
            if !own.is_null() && own != correlation {
                return Err(refused(
                    "PortChainInconsistentCorrelations",
                    format!(
                        "Port Chain attempted creation included a Port Pair Group ({group}) with a different protocol used as correlation type."
                    ),
                ));
            }
        }
    }
    classifiers_of_chain(region, &object["flow_classifiers"], "")?;
    if object["chain_id"] == 0 {
        object.insert("chain_id".to_owned(), free(region, CHAINS, "chain_id"));
    }
    Ok(())
}

fn groups_of_chain(region: &Region, groups: &Value, chain: &str) -> Result<(), NeutronError> {
    if ids(groups).next().is_none() {
        return Err(refused(
            "PortPairGroupNotSpecified",
            "Port Pair Group is not specified in Port Chain.",
        ));
    }
    for group in ids(groups) {
        region.get(GROUPS, group)?;
    }
    let other = region
        .all(CHAINS)
        .find(|other| other["id"] != chain && other["port_pair_groups"] == *groups);
    match other {
        Some(other) => {
            let named: Vec<String> = ids(groups).map(|id| format!("'{id}'")).collect();
            Err(NeutronError::conflict(
                "InvalidPortPairGroups",
                format!(
                    "Port Pair Group(s) [{}] in use by Port Chain {}.",
                    named.join(", "),
                    text(other, "id")
                ),
            ))
        }
        None => Ok(()),
    }
}

/// The groups that stay keep their order, and the new ones come behind them: the plugin gives a place to a
/// group once, when it comes to a chain.
fn in_kept_order(held: &Value, wanted: &Value) -> Value {
    let stays = ids(held).filter(|group| ids(wanted).any(|id| id == *group));
    let comes = ids(wanted).filter(|group| ids(held).all(|id| id != *group));
    stays.chain(comes).collect()
}

fn classifiers_of_chain(region: &Region, own: &Value, chain: &str) -> Result<(), NeutronError> {
    let others: Vec<(&Object, &str)> = region
        .all(CHAINS)
        .filter(|other| other["id"] != chain)
        .flat_map(|other| ids(&other["flow_classifiers"]).map(move |id| (other, id)))
        .collect();
    for id in ids(own) {
        region.get(CLASSIFIERS, id)?;
        if others.iter().any(|(_, other)| *other == id) {
            return Err(NeutronError::conflict(
                "FlowClassifierInUse",
                format!("Flow Classifier {id} in use."),
            ));
        }
    }
    for (other, theirs) in others {
        for id in ids(own) {
            if overlap(
                region.get(CLASSIFIERS, id)?,
                region.get(CLASSIFIERS, theirs)?,
            ) {
                let other = text(other, "id");
                return Err(refused(
                    "PortChainFlowClassifierInConflict",
                    format!(
                        "Flow Classifier {id} conflicts with Flow Classifier {theirs} in port chain {other}."
                    ),
                ));
            }
        }
    }
    Ok(())
}

fn classifier(region: &Region, object: &mut Object) -> Result<(), NeutronError> {
    let ethertype = match object["ethertype"].as_str() {
        None => "IPv4",
        Some(word) if word.eq_ignore_ascii_case("ipv4") => "IPv4",
        Some(word) if word.eq_ignore_ascii_case("ipv6") => "IPv6",
        Some(word) => {
            return Err(refused(
                "FlowClassifierInvalidEthertype",
                format!(
                    "Flow Classifier does not support ethertype {word}. Supported ethertype values are ['IPv4', 'IPv6']."
                ),
            ));
        }
    };
    object.insert("ethertype".to_owned(), json!(ethertype));
    if let Some(word) = object["protocol"].as_str().map(str::to_lowercase) {
        if !["tcp", "udp", "icmp"].contains(&word.as_str()) {
            return Err(refused(
                "FlowClassifierInvalidProtocol",
                format!(
                    "Flow Classifier does not support protocol {word}. Supported protocol values are ['tcp', 'udp', 'icmp']."
                ),
            ));
        }
        object.insert("protocol".to_owned(), json!(word));
    }
    for side in ["source", "destination"] {
        ports(object, side)?;
        prefix(object, side, ethertype)?;
    }
    for name in ["logical_source_port", "logical_destination_port"] {
        if let Some(port) = object[name].as_str()
            && region.find("ports", port).is_none()
        {
            return Err(NeutronError::missing(
                "FlowClassifierPortNotFound",
                format!("Flow Classifier Neutron Port {port} not found."),
            ));
        }
    }
    let same = |other: &Object, name: &str| {
        let (own, other) = (&object[name], &other[name]);
        own.is_null() || other.is_null() || own == other
    };
    let other = region.all(CLASSIFIERS).find(|other| {
        overlap(object, other)
            && same(other, "logical_source_port")
            && same(other, "logical_destination_port")
    });
    match other {
        Some(other) => Err(refused(
            "FlowClassifierInConflict",
            format!(
                "Flow Classifier conflicts with another Flow Classifier {}.",
                text(other, "id")
            ),
        )),
        None => Ok(()),
    }
}

fn ports(object: &Object, side: &str) -> Result<(), NeutronError> {
    let port = |end: &str| match &object[&format!("{side}_port_range_{end}")] {
        Value::Null => Ok(None),
        given => match given.as_i64() {
            Some(port @ 0..=65535) => Ok(Some(port)),
            _ => Err(refused(
                "FlowClassifierInvalidPortValue",
                format!("Flow Classifier has invalid port value {given}."),
            )),
        },
    };
    let (min, max) = (port("min")?, port("max")?);
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        return Err(refused(
            "FlowClassifierInvalidPortRange",
            format!(
                "Invalid IP protocol port range. min_port_range={min} must be lesser or equal to max_port_range={max}."
            ),
        ));
    }
    let by_ports = object["protocol"] == "tcp" || object["protocol"] == "udp";
    match (min, max) {
        (None, None) => Ok(()),
        _ if by_ports => Ok(()),
        _ => Err(refused(
            "FlowClassifierProtocolRequiredWithPorts",
            "IP protocol must be TCP or UDP, if port range is given.",
        )),
    }
}

fn prefix(object: &Object, side: &str, ethertype: &str) -> Result<(), NeutronError> {
    let name = format!("{side}_ip_prefix");
    let Some(given) = object[&name].as_str() else {
        return Ok(());
    };
    let net: IpNet = given.parse().map_err(|_| {
        NeutronError::bad(format!(
            "Invalid input for {name}. Reason: '{given}' is not a valid IP subnet."
        ))
    })?;
    match matches!(net, IpNet::V4(_)) == (ethertype == "IPv4") {
        true => Ok(()),
        false => Err(refused(
            "FlowClassifierIpPrefixFormatConflictWithEthertype",
            format!("IP prefix {given} format conflicts with ethertype {ethertype}."),
        )),
    }
}

/// Whether some packet fits both, wherever it enters.
fn overlap(one: &Object, other: &Object) -> bool {
    let either = |name: &str, meet: &dyn Fn(&Value, &Value) -> bool| {
        let (one, other) = (&one[name], &other[name]);
        one.is_null() || other.is_null() || meet(one, other)
    };
    let nets = |one: &Value, other: &Value| {
        let net = |value: &Value| value.as_str().and_then(|text| text.parse::<IpNet>().ok());
        match (net(one), net(other)) {
            (Some(one), Some(other)) => {
                one.contains(&other.network()) || other.contains(&one.network())
            }
            _ => false,
        }
    };
    let below =
        |min: &Value, max: &Value| min.is_null() || max.is_null() || min.as_i64() <= max.as_i64();
    let ranges = |side: &str| {
        let (min, max) = (
            format!("{side}_port_range_min"),
            format!("{side}_port_range_max"),
        );
        below(&one[&min], &other[&max]) && below(&other[&min], &one[&max])
    };
    one["ethertype"] == other["ethertype"]
        && either("protocol", &|one, other| one == other)
        && either("source_ip_prefix", &nets)
        && either("destination_ip_prefix", &nets)
        && ranges("source")
        && ranges("destination")
}
