//! Rows to columns and back: the same on both databases.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::session::{Cell, Columns, Fault};
use crate::store::{Audit, Effect, Mapping, ObjectKey, Operation, State};

/// The columns of `operation`, in the order of [`operation`] and [`OperationCells`].
pub(super) const OPERATION: [&str; 30] = [
    "id",
    "route",
    "client",
    "idempotency_key",
    "fingerprint",
    "attempt",
    "resource",
    "cmp_id",
    "scope",
    "backend",
    "effects",
    "state",
    "idempotent",
    "claim",
    "call_hash",
    "backend_status",
    "sends",
    "reply_status",
    "reply_headers",
    "reply_body",
    "error_code",
    "error_detail",
    "side_effect",
    "safe_to_retry",
    "note",
    "deadline",
    "node",
    "epoch",
    "created_at",
    "finished_at",
];

/// Those that an outcome changes, in the order of [`OutcomeCells`].
pub(super) const OUTCOME: [&str; 13] = [
    "state",
    "claim",
    "backend_status",
    "sends",
    "reply_status",
    "reply_headers",
    "reply_body",
    "error_code",
    "error_detail",
    "side_effect",
    "safe_to_retry",
    "note",
    "finished_at",
];

/// The columns of `mapping`, in the order of [`mapping`] and [`MappingCells`].
pub(super) const MAPPING: [&str; 11] = [
    "resource",
    "cmp_id",
    "scope",
    "backend",
    "kind",
    "backend_id",
    "attributes",
    "created_operation",
    "updated_operation",
    "created_at",
    "updated_at",
];

/// An effect, as its column has it.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct StoredEffect<'r> {
    verb: Cow<'r, str>,
    resource: Cow<'r, str>,
    cmp_id: Cow<'r, str>,
    scope: Cow<'r, str>,
    kind: Cow<'r, str>,
}

/// What of an operation must be encoded before it can be bound.
pub(super) struct OperationCells<'r> {
    outcome: OutcomeCells<'r>,
    effects: String,
}

/// The same of what an outcome changes.
pub(super) struct OutcomeCells<'r> {
    row: &'r Operation,
    headers: Cow<'static, str>,
}

impl<'r> OperationCells<'r> {
    pub(super) fn new(row: &'r Operation) -> Self {
        Self {
            outcome: OutcomeCells::new(row),
            effects: stored(&row.effects),
        }
    }

    /// The cells of [`OPERATION`].
    pub(super) fn all(&self) -> [Cell<'_>; OPERATION.len()] {
        let row = self.outcome.row;
        let [
            state,
            claim,
            backend_status,
            sends,
            reply_status,
            reply_headers,
            reply_body,
            error_code,
            error_detail,
            side_effect,
            safe_to_retry,
            note,
            finished_at,
            id,
        ] = self.outcome.all();
        [
            id,
            Cell::Text(&row.route),
            Cell::Text(&row.client),
            Cell::OptText(row.idempotency_key.as_deref()),
            Cell::Bytes(&row.fingerprint),
            Cell::Int(i64::from(row.attempt)),
            Cell::Text(&row.object.resource),
            Cell::Text(&row.object.cmp_id),
            Cell::Text(&row.object.scope),
            Cell::Text(&row.backend),
            Cell::Text(&self.effects),
            state,
            Cell::Int(i64::from(row.idempotent)),
            claim,
            Cell::Bytes(&row.call_hash),
            backend_status,
            sends,
            reply_status,
            reply_headers,
            reply_body,
            error_code,
            error_detail,
            side_effect,
            safe_to_retry,
            note,
            Cell::Int(row.deadline),
            Cell::Text(&row.node),
            Cell::Int(row.epoch),
            Cell::Int(row.created_at),
            finished_at,
        ]
    }
}

impl<'r> OutcomeCells<'r> {
    pub(super) fn new(row: &'r Operation) -> Self {
        let headers = match &*row.reply_headers {
            [] => "[]".into(),
            headers => {
                let text = serde_json::to_string(headers);
                text.expect("pairs of strings are JSON").into()
            }
        };
        Self { row, headers }
    }

    /// The cells of [`OUTCOME`], and of the id.
    pub(super) fn all(&self) -> [Cell<'_>; OUTCOME.len() + 1] {
        let row = self.row;
        let error = row.error.as_ref();
        [
            Cell::Text(row.state.name()),
            Cell::OptBytes(row.claim.as_ref().map(<[u8; 32]>::as_slice)),
            Cell::OptInt(row.backend_status.map(i64::from)),
            Cell::Int(i64::from(row.sends)),
            Cell::OptInt(row.reply_status.map(i64::from)),
            Cell::Text(&self.headers),
            Cell::OptBytes(row.reply_body.as_deref()),
            Cell::OptText(error.map(|(code, _)| code.as_str())),
            Cell::OptText(error.map(|(_, detail)| detail.as_str())),
            Cell::Text(&row.side_effect),
            Cell::Int(i64::from(row.safe_to_retry)),
            Cell::OptText(row.note.as_deref()),
            Cell::OptInt(row.finished_at),
            Cell::Bytes(row.id.as_bytes()),
        ]
    }
}

fn stored(effects: &[Effect]) -> String {
    let stored: Vec<_> = effects
        .iter()
        .map(|effect| StoredEffect {
            verb: (&*effect.verb).into(),
            resource: (&*effect.key.resource).into(),
            cmp_id: (&*effect.key.cmp_id).into(),
            scope: (&*effect.key.scope).into(),
            kind: (&*effect.kind).into(),
        })
        .collect();
    serde_json::to_string(&stored).expect("strings are JSON")
}

/// What of a mapping must be encoded before it can be bound.
pub(super) struct MappingCells<'r> {
    row: &'r Mapping,
    attributes: Cow<'static, str>,
}

impl<'r> MappingCells<'r> {
    pub(super) fn new(row: &'r Mapping) -> Self {
        Self {
            row,
            attributes: if row.attributes.is_empty() {
                "{}".into()
            } else {
                let text = serde_json::to_string(&row.attributes);
                text.expect("a JSON object is JSON").into()
            },
        }
    }

    /// The cells of [`MAPPING`].
    pub(super) fn all(&self) -> [Cell<'_>; MAPPING.len()] {
        let row = self.row;
        let id = |id: &'r Option<Uuid>| Cell::OptBytes(id.as_ref().map(|id| &id.as_bytes()[..]));
        [
            Cell::Text(&row.key.resource),
            Cell::Text(&row.key.cmp_id),
            Cell::Text(&row.key.scope),
            Cell::Text(&row.backend),
            Cell::Text(&row.kind),
            Cell::OptText(row.backend_id.as_deref()),
            Cell::Text(&self.attributes),
            id(&row.created_operation),
            id(&row.updated_operation),
            Cell::Int(row.created_at),
            Cell::Int(row.updated_at),
        ]
    }
}

/// Reads the columns of one row from left to right.
pub(super) struct Reader<'r> {
    row: &'r dyn Columns,
    next: usize,
}

impl<'r> Reader<'r> {
    pub(super) fn new(row: &'r dyn Columns) -> Self {
        Self { row, next: 0 }
    }

    fn place(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }

    pub(super) fn opt_int(&mut self) -> Result<Option<i64>, Fault> {
        let place = self.place();
        self.row.opt_int(place)
    }

    pub(super) fn int<T: TryFrom<i64>>(&mut self) -> Result<T, Fault> {
        let place = self.next;
        self.opt_int()?
            .and_then(|value| T::try_from(value).ok())
            .ok_or_else(|| unreadable(place, "a number in its range"))
    }

    fn opt_raw(&mut self) -> Result<Option<&'r [u8]>, Fault> {
        let place = self.place();
        self.row.opt_bytes(place)
    }

    fn raw(&mut self) -> Result<&'r [u8], Fault> {
        let place = self.next;
        self.opt_raw()?.ok_or_else(|| unreadable(place, "a value"))
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Fault> {
        self.raw().map(<[u8]>::to_vec)
    }

    pub(super) fn opt_text(&mut self) -> Result<Option<String>, Fault> {
        let place = self.next;
        let utf8 = |bytes| std::str::from_utf8(bytes).map_err(|_| unreadable(place, "UTF-8"));
        Ok(self.opt_raw()?.map(utf8).transpose()?.map(str::to_owned))
    }

    pub(super) fn text(&mut self) -> Result<String, Fault> {
        let place = self.next;
        self.opt_text()?.ok_or_else(|| unreadable(place, "a value"))
    }

    fn opt_id(&mut self) -> Result<Option<Uuid>, Fault> {
        let place = self.next;
        self.opt_raw()?
            .map(|bytes| Uuid::from_slice(bytes).map_err(|_| unreadable(place, "a UUID")))
            .transpose()
    }

    pub(super) fn id(&mut self) -> Result<Uuid, Fault> {
        let place = self.next;
        self.opt_id()?.ok_or_else(|| unreadable(place, "a UUID"))
    }

    pub(super) fn state(&mut self) -> Result<State, Fault> {
        let place = self.next;
        let name = std::str::from_utf8(self.raw()?).ok();
        name.and_then(State::parse)
            .ok_or_else(|| unreadable(place, "a state"))
    }

    fn json<T: Deserialize<'r>>(&mut self) -> Result<T, Fault> {
        let place = self.next;
        serde_json::from_slice(self.raw()?).map_err(|_| unreadable(place, "JSON of its shape"))
    }

    fn key(&mut self) -> Result<ObjectKey, Fault> {
        Ok(ObjectKey {
            resource: self.text()?,
            cmp_id: self.text()?,
            scope: self.text()?,
        })
    }
}

fn unreadable(place: usize, wanted: &str) -> Fault {
    Fault::Unavailable(format!("column {place} of a row is not {wanted}"))
}

/// A row of `operation`.
pub(super) fn operation(row: &dyn Columns) -> Result<Operation, Fault> {
    let mut row = Reader::new(row);
    Ok(Operation {
        id: row.id()?,
        route: row.text()?,
        client: row.text()?,
        idempotency_key: row.opt_text()?,
        fingerprint: row.bytes()?,
        attempt: row.int()?,
        object: row.key()?,
        backend: row.text()?,
        effects: effects(row.json()?),
        state: row.state()?,
        idempotent: row.int::<i64>()? != 0,
        claim: row
            .opt_raw()?
            .and_then(|claim| <[u8; 32]>::try_from(claim).ok()),
        call_hash: row.bytes()?,
        backend_status: row.opt_int()?.and_then(|status| u16::try_from(status).ok()),
        sends: row.int()?,
        reply_status: row.opt_int()?.and_then(|status| u16::try_from(status).ok()),
        reply_headers: row.json()?,
        reply_body: row.opt_raw()?.map(<[u8]>::to_vec),
        error: {
            let (code, detail) = (row.opt_text()?, row.opt_text()?);
            code.map(|code| (code, detail.unwrap_or_default()))
        },
        side_effect: row.text()?,
        safe_to_retry: row.int::<i64>()? != 0,
        note: row.opt_text()?,
        deadline: row.int()?,
        node: row.text()?,
        epoch: row.int()?,
        created_at: row.int()?,
        finished_at: row.opt_int()?,
    })
}

/// The id, the attempt and the epoch of a row.
pub(super) fn attempt(row: &dyn Columns) -> Result<(Uuid, u32, i64), Fault> {
    let mut row = Reader::new(row);
    Ok((row.id()?, row.int()?, row.int()?))
}

fn effects(stored: Vec<StoredEffect<'_>>) -> Vec<Effect> {
    let effect = |stored: StoredEffect<'_>| Effect {
        verb: stored.verb.into_owned(),
        key: ObjectKey {
            resource: stored.resource.into_owned(),
            cmp_id: stored.cmp_id.into_owned(),
            scope: stored.scope.into_owned(),
        },
        kind: stored.kind.into_owned(),
    };
    stored.into_iter().map(effect).collect()
}

/// A row of `mapping`.
pub(super) fn mapping(row: &dyn Columns) -> Result<Mapping, Fault> {
    let mut row = Reader::new(row);
    Ok(Mapping {
        key: row.key()?,
        backend: row.text()?,
        kind: row.text()?,
        backend_id: row.opt_text()?,
        attributes: row.json()?,
        created_operation: row.opt_id()?,
        updated_operation: row.opt_id()?,
        created_at: row.int()?,
        updated_at: row.int()?,
    })
}

/// A row of `audit`.
pub(super) fn audit(row: &dyn Columns) -> Result<Audit, Fault> {
    let mut row = Reader::new(row);
    Ok(Audit {
        id: row.id()?,
        at: row.int()?,
        by: row.text()?,
        action: row.text()?,
        detail: row.text()?,
    })
}
