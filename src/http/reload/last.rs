//! What came of the last reload, for whoever looks later: status, console, metrics, log.

use serde_json::{Value, json};

use super::{FORCE_HINT, ReloadError};
use crate::clock::{rfc3339, unix_micros};
use crate::plan::Plan;
use crate::relay::orphans::Orphans;
use crate::telemetry::metrics;

/// Diagnostics that are kept; `validate-config` has all of them.
const KEPT: usize = 20;

/// What a reload came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Came {
    /// None yet: what the process started with serves.
    Start,
    Reloaded,
    /// The files say what serves already.
    Unchanged,
    /// They do not compile.
    Rejected,
    /// They would leave mappings without a route or a backend.
    Refused,
    Failed,
}

impl Came {
    pub fn name(self) -> &'static str {
        match self {
            Came::Start => "start",
            Came::Reloaded => "reloaded",
            Came::Unchanged => "unchanged",
            Came::Rejected => "rejected",
            Came::Refused => "refused",
            Came::Failed => "failed",
        }
    }

    /// Whether what serves is what the folder said.
    pub fn is_well(self) -> bool {
        matches!(self, Came::Start | Came::Reloaded | Came::Unchanged)
    }
}

/// The last reload.
#[derive(Clone, Debug)]
pub struct LastReload {
    pub came: Came,
    /// Microseconds since 1970.
    pub at: i64,
    pub by: String,
    /// Of the configuration that serves since.
    digest: Box<str>,
    /// Errors of a configuration that does not compile.
    errors: usize,
    /// Some of the diagnostics.
    diagnostics: Vec<Value>,
    orphans: Vec<Orphans>,
    /// What changed, when something did.
    report: Value,
    /// In one line: the first problem with its place, what would be stranded, the cause.
    detail: Option<String>,
}

impl LastReload {
    fn new(came: Came, by: &str, plan: &Plan) -> Self {
        Self {
            came,
            at: unix_micros(),
            by: by.to_owned(),
            digest: plan.digest.clone(),
            errors: 0,
            diagnostics: Vec::new(),
            orphans: Vec::new(),
            report: Value::Null,
            detail: None,
        }
    }

    pub(super) fn start(plan: &Plan) -> Self {
        Self::new(Came::Start, "start", plan)
    }

    pub(super) fn unchanged(by: &str, plan: &Plan) -> Self {
        Self::new(Came::Unchanged, by, plan)
    }

    /// `None` where nothing can be said of the files yet. `plan` is the one that serves now.
    pub(super) fn of(by: &str, done: &Result<Value, ReloadError>, plan: &Plan) -> Option<Self> {
        let new = |came| Self::new(came, by, plan);
        Some(match done {
            Ok(report) => Self {
                report: report.clone(),
                ..new(Came::Reloaded)
            },
            Err(ReloadError::Rejected(rejected)) => {
                let all = rejected.diagnostics.as_array();
                let all = all.map(Vec::as_slice).unwrap_or_default();
                let is_error = |item: &&Value| item["severity"] != "warning";
                let (errors, warnings): (Vec<_>, Vec<_>) = all.iter().partition(is_error);
                Self {
                    errors: errors.len(),
                    detail: errors.first().map(|first| line(first)),
                    diagnostics: errors
                        .into_iter()
                        .chain(warnings)
                        .take(KEPT)
                        .cloned()
                        .collect(),
                    ..new(Came::Rejected)
                }
            }
            Err(ReloadError::Refused(orphans)) => {
                let words: Vec<String> = orphans.iter().map(Orphans::words).collect();
                Self {
                    orphans: orphans.clone(),
                    detail: Some(words.join("; ")),
                    ..new(Came::Refused)
                }
            }
            Err(ReloadError::Failed(error)) => Self {
                detail: Some(format!("{error:#}")),
                ..new(Came::Failed)
            },
            Err(ReloadError::Unsettled) => return None,
        })
    }

    /// As `GET /relay/v1/status` shows it:
    ///
    /// ```json
    /// { "result": "rejected", "at": "…", "by": "watch", "digest": "<of what serves>", "errors": 1,
    ///   "detail": "routes.d/x.yaml:12:9: error[unknown-field]: …", "diagnostics": [], "orphans": [],
    ///   "changed": null }
    /// ```
    pub fn to_json(&self) -> Value {
        json!({
            "result": self.came.name(),
            "at": rfc3339(self.at),
            "by": self.by,
            "digest": self.digest,
            "errors": self.errors,
            "detail": self.detail,
            "diagnostics": self.diagnostics,
            "orphans": self.orphans.iter().map(Orphans::to_json).collect::<Value>(),
            "changed": self.report,
        })
    }

    /// What went wrong, in one line.
    pub fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    pub(super) fn publish(&self) {
        if self.came != Came::Start {
            metrics::reload(self.came.name());
        }
        metrics::configuration(self.came.is_well(), &self.digest, self.at);
    }

    pub(super) fn log(&self) {
        let (by, digest) = (&*self.by, &*self.digest);
        let detail = self.detail.as_deref().unwrap_or_default();
        match self.came {
            Came::Start => {}
            Came::Reloaded => {
                tracing::info!(by, digest, report = %self.report, "configuration reloaded");
            }
            Came::Unchanged => {
                tracing::info!(by, digest, "the configuration is again what serves");
            }
            Came::Rejected => tracing::error!(
                by,
                errors = self.errors,
                first = detail,
                "the configuration does not compile; the old one goes on"
            ),
            Came::Refused => tracing::error!(
                by,
                orphans = detail,
                "the reload would leave mappings without a route or a backend; the old configuration \
                 goes on: {FORCE_HINT}"
            ),
            Came::Failed => tracing::error!(
                by,
                error = detail,
                "the reload failed; the old configuration goes on"
            ),
        }
    }
}

/// A diagnostic of `validate-config --format json` in one line.
fn line(item: &Value) -> String {
    let place = match (item["file"].as_str(), item["line"].as_u64()) {
        (Some(file), Some(line)) => format!("{file}:{line}:{}: ", item["column"]),
        _ => String::new(),
    };
    format!(
        "{place}error[{}]: {}",
        item["code"].as_str().unwrap_or_default(),
        item["message"].as_str().unwrap_or_default(),
    )
}
