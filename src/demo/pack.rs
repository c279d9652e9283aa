//! The shipped pack, inside the binary: what the demo runs is what an integrator starts from.

use std::io;
use std::path::Path;

/// Takes files of the repository, by their paths from its root.
macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../", $path)))),*]
    };
}

/// Every file of the pack: its path in a configuration folder, and its text.
pub const FILES: &[(&str, &str)] = files![
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

/// The regions of the pack, in the order of its backends.
pub const REGIONS: [&str; 2] = ["RegionOne", "RegionTwo"];

/// The environment variable that the pack's backends take their password from.
pub const PASSWORD_ENV: &str = "OS_PASSWORD";

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

/// Writes the pack into a configuration folder.
///
/// Backends are written anew, because addresses change; a route file that is there stays, so that a
/// reader may edit it and try.
pub fn write(folder: &Path, endpoints: &Endpoints) -> io::Result<()> {
    for (path, text) in FILES {
        let file = folder.join(path);
        let backend = path.starts_with("backends.d/");
        if !backend && file.exists() {
            continue;
        }
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(file, endpoints.put_into(text))?;
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
        let embedded: BTreeSet<String> = FILES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(embedded, there);
    }

    #[test]
    fn no_example_address_is_left_in_a_backend() {
        let endpoints = Endpoints {
            keystone: "http://127.0.0.1:1/v3".into(),
            neutrons: ["http://127.0.0.1:2".into(), "http://127.0.0.1:3".into()],
        };
        let backends = FILES
            .iter()
            .filter(|(path, _)| path.starts_with("backends.d/"));
        let mut seen = 0;
        for (path, text) in backends {
            let put = endpoints.put_into(text);
            assert!(!put.contains("example.net"), "{path}");
            seen += 1;
        }
        assert_eq!(seen, REGIONS.len());
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
