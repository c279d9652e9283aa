//! What is told of a request, in one shape for people and for programs: `--format json` prints it as
//! it stands here, and `text` lays it out. Its keys are a contract: they are added to, never renamed.

use serde::Serialize;
use serde_json::{Map, Value};

/// What a request would come to.
#[derive(Clone, Debug, Serialize)]
pub struct Account {
    pub request: RequestAccount,
    /// `null`: no route is for it.
    pub route: Option<RouteAccount>,
    /// Routes that may have been meant instead, the nearest first.
    pub near: Vec<NearAccount>,
    pub client: ClientAccount,
    /// What was looked for in the mapping table, in order.
    pub rows: Vec<RowAccount>,
    /// `null`: it did not come to the choice.
    pub backend: Option<BackendAccount>,
    /// `null`: nothing would be sent.
    pub call: Option<CallAccount>,
    /// `null`: nothing would be written down.
    pub record: Option<RecordAccount>,
    /// `null`: the request changes nothing, and so needs no key.
    pub idempotency: Option<KeyAccount>,
    /// What the CMP would get instead; `null`: a call would be made.
    pub refused: Option<RefusedAccount>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct RequestAccount {
    pub method: String,
    /// Path and query.
    pub target: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct RouteAccount {
    pub name: String,
    pub method: String,
    pub path: String,
    /// `routes.d/networks.yaml:12`.
    pub place: Option<String>,
    pub summary: Option<String>,
    pub resource: String,
    pub kind: String,
    /// The parameters of the path, decoded.
    pub params: Map<String, Value>,
}

#[derive(Clone, Debug, Serialize)]
pub struct NearAccount {
    pub route: String,
    pub method: String,
    pub path: String,
    pub differs: Vec<DifferenceAccount>,
}

#[derive(Clone, Debug, Serialize)]
pub struct DifferenceAccount {
    /// `method`, `segment`, `segment_missing`, `segment_surplus` or `shadowed`.
    pub what: &'static str,
    pub words: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct ClientAccount {
    /// `null`: its token is nobody's.
    pub name: Option<String>,
    /// How it is known who asks.
    pub because: String,
    /// Whether it may use the route; `null`: it did not come to that.
    pub allowed: Option<bool>,
    /// Why.
    pub words: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct RowAccount {
    /// `object`, `parents.NAME`, `helper`, `put` or `create`.
    #[serde(rename = "for")]
    pub purpose: String,
    pub resource: String,
    /// `null` where the row is looked for by its backend id, and is not there.
    pub cmp_id: Option<String>,
    pub scope: String,
    pub found: bool,
    pub backend: Option<String>,
    pub backend_id: Option<String>,
    pub attributes: Map<String, Value>,
    /// It is not there and has to be: what to type.
    pub remedy: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct BackendAccount {
    /// `null`: none is left.
    pub name: Option<String>,
    /// `object`, `same_as` or `select`.
    pub by: &'static str,
    pub words: String,
    /// `active` or `drain`.
    pub state: Option<&'static str>,
    /// Where the call has variants, `when` of the one that the instance takes: `vendor: acme`.
    pub variant: Option<String>,
    /// With `select`: every instance of the kind.
    pub considered: Vec<ConsideredAccount>,
}

#[derive(Clone, Debug, Serialize)]
pub struct ConsideredAccount {
    pub name: String,
    /// `chosen`, `matches`, `other_instance`, `other_labels` or `drains`.
    pub verdict: &'static str,
    pub words: String,
    /// The labels that differ.
    pub labels: Vec<LabelAccount>,
}

#[derive(Clone, Debug, Serialize)]
pub struct LabelAccount {
    pub name: String,
    pub wanted: String,
    /// `null`: the instance does not have it.
    pub has: Option<String>,
}

/// The call, by driver: what else is in it depends on that.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "driver", rename_all = "lowercase")]
pub enum CallAccount {
    Https {
        method: String,
        url: String,
        /// Pairs of name and value, in the order in which they are sent.
        headers: Vec<(String, String)>,
        /// `null`: the call has no body.
        body: Option<String>,
        /// Where its token comes from, where it has one.
        login: Option<String>,
        timeout_ms: u64,
    },
    Cli {
        /// `ssh://host:22`.
        address: String,
        profile: Option<String>,
        /// `null`: the one that a login ends in.
        mode: Option<String>,
        lines: Vec<String>,
        /// The profile's save command is run after the last line.
        save: bool,
        timeout_ms: u64,
    },
    Exec {
        address: String,
        /// Quoted, as the remote shell gets it.
        command: String,
        stdin: Option<String>,
        timeout_ms: u64,
    },
    Netconf {
        /// `netconf://host:830`.
        address: String,
        operation: &'static str,
        /// `null`: the device's capabilities say it.
        target: Option<&'static str>,
        /// What stands inside the operation, line by line.
        xml: Vec<String>,
        timeout_ms: u64,
    },
}

#[derive(Clone, Debug, Serialize)]
pub struct RecordAccount {
    pub route: String,
    pub client: String,
    pub backend: String,
    /// `null`: the request does not wait for a standby.
    pub confirm: Option<ConfirmAccount>,
    /// The object whose claim the operation holds meanwhile; `null`: none.
    pub claim: Option<ObjectAccount>,
    pub effects: Vec<EffectAccount>,
}

/// How the request waits for the standby, before the call and before the answer.
#[derive(Clone, Debug, Serialize)]
pub struct ConfirmAccount {
    /// `preferred` or `required`: of the route, or else of relay.yaml.
    pub rule: &'static str,
    /// Of each wait.
    pub timeout_ms: u64,
}

#[derive(Clone, Debug, Serialize)]
pub struct ObjectAccount {
    pub resource: String,
    pub cmp_id: String,
    pub scope: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct EffectAccount {
    /// `create`, `update`, `put` or `delete`.
    pub verb: &'static str,
    #[serde(flatten)]
    pub object: ObjectAccount,
    /// Where the backend id comes from; `pending`; `null`: it stays what it is.
    pub backend_id_from: Option<String>,
    /// Where each attribute comes from.
    pub attributes_from: Map<String, Value>,
    /// It is applied only if the answer fulfils the change's `when`.
    pub conditional: bool,
}

#[derive(Clone, Debug, Serialize)]
pub struct KeyAccount {
    /// `header`, `object` or `none`.
    pub by: &'static str,
    pub key: Option<String>,
    pub words: String,
}

#[derive(Clone, Debug, Serialize)]
pub struct RefusedAccount {
    /// The step of the request's life at which it ends: its number, its name, and in words.
    pub step: usize,
    pub at: &'static str,
    pub words: &'static str,
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// The problem document that the CMP gets (RFC 9457).
    pub problem: Value,
}
