//! What each kind of Neutron object consists of: its attributes, who may set them and their defaults.

use serde_json::{Map, Value};
use uuid::Uuid;

use super::error::NeutronError;

/// A Neutron object.
pub(super) type Object = Map<String, Value>;

/// What begins the paths of service function chaining.
pub(super) const CHAINING: &str = "sfc/";

/// One kind of object: `/v2.0/<path>`, `{"<member>": ...}`, and in the plural `{"<members>": [...]}`.
#[derive(Debug)]
pub(super) struct Collection {
    pub(super) path: &'static str,
    pub(super) members: &'static str,
    missing: (&'static str, &'static str),
    attributes: &'static [Attribute],
}

/// One attribute of an object.
#[derive(Debug)]
struct Attribute {
    name: &'static str,
    shape: Shape,
    /// `None`: set by Neutron alone.
    create: Option<Create>,
    update: bool,
}

#[derive(Debug)]
enum Create {
    Required,
    /// JSON.
    Default(&'static str),
}

#[derive(Clone, Copy, Debug)]
enum Shape {
    Text,
    Bool,
    Int,
    List,
    /// A UUID.
    Id,
    IdOrNull,
    /// A list of different UUIDs.
    Ids,
    /// May be `null`.
    Any,
}

const fn settable(name: &'static str, shape: Shape, default: &'static str) -> Attribute {
    Attribute {
        name,
        shape,
        create: Some(Create::Default(default)),
        update: true,
    }
}

const fn fixed(name: &'static str, shape: Shape, default: &'static str) -> Attribute {
    Attribute {
        name,
        shape,
        create: Some(Create::Default(default)),
        update: false,
    }
}

const fn required(name: &'static str) -> Attribute {
    required_as(name, Shape::Text)
}

const fn required_as(name: &'static str, shape: Shape) -> Attribute {
    Attribute {
        name,
        shape,
        create: Some(Create::Required),
        update: false,
    }
}

const fn own(name: &'static str) -> Attribute {
    Attribute {
        name,
        shape: Shape::Any,
        create: None,
        update: false,
    }
}

/// Every object has them.
const COMMON: &[Attribute] = &[
    own("id"),
    own("project_id"),
    own("tenant_id"),
    own("created_at"),
    own("updated_at"),
    own("revision_number"),
    own("tags"),
    own("status"),
    settable("description", Shape::Text, "\"\""),
];

pub(super) static COLLECTIONS: [Collection; 11] = [
    Collection {
        path: "networks",
        members: "networks",
        missing: ("NetworkNotFound", "Network {} could not be found."),
        attributes: &[
            settable("name", Shape::Text, "\"\""),
            settable("admin_state_up", Shape::Bool, "true"),
            settable("mtu", Shape::Int, "1450"),
            settable("shared", Shape::Bool, "false"),
            settable("router:external", Shape::Bool, "false"),
            settable("port_security_enabled", Shape::Bool, "true"),
            own("subnets"),
        ],
    },
    Collection {
        path: "subnets",
        members: "subnets",
        missing: ("SubnetNotFound", "Subnet {} could not be found."),
        attributes: &[
            required("network_id"),
            required("cidr"),
            required_as("ip_version", Shape::Int),
            settable("name", Shape::Text, "\"\""),
            settable("gateway_ip", Shape::Any, "\"auto\""),
            settable("enable_dhcp", Shape::Bool, "true"),
            settable("dns_nameservers", Shape::List, "[]"),
            settable("allocation_pools", Shape::Any, "null"),
            settable("host_routes", Shape::List, "[]"),
            fixed("ipv6_ra_mode", Shape::Any, "null"),
            fixed("ipv6_address_mode", Shape::Any, "null"),
        ],
    },
    Collection {
        path: "ports",
        members: "ports",
        missing: ("PortNotFound", "Port {} could not be found."),
        attributes: &[
            required("network_id"),
            settable("name", Shape::Text, "\"\""),
            settable("admin_state_up", Shape::Bool, "true"),
            settable("mac_address", Shape::Any, "null"),
            settable("device_id", Shape::Text, "\"\""),
            settable("device_owner", Shape::Text, "\"\""),
            settable("fixed_ips", Shape::Any, "null"),
            settable("security_groups", Shape::Any, "null"),
            settable("port_security_enabled", Shape::Bool, "true"),
            settable("allowed_address_pairs", Shape::List, "[]"),
        ],
    },
    Collection {
        path: "routers",
        members: "routers",
        missing: ("RouterNotFound", "Router {} could not be found"),
        attributes: &[
            settable("name", Shape::Text, "\"\""),
            settable("admin_state_up", Shape::Bool, "true"),
            settable("external_gateway_info", Shape::Any, "null"),
            fixed("distributed", Shape::Bool, "false"),
            fixed("ha", Shape::Bool, "false"),
            own("routes"),
        ],
    },
    Collection {
        path: "floatingips",
        members: "floatingips",
        missing: ("FloatingIPNotFound", "Floating IP {} could not be found"),
        attributes: &[
            required("floating_network_id"),
            fixed("floating_ip_address", Shape::Any, "null"),
            settable("port_id", Shape::Any, "null"),
            settable("fixed_ip_address", Shape::Any, "null"),
            own("router_id"),
        ],
    },
    Collection {
        path: "security-groups",
        members: "security_groups",
        missing: ("SecurityGroupNotFound", "Security group {} does not exist"),
        attributes: &[
            settable("name", Shape::Text, "\"\""),
            settable("stateful", Shape::Bool, "true"),
            own("shared"),
        ],
    },
    Collection {
        path: "security-group-rules",
        members: "security_group_rules",
        missing: (
            "SecurityGroupRuleNotFound",
            "Security group rule {} does not exist",
        ),
        attributes: &[
            required("security_group_id"),
            required("direction"),
            fixed("ethertype", Shape::Text, "\"IPv4\""),
            fixed("protocol", Shape::Any, "null"),
            fixed("port_range_min", Shape::Any, "null"),
            fixed("port_range_max", Shape::Any, "null"),
            fixed("remote_ip_prefix", Shape::Any, "null"),
            fixed("remote_group_id", Shape::Any, "null"),
        ],
    },
    Collection {
        path: "sfc/port_pairs",
        members: "port_pairs",
        missing: ("PortPairNotFound", "Port Pair {} not found."),
        attributes: &[
            required_as("ingress", Shape::Id),
            required_as("egress", Shape::Id),
            settable("name", Shape::Text, "\"\""),
            fixed("service_function_parameters", Shape::Any, "null"),
        ],
    },
    Collection {
        path: "sfc/port_pair_groups",
        members: "port_pair_groups",
        missing: ("PortPairGroupNotFound", "Port Pair Group {} not found."),
        attributes: &[
            settable("name", Shape::Text, "\"\""),
            settable("port_pairs", Shape::Ids, "[]"),
            fixed("port_pair_group_parameters", Shape::Any, "null"),
            fixed("tap_enabled", Shape::Bool, "false"),
            own("group_id"),
        ],
    },
    Collection {
        path: "sfc/flow_classifiers",
        members: "flow_classifiers",
        missing: ("FlowClassifierNotFound", "Flow Classifier {} not found."),
        attributes: &[
            settable("name", Shape::Text, "\"\""),
            fixed("ethertype", Shape::Any, "null"),
            fixed("protocol", Shape::Any, "null"),
            fixed("source_port_range_min", Shape::Any, "null"),
            fixed("source_port_range_max", Shape::Any, "null"),
            fixed("destination_port_range_min", Shape::Any, "null"),
            fixed("destination_port_range_max", Shape::Any, "null"),
            fixed("source_ip_prefix", Shape::Any, "null"),
            fixed("destination_ip_prefix", Shape::Any, "null"),
            fixed("logical_source_port", Shape::IdOrNull, "null"),
            fixed("logical_destination_port", Shape::IdOrNull, "null"),
            fixed("l7_parameters", Shape::Any, "{}"),
        ],
    },
    Collection {
        path: "sfc/port_chains",
        members: "port_chains",
        missing: ("PortChainNotFound", "Port Chain {} not found."),
        attributes: &[
            Attribute {
                name: "port_pair_groups",
                shape: Shape::Ids,
                create: Some(Create::Required),
                update: true,
            },
            settable("name", Shape::Text, "\"\""),
            settable("flow_classifiers", Shape::Ids, "[]"),
            fixed("chain_parameters", Shape::Any, "null"),
            fixed("chain_id", Shape::Int, "0"),
        ],
    },
];

/// The collection at this path below `/v2.0/`.
pub(super) fn collection(path: &str) -> Option<&'static Collection> {
    COLLECTIONS
        .iter()
        .find(|collection| collection.path == path)
}

impl Collection {
    /// `network`
    pub(super) fn member(&self) -> &'static str {
        self.members.trim_end_matches('s')
    }

    /// The 404 of an object that is not there.
    pub(super) fn missing(&self, id: &str) -> NeutronError {
        NeutronError::missing(self.missing.0, self.missing.1.replace("{}", id))
    }

    /// Whether a list may be filtered by it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.all().any(|attribute| attribute.name == name)
    }

    /// The object of a POST's body, its defaults filled in.
    pub(super) fn of_create(&self, body: &Value) -> Result<Object, NeutronError> {
        let given = self.given(body)?;
        let mut object = Object::new();
        for attribute in self.all() {
            match (&attribute.create, given.get(attribute.name)) {
                (None, Some(_)) => {
                    return Err(NeutronError::bad(format!(
                        "Attribute '{}' not allowed in POST",
                        attribute.name
                    )));
                }
                (None, None) => {}
                (Some(_), Some(value)) => {
                    attribute.check(value)?;
                    object.insert(attribute.name.to_owned(), value.clone());
                }
                (Some(Create::Required), None) => {
                    return Err(NeutronError::bad(format!(
                        "Failed to parse request. Required attribute '{}' not specified",
                        attribute.name
                    )));
                }
                (Some(Create::Default(json)), None) => {
                    let value = serde_json::from_str(json).expect("defaults are written as JSON");
                    object.insert(attribute.name.to_owned(), value);
                }
            }
        }
        Ok(object)
    }

    /// The changes of a PUT's body.
    pub(super) fn of_update(&self, body: &Value) -> Result<Object, NeutronError> {
        let given = self.given(body)?;
        for attribute in self.all() {
            if let Some(value) = given.get(attribute.name) {
                if !attribute.update {
                    return Err(NeutronError::bad(format!(
                        "Cannot update read-only attribute {}",
                        attribute.name
                    )));
                }
                attribute.check(value)?;
            }
        }
        Ok(given.clone())
    }

    fn given<'b>(&self, body: &'b Value) -> Result<&'b Object, NeutronError> {
        let object = body[self.member()].as_object().ok_or_else(|| {
            NeutronError::bad(format!(
                "Unable to find '{}' in request body",
                self.member()
            ))
        })?;
        match object.keys().find(|name| !self.has(name)) {
            Some(name) => Err(NeutronError::bad(format!(
                "Unrecognized attribute(s) '{name}'"
            ))),
            None => Ok(object),
        }
    }

    fn all(&self) -> impl Iterator<Item = &'static Attribute> {
        self.attributes.iter().chain(COMMON)
    }
}

impl Attribute {
    fn check(&self, value: &Value) -> Result<(), NeutronError> {
        let refuse = |why: String| {
            Err(NeutronError::bad(format!(
                "Invalid input for {}. Reason: {why}",
                self.name
            )))
        };
        match (self.shape, value) {
            (Shape::Any, _)
            | (Shape::Bool, Value::Bool(_))
            | (Shape::List, Value::Array(_))
            | (Shape::IdOrNull, Value::Null) => Ok(()),
            (Shape::Id | Shape::IdOrNull, id) if is_uuid(id) => Ok(()),
            (Shape::Id | Shape::IdOrNull, other) => {
                refuse(format!("{} is not a valid UUID.", quoted(other)))
            }
            (Shape::Ids, Value::Array(ids)) => {
                let twice = ids
                    .iter()
                    .enumerate()
                    .find(|(at, id)| ids[..*at].contains(id));
                if let Some((_, id)) = twice {
                    let id = quoted(id);
                    return refuse(format!("Duplicate items in the list: {id}."));
                }
                match ids.iter().find(|id| !is_uuid(id)) {
                    Some(id) => refuse(format!("{} is not a valid UUID.", quoted(id))),
                    None => Ok(()),
                }
            }
            (Shape::Text, Value::String(text)) if text.chars().count() > 255 => {
                refuse(format!("'{text}' exceeds maximum length of 255."))
            }
            (Shape::Text, Value::String(_)) => Ok(()),
            (Shape::Text, other) => refuse(format!("'{other}' is not a valid string.")),
            (Shape::Int, Value::Number(number)) => match number.as_i64() {
                Some(number) if number < 0 => refuse(format!("'{number}' should be non-negative.")),
                Some(_) => Ok(()),
                None => refuse(format!("'{number}' is not an integer.")),
            },
            (Shape::Int, other) => refuse(format!("'{other}' is not an integer.")),
            (Shape::Bool, other) => refuse(format!("'{other}' cannot be converted to boolean.")),
            (Shape::List | Shape::Ids, other) => {
                refuse(format!("{} is not a list.", quoted(other)))
            }
        }
    }
}

fn is_uuid(value: &Value) -> bool {
    value.as_str().is_some_and(|id| Uuid::parse_str(id).is_ok())
}

/// The value as Python's `'%s'` shows it.
fn quoted(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        other => format!("'{other}'"),
    }
}
