//! Intents: keys, claims, expectations, next attempts (SEMANTICS 1, 2, 5, 6).

use super::*;

on_all!(
    an_intent_reads_back_as_it_was_written,
    an_explicit_key_belongs_to_one_operation_of_its_client,
    an_object_has_one_unsettled_operation,
    two_intents_of_one_batch_see_each_other,
    a_create_of_a_mapped_object_is_told_so,
    a_mapping_that_changed_since_refuses_the_intent,
    the_key_is_told_before_the_claim_and_the_claim_before_the_mapping,
    a_next_attempt_keeps_id_owner_key_and_age,
    a_next_attempt_of_another_state_is_superseded,
    of_two_equal_next_attempts_one_starts,
    an_intent_that_is_run_again_has_started,
    create_delete_create_makes_two_operations,
);

async fn an_intent_reads_back_as_it_was_written(db: Db) {
    let mut intent = with_key(create("n1"), "k 1");
    let operation = &mut intent.operation;
    operation.effects.push(effect("update", "é\u{1f600}"));
    operation.backend_status = Some(202);
    operation.reply_headers = vec![("location".into(), "/v1/\"x\"".into())];
    operation.reply_body = Some(vec![0, 255, 10]);
    operation.error = Some(("code".into(), "dé\"tail".into()));
    operation.note = Some("absent".into());
    operation.idempotent = true;
    assert_eq!(db.begin(&intent).await, Begun::Started);

    let stored = db.operation(intent.operation.id).await;
    assert_eq!(stored, intent.operation);
    let by_key = db.store.operation_by_key("cmp", "k 1").await.unwrap();
    assert_eq!(by_key.as_ref(), Some(&stored));
    let by_claim = db
        .store
        .operation_by_claim(key("n1").claim())
        .await
        .unwrap();
    assert_eq!(by_claim, Some(stored));
    assert_eq!(db.store.operation(Uuid::now_v7()).await.unwrap(), None);
}

async fn an_explicit_key_belongs_to_one_operation_of_its_client(db: Db) {
    let first = with_key(create("n1"), "k");
    assert_eq!(db.begin(&first).await, Begun::Started);
    let again = with_key(create("n2"), "k");
    let Begun::KeyTaken(holder) = db.begin(&again).await else {
        panic!("the key is taken");
    };
    assert_eq!(*holder, first.operation);

    let mut other_client = with_key(create("n2"), "k");
    other_client.operation.client = "other".into();
    assert_eq!(db.begin(&other_client).await, Begun::Started);
}

async fn an_object_has_one_unsettled_operation(db: Db) {
    let first = create("n1");
    assert_eq!(db.begin(&first).await, Begun::Started);
    let Begun::ClaimHeld(holder) = db.begin(&create("n1")).await else {
        panic!("the claim is held");
    };
    assert_eq!(*holder, first.operation);

    db.finish(&outcome(&first, State::Failed)).await;
    assert_eq!(db.operation(first.operation.id).await.claim, None);
    assert_eq!(db.begin(&create("n1")).await, Begun::Started);
}

async fn two_intents_of_one_batch_see_each_other(db: Db) {
    let claimed = [create("n1"), create("n1")];
    let keyed = [with_key(create("n2"), "k"), with_key(create("n3"), "k")];
    let batch: Vec<_> = claimed
        .iter()
        .chain(&keyed)
        .map(|intent| Write::Begin(Arc::new(intent.clone())))
        .collect();
    let written = db.apply(&batch).await;
    assert_eq!(written[0], Written::Begun(Begun::Started));
    let held = Begun::ClaimHeld(Box::new(claimed[0].operation.clone()));
    assert_eq!(written[1], Written::Begun(held));
    assert_eq!(written[2], Written::Begun(Begun::Started));
    let taken = Begun::KeyTaken(Box::new(keyed[0].operation.clone()));
    assert_eq!(written[3], Written::Begun(taken));
    for refused in [&claimed[1], &keyed[1]] {
        let row = db.store.operation(refused.operation.id).await.unwrap();
        assert_eq!(row, None);
    }
}

async fn a_create_of_a_mapped_object_is_told_so(db: Db) {
    db.created("n1", "b1").await;
    let Begun::AlreadyMapped(row) = db.begin(&create("n1")).await else {
        panic!("it is mapped");
    };
    assert_eq!(row.backend_id.as_deref(), Some("b1"));
}

async fn a_mapping_that_changed_since_refuses_the_intent(db: Db) {
    db.created("n1", "b1").await;
    let expecting = |backend_id: &str| {
        let mut intent = create("n2");
        intent.expects.push(Expect::Mapped {
            key: key("n1"),
            backend: "neutron-1".into(),
            backend_id: Some(backend_id.into()),
        });
        intent
    };
    assert_eq!(
        db.begin(&expecting("b0")).await,
        Begun::Changed(1, db.mapped("n1").await.map(Box::new))
    );
    let holds = expecting("b1");
    assert_eq!(db.begin(&holds).await, Begun::Started);
    db.finish(&outcome(&holds, State::Failed)).await;

    // No PUT is sent after a DELETE committed, not even one of the same batch.
    let delete = create("n1");
    let mut delete = Intent {
        expects: Vec::new(),
        ..delete
    };
    delete.operation.effects = vec![effect("delete", "n1")];
    assert_eq!(db.begin(&delete).await, Begun::Started);
    let gone = success(&delete, vec![MappingChange::Delete { key: key("n1") }]);
    let written = db
        .apply(&[
            Write::Finish(Arc::new(gone)),
            Write::Begin(Arc::new(expecting("b1"))),
        ])
        .await;
    assert_eq!(written[0], Written::Finished(Finished::Done));
    assert_eq!(written[1], Written::Begun(Begun::Changed(1, None)));
}

async fn the_key_is_told_before_the_claim_and_the_claim_before_the_mapping(db: Db) {
    db.created("n1", "b1").await;
    let mut update = with_key(create("n1"), "k");
    update.expects.clear();
    assert_eq!(db.begin(&update).await, Begun::Started);
    assert!(matches!(
        db.begin(&with_key(create("n1"), "k")).await,
        Begun::KeyTaken(_)
    ));
    assert!(matches!(db.begin(&create("n1")).await, Begun::ClaimHeld(_)));
    db.finish(&success(&update, Vec::new())).await;
    assert!(matches!(
        db.begin(&create("n1")).await,
        Begun::AlreadyMapped(_)
    ));
}

/// The next attempt of `first`, expecting it in `state`.
fn next(first: &Intent, state: State) -> Intent {
    let mut next = first.clone();
    next.replaces = Some((first.operation.attempt, state));
    next.operation.attempt += 1;
    next.operation.deadline += 50_000;
    next.operation.created_at += 50_000;
    next
}

async fn a_next_attempt_keeps_id_owner_key_and_age(db: Db) {
    let first = with_key(create("n1"), "k");
    db.begin(&first).await;
    db.finish(&outcome(&first, State::Failed)).await;

    let mut second = next(&first, State::Failed);
    second.operation.fingerprint = vec![8; 32];
    assert_eq!(db.begin(&second).await, Begun::Started);
    let expected = Operation {
        created_at: first.operation.created_at,
        ..second.operation.clone()
    };
    assert_eq!(db.operation(first.operation.id).await, expected);
    // The outcome of the first attempt comes too late for anything.
    let late = db.finish(&success(&first, Vec::new())).await;
    assert_eq!(late, Finished::Lost(Some(Box::new(expected))));
}

async fn a_next_attempt_of_another_state_is_superseded(db: Db) {
    let first = with_key(create("n1"), "k");
    let unborn = next(&first, State::Failed);
    assert_eq!(db.begin(&unborn).await, Begun::Superseded(None));

    db.begin(&first).await;
    let Begun::Superseded(Some(row)) = db.begin(&next(&first, State::Failed)).await else {
        panic!("it is still pending");
    };
    assert_eq!(*row, first.operation);
    // An unknown create still holds its own claim, which is no obstacle to its next attempt.
    db.finish(&outcome(&first, State::Unknown)).await;
    assert_eq!(
        db.begin(&next(&first, State::Unknown)).await,
        Begun::Started
    );
}

async fn of_two_equal_next_attempts_one_starts(db: Db) {
    let first = with_key(create("n1"), "k");
    db.begin(&first).await;
    db.finish(&outcome(&first, State::Failed)).await;
    let again = Write::Begin(Arc::new(next(&first, State::Failed)));
    let written = db.apply(&[again.clone(), again]).await;
    assert_eq!(written[0], Written::Begun(Begun::Started));
    assert!(matches!(
        written[1],
        Written::Begun(Begun::Superseded(Some(_)))
    ));
}

async fn an_intent_that_is_run_again_has_started(db: Db) {
    let intent = with_key(create("n1"), "k");
    assert_eq!(db.begin(&intent).await, Begun::Started);
    assert_eq!(db.begin(&intent).await, Begun::Started);
    let outcome = success(
        &intent,
        vec![MappingChange::Create(mapping("n1", "b1").into())],
    );
    assert_eq!(db.finish(&outcome).await, Finished::Done);
    assert_eq!(db.finish(&outcome).await, Finished::Done);
}

async fn create_delete_create_makes_two_operations(db: Db) {
    let first = db.created("n1", "b1").await;
    let mut delete = create("n1");
    delete.expects.clear();
    assert_eq!(db.begin(&delete).await, Begun::Started);
    let gone = MappingChange::Delete { key: key("n1") };
    db.finish(&success(&delete, vec![gone])).await;

    let second = db.created("n1", "b2").await;
    assert_ne!(first.operation.id, second.operation.id);
    let row = db.mapped("n1").await.unwrap();
    assert_eq!(row.created_operation, Some(second.operation.id));
    assert_eq!(row.backend_id.as_deref(), Some("b2"));
}
