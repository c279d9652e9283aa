//! What a request comes to at each step of its life: for `explain`, which tells why. A relay that
//! serves has no witness, and nothing is noted.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Relay;
use crate::backend::why::Choice;
use crate::driver::RenderedCall;
use crate::plan::{BackendId, RouteId};
use crate::store::{Mapping, ObjectKey, Operation};

/// A step of a request's life, in order; what fails, fails at the one that was reached last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Its head is looked at, before any route.
    #[default]
    Received,
    /// A route is found for its method and path.
    Matched,
    /// The client may use the route.
    Allowed,
    /// Path, query, headers, body and `Idempotency-Key` are read.
    Parsed,
    /// An earlier request with the same key would answer it.
    Replayed,
    /// It fits the route's schemas.
    Validated,
    /// The objects that it names are looked up, and the ids that it records are made.
    Resolved,
    /// The instance is chosen.
    Chosen,
    /// The backend has a place for it.
    Admitted,
    /// `let` and the call are rendered.
    Rendered,
    /// The intent is written down, where the request changes something.
    Intended,
    /// The call goes out.
    Sent,
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Step; 12] = [
        Step::Received,
        Step::Matched,
        Step::Allowed,
        Step::Parsed,
        Step::Replayed,
        Step::Validated,
        Step::Resolved,
        Step::Chosen,
        Step::Admitted,
        Step::Rendered,
        Step::Intended,
        Step::Sent,
    ];

    /// From 1.
    pub fn number(self) -> usize {
        1 + Self::ALL
            .iter()
            .position(|step| *step == self)
            .expect("every step is in the list")
    }

    /// A stable name.
    pub fn name(self) -> &'static str {
        match self {
            Step::Received => "received",
            Step::Matched => "matched",
            Step::Allowed => "allowed",
            Step::Parsed => "parsed",
            Step::Replayed => "replayed",
            Step::Validated => "validated",
            Step::Resolved => "resolved",
            Step::Chosen => "chosen",
            Step::Admitted => "admitted",
            Step::Rendered => "rendered",
            Step::Intended => "intended",
            Step::Sent => "sent",
        }
    }

    /// What is done there.
    pub fn words(self) -> &'static str {
        match self {
            Step::Received => "its head and its token are looked at",
            Step::Matched => "a route is looked for",
            Step::Allowed => "it is asked whether the client may use the route",
            Step::Parsed => "its path, query, headers and body are read",
            Step::Replayed => "an earlier request with its key is looked for",
            Step::Validated => "it is held against the route's schemas",
            Step::Resolved => "the objects that it names are looked up",
            Step::Chosen => "the backend is chosen",
            Step::Admitted => "the backend is asked for a place",
            Step::Rendered => "the call is rendered",
            Step::Intended => "the intent is written down",
            Step::Sent => "the call goes out",
        }
    }
}

/// What was seen of one request.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub step: Step,
    pub route: Option<RouteId>,
    /// The parameters of the path, still percent-encoded.
    pub params: Vec<(String, String)>,
    pub idempotency_key: Option<String>,
    /// The values of `writeOnly` fields: what is shown of the request must not hold them.
    pub masks: Vec<String>,
    /// In the order in which they were looked for; a row that is asked for twice is here once.
    pub rows: Vec<RowRead>,
    pub choice: Option<Choice>,
    /// A place in the route's ways, once the instance is chosen.
    pub way: usize,
    /// As the way's `mapping`: the CMP object that each change is about.
    pub keys: Vec<Option<ObjectKey>>,
    pub call: Option<Made>,
    /// As it is written down before the call.
    pub intent: Option<Operation>,
}

/// A call, and where it goes.
#[derive(Clone, Debug)]
pub struct Made {
    pub backend: BackendId,
    pub call: RenderedCall,
}

/// A row of the mapping table that was looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct RowRead {
    pub purpose: Purpose,
    pub key: Sought,
    pub found: Option<Arc<Mapping>>,
}

/// What a row is looked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    Object(ObjectKey),
    BackendId {
        resource: String,
        backend: String,
        backend_id: String,
    },
}

/// What a row is needed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    Object,
    /// By its alias.
    Parent(String),
    /// A helper of a template: `backend_id`, `cmp_id`, `mapped`.
    Helper,
    /// A `put` changes it where it is there.
    Put,
    /// A create wants it not to be there.
    Create,
}

/// Sees one request.
#[derive(Debug, Default)]
pub struct Witness(Mutex<Seen>);

impl Witness {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that was seen.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }
}

impl Relay {
    /// Lets a witness see the requests to come; the first one stays.
    pub fn witnessed_by(&self, witness: Arc<Witness>) {
        let _ = self.witness.set(witness);
    }

    pub(super) fn is_witnessed(&self) -> bool {
        self.witness.get().is_some()
    }

    pub(super) fn reaches(&self, step: Step) {
        self.note(|seen| seen.step = step);
    }

    pub(super) fn note_row(&self, purpose: Purpose, key: Sought, found: Option<&Arc<Mapping>>) {
        self.note(|seen| {
            let known = |row: &RowRead| row.purpose == purpose && row.key == key;
            if !seen.rows.iter().any(known) {
                let found = found.cloned();
                seen.rows.push(RowRead {
                    purpose,
                    key,
                    found,
                });
            }
        });
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut Seen)) {
        if let Some(witness) = self.witness.get() {
            note(&mut witness.lock());
        }
    }
}
