//! The store over a database that speaks SQL: what SQLite and MariaDB share.
//!
//! An [`Engine`] is the connections to one database; [`SqlStore`] is the [`Store`] over it. The dialects
//! meet in `session`, the columns in `rows`, the statements about rows by name in `texts`. `wanted` says
//! which rows a batch touches, `tables` reads and writes them, `sweep` changes rows by what they are
//! instead of by name, `reads` answers questions, and `schema` compares migrations.

mod begun;
mod host_keys;
mod reads;
mod rows;
pub(super) mod schema;
pub(super) mod session;
mod sweep;
mod tables;
pub(super) mod texts;
mod wanted;

use std::future::Future;
use std::ops::DerefMut;
use std::time::Duration;

use sqlx::migrate::Migrator;
use tokio::time::timeout;

use self::begun::BegunHere;
use self::session::{Fault, Session};
use self::wanted::Wanted;
use super::ledger::Ledger;
use super::{
    Applied, Async, Audit, Claim, CountOf, Durable, Finished, HostKeyRow, Mapping, MappingFilter,
    ObjectCount, ObjectKey, Operation, OperationFilter, OperationId, Position, State, Store,
    StoreError, Write, Written, decide,
};

/// How often a batch is run again after a deadlock or a lost connection.
const RUNS_AGAIN: u32 = 4;
/// How long a question may take: a server that hangs refuses nothing, it just never answers.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// How long a batch may take up to its commit, and the commit again; longer than a lock is waited for.
const WRITE_WITHIN: Duration = Duration::from_secs(8);

/// A question to the tables. It owns what it asks with: it may be answered on another thread.
pub type Question<S, T> = Box<dyn for<'s> FnOnce(&'s mut S) -> Async<'s, Result<T, Fault>> + Send>;

/// How many rows a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// A few, whose keys it has.
    Few,
    Any,
}

impl Rows {
    fn with_keys(count: usize) -> Self {
        match count {
            0..=8 => Self::Few,
            _ => Self::Any,
        }
    }
}

/// The connections to one database: one that writes, and some that answer questions.
pub trait Engine: Send + Sync + 'static {
    type Session: Session;
    /// Rolls back when it is dropped.
    type Transaction: DerefMut<Target = Self::Session> + Send;

    fn ask<T: Send + 'static>(
        &self,
        rows: Rows,
        question: Question<Self::Session, T>,
    ) -> impl Future<Output = Result<T, Fault>> + Send;
    fn begin(&self) -> impl Future<Output = Result<Self::Transaction, Fault>> + Send;
    /// Says where the commit stands, where the engine is to say it, and when it is durable.
    fn commit(
        &self,
        transaction: Self::Transaction,
    ) -> impl Future<Output = Result<(Option<Position>, Durable), Fault>> + Send;
    /// When all that was read so far is durable.
    fn seen(&self) -> Durable {
        Durable::already()
    }
    fn rollback(transaction: Self::Transaction) -> impl Future<Output = ()> + Send;

    fn migrator() -> &'static Migrator;
    fn run_migrations(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
    fn is_writable(&self) -> impl Future<Output = Result<bool, Fault>> + Send;
    fn position(&self) -> impl Future<Output = Result<Option<Position>, Fault>> + Send;
    fn close(&self) -> impl Future<Output = ()> + Send;
}

/// The store over one engine.
#[derive(Debug)]
pub struct SqlStore<E> {
    pub(super) engine: E,
    begun: BegunHere,
}

/// How the writes of a batch are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// All at once, and what nearly always is so is believed instead of read; the writing finds out
    /// where it is not so.
    Believing,
    /// All at once, and every row that they touch is read first.
    Reading,
    /// Each by itself, so that one that cannot be stored fails alone.
    OneByOne,
}

impl<E: Engine> SqlStore<E> {
    pub(super) fn over(engine: E) -> Self {
        Self {
            engine,
            begun: BegunHere::default(),
        }
    }

    async fn write_batch(&self, batch: &[Write]) -> Result<(Applied, Durable), StoreError> {
        let mut manner = match batch.iter().all(begun::may_be_believed) {
            true => Manner::Believing,
            false => Manner::Reading,
        };
        let mut runs = 0;
        loop {
            match self.run(batch, manner).await {
                Ok(committed) => return Ok(committed),
                Err(Fault::Row(_)) if manner == Manner::Believing => manner = Manner::Reading,
                // A constraint that the locked rows did not show: find the row that it is about.
                Err(Fault::Row(_)) if manner == Manner::Reading => manner = Manner::OneByOne,
                Err(Fault::Retry(words)) if runs < RUNS_AGAIN => {
                    runs += 1;
                    tracing::debug!(runs, reason = words, "a batch is run again");
                    tokio::time::sleep(Duration::from_millis(5 << runs)).await;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    /// What the tables say, once that is durable.
    async fn ask<T, Q>(&self, rows: Rows, question: Q) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: for<'s> FnOnce(&'s mut E::Session) -> Async<'s, Result<T, Fault>> + Send + 'static,
    {
        self.ask_for(rows, question, |_| true).await
    }

    /// As [`Self::ask`]; an answer that `says` nothing, which no later commit can take back, is not waited for.
    async fn ask_for<T, Q>(
        &self,
        rows: Rows,
        question: Q,
        says: impl Fn(&T) -> bool,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        Q: for<'s> FnOnce(&'s mut E::Session) -> Async<'s, Result<T, Fault>> + Send + 'static,
    {
        let answered = async {
            let answer = self.engine.ask(rows, Box::new(question)).await?;
            if says(&answer) {
                let refused = |error: StoreError| Fault::Unavailable(error.to_string());
                self.engine.seen().wait().await.map_err(refused)?;
            }
            Ok::<_, Fault>(answer)
        };
        let answered = timeout(READ_WITHIN, answered).await;
        Ok(answered.map_err(|_| Fault::Unavailable(no_answer(READ_WITHIN)))??)
    }

    async fn run(&self, batch: &[Write], manner: Manner) -> Result<(Applied, Durable), Fault> {
        // What is believed of the operations that this batch ends; what it begins is, once it is committed.
        let mut ledger = self.begun.take(batch);
        if manner != Manner::Believing {
            ledger = Ledger::default();
        }
        let begun = async {
            let mut transaction = self.engine.begin().await?;
            let written = match manner {
                Manner::Believing => by_name(&mut *transaction, batch, &mut ledger, true).await,
                Manner::Reading => together(&mut *transaction, batch).await,
                Manner::OneByOne => each_alone(&mut *transaction, batch).await,
            };
            Ok::<_, Fault>((transaction, written))
        };
        // Given up before its commit, a transaction is rolled back: nothing was committed.
        let (transaction, written) = timeout(WRITE_WITHIN, begun)
            .await
            .map_err(|_| Fault::Unavailable(no_answer(WRITE_WITHIN)))??;
        match written {
            Ok(written) => {
                let (position, durable) = timeout(WRITE_WITHIN, self.engine.commit(transaction))
                    .await
                    .map_err(|_| Fault::CommitUnknown(no_answer(WRITE_WITHIN)))??;
                self.begun.keep(ledger);
                Ok((Applied { written, position }, durable))
            }
            Err(fault) => {
                E::rollback(transaction).await;
                Err(fault)
            }
        }
    }
}

fn no_answer(within: Duration) -> String {
    format!("no answer within {} s", within.as_secs())
}

/// Every write of the batch, with as few statements as its rows allow.
async fn together<S: Session>(session: &mut S, batch: &[Write]) -> Result<Vec<Written>, Fault> {
    let mut written = Vec::with_capacity(batch.len());
    let mut rest = batch;
    while let Some(first) = rest.first() {
        if sweep::is_sweep(first) {
            written.push(Written::Count(sweep::run(session, first).await?));
            rest = &rest[1..];
            continue;
        }
        let length = rest.iter().position(sweep::is_sweep).unwrap_or(rest.len());
        let (named, after) = rest.split_at(length);
        let ledger = &mut Ledger::default();
        written.append(&mut by_name(session, named, ledger, false).await?);
        rest = after;
    }
    Ok(written)
}

/// Writes that name their rows: these are read, each write is decided, and what changed is written. One that
/// `believes` reads less, and where a belief was wrong a unique index or a comparison refuses what it writes, or
/// an outcome finds no row to write: [`Fault::Row`].
async fn by_name<S: Session>(
    session: &mut S,
    batch: &[Write],
    ledger: &mut Ledger,
    believes: bool,
) -> Result<Vec<Written>, Fault> {
    let found = tables::load(session, &Wanted::of(batch, ledger, believes)).await?;
    found.into(ledger);
    let more = tables::load(session, &Wanted::then(batch, ledger)).await?;
    more.into(ledger);
    let written = batch.iter().map(|write| decide::one(ledger, write));
    let written: Vec<_> = written.collect();
    let is_lost = |written: &Written| matches!(written, Written::Finished(Finished::Lost(_)));
    if believes && written.iter().any(is_lost) {
        let words = "an outcome does not fit what is remembered of its operation";
        return Err(Fault::Row(words.to_owned()));
    }
    tables::store(session, ledger).await?;
    Ok(written)
}

/// Each write in a savepoint of its own, so that one that cannot be stored fails alone.
async fn each_alone<S: Session>(session: &mut S, batch: &[Write]) -> Result<Vec<Written>, Fault> {
    let mut written = Vec::with_capacity(batch.len());
    for write in batch {
        session.command("SAVEPOINT one").await?;
        match together(session, std::slice::from_ref(write)).await {
            Ok(one) => written.extend(one),
            Err(Fault::Row(words)) => {
                session.command("ROLLBACK TO SAVEPOINT one").await?;
                written.push(Written::Invalid(words));
            }
            Err(fault) => return Err(fault),
        }
        session.command("RELEASE SAVEPOINT one").await?;
    }
    Ok(written)
}

/// Asks one of the questions of `reads`, with arguments of its own.
macro_rules! ask {
    ($self:ident, $rows:expr, $read:path $(, $argument:ident)*) => {{
        $(let $argument = $argument.to_owned();)*
        let rows = $rows;
        Box::pin($self.ask(rows, move |session| {
            Box::pin(async move { $read(session $(, &$argument)*).await })
        }))
    }};
}

impl<E: Engine> Store for SqlStore<E> {
    fn apply<'a>(&'a self, batch: &'a [Write]) -> Async<'a, Result<Applied, StoreError>> {
        Box::pin(async move {
            let (applied, durable) = self.write_batch(batch).await?;
            durable.wait().await?;
            Ok(applied)
        })
    }

    fn write<'a>(
        &'a self,
        batch: &'a [Write],
    ) -> Async<'a, Result<(Applied, Durable), StoreError>> {
        Box::pin(self.write_batch(batch))
    }

    fn position(&self) -> Async<'_, Result<Option<Position>, StoreError>> {
        Box::pin(async move {
            let answered = timeout(READ_WITHIN, self.engine.position()).await;
            Ok(answered.map_err(|_| Fault::Unavailable(no_answer(READ_WITHIN)))??)
        })
    }

    fn mappings<'a>(
        &'a self,
        keys: &'a [ObjectKey],
    ) -> Async<'a, Result<Vec<Option<Mapping>>, StoreError>> {
        ask!(self, Rows::with_keys(keys.len()), reads::mappings, keys)
    }

    fn mappings_of_object<'a>(
        &'a self,
        resource: &'a str,
        cmp_id: &'a str,
    ) -> Async<'a, Result<Vec<Mapping>, StoreError>> {
        ask!(self, Rows::Any, reads::mappings_of_object, resource, cmp_id)
    }

    fn mappings_by_backend_id<'a>(
        &'a self,
        resource: &'a str,
        backend: &'a str,
        backend_ids: &'a [String],
    ) -> Async<'a, Result<Vec<Option<Mapping>>, StoreError>> {
        ask!(
            self,
            Rows::with_keys(backend_ids.len()),
            reads::mappings_by_backend_id,
            resource,
            backend,
            backend_ids
        )
    }

    fn list_mappings<'a>(
        &'a self,
        filter: &'a MappingFilter,
    ) -> Async<'a, Result<Vec<Mapping>, StoreError>> {
        ask!(self, Rows::Any, reads::list_mappings, filter)
    }

    fn count_by_backend(&self) -> Async<'_, Result<Vec<(String, u64)>, StoreError>> {
        ask!(self, Rows::Any, reads::count_by_backend)
    }

    fn count_mappings<'a>(
        &'a self,
        of: &'a CountOf,
    ) -> Async<'a, Result<Vec<ObjectCount>, StoreError>> {
        ask!(self, Rows::Any, reads::count_mappings, of)
    }

    fn count_unsettled(&self) -> Async<'_, Result<Vec<ObjectCount>, StoreError>> {
        ask!(self, Rows::Any, reads::count_unsettled)
    }

    fn operation(&self, id: OperationId) -> Async<'_, Result<Option<Operation>, StoreError>> {
        ask!(self, Rows::Few, reads::operation, id)
    }

    fn operation_by_key<'a>(
        &'a self,
        client: &'a str,
        key: &'a str,
    ) -> Async<'a, Result<Option<Operation>, StoreError>> {
        let (client, key) = (client.to_owned(), key.to_owned());
        let question = self.ask_for(
            Rows::Few,
            move |session| {
                Box::pin(async move { reads::operation_by_key(session, &client, &key).await })
            },
            Option::is_some,
        );
        Box::pin(question)
    }

    fn operation_by_claim(&self, claim: Claim) -> Async<'_, Result<Option<Operation>, StoreError>> {
        ask!(self, Rows::Few, reads::operation_by_claim, claim)
    }

    fn list_operations<'a>(
        &'a self,
        filter: &'a OperationFilter,
    ) -> Async<'a, Result<Vec<Operation>, StoreError>> {
        ask!(self, Rows::Any, reads::list_operations, filter)
    }

    fn host_keys(&self) -> Async<'_, Result<Vec<HostKeyRow>, StoreError>> {
        ask!(self, Rows::Any, reads::host_keys)
    }

    fn list_audit(&self, limit: u32) -> Async<'_, Result<Vec<Audit>, StoreError>> {
        ask!(self, Rows::Any, reads::list_audit, limit)
    }

    fn count_by_state(&self) -> Async<'_, Result<Vec<(State, u64)>, StoreError>> {
        ask!(self, Rows::Any, reads::count_by_state)
    }

    fn fingerprint_key(&self) -> Async<'_, Result<[u8; 32], StoreError>> {
        Box::pin(async move {
            if let Some(key) = ask!(self, Rows::Any, reads::fingerprint_key).await? {
                return Ok(key);
            }
            let mut transaction = self.engine.begin().await?;
            reads::make_fingerprint_key(&mut *transaction).await?;
            let key = reads::fingerprint_key(&mut *transaction).await?;
            let (_, durable) = self.engine.commit(transaction).await?;
            durable.wait().await?;
            key.ok_or_else(|| StoreError::Unavailable("the fingerprint key was not kept".into()))
        })
    }

    fn migrate(&self) -> Async<'_, Result<Vec<String>, StoreError>> {
        Box::pin(async move {
            let before = ask!(self, Rows::Any, schema::applied).await?;
            self.engine.run_migrations().await?;
            Ok(schema::missing(E::migrator(), &before))
        })
    }

    fn check_schema(&self) -> Async<'_, Result<(), StoreError>> {
        Box::pin(async move {
            schema::compare(
                E::migrator(),
                &ask!(self, Rows::Any, schema::applied).await?,
            )
        })
    }

    fn is_writable(&self) -> Async<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let answered = timeout(READ_WITHIN, self.engine.is_writable()).await;
            Ok(answered.map_err(|_| Fault::Unavailable(no_answer(READ_WITHIN)))??)
        })
    }

    fn close(&self) -> Async<'_, ()> {
        Box::pin(self.engine.close())
    }
}
