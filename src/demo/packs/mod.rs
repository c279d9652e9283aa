//! The shipped packs, inside the binary: what the demo runs is what an integrator starts from.
//!
//! A pack is one file here: what belongs to it, how its backends are simulated, and its part of the demo's story.
//! A configuration folder may have any of them.

pub mod chaining;
pub mod firewalls;
pub mod neo;
pub mod openstack;
pub mod switches;
pub mod waf;

use std::borrow::Cow;
use std::io;
use std::path::Path;

use crate::embedded::{self, File};

use super::simulate::Stage;
use super::simulate::devices::SshEndpoint;
use super::story::{Scene, Step};

/// Every pack, in the order of the story.
pub const PACKS: &[&Pack] = &[
    &openstack::PACK,
    &switches::PACK,
    &firewalls::PACK,
    &waf::PACK,
    &neo::PACK,
    &chaining::PACK,
];

/// What ships together.
#[derive(Clone, Copy, Debug)]
pub struct Pack {
    /// The heading of its part of the story.
    pub title: &'static str,
    /// Its own files, from the repository's root; those of [`shared`] that they name come with them.
    pub paths: &'static [&'static str],
    /// The environment variables that its backends take their secrets from.
    pub secrets: &'static [&'static str],
    /// Puts its simulated backends on a stage, with the secrets that the stage gives.
    pub start: fn(&mut Stage) -> io::Result<Vec<Backend>>,
    /// Its part of the story.
    pub steps: fn(&Scene<'_>) -> Vec<Step>,
}

/// What packs have in common, by path.
const SHARED: &[&str] = &[
    "routes.d/schemas/cmp-id.yaml",
    "routes.d/schemas/name.yaml",
    "routes.d/schemas/switch-port.yaml",
    "routes.d/schemas/vlan-id.yaml",
];

fn texts(paths: &'static [&'static str]) -> impl Iterator<Item = File> {
    paths.iter().map(|path| (*path, embedded::text(path)))
}

/// What packs have in common.
pub fn shared() -> impl Iterator<Item = File> {
    texts(SHARED)
}

/// Every file of every pack.
pub fn files() -> impl Iterator<Item = File> {
    let own = PACKS.iter().flat_map(|pack| pack.files());
    shared().chain(own)
}

/// Every environment variable of every pack.
pub fn secrets() -> impl Iterator<Item = &'static str> {
    PACKS.iter().flat_map(|pack| pack.secrets).copied()
}

impl Pack {
    /// All that a folder with this pack alone has: its own files, and what of [`shared`] they name.
    pub fn whole(&self) -> impl Iterator<Item = File> {
        let is_named = |path: &str| {
            let name = path.trim_start_matches("routes.d/");
            self.files().any(|(_, text)| text.contains(name))
        };
        let shared = shared().filter(move |(path, _)| is_named(path));
        shared.chain(self.files())
    }

    /// Its own files.
    pub fn files(&self) -> impl Iterator<Item = File> + use<> {
        texts(self.paths)
    }
}

/// A backend that listens on loopback.
#[derive(Clone, Debug)]
pub struct Backend {
    /// What a reader calls it.
    pub name: String,
    /// `https://127.0.0.1:40001/v3`, `ssh://127.0.0.1:40002`
    pub url: String,
    pub instead: Instead,
}

/// What in the files of a pack a backend takes the place of.
#[derive(Clone, Debug)]
pub enum Instead {
    /// This URL, wherever it stands.
    Url(&'static str),
    /// The `host` in one file of `backends.d`, and the host key that is pinned there.
    Ssh {
        file: &'static str,
        host: &'static str,
        endpoint: SshEndpoint,
    },
}

impl Backend {
    /// One that is at `url` instead of where the files of its pack have it.
    fn instead_of(shipped: &'static str, name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            instead: Instead::Url(shipped),
        }
    }

    fn put_into(&self, path: &str, text: &str) -> String {
        match &self.instead {
            Instead::Url(url) => text.replace(url, &self.url),
            Instead::Ssh {
                file,
                host,
                endpoint: SshEndpoint { address, host_key },
            } if *file == path => {
                let here = format!("host: {}\n    port: {}", address.ip(), address.port());
                let text = text.replace(&format!("host: {host}"), &here);
                let pinned = text.split('"').find(|word| word.starts_with("SHA256:"));
                let pinned = pinned.expect("the shipped backends over SSH pin a host key");
                text.replace(pinned, host_key)
            }
            Instead::Ssh { .. } => text.to_owned(),
        }
    }
}

/// A file of a pack over these backends; one of `backends.d` trusts the CA of the stage, where there is one.
pub fn put_into(backends: &[Backend], ca_file: Option<&str>, path: &str, text: &str) -> String {
    // The examples of routes are the reader's, and speak of the backends as they are shipped.
    if !path.starts_with("backends.d/") {
        return text.to_owned();
    }
    let text = backends.iter().fold(Cow::Borrowed(text), |text, backend| {
        backend.put_into(path, &text).into()
    });
    match ca_file {
        Some(ca_file) => trusting(ca_file, &text),
        None => text.into_owned(),
    }
}

/// A backend's file with this `tls.ca_file`, if its driver is `https`.
fn trusting(ca_file: &str, text: &str) -> String {
    let own = text
        .lines()
        .find(|line| line.starts_with("      ca_file: "));
    let ca = format!("      ca_file: {ca_file}");
    match own {
        Some(own) => text.replace(own, &ca),
        None if text.contains("\n    tls:\n") => {
            text.replace("\n    tls:\n", &format!("\n    tls:\n{ca}\n"))
        }
        None => text.replace("\n  https:\n", &format!("\n  https:\n    tls:\n{ca}\n")),
    }
}

/// Where the CA of the simulated backends is, in a configuration folder.
pub const CA_FILE: &str = "certs/demo-ca.pem";

/// Writes packs into a configuration folder, each over its backends, and the CA that they are to trust.
///
/// Backends are written anew, because addresses change; a route file that is there stays, so that a
/// reader may edit it and try.
pub fn write(
    folder: &Path,
    packs: &[(&Pack, Vec<Backend>)],
    ca_pem: Option<&[u8]>,
) -> io::Result<()> {
    if let Some(pem) = ca_pem {
        write_file(&folder.join(CA_FILE), pem)?;
    }
    let ca_file = ca_pem.map(|_| CA_FILE);
    let own = packs
        .iter()
        .flat_map(|(pack, backends)| pack.files().map(|file| (file, backends.as_slice())));
    for ((path, text), backends) in shared().map(|file| (file, &[][..])).chain(own) {
        let file = folder.join(path);
        if path.starts_with("backends.d/") || !file.exists() {
            write_file(&file, put_into(backends, ca_file, path, text).as_bytes())?;
        }
    }
    Ok(())
}

fn write_file(file: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(file, bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::demo::simulate::Authority;

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
    fn every_shipped_file_is_in_one_pack() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut there = BTreeSet::new();
        for folder in ["backends.d", "routes.d", "templates"] {
            below(&root.join(folder), &format!("{folder}/"), &mut there);
        }
        let embedded: Vec<String> = files().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(embedded.len(), there.len(), "{embedded:?}");
        assert_eq!(BTreeSet::from_iter(embedded), there);
    }

    /// Over TLS: no example address is left, and every HTTPS backend trusts the CA.
    #[tokio::test]
    async fn what_is_written_speaks_to_the_simulated_backends_alone() {
        let mut stage = Stage::new(None, Some(&Authority::new().unwrap()));
        for pack in PACKS {
            let backends = (pack.start)(&mut stage).unwrap();
            for secret in pack.secrets {
                assert!(stage.secrets().contains_key(*secret), "{secret}");
            }
            for (path, text) in pack.files() {
                let put = put_into(&backends, Some(CA_FILE), path, text);
                if !path.starts_with("backends.d/") {
                    assert_eq!(put, text, "{path}");
                    continue;
                }
                assert!(!put.contains("example.net"), "{put}");
                let trusted = put.matches("\n    tls:\n      ca_file: certs/demo-ca.pem\n");
                assert_eq!(
                    trusted.count(),
                    put.matches("\n  https:\n").count(),
                    "{put}"
                );
                let ssh = put.contains("\n  ssh:\n") || put.contains("\n  netconf:\n");
                let here = backends.iter().any(|backend| match &backend.instead {
                    Instead::Ssh { endpoint, .. } => {
                        put.contains(&format!("\n    port: {}\n", endpoint.address.port()))
                            && put.contains(&format!("\"{}\"", endpoint.host_key))
                    }
                    Instead::Url(_) => put.contains(&backend.url),
                });
                assert!(here, "{put}");
                assert_eq!(ssh, put.contains("\"SHA256:"), "{put}");
            }
        }
        assert_eq!(stage.secrets().len(), BTreeSet::from_iter(secrets()).len());
        stage.stop().await;
    }

    #[test]
    fn a_ca_of_its_own_gives_way_and_other_words_of_tls_stay() {
        for (own, put) in [
            ("", "    tls:\n      ca_file: x.pem\n"),
            (
                "    tls:\n      ca_file: certs/fw.pem\n",
                "    tls:\n      ca_file: x.pem\n",
            ),
            (
                "    tls:\n      min_version: \"1.0\"\n",
                "    tls:\n      ca_file: x.pem\n      min_version: \"1.0\"\n",
            ),
        ] {
            let text = format!("driver:\n  https:\n{own}");
            assert_eq!(
                trusting("x.pem", &text),
                format!("driver:\n  https:\n{put}")
            );
        }
        assert_eq!(trusting("x.pem", "driver:\n  ssh:\n"), "driver:\n  ssh:\n");
    }

    #[test]
    fn an_edited_route_file_survives_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let write = |keystone| {
            let backends = openstack::at(keystone, ["", ""]);
            write(folder.path(), &[(&openstack::PACK, backends)], None).unwrap();
        };
        write("http://127.0.0.1:1/v3");
        let route = folder.path().join("routes.d/networks.yaml");
        std::fs::write(&route, "edited").unwrap();
        write("http://127.0.0.1:2/v3");
        let read = |path| std::fs::read_to_string(folder.path().join(path)).unwrap();
        assert_eq!(read("routes.d/networks.yaml"), "edited");
        assert!(read("backends.d/neutron-1.yaml").contains("http://127.0.0.1:2/v3"));
    }
}
