//! relay.yaml as written: the server itself.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::json;

use super::decode::{At, Decode, Size, TimeSpan};
use super::part::{INSTANCE, Part, Written};
use super::secret::SecretRef;
use crate::diagnostics::Diagnostics;
use crate::document::{Kind, Node};

/// An address and a port, for editors.
const ADDRESS: &str = ":[0-9]{1,5}$";

crate::spec! {
    /// `relay.yaml`: the server itself. Every key has a default, and so the file may be absent.
    ServerSpec as "relay.yaml" {
        /// The version of the language: 1.
        #[schemars(extend("const" = 1))]
        version: Option<Part<Node>>,
        /// Where CMPs connect: address and port. Default: `127.0.0.1:8080`. An address that is not
        /// loopback needs `clients` and `tls`.
        #[schemars(extend("pattern" = ADDRESS))]
        listen: Option<Part<Written>>,
        /// Where operators and Prometheus connect: address and port. Default: `127.0.0.1:8081`. An
        /// address that is not loopback needs `clients` and `tls`.
        #[schemars(extend("pattern" = ADDRESS))]
        admin_listen: Option<Part<Written>>,
        /// Where mappings and operations are kept. Default: `sqlite://data/relay.db`.
        database: Option<Part<DatabaseSpec>>,
        /// TLS of both listeners. Default: plain HTTP, on loopback only.
        tls: Option<Part<ListenerTlsSpec>>,
        /// Who may connect. Default: none at all, and so loopback only.
        clients: Option<Part<Vec<Part<ClientSpec>>>>,
        /// What one relay bears.
        limits: Option<Part<ServerLimitsSpec>>,
        /// The journal.
        operations: Option<Part<OperationsSpec>>,
        /// The standby's copy of the tables.
        replication: Option<Part<ReplicationSpec>>,
        /// The pair.
        ha: Option<Part<HaSpec>>,
        /// The log, on standard error.
        log: Option<Part<LogSpec>>,
    }
}

crate::spec! {
    /// A database and the password of its user.
    DatabaseUrlSpec as "a database" {
        /// `sqlite://PATH` (relative to the configuration folder) or `mysql://USER@HOST:PORT/NAME`.
        url: Written,
        /// The password of the user, for `mysql`.
        password: Option<SecretRef>,
    }
}

/// A database: its URL alone, or with a password.
#[derive(Clone, Debug)]
pub struct DatabaseSpec {
    pub url: Written,
    pub password: Option<SecretRef>,
}

impl Decode for DatabaseSpec {
    fn decode(node: &Node, diags: &mut Diagnostics) -> Option<Self> {
        match node.kind {
            Kind::Map(_) => DatabaseUrlSpec::decode(node, diags).map(|spec| Self {
                url: spec.url,
                password: spec.password,
            }),
            _ => Written::decode(node, diags).map(|url| Self {
                url,
                password: None,
            }),
        }
    }
}

impl JsonSchema for DatabaseSpec {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Database".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<DatabaseUrlSpec>();
        schemars::json_schema!({
            "if": { "type": "string" },
            "then": { "pattern": "^(sqlite|mysql)://" },
            "else": long,
        })
    }
}

crate::spec! {
    /// TLS of the listeners: PEM files, relative to the configuration folder.
    ListenerTlsSpec as "TLS of the listeners" {
        /// The server's certificate, then its chain.
        cert_file: Written,
        /// Its private key.
        key_file: Written,
        /// Clients must present a certificate of this CA. Default: clients need none.
        client_ca_file: Option<Written>,
    }
}

crate::spec! {
    /// A caller of the relay.
    ClientSpec as "a client" {
        /// Its name: keys, replays and operations are its own.
        #[schemars(extend("pattern" = INSTANCE))]
        name: Written,
        /// SHA-256 of each of its tokens, in hex; `cmp-relay token new` makes both. Two at once let a
        /// token be changed without a gap.
        #[schemars(extend("items" = json!({ "type": "string", "pattern": "^[0-9A-Fa-f]{64}$" })))]
        token_sha256: Vec<Written>,
        /// What it may do: `cmp` (routes, its own operations), `reader` or `operator` (the admin
        /// API). Default: `[cmp]`.
        roles: Option<Vec<RoleSpec>>,
    }
}

crate::words! {
    /// A role.
    RoleSpec as "a role" {
        Cmp = "cmp",
        Reader = "reader",
        Operator = "operator",
    }
}

crate::spec! {
    /// What one relay bears.
    ServerLimitsSpec as "limits" {
        /// The largest body of a CMP request, decompressed. Default: `1MiB`.
        request_body: Option<Part<At<Size>>>,
        /// The largest body of a backend's answer, decompressed. Default: `8MiB`.
        response_body: Option<Part<At<Size>>>,
        /// The largest reply that is kept for a replay. Default: `64KiB`.
        stored_reply: Option<Part<At<Size>>>,
        /// Requests at once; what exceeds it is 503 `relay_busy`. Default: 4096.
        #[schemars(range(min = 1))]
        in_flight: Option<Part<At<u32>>>,
        /// Connections at once, on each listener. Default: 8192.
        #[schemars(range(min = 1))]
        connections: Option<Part<At<u32>>>,
        /// About how many mappings are kept in memory, for reads that then ask no database. Default: 100000.
        #[schemars(range(min = 1))]
        cached_mappings: Option<Part<At<u32>>>,
    }
}

crate::spec! {
    /// The journal of operations.
    OperationsSpec as "operations" {
        /// Settled operations older than this are pruned, and with them their keys. Default: `30d`.
        retain: Option<Part<At<TimeSpan>>>,
        /// Whether a mutating request needs an `Idempotency-Key`. Default: `optional`.
        idempotency_key: Option<Part<KeyRuleSpec>>,
    }
}

crate::words! {
    /// Whether a mutating request needs an `Idempotency-Key`.
    KeyRuleSpec as "a rule for keys" {
        Optional = "optional",
        Required = "required",
    }
}

crate::spec! {
    /// The standby's copy of the tables.
    ReplicationSpec as "replication" {
        /// The standby's database: `mysql://USER@HOST:PORT/NAME`. Default: none.
        standby: Option<Part<DatabaseSpec>>,
        /// Whether a commit waits until the standby has applied it. Default: `preferred`.
        confirm: Option<Part<At<ConfirmSpec>>>,
        /// How long it waits. Default: `500ms`.
        timeout: Option<Part<At<TimeSpan>>>,
    }
}

crate::words! {
    /// Whether a commit waits for the standby.
    ConfirmSpec as "a way to confirm" {
        None = "none",
        Preferred = "preferred",
        Required = "required",
    }
}

crate::spec! {
    /// The pair.
    HaSpec as "ha" {
        /// Names this node in operations and epochs. Default: the host name.
        node: Option<Part<Written>>,
        /// The address that keepalived moves between the nodes. It makes this node one of a pair: it starts
        /// fenced, and becomes active by the role machine alone. Default: none, and the node is always active.
        vip: Option<Part<Written>>,
        /// The other node's admin listener.
        peer: Option<Part<PeerSpec>>,
        /// The account that controls this node's server: `mysql://USER@HOST:PORT/NAME`.
        control: Option<Part<DatabaseSpec>>,
        /// The account by which this node's server replicates from the other's: `mysql://USER@HOST:PORT/NAME`.
        source: Option<Part<DatabaseSpec>>,
        /// The folder of the state file, the scripts' socket and the archives. Default: `data/ha`.
        state: Option<Part<Written>>,
        /// Whether a standby takes over by itself when the active node falls silent. Default: `auto`.
        failover: Option<Part<FailoverSpec>>,
        /// For how long after a failover no other one happens by itself, unless it is acknowledged. Default: `10m`.
        block: Option<Part<At<TimeSpan>>>,
        /// How long a take-over waits for what was received to be applied. Default: `30s`.
        drain: Option<Part<At<TimeSpan>>>,
        /// A program and its arguments that cuts the other node off before a failover; its failure forbids the failover.
        /// Default: none.
        fence: Option<Part<Vec<Part<Written>>>>,
    }
}

crate::words! {
    /// Whether a standby takes over by itself.
    FailoverSpec as "a way to fail over" {
        Auto = "auto",
        Manual = "manual",
    }
}

crate::spec! {
    /// The other node's admin listener.
    PeerSpec as "the peer" {
        /// Its URL.
        url: Written,
        /// A token of a client there that has the role `operator`.
        token: SecretRef,
        /// The CA of its certificate (PEM). Default: the system's.
        ca_file: Option<Written>,
    }
}

crate::spec! {
    /// The log, on standard error.
    LogSpec as "log" {
        /// `text` for people, `json` for machines. Default: `text`.
        format: Option<Part<LogFormatSpec>>,
        /// `error`, `warn`, `info`, `debug` or `trace`, or a list of `module=level`. Default: `info`.
        level: Option<Part<Written>>,
    }
}

crate::words! {
    /// How the log is written.
    LogFormatSpec as "a log format" {
        Text = "text",
        Json = "json",
    }
}
