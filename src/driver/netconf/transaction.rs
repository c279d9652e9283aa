//! The one call, as the protocol's own transaction in one session (RFC 6241, sections 7 and 8.3).
//!
//! A change goes through the candidate where the device has one: lock, discard, edit, commit, unlock. The
//! edit is validated as it is made, where the device can, and the whole by the commit (RFC 7950, section
//! 8.3.3); why there is no `<validate>` of its own says docs/decisions/0015-no-validate-of-its-own.md. The candidate is shared, and what one session leaves in it is committed by the next that
//! commits; so nothing is edited but under the lock and behind `discard-changes`, and whatever goes wrong,
//! `discard-changes` and `unlock` follow, past the deadline too, for [`TIDYING`] at most. Where that fails,
//! the session is cut: its end releases the lock and discards what it covered (section 8.3.5.2).
//!
//! Without a candidate, or where the backend's file says so, `running` is edited under its lock.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::error::RpcError;
use super::rpc::{self, Reply};
use super::session::{Session, Silence};
use crate::driver::{
    Answer, Clearance, DriverError, NetconfRequest, Phase, Protocol, Refusal, Ruling,
};
use crate::plan::{Datastore, NetconfOperation};

/// How long discarding, unlocking and closing may take, all together, beyond the deadline.
pub(super) const TIDYING: Duration = Duration::from_secs(2);

/// A request of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The only one, of all operations but `edit-config`.
    Only(NetconfOperation),
    Lock,
    Discard,
    Edit,
    Commit,
    /// `running` to `startup`.
    Save,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Only(operation) => operation.name(),
            Self::Lock => "lock",
            Self::Discard => "discard-changes",
            Self::Edit => "edit-config",
            Self::Commit => "commit",
            Self::Save => "copy-config to startup",
        }
    }
}

/// Where a transaction ended before its end.
enum Stop {
    /// Leave to send was refused.
    Held(Step, Refusal),
    /// It was not answered.
    Silent(Step, Silence),
    /// It was refused.
    Refused(Step, Reply),
}

/// Sends the call over a session and closes it. A session that is broken behind it must be cut.
pub(super) async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    session: &mut Session<S>,
    request: &NetconfRequest,
    writable_running: bool,
    clearance: &Clearance,
) -> Result<Answer, DriverError> {
    let content = request.content.as_deref();
    let source = request.target.unwrap_or(Datastore::Running);
    let operation = match request.operation {
        NetconfOperation::Get => rpc::get(content),
        NetconfOperation::GetConfig => rpc::get_config(source, content),
        NetconfOperation::Rpc => content.unwrap_or_default().to_owned(),
        NetconfOperation::EditConfig => {
            let target = target(session, request.target, writable_running)
                .map_err(|detail| DriverError::not_sent(Phase::Open, detail))?;
            let mut change = Change {
                session,
                target,
                clearance,
                locked: false,
                edited: false,
            };
            let ended = change.make(content.unwrap_or_default()).await;
            change.tidy().await;
            return match ended {
                Ok(reply) => Ok(answer(reply, Ruling::ByStatus)),
                Err(stop) => change.judge(stop),
            };
        }
    };
    let step = Step::Only(request.operation);
    let ended = ask(session, step, &operation, clearance).await;
    close(session, Instant::now() + TIDYING).await;
    match ended {
        Ok(reply) => Ok(answer(reply, Ruling::ByStatus)),
        Err(stop) => judge_alone(request.operation, stop),
    }
}

/// Where an edit goes; the error says why there is no such place.
fn target<S: AsyncRead + AsyncWrite + Unpin>(
    session: &Session<S>,
    asked: Option<Datastore>,
    writable_running: bool,
) -> Result<Datastore, String> {
    let hello = session.hello();
    let candidate = hello.can("candidate");
    let running = hello.can("writable-running");
    match asked {
        Some(Datastore::Startup) if hello.can("startup") => Ok(Datastore::Startup),
        Some(Datastore::Startup) => Err("the device has no separate `startup`".to_owned()),
        Some(Datastore::Candidate) if candidate => Ok(Datastore::Candidate),
        Some(Datastore::Candidate) => Err("the device has no `candidate`".to_owned()),
        // Asked for running, a device that writes it by commits alone gets a commit.
        _ if running && (asked.is_some() || writable_running || !candidate) => {
            Ok(Datastore::Running)
        }
        _ if candidate => Ok(Datastore::Candidate),
        _ => Err("the device has no `candidate`, and does not let `running` be written".to_owned()),
    }
}

/// A change of one datastore, and what has to be undone of it.
struct Change<'a, S> {
    session: &'a mut Session<S>,
    target: Datastore,
    clearance: &'a Clearance,
    /// The lock is held, or may be.
    locked: bool,
    /// The candidate holds something of ours, or may.
    edited: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Change<'_, S> {
    /// The transaction, to the reply that decides it.
    async fn make(&mut self, config: &str) -> Result<Reply, Stop> {
        let hello = self.session.hello().clone();
        let candidate = self.target == Datastore::Candidate;
        self.lock().await?;
        if candidate {
            // What somebody left there without a lock must not be committed in our name.
            self.step(Step::Discard, rpc::DISCARD_CHANGES).await?;
        }
        let edit = rpc::edit_config(self.target, config, &hello);
        self.edited = candidate;
        let mut decisive = self.step(Step::Edit, &edit).await?;
        if candidate {
            decisive = self.step(Step::Commit, rpc::COMMIT).await?;
            self.edited = false;
        }
        if hello.can("startup") && self.target != Datastore::Startup {
            // Running alone is changed so far, and forgotten at the next start (section 8.7).
            self.step(Step::Save, rpc::RUNNING_TO_STARTUP).await?;
        }
        Ok(decisive)
    }

    async fn lock(&mut self) -> Result<(), Stop> {
        let lock = rpc::lock(self.target);
        let mut locked = self.step(Step::Lock, &lock).await;
        if self.target == Datastore::Candidate
            && let Err(Stop::Refused(_, reply)) = &locked
            && reply.failure().is_some_and(|error| error.owner().is_none())
        {
            // Nobody holds it: somebody has left changes in it, and that alone forbids the lock (section 7.5).
            // They go now rather than behind the lock, where they would have gone anyway. Held after all, the
            // candidate refuses this too.
            self.step(Step::Discard, rpc::DISCARD_CHANGES).await.ok();
            locked = self.step(Step::Lock, &lock).await;
        }
        // Without an answer it may be ours all the same.
        self.locked = match &locked {
            Ok(_) => true,
            Err(Stop::Silent(_, silence)) => silence.sent,
            Err(_) => false,
        };
        locked.map(drop)
    }

    async fn step(&mut self, step: Step, operation: &str) -> Result<Reply, Stop> {
        ask(self.session, step, operation, self.clearance).await
    }

    /// Leaves nothing behind: neither in the candidate nor the lock nor the session.
    async fn tidy(&mut self) {
        let by = Instant::now() + TIDYING;
        let mut left = Vec::new();
        if self.edited {
            left.push(rpc::DISCARD_CHANGES.to_owned());
        }
        if self.locked {
            left.push(rpc::unlock(self.target));
        }
        for operation in left {
            let done = match self.session.request(&operation, by).await {
                Ok(reply) => reply.failure().map(ToString::to_string),
                Err(silence) => Some(silence.detail),
            };
            if let Some(why) = done {
                tracing::debug!(operation, why, "a NETCONF session could not be tidied up");
            }
        }
        close(self.session, by).await;
    }

    /// What an end before the end means.
    fn judge(&self, stop: Stop) -> Result<Answer, DriverError> {
        let target = self.target.name();
        // What may have changed anything that is in force.
        let acts = match self.target {
            Datastore::Candidate => Step::Commit,
            Datastore::Running | Datastore::Startup => Step::Edit,
        };
        match stop {
            Stop::Held(Step::Save, refusal) => {
                let detail = format!(
                    "`{target}` was changed, and not saved: {}",
                    held(refusal, Step::Save)
                );
                Ok(unsaved(None, detail))
            }
            // The candidate is not in force, and what it holds goes with the lock: nothing was done.
            Stop::Held(step, refusal) => Err(DriverError {
                sends: self.sends_before(step),
                ..DriverError::refused(refusal, Phase::Send, held(refusal, step))
            }),
            Stop::Silent(step, silence) => {
                let detail = format!("{}: {}", step.name(), silence.detail);
                if step == Step::Save {
                    let detail = format!("`running` was changed, and may not be saved: {detail}");
                    return Err(DriverError::unknown(silence.phase, detail));
                }
                if step == acts && silence.sent {
                    return Err(DriverError::unknown(silence.phase, detail));
                }
                // Before the step that acts, whatever was sent has changed nothing that is in force. An edit of
                // the candidate was discarded or, with the session gone, is discarded with its lock (section
                // 8.3.5.2), and by the next call's own `discard-changes` in any case: never sent, for the caller.
                let phase = match step {
                    Step::Lock | Step::Discard => Phase::Open,
                    _ => silence.phase,
                };
                Err(DriverError {
                    sends: self.sends_before(step) + u32::from(step == Step::Edit && silence.sent),
                    ..DriverError::not_sent(phase, format!("{detail}; nothing of it is in force"))
                })
            }
            Stop::Refused(step, reply) => Ok(self.refused(step, reply)),
        }
    }

    /// A step that the device refused.
    fn refused(&self, step: Step, reply: Reply) -> Answer {
        let error = reply.failure().expect("a refusal has an error");
        let target = self.target.name();
        let detail = match step {
            Step::Lock => format!("`{target}` could not be locked: {error}"),
            _ => format!("{}: {error}", step.name()),
        };
        if step == Step::Save {
            let detail = format!("`running` was changed, and not saved: {detail}");
            return unsaved(Some(reply), detail);
        }
        let whole = match (self.target, step) {
            (_, Step::Lock) => true,
            // Section 8.3.4.1: a commit that fails leaves running as it was.
            (Datastore::Candidate, Step::Commit) => !error.leaves_half_done(),
            (Datastore::Candidate, _) => true,
            // Without `rollback-on-error` an edit stops at the first error, and what came before stays.
            (Datastore::Running | Datastore::Startup, _) => {
                refused_as_a_whole(error)
                    || self.session.hello().can("rollback-on-error") && !error.leaves_half_done()
            }
        };
        let ruling = match whole {
            true => Ruling::NotDone {
                reply: Some(match step {
                    // Whatever its tag, somebody else is at work.
                    Step::Lock => StatusCode::SERVICE_UNAVAILABLE,
                    _ => error.status(),
                }),
                detail,
            },
            false => Ruling::Unclear { detail },
        };
        answer(reply, ruling)
    }

    /// How often the edit had been sent before a step.
    fn sends_before(&self, step: Step) -> u32 {
        u32::from(matches!(step, Step::Commit | Step::Save))
    }
}

/// One step, with leave to take it.
async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    session: &mut Session<S>,
    step: Step,
    operation: &str,
    clearance: &Clearance,
) -> Result<Reply, Stop> {
    let left = match clearance.check() {
        Ok(left) => left,
        Err(refusal) => return Err(Stop::Held(step, refusal)),
    };
    match session.request(operation, Instant::now() + left).await {
        Ok(reply) if reply.failure().is_some() => Err(Stop::Refused(step, reply)),
        Ok(reply) => Ok(reply),
        Err(silence) => Err(Stop::Silent(step, silence)),
    }
}

/// What an operation that stands alone came to, where it has no answer that is a success.
fn judge_alone(operation: NetconfOperation, stop: Stop) -> Result<Answer, DriverError> {
    match stop {
        Stop::Held(step, refusal) => Err(DriverError::refused(
            refusal,
            Phase::Send,
            held(refusal, step),
        )),
        Stop::Silent(step, silence) => {
            let detail = format!("{}: {}", step.name(), silence.detail);
            Err(match silence.sent {
                true => DriverError::unknown(silence.phase, detail),
                false => DriverError::not_sent(silence.phase, detail),
            })
        }
        Stop::Refused(step, reply) => {
            let error = reply.failure().expect("a refusal has an error");
            let detail = format!("{}: {error}", step.name());
            let reads = operation != NetconfOperation::Rpc;
            let ruling = match reads || refused_as_a_whole(error) {
                true => Ruling::NotDone {
                    reply: Some(error.status()),
                    detail,
                },
                // An operation of the device's own: only its documentation knows what it takes back.
                false => Ruling::Unclear { detail },
            };
            Ok(answer(reply, ruling))
        }
    }
}

/// Whether an error says that the operation never began, whatever it was: it could not be read, is not
/// known, or something that it needs is somebody else's (RFC 6241, section 4.3 and appendix A).
fn refused_as_a_whole(error: &RpcError) -> bool {
    matches!(error.kind.as_str(), "transport" | "rpc")
        || matches!(
            error.tag.as_str(),
            "operation-not-supported" | "malformed-message" | "lock-denied" | "in-use"
        )
}

/// Ends the session politely. A device may cut it without an answer.
pub(super) async fn close<S: AsyncRead + AsyncWrite + Unpin>(
    session: &mut Session<S>,
    by: Instant,
) {
    if !session.is_broken()
        && let Err(silence) = session.request(rpc::CLOSE_SESSION, by).await
    {
        tracing::trace!(
            detail = silence.detail,
            "a NETCONF session closed unanswered"
        );
    }
}

fn answer(reply: Reply, ruling: Ruling) -> Answer {
    let mut headers = HeaderMap::new();
    let xml = HeaderValue::from_static("application/xml");
    headers.insert(header::CONTENT_TYPE, xml);
    Answer {
        status: u16::from(reply.failure().is_some()),
        headers,
        body: Bytes::from(reply.xml),
        sends: 1,
        protocol: Protocol::Netconf,
        ruling,
        ..Answer::default()
    }
}

/// `running` is changed, and `startup` is not.
fn unsaved(reply: Option<Reply>, detail: String) -> Answer {
    let ruling = Ruling::Partly {
        applied: 1,
        total: 2,
        detail,
    };
    let reply = reply.unwrap_or_else(|| Reply {
        id: None,
        xml: String::new(),
        errors: Vec::new(),
    });
    Answer {
        status: 1,
        ..answer(reply, ruling)
    }
}

/// Why leave was refused, and before what, for people.
fn held(refusal: Refusal, step: Step) -> String {
    let why = match refusal {
        Refusal::Gate => "this node is no longer the active one",
        Refusal::Deadline => "the deadline passed",
    };
    format!("{why}, before {}", step.name())
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Held(step, _) | Self::Silent(step, _) | Self::Refused(step, _)) = self;
        write!(f, "stopped at {}", step.name())
    }
}

#[cfg(test)]
mod tests;
