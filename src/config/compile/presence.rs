//! What a request schema says of a variable: whether there can be such a field, whether it is always
//! there, and of what type it is.
//!
//! Three-valued at heart: a schema may say yes, say no, or leave it open, and only what is certain is
//! told. Presence is asked under the facts of the place (`has body.port`, `eq body.kind 'a'`): they grant fields, and
//! they rule branches of `anyOf`, `oneOf` and `if` out. What no fact and no branch grants is proved by cases: a
//! field is always there if it is in every branch that is left.

mod keywords;
mod names;

use std::cell::Cell;

use super::close::local_target;
use crate::document::{Kind, Node, pairs};
use crate::transform::Root;
use crate::transform::uses::{Fact, Key, Place, Use};

use keywords::{indexed, is_index, named, subschemas, types, words};
pub(super) use names::{Why, no_such};

/// Steps of one proof; behind them nothing is said. No schema written by hand comes near.
const BUDGET: u32 = 2_000;

/// How many keys of a variable are surely there, and what is not: `None` when the whole of it is.
pub(super) fn may_be_absent(root: &Node, found: &Use) -> Option<Absent> {
    let keys = &found.place.keys;
    // In a round of a loop there is an item, and so the list.
    let granted = keys
        .iter()
        .rposition(|key| matches!(key, Key::Item(_)))
        .map_or(0, |last| last + 1);
    (granted..keys.len()).find_map(|depth| {
        let proof = Proof::new(
            root,
            found.place.root,
            &keys[..=depth],
            granted,
            &found.facts,
        );
        if proof.holds() {
            return None;
        }
        let null = proof.above_may_be_null();
        Some(Absent { depth, null })
    })
}

/// Why a variable may have no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Absent {
    /// Which key is the first that may not be there.
    pub depth: usize,
    /// Because what it is asked of may be null.
    pub null: bool,
}

/// Whether a variable is there in every request that the schema lets pass, whatever stands around it.
pub(super) fn is_always_there(root: &Node, found: &Use) -> bool {
    let keys = &found.place.keys;
    let granted = keys
        .iter()
        .rposition(|key| matches!(key, Key::Item(_)))
        .map_or(0, |last| last + 1);
    let proof = Proof::new(root, found.place.root, keys, granted, &[]);
    proof.holds() && proof.budget.get() > 0
}

/// The types that the value surely has one of; empty: nothing is certain.
pub(super) fn types_of(root: &Node, keys: &[Key]) -> Vec<String> {
    let proof = Proof::new(root, Root::Body, keys, keys.len(), &[]);
    let mut at = vec![root];
    for (depth, key) in keys.iter().enumerate() {
        let flat = proof.flat(&at, depth);
        at = proof.below(&flat, key);
        if at.is_empty() {
            return Vec::new();
        }
    }
    let flat = proof.flat(&at, keys.len());
    proof.stated(&flat).unwrap_or_default()
}

/// The values that an `enum` gives it; `None`: it may be others, or nobody knows.
pub(super) fn values_of(root: &Node, keys: &[Key]) -> Option<Vec<Node>> {
    let proof = Proof::new(root, Root::Body, keys, keys.len(), &[]);
    let mut at = vec![root];
    for (depth, key) in keys.iter().enumerate() {
        let flat = proof.flat(&at, depth);
        at = proof.below(&flat, key);
    }
    let flat = proof.flat(&at, keys.len());
    flat.nodes
        .iter()
        .find_map(|node| match &node.get("enum")?.kind {
            Kind::List(values) => Some(values.clone()),
            _ => None,
        })
}

/// A value that a `default` of it could be: the schema's own, or the empty one of its type.
pub(super) fn example_of(root: &Node, keys: &[Key]) -> Option<String> {
    let proof = Proof::new(root, Root::Body, keys, keys.len(), &[]);
    let mut at = vec![root];
    for (depth, key) in keys.iter().enumerate() {
        let flat = proof.flat(&at, depth);
        at = proof.below(&flat, key);
    }
    let flat = proof.flat(&at, keys.len());
    let written = flat.nodes.iter().find_map(|node| {
        ["default", "enum"].iter().find_map(|key| {
            let value = node.get(key)?;
            match &value.kind {
                Kind::List(words) if *key == "enum" => words.first(),
                Kind::List(_) | Kind::Map(_) => None,
                _ => Some(value),
            }
        })
    });
    if let Some(value) = written {
        return match value.as_text() {
            Some(text) if text.contains(['\'', '"', '{', '}']) => None,
            Some(text) => Some(format!("'{text}'")),
            None => Some(value.to_json().to_string()),
        };
    }
    let types = proof.stated(&flat)?;
    Some(match types.first()?.as_str() {
        "integer" | "number" => "0".to_owned(),
        "boolean" => "false".to_owned(),
        "array" => "[]".to_owned(),
        "object" => "{}".to_owned(),
        _ => "''".to_owned(),
    })
}

/// Everything that surely describes one value, and the choices of which one branch does too.
#[derive(Clone, Default)]
struct Flat<'n> {
    nodes: Vec<&'n Node>,
    choices: Vec<Vec<Vec<&'n Node>>>,
}

/// One question: is there a value at these keys?
struct Proof<'n> {
    root: &'n Node,
    space: Root,
    keys: &'n [Key],
    /// So many keys are there, whatever the schema says.
    granted: usize,
    facts: &'n [Fact],
    budget: Cell<u32>,
}

impl<'n> Proof<'n> {
    fn new(
        root: &'n Node,
        space: Root,
        keys: &'n [Key],
        granted: usize,
        facts: &'n [Fact],
    ) -> Self {
        Self {
            root,
            space,
            keys,
            granted,
            facts,
            budget: Cell::new(BUDGET),
        }
    }

    fn holds(&self) -> bool {
        let flat = self.flat(&[self.root], 0);
        self.from(&flat, 0)
    }

    /// Whether the keys from `depth` on are there in a value that is described so.
    fn from(&self, flat: &Flat<'n>, depth: usize) -> bool {
        let Some(key) = self.keys.get(depth) else {
            return true;
        };
        let left = self.budget.get();
        if left == 0 {
            return true;
        }
        self.budget.set(left - 1);
        let by_place = |node: &&Node| node.get("prefixItems").is_some();
        if matches!(key, Key::Item(_)) && flat.nodes.iter().any(by_place) {
            // Which schema an item has follows from its place, and that is not known.
            return true;
        }
        if self.is_there(flat, depth) {
            let below = self.below(flat, key);
            let below = self.flat(&below, depth + 1);
            if self.from(&below, depth + 1) {
                return true;
            }
        }
        // Or in each branch of some choice.
        flat.choices.iter().enumerate().any(|(index, choice)| {
            choice.iter().all(|branch| {
                let mut case = flat.clone();
                case.choices.remove(index);
                for node in branch {
                    self.flatten(node, depth, &mut case);
                }
                self.from(&case, depth)
            })
        })
    }

    fn is_there(&self, flat: &Flat<'n>, depth: usize) -> bool {
        if depth < self.granted || self.is_granted(&self.keys[..=depth]) {
            return true;
        }
        match &self.keys[depth] {
            Key::Item(_) => true,
            Key::Name(name) => {
                let enough = |node: &&Node| match node.get("minItems").map(|n| n.to_json()) {
                    Some(least) => name
                        .parse::<u64>()
                        .is_ok_and(|index| least.as_u64().is_some_and(|least| least > index)),
                    None => false,
                };
                is_object(flat) && self.requires(flat, name, depth, &mut Vec::new())
                    || is_index(name) && flat.nodes.iter().any(enough)
            }
        }
    }

    fn requires<'f>(
        &self,
        flat: &'f Flat<'n>,
        name: &'f str,
        depth: usize,
        asked: &mut Vec<&'f str>,
    ) -> bool {
        if asked.contains(&name) {
            return false;
        }
        asked.push(name);
        flat.nodes.iter().any(|node| {
            words(node.get("required")).any(|word| word == name)
                || pairs(node.get("dependentRequired")).any(|(other, names)| {
                    words(Some(names)).any(|word| word == name)
                        && (self.is_sibling_granted(depth, other)
                            || self.requires(flat, other, depth, asked))
                })
        })
    }

    fn above_may_be_null(&self) -> bool {
        let Some(depth) = self.keys.len().checked_sub(1).filter(|depth| *depth > 0) else {
            return false;
        };
        let mut at = vec![self.root];
        for key in &self.keys[..depth] {
            let flat = self.flat(&at, 0);
            at = self.below(&flat, key);
        }
        let flat = self.flat(&at, depth);
        let Key::Name(name) = &self.keys[depth] else {
            return false;
        };
        !is_object(&flat) && self.requires(&flat, name, depth, &mut Vec::new())
    }

    /// What is said of a value that all of these describe.
    fn flat(&self, schemas: &[&'n Node], depth: usize) -> Flat<'n> {
        let mut flat = Flat::default();
        for schema in schemas {
            self.flatten(schema, depth, &mut flat);
        }
        flat
    }

    fn flatten(&self, node: &'n Node, depth: usize, flat: &mut Flat<'n>) {
        if flat.nodes.iter().any(|known| std::ptr::eq(*known, node)) {
            return;
        }
        flat.nodes.push(node);
        if let Some(target) = local_target(self.root, node) {
            self.flatten(target, depth, flat);
        }
        for schema in subschemas(node, "allOf") {
            self.flatten(schema, depth, flat);
        }
        for keyword in ["anyOf", "oneOf"] {
            if node.get(keyword).is_none() {
                continue;
            }
            let possible: Vec<_> = subschemas(node, keyword)
                .into_iter()
                .filter(|branch| self.is_possible(branch, depth, &mut Vec::new()))
                .collect();
            match possible.as_slice() {
                [only] => self.flatten(only, depth, flat),
                several => flat
                    .choices
                    .push(several.iter().map(|branch| vec![*branch]).collect()),
            }
        }
        if let Some(test) = node.get("if") {
            let then: Vec<_> = [Some(test), node.get("then")]
                .into_iter()
                .flatten()
                .collect();
            let otherwise: Vec<_> = node.get("else").into_iter().collect();
            match self.is_true(test, flat, depth) {
                Some(true) => then.iter().for_each(|n| self.flatten(n, depth, flat)),
                Some(false) => otherwise.iter().for_each(|n| self.flatten(n, depth, flat)),
                None => flat.choices.push(vec![then, otherwise]),
            }
        }
        for (other, schema) in pairs(node.get("dependentSchemas")) {
            if self.is_sibling_granted(depth, other)
                || self.requires(flat, other, depth, &mut Vec::new())
            {
                self.flatten(schema, depth, flat);
            }
        }
    }

    /// Whether the facts leave the branch open.
    fn is_possible(&self, node: &'n Node, depth: usize, seen: &mut Vec<&'n Node>) -> bool {
        if matches!(node.kind, Kind::Bool(false)) {
            return false;
        }
        if seen.iter().any(|known| std::ptr::eq(*known, node)) {
            return true;
        }
        seen.push(node);
        let lacks = words(node.get("required")).any(|name| self.is_sibling_absent(depth, name));
        let differs = pairs(node.get("properties")).any(|(name, schema)| {
            let forbidden = matches!(schema.kind, Kind::Bool(false));
            forbidden && self.is_sibling_granted(depth, name)
                || self.is_sibling(depth, name, schema) == Some(false)
        });
        let refused = node.get("not").is_some_and(|refused| {
            matches!(&refused.kind, Kind::Map(entries) if entries.len() == 1)
                && refused.get("required").is_some()
                && words(refused.get("required")).all(|n| self.is_sibling_granted(depth, n))
        });
        if lacks || differs || refused {
            return false;
        }
        let target = local_target(self.root, node);
        let mut all = subschemas(node, "allOf").into_iter().chain(target);
        let some = |keyword| {
            node.get(keyword).is_none()
                || subschemas(node, keyword)
                    .into_iter()
                    .any(|branch| self.is_possible(branch, depth, &mut seen.clone()))
        };
        some("anyOf")
            && some("oneOf")
            && all.all(|schema| self.is_possible(schema, depth, &mut seen.clone()))
    }

    /// Whether the test of an `if` holds, where that is known.
    fn is_true(&self, test: &'n Node, flat: &Flat<'n>, depth: usize) -> Option<bool> {
        if !self.is_possible(test, depth, &mut Vec::new()) {
            return Some(false);
        }
        let Kind::Map(keywords) = &test.kind else {
            return matches!(test.kind, Kind::Bool(true)).then_some(true);
        };
        let holds = |keyword: &str, value: &'n Node| match keyword {
            "required" => words(Some(value)).all(|name| {
                self.is_sibling_granted(depth, name)
                    || self.requires(flat, name, depth, &mut Vec::new())
            }),
            "properties" => pairs(Some(value)).all(|(name, schema)| {
                self.is_sibling_absent(depth, name)
                    || self.is_sibling(depth, name, schema) == Some(true)
            }),
            "type" => value.as_text() == Some("object"),
            _ => false,
        };
        keywords
            .iter()
            .all(|entry| holds(&entry.key, &entry.value))
            .then_some(true)
    }

    /// Whether the field beside this depth is what a `const` or `enum` says, where a fact tells.
    fn is_sibling(&self, depth: usize, name: &str, schema: &Node) -> Option<bool> {
        let allowed: Vec<_> = match (schema.get("const"), schema.get("enum")) {
            (Some(value), _) => vec![value.to_json()],
            (
                None,
                Some(Node {
                    kind: Kind::List(values),
                    ..
                }),
            ) => values.iter().map(Node::to_json).collect(),
            _ => return None,
        };
        self.facts.iter().find_map(|fact| match fact {
            Fact::Is(place, value) if self.is_at(place, depth, name) => {
                Some(allowed.contains(value))
            }
            Fact::IsNot(place, value) if self.is_at(place, depth, name) => {
                (allowed.len() == 1 && allowed.contains(value)).then_some(false)
            }
            _ => None,
        })
    }

    fn is_at(&self, place: &Place, depth: usize, name: &str) -> bool {
        place.root == self.space
            && place.keys.len() == depth + 1
            && place.keys[..depth] == self.keys[..depth]
            && matches!(&place.keys[depth], Key::Name(key) if **key == *name)
    }

    fn is_granted(&self, keys: &[Key]) -> bool {
        self.facts.iter().any(|fact| match fact {
            Fact::Present(place) | Fact::Is(place, _) | Fact::IsNot(place, _) => {
                place.is_within(self.space, keys)
            }
            Fact::Absent(_) => false,
        })
    }

    fn is_sibling_granted(&self, depth: usize, name: &str) -> bool {
        let mut keys = self.keys[..depth].to_vec();
        keys.push(Key::Name(name.into()));
        self.is_granted(&keys)
    }

    fn is_sibling_absent(&self, depth: usize, name: &str) -> bool {
        self.facts
            .iter()
            .any(|fact| matches!(fact, Fact::Absent(place) if self.is_at(place, depth, name)))
    }

    /// What surely describes the value one key further.
    fn below(&self, flat: &Flat<'n>, key: &Key) -> Vec<&'n Node> {
        let nodes = flat.nodes.iter().copied();
        match key {
            Key::Item(_) => nodes
                .filter(|node| node.get("prefixItems").is_none())
                .filter_map(|node| node.get("items"))
                .collect(),
            Key::Name(name) => {
                let found: Vec<_> = nodes.clone().flat_map(|node| named(node, name)).collect();
                match is_index(name) && found.is_empty() {
                    true => nodes.flat_map(|node| indexed(node, name)).collect(),
                    false => found,
                }
            }
        }
    }

    /// The types that are stated for sure.
    fn stated(&self, flat: &Flat<'n>) -> Option<Vec<String>> {
        let fewest = flat
            .nodes
            .iter()
            .filter_map(|node| types(node))
            .min_by_key(Vec::len);
        fewest.or_else(|| {
            flat.choices.iter().find_map(|choice| {
                let mut all = Vec::new();
                for branch in choice {
                    let mut case = Flat::default();
                    for node in branch {
                        self.flatten(node, self.keys.len(), &mut case);
                    }
                    all.extend(
                        case.nodes
                            .iter()
                            .filter_map(|n| types(n))
                            .min_by_key(Vec::len)?,
                    );
                }
                Some(all)
            })
        })
    }
}

/// Whether the value is an object. What says nothing of its type is taken to be one.
fn is_object(flat: &Flat<'_>) -> bool {
    let mut stated = flat.nodes.iter().filter_map(|node| types(node)).peekable();
    stated.peek().is_none() || stated.any(|types| types.iter().all(|word| word == "object"))
}
