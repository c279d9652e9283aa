//! Closing the objects of a request schema (SEMANTICS 33): what is not declared does not pass.
//!
//! An object that has `properties` and says neither `additionalProperties` nor
//! `unevaluatedProperties` is closed. Where all that describes it stands in one place, that is
//! `additionalProperties: false`. Where branches (`allOf`, `anyOf`, `oneOf`, `then`, `else`, `dependentSchemas`)
//! or a `$ref` describe it too, it is `unevaluatedProperties: false` around them, because inside a branch
//! the neighbours' properties are unknown. For the same reason a property that several places describe is
//! closed only by the place that owns it, and a definition is closed by whoever uses it.
//! What only tests (`if`, `not`, `contains`, `propertyNames`) stays as it is written. An object without
//! `properties` is a free map.

use std::collections::BTreeSet;

use super::reference::at_pointer;
use crate::document::{Entry, Kind, Node};
use crate::transform::encode::percent_decoded;

/// The keywords whose subschemas describe the very same value.
pub(super) const BRANCHES: [&str; 6] = [
    "allOf",
    "anyOf",
    "oneOf",
    "then",
    "else",
    "dependentSchemas",
];

/// Stands for the items of a list among the names that are described.
const ITEMS: &str = "\0items";

/// The schema, closed.
pub(super) fn close(root: &Node) -> Node {
    Closing { root }.schema(root, false, &BTreeSet::new())
}

/// The target of a local `$ref`, where it has one.
pub(super) fn local_target<'n>(root: &'n Node, schema: &Node) -> Option<&'n Node> {
    let text = schema.get("$ref")?.as_text()?.strip_prefix('#')?;
    at_pointer(root, &percent_decoded(text))
}

/// The subschemas of a branch keyword.
pub(super) fn branches<'n>(keyword: &str, value: &'n Node) -> Vec<&'n Node> {
    match (&value.kind, keyword) {
        (Kind::List(items), _) => items.iter().collect(),
        (Kind::Map(entries), "dependentSchemas") => {
            entries.iter().map(|entry| &entry.value).collect()
        }
        _ => vec![value],
    }
}

struct Closing<'r> {
    root: &'r Node,
}

impl Closing<'_> {
    /// `open`: somebody around it closes it. `elsewhere`: the properties that other places describe.
    fn schema(&self, node: &Node, open: bool, elsewhere: &BTreeSet<String>) -> Node {
        let Kind::Map(entries) = &node.kind else {
            return node.clone();
        };
        let mut closed: Vec<Entry> = entries
            .iter()
            .map(|entry| Entry {
                key: entry.key.clone(),
                key_span: entry.key_span,
                value: self.keyword(node, entry, elsewhere),
            })
            .collect();
        let says = ["additionalProperties", "unevaluatedProperties"]
            .iter()
            .any(|key| node.get(key).is_some());
        if !open && !says && self.is_object(node) {
            let shared =
                node.get("$ref").is_some() || BRANCHES.iter().any(|key| node.get(key).is_some());
            let key = match shared {
                true => "unevaluatedProperties",
                false => "additionalProperties",
            };
            closed.push(Entry {
                key: key.to_owned(),
                key_span: node.span,
                value: Node {
                    span: node.span,
                    kind: Kind::Bool(false),
                },
            });
        }
        Node {
            span: node.span,
            kind: Kind::Map(closed),
        }
    }

    fn keyword(&self, owner: &Node, entry: &Entry, elsewhere: &BTreeSet<String>) -> Node {
        let value = &entry.value;
        let fresh = BTreeSet::new();
        match entry.key.as_str() {
            "properties" | "patternProperties" => {
                self.each(value, |name, schema| match elsewhere.contains(name) {
                    true => schema.clone(),
                    false => self.schema(schema, false, &fresh),
                })
            }
            "items"
            | "prefixItems"
            | "additionalProperties"
            | "unevaluatedProperties"
            | "unevaluatedItems"
                if !elsewhere.contains(ITEMS) =>
            {
                self.each_item(value, |schema| self.schema(schema, false, &fresh))
            }
            // A definition is closed where it is used: beside the `$ref`.
            "$defs" | "definitions" => {
                self.each(value, |_, schema| self.schema(schema, true, &fresh))
            }
            keyword if BRANCHES.contains(&keyword) => {
                let around = self.around(owner, keyword, elsewhere);
                let branch = |index: usize, schema: &Node| {
                    let mut elsewhere = around.clone();
                    // Only one branch of a `oneOf` describes a value; of the others, all may.
                    if keyword != "oneOf" {
                        for (other, neighbour) in branches(keyword, value).iter().enumerate() {
                            if other != index {
                                self.names(neighbour, &mut elsewhere, &mut Vec::new());
                            }
                        }
                    }
                    self.schema(schema, true, &elsewhere)
                };
                let mut index = 0;
                let mut next = |schema: &Node| {
                    let closed = branch(index, schema);
                    index += 1;
                    closed
                };
                match keyword {
                    "dependentSchemas" => self.each(value, |_, schema| next(schema)),
                    _ => self.each_item(value, next),
                }
            }
            _ => value.clone(),
        }
    }

    /// What a branch's surroundings describe: the owner itself and its other branch keywords.
    fn around(
        &self,
        owner: &Node,
        keyword: &str,
        elsewhere: &BTreeSet<String>,
    ) -> BTreeSet<String> {
        let mut names = elsewhere.clone();
        own_names(owner, &mut names);
        if let Some(target) = local_target(self.root, owner) {
            self.names(target, &mut names, &mut Vec::new());
        }
        for other in BRANCHES.iter().filter(|other| **other != keyword) {
            for schema in owner
                .get(other)
                .map(|v| branches(other, v))
                .unwrap_or_default()
            {
                self.names(schema, &mut names, &mut Vec::new());
            }
        }
        names
    }

    /// The properties that a schema describes, its branches and references included.
    fn names<'n>(&'n self, node: &'n Node, names: &mut BTreeSet<String>, seen: &mut Vec<&'n Node>) {
        if seen.iter().any(|known| std::ptr::eq(*known, node)) {
            return;
        }
        seen.push(node);
        own_names(node, names);
        for keyword in BRANCHES {
            for schema in node
                .get(keyword)
                .map(|v| branches(keyword, v))
                .unwrap_or_default()
            {
                self.names(schema, names, seen);
            }
        }
        if let Some(target) = local_target(self.root, node) {
            self.names(target, names, seen);
        }
    }

    /// Whether anything names properties of this very value.
    fn is_object(&self, node: &Node) -> bool {
        let mut names = BTreeSet::new();
        self.names(node, &mut names, &mut Vec::new());
        names.remove(ITEMS);
        !names.is_empty()
            || node
                .get("properties")
                .is_some_and(|properties| matches!(properties.kind, Kind::Map(_)))
    }

    fn each(&self, map: &Node, mut change: impl FnMut(&str, &Node) -> Node) -> Node {
        let Kind::Map(entries) = &map.kind else {
            return map.clone();
        };
        Node {
            span: map.span,
            kind: Kind::Map(
                entries
                    .iter()
                    .map(|entry| Entry {
                        key: entry.key.clone(),
                        key_span: entry.key_span,
                        value: change(&entry.key, &entry.value),
                    })
                    .collect(),
            ),
        }
    }

    /// A schema, or a list of them.
    fn each_item(&self, value: &Node, mut change: impl FnMut(&Node) -> Node) -> Node {
        match &value.kind {
            Kind::List(items) => Node {
                span: value.span,
                kind: Kind::List(items.iter().map(change).collect()),
            },
            _ => change(value),
        }
    }
}

fn own_names(node: &Node, names: &mut BTreeSet<String>) {
    for keyword in ["properties", "patternProperties"] {
        if let Some(Kind::Map(entries)) = node.get(keyword).map(|properties| &properties.kind) {
            names.extend(entries.iter().map(|entry| entry.key.clone()));
        }
    }
    if node.get("items").is_some() || node.get("prefixItems").is_some() {
        names.insert(ITEMS.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::schema::compile_text;

    fn check(schema: &str, fine: &[Value], wrong: &[Value]) {
        let schema = compile_text(schema).schema;
        for value in fine {
            assert_eq!(schema.check(value), [], "{value}");
        }
        for value in wrong {
            assert_ne!(schema.check(value), [], "{value}");
        }
    }

    #[test]
    fn an_object_takes_what_it_declares_at_every_depth() {
        check(
            "
type: object
properties:
  id:
    type: string
  rules:
    type: array
    items:
      type: object
      properties:
        port:
          type: integer
  labels:
    type: object
  free:
    type: object
    properties:
      a: {}
    additionalProperties: true
",
            &[
                json!({"id": "a", "rules": [{"port": 1}]}),
                json!({"labels": {"any": 1}, "free": {"b": 1}}),
            ],
            &[json!({"di": "a"}), json!({"rules": [{"prot": 1}]})],
        );
    }

    #[test]
    fn branches_are_closed_around_all_of_them() {
        check(
            "
type: object
properties:
  kind:
    enum: [a, b]
allOf:
  - properties:
      id:
        type: string
oneOf:
  - properties:
      kind:
        const: a
      size:
        type: integer
    required: [size]
  - properties:
      kind:
        const: b
      name:
        type: string
    required: [name]
",
            &[
                json!({"kind": "a", "id": "x", "size": 1}),
                json!({"kind": "b", "name": "x"}),
            ],
            &[
                json!({"kind": "a", "size": 1, "other": 1}),
                json!({"kind": "b", "size": 1}),
            ],
        );
    }

    #[test]
    fn a_branch_that_refines_a_nested_object_does_not_close_it() {
        check(
            "
type: object
properties:
  port:
    type: object
    properties:
      type:
        enum: [tcp, icmp]
      number:
        type: integer
anyOf:
  - properties:
      port:
        properties:
          type:
            const: tcp
        required: [number]
  - properties:
      port:
        properties:
          type:
            const: icmp
",
            &[
                json!({"port": {"type": "tcp", "number": 1}}),
                json!({"port": {"type": "icmp"}}),
            ],
            &[
                json!({"port": {"type": "tcp"}}),
                json!({"port": {"type": "icmp", "code": 1}}),
            ],
        );
    }

    #[test]
    fn a_definition_is_closed_where_it_is_used() {
        check(
            "
type: object
properties:
  plain:
    $ref: '#/$defs/base'
  more:
    allOf:
      - $ref: '#/$defs/base'
      - properties:
          size:
            type: integer
$defs:
  base:
    type: object
    properties:
      id:
        type: string
",
            &[
                json!({"plain": {"id": "a"}}),
                json!({"more": {"id": "a", "size": 1}}),
            ],
            &[
                json!({"plain": {"id": "a", "size": 1}}),
                json!({"more": {"id": "a", "name": 1}}),
            ],
        );
    }

    #[test]
    fn what_only_tests_stays_open() {
        check(
            "
type: object
properties:
  kind:
    type: object
    properties:
      name:
        type: string
      size:
        type: integer
  note:
    type: string
if:
  properties:
    kind:
      properties:
        name:
          const: big
      required: [name]
  required: [kind]
then:
  required: [note]
",
            &[
                json!({"kind": {"name": "big", "size": 1}, "note": "x"}),
                json!({"kind": {"name": "small", "size": 1}}),
            ],
            &[
                json!({"kind": {"name": "big", "size": 1}}),
                json!({"kind": {"nmae": "small"}}),
            ],
        );
    }
}
