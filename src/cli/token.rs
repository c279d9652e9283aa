//! `token new`: a client token and the hash that relay.yaml holds. The token itself is shown once
//! and stored nowhere.

use std::process::ExitCode;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

use super::Misuse;
use crate::http::auth::role_name;
use crate::plan::Role;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Make a token for a client; prints it once, with the lines for relay.yaml
    #[command(
        after_help = "Example:\n  cmp-relay token new cmp\n  cmp-relay token new ops --role operator\n\n\
        The client sends it as `Authorization: Bearer TOKEN`.\n\
        A client may have several hashes, so that a token can be replaced without a gap."
    )]
    New {
        /// The client's name, as logs and operations will show it
        name: String,
        /// What the client may do; may be repeated
        #[arg(long, value_enum, default_values_t = [RoleArg::Cmp])]
        role: Vec<RoleArg>,
    },
}

/// A role on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RoleArg {
    /// The configured routes, and its own operations
    Cmp,
    /// The admin API, to look
    Reader,
    /// The admin API, to change
    Operator,
}

impl RoleArg {
    fn role(self) -> Role {
        match self {
            Self::Cmp => Role::Cmp,
            Self::Reader => Role::Reader,
            Self::Operator => Role::Operator,
        }
    }
}

pub fn run(command: &Command) -> Result<ExitCode> {
    let Command::New { name, role } = command;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(fits) {
        let words = "a client's name is made of letters, digits, `-`, `_` and `.`";
        return Err(Misuse(words.into()).into());
    }
    let token = new_token()?;
    let roles: Vec<&str> = role.iter().map(|role| role_name(role.role())).collect();
    println!("token: {token}");
    println!();
    println!("# relay.yaml");
    println!("clients:");
    println!("  - name: {name}");
    // Quoted: a hash of digits and one `e` would be a number.
    println!("    token_sha256: [\"{}\"]", hash(&token));
    println!("    roles: [{}]", roles.join(", "));
    Ok(ExitCode::SUCCESS)
}

/// 256 random bits behind a prefix by which secret scanners know it.
pub(super) fn new_token() -> Result<String> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
    Ok(format!("cmprelay_{}", URL_SAFE_NO_PAD.encode(bytes)))
}

/// SHA-256 in hex, as `token_sha256` lists it.
pub(super) fn hash(token: &str) -> String {
    let hash = digest(&SHA256, token.as_bytes());
    hash.as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_hash_to_64_hex_digits() {
        let (one, two) = (new_token().unwrap(), new_token().unwrap());
        assert_ne!(one, two);
        assert_eq!(hash(&one).len(), 64);
        assert_eq!(
            hash("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
