//! What a node says of itself: to people, to probes, and to its peer.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::memory::Was;
use crate::store::Position;

/// Who may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Each start, and any doubt.
    #[default]
    Fenced,
    Standby,
    Promoting,
    Active,
    Demoting,
}

impl Role {
    pub const ALL: [Self; 5] = [
        Self::Fenced,
        Self::Standby,
        Self::Promoting,
        Self::Active,
        Self::Demoting,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Fenced => "fenced",
            Self::Standby => "standby",
            Self::Promoting => "promoting",
            Self::Active => "active",
            Self::Demoting => "demoting",
        }
    }
}

/// `GET /relay/v1/ha`, and what the peer's look at this node gives.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    pub node: String,
    pub role: Role,
    pub epoch: i64,
    pub was: Was,
    /// It acknowledges without a standby.
    pub alone: bool,
    /// The address is here.
    pub vip: bool,
    /// The write gate is open.
    pub gate: bool,
    /// A take-over of this node's own is under way: the peer may not begin one.
    pub asking: bool,
    /// A standby that has all that was acknowledged, and may take over from silence.
    pub promotable: bool,
    /// What a long step is at.
    pub step: Option<String>,
    pub server: Option<ServerView>,
    pub confirm: Option<ConfirmView>,
    pub peer: Option<Box<PeerView>>,
    pub paused: bool,
    pub standalone: bool,
    /// For so long no take-over happens by itself.
    pub blocked_s: Option<u64>,
    /// Why this node is not what one would wish it to be; empty where all is well.
    pub reasons: Vec<String>,
    /// Milliseconds since the look that this tells.
    pub age_ms: u64,
}

impl Status {
    /// How its server follows the other one; `None` where it does not, or does not answer.
    pub fn replication(&self) -> Option<&Replication> {
        self.server.as_ref()?.replication.as_ref()
    }

    /// Whether keepalived may put the address here: an active node whose server takes writes, also while it is asked to
    /// hand over and may yet refuse, or a standby that may take over. What was said too long ago is no.
    pub fn may_have_the_address(&self) -> Result<(), String> {
        if u128::from(self.age_ms) > STALE.as_millis() {
            return Err(format!("nothing was seen for {} ms", self.age_ms));
        }
        let why = || match self.reasons.is_empty() {
            true => self.role.name().to_owned(),
            false => format!("{}: {}", self.role.name(), self.reasons.join("; ")),
        };
        let writable = self.server.as_ref().is_some_and(|server| !server.read_only);
        match self.role {
            Role::Active | Role::Demoting if writable => Ok(()),
            Role::Standby if self.promotable => Ok(()),
            Role::Promoting => Ok(()),
            _ => Err(why()),
        }
    }

    /// Whether it serves the CMP now.
    pub fn serves(&self) -> Result<(), String> {
        self.may_have_the_address()?;
        match (self.role, self.gate) {
            (Role::Active, true) => Ok(()),
            (Role::Active, false) => Err("active, and its gate is shut".to_owned()),
            (role, _) => Err(role.name().to_owned()),
        }
    }

    /// Whether it is a standby that follows, at most `lag` seconds behind.
    pub fn follows(&self, lag: Option<u64>) -> Result<(), String> {
        if self.role == Role::Active {
            return Err("active".to_owned());
        }
        self.may_have_the_address()?;
        let behind = self.replication().and_then(|replication| replication.lag_s);
        match (lag, behind) {
            (Some(limit), Some(behind)) if behind > limit => Err(format!("{behind} s behind")),
            (Some(_), None) => Err("how far it is behind is not known".to_owned()),
            _ => Ok(()),
        }
    }
}

/// This node's own server, as it was looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerView {
    pub read_only: bool,
    pub server_id: u32,
    /// The newest commit that this server has, its own or replicated (`@@gtid_current_pos`).
    pub position: Option<Position>,
    /// The newest row of `ha_epoch`.
    pub epoch: Option<EpochRow>,
    pub replication: Option<Replication>,
}

impl ServerView {
    /// 0 where no node has been promoted yet.
    pub fn newest_epoch(&self) -> i64 {
        self.epoch.as_ref().map_or(0, |row| row.epoch)
    }
}

/// A row of `ha_epoch`: a promotion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EpochRow {
    pub epoch: i64,
    pub node: String,
    /// The last commit before it.
    pub fork: Option<Position>,
}

/// `SHOW SLAVE STATUS`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Replication {
    pub source: String,
    /// `Yes`, `No`, `Connecting`, `Preparing`.
    pub io: String,
    pub sql: bool,
    pub io_error: Option<String>,
    pub sql_error: Option<String>,
    /// Received.
    pub received: Option<Position>,
    pub lag_s: Option<u64>,
}

impl Replication {
    pub fn runs(&self) -> bool {
        self.io == "Yes" && self.sql
    }

    /// What stopped it, if an error did.
    pub fn error(&self) -> Option<&str> {
        self.sql_error.as_deref().or(self.io_error.as_deref())
    }
}

/// Whether commits are confirmed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfirmView {
    /// `none`, `preferred` or `required`.
    pub mode: String,
    /// The standby answers, and has what it was asked for.
    pub answering: bool,
    /// Milliseconds since it last confirmed something.
    pub age_ms: Option<u64>,
    /// The standby's epoch where it is newer than this node's.
    pub newer_epoch: Option<i64>,
}

/// What is known of the other node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PeerView {
    /// What it said of itself last, without what it knows of us.
    pub status: Option<Status>,
    /// Milliseconds since it said that.
    pub age_ms: Option<u64>,
    pub error: Option<String>,
}

/// A look that is older says nothing.
pub const STALE: Duration = Duration::from_secs(2);
