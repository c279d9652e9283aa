//! Whether a backend's driver can be carried over a reload: a digest of all that it was made from.

use std::path::Path;

use ring::digest::{Context, SHA256};

use crate::plan::{
    Auth, Backend, BackendTls, DriverSpec, HostKey, KeystoneCredentials, LoginBody, SecretTree,
    SshAccess, SshAuth,
};
use crate::secret::Secret;

/// Equal fingerprints, equal drivers. `Debug` shows every field of the compiled configuration but
/// the secrets; their values, and what stands in the files that it names, are added.
pub(super) fn fingerprint(backend: &Backend) -> [u8; 32] {
    let mut digest = Context::new(&SHA256);
    digest.update(format!("{:?} {:?}", backend.limits, backend.driver).as_bytes());
    match &backend.driver {
        DriverSpec::Https(driver) => {
            add_files(&mut digest, &driver.tls);
            for (_, auth) in &driver.auths {
                add_auth(&mut digest, auth);
            }
        }
        DriverSpec::Ssh(driver) => {
            add_access(&mut digest, &driver.access);
            driver
                .enable
                .iter()
                .for_each(|one| add_secret(&mut digest, one));
        }
        DriverSpec::Netconf(driver) => add_access(&mut digest, &driver.access),
    }
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.finish().as_ref());
    fingerprint
}

fn add_access(digest: &mut Context, access: &SshAccess) {
    if let HostKey::KnownHosts(file) = &access.host_key {
        add(digest, &content(file));
    }
    for auth in &access.auth {
        match auth {
            SshAuth::PrivateKey { key, passphrase } => {
                add_secret(digest, key);
                passphrase.iter().for_each(|one| add_secret(digest, one));
            }
            SshAuth::Password(secret) | SshAuth::KeyboardInteractive(secret) => {
                add_secret(digest, secret);
            }
        }
    }
}

fn add_auth(digest: &mut Context, auth: &Auth) {
    match auth {
        Auth::None | Auth::ClientCertificate => {}
        Auth::Basic { password, .. } => add_secret(digest, password),
        Auth::Bearer(token) => add_secret(digest, token),
        Auth::Headers(headers) => headers.iter().for_each(|(_, tree)| add_tree(digest, tree)),
        Auth::Query(pairs) => pairs.iter().for_each(|(_, one)| add_secret(digest, one)),
        Auth::Keystone(keystone) => {
            add_files(digest, &keystone.tls);
            match &keystone.credentials {
                KeystoneCredentials::Password { password, .. } => add_secret(digest, password),
                KeystoneCredentials::ApplicationCredential { secret, .. } => {
                    add_secret(digest, secret);
                }
            }
        }
        Auth::Login(login) => match &login.body {
            LoginBody::None => {}
            LoginBody::Json(tree) => add_tree(digest, tree),
            LoginBody::Form(fields) => fields.iter().for_each(|(_, tree)| add_tree(digest, tree)),
        },
    }
}

fn add_tree(digest: &mut Context, tree: &SecretTree) {
    match tree {
        SecretTree::Literal(_) => {}
        SecretTree::Secret(secret) => add_secret(digest, secret),
        SecretTree::List(items) => items.iter().for_each(|item| add_tree(digest, item)),
        SecretTree::Map(entries) => entries.iter().for_each(|(_, tree)| add_tree(digest, tree)),
        SecretTree::Json(tree) | SecretTree::Base64(tree) => add_tree(digest, tree),
    }
}

fn add_secret(digest: &mut Context, secret: &Secret) {
    add(digest, secret.expose().as_bytes());
}

/// A length and the bytes, so that no two neighbours run together.
fn add(digest: &mut Context, bytes: &[u8]) {
    digest.update(&bytes.len().to_le_bytes());
    digest.update(bytes);
}

fn add_files(digest: &mut Context, tls: &BackendTls) {
    let client = tls.client_cert.iter();
    let files = client
        .flat_map(|client| [&client.cert_file, &client.key_file])
        .chain(&tls.ca_file);
    for file in files {
        add(digest, &content(file));
    }
}

/// A file that cannot be read has no content: making the driver says so.
fn content(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap_or_default()
}
