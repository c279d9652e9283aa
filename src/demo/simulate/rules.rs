//! What may be made, changed and deleted: networks, subnets, ports, security groups and their rules.
//!
//! Routers, their interfaces and floating IPs are in `routing`, service function chains in `chaining`.

use std::net::IpAddr;

use axum::http::StatusCode;
use ipnet::IpNet;
use serde_json::{Value, json};
use uuid::Uuid;

use super::attributes::{Collection, Object};
use super::error::NeutronError;
use super::region::{Region, text};
use super::{address, chaining, routing};

/// Makes an object out of its checked attributes; gives its id.
pub(super) fn create(
    region: &mut Region,
    kind: &Collection,
    mut object: Object,
) -> Result<String, NeutronError> {
    match kind.path {
        "networks" => {
            object.insert("status".to_owned(), json!("ACTIVE"));
            default_group(region);
        }
        "subnets" => subnet(region, &mut object)?,
        "ports" => port(region, &mut object)?,
        "routers" => return routing::create_router(region, object),
        "floatingips" => return routing::create_floating_ip(region, object),
        "security-groups" => return group(region, object),
        "security-group-rules" => rule(region, &mut object)?,
        _ if chaining::has(kind) => chaining::create(region, kind, &mut object)?,
        _ => {}
    }
    Ok(region.insert(kind.path, object))
}

/// Changes an object that is there.
pub(super) fn update(
    region: &mut Region,
    kind: &Collection,
    id: &str,
    mut changes: Object,
) -> Result<(), NeutronError> {
    match kind.path {
        "ports" => change_port(region, id, &mut changes)?,
        "routers" => routing::change_router(region, id, &mut changes)?,
        "floatingips" => routing::change_floating_ip(region, id, &mut changes)?,
        _ if chaining::has(kind) => chaining::update(region, kind, id, &mut changes)?,
        _ => {}
    }
    region.change(kind.path, id, changes);
    Ok(())
}

/// Deletes an object that is there, with what goes with it.
pub(super) fn delete(region: &mut Region, kind: &Collection, id: &str) -> Result<(), NeutronError> {
    match kind.path {
        "networks" => {
            let used: Vec<&str> = region
                .with("ports", "network_id", id)
                .map(|port| text(port, "id"))
                .collect();
            if !used.is_empty() {
                return Err(NeutronError::conflict(
                    "NetworkInUse",
                    format!(
                        "Unable to complete operation on network {id}. There are one or more ports still in use on the network, id for these ports is: {}.",
                        used.join(",")
                    ),
                ));
            }
            remove_with(region, "subnets", "network_id", id);
        }
        "subnets" => {
            let used = region
                .all("ports")
                .any(|port| address::ips(port).any(|ip| ip["subnet_id"] == id));
            if used {
                return Err(NeutronError::conflict(
                    "SubnetInUse",
                    format!(
                        "Unable to complete operation on subnet {id}: One or more ports have an IP allocation from this subnet."
                    ),
                ));
            }
        }
        "ports" => {
            let owner = text(region.get("ports", id)?, "device_owner");
            if owner.starts_with("network:") && owner != "network:dhcp" {
                return Err(NeutronError::conflict(
                    "ServicePortInUse",
                    format!(
                        "Port {id} cannot be deleted directly via the port API: has device owner {owner}."
                    ),
                ));
            }
            chaining::release_port(region, id)?;
            routing::release_port(region, id);
        }
        "routers" => routing::delete_router(region, id)?,
        "floatingips" => routing::delete_floating_ip(region, id),
        "security-groups" => {
            let used = region.all("ports").any(|port| {
                port["security_groups"]
                    .as_array()
                    .is_some_and(|groups| groups.iter().any(|group| group == id))
            });
            if used {
                return Err(NeutronError::conflict(
                    "SecurityGroupInUse",
                    format!("Security Group {id} in use."),
                ));
            }
            remove_with(region, "security-group-rules", "security_group_id", id);
        }
        _ if chaining::has(kind) => chaining::delete(region, kind, id)?,
        _ => {}
    }
    region.remove(kind.path, id);
    Ok(())
}

fn remove_with(region: &mut Region, path: &str, name: &'static str, value: &str) {
    let ids: Vec<String> = region
        .with(path, name, value)
        .map(|object| text(object, "id").to_owned())
        .collect();
    for id in ids {
        region.remove(path, &id);
    }
}

fn subnet(region: &Region, object: &mut Object) -> Result<(), NeutronError> {
    let network = text(object, "network_id").to_owned();
    region.get("networks", &network)?;
    let cidr = text(object, "cidr");
    let net: IpNet = cidr
        .parse()
        .map_err(|_| NeutronError::invalid(format_args!("{cidr} is not in a CIDR format.")))?;
    let net = net.trunc();
    let version = if matches!(net, IpNet::V4(_)) { 4 } else { 6 };
    if object["ip_version"] != version {
        return Err(NeutronError::invalid(format_args!(
            "cidr '{cidr}' does not match the ip_version '{}'.",
            object["ip_version"]
        )));
    }
    let overlaps = region
        .with("subnets", "network_id", &network)
        .filter_map(address::net)
        .any(|other| other.contains(&net) || net.contains(&other));
    if overlaps {
        return Err(NeutronError::invalid(format_args!(
            "Requested subnet with cidr: {net} for network: {network} overlaps with another subnet."
        )));
    }
    let gateway: Option<IpAddr> = match &object["gateway_ip"] {
        Value::Null => None,
        Value::String(auto) if auto == "auto" => address::nth(net.network(), 1),
        given => {
            let parsed = given.as_str().and_then(|given| given.parse().ok());
            Some(parsed.ok_or_else(|| {
                NeutronError::bad(format!(
                    "Invalid input for gateway_ip. Reason: {given} is not a valid IP address."
                ))
            })?)
        }
    };
    if object["allocation_pools"].is_null() {
        let pools = address::default_pools(net, gateway);
        object.insert("allocation_pools".to_owned(), pools);
    }
    object.insert("cidr".to_owned(), json!(net.to_string()));
    object.insert("gateway_ip".to_owned(), json!(gateway));
    object.insert("subnetpool_id".to_owned(), Value::Null);
    Ok(())
}

fn port(region: &mut Region, object: &mut Object) -> Result<(), NeutronError> {
    let network = text(object, "network_id").to_owned();
    region.get("networks", &network)?;
    let ips = address::assign(region, &network, &object["fixed_ips"], None)?;
    object.insert("fixed_ips".to_owned(), ips);
    if object["security_groups"].is_null() {
        let default = default_group(region);
        object.insert("security_groups".to_owned(), json!([default]));
    } else {
        groups_exist(region, &object["security_groups"])?;
    }
    if object["mac_address"].is_null() {
        object.insert("mac_address".to_owned(), json!(mac()));
    }
    object.insert("status".to_owned(), json!("DOWN"));
    object.insert("binding:vnic_type".to_owned(), json!("normal"));
    Ok(())
}

fn change_port(region: &Region, id: &str, changes: &mut Object) -> Result<(), NeutronError> {
    let port = region.get("ports", id)?;
    if let Some(asked) = changes.get("fixed_ips") {
        let ips = address::assign(region, text(port, "network_id"), asked, Some(id))?;
        changes.insert("fixed_ips".to_owned(), ips);
    }
    match changes.get("security_groups") {
        Some(groups) => groups_exist(region, groups),
        None => Ok(()),
    }
}

fn groups_exist(region: &Region, groups: &Value) -> Result<(), NeutronError> {
    for group in groups.as_array().into_iter().flatten() {
        region.get("security-groups", group.as_str().unwrap_or_default())?;
    }
    Ok(())
}

/// A MAC address of OpenStack's usual prefix.
pub(super) fn mac() -> String {
    let bytes = Uuid::new_v4().into_bytes();
    format!(
        "fa:16:3e:{:02x}:{:02x}:{:02x}",
        bytes[0], bytes[1], bytes[2]
    )
}

fn group(region: &mut Region, object: Object) -> Result<String, NeutronError> {
    if object["name"] == "default" {
        default_group(region);
        return Err(NeutronError::conflict(
            "SecurityGroupDefaultAlreadyExists",
            "Default security group already exists.",
        ));
    }
    Ok(insert_group(region, object))
}

/// The project's default group, made when it is first needed, as Neutron does.
fn default_group(region: &mut Region) -> String {
    let there = region
        .with("security-groups", "name", "default")
        .map(|group| text(group, "id").to_owned())
        .next();
    match there {
        Some(id) => id,
        None => {
            let mut object = Object::new();
            object.insert("name".to_owned(), json!("default"));
            object.insert("stateful".to_owned(), json!(true));
            object.insert("description".to_owned(), json!("Default security group"));
            let id = insert_group(region, object);
            for ethertype in ["IPv4", "IPv6"] {
                region.insert(
                    "security-group-rules",
                    any_rule(&id, "ingress", ethertype, Some(&id)),
                );
            }
            id
        }
    }
}

/// A new group lets everything out: Neutron adds these two rules itself.
fn insert_group(region: &mut Region, mut object: Object) -> String {
    object.insert("shared".to_owned(), json!(false));
    let id = region.insert("security-groups", object);
    for ethertype in ["IPv4", "IPv6"] {
        region.insert(
            "security-group-rules",
            any_rule(&id, "egress", ethertype, None),
        );
    }
    id
}

fn any_rule(group: &str, direction: &str, ethertype: &str, remote: Option<&str>) -> Object {
    let Value::Object(rule) = json!({
        "security_group_id": group, "direction": direction, "ethertype": ethertype,
        "protocol": null, "port_range_min": null, "port_range_max": null,
        "remote_ip_prefix": null, "remote_group_id": remote, "description": "",
    }) else {
        return Object::new();
    };
    rule
}

fn rule(region: &Region, object: &mut Object) -> Result<(), NeutronError> {
    let group = text(object, "security_group_id").to_owned();
    region.get("security-groups", &group)?;
    if let Some(remote) = object["remote_group_id"].as_str() {
        region.get("security-groups", remote)?;
    }
    let bad = |kind, message: &str| NeutronError::new(StatusCode::BAD_REQUEST, kind, message);
    if !matches!(text(object, "direction"), "ingress" | "egress") {
        return Err(NeutronError::bad(format!(
            "Invalid input for direction. Reason: '{}' is not in ['ingress', 'egress'].",
            text(object, "direction")
        )));
    }
    let (min, max) = (&object["port_range_min"], &object["port_range_max"]);
    if object["protocol"].is_null() && !(min.is_null() && max.is_null()) {
        return Err(bad(
            "SecurityGroupProtocolRequiredWithPorts",
            "Must also specify protocol if port range is given.",
        ));
    }
    if let (Some(min), Some(max)) = (min.as_i64(), max.as_i64())
        && min > max
        && matches!(text(object, "protocol"), "tcp" | "udp")
    {
        return Err(bad(
            "SecurityGroupInvalidPortRange",
            "For TCP/UDP protocols, port_range_min must be <= port_range_max",
        ));
    }
    if let Some(prefix) = object["remote_ip_prefix"].as_str() {
        let net: IpNet = prefix.parse().map_err(|_| {
            NeutronError::bad(format!(
                "Invalid input for remote_ip_prefix. Reason: '{prefix}' is not a valid CIDR."
            ))
        })?;
        object.insert("normalized_cidr".to_owned(), json!(net.trunc().to_string()));
    }
    let equal = region
        .with("security-group-rules", "security_group_id", &group)
        .find(|other| SAME_RULE.iter().all(|name| other[*name] == object[*name]));
    match equal {
        Some(other) => Err(NeutronError::conflict(
            "SecurityGroupRuleExists",
            format!(
                "Security group rule already exists. Rule id is {}.",
                text(other, "id")
            ),
        )),
        None => Ok(()),
    }
}

/// What makes two rules of a group the same; a description does not.
const SAME_RULE: [&str; 7] = [
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_group_id",
];
