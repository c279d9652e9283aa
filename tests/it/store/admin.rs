//! What a person writes: `resolve`, `adopt`, `forget` (SEMANTICS 2, 15, 16, 28).

use cmp_relay::store::{HostKeyRow, Settled, Settlement, Verdict};

use super::*;

on_all!(
    an_operation_settled_as_failed_frees_its_object,
    an_operation_settled_as_succeeded_maps_its_object,
    before_the_deadline_settling_needs_force,
    only_what_is_unsettled_can_be_settled,
    settling_a_create_needs_the_backend_id_unless_it_comes_later,
    settling_a_delete_removes_the_mapping,
    a_conflict_is_replaced_only_on_demand,
    a_put_updates_its_own_object_and_no_other,
    settling_waits_for_an_operation_on_the_same_object,
    adopting_records_a_mapping_once,
    forgetting_respects_the_claim,
    every_administrative_write_leaves_an_audit_row,
    a_host_key_is_recorded_once_and_forgotten_by_a_person,
);

impl Db {
    async fn settled(&self, write: Write) -> Settled {
        match self.one(write).await {
            Written::Settled(settled) => settled,
            other => panic!("{other:?}"),
        }
    }

    async fn unknown(&self, cmp_id: &str) -> Intent {
        let intent = create(cmp_id);
        assert_eq!(self.begin(&intent).await, Begun::Started);
        self.finish(&outcome(&intent, State::Unknown)).await;
        intent
    }
}

fn settlement(intent: &Intent, verdict: Verdict) -> Settlement {
    Settlement {
        id: intent.operation.id,
        attempt: intent.operation.attempt,
        verdict,
        force: false,
        replace: false,
        by: "eve".into(),
        at: intent.operation.deadline + 1,
    }
}

fn succeeded(backend_id: Option<&str>) -> Verdict {
    Verdict::Succeeded {
        backend_id: backend_id.map(str::to_owned),
        reply_body: Some(b"{\"id\":1}".to_vec()),
        reply_status: 201,
    }
}

fn adopt(row: &Mapping) -> Write {
    Write::Adopt {
        mapping: row.clone(),
        by: "eve".into(),
    }
}

fn forget(cmp_id: &str) -> Write {
    Write::Forget {
        key: key(cmp_id),
        by: "eve".into(),
        at: 7,
    }
}

async fn an_operation_settled_as_failed_frees_its_object(db: Db) {
    let intent = db.unknown("n1").await;
    let settle = Write::Settle(settlement(&intent, Verdict::Failed));
    assert_eq!(db.settled(settle).await, Settled::Done);
    let row = db.operation(intent.operation.id).await;
    assert_eq!(row.state, State::Failed);
    assert!(row.safe_to_retry);
    assert_eq!((row.claim, row.note.as_deref()), (None, Some("operator")));
    assert_eq!(row.side_effect, "none");
    assert_eq!(db.mapped("n1").await, None);
    assert_eq!(db.begin(&create("n1")).await, Begun::Started);
}

async fn an_operation_settled_as_succeeded_maps_its_object(db: Db) {
    let intent = db.unknown("n1").await;
    let settle = Write::Settle(settlement(&intent, succeeded(Some("b1"))));
    assert_eq!(db.settled(settle).await, Settled::Done);
    let row = db.operation(intent.operation.id).await;
    assert_eq!(row.state, State::Succeeded);
    assert_eq!((row.claim, row.note.as_deref()), (None, Some("operator")));
    assert_eq!(row.reply_status, Some(201));
    assert_eq!(row.reply_body.as_deref(), Some(&b"{\"id\":1}"[..]));
    assert_eq!((row.side_effect.as_str(), row.error), ("done", None));
    let mapped = db.mapped("n1").await.unwrap();
    assert_eq!(mapped.backend_id.as_deref(), Some("b1"));
    assert_eq!((&*mapped.backend, &*mapped.kind), ("neutron-1", "neutron"));
    assert_eq!(mapped.created_operation, Some(intent.operation.id));
}

async fn before_the_deadline_settling_needs_force(db: Db) {
    let early = |intent: &Intent, verdict, force| {
        Write::Settle(Settlement {
            at: intent.operation.deadline - 1,
            force,
            ..settlement(intent, verdict)
        })
    };
    let unknown = db.unknown("n1").await;
    let refused = db.settled(early(&unknown, Verdict::Failed, false)).await;
    assert!(matches!(&refused, Settled::Refused(words) if words.contains("force")));
    let done = db.settled(early(&unknown, Verdict::Failed, true)).await;
    assert_eq!(done, Settled::Done);

    // That something exists is no assertion about the future.
    let unknown = db.unknown("n2").await;
    let done = db
        .settled(early(&unknown, succeeded(Some("b2")), false))
        .await;
    assert_eq!(done, Settled::Done);

    let pending = create("n3");
    db.begin(&pending).await;
    for verdict in [Verdict::Failed, succeeded(Some("b3"))] {
        let refused = db.settled(early(&pending, verdict, false)).await;
        assert!(matches!(refused, Settled::Refused(_)));
    }
    let done = db
        .settled(early(&pending, succeeded(Some("b3")), true))
        .await;
    assert_eq!(done, Settled::Done);
    // Its own outcome comes too late.
    let late = db.finish(&success(&pending, Vec::new())).await;
    assert!(matches!(late, Finished::Lost(Some(_))));

    let overdue = create("n4");
    db.begin(&overdue).await;
    let settle = Write::Settle(settlement(&overdue, Verdict::Failed));
    assert_eq!(db.settled(settle).await, Settled::Done);
}

async fn only_what_is_unsettled_can_be_settled(db: Db) {
    let never = create("n0");
    let settle = Write::Settle(settlement(&never, Verdict::Failed));
    assert_eq!(db.settled(settle).await, Settled::NotFound);

    let done = db.created("n1", "b1").await;
    let forced = Settlement {
        force: true,
        ..settlement(&done, Verdict::Failed)
    };
    let refused = db.settled(Write::Settle(forced)).await;
    assert!(matches!(refused, Settled::Refused(words) if words.contains("succeeded")));
    assert!(db.mapped("n1").await.is_some());

    let unknown = db.unknown("n2").await;
    let other_attempt = Settlement {
        attempt: 2,
        ..settlement(&unknown, Verdict::Failed)
    };
    let refused = db.settled(Write::Settle(other_attempt)).await;
    assert!(matches!(refused, Settled::Refused(words) if words.contains("attempt 1")));
}

async fn settling_a_create_needs_the_backend_id_unless_it_comes_later(db: Db) {
    let intent = db.unknown("n1").await;
    let refused = db
        .settled(Write::Settle(settlement(&intent, succeeded(None))))
        .await;
    assert!(matches!(refused, Settled::Refused(words) if words.contains("backend id")));
    let long = "x".repeat(513);
    let refused = db
        .settled(Write::Settle(settlement(&intent, succeeded(Some(&long)))))
        .await;
    assert!(matches!(refused, Settled::Refused(words) if words.contains("512")));
    assert_eq!(
        db.operation(intent.operation.id).await.state,
        State::Unknown
    );

    // A job has its id; the network that it will make has none yet.
    let mut job = create("j1");
    job.operation.effects = vec![effect("create_pending", "n2"), effect("create", "j1")];
    db.begin(&job).await;
    db.finish(&outcome(&job, State::Unknown)).await;
    let settle = Write::Settle(settlement(&job, succeeded(Some("42"))));
    assert_eq!(db.settled(settle).await, Settled::Done);
    let job_row = db.mapped("j1").await.unwrap();
    assert_eq!(job_row.backend_id.as_deref(), Some("42"));
    assert_eq!(db.mapped("n2").await.unwrap().backend_id, None);
}

async fn settling_a_delete_removes_the_mapping(db: Db) {
    db.created("n1", "b1").await;
    let mut delete = create("n1");
    delete.expects.clear();
    delete.operation.effects = vec![effect("delete", "n1")];
    db.begin(&delete).await;
    db.finish(&outcome(&delete, State::Unknown)).await;
    let settle = Write::Settle(settlement(&delete, succeeded(None)));
    assert_eq!(db.settled(settle).await, Settled::Done);
    assert_eq!(db.mapped("n1").await, None);
}

async fn a_conflict_is_replaced_only_on_demand(db: Db) {
    db.created("n1", "b1").await;
    let intent = db.unknown("n2").await;
    let verdict = succeeded(Some("b1"));
    let settled = db
        .settled(Write::Settle(settlement(&intent, verdict.clone())))
        .await;
    assert!(matches!(settled, Settled::Conflict(row) if row.key == key("n1")));
    assert_eq!(
        db.operation(intent.operation.id).await.state,
        State::Unknown
    );
    assert_eq!(db.mapped("n2").await, None);

    let replace = Settlement {
        replace: true,
        ..settlement(&intent, verdict)
    };
    assert_eq!(db.settled(Write::Settle(replace)).await, Settled::Done);
    assert_eq!(db.mapped("n1").await, None);
    let mapped = db.mapped("n2").await.unwrap();
    assert_eq!(mapped.backend_id.as_deref(), Some("b1"));
}

async fn a_put_updates_its_own_object_and_no_other(db: Db) {
    let first = db.created("n1", "b1").await;
    db.created("n2", "b2").await;
    let mut put = create("n1");
    put.expects.clear();
    put.operation.effects = vec![effect("put", "n1")];
    db.begin(&put).await;
    db.finish(&outcome(&put, State::Unknown)).await;

    let settle = |id| Write::Settle(settlement(&put, succeeded(Some(id))));
    let settled = db.settled(settle("b2")).await;
    assert!(matches!(settled, Settled::Conflict(row) if row.key == key("n2")));
    assert_eq!(db.settled(settle("b3")).await, Settled::Done);
    let row = db.mapped("n1").await.unwrap();
    assert_eq!(row.backend_id.as_deref(), Some("b3"));
    assert_eq!(row.created_operation, Some(first.operation.id));
    assert_eq!(row.updated_operation, Some(put.operation.id));
}

async fn settling_waits_for_an_operation_on_the_same_object(db: Db) {
    // An unknown update holds no claim, so another operation may be at work on its object.
    let mut update = create("n1");
    update.operation.effects = vec![effect("update", "n1")];
    db.begin(&update).await;
    let mut unknown = outcome(&update, State::Unknown);
    unknown.keep_claim = false;
    db.finish(&unknown).await;
    let other = create("n1");
    assert_eq!(db.begin(&other).await, Begun::Started);

    let settled = db
        .settled(Write::Settle(settlement(&update, succeeded(None))))
        .await;
    assert!(matches!(settled, Settled::ClaimHeld(row) if row.id == other.operation.id));
}

async fn adopting_records_a_mapping_once(db: Db) {
    let row = mapping("n1", "b1");
    assert_eq!(db.settled(adopt(&row)).await, Settled::Done);
    assert_eq!(db.mapped("n1").await, Some(row.clone()));
    let refused = db.settled(adopt(&row)).await;
    assert!(matches!(refused, Settled::Refused(words) if words.contains("forget")));
    let conflict = db.settled(adopt(&mapping("n2", "b1"))).await;
    assert_eq!(conflict, Settled::Conflict(Box::new(row)));
    let long = "x".repeat(256);
    let refused = db.settled(adopt(&mapping(&long, "b2"))).await;
    assert!(matches!(refused, Settled::Refused(words) if words.contains("cmp_id")));

    let intent = create("n3");
    db.begin(&intent).await;
    let held = db.settled(adopt(&mapping("n3", "b3"))).await;
    assert_eq!(held, Settled::ClaimHeld(Box::new(intent.operation)));
}

async fn forgetting_respects_the_claim(db: Db) {
    assert_eq!(db.settled(forget("n1")).await, Settled::NotFound);
    db.created("n1", "b1").await;
    let mut update = create("n1");
    update.expects.clear();
    db.begin(&update).await;
    let held = db.settled(forget("n1")).await;
    assert!(matches!(held, Settled::ClaimHeld(row) if row.id == update.operation.id));
    db.finish(&success(&update, Vec::new())).await;
    assert_eq!(db.settled(forget("n1")).await, Settled::Done);
    assert_eq!(db.mapped("n1").await, None);
}

async fn every_administrative_write_leaves_an_audit_row(db: Db) {
    db.settled(adopt(&mapping("n1", "b1"))).await;
    db.settled(adopt(&mapping("n1", "b1"))).await;
    db.settled(forget("n1")).await;
    let intent = db.unknown("n2").await;
    let settle = Write::Settle(settlement(&intent, Verdict::Failed));
    db.settled(settle).await;
    let reload = Write::Audit {
        by: "eve".into(),
        action: "reload".into(),
        detail: "3 routes".into(),
        at: 9,
    };
    assert_eq!(db.one(reload).await, Written::Count(1));

    let audits = db.store.list_audit(10).await.unwrap();
    let mut actions: Vec<_> = audits.iter().map(|audit| &*audit.action).collect();
    actions.sort_unstable();
    assert_eq!(actions, ["adopt", "forget", "reload", "resolve"]);
    assert!(audits.iter().all(|audit| audit.by == "eve"));
    assert_eq!(db.store.list_audit(1).await.unwrap().len(), 1);
}

async fn a_host_key_is_recorded_once_and_forgotten_by_a_person(db: Db) {
    let row = |backend: &str, host_key: &str| HostKeyRow {
        backend: backend.into(),
        host_key: host_key.into(),
        first_seen: 7,
    };
    let record = |backend, key| Write::RecordHostKey(row(backend, key));
    let forget = |backend: &str| Write::ForgetHostKey {
        backend: backend.into(),
        by: "eve".into(),
        at: 9,
    };
    assert_eq!(db.store.host_keys().await.unwrap(), []);
    // In one batch, as the committer groups them: the first one counts.
    let batch = [
        record("sw-2", "ssh-rsa SHA256:b"),
        record("sw-1", "ssh-ed25519 SHA256:a"),
        record("sw-1", "ssh-ed25519 SHA256:other"),
    ];
    let counts = [1, 1, 0].map(Written::Count);
    assert_eq!(db.apply(&batch).await, counts);
    let again = record("sw-1", "ssh-ed25519 SHA256:later");
    assert_eq!(db.one(again).await, Written::Count(0));
    let rows = [
        row("sw-1", "ssh-ed25519 SHA256:a"),
        row("sw-2", "ssh-rsa SHA256:b"),
    ];
    assert_eq!(db.store.host_keys().await.unwrap(), rows);

    // A backend is named by its bytes.
    assert_eq!(db.one(forget("SW-1")).await, Written::Count(0));
    assert_eq!(db.one(forget("sw-1")).await, Written::Count(1));
    assert_eq!(db.one(forget("sw-1")).await, Written::Count(0));
    assert_eq!(db.store.host_keys().await.unwrap(), rows[1..]);
    let audits = db.store.list_audit(10).await.unwrap();
    let told: Vec<_> = audits
        .iter()
        .map(|audit| (&*audit.by, &*audit.action, &*audit.detail, audit.at))
        .collect();
    let detail = "sw-1 ssh-ed25519 SHA256:a";
    assert_eq!(told, [("eve", "forget_host_key", detail, 9)]);

    let next = record("sw-1", "ssh-ed25519 SHA256:next");
    assert_eq!(db.one(next).await, Written::Count(1));
}
