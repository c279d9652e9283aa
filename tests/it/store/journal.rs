//! The committer and the cache in front of a store: grouping, ordering, closing (SEMANTICS 6, 24).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cmp_relay::plan::Limits;
use cmp_relay::store::retention::{Clocks, Round, prune_round};
use cmp_relay::store::{Journal, Options};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::lost::delegate;
use super::*;

on_both!(
    of_fifty_creates_of_one_object_exactly_one_starts,
    concurrent_writes_share_commits,
    a_key_that_was_repeated_makes_others_likely_for_a_moment,
    one_bad_write_fails_alone,
    reads_come_from_memory_until_a_write_changes_them,
    a_read_that_a_delete_overtook_is_not_kept,
    memory_keeps_no_more_than_it_may,
    closing_commits_what_waits_and_refuses_the_rest,
    what_was_acknowledged_outlives_a_crash,
    a_round_of_pruning_is_bounded,
);

/// A store that counts commits, and can hold a commit or a read until it is let go.
struct Watched {
    inner: Arc<dyn Store>,
    commits: AtomicUsize,
    reads: AtomicUsize,
    hold_commit: AtomicBool,
    hold_read: AtomicBool,
    reached: Notify,
    go: Notify,
}

impl Watched {
    fn new(inner: &Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            inner: inner.clone(),
            commits: AtomicUsize::new(0),
            reads: AtomicUsize::new(0),
            hold_commit: AtomicBool::new(false),
            hold_read: AtomicBool::new(false),
            reached: Notify::new(),
            go: Notify::new(),
        })
    }

    async fn pause(&self, hold: &AtomicBool) {
        if hold.swap(false, Ordering::SeqCst) {
            self.reached.notify_one();
            self.go.notified().await;
        }
    }
}

impl Store for Watched {
    fn apply<'a>(
        &'a self,
        batch: &'a [Write],
    ) -> cmp_relay::store::Async<'a, Result<Applied, StoreError>> {
        Box::pin(async move {
            self.commits.fetch_add(1, Ordering::SeqCst);
            self.pause(&self.hold_commit).await;
            self.inner.apply(batch).await
        })
    }

    fn mappings<'a>(
        &'a self,
        keys: &'a [ObjectKey],
    ) -> cmp_relay::store::Async<'a, Result<Vec<Option<Mapping>>, StoreError>> {
        Box::pin(async move {
            self.reads.fetch_add(1, Ordering::SeqCst);
            let found = self.inner.mappings(keys).await;
            self.pause(&self.hold_read).await;
            found
        })
    }

    delegate!();
}

async fn of_fifty_creates_of_one_object_exactly_one_starts(db: Db) {
    let journal = Journal::start(db.store.clone());
    let mut requests = JoinSet::new();
    for number in 0..50 {
        let journal = journal.clone();
        let intent = with_key(create("n1"), &format!("key {number}"));
        requests.spawn(async move { journal.begin(intent).await.unwrap().0 });
    }
    let begun = requests.join_all().await;
    let started = begun.iter().filter(|begun| **begun == Begun::Started);
    assert_eq!(started.count(), 1);
    let held = begun.iter().filter(|b| matches!(b, Begun::ClaimHeld(_)));
    assert_eq!(held.count(), 49);
    let counts = db.store.count_by_state().await.unwrap();
    assert_eq!(counts, [(State::Pending, 1)]);
}

async fn concurrent_writes_share_commits(db: Db) {
    let watched = Watched::new(&db.store);
    watched.hold_commit.store(true, Ordering::SeqCst);
    let options = Options {
        batch_rows: 32,
        ..Options::default()
    };
    let journal = Journal::start_with(watched.clone(), options);
    let mut requests = JoinSet::new();
    let begin = |intent: Intent| {
        let journal = journal.clone();
        async move { assert_eq!(journal.begin(intent).await, Ok((Begun::Started, None))) }
    };
    // The first is committed at once and held; while it is, sixty-four more come.
    requests.spawn(begin(create("first")));
    watched.reached.notified().await;
    for number in 0..64 {
        requests.spawn(begin(create(&number.to_string())));
    }
    // Each of them has run up to its place in the queue once this task runs again.
    tokio::task::yield_now().await;
    watched.go.notify_one();
    requests.join_all().await;
    assert_eq!(watched.commits.load(Ordering::SeqCst), 3);
}

async fn one_bad_write_fails_alone(db: Db) {
    let watched = Watched::new(&db.store);
    watched.hold_commit.store(true, Ordering::SeqCst);
    let journal = Journal::start(watched.clone());
    let mut requests = Vec::new();
    for number in 0..8 {
        let mut intent = create(&number.to_string());
        match number {
            3 => intent.operation.side_effect = "maybe".into(),
            5 => intent.operation.object.cmp_id = "x".repeat(256),
            _ => {}
        }
        let journal = journal.clone();
        requests.push(tokio::spawn(async move { journal.begin(intent).await }));
        if number == 0 {
            watched.reached.notified().await;
        }
    }
    tokio::task::yield_now().await;
    watched.go.notify_one();
    for (number, request) in requests.into_iter().enumerate() {
        let result = request.await.unwrap();
        if number == 3 || number == 5 {
            assert!(matches!(result, Err(StoreError::Invalid(_))), "{result:?}");
        } else {
            assert_eq!(result, Ok((Begun::Started, None)));
        }
    }
}

fn backend_id(row: &Option<Arc<Mapping>>) -> Option<&str> {
    row.as_ref()?.backend_id.as_deref()
}

/// One operation that makes these changes.
async fn run(journal: &Journal, cmp_id: &str, changes: Vec<MappingChange>) {
    let mut intent = create(cmp_id);
    intent.expects.clear();
    assert_eq!(
        journal.begin(intent.clone()).await,
        Ok((Begun::Started, None))
    );
    let finished = journal.finish(success(&intent, changes)).await;
    assert_eq!(finished, Ok((Finished::Done, None)));
}

async fn a_key_that_was_repeated_makes_others_likely_for_a_moment(db: Db) {
    let journal = Journal::start(db.store.clone());
    db.begin(&with_key(create("n1"), "known")).await;
    let ask = async |key: &str| {
        journal
            .operation_by_key("cmp", key)
            .await
            .unwrap()
            .is_some()
    };
    assert!(!ask("new").await);
    assert!(!journal.keys_come_again());
    assert!(ask("known").await);
    assert!(journal.keys_come_again());
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!journal.keys_come_again());
}

async fn reads_come_from_memory_until_a_write_changes_them(db: Db) {
    let watched = Watched::new(&db.store);
    let journal = Journal::start(watched.clone());
    let reads = || watched.reads.load(Ordering::SeqCst);
    let get = async |name: &str| journal.mapping(&key(name)).await.unwrap();
    let by_id = async |id: &str| {
        let ids = [id.to_owned()];
        let found = journal.mappings_by_backend_id("network", "neutron-1", &ids);
        found.await.unwrap().remove(0)
    };

    assert_eq!(get("n1").await, None);
    assert_eq!(get("n1").await, None);
    assert_eq!(reads(), 2, "absence is never kept");

    let row = mapping("n1", "b1");
    run(&journal, "n1", vec![MappingChange::Create(row.into())]).await;
    let kept = get("n1").await;
    assert_eq!(backend_id(&kept), Some("b1"));
    assert_eq!(reads(), 2, "what was committed is known");
    assert_eq!(by_id("b1").await, kept);
    let stored = db.mapped("n1").await;
    assert_eq!(kept.as_deref(), stored.as_ref(), "memory equals the table");

    let update = MappingChange::Update {
        key: key("n1"),
        backend_id: Some(Some("b2".into())),
        attributes: Map::new(),
    };
    run(&journal, "n1", vec![update]).await;
    assert_eq!(by_id("b1").await, None);
    assert_eq!(backend_id(&by_id("b2").await), Some("b2"));
    assert_eq!(backend_id(&get("n1").await), Some("b2"));

    let both = journal.mappings(&[key("n2"), key("n1")]).await.unwrap();
    assert_eq!(
        (backend_id(&both[0]), backend_id(&both[1])),
        (None, Some("b2"))
    );

    let before = reads();
    journal.forget_cached();
    assert_eq!(backend_id(&get("n1").await), Some("b2"));
    assert_eq!(reads(), before + 1);

    run(
        &journal,
        "n1",
        vec![MappingChange::Delete { key: key("n1") }],
    )
    .await;
    assert_eq!(get("n1").await, None);
    assert_eq!(by_id("b2").await, None);
}

async fn a_read_that_a_delete_overtook_is_not_kept(db: Db) {
    db.created("n1", "b1").await;
    let watched = Watched::new(&db.store);
    let journal = Journal::start(watched.clone());
    watched.hold_read.store(true, Ordering::SeqCst);
    let reader = tokio::spawn({
        let journal = journal.clone();
        async move { journal.mapping(&key("n1")).await.unwrap() }
    });
    // The row has been read and not yet kept; now it is deleted.
    watched.reached.notified().await;
    run(
        &journal,
        "n1",
        vec![MappingChange::Delete { key: key("n1") }],
    )
    .await;
    watched.go.notify_one();
    assert_eq!(backend_id(&reader.await.unwrap()), Some("b1"));
    assert_eq!(journal.mapping(&key("n1")).await.unwrap(), None);
}

async fn memory_keeps_no_more_than_it_may(db: Db) {
    let keys: Vec<_> = (0..200).map(|number| key(&number.to_string())).collect();
    let adopt = |key: &ObjectKey| Write::Adopt {
        mapping: mapping(&key.cmp_id, &key.cmp_id),
        by: "ops".into(),
    };
    let adopted: Vec<_> = keys.iter().map(adopt).collect();
    db.store.apply(&adopted).await.unwrap();
    for (bound, kept) in [(64, 1..=64), (100_000, 200..=200)] {
        let journal = Journal::start_with(db.store.clone(), Options::of(&limits(bound)));
        let read = journal.mappings(&keys).await.unwrap();
        assert!(read.iter().all(Option::is_some));
        let held = keys.iter().filter(|key| journal.remembered(key).is_some());
        let held = held.count();
        assert!(kept.contains(&held), "{held} of {bound}");
    }
}

fn limits(cached_mappings: usize) -> Limits {
    Limits {
        request_body: 1,
        response_body: 1,
        stored_reply: 1,
        in_flight: 1,
        connections: 1,
        cached_mappings,
    }
}

async fn closing_commits_what_waits_and_refuses_the_rest(db: Db) {
    let watched = Watched::new(&db.store);
    watched.hold_commit.store(true, Ordering::SeqCst);
    let journal = Journal::start(watched.clone());
    let begin = |name: &str| {
        let (journal, intent) = (journal.clone(), create(name));
        tokio::spawn(async move { journal.begin(intent).await })
    };
    let first = begin("n1");
    watched.reached.notified().await;
    let second = begin("n2");
    tokio::task::yield_now().await;
    let closing = tokio::spawn({
        let journal = journal.clone();
        async move { journal.close().await }
    });
    tokio::task::yield_now().await;
    let third = begin("n3");
    tokio::task::yield_now().await;
    watched.go.notify_one();
    closing.await.unwrap();
    assert_eq!(first.await.unwrap(), Ok((Begun::Started, None)));
    assert_eq!(second.await.unwrap(), Ok((Begun::Started, None)));
    assert!(matches!(
        third.await.unwrap(),
        Err(StoreError::Unavailable(_))
    ));
    let late = journal.begin(create("n4")).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))));
    drop((journal, watched, db.store));
    let reopened = db.place.open().await.unwrap();
    let counts = reopened.count_by_state().await.unwrap();
    assert_eq!(counts, [(State::Pending, 2)]);
}

async fn what_was_acknowledged_outlives_a_crash(db: Db) {
    let Db { store, place } = db;
    let journal = Journal::start(store);
    let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let mut clients = JoinSet::new();
    for client in 0..8 {
        let (journal, acknowledge) = (journal.clone(), acknowledge.clone());
        clients.spawn(async move {
            for number in 0.. {
                let intent = create(&format!("{client} {number}"));
                let row = intent.operation.clone();
                assert_eq!(journal.begin(intent).await, Ok((Begun::Started, None)));
                let _ = acknowledge.send(row);
            }
        });
    }
    let mut rows = Vec::new();
    while rows.len() < 100 {
        rows.push(acknowledged.recv().await.unwrap());
    }
    // Nobody closes anything: the clients stop in the middle of a write.
    clients.shutdown().await;
    drop(journal);
    let store = super::place::reopened(&place).await;
    for row in rows {
        assert_eq!(store.operation(row.id).await, Ok(Some(row)));
    }
}

async fn a_round_of_pruning_is_bounded(db: Db) {
    let journal = Journal::start(db.store.clone());
    let batch: Vec<_> = (0..1_100)
        .flat_map(|number| {
            let intent = create(&number.to_string());
            let failed = outcome(&intent, State::Failed);
            [
                Write::Begin(Arc::new(intent)),
                Write::Finish(Arc::new(failed)),
            ]
        })
        .collect();
    db.apply(&batch).await;
    let clocks = Clocks::now();
    let day = std::time::Duration::from_secs(86_400);
    let round = async || prune_round(&journal, &clocks, day).await.unwrap();
    assert_eq!(round().await, Round::Deleted(1_000));
    assert_eq!(round().await, Round::Deleted(100));
    assert_eq!(round().await, Round::Deleted(0));
}
