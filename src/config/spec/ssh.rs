//! `driver: ssh` and `driver: netconf` of a backend file as written.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::choice::Nothing;
use super::decode::{At, Decode};
use super::part::{OneOrMany, Part, Written};
use super::secret::SecretRef;
use crate::diagnostics::Diagnostics;
use crate::document::{Kind, Node};

/// A driver that is reached over SSH: whom it reaches and how, and the keys that it alone has.
macro_rules! over_ssh {
    (
        $(#[$meta:meta])*
        $name:ident as $what:literal {
            $(#[$port_meta:meta])*
            port,
            $($own:tt)*
        }
    ) => {
        crate::spec! {
            $(#[$meta])*
            $name as $what {
                /// A name or an address.
                #[schemars(required)]
                host: Option<Part<Written>>,
                $(#[$port_meta])*
                #[schemars(range(min = 1, max = 65535))]
                port: Option<Part<At<u32>>>,
                /// Who logs in.
                #[schemars(required)]
                user: Option<Part<Written>>,
                /// Ways to authenticate, tried in this order.
                #[schemars(required)]
                auth: Option<Part<At<Vec<SshAuthSpec>>>>,
                /// Which host key is taken; `cmp-relay probe` shows the one that the device has.
                #[schemars(required)]
                host_key: Option<Part<HostKeySpec>>,
                /// What is negotiated: `modern`, `legacy` for old devices, or lists. Default: `modern`.
                algorithms: Option<Part<AlgorithmsSpec>>,
                /// Channels at once on one connection: the server's `MaxSessions`. Default: 8.
                #[schemars(range(min = 1))]
                channels: Option<Part<At<u32>>>,
                $($own)*
            }
        }

        impl $name {
            pub fn access(&self) -> AccessSpec<'_> {
                AccessSpec {
                    host: &self.host,
                    port: &self.port,
                    user: &self.user,
                    auth: &self.auth,
                    host_key: &self.host_key,
                    algorithms: &self.algorithms,
                    channels: &self.channels,
                }
            }
        }
    };
}

over_ssh! {
    /// Command lines and programs over SSH.
    SshSpec as "an ssh driver" {
        /// Default: 22.
        port,
        /// How its command line behaves: a built-in profile, or one of `backends.d/profiles/`. Without one it
        /// takes `exec` calls only.
        profile: Option<Part<Written>>,
        /// What a mode of the profile that asks for a password is given.
        enable: Option<Part<SecretRef>>,
        /// Several sessions may change its configuration at once. Default: false.
        parallel_config: Option<Part<bool>>,
    }
}

over_ssh! {
    /// NETCONF over SSH (RFC 6242).
    NetconfSpec as "a netconf driver" {
        /// Default: 830.
        port,
        /// `"1.0"`: end-of-message framing, though both sides could do chunks. Default: `auto`.
        framing: Option<Part<FramingSpec>>,
        /// Write `running` though the device has a candidate. Default: false.
        writable_running: Option<Part<bool>>,
    }
}

crate::choice! {
    /// One way to authenticate (RFC 4252, RFC 4256).
    SshAuthSpec as "a way to authenticate" {
        /// A private key, in OpenSSH's or PEM's form.
        PrivateKey = "private_key" (At<PrivateKeySpec>),
        /// A password.
        Password = "password" (SecretRef),
        /// The answer to every prompt that does not echo.
        KeyboardInteractive = "keyboard_interactive" (SecretRef),
    }
}

crate::spec! {
    /// A private key, by reference.
    PrivateKeySpec as "a private key" {
        /// A file, relative to the configuration folder.
        file: Option<At<String>>,
        /// An environment variable of the relay.
        env: Option<At<String>>,
        /// What the key is locked with.
        passphrase: Option<SecretRef>,
    }
}

crate::choice! {
    /// Which host key is taken.
    HostKeySpec as "a host key rule" {
        /// Its SHA-256, as `ssh-keygen -lf` shows it, or several while a device is changed.
        Sha256 = "sha256" (OneOrMany<Written>),
        /// A `known_hosts` file of OpenSSH, relative to the configuration folder.
        KnownHosts = "known_hosts" (Written),
        /// The first key that is seen is recorded, and no other is taken later.
        Tofu = "tofu" (Nothing),
    }
}

crate::words! {
    /// How NETCONF messages are framed.
    FramingSpec as "a framing" {
        Auto = "auto",
        EndOfMessage = "1.0",
    }
}

crate::words! {
    /// Algorithms that go together.
    AlgorithmSetSpec as "a set of algorithms" {
        Modern = "modern",
        Legacy = "legacy",
    }
}

crate::spec! {
    /// Algorithms by name, the preferred one first. What is left out is that of `modern`.
    AlgorithmListsSpec as "lists of algorithms" {
        /// Key exchanges, such as `curve25519-sha256`.
        kex: Option<Part<Vec<Written>>>,
        /// Kinds of host keys, such as `ssh-ed25519`.
        host_key: Option<Part<Vec<Written>>>,
        /// Ciphers, such as `aes256-gcm@openssh.com`.
        cipher: Option<Part<Vec<Written>>>,
        /// MACs, such as `hmac-sha2-256-etm@openssh.com`.
        mac: Option<Part<Vec<Written>>>,
    }
}

/// `modern`, `legacy` or lists.
#[derive(Clone, Debug)]
pub enum AlgorithmsSpec {
    Set(AlgorithmSetSpec),
    Lists(AlgorithmListsSpec),
}

impl Decode for AlgorithmsSpec {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match node.kind {
            Kind::Map(_) => AlgorithmListsSpec::decode(node, diags).map(Self::Lists),
            _ => AlgorithmSetSpec::decode(node, diags).map(Self::Set),
        }
    }
}

impl JsonSchema for AlgorithmsSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Algorithms".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let lists = generator.subschema_for::<AlgorithmListsSpec>();
        let set = generator.subschema_for::<AlgorithmSetSpec>();
        json_schema!({ "if": { "type": "object" }, "then": lists, "else": set })
    }
}

/// What both drivers say of whom they reach.
#[derive(Clone, Copy, Debug)]
pub struct AccessSpec<'s> {
    pub host: &'s Option<Part<Written>>,
    pub port: &'s Option<Part<At<u32>>>,
    pub user: &'s Option<Part<Written>>,
    pub auth: &'s Option<Part<At<Vec<SshAuthSpec>>>>,
    pub host_key: &'s Option<Part<HostKeySpec>>,
    pub algorithms: &'s Option<Part<AlgorithmsSpec>>,
    pub channels: &'s Option<Part<At<u32>>>,
}
