//! Host keys: recorded when they are first seen, forgotten by a person.

use uuid::Uuid;

use super::rows::Reader;
use super::session::{Cell, Columns, Fault, Session};
use crate::store::HostKeyRow;

/// Records the key of a backend that has none; says how many rows that made.
pub(super) async fn record<S: Session>(session: &mut S, row: &HostKeyRow) -> Result<u64, Fault> {
    let sql = format!(
        "{} INTO host_key (backend, host_key, first_seen) VALUES (?, ?, ?)",
        S::DIALECT.insert_ignore
    );
    let cells = [
        Cell::Text(&row.backend),
        Cell::Text(&row.host_key),
        Cell::Int(row.first_seen),
    ];
    session.change(sql.into(), &cells).await
}

/// Forgets the key of a backend, and records who did.
pub(super) async fn forget<S: Session>(
    session: &mut S,
    backend: &str,
    by: &str,
    at: i64,
) -> Result<u64, Fault> {
    let all = list(session).await?;
    let Some(row) = all.into_iter().find(|row| row.backend == backend) else {
        return Ok(0);
    };
    let sql = "DELETE FROM host_key WHERE backend = ?";
    let count = session.change(sql.into(), &[Cell::Text(backend)]).await?;
    let detail = row.forgotten();
    let sql = "INSERT INTO audit (id, at, actor, action, detail) VALUES (?, ?, ?, ?, ?)";
    let id = Uuid::now_v7();
    let cells = [
        Cell::Bytes(id.as_bytes()),
        Cell::Int(at),
        Cell::Text(by),
        Cell::Text(HostKeyRow::FORGET),
        Cell::Text(&detail),
    ];
    session.change(sql.into(), &cells).await?;
    Ok(count)
}

/// All of them, in the order of the backends' names.
pub(super) async fn list<S: Session>(session: &mut S) -> Result<Vec<HostKeyRow>, Fault> {
    let sql = "SELECT backend, host_key, first_seen FROM host_key ORDER BY backend";
    session.fetch(sql.into(), &[], host_key).await
}

fn host_key(row: &dyn Columns) -> Result<HostKeyRow, Fault> {
    let mut row = Reader::new(row);
    Ok(HostKeyRow {
        backend: row.text()?,
        host_key: row.text()?,
        first_seen: row.int()?,
    })
}
