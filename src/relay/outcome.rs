//! What an answer means: done, not done, or not known (DESIGN "Outcomes", SEMANTICS 11 to 14).

use http::StatusCode;

use super::RelayError;
use super::answer::{self, ReadAnswer};
use crate::driver::{Answer, DriverError, Protocol, Ruling, SendOutcome};
use crate::plan::{ErrorRule, Route, SideEffect, Verb, Way};
use crate::store::{Mapping, State};
use crate::transform::{AnswerView, Condition, Parts, Scope};

/// The verdict on an answer.
#[derive(Debug)]
pub enum Verdict {
    Success,
    /// A delete found nothing: done, and noted as `absent`.
    Absent,
    Failure(Judged),
}

/// A failure, as the journal and the CMP need it.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    pub error: RelayError,
    pub state: State,
    pub side_effect: SideEffect,
    pub safe_to_retry: bool,
}

impl Judged {
    /// Nothing was done.
    pub fn failed(error: RelayError, safe_to_retry: bool) -> Self {
        Self {
            error,
            state: State::Failed,
            side_effect: SideEffect::None,
            safe_to_retry,
        }
    }

    /// Whether anything was done is not known.
    pub fn unknown(error: RelayError) -> Self {
        Self {
            error,
            state: State::Unknown,
            side_effect: SideEffect::Unknown,
            safe_to_retry: false,
        }
    }

    /// It was done, and something after it went wrong.
    pub fn done(error: RelayError, state: State) -> Self {
        Self {
            error,
            state,
            side_effect: SideEffect::Done,
            safe_to_retry: false,
        }
    }
}

/// Takes out of a backend's words what nobody may read: the relay's credentials, `writeOnly` values.
pub type Clean<'a> = &'a (dyn Fn(&str) -> String + Sync);

/// Whether what the route calls may change something. The call of a journalled GET is a GET as a rule:
/// whatever becomes of it, nothing was done.
pub fn call_acts(route: &Route, way: &Way) -> bool {
    route.mutating && !way.call.action.only_reads()
}

/// Judges an answer by the rules of the way that the route went; `acts`: the call may have changed something.
pub fn judge(
    way: &Way,
    acts: bool,
    answer: &ReadAnswer,
    scope: &Scope,
    object: Option<&Mapping>,
    clean: Clean<'_>,
) -> Verdict {
    let view = answer.view(scope);
    let rules = &way.response;
    let refused = rules
        .fail_when
        .iter()
        .any(|condition| condition.holds(&view));
    let by_itself = answer.ruling == Ruling::ByStatus;
    if !refused && by_itself && is_success(way, answer, &view) {
        return Verdict::Success;
    }
    let is_http = answer.protocol == Protocol::Http;
    let rule = rules.errors.iter().find(|rule| rule.when.holds(&view));
    if is_gone(way, answer, rule) {
        return Verdict::Absent;
    }

    let status = view.status;
    let client_error = is_http && (400..500).contains(&status) && status != 408;
    let asserted = rule.and_then(|rule| rule.side_effect);
    let says_not_done = match &answer.ruling {
        Ruling::ByStatus => refused || client_error,
        Ruling::NotDone { .. } => true,
        // What some lines did is done, whatever a condition makes of the answer.
        Ruling::Partly { .. } | Ruling::Unclear { .. } => false,
    };
    // What the route's author says of the side effect holds against what the answer suggests.
    let not_done = !acts || asserted.map_or(says_not_done, |said| said == SideEffect::None);
    // What was refused for its credentials or its number did not run, nor what a lock kept out; a read
    // runs again without harm.
    let locked = answer.protocol == Protocol::Netconf && is_locked(&view);
    let passes = is_http && matches!(status, 401 | 429) || locked || !acts && !client_error;
    let safe_to_retry = not_done && passes;

    if let Some(rule) = rule {
        // A detail that does not render is left out: the rule itself is what matters.
        let detail = rule
            .detail
            .as_ref()
            .and_then(|detail| detail.render(scope).ok().flatten())
            .map(|detail| clean(&detail));
        let error = RelayError::Rule {
            reply: rule.reply,
            code: rule.code.as_deref().unwrap_or("backend_error").to_owned(),
            detail,
        };
        let mut judged = match not_done {
            true => Judged::failed(error, safe_to_retry),
            false => Judged::unknown(error),
        };
        if let Some(side_effect) = asserted.filter(|_| !not_done) {
            judged.side_effect = side_effect;
        }
        return Verdict::Failure(judged);
    }
    if !is_http {
        let judged = match not_done {
            true => Judged::failed(device_error(answer, clean), safe_to_retry),
            false => Judged::unknown(device_doubt(way, answer, clean)),
        };
        return Verdict::Failure(judged);
    }
    let error = match (status, object) {
        (401 | 403, _) => RelayError::BackendAuth(format!("the backend answered {status}")),
        (404, Some(mapping)) if client_error => RelayError::BackendObjectMissing {
            resource: mapping.key.resource.clone(),
            id: mapping.key.cmp_id.clone(),
        },
        _ => RelayError::BackendError {
            status,
            excerpt: answer.excerpt(clean),
        },
    };
    Verdict::Failure(match not_done {
        true => Judged::failed(error, safe_to_retry),
        false => Judged::unknown(RelayError::OutcomeUnknown(format!(
            "the backend answered {status}, which does not say whether it did it"
        ))),
    })
}

/// Whether what a call was to delete is gone already (SEMANTICS 14).
fn is_gone(way: &Way, answer: &ReadAnswer, rule: Option<&ErrorRule>) -> bool {
    let gone = |status: u16| matches!(status, 404 | 410);
    let says_so = match rule {
        Some(rule) => gone(rule.reply.as_u16()),
        None => answer.protocol == Protocol::Http && gone(answer.status),
    };
    says_so && answer.in_declared_format && way.deletes()
}

/// Whether a NETCONF answer says that somebody else holds what the call needs (RFC 6241, appendix A).
fn is_locked(view: &AnswerView<'_>) -> bool {
    let errors = view.body.and_then(|body| body["errors"].as_array());
    let tags = errors
        .into_iter()
        .flatten()
        .filter_map(|error| error["tag"].as_str());
    let mut tags = tags.filter(|tag| matches!(*tag, "lock-denied" | "in-use" | "resource-denied"));
    tags.next().is_some()
}

/// What a device refused, nothing of it being in force.
fn device_error(answer: &ReadAnswer, clean: Clean<'_>) -> RelayError {
    let (reply, words) = match &answer.ruling {
        Ruling::NotDone { reply, detail } => (*reply, clean(detail)),
        Ruling::Partly { detail, .. } | Ruling::Unclear { detail } => (None, clean(detail)),
        Ruling::ByStatus => (None, ended(answer, clean)),
    };
    RelayError::CallRefused { reply, words }
}

/// What of a call may be in force, or is.
fn device_doubt(way: &Way, answer: &ReadAnswer, clean: Clean<'_>) -> RelayError {
    // Where nothing of the answer may be kept, its words are not put into a detail that is.
    let kept = |words: String| match way.store_reply {
        true => words,
        false => "its answer does not say".to_owned(),
    };
    match &answer.ruling {
        Ruling::Partly {
            applied,
            total,
            detail,
        } => RelayError::PartlyApplied {
            applied: *applied,
            total: *total,
            words: clean(detail),
        },
        Ruling::Unclear { detail } | Ruling::NotDone { detail, .. } => {
            RelayError::OutcomeUnknown(kept(clean(detail)))
        }
        Ruling::ByStatus => RelayError::OutcomeUnknown(kept(format!(
            "{}, which does not say whether it was done",
            ended(answer, clean)
        ))),
    }
}

/// How a call of a device ended, with the beginning of what it said.
fn ended(answer: &ReadAnswer, clean: Clean<'_>) -> String {
    let excerpt = answer.excerpt(clean);
    let status = answer.status;
    let how = match answer.protocol {
        Protocol::Exec => format!("the program ended with status {status}"),
        _ if status == 0 => "the answer is none of a success".to_owned(),
        Protocol::Cli => format!("line {status} was refused"),
        _ => "the reply has an rpc-error".to_owned(),
    };
    match excerpt.trim() {
        "" => how,
        said => format!("{how} (`{said}`)"),
    }
}

fn is_success(way: &Way, answer: &ReadAnswer, view: &AnswerView<'_>) -> bool {
    let rules = &way.response;
    let judged_by_body = rules
        .fail_when
        .iter()
        .chain(&rules.success_when)
        .any(Condition::reads_body);
    let cut = answer.unreadable.is_some();
    if judged_by_body && !answer.in_declared_format && (cut || !answer.text.is_empty()) {
        // A login page or a cut body says nothing of what the rules ask.
        return false;
    }
    rules.accept(view)
}

/// Which rules of a route an answer meets, by their places in the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Met {
    pub success_when: bool,
    pub fail_when: Vec<usize>,
    /// The one that is applied; they are asked of what is not a success.
    pub error: Option<usize>,
    /// The mapping changes that it makes: whose `when` holds of a success, and the deletes of what is gone.
    pub changes: Vec<usize>,
}

/// Tells which rules of a route an answer meets: for what is tried, never for what is served.
pub fn met(way: &Way, answer: Answer) -> Met {
    let mut read = answer::read(answer, &way.response, &Parts::Whole);
    let mut scope = Scope::new();
    read.publish(&mut scope, false);
    let view = read.view(&scope);
    let rules = &way.response;
    let holding = |conditions: &mut dyn Iterator<Item = Option<&Condition>>| {
        let conditions = conditions.enumerate();
        let holding = conditions.filter(|(_, one)| one.is_some_and(|one| one.holds(&view)));
        holding.map(|(place, _)| place).collect::<Vec<_>>()
    };
    let fail_when = holding(&mut rules.fail_when.iter().map(Some));
    let by_itself = read.ruling == Ruling::ByStatus;
    let success = fail_when.is_empty() && by_itself && is_success(way, &read, &view);
    let error = match success {
        true => None,
        false => rules.errors.iter().position(|rule| rule.when.holds(&view)),
    };
    let rule = error.map(|place| &rules.errors[place]);
    let is_delete = |place: &usize| way.mapping[*place].verb == Verb::Delete;
    Met {
        success_when: rules
            .success_when
            .as_ref()
            .is_some_and(|condition| condition.holds(&view)),
        error,
        changes: match success {
            true => holding(&mut way.mapping.iter().map(|change| change.when.as_ref())),
            // Of what is gone, every mapping goes.
            false if is_gone(way, &read, rule) => {
                (0..way.mapping.len()).filter(is_delete).collect()
            }
            false => Vec::new(),
        },
        fail_when,
    }
}

/// Judges the absence of an answer.
pub fn judge_silence(mutating: bool, error: &DriverError) -> Judged {
    let words = error.to_string();
    match error.outcome {
        SendOutcome::NotSent => Judged::failed(RelayError::BackendUnreachable(words), true),
        SendOutcome::Refused(crate::driver::Refusal::Gate) => {
            Judged::failed(RelayError::Standby, true)
        }
        SendOutcome::Refused(crate::driver::Refusal::Deadline) => {
            Judged::failed(RelayError::BackendUnreachable(words), true)
        }
        // What was refused for its credentials did not run (invariant 1).
        SendOutcome::Unauthorized => Judged::failed(RelayError::BackendAuth(words), true),
        SendOutcome::Unknown if mutating => Judged::unknown(RelayError::OutcomeUnknown(words)),
        SendOutcome::Unknown => Judged::failed(RelayError::OutcomeUnknown(words), true),
    }
}

/// The status of a reply that names none: the backend's, or 200 where that one may have no body.
pub fn reply_status(declared: Option<StatusCode>, backend: u16, has_body: bool) -> StatusCode {
    let status =
        declared.unwrap_or_else(|| StatusCode::from_u16(backend).unwrap_or(StatusCode::OK));
    if has_body && declared.is_none() && matches!(status.as_u16(), 204 | 205) {
        return StatusCode::OK;
    }
    status
}
