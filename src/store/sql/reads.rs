//! The questions that change nothing.

use std::collections::HashMap;

use ring::rand::{SecureRandom, SystemRandom};

use super::rows::{self, MAPPING, OPERATION, Reader};
use super::session::{Cell, Columns, Decode, Fault, Session, Text};
use super::tables::{lookup, object_cells};
use super::texts::Statement;
use crate::store::{
    Audit, Claim, CountOf, Mapping, MappingFilter, ObjectCount, ObjectKey, Operation,
    OperationFilter, OperationId, State,
};

/// The rows of these keys, in no order and without a lock.
async fn find<S: Session, T: Send, const N: usize>(
    session: &mut S,
    statement: Statement,
    keys: &[[Cell<'_>; N]],
    decode: Decode<T>,
) -> Result<Vec<T>, Fault> {
    let mut found = Vec::new();
    lookup(session, statement, keys, false, decode, &mut found).await?;
    Ok(found)
}

pub(super) async fn mappings<S: Session>(
    session: &mut S,
    keys: &[ObjectKey],
) -> Result<Vec<Option<Mapping>>, Fault> {
    let cells: Vec<_> = keys.iter().map(object_cells).collect();
    let found = find(session, Statement::MappingsByKey, &cells, rows::mapping).await?;
    if let [_] = keys {
        return Ok(vec![found.into_iter().next()]);
    }
    let by_key: HashMap<_, _> = found
        .into_iter()
        .map(|row| (row.key.clone(), row))
        .collect();
    Ok(keys.iter().map(|key| by_key.get(key).cloned()).collect())
}

pub(super) async fn mappings_of_object<S: Session>(
    session: &mut S,
    resource: &str,
    cmp_id: &str,
) -> Result<Vec<Mapping>, Fault> {
    let sql = format!(
        "SELECT {} FROM mapping WHERE resource = ? AND cmp_id = ? ORDER BY scope",
        MAPPING.join(", ")
    );
    let cells = [Cell::Text(resource), Cell::Text(cmp_id)];
    session.fetch(sql.into(), &cells, rows::mapping).await
}

pub(super) async fn mappings_by_backend_id<S: Session>(
    session: &mut S,
    resource: &str,
    backend: &str,
    backend_ids: &[String],
) -> Result<Vec<Option<Mapping>>, Fault> {
    let cells: Vec<_> = backend_ids
        .iter()
        .map(|id| [Cell::Text(resource), Cell::Text(backend), Cell::Text(id)])
        .collect();
    let statement = Statement::MappingsByBackendId;
    let found = find(session, statement, &cells, rows::mapping).await?;
    let by_id: HashMap<_, _> = found
        .into_iter()
        .filter_map(|row| Some((row.backend_id.clone()?, row)))
        .collect();
    Ok(backend_ids
        .iter()
        .map(|id| by_id.get(id).cloned())
        .collect())
}

/// Conditions joined by `AND`, and their values.
#[derive(Default)]
struct Conditions<'v> {
    sql: String,
    cells: Vec<Cell<'v>>,
}

impl<'v> Conditions<'v> {
    fn add(&mut self, condition: &str, cells: &[Cell<'v>]) {
        self.sql.push_str(if self.sql.is_empty() {
            " WHERE "
        } else {
            " AND "
        });
        self.sql.push_str(condition);
        self.cells.extend_from_slice(cells);
    }

    fn equal(&mut self, condition: &str, value: Option<&'v str>) {
        if let Some(value) = value {
            self.add(condition, &[Cell::Text(value)]);
        }
    }
}

pub(super) async fn list_mappings<S: Session>(
    session: &mut S,
    filter: &MappingFilter,
) -> Result<Vec<Mapping>, Fault> {
    let mut conditions = Conditions::default();
    conditions.equal("resource = ?", filter.resource.as_deref());
    conditions.equal("cmp_id = ?", filter.cmp_id.as_deref());
    conditions.equal("backend = ?", filter.backend.as_deref());
    conditions.equal("backend_id = ?", filter.backend_id.as_deref());
    if let Some(after) = &filter.after {
        let [resource, cmp_id, scope] = object_cells(after);
        // Written out: not every optimizer reads a range from a comparison of rows.
        conditions.add(
            "resource >= ? AND (resource > ? OR (resource = ? AND (cmp_id > ? OR (cmp_id = ? AND \
             scope > ?))))",
            &[resource, resource, resource, cmp_id, cmp_id, scope],
        );
    }
    let sql = format!(
        "SELECT {} FROM mapping{} ORDER BY resource, cmp_id, scope LIMIT ?",
        MAPPING.join(", "),
        conditions.sql
    );
    conditions.cells.push(Cell::Int(i64::from(filter.limit)));
    let cells = &conditions.cells;
    session.fetch(sql.into(), cells, rows::mapping).await
}

pub(super) async fn count_by_backend<S: Session>(
    session: &mut S,
) -> Result<Vec<(String, u64)>, Fault> {
    let sql = "SELECT backend, COUNT(*) FROM mapping GROUP BY backend ORDER BY backend";
    let count = |row: &dyn Columns| {
        let mut row = Reader::new(row);
        Ok((row.text()?, row.int()?))
    };
    session.fetch(sql.into(), &[], count).await
}

/// Of a resource by the primary key; else by `mapping_backend`, whose entries end in that key: the
/// rows themselves are not read.
pub(super) fn count_mappings_sql(of: &CountOf) -> String {
    let (condition, order) = match of {
        CountOf::All => ("", "backend, resource"),
        CountOf::Resource(_) => (" WHERE resource = ?", "resource, backend"),
        CountOf::Backend(_) => (" WHERE backend = ?", "backend, resource"),
    };
    format!("SELECT resource, backend, COUNT(*) FROM mapping{condition} GROUP BY {order}")
}

pub(super) async fn count_mappings<S: Session>(
    session: &mut S,
    of: &CountOf,
) -> Result<Vec<ObjectCount>, Fault> {
    let cells = match of {
        CountOf::All => Vec::new(),
        CountOf::Resource(name) | CountOf::Backend(name) => vec![Cell::Text(name)],
    };
    let sql = count_mappings_sql(of).into();
    object_counts(session, sql, &cells).await
}

/// By `operation_state`: few operations are not settled.
pub(super) const COUNT_UNSETTLED: &str = "SELECT resource, backend, COUNT(*) FROM operation \
     WHERE state IN ('pending', 'unknown') GROUP BY resource, backend";

pub(super) async fn count_unsettled<S: Session>(
    session: &mut S,
) -> Result<Vec<ObjectCount>, Fault> {
    object_counts(session, COUNT_UNSETTLED.into(), &[]).await
}

/// Grouping goes along an index; the few groups are put in the order of their names here.
async fn object_counts<S: Session>(
    session: &mut S,
    sql: Text,
    cells: &[Cell<'_>],
) -> Result<Vec<ObjectCount>, Fault> {
    let count = |row: &dyn Columns| {
        let mut row = Reader::new(row);
        Ok(ObjectCount {
            resource: row.text()?,
            backend: row.text()?,
            count: row.int()?,
        })
    };
    let mut counts = session.fetch(sql, cells, count).await?;
    counts.sort_by(|a, b| (&a.resource, &a.backend).cmp(&(&b.resource, &b.backend)));
    Ok(counts)
}

pub(super) async fn operation<S: Session>(
    session: &mut S,
    id: &OperationId,
) -> Result<Option<Operation>, Fault> {
    let key = [[Cell::Bytes(id.as_bytes())]];
    let found = find(session, Statement::OperationsById, &key, rows::operation).await?;
    Ok(found.into_iter().next())
}

pub(super) async fn operation_by_key<S: Session>(
    session: &mut S,
    client: &str,
    key: &str,
) -> Result<Option<Operation>, Fault> {
    let key = [[Cell::Text(client), Cell::Text(key)]];
    let found = find(session, Statement::OperationsByKey, &key, rows::operation).await?;
    Ok(found.into_iter().next())
}

pub(super) async fn operation_by_claim<S: Session>(
    session: &mut S,
    claim: &Claim,
) -> Result<Option<Operation>, Fault> {
    let key = [[Cell::Bytes(claim)]];
    let statement = Statement::OperationsByClaim;
    let found = find(session, statement, &key, rows::operation).await?;
    Ok(found.into_iter().next())
}

pub(super) async fn list_operations<S: Session>(
    session: &mut S,
    filter: &OperationFilter,
) -> Result<Vec<Operation>, Fault> {
    let mut conditions = Conditions::default();
    conditions.equal("state = ?", filter.state.map(State::name));
    conditions.equal("client = ?", filter.client.as_deref());
    conditions.equal("idempotency_key = ?", filter.idempotency_key.as_deref());
    conditions.equal("resource = ?", filter.resource.as_deref());
    conditions.equal("cmp_id = ?", filter.cmp_id.as_deref());
    conditions.equal("route = ?", filter.route.as_deref());
    conditions.equal("backend = ?", filter.backend.as_deref());
    if let Some(before) = &filter.before {
        conditions.add("id < ?", &[Cell::Bytes(before.as_bytes())]);
    }
    // Ids are UUIDv7: their order is that of creation, and paging needs no row to exist still.
    let sql = format!(
        "SELECT {} FROM operation{} ORDER BY id DESC LIMIT ?",
        OPERATION.join(", "),
        conditions.sql
    );
    conditions.cells.push(Cell::Int(i64::from(filter.limit)));
    let cells = &conditions.cells;
    session.fetch(sql.into(), cells, rows::operation).await
}

pub(super) async fn list_audit<S: Session>(
    session: &mut S,
    limit: &u32,
) -> Result<Vec<Audit>, Fault> {
    let sql = "SELECT id, at, actor, action, detail FROM audit ORDER BY id DESC LIMIT ?";
    let cells = [Cell::Int(i64::from(*limit))];
    session.fetch(sql.into(), &cells, rows::audit).await
}

pub(super) use super::host_keys::list as host_keys;

pub(super) async fn count_by_state<S: Session>(
    session: &mut S,
) -> Result<Vec<(State, u64)>, Fault> {
    let sql = "SELECT state, COUNT(*) FROM operation GROUP BY state ORDER BY state";
    let count = |row: &dyn Columns| {
        let mut row = Reader::new(row);
        Ok((row.state()?, row.int()?))
    };
    session.fetch(sql.into(), &[], count).await
}

const FINGERPRINT_KEY: &str = "fingerprint_key";

pub(super) async fn fingerprint_key<S: Session>(
    session: &mut S,
) -> Result<Option<[u8; 32]>, Fault> {
    let sql = "SELECT value FROM meta WHERE name = ?";
    let value = |row: &dyn Columns| Reader::new(row).bytes();
    let cells = [Cell::Text(FINGERPRINT_KEY)];
    let found = session.fetch(sql.into(), &cells, value).await?;
    let Some(stored) = found.into_iter().next() else {
        return Ok(None);
    };
    <[u8; 32]>::try_from(stored).map(Some).map_err(|_| {
        Fault::Unavailable("the stored fingerprint key is not 32 bytes long".to_owned())
    })
}

/// Makes the key of fingerprints, unless somebody was faster.
pub(super) async fn make_fingerprint_key<S: Session>(session: &mut S) -> Result<(), Fault> {
    let mut key = [0; 32];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| Fault::Unavailable("the system gives no random numbers".to_owned()))?;
    let sql = format!(
        "{} INTO meta (name, value) VALUES (?, ?)",
        S::DIALECT.insert_ignore
    );
    let cells = [Cell::Text(FINGERPRINT_KEY), Cell::Bytes(&key)];
    session.change(sql.into(), &cells).await?;
    Ok(())
}
