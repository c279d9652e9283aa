//! What the tables hold and how it is found: bytes, limits, lists, the fingerprint key (SEMANTICS 21).

use cmp_relay::store::{MappingFilter, OperationFilter};

use super::*;

on_all!(
    ids_are_equal_when_their_bytes_are,
    ids_at_their_limits_are_stored_and_beyond_refused,
    mappings_come_in_the_order_that_was_asked_for,
    mappings_are_listed_by_key_page_by_page,
    operations_are_listed_newest_first_page_by_page,
    an_object_may_have_a_mapping_on_each_backend,
);

/// Equal to a database that folds case, pads, ignores accents or normalises.
const ALIKE: [&str; 9] = [
    "a",
    "A",
    "a ",
    "\u{e9}",
    "e\u{301}",
    "e",
    "\u{df}",
    "ss",
    "\u{1f600}",
];

async fn ids_are_equal_when_their_bytes_are(db: Db) {
    for id in ALIKE {
        let intent = with_key(create(id), id.trim());
        let begun = db.begin(&intent).await;
        // "a " is no key: it is stripped before; as an object id it is one.
        let expected = id != "a ";
        assert_eq!(begun == Begun::Started, expected, "{id:?}: {begun:?}");
        if !expected {
            assert_eq!(db.begin(&create(id)).await, Begun::Started);
        }
    }
    for id in ALIKE {
        let row = mapping(&format!("{id}!"), id);
        let adopt = Write::Adopt {
            mapping: row.clone(),
            by: "eve".into(),
        };
        let written = db.one(adopt).await;
        let done = Written::Settled(cmp_relay::store::Settled::Done);
        assert_eq!(written, done, "{id:?}");
        let found = db
            .store
            .mappings_by_backend_id("network", "neutron-1", &[id.to_owned()])
            .await
            .unwrap();
        assert_eq!(found, [Some(row)]);
    }
    let other_case = db
        .store
        .mappings_by_backend_id("Network", "neutron-1", &["a".into()])
        .await
        .unwrap();
    assert_eq!(other_case, [None]);
    let operation = db.store.operation_by_key("CMP", "a").await.unwrap();
    assert_eq!(operation, None);
}

async fn ids_at_their_limits_are_stored_and_beyond_refused(db: Db) {
    let sized = |by: usize| {
        let mut row = mapping(&"é".repeat(127), &"b".repeat(512));
        row.key.resource = "r".repeat(64);
        row.backend = "k".repeat(128);
        row.key.scope = row.backend.clone();
        match by {
            1 => row.key.resource.push('r'),
            2 => row.backend.push('k'),
            3 => row.key.cmp_id.push('é'),
            4 => row.backend_id.as_mut().unwrap().push('b'),
            5 => row.key.scope.push('k'),
            6 => row.key.cmp_id.push('\n'),
            7 => row.backend_id = Some(String::new()),
            _ => {}
        }
        row
    };
    for by in 1..=7 {
        let intent = create("n1");
        db.begin(&intent).await;
        let outcome = success(&intent, vec![MappingChange::Create(sized(by).into())]);
        let written = db.one(Write::Finish(Arc::new(outcome))).await;
        assert!(matches!(written, Written::Invalid(_)), "{by}: {written:?}");
    }
    let intent = create("n2");
    db.begin(&intent).await;
    let outcome = success(&intent, vec![MappingChange::Create(sized(0).into())]);
    assert_eq!(db.finish(&outcome).await, Finished::Done);
    let stored = db.store.mappings(&[sized(0).key]).await.unwrap();
    assert_eq!(stored[0].as_ref().unwrap().backend_id, sized(0).backend_id);

    let long = with_key(create("n3"), &"k".repeat(256));
    let written = db.one(Write::Begin(Arc::new(long))).await;
    assert!(matches!(written, Written::Invalid(_)));
}

async fn adopt_all(db: &Db, rows: &[Mapping]) {
    let batch: Vec<_> = rows
        .iter()
        .map(|row| Write::Adopt {
            mapping: row.clone(),
            by: "eve".into(),
        })
        .collect();
    db.apply(&batch).await;
}

async fn mappings_come_in_the_order_that_was_asked_for(db: Db) {
    let rows: Vec<_> = (0..150)
        .map(|n| mapping(&format!("n{n}"), &format!("b{n}")))
        .collect();
    adopt_all(&db, &rows).await;
    let keys: Vec<_> = [149, 7, 500, 7, 0].map(|n| key(&format!("n{n}"))).to_vec();
    let expected: Vec<_> = [149, 7, 500, 7, 0]
        .map(|n: usize| rows.get(n).cloned())
        .to_vec();
    assert_eq!(db.store.mappings(&keys).await.unwrap(), expected);
    let ids: Vec<_> = [149, 7, 500, 7, 0].map(|n| format!("b{n}")).to_vec();
    let found = db
        .store
        .mappings_by_backend_id("network", "neutron-1", &ids)
        .await
        .unwrap();
    assert_eq!(found, expected);
    assert_eq!(db.store.mappings(&[]).await.unwrap(), []);

    let all: Vec<_> = rows.iter().map(|row| row.key.clone()).collect();
    let found = db.store.mappings(&all).await.unwrap();
    assert!(
        found
            .iter()
            .zip(&rows)
            .all(|(found, row)| found.as_ref() == Some(row))
    );
}

async fn mappings_are_listed_by_key_page_by_page(db: Db) {
    let mut rows: Vec<_> = ["b", "a", "B", "é", "a b"]
        .map(|id| mapping(id, id))
        .to_vec();
    let mut port = mapping("a", "a");
    port.key.resource = "port".into();
    port.backend = "neutron-2".into();
    rows.push(port);
    adopt_all(&db, &rows).await;
    rows.sort_by(|a, b| a.key.cmp(&b.key));

    let mut filter = MappingFilter {
        limit: 2,
        ..Default::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = db.store.list_mappings(&filter).await.unwrap();
        let Some(last) = page.last() else { break };
        filter.after = Some(last.key.clone());
        pages.extend(page);
    }
    assert_eq!(pages, rows);

    let filtered = async |filter: MappingFilter| {
        let filter = MappingFilter { limit: 9, ..filter };
        db.store.list_mappings(&filter).await.unwrap().len()
    };
    let some = |text: &str| Some(text.to_owned());
    let by = MappingFilter::default;
    let counts = [
        filtered(MappingFilter {
            resource: some("port"),
            ..by()
        })
        .await,
        filtered(MappingFilter {
            cmp_id: some("a"),
            ..by()
        })
        .await,
        filtered(MappingFilter {
            backend: some("neutron-1"),
            ..by()
        })
        .await,
        filtered(MappingFilter {
            backend_id: some("b"),
            ..by()
        })
        .await,
    ];
    assert_eq!(counts, [1, 2, 5, 1]);
}

async fn operations_are_listed_newest_first_page_by_page(db: Db) {
    let mut ids = Vec::new();
    for name in ["n1", "n2", "n3"] {
        let mut intent = with_key(create(name), name);
        intent.operation.route = format!("route_{name}");
        db.begin(&intent).await;
        if name == "n2" {
            db.finish(&outcome(&intent, State::Failed)).await;
        }
        ids.push(intent.operation.id);
    }
    let list = async |filter: OperationFilter| -> Vec<OperationId> {
        let filter = OperationFilter { limit: 2, ..filter };
        let rows = db.store.list_operations(&filter).await.unwrap();
        rows.iter().map(|row| row.id).collect()
    };
    let by = OperationFilter::default;
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(list(by()).await, [ids[2], ids[1]]);
    let older = OperationFilter {
        before: Some(ids[1]),
        ..by()
    };
    assert_eq!(list(older).await, [ids[0]]);
    let failed = OperationFilter {
        state: Some(State::Failed),
        ..by()
    };
    assert_eq!(list(failed).await, [ids[1]]);
    let keyed = OperationFilter {
        client: some("cmp"),
        idempotency_key: some("n3"),
        ..by()
    };
    assert_eq!(list(keyed).await, [ids[2]]);
    let about = OperationFilter {
        resource: some("network"),
        cmp_id: some("n1"),
        route: some("route_n1"),
        backend: some("neutron-1"),
        ..by()
    };
    assert_eq!(list(about).await, [ids[0]]);
}

async fn an_object_may_have_a_mapping_on_each_backend(db: Db) {
    let on = |backend: &str| {
        let mut row = mapping("n1", "b1");
        row.backend = backend.into();
        row.key.scope = backend.into();
        row
    };
    adopt_all(&db, &[on("neutron-2"), on("neutron-1")]).await;
    let found = db.store.mappings_of_object("network", "n1").await.unwrap();
    assert_eq!(found, [on("neutron-1"), on("neutron-2")]);
}
