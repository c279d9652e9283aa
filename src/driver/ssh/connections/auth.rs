//! Logging in (RFC 4252, RFC 4256): the ways of the backend's file, in their order, as far as the server
//! offers them.
//!
//! Nothing is tried twice: appliances lock accounts. What is said of a failure names ways and references,
//! never a secret.

use std::sync::Arc;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Reply, Prompt};
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg};
use russh::{MethodKind, MethodSet};

use super::observer::{Observer, Sight};
use crate::driver::https::scrub::{Scrubber, excerpt};
use crate::driver::{DriverError, Phase, SendOutcome};
use crate::plan::{SshAccess, SshAuth};
use crate::secret::Secret;

/// More rounds of prompts than any server needs.
const ROUNDS: usize = 10;

/// A way to log in that is ready to be tried.
#[derive(Clone)]
pub(super) enum Way {
    Key(Arc<PrivateKey>),
    Password(Secret),
    Prompts(Secret),
}

impl std::fmt::Debug for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl Way {
    fn kind(&self) -> MethodKind {
        match self {
            Self::Key(_) => MethodKind::PublicKey,
            Self::Password(_) => MethodKind::Password,
            Self::Prompts(_) => MethodKind::KeyboardInteractive,
        }
    }

    /// By the name of RFC 4252.
    fn name(&self) -> &'static str {
        (&self.kind()).into()
    }
}

/// Reads the ways of a backend's file. The error names the key that cannot be read, by its reference.
pub(super) fn ways(access: &SshAccess) -> Result<Vec<Way>, String> {
    access
        .auth
        .iter()
        .map(|auth| match auth {
            SshAuth::Password(password) => Ok(Way::Password(password.clone())),
            SshAuth::KeyboardInteractive(password) => Ok(Way::Prompts(password.clone())),
            SshAuth::PrivateKey { key, passphrase } => {
                private_key(key, passphrase.as_ref()).map(|key| Way::Key(Arc::new(key)))
            }
        })
        .collect()
}

/// Reads OpenSSH's format, or PEM of any kind that OpenSSL reads.
fn private_key(key: &Secret, passphrase: Option<&Secret>) -> Result<PrivateKey, String> {
    let failed = |why: &str| Err(format!("the private key ({}) {why}", key.reference()));
    let text = key.expose();
    let read = if text.contains("BEGIN OPENSSH PRIVATE KEY") {
        match PrivateKey::from_openssh(text) {
            Ok(read) if !read.is_encrypted() => Ok(read),
            Ok(read) => match passphrase {
                None => return failed("is locked, and there is no `passphrase`"),
                Some(passphrase) => read.decrypt(passphrase.expose()).map_err(|_| ()),
            },
            Err(_) => return failed("cannot be read as one of OpenSSH's"),
        }
    } else {
        let locked = text.contains("ENCRYPTED");
        if locked && passphrase.is_none() {
            return failed("is locked, and there is no `passphrase`");
        }
        let passphrase = passphrase.map_or("", |passphrase| passphrase.expose());
        from_pem(text, passphrase).ok_or(())
    };
    match (read, passphrase) {
        (Ok(read), _) => Ok(read),
        (Err(()), Some(passphrase)) => failed(&format!(
            "cannot be unlocked with its passphrase ({})",
            passphrase.reference()
        )),
        (Err(()), None) => failed("cannot be read: it is neither OpenSSH's format nor PEM"),
    }
}

/// OpenSSL knows every PEM there is; russh is given the one form that it reads best.
fn from_pem(text: &str, passphrase: &str) -> Option<PrivateKey> {
    use openssl::pkey::PKey;
    let key = PKey::private_key_from_pem_passphrase(text.as_bytes(), passphrase.as_bytes()).ok()?;
    let pkcs8 = key.private_key_to_pem_pkcs8().ok()?;
    russh::keys::decode_secret_key(std::str::from_utf8(&pkcs8).ok()?, None).ok()
}

/// What a login found.
#[derive(Debug)]
pub(super) struct LoggedIn {
    /// What the server offers, by name; empty where it asked for nothing.
    pub(super) offered: Vec<String>,
    pub(super) by: Vec<&'static str>,
}

/// What came of one way.
enum Tried {
    In,
    /// What the server would take next, and whether this way was right as far as it goes.
    Next(MethodSet, bool),
    /// It cannot be answered.
    Stuck(String),
}

/// Logs in by the ways that the server offers, in their order.
pub(super) async fn log_in(
    handle: &mut Handle<Observer>,
    access: &SshAccess,
    ways: &[Way],
    sight: &Sight,
) -> Result<LoggedIn, DriverError> {
    // This asks what is offered, as every OpenSSH client does first; it is no failed login.
    let asked = handle.authenticate_none(&*access.user).await;
    let mut offered = match asked.map_err(|error| broken(&error, sight, false))? {
        AuthResult::Success => {
            return Ok(LoggedIn {
                offered: Vec::new(),
                by: vec!["none"],
            });
        }
        AuthResult::Failure {
            remaining_methods, ..
        } => remaining_methods,
    };
    if handle.is_closed() {
        return Err(ended(sight, "before anything was tried", false));
    }
    let first = names(&offered);
    let mut left: Vec<&Way> = ways.iter().collect();
    let mut right = Vec::new();
    let mut tried = Vec::new();
    while let Some(at) = left.iter().position(|way| offered.contains(&way.kind())) {
        let way = left.remove(at);
        let outcome = attempt(handle, access, way).await;
        match outcome.map_err(|error| broken(&error, sight, true))? {
            Tried::In => {
                right.push(way.name());
                return Ok(LoggedIn {
                    offered: first,
                    by: right,
                });
            }
            Tried::Next(next, partly) => {
                if handle.is_closed() {
                    let when = format!("after `{}` was tried", way.name());
                    return Err(ended(sight, &when, true));
                }
                if partly {
                    right.push(way.name());
                } else {
                    tried.push(format!("{} was refused", way.name()));
                }
                offered = next;
            }
            Tried::Stuck(why) => {
                tried.push(format!("{}: {why}", way.name()));
                // The conversation is left where it is; another way may begin a new one.
            }
        }
    }
    Err(not_let_in(account(access, &first, &right, &tried, &left)))
}

/// Which ways were tried and which the server takes.
fn account(
    access: &SshAccess,
    first: &[String],
    right: &[&str],
    tried: &[String],
    left: &[&Way],
) -> String {
    let mut parts = Vec::new();
    for right in right {
        parts.push(format!("{right} was right but not enough"));
    }
    parts.extend(tried.iter().cloned());
    for way in left {
        parts.push(format!("{} is not offered", way.name()));
    }
    format!(
        "the server did not let `{}` in; it takes {}; {}",
        access.user,
        match first {
            [] => "nothing".to_owned(),
            offered => offered.join(", "),
        },
        parts.join(", ")
    )
}

async fn attempt(
    handle: &mut Handle<Observer>,
    access: &SshAccess,
    way: &Way,
) -> Result<Tried, russh::Error> {
    let result = match way {
        Way::Password(password) => {
            handle
                .authenticate_password(&*access.user, password.expose())
                .await?
        }
        Way::Key(key) => {
            let hash = match key.algorithm() {
                Algorithm::Rsa { .. } => rsa_hash(handle.best_supported_rsa_hash().await?, access),
                _ => None,
            };
            let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
            handle.authenticate_publickey(&*access.user, key).await?
        }
        Way::Prompts(password) => return converse(handle, access, password).await,
    };
    Ok(match result {
        AuthResult::Success => Tried::In,
        AuthResult::Failure {
            remaining_methods,
            partial_success,
        } => Tried::Next(remaining_methods, partial_success),
    })
}

/// How an RSA key signs, by what the server says of the signatures that it takes (RFC 8308): nothing, that
/// it takes SHA-1 alone, or better. SHA-1 is used only where the backend's algorithms allow it.
fn rsa_hash(said: Option<Option<HashAlg>>, access: &SshAccess) -> Option<HashAlg> {
    let mut names = access.algorithms.host_key.iter();
    match said {
        Some(Some(hash)) => Some(hash),
        // A server that says nothing of signatures is an old one.
        Some(None) | None if names.any(|name| &**name == "ssh-rsa") => None,
        Some(None) | None => Some(HashAlg::Sha256),
    }
}

/// Keyboard-interactive: rounds of prompts, some of them empty.
async fn converse(
    handle: &mut Handle<Observer>,
    access: &SshAccess,
    password: &Secret,
) -> Result<Tried, russh::Error> {
    let start = handle.authenticate_keyboard_interactive_start(&*access.user, None::<String>);
    let mut reply = start.await?;
    let mut answered = Vec::new();
    for _ in 0..ROUNDS {
        let prompts = match reply {
            Reply::Success => return Ok(Tried::In),
            Reply::Failure {
                remaining_methods,
                partial_success,
            } => return Ok(Tried::Next(remaining_methods, partial_success)),
            Reply::InfoRequest { prompts, .. } => prompts,
        };
        let mut responses = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            match response(&prompt, access, password, &mut answered) {
                Ok(response) => responses.push(response),
                Err(why) => return Ok(Tried::Stuck(why)),
            }
        }
        reply = handle
            .authenticate_keyboard_interactive_respond(responses)
            .await?;
    }
    Ok(Tried::Stuck(format!(
        "the server was still asking after {ROUNDS} rounds"
    )))
}

/// What is answered to one prompt. The password goes to a prompt that does not echo, and to each only
/// once: a prompt that comes again says that it was wrong.
fn response(
    prompt: &Prompt,
    access: &SshAccess,
    password: &Secret,
    answered: &mut Vec<String>,
) -> Result<String, String> {
    let mut scrubber = Scrubber::default();
    scrubber.add(password.expose());
    let text = excerpt(&scrubber.clean(&prompt.prompt));
    let words = prompt.prompt.to_lowercase();
    if prompt.echo {
        let asks_who = words.contains("user") || words.contains("login");
        return Ok(if asks_who {
            access.user.to_string()
        } else {
            String::new()
        });
    }
    if ["new ", "retype", "again"]
        .iter()
        .any(|word| words.contains(word))
    {
        return Err(format!(
            "the server asks for a new password (`{text}`): the old one has expired"
        ));
    }
    if answered.contains(&prompt.prompt) {
        return Err(format!("the server asked `{text}` again: it was refused"));
    }
    answered.push(prompt.prompt.clone());
    Ok(password.expose().to_owned())
}

fn names(methods: &MethodSet) -> Vec<String> {
    methods.iter().map(String::from).collect()
}

fn broken(error: &russh::Error, sight: &Sight, tried: bool) -> DriverError {
    match error {
        russh::Error::SendError | russh::Error::RecvError | russh::Error::Disconnect => {
            ended(sight, "while logging in", tried)
        }
        other => failed(format!("logging in failed: {other}"), tried),
    }
}

fn ended(sight: &Sight, when: &str, tried: bool) -> DriverError {
    let farewell = sight.farewell();
    let said = farewell.map_or(String::new(), |words| format!(": {}", excerpt(&words)));
    failed(
        format!("the server ended the connection {when}{said}"),
        tried,
    )
}

/// A server that goes away once something was tried may mean that it refuses it, and the next login waits.
/// Before that, there was only no connection.
fn failed(detail: String, tried: bool) -> DriverError {
    match tried {
        true => not_let_in(detail),
        false => DriverError::not_sent(Phase::Authenticate, detail),
    }
}

/// The login failed, so the call did not run.
fn not_let_in(detail: String) -> DriverError {
    DriverError {
        outcome: SendOutcome::Unauthorized,
        ..DriverError::not_sent(Phase::Authenticate, detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Algorithms, HostKey};

    fn access(algorithms: Algorithms) -> SshAccess {
        SshAccess {
            host: "sw-1".into(),
            port: 22,
            user: "operator".into(),
            auth: Vec::new(),
            host_key: HostKey::Tofu,
            algorithms,
            channels: 1,
        }
    }

    #[test]
    fn an_rsa_key_signs_with_sha1_only_where_that_is_allowed() {
        let (modern, legacy) = (access(Algorithms::modern()), access(Algorithms::legacy()));
        let best = Some(HashAlg::Sha512);
        assert_eq!(rsa_hash(Some(best), &legacy), best);
        for said in [None, Some(None)] {
            assert_eq!(rsa_hash(said, &legacy), None);
            assert_eq!(rsa_hash(said, &modern), Some(HashAlg::Sha256));
        }
    }

    #[test]
    fn each_prompt_gets_what_it_may_know() {
        let access = access(Algorithms::modern());
        let password = Secret::new("hunter2".into(), "env SW");
        let mut answered = Vec::new();
        let mut ask = |text: &str, echo| {
            let prompt = Prompt {
                prompt: text.to_owned(),
                echo,
            };
            response(&prompt, &access, &password, &mut answered)
        };
        assert_eq!(ask("Password: ", false).unwrap(), "hunter2");
        assert_eq!(ask("login as: ", true).unwrap(), "operator");
        assert_eq!(ask("Reason for this session: ", true).unwrap(), "");
        assert_eq!(ask("PIN: ", false).unwrap(), "hunter2");
        let again = ask("Password: ", false).unwrap_err();
        assert_eq!(again, "the server asked `Password:` again: it was refused");
        let expired = ask("New password: ", false).unwrap_err();
        assert!(expired.contains("the old one has expired"), "{expired}");
        // A server that quotes what it was told.
        let quoted = ask("New secret instead of hunter2: ", false).unwrap_err();
        assert!(!quoted.contains("hunter2"), "{quoted}");
    }
}
