//! What a configuration takes from outside its files: the values of secrets, and this node's name.
//!
//! It comes in as an argument, so that a test sets no variable of its process.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::codes;
use super::spec::secret::SecretRef;
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::Span;
use crate::secret::Secret;

/// The largest secret; a key file of a CA bundle's size is a mistake.
const MAX_SECRET: u64 = 64 << 10;

/// The outside of one load.
#[derive(Clone)]
pub struct Env {
    vars: BTreeMap<String, String>,
    node: String,
    missing: Missing,
    informs: bool,
}

/// What it means that a secret or a certificate is not here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Missing {
    /// The configuration is to be served.
    Error,
    /// It is checked where it may not be served.
    Warning,
    /// It is checked where secrets never are.
    Silent,
}

impl std::fmt::Debug for Env {
    /// Values may be secrets: only the names are shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env")
            .field("vars", &self.vars.keys())
            .field("node", &self.node)
            .field("missing", &self.missing)
            .finish()
    }
}

impl Env {
    /// An environment of these variables: `main` alone collects those of the process.
    pub fn new(vars: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            vars: vars.into_iter().collect(),
            node: "relay".into(),
            missing: Missing::Error,
            informs: true,
        }
    }

    /// Names this node after its machine, where the system tells the machine's name.
    pub fn on_this_machine(self) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        match host.trim() {
            "" => self,
            name => self.node(name),
        }
    }

    /// Names this node where `ha.node` does not.
    pub fn node(mut self, name: impl Into<String>) -> Self {
        self.node = name.into();
        self
    }

    /// Takes a secret or a certificate that is not here for a warning: a configuration is also
    /// checked where it will not be served. What is loaded so must not be served.
    pub fn without_secrets(mut self) -> Self {
        self.missing = Missing::Warning;
        self
    }

    /// Says nothing of secrets and certificates that are not here. What is loaded so must not be
    /// served.
    pub fn ignoring_secrets(mut self) -> Self {
        self.missing = Missing::Silent;
        self
    }

    /// Leaves out what costs much and can only warn: what the answers of examples say of a route.
    pub fn to_serve(mut self) -> Self {
        self.informs = false;
        self
    }

    /// Whether all is looked at that can be said of a configuration.
    pub fn informs(&self) -> bool {
        self.informs
    }

    pub fn node_name(&self) -> &str {
        &self.node
    }
}

/// Where the relative paths of a load start from, and its environment.
#[derive(Clone, Copy, Debug)]
pub struct World<'a> {
    pub dir: &'a Path,
    pub env: &'a Env,
}

impl World<'_> {
    /// The value behind a reference. Where it may be missing, a stand-in that is no secret.
    pub fn resolve(&self, secret: &SecretRef, diags: &mut Diagnostics) -> Option<Secret> {
        let reference = secret.reference();
        let found = match secret {
            SecretRef::Env(name) => match self.env.vars.get(&name.value) {
                Some(value) => Ok(value.clone()),
                None => Err("this variable is not set".to_owned()),
            },
            SecretRef::File(path) => read_secret(&self.dir.join(&path.value)),
        };
        let found = found.and_then(|value| match value.is_empty() {
            true => Err("it is empty".to_owned()),
            false => Ok(value),
        });
        match found {
            Ok(value) => Some(Secret::new(value, reference)),
            Err(why) => {
                let message = format!("the secret `{reference}` has no value: {why}");
                self.missing(codes::UNRESOLVED_SECRET, secret.span(), message, diags);
                (self.env.missing != Missing::Error)
                    .then(|| Secret::new("unresolved".into(), reference))
            }
        }
    }

    /// The path of a file that must be there when it is served, such as a certificate.
    pub fn file(&self, path: &str, span: Span, diags: &mut Diagnostics) -> PathBuf {
        let full = self.dir.join(path);
        let why = match std::fs::File::open(&full).and_then(|file| file.metadata()) {
            Ok(meta) if meta.is_dir() => Some("it is a folder".to_owned()),
            Ok(_) => None,
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = why {
            let message = format!("the file `{path}` cannot be read: {why}");
            self.missing(codes::MISSING_FILE, span, message, diags);
        }
        full
    }

    fn missing(&self, code: &'static str, span: Span, message: String, diags: &mut Diagnostics) {
        match self.env.missing {
            Missing::Error => diags.push(Diagnostic::error(code, span, message)),
            Missing::Warning => diags.push(
                Diagnostic::warning(code, span, message)
                    .help("`serve` needs it; `--no-secrets` says nothing of it"),
            ),
            Missing::Silent => {}
        }
    }
}

/// The content of a secret's file, without the line end that editors and `echo` leave.
fn read_secret(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_SECRET + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > MAX_SECRET {
        return Err(format!("it is larger than {MAX_SECRET} bytes"));
    }
    text.truncate(text.trim_end_matches(['\n', '\r']).len());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::spec::decode::At;

    fn at(text: &str) -> At<String> {
        At {
            value: text.into(),
            span: Span::default(),
        }
    }

    fn resolve(env: &Env, dir: &Path, secret: &SecretRef) -> (Option<String>, Diagnostics) {
        let mut diags = Diagnostics::default();
        let secret = World { dir, env }.resolve(secret, &mut diags);
        (secret.map(|secret| secret.expose().to_owned()), diags)
    }

    #[test]
    fn a_secret_comes_from_the_environment_or_a_file_of_the_folder() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("key"), "from a file\r\n").unwrap();
        let env = Env::new([("TOKEN".to_owned(), "from env".to_owned())]);
        let (value, diags) = resolve(&env, dir.path(), &SecretRef::Env(at("TOKEN")));
        assert_eq!((value.as_deref(), diags.errors()), (Some("from env"), 0));
        let (value, diags) = resolve(&env, dir.path(), &SecretRef::File(at("key")));
        assert_eq!((value.as_deref(), diags.errors()), (Some("from a file"), 0));
        assert!(!format!("{env:?}").contains("from env"));
    }

    #[test]
    fn a_missing_or_empty_secret_is_named_by_its_reference() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("empty"), "\n").unwrap();
        let env = Env::new([("EMPTY".to_owned(), String::new())]);
        for (secret, reference) in [
            (SecretRef::Env(at("TOKEN")), "env TOKEN"),
            (SecretRef::Env(at("EMPTY")), "env EMPTY"),
            (SecretRef::File(at("nowhere")), "file nowhere"),
            (SecretRef::File(at("empty")), "file empty"),
        ] {
            let (value, diags) = resolve(&env, dir.path(), &secret);
            assert_eq!((value, diags.errors()), (None, 1));
            let message = &diags.iter().next().unwrap().message;
            assert!(message.contains(reference), "{message}");
            let (value, diags) = resolve(&env.clone().without_secrets(), dir.path(), &secret);
            assert_eq!((value.is_some(), diags.warnings()), (true, 1));
        }
    }
}
