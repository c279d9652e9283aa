//! Routers, their interfaces and gateways, and floating IPs.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::attributes::Object;
use super::error::NeutronError;
use super::region::{Region, text};
use super::{address, rules};

const INTERFACE: &str = "network:router_interface";
const GATEWAY: &str = "network:router_gateway";
const FLOATING: &str = "network:floatingip";

pub(super) fn create_router(
    region: &mut Region,
    mut object: Object,
) -> Result<String, NeutronError> {
    let id = Uuid::new_v4().to_string();
    let gateway = set_gateway(region, &id, &object["external_gateway_info"])?;
    object.insert("id".to_owned(), json!(id));
    object.insert("external_gateway_info".to_owned(), gateway);
    object.insert("status".to_owned(), json!("ACTIVE"));
    object.insert("routes".to_owned(), json!([]));
    Ok(region.insert("routers", object))
}

pub(super) fn change_router(
    region: &mut Region,
    id: &str,
    changes: &mut Object,
) -> Result<(), NeutronError> {
    let Some(wanted) = changes.get("external_gateway_info") else {
        return Ok(());
    };
    let floating = region.with("floatingips", "router_id", id).next().is_some();
    if wanted.is_null() && floating {
        return Err(NeutronError::conflict(
            "RouterExternalGatewayInUseByFloatingIp",
            format!(
                "Gateway cannot be updated for router {id}, since a gateway to external network is required by one or more floating IPs."
            ),
        ));
    }
    let gateway = set_gateway(region, id, wanted)?;
    changes.insert("external_gateway_info".to_owned(), gateway);
    Ok(())
}

pub(super) fn delete_router(region: &mut Region, id: &str) -> Result<(), NeutronError> {
    let attached: Vec<&str> = interfaces(region, id)
        .map(|port| text(port, "id"))
        .collect();
    if !attached.is_empty() {
        return Err(NeutronError::conflict(
            "RouterInUse",
            format!(
                "Router {id} has ports still attached: {}",
                attached.join(", ")
            ),
        ));
    }
    remove_ports_of(region, id, GATEWAY);
    Ok(())
}

/// Gives a router its gateway port on an external network, or takes it away; what the router shows.
fn set_gateway(region: &mut Region, router: &str, wanted: &Value) -> Result<Value, NeutronError> {
    let Some(network) = wanted["network_id"].as_str() else {
        remove_ports_of(region, router, GATEWAY);
        return Ok(Value::Null);
    };
    if region.get("networks", network)?["router:external"] != true {
        return Err(NeutronError::bad_resource(
            "router",
            format_args!("Network {network} is not an external network."),
        ));
    }
    let ips = address::assign(region, network, &Value::Null, None)?;
    remove_ports_of(region, router, GATEWAY);
    region.insert("ports", service_port(network, router, GATEWAY, &ips));
    Ok(json!({ "network_id": network, "external_fixed_ips": ips, "enable_snat": true }))
}

/// `PUT /v2.0/routers/{id}/add_router_interface`
pub(super) fn add_interface(
    region: &mut Region,
    router: &str,
    body: &Value,
) -> Result<Value, NeutronError> {
    region.get("routers", router)?;
    if let Some(port) = body["port_id"].as_str() {
        let port = region.get("ports", port)?;
        if !text(port, "device_id").is_empty() {
            return Err(NeutronError::conflict(
                "PortInUse",
                format!(
                    "Unable to complete operation on port {} for network {}. Port already has an attached device {}.",
                    text(port, "id"),
                    text(port, "network_id"),
                    text(port, "device_id")
                ),
            ));
        }
        let id = text(port, "id").to_owned();
        let mut changes = Object::new();
        changes.insert("device_id".to_owned(), json!(router));
        changes.insert("device_owner".to_owned(), json!(INTERFACE));
        changes.insert("security_groups".to_owned(), json!([]));
        region.change("ports", &id, changes);
        return interface_shown(region, router, &id);
    }
    let Some(subnet) = body["subnet_id"].as_str() else {
        return Err(NeutronError::bad_resource(
            "router",
            "Either subnet_id or port_id must be specified.",
        ));
    };
    let object = region.get("subnets", subnet)?;
    if interfaces(region, router).any(|port| on_subnet(port, subnet)) {
        return Err(NeutronError::bad_resource(
            "router",
            format_args!("Router already has a port on subnet {subnet}."),
        ));
    }
    let Some(gateway) = object["gateway_ip"].as_str() else {
        return Err(NeutronError::bad_resource(
            "router",
            "Subnet for router interface must have a gateway IP.",
        ));
    };
    let network = text(object, "network_id").to_owned();
    let asked = json!([{ "subnet_id": subnet, "ip_address": gateway }]);
    let ips = address::assign(region, &network, &asked, None)?;
    let port = region.insert("ports", service_port(&network, router, INTERFACE, &ips));
    interface_shown(region, router, &port)
}

/// `PUT /v2.0/routers/{id}/remove_router_interface`
pub(super) fn remove_interface(
    region: &mut Region,
    router: &str,
    body: &Value,
) -> Result<Value, NeutronError> {
    region.get("routers", router)?;
    let found = match (body["port_id"].as_str(), body["subnet_id"].as_str()) {
        (Some(id), _) => interfaces(region, router)
            .find(|port| text(port, "id") == id)
            .ok_or_else(|| {
                NeutronError::missing(
                    "RouterInterfaceNotFound",
                    format!("Router {router} does not have an interface with id {id}"),
                )
            })?,
        (None, Some(subnet)) => interfaces(region, router)
            .find(|port| on_subnet(port, subnet))
            .ok_or_else(|| {
                NeutronError::missing(
                    "RouterInterfaceNotFoundForSubnet",
                    format!("Router {router} has no interface on subnet {subnet}"),
                )
            })?,
        (None, None) => {
            return Err(NeutronError::bad_resource(
                "router",
                "Either subnet_id or port_id must be specified.",
            ));
        }
    };
    let port = text(found, "id").to_owned();
    let needed = address::ips(found).find(|ip| {
        region
            .with("floatingips", "router_id", router)
            .filter_map(|floating| region.find("ports", text(floating, "port_id")))
            .any(|served| on_subnet(served, ip["subnet_id"].as_str().unwrap_or_default()))
    });
    if let Some(ip) = needed {
        return Err(NeutronError::conflict(
            "RouterInterfaceInUseByFloatingIP",
            format!(
                "Router interface for subnet {} on router {router} cannot be deleted, as it is required by one or more floating IPs.",
                ip["subnet_id"].as_str().unwrap_or_default()
            ),
        ));
    }
    let shown = interface_shown(region, router, &port)?;
    region.remove("ports", &port);
    Ok(shown)
}

pub(super) fn create_floating_ip(
    region: &mut Region,
    mut object: Object,
) -> Result<String, NeutronError> {
    let network = text(&object, "floating_network_id").to_owned();
    if region.get("networks", &network)?["router:external"] != true {
        return Err(NeutronError::bad_resource(
            "floatingip",
            format_args!("Network {network} is not a valid external network."),
        ));
    }
    let asked = match &object["floating_ip_address"] {
        Value::Null => Value::Null,
        address => json!([{ "ip_address": address }]),
    };
    let ips = address::assign(region, &network, &asked, None)?;
    let id = Uuid::new_v4().to_string();
    let own_address = ips[0]["ip_address"].clone();
    object.insert("floating_ip_address".to_owned(), own_address);
    object.insert("id".to_owned(), json!(id));
    associate(region, &id, &network, &mut object)?;
    object.insert("status".to_owned(), json!("DOWN"));
    region.insert("ports", service_port(&network, &id, FLOATING, &ips));
    Ok(region.insert("floatingips", object))
}

pub(super) fn change_floating_ip(
    region: &mut Region,
    id: &str,
    changes: &mut Object,
) -> Result<(), NeutronError> {
    if !changes.contains_key("port_id") {
        return Ok(());
    }
    let floating = region.get("floatingips", id)?;
    let network = text(floating, "floating_network_id").to_owned();
    let address = floating["floating_ip_address"].clone();
    changes.insert("floating_ip_address".to_owned(), address);
    associate(region, id, &network, changes)
}

pub(super) fn delete_floating_ip(region: &mut Region, id: &str) {
    remove_ports_of(region, id, FLOATING);
}

/// A port that goes away leaves its floating IPs behind, free.
pub(super) fn release_port(region: &mut Region, port: &str) {
    let ids: Vec<String> = region
        .with("floatingips", "port_id", port)
        .map(|floating| text(floating, "id").to_owned())
        .collect();
    for id in ids {
        let mut changes = Object::new();
        for name in ["port_id", "fixed_ip_address", "router_id"] {
            changes.insert(name.to_owned(), Value::Null);
        }
        region.change("floatingips", &id, changes);
    }
}

/// Fills in what follows from a floating IP's `port_id`: the fixed address and the router.
fn associate(
    region: &Region,
    id: &str,
    network: &str,
    object: &mut Object,
) -> Result<(), NeutronError> {
    let Some(port) = object.get("port_id").and_then(Value::as_str) else {
        for name in ["port_id", "fixed_ip_address", "router_id"] {
            object.insert(name.to_owned(), Value::Null);
        }
        return Ok(());
    };
    let port = region.get("ports", port)?;
    let wanted = object.get("fixed_ip_address").and_then(Value::as_str);
    let fixed = address::ips(port)
        .find(|ip| wanted.is_none_or(|wanted| ip["ip_address"] == wanted))
        .ok_or_else(|| {
            NeutronError::bad_resource(
                "floatingip",
                format_args!(
                    "Cannot add floating IP to port {} that has no fixed IPv4 addresses.",
                    text(port, "id")
                ),
            )
        })?;
    let taken = region
        .with("floatingips", "port_id", text(port, "id"))
        .any(|other| other["id"] != id && other["fixed_ip_address"] == fixed["ip_address"]);
    if taken {
        return Err(NeutronError::conflict(
            "FloatingIPPortAlreadyAssociated",
            format!(
                "Cannot associate floating IP {} ({id}) with port {} using fixed IP {}, as that fixed IP already has a floating IP on external network {network}.",
                text(object, "floating_ip_address"),
                text(port, "id"),
                fixed["ip_address"].as_str().unwrap_or_default()
            ),
        ));
    }
    let subnet = fixed["subnet_id"].as_str().unwrap_or_default();
    let router = region
        .all("routers")
        .find(|router| {
            router["external_gateway_info"]["network_id"] == network
                && interfaces(region, text(router, "id")).any(|port| on_subnet(port, subnet))
        })
        .ok_or_else(|| {
            NeutronError::new(
                StatusCode::NOT_FOUND,
                "ExternalGatewayForFloatingIPNotFound",
                format!(
                    "External network {network} is not reachable from subnet {subnet}. Therefore, cannot associate Port {} with a Floating IP.",
                    text(port, "id")
                ),
            )
        })?;
    let (address, router) = (fixed["ip_address"].clone(), router["id"].clone());
    object.insert("fixed_ip_address".to_owned(), address);
    object.insert("router_id".to_owned(), router);
    Ok(())
}

fn interfaces<'r>(region: &'r Region, router: &'r str) -> impl Iterator<Item = &'r Object> {
    region
        .with("ports", "device_id", router)
        .filter(|port| port["device_owner"] == INTERFACE)
}

fn on_subnet(port: &Object, subnet: &str) -> bool {
    address::ips(port).any(|ip| ip["subnet_id"] == subnet)
}

fn interface_shown(region: &Region, router: &str, port: &str) -> Result<Value, NeutronError> {
    let port = region.get("ports", port)?;
    let subnets: Vec<&Value> = address::ips(port).map(|ip| &ip["subnet_id"]).collect();
    Ok(json!({
        "id": router,
        "project_id": port["project_id"],
        "port_id": port["id"],
        "network_id": port["network_id"],
        "subnet_id": subnets.first(),
        "subnet_ids": subnets,
    }))
}

fn remove_ports_of(region: &mut Region, device: &str, owner: &str) {
    let ids: Vec<String> = region
        .with("ports", "device_id", device)
        .filter(|port| port["device_owner"] == owner)
        .map(|port| text(port, "id").to_owned())
        .collect();
    for id in ids {
        region.remove("ports", &id);
    }
}

/// A port that Neutron makes by itself.
fn service_port(network: &str, device: &str, owner: &str, ips: &Value) -> Object {
    let Value::Object(port) = json!({
        "network_id": network, "name": "", "mac_address": rules::mac(),
        "admin_state_up": true, "status": "DOWN", "device_id": device, "device_owner": owner,
        "fixed_ips": ips, "security_groups": [], "port_security_enabled": false,
        "allowed_address_pairs": [], "description": "", "binding:vnic_type": "normal",
    }) else {
        return Object::new();
    };
    port
}
