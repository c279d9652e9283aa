//! Commits whose answer was lost: found out before anyone is told (SEMANTICS 6).

use std::sync::atomic::{AtomicU32, Ordering};

use cmp_relay::store::{Journal, Options};

use super::*;

/// The methods of `Store` but `apply` and `mappings`, passed on to `self.inner`.
macro_rules! delegate {
    () => {
        crate::store::lost::delegate! {
            fn mappings_of_object<'a>(&'a self, resource: &'a str, cmp_id: &'a str) -> Vec<Mapping>;
            fn mappings_by_backend_id<'a>(&'a self, resource: &'a str, backend: &'a str, ids: &'a [String]) -> Vec<Option<Mapping>>;
            fn list_mappings<'a>(&'a self, filter: &'a cmp_relay::store::MappingFilter) -> Vec<Mapping>;
            fn count_by_backend<'a>(&'a self) -> Vec<(String, u64)>;
            fn count_mappings<'a>(&'a self, of: &'a cmp_relay::store::CountOf) -> Vec<cmp_relay::store::ObjectCount>;
            fn count_unsettled<'a>(&'a self) -> Vec<cmp_relay::store::ObjectCount>;
            fn operation<'a>(&'a self, id: OperationId) -> Option<Operation>;
            fn operation_by_key<'a>(&'a self, client: &'a str, key: &'a str) -> Option<Operation>;
            fn operation_by_claim<'a>(&'a self, claim: cmp_relay::store::Claim) -> Option<Operation>;
            fn list_operations<'a>(&'a self, filter: &'a cmp_relay::store::OperationFilter) -> Vec<Operation>;
            fn host_keys<'a>(&'a self) -> Vec<cmp_relay::store::HostKeyRow>;
            fn list_audit<'a>(&'a self, limit: u32) -> Vec<cmp_relay::store::Audit>;
            fn count_by_state<'a>(&'a self) -> Vec<(State, u64)>;
            fn fingerprint_key<'a>(&'a self) -> [u8; 32];
            fn migrate<'a>(&'a self) -> Vec<String>;
            fn check_schema<'a>(&'a self) -> ();
            fn is_writable<'a>(&'a self) -> bool;
            fn position<'a>(&'a self) -> Option<cmp_relay::store::Position>;
        }
        fn close(&self) -> cmp_relay::store::Async<'_, ()> {
            self.inner.close()
        }
    };
    ($(fn $name:ident<'a>(&'a self $(, $argument:ident: $type:ty)*) -> $answer:ty;)*) => {
        $(fn $name<'a>(&'a self $(, $argument: $type)*) -> cmp_relay::store::Async<'a, Result<$answer, StoreError>> {
            self.inner.$name($($argument),*)
        })*
    };
}
pub(crate) use delegate;

on_both!(
    a_lost_commit_that_happened_is_found,
    a_lost_commit_that_did_not_happen_is_run_again,
    of_equal_retries_in_a_lost_commit_one_has_started,
    a_conflict_in_a_lost_commit_is_told,
    what_cannot_be_found_out_is_told_as_unknown,
);

/// A store whose commits lose their answer.
struct Lossy {
    inner: Arc<dyn Store>,
    /// The commit happens although its answer is lost.
    commits: bool,
    /// How many commits lose their answer.
    losses: AtomicU32,
}

impl Store for Lossy {
    fn apply<'a>(
        &'a self,
        batch: &'a [Write],
    ) -> cmp_relay::store::Async<'a, Result<Applied, StoreError>> {
        Box::pin(async move {
            let left = self.losses.load(Ordering::SeqCst);
            if left == 0 {
                return self.inner.apply(batch).await;
            }
            self.losses.store(left - 1, Ordering::SeqCst);
            if self.commits {
                self.inner.apply(batch).await?;
            }
            Err(StoreError::CommitUnknown("gone away".into()))
        })
    }

    fn mappings<'a>(
        &'a self,
        keys: &'a [ObjectKey],
    ) -> cmp_relay::store::Async<'a, Result<Vec<Option<Mapping>>, StoreError>> {
        self.inner.mappings(keys)
    }

    delegate!();
}

fn lossy(db: &Db, commits: bool, losses: u32) -> (Journal, Arc<Lossy>) {
    let store = Arc::new(Lossy {
        inner: db.store.clone(),
        commits,
        losses: AtomicU32::new(losses),
    });
    let options = Options {
        look_ups: 3,
        ..Options::default()
    };
    (Journal::start_with(store.clone(), options), store)
}

async fn create_and_finish(db: &Db, commits: bool) {
    let (journal, store) = lossy(db, commits, 1);
    let intent = with_key(create("n1"), "k");
    assert_eq!(
        journal.begin(intent.clone()).await,
        Ok((Begun::Started, None))
    );
    store.losses.store(1, Ordering::SeqCst);
    let outcome = success(
        &intent,
        vec![MappingChange::Create(mapping("n1", "b1").into())],
    );
    assert_eq!(journal.finish(outcome).await, Ok((Finished::Done, None)));
    assert_eq!(
        db.operation(intent.operation.id).await.state,
        State::Succeeded
    );
    let row = journal.mapping(&key("n1")).await.unwrap().unwrap();
    assert_eq!(row.backend_id.as_deref(), Some("b1"));
    let counts = db.store.count_by_state().await.unwrap();
    assert_eq!(counts, [(State::Succeeded, 1)]);
}

async fn a_lost_commit_that_happened_is_found(db: Db) {
    create_and_finish(&db, true).await;
}

async fn a_lost_commit_that_did_not_happen_is_run_again(db: Db) {
    create_and_finish(&db, false).await;
}

async fn of_equal_retries_in_a_lost_commit_one_has_started(db: Db) {
    let first = with_key(create("n1"), "k");
    db.begin(&first).await;
    db.finish(&outcome(&first, State::Failed)).await;
    let mut retry = first.clone();
    retry.replaces = Some((1, State::Failed));
    retry.operation.attempt = 2;

    let (journal, _) = lossy(&db, true, 1);
    let (one, other, taken) = tokio::join!(
        journal.begin(retry.clone()),
        journal.begin(retry),
        journal.begin(with_key(create("n2"), "k")),
    );
    assert_eq!(one, Ok((Begun::Started, None)));
    assert!(
        matches!(other, Ok((Begun::Superseded(Some(_)), _))),
        "{other:?}"
    );
    assert!(matches!(taken, Ok((Begun::KeyTaken(_), _))), "{taken:?}");
}

async fn a_conflict_in_a_lost_commit_is_told(db: Db) {
    db.created("n1", "b1").await;
    let intent = create("n2");
    db.begin(&intent).await;
    let (journal, _) = lossy(&db, true, 1);
    let outcome = success(
        &intent,
        vec![MappingChange::Create(mapping("n2", "b1").into())],
    );
    let Ok((Finished::Conflict(row), _)) = journal.finish(outcome).await else {
        panic!("b1 is n1's");
    };
    assert_eq!(row.key, key("n1"));
}

async fn what_cannot_be_found_out_is_told_as_unknown(db: Db) {
    let (journal, _) = lossy(&db, false, 100);
    let begun = journal.begin(create("n1")).await;
    assert!(matches!(begun, Err(StoreError::CommitUnknown(_))));
}
