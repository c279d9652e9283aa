//! The little that both databases must offer: run a statement with bound values, read columns back.
//!
//! A [`Session`] is one connection. Statements are built from constants and counts of placeholders
//! alone; every value is bound. On SQLite the futures are ready at once: the call blocks.

use std::borrow::Cow;
use std::future::Future;

use super::texts::Texts;

/// A statement's text: a constant, one that was made once, or one made for this question alone.
pub type Text = Cow<'static, str>;

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
pub trait Columns {
    fn opt_int(&self, index: usize) -> Result<Option<i64>, Fault>;
    /// A text, too.
    fn opt_bytes(&self, index: usize) -> Result<Option<&[u8]>, Fault>;
}

/// What a row is read into.
pub type Decode<T> = fn(&dyn Columns) -> Result<T, Fault>;

/// Where the two dialects differ.
#[derive(Clone, Copy, Debug)]
pub struct Dialect {
    /// Rows in one statement at most. One: its statements are run again for each row, which is
    /// the cheapest where no network lies between.
    pub longest: usize,
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
    const DIALECT: Dialect;

    /// The texts that were made for this dialect.
    fn texts() -> &'static Texts;

    /// The rows that a statement finds. Where `longest` is 1 the values may be those of several runs, one
    /// after the other; here and in [`Session::change`].
    fn fetch<T: Send>(
        &mut self,
        sql: Text,
        cells: &[Cell<'_>],
        decode: Decode<T>,
    ) -> impl Future<Output = Result<Vec<T>, Fault>> + Send;

    /// How many rows were changed.
    fn change(
        &mut self,
        sql: Text,
        cells: &[Cell<'_>],
    ) -> impl Future<Output = Result<u64, Fault>> + Send;

    /// A statement without values.
    fn command(&mut self, sql: &'static str) -> impl Future<Output = Result<(), Fault>> + Send;
}
