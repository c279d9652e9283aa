//! What is done to rows by what they are: expiring, recovering, pruning (SEMANTICS 7, 16, 26).

use super::*;

on_all!(
    what_is_overdue_and_not_owned_becomes_unknown,
    after_a_restart_every_pending_operation_is_unknown,
    only_creates_and_deletes_keep_their_claim,
    pruning_deletes_the_oldest_settled_operations,
    what_is_unsettled_is_never_pruned,
    a_pruned_key_is_a_new_request,
);

async fn count(db: &Db, write: Write) -> u64 {
    match db.one(write).await {
        Written::Count(count) => count,
        other => panic!("{other:?}"),
    }
}

async fn what_is_overdue_and_not_owned_becomes_unknown(db: Db) {
    let (overdue, owned, early) = (create("n1"), create("n2"), create("n3"));
    let mut early = early;
    early.operation.deadline = 20_001;
    for intent in [&overdue, &owned, &early] {
        db.begin(intent).await;
    }
    let expire = Write::ExpirePending {
        now: 20_000,
        owned: vec![owned.operation.id, Uuid::now_v7()],
    };
    assert_eq!(count(&db, expire).await, 1);
    let row = db.operation(overdue.operation.id).await;
    assert_eq!(row.state, State::Unknown);
    assert_eq!(row.side_effect, "unknown");
    assert_eq!(row.finished_at, Some(20_000));
    assert_eq!(row.error.unwrap().0, "outcome_unknown");
    assert_eq!(db.operation(owned.operation.id).await, owned.operation);
    assert_eq!(db.operation(early.operation.id).await, early.operation);
}

async fn after_a_restart_every_pending_operation_is_unknown(db: Db) {
    let intents: Vec<_> = (0..300).map(|n| create(&n.to_string())).collect();
    let batch: Vec<_> = intents
        .iter()
        .map(|intent| Write::Begin(Arc::new(intent.clone())))
        .collect();
    db.apply(&batch).await;
    db.finish(&outcome(&intents[0], State::Failed)).await;
    assert_eq!(
        count(
            &db,
            Write::RecoverPending {
                now: 5,
                owned: Vec::new()
            }
        )
        .await,
        299
    );
    assert_eq!(
        count(
            &db,
            Write::RecoverPending {
                now: 6,
                owned: Vec::new()
            }
        )
        .await,
        0
    );
    let counts = db.store.count_by_state().await.unwrap();
    assert_eq!(counts, [(State::Failed, 1), (State::Unknown, 299)]);
}

/// A `put` may have created: only an update leaves nothing that must be named.
async fn only_creates_and_deletes_keep_their_claim(db: Db) {
    // A put may have made what it names.
    let verbs = [
        "create",
        "delete",
        "update",
        "put",
        "create_pending",
        "put_pending",
    ];
    let mut intents = Vec::new();
    for verb in verbs {
        let mut intent = create(verb);
        intent.operation.effects = vec![effect(verb, verb)];
        intent.operation.idempotent = verb == "delete" || verb == "put";
        db.begin(&intent).await;
        intents.push(intent);
    }
    assert_eq!(
        count(
            &db,
            Write::RecoverPending {
                now: 5,
                owned: Vec::new()
            }
        )
        .await,
        6
    );
    for (intent, keeps) in intents.iter().zip([true, true, false, true, true, true]) {
        let row = db.operation(intent.operation.id).await;
        assert_eq!(row.claim.is_some(), keeps, "{:?}", row.effects);
        assert_eq!(row.safe_to_retry, row.idempotent);
    }
}

/// A settled operation of that age.
async fn settled(db: &Db, name: &str, created_at: i64, state: State) -> OperationId {
    let mut intent = with_key(create(name), name);
    intent.operation.created_at = created_at;
    db.begin(&intent).await;
    let mut outcome = outcome(&intent, state);
    outcome.keep_claim = false;
    outcome.finished_at = created_at + 10;
    db.finish(&outcome).await;
    intent.operation.id
}

async fn pruning_deletes_the_oldest_settled_operations(db: Db) {
    let mut ids = Vec::new();
    for (index, state) in [
        State::Failed,
        State::Succeeded,
        State::Failed,
        State::Succeeded,
    ]
    .into_iter()
    .enumerate()
    {
        let created_at = 4_000 - 1_000 * index as i64;
        ids.push(settled(&db, &index.to_string(), created_at, state).await);
    }
    // The newest finished at 4010.
    let prune = |before, limit| Write::Prune { before, limit };
    assert_eq!(count(&db, prune(4_010, 2)).await, 2);
    let left = async |db: &Db| {
        let rows = db.store.list_operations(&all()).await.unwrap();
        rows.iter().map(|row| row.created_at).collect::<Vec<_>>()
    };
    let mut ages = left(&db).await;
    ages.sort_unstable();
    assert_eq!(ages, [3_000, 4_000]);
    assert_eq!(count(&db, prune(4_010, 10)).await, 1);
    assert_eq!(left(&db).await, [4_000]);
    assert_eq!(count(&db, prune(4_011, 10)).await, 1);
}

fn all() -> cmp_relay::store::OperationFilter {
    cmp_relay::store::OperationFilter {
        limit: 100,
        ..Default::default()
    }
}

async fn what_is_unsettled_is_never_pruned(db: Db) {
    settled(&db, "u", 1, State::Unknown).await;
    let mut pending = create("p");
    pending.operation.created_at = 1;
    db.begin(&pending).await;
    let prune = Write::Prune {
        before: i64::MAX,
        limit: 10,
    };
    assert_eq!(count(&db, prune).await, 0);
}

async fn a_pruned_key_is_a_new_request(db: Db) {
    settled(&db, "k", 1, State::Succeeded).await;
    let prune = Write::Prune {
        before: 1_000,
        limit: 10,
    };
    assert_eq!(count(&db, prune).await, 1);
    let found = db.store.operation_by_key("cmp", "k").await.unwrap();
    assert_eq!(found, None);
    assert_eq!(db.begin(&with_key(create("n1"), "k")).await, Begun::Started);
}
