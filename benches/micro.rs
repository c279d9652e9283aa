//! What the parts of one request cost by themselves, on the routes that `bench/run` measures whole.
//!
//! `cargo bench --bench micro`, or `bench/micro`, which keeps the medians for docs/performance.md.

use std::hint::black_box;
use std::path::Path;

use cmp_relay::config::{self, Env, SourceFiles};
use cmp_relay::diagnostics::Diagnostics;
use cmp_relay::plan::{
    Action, BackendIdSource, HttpBody, Plan, ReplyBody, Route, RouteId, RouteTable,
};
use cmp_relay::transform::{AnswerView, Root, Scope, Tree};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use http::{HeaderMap, Method};
use serde_json::{Map, Value, json};

const BACKEND: (&str, &str) = (
    "backends.d/store-1.yaml",
    "version: 1\nname: store-1\nkind: store\ndriver: { https: { url: http://127.0.0.1:9000 } }\n",
);

fn plan() -> Plan {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/bench/relay"));
    let routes = SourceFiles::read(folder, &mut Diagnostics::default());
    let files: Vec<(&str, &str)> = routes
        .iter()
        .map(|(_, file)| (&*file.path, &*file.text))
        .chain([BACKEND])
        .collect();
    let loaded = config::load_from_memory(&files, &Env::new([]));
    loaded.plan.expect("the benchmark's routes compile")
}

fn route<'p>(plan: &'p Plan, name: &str) -> &'p Route {
    plan.route(plan.route_named(name).expect("the route is there"))
}

/// The CMP's request: 21 fields.
fn request() -> Value {
    let mut body: Map<String, Value> = (1..=18)
        .map(|field| {
            (
                format!("field_{field:02}"),
                format!("value-{field:02}-of-it").into(),
            )
        })
        .collect();
    body.insert("id".into(), "t-1".into());
    body.insert("name".into(), "thing".into());
    body.insert("vlan".into(), 101.into());
    Value::Object(body)
}

/// The backend's answer: some 600 bytes.
fn answer() -> Value {
    let mut data: Map<String, Value> = (0..16)
        .map(|fact| {
            (
                format!("fact_{fact:02}"),
                format!("value-{fact:02}-of-it").into(),
            )
        })
        .collect();
    data.insert("id".into(), "be-1".into());
    data.insert("name".into(), "object".into());
    data.insert("status".into(), "ACTIVE".into());
    data.insert("vlan".into(), 101.into());
    data.insert("mtu".into(), 1500.into());
    data.insert("enabled".into(), true.into());
    json!({ "data": data, "request": "r".repeat(36) })
}

/// What is known once the backend has answered.
fn scope() -> Scope {
    let mut scope = Scope::new();
    scope.set(Root::Body, request());
    scope.set(
        Root::Object,
        json!({ "cmp_id": "t-1", "backend_id": "be-1" }),
    );
    scope.set(Root::Response, json!({ "body": answer() }));
    let extracted =
        json!({ "first": "value-00-of-it", "second": "value-01-of-it", "third": "value-02-of-it" });
    scope.set(Root::Extracted, extracted);
    scope
}

fn call_body(route: &Route) -> &Tree {
    match &route.ways[0].call.action {
        Action::Http(call) => match &call.body {
            HttpBody::Json(tree) => tree,
            other => panic!("the call's body is {other:?}"),
        },
        other => panic!("the call is {other:?}"),
    }
}

fn reply_body(route: &Route) -> &Tree {
    match &route.ways[0].reply.body {
        ReplyBody::Tree(tree) => tree,
        other => panic!("the reply's body is {other:?}"),
    }
}

/// The 20 fields of a create, the 9 of a reply.
fn trees(plan: &Plan) -> [(&'static str, &Tree); 2] {
    [
        (
            "a call's body of 20 fields",
            call_body(route(plan, "create_thing")),
        ),
        ("a reply of 9 fields", reply_body(route(plan, "get_thing"))),
    ]
}

/// Trees as values.
fn render(criterion: &mut Criterion) {
    let (plan, scope) = (plan(), scope());
    let mut group = criterion.benchmark_group("render");
    for (name, tree) in trees(&plan) {
        assert!(tree.to_value(&scope).is_ok_and(|value| value.is_some()));
        group.bench_function(name, |bencher| {
            bencher.iter(|| tree.to_value(black_box(&scope)));
        });
    }
}

/// The same straight to bytes, as they are sent.
fn encode(criterion: &mut Criterion) {
    let (plan, scope) = (plan(), scope());
    let mut group = criterion.benchmark_group("encode");
    for (name, tree) in trees(&plan) {
        let mut out = Vec::with_capacity(1024);
        tree.write_json(&scope, &mut out).expect("the tree renders");
        let read: Value = serde_json::from_slice(&out).expect("what is written is JSON");
        assert_eq!(tree.to_value(&scope), Ok(Some(read)));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                out.clear();
                tree.write_json(black_box(&scope), &mut out)
            });
        });
    }
}

/// The backend's id out of its answer.
fn select(criterion: &mut Criterion) {
    let (plan, scope) = (plan(), scope());
    let headers = HeaderMap::new();
    let body = answer();
    let view = AnswerView {
        status: 201,
        headers: &headers,
        body: Some(&body),
        text: "",
        stderr: "",
    };
    let mapping = &route(&plan, "create_thing").ways[0].mapping[0];
    let Some(BackendIdSource::Extract(source)) = &mapping.backend_id else {
        panic!("the id is extracted");
    };
    assert_eq!(
        source.extract_id(&view, &scope, 255),
        Ok(Some("be-1".into()))
    );
    criterion.bench_function("select/$.data.id", |bencher| {
        bencher.iter(|| source.extract_id(black_box(&view), &scope, 255));
    });
}

/// A path looked up among many; each time another one.
fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("route");
    for count in [10_u16, 1_000, 10_000] {
        let mut table = RouteTable::default();
        let paths: Vec<String> = (0..count)
            .map(|number| format!("/v1/kind-{:02}/things-{number}/", number % 50))
            .collect();
        for (number, path) in paths.iter().enumerate() {
            let id = RouteId(u16::try_from(number).expect("so many routes have an id"));
            let pattern = format!("{path}{{id}}");
            table
                .insert(&Method::GET, &pattern, id)
                .expect("the paths differ");
        }
        let asked: Vec<String> = paths.iter().map(|path| format!("{path}t-1")).collect();
        let mut next = 0;
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                next = (next + 7_919) % asked.len();
                table.find(&Method::GET, black_box(&asked[next]))
            });
        });
    }
}

/// A create's body against its JSON Schema.
fn schema(criterion: &mut Criterion) {
    let plan = plan();
    let rules = route(&plan, "create_thing").request.body.as_ref();
    let schema = rules.expect("the body has a schema");
    let body = request();
    assert!(schema.check(&body).is_empty());
    assert!(!schema.check(&json!({ "id": 5 })).is_empty());
    criterion.bench_function("schema/a body of 21 fields", |bencher| {
        bencher.iter(|| schema.check(black_box(&body)));
    });
}

criterion_group!(micro, render, encode, select, find, schema);
criterion_main!(micro);
