//! Outcomes and their mapping changes: all or nothing, compared and set (SEMANTICS 6, 12, 15).

use serde_json::json;

use super::*;

on_all!(
    an_outcome_and_its_mapping_are_one,
    an_outcome_of_another_attempt_epoch_or_state_writes_nothing,
    a_backend_id_that_another_object_has_is_a_conflict,
    a_conflict_leaves_none_of_the_changes,
    an_object_that_another_operation_mapped_is_a_conflict,
    one_backend_id_may_be_on_two_backends_and_resources,
    what_is_not_settled_is_counted_by_resource_and_backend,
    an_unknown_create_keeps_its_claim,
    an_update_merges_and_a_put_replaces,
    a_pending_backend_id_is_filled_in_later,
    backend_ids_may_move_between_objects,
    an_object_mapped_and_unmapped_in_one_batch_is_gone,
    a_change_that_cannot_be_stored_is_told,
);

async fn an_outcome_and_its_mapping_are_one(db: Db) {
    let intent = create("n1");
    db.begin(&intent).await;
    let mut row = mapping("n1", "b1");
    row.attributes = json!({"tag": 5, "s": "é"}).as_object().unwrap().clone();
    let outcome = success(&intent, vec![MappingChange::Create(row.clone().into())]);
    assert_eq!(db.finish(&outcome).await, Finished::Done);

    row.created_operation = Some(intent.operation.id);
    row.updated_operation = Some(intent.operation.id);
    assert_eq!(db.mapped("n1").await, Some(row));
    let operation = db.operation(intent.operation.id).await;
    let expected = Operation {
        state: State::Succeeded,
        claim: None,
        backend_status: Some(201),
        sends: 1,
        reply_status: Some(201),
        reply_headers: outcome.reply_headers,
        reply_body: outcome.reply_body,
        side_effect: "done".into(),
        safe_to_retry: true,
        finished_at: Some(2_000),
        ..intent.operation
    };
    assert_eq!(operation, expected);
}

async fn an_outcome_of_another_attempt_epoch_or_state_writes_nothing(db: Db) {
    let intent = create("n1");
    let outcome = success(
        &intent,
        vec![MappingChange::Create(mapping("n1", "b1").into())],
    );
    assert_eq!(db.finish(&outcome).await, Finished::Lost(None));
    db.begin(&intent).await;

    let mut other_attempt = outcome.clone();
    other_attempt.attempt = 2;
    let mut other_epoch = outcome.clone();
    other_epoch.epoch = 4;
    for other in [other_attempt, other_epoch] {
        let lost = Finished::Lost(Some(Box::new(intent.operation.clone())));
        assert_eq!(db.finish(&other).await, lost);
    }
    db.one(Write::RecoverPending {
        now: 5_000,
        owned: Vec::new(),
    })
    .await;
    let Finished::Lost(Some(row)) = db.finish(&outcome).await else {
        panic!("it is unknown by now");
    };
    assert_eq!(row.state, State::Unknown);
    assert_eq!(db.mapped("n1").await, None);
}

async fn a_backend_id_that_another_object_has_is_a_conflict(db: Db) {
    db.created("n1", "b1").await;
    let intent = create("n2");
    db.begin(&intent).await;
    let outcome = success(
        &intent,
        vec![MappingChange::Create(mapping("n2", "b1").into())],
    );
    let Finished::Conflict(row) = db.finish(&outcome).await else {
        panic!("b1 is n1's");
    };
    assert_eq!(row.key, key("n1"));

    let operation = db.operation(intent.operation.id).await;
    assert_eq!(operation.state, State::Unknown);
    assert_eq!(operation.claim, intent.operation.claim);
    assert_eq!(operation.side_effect, "done");
    assert!(!operation.safe_to_retry);
    assert_eq!((operation.sends, operation.backend_status), (1, Some(201)));
    let (code, detail) = operation.error.unwrap();
    assert_eq!(code, "mapping_conflict");
    assert!(detail.contains("n1") && detail.contains("n2"), "{detail}");
    assert_eq!(db.mapped("n2").await, None);
}

async fn a_conflict_leaves_none_of_the_changes(db: Db) {
    db.created("n1", "b1").await;
    db.created("n2", "b2").await;
    let intent = create("n3");
    db.begin(&intent).await;
    let changes = vec![
        MappingChange::Create(mapping("n3", "b3").into()),
        MappingChange::Delete { key: key("n2") },
        MappingChange::Update {
            key: key("n3"),
            backend_id: Some(Some("b1".into())),
            attributes: Map::new(),
        },
    ];
    let finished = db.finish(&success(&intent, changes)).await;
    assert!(matches!(finished, Finished::Conflict(row) if row.key == key("n1")));
    assert_eq!(db.mapped("n3").await, None);
    let kept = db.mapped("n2").await.unwrap();
    assert_eq!(kept.backend_id.as_deref(), Some("b2"));
}

async fn an_object_that_another_operation_mapped_is_a_conflict(db: Db) {
    let intent = create("n1");
    db.begin(&intent).await;
    // Without the claim, as a person's tool would on a database of its own.
    let mut rival = create("n1");
    rival.operation.claim = None;
    db.begin(&rival).await;
    let change = |id: &str| vec![MappingChange::Create(mapping("n1", id).into())];
    assert_eq!(
        db.finish(&success(&rival, change("b1"))).await,
        Finished::Done
    );
    let finished = db.finish(&success(&intent, change("b2"))).await;
    assert!(matches!(finished, Finished::Conflict(_)), "{finished:?}");
    let kept = db.mapped("n1").await.unwrap();
    assert_eq!(kept.backend_id.as_deref(), Some("b1"));
}

async fn one_backend_id_may_be_on_two_backends_and_resources(db: Db) {
    db.created("n1", "b1").await;
    let intent = create("n2");
    db.begin(&intent).await;
    let mut elsewhere = mapping("n2", "b1");
    elsewhere.backend = "neutron-2".into();
    let mut port = mapping("p1", "b1");
    port.key.resource = "port".into();
    let changes = vec![
        MappingChange::Create(elsewhere.into()),
        MappingChange::Create(port.into()),
    ];
    assert_eq!(db.finish(&success(&intent, changes)).await, Finished::Done);
    let counts = db.store.count_by_backend().await.unwrap();
    assert_eq!(counts, [("neutron-1".into(), 2), ("neutron-2".into(), 1)]);
    let count = async |of: CountOf| -> Vec<(String, String, u64)> {
        let found = db.store.count_mappings(&of).await.unwrap();
        let found = found.into_iter();
        found
            .map(|one| (one.resource, one.backend, one.count))
            .collect()
    };
    let on = |resource: &str, backend: &str, count| (resource.into(), backend.into(), count);
    let networks = [on("network", "neutron-1", 1), on("network", "neutron-2", 1)];
    let port = on("port", "neutron-1", 1);
    let all = [networks.as_slice(), std::slice::from_ref(&port)].concat();
    assert_eq!(count(CountOf::All).await, all);
    assert_eq!(count(CountOf::Resource("network".into())).await, networks);
    let first = [networks[0].clone(), port];
    assert_eq!(count(CountOf::Backend("neutron-1".into())).await, first);
    assert_eq!(count(CountOf::Backend("neutron-9".into())).await, []);
}

async fn what_is_not_settled_is_counted_by_resource_and_backend(db: Db) {
    db.created("n1", "b1").await;
    assert_eq!(db.store.count_unsettled().await.unwrap(), []);
    let (pending, unknown) = (create("n2"), create("n3"));
    db.begin(&pending).await;
    db.begin(&unknown).await;
    db.finish(&outcome(&unknown, State::Unknown)).await;
    let found = db.store.count_unsettled().await.unwrap();
    let [one] = found.as_slice() else {
        panic!("{found:?}");
    };
    let named = (&*one.resource, &*one.backend, one.count);
    assert_eq!(named, ("network", "neutron-1", 2));
}

async fn an_unknown_create_keeps_its_claim(db: Db) {
    let intent = create("n1");
    db.begin(&intent).await;
    assert_eq!(
        db.finish(&outcome(&intent, State::Unknown)).await,
        Finished::Done
    );
    let Begun::ClaimHeld(holder) = db.begin(&create("n1")).await else {
        panic!("an unknown create holds its object");
    };
    assert_eq!(holder.state, State::Unknown);
}

async fn an_update_merges_and_a_put_replaces(db: Db) {
    let first = db.created("n1", "b1").await;
    let attributes = |value: serde_json::Value| value.as_object().unwrap().clone();
    let update = |value| MappingChange::Update {
        key: key("n1"),
        backend_id: None,
        attributes: attributes(value),
    };
    let mut intent = create("n1");
    intent.expects.clear();
    db.begin(&intent).await;
    let changes = vec![update(json!({"a": 1, "b": [1]})), update(json!({"a": 2}))];
    db.finish(&success(&intent, changes)).await;
    let row = db.mapped("n1").await.unwrap();
    assert_eq!(row.backend_id.as_deref(), Some("b1"));
    assert_eq!(row.attributes, attributes(json!({"a": 2, "b": [1]})));
    assert_eq!(row.created_operation, Some(first.operation.id));
    assert_eq!(row.updated_operation, Some(intent.operation.id));
    assert_eq!((row.created_at, row.updated_at), (1_000, 2_000));

    let mut put = create("n1");
    put.expects.clear();
    db.begin(&put).await;
    let mut replaced = mapping("n1", "b9");
    replaced.attributes = attributes(json!({"c": null}));
    replaced.created_at = 9_000;
    let changes = vec![
        MappingChange::Put(replaced.into()),
        MappingChange::Put(mapping("n2", "b10").into()),
    ];
    db.finish(&success(&put, changes)).await;
    let row = db.mapped("n1").await.unwrap();
    assert_eq!(row.attributes, attributes(json!({"c": null})));
    assert_eq!(row.backend_id.as_deref(), Some("b9"));
    assert_eq!(row.created_operation, Some(first.operation.id));
    assert_eq!(row.created_at, 1_000);
    let new = db.mapped("n2").await.unwrap();
    assert_eq!(new.created_operation, Some(put.operation.id));
}

async fn a_pending_backend_id_is_filled_in_later(db: Db) {
    for name in ["n1", "n2"] {
        let intent = create(name);
        db.begin(&intent).await;
        let mut pending = mapping(name, "");
        pending.backend_id = None;
        let changes = vec![MappingChange::Create(pending.into())];
        assert_eq!(db.finish(&success(&intent, changes)).await, Finished::Done);
    }
    let mut job = create("n1");
    job.expects = vec![Expect::Mapped {
        key: key("n1"),
        backend: "neutron-1".into(),
        backend_id: None,
    }];
    assert_eq!(db.begin(&job).await, Begun::Started);
    let update = MappingChange::Update {
        key: key("n1"),
        backend_id: Some(Some("b1".into())),
        attributes: Map::new(),
    };
    assert_eq!(
        db.finish(&success(&job, vec![update])).await,
        Finished::Done
    );
    let row = db.mapped("n1").await.unwrap();
    assert_eq!(row.backend_id.as_deref(), Some("b1"));
    assert_eq!(db.mapped("n2").await.unwrap().backend_id, None);
}

async fn backend_ids_may_move_between_objects(db: Db) {
    db.created("n1", "b1").await;
    db.created("n2", "b2").await;
    let set = |name: &str, id: &str| MappingChange::Update {
        key: key(name),
        backend_id: Some(Some(id.into())),
        attributes: Map::new(),
    };
    let mut intent = create("n3");
    intent.expects.clear();
    db.begin(&intent).await;
    let changes = vec![set("n1", "b3"), set("n2", "b1")];
    assert_eq!(db.finish(&success(&intent, changes)).await, Finished::Done);
    let id = async |name: &str| db.mapped(name).await.unwrap().backend_id.unwrap();
    assert_eq!((id("n1").await, id("n2").await), ("b3".into(), "b1".into()));
}

async fn an_object_mapped_and_unmapped_in_one_batch_is_gone(db: Db) {
    let (made, gone, made_again) = (create("n1"), create("n1"), create("n1"));
    let mut gone = gone;
    gone.expects.clear();
    let create_row = |id: &str| vec![MappingChange::Create(mapping("n1", id).into())];
    let batch = [
        Write::Begin(Arc::new(made.clone())),
        Write::Finish(Arc::new(success(&made, create_row("b1")))),
        Write::Begin(Arc::new(gone.clone())),
        Write::Finish(Arc::new(success(
            &gone,
            vec![MappingChange::Delete { key: key("n1") }],
        ))),
    ];
    let done = Written::Finished(Finished::Done);
    let started = Written::Begun(Begun::Started);
    let expected = [started.clone(), done.clone(), started.clone(), done.clone()];
    assert_eq!(db.apply(&batch).await, expected);
    assert_eq!(db.mapped("n1").await, None);

    let batch = [
        Write::Begin(Arc::new(made_again.clone())),
        Write::Finish(Arc::new(success(&made_again, create_row("b1")))),
    ];
    assert_eq!(db.apply(&batch).await, [started, done]);
    assert!(db.mapped("n1").await.is_some());
}

async fn a_change_that_cannot_be_stored_is_told(db: Db) {
    let intent = create("n1");
    db.begin(&intent).await;
    let long = "x".repeat(513);
    let outcome = success(
        &intent,
        vec![MappingChange::Create(mapping("n1", &long).into())],
    );
    let written = db.one(Write::Finish(Arc::new(outcome))).await;
    assert!(matches!(written, Written::Invalid(words) if words.contains("backend_id")));
    assert_eq!(
        db.operation(intent.operation.id).await.state,
        State::Pending
    );
}
