//! The little that both databases must offer: run a statement with bound values, read columns back.
//!
//! A [`Session`] is one connection of a typed pool. Statements are built from constants and counts of
//! placeholders alone; every value is bound.

use std::future::Future;

/// A value to bind.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'v> {
    Int(i64),
    OptInt(Option<i64>),
    Text(&'v str),
    OptText(Option<&'v str>),
    Bytes(&'v [u8]),
    OptBytes(Option<&'v [u8]>),
}

/// Why a statement or a commit failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// A deadlock, a busy table or a connection lost before the commit: the batch may be run again.
    #[error("{0}")]
    Retry(String),
    /// The rows themselves: a constraint, a type, a length.
    #[error("{0}")]
    Row(String),
    /// Running it again does not help: read-only, disk full, access denied.
    #[error("{0}")]
    Unavailable(String),
    /// A commit was sent and nothing is known of it.
    #[error("{0}")]
    CommitUnknown(String),
    /// A table or a column is missing.
    #[error("{0}")]
    Schema(String),
}

impl From<Fault> for super::StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Retry(words) | Fault::Unavailable(words) => Self::Unavailable(words),
            Fault::Row(words) => Self::Invalid(words),
            Fault::CommitUnknown(words) => Self::CommitUnknown(words),
            Fault::Schema(words) => Self::Schema(words),
        }
    }
}

/// The columns of a row by position.
pub trait Columns: Send {
    fn opt_int(&self, index: usize) -> Result<Option<i64>, Fault>;
    fn opt_bytes(&self, index: usize) -> Result<Option<Vec<u8>>, Fault>;
}

/// Where the two dialects differ.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Appended to a read whose rows will be written: `" FOR UPDATE"`, or nothing where the whole
    /// transaction is exclusive anyway.
    pub lock: &'static str,
    /// Between the rows of an insert and the columns that it changes where the row exists.
    pub upsert: fn(conflict: &str) -> String,
    /// The value that would have been inserted.
    pub excluded: fn(column: &str) -> String,
    /// `INSERT` that leaves an existing row alone.
    pub insert_ignore: &'static str,
    /// Names the index that a locking read must use, so that it locks no more than its rows.
    pub use_index: fn(index: &str) -> String,
}

/// One connection.
pub trait Session: Send {
    type Row: Columns;
    const DIALECT: Dialect;

    fn fetch<'s>(
        &'s mut self,
        sql: String,
        cells: &'s [Cell<'s>],
    ) -> impl Future<Output = Result<Vec<Self::Row>, Fault>> + Send + 's;

    /// How many rows were changed.
    fn execute<'s>(
        &'s mut self,
        sql: String,
        cells: &'s [Cell<'s>],
    ) -> impl Future<Output = Result<u64, Fault>> + Send + 's;

    /// A statement without values that is not worth preparing.
    fn command(&mut self, sql: &'static str) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// Implements [`Session`] and [`Columns`] over the types of one sqlx driver.
macro_rules! session {
    ($connection:ty, $row:ty, $dialect:expr, $fault:path) => {
        impl $crate::store::sql::session::Columns for $row {
            fn opt_int(
                &self,
                index: usize,
            ) -> Result<Option<i64>, $crate::store::sql::session::Fault> {
                sqlx::Row::try_get(self, index).map_err($fault)
            }

            fn opt_bytes(
                &self,
                index: usize,
            ) -> Result<Option<Vec<u8>>, $crate::store::sql::session::Fault> {
                sqlx::Row::try_get(self, index).map_err($fault)
            }
        }

        impl $crate::store::sql::session::Session for $connection {
            type Row = $row;
            const DIALECT: $crate::store::sql::session::Dialect = $dialect;

            async fn fetch(
                &mut self,
                sql: String,
                cells: &[$crate::store::sql::session::Cell<'_>],
            ) -> Result<Vec<$row>, $crate::store::sql::session::Fault> {
                bound(sql, cells).fetch_all(self).await.map_err($fault)
            }

            async fn execute(
                &mut self,
                sql: String,
                cells: &[$crate::store::sql::session::Cell<'_>],
            ) -> Result<u64, $crate::store::sql::session::Fault> {
                let done = bound(sql, cells).execute(self).await.map_err($fault)?;
                Ok(done.rows_affected())
            }

            async fn command(
                &mut self,
                sql: &'static str,
            ) -> Result<(), $crate::store::sql::session::Fault> {
                sqlx::raw_sql(sql).execute(self).await.map_err($fault)?;
                Ok(())
            }
        }

        fn bound<'v>(
            sql: String,
            cells: &[$crate::store::sql::session::Cell<'v>],
        ) -> sqlx::query::Query<
            'v,
            <$connection as sqlx::Connection>::Database,
            <<$connection as sqlx::Connection>::Database as sqlx::Database>::Arguments,
        > {
            use $crate::store::sql::session::Cell;
            // Safe: the text is made of constants, every value is a placeholder.
            let query = sqlx::query(sqlx::AssertSqlSafe(sql));
            cells.iter().fold(query, |query, cell| match *cell {
                Cell::Int(value) => query.bind(value),
                Cell::OptInt(value) => query.bind(value),
                Cell::Text(value) => query.bind(value),
                Cell::OptText(value) => query.bind(value),
                Cell::Bytes(value) => query.bind(value),
                Cell::OptBytes(value) => query.bind(value),
            })
        }
    };
}
pub(in crate::store) use session;

/// Commas between `count` copies of `item`.
pub(super) fn list(item: &str, count: usize) -> String {
    let mut text = String::with_capacity((item.len() + 2) * count);
    for index in 0..count {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(item);
    }
    text
}

/// `(?, ?, ..)` with `count` placeholders.
pub(super) fn tuple(count: usize) -> String {
    format!("({})", list("?", count))
}
