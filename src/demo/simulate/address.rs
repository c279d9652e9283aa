//! Addresses: what a subnet has, what is taken, and which one a port gets.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Value, json};

use super::attributes::Object;
use super::error::NeutronError;
use super::region::{Region, text};

/// A subnet's network address and length.
pub(super) fn net(subnet: &Object) -> Option<IpNet> {
    text(subnet, "cidr").parse().ok()
}

/// The address so many places behind another.
pub(super) fn nth(base: IpAddr, places: u32) -> Option<IpAddr> {
    match base {
        IpAddr::V4(base) => base
            .to_bits()
            .checked_add(places)
            .map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(base) => base
            .to_bits()
            .checked_add(u128::from(places))
            .map(|bits| IpAddr::V6(bits.into())),
    }
}

/// The pools of a subnet that names none: its hosts without the gateway.
pub(super) fn default_pools(net: IpNet, gateway: Option<IpAddr>) -> Value {
    let Some(first) = nth(net.network(), 1) else {
        return json!([]);
    };
    let last = match net {
        IpNet::V4(_) => before(net.broadcast()).unwrap_or(first),
        IpNet::V6(_) => net.broadcast(),
    };
    let pool = |start: Option<IpAddr>, end: Option<IpAddr>| match (start, end) {
        (Some(start), Some(end)) if start <= end => Some(json!({ "start": start, "end": end })),
        _ => None,
    };
    let pools: Vec<Value> = match gateway.filter(|gateway| (first..=last).contains(gateway)) {
        Some(gateway) => [
            pool(Some(first), before(gateway)),
            pool(nth(gateway, 1), Some(last)),
        ]
        .into_iter()
        .flatten()
        .collect(),
        None => pool(Some(first), Some(last)).into_iter().collect(),
    };
    Value::Array(pools)
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => address
            .to_bits()
            .checked_sub(1)
            .map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(address) => address
            .to_bits()
            .checked_sub(1)
            .map(|bits| IpAddr::V6(bits.into())),
    }
}

/// The `fixed_ips` of a port: what is asked for, or one address of each family that the network has.
pub(super) fn assign(
    region: &Region,
    network: &str,
    asked: &Value,
    port: Option<&str>,
) -> Result<Value, NeutronError> {
    let Some(asked) = asked.as_array() else {
        return any(region, network);
    };
    let mut assigned: Vec<Value> = Vec::new();
    for wish in asked {
        let subnet = match wish["subnet_id"].as_str() {
            Some(id) => region.get("subnets", id)?,
            None => subnet_of(region, network, &wish["ip_address"])?,
        };
        let id = text(subnet, "id");
        if text(subnet, "network_id") != network {
            return Err(NeutronError::invalid(format_args!(
                "Failed to create port on network {network}, because fixed_ips included invalid subnet {id}."
            )));
        }
        let address = match wish["ip_address"].as_str() {
            Some(address) => certain(region, subnet, address, port)?,
            None => free(region, subnet).ok_or_else(|| used_up(network))?,
        };
        assigned.push(json!({ "subnet_id": id, "ip_address": address }));
    }
    Ok(Value::Array(assigned))
}

/// The first free address in a subnet's pools.
pub(super) fn free(region: &Region, subnet: &Object) -> Option<IpAddr> {
    let id = text(subnet, "id");
    let pools = subnet["allocation_pools"].as_array()?;
    for pool in pools {
        let (start, end): (IpAddr, IpAddr) = (
            pool["start"].as_str()?.parse().ok()?,
            pool["end"].as_str()?.parse().ok()?,
        );
        let mut next = Some(start);
        while let Some(address) = next.filter(|address| *address <= end) {
            if taken_by(region, id, &address.to_string()).is_none() {
                return Some(address);
            }
            next = nth(address, 1);
        }
    }
    None
}

/// The port that has this address.
pub(super) fn taken_by<'r>(region: &'r Region, subnet: &str, address: &str) -> Option<&'r Object> {
    region
        .all("ports")
        .find(|port| ips(port).any(|ip| ip["subnet_id"] == subnet && ip["ip_address"] == address))
}

/// The fixed addresses of a port.
pub(super) fn ips(port: &Object) -> impl Iterator<Item = &Value> {
    port.get("fixed_ips")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn any(region: &Region, network: &str) -> Result<Value, NeutronError> {
    let mut assigned: Vec<Value> = Vec::new();
    for version in [4, 6] {
        let mut subnets = region
            .with("subnets", "network_id", network)
            .filter(|subnet| subnet["ip_version"] == version)
            .peekable();
        if subnets.peek().is_none() {
            continue;
        }
        let (id, address) = subnets
            .find_map(|subnet| Some((text(subnet, "id"), free(region, subnet)?)))
            .ok_or_else(|| used_up(network))?;
        assigned.push(json!({ "subnet_id": id, "ip_address": address }));
    }
    Ok(Value::Array(assigned))
}

fn certain(
    region: &Region,
    subnet: &Object,
    address: &str,
    port: Option<&str>,
) -> Result<IpAddr, NeutronError> {
    let parsed: Option<IpAddr> = address.parse().ok();
    let (Some(parsed), Some(net)) = (parsed, net(subnet)) else {
        return Err(NeutronError::bad(format!(
            "Invalid input for fixed_ips. Reason: '{address}' is not a valid IP address."
        )));
    };
    if !net.contains(&parsed) {
        return Err(NeutronError::new(
            axum::http::StatusCode::BAD_REQUEST,
            "InvalidIpForSubnet",
            format!("IP address {address} is not a valid IP for the specified subnet."),
        ));
    }
    let id = text(subnet, "id");
    match taken_by(region, id, &parsed.to_string()) {
        Some(holder) if port != Some(text(holder, "id")) => Err(NeutronError::conflict(
            "IpAddressAlreadyAllocated",
            format!("IP address {address} already allocated in subnet {id}"),
        )),
        _ => Ok(parsed),
    }
}

/// The subnet of a network that an address without a subnet belongs to.
pub(super) fn subnet_of<'r>(
    region: &'r Region,
    network: &'r str,
    address: &Value,
) -> Result<&'r Object, NeutronError> {
    let wanted: Option<IpAddr> = address.as_str().and_then(|address| address.parse().ok());
    region
        .with("subnets", "network_id", network)
        .find(|subnet| {
            wanted.is_some_and(|wanted| net(subnet).is_some_and(|net| net.contains(&wanted)))
        })
        .ok_or_else(|| {
            NeutronError::new(
                axum::http::StatusCode::BAD_REQUEST,
                "InvalidIpForNetwork",
                format!(
                    "IP address {} is not a valid IP for any of the subnets on the specified network.",
                    address.as_str().unwrap_or_default()
                ),
            )
        })
}

fn used_up(network: &str) -> NeutronError {
    NeutronError::conflict(
        "IpAddressGenerationFailure",
        format!("No more IP addresses available on network {network}."),
    )
}
