//! What the tests of `transform` share: nodes out of JSON, an environment with one of everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Value, json};

use super::{Env, Root, Scope, ValueMap};
use crate::diagnostics::{Diagnostic, Diagnostics};
use crate::document::{Entry, FileId, Kind, Node, Scalar, Span};

/// A text scalar that stands byte for byte at the start of a file.
pub(super) fn text_node(text: &str) -> Node {
    Node {
        span: Span::new(FileId(0), 0, text.len()),
        kind: Kind::Text(Scalar {
            text: text.into(),
            verbatim_at: Some(0),
            plain: false,
        }),
    }
}

/// A document without places of its own.
pub(super) fn node(value: &Value) -> Node {
    let kind = match value {
        Value::Null => Kind::Null,
        Value::Bool(value) => Kind::Bool(*value),
        Value::Number(number) => Kind::Number(number.clone()),
        Value::String(text) => return text_node(text),
        Value::Array(items) => Kind::List(items.iter().map(node).collect()),
        Value::Object(map) => Kind::Map(
            map.iter()
                .map(|(key, value)| Entry {
                    key: key.clone(),
                    key_span: Span::new(FileId(0), 0, key.len()),
                    value: node(value),
                })
                .collect(),
        ),
    };
    Node {
        span: Span::default(),
        kind,
    }
}

/// The names that exist in the tests.
pub(super) struct Names {
    path: Vec<Box<str>>,
    parents: Vec<Box<str>>,
    lets: Vec<Box<str>>,
    extracted: Vec<Box<str>>,
    tokens: Vec<Box<str>>,
    maps: BTreeMap<Box<str>, Arc<ValueMap>>,
    resources: BTreeSet<Box<str>>,
    pub(super) templates: BTreeMap<Box<str>, (FileId, Arc<str>)>,
}

impl Names {
    pub(super) fn new() -> Self {
        let action = ValueMap {
            entries: vec![
                (json!("allow"), json!("accept")),
                (json!("deny"), json!("drop")),
                (json!("1"), json!("one")),
            ],
        };
        Self {
            path: vec!["id".into()],
            parents: vec!["policy".into()],
            lets: vec!["name".into()],
            extracted: vec!["job".into()],
            tokens: vec!["session".into()],
            maps: BTreeMap::from([("action".into(), Arc::new(action))]),
            resources: BTreeSet::from(["network".into(), "firewall_rule".into()]),
            templates: BTreeMap::new(),
        }
    }

    pub(super) fn with_template(mut self, name: &str, text: &str) -> Self {
        self.templates
            .insert(name.into(), (FileId(1), Arc::from(text)));
        self
    }

    /// Everything exists but `response`, `extracted` and `tokens`.
    pub(super) fn env(&self) -> Env<'_> {
        const ROOTS: &[Root] = &[
            Root::Path,
            Root::Query,
            Root::Header,
            Root::Body,
            Root::Object,
            Root::Parents,
            Root::Backend,
            Root::Request,
            Root::Let,
            Root::Mapping,
        ];
        self.env_with(ROOTS)
    }

    pub(super) fn env_with<'a>(&'a self, roots: &'a [Root]) -> Env<'a> {
        Env {
            roots,
            path: &self.path,
            parents: &self.parents,
            lets: &self.lets,
            extracted: &self.extracted,
            tokens: &self.tokens,
            maps: &self.maps,
            resources: &self.resources,
            templates: &self.templates,
            uses: None,
        }
    }
}

/// A scope with this body.
pub(super) fn scope(body: Value) -> Scope {
    let mut scope = Scope::new();
    scope.set(Root::Body, body);
    scope
}

/// Compiles with diagnostics, which are the error.
pub(super) fn compiled<T>(
    compile: impl FnOnce(&mut Diagnostics) -> Option<T>,
) -> Result<T, Vec<Diagnostic>> {
    let mut diags = Diagnostics::default();
    let result = compile(&mut diags);
    assert_eq!(
        result.is_some(),
        diags.no_errors(),
        "what is reported does not compile, and the other way round: {diags:?}"
    );
    result.ok_or_else(|| diags.iter().cloned().collect())
}
