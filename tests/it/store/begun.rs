//! What a store remembers of the operations that it began: nothing rests on it (SEMANTICS 6).

use super::*;

on_both!(
    what_another_hand_changed_meanwhile_is_not_overwritten,
    an_attempt_that_was_never_ended_hides_no_later_one
);

/// The first attempt was made unknown by a sweep, which names no row: the store still remembers it when the second ends.
async fn an_attempt_that_was_never_ended_hides_no_later_one(db: Db) {
    let first = create("n1");
    db.begin(&first).await;
    let recover = Write::RecoverPending {
        now: 5_000,
        owned: Vec::new(),
    };
    db.store.apply(&[recover]).await.unwrap();
    let mut second = first.clone();
    second.operation.attempt = 2;
    second.replaces = Some((1, State::Unknown));
    db.begin(&second).await;
    let mapped = MappingChange::Create(mapping("n1", "n1").into());
    let finish = Write::Finish(Arc::new(success(&second, vec![mapped])));
    let applied = db.store.apply(&[finish]).await.unwrap().written;
    assert_eq!(applied, [Written::Finished(Finished::Done)]);
    assert_eq!(
        db.operation(first.operation.id).await.state,
        State::Succeeded
    );
}

/// The store remembers what it began, and believes that it is so still: here it is not.
async fn what_another_hand_changed_meanwhile_is_not_overwritten(db: Db) {
    let (theirs, ours) = (create("n1"), create("n2"));
    for intent in [&theirs, &ours] {
        db.begin(intent).await;
    }
    let recover = Write::RecoverPending {
        now: 5_000,
        owned: vec![ours.operation.id],
    };
    match &db.place {
        Place::MariaDb(server) => {
            let other = MariaDbStore::connect(server, Exclusive::No).await.unwrap();
            other.apply(&[recover]).await.unwrap();
        }
        Place::Sqlite(folder) => {
            let file = rusqlite::Connection::open(folder.path().join("data/relay.db")).unwrap();
            let sql = "UPDATE operation SET state = 'unknown' WHERE id = ?";
            let id = theirs.operation.id.into_bytes();
            assert_eq!(file.execute(sql, [&id[..]]).unwrap(), 1);
        }
        Place::Memory(_) => unreachable!("it has one hand"),
    }
    let finish = |intent: &Intent, cmp_id: &str| {
        let row = mapping(cmp_id, cmp_id);
        Write::Finish(Arc::new(success(
            intent,
            vec![MappingChange::Create(row.into())],
        )))
    };
    let batch = [
        finish(&ours, "n2"),
        finish(&theirs, "n1"),
        Write::Begin(Arc::new(create("n3"))),
    ];
    let applied = db.store.apply(&batch).await.unwrap().written;
    let [done, lost, begun] = &applied[..] else {
        panic!("{applied:?}");
    };
    assert_eq!(*done, Written::Finished(Finished::Done));
    assert_eq!(*begun, Written::Begun(Begun::Started));
    let Written::Finished(Finished::Lost(Some(row))) = lost else {
        panic!("{lost:?}");
    };
    assert_eq!(row.state, State::Unknown);
    let state = async |intent: &Intent| db.operation(intent.operation.id).await.state;
    assert_eq!(state(&theirs).await, State::Unknown);
    assert_eq!(state(&ours).await, State::Succeeded);
    assert_eq!(db.mapped("n1").await, None);
    assert!(db.mapped("n2").await.is_some());
}
