//! Rows to columns and back: the same on both databases.

use serde_json::{Map, Value};
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

/// What of an operation must be encoded before it can be bound.
pub(super) struct OperationCells<'r> {
    row: &'r Operation,
    effects: String,
    headers: String,
}

impl<'r> OperationCells<'r> {
    pub(super) fn new(row: &'r Operation) -> Self {
        let effects: Vec<Value> = row
            .effects
            .iter()
            .map(|effect| {
                serde_json::json!({
                    "verb": effect.verb,
                    "resource": effect.key.resource,
                    "cmp_id": effect.key.cmp_id,
                    "scope": effect.key.scope,
                    "kind": effect.kind,
                })
            })
            .collect();
        Self {
            row,
            effects: Value::Array(effects).to_string(),
            headers: if row.reply_headers.is_empty() {
                "[]".to_owned()
            } else {
                serde_json::to_string(&row.reply_headers).expect("pairs of strings are JSON")
            },
        }
    }

    pub(super) fn push<'c>(&'c self, cells: &mut Vec<Cell<'c>>) {
        let row = self.row;
        let error = row.error.as_ref();
        cells.extend([
            Cell::Bytes(row.id.as_bytes()),
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
            Cell::Text(row.state.name()),
            Cell::Int(i64::from(row.idempotent)),
            Cell::OptBytes(row.claim.as_ref().map(<[u8; 32]>::as_slice)),
            Cell::Bytes(&row.call_hash),
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
            Cell::Int(row.deadline),
            Cell::Text(&row.node),
            Cell::Int(row.epoch),
            Cell::Int(row.created_at),
            Cell::OptInt(row.finished_at),
        ]);
    }
}

/// What of a mapping must be encoded before it can be bound.
pub(super) struct MappingCells<'r> {
    row: &'r Mapping,
    attributes: String,
}

impl<'r> MappingCells<'r> {
    pub(super) fn new(row: &'r Mapping) -> Self {
        Self {
            row,
            attributes: if row.attributes.is_empty() {
                "{}".to_owned()
            } else {
                serde_json::to_string(&row.attributes).expect("a JSON object is JSON")
            },
        }
    }

    pub(super) fn push<'c>(&'c self, cells: &mut Vec<Cell<'c>>) {
        let row = self.row;
        let id = |id: &'c Option<Uuid>| Cell::OptBytes(id.as_ref().map(|id| &id.as_bytes()[..]));
        cells.extend([
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
        ]);
    }
}

/// Reads the columns of one row from left to right.
pub(super) struct Reader<'r, R> {
    row: &'r R,
    next: usize,
}

impl<'r, R: Columns> Reader<'r, R> {
    pub(super) fn new(row: &'r R) -> Self {
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

    pub(super) fn opt_bytes(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        let place = self.place();
        self.row.opt_bytes(place)
    }

    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Fault> {
        let place = self.next;
        self.opt_bytes()?
            .ok_or_else(|| unreadable(place, "a value"))
    }

    pub(super) fn opt_text(&mut self) -> Result<Option<String>, Fault> {
        let place = self.next;
        self.opt_bytes()?
            .map(|bytes| String::from_utf8(bytes).map_err(|_| unreadable(place, "UTF-8")))
            .transpose()
    }

    pub(super) fn text(&mut self) -> Result<String, Fault> {
        let place = self.next;
        self.opt_text()?.ok_or_else(|| unreadable(place, "a value"))
    }

    fn opt_id(&mut self) -> Result<Option<Uuid>, Fault> {
        let place = self.next;
        self.opt_bytes()?
            .map(|bytes| Uuid::from_slice(&bytes).map_err(|_| unreadable(place, "a UUID")))
            .transpose()
    }

    pub(super) fn id(&mut self) -> Result<Uuid, Fault> {
        let place = self.next;
        self.opt_id()?.ok_or_else(|| unreadable(place, "a UUID"))
    }

    pub(super) fn state(&mut self) -> Result<State, Fault> {
        let place = self.next;
        State::parse(&self.text()?).ok_or_else(|| unreadable(place, "a state"))
    }

    fn json<T: serde::de::DeserializeOwned>(&mut self) -> Result<T, Fault> {
        let place = self.next;
        serde_json::from_slice(&self.bytes()?).map_err(|_| unreadable(place, "JSON of its shape"))
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
pub(super) fn operation<R: Columns>(row: &R) -> Result<Operation, Fault> {
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
            .opt_bytes()?
            .and_then(|claim| <[u8; 32]>::try_from(claim).ok()),
        call_hash: row.bytes()?,
        backend_status: row.opt_int()?.and_then(|status| u16::try_from(status).ok()),
        sends: row.int()?,
        reply_status: row.opt_int()?.and_then(|status| u16::try_from(status).ok()),
        reply_headers: row.json()?,
        reply_body: row.opt_bytes()?,
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

fn effects(stored: Vec<Map<String, Value>>) -> Vec<Effect> {
    let text = |fields: &Map<String, Value>, name: &str| {
        fields
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    stored
        .iter()
        .map(|fields| Effect {
            verb: text(fields, "verb"),
            key: ObjectKey {
                resource: text(fields, "resource"),
                cmp_id: text(fields, "cmp_id"),
                scope: text(fields, "scope"),
            },
            kind: text(fields, "kind"),
        })
        .collect()
}

/// A row of `mapping`.
pub(super) fn mapping<R: Columns>(row: &R) -> Result<Mapping, Fault> {
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
pub(super) fn audit<R: Columns>(row: &R) -> Result<Audit, Fault> {
    let mut row = Reader::new(row);
    Ok(Audit {
        id: row.id()?,
        at: row.int()?,
        by: row.text()?,
        action: row.text()?,
        detail: row.text()?,
    })
}
