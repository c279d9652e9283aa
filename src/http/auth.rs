//! Who calls: the bearer token of a request against the hashes of the configured clients.
//!
//! The table is built when a plan takes over. A check hashes the token once and compares it with
//! every hash, in full, whatever it finds. A token that fails is neither kept nor logged.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use ring::digest::{SHA256, digest};

use crate::plan::{Client, Role};
use crate::relay::{Caller, RelayError};

/// The clients of one plan, ready to be compared.
#[derive(Debug)]
pub struct Authenticator {
    clients: Vec<Caller>,
    /// Hash, and an index into `clients`.
    tokens: Vec<([u8; 32], usize)>,
}

impl Authenticator {
    pub fn new(clients: &[Client]) -> Self {
        let tokens = clients
            .iter()
            .enumerate()
            .flat_map(|(index, client)| client.token_sha256.iter().map(move |hash| (*hash, index)))
            .collect();
        let clients = clients.iter().map(Caller::from).collect();
        Self { clients, tokens }
    }

    /// Whether callers need a token at all.
    pub fn is_open(&self) -> bool {
        self.clients.is_empty()
    }

    /// The caller of a request with these headers. With no client configured, which is only
    /// possible on loopback, everybody is `anonymous` and may do everything.
    pub fn check(&self, headers: &HeaderMap) -> Result<Caller, RelayError> {
        if self.is_open() {
            return Ok(Caller {
                name: "anonymous".into(),
                roles: [Role::Cmp, Role::Reader, Role::Operator].into(),
            });
        }
        let token = bearer_token(headers).ok_or(RelayError::Unauthenticated)?;
        let presented = digest(&SHA256, token);
        let mut found = None;
        for (hash, client) in &self.tokens {
            if equal(hash, presented.as_ref()) {
                found = Some(*client);
            }
        }
        found
            .map(|client| self.clients[client].clone())
            .ok_or(RelayError::Unauthenticated)
    }
}

/// Fails with `forbidden` unless the caller has one of these roles.
pub fn require(caller: &Caller, roles: &[Role]) -> Result<(), RelayError> {
    if roles.iter().any(|role| caller.roles.contains(role)) {
        return Ok(());
    }
    let wanted: Vec<&str> = roles.iter().map(|role| role_name(*role)).collect();
    Err(RelayError::Forbidden(format!(
        "Client `{}` needs the role {}.",
        caller.name,
        wanted.join(" or ")
    )))
}

/// The role as the configuration writes it.
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Cmp => "cmp",
        Role::Reader => "reader",
        Role::Operator => "operator",
    }
}

/// The token of the one `Authorization: Bearer` header (RFC 6750); the scheme in any case.
fn bearer_token(headers: &HeaderMap) -> Option<&[u8]> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.as_bytes().split_at_checked(7)?;
    let token = token.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

/// Compares every byte: how long it takes says nothing about where two hashes differ.
fn equal(left: &[u8; 32], right: &[u8]) -> bool {
    let differing = left
        .iter()
        .zip(right)
        .fold(0, |bits, (left, right)| bits | (left ^ right));
    std::hint::black_box(differing) == 0 && right.len() == left.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(name: &str, tokens: &[&str], roles: &[Role]) -> Client {
        Client {
            name: name.into(),
            token_sha256: tokens
                .iter()
                .map(|token| {
                    let mut hash = [0; 32];
                    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
                    hash
                })
                .collect(),
            roles: roles.to_vec(),
        }
    }

    fn with(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        headers
    }

    #[test]
    fn each_of_a_clients_tokens_names_it() {
        let table = Authenticator::new(&[
            client("cmp", &["old", "new"], &[Role::Cmp]),
            client("ops", &["root"], &[Role::Operator]),
        ]);
        for (value, name) in [
            ("Bearer old", "cmp"),
            ("bearer new", "cmp"),
            ("BEARER  root", "ops"),
        ] {
            assert_eq!(&*table.check(&with(value)).unwrap().name, name);
        }
    }

    #[test]
    fn anything_but_one_known_bearer_token_is_refused() {
        let table = Authenticator::new(&[client("cmp", &["good"], &[Role::Cmp])]);
        for value in ["Bearer bad", "Bearer ", "Bearer", "Basic good", "good"] {
            assert!(table.check(&with(value)).is_err(), "{value}");
        }
        assert!(table.check(&HeaderMap::new()).is_err());
        let mut twice = with("Bearer good");
        twice.append(AUTHORIZATION, "Bearer good".parse().unwrap());
        assert!(table.check(&twice).is_err());
    }

    #[test]
    fn without_clients_everybody_is_anonymous_with_every_role() {
        let caller = Authenticator::new(&[]).check(&HeaderMap::new()).unwrap();
        assert_eq!(&*caller.name, "anonymous");
        assert!(require(&caller, &[Role::Operator]).is_ok());
    }

    #[test]
    fn a_missing_role_is_named() {
        let caller = Caller {
            name: "cmp".into(),
            roles: [Role::Cmp].into(),
        };
        assert_eq!(
            require(&caller, &[Role::Reader, Role::Operator]),
            Err(RelayError::Forbidden(
                "Client `cmp` needs the role reader or operator.".into()
            ))
        );
    }
}
