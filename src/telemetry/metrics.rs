//! Metrics, in Prometheus' words. Labels come from closed sets alone: route ids, backend names,
//! outcomes, states; never a path, an id or a client's text.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics::{
    Counter, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// CMP requests, by route and class of status.
pub const REQUESTS: &str = "cmp_relay_requests_total";
/// Seconds from the head of a CMP request to its answer, by route.
pub const REQUEST_SECONDS: &str = "cmp_relay_request_duration_seconds";
/// CMP requests being worked on.
pub const IN_FLIGHT: &str = "cmp_relay_requests_in_flight";
/// CMP requests whose client went away before the answer.
pub const ABANDONED: &str = "cmp_relay_requests_abandoned_total";
/// Calls, by backend and outcome.
pub const BACKEND_CALLS: &str = "cmp_relay_backend_calls_total";
/// Seconds of a call, by backend.
pub const BACKEND_SECONDS: &str = "cmp_relay_backend_call_duration_seconds";
/// Calls under way, by backend.
pub const BACKEND_IN_FLIGHT: &str = "cmp_relay_backend_in_flight";
/// Requests that wait for a place, by backend.
pub const BACKEND_QUEUE: &str = "cmp_relay_backend_queue";
/// 0 closed, 1 trying, 2 open, by backend.
pub const BREAKER: &str = "cmp_relay_backend_breaker_state";
/// Logins that a backend accepted, by backend.
pub const LOGINS: &str = "cmp_relay_backend_logins_total";
const HOST_KEYS: &str = "cmp_relay_host_key_mismatches_total";
/// Operations that reached a state.
pub const OPERATIONS: &str = "cmp_relay_operations_total";
/// Operations that are in a state now.
pub const OPERATIONS_NOW: &str = "cmp_relay_operations";
/// Commits.
pub const COMMITS: &str = "cmp_relay_commits_total";
/// Writes of a commit.
pub const COMMIT_WRITES: &str = "cmp_relay_commit_writes";
/// Seconds that a commit waited until the standby had confirmed it.
pub const CONFIRM_SECONDS: &str = "cmp_relay_confirm_duration_seconds";
/// Seconds since the standby confirmed the newest commit that it was asked for.
pub const CONFIRM_AGE: &str = "cmp_relay_confirm_age_seconds";
/// Successes that were told before the standby had confirmed them.
pub const UNCONFIRMED: &str = "cmp_relay_unconfirmed_acknowledgements_total";
/// Requests that would change something and were refused with 503, by reason.
pub const REFUSED_WRITES: &str = "cmp_relay_refused_writes_total";
/// 1 while what serves is what the last reload found.
pub const RELOAD_WELL: &str = "cmp_relay_config_last_reload_successful";
/// When the configuration that serves was loaded.
pub const RELOAD_AT: &str = "cmp_relay_config_last_reload_success_timestamp_seconds";
/// Reloads, by result.
pub const RELOADS: &str = "cmp_relay_config_reloads_total";
/// The configuration that serves, by its digest.
pub const CONFIG: &str = "cmp_relay_config_info";
/// 1 on the node that calls backends.
pub const ACTIVE: &str = "cmp_relay_active";
/// 1 for the role that this node of a pair has, 0 for the others.
pub const ROLE: &str = "cmp_relay_ha_role";
/// The newest epoch that this node of a pair has been active in or followed.
pub const EPOCH: &str = "cmp_relay_ha_epoch";
/// Take-overs of this node, by whether the peer was asked for its leave and gave it, or was silent.
pub const TAKE_OVERS: &str = "cmp_relay_ha_take_overs_total";
/// Seconds that this node's server is behind the active one's.
pub const LAG: &str = "cmp_relay_ha_replication_lag_seconds";

/// What became of a call, as a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// Answered 2xx; what a route makes of it is the route's business.
    Success = 0,
    /// Answered otherwise.
    Rejected = 1,
    /// Nothing was sent.
    Unreachable = 2,
    /// The login failed, or the call was refused for its credentials.
    Unauthorized = 3,
    /// Sent, then silence.
    Unknown = 4,
    /// The gate or the deadline kept it from being sent.
    Refused = 5,
}

const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
const WRITES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// The process's recorder; installed by the first call, the same for all of them.
pub fn install() -> &'static PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(|| {
        use metrics_exporter_prometheus::Matcher;
        let recorder = PrometheusBuilder::new()
            .set_buckets(SECONDS)
            .and_then(|builder| {
                builder.set_buckets_for_metric(Matcher::Full(COMMIT_WRITES.into()), WRITES)
            })
            .expect("neither list of buckets is empty")
            .build_recorder();
        let handle = recorder.handle();
        // An embedder's recorder stays; then `/metrics` is empty and theirs is not.
        let _ = metrics::set_global_recorder(recorder);
        describe();
        handle
    })
}

/// The page that Prometheus reads.
pub fn page() -> String {
    let mut page = install().render();
    // A recorder never forgets a label: of all digests there were, only this one is told.
    let digest = SERVES.lock().unwrap_or_else(PoisonError::into_inner);
    if !digest.is_empty() {
        page.push_str(&format!(
            "# HELP {CONFIG} The configuration that serves, by its digest.\n# TYPE {CONFIG} gauge\n\
             {CONFIG}{{digest=\"{digest}\"}} 1\n\n"
        ));
    }
    page
}

/// The digest of the configuration that serves, in hex.
static SERVES: Mutex<String> = Mutex::new(String::new());

/// Folds what histograms have gathered; called now and then, so that an unread page does not grow.
pub fn upkeep() {
    install().run_upkeep();
}

fn describe() {
    describe_counter!(REQUESTS, "CMP requests, by route and class of status.");
    describe_histogram!(
        REQUEST_SECONDS,
        Unit::Seconds,
        "Time to answer a CMP request, by route."
    );
    describe_gauge!(ROLE, "1 for the role that this node of a pair has.");
    describe_gauge!(EPOCH, "The newest epoch of this node of a pair.");
    describe_counter!(TAKE_OVERS, "Take-overs of this node, by the peer's leave.");
    describe_gauge!(LAG, "Seconds that this node's server is behind.");
    describe_gauge!(IN_FLIGHT, "CMP requests being worked on.");
    describe_counter!(
        ABANDONED,
        "CMP requests whose client went away before the answer."
    );
    describe_counter!(BACKEND_CALLS, "Calls, by backend and outcome.");
    describe_histogram!(
        BACKEND_SECONDS,
        Unit::Seconds,
        "Time of a call, by backend."
    );
    describe_gauge!(BACKEND_IN_FLIGHT, "Calls under way, by backend.");
    describe_gauge!(BACKEND_QUEUE, "Requests that wait for a place, by backend.");
    describe_gauge!(BREAKER, "0 closed, 1 trying, 2 open, by backend.");
    describe_counter!(LOGINS, "Logins that a backend accepted, by backend.");
    describe_counter!(
        HOST_KEYS,
        "Host keys that were not the known one, by backend."
    );
    describe_counter!(OPERATIONS, "Operations that reached a state, by state.");
    describe_gauge!(
        OPERATIONS_NOW,
        "Operations that are in a state now, by state."
    );
    describe_counter!(COMMITS, "Commits.");
    describe_histogram!(COMMIT_WRITES, "Writes of a commit.");
    describe_histogram!(
        CONFIRM_SECONDS,
        Unit::Seconds,
        "Time until the standby had confirmed a commit."
    );
    describe_gauge!(
        CONFIRM_AGE,
        Unit::Seconds,
        "Time since the standby confirmed the newest commit that it was asked for."
    );
    describe_counter!(
        UNCONFIRMED,
        "Successes that were told before the standby had confirmed them."
    );
    describe_counter!(
        REFUSED_WRITES,
        "Requests that would change something and were refused with 503, by reason."
    );
    describe_gauge!(
        RELOAD_WELL,
        "1 while what serves is what the last reload found."
    );
    describe_gauge!(
        RELOAD_AT,
        Unit::Seconds,
        "When the configuration that serves was loaded."
    );
    describe_counter!(RELOADS, "Reloads, by result.");
    describe_gauge!(ACTIVE, "1 on the node that calls backends.");
}

/// The metrics of one route, looked up once a plan and not once a request.
#[derive(Debug)]
pub struct RouteMetrics {
    /// 1xx to 5xx.
    classes: [Counter; 5],
    seconds: Histogram,
}

impl RouteMetrics {
    /// `route` is a route id, or a word for what has none.
    pub fn new(route: &str) -> Self {
        install();
        let class = |class: &'static str| counter!(REQUESTS, "route" => route.to_owned(), "status" => class);
        Self {
            classes: ["1xx", "2xx", "3xx", "4xx", "5xx"].map(class),
            seconds: histogram!(REQUEST_SECONDS, "route" => route.to_owned()),
        }
    }

    pub fn record(&self, status: u16, took: Duration) {
        let class = usize::from(status / 100).clamp(1, 5) - 1;
        self.classes[class].increment(1);
        self.seconds.record(took);
    }
}

/// The metrics of one backend's calls, looked up once a driver and not once a call.
#[derive(Debug)]
pub struct BackendMetrics {
    /// By [`CallOutcome`].
    outcomes: [Counter; 6],
    seconds: Histogram,
}

impl BackendMetrics {
    pub fn new(backend: &str) -> Self {
        install();
        let outcome = |outcome: &'static str| counter!(BACKEND_CALLS, "backend" => backend.to_owned(), "outcome" => outcome);
        Self {
            outcomes: [
                "success",
                "rejected",
                "unreachable",
                "unauthorized",
                "unknown",
                "refused",
            ]
            .map(outcome),
            seconds: histogram!(BACKEND_SECONDS, "backend" => backend.to_owned()),
        }
    }

    /// One more call, and what became of it.
    pub fn record(&self, outcome: CallOutcome, took: Duration) {
        self.outcomes[outcome as usize].increment(1);
        self.seconds.record(took);
    }
}

/// How many calls are under way at a backend, and how many requests wait.
pub fn backend_load(backend: &str, in_flight: usize, queued: usize) {
    gauge!(BACKEND_IN_FLIGHT, "backend" => backend.to_owned()).set(in_flight as f64);
    gauge!(BACKEND_QUEUE, "backend" => backend.to_owned()).set(queued as f64);
}

/// Where a backend's breaker stands: 0 closed, 1 trying, 2 open.
pub fn breaker(backend: &str, position: u8) {
    gauge!(BREAKER, "backend" => backend.to_owned()).set(f64::from(position));
}

/// How many logins a backend's driver has made.
pub fn logins(backend: &str, count: u64) {
    counter!(LOGINS, "backend" => backend.to_owned()).absolute(count);
}

/// A backend showed another host key than the known one.
pub fn host_key_mismatch(backend: &str) {
    install();
    counter!(HOST_KEYS, "backend" => backend.to_owned()).increment(1);
}

/// An operation reached a state: `pending`, `succeeded`, `failed` or `unknown`.
pub fn operation(state: &'static str) {
    counter!(OPERATIONS, "state" => state).increment(1);
}

/// How many operations are in a state now.
pub fn operations_now(state: &'static str, count: u64) {
    gauge!(OPERATIONS_NOW, "state" => state).set(count as f64);
}

/// One more commit, of so many writes.
pub fn commit(writes: usize) {
    counter!(COMMITS).increment(1);
    histogram!(COMMIT_WRITES).record(writes as f64);
}

/// A commit was confirmed by the standby, after so long.
pub fn confirmed(took: Duration) {
    histogram!(CONFIRM_SECONDS).record(took);
}

/// How long ago the standby confirmed last.
pub fn confirm_age(age: Duration) {
    gauge!(CONFIRM_AGE).set(age.as_secs_f64());
}

/// A success was told that the standby has not confirmed.
pub fn unconfirmed_acknowledgement() {
    counter!(UNCONFIRMED).increment(1);
}

/// A request that would change something was refused; the reason is the problem's code.
pub fn refused_write(reason: &'static str) {
    counter!(REFUSED_WRITES, "reason" => reason).increment(1);
}

/// One more reload, and what it came to.
pub fn reload(result: &'static str) {
    install();
    counter!(RELOADS, "result" => result).increment(1);
}

/// Whether what serves is what the folder said last, its digest, and since when (microseconds).
pub fn configuration(well: bool, digest: &str, at: i64) {
    install();
    gauge!(RELOAD_WELL).set(f64::from(u8::from(well)));
    if well {
        gauge!(RELOAD_AT).set((at / 1_000_000) as f64);
    }
    let mut serves = SERVES.lock().unwrap_or_else(PoisonError::into_inner);
    digest.clone_into(&mut serves);
}

/// Whether this node calls backends.
pub fn active(active: bool) {
    gauge!(ACTIVE).set(f64::from(u8::from(active)));
}

/// What this node of a pair is.
pub fn role(is: &'static str, all: impl IntoIterator<Item = &'static str>, epoch: i64) {
    for role in all {
        gauge!(ROLE, "role" => role).set(f64::from(u8::from(role == is)));
    }
    // Epochs are counted by people's failovers: exact in a double.
    #[allow(clippy::cast_precision_loss, reason = "a counter of failovers")]
    gauge!(EPOCH).set(epoch as f64);
}

/// A take-over that succeeded; `leave`: `given`, or `silent`.
pub fn take_over(leave: &'static str) {
    counter!(TAKE_OVERS, "leave" => leave).increment(1);
}

/// How far this node's server is behind; not a number where that is not known.
pub fn lag(seconds: Option<u64>) {
    #[allow(clippy::cast_precision_loss, reason = "seconds of lag")]
    gauge!(LAG).set(seconds.map_or(f64::NAN, |seconds| seconds as f64));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_shows_its_classes_and_its_time() {
        let route = RouteMetrics::new("metrics_test_route");
        route.record(204, Duration::from_millis(3));
        route.record(599, Duration::from_millis(3));
        let page = page();
        for line in [
            r#"cmp_relay_requests_total{route="metrics_test_route",status="2xx"} 1"#,
            r#"cmp_relay_requests_total{route="metrics_test_route",status="5xx"} 1"#,
            r#"cmp_relay_request_duration_seconds_bucket{route="metrics_test_route",le="0.005"} 2"#,
        ] {
            assert!(page.contains(line), "{line} is not in:\n{page}");
        }
    }

    #[test]
    fn a_batch_has_its_own_buckets() {
        install();
        commit(3);
        assert!(page().contains(r#"cmp_relay_commit_writes_bucket{le="4"}"#));
    }
}
