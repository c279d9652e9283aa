//! OpenSSH's `known_hosts` (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"): which keys a host may show.
//!
//! Names may be patterns, `[host]:port`, or hashed; `@revoked` keys are refused wherever they are
//! listed for the host. Lines of `@cert-authority` are passed over: no certificates are asked for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use russh::keys::PublicKey;

/// A key that the file lists for one host.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listed {
    pub(super) key: PublicKey,
    pub(super) revoked: bool,
    /// Counted from 1.
    pub(super) line: usize,
}

/// The keys that `file` lists for a host. Lines that cannot be read are passed over, as OpenSSH does.
pub(super) fn listed(file: &str, host: &str, port: u16) -> Vec<Listed> {
    let host = host.to_lowercase();
    let name = match port {
        22 => host,
        port => format!("[{host}]:{port}"),
    };
    let lines = file.lines().zip(1..);
    lines
        .filter_map(|(text, line)| entry(text, &name, line))
        .collect()
}

fn entry(text: &str, name: &str, line: usize) -> Option<Listed> {
    let text = text.trim();
    if text.starts_with('#') {
        return None;
    }
    let mut words = text.split_whitespace();
    let mut names = words.next()?;
    let revoked = names == "@revoked";
    if revoked {
        names = words.next()?;
    } else if names.starts_with('@') {
        return None;
    }
    if !names_host(names, name) {
        return None;
    }
    let (kind, bytes) = (words.next()?, words.next()?);
    let key = PublicKey::from_openssh(&format!("{kind} {bytes}")).ok()?;
    Some(Listed { key, revoked, line })
}

/// Whether a list of names means the host: a pattern with `!` that fits takes it out.
fn names_host(names: &str, host: &str) -> bool {
    if let Some(hashed) = names.strip_prefix("|1|") {
        return is_hash_of(hashed, host).unwrap_or(false);
    }
    let mut named = false;
    for pattern in names.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if fits(pattern, host) => return false,
            Some(_) => {}
            None => named |= fits(pattern, host),
        }
    }
    named
}

/// `SALT|HASH`, both in base64: HMAC-SHA1 of the name, keyed by the salt.
fn is_hash_of(hashed: &str, host: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let salt = STANDARD.decode(salt).ok()?;
    let hash = STANDARD.decode(hash).ok()?;
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    Some(hmac::verify(&key, host.as_bytes(), &hash).is_ok())
}

/// `*` stands for any number of characters, `?` for one.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_lowercase().into_bytes(), name.as_bytes());
    let (mut p, mut n) = (0, 0);
    // Where the last `*` stood, and how much of the name it has taken.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(&c) if c == b'?' || c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, n) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ";

    fn lines(file: &str, host: &str, port: u16) -> Vec<usize> {
        let found = listed(file, host, port);
        found.iter().map(|listed| listed.line).collect()
    }

    #[test]
    fn names_ports_and_patterns_are_those_of_openssh() {
        let file = format!(
            "# a comment\nfw-a,10.0.0.1 {KEY}\n[fw-a]:2222 {KEY} someone\n*.lab,!old.lab {KEY}\n\
             sw? {KEY}\nfw-a broken\n@cert-authority * {KEY}\n"
        );
        assert_eq!(lines(&file, "fw-a", 22), [2]);
        assert_eq!(lines(&file, "FW-A", 22), [2]);
        assert_eq!(lines(&file, "10.0.0.1", 22), [2]);
        assert_eq!(lines(&file, "fw-a", 2222), [3]);
        assert_eq!(lines(&file, "new.lab", 22), [4]);
        assert_eq!(lines(&file, "old.lab", 22), [0; 0]);
        assert_eq!(lines(&file, "sw1", 22), [5]);
        assert_eq!(lines(&file, "sw12", 22), [0; 0]);
    }

    #[test]
    fn a_hashed_name_is_found_and_another_is_not() {
        // HMAC-SHA1 of `fw-a` and of `[fw-a]:2222` under the salt `0123456789abcdefghij`.
        let salt = b"0123456789abcdefghij";
        let hashed = |name: &str| {
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            let tag = hmac::sign(&key, name.as_bytes());
            format!(
                "|1|{}|{} {KEY}\n",
                STANDARD.encode(salt),
                STANDARD.encode(tag)
            )
        };
        let file = hashed("fw-a") + &hashed("[fw-a]:2222");
        assert_eq!(lines(&file, "fw-a", 22), [1]);
        assert_eq!(lines(&file, "fw-a", 2222), [2]);
        assert_eq!(lines(&file, "fw-b", 22), [0; 0]);
    }

    #[test]
    fn a_revoked_key_is_told_apart() {
        let file = format!("@revoked * {KEY}\nfw-a {KEY}\n");
        let found = listed(&file, "fw-a", 22);
        assert_eq!(
            found.iter().map(|l| l.revoked).collect::<Vec<_>>(),
            [true, false]
        );
    }
}
