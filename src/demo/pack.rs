//! The shipped packs, inside the binary: what the demo runs is what an integrator starts from.
//!
//! There are two, OpenStack networking and switches; a configuration folder may have either or both.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

/// Takes files of the repository, by their paths from its root.
macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../", $path)))),*]
    };
}

/// A file of a pack: its path in a configuration folder, and its text.
pub type File = (&'static str, &'static str);

/// OpenStack networking.
pub const OPENSTACK: &[File] = files![
    "backends.d/neutron-1.yaml",
    "backends.d/neutron-2.yaml",
    "routes.d/floating_ips.yaml",
    "routes.d/networks.yaml",
    "routes.d/ports.yaml",
    "routes.d/router_interfaces.yaml",
    "routes.d/routers.yaml",
    "routes.d/schemas/cmp-id.yaml",
    "routes.d/schemas/name.yaml",
    "routes.d/security_group_rules.yaml",
    "routes.d/security_groups.yaml",
    "routes.d/shared/neutron-response.yaml",
    "routes.d/subnets.yaml",
];

/// Switches, by their command lines and by NETCONF; ids are those of `routes.d/schemas/cmp-id.yaml`, of
/// [`OPENSTACK`].
pub const SWITCHES: &[File] = files![
    "backends.d/sw-1-netconf.yaml",
    "backends.d/sw-1.yaml",
    "routes.d/schemas/switch-port.yaml",
    "routes.d/schemas/vlan-id.yaml",
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
];

/// Every file of both packs.
pub fn files() -> impl Iterator<Item = File> {
    OPENSTACK.iter().chain(SWITCHES).copied()
}

/// The regions of the pack, in the order of its backends.
pub const REGIONS: [&str; 2] = ["RegionOne", "RegionTwo"];

/// The environment variable that the regions' backends take their password from.
pub const PASSWORD_ENV: &str = "OS_PASSWORD";

/// The environment variable that the switches' backends take their password from.
pub const SWITCH_PASSWORD_ENV: &str = "SW_1_PASSWORD";

/// The switch of the pack: its backend, and its host name in the prompts.
pub const SWITCH: &str = "sw-1";

/// Its other way in, a backend of its own.
pub const NETCONF_SWITCH: &str = "sw-1-netconf";

/// Where the pack's backends are, instead of `*.example.net`.
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// With `/v3`.
    pub keystone: String,
    /// Without `/v2.0`, in the order of [`REGIONS`].
    pub neutrons: [String; 2],
}

impl Endpoints {
    /// A file of the pack with these addresses in the place of its own.
    pub fn put_into(&self, text: &str) -> String {
        text.replace("https://keystone.example.net:5000/v3", &self.keystone)
            .replace("https://neutron-1.example.net:9696", &self.neutrons[0])
            .replace("https://neutron-2.example.net:9696", &self.neutrons[1])
    }
}

/// Where a backend over SSH is, and the host key that it must show.
#[derive(Clone, Debug)]
pub struct SshEndpoint {
    pub address: SocketAddr,
    /// `SHA256:...`
    pub host_key: String,
}

impl SshEndpoint {
    /// A backend's file with this address and key in the place of its own.
    pub fn put_into(&self, text: &str) -> String {
        let here = format!(
            "host: {}\n    port: {}",
            self.address.ip(),
            self.address.port()
        );
        let text = text.replace("host: sw-1.example.net", &here);
        let pinned = text.split('"').find(|word| word.starts_with("SHA256:"));
        let pinned = pinned
            .expect("the backends over SSH pin a host key")
            .to_owned();
        text.replace(&pinned, &self.host_key)
    }
}

/// Where the switches' backends are.
#[derive(Clone, Debug)]
pub struct Switches {
    pub switch: SshEndpoint,
    pub netconf: SshEndpoint,
}

impl Switches {
    /// A file of the pack with these addresses in the place of its own.
    pub fn put_into(&self, path: &str, text: &str) -> String {
        match path.strip_prefix("backends.d/") {
            Some("sw-1.yaml") => self.switch.put_into(text),
            Some("sw-1-netconf.yaml") => self.netconf.put_into(text),
            _ => text.to_owned(),
        }
    }
}

/// Writes the OpenStack pack into a configuration folder.
///
/// Backends are written anew, because addresses change; a route file that is there stays, so that a
/// reader may edit it and try.
pub fn write(folder: &Path, endpoints: &Endpoints) -> io::Result<()> {
    write_files(folder, OPENSTACK, |_, text| endpoints.put_into(text))
}

/// Writes the pack of switches beside it, by the same rule.
pub fn write_switches(folder: &Path, switches: &Switches) -> io::Result<()> {
    write_files(folder, SWITCHES, |path, text| switches.put_into(path, text))
}

fn write_files(
    folder: &Path,
    files: &[File],
    put: impl Fn(&str, &str) -> String,
) -> io::Result<()> {
    for (path, text) in files {
        let file = folder.join(path);
        let backend = path.starts_with("backends.d/");
        if !backend && file.exists() {
            continue;
        }
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(file, put(path, text))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn below(folder: &Path, prefix: &str, found: &mut BTreeSet<String>) {
        let Ok(entries) = std::fs::read_dir(folder) else {
            return;
        };
        for entry in entries.flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                below(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn the_whole_pack_is_in_the_binary() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut there = BTreeSet::new();
        for folder in ["backends.d", "routes.d", "templates"] {
            below(&root.join(folder), &format!("{folder}/"), &mut there);
        }
        let embedded: BTreeSet<String> = files().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(embedded, there);
    }

    #[test]
    fn no_example_address_is_left_in_a_backend() {
        let endpoints = Endpoints {
            keystone: "http://127.0.0.1:1/v3".into(),
            neutrons: ["http://127.0.0.1:2".into(), "http://127.0.0.1:3".into()],
        };
        let ssh = |port| SshEndpoint {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            host_key: format!("SHA256:of-{port}"),
        };
        let switches = Switches {
            switch: ssh(4),
            netconf: ssh(5),
        };
        let backends = files().filter(|(path, _)| path.starts_with("backends.d/"));
        let mut seen = 0;
        for (path, text) in backends {
            let put = switches.put_into(path, &endpoints.put_into(text));
            assert!(!put.contains("example.net"), "{path}");
            let port = match path {
                "backends.d/sw-1.yaml" => Some(4),
                "backends.d/sw-1-netconf.yaml" => Some(5),
                _ => None,
            };
            if let Some(port) = port {
                let key = format!("sha256: \"SHA256:of-{port}\"");
                assert!(put.contains(&format!("port: {port}\n")), "{put}");
                assert!(put.contains(&key), "{put}");
            }
            seen += 1;
        }
        assert_eq!(seen, REGIONS.len() + 2);
    }

    #[test]
    fn an_edited_route_file_survives_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let endpoints = |port: u16| Endpoints {
            keystone: format!("http://127.0.0.1:{port}/v3"),
            neutrons: [String::new(), String::new()],
        };
        write(folder.path(), &endpoints(1)).unwrap();
        let route = folder.path().join("routes.d/networks.yaml");
        std::fs::write(&route, "edited").unwrap();
        write(folder.path(), &endpoints(2)).unwrap();
        assert_eq!(std::fs::read_to_string(route).unwrap(), "edited");
        let backend = folder.path().join("backends.d/neutron-1.yaml");
        assert!(
            std::fs::read_to_string(backend)
                .unwrap()
                .contains("http://127.0.0.1:2/v3")
        );
    }
}
